"""Windows at multiples of the exchange's clock: half-hour zones, summer and winter, and days on which the clock is changed.

Worked out by hand: Mumbai is 5:30 ahead of UTC. New York is four hours behind in summer and five in winter; its clocks went from
02:00 to 03:00 on 2024-03-10 (07:00Z) and from 02:00 to 01:00 on 2024-11-03 (06:00Z).
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.calendar.hours import local_us, offsets_between
from streams.calendar.trading import TradingCalendar, TradingDay
from streams.engine.session import Session
from streams.engine.state.grid import UTC_CLOCK, Grid
from streams.engine.state.slots import Slots
from streams.model.rows import SESSION_KEY, SessionRow
from streams.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US, days_of, from_us, interval_us, parse_instant
from tests.support.engine import Desk, bar, config, minutes

WHOLE = {"open": "00:00", "close": "24:00"}
SPRING, AUTUMN = date(2024, 3, 10), date(2024, 11, 3)
CHANGES: dict[str, Any] = {"exchange": "XNYS", "hours_overrides": {str(SPRING): WHOLE, str(AUTUMN): WHOLE}}


def utc(text: str) -> int:
    return parse_instant(f"{text}Z")


@pytest.fixture(scope="module")
def new_york() -> TradingCalendar:
    return TradingCalendar("XNYS", overrides={SPRING: ("00:00", "24:00"), AUTUMN: ("00:00", "24:00")})


def day_on(calendar: TradingCalendar, day: date) -> TradingDay:
    found = calendar.day_on(days_of(day))
    assert found is not None
    return found


def shown(calendar: TradingCalendar, grid: Grid) -> list[str]:
    """Where windows start, as the exchange's clock shows it."""
    return [f"{from_us(start).astimezone(calendar.timezone):%H:%M}" for start in grid.starts(grid.day.close_us)]


@pytest.mark.parametrize(
    ("exchange", "day", "interval", "starts", "why"),
    [
        ("XBOM", "2026-11-27", "1h", ["09:00", "10:00", "11:00", "12:00", "13:00", "14:00", "15:00"], "whole hours in Mumbai"),
        ("XBOM", "2026-11-27", "4h", ["08:00", "12:00"], "not 09:30 and 13:30, which are multiples of UTC"),
        ("XNYS", "2026-07-01", "4h", ["08:00", "12:00"], "in summer"),
        ("XNYS", "2026-01-05", "4h", ["08:00", "12:00"], "and the same in winter"),
        ("XNYS", "2026-07-01", "30m", [f"{9 + half // 2:02}:{half % 2 * 30:02}" for half in range(1, 14)], "the open is a multiple"),
        ("XASX", "2026-01-05", "2h", ["10:00", "12:00", "14:00"], "Sydney, eleven hours ahead"),
        ("XHKG", "2026-01-05", "1h", ["09:00", "10:00", "11:00", "13:00", "14:00", "15:00"], "the break has no window"),
        ("24/7", "2026-01-05", "8h", ["00:00", "08:00", "16:00"], "UTC is its clock"),
    ],
)
def test_windows_begin_where_the_exchanges_clock_shows_a_multiple(
    exchange: str, day: str, interval: str, starts: list[str], why: str
) -> None:
    calendar = TradingCalendar(exchange)
    assert shown(calendar, Grid(day_on(calendar, date.fromisoformat(day)), interval, "1m", "clock")) == starts, why


@pytest.mark.parametrize(
    ("day", "interval", "starts", "expected", "why"),
    [
        (SPRING, "4h", ["05:00", "08:00", "12:00", "16:00"], [180, 240, 240, 240], "three hours from 00:00 to 04:00"),
        (AUTUMN, "4h", ["04:00", "09:00", "13:00", "17:00"], [300, 240, 240, 240], "five hours from 00:00 to 04:00"),
        (SPRING, "2h", ["05:00", "07:00", "08:00", "10:00"], [120, 60, 120, 120], "02:00 to 04:00 is one hour: it begins at the change"),
        (AUTUMN, "2h", ["04:00", "07:00", "09:00"], [180, 120, 120], "00:00 to 02:00 is three hours"),
        (SPRING, "1h", ["05:00", "06:00", "07:00", "08:00"], [60, 60, 60, 60], "the hour that is left out has no window"),
        (AUTUMN, "1h", ["04:00", "05:00", "06:00", "07:00"], [60, 60, 60, 60], "the hour that comes twice has two"),
        (SPRING, "12h", ["05:00", "16:00"], [660, 720], "noon in New York"),
        (AUTUMN, "12h", ["04:00", "17:00"], [780, 720], "noon in New York"),
    ],
)  # fmt: skip
def test_the_window_that_holds_a_clock_change_is_shorter_or_longer(
    new_york: TradingCalendar, day: date, interval: str, starts: list[str], expected: list[int], why: str
) -> None:
    grid = Grid(day_on(new_york, day), interval, "1m", "clock")
    found = list(grid.starts(grid.day.close_us))
    assert [from_us(start).strftime("%H:%M") for start in found[: len(starts)]] == starts, why
    assert [grid.expected(start) for start in found[: len(expected)]] == expected, why
    assert [(grid.end_of(start) - start) // MINUTE_US for start in found[: len(expected)]] == expected
    assert sum(grid.expected(start) for start in found) == (23 if day == SPRING else 25) * 60


def test_under_the_first_rules_multiples_are_those_of_utc() -> None:
    mumbai = TradingCalendar("XBOM")
    grid = Grid(day_on(mumbai, date(2026, 11, 27)), "1h", "1m", UTC_CLOCK)
    assert shown(mumbai, grid) == ["08:30", "09:30", "10:30", "11:30", "12:30", "13:30", "14:30"]


def test_a_session_keeps_the_windows_that_its_epoch_was_opened_under() -> None:
    values = config("SPY", exchange="XBOM", window_anchor="clock", derived_intervals=["1h"])
    desk = Desk(values, utc("2026-11-27T03:45"))
    desk.load("SPY")
    row = desk.table[SESSION_KEY]
    assert isinstance(row, SessionRow)
    starts = {}
    for opened in (1, 2):
        session = Session.restore({**desk.table, SESSION_KEY: replace(row, opened_rules=opened)})
        data = session.symbol("SPY")
        assert data is not None
        starts[opened] = data.derived["1h"].grid.first_us
    assert starts == {1: utc("2026-11-27T03:00"), 2: utc("2026-11-27T03:30")}
    assert Desk(values, utc("2026-11-27T03:45"), epoch=2).data("SPY").derived["1h"].grid.first_us == starts[2], (
        "a new epoch has the new ones"
    )


@pytest.mark.parametrize("restores", [False, True])
@pytest.mark.parametrize(
    ("day", "opens", "first", "second"),
    [(SPRING, "2024-03-10T05:00", 180, "08:00"), (AUTUMN, "2024-11-03T04:00", 300, "09:00")],
    ids=["spring", "autumn"],
)
def test_bars_of_a_day_with_a_clock_change_make_these_windows(restores: bool, day: date, opens: str, first: int, second: str) -> None:
    values = config("SPY", derived_intervals=["4h"], window_anchor="clock", historical={"trailing_days": 2}, **CHANGES)
    desk = Desk(values, utc(opens), restores=restores)
    desk.load("SPY")
    bars = minutes("SPY", utc(opens), 600)
    late = bars.pop(7)
    for _, hour in groupby(bars, key=lambda one: one.start_us // HOUR_US):
        of_hour = list(hour)
        desk.feed(*of_hour, now_us=of_hour[-1].end_us)
    made = desk.bars("SPY", "4h")
    assert [(one.base_count, one.expected_count) for one in made[:2]] == [(first - 1, first), (240, 240)]
    assert [from_us(one.start_us).strftime("%H:%M") for one in made[:2]] == [opens[-5:], second]
    desk.feed(late, now_us=bars[-1].end_us)
    made = desk.bars("SPY", "4h")
    assert (made[0].base_count, made[0].complete, made[0].revision, made[1].revision) == (first, True, 1, 0)
    found = desk.data("SPY").completeness("4h", bars[-1].end_us)
    assert found is not None
    assert (found.expected, found.present) == (2, 2)
    # The day becomes history, and is read from its rows as it was.
    before = desk.bars("SPY", "4h")
    desk.advance(utc(f"{day + timedelta(days=1)}T14:31"))
    desk.restart()
    kept = desk.data("SPY").historical[days_of(day)]["4h"]
    assert [(one.start_us, one.end_us, one.base_count) for one in kept][: len(before)] == [
        (one.start_us, one.end_us, one.base_count) for one in before
    ]
    desk.check_redriven()


def test_base_bars_of_four_hours_lie_at_the_clocks_multiples_when_it_is_changed() -> None:
    values = config("SPY", streams=["4h"], window_anchor="clock", sparse_intervals=["4h"], **CHANGES)
    desk = Desk(values, utc("2024-11-03T04:00"))
    desk.load("SPY")
    spans = [("04:00", "09:00"), ("09:00", "13:00"), ("13:00", "17:00")]
    for start, end in spans:
        desk.feed(bar("SPY", utc(f"2024-11-03T{start}"), "4h", end_us=utc(f"2024-11-03T{end}")), now_us=utc(f"2024-11-03T{end}"))
    assert [(one.start_us, one.end_us) for one in desk.bars("SPY", "4h")] == [
        (utc(f"2024-11-03T{start}"), utc(f"2024-11-03T{end}")) for start, end in spans
    ]
    desk.feed(bar("SPY", utc("2024-11-03T16:00"), "4h"), now_us=utc("2024-11-03T20:00"))
    assert desk.data("SPY").counts.rejected == 1, "that would be a multiple in summer"
    desk.check_redriven()


ZONES = ["America/New_York", "Asia/Kolkata", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Africa/Casablanca"]


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    day=st.dates(date(2023, 1, 1), date(2024, 12, 31)) | st.sampled_from([SPRING, AUTUMN, date(2024, 3, 31), date(2024, 10, 6)]),
    opens=st.integers(-18 * 60, 20 * 60),
    lasts=st.integers(30, 24 * 60),
    interval=st.sampled_from(["5m", "7m", "15m", "30m", "1h", "90m", "2h", "3h", "4h", "5h", "12h"]),
)
def test_windows_of_any_day_follow_each_other_and_are_found_again(zone: ZoneInfo, day: date, opens: int, lasts: int, interval: str) -> None:
    open_us = local_us(zone, days_of(day), opens * 60)
    close_us = open_us + lasts * MINUTE_US
    offsets = offsets_between(zone, open_us - DAY_US - 2 * HOUR_US, close_us)
    trading = TradingDay(days_of(day), ((open_us, close_us),), min(open_us, local_us(zone, days_of(day), 0)), offsets)
    grid = Grid(trading, interval, "1m", "clock")
    width_us = interval_us(interval)
    starts = list(grid.starts(close_us))
    assert starts[0] <= open_us < grid.end_of(starts[0])
    assert [grid.end_of(start) for start in starts] == [*starts[1:], close_us]
    assert [grid.start_at(grid.line_of(start)) for start in starts] == starts
    assert [grid.number_of(start) for start in starts] == list(range(len(starts)))
    assert grid.slots_from(grid.line_of(starts[0]), starts) == list(range(len(starts)))
    assert Slots(grid).total == len(starts)
    assert all(end - start <= width_us + HOUR_US for start, end in pairwise([*starts, close_us]))
    for instant in range(open_us, close_us, 7 * MINUTE_US):
        assert grid.start_of(instant) == starts[bisect_right(starts, instant) - 1]
    changes = [since for since, _ in offsets[1:]]
    for start in starts[1:]:
        ahead = datetime.fromtimestamp(start // SECOND_US, zone).utcoffset()
        assert ahead is not None
        assert start in changes or (start + ahead // timedelta(microseconds=1)) % width_us == 0
