"""The feed: a side reader of bars and commands, without a group.

It reads each topic from the position that the state gives, never from one of its own: positions are part of the state's
rows, so that input, state and output commit together. One consumer in one thread; what it fetched at once is one batch. The
worker answers for each batch (`done`), and the feed stays at most two batches ahead, live but one.

A batch carries the feed's generation, which a rewind raises, and a number that rises by one: a batch of a former generation
is to be dropped, a gap in the numbers means that batches were lost on the way. Each part carries the assignment that its
topic was read under, so that records fetched for a symbol that was removed meanwhile are known as such, and those of a
topic that is read anew from another place (`is_current`).

Quotes and ticks have a consumer of their own beside the one of bars and commands, made when the first of them is read. Otherwise a
flood of quotes would stand in one queue before the bars, tens of thousands of records long. A batch takes all bars that are
there, and so many quotes as cost no more than a few bars would.

Positions go by the consumer: where a partition's end was reached, the next offset is the end, which may lie behind the last
record, since the markers of transactions have offsets too.

A fetch does not say which topic it came from when one was deleted and created again under the same name. librdkafka learns
of it with the metadata, half a second before it fetches from the new one, and says so on its log alone: a line of that log
puts the topic in doubt, and nothing of a topic in doubt is handed over until it is assigned anew.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AclOperation
from loguru import logger
from msgspec import Struct

from streams.config.settings import Settings
from streams.errors import ForbiddenError
from streams.kafka.clients import reading_group
from streams.kafka.rights import refusal, right
from streams.worker.feed.in_flight import Ahead

MAX_RECORDS: Final = 4000
# Each symbol of a batch costs as much as a few bars do, for the rows that are written of it: where there are many symbols a batch
# is larger, so that it may hold more than a bar or two of each.
MAX_RECORDS_OF_A_TOPIC: Final = 16
MOST_RECORDS: Final = 20_000
FULL_RECORDS: Final = 500
MAX_EXTRA_RECORDS: Final = 4000
"""How many quotes and ticks a batch takes: they cost a fifth of what bars do, so these are ten milliseconds that a bar may wait."""
POLL_SECONDS: Final = 0.005
IDLE_SECONDS: Final = 0.05
METADATA_SECONDS: Final = 10.0
ANSWER_MS: Final = 10_000
"""How long a request waits for a broker, which may stand still: as long as Kafka takes to give its partitions to others."""


class Assignment(Struct, frozen=True):
    """Where to read a topic from, and for whom; `symbol` is None for the control topic, `stream` for bars."""

    offset: int
    symbol: str | None = None
    incarnation: int = 0
    topic_id: str = ""
    stream: str | None = None


class TopicRead(Struct, frozen=True):
    """What was fetched of one topic under an assignment; `at_end` when its end was reached."""

    topic: str
    assignment: Assignment
    next_offset: int
    messages: list[Message]
    at_end: bool

    @property
    def symbol(self) -> str | None:
        """Whose records the topic holds; None for the control topic."""
        return self.assignment.symbol

    @property
    def stream(self) -> str | None:
        """Whether they are quotes or ticks; None for bars."""
        return self.assignment.stream

    @property
    def incarnation(self) -> int:
        """The symbol's incarnation that it was read for."""
        return self.assignment.incarnation


class FeedBatch(Struct, frozen=True):
    """What was fetched at once; `is_full` when it holds so much that there is likely more."""

    generation: int
    number: int
    reads: list[TopicRead]
    is_full: bool = False


class Trouble(Struct, frozen=True):
    """A topic that can't be read on: its position is out of range, it is gone or another one, or (`refused`) it may not be read."""

    generation: int
    topic: str
    assignment: Assignment
    reason: str
    refused: bool = False


_LOST: Final = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)

_CHANGED_ID: Final = re.compile(r"Topic (\S+) changed id from (\S+) to (\S+)")
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"


class _TopicIds(logging.Logger):
    """librdkafka's log, of which only the lines are heard that tell a topic's id; called in the thread that polls."""

    def __init__(self, learn: Callable[[str, str], None]) -> None:
        super().__init__("feed")
        self._learn = learn

    def log(self, level: int, msg: object, *args: object, **options: object) -> None:
        """Take a line."""
        line = str(msg) % args if args else str(msg)
        found = _CHANGED_ID.search(line)
        if found is not None and found[3] != _NO_ID:
            self._learn(found[1], found[3])
        logger.trace("feed: {}", line)


class Feed:
    """Reads topics for the worker.

    Args:
        settings: where Kafka is.
        deliver: takes batches and troubles; called in the feed's thread.
        die: takes an error after which reading can't go on; called in the feed's thread.
    """

    def __init__(
        self, settings: Settings, *, deliver: Callable[[FeedBatch | Trouble], None], die: Callable[[BaseException], object]
    ) -> None:
        self._settings = settings
        properties = settings.kafka()
        self._config: dict[str, object] = {
            "socket.timeout.ms": ANSWER_MS,
            **properties,
            "log_level": 7,
            "debug": f"{properties['debug']},metadata" if properties.get("debug") else "metadata",
            "logger": _TopicIds(self._learn_id),
            "group.id": reading_group(settings, "feed"),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "fetch.queue.backoff.ms": 10,
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": 16_384,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "error_cb": self._note,
        }
        self._deliver = deliver
        self._die = die
        self._operations: queue.SimpleQueue[Callable[[Consumer], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._asking = ThreadPoolExecutor(1, "feed-metadata")
        self._learning: dict[str, Future[bool]] = {}
        self._consumer: Consumer | None = None
        self._extra_consumer: Consumer | None = None
        self._stopping = threading.Event()
        self._ahead = Ahead()
        self._assigned: dict[str, Assignment] = {}
        self._at_end: dict[str, int] = {}
        self._in_doubt: set[str] = set()
        self._number = 0
        self._reading = False
        self._read_generation = 0
        self.generation = 0
        self.assigned: dict[str, Assignment] = {}

    def start(self) -> None:
        """Start the thread; nothing is read before `rewind`."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(METADATA_SECONDS)

    def rewind(self, assignments: Mapping[str, Assignment]) -> None:
        """Begin a new generation: read exactly these topics from these positions."""
        self.generation += 1
        generation, wanted = self.generation, dict(assignments)
        self.assigned = dict(wanted)
        self._ahead = Ahead()
        self._learning.clear()
        self._operations.put(lambda consumer: self._rewind(consumer, generation, wanted))

    def pause(self) -> None:
        """Begin a new generation that reads nothing."""
        self.rewind({})

    def learn(self, topic: str, stream: str | None = None) -> None:
        """Ask where a topic lies that is likely to be added, while its position is still being found."""
        with suppress(RuntimeError):  # the feed is ending
            self._learning[topic] = self._asking.submit(self._look_up, topic, stream)

    def add(self, topic: str, assignment: Assignment) -> None:
        """Read one more topic, or one that is read from another position or for another incarnation."""
        self.assigned[topic] = assignment
        self._operate_soon(lambda consumer: self._add(consumer, topic, assignment))

    def remove(self, topic: str) -> None:
        """Read a topic no more."""
        self.assigned.pop(topic, None)
        self._operate_soon(lambda consumer: self._remove(consumer, topic))

    def _operate_soon(self, operation: Callable[[Consumer], None]) -> None:
        self._operations.put(operation)
        self._ahead.interrupt()

    def done(self, batch: FeedBatch) -> None:
        """The batch has been dealt with: one more may be fetched. A small one has been when it is committed, see `Ahead`."""
        if batch.generation == self.generation:
            self._ahead.done()

    def is_current(self, read: TopicRead) -> bool:
        """Whether the topic is still read as it was for `read`: else what lies before it may not have been read yet."""
        return self.assigned.get(read.topic) is read.assignment

    def end_of(self, topic: str) -> int | None:
        """Where the topic ends, as long as nothing of it is known to be unfetched; batches up to there may be on their way."""
        return self._at_end.get(topic)

    def _look_up(self, topic: str, stream: str | None) -> bool:
        consumer = self._consumer if stream is None else self._extra_consumer
        if consumer is None:
            return False
        try:
            found = consumer.list_topics(topic, METADATA_SECONDS).topics.get(topic)
        except (KafkaException, RuntimeError):  # it is asked again when the topic is added
            return False
        return found is not None and found.error is None

    # ------------------------------------------------------------------------------------- in the thread

    def _run(self) -> None:
        try:
            consumer = self._consumer = self._make_consumer()
            while not self._stopping.is_set():
                self._operate(consumer)
                if not self._reading:
                    self._stopping.wait(IDLE_SECONDS if self._operations.empty() else 0)
                    continue
                ahead = self._ahead
                if ahead.wait(IDLE_SECONDS) and ahead is self._ahead:
                    self._fetch(consumer, ahead)
            # Whoever asks a consumer that is being closed meets memory that is gone.
            extra = self._extra_consumer
            self._consumer = self._extra_consumer = None
            self._asking.shutdown(cancel_futures=True)
            consumer.close()
            if extra is not None:
                extra.close()
        except BaseException as error:  # the worker can't go on without its feed, whatever went wrong
            self._die(error)

    def _operate(self, consumer: Consumer) -> None:
        while True:
            try:
                operation = self._operations.get_nowait()
            except queue.Empty:
                return
            operation(consumer)

    def _fetch(self, consumer: Consumer, ahead: Ahead) -> None:
        """Fetch a batch, if there is one, and hand it over."""
        first = consumer.poll(POLL_SECONDS)
        messages = [] if first is None else [first]
        if first is not None:
            count = min(max(MAX_RECORDS, MAX_RECORDS_OF_A_TOPIC * len(self._assigned)), MOST_RECORDS)
            messages += consumer.consume(count - 1, 0)
        extra = [] if self._extra_consumer is None else self._extra_consumer.consume(MAX_EXTRA_RECORDS, 0)
        if messages or extra:
            self._hand_over([*messages, *extra], ahead, has_more=len(extra) == MAX_EXTRA_RECORDS)

    def _hand_over(self, messages: list[Message], ahead: Ahead, *, has_more: bool) -> None:
        by_topic: dict[str, list[Message]] = {}
        ends: dict[str, int] = {}
        for message in messages:
            topic = message.topic() or ""
            error = message.error()
            if error is None:
                by_topic.setdefault(topic, []).append(message)
                ends.pop(topic, None)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[topic] = message.offset() or 0
            else:
                self._judge(topic, error)
        reads = []
        for topic in {**by_topic, **ends}:
            assignment = self._assigned.get(topic)
            if assignment is None or topic in self._in_doubt:
                continue
            messages = by_topic.get(topic, [])
            next_offset = ends[topic] if topic in ends else (messages[-1].offset() or 0) + 1
            if topic in ends:
                self._at_end[topic] = next_offset
            else:
                self._at_end.pop(topic, None)
            reads.append(TopicRead(topic, assignment, next_offset, messages, topic in ends))
        if reads:
            self._number += 1
            is_full = has_more or sum(len(read.messages) for read in reads if read.stream is None) >= FULL_RECORDS
            ahead.took(full=is_full)
            self._deliver(FeedBatch(self._read_generation, self._number, reads, is_full))

    def _judge(self, topic: str, error: KafkaError) -> None:
        assignment = self._assigned.get(topic)
        if error.code() in _LOST and assignment is not None:
            self._at_end.pop(topic, None)  # it is read no further, so nobody knows
            refused = error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
            if refused and assignment.symbol is None:  # commands would be missed
                self._die(ForbiddenError(refusal(self._settings, [right(AclOperation.READ, f"topic {topic}")])))
            self._deliver(Trouble(self._read_generation, topic, assignment, f"{error.name()}: {error.str()}", refused))
        elif error.fatal():
            raise KafkaException(error)
        else:
            logger.bind(topic=topic).warning("feed: {}", error.str())

    def _learn_id(self, topic: str, topic_id: str) -> None:
        assignment = self._assigned.get(topic)
        if assignment is not None and assignment.topic_id not in ("", topic_id):
            self._in_doubt.add(topic)
            self._at_end.pop(topic, None)
            reason = f"its id is {topic_id}, not {assignment.topic_id}"
            self._deliver(Trouble(self._read_generation, topic, assignment, reason))

    def _note(self, error: KafkaError) -> None:
        if error.fatal():
            self._die(KafkaException(error))
        logger.debug("feed: {}", error.str())

    def _rewind(self, consumer: Consumer, generation: int, wanted: dict[str, Assignment]) -> None:
        if generation != self.generation:
            return  # a later rewind is on its way
        self._read_generation, self._number = generation, 0
        self._assigned = wanted
        self._at_end.clear()
        self._in_doubt.clear()
        for one in self._consumers(consumer, wanted.values()):
            here = {topic: assignment for topic, assignment in wanted.items() if (assignment.stream is None) == (one is consumer)}
            if here:
                self._hasten(one)
            one.assign([TopicPartition(topic, 0, assignment.offset) for topic, assignment in here.items()])
        self._reading = bool(wanted)

    def _consumers(self, consumer: Consumer, wanted: Iterable[Assignment]) -> list[Consumer]:
        """The consumer of bars, and where there is one, or has to be, that of quotes and ticks."""
        if self._extra_consumer is None and any(assignment.stream is not None for assignment in wanted):
            self._extra_consumer = self._make_consumer()
        return [consumer] if self._extra_consumer is None else [consumer, self._extra_consumer]

    def _consumer_of(self, consumer: Consumer, assignment: Assignment) -> Consumer:
        return consumer if assignment.stream is None else self._consumers(consumer, [assignment])[-1]

    def _make_consumer(self) -> Consumer:
        return Consumer(self._config)

    def _add(self, consumer: Consumer, topic: str, assignment: Assignment) -> None:
        learning = self._learning.pop(topic, None)  # it goes for this addition alone, whatever becomes of it
        if topic in self._assigned:
            if self._assigned[topic] is assignment:
                return  # a rewind between the request and here has done it
            self._remove(consumer, topic)
        consumer = self._consumer_of(consumer, assignment)
        # librdkafka would begin to fetch a topic that it has no metadata of 0.8 s later.
        if learning is None or learning.cancelled() or not learning.result():
            self._hasten(consumer, topic)
        self._in_doubt.discard(topic)
        self._assigned[topic] = assignment
        self._at_end.pop(topic, None)
        consumer.incremental_assign([TopicPartition(topic, 0, assignment.offset)])

    @staticmethod
    def _hasten(consumer: Consumer, topic: str | None = None) -> None:
        """Ask for metadata, so that fetching begins at once. Without an answer it begins by itself, when a broker answers."""
        try:
            consumer.list_topics(timeout=METADATA_SECONDS) if topic is None else consumer.list_topics(topic, METADATA_SECONDS)
        except KafkaException as error:
            logger.debug("feed: no metadata yet: {}", error.args[0].str())

    def _remove(self, consumer: Consumer, topic: str) -> None:
        assignment = self._assigned.pop(topic, None)
        if assignment is not None:
            self._consumer_of(consumer, assignment).incremental_unassign([TopicPartition(topic, 0)])
            self._at_end.pop(topic, None)
