"""Daily bars, and others that the hours cut: where they lie, when they are known, and what is said of those that lie nowhere."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.engine.reads import SessionData
from streams.engine.state.completeness import gaps_of, quality_of
from streams.model.inputs import InputKind
from streams.model.records import AnalysisKind, Bar, EventKind, Rejection
from streams.times import HOUR_US, MINUTE_US, SECOND_US, date_of_days, from_us, parse_instant, to_us
from tests.support.engine import Desk, at, bar, config, events, markers, minutes, rejections, shown

MONDAY, TUESDAY, WEDNESDAY = "2013-10-07", "2013-10-08", "2013-10-09"
SESSION_WORDS = (
    "a 1h bar of this day starts at the open, 2013-10-07T13:30:00Z, and every 1h after it, not at 2013-10-07T14:00:00Z: "
    'bars at multiples of the clock need window_anchor "clock"'
)


def utc(text: str) -> int:
    return parse_instant(f"{text}Z")


def in_zone(text: str, zone: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def desk_of(*symbols: str, begin_us: int, streams: tuple[str, ...] = ("1d",), restores: bool = False, **parts: Any) -> Desk:
    desk = Desk(config(*symbols, streams=list(streams), **parts), begin_us, restores=restores)
    desk.load(*symbols)
    return desk


def daily(symbol: str, start_us: int, **fields: Any) -> Bar:
    return bar(symbol, start_us, "1d", **fields)


def span(one: Any) -> tuple[str, str]:
    return from_us(one.start_us).isoformat()[:16], from_us(one.end_us).isoformat()[:16]


# Where a daily bar lies


@pytest.mark.parametrize(
    ("exchange", "start", "end", "lies", "why"),
    [
        ("XNYS", "2013-10-07T00:00", "2013-10-08T00:00", ("2013-10-07T13:30", "2013-10-07T20:00"), "midnight UTC, as most files have it"),
        ("XNYS", "2013-10-07T04:00", "2013-10-08T04:00", ("2013-10-07T13:30", "2013-10-07T20:00"), "midnight in New York"),
        ("XNYS", "2013-10-07T13:30", "2013-10-08T13:30", ("2013-10-07T13:30", "2013-10-07T20:00"), "the open, and a day on"),
        ("XNYS", "2013-10-07T13:30", "2013-10-07T20:00", ("2013-10-07T13:30", "2013-10-07T20:00"), "open and close"),
        ("XNYS", "2013-10-07T00:00", "2013-10-07T20:00", ("2013-10-07T13:30", "2013-10-07T20:00"), "midnight to the close"),
        ("XNYS", "2013-11-29T05:00", "2013-11-30T05:00", ("2013-11-29T14:30", "2013-11-29T18:00"), "an early close"),
        ("XNYS", "2014-03-10T00:00", "2014-03-11T00:00", ("2014-03-10T13:30", "2014-03-10T20:00"), "the first Monday of summer time"),
        ("XTKS", "2013-10-07T00:00", "2013-10-08T00:00", ("2013-10-07T00:00", "2013-10-07T06:00"), "midnight UTC is the open in Tokyo"),
        ("XTKS", "2013-10-06T15:00", "2013-10-07T15:00", ("2013-10-07T00:00", "2013-10-07T06:00"), "midnight in Tokyo"),
        ("CMES", "2013-10-08T00:00", "2013-10-09T00:00", ("2013-10-07T22:00", "2013-10-08T22:00"), "the date, not its open"),
        ("CMES", "2013-10-08T05:00", "2013-10-09T05:00", ("2013-10-07T22:00", "2013-10-08T22:00"), "midnight in Chicago"),
        ("CMES", "2013-10-07T22:00", "2013-10-08T22:00", ("2013-10-07T22:00", "2013-10-08T22:00"), "the open, on the evening before"),
        ("24/7", "2013-10-07T00:00", "2013-10-08T00:00", ("2013-10-07T00:00", "2013-10-08T00:00"), "the whole day"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("restores", [False, True])
def test_a_daily_bar_covers_its_trading_day(exchange: str, start: str, end: str, lies: tuple[str, str], why: str, restores: bool) -> None:
    close_us = utc(lies[1])
    desk = desk_of("SPY", begin_us=utc(lies[0]), exchange=exchange, restores=restores)
    desk.feed(bar("SPY", utc(start), "1d", end_us=utc(end)), now_us=close_us)
    (kept,) = desk.bars("SPY", "1d")
    assert span(kept) == lies, why
    (told,) = desk.published("SPY", "1d")
    assert (span(told.bar), told.valid_until_us) == (lies, close_us + 60 * SECOND_US), "it is judged by the close"
    assert (desk.data("SPY").frontier_us, desk.data("SPY").lag_us) == (close_us, 0)
    assert (kept.complete, kept.base_count, kept.expected_count) == (True, 1, 1)
    desk.check_redriven()


@pytest.mark.parametrize(
    ("start", "end", "lies", "why"),
    [
        ("2026-11-24T00:00", "2026-11-25T00:00", ("2026-11-23T23:00", "2026-11-24T22:00"), "midnight UTC of the trading date"),
        ("2026-11-24T06:00", "2026-11-25T06:00", ("2026-11-23T23:00", "2026-11-24T22:00"), "midnight in Chicago"),
        ("2026-11-23T23:00", "2026-11-24T22:00", ("2026-11-23T23:00", "2026-11-24T22:00"), "the open on the evening before, to the pause"),
        ("2026-11-29T23:00", "2026-11-30T23:00", ("2026-11-29T23:00", "2026-11-30T22:00"), "Sunday's open is Monday's bar"),
        ("2026-11-30T00:00", "2026-12-01T00:00", ("2026-11-29T23:00", "2026-11-30T22:00"), "Monday"),
        ("2026-11-27T00:00", "2026-11-28T00:00", ("2026-11-26T23:00", "2026-11-27T18:15"), "the day after Thanksgiving"),
        ("2026-03-09T00:00", "2026-03-10T00:00", ("2026-03-08T22:00", "2026-03-09T21:00"), "the first Monday of summer time"),
    ],
)  # fmt: skip
def test_a_daily_bar_of_futures_goes_from_the_evening_before_to_the_pause(start: str, end: str, lies: tuple[str, str], why: str) -> None:
    desk = desk_of("ES", begin_us=utc(lies[0]), exchange="CMES", hours="us_equity_futures")
    desk.feed(bar("ES", utc(start), "1d", end_us=utc(end)), now_us=utc(lies[1]))
    (kept,) = desk.bars("ES", "1d")
    assert span(kept) == lies, why
    assert (kept.complete, desk.data("ES").frontier_us) == (True, utc(lies[1]))
    desk.check_redriven()


@pytest.mark.parametrize(
    ("start", "end", "code", "words", "why"),
    [
        ("2013-10-07T00:00", "2013-10-08T00:00", "future", "the bar ends at 2013-10-07T20:00:00Z, 600.000 s after now", "not known yet"),
        ("2013-10-07T09:30", "2013-10-08T09:30", "misaligned",
         "midnight of its trading date, in UTC or in America/New_York, or at the day's open: 2013-10-07T09:30:00Z is none", "in UTC"),
        ("2013-10-07T20:00", "2013-10-08T20:00", "misaligned", "2013-10-07T20:00:00Z is none of these", "stamped with the close"),
        ("2013-10-07T00:00", "2013-10-07T12:00", "misaligned",
         "ends at 2013-10-07T20:00:00Z or 2013-10-08T00:00:00Z or 2013-10-08T04:00:00Z, not at 2013-10-07T12:00:00Z", "half a day"),
    ],
)  # fmt: skip
def test_a_daily_bar_that_can_not_be_is_a_dead_letter_with_the_reason(start: str, end: str, code: str, words: str, why: str) -> None:
    desk = desk_of("SPY", begin_us=at("09:30"))
    ((got, message),) = [
        (one.code, one.message) for one in rejections(desk.feed(bar("SPY", utc(start), "1d", end_us=utc(end)), now_us=at("15:50")))
    ]
    assert got == Rejection(code), why
    assert words in message, why


def test_the_future_tolerance_of_a_daily_bar_counts_from_the_close() -> None:
    early, late = desk_of("SPY", begin_us=at("09:30")), desk_of("SPY", begin_us=at("09:30"))
    early.feed(daily("SPY", utc("2013-10-07T00:00")), now_us=at("15:59:54"))
    late.feed(daily("SPY", utc("2013-10-07T00:00")), now_us=at("15:59:55"))
    assert (len(rejections(early.outcomes)), len(rejections(late.outcomes))) == (1, 0)
    assert shown(late.advance(at("15:59:59"))) == []
    assert shown(late.advance(at("16:00"))) == ["bar SPY 1d 09:30"], "it waits for the close"
    assert early.bars("SPY", "1d") == []


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("2013-10-05T00:00", "a Saturday"),
        ("2013-09-02T04:00", "Labor Day, from midnight in New York"),
        ("1980-01-02T00:00", "before the calendar begins"),
    ],
)
def test_a_daily_bar_of_a_date_without_trading_is_out_of_hours(start: str, why: str) -> None:
    desk = desk_of("SPY", begin_us=at("09:30"))
    assert shown(desk.feed(daily("SPY", utc(start)))) == []
    assert desk.data("SPY").counts.out_of_hours == 1, why


def test_a_daily_bar_is_stale_by_the_close_whatever_its_stamp_says() -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), catchup_threshold_seconds=3600)
    told = desk.feed(daily("SPY", utc("2013-10-07T00:00")), now_us=at("17:00"))
    assert shown(told) == ["bar SPY 1d 09:30"], "an hour after the close it is fresh still"
    other = desk_of("SPY", begin_us=at("09:30"), catchup_threshold_seconds=3600)
    told = other.feed(daily("SPY", utc("2013-10-07T00:00")), now_us=at("17:00:01"))
    assert shown(told) == ["deactivated lagging"], "a second later it is not, though its own end is midnight"
    assert other.data("SPY").lag_us == 3601 * SECOND_US


def test_daily_and_minute_bars_of_one_session_come_in_the_order_of_their_ends() -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), streams=("1m",), catchup_threshold_seconds=900)
    desk.add("DJI", streams=("1d",))
    desk.produce(daily("DJI", utc("2013-10-07T00:00")), *minutes("SPY", at("15:58"), 2))
    assert shown(desk.read(now_us=at("16:00"))) == ["bar SPY 1m 15:58", "bar DJI 1d 09:30", "bar SPY 1m 15:59"]
    desk.check_redriven()


# What follows from it


def test_duplicates_and_corrections_of_a_daily_bar_are_found_by_its_day() -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), catchup_threshold_seconds=3600)
    desk.feed(daily("SPY", utc("2013-10-07T00:00"), price=100, volume=10), now_us=at("16:00"))
    desk.feed(daily("SPY", utc("2013-10-07T04:00"), price=100, volume=10), now_us=at("16:01"))
    assert desk.data("SPY").counts.duplicates == 1, "the same day under another stamp"
    told = desk.feed(bar("SPY", at("09:30"), "1d", end_us=at("16:00"), price=101, volume=12), now_us=at("16:02"))
    assert shown(told) == ["bar SPY 1d 09:30 r1"]
    spy = desk.data("SPY")
    assert (spy.session_volume, spy.session_high, spy.counts.corrected, len(desk.bars("SPY", "1d"))) == (12.0, 101.25, 1, 1)
    desk.check_redriven()


def test_a_daily_bar_is_expected_from_the_close_on() -> None:
    desk = desk_of("SPY", begin_us=at("09:30", "2024-11-29"))
    spy, close_us = desk.data("SPY"), at("13:00", "2024-11-29")
    assert (quality_of(spy, "1d", close_us - 1), gaps_of(spy, "1d", close_us - 1)) == (None, [])
    assert quality_of(spy, "1d", close_us) == 0.0
    (gap,) = gaps_of(spy, "1d", close_us)
    assert (gap.start_us, gap.end_us, gap.bar_count) == (at("09:30", "2024-11-29"), close_us, 1)
    desk.feed(daily("SPY", utc("2024-11-29T00:00")), now_us=close_us)
    assert (quality_of(spy, "1d", close_us), gaps_of(spy, "1d", close_us)) == (100.0, [])
    assert quality_of(spy, "1d", close_us + 9 * HOUR_US) == 100.0


@pytest.mark.parametrize("restores", [False, True])
def test_daily_bars_roll_into_history_one_by_one(restores: bool) -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), historical={"trailing_days": 2}, restores=restores)
    for day in (MONDAY, TUESDAY, WEDNESDAY, "2013-10-10"):
        desk.feed(daily("SPY", utc(f"{day}T00:00")), now_us=at("16:00", day))
    spy = desk.data("SPY")
    assert [str(date_of_days(days)) for days in sorted(spy.historical)] == [TUESDAY, WEDNESDAY]
    assert [span(one)[0] for one in SessionData(desk.session.state).get_historical_bars("SPY")] == [
        "2013-10-08T13:30", "2013-10-09T13:30",
    ]  # fmt: skip
    assert len(markers(desk.outcomes, AnalysisKind.SESSION_ROLLED)) == 3
    desk.check_redriven()


@pytest.mark.parametrize(
    ("threshold", "now", "day", "why"),
    [
        (60, "2013-10-08T00:01:00", TUESDAY, "a minute after the close and past midnight nothing of Monday would be fresh"),
        (36_000, "2013-10-08T01:59:59", MONDAY, "for ten hours after the close Monday's bar is awaited"),
        (36_000, "2013-10-08T02:00:00", TUESDAY, "and no longer"),
    ],
)
def test_a_day_waits_for_its_only_bar_as_long_as_it_would_be_fresh(threshold: int, now: str, day: str, why: str) -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), catchup_threshold_seconds=threshold)
    date, time = now.split("T")
    desk.advance(at(time, date))
    assert str(date_of_days(desk.data("SPY").day.days)) == day, why


def test_once_its_bar_is_there_a_day_waits_for_nothing_more() -> None:
    desk = desk_of("BTC", begin_us=utc("2013-10-07T12:00"), exchange="24/7", catchup_threshold_seconds=36_000)
    desk.feed(daily("BTC", utc("2013-10-07T00:00")), now_us=utc("2013-10-08T00:01"))
    assert str(date_of_days(desk.data("BTC").day.days)) == MONDAY
    desk.advance(utc("2013-10-08T00:05"))
    assert str(date_of_days(desk.data("BTC").day.days)) == TUESDAY


@pytest.mark.parametrize(
    ("trailing_days", "kept", "why"), [(0, 0, "no day is kept"), (1, 1, "Friday is the day before"), (5, 1, "among five")]
)
def test_a_daily_bar_that_comes_the_next_morning_goes_to_the_days_historical_bars(trailing_days: int, kept: int, why: str) -> None:
    desk = desk_of("SPY", begin_us=at("09:30", "2013-10-04"), historical={"trailing_days": trailing_days})
    desk.advance(at("08:00"))
    desk.feed(daily("SPY", utc("2013-10-04T00:00"), price=50.0), daily("SPY", utc("2013-09-20T00:00")), now_us=at("08:00"))
    spy = desk.data("SPY")
    assert [str(date_of_days(days)) for days in spy.historical] == ["2013-10-04"] * kept, why
    assert (spy.counts.late, spy.counts.other_day) == (kept, 2 - kept), "what lies further back than the days to keep is dropped"
    assert len(events(desk.outcomes, EventKind.BAR_LATE)) == kept
    desk.restart()
    assert len(desk.data("SPY").historical) == kept
    desk.check_redriven()


def test_nobody_is_silent_for_want_of_a_bar_that_comes_once_a_day() -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), silence_lags=True, historical={"trailing_days": 1})
    assert desk.session.quiet_symbols(at("15:59")) == []
    desk.advance(at("10:00", TUESDAY))
    desk.feed(daily("SPY", utc("2013-10-08T00:00")), now_us=at("18:00", TUESDAY))
    assert not desk.active, "two hours late"
    assert desk.session.quiet_symbols(at("18:04:59", TUESDAY)) == []
    assert desk.session.quiet_symbols(at("18:05", TUESDAY)) == ["SPY"]
    desk.apply(desk.about(InputKind.SILENT, "SPY"), now_us=at("18:05", TUESDAY))
    assert desk.active, "nothing stale has come for long"


def test_bars_that_are_further_apart_than_the_silence_threshold_are_waited_for() -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), streams=("15m",))
    assert desk.session.quiet_symbols(at("09:49:59")) == [], "the first one is due at 09:45"
    assert desk.session.quiet_symbols(at("09:50")) == ["SPY"]
    desk.feed(bar("SPY", at("09:30"), "15m"), now_us=at("09:45:01"))
    assert desk.session.quiet_symbols(at("10:05:00")) == []
    assert desk.session.quiet_symbols(at("10:05:01")) == ["SPY"]


# A derived day


@pytest.mark.parametrize("anchor", ["session", "clock"])
@pytest.mark.parametrize(
    ("day", "length", "close", "why"),
    [(MONDAY, 390, "16:00", "a whole day"), ("2024-11-29", 210, "13:00", "an early close")],
)
def test_a_derived_day_is_known_at_the_close(anchor: str, day: str, length: int, close: str, why: str) -> None:
    desk = desk_of("SPY", begin_us=at("09:30", day), streams=("1m",), derived_intervals=["1h", "1d"], window_anchor=anchor)
    desk.produce(*minutes("SPY", at("09:30", day), length - 1))
    desk.read(now_us=at(close, day) - MINUTE_US)
    assert desk.bars("SPY", "1d") == []
    told = desk.feed(bar("SPY", at(close, day) - MINUTE_US), now_us=at(close, day))
    assert shown(told)[-1] == "bar SPY 1d 09:30", why
    (made,) = desk.bars("SPY", "1d")
    assert (made.end_us, made.base_count, made.expected_count, made.complete) == (at(close, day), length, length, True)
    assert (quality_of(desk.data("SPY"), "1d", at(close, day) - 1), quality_of(desk.data("SPY"), "1d", at(close, day))) == (None, 100.0)


def test_a_derived_day_with_missing_bars_is_closed_by_the_clock_after_an_early_close() -> None:
    desk = desk_of("SPY", begin_us=at("09:30", "2024-11-29"), streams=("1m",), derived_intervals=["1d"])
    desk.flow(*minutes("SPY", at("12:50", "2024-11-29"), 9))
    assert shown(desk.advance(at("13:00:04", "2024-11-29"))) == []
    assert shown(desk.advance(at("13:00:05", "2024-11-29"))) == ["bar SPY 1d 09:30"]
    (made,) = desk.bars("SPY", "1d")
    assert (made.base_count, made.expected_count, made.complete) == (9, 210, False)


def test_a_day_of_25_hours_is_one_day() -> None:
    # Clocks went back on 3 November 2013, a Sunday, on which the exchange trades here by way of an exception.
    whole = {"open": "00:00", "close": "24:00"}
    values = config("SPY", derived_intervals=["4h", "1d"], hours=whole, hours_overrides={"2013-11-03": whole})
    desk = Desk(values, at("00:00", "2013-11-03"))
    desk.load("SPY")
    grid = desk.data("SPY").derived["1d"].grid
    opens_us, closes_us = desk.data("SPY").open_us, desk.data("SPY").close_us
    assert closes_us - opens_us == 25 * HOUR_US
    assert list(grid.starts(closes_us)) == [opens_us]
    assert (grid.end_of(opens_us), grid.expected(opens_us)) == (closes_us, 25 * 60)
    four = desk.data("SPY").derived["4h"].grid
    assert [four.expected(start) for start in four.starts(closes_us)] == [240, 240, 240, 240, 240, 240, 60]


# Other intervals that the hours cut


@pytest.mark.parametrize(
    ("anchor", "starts", "lies", "why"),
    [
        ("session", ["09:30", "10:30", "15:30"], ["09:30-10:30", "10:30-11:30", "15:30-16:00"], "from the open, cut by the close"),
        ("clock", ["09:00", "10:00", "15:00"], ["09:30-10:00", "10:00-11:00", "15:00-16:00"], "by the clock, cut by the open"),
    ],
)
@pytest.mark.parametrize("restores", [False, True])
def test_bars_of_an_hour_lie_where_the_anchor_says(anchor: str, starts: list[str], lies: list[str], why: str, restores: bool) -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), streams=("1h",), window_anchor=anchor, restores=restores)
    for start in starts:
        one = bar("SPY", at(start), "1h")
        desk.feed(one, now_us=min(one.end_us, at("16:00")))
    found = [f"{from_us(one.start_us - 4 * HOUR_US):%H:%M}-{from_us(one.end_us - 4 * HOUR_US):%H:%M}" for one in desk.bars("SPY", "1h")]
    assert found == lies, why
    assert len(desk.published("SPY", "1h")) == 3
    count = 7
    assert quality_of(desk.data("SPY"), "1h", at("16:00")) == pytest.approx(100 * 3 / count)
    assert sum(gap.bar_count for gap in gaps_of(desk.data("SPY"), "1h", at("16:00"))) == count - 3
    desk.check_redriven()


@pytest.mark.parametrize(
    ("anchor", "start", "words", "why"),
    [
        ("session", "10:00", SESSION_WORDS, "clock hours under the session's anchor"),
        ("clock", "10:30", "starts at multiples of 1h of the clock in America/New_York, not at 2013-10-07T14:30:00Z", "and back"),
    ],
)  # fmt: skip
def test_a_bar_of_an_hour_between_the_slots_is_told_where_they_are(anchor: str, start: str, words: str, why: str) -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), streams=("1h",), window_anchor=anchor, sparse_intervals=["1h"])
    (one,) = rejections(desk.feed(bar("SPY", at(start), "1h"), now_us=at("16:00")))
    assert (one.code, words in one.message) == (Rejection.MISALIGNED, True), f"{why}: {one.message}"
    assert desk.feed(bar("SPY", at("17:00"), "1h"), now_us=at("18:00")) == []
    assert desk.data("SPY").counts.out_of_hours == 1, "what has no trading in it is out of hours"


def test_a_slot_that_begins_in_the_break_has_a_bar_when_trading_goes_on_in_it() -> None:
    zone = "Asia/Tokyo"
    desk = desk_of("7203", begin_us=in_zone("2013-10-07T09:00", zone), streams=("1h",), exchange="XTKS")
    starts = [in_zone(f"2013-10-07T{hour:02}:00", zone) for hour in range(9, 15)]
    desk.produce(*[bar("7203", start, "1h") for start in starts])
    desk.read(now_us=in_zone("2013-10-07T15:00", zone))
    assert [one.start_us for one in desk.bars("7203", "1h")] == starts, "12:00 begins in the break, and trading goes on at 12:30"
    assert quality_of(desk.data("7203"), "1h", in_zone("2013-10-07T15:00", zone)) == 100.0


def test_derived_bars_of_cut_ones_expect_as_many_as_there_are() -> None:
    desk = desk_of("SPY", begin_us=at("09:30"), streams=("1h",), derived_intervals=["4h", "1d"], window_anchor="clock")
    desk.produce(*[bar("SPY", at(f"{hour:02}:00"), "1h") for hour in range(9, 16)])
    desk.read(now_us=at("16:00"))
    # 08:00-12:00 UTC-4 is 12:00-16:00 UTC: four-hour windows begin at 08:00 and 12:00 in New York.
    assert [(one.base_count, one.expected_count, one.complete) for one in desk.bars("SPY", "4h")] == [(3, 3, True), (4, 4, True)]
    assert [(one.base_count, one.expected_count, one.start_us) for one in desk.bars("SPY", "1d")] == [(7, 7, at("09:30"))]
