"""Bars that came before their end: each waits in its symbol's state until then, and nothing uses it before.

A feed is early by up to `future_tolerance_seconds` when its clock is ahead, or when it sends each update of a bar that is still
forming. Such a bar is in no series, and nothing is measured by it, published or read. Of several versions the last one counts. At its
end the clock takes it in as if it had arrived then, by way of `intake.take_waiting`: late, a duplicate or a correction if that is what
it is then. Several that end at once are taken in by symbol, before the clock closes windows and rolls days at that instant.

What waits stays with its symbol over restarts, lost topics and the turn of a day; it goes with a symbol that is removed or fails. A
symbol that drains waits for it, until its deadline.

The invariant: `data.waiting` has one bar a start, in order of start and so of end, and is empty for a symbol that is not being read;
`state.next_waiting_us` is not after the first end.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import PROVENANCE_GAP_FILL, Bar, Rejection

MOST_WAITING: Final = 1_000
"""How many bars of a symbol wait: they are in one row. A tolerance of so many bars is none of a clock."""


def keep(state: SessionState, data: SymbolSessionData, bar: Bar) -> tuple[Rejection, str] | None:
    """Have a valid bar wait for its end, instead of an earlier version of it; a fault when too many wait."""
    waiting = data.waiting
    place = bisect_left(waiting, bar.start_us, key=_start_of)
    if place < len(waiting) and waiting[place].start_us == bar.start_us:
        if bar.provenance == PROVENANCE_GAP_FILL and waiting[place].provenance != PROVENANCE_GAP_FILL:
            data.counts.duplicates += 1  # it fills holes, and there is none
        else:
            data.counts.forming += 1
            waiting[place] = bar
    elif len(waiting) >= MOST_WAITING:
        return Rejection.FUTURE, f"{MOST_WAITING:,} bars of {data.symbol} wait for their end already: future_tolerance_seconds is too long"
    else:
        waiting.insert(place, bar)
        if bar.end_us < state.next_waiting_us:
            state.next_waiting_us = bar.end_us
    return None


def due(state: SessionState, now_us: int) -> list[tuple[int, str]]:
    """End and symbol of the bars that have ended by `now_us`, in the order in which they are taken in."""
    if now_us < state.next_waiting_us:
        return []
    return sorted((bar.end_us, data.symbol) for data in state.symbols.values() for bar in data.waiting if bar.end_us <= now_us)


def ends_us(state: SessionState, until_us: int) -> int:
    """When the next bar that waits ends; `NEVER_DUE_US` when none before `until_us`."""
    if until_us < state.next_waiting_us:
        return NEVER_DUE_US
    set_alarm(state)
    return state.next_waiting_us


def set_alarm(state: SessionState) -> None:
    """Find out anew when the next bar ends."""
    state.next_waiting_us = min((data.waiting[0].end_us for data in state.symbols.values() if data.waiting), default=NEVER_DUE_US)


def _start_of(bar: Bar) -> int:
    return bar.start_us
