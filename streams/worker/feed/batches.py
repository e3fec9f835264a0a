"""What reaches the merge agent through its channel, and how a fetched batch becomes inputs of the engine."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import Message
from msgspec import Struct

from streams.engine.session import Session
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.kafka.clients import header_names
from streams.model.inputs import JournalInput
from streams.model.transactions import DeadLetter, RangeRead
from streams.wire.codec import Codec
from streams.wire.outputs import RawRecord
from streams.wire.ranges import range_read
from streams.worker.feed.end_offsets import ReachedEnds
from streams.worker.feed.feed import Assignment, FeedBatch, TopicRead, Trouble


class Notice(Struct, frozen=True):
    """Something that a task of the worker found out; what is about a former life of the worker is dropped.

    `assignment` is how the topic was read when it was looked at, for what was found out about one that is being read;
    `is_truncation` says that the topic has lost what lies before `given.first_offset`, and nothing else.
    """

    generation: int
    given: JournalInput
    assignment: Assignment | None = None
    is_truncation: bool = False


class Loads(Struct, frozen=True):
    """Where pending symbols are to be read from has been found out: the follower holds it, all of it, until it is asked."""


class GapAnswers(Struct, frozen=True):
    """Questions about gaps have come to an end: the gap filler holds what came of them, all of it, until it is asked."""


class Tick(Struct, frozen=True):
    """A second has passed; `sent` items were put on the channel before this one, so that whoever takes it knows if some were lost."""

    sent: int


class Alarm(Struct, frozen=True):
    """A bar that waited has come to its end, or a heartbeat is due."""


Item = FeedBatch | Trouble | Notice | Loads | GapAnswers | Tick | Alarm


def raw_of(message: Message) -> RawRecord:
    """A fetched record, for the dead-letter topic."""
    headers = [(header[0], _bytes(header[1]) or b"") for header in message.headers() or ()]
    key, value = message.key(), message.value()
    return RawRecord(message.topic() or "", message.offset() or 0, _bytes(key), _bytes(value), headers)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


class SourceReads:
    """The bars, quotes and ticks of one batch: as ranges for the engine, and as raw records for dead letters."""

    def __init__(self, codec: Codec, session: Session, reads: Sequence[TopicRead]) -> None:
        self._messages: dict[tuple[str, str | None], list[Message]] = {}
        self.ranges: list[RangeRead] = []
        self.at_end: list[tuple[str, int]] = []
        for read in reads:
            symbol, stream = read.symbol, read.stream
            data = session.symbol(symbol) if symbol is not None else None
            if symbol is None or data is None or data.incarnation != read.incarnation or data.status not in READING:
                continue
            position = position_of(data, stream)
            if position is None:
                continue
            messages = read.messages
            if messages and (messages[0].offset() or 0) < position:
                messages = [message for message in messages if (message.offset() or 0) >= position]
            matters = messages or (stream is None and read.next_offset > position and data.removal_end_offset is not None)
            if matters:
                self._messages[symbol, stream] = messages
                offsets = [message.offset() or 0 for message in messages]
                values = [message.value() for message in messages]
                names = partial(_header_names, messages)
                self.ranges.append(range_read(codec, symbol, data.incarnation, position, read.next_offset, offsets, values, stream, names))
            if read.at_end and data.backlog and stream is None:
                self.at_end.append((symbol, data.incarnation))

    def __bool__(self) -> bool:
        return bool(self.ranges or self.at_end)

    def keep(self, ranges: list[RangeRead], is_held: Callable[[RangeRead], bool], ends: ReachedEnds) -> list[RangeRead]:
        """Go on with these ranges alone; gives those whose topics are held back, which have not come to their ends."""
        held = [read for read in self.ranges if is_held(read)]
        self.ranges = ranges
        for read in held:
            if read.stream is None:
                ends.forget(read.symbol, read.incarnation)
                self.at_end = [one for one in self.at_end if one != (read.symbol, read.incarnation)]
        return held

    def raw(self, letter: DeadLetter) -> RawRecord:
        """The record of a dead letter."""
        messages = self._messages.get((letter.symbol, letter.stream), [])
        # All of a batch may be dead letters: to search it from its beginning for each would take the square of its length.
        place = bisect_left(messages, letter.offset, key=_offset)
        if place == len(messages) or _offset(messages[place]) != letter.offset:
            raise LookupError(f"no record of {letter.symbol} at offset {letter.offset} in this batch")
        return raw_of(messages[place])


def position_of(data: SymbolSessionData, stream: str | None) -> int | None:
    """Where the state stands in a symbol's bars, or in a stream besides; None for one that is not being read."""
    if stream is None:
        return data.offset
    extra = data.extras.get(stream)
    return extra.offset if extra is not None and extra.is_read else None


def _offset(message: Message) -> int:
    return message.offset() or 0


def _header_names(messages: Sequence[Message], place: int) -> list[str]:
    return header_names(messages[place])
