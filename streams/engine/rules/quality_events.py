"""Tell how complete the bars are, now and then: a `quality` event for each interval of which something has changed.

Each symbol is looked at once every `quality.publish_seconds`, at a moment of its own, so that a thousand of them share the work
and not one transaction does it. Told is an interval whose missing bars or gaps are others than were told last; after an event
the symbol's next look is a full period later, so no two events of an interval lie closer. A bar counts as missing once its end
is `grace` past, and nothing is told of a symbol that still reads what it missed, nor where a missing bar is no gap.

Who is looked at follows from what is stored alone: when the last transaction was (`measured_us`) and when each symbol was told of
(`told_us`); the queue only finds them without going through all.
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from zlib import crc32

from streams.engine.state.session import SessionState, by_symbol
from streams.engine.state.symbol import NEVER_US, SymbolSessionData
from streams.model.records import EventKind
from streams.model.rows import ToldRow
from streams.model.status import READING


def tell_quality(state: SessionState) -> None:
    """At the end of a transaction: look at the symbols whose moment has come since the last one."""
    now_us, looks = state.now_us, _queue(state)
    due: list[SymbolSessionData] = []
    while looks and looks[0][0] <= now_us:
        look_us, symbol, incarnation = looks[0]
        data = state.symbols.get(symbol)
        if data is None or data.incarnation != incarnation:
            heappop(looks)
            continue
        period_us = state.config.quality_us
        # Where it was told of since, its moment is another one.
        look_us = max(look_us, data.told_us + period_us)
        if look_us <= now_us:
            due.append(data)
            look_us += ((now_us - look_us) // period_us + 1) * period_us
        heapreplace(looks, (look_us, symbol, incarnation))
    for data in sorted(due, key=by_symbol):
        _look(state, data)
    state.measured_us = now_us


def _queue(state: SessionState) -> list[tuple[int, str, int]]:
    if state.looks_for != state.next_incarnation:  # a symbol has come, or all this is new
        period_us, since_us = state.config.quality_us, state.measured_us
        state.looks = [(_next_look_us(data, since_us, period_us), data.symbol, data.incarnation) for data in state.symbols.values()]
        heapify(state.looks)
        state.looks_for = state.next_incarnation
    return state.looks


def _next_look_us(data: SymbolSessionData, since_us: int, period_us: int) -> int:
    """When the symbol is looked at next after `since_us`: whole periods after it was told of, or else after a moment of its own."""
    since_us = max(since_us, data.added_us)
    anchor_us = data.told_us if data.told_us != NEVER_US else crc32(data.symbol.encode()) % period_us
    return anchor_us + ((since_us - anchor_us) // period_us + 1) * period_us


def _next_end_us(state: SessionState, data: SymbolSessionData) -> int:
    """Where the next base bar ends, or would if the day went on: where hours cut bars, the one before the close is shorter than others."""
    if not data.is_uneven or state.rules < 2 or not NEVER_US < data.frontier_us < data.close_us:
        return data.frontier_us + data.base_us
    return data.bars.grid.end_of(data.frontier_us)


def _is_whole(state: SessionState, data: SymbolSessionData) -> bool:
    """Whether all base bars are there up to now, and so all that is made of them, and nothing else was ever told: as of most symbols."""
    if data.told or data.empty or _next_end_us(state, data) <= state.now_us - state.grace_us:
        return False
    holes = data.bars.holes
    if holes is None:
        if state.config.sparse(data.symbol, data.base_interval):
            return False
        holes = data.bars.known_holes()
    return not holes.absent


def _look(state: SessionState, data: SymbolSessionData) -> None:
    if data.status not in READING or data.backlog or _is_whole(state, data):
        return
    for interval in (data.base_interval, *data.derived_intervals):
        if state.config.sparse(data.symbol, interval):
            continue
        found = data.completeness(interval, state.now_us - state.grace_us)
        told = data.told.get(interval)
        if found is None or (found.missing, found.gaps) == ((told.missing, told.gaps) if told is not None else (0, 0)):
            continue
        data.set_quality(ToldRow(interval, found.missing, found.gaps), state.now_us)
        quality = "" if found.quality is None else f"{found.quality:.2f}"
        state.tell(
            EventKind.QUALITY, data, interval=interval, quality=quality, expected=found.expected, present=found.present,
            missing=found.missing, gaps=found.gaps,
        )  # fmt: skip
