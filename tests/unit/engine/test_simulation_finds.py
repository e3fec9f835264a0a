"""The simulation can fail: engines that are wrong in one way each are found, and by the promise that they break."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from streams.engine import effects, restore, session
from streams.engine.rules import (
    derived_bars,
    gap_filling,
    gate,
    interval_complete,
    lifecycle,
    past_days,
    publish,
    quality_events,
    quotes,
    rollover,
    source_position,
    waiting_bars,
)
from streams.engine.state.export_marks import Exports
from streams.engine.state.grid import Window
from streams.engine.state.held_back import Runs
from streams.engine.state.holes import Holes
from streams.engine.state.quotes import ExtraStream
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import PublishedBar, Quote, Tick
from streams.model.rows import AttemptRow
from streams.times import SECOND_US
from tests.support.simulation.run import SimulationFailure, shrunk, simulate

SEEDS = range(15)
STEPS = 300
SOONEST = {"a_symbol_that_drains_does_not_wait": 12}
"""The seed that finds what most seeds do not, as the simulation is today: it is tried before the others."""

Patch = Callable[[pytest.MonkeyPatch], None]


def stale_bars_get_through(patch: pytest.MonkeyPatch) -> None:
    real = publish.hold

    def hold(state: SessionState, data: SymbolSessionData, interval: str, bar: Any, cause: str, days: int | None = None) -> None:
        if cause != publish.STALE or interval != data.base_interval:
            real(state, data, interval, bar, cause, days)
            return
        state.sequence += 1
        data.counts.accepted += 1
        data.counts.published += 1
        until_us = bar.end_us + data.threshold_us
        state.outcomes.append(PublishedBar(state.sequence, data.symbol, interval, data.incarnation, data.day.days, bar, until_us))

    patch.setattr(publish, "hold", hold)


def derived_bars_are_published_twice(patch: pytest.MonkeyPatch) -> None:
    real = derived_bars.close_window

    def close_window(state: SessionState, data: SymbolSessionData, window: Window, start_us: int) -> None:
        real(state, data, window, start_us)
        last = state.outcomes[-1] if state.outcomes else None
        if isinstance(last, PublishedBar):
            state.sequence += 1
            state.outcomes.append(replace(last, sequence=state.sequence))

    patch.setattr(derived_bars, "close_window", close_window)


def a_sequence_is_skipped_at_an_addition(patch: pytest.MonkeyPatch) -> None:
    real = lifecycle.symbol_loaded

    def symbol_loaded(state: SessionState, data: SymbolSessionData, position: Any) -> None:
        state.sequence += 1
        real(state, data, position)

    patch.setattr(lifecycle, "symbol_loaded", symbol_loaded)


def runs_are_lost_on_restore(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Runs, "restore", lambda runs, rows: None)


def stale_bars_leave_the_gate_open(patch: pytest.MonkeyPatch) -> None:
    def check_stale(state: SessionState, data: SymbolSessionData, lag_us: int) -> None:
        data.behind, data.last_stale_us, data.lag_us = True, state.now_us, lag_us

    patch.setattr(gate, "check_stale", check_stale)


def derived_volumes_miss_a_bar(patch: pytest.MonkeyPatch) -> None:
    real = Window.bar

    def bar(window: Window, revision: int = 0) -> Any:
        made = real(window, revision)
        return replace(made, volume=made.volume - 0.25) if made.base_count > 2 and made.volume > 1 else made

    patch.setattr(Window, "bar", bar)


def a_row_of_a_removed_symbol_is_left(patch: pytest.MonkeyPatch) -> None:
    real = SymbolSessionData.all_keys
    patch.setattr(SymbolSessionData, "all_keys", lambda data: [key for key in real(data) if not key.startswith("bars|")])


def corrections_do_not_change_the_volume(patch: pytest.MonkeyPatch) -> None:
    def settle_metrics(data: SymbolSessionData) -> None:
        data.metrics_stale = False

    patch.setattr(SymbolSessionData, "settle_metrics", settle_metrics)


def a_fresh_symbol_opens_the_gate_for_others(patch: pytest.MonkeyPatch) -> None:
    real = gate.open_if_clear

    def open_if_clear(state: SessionState, reason: str) -> None:
        lagging, state.lagging = state.lagging, set()
        real(state, reason)
        state.lagging = lagging

    patch.setattr(gate, "open_if_clear", open_if_clear)


def windows_close_before_their_grace(patch: pytest.MonkeyPatch) -> None:
    real = derived_bars.close_by_clock

    def close_by_clock(state: SessionState) -> None:
        grace_us, state.grace_us = state.grace_us, 0
        real(state)
        state.grace_us = grace_us

    patch.setattr(derived_bars, "close_by_clock", close_by_clock)


def waiting_windows_are_forgotten_on_restore(patch: pytest.MonkeyPatch) -> None:
    real = SymbolSessionData.progress_row
    patch.setattr(SymbolSessionData, "progress_row", lambda data: replace(real(data), windows=()))


def a_dropped_interval_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = SymbolSessionData.new_series
    patch.setattr("streams.engine.rules.reconfigure._revived", lambda data, interval: real(data, interval))


def a_window_is_told_when_the_first_has_its_bar(patch: pytest.MonkeyPatch) -> None:
    real = interval_complete._is_over
    patch.setattr(interval_complete, "_is_over", lambda state, data, wait: any(real(state, one, wait) for one in wait.symbols))


def who_is_absent_is_not_said(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(interval_complete, "_has", lambda data, wait: True)


def told_windows_are_forgotten_on_restore(patch: pytest.MonkeyPatch) -> None:
    real = SessionState.session_row
    patch.setattr(SessionState, "session_row", lambda state: replace(real(state), completed=()))


def windows_are_told_while_what_was_missed_is_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(interval_complete, "_waits_for_backlog", lambda state, wait: False)


def late_bars_fill_no_hole(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holes, "filled", lambda holes, start_us: None)


def quality_is_told_with_each_transaction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quality_events, "_next_look_us", lambda data, since_us, period_us: since_us + 1)


def what_was_told_of_quality_is_forgotten_on_restore(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(restore, "_restore_quality", lambda state, data, row: None)


def answers_of_a_source_do_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gap_filling, "_tried_again", lambda data, asked, now_us: [AttemptRow(asked.start_us, asked.end_us, 1, now_us)])


def the_latest_quote_is_the_one_that_came_last(patch: pytest.MonkeyPatch) -> None:
    real = quotes._take

    def take(state: SessionState, extra: ExtraStream, record: Quote | Tick) -> None:
        counted = extra.count
        real(state, extra, record)
        if extra.count > counted:
            extra.latest = record

    patch.setattr(quotes, "_take", take)


def quotes_of_a_new_day_are_counted_with_the_old(patch: pytest.MonkeyPatch) -> None:
    real = ExtraStream.begin

    def begin(extra: ExtraStream, days: int) -> None:
        counted = extra.count
        real(extra, days)
        extra.count = counted

    patch.setattr(ExtraStream, "begin", begin)


def quotes_are_forgotten_on_restore(patch: pytest.MonkeyPatch) -> None:
    real = ExtraStream.row

    def row(extra: ExtraStream, symbol: str, incarnation: int) -> Any:
        return replace(real(extra, symbol, incarnation), quote=None, tick=None)

    patch.setattr(ExtraStream, "row", row)


def what_changes_after_an_export_is_not_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exports, "note", lambda exports, days, interval, bar: None)


def an_export_that_is_under_way_grows(patch: pytest.MonkeyPatch) -> None:
    real = Exports.begin

    def begin(exports: Exports, series: Any) -> None:
        real(exports, series)
        for mark in exports.pending.values():
            mark.exported_to_us += 600 * SECOND_US

    patch.setattr(Exports, "begin", begin)


def days_that_are_over_are_not_kept(patch: pytest.MonkeyPatch) -> None:
    real = rollover.trim_history

    def trim_history(state: SessionState, data: SymbolSessionData) -> None:
        data.historical.pop(min(data.historical, default=0), None)
        real(state, data)

    patch.setattr(rollover, "trim_history", trim_history)


def derived_bars_of_past_days_are_not_made(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(past_days, "windows_of", lambda grid, bars: [])


def indicators_stay_as_they_were_when_a_day_is_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("streams.engine.rules.rollover.indicators.outdate", lambda state, data: None)


def a_confirmed_hole_is_asked_for_again(patch: pytest.MonkeyPatch) -> None:
    real = gap_filling.gap_asked

    def gap_asked(state: SessionState, symbol: str, start_us: int, end_us: int, count: int, reason: str | None) -> None:
        real(state, symbol, start_us, end_us, count, reason)
        data = state.of(symbol)
        data.set_gaps(data.attempts, ())

    patch.setattr(gap_filling, "gap_asked", gap_asked)


def a_bar_is_used_before_its_end(patch: pytest.MonkeyPatch) -> None:
    real = waiting_bars.due

    def due(state: SessionState, now_us: int) -> Any:
        return real(state, now_us + SECOND_US)

    patch.setattr(waiting_bars, "due", due)


def the_first_version_of_a_bar_counts(patch: pytest.MonkeyPatch) -> None:
    real = waiting_bars.keep

    def keep(state: SessionState, data: SymbolSessionData, bar: Any) -> Any:
        known = [one for one in data.waiting if one.start_us == bar.start_us]
        return real(state, data, known[0] if known else bar)

    patch.setattr(waiting_bars, "keep", keep)


def bars_that_wait_are_forgotten_on_restore(patch: pytest.MonkeyPatch) -> None:
    real = restore._restore_progress

    def restore_progress(data: SymbolSessionData, row: Any) -> None:
        real(data, replace(row, waiting=()))

    patch.setattr(restore, "_restore_progress", restore_progress)


def a_symbol_that_drains_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    real = lifecycle.remove_if_drained

    def remove_if_drained(state: SessionState, data: SymbolSessionData) -> None:
        if data.removal_end_offset is not None and data.offset >= data.removal_end_offset:
            data.waiting = []
        real(state, data)

    patch.setattr(lifecycle, "remove_if_drained", remove_if_drained)


def time_leaps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(effects, "pass_time", lambda state, now_us, emitted_us: effects.leap(state, now_us))


def the_clock_stops_for_no_silence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gate, "quiet_us", lambda state, until_us: NEVER_DUE_US)


def the_clock_stops_for_no_window(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(derived_bars, "closes_us", lambda state, until_us: NEVER_DUE_US)


def windows_that_nobody_waits_for_are_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(interval_complete, "_passed_us", lambda state: state.now_us - 2 * state.config.smallest_threshold_us)


def what_a_leap_makes_is_taken_for_fresh(patch: pytest.MonkeyPatch) -> None:
    real = derived_bars.close_by_clock

    def close_by_clock(state: SessionState) -> None:
        ahead_us, state.ahead_us = state.ahead_us, 0
        real(state)
        state.ahead_us = ahead_us

    patch.setattr(derived_bars, "close_by_clock", close_by_clock)


def a_wrong_clock_is_forgotten_on_restore(patch: pytest.MonkeyPatch) -> None:
    real = session.restore_state

    def restore_state(rows: Any, like: Any = None) -> SessionState:
        state = real(rows, like)
        state.clock_reason, state.clock_behind_us = None, 0
        return state

    patch.setattr(session, "restore_state", restore_state)


def a_clock_that_is_right_again_opens_the_gate_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(source_position, "being_read", lambda state: [])


WRONG: list[tuple[Patch, tuple[str, ...]]] = [
    # What is wrong, and words of the promises by which it may be found.
    (stale_bars_get_through, ("older than its symbol's threshold",)),
    (derived_bars_are_published_twice, ("published once",)),
    (a_sequence_is_skipped_at_an_addition, ("is contiguous",)),
    (runs_are_lost_on_restore, ("exact runs", "restored", "analysis holds")),
    (stale_bars_leave_the_gate_open, ("the gate is open exactly",)),
    (derived_volumes_miss_a_bar, ("analysis holds", "derived bars are made of")),
    (a_row_of_a_removed_symbol_is_left, ("removes all of it",)),
    (corrections_do_not_change_the_volume, ("the session's volume",)),
    (a_fresh_symbol_opens_the_gate_for_others, ("the gate is open exactly", "analysis holds")),
    (windows_close_before_their_grace, ("analysis holds", "accounted for", "exact runs")),
    (waiting_windows_are_forgotten_on_restore, ("restored", "analysis holds", "exact runs", "accounted for", "told of quality")),
    (a_window_is_told_when_the_first_has_its_bar, ("analysis holds",)),
    (who_is_absent_is_not_said, ("analysis holds",)),
    (told_windows_are_forgotten_on_restore, ("analysis holds", "restored")),
    (windows_are_told_while_what_was_missed_is_read, ("analysis holds", "the clock stops")),
    (time_leaps, ("analysis holds", "the clock stops", "each change", "accounted for")),
    (the_clock_stops_for_no_silence, ("the clock stops",)),
    (the_clock_stops_for_no_window, ("the clock stops", "analysis holds", "each change", "accounted for", "exact runs")),
    (windows_that_nobody_waits_for_are_told, ("analysis holds",)),
    (what_a_leap_makes_is_taken_for_fresh, ("older than its symbol's threshold",)),
    (a_wrong_clock_is_forgotten_on_restore, ("says what the session is", "restored", "analysis holds", "the gate is open exactly")),
    (a_clock_that_is_right_again_opens_the_gate_at_once, ("the lagging set", "analysis holds", "each change", "told on events")),
    (late_bars_fill_no_hole, ("quality and gaps", "told of quality", "each change")),
    (quality_is_told_with_each_transaction, ("each change", "told of quality", "restored")),
    (what_was_told_of_quality_is_forgotten_on_restore, ("restored", "each change", "told of quality", "asked for")),
    (answers_of_a_source_do_not_count, ("asked for",)),
    (the_latest_quote_is_the_one_that_came_last, ("the latest quote",)),
    (quotes_of_a_new_day_are_counted_with_the_old, ("the latest quote",)),
    (quotes_are_forgotten_on_restore, ("the latest quote", "restored")),
    (what_changes_after_an_export_is_not_noted, ("export",)),
    (an_export_that_is_under_way_grows, ("export",)),
    (days_that_are_over_are_not_kept, ("exactly the bars",)),
    (derived_bars_of_past_days_are_not_made, ("exactly the bars", "derived bars are made of")),
    (indicators_stay_as_they_were_when_a_day_is_over, ("indicators",)),
    (a_confirmed_hole_is_asked_for_again, ("asked for", "quality")),
    (
        a_bar_is_used_before_its_end,
        ("the last version waits", "analysis holds", "the lagging set", "is a dead letter", "the session's row"),
    ),
    (the_first_version_of_a_bar_counts, ("the last version waits",)),
    (bars_that_wait_are_forgotten_on_restore, ("the last version waits", "restored", "analysis holds", "takes every input")),
    (a_symbol_that_drains_does_not_wait, ("the last version waits", "each change", "analysis holds", "removes all of it")),
    (a_dropped_interval_is_forgotten, ("analysis holds", "exact runs", "accounted for", "published once", "derived bars are made of")),
]


def found_in(seeds: Iterable[int], steps: int) -> SimulationFailure | None:
    for seed in seeds:
        try:
            simulate(seed, steps)
        except SimulationFailure as failure:
            return failure
    return None


@pytest.mark.parametrize(("wrong", "promises"), WRONG, ids=[wrong.__name__ for wrong, _ in WRONG])
def test_a_wrong_engine_is_found(wrong: Patch, promises: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong(monkeypatch)
    failure = found_in([SOONEST.get(wrong.__name__, SEEDS[0]), *SEEDS], STEPS)
    assert failure is not None, f"{len(SEEDS)} seeds of {STEPS} steps each did not find it"
    assert any(words in failure.violation.invariant for words in promises), str(failure)


def test_a_failure_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    corrections_do_not_change_the_volume(monkeypatch)
    failure = found_in(SEEDS, STEPS)
    assert failure is not None
    smaller = shrunk(failure)
    assert smaller.violation.invariant == failure.violation.invariant
    assert len(smaller.steps) < min(20, len(failure.steps))
    with pytest.raises(SimulationFailure) as again:
        simulate(smaller.seed, smaller.steps, symbols=smaller.symbols)
    assert str(again.value) == str(smaller), "what is printed repeats it exactly"
