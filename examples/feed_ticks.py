"""An exchange's trades as bars and ticks: messages of Coinbase's `matches` channel, one a line.

    my-websocket-client | python examples/feed_ticks.py --interval 1s

A bar is complete when the first trade after its end comes. Where trades are rare that is late, and the bar may be stale by then: call
`finished` once a second from a client of your own. A second without a trade has no bar, which is right (`sparse_intervals`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.model.records import Bar, Tick
from streams.times import interval_us, parse_instant


def tick_of(message: dict[str, Any]) -> Tick | None:
    """The trade of a message. `last_match` is one of before the subscription: it is not taken, since it may be old."""
    if message.get("type") != "match":
        return None
    return Tick(message["product_id"], parse_instant(message["time"]), float(message["price"]), float(message["size"]))


class BarsOfTicks:
    """Bars that are made of trades. The bar of a symbol's first trade is left out, since trades before the subscription belong to it."""

    def __init__(self, interval: str) -> None:
        self._interval, self._width_us = interval, interval_us(interval)
        self._ticks: dict[tuple[str, int], list[Tick]] = {}
        self._given_until: dict[str, int] = {}

    def take(self, tick: Tick) -> Iterator[Bar]:
        """Take a trade in, and give the bars that have ended by its time. A trade of a bar that was given already is left out."""
        start_us = tick.time_us - tick.time_us % self._width_us
        yield from self.finished(start_us)
        if start_us >= self._given_until.setdefault(tick.symbol, start_us + self._width_us):
            self._ticks.setdefault((tick.symbol, start_us), []).append(tick)

    def finished(self, now_us: int) -> Iterator[Bar]:
        """The bars that have ended by `now_us`, in order of time."""
        for start_us, symbol in sorted((start, symbol) for symbol, start in self._ticks if start + self._width_us <= now_us):
            ticks = self._ticks.pop((symbol, start_us))
            end_us = self._given_until[symbol] = start_us + self._width_us
            prices = [tick.price for tick in ticks]
            ohlc = prices[0], max(prices), min(prices), prices[-1]
            yield Bar(symbol, self._interval, start_us, end_us, *ohlc, sum(tick.size for tick in ticks), trades=len(ticks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", default="1s")
    bars = BarsOfTicks(parser.parse_args().interval)
    with BarProducer(Settings.load()) as producer:
        for line in sys.stdin:
            tick = tick_of(json.loads(line))
            if tick is not None:
                for bar in bars.take(tick):
                    producer.send(bar)
                producer.send(tick)  # to ticks.<SYMBOL>, for sessions that stream ticks too


if __name__ == "__main__":
    main()
