"""Dead letters: read them, say whether they would be accepted now, and send them again to the topic that they came from.

A dead letter has the key, value, and headers of the record as it was received, and headers that say what was wrong
(`streams.wire.deadletter`). It is sent again with the same key and headers, without those; `RESENT_FROM` is added, so that a record
that fails again shows where it comes from. The letter itself stays as it is; whether it was sent
before is found out on its topic (`streams.client.resent`).

    with DeadLetters(Settings.load(session="main")) as letters:
        for letter in letters.read(symbol="SPY", code="misaligned"):
            print(letter.offset, letter.message)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaError, Message
from confluent_kafka.admin import AclOperation
from msgspec import Struct

from streams.client.producer import DELIVERY_TIMEOUT_SECONDS, message_ms
from streams.config.settings import Settings
from streams.errors import StreamsError, WireError
from streams.kafka.clients import (
    ErrorNote,
    codec_of,
    existing_topics,
    explain,
    make_producer,
    session_of,
    topics_of,
)
from streams.kafka.delivery import SafeProducer
from streams.kafka.hidden import missing_rights
from streams.kafka.reader import BEGINNING, Record, TopicReader
from streams.kafka.rights import refusal
from streams.model.records import Bar, ControlCommand, Quote, Tick
from streams.model.validation import (
    LOWEST_PRICE,
    fault_of,
    fault_of_quote,
    fault_of_tick,
    future_fault,
    price_fault,
)
from streams.times import HOUR_US, SECOND_US, Clock, SystemClock, interval_us
from streams.wire.codec import Codec
from streams.wire.deadletter import PREFIX
from streams.wire.framing import is_json
from streams.wire.topics import BARS, TopicNames

COMMANDS: Final = "commands"
RESENT_FROM: Final = "streams.resent_from"
"""The header of a record that was sent again: the dead letter's topic and offset, `main.dlq:12`."""
RESENT_OFFSET: Final = "streams.resent_offset"
"""The header beside it: the offset on its own topic at which the record was rejected. Two sessions with one topic have letters of each."""

READ_SECONDS: Final = 60.0
_PURGED: Final = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
_TOLERANCE_US: Final = 5 * SECOND_US
_ON_A_GRID_US: Final = HOUR_US
"""Intervals below it divide every trading day, so a bar's start is a multiple of its interval."""

Decoded = Bar | Quote | Tick | ControlCommand


class DeadLetter(Struct, frozen=True):
    """A record that a session could not take in.

    Args:
        offset, time_ms: its place on the dead-letter topic, and when it went there, in milliseconds since 1970.
        topic, source_offset: where it came from.
        stream: what that topic holds: `bars`, `quotes`, `ticks`, `commands`, or None where it is not a topic of the session's sources.
        symbol: whose topic it is; empty for a command.
        code, stage, message: why it failed, as one word; where (`decode`, `engine`, `control`); and in a sentence.
        truncated: how long the record was, when it was too long to be kept whole.
        key, value, headers: as received.
        resent_from: the dead letter that it was sent again from, when this is its second failure.
    """

    offset: int
    time_ms: int
    topic: str
    source_offset: int | None
    stream: str | None
    symbol: str
    code: str
    stage: str
    message: str
    truncated: str | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    resent_from: str | None = None


class Resend(Struct, frozen=True):
    """A record to be sent again: `letter` as it was, `value` as it is sent, and `fault`, why it would fail again, or None."""

    letter: DeadLetter
    value: bytes | None
    fault: str | None


class Resent(Struct, frozen=True):
    """What became of a record that was sent again: its new `offset` on its topic, or the `error`."""

    letter: DeadLetter
    offset: int | None = None
    error: str | None = None


class DeadLetters:
    """Reads a session's dead-letter topic; a context manager.

    Raises:
        NobodyThereError: no broker answers, or no worker has ever run this session there.
        BrokerRefusedError: the broker does not let this client read.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._names = topics_of(settings)
        missing = f"no worker has ever run session {session_of(settings)!r} here"
        self._reader = TopicReader(settings, self._names.dlq, start=BEGINNING, missing=missing, clock=clock)

    def __enter__(self) -> DeadLetters:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.close()

    def read(
        self, *, symbol: str | None = None, code: str | None = None, since_us: int | None = None, before: int | None = None
    ) -> Iterator[DeadLetter]:
        """The letters that are there now, oldest first: those of a symbol, of a reason, not older than an instant, before an offset."""
        low, end = self._reader.bounds()
        end = end if before is None else min(end, before)
        first = low if since_us is None else self._reader.offset_at(since_us // 1000)
        if first is None or end <= low:
            return
        self._reader.move(max(low, first))
        for letter in self._up_to(end):
            if symbol in (None, letter.symbol) and code in (None, letter.code):
                yield letter

    def at(self, offsets: Collection[int]) -> dict[int, DeadLetter]:
        """The letters at these offsets; one that is not there is left out."""
        low, end = self._reader.bounds()
        wanted = sorted(offset for offset in set(offsets) if low <= offset < end)
        if not wanted:
            return {}
        self._reader.move(wanted[0])
        return {letter.offset: letter for letter in self._up_to(wanted[-1] + 1) if letter.offset in wanted}

    def _up_to(self, end: int) -> Iterator[DeadLetter]:
        for record in self._reader.up_to(end, READ_SECONDS):
            if record.offset < end:
                yield letter_of(record, self._names)


def letter_of(record: Record, names: TopicNames) -> DeadLetter:
    """The dead letter of a record of the dead-letter topic."""
    own = {name.removeprefix(PREFIX): text.decode(errors="replace") for name, text in record.headers if name.startswith(PREFIX)}
    received = tuple((name, value) for name, value in record.headers if not name.startswith(PREFIX))
    topic = own.get("topic", "")
    source = names.source_of(topic)
    offset = own.get("offset", "")
    resent = [value.decode(errors="replace") for name, value in received if name == RESENT_FROM]
    return DeadLetter(
        record.offset,
        record.timestamp_ms,
        topic,
        int(offset) if offset.isdecimal() else None,
        COMMANDS if topic == names.control else None if source is None else source[1] or BARS,
        "" if source is None else source[0],
        own.get("code", ""),
        own.get("stage", ""),
        own.get("message", ""),
        own.get("truncated"),
        record.key,
        record.value,
        received,
        resent[-1] if resent else None,
    )


def decoded(letter: DeadLetter, value: bytes | None, codec: Codec) -> Decoded:
    """What a value is on the letter's topic.

    Raises:
        WireError: it can't be decoded.
    """
    match letter.stream:
        case "quotes":
            return codec.quote_from(value)
        case "ticks":
            return codec.tick_from(value)
        case "commands":
            return codec.command_from(value, "unnamed", letter.time_ms * 1000)
        case _:
            return codec.bar_from(value)


def value_text(letter: DeadLetter, value: bytes | None, codec: Codec) -> str | None:
    """A value on the letter's topic as JSON: as it is when it is JSON; None where it is Avro that can't be decoded, or none at all."""
    if value is None:
        return None
    if is_json(value):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    try:
        match decoded(letter, value, codec):
            case Bar() as bar:
                return codec.bar_to_json(bar).decode()
            case Quote() as quote:
                return codec.quote_to_json(quote).decode()
            case Tick() as tick:
                return codec.tick_to_json(tick).decode()
            case _:
                return None
    except WireError:
        return None


def prepared(letter: DeadLetter, codec: Codec, now_us: int, *, value: bytes | None = None) -> Resend:
    """A letter as it would be sent again, judged by what can be known without the session's state.

    Args:
        letter: the letter.
        codec: knows the schemas; `streams.wire.codec.Codec()` knows the project's own.
        now_us: the wall clock.
        value: another value in place of the letter's, such as a corrected bar.
    """
    sent = letter.value if value is None else value
    return Resend(letter, sent, _fault_of(letter, sent, codec, now_us, replaced=value is not None))


def _fault_of(letter: DeadLetter, value: bytes | None, codec: Codec, now_us: int, *, replaced: bool) -> str | None:
    if letter.stream is None:
        return f"it came from topic {letter.topic or 'unknown'}, which holds no bars, quotes, ticks, or commands of this session"
    if letter.truncated is not None and not replaced:
        return f"it was too long to be kept whole ({letter.truncated})"
    try:
        record = decoded(letter, value, codec)
    except WireError as error:
        return str(error)
    if isinstance(record, ControlCommand):
        return None
    if record.symbol != letter.symbol:
        return f"a {type(record).__name__.lower()} of {record.symbol} on the topic of {letter.symbol}"
    # A session may allow prices below zero; whether it does is in its config.
    match record:
        case Quote():
            fault = fault_of_quote(record, now_us, _TOLERANCE_US, LOWEST_PRICE)
        case Tick():
            fault = fault_of_tick(record, now_us, _TOLERANCE_US, LOWEST_PRICE)
        case _ if interval_us(record.interval) < _ON_A_GRID_US:
            fault = fault_of(record, interval_us(record.interval), now_us, _TOLERANCE_US, LOWEST_PRICE)
        case _:
            fault = price_fault(record, LOWEST_PRICE) or future_fault(record, now_us, _TOLERANCE_US)
    return None if fault is None else fault[1]


def send_again(settings: Settings, resends: Iterable[Resend], *, codec: Codec | None = None, clock: Clock | None = None) -> list[Resent]:
    """Send records to the topics that they came from, and wait until each is there or has failed; in the order of `resends`.

    Raises:
        NobodyThereError: no broker answers.
        BrokerRefusedError: it answered with an error when it was asked for its topics.
    """
    resends = list(resends)
    codec, now_us, dlq = codec or codec_of(settings), (clock or SystemClock()).now_us(), topics_of(settings).dlq
    existing, wanted = existing_topics(settings), {resend.letter.topic for resend in resends}
    hidden = {topic: [AclOperation.WRITE] for topic in sorted(wanted - existing)}
    forbidden = missing_rights(settings, hidden, "sending dead letters again") if hidden else []
    note = ErrorNote()
    own = {"enable.idempotence": True, "message.timeout.ms": round(DELIVERY_TIMEOUT_SECONDS * 1000)}
    producer = SafeProducer(make_producer(settings, note, {**own, "allow.auto.create.topics": False}), settings, note)
    outcomes: dict[int, Resent] = {}

    def report(letter: DeadLetter, error: KafkaError | None, message: Message) -> None:
        topic = letter.topic
        if error is None:
            outcomes[letter.offset] = Resent(letter, message.offset())
        elif error.code() not in _PURGED:  # these follow a fatal error, which says why
            failure: StreamsError = explain(error, settings, note, f"producing to {topic}", needs=f"Write on topic {topic}")
            outcomes[letter.offset] = Resent(letter, error=str(failure))

    unknown = f"the broker at {settings.bootstrap_servers} did not say in time whether it has the record"
    try:
        for resend in resends:
            letter = resend.letter
            if letter.topic not in existing:
                needs = f"Write on topic {letter.topic}"
                absent = f"topic {letter.topic} does not exist at {settings.bootstrap_servers}"
                outcomes[letter.offset] = Resent(letter, error=refusal(settings, [needs]) if needs in forbidden else absent)
                continue
            headers: list[tuple[str, str | bytes | None]] = [*letter.headers, (RESENT_FROM, f"{dlq}:{letter.offset}".encode())]
            if letter.source_offset is not None:
                headers.append((RESENT_OFFSET, str(letter.source_offset).encode()))
            stamp_ms = _stamp_ms(resend, codec, now_us)
            while True:
                try:
                    producer.produce(
                        letter.topic, resend.value, letter.key, partition=0, on_delivery=partial(report, letter), timestamp=stamp_ms,
                        headers=headers,
                    )  # fmt: skip
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush(DELIVERY_TIMEOUT_SECONDS + 5)
    except StreamsError as error:
        unknown = str(error)
    return [outcomes.get(resend.letter.offset) or Resent(resend.letter, error=unknown) for resend in resends]


def _stamp_ms(resend: Resend, codec: Codec, now_us: int) -> int:
    """The message's time: that of the record, as a feed gives it, since a worker finds where a day begins by it."""
    try:
        record = decoded(resend.letter, resend.value, codec)
    except WireError:
        return now_us // 1000
    return now_us // 1000 if isinstance(record, ControlCommand) else message_ms(record, now_us)
