"""Inputs other than bars: whether one still applies, and the verb of `Session` that it stands for.

A shell finds something out and hands it over a moment later; what the state has left behind by then is dropped, before it
comes into the journal. The question is answered from the state alone, so a re-drive answers it the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from streams.config.session import SessionConfig
from streams.engine.rules import gate, past_days
from streams.engine.session import Session
from streams.engine.state.symbol import READING, SymbolStatus
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import ControlCommand, Outcome, RemovalPlan, SourcePosition

LONGEST_REASON_BYTES: Final = 120


def is_current(session: Session, given: JournalInput, now_us: int) -> bool:
    """Whether the input is about the session as it is; always so for one that names no symbol."""
    if given.symbol is None:
        return True
    data = session.symbol(given.symbol)
    if data is None or data.incarnation != given.incarnation:
        return False
    match given.kind:
        case InputKind.LOADED:
            # Its past days were loaded as those before a day; should it begin on another one, they are loaded again.
            is_of_day = given.trading_days is None or given.trading_days == past_days.first_day(session.state, data).days
            return data.status is SymbolStatus.PENDING and is_of_day
        case InputKind.HISTORY:
            return data.status is SymbolStatus.PENDING and past_days.is_wanted(session.state, data, given)
        case InputKind.LOAD_FAILED:
            return data.status is not SymbolStatus.FAILED
        case InputKind.STREAM_LOCATED:
            extra = data.extras.get(given.stream or "")
            is_awaited = data.status is SymbolStatus.PENDING or (data.status in READING and extra is not None and not extra.is_read)
            return is_awaited and extra is not None
        case InputKind.SOURCE_LOST if given.stream is not None:
            lost = data.extras.get(given.stream)
            return data.status in READING and lost is not None and (bool(given.topic_id) or lost.reason != given.reason)
        case InputKind.CAUGHT_UP | InputKind.SOURCE_LOST | InputKind.SOURCE_WARNED:
            return data.status in READING
        case InputKind.GAP_ASKED:
            return data.status in READING and data.open_us <= (given.start_us or 0) < data.close_us
        case InputKind.SILENT:
            return gate.is_quiet(data, now_us, session.state.config.silence_us)
        case _:
            return True


def instead_of(given: JournalInput, error: Exception) -> JournalInput | None:
    """What stands in for an input on which the engine raised: the command is refused, or the symbol fails, alone.

    None for an input that is about the session as a whole: without it the session can't go on.
    """
    reason = f"it could not be processed: {in_words(error)}"
    if given.kind is InputKind.COMMAND:
        return msgspec.structs.replace(given, kind=InputKind.COMMAND_SKIPPED, end_offset=None, deadline_us=None, reason=reason)
    if given.symbol is not None and given.kind is not InputKind.LOAD_FAILED:
        return JournalInput(InputKind.LOAD_FAILED, given.symbol, given.incarnation, reason=f"{given.kind.value}: {reason}")
    return None


def in_words(error: Exception) -> str:
    """What was raised, no longer than the journal can hold of each record of a batch, whatever alphabet it is in."""
    raw = f"{type(error).__name__}: {error}".encode(errors="replace")
    if len(raw) <= LONGEST_REASON_BYTES:
        return raw.decode()
    return f"{raw[:LONGEST_REASON_BYTES].decode(errors='ignore')}... ({len(raw)} bytes)"


def apply_input(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    """Hand the input to the session."""
    return _APPLY[given.kind](session, given, now_us)


def _configured(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    config_json = given.text or ""
    return session.configure(SessionConfig.from_json(config_json), now_us, config_json=config_json)


def _command(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    command = msgspec.json.decode(given.text or "", type=ControlCommand)
    plan = None if given.deadline_us is None else RemovalPlan(given.end_offset or 0, given.deadline_us)
    outcomes = session.command(command, now_us, plan=plan)
    if given.next_offset is not None:
        outcomes += session.control_moved(given.next_offset, now_us)
    return outcomes


def _command_skipped(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    command = msgspec.json.decode(given.text or "", type=ControlCommand)
    return session.command_skipped(command, given.next_offset or 0, given.reason or "", now_us)


def _control_skipped(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    return session.control_moved(given.next_offset or 0, now_us, skipped=given.reason, answer_to=given.text)


def _loaded(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    position = SourcePosition(given.topic_id or "", given.first_offset or 0, given.end_offset or 0, given.reason)
    return session.loaded(given.symbol or "", position, now_us)


def _source_lost(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    return session.source_lost(
        given.symbol or "", given.topic_id or "", given.first_offset or 0, given.reason or "", now_us, stream=given.stream
    )


def _clock(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    if given.reason is None:
        return session.clock_right(now_us)
    return session.clock_wrong(given.reason, (given.end_us or 0) - (given.start_us or 0), now_us)


def _stream_located(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    return session.stream_located(given.symbol or "", given.stream or "", given.topic_id or "", given.first_offset or 0, now_us)


def _gap_asked(session: Session, given: JournalInput, now_us: int) -> list[Outcome]:
    start_us, end_us = given.start_us or 0, given.end_us or 0
    return session.gap_asked(given.symbol or "", start_us, end_us, given.count or 0, given.reason, now_us)


_APPLY: dict[InputKind, Callable[[Session, JournalInput, int], list[Outcome]]] = {
    InputKind.CONFIGURED: _configured,
    InputKind.CALENDAR: lambda session, given, now_us: session.use_calendar(given.calendar or "", now_us),
    InputKind.RESUMED: lambda session, given, now_us: session.resume(given.reason or "", now_us, owner_url=given.text or ""),
    InputKind.COMMAND: _command,
    InputKind.CONTROL_SKIPPED: _control_skipped,
    InputKind.COMMAND_SKIPPED: _command_skipped,
    InputKind.LOADED: _loaded,
    InputKind.LOAD_FAILED: lambda session, given, now_us: session.failed(given.symbol or "", given.reason or "", now_us),
    InputKind.HISTORY: lambda session, given, now_us: session.history(given.symbol or "", given, now_us),
    InputKind.READ: lambda session, given, now_us: [],
    InputKind.CAUGHT_UP: lambda session, given, now_us: session.caught_up(given.symbol or "", now_us),
    InputKind.SILENT: lambda session, given, now_us: session.silent(given.symbol or "", now_us),
    InputKind.ENDED: lambda session, given, now_us: session.ended(now_us),
    InputKind.REWOUND: lambda session, given, now_us: session.rewound(now_us),
    InputKind.CLOCK: _clock,
    InputKind.HEARTBEAT: lambda session, given, now_us: session.heartbeat(now_us),
    InputKind.SOURCE_LOST: _source_lost,
    InputKind.SOURCE_WARNED: lambda session, given, now_us: session.source_warned(given.symbol or "", given.reason, given.text, now_us),
    InputKind.GAP_ASKED: _gap_asked,
    InputKind.STREAM_LOCATED: _stream_located,
    InputKind.TOPICS_CHECKED: lambda session, given, now_us: session.topics_checked(given.start_us, given.reason, now_us),
}
