"""Windows at multiples of the clock, where a multiple lies before the trading day: no two days have one with the same start."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from streams.config.session import SessionConfig
from streams.engine.state.grid import Grid
from streams.times import MINUTE_US, days_of
from tests.support.engine import Desk, at, bar, clock, config, minutes

EVENING: dict[str, Any] = {"exchange": "XNYS", "hours": {"open": "18:00", "close": "17:00"}}
"""Like a futures exchange: 23 hours from the evening on, in New York, four hours behind UTC in October."""
TUESDAY = "2013-10-08"


@pytest.mark.parametrize(
    ("hours", "interval", "starts", "why"),
    [
        (EVENING, "4h", ["17:00", "20:00", "00:00", "04:00", "08:00", "12:00", "16:00"], "until 17:00 it is the day before"),
        (EVENING, "1h", ["18:00", "19:00", "20:00"], "the open is a multiple"),
        ({"exchange": "XNYS"}, "1h", ["09:00", "10:00", "11:00"], "09:00 is before the open and in the day"),
        ({"exchange": "XNYS"}, "1d", ["09:30"], "a day is the trading day itself, whatever the anchor"),
        (EVENING, "1d", ["18:00"], "and there is one of it, though midnight UTC lies within"),
    ],
)
def test_a_window_begins_at_a_multiple_or_with_its_day(hours: dict[str, Any], interval: str, starts: list[str], why: str) -> None:
    calendar = SessionConfig.from_dict(config(**hours)).calendar()
    day = calendar.current_day(at("19:00", TUESDAY))
    grid = Grid(day, interval, "1m", "clock")
    found = [clock(start) for start in grid.starts(day.close_us)]
    assert found[: len(starts)] == starts, why
    slots = range(day.open_us, day.close_us, MINUTE_US)
    assert [grid.start_of(start) for start in slots] == [max(s for s in grid.starts(day.close_us) if s <= start) for start in slots]
    assert sum(grid.expected(start) for start in grid.starts(day.close_us)) == len(slots)


@pytest.mark.parametrize("restores", [False, True])
def test_the_last_window_of_a_day_and_the_first_of_the_next_are_two(restores: bool) -> None:
    values = config("SPY", derived_intervals=["4h"], window_anchor="clock", historical={"trailing_days": 2}, **EVENING)
    desk = Desk(values, at("16:00", TUESDAY), restores=restores)
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("16:00", TUESDAY), 60))
    desk.flow(*minutes("SPY", at("18:00", TUESDAY), 3))
    desk.feed(bar("SPY", at("18:01", TUESDAY), price=120.0))
    desk.flow(*minutes("SPY", at("18:03", TUESDAY), 118))
    told = [(clock(one.bar.start_us), clock(one.bar.end_us), one.bar.base_count, one.bar.complete) for one in desk.published("SPY", "4h")]
    assert told == [("16:00", "17:00", 60, True), ("17:00", "20:00", 120, True)]
    assert desk.data("SPY").day.days == days_of(date(2013, 10, 8))
    assert [(clock(one.start_us), one.high) for one in desk.bars("SPY", "4h")] == [("17:00", 120.25)]
    desk.flow(*minutes("SPY", at("20:01", TUESDAY), 3))
    desk.feed(bar("SPY", at("18:00", TUESDAY), price=130.0))
    assert [(clock(one.start_us), one.high, one.revision) for one in desk.bars("SPY", "4h")] == [("17:00", 130.25, 1)]
    desk.check_redriven()
