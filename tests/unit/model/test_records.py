"""What programs read of a record: its instants as aware datetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streams.model.records import Bar, Extent, IntervalComplete, Quote, SessionBar, Tick
from streams.model.views import GapInfo
from streams.times import to_us
from streams.wire.messages import AnalysisBar

OPEN = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
START_US = 1_381_152_600_000_000
END_US = START_US + 60_000_000
PRICES = (167.4, 167.5, 167.3, 167.45, 1200.0)


def test_bars_have_their_start_and_end_as_aware_datetimes() -> None:
    rest = (None, None, 1, 1, 0, True, "feed")
    for bar in (
        Bar("SPY", "1m", START_US, END_US, *PRICES),
        SessionBar(START_US, END_US, *PRICES, *rest),
        AnalysisBar(START_US, END_US, *PRICES, *rest, END_US + 60_000_000),
        GapInfo(START_US, END_US, 1),
    ):
        assert bar.start == OPEN
        assert bar.end == OPEN + timedelta(minutes=1)
        assert bar.start.utcoffset() == timedelta(0)
        assert to_us(bar.end) == bar.end_us, "what a read gives is what the next read takes as its bound"


def test_quotes_and_ticks_have_their_time_as_an_aware_datetime() -> None:
    assert Quote("SPY", START_US + 250_000, 167.41, 167.42).time == OPEN + timedelta(milliseconds=250)
    assert Tick("SPY", START_US, 167.42, 100.0).time == OPEN


def test_markers_have_their_bounds_as_aware_datetimes() -> None:
    extent = Extent("late", START_US, END_US, 1)
    assert (extent.first_start, extent.last_end) == (OPEN, OPEN + timedelta(minutes=1))
    assert IntervalComplete(END_US, 2, 2).end == OPEN + timedelta(minutes=1)
