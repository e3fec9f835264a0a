"""A transaction's result as records of the session's topics: one for each outcome and dead letter, and one for the journal.

The worker writes them, the audit holds what it finds in the topics against them. Rows are not among them: they go into the
table, whose changelog the worker writes in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from streams.errors import WireError
from streams.model.records import Bar, Event, HeldBackBar, Marker, PublishedBar, Reply
from streams.model.transactions import DeadLetter, TransactionResult
from streams.wire import deadletter
from streams.wire.analysis import AnalysisEncoder
from streams.wire.codec import Codec
from streams.wire.messages import CommandReply, SessionEvent
from streams.wire.topics import TopicNames


class Record(Struct, frozen=True, gc=False):
    """One record of a transaction; partition 0, as all of a session's topics have one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class RawRecord:
    """A record of an input topic as it was received: what a dead letter repeats."""

    __slots__ = ("headers", "key", "offset", "topic", "value")

    def __init__(self, topic: str, offset: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        self.topic = topic
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers


class Encoder:
    """Encodes the results of one session's transactions.

    Args:
        codec: knows the schemas.
        names: knows the topics.
        session: the session's name.
        epoch: the session's epoch.
    """

    def __init__(self, codec: Codec, names: TopicNames, *, session: str, epoch: int) -> None:
        self._codec = codec
        self._names = names
        self._session = session
        self._session_key = session.encode()
        self._epoch = epoch
        self._analysis = AnalysisEncoder(codec, session=session, epoch=epoch)
        self._symbol_keys: dict[str, bytes] = {}

    def records(self, result: TransactionResult, raw: Callable[[DeadLetter], RawRecord]) -> list[Record]:
        """The records of a result but for its rows; `raw` gives a dead letter's record as it was received."""
        now_us = result.now_us
        timestamp_ms = now_us // 1000
        analysis = self._names.analysis
        all_bars = self._names.all_bars if result.bars_topic else None
        encode, keys = self._analysis.record, self._symbol_keys
        records: list[Record] = []
        for outcome in result.outcomes:
            if outcome.__class__ is PublishedBar:
                value, headers = encode(outcome, now_us)
                key = keys.get(outcome.symbol) or self._learn_key(outcome.symbol)
                records.append(Record(analysis, key, value, headers, timestamp_ms))
                if all_bars is not None:
                    records.append(Record(all_bars, key, value, headers, timestamp_ms))
            elif isinstance(outcome, Marker):
                value, headers = encode(outcome, now_us)
                records.append(Record(analysis, self._key(outcome.symbol), value, headers, timestamp_ms))
            elif isinstance(outcome, Event):
                records.append(self._event(outcome, now_us))
            elif isinstance(outcome, HeldBackBar):
                value, headers = self._analysis.held_back(outcome, now_us)
                records.append(Record(self._names.all_bars, self._key(outcome.symbol), value, headers, timestamp_ms))
            elif isinstance(outcome, Reply):
                records.append(self._reply(outcome, now_us))
        for letter in result.dead_letters:
            stage = "decode" if letter.code == "undecodable" else "engine"
            received = raw(letter) if letter.bar is None else self._received(letter.symbol, letter.bar, letter.offset)
            records.append(self.dead_letter(received, letter.code, letter.message, stage, timestamp_ms))
        value = self._codec.journal_to(result.journal)
        records.append(Record(self._names.journal, self._session_key, value, [], timestamp_ms))
        return records

    def dead_letter(self, raw: RawRecord, code: str, message: str, stage: str, timestamp_ms: int) -> Record:
        """A record for the dead-letter topic: key and value as received, headers that say why."""
        headers = deadletter.headers(topic=raw.topic, partition=0, offset=raw.offset, code=code, message=message, stage=stage)
        return Record(self._names.dlq, *deadletter.fitted(raw.key, raw.value, raw.headers, headers), timestamp_ms)

    def _received(self, symbol: str, bar: Bar, offset: int) -> RawRecord:
        """A bar that had waited for its end, in the bytes that a producer of ours would have sent."""
        return RawRecord(self._names.bars(symbol), offset, self._key(symbol), self._codec.bar_to_avro(bar), [])

    def _event(self, event: Event, now_us: int) -> Record:
        value = self._codec.event_to(
            SessionEvent(
                self._epoch, self._session, now_us, event.kind, event.symbol, event.incarnation, event.reason, event.attributes
            )
        )  # fmt: skip
        return Record(self._names.events, self._key(event.symbol), value, [("kind", event.kind.encode())], now_us // 1000)

    def _reply(self, reply: Reply, now_us: int) -> Record:
        value = self._codec.reply_to(
            CommandReply(
                reply.command_id, reply.kind, reply.symbol, reply.status, reply.reason, now_us, self._epoch, self._session, reply.text
            )
        )
        return Record(self._names.replies, reply.command_id.encode(), value, [], now_us // 1000)

    def _key(self, symbol: str | None) -> bytes:
        if symbol is None:
            return self._session_key
        return self._symbol_keys.get(symbol) or self._learn_key(symbol)

    def _learn_key(self, symbol: str) -> bytes:
        key = self._symbol_keys[symbol] = symbol.encode()
        return key


def control_letter(topic: str, raw: RawRecord, error: WireError, timestamp_ms: int) -> Record:
    """A record for the dead-letter topic about a control record that is no command."""
    headers = deadletter.headers(
        topic=raw.topic, partition=0, offset=raw.offset, code="undecodable", message=str(error), stage="control", exception=error
    )
    return Record(topic, *deadletter.fitted(raw.key, raw.value, raw.headers, headers), timestamp_ms)
