"""A history source of one's own: bars of a vendor, asked over HTTP.

    VENDOR_URL=https://bars.example.com STREAMS_HISTORY=vendor_history:VendorHistory streams worker session.json

from this folder, or with it in PYTHONPATH. The vendor of this example answers

    GET /bars?symbol=SPY&interval=1m&start=2013-10-07T13:30:00+00:00&end=2013-10-07T13:40:00+00:00

with `{"complete_until": "2013-10-07T14:00:00Z", "bars": [{"start": "2013-10-07T13:30:00Z", "open": 1.0, ...}]}`.
"""

from __future__ import annotations

import os
from datetime import datetime

import httpx

from streams.model.records import Bar
from streams.times import interval_us, parse_instant, to_us

ANSWER_SECONDS = 10.0


class VendorHistory:
    """Made once, when it is first needed, and then asked by several threads at once: httpx's client may be shared."""

    adjustment = "raw"

    def __init__(self) -> None:
        self._client = httpx.Client(base_url=os.environ["VENDOR_URL"], timeout=ANSWER_SECONDS)

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> list[Bar]:
        """The bars that start in `[start, end)`. None of them means that there were none, so what can't be known raises."""
        question = {"symbol": symbol, "interval": interval, "start": start.isoformat(), "end": end.isoformat()}
        answer = self._client.get("/bars", params=question).raise_for_status().json()
        if parse_instant(answer["complete_until"]) < to_us(end):
            raise LookupError(f"the vendor has bars until {answer['complete_until']} only")
        width_us = interval_us(interval)
        bars = []
        for row in answer["bars"]:
            start_us = parse_instant(row["start"])
            prices = row["open"], row["high"], row["low"], row["close"]
            bars.append(Bar(symbol, interval, start_us, start_us + width_us, *prices, row["volume"]))
        return bars

    def close(self) -> None:
        """Called when the worker ends."""
        self._client.close()
