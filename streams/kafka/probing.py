"""Where reading a topic starts, asked of a broker: the offsets that it gives, and the records that are looked at to judge them.

The one shell around `positions`, for workers, replays and history from topics alike. A look at a few records is a matter of
milliseconds: one consumer without a group that fetches little at a time and goes from place to place.

    with TopicProbe(settings, admin, codec, group_id="main.reader") as probe:
        start = probe.start(topic, None, from_us, end=end, at_us=known_us)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from streams.config.settings import Settings
from streams.errors import OffsetGoneError, WireError
from streams.kafka.clients import BROKER_TIMEOUT_SECONDS, ConfigValue, ErrorNote, make_consumer
from streams.kafka.offsets import at_time, earliest
from streams.kafka.positions import Bounds, Seen, note_of, position
from streams.model.records import Bar, Quote, Tick
from streams.times import Clock, SystemClock
from streams.wire.codec import Codec

LOOK_SECONDS: Final = 10.0
_ATTEMPTS: Final = 3
_POLL_SECONDS: Final = 0.2
_BATCH: Final = 500
_FETCH_BYTES: Final = 65_536
_GONE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT})

AtUs = Callable[[Bar | Quote | Tick], int | None]
"""The instant that a record is of, to be compared with the one asked for; None for a record that does not matter."""


class Start(Struct, frozen=True):
    """The first offset to read, and what is special about it in words."""

    offset: int
    note: str | None = None


class TopicProbe:
    """Finds where topics are to be read from; a context manager, for one thread at a time.

    Args:
        settings: where the broker is.
        admin: asks for offsets.
        codec: reads records.
        group_id: librdkafka demands one; it is never joined and nothing is committed.
        timeout_seconds: how long one question about offsets may take.
        clock: for deadlines.
    """

    def __init__(
        self,
        settings: Settings,
        admin: AdminClient,
        codec: Codec,
        *,
        group_id: str,
        timeout_seconds: float = BROKER_TIMEOUT_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._codec = codec
        self._group_id = group_id
        self._timeout_seconds = timeout_seconds
        self._clock = clock or SystemClock()
        self._consumer: Consumer | None = None
        self._known: set[str] = set()

    def __enter__(self) -> TopicProbe:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        consumer, self._consumer = self._consumer, None
        self._known.clear()
        if consumer is not None:
            consumer.close()

    def start(self, topic: str, stream: str | None, from_us: int, *, end: int, at_us: AtUs) -> Start:
        """Where to read a topic from so that no record of after `from_us` is missed.

        Args:
            topic: a topic with one partition.
            stream: `quotes` or `ticks`; None for bars.
            from_us: an instant.
            end: the committed end of the topic, asked for before: what comes later counts as read on.
            at_us: which instant a record is of.

        Raises:
            KafkaException: the broker refuses, or does not answer.
            OffsetGoneError: the topic loses its records again and again while they are looked at.
        """
        self._known.discard(topic)  # it may have been made anew since it was looked at last
        for left in reversed(range(_ATTEMPTS)):
            by_time = at_time(self._admin, [topic], from_us // 1000 + 1, timeout_seconds=self._timeout_seconds)[topic]
            first = earliest(self._admin, [topic], timeout_seconds=self._timeout_seconds)[topic]
            bounds = Bounds(min(first, end), end)
            try:
                found = position(bounds, by_time, from_us, lambda begin, stop: self._peek(topic, stream, begin, stop, at_us))
            except OffsetGoneError:
                if not left:
                    raise
                continue
            return Start(found.offset, note_of(found, bounds, topic, from_us))
        raise AssertionError

    def _peek(self, topic: str, stream: str | None, begin: int, stop: int, at_us: AtUs) -> Sequence[Seen]:
        messages = self._messages(topic, begin, stop)
        records = self._codec.decode_records(stream, [message.value() for message in messages])
        seen = []
        for message, record in zip(messages, records, strict=True):
            instant_us = None if isinstance(record, WireError) else at_us(record)
            if instant_us is not None:
                seen.append(Seen(message.offset() or 0, instant_us))
        return seen

    def _messages(self, topic: str, begin: int, stop: int) -> list[Message]:
        """The committed messages with offsets in `[begin, stop)`."""
        if begin >= stop:
            return []
        consumer = self._consumer_of(topic)
        consumer.assign([TopicPartition(topic, 0, begin)])
        found: list[Message] = []
        deadline = self._clock.monotonic() + LOOK_SECONDS
        while True:
            first = consumer.poll(_POLL_SECONDS)
            if first is None:
                if self._clock.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"nothing of {topic} came from offset {begin} on"))
                continue
            for message in [first, *consumer.consume(_BATCH, 0)]:
                if message.topic() != topic:
                    continue
                if self._is_end(message, begin, stop) or (message.error() is None and (message.offset() or 0) >= stop):
                    consumer.unassign()
                    return found
                if message.error() is None and (message.offset() or 0) >= begin:
                    found.append(message)
            if found and (found[-1].offset() or 0) + 1 >= stop:
                consumer.unassign()
                return found
            if found:
                deadline = self._clock.monotonic() + LOOK_SECONDS

    @staticmethod
    def _is_end(message: Message, begin: int, stop: int) -> bool:
        error = message.error()
        if error is None or error.code() in _PASSING:
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            return (message.offset() or 0) >= stop
        if error.code() in _GONE:
            raise OffsetGoneError(f"{message.topic()} no longer has offset {begin}: {error.str()}")
        raise KafkaException(error)

    def _consumer_of(self, topic: str) -> Consumer:
        if self._consumer is None:
            own: dict[str, ConfigValue] = {
                "group.id": self._group_id,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 1,
                "fetch.queue.backoff.ms": 1,
                "fetch.message.max.bytes": _FETCH_BYTES,
                "allow.auto.create.topics": False,
            }
            self._consumer = make_consumer(self._settings, ErrorNote(), own)
        if topic not in self._known:
            # librdkafka would begin to fetch a topic that it has no metadata of 0.8 s later.
            self._consumer.list_topics(topic, self._timeout_seconds)
            self._known.add(topic)
        return self._consumer
