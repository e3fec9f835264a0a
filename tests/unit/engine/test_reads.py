"""The reading API: what every method answers with the gate open and shut, and that no answer can change the state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from streams.engine.reads import BarsView, QuotesSnapshot, SessionData, SessionMetrics, TicksSnapshot
from streams.engine.state.completeness import GapInfo, gaps_of, quality_of
from streams.engine.state.symbol import SymbolStatus
from streams.model.records import SessionBar
from streams.times import HOUR_US, MINUTE_US, from_us
from tests.support.engine import Desk, at, bar, clock, config, encoded, minutes, quote, tick

YESTERDAY, DAY = "2013-10-07", "2013-10-08"

Read = Callable[[SessionData, bool], object]


def filled_desk() -> Desk:
    """09:45 on Tuesday: SPY has Monday's last ten bars, and Tuesday's 09:30 to 09:44 but 09:33 and 09:34; NEW is pending."""
    streams = ["1m", "quotes", "ticks"]
    past = {"trailing_days": 2, "indicators": [{"name": "close", "kind": "prior_close"}, {"name": "mean", "kind": "sma", "period": 2}]}
    desk = Desk(config("SPY", "IBM", streams=streams, derived_intervals=["5m"], historical=past), at("09:30", YESTERDAY))
    desk.load("SPY", "IBM")
    desk.flow(*minutes("SPY", at("15:50", YESTERDAY), 10))
    desk.advance(at("00:30", DAY))
    desk.command("add_symbol", "NEW")
    desk.flow(*minutes("SPY", at("09:30", DAY), 3), *minutes("SPY", at("09:35", DAY), 10, price=120.0, volume=20.0))
    desk.feed(quote("SPY", at("15:59", YESTERDAY)), quote("SPY", at("09:44", DAY)), tick("SPY", at("09:44:30", DAY)))
    return desk


def shut(desk: Desk) -> Desk:
    """The same a moment later, with IBM lagging."""
    desk.feed(bar("IBM", at("09:30", DAY)))
    assert not desk.active
    return desk


def starts(bars: object) -> list[str]:
    assert isinstance(bars, list)
    return [clock(one.start_us) for one in bars]


def when(text: str, day: str = DAY) -> datetime:
    return from_us(at(text, day))


ALL = {"SPY", "IBM", "NEW"}
TUESDAYS = ["09:30", "09:31", "09:32", *[f"09:{minute}" for minute in range(35, 45)]]
MONDAYS = [f"15:{minute}" for minute in range(50, 60)]

TABLE: list[tuple[str, Read, Callable[[Any], object], object, object]] = [
    (
        "get_export_position", lambda data, internal: data.get_export_position("SPY", internal=internal), lambda found: found,
        (0, False), None,
    ),
    ("get_active_symbols", lambda data, internal: data.get_active_symbols(internal=internal), set, ALL, set()),
    ("get_loaded_symbols", lambda data, internal: data.get_loaded_symbols(internal=internal), set, {"SPY", "IBM"}, set()),
    ("get_pending_symbols", lambda data, internal: data.get_pending_symbols(internal=internal), set, {"NEW"}, set()),
    ("get_symbols_with_derived", lambda data, internal: data.get_symbols_with_derived(internal=internal), set, ALL, set()),
    ("get_streamed_data", lambda data, internal: data.get_streamed_data("SPY", internal=internal), list, ["1m", "quotes", "ticks"], []),
    ("get_generated_data", lambda data, internal: data.get_generated_data("SPY", internal=internal), list, ["5m"], []),
    (
        "get_symbol_data", lambda data, internal: data.get_symbol_data("SPY", internal=internal),
        lambda one: one and (one.symbol, one.status, one.incarnation, one.trading_date, one.offset, one.latest_bar.start_us),
        ("SPY", SymbolStatus.LOADED, 1, date(2013, 10, 8), 23, at("09:44", DAY)), None,
    ),
    ("get_bars", lambda data, internal: data.get_bars("SPY", internal=internal), starts, TUESDAYS, []),
    (
        "get_bars", lambda data, internal: data.get_bars("SPY", "1m", start=when("09:32"), end=when("09:36"), internal=internal),
        starts, ["09:32", "09:35"], [],
    ),
    ("get_bars", lambda data, internal: data.get_bars("SPY", "1m", end=when("09:32"), internal=internal), starts, ["09:30", "09:31"], []),
    (
        "get_bars_ref", lambda data, internal: data.get_bars_ref("SPY", "5m", internal=internal),
        lambda view: starts(list(view)), ["09:30", "09:35", "09:40"], [],
    ),
    (
        "get_latest_bar", lambda data, internal: data.get_latest_bar("SPY", "5m", internal=internal),
        lambda one: one and clock(one.end_us), "09:45", None,
    ),
    ("get_last_n_bars", lambda data, internal: data.get_last_n_bars("SPY", 2, internal=internal), starts, ["09:43", "09:44"], []),
    ("get_last_n_bars", lambda data, internal: data.get_last_n_bars("SPY", 0, internal=internal), starts, [], []),
    ("get_last_n_bars", lambda data, internal: data.get_last_n_bars("SPY", 99, internal=internal), starts, TUESDAYS, []),
    ("get_bars_since", lambda data, internal: data.get_bars_since("SPY", when("09:43"), internal=internal), starts, ["09:43", "09:44"], []),
    ("get_bar_count", lambda data, internal: data.get_bar_count("SPY", internal=internal), int, 13, 0),
    # 13 of the 15 minutes since 09:30; all three five-minute bars, the first of them from three of its five.
    ("get_quality", lambda data, internal: data.get_quality("SPY", internal=internal), lambda one: one and round(one, 4), 86.6667, None),
    ("get_quality", lambda data, internal: data.get_quality("SPY", "5m", internal=internal), lambda one: one, 100.0, None),
    (
        "get_gaps", lambda data, internal: data.get_gaps("SPY", internal=internal), list,
        [GapInfo(at("09:33", DAY), at("09:35", DAY), 2, 0)], [],
    ),
    (
        # 3 x 10 and 10 x 20; highs and lows are a quarter around 100 and 120.
        "get_session_metrics", lambda data, internal: data.get_session_metrics("SPY", internal=internal), lambda one: one,
        SessionMetrics(230.0, 120.25, 99.75, 13, when("09:45")), None,
    ),
    (
        "get_quotes", lambda data, internal: data.get_quotes("SPY", internal=internal), lambda one: one,
        QuotesSnapshot(quote("SPY", at("09:44", DAY)), 1, 2, when("09:45"), date(2013, 10, 8), 0, 0, None), None,
    ),
    (
        "get_ticks", lambda data, internal: data.get_ticks("SPY", internal=internal), lambda one: one,
        TicksSnapshot(tick("SPY", at("09:44:30", DAY)), 1, 1, when("09:45"), date(2013, 10, 8), 0, 0, None), None,
    ),
    ("get_quotes", lambda data, internal: data.get_quotes("XYZ", internal=internal), lambda one: one, None, None),
    ("get_historical_bars", lambda data, internal: data.get_historical_bars("SPY", internal=internal), starts, MONDAYS, []),
    (
        "get_historical_bars", lambda data, internal: data.get_historical_bars("SPY", "5m", on=date(2013, 10, 7), internal=internal),
        starts, ["15:50", "15:55"], [],
    ),
    (
        "get_historical_bars", lambda data, internal: data.get_historical_bars("SPY", on=date(2013, 10, 4), internal=internal),
        starts, [], [],
    ),
    ("get_indicator", lambda data, internal: data.get_indicator("SPY", "close", internal=internal), lambda one: one, 100.0, None),
    ("get_indicator", lambda data, internal: data.get_indicator("SPY", "none", internal=internal), lambda one: one, None, None),
    ("get_indicators", lambda data, internal: data.get_indicators("SPY", internal=internal), dict, {"close": 100.0, "mean": None}, {}),
]  # fmt: skip


@pytest.fixture(scope="module")
def open_desk() -> Desk:
    return filled_desk()


@pytest.fixture(scope="module")
def shut_desk() -> Desk:
    return shut(filled_desk())


@pytest.mark.parametrize(("method", "read", "seen_as", "content", "nothing"), TABLE)
def test_an_external_read_is_answered_while_the_session_is_active_only(
    method: str, read: Read, seen_as: Callable[[object], object], content: object, nothing: object, open_desk: Desk, shut_desk: Desk
) -> None:
    active, inactive = SessionData(open_desk.session.state), SessionData(shut_desk.session.state)
    assert (active.is_active, inactive.is_active) == (True, False)
    assert seen_as(read(active, False)) == content
    assert seen_as(read(active, True)) == content
    assert seen_as(read(inactive, True)) == content, "an internal read passes the closed gate"
    assert seen_as(read(inactive, False)) == nothing


def test_the_table_has_every_read() -> None:
    reads = {name for name in dir(SessionData) if name.startswith("get_")}
    assert {method for method, *_ in TABLE} == reads


@pytest.mark.parametrize(("method", "read", "seen_as", "content", "nothing"), TABLE)
def test_an_answer_can_not_change_the_state(
    method: str, read: Read, seen_as: Callable[[object], object], content: object, nothing: object, open_desk: Desk
) -> None:
    before = encoded({"row": open_desk.data("SPY").progress_row()})
    answer = read(SessionData(open_desk.session.state), True)
    if isinstance(answer, list | dict):
        answer.clear()
    elif isinstance(answer, msgspec.Struct):
        with pytest.raises(AttributeError):
            setattr(answer, answer.__struct_fields__[0], None)
    else:
        assert not hasattr(answer, "append")
        assert not hasattr(answer, "add")
    assert encoded({"row": open_desk.data("SPY").progress_row()}) == before
    assert seen_as(read(SessionData(open_desk.session.state), True)) == content


@pytest.mark.parametrize(("symbol", "interval"), [("XYZ", None), ("SPY", "7m"), ("NEW", None)])
def test_what_is_not_there_reads_like_what_may_not_be_read(symbol: str, interval: str | None, open_desk: Desk) -> None:
    data = SessionData(open_desk.session.state)
    assert data.get_bars(symbol, interval) == []
    assert list(data.get_bars_ref(symbol, interval)) == []
    assert data.get_latest_bar(symbol, interval) is None
    assert data.get_last_n_bars(symbol, 3, interval) == []
    assert data.get_bar_count(symbol, interval) == 0
    assert data.get_quality(symbol, interval) is None
    assert data.get_gaps(symbol, interval) == []
    assert data.get_historical_bars(symbol, interval) == []
    assert data.get_indicators("XYZ") == data.get_indicators("NEW") == {}


@pytest.mark.parametrize(
    "read",
    [
        lambda data, naive: data.get_bars("SPY", start=naive),
        lambda data, naive: data.get_bars("SPY", end=naive),
        lambda data, naive: data.get_bars_since("SPY", naive),
        lambda data, naive: data.get_bars_since("XYZ", naive),
    ],
)
@pytest.mark.parametrize("which", ["open", "shut"])
def test_an_instant_without_a_zone_is_refused_whatever_the_gate(
    read: Callable[[SessionData, datetime], object], which: str, open_desk: Desk, shut_desk: Desk
) -> None:
    desk = open_desk if which == "open" else shut_desk
    with pytest.raises(ValueError, match="has no time zone"):
        read(SessionData(desk.session.state), datetime(2013, 10, 8, 13, 30, tzinfo=UTC).replace(tzinfo=None))


def test_instants_are_understood_in_any_zone(open_desk: Desk) -> None:
    data = SessionData(open_desk.session.state)
    assert data.get_bars_since("SPY", datetime(2013, 10, 8, 13, 43, tzinfo=UTC)) == data.get_bars_since("SPY", when("09:43"))


def test_a_negative_count_is_refused(open_desk: Desk) -> None:
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        SessionData(open_desk.session.state).get_last_n_bars("SPY", -1)


def test_a_view_follows_the_session_and_knows_its_bars() -> None:
    desk = filled_desk()
    view = SessionData(desk.session.state).get_bars_ref("SPY")
    assert len(view) == 13
    desk.flow(bar("SPY", at("09:45", DAY)))
    newest = desk.bars("SPY")[-1]
    assert len(view) == 14
    assert newest in view
    assert bar("SPY", at("09:45", DAY)) not in view
    assert isinstance(view, BarsView)
    assert next(reversed(view)) == newest


def test_sparse_intervals_have_no_quality_and_no_gaps() -> None:
    desk = Desk(config("SPY", "THIN", streams=["1s"], derived_intervals=["1m"], per_symbol={"THIN": {"sparse": True}}), at("09:30", DAY))
    desk.load("SPY", "THIN")
    for symbol in ("SPY", "THIN"):
        desk.flow(bar(symbol, at("09:30:05", DAY), "1s"))
    desk.advance(at("09:33:05", DAY))
    data = SessionData(desk.session.state)
    assert (data.get_quality("SPY", "1s"), data.get_gaps("SPY", "1s")) == (None, []), "1s is sparse by default"
    assert data.get_quality("SPY", "1m") == pytest.approx(100 / 3)
    assert data.get_gaps("SPY", "1m") == [GapInfo(at("09:31", DAY), at("09:33", DAY), 2)]
    assert (data.get_quality("THIN", "1m"), data.get_gaps("THIN", "1m")) == (None, [])


# Quality and gaps, by hand


def series_with(present: list[int], *, now: str, interval: str = "1m", **parts: Any) -> tuple[float | None, list[tuple[str, str, int]]]:
    """Quality and gaps of a desk whose bars are these minutes after 09:30."""
    desk = Desk(config("SPY", derived_intervals=["5m", "1h"], future_tolerance_seconds=60, **parts), at("09:30", DAY))
    desk.load("SPY")
    desk.produce(*[bar("SPY", at("09:30", DAY) + minute * MINUTE_US) for minute in present])
    desk.read(now_us=at(now, DAY))
    spy = desk.data("SPY")
    gaps = [(clock(gap.start_us), clock(gap.end_us), gap.bar_count) for gap in gaps_of(spy, interval, desk.now_us)]
    return quality_of(spy, interval, desk.now_us), gaps


def test_a_window_with_a_hole_is_missing_only_after_its_grace() -> None:
    desk = Desk(config("SPY", derived_intervals=["5m"]), at("09:30"))
    desk.load("SPY")
    bars = minutes("SPY", at("09:30"), 10)
    del bars[7]  # 09:37
    desk.flow(*bars)

    def seen(clock: str) -> tuple[float | None, list[int], float | None]:
        desk.advance(at(clock))
        reads = SessionData(desk.session.state)
        gaps = [gap.bar_count for gap in reads.get_gaps("SPY", "5m", internal=True)]
        return reads.get_quality("SPY", "5m", internal=True), gaps, reads.get_quality("SPY", "1m", internal=True)

    assert seen("09:40") == (100.0, [], 90.0), "the second window waits for 09:37 until 09:40:05; the minute itself is missing"
    assert seen("09:40:04") == (100.0, [], 90.0)
    assert seen("09:40:05") == (100.0, [], 90.0), "it has its bar now, made of four"
    assert seen("09:45:04") == (100.0, [], pytest.approx(100 * 9 / 15)), "the third window has no bar, and its grace is not over"
    assert seen("09:45:05") == (pytest.approx(100 * 2 / 3), [1], pytest.approx(100 * 9 / 15))


@pytest.mark.parametrize(
    ("present", "now", "quality", "gaps", "why"),
    [
        ([], "09:30", None, [], "nothing is expected yet"),
        ([], "09:30:59", None, [], "the first bar has not ended"),
        ([], "09:31", 0.0, [("09:30", "09:31", 1)], "now it has"),
        ([0], "09:31", 100.0, [], "all that there can be"),
        ([0, 1], "09:31:10", 100.0, [], "a bar from a little in the future is not expected, and does not count"),
        ([0, 1, 4], "09:35", 60.0, [("09:32", "09:34", 2)], "3 of 5"),
        ([2, 5], "09:37:30", 100 * 2 / 7, [("09:30", "09:32", 2), ("09:33", "09:35", 2), ("09:36", "09:37", 1)], "first, inner and last"),
        (list(range(390)), "16:30", 100.0, [], "a whole day, and nothing is expected after the close"),
        (list(range(389)), "16:30", 100 * 389 / 390, [("15:59", "16:00", 1)], "the last minute of the day"),
    ],
)
def test_quality_and_gaps_of_the_base_interval(
    present: list[int], now: str, quality: float | None, gaps: list[tuple[str, str, int]], why: str
) -> None:
    assert series_with(present, now=now) == (quality, gaps), why


@pytest.mark.parametrize(
    ("interval", "quality", "gaps", "why"),
    [
        ("5m", 100 * 76 / 78, [("10:00", "10:10", 2)], "no base bar from 10:00 to 10:10; one from 10:10 on is enough for a bar"),
        ("1h", 100.0, [], "each hour has a bar, the last one from 15:30 to 16:00 too"),
        ("1m", 100 * 379 / 390, [("10:00", "10:11", 11)], "minutes 30 to 40"),
    ],
)
def test_a_derived_interval_is_measured_by_its_own_bars(interval: str, quality: float, gaps: list[tuple[str, str, int]], why: str) -> None:
    present = [minute for minute in range(390) if not 30 <= minute < 41]
    assert series_with(present, now="16:01", interval=interval) == (pytest.approx(quality), gaps), why


def test_a_gap_over_a_lunch_break_is_one_run_of_missing_bars() -> None:
    open_us = at("21:30", "2013-10-07")
    desk = Desk(config("0005", exchange="XHKG"), open_us)
    desk.load("0005")
    # Hong Kong trades from minute 0 to 150 and from 210 on: 145 to 149 and 210 to 211 are missing.
    desk.produce(*[bar("0005", open_us + minute * MINUTE_US) for minute in [*range(145), *range(212, 220)]])
    desk.read(now_us=open_us + 220 * MINUTE_US)
    assert gaps_of(desk.data("0005"), "1m", desk.now_us) == [GapInfo(open_us + 145 * MINUTE_US, open_us + 212 * MINUTE_US, 7)]
    assert quality_of(desk.data("0005"), "1m", desk.now_us) == pytest.approx(100 * 153 / 160)


def test_an_early_close_ends_what_is_expected() -> None:
    day = "2024-11-29"
    desk = Desk(config("SPY", derived_intervals=["1h"]), at("09:30", day))
    desk.load("SPY")
    desk.produce(*minutes("SPY", at("09:30", day), 210))
    desk.read(now_us=at("13:00", day))
    desk.advance(at("13:00", day) + HOUR_US)
    assert quality_of(desk.data("SPY"), "1m", desk.now_us) == 100.0
    assert quality_of(desk.data("SPY"), "1h", desk.now_us) == 100.0


def test_reads_say_what_they_are_as_of(open_desk: Desk) -> None:
    data = SessionData(open_desk.session.state)
    assert (data.epoch, data.sequence) == (1, open_desk.journal[-1].last_sequence)


def test_bars_are_the_records_themselves(open_desk: Desk) -> None:
    (first, *_) = SessionData(open_desk.session.state).get_bars("SPY")
    assert isinstance(first, SessionBar)
    assert from_us(first.end_us) - from_us(first.start_us) == timedelta(minutes=1)
