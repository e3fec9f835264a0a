"""What the worker has to ask Kafka about topics: ids, ends, and where a symbol's reading starts.

Each answer is a number or an id that goes into the journal as it was found: nothing here is asked twice for one decision.
The calls block, so they run in a small pool of threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec, TopicDescription
from msgspec import Struct

from streams.client.kafka import leaderless, once_led
from streams.errors import BrokerLostError, StreamsError
from streams.records import SourcePosition
from streams.settings import Settings
from streams.worker.link import broker_lost, is_cut

REQUEST_SECONDS: Final = 10.0
ATTEMPTS: Final = 3
NEW_TOPIC_ATTEMPTS: Final = 200
NEW_TOPIC_PAUSE_SECONDS: Final = 0.02

EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]

T = TypeVar("T")


class TopicMissingError(StreamsError):
    """There is no such topic, and it was not to be created."""


class TopicSplitError(StreamsError):
    """A bar topic has more than one partition: there is no order between them, and only the first is read."""


class SourceRefusedError(StreamsError):
    """The broker answered, and refused what was asked about a topic."""


class TopicLook(Struct, frozen=True):
    """What a topic is like now: its id (None: there is none), how many partitions it has, and where its first one begins and ends.

    `refused` says why the broker does not let us look; the rest is then not known.
    """

    topic_id: str | None = None
    partitions: int = 1
    first: int = 0
    end: int = 0
    refused: str | None = None


# About this one topic, not about the broker or our rights to anything else.
_REFUSED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_EXCEPTION})


class Sources:
    """Asks Kafka about topics.

    Args:
        settings: where Kafka is, and whether and how bar topics may be created.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient({"log_level": 0, **settings.kafka()}, error_cb=lambda error: None)
        self._pause = threading.Event()
        self._pool = ThreadPoolExecutor(4, "sources")

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str | None]:
        """Kafka's id of each topic, None for one that does not exist."""
        return await self._run(lambda: self._topic_ids(list(topics)))

    async def look(self, topics: Iterable[str]) -> dict[str, TopicLook]:
        """What each topic is like now; one that the broker refuses to tell about spoils the answer about no other."""
        return await self._run(lambda: self._look(list(topics)))

    async def ends(self, topics: Iterable[str]) -> dict[str, int]:
        """The read_committed end of each topic."""
        return await self._run(lambda: self._offsets(dict.fromkeys(topics, LATEST)))

    async def beginnings(self, topics: Iterable[str]) -> dict[str, int]:
        """The earliest offset of each topic."""
        return await self._run(lambda: self._offsets(dict.fromkeys(topics, EARLIEST)))

    async def locate(self, topic: str, *, from_us: int, create: bool) -> SourcePosition:
        """Where to read a topic from so that no record with a timestamp after `from_us` is missed.

        Raises:
            TopicMissingError: there is no such topic, and it is not to be created.
            TopicSplitError: it has more than one partition.
        """
        return await self._run(lambda: self._locate(topic, from_us, create))

    def _locate(self, topic: str, from_us: int, create: bool) -> SourcePosition:
        found = self._described([topic])[topic]
        if found is None:
            if not create:
                raise TopicMissingError(f"there is no topic {topic}: produce to it first, or add the symbol without must_exist")
            if not self._settings.create_topics:
                raise TopicMissingError(f"there is no topic {topic}, and STREAMS_CREATE_TOPICS is false: create it with one partition")
            self._create(topic)
            return SourcePosition(self._id_of_new(topic), 0, 0, f"topic {topic} did not exist and was created")
        if len(found.partitions) != 1:
            raise TopicSplitError(
                f"topic {topic} has {len(found.partitions)} partitions and must have 1, since bars in the others would be missed: "
                "delete it and create it with one, then add the symbol again"
            )
        # The end first: a record that comes between the two questions then counts as backlog at most, and is never skipped.
        end = self._offsets({topic: LATEST})[topic]
        at_time = self._offsets({topic: OffsetSpec.for_timestamp(max(0, from_us // 1000 + 1))})[topic]
        offset = end if at_time < 0 else at_time
        is_cut = 0 < offset < end and offset == self._offsets({topic: EARLIEST})[topic]
        note = f"reading begins at offset {offset} of {topic}: what came before is no longer there" if is_cut else None
        return SourcePosition(str(found.topic_id), offset, max(end, offset), note)

    def _create(self, topic: str) -> None:
        new = NewTopic(
            topic,
            num_partitions=1,
            replication_factor=self._settings.replication_factor,
            config={"retention.ms": str(self._settings.bars_retention_ms), "cleanup.policy": "delete"},
        )
        try:
            self._admin.create_topics([new], request_timeout=REQUEST_SECONDS)[topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def _id_of_new(self, topic: str) -> str:
        """The id of a topic that was just created: a broker may not know of it yet."""
        for _ in range(NEW_TOPIC_ATTEMPTS):
            topic_id = self._topic_ids([topic])[topic]
            if topic_id is not None:
                return topic_id
            self._pause.wait(NEW_TOPIC_PAUSE_SECONDS)
        raise BrokerLostError(f"topic {topic} was created, and no broker knows of it")

    def _look(self, topics: list[str]) -> dict[str, TopicLook]:
        for left in reversed(range(ATTEMPTS)):
            refused: dict[str, str] = {}
            described = self._described(topics, refused)
            there = [topic for topic, found in described.items() if found is not None]
            try:
                firsts = self._offsets(dict.fromkeys(there, EARLIEST), refused)
                ends = self._offsets(dict.fromkeys(there, LATEST), refused)
            except KafkaException as error:
                if left and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # deleted between the questions
                raise
            looks = {topic: TopicLook(refused=refused.get(topic)) for topic in topics}
            for topic, found in described.items():
                if found is not None and topic not in refused:
                    looks[topic] = TopicLook(str(found.topic_id), len(found.partitions), firsts[topic], ends[topic])
            return looks
        raise AssertionError

    def _topic_ids(self, topics: list[str]) -> dict[str, str | None]:
        return {topic: None if found is None else str(found.topic_id) for topic, found in self._described(topics).items()}

    def _described(self, topics: list[str], refused: dict[str, str] | None = None) -> dict[str, TopicDescription | None]:
        """Each topic as the broker describes it, None for one that does not exist; refusals go to `refused`, or are raised."""
        if not topics:
            return {}
        described: dict[str, TopicDescription | None] = {}
        for topic, future in self._admin.describe_topics(TopicCollection(topics), request_timeout=REQUEST_SECONDS).items():
            try:
                described[topic] = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART and not _is_refused(topic, error, refused):
                    raise
                described[topic] = None
        return described

    def _offsets(self, specs: dict[str, OffsetSpec], refused: dict[str, str] | None = None) -> dict[str, int]:
        if not specs:
            return {}
        asked = {TopicPartition(topic, 0): spec for topic, spec in specs.items()}

        def ask() -> dict[str, int]:
            futures = self._admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=REQUEST_SECONDS)
            found = {}
            for partition, future in futures.items():
                try:
                    found[partition.topic] = future.result().offset
                except KafkaException as error:
                    if not _is_refused(partition.topic, error, refused):
                        raise
            return found

        return once_led(ask)

    async def _run(self, ask: Callable[[], T]) -> T:
        def attempt() -> T:
            for left in reversed(range(ATTEMPTS)):
                try:
                    return ask()
                except KafkaException as error:
                    what = error.args[0]
                    if not (is_cut(error) or what.retriable() or _has_no_leader(what)):
                        raise SourceRefusedError(f"{what.name()}: {what.str()}") from error
                    if not left:
                        raise broker_lost(self._settings.bootstrap_servers, what.str(), "asking about topics") from error
            raise AssertionError

        return await asyncio.get_running_loop().run_in_executor(self._pool, attempt)


def _has_no_leader(error: KafkaError) -> bool:
    """Whether a topic that is there has had no leader for a while: its broker is away, which says nothing about the topic."""
    return leaderless(error) and error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART


def _is_refused(topic: str, error: KafkaException, refused: dict[str, str] | None) -> bool:
    """Whether the broker has refused this topic alone; it is then noted, where notes are taken."""
    what = error.args[0]
    if refused is None or what.code() not in _REFUSED:
        return False
    refused[topic] = f"{what.name()}: {what.str()}"
    return True
