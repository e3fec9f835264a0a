"""What an audit reads of Kafka: the session's own topics to the end, the source topics by ranges of offsets.

Everything is read with committed records only. A topic's end is captured when its tape is made, so that the audit of a running
session comes to an end; what was committed since is read where it is asked for.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, TopicCollection, TopicPartition

from streams.audit.rows import Tables
from streams.config.settings import Settings
from streams.errors import HistoryError, NobodyThereError, StreamsError
from streams.kafka.asking import until_answered
from streams.kafka.clients import (
    BROKER_TIMEOUT_SECONDS,
    ConfigValue,
    ErrorNote,
    explain,
    make_admin,
    make_consumer,
    reading_group,
    session_of,
    state_changelog,
)
from streams.kafka.offsets import bounds
from streams.kafka.reader import BEGINNING, TopicReader
from streams.kafka.reader import Record as Found
from streams.model.rows import SESSION_KEY, SessionRow
from streams.times import Clock
from streams.wire.codec import Codec
from streams.wire.outputs import RawRecord

PATIENCE_SECONDS: Final = 30.0
BEYOND_SECONDS: Final = 2.0
"""How long, all together, one waits for records behind the captured end of a topic."""
FETCH_RECORDS: Final = 4000

_POLL_SECONDS: Final = 0.2
_PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT})
_NO_TOPIC: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
_OUT_OF_RANGE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


def missing(settings: Settings) -> str:
    """How the message begins when a topic of the session does not exist."""
    return f"no worker has ever run session {session_of(settings)!r} here"


class TopicTape:
    """A topic's records from its beginning; a context manager.

    Args:
        settings: where the broker is.
        topic: what to read.
        clock: for deadlines.

    Raises:
        NobodyThereError: no broker answers, or the topic does not exist.
        BrokerRefusedError: the broker does not let this client read.
    """

    def __init__(self, settings: Settings, topic: str, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._reader = TopicReader(settings, topic, start=BEGINNING, missing=missing(settings), clock=clock)
        first, self.end = self._reader.bounds()
        self.begins_late = first > 0
        self._records: deque[Found] = deque()
        self._beyond_seconds = BEYOND_SECONDS

    def __enter__(self) -> TopicTape:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.close()

    def next(self, *, beyond: bool = False) -> Found | None:
        """The next record before the captured end, or with `beyond` behind it too; None when there is none.

        Raises:
            NobodyThereError: the captured end is not reached in time.
            BrokerRefusedError: the broker does not let this client read on.
        """
        if not self._records:
            self._read_to_end()
        if not self._records and beyond:
            self._read_beyond()
        if not self._records or (self._records[0].offset >= self.end and not beyond):
            return None
        return self._records.popleft()

    def _read_to_end(self) -> None:
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        while not self._records and self._reader.position < self.end:
            self._records.extend(self._reader.read())
            if not self._records and self._clock.monotonic() > deadline and self._reader.position < self.end:
                raise NobodyThereError(
                    f"offset {self.end} of {self._reader.topic} was not reached within {PATIENCE_SECONDS:g} s, reading stands at "
                    f"{self._reader.position}: is the broker at {self._settings.bootstrap_servers} up?"
                )

    def _read_beyond(self) -> None:
        while not self._records and self._beyond_seconds > 0:
            began = self._clock.monotonic()
            self._records.extend(self._reader.read(_POLL_SECONDS))
            self._beyond_seconds -= self._clock.monotonic() - began


def read_tables(settings: Settings, codec: Codec, clock: Clock) -> Tables:
    """The tables as they were last committed.

    The changelog is written in order and in whole transactions, and the session's row with each of them: so up to its committed
    end the newest rows are those of the session row's transaction. Compaction takes only rows that newer ones have replaced.

    Raises:
        NobodyThereError: no broker answers, or there is no session in the tables.
    """
    topic = state_changelog(settings)
    rows: dict[str, tuple[int, bytes]] = {}
    with TopicTape(settings, topic, clock) as tape:
        while (found := tape.next()) is not None:
            key = (found.key or b"").decode("utf-8", "replace")
            if found.value is None:
                rows.pop(key, None)
            else:
                rows[key] = (found.offset, found.value)
    if SESSION_KEY not in rows:
        raise NobodyThereError(f"{missing(settings)}: {topic} holds no session")
    session = codec.row_from(rows[SESSION_KEY][1])
    if not isinstance(session, SessionRow):
        raise HistoryError(f"{topic}: the row {SESSION_KEY!r} at offset {rows[SESSION_KEY][0]} is a {type(session).__name__}")
    return Tables(topic, session.epoch, session.transaction, rows)


class _Shelf:
    """What was read of a topic and not asked for yet: records from `first` on, all before `position`."""

    __slots__ = ("end", "first", "position", "records")

    def __init__(self, first: int) -> None:
        self.first = self.position = first
        self.end: int | None = None
        """Where librdkafka reported the topic's end since the topic was assigned. It reports each end once."""
        self.records: deque[RawRecord] = deque()


class SourceTopics:
    """Records of source topics by ranges of offsets; a context manager.

    One consumer reads one topic at a time, more than was asked for, since what follows will be asked for next.

    Args:
        settings: where the broker is.
        clock: for deadlines.
        fetch_records: how many records are read at once.
    """

    def __init__(self, settings: Settings, clock: Clock, *, fetch_records: int = FETCH_RECORDS) -> None:
        self._settings = settings
        self._clock = clock
        self._fetch_records = fetch_records
        self._note = ErrorNote()
        own: dict[str, ConfigValue] = {
            "group.id": reading_group(settings, "verify"),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 2,  # a fetch that still waits holds the next topic up
            "allow.auto.create.topics": False,
        }
        self._admin = make_admin(settings, self._note)
        self._consumer = make_consumer(settings, self._note, own)
        self._shelves: dict[str, _Shelf] = {}
        self._ids: dict[str, str] = {}
        self._known: set[str] = set()
        self._assigned: str | None = None

    def __enter__(self) -> SourceTopics:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def records(self, topic: str, topic_id: str, first: int, following: int) -> list[RawRecord]:
        """As `Inputs.records`.

        Raises:
            HistoryError: the topic is another one or none, or has lost such records.
            NobodyThereError: no broker answers.
            BrokerRefusedError: the broker does not let this client read.
        """
        self._check_id(topic, topic_id)
        shelf = self._shelves.get(topic)
        if shelf is None or not shelf.first <= first <= shelf.position:
            shelf = self._open(topic, first)
        records = shelf.records
        while records and records[0].offset < first:
            records.popleft()
        if shelf.position < following:
            self._fetch(topic, shelf, following)
        taken = []
        while records and records[0].offset < following:
            taken.append(records.popleft())
        shelf.first = following
        return taken

    def _check_id(self, topic: str, topic_id: str) -> None:
        if topic not in self._ids:
            self._ids[topic] = self._ask_id(topic)
        if topic_id not in ("", self._ids[topic]):
            raise HistoryError(f"the records were read from a former topic {topic}, which was deleted; the one of this name now is another")

    def _ask_id(self, topic: str) -> str:
        def ask() -> str:
            asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=BROKER_TIMEOUT_SECONDS)
            return str(asked[topic].result().topic_id)

        def anew(error: KafkaError) -> None:
            self._admin = make_admin(self._settings, self._note)

        try:
            return until_answered(ask, anew=anew, clock=self._clock)
        except KafkaException as error:
            if error.args[0].code() in _NO_TOPIC:
                raise HistoryError(f"topic {topic} is no longer there") from None
            self._admin.poll(0)
            raise self._explained(error.args[0], topic, f"asking for topic {topic}") from None

    def _open(self, topic: str, first: int) -> _Shelf:
        if topic not in self._known:
            # librdkafka would begin to fetch a topic that it has no metadata of a second later.
            try:
                self._known = set(self._consumer.list_topics(timeout=BROKER_TIMEOUT_SECONDS).topics)
            except KafkaException as error:
                raise self._explained(error.args[0], topic, f"asking for topic {topic}") from None
        if self._assigned == topic:
            self._assigned = None
        shelf = self._shelves[topic] = _Shelf(first)
        return shelf

    def _fetch(self, topic: str, shelf: _Shelf, following: int) -> None:
        is_anew = self._assigned != topic
        if is_anew:
            self._assign(topic, shelf)
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        while shelf.position < following:
            if shelf.end == shelf.position:
                # In a running session this may be the end that an earlier fetch saw, before what is asked for was there.
                if is_anew:
                    raise HistoryError(f"{topic} ends at offset {shelf.position}, records up to {following - 1} were read from it")
                self._assign(topic, shelf)
                is_anew = True
            # More than one waits for once the first is there: what is asked for next lies behind it.
            first = self._consumer.poll(_POLL_SECONDS)
            for message in [] if first is None else [first, *self._consumer.consume(self._fetch_records - 1, 0)]:
                self._take(topic, shelf, message)
            if shelf.position < following and self._clock.monotonic() > deadline:
                raise NobodyThereError(
                    f"offset {following} of {topic} was not reached within {PATIENCE_SECONDS:g} s, reading stands at {shelf.position}: "
                    f"is the broker at {self._settings.bootstrap_servers} up?"
                )

    def _assign(self, topic: str, shelf: _Shelf) -> None:
        self._consumer.assign([TopicPartition(topic, 0, shelf.position)])
        self._assigned = topic
        shelf.end = None

    def _take(self, topic: str, shelf: _Shelf, message: Message) -> None:
        """Put a record on the shelf, or note the topic's end."""
        error, offset = message.error(), message.offset() or 0
        if message.topic() not in (topic, None):
            return  # it was on its way when the topic before was let go
        if error is None:
            shelf.records.append(_raw(topic, offset, message))
            shelf.position = offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            shelf.end = shelf.position = max(shelf.position, offset)
        elif error.code() in _OUT_OF_RANGE:
            raise HistoryError(f"{topic} no longer holds offset {shelf.position}: it begins at {self._beginning(topic)}")
        elif error.code() in _NO_TOPIC:
            raise HistoryError(f"topic {topic} is no longer there")
        elif error.code() not in _PASSING:
            raise self._explained(error, topic, f"reading {topic} at offset {shelf.position}")

    def _explained(self, error: KafkaError, topic: str, what: str) -> StreamsError:
        group = reading_group(self._settings, "verify")
        return explain(error, self._settings, self._note, what, needs=f"Read on topic {topic}", group=group)

    def _beginning(self, topic: str) -> int:
        try:
            return bounds(self._consumer, topic, timeout_seconds=BROKER_TIMEOUT_SECONDS)[0]
        except KafkaException as error:
            raise self._explained(error.args[0], topic, f"asking where {topic} begins") from None


def _raw(topic: str, offset: int, message: Message) -> RawRecord:
    """The record as the worker kept it for a dead letter."""
    found = message.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    headers = [(name, _bytes(value) or b"") for name, value in pairs]
    return RawRecord(topic, offset, _bytes(message.key()), _bytes(message.value()), headers)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
