"""Bars that come before their end: nothing uses one before, the last version counts, and it is told once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.rules import bars as intake
from streams.engine.rules import exports
from streams.engine.rules.waiting_bars import MOST_WAITING
from streams.engine.state.completeness import gaps_of, quality_of
from streams.engine.state.symbol import SymbolStatus
from streams.engine.transaction import Transaction
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar, EventKind, Rejection
from streams.model.rows import ProgressRow
from streams.model.transactions import UNKNOWN_OFFSET
from streams.times import MINUTE_US, SECOND_US
from tests.support.engine import CODEC, Desk, at, bar, clock, config, encoded, events, rejections, shown
from tests.support.examples import examples

TEN = at("10:00")
TUESDAY = "2013-10-08"


def desk_of(*symbols: str, begin_us: int = TEN, restores: bool = False, **parts: Any) -> Desk:
    """A live session of symbols that have their bar of 09:59."""
    parts = {"future_tolerance_seconds": 5, **parts}
    desk = Desk(config(*symbols, **parts), begin_us, restores=restores)
    desk.load(*symbols)
    return desk


def waiting(desk: Desk, symbol: str = "SPY") -> list[tuple[str, float]]:
    """Start and volume of what waits, as the stored row has it."""
    row = desk.table[f"progress|{symbol}"]
    assert isinstance(row, ProgressRow)
    return [(clock(one.start_us), one.volume) for one in row.waiting]


def test_of_every_update_of_a_forming_candle_the_last_is_published_at_its_end_and_no_other() -> None:
    # An exchange sends a candle each time it changes: 251 at 9.5 s, 600 at last.
    desk = desk_of("SPY", streams=["10s"], derived_intervals=["20s"])
    for tenth, volume in ((60, 100.0), (80, 180.0), (95, 251.0), (98, 600.0)):
        assert shown(desk.feed(bar("SPY", TEN, "10s", volume=volume), now_us=TEN + tenth * SECOND_US // 10)) == []
    assert waiting(desk) == [("10:00", 600.0)]
    assert shown(desk.advance(TEN + 10 * SECOND_US - 1)) == [], "a microsecond too early"
    assert shown(desk.advance(TEN + 10 * SECOND_US)) == ["bar SPY 10s 10:00"]
    (published,) = desk.published("SPY")
    assert (published.bar.volume, published.bar.revision, published.bar.base_count) == (600.0, 0, 1)
    assert desk.data("SPY").counts.forming == 3, "100, 180 and 251 were replaced before the end"
    assert waiting(desk) == []
    desk.check_redriven()


def test_nothing_uses_a_bar_before_its_end() -> None:
    desk = desk_of("SPY", "IBM", derived_intervals=["2m"], interval_complete=["1m"], exports={"keep_days": 1})
    desk.flow(bar("SPY", at("09:59")), bar("IBM", at("09:59")))
    desk.command("begin_export", "SPY")
    desk.advance(at("10:00:55"))
    before, told = desk.data("SPY"), len(desk.outcomes)
    as_it_was = (
        before.frontier_us, before.last_update_us, before.checks, before.lag_us, before.session_volume, before.session_high,
        before.counts.accepted, before.latest_bar, len(before.bars), [window.count for window in before.windows],
        quality_of(before, "1m", at("10:00")), list(gaps_of(before, "1m", at("10:00"))), before.bars_updated, before.consecutive_errors,
    )  # fmt: skip
    desk.feed(bar("SPY", TEN, price=500.0, volume=1e6), now_us=at("10:00:56"))
    after = desk.data("SPY")
    assert as_it_was == (
        after.frontier_us, after.last_update_us, after.checks, after.lag_us, after.session_volume, after.session_high,
        after.counts.accepted, after.latest_bar, len(after.bars), [window.count for window in after.windows],
        quality_of(after, "1m", at("10:00")), list(gaps_of(after, "1m", at("10:00"))), after.bars_updated, after.consecutive_errors,
    )  # fmt: skip
    assert [one for _, bars in exports.new_bars(after) for one in bars if one.start_us == TEN] == []
    assert desk.outcomes[told:] == []
    assert desk.session.quiet_symbols(at("10:00:56")) == []


def test_bars_of_several_symbols_that_end_together_are_taken_in_by_symbol_and_earlier_ends_first() -> None:
    desk = desk_of("B", "A", streams=["1s"])
    for start in ("10:00:02", "10:00:00", "10:00:01"):
        desk.feed(bar("B", at(start), "1s"), bar("A", at(start), "1s"), now_us=at("09:59:59"))
    assert shown(desk.advance(at("10:00:03"))) == [
        "bar A 1s 10:00", "bar B 1s 10:00", "bar A 1s 10:00:01", "bar B 1s 10:00:01", "bar A 1s 10:00:02", "bar B 1s 10:00:02",
    ]  # fmt: skip
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_a_waiting_bar_completes_a_window_that_the_clock_closes_at_the_same_instant(restores: bool) -> None:
    # Without grace the window of 10:00 to 10:02 is closed by the clock at its very end, when its last bar is known too.
    desk = desk_of("SPY", derived_intervals=["2m"], grace_seconds=0, restores=restores)
    desk.flow(bar("SPY", TEN))
    desk.feed(bar("SPY", at("10:01")), now_us=at("10:01:58"))
    assert shown(desk.advance(at("10:02"))) == ["bar SPY 1m 10:01", "bar SPY 2m 10:00"]
    (derived,) = desk.published("SPY", "2m")
    assert (derived.bar.complete, derived.bar.revision) == (True, 0)


def test_a_waiting_bar_leaves_an_older_window_behind_before_it_is_told() -> None:
    desk = desk_of("SPY", derived_intervals=["2m"], future_tolerance_seconds=60)
    desk.flow(bar("SPY", TEN))
    desk.feed(bar("SPY", at("10:02")), now_us=at("10:02:01"))
    # One leap of the clock over 10:02:05, when the window of 10:00 is due, to 10:03.
    assert shown(desk.advance(at("10:03"))) == ["bar SPY 2m 10:00", "bar SPY 1m 10:02"]


def test_an_earlier_bar_that_comes_while_one_waits_is_taken_in_at_once_and_in_order() -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", at("10:01")), now_us=at("10:01:56"))
    assert shown(desk.feed(bar("SPY", TEN), now_us=at("10:01:57"))) == ["bar SPY 1m 10:00"]
    assert shown(desk.advance(at("10:02"))) == ["bar SPY 1m 10:01"]
    assert desk.data("SPY").counts.late == 0


def test_a_version_that_comes_after_the_end_is_a_correction() -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", TEN, volume=599.0), now_us=at("10:00:59"))
    assert shown(desk.feed(bar("SPY", TEN, volume=600.0), now_us=at("10:01:00"))) == ["bar SPY 1m 10:00", "bar SPY 1m 10:00 r1"]
    assert [one.bar.volume for one in desk.published("SPY")] == [599.0, 600.0]


def test_an_equal_version_after_the_end_is_a_duplicate() -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", TEN), now_us=at("10:00:59"))
    desk.feed(bar("SPY", TEN), now_us=at("10:01"))
    assert (desk.data("SPY").counts.duplicates, len(desk.published("SPY"))) == (1, 1)


@pytest.mark.parametrize(
    ("first", "second", "kept", "why"),
    [
        ("feed", "gap_fill", 1.0, "a bar of a source fills holes, and there is none"),
        ("gap_fill", "feed", 2.0, "the feed's own bar counts"),
        ("gap_fill", "gap_fill", 2.0, "the later of two"),
    ],
)
def test_a_bar_that_fills_gaps_replaces_no_bar_that_waits(first: str, second: str, kept: float, why: str) -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", TEN, volume=1.0, provenance=first), bar("SPY", TEN, volume=2.0, provenance=second), now_us=at("10:00:57"))
    desk.advance(at("10:01"))
    assert [one.bar.volume for one in desk.published("SPY")] == [kept], why


def test_a_bar_that_waits_through_a_shut_gate_is_held_back_like_any_other() -> None:
    desk = desk_of("SPY", "IBM")
    desk.feed(bar("IBM", at("09:40")), now_us=TEN)
    assert not desk.active
    desk.feed(bar("SPY", TEN), now_us=at("10:00:58"))
    assert shown(desk.advance(at("10:01"))) == []
    assert shown(desk.caught_up("IBM"))[-3:] == ["held_back IBM 1m 1", "held_back SPY 1m 1", "activated caught_up"]


def test_a_bar_whose_end_has_passed_by_more_than_the_threshold_while_nobody_ran_is_stale() -> None:
    desk = desk_of("SPY")
    desk.flow(bar("SPY", at("09:59")))
    desk.feed(bar("SPY", TEN), now_us=at("10:00:58"))
    assert shown(desk.restart(at("10:03"))) == ["deactivated recovering"]
    assert waiting(desk) == []
    assert shown(desk.caught_up("SPY")) == ["held_back SPY 1m 1", "activated caught_up"]
    desk.check_redriven()


def test_a_restart_within_the_wait_goes_on_exactly() -> None:
    desk, other = desk_of("SPY"), desk_of("SPY")
    for one in (desk, other):
        one.feed(bar("SPY", TEN, vwap=99.75, trades=7), now_us=at("10:00:58"))
    desk.restart(at("10:00:59"))
    other.apply(JournalInput(InputKind.RESUMED, reason="tester"), now_us=at("10:00:59"))
    assert encoded(desk.table) == encoded(other.table)
    assert desk.advance(at("10:01")) == other.advance(at("10:01"))
    assert [(one.bar.vwap, one.bar.trades) for one in desk.published("SPY")] == [(99.75, 7)]


def test_a_bar_of_the_next_day_rolls_its_symbol_at_its_end_and_not_before() -> None:
    desk = desk_of("SPY", begin_us=at("15:59"))
    desk.flow(bar("SPY", at("15:59")))
    early = at("09:30:56", TUESDAY)
    desk.advance(at("09:00", TUESDAY))
    desk.feed(bar("SPY", at("09:30", TUESDAY)), now_us=early)
    assert desk.data("SPY").bars.last() is None
    assert shown(desk.advance(at("09:31", TUESDAY))) == ["bar SPY 1m 09:30"]


def test_a_bar_that_waits_over_the_turn_of_a_day_is_of_its_own_day() -> None:
    # On 24/7 the day rolls by the clock a threshold after midnight, while the first bar of the new one waits for its end.
    desk = Desk(
        config("BTC", exchange="24/7", future_tolerance_seconds=60, catchup_threshold_seconds=10, grace_seconds=0), at("19:58")
    )  # fmt: skip
    desk.load("BTC")
    midnight = at("20:00")  # UTC's, on Monday
    desk.flow(bar("BTC", midnight - MINUTE_US))
    desk.feed(bar("BTC", midnight), now_us=midnight + 5 * SECOND_US)
    desk.advance(midnight + 30 * SECOND_US)
    assert [event.kind for event in events(desk.outcomes, EventKind.SYMBOL_ROLLED)] == [EventKind.SYMBOL_ROLLED]
    assert len(waiting(desk, "BTC")) == 1
    assert shown(desk.advance(midnight + MINUTE_US)) == ["bar BTC 1m 20:00"]
    assert desk.data("BTC").day.open_us == midnight


def test_a_symbol_that_drains_waits_for_its_bars() -> None:
    desk = desk_of("SPY", "IBM")
    desk.feed(bar("SPY", TEN), now_us=at("10:00:57"))
    desk.command("remove_symbol", "SPY", plan=(1, at("10:02")))
    assert desk.data("SPY").status is SymbolStatus.REMOVING, "all of its topic is read, and one bar has not ended"
    assert shown(desk.advance(at("10:01"))) == ["bar SPY 1m 10:00", "symbol_removed SPY"]
    desk.check_redriven()


@pytest.mark.parametrize("how", ["at once", "by the deadline"])
def test_a_symbol_that_is_removed_takes_its_waiting_bars_with_it(how: str) -> None:
    desk = desk_of("SPY", "IBM")
    desk.feed(bar("SPY", TEN), now_us=at("10:00:56"))
    if how == "at once":
        desk.command("remove_symbol", "SPY", immediate=True)
    else:
        desk.command("remove_symbol", "SPY", plan=(1, at("10:00:58")))
        desk.advance(at("10:00:58"))
    (removed,) = events(desk.outcomes, EventKind.SYMBOL_REMOVED)
    assert removed.attributes["waiting"] == "1"
    assert (removed.reason == "deadline: bars still waited for their end") == (how == "by the deadline")
    assert shown(desk.advance(at("10:02"))) == []
    assert "progress|SPY" not in desk.table
    desk.check_redriven()


def test_a_symbol_that_fails_lets_go_of_its_waiting_bars() -> None:
    desk = desk_of("SPY", "IBM")
    desk.feed(bar("SPY", TEN), now_us=at("10:00:56"))
    desk.apply(desk.about(InputKind.LOAD_FAILED, "SPY", reason="its topic was deleted"))
    assert waiting(desk) == []
    assert shown(desk.advance(at("10:02"))) == []
    desk.check_redriven()


def test_a_symbol_whose_topic_is_made_anew_keeps_what_waits() -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", TEN), now_us=at("10:00:56"))
    desk.apply(desk.about(InputKind.SOURCE_LOST, "SPY", topic_id="SPY-2", first_offset=0, reason="it was re-created"))
    assert shown(desk.advance(at("10:01"))) == ["bar SPY 1m 10:00"]


def test_a_bar_of_another_day_or_outside_hours_is_judged_at_its_end() -> None:
    desk = desk_of("SPY", begin_us=at("16:00"))
    desk.feed(bar("SPY", at("16:00")), now_us=at("16:00:56"))
    assert desk.data("SPY").counts.out_of_hours == 0
    desk.advance(at("16:01"))
    assert (desk.data("SPY").counts.out_of_hours, waiting(desk)) == (1, [])


def test_more_bars_than_a_clock_can_be_ahead_are_dead_letters() -> None:
    desk = desk_of("SPY", streams=["1s"], future_tolerance_seconds=3600)
    desk.feed(*[bar("SPY", TEN + number * SECOND_US, "1s") for number in range(MOST_WAITING + 1)], now_us=TEN)
    ((_, told),) = [(one.code, one.message) for one in rejections(desk.outcomes)]
    assert told == "1,000 bars of SPY wait for their end already: future_tolerance_seconds is too long"
    assert len(waiting(desk)) == MOST_WAITING


def test_under_the_first_rules_a_bar_is_taken_in_at_once() -> None:
    desk = desk_of("SPY")
    desk.produce(bar("SPY", TEN))
    transaction = Transaction(desk.session, owner="tester", now_us=at("10:00:57"), rules=1)
    found = desk.range_of("SPY")
    assert found is not None
    transaction.read([found])
    assert shown(transaction.finish().outcomes) == ["bar SPY 1m 10:00"]


# A bug that a bar meets at its end


def test_a_bug_that_a_waiting_bar_meets_costs_that_bar_and_is_passed_over_by_a_re_drive_of_sound_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = desk_of("SPY", "IBM")
    desk.feed(bar("SPY", TEN, volume=13.0), bar("IBM", TEN), now_us=at("10:00:58"))
    real = intake.take_waiting

    def take_waiting(state: Any, data: Any) -> None:
        unlucky = data.waiting[0].volume == 13.0
        real(state, data)
        if unlucky:
            raise ZeroDivisionError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr(intake, "take_waiting", take_waiting)
        assert shown(desk.advance(at("10:01"))) == ["bar IBM 1m 10:00"]
    (letter,) = desk.results[-1].dead_letters
    assert (letter.symbol, letter.offset, letter.code, letter.message) == (
        "SPY", UNKNOWN_OFFSET, Rejection.ENGINE_ERROR, "ZeroDivisionError: a bug",
    )  # fmt: skip
    assert letter.bar == bar("SPY", TEN, volume=13.0)
    assert (desk.data("SPY").counts.engine_errors, desk.data("SPY").consecutive_errors, waiting(desk)) == (1, 1, [])
    assert CODEC.journal_from(CODEC.journal_to(desk.journal[-1])) == desk.journal[-1]
    assert shown(desk.flow(bar("SPY", at("10:01")))) == ["bar SPY 1m 10:01"], "the session goes on"
    desk.check_redriven()


# Properties

VERSIONS = st.lists(
    st.tuples(st.sampled_from(["AA", "BB"]), st.integers(0, 5), st.integers(1, 9), st.integers(-40, 5)), min_size=1, max_size=25
)
"""Symbol, minute, volume, and how many tenths of a second before (or after) the bar's end the version comes."""


def times_of(versions: list[tuple[str, int, int, int]]) -> list[tuple[int, Bar]]:
    """When each version comes, in order."""
    found = [
        (TEN + (minute + 1) * MINUTE_US + tenths * SECOND_US // 10, bar(symbol, TEN + minute * MINUTE_US, volume=float(volume)))
        for symbol, minute, volume, tenths in versions
    ]
    return sorted(found, key=lambda one: one[0])


def play(desk: Desk, versions: list[tuple[str, int, int, int]], restarts: set[int], *, wakes: bool = True) -> Desk:
    """Give the desk each version at its time; as a worker it wakes up at the ends of minutes, unless it is to leap over them."""
    for number, (now_us, version) in enumerate([*times_of(versions), (TEN + 10 * MINUTE_US, None)]):
        if number in restarts:
            desk.restart(resumes=False)
        for end_us in range(TEN, now_us, MINUTE_US) if wakes else ():
            if desk.now_us < end_us:
                desk.advance(end_us)
        if version is None:
            desk.advance(now_us)
        else:
            desk.feed(version, now_us=now_us)
    return desk


def pair() -> Desk:
    return desk_of("AA", "BB", derived_intervals=["2m"])


@settings(max_examples=examples(60), deadline=None)
@given(VERSIONS, st.sets(st.integers(0, 25)))
def test_a_restart_at_any_point_changes_nothing(versions: list[tuple[str, int, int, int]], restarts: set[int]) -> None:
    one, other = play(pair(), versions, set()), play(pair(), versions, restarts)
    assert one.outcomes == other.outcomes
    assert encoded(one.table) == encoded(other.table)
    other.check_redriven()


@settings(max_examples=examples(60), deadline=None)
@given(VERSIONS)
def test_of_each_bar_the_last_version_before_its_end_is_revision_0_and_what_comes_after_are_corrections(
    versions: list[tuple[str, int, int, int]],
) -> None:
    desk = play(pair(), versions, set())
    times = times_of(versions)
    for key in {(version.symbol, version.start_us) for _, version in times}:
        of_bar = [(now_us, one.volume, one.end_us) for now_us, one in times if (one.symbol, one.start_us) == key]
        expected = [volume for now_us, volume, end_us in of_bar if now_us < end_us][-1:]
        for volume in [volume for now_us, volume, end_us in of_bar if now_us >= end_us]:
            if expected[-1:] != [volume]:
                expected.append(volume)
        found = [one.bar for one in desk.published(key[0], "1m") if one.bar.start_us == key[1]]
        assert [(one.volume, one.revision) for one in found] == list(zip(expected, range(len(expected)), strict=True))


@settings(max_examples=examples(40), deadline=None)
@given(VERSIONS)
def test_one_leap_of_the_clock_and_many_steps_keep_the_same_bars(versions: list[tuple[str, int, int, int]]) -> None:
    one, other = play(pair(), versions, set()), play(pair(), versions, set(), wakes=False)
    for symbol in ("AA", "BB"):
        assert one.bars(symbol) == other.bars(symbol)
        assert one.data(symbol).counts.forming == other.data(symbol).counts.forming


@settings(max_examples=examples(40), deadline=None)
@given(VERSIONS, st.data())
def test_any_split_of_what_comes_together_gives_the_same(versions: list[tuple[str, int, int, int]], data: st.DataObject) -> None:
    # All of a minute's versions that come before its end are read in one transaction, or cut anywhere.
    whole, cut = pair(), pair()
    for minute in range(6):
        early = [bar(symbol, TEN + minute * MINUTE_US, volume=float(volume)) for symbol, which, volume, _ in versions if which == minute]
        now_us = TEN + (minute + 1) * MINUTE_US - SECOND_US
        whole.feed(*early, now_us=now_us)
        cut.advance(now_us)
        at_most = data.draw(st.integers(1, 4))
        for first in range(0, len(early), at_most):
            cut.feed(*early[first : first + at_most])
        for desk in (whole, cut):
            desk.advance(now_us + SECOND_US)
    assert [(one.symbol, one.bar) for one in whole.published()] == [(one.symbol, one.bar) for one in cut.published()]


def test_rows_of_a_waiting_bar_survive_the_wire() -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", TEN, vwap=1.5, trades=3, provenance="vendor"), now_us=at("10:00:58"))
    row = desk.table["progress|SPY"]
    assert CODEC.row_from(CODEC.row_to(row)) == row
