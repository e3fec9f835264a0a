"""Quotes and ticks: what a symbol may stream besides bars. Of each the latest one is kept, and how many came.

The invariant: they touch nothing of the bars. No quote moves its symbol's frontier, lag, silence or the gate, so whatever is
interleaved with the bars, what comes of the bars is the same. A stream that can't be read costs its symbol that stream alone.

A record is invalid (dead letter), outside hours (counted and dropped), of the stream's day (counted; the latest one, unless
another's time is later) or of a day before it (counted in the total alone). The stream's day is the symbol's, or that of its
newest record where that is later: so it does not matter whether a day's first quote or its first bar comes first.

They come by the thousands a second, so a whole range is received by one call.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from streams.engine.rules import lifecycle
from streams.engine.rules.source_position import FAIL_AFTER_ERRORS
from streams.engine.state.quotes import ExtraStream
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.errors import EngineError
from streams.model.records import QUOTES, Bar, EventKind, Quote, Rejected, Rejection, Tick, Undecodable
from streams.model.validation import NEGATIVE_HINT, fault_of_quote, fault_of_tick, undecodable_reason

Record = Bar | Quote | Tick | Undecodable


class Received(Struct, frozen=True):
    """What came of records: how many were received, and by their place those that are dead letters.

    With an `error` the record at place `count` is the one that it was raised on; the state is as before that one.
    """

    count: int
    rejected: list[tuple[int, Rejected]]
    error: Exception | None = None


def receive(state: SessionState, symbol: str, stream: str, records: Sequence[Record]) -> Received:
    """Take in records of a symbol's quotes or ticks at `state.now_us`, up to the first on which something is raised.

    Raises:
        EngineError: the symbol, or that stream of it, is not being read.
    """
    data = state.symbols.get(symbol)
    extra = None if data is None or data.status not in READING else data.extras.get(stream)
    if data is None or extra is None or not extra.is_read:
        raise EngineError(f"{stream} of {symbol} are not being read, so none can be received")
    _touch(state, symbol, extra)
    now_us, tolerance_us, lowest_price = state.now_us, state.future_tolerance_us, min(data.lowest_price, 0.0)
    is_quotes = stream == QUOTES
    rejected: list[tuple[int, Rejected]] = []
    place = 0
    try:
        for place, record in enumerate(records):
            if is_quotes and record.__class__ is Quote and record.symbol == symbol:
                fault = fault_of_quote(record, now_us, tolerance_us, lowest_price)
            elif not is_quotes and record.__class__ is Tick and record.symbol == symbol:
                fault = fault_of_tick(record, now_us, tolerance_us, lowest_price)
            else:
                fault = _unusual(record, symbol, stream, state.rules)
            if fault is None:
                _take(state, extra, record)  # type: ignore[arg-type]
            else:
                extra.rejected += 1
                message = fault[1] if state.rules >= 2 else fault[1].removesuffix(NEGATIVE_HINT)
                rejected.append((place, Rejected(symbol, fault[0], message)))
            extra.consecutive_errors = 0
    except Exception as error:  # a bug met by this record: nothing was changed for it yet
        return Received(place, rejected, error)
    return Received(len(records), rejected)


def _unusual(record: Record, symbol: str, stream: str, rules: int) -> tuple[Rejection, str]:
    if isinstance(record, Undecodable):
        return Rejection.UNDECODABLE, undecodable_reason(record, rules)
    return Rejection.WRONG_SYMBOL, f"a {type(record).__name__.lower()} of {record.symbol} on the topic of the {stream} of {symbol}"


def _take(state: SessionState, extra: ExtraStream, record: Quote | Tick) -> None:
    time_us = record.time_us
    if not extra.first_us <= time_us < extra.last_us and not _is_of_its_day(state, extra, time_us):
        return
    extra.count += 1
    extra.total += 1
    extra.updated = True
    extra.last_update_us = state.now_us
    latest = extra.latest
    if latest is None or time_us >= latest.time_us:
        extra.latest = record


def _is_of_its_day(state: SessionState, extra: ExtraStream, time_us: int) -> bool:
    """Whether the instant lies within the stream's day, which one of a later day makes its own; what it is else is counted."""
    day = state.calendar.day_of(time_us) if state.calendar.covers(time_us) else None
    if day is None:
        extra.out_of_hours += 1
        return False
    if day.days < extra.days:
        extra.total += 1
        return False
    first_us, last_us = next(segment for segment in day.segments if segment[0] <= time_us < segment[1])
    if day.days > extra.days:
        extra.begin(day.days)
    extra.first_us, extra.last_us = first_us, last_us
    return True


def pass_over(state: SessionState, symbol: str, stream: str, reason: str) -> None:
    """A record on which the engine raised: a dead letter; after ten in a row the symbol fails, alone."""
    data, extra = _of(state, symbol, stream)
    _touch(state, symbol, extra)
    extra.engine_errors += 1
    extra.consecutive_errors += 1
    state.outcomes.append(Rejected(symbol, Rejection.ENGINE_ERROR, reason))
    if extra.consecutive_errors >= FAIL_AFTER_ERRORS:
        lifecycle.symbol_failed(state, data, f"{FAIL_AFTER_ERRORS} {stream} in a row could not be processed: {reason}")


def moved(state: SessionState, symbol: str, stream: str, next_offset: int) -> None:
    """Reading of the stream's topic has come to `next_offset`."""
    _, extra = _of(state, symbol, stream)
    _touch(state, symbol, extra)
    extra.offset = next_offset


def located(state: SessionState, symbol: str, stream: str, topic_id: str, offset: int) -> None:
    """The topic is there, and is read from `offset` on."""
    data, extra = _of(state, symbol, stream)
    _touch(state, symbol, extra)
    extra.topic_id, extra.offset, extra.reason = topic_id, offset, None
    data.dirty = data.identity_changed = True
    state.tell(EventKind.STREAM_LOCATED, data, stream=stream, offset=offset)


def lost(state: SessionState, symbol: str, stream: str, topic_id: str, offset: int, reason: str) -> None:
    """The topic was re-created or truncated, and is read on at `offset`; or, without an id, it can't be read for now."""
    data, extra = _of(state, symbol, stream)
    _touch(state, symbol, extra)
    data.dirty = data.identity_changed = True
    if topic_id:
        state.tell(EventKind.SOURCE_LOST, data, reason=reason, stream=stream, lost_from=extra.offset, resumes_at=offset)
        extra.topic_id, extra.offset, extra.reason = topic_id, offset, None
    else:
        state.tell(EventKind.SOURCE_LOST, data, reason=reason, stream=stream, lost_from=extra.offset)
        extra.reason = reason


def use(state: SessionState, data: SymbolSessionData, streams: Sequence[str]) -> None:
    """Have a symbol stream exactly these besides its bars; what it streams already goes on, the others are looked for."""
    for stream in [name for name in data.extras if name not in streams]:
        del data.extras[stream]
        state.removed_keys.add(data.extra_key(stream))
    data.extras = {stream: data.extras.get(stream) or ExtraStream(stream, data.day.days) for stream in streams}
    data.dirty = data.identity_changed = True


def _of(state: SessionState, symbol: str, stream: str) -> tuple[SymbolSessionData, ExtraStream]:
    data = state.of(symbol)
    extra = data.extras.get(stream)
    if extra is None:
        raise EngineError(f"{symbol} does not stream {stream}, so nothing can be said about them")
    return data, extra


def _touch(state: SessionState, symbol: str, extra: ExtraStream) -> None:
    extra.changed = True
    state.streamed.add(symbol)
