"""The gate: which bars close it, what opens it again, and where the held-back bars are meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import EngineError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import AnalysisKind, EventKind
from streams.times import MINUTE_US, SECOND_US, parse_instant
from tests.support.engine import Desk, at, bar, config, events, markers, minutes, shown

TEN = at("10:00")


def desk_at_ten(*symbols: str, **parts: Any) -> Desk:
    desk = Desk(config(*symbols, **parts), TEN)
    desk.load(*symbols)
    return desk


def late_bar(desk: Desk, symbol: str, lag_seconds: int) -> list[str]:
    """Feed the symbol's next one-minute bar so that it is `lag_seconds` old by its end."""
    frontier_us = desk.data(symbol).frontier_us
    start_us = frontier_us if frontier_us > 0 else TEN
    return shown(desk.feed(bar(symbol, start_us), now_us=start_us + MINUTE_US + lag_seconds * SECOND_US))


@pytest.mark.parametrize(
    ("lag_seconds", "threshold", "goes_out", "why"),
    [
        (0, 60, True, "fresh"),
        (60, 60, True, "exactly the threshold is not above it"),
        (61, 60, False, "above it"),
        (61, 300, True, "a threshold of the symbol's own"),
        (2, 1, False, "the smallest threshold there is"),
    ],
)
def test_a_bar_is_stale_when_its_lag_is_above_the_symbols_threshold(lag_seconds: int, threshold: int, goes_out: bool, why: str) -> None:
    desk = desk_at_ten("SPY", "IBM", per_symbol={"IBM": {"catchup_threshold_seconds": threshold}}, grace_seconds=0)
    late_bar(desk, "IBM", lag_seconds)
    assert desk.active is goes_out, why
    assert len(desk.published("IBM")) == goes_out, why


@pytest.mark.parametrize("check", ["adaptive", "interval", "every_bar"])
def test_a_stale_bar_checks_at_once_whatever_the_cadence(check: str) -> None:
    desk = desk_at_ten("SPY", check=check, catchup_check_interval=100)
    desk.flow(*minutes("SPY", TEN, 3))
    assert late_bar(desk, "SPY", 100) == ["deactivated lagging"]


@pytest.mark.parametrize(
    ("check", "own", "bars_until_open", "why"),
    [
        ("every_bar", None, 1, "the first fresh bar checks"),
        ("adaptive", None, 1, "every bar while shut"),
        ("interval", None, 2, "the stale bar was counter 3, the next multiple of 5 is the second after it"),
        ("interval", 2, 1, "counter 4 is a multiple of the symbol's own 2"),
        ("interval", 1, 1, "an interval of one checks each"),
    ],
)
def test_a_lagging_symbol_leaves_on_the_next_fresh_bar_that_checks(check: str, own: int | None, bars_until_open: int, why: str) -> None:
    own_values = {} if own is None else {"SPY": {"catchup_check_interval": own}}
    desk = desk_at_ten("SPY", check=check, catchup_check_interval=5, per_symbol=own_values)
    desk.flow(*minutes("SPY", TEN, 3))
    late_bar(desk, "SPY", 61)
    assert desk.data("SPY").checks == 4
    fresh = (bar("SPY", at("10:06") + index * MINUTE_US) for index in range(8))
    opened_after = next(count for count, one in enumerate(fresh, start=1) if "activated fresh" in shown(desk.flow(one)))
    assert opened_after == bars_until_open, why


def test_each_symbol_counts_its_own_bars() -> None:
    desk = desk_at_ten("SPY", "IBM", check="interval", catchup_check_interval=10)
    desk.flow(*minutes("SPY", TEN, 7))
    desk.flow(*minutes("IBM", TEN + 7 * MINUTE_US, 2))
    assert (desk.data("SPY").checks, desk.data("IBM").checks) == (7, 2)


def test_the_gate_opens_only_when_the_last_lagging_symbol_has_left() -> None:
    desk = desk_at_ten("SPY", "IBM", "AIG")
    for symbol in ("IBM", "AIG"):
        late_bar(desk, symbol, 90)
    assert [one.symbol for one in events(desk.outcomes, EventKind.SYMBOL_LAGGING)] == ["IBM", "AIG"]
    assert shown(desk.flow(bar("IBM", at("10:03")), bar("SPY", at("10:04")))) == []
    assert shown(desk.flow(bar("AIG", at("10:05"))))[-2:] == ["activated fresh", "bar AIG 1m 10:05"]
    gate = markers(desk.outcomes, AnalysisKind.DEACTIVATED)[0].gate
    assert gate is not None
    assert [(one.symbol, one.lag_seconds) for one in gate.lagging] == [("IBM", 90.0)]


def test_a_symbol_without_bars_lags_without_a_number_and_with_a_reason() -> None:
    desk = Desk(config("SPY"), TEN)
    desk.load("SPY", backlog=2)
    (lagging,) = events(desk.outcomes, EventKind.SYMBOL_LAGGING)
    assert (lagging.symbol, lagging.attributes, lagging.reason) == ("SPY", {}, "no bar yet: it reads its backlog")
    # Nothing was in the range that was captured but bars of other days: it is caught up, and still has no lag.
    desk.caught_up("SPY")
    (caught_up,) = events(desk.outcomes, EventKind.SYMBOL_CAUGHT_UP)
    assert (caught_up.attributes, caught_up.reason) == ({}, "caught_up")


def test_a_symbol_with_bars_lags_by_the_lag_of_its_last_check() -> None:
    desk = desk_at_ten("SPY")
    late_bar(desk, "SPY", 90)
    (lagging,) = events(desk.outcomes, EventKind.SYMBOL_LAGGING)
    assert (lagging.attributes, lagging.reason) == ({"lag_seconds": "90.000"}, None)


def test_after_a_downtime_a_symbol_without_bars_is_recovering_with_a_lag_of_zero_on_analysis() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.flow(bar("SPY", TEN))
    desk.restart(at("10:05"))
    gate = markers(desk.outcomes, AnalysisKind.DEACTIVATED)[-1].gate
    assert gate is not None
    # SPY's bar ended at 10:01, four minutes before.
    assert [(one.symbol, one.lag_seconds) for one in gate.lagging] == [("IBM", 0.0), ("SPY", 240.0)]
    told = events(desk.outcomes, EventKind.SYMBOL_LAGGING)[-2:]
    assert [(one.symbol, one.attributes, one.reason) for one in told] == [
        ("IBM", {}, "no bar yet: it reads its backlog"),
        ("SPY", {"lag_seconds": "240.000"}, None),
    ]


def test_a_symbol_that_does_not_gate_has_its_stale_bars_held_back_and_shuts_nothing() -> None:
    desk = desk_at_ten("SPY", "SLOW", per_symbol={"SLOW": {"gates": False}})
    assert late_bar(desk, "SLOW", 120) == []
    assert desk.active
    assert desk.data("SLOW").runs.count() == 1
    assert shown(desk.flow(bar("SLOW", at("10:05")))) == ["bar SLOW 1m 10:05"]
    assert shown(desk.command("remove_symbol", "SLOW", immediate=True)) == ["held_back SLOW 1m 1", "symbol_removed SLOW"]


def test_late_and_corrected_bars_are_not_measured() -> None:
    desk = desk_at_ten("SPY")
    desk.flow(bar("SPY", TEN), bar("SPY", at("10:02")))
    checks = desk.data("SPY").checks
    # Both are more than 60 s old by now, and neither says that the symbol lags.
    desk.feed(bar("SPY", at("10:01")), now_us=at("10:03:30"))
    desk.feed(bar("SPY", TEN, price=99.0), now_us=at("10:03:30"))
    desk.feed(bar("SPY", TEN, price=99.0), now_us=at("10:03:30"))
    assert desk.active
    assert desk.data("SPY").checks == checks
    assert (desk.data("SPY").counts.late, desk.data("SPY").counts.corrected, desk.data("SPY").counts.duplicates) == (1, 1, 1)


def test_initial_symbols_keep_the_gate_shut_until_the_last_is_settled() -> None:
    desk = Desk(config("SPY", "IBM", "BAD"), TEN)
    assert not desk.active
    assert shown(desk.load("SPY")) == ["symbol_added SPY"]
    assert shown(desk.flow(bar("SPY", TEN))) == []
    assert shown(desk.apply(desk.about(InputKind.LOAD_FAILED, "BAD", reason="no topic"))) == ["symbol_failed BAD"]
    assert shown(desk.load("IBM")) == ["symbol_added IBM", "held_back SPY 1m 1", "activated loaded"]


def test_an_initial_symbol_that_is_removed_is_not_waited_for() -> None:
    desk = Desk(config("SPY", "IBM"), TEN)
    desk.load("SPY")
    assert shown(desk.command("remove_symbol", "IBM")) == ["symbol_removed IBM", "activated removed"]


def test_a_session_without_symbols_is_open_from_the_beginning() -> None:
    desk = Desk(config(), TEN)
    assert shown(desk.outcomes) == ["activated loaded"]


def test_an_initial_backlog_is_read_before_the_gate_opens_for_the_first_time() -> None:
    desk = Desk(config("SPY"), TEN)
    assert shown(desk.load("SPY", backlog=3)) == ["symbol_added SPY"]
    assert shown(desk.feed(*minutes("SPY", at("09:30"), 3))) == []
    assert shown(desk.caught_up("SPY")) == ["held_back SPY 1m 3", "activated caught_up"]


def test_a_symbol_that_is_added_later_and_pending_shuts_nothing() -> None:
    desk = desk_at_ten("SPY")
    desk.command("add_symbol", "IBM")
    assert shown(desk.flow(bar("SPY", TEN))) == ["bar SPY 1m 10:00"]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ("failed", ["held_back IBM 1m 1", "symbol_failed IBM", "activated failed"]),
        ("removed", ["held_back IBM 1m 1", "symbol_removed IBM", "activated removed"]),
    ],
)
def test_a_lagging_symbol_that_fails_or_goes_leaves_the_set(ends: str, told: list[str]) -> None:
    desk = desk_at_ten("SPY", "IBM")
    late_bar(desk, "IBM", 100)
    if ends == "failed":
        outcomes = desk.apply(desk.about(InputKind.LOAD_FAILED, "IBM", reason="its topic is gone"))
    else:
        outcomes = desk.command("remove_symbol", "IBM", immediate=True)
    assert shown(outcomes) == told


def test_held_back_bars_are_told_once_for_each_symbol_and_interval_before_activation() -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["5m"])
    late_bar(desk, "IBM", 100)
    desk.flow(*minutes("SPY", at("10:05"), 10))
    desk.flow(bar("IBM", at("10:16")))
    told = shown(desk.outcomes)
    opened = len(told) - 1 - told[::-1].index("activated fresh")
    # IBM's 10:00 window has two of its bars; its 5m bar for 10:00 was closed, incomplete, when 10:16 moved the frontier, after the gate.
    assert told[opened - 3 : opened] == ["held_back IBM 1m 1", "held_back SPY 1m 10", "held_back SPY 5m 2"]


def test_a_held_back_run_reaches_from_its_first_to_its_last_bar_whatever_their_order() -> None:
    desk = desk_at_ten("SPY", "IBM")
    late_bar(desk, "IBM", 100)
    desk.flow(bar("SPY", at("10:05")), bar("SPY", at("10:06")))
    desk.feed(bar("SPY", at("10:03")))
    desk.flow(bar("IBM", at("10:08")))
    extent = markers(desk.outcomes, AnalysisKind.HELD_BACK)[-1].extent
    assert extent is not None
    assert (extent.first_start_us, extent.last_end_us, extent.count) == (at("10:03"), at("10:07"), 3)


@pytest.mark.parametrize(
    ("away_seconds", "told", "why"),
    [
        (60, [], "no longer than the threshold"),
        (61, ["deactivated recovering"], "each loaded symbol may have missed a minute"),
    ],
)
def test_after_a_downtime_the_first_record_says_that_the_session_is_recovering(away_seconds: int, told: list[str], why: str) -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["15m"])
    desk.flow(*minutes("SPY", TEN, 14))
    assert shown(desk.restart(desk.now_us + away_seconds * SECOND_US)) == told, why
    desk.check_redriven()


def test_a_recovering_session_opens_when_the_last_backlog_is_read() -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["15m"])
    desk.flow(*minutes("SPY", TEN, 14))
    desk.produce(*minutes("SPY", at("10:14"), 6), *minutes("IBM", at("10:14"), 3))
    desk.restart(at("10:21"))
    assert [one.symbol for one in events(desk.outcomes, EventKind.SYMBOL_LAGGING)][-2:] == ["IBM", "SPY"]
    assert shown(desk.read("SPY")) == [], "the 10:19 bar is fresh and takes SPY out, IBM is still waited for"
    assert shown(desk.read("IBM")) == []
    opened = shown(desk.caught_up("SPY", "IBM"))
    # IBM's 10:14 bar is alone in its window, which its 10:16 bar leaves behind.
    assert opened == ["held_back IBM 1m 3", "held_back IBM 15m 1", "held_back SPY 1m 6", "held_back SPY 15m 1", "activated caught_up"]
    assert [one.base_count for one in desk.bars("SPY", "15m")] == [15], "no window was closed while bars of it were unread"
    desk.check_redriven()


def test_the_day_does_not_roll_by_the_clock_before_the_backlog_of_the_day_is_read() -> None:
    desk = desk_at_ten("SPY", historical={"trailing_days": 1})
    desk.flow(bar("SPY", TEN))
    desk.produce(*minutes("SPY", at("10:01"), 5))
    desk.restart(at("08:00", "2013-10-08"))
    desk.read()
    assert len(desk.bars("SPY")) == 6
    desk.caught_up("SPY")
    desk.advance(at("08:00:01", "2013-10-08"))
    assert markers(desk.outcomes, AnalysisKind.SESSION_ROLLED)
    assert desk.bars("SPY") == []


def test_a_rewind_makes_a_backlog_that_has_to_be_caught_up_again() -> None:
    desk = desk_at_ten("SPY")
    desk.apply(JournalInput(InputKind.REWOUND))
    assert desk.data("SPY").backlog
    desk.caught_up("SPY")
    assert not desk.data("SPY").backlog


def test_resuming_must_come_before_anything_else_in_its_transaction() -> None:
    desk = desk_at_ten("SPY")
    transaction = desk.begin()
    transaction.apply(desk.about(InputKind.CAUGHT_UP, "SPY"))
    with pytest.raises(EngineError, match="must begin with"):
        transaction.apply(JournalInput(InputKind.RESUMED, reason="other"))


@pytest.mark.parametrize(
    ("now", "quiet", "why"),
    [
        ("10:05:59", [], "not yet five minutes since the bar"),
        ("10:06", ["SPY"], "five minutes without a bar, in trading hours"),
        ("15:59", ["SPY"], "still in hours"),
        ("16:00", [], "the exchange has closed: nobody expects a bar"),
        ("20:00", [], "nothing is silent in the evening"),
    ],
)
def test_silence_is_five_minutes_without_a_bar_in_trading_hours(now: str, quiet: list[str], why: str) -> None:
    desk = desk_at_ten("SPY")
    desk.flow(bar("SPY", TEN))
    assert desk.session.quiet_symbols(at(now)) == quiet, why


def test_silence_counts_from_the_open_on_a_morning_without_a_bar() -> None:
    desk = Desk(config("SPY"), at("08:00"))
    desk.load("SPY")
    assert desk.session.quiet_symbols(at("09:34:59")) == []
    assert desk.session.quiet_symbols(at("09:35")) == ["SPY"]


def test_silence_counts_from_the_end_of_a_lunch_break() -> None:
    # Hong Kong trades 09:30 to 12:00 and 13:00 to 16:00, eight hours before UTC.
    desk = Desk(config("0005", exchange="XHKG"), parse_instant("2013-10-08T01:00:00Z"))
    desk.load("0005")
    desk.flow(bar("0005", parse_instant("2013-10-08T03:59:00Z")))
    assert desk.session.quiet_symbols(parse_instant("2013-10-08T04:30:00Z")) == [], "during the break"
    assert desk.session.quiet_symbols(parse_instant("2013-10-08T05:04:59Z")) == []
    assert desk.session.quiet_symbols(parse_instant("2013-10-08T05:05:00Z")) == ["0005"]


def test_a_symbol_that_lags_falls_silent_out_of_hours_too() -> None:
    desk = desk_at_ten("SPY", check="interval", catchup_check_interval=100)
    desk.flow(*minutes("SPY", at("15:57"), 2))
    desk.feed(bar("SPY", at("15:59")), now_us=at("16:02"))
    assert not desk.active
    assert desk.session.quiet_symbols(at("16:07")) == ["SPY"], "no bar comes before tomorrow, and nobody should wait for it"
    told = desk.apply(desk.about(InputKind.SILENT, "SPY"), now_us=at("16:07"))
    assert shown(told)[-1] == "activated silent"
    assert events(told, EventKind.SYMBOL_SILENT) == [], "outside hours that is not called silence"


@pytest.mark.parametrize("restarts", [False, True])
def test_a_silent_symbol_that_lags_is_let_go_when_trading_ends(restarts: bool) -> None:
    desk = desk_at_ten("SPY", "IBM", silence_lags=True)
    desk.flow(bar("SPY", at("15:50")), bar("IBM", at("15:51")))
    desk.apply(desk.about(InputKind.SILENT, "SPY"), now_us=at("15:58"))
    assert not desk.active
    if restarts:
        desk.restart(resumes=False)
    assert shown(desk.advance(at("15:59:59"))) == []
    assert shown(desk.advance(at("16:00"))) == ["activated closed"]


def test_what_was_found_out_before_a_bar_came_is_dropped() -> None:
    desk = desk_at_ten("SPY", sparse_intervals=["1m"])
    desk.flow(bar("SPY", TEN))
    transaction = desk.begin(at("10:07"))
    desk.produce(bar("SPY", at("10:06")))
    read = desk.range_of("SPY")
    assert read is not None
    transaction.read([read])
    assert not transaction.apply(desk.about(InputKind.SILENT, "SPY")), "the shell looked before the bar came"
    assert [one.kind for one in events(desk.end(transaction))] == []
    assert [one.kind for one in desk.journal[-1].inputs] == [InputKind.RANGE]


def test_time_that_goes_back_counts_as_standing_still() -> None:
    desk = desk_at_ten("SPY")
    desk.flow(bar("SPY", TEN))
    desk.feed(bar("SPY", at("10:01")), now_us=at("10:00:30"))
    assert desk.journal[-1].now_us == at("10:01"), "the journal has the time that the engine went by"
    desk.check_redriven()
