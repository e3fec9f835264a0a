"""One topic, read from a place on: without a group, committed records only, and knowing where it ends.

Every topic of a session has one partition, so a reader needs no group, no rebalance and no commits: it keeps its own
place. The invariant: what is read is committed, in order, and without a hole; a place that the topic no longer has is an
error, never a silent jump.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, Message, TopicPartition
from msgspec import Struct

from streams.config.settings import Settings
from streams.errors import NobodyThereError, OffsetGoneError, StreamsError
from streams.kafka.clients import (
    BROKER_TIMEOUT_SECONDS,
    ConfigValue,
    ErrorNote,
    explain,
    listed,
    make_consumer,
    once_led,
    reading_group,
    require_found,
)
from streams.kafka.offsets import NONE_SO_LATE, answered, bounds
from streams.times import Clock, SystemClock

BEGINNING: Final = OFFSET_BEGINNING
END: Final = OFFSET_END

_BATCH: Final = 1000
_WAIT_SECONDS: Final = 0.2
# What reading says of a place that the topic no longer has; which of them depends on who found out.
_GONE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT})


class Record(Struct, frozen=True, gc=False):
    """A record as it came: its place, the time its producer gave it (milliseconds since 1970), key, value and headers."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class TopicReader:
    """Reads partition 0 of a topic; a context manager.

    Args:
        settings: where the broker is.
        topic: what to read.
        start: the first offset, `BEGINNING`, or `END`: the committed end at this moment.
        missing: the beginning of the message when there is no such topic.
        clock: for deadlines.
        role: what the reader's group is named after, `reading_group`: the right that it needs.

    Raises:
        NobodyThereError: no broker answers, or the topic does not exist.
        BrokerRefusedError: the broker does not let this client read.
        OffsetGoneError: `start` lies outside the topic.
    """

    def __init__(
        self, settings: Settings, topic: str, *, start: int, missing: str, clock: Clock | None = None, role: str = "reader"
    ) -> None:
        self.topic: Final = topic
        self._group = reading_group(settings, role)
        self.at_end = False
        self._settings = settings
        self._clock = clock or SystemClock()
        self._note = ErrorNote()
        own: dict[str, ConfigValue] = {
            "group.id": self._group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "allow.auto.create.topics": False,
        }
        self._fetched: deque[Message] = deque()
        self._consumer = make_consumer(settings, self._note, own)
        try:
            self._require_topic(missing)
            self._position = self._place(start)
            self._consumer.assign([TopicPartition(topic, 0, self._position)])
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def position(self) -> int:
        """The offset at which reading goes on."""
        return self._position

    def move(self, offset: int) -> None:
        """Go on reading from this offset."""
        self._position = offset
        self.at_end = False
        self._fetched.clear()
        self._consumer.assign([TopicPartition(self.topic, 0, offset)])

    def offset_at(self, timestamp_ms: int) -> int | None:
        """An offset with no record before it that has this time or a later one; None when the topic holds no such record.

        Raises:
            NobodyThereError: no broker answers.
            BrokerRefusedError: it answered with an error.
        """
        asked = TopicPartition(self.topic, 0, max(0, timestamp_ms))

        def ask() -> int:
            (found,) = self._consumer.offsets_for_times([asked], timeout=BROKER_TIMEOUT_SECONDS)
            if found.error is not None:
                raise KafkaException(found.error)
            return answered(self.topic, int(found.offset), NONE_SO_LATE)

        try:
            offset = once_led(ask)
        except KafkaException as error:
            raise self._explained(error.args[0], f"asking for the time of records of {self.topic}") from None
        return None if offset == NONE_SO_LATE else offset

    def bounds(self) -> tuple[int, int]:
        """The first offset of the topic and its committed end.

        Raises:
            NobodyThereError: no broker answers.
            BrokerRefusedError: it answered with an error.
        """
        try:
            return bounds(self._consumer, self.topic, timeout_seconds=BROKER_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise self._explained(error.args[0], f"asking where {self.topic} ends") from None

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()

    def read(self, timeout_seconds: float = _WAIT_SECONDS) -> list[Record]:
        """What is there, at most 1000 records; waits up to `timeout_seconds` for the first.

        `at_end` tells afterwards whether everything committed has been read. What came before an error is returned first, and the
        next call raises it; what came behind it is read after that.

        Raises:
            BrokerRefusedError: the broker does not let this client read on from here.
            OffsetGoneError: the topic no longer has the records from here on.
        """
        if not self._fetched:
            first = self._consumer.poll(timeout_seconds)
            if first is None:
                return []
            # consume() waits to fill its batch, so it only takes what is there already.
            self._fetched.extend([first, *self._consumer.consume(_BATCH - 1, 0)])
        records: list[Record] = []
        while self._fetched and not (records and _is_failure(self._fetched[0])):
            record = self._take(self._fetched.popleft())
            if record is not None:
                records.append(record)
        return records

    def read_to_end(self, timeout_seconds: float) -> list[Record]:
        """Everything committed at this moment that is not read yet.

        Raises:
            NobodyThereError: the end was not reached in time.
        """
        return list(self.up_to(self.bounds()[1], timeout_seconds))

    def up_to(self, end: int, timeout_seconds: float) -> Iterator[Record]:
        """What comes before offset `end`, as it is read; reading goes on somewhere behind it.

        Raises:
            NobodyThereError: it was not reached in time.
        """
        deadline = self._clock.monotonic() + timeout_seconds
        # The last offsets belong to transaction markers: the position passes them when the broker says that this is the end.
        while self._position < end:
            yield from self.read()
            if self._clock.monotonic() > deadline and self._position < end:
                raise NobodyThereError(
                    f"the end of {self.topic}, offset {end}, was not reached within {timeout_seconds:g} s, reading stands at "
                    f"{self._position}: is the broker at {self._settings.bootstrap_servers} up?"
                )

    def _take(self, message: Message) -> Record | None:
        error = message.error()
        if error is None:
            self.at_end = False
            offset = message.offset() or 0
            self._position = offset + 1
            return Record(offset, message.timestamp()[1], message.key(), message.value(), _headers(message))
        if error.code() == KafkaError._PARTITION_EOF:
            self.at_end = True
            self._position = max(self._position, message.offset() or 0)
        elif error.code() in _GONE:
            raise OffsetGoneError(f"{self.topic} no longer has offset {self._position}: {error.str()}")
        elif error.code() not in _PASSING:
            raise self._explained(error, f"reading {self.topic} at offset {self._position}")
        return None

    def _explained(self, error: KafkaError, what: str) -> StreamsError:
        return explain(error, self._settings, self._note, what, needs=f"Read on topic {self.topic}", group=self._group)

    def _require_topic(self, missing: str) -> None:
        try:
            found = listed(self._consumer, self._note, BROKER_TIMEOUT_SECONDS, self.topic).get(self.topic)
        except KafkaException as error:
            raise self._explained(error.args[0], f"asking for topic {self.topic}") from None
        require_found(
            found,
            self._settings,
            self._note,
            self.topic,
            missing,
            needs=f"Read on topic {self.topic}",
            group=self._group,
        )

    def _place(self, start: int) -> int:
        """The offset that `start` means: numbers are found once, so that nothing can slip in between."""
        low, high = self.bounds()
        if start == BEGINNING:
            return low
        if start == END:
            return high
        if not low <= start <= high:
            raise OffsetGoneError(f"{self.topic} has no offset {start}: it holds {low} to {high}; read from the beginning or the end")
        return start


def _is_failure(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() != KafkaError._PARTITION_EOF and error.code() not in _PASSING


def _headers(message: Message) -> Sequence[tuple[str, bytes]]:
    found = message.headers()
    if not found:
        return ()
    pairs = found.items() if isinstance(found, dict) else found
    return [(name, value.encode() if isinstance(value, str) else value or b"") for name, value in pairs]
