"""Derived bars: windows, their counts, when they close, and what comes late, against pandas and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from streams.history.lean.files import read_lean
from streams.model.records import AnalysisKind, Bar, SessionBar
from streams.times import MINUTE_US, SECOND_US
from tests.support.engine import NEW_YORK, Desk, at, bar, clock, config, markers, minutes, shown

DATA = Path(__file__).parents[4] / "examples" / "data" / "lean" / "equity" / "usa"
TEN = at("10:00")


def desk_of(symbol: str, begin_us: int, **parts: Any) -> Desk:
    desk = Desk(config(symbol, **parts), begin_us)
    desk.load(symbol)
    return desk


def spans(bars: list[SessionBar]) -> list[str]:
    return [f"{clock(one.start_us)}-{clock(one.end_us)} {one.base_count}/{one.expected_count}" for one in bars]


# Against pandas, on the real bars


def by_pandas(bars: list[Bar], rule: str, origin: str) -> pd.DataFrame:
    """OHLCV by pandas' resample: windows of `rule` from 09:30 (`session`) or from midnight (`clock`), those with a bar."""
    index = pd.to_datetime([one.start_us for one in bars], unit="us", utc=True).tz_convert("America/New_York")
    frame = pd.DataFrame(
        {
            "open": [one.open for one in bars], "high": [one.high for one in bars], "low": [one.low for one in bars],
            "close": [one.close for one in bars], "volume": [one.volume for one in bars], "count": 1,
        },
        index=index,
    )  # fmt: skip
    start = index[0].normalize() + (pd.Timedelta(hours=9.5) if origin == "session" else pd.Timedelta(0))
    windows = frame.resample(rule, origin=start)
    made = windows.agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "count": "sum"})
    return made[made["count"] > 0]


@pytest.mark.parametrize("anchor", ["session", "clock"])
@pytest.mark.parametrize(
    ("path", "base", "derived"),
    [
        ("minute/spy/20131007_trade.zip", "1m", ["5m", "15m", "30m", "1h"]),
        ("minute/aig/20131007_trade.zip", "1m", ["5m", "15m", "30m", "1h"]),
        ("minute/bac/20131009_trade.zip", "1m", ["5m", "15m", "30m", "1h"]),
        ("second/spy/20131007_trade.zip", "1s", ["1m", "5m", "15m", "30m", "1h"]),
        ("second/ibm/20131007_trade.zip", "1s", ["1m", "5m", "15m", "30m", "1h"]),
    ],
)
def test_derived_bars_of_real_bars_are_those_of_pandas(path: str, base: str, derived: list[str], anchor: str) -> None:
    bars = [one for one in read_lean(DATA / path) if clock(one.end_us) < "16:01"]
    symbol, day = bars[0].symbol, f"{path[-18:-14]}-{path[-14:-12]}-{path[-12:-10]}"
    desk = desk_of(symbol, at("09:30", day), streams=[base], derived_intervals=derived, window_anchor=anchor)
    desk.produce(*bars)
    for now in ("11:00", "11:00:30", "14:10", "16:00"):
        desk.now_us = at(now, day)
        due = sum(one.end_us <= desk.now_us for one in bars)
        desk.read(count=max(0, due - desk.data(symbol).offset))
    desk.read(now_us=at("16:01", day))
    desk.advance(at("16:01:01", day))

    in_hours = [one for one in bars if at("09:30", day) <= one.start_us < at("16:00", day)]
    assert len(desk.bars(symbol, base)) == len(in_hours)
    assert desk.data(symbol).counts.out_of_hours == len(bars) - len(in_hours)
    for interval in derived:
        expected = by_pandas(in_hours, interval.replace("m", "min"), anchor)
        got = desk.bars(symbol, interval)
        assert [pd.Timestamp(one.start_us, unit="us", tz="UTC").tz_convert(NEW_YORK) for one in got] == list(expected.index)
        for column in ("open", "high", "low", "close"):
            assert [getattr(one, column) for one in got] == list(expected[column]), (interval, column)
        assert [one.base_count for one in got] == list(expected["count"])
        # Whole numbers of shares, so their sums are exact in any order.
        assert [one.volume for one in got] == list(expected["volume"])


# Geometry


@pytest.mark.parametrize(
    ("interval", "anchor", "day", "first", "last", "count", "why"),
    [
        ("5m", "session", "2013-10-07", "09:30-09:35 5/5", "15:55-16:00 5/5", 78, "390 minutes"),
        ("15m", "session", "2013-10-07", "09:30-09:45 15/15", "15:45-16:00 15/15", 26, "390 / 15"),
        ("30m", "session", "2013-10-07", "09:30-10:00 30/30", "15:30-16:00 30/30", 13, "390 / 30"),
        ("1h", "session", "2013-10-07", "09:30-10:30 60/60", "15:30-16:00 30/30", 7, "the last hour ends at the close, complete with 30"),
        ("1h", "clock", "2013-10-07", "09:00-10:00 30/30", "15:00-16:00 60/60", 7, "it begins before the open, complete with 30"),
        ("1h", "session", "2024-11-29", "09:30-10:30 60/60", "12:30-13:00 30/30", 4, "the day after Thanksgiving closes at 13:00"),
        ("1h", "clock", "2024-11-29", "09:00-10:00 30/30", "12:00-13:00 60/60", 4, "early close by the clock"),
        ("15m", "session", "2024-11-29", "09:30-09:45 15/15", "12:45-13:00 15/15", 14, "210 / 15"),
        ("4h", "session", "2024-11-29", "09:30-13:00 210/210", "09:30-13:00 210/210", 1, "longer than the day"),
        ("1d", "session", "2013-10-07", "09:30-16:00 390/390", "09:30-16:00 390/390", 1, "the day"),
    ],
)  # fmt: skip
def test_windows_of_a_whole_day(interval: str, anchor: str, day: str, first: str, last: str, count: int, why: str) -> None:
    desk = desk_of("SPY", at("09:30", day), derived_intervals=[interval], window_anchor=anchor)
    length = 210 if day == "2024-11-29" else 390
    desk.produce(*minutes("SPY", at("09:30", day), length + 20))
    desk.read(now_us=at("16:30", day))
    told = spans(desk.bars("SPY", interval))
    assert (told[0], told[-1], len(told)) == (first, last, count), why
    assert all(one.complete for one in desk.bars("SPY", interval))
    assert desk.data("SPY").counts.out_of_hours == 20, "bars after the close are counted, not kept"


# When a window closes


def test_a_derived_bar_goes_out_with_its_last_base_bar_shortest_first() -> None:
    desk = desk_of("SPY", at("09:30"), derived_intervals=["15m", "5m", "30m"])
    told = shown(desk.flow(*minutes("SPY", at("09:30"), 30)))
    assert told[-4:] == ["bar SPY 1m 09:59", "bar SPY 5m 09:55", "bar SPY 15m 09:45", "bar SPY 30m 09:30"]
    assert told[4:7] == ["bar SPY 1m 09:34", "bar SPY 5m 09:30", "bar SPY 1m 09:35"]


@pytest.mark.parametrize(
    ("grace", "base", "bars", "closes_with", "count", "why"),
    [
        (5, "1m", ["10:00", "10:01", "10:05"], "10:05", 2, "10:05's end is 60 s past the window's"),
        (0, "1m", ["10:00", "10:01", "10:05"], "10:05", 2, "no grace"),
        (90, "1m", ["10:00", "10:01", "10:05", "10:06"], "10:06", 2, "60 s past is not yet 90, 120 s is"),
        (5, "1s", ["10:04:50", "10:05:03", "10:05:04"], "10:05:04", 1, "its end 10:05:05 is 5 s past"),
        (0, "1s", ["10:04:50", "10:05:00"], "10:05:00", 1, "any bar beyond it"),
    ],
)
def test_an_incomplete_window_closes_when_the_frontier_is_grace_past_its_end(
    grace: int, base: str, bars: list[str], closes_with: str, count: int, why: str
) -> None:
    desk = desk_of("SPY", TEN, streams=[base], derived_intervals=["5m"], grace_seconds=grace, catchup_threshold_seconds=600)
    # While the symbol's bars are stale, the clock closes none of its windows: only the frontier does.
    desk.now_us = at("12:00")
    closed_by = []
    for start in bars:
        before = len(desk.bars("SPY", "5m"))
        desk.feed(bar("SPY", at(start), base))
        if len(desk.bars("SPY", "5m")) > before:
            closed_by.append(start)
    assert closed_by == [closes_with], why
    assert [(one.base_count, one.complete) for one in desk.bars("SPY", "5m")] == [(count, False)]


@pytest.mark.parametrize(
    ("now", "closed", "why"),
    [
        ("10:05:04", False, "grace is five seconds"),
        ("10:05:05", True, "the clock has come to the end plus grace"),
    ],
)
def test_an_incomplete_window_closes_by_the_clock(now: str, closed: bool, why: str) -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"])
    desk.flow(*minutes("SPY", TEN, 3))
    told = shown(desk.advance(at(now)))
    assert told == (["bar SPY 5m 10:00"] if closed else []), why
    if closed:
        assert spans(desk.bars("SPY", "5m")) == ["10:00-10:05 3/5"]


def test_windows_that_the_clock_closes_go_out_by_end_symbol_and_length() -> None:
    desk = Desk(config("B", "A", derived_intervals=["5m", "15m"]), TEN)
    desk.load("A", "B")
    desk.produce(bar("B", at("10:01")), bar("A", at("10:01")), bar("A", at("10:07")))
    desk.read(now_us=at("10:02"))
    desk.produce(bar("B", at("10:14")), bar("A", at("10:14")))
    desk.read(now_us=at("10:15"))
    assert shown(desk.advance(at("10:15:05"))) == [
        "bar A 5m 10:10", "bar A 15m 10:00", "bar B 5m 10:10", "bar B 15m 10:00",
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["behind", "backlog"])
def test_the_clock_closes_no_window_of_a_symbol_that_has_not_come_so_far(state: str) -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"])
    if state == "behind":
        desk.feed(bar("SPY", at("10:01")), now_us=at("10:04"))
    else:
        desk.flow(bar("SPY", at("10:01")))
        desk.restart(at("10:02:10"))
    desk.advance(at("10:20"))
    assert desk.bars("SPY", "5m") == []
    desk.caught_up("SPY")
    desk.advance(at("10:20:01"))
    assert spans(desk.bars("SPY", "5m")) == ["10:00-10:05 1/5"]


def test_a_window_without_a_base_bar_gives_none() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"])
    desk.flow(bar("SPY", TEN), bar("SPY", at("10:12")))
    desk.advance(at("10:20"))
    assert [clock(one.start_us) for one in desk.bars("SPY", "5m")] == ["10:00", "10:10"]


def test_derived_bars_that_a_bar_leaves_behind_come_before_it_and_what_it_completes_after() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["2m", "4m"], catchup_threshold_seconds=600)
    # Counted from 09:30, a window of four minutes goes from 09:58 to 10:02.
    told = shown(desk.feed(bar("SPY", TEN), bar("SPY", at("10:02")), bar("SPY", at("10:03")), now_us=at("10:04")))
    assert told == [
        "bar SPY 1m 10:00",
        "bar SPY 2m 10:00", "bar SPY 4m 09:58", "bar SPY 1m 10:02",
        "bar SPY 1m 10:03", "bar SPY 2m 10:02",
    ]  # fmt: skip


# What comes late


def test_a_late_bar_into_an_open_window_is_part_of_it() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"])
    desk.flow(bar("SPY", TEN, price=10), bar("SPY", at("10:02"), price=12))
    desk.feed(bar("SPY", at("10:01"), price=50), now_us=at("10:03"))
    told = shown(desk.flow(*minutes("SPY", at("10:03"), 2, price=11)))
    assert told[-1] == "bar SPY 5m 10:00"
    (made,) = desk.bars("SPY", "5m")
    assert (made.open, made.high, made.close, made.base_count, made.revision) == (10, 50.25, 11, 5, 0)


def test_a_late_bar_completes_a_window_that_waits() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"], grace_seconds=50)
    desk.feed(*minutes("SPY", TEN, 4), now_us=at("10:04"))
    desk.advance(at("10:05:20"))
    assert desk.bars("SPY", "5m") == []
    assert shown(desk.feed(bar("SPY", at("10:04")), now_us=at("10:05:30"))) == ["bar SPY 1m 10:04", "bar SPY 5m 10:00"]


def test_a_late_bar_into_a_closed_window_makes_a_revision_of_it() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"], catchup_threshold_seconds=600)
    desk.flow(*minutes("SPY", TEN, 3), bar("SPY", at("10:04")), bar("SPY", at("10:05")))
    assert spans(desk.bars("SPY", "5m")) == ["10:00-10:05 4/5"]
    told = shown(desk.feed(bar("SPY", at("10:03"), volume=7), now_us=at("10:06:10")))
    assert told == ["bar SPY 1m 10:03", "bar SPY 5m 10:00 r1"]
    (made,) = desk.bars("SPY", "5m")
    assert (made.base_count, made.complete, made.volume, made.revision) == (5, True, 47.0, 1)


def test_a_correction_counts_revisions_up_in_all_that_it_touches() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m", "15m"], catchup_threshold_seconds=600)
    desk.flow(*minutes("SPY", TEN, 6))
    for revision, price in enumerate((90.0, 95.0), start=1):
        told = shown(desk.feed(bar("SPY", at("10:01"), price=price), now_us=at("10:06:30")))
        assert told == [f"bar SPY 1m 10:01 r{revision}", f"bar SPY 5m 10:00 r{revision}"], "the 15m bar is still being made"
    assert [one.low for one in desk.bars("SPY", "5m")] == [94.75]
    desk.flow(*minutes("SPY", at("10:06"), 9))
    assert [(one.low, one.revision) for one in desk.bars("SPY", "15m")] == [(94.75, 0)]


@pytest.mark.parametrize(
    ("grace", "now", "told", "why"),
    [
        (5, "10:07:30", ["bar SPY 1m 10:02", "bar SPY 5m 10:00"], "the frontier of 10:07 is past the window's end and its grace"),
        (150, "10:07:30", ["bar SPY 1m 10:02", "bar SPY 5m 10:00"], "the frontier is not, the clock is"),
        (150, "10:07:29", ["bar SPY 1m 10:02"], "neither is: more may come"),
    ],
)
def test_the_first_bar_of_a_window_may_come_after_its_end(grace: int, now: str, told: list[str], why: str) -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"], grace_seconds=grace, catchup_threshold_seconds=600)
    desk.flow(bar("SPY", at("10:06")))
    assert shown(desk.feed(bar("SPY", at("10:02")), now_us=at(now))) == told, why


@pytest.mark.parametrize(
    ("provenance", "price", "kept", "why"),
    [
        ("feed", 100.0, False, "equal to the one held: dropped"),
        ("feed", 101.0, True, "another content: a correction"),
        ("gap_fill", 101.0, False, "a gap-fill bar only fills a hole"),
    ],
)
def test_what_replaces_a_bar(provenance: str, price: float, kept: bool, why: str) -> None:
    desk = desk_of("SPY", TEN)
    desk.flow(*minutes("SPY", TEN, 2))
    desk.feed(bar("SPY", TEN, price=price, provenance=provenance), now_us=at("10:02:10"))
    assert [one.revision for one in desk.bars("SPY")] == [int(kept), 0], why
    assert desk.data("SPY").counts.duplicates == (not kept)


def test_what_is_too_late_to_be_fresh_is_held_back_and_a_revised_record_tells_the_stretch() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"])
    desk.flow(*minutes("SPY", TEN, 12))
    told = desk.feed(
        bar("SPY", at("10:01"), price=90), bar("SPY", at("10:03"), price=91), now_us=at("10:12:20")
    )  # fmt: skip
    assert shown(told) == ["held_back SPY 1m 2", "held_back SPY 5m 2", "revised SPY 1m 2", "revised SPY 5m 2"]
    revised = [
        (one.interval, clock(one.extent.first_start_us), clock(one.extent.last_end_us))
        for one in markers(told, AnalysisKind.REVISED)
        if one.extent
    ]
    assert revised == [("1m", "10:01", "10:04"), ("5m", "10:00", "10:05")]
    assert desk.active, "a correction says nothing about how far the symbol is"
    assert shown(desk.feed(now_us=at("10:12:21"))) == []


@pytest.mark.parametrize(
    ("min_completeness", "published", "why"),
    [
        (0, ["10:00", "10:05", "10:10"], "any"),
        (0.6, ["10:00", "10:05"], "3 of 5 is enough, 2 of 5 is not"),
        (1, ["10:00"], "only from all of its base bars"),
    ],
)  # fmt: skip
def test_min_completeness_says_what_is_published(min_completeness: float, published: list[str], why: str) -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["5m"], min_completeness=min_completeness)
    desk.flow(*minutes("SPY", TEN, 5), *minutes("SPY", at("10:05"), 3), *minutes("SPY", at("10:10"), 2), bar("SPY", at("10:15")))
    assert [clock(one.bar.start_us) for one in desk.published("SPY", "5m")] == published, why
    assert len(desk.bars("SPY", "5m")) == 3, "internal reads have them all"
    assert desk.data("SPY").runs.count() == 3 - len(published)


def test_vwap_and_trades_of_a_window_are_known_only_when_those_of_all_its_bars_are() -> None:
    desk = desk_of("SPY", TEN, derived_intervals=["2m"])
    desk.flow(bar("SPY", TEN, volume=10, vwap=100.0, trades=3), bar("SPY", at("10:01"), volume=30, vwap=102.0, trades=5))
    desk.flow(bar("SPY", at("10:02"), vwap=100.0, trades=3), bar("SPY", at("10:03"), trades=4))
    desk.flow(bar("SPY", at("10:04"), volume=0, vwap=100.0), bar("SPY", at("10:05"), volume=0, vwap=100.0))
    assert [(one.vwap, one.trades) for one in desk.bars("SPY", "2m")] == [
        (101.5, 8),  # (10 x 100 + 30 x 102) / 40
        (None, 7),
        (None, None),  # no volume, no average
    ]


def test_a_lunch_break_has_no_bars_to_expect() -> None:
    # Hong Kong: 12:00 to 13:00 is closed; windows of 1h from 09:30, so 11:30 to 12:30 has thirty minutes of trading.
    open_us = at("21:30", "2013-10-07")
    desk = desk_of("0005", open_us, exchange="XHKG", derived_intervals=["1h"])
    trading = [open_us + index * MINUTE_US for index in range(390) if not 150 <= index < 210]
    desk.produce(*[bar("0005", start) for start in trading], bar("0005", open_us + 151 * MINUTE_US))
    desk.read(now_us=open_us + 391 * MINUTE_US)
    desk.advance(open_us + 392 * MINUTE_US)
    assert [(one.base_count, one.expected_count) for one in desk.bars("0005", "1h")] == [
        (60, 60), (60, 60), (30, 30), (30, 30), (60, 60), (60, 60), (30, 30),
    ]  # fmt: skip
    assert desk.data("0005").counts.out_of_hours == 1


def test_a_second_passes_for_nothing_in_what_the_clock_closes() -> None:
    """Closing by the clock at any of these moments gives the same bar: it is made of what is there."""
    made = []
    for seconds in (5, 17, 59):
        desk = desk_of("SPY", TEN, derived_intervals=["5m"])
        desk.flow(*minutes("SPY", TEN, 3))
        desk.advance(at("10:05") + seconds * SECOND_US)
        made.append(desk.bars("SPY", "5m"))
    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 1
