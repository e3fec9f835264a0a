"""Past days around the clock, and a source of them that takes its time, for real workers: `tests.support.sessions.past_days:slow`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from streams.model.records import Bar
from streams.times import interval_us, to_us

PAUSE_SECONDS = 0.7


def past_bars(symbol: str, interval: str, start_us: int, end_us: int) -> list[Bar]:
    """Bars without a hole, whose prices say where they start: whole minutes of an hour over a hundred."""
    width_us = interval_us(interval)
    first_us = -(-start_us // width_us) * width_us
    prices = [100.0 + place / 4 for place in range(60)]
    made = []
    for start in range(first_us, end_us, width_us):
        price = prices[start // width_us % 60]
        made.append(Bar(symbol, interval, start, start + width_us, price, price + 0.5, price - 0.5, price, 2.0))
    return made


class Slow:
    """Has all bars, and answers a while after each question."""

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """As `HistorySource.get_bars`."""
        threading.Event().wait(PAUSE_SECONDS)
        return past_bars(symbol, interval, to_us(start), to_us(end))


def slow() -> Slow:
    """A source that takes its time."""
    return Slow()
