"""A broker's minute bars: messages of Alpaca's stock stream, one a line, each a list.

    my-websocket-client | python examples/feed_minute_bars.py

The client logs in and subscribes to `bars` and `updatedBars`; `bars_of` may also be called from it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.model.records import Bar
from streams.times import MINUTE_US, parse_instant


def bars_of(messages: list[dict[str, Any]]) -> Iterator[Bar]:
    """The bars among messages: `b` comes after each minute; `u` replaces it when late trades belong to it, a correction."""
    for message in messages:
        if message["T"] in ("b", "u"):
            start_us = parse_instant(message["t"])  # the bar's start, with a zone
            prices = (message["o"], message["h"], message["l"], message["c"])
            yield Bar(
                message["S"], "1m", start_us, start_us + MINUTE_US, *prices, message["v"], vwap=message.get("vw"), trades=message.get("n")
            )


def main() -> None:
    with BarProducer(Settings.load()) as producer:
        for line in sys.stdin:
            for bar in bars_of(json.loads(line)):
                producer.send(bar)


if __name__ == "__main__":
    main()
