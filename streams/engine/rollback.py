"""A copy of the state that shares nothing with it that a rule may change: the place to come back to when a verb raises.

What never changes is shared: records, rows, full blocks of bars, grids, days, the config. So a copy costs a few lists a
symbol, whatever the day's number of bars, and one of a single symbol costs nothing that grows with the session.
"""

from __future__ import annotations

from typing import Any

from streams.engine.state.export_marks import Exports, Mark
from streams.engine.state.grid import Window
from streams.engine.state.held_back import Run, Runs
from streams.engine.state.holes import Holes
from streams.engine.state.quotes import ExtraStream
from streams.engine.state.series import BarSeries
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.symbol import Counts, SymbolSessionData

_CHANGING = (SymbolSessionData, Counts, ExtraStream, Runs, Run, BarSeries, Holes, Window, Exports, Mark)
_CONTAINERS = (*_CHANGING, list, dict, set)


def fork_symbol(data: SymbolSessionData) -> SymbolSessionData:
    """A copy of one symbol."""
    copy: SymbolSessionData = _by_slots(data)
    return copy


def fork_state(state: SessionState, symbols: dict[str, SymbolSessionData]) -> SessionState:
    """A copy of the state around `symbols`, which stand in for its own and are taken as they are: to be read.

    Nobody's bars are awaited in it. Who goes on with it, with all symbols, has `punctuation.renew` find out whose are.
    """
    copy = SessionState.__new__(SessionState)
    for slot in SessionState.__slots__:
        setattr(copy, slot, symbols if slot == "symbols" else _copied(getattr(state, slot)))
    copy.waits, copy.next_complete_us = [], NEVER_DUE_US
    for data in symbols.values():
        data.awaited = False
    return copy


def _by_slots(thing: Any) -> Any:
    copy = thing.__class__.__new__(thing.__class__)
    for slot in thing.__slots__:
        # Some are set with the first day only.
        if hasattr(thing, slot):
            setattr(copy, slot, _copied(getattr(thing, slot)))
    return copy


def _copied(value: Any) -> Any:
    """A copy of what rules change in place, and the value itself where they only put another in its place."""
    kind = value.__class__
    if kind is list:
        return [_copied(one) for one in value] if value and isinstance(value[0], _CONTAINERS) else value.copy()
    if kind is dict:
        one = next(iter(value.values()), None)
        return {key: _copied(one) for key, one in value.items()} if isinstance(one, _CONTAINERS) else value.copy()
    if kind is set:
        return value.copy()
    return _by_slots(value) if isinstance(value, _CHANGING) else value
