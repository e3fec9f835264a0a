"""Publish a bar or hold it back: the one place where a bar gets onto analysis, and the one that counts it.

A bar is published while the gate is open and while it is fresh: `now <= valid_until = reference + threshold`. Otherwise
it is held back into its symbol's run. Either way it is accepted, so `accepted = published + held_back` always. What was
made late or replaced and could not be published for its age awaits a `revised` record, which `settle` writes.
"""

from __future__ import annotations

from streams.engine.rules.gate import flush_held_back
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import AnalysisKind, HeldBackBar, PublishedBar, SessionBar

INACTIVE = "inactive"
STALE = "stale"
INCOMPLETE = "incomplete"
RECONFIGURED = "reconfigured"


def offer_derived(state: SessionState, data: SymbolSessionData, interval: str, bar: SessionBar, *, rewrites: bool = False) -> None:
    """Publish or hold back a derived bar; its age counts from its end under either reference."""
    if bar.base_count < state.min_completeness * bar.expected_count:
        hold(state, data, interval, bar, INCOMPLETE)
    else:
        offer(state, data, interval, bar, bar.end_us + data.threshold_us, rewrites=rewrites)


def offer(
    state: SessionState, data: SymbolSessionData, interval: str, bar: SessionBar, valid_until_us: int, *, rewrites: bool = False
) -> None:
    """Publish a bar, or hold it back when it is not fresh; `rewrites` says that it came out of order or replaced one."""
    if state.active and state.now_us + state.ahead_us <= valid_until_us:
        state.sequence += 1
        counts = data.counts
        counts.accepted += 1
        counts.published += 1
        state.outcomes.append(PublishedBar(state.sequence, data.symbol, interval, data.incarnation, data.day.days, bar, valid_until_us))
        return
    hold(state, data, interval, bar, STALE if state.active else INACTIVE)
    if rewrites and state.active:
        _revise(state, data, interval, bar)


def offer_rolled(state: SessionState, data: SymbolSessionData, days: int, interval: str, bar: SessionBar) -> None:
    """Hold back a bar of a day that the symbol has left: consumers read that stretch again."""
    hold(state, data, interval, bar, STALE if state.active else INACTIVE, days)
    if state.active:
        _revise(state, data, interval, bar)


def hold(state: SessionState, data: SymbolSessionData, interval: str, bar: SessionBar, cause: str, days: int | None = None) -> None:
    """Count a bar that is in the state and not on analysis; `days` is its trading day, where that is not the symbol's."""
    data.counts.accepted += 1
    data.counts.held_back += 1
    data.runs.add(interval, cause, bar.start_us, bar.end_us)
    if state.tells_held_back:
        state.outcomes.append(held_back_bar(state, data, interval, bar, days))


def held_back_bar(state: SessionState, data: SymbolSessionData, interval: str, bar: SessionBar, days: int | None = None) -> HeldBackBar:
    """A bar for the ungated topic that is not on analysis at this place; for `days` see `hold`."""
    reference_us = bar.start_us if state.by_open and interval == data.base_interval else bar.end_us
    day = data.day.days if days is None else days
    return HeldBackBar(state.sequence, data.symbol, interval, data.incarnation, day, bar, reference_us + data.threshold_us)


def _revise(state: SessionState, data: SymbolSessionData, interval: str, bar: SessionBar) -> None:
    data.revised.add(interval, STALE, bar.start_us, bar.end_us)
    state.revised.add(data.symbol)


def settle(state: SessionState) -> None:
    """At the end of a transaction: tell consumers which stretches to read again, after accounting for their bars."""
    for symbol in sorted(state.revised):
        data = state.symbols.get(symbol)
        if data is not None:
            flush_held_back(state, data, data.revised.intervals())
            for interval, extent in data.revised.take():
                state.mark(AnalysisKind.REVISED, data, interval=interval, extent=extent)
            data.dirty = True
    state.revised.clear()
