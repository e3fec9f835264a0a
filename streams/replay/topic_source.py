"""Topics of bars, quotes and ticks as a replay's source.

One consumer reads all topics, without a group, committed records only, each from a place that was found once up to the end
that was captured when the source was made (or, of a symbol that nobody named then, when it was opened). The invariant: what
a symbol's stream gives are the records of its topic between those two offsets, whole and in order, however they are fetched.

A merge takes from all topics evenly, the broker gives what it likes: topics of which much is waiting are not fetched until
little of them is left, so that memory stays bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeVar

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AclOperation

from streams.config.settings import Settings
from streams.errors import HistoryError, InvalidSymbolError, NobodyThereError, StreamsError, WireError
from streams.kafka.asking import until_answered
from streams.kafka.clients import (
    BROKER_TIMEOUT_SECONDS,
    ConfigValue,
    ErrorNote,
    bar_topics_of,
    codec_of,
    explain,
    header_names,
    make_admin,
    make_consumer,
    reading_group,
    topics_on,
)
from streams.kafka.hidden import require_visible
from streams.kafka.offsets import latest
from streams.kafka.probing import TopicProbe
from streams.model.records import Bar, Quote, Tick, known_us
from streams.replay.source import KnownWhen, OpenedTopic, Read, no_bars, no_extras
from streams.times import Clock, SystemClock
from streams.wire.ranges import undecodable

FETCH_RECORDS: Final = 2000
WAITING_RECORDS: Final = 200_000
_LEAST_WAITING: Final = 1000
_PATIENCE_SECONDS: Final = 30.0
_ANSWER_MS: Final = 10_000  # less than patience: a leader that stands still is to be left for the next one
_POLL_SECONDS: Final = 0.2
_PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT})

T = TypeVar("T")


class _Reading:
    """A topic that is being read: the next offset to fetch, where it ends, and what waits to be taken."""

    __slots__ = ("assigned", "end", "next_offset", "stream", "topic", "waiting")

    def __init__(self, topic: str, stream: str | None, next_offset: int, end: int) -> None:
        self.topic = topic
        self.stream = stream
        self.next_offset = next_offset
        self.end = end
        self.assigned = False
        self.waiting: deque[Read] = deque()

    @property
    def is_fetched(self) -> bool:
        """Whether all that is to be read has been fetched."""
        return self.next_offset >= self.end


class KafkaSource:
    """Bars from their topics, quotes and ticks from theirs.

    Args:
        settings: where the broker is, and how topics are named.
        symbols: those whose ends are captured now.
        fetch_records: how many records are fetched at once at most.
        waiting_records: how many records of all topics together may wait to be taken, but of each at least a thousand.
        clock: for deadlines.

    Raises:
        NobodyThereError: no broker answers.
        BrokerRefusedError: the broker answered with an error.
    """

    def __init__(
        self,
        settings: Settings,
        symbols: Iterable[str] = (),
        *,
        fetch_records: int = FETCH_RECORDS,
        waiting_records: int = WAITING_RECORDS,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._fetch_records = fetch_records
        self._waiting_records = waiting_records
        self._names = bar_topics_of(settings)
        self._codec = codec_of(settings)
        self._note = ErrorNote()
        self._admin = make_admin(settings, self._note)
        self._probe = self._make_probe()
        self._readings: dict[str, _Reading] = {}
        self._known: dict[tuple[str, str], KnownWhen] = {}
        own: dict[str, ConfigValue] = {
            "group.id": reading_group(settings, "replay"),
            "socket.timeout.ms": _ANSWER_MS,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "allow.auto.create.topics": False,
        }
        self._consumer = make_consumer(settings, self._note, own)
        try:
            self._ends = self._present_ends(symbols)
        except BaseException:
            self._probe.close()
            self._consumer.close()
            raise

    def close(self) -> None:
        """Let the connection go."""
        self._readings.clear()
        self._probe.close()
        self._consumer.close()

    def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
        """As `BarSource.open`; the first record is found by the times of messages, and by the bars where those contradict them.

        Raises:
            HistoryError: the symbol has no topic.
            NobodyThereError: no broker answers.
            BrokerRefusedError: the broker answered with an error.
        """
        of_symbol = self._known.get((symbol, interval)) or (lambda record: _ends_us(record, symbol, interval))
        return self._open(symbol, None, from_us, of_symbol, no_bars(symbol, interval))

    def judge_by(self, symbol: str, interval: str, known: KnownWhen) -> None:
        """As `JudgedSource.judge_by`."""
        self._known[symbol, interval] = known

    def open_extra(self, symbol: str, stream: str, from_us: int) -> OpenedTopic:
        """As `ExtraSource.open_extra`; otherwise as `open`."""
        return self._open(symbol, stream, from_us, known_us, no_extras(symbol, stream))

    def _open(self, symbol: str, stream: str | None, from_us: int, known: KnownWhen, missing: str) -> OpenedTopic:
        try:
            topic = self._names.of(symbol, stream)
        except InvalidSymbolError as error:
            raise HistoryError(str(error)) from None
        if topic not in self._ends:
            self._ends.update(self._present_ends([symbol], stream))
        end = self._ends.get(topic)
        if end is None:
            require_visible(self._settings, {topic: [AclOperation.READ]}, f"asking for topic {topic}")
            where = self._settings.bootstrap_servers
            raise HistoryError(f"there is no topic {topic} at {where}: `streams produce` makes it", reason=missing)
        start = self._asked(f"asking where {topic} begins", lambda: self._probe.start(topic, stream, from_us, end=end, at_us=known))
        # librdkafka would begin to fetch a topic that it has no metadata of a second later.
        with suppress(KafkaException):
            self._consumer.list_topics(topic, BROKER_TIMEOUT_SECONDS)
        reading = self._readings[topic] = _Reading(topic, stream, start.offset, end)
        return OpenedTopic(topic, start.offset, self._records(reading), start.note, lambda: self._stop(reading))

    def _records(self, reading: _Reading) -> Iterator[Read]:
        while True:
            while reading.waiting:
                yield reading.waiting.popleft()
            if reading.is_fetched:
                self._stop(reading)
                return
            self._fetch(reading)

    def _stop(self, reading: _Reading) -> None:
        if self._readings.get(reading.topic) is reading:
            del self._readings[reading.topic]
            self._unassign(reading)

    def _fetch(self, wanted: _Reading) -> None:
        """Fetch until something of the wanted topic waits or it is fetched to its end.

        Raises:
            NobodyThereError: nothing comes for too long.
            BrokerRefusedError: the broker does not let this client read.
        """
        most = max(min(_LEAST_WAITING, self._waiting_records), self._waiting_records // len(self._readings))
        self._assign([one for one in self._readings.values() if not one.assigned and not one.is_fetched and len(one.waiting) <= most // 4])
        deadline = self._clock.monotonic() + _PATIENCE_SECONDS
        while not wanted.waiting and not wanted.is_fetched:
            first = self._consumer.poll(_POLL_SECONDS)
            if first is None:
                if self._clock.monotonic() > deadline:
                    raise NobodyThereError(
                        f"nothing of {wanted.topic} came for {_PATIENCE_SECONDS:g} s, reading stands at offset {wanted.next_offset} of "
                        f"{wanted.end}: is the broker at {self._settings.bootstrap_servers} up?"
                    )
                continue
            # consume() waits to fill its batch, so it only takes what is there already.
            self._take([first, *self._consumer.consume(self._fetch_records - 1, 0)] if self._fetch_records > 1 else [first])
            for reading in [one for one in self._readings.values() if one.assigned and (one.is_fetched or len(one.waiting) >= most)]:
                self._unassign(reading)

    def _take(self, messages: list[Message]) -> None:
        by_topic: dict[str, list[Message]] = {}
        for message in messages:
            error, topic = message.error(), message.topic() or ""
            if error is None:
                by_topic.setdefault(topic, []).append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._end_of(topic, by_topic.pop(topic, []), message.offset() or 0)
            elif error.code() not in _PASSING:
                raise self._explained(error, f"reading {topic}", f"Read on topic {topic}")
        for topic, ones in by_topic.items():
            self._keep(topic, ones)

    def _end_of(self, topic: str, before: list[Message], offset: int) -> None:
        """The topic has nothing after `before` up to `offset`, which may lie behind the last record: transactions leave marks."""
        self._keep(topic, before)
        reading = self._readings.get(topic)
        if reading is not None and reading.assigned:
            reading.next_offset = max(reading.next_offset, offset)

    def _keep(self, topic: str, messages: list[Message]) -> None:
        reading = self._readings.get(topic)
        if reading is None or not reading.assigned or not messages:
            return
        # A topic that was let go and taken up again may still give what was on its way before.
        wanted = [message for message in messages if reading.next_offset <= (message.offset() or 0) < reading.end]
        reading.next_offset = max(reading.next_offset, (messages[-1].offset() or 0) + 1)
        unknown: dict[int, tuple[str, ...]] = {}
        records = self._codec.decode_records(reading.stream, [message.value() for message in wanted], unknown=unknown)
        for place, (message, decoded) in enumerate(zip(wanted, records, strict=True)):
            record = undecodable(decoded, message.value(), header_names(message)) if isinstance(decoded, WireError) else decoded
            reading.waiting.append(Read(message.offset() or 0, record, _sent_us(message), unknown.get(place, ())))

    def _assign(self, readings: list[_Reading]) -> None:
        if readings:
            self._consumer.incremental_assign([TopicPartition(one.topic, 0, one.next_offset) for one in readings])
            for one in readings:
                one.assigned = True

    def _unassign(self, reading: _Reading) -> None:
        if reading.assigned:
            self._consumer.incremental_unassign([TopicPartition(reading.topic, 0)])
            reading.assigned = False

    def _present_ends(self, symbols: Iterable[str], stream: str | None = None) -> dict[str, int]:
        """The read_committed ends of the symbols' topics, of those that exist."""
        topics = []
        for symbol in symbols:
            try:
                topics.append(self._names.of(symbol, stream))
            except InvalidSymbolError:  # said when it is opened
                continue
        present = topics_on(self._admin, self._settings, self._note)
        wanted = [topic for topic in topics if topic in present]
        return self._asked(
            f"asking where {', '.join(wanted)} end", lambda: latest(self._admin, wanted, timeout_seconds=BROKER_TIMEOUT_SECONDS)
        )

    def _asked(self, what: str, ask: Callable[[], T]) -> T:
        def anew(error: KafkaError) -> None:
            self._probe.close()
            self._admin = make_admin(self._settings, self._note)
            self._probe = self._make_probe()

        try:
            return until_answered(ask, anew=anew, clock=self._clock)
        except KafkaException as error:
            self._admin.poll(0)  # hands the connection's errors to the note
            raise self._explained(error.args[0], what, "Read on the topics") from None

    def _explained(self, error: KafkaError, what: str, needs: str) -> StreamsError:
        return explain(error, self._settings, self._note, what, needs=needs, group=reading_group(self._settings, "replay"))

    def _make_probe(self) -> TopicProbe:
        return TopicProbe(self._settings, self._admin, self._codec, group_id=reading_group(self._settings, "replay"), clock=self._clock)


def _sent_us(message: Message) -> int | None:
    kind, milliseconds = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1000


def _ends_us(record: Bar | Quote | Tick, symbol: str, interval: str) -> int | None:
    return record.end_us if isinstance(record, Bar) and (record.symbol, record.interval) == (symbol, interval) else None
