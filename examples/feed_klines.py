"""An exchange's klines as bars: messages of Binance's kline stream, one a line.

    websocat wss://stream.binance.com:9443/ws/btcusdt@kline_1m | python examples/feed_klines.py

Any program that prints the messages will do in place of websocat, and `bars_of` may be called from a websocket client of your own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.model.records import Bar
from streams.times import interval_us


def bars_of(message: dict[str, Any]) -> Iterator[Bar]:
    """The bar of a message, once its candle is closed: until then (`x` is false) it is still forming."""
    kline = message.get("k")
    if kline is None or not kline["x"]:
        return
    start_us = kline["t"] * 1000  # milliseconds
    end_us = start_us + interval_us(kline["i"])  # not `T`, which is the last millisecond of the candle
    first, high, low, last, volume = (float(kline[name]) for name in "ohlcv")  # they come in quotes
    yield Bar(kline["s"], kline["i"], start_us, end_us, first, high, low, last, volume, trades=kline["n"])


def main() -> None:
    with BarProducer(Settings.load()) as producer:
        for line in sys.stdin:
            for bar in bars_of(json.loads(line)):
                producer.send(bar)


if __name__ == "__main__":
    main()
