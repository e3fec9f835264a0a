"""Where a symbol's reading stands, and what a shell found out about its topic.

The position moves with the records that were read; it begins anew after a downtime, a rewind or the loss of a topic, and
what then lies before the end that the shell captures is backlog. A record that is no bar, or on which the engine raised,
is counted and passed over.
"""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.rules import derived_bars, gate, interval_complete, lifecycle
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import NEVER_US, READING, SymbolSessionData
from streams.model.records import EventKind, Rejected, Rejection
from streams.times import SECOND_US

FAIL_AFTER_ERRORS = 10
MOST_NAMES = 20
"""How many names of unknown fields are reported for each symbol and stream."""

LONGEST_NAME = 64


def moved(state: SessionState, symbol: str, next_offset: int) -> None:
    """Reading has come to `next_offset`; a removing symbol that is drained by it goes."""
    data = state.of(symbol)
    data.dirty = True
    data.offset = next_offset
    lifecycle.remove_if_drained(state, data)


def caught_up(state: SessionState, symbol: str) -> None:
    """All that had been written before the capture is read: what it touched is made, and then the symbol keeps nobody waiting."""
    data = state.of(symbol)
    derived_bars.end_backlog(state, data)
    if data.awaited:
        interval_complete.arrived(state, data)
    gate.caught_up(state, data)


def resumed(state: SessionState, owner: str, owner_url: str, away_us: int) -> None:
    """A worker takes over after `away_us`: all symbols have a backlog, and lag until it is read when it may be old."""
    state.owner, state.owner_url = owner, owner_url
    checked(state, None, None)
    state.tell(EventKind.SESSION_RESUMED, owner=owner, away_seconds=f"{away_us / SECOND_US:.3f}")
    reading = being_read(state)
    for data in reading:
        data.backlog = data.dirty = True
    if away_us > state.config.smallest_threshold_us:
        gate.fall_behind(state, reading, gate.RECOVERING)
    # What was stored by a version that told no window says nothing of up to where.
    interval_complete.renew(state)


def being_read(state: SessionState) -> list[SymbolSessionData]:
    """The symbols that are read, by name."""
    return [data for data in state.ordered() if data.status in READING]


def rewound(state: SessionState) -> None:
    """Reading begins again at the stored positions."""
    for data in state.symbols.values():
        if data.status in READING:
            data.backlog = data.dirty = True


def lost(state: SessionState, symbol: str, topic_id: str, offset: int, reason: str) -> None:
    """The topic was re-created or truncated: reading goes on at `offset` of the one that is there now."""
    data = state.of(symbol)
    state.tell(EventKind.SOURCE_LOST, data, reason=reason, lost_from=data.offset, resumes_at=offset)
    data.topic_id, data.offset = topic_id, offset
    data.backlog = data.dirty = data.identity_changed = True
    if data.removal_end_offset is not None:
        lifecycle.remove_symbol(state, data, f"its topic was lost while it drained: {reason}")


def reject(state: SessionState, symbol: str, code: Rejection, message: str) -> None:
    """A record of the topic is no bar of the symbol: a dead letter."""
    data = state.of(symbol)
    data.dirty = True
    data.consecutive_errors = 0
    data.counts.rejected += 1
    state.outcomes.append(Rejected(symbol, code, message))


def pass_over(state: SessionState, symbol: str, reason: str) -> None:
    """A record on which the engine raised: a dead letter; after ten in a row the symbol fails, alone."""
    data = state.of(symbol)
    data.dirty = True
    data.counts.engine_errors += 1
    data.consecutive_errors += 1
    state.outcomes.append(Rejected(symbol, Rejection.ENGINE_ERROR, reason))
    if data.consecutive_errors >= FAIL_AFTER_ERRORS:
        lifecycle.symbol_failed(state, data, f"{FAIL_AFTER_ERRORS} records in a row could not be processed: {reason}")


def checked(state: SessionState, unchecked_us: int | None, reason: str | None) -> None:
    """Keep since when, and why, checks of the topics fail, for `status`; None once they are answered."""
    state.unchecked_us = NEVER_US if unchecked_us is None else unchecked_us
    state.unchecked_reason = "" if unchecked_us is None else reason or ""


def unknown_fields(state: SessionState, symbol: str, stream: str | None, names: Sequence[str], count: int) -> None:
    """Count records that have unknown fields, and report each name once: a producer that gains a field stops no feed.

    The names that were reported are state, at most `MOST_NAMES` for each symbol and stream; the event that reaches the limit says so.

    Args:
        state: of the session.
        symbol: whose records they are.
        stream: `quotes` or `ticks`, None for bars.
        names: of the fields.
        count: of records with such fields.
    """
    data = state.of(symbol)
    counts = data.counts if stream is None else data.extras[stream]
    new = dict.fromkeys(name for name in (name[:LONGEST_NAME] for name in names) if name not in counts.unknown_names)
    listed = tuple(new)[: MOST_NAMES - len(counts.unknown_names)]
    if listed:
        counts.unknown_names += listed
        what = stream or "bars"
        reason = f"{what} have fields that are not known and that are ignored: {', '.join(listed)}"
        if len(counts.unknown_names) == MOST_NAMES:
            reason += f"; these make {MOST_NAMES} names, and further ones are counted without being named"
        state.tell(EventKind.UNKNOWN_FIELDS, data, reason=reason, stream=what)
    counts.unknown_fields += count
    if stream is None:
        data.dirty = True
    else:
        data.extras[stream].changed = True
        state.streamed.add(symbol)


def warned(state: SessionState, symbol: str, note: str | None, warning: str | None) -> None:
    """Keep what is warned of about the symbol's topics in its note, and tell of it."""
    data = state.of(symbol)
    data.reason = note
    data.dirty = data.identity_changed = True
    if warning is not None:
        state.tell(EventKind.SOURCE_WARNED, data, reason=warning)
