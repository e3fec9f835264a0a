"""What the worker has to ask Kafka about topics: ids, ends, and where a symbol's reading starts.

Each answer is a number or an id that goes into the journal as it was found: nothing here is asked twice for one decision.
The calls block, so they run in a small pool of threads.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, NewTopic, ResourceType, TopicDescription
from msgspec import Struct

from streams.config.settings import Settings
from streams.errors import BrokerLostError, StreamsError
from streams.kafka.asking import PATIENCE_SECONDS, passes, until_answered
from streams.kafka.clients import codec_of, reading_group
from streams.kafka.offsets import at_time, earliest, latest
from streams.kafka.probing import AtUs, Start, TopicProbe
from streams.kafka.rights import FORBIDDEN, refusal
from streams.model.records import SourcePosition
from streams.times import Clock, SystemClock
from streams.wire.codec import Codec
from streams.worker.link import broker_lost, plain
from streams.worker.sources.unchecked import Unchecked

REQUEST_SECONDS: Final = 5.0
"""How long one attempt may take: those of before Kafka has found new leaders are in vain, and are to be over soon after it has."""
ATTEMPTS: Final = 3
NEW_TOPIC_ATTEMPTS: Final = 200
NEW_TOPIC_PAUSE_SECONDS: Final = 0.02

T = TypeVar("T")


class TopicMissingError(StreamsError):
    """There is no such topic, and it was not to be created."""


class TopicSplitError(StreamsError):
    """A bar topic has more than one partition: there is no order between them, and only the first is read."""


class SourceRefusedError(StreamsError):
    """The broker answered, and refused what was asked about a topic."""


class TopicLook(Struct, frozen=True):
    """What a topic is like now: its id (None: there is none), how many partitions it has, and where its first one begins and ends.

    `refused` says why the broker does not let us look; the rest is then not known. `may_read` is None where the broker does not tell.
    """

    topic_id: str | None = None
    partitions: int = 1
    first: int = 0
    end: int = 0
    refused: str | None = None
    may_read: bool | None = None


# About this one topic, not about the broker or our rights to anything else.
_REFUSED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_EXCEPTION})
_READ_REFUSED: Final = "TOPIC_AUTHORIZATION_FAILED: Read is not among the operations that are allowed"


class Sources:
    """Asks Kafka about topics.

    Args:
        settings: where Kafka is, and whether and how bar topics may be created.
        codec: reads the records by which a position is judged; by default that of the settings.
        patience_seconds: how long a question is asked again that nobody answers.
        clock: for deadlines.
    """

    def __init__(
        self, settings: Settings, codec: Codec | None = None, *, patience_seconds: float = PATIENCE_SECONDS, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._codec = codec or codec_of(settings)
        self._admin = self._make_admin()
        self._probes: queue.SimpleQueue[TopicProbe] = queue.SimpleQueue()
        self._patience_seconds = patience_seconds
        self._clock = SystemClock() if clock is None else clock
        self._unanswered: dict[object, Unchecked] = {}
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(4, "sources")

    def close(self) -> None:
        """Let the threads go."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._drop_probes()

    @property
    def unanswered(self) -> Unchecked | None:
        """The question that has been asked again and again for longest; None when each is answered."""
        return min(list(self._unanswered.values()), key=lambda one: one.since, default=None)

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str | None]:
        """Kafka's id of each topic, None for one that does not exist."""
        names = list(topics)
        return await self._run(lambda: self._topic_ids(names), names)

    async def look(self, topics: Iterable[str]) -> dict[str, TopicLook]:
        """What each topic is like now; one that the broker refuses to tell about spoils the answer about no other."""
        names = list(topics)
        return await self._run(lambda: self._look(names), names)

    async def ends(self, topics: Iterable[str]) -> dict[str, int]:
        """The read_committed end of each topic."""
        names = list(topics)
        return await self._run(lambda: latest(self._admin, names, timeout_seconds=REQUEST_SECONDS), names)

    async def beginnings(self, topics: Iterable[str]) -> dict[str, int]:
        """The earliest offset of each topic."""
        names = list(topics)
        return await self._run(lambda: earliest(self._admin, names, timeout_seconds=REQUEST_SECONDS), names)

    async def locate(self, topic: str, *, stream: str | None, from_us: int, at_us: AtUs, create: bool) -> SourcePosition:
        """Where to read a topic from so that no record of after `from_us` is missed: see `streams.kafka.positions`.

        Args:
            topic: which.
            stream: `quotes` or `ticks`; None for bars.
            from_us: an instant.
            at_us: which instant a record is of, None for one that does not matter.
            create: make the topic where it is missing.

        Raises:
            TopicMissingError: there is no such topic, and it is not to be created.
            TopicSplitError: it has more than one partition.
        """
        operation = "Read, or Create where it does not exist," if create else "Read"
        return await self._run(lambda: self._locate(topic, stream, from_us, at_us, create), [topic], operation)

    async def settings(self, topics: Iterable[str]) -> dict[str, dict[str, str | None]]:
        """The settings of each topic, as far as the broker tells them to this user."""
        names = list(topics)
        return await self._run(lambda: self._settings_of(names), names, "DescribeConfigs")

    def _settings_of(self, topics: list[str]) -> dict[str, dict[str, str | None]]:
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        found: dict[str, dict[str, str | None]] = {}
        admin = self._admin  # as in `_described`
        for resource, answer in admin.describe_configs(resources, request_timeout=REQUEST_SECONDS).items():
            try:
                found[resource.name] = {key: entry.value for key, entry in answer.result().items()}
            except KafkaException as error:
                if passes(error.args[0]):
                    raise  # nobody has answered: that a topic has no settings would take back what was warned of
                found[resource.name] = {}  # to look at them takes a right of its own, and nothing depends on it
        return found

    def _locate(self, topic: str, stream: str | None, from_us: int, at_us: AtUs, create: bool) -> SourcePosition:
        found = self._described([topic])[topic]
        if found is None:
            if not create:
                raise TopicMissingError(f"there is no topic {topic}: produce to it first, or add the symbol without must_exist")
            if not self._settings.create_topics:
                raise TopicMissingError(f"there is no topic {topic}, and STREAMS_CREATE_TOPICS is false: create it with one partition")
            is_new = self._create(topic)
            # It may be there although whoever was asked first did not know it yet. The next one that is asked may not know it either.
            found = self._once_known(topic)
            if is_new:
                return SourcePosition(str(found.topic_id), 0, 0, f"topic {topic} did not exist and was created")
        if len(found.partitions) != 1:
            raise TopicSplitError(
                f"topic {topic} has {len(found.partitions)} partitions and must have 1, since bars in the others would be missed: "
                "delete it and create it with one, then add the symbol again"
            )
        # The end first: a record that comes between the two questions then counts as backlog at most, and is never skipped.
        end = latest(self._admin, [topic], timeout_seconds=REQUEST_SECONDS)[topic]
        start = self._start(topic, stream, from_us, end, at_us)
        return SourcePosition(str(found.topic_id), start.offset, max(end, start.offset), start.note)

    def _start(self, topic: str, stream: str | None, from_us: int, end: int, at_us: AtUs) -> Start:
        try:
            probe = self._probes.get_nowait()
        except queue.Empty:
            group = reading_group(self._settings, "positions")
            probe = TopicProbe(self._settings, self._admin, self._codec, group_id=group, timeout_seconds=REQUEST_SECONDS)
        try:
            start = probe.start(topic, stream, from_us, end=end, at_us=at_us)
        except KafkaException as error:
            probe.close()
            if error.args[0].code() not in _REFUSED:
                raise
            # The feed is refused as well, and says so: the symbol is not to fail for another reason than it would later.
            found = at_time(self._admin, [topic], from_us // 1000 + 1, timeout_seconds=REQUEST_SECONDS)[topic]
            return Start(end if found is None else min(found, end))
        except BaseException:
            probe.close()
            raise
        self._probes.put(probe)
        return start

    def _drop_probes(self) -> None:
        while True:
            try:
                self._probes.get_nowait().close()
            except queue.Empty:
                return

    def _make_admin(self) -> AdminClient:
        return AdminClient({"log_level": 0, **self._settings.kafka()}, error_cb=lambda error: None)

    def _create(self, topic: str) -> bool:
        """Create a topic; whether it was not there."""
        new = NewTopic(
            topic,
            num_partitions=1,
            replication_factor=self._settings.replication_factor,
            config={"retention.ms": str(self._settings.bars_retention_ms), "cleanup.policy": "delete"},
        )
        try:
            admin = self._admin  # as in `_described`
            admin.create_topics([new], request_timeout=REQUEST_SECONDS)[topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    def _once_known(self, topic: str) -> TopicDescription:
        """A topic that was just created, once a broker that is asked knows of it."""
        for _ in range(NEW_TOPIC_ATTEMPTS):
            found = self._described([topic])[topic]
            if found is not None:
                return found
            self._stopping.wait(NEW_TOPIC_PAUSE_SECONDS)
        raise BrokerLostError(f"topic {topic} was created, and no broker knows of it")

    def _look(self, topics: list[str]) -> dict[str, TopicLook]:
        for left in reversed(range(ATTEMPTS)):
            refused: dict[str, str] = {}
            note = partial(_is_refused, refused=refused)
            described = self._described_twice(topics, refused)
            there = [topic for topic, found in described.items() if found is not None]
            try:
                firsts = earliest(self._admin, there, timeout_seconds=REQUEST_SECONDS, refused=note)
                ends = latest(self._admin, there, timeout_seconds=REQUEST_SECONDS, refused=note)
            except KafkaException as error:
                if left and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # deleted between the questions
                raise
            looks = {topic: TopicLook(refused=refused.get(topic)) for topic in topics}
            for topic, found in described.items():
                if found is not None and topic not in refused:
                    allowed = getattr(found, "authorized_operations", None)
                    may_read = None if allowed is None else AclOperation.READ in allowed
                    looks[topic] = TopicLook(
                        str(found.topic_id),
                        len(found.partitions),
                        firsts[topic],
                        ends[topic],
                        _READ_REFUSED if may_read is False else None,
                        may_read,
                    )
            return looks
        raise AssertionError

    def _topic_ids(self, topics: list[str]) -> dict[str, str | None]:
        return {topic: None if found is None else str(found.topic_id) for topic, found in self._described_twice(topics).items()}

    def _described_twice(self, topics: list[str], refused: dict[str, str] | None = None) -> dict[str, TopicDescription | None]:
        """As `_described`; that a topic is gone is asked of a new client too, since what follows from it is not taken back."""
        described = self._described(topics, refused)
        gone = [topic for topic, found in described.items() if found is None and topic not in (refused or {})]
        if gone:
            self._admin = self._make_admin()
            described |= self._described(gone, refused)
        return described

    def _described(self, topics: list[str], refused: dict[str, str] | None = None) -> dict[str, TopicDescription | None]:
        """Each topic as the broker describes it, None for one that does not exist; refusals go to `refused`, or are raised."""
        if not topics:
            return {}
        described: dict[str, TopicDescription | None] = {}
        admin = self._admin  # held while its answers are awaited: another question may replace it meanwhile
        for topic, future in admin.describe_topics(
            TopicCollection(topics), include_authorized_operations=True, request_timeout=REQUEST_SECONDS
        ).items():
            try:
                found = described[topic] = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART and not _is_refused(topic, error, refused):
                    raise
                described[topic] = None
                continue
            if not found.partitions:  # a topic has at least one: whoever was asked does not know it yet
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"no partition of {topic} is known"))
        return described

    async def _run(self, ask: Callable[[], T], topics: Iterable[str], operation: str = "Describe") -> T:
        needs = f"{operation} on topic {', '.join(topics)}"
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._until_answered, ask, needs)

    def _until_answered(self, ask: Callable[[], T], needs: str) -> T:
        question = object()

        def anew(error: KafkaError) -> None:
            self._unanswered.setdefault(question, Unchecked(self._clock.monotonic(), plain(error.str())))
            self._admin = self._make_admin()
            self._drop_probes()

        try:
            return until_answered(ask, anew=anew, patience_seconds=self._patience_seconds, clock=self._clock, stopping=self._stopping)
        except KafkaException as error:
            what = error.args[0]
            if passes(what):
                raise broker_lost(self._settings.bootstrap_servers, what.str(), "asking about topics") from error
            if what.code() in FORBIDDEN:
                raise SourceRefusedError(f"{refusal(self._settings, [needs])}, {what.name()}") from error
            raise SourceRefusedError(f"{what.name()}: {what.str()}") from error
        finally:
            self._unanswered.pop(question, None)


def _is_refused(topic: str, error: KafkaException, refused: dict[str, str] | None) -> bool:
    """Whether the broker has refused this topic alone; it is then noted, where notes are taken."""
    what = error.args[0]
    if refused is None or what.code() not in _REFUSED:
        return False
    refused[topic] = f"{what.name()}: {what.str()}"
    return True
