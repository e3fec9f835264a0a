"""Filling gaps: what is to be asked of a history source, and what came of it.

A shell asks for what `due_gaps` gives, and says afterwards how many bars the source gave. None, without a failure, means that
there are none to be had: the stretch is confirmed empty, not asked for again, and a missing bar in it counts as no gap. After
anything else the stretch was tried once more; what is still missing of it is due again after a while, a limited number of
times. The bars themselves come in by the symbol's topic like any others, late and with a provenance of their own.

The invariant: `attempts` and `empty` stand in order, without overlaps, and begin and end where slots of the base interval do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from streams.config.session import SessionConfig
from streams.engine.state.session import SessionState
from streams.engine.state.slots import Slots
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.model.records import EventKind
from streams.model.rows import AttemptRow, StretchRow
from streams.model.views import GapInfo
from streams.times import SECOND_US

MOST_STRETCHES: Final = 10_000
"""Of how many stretches of a day it is kept what became of them: they stand in one row. Beyond that nothing more is asked for."""


class _Limits(Struct, frozen=True):
    """How often a stretch is asked for, and how long after the time before."""

    most: int
    wait_us: int


def _limits(config: SessionConfig) -> _Limits:
    filler = config.session_data_config.gap_filler
    return _Limits(filler.max_retries, round(filler.retry_interval_seconds * SECOND_US))


def due_gaps(data: SymbolSessionData, config: SessionConfig, now_us: int) -> Iterator[GapInfo]:
    """The stretches of missing base bars to ask a source for at `now_us`, in order; each is found when it is asked for.

    A bar is asked for when its end is `grace` past, then every `retry_interval_seconds`, `max_retries` times in all; none of a
    symbol that is not up to date, whose bars may be on their way, none where a missing bar is no gap.
    """
    if data.status not in READING or data.backlog or data.behind or config.sparse(data.symbol, data.base_interval):
        return
    if len(data.attempts) + len(data.empty) >= MOST_STRETCHES:
        return
    limits = _limits(config)
    blocked = [StretchRow(one.start_us, one.end_us) for one in data.attempts if not _is_due(one, limits, now_us)]
    closed = sorted([*blocked, *data.empty], key=lambda stretch: stretch.start_us)
    slots, place = Slots(data.bars.grid), 0
    for gap_start_us, gap_end_us, _ in data.missing(data.base_interval, now_us - config.grace_us):
        from_us = gap_start_us
        while from_us < gap_end_us:
            while place < len(closed) and closed[place].end_us <= from_us:
                place += 1
            stretch = closed[place] if place < len(closed) else StretchRow(gap_end_us, gap_end_us)
            first, after = slots.starting_before(from_us), slots.starting_before(min(stretch.start_us, gap_end_us))
            if first < after:
                start_us, end_us = slots.start_of(first), slots.end_of(after - 1)
                yield GapInfo(start_us, end_us, after - first, data.retries(start_us, end_us))
            from_us = max(stretch.end_us, from_us)


def _is_due(attempt: AttemptRow, limits: _Limits, now_us: int) -> bool:
    return attempt.count < limits.most and attempt.asked_us + limits.wait_us <= now_us


def gap_asked(state: SessionState, symbol: str, start_us: int, end_us: int, count: int, reason: str | None) -> None:
    """A source was asked for a stretch of the symbol's day, and gave `count` bars; `reason` says why none, when it failed."""
    data = state.of(symbol)
    slots = Slots(data.bars.grid)
    # What has not ended yet nobody can have.
    first, after = slots.starting_before(start_us), min(slots.starting_before(end_us), slots.ended(state.now_us))
    if first >= after:
        return
    asked = StretchRow(slots.start_of(first), slots.end_of(after - 1))
    others = [part for one in data.attempts for part in _outside(one, asked)]
    if count == 0 and reason is None:
        data.set_gaps(tuple(others), _joined(slots, [*data.empty, asked]))
        outcome = "confirmed_empty"
    else:
        data.set_gaps(_merged(slots, [*others, *_tried_again(data, asked, state.now_us)], _limits(state.config)), data.empty)
        outcome = "failed" if count == 0 else "given"
    state.tell(
        EventKind.GAP_ASKED, data, reason=reason, interval=data.base_interval, start_us=asked.start_us, end_us=asked.end_us,
        bars=count, outcome=outcome, retry_count=data.retries(asked.start_us, asked.end_us),
    )  # fmt: skip


def _outside(one: AttemptRow, asked: StretchRow) -> list[AttemptRow]:
    parts = ((one.start_us, min(one.end_us, asked.start_us)), (max(one.start_us, asked.end_us), one.end_us))
    return [AttemptRow(start_us, end_us, one.count, one.asked_us) for start_us, end_us in parts if start_us < end_us]


def _tried_again(data: SymbolSessionData, asked: StretchRow, now_us: int) -> list[AttemptRow]:
    """One attempt more for each part of what was asked for."""
    found: list[AttemptRow] = []
    from_us = asked.start_us
    for one in data.attempts:
        start_us, end_us = max(one.start_us, asked.start_us), min(one.end_us, asked.end_us)
        if start_us >= end_us:
            continue
        if from_us < start_us:
            found.append(AttemptRow(from_us, start_us, 1, now_us))
        found.append(AttemptRow(start_us, end_us, one.count + 1, now_us))
        from_us = end_us
    if from_us < asked.end_us:
        found.append(AttemptRow(from_us, asked.end_us, 1, now_us))
    return found


def _merged(slots: Slots, attempts: list[AttemptRow], limits: _Limits) -> tuple[AttemptRow, ...]:
    """In order, neighbours in one where they say the same: of what was tried as often as may be, the time says nothing any more."""
    merged: list[AttemptRow] = []
    for one in sorted(attempts, key=lambda attempt: attempt.start_us):
        last = merged[-1] if merged else None
        is_same = last is not None and one.count == last.count and (one.asked_us == last.asked_us or one.count >= limits.most)
        if last is not None and is_same and _touch(slots, last.end_us, one.start_us):
            merged[-1] = AttemptRow(last.start_us, one.end_us, one.count, max(last.asked_us, one.asked_us))
        else:
            merged.append(one)
    return tuple(merged)


def _joined(slots: Slots, stretches: list[StretchRow]) -> tuple[StretchRow, ...]:
    joined: list[StretchRow] = []
    for one in sorted(stretches, key=lambda stretch: stretch.start_us):
        last = joined[-1] if joined else None
        if last is not None and (one.start_us <= last.end_us or _touch(slots, last.end_us, one.start_us)):
            joined[-1] = StretchRow(last.start_us, max(last.end_us, one.end_us))
        else:
            joined.append(one)
    return tuple(joined)


def _touch(slots: Slots, end_us: int, start_us: int) -> bool:
    return slots.starting_before(end_us) == slots.starting_before(start_us)
