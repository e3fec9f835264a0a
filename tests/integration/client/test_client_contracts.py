"""What the worker leans on in confluent-kafka and the librdkafka below it, each on a real broker, by the feed's and the ledger's settings.

A test that fails here says what a new version has moved, and what of ours leans on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.config.settings import Settings
from streams.times import SystemClock
from streams.wire import deadletter
from streams.worker.feed import feed as feeding
from streams.worker.feed.feed import Feed
from streams.worker.ledger.ledger import _FENCED, Ledger
from tests.support import create_topics, unique_name, wait_until
from tests.support.sessions.desk import delete_topic

PATIENCE_SECONDS = 20.0
LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@pytest.fixture
def topic(bootstrap_servers: str) -> str:
    """A topic of the test's own."""
    name = unique_name("contract")
    create_topics(bootstrap_servers, name)
    return name


@pytest.fixture
def admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap_servers})


class Ids(logging.Logger):
    """The feed's own listener, which notes in which thread it was called."""

    def __init__(self) -> None:
        super().__init__("contract")
        self.learned: list[tuple[str, str]] = []
        self.threads: set[threading.Thread] = set()
        self._heard = feeding._TopicIds(lambda topic, topic_id: self.learned.append((topic, topic_id)))

    def log(self, level: int, msg: object, *args: object, **options: object) -> None:
        self.threads.add(threading.current_thread())
        self._heard.log(level, msg, *args, **options)


@pytest.fixture
def ids() -> Ids:
    return Ids()


@pytest.fixture
def consumer(bootstrap_servers: str, ids: Ids) -> Iterator[Consumer]:
    """A consumer with the feed's settings."""
    settings = Settings.load(bootstrap_servers=bootstrap_servers)
    config = Feed(settings, deliver=lambda item: None, die=lambda error: None)._config
    made = Consumer({**config, "group.id": unique_name("never-made"), "logger": ids})
    yield made
    made.close()


def producer_of(servers: str, transactional_id: str | None = None) -> Producer:
    """A producer; with a transactional id one with the ledger's settings, which has taken over."""
    if transactional_id is None:
        return Producer({"bootstrap.servers": servers, "linger.ms": 0})
    settings = Settings.load(bootstrap_servers=servers)
    made = Producer(Ledger(settings, transactional_id=transactional_id, changelog="none", analysis="none", clock=SystemClock())._config)
    made.init_transactions(PATIENCE_SECONDS)
    return made


def fill(servers: str, topic: str, count: int) -> None:
    producer = producer_of(servers)
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=0, timestamp=1_381_152_600_000 + number)
    assert producer.flush(PATIENCE_SECONDS) == 0


def write_transaction(producer: Producer, topic: str, count: int, *, abort: bool = False) -> None:
    producer.begin_transaction()
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=0)
    if abort:
        producer.flush(PATIENCE_SECONDS)
        producer.abort_transaction(PATIENCE_SECONDS)
    else:
        producer.commit_transaction(PATIENCE_SECONDS)


def polled(consumer: Consumer, enough: Callable[[list[Message]], bool], what: str) -> list[Message]:
    """What poll gives until it is enough."""
    got: list[Message] = []

    def is_enough() -> bool:
        message = consumer.poll(0.1)
        if message is not None:
            got.append(message)
        return enough(got)

    wait_until(is_enough, what, PATIENCE_SECONDS)
    return got


def at_end(messages: list[Message]) -> bool:
    return bool(messages) and code_of(messages[-1]) == KafkaError._PARTITION_EOF


def code_of(message: Message) -> int | None:
    error = message.error()
    return None if error is None else error.code()


def end_of(admin: AdminClient, topic: str) -> int:
    partition = TopicPartition(topic, 0)
    asked = admin.list_offsets({partition: LATEST}, isolation_level=IsolationLevel.READ_COMMITTED)
    found: int = asked[partition].result(PATIENCE_SECONDS).offset
    return found


# ---------------------------------------------------------------------------------------------------------- positions


def test_a_position_out_of_range_is_told_once_as_an_error_that_the_feed_takes_for_a_loss(
    bootstrap_servers: str, topic: str, consumer: Consumer
) -> None:
    fill(bootstrap_servers, topic, 3)
    consumer.assign([TopicPartition(topic, 0, 20)])
    (first, *_) = polled(consumer, bool, "an error about the position")
    assert code_of(first) == KafkaError._AUTO_OFFSET_RESET, (
        f"auto.offset.reset=error now gives {first.error()}: the feed would not notice a truncated topic"
    )
    assert code_of(first) in feeding._LOST
    assert first.topic() == topic, "the error no longer says which topic it is about"


def test_the_end_of_a_topic_is_told_with_the_next_offset_also_where_markers_and_aborted_records_lie_before_it(
    bootstrap_servers: str, topic: str, consumer: Consumer, admin: AdminClient
) -> None:
    producer = producer_of(bootstrap_servers, topic)
    write_transaction(producer, topic, 2)
    write_transaction(producer, topic, 3, abort=True)
    consumer.assign([TopicPartition(topic, 0, 0)])
    got = polled(consumer, at_end, "the end of the topic")
    assert [message.offset() for message in got[:-1]] == [0, 1], "aborted records are handed over: read_committed is not in force"
    # Two records and a marker, three aborted records and a marker.
    assert got[-1].offset() == 7, "the end no longer counts markers: draining and catching up would wait for ever"
    assert end_of(admin, topic) == 7, "list_offsets and the consumer no longer agree on the end"


def test_the_committed_end_lies_before_a_transaction_that_is_open(bootstrap_servers: str, topic: str, admin: AdminClient) -> None:
    fill(bootstrap_servers, topic, 2)
    producer = producer_of(bootstrap_servers, topic)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    assert producer.flush(PATIENCE_SECONDS) == 0, "flush no longer delivers the records of an open transaction"
    assert end_of(admin, topic) == 2, "list_offsets no longer heeds read_committed: a backlog's end could not be reached"
    producer.abort_transaction(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("asked_ms", "found", "why"),
    [
        (0, 0, "a time before the first record is the first record"),
        (1_381_152_600_001, 1, "the first record that is as late"),
        (1_381_152_600_009, -1, "none is as late: not the end, but -1"),
    ],
)
def test_an_offset_by_time(bootstrap_servers: str, topic: str, admin: AdminClient, asked_ms: int, found: int, why: str) -> None:
    fill(bootstrap_servers, topic, 3)
    partition = TopicPartition(topic, 0)
    spec = OffsetSpec.for_timestamp(asked_ms)  # type: ignore[no-untyped-call]
    assert admin.list_offsets({partition: spec})[partition].result(PATIENCE_SECONDS).offset == found, why


# --------------------------------------------------------------------------------------------------------- assignments


def test_a_topic_is_added_and_taken_away_without_disturbing_the_others(bootstrap_servers: str, topic: str, consumer: Consumer) -> None:
    other = unique_name("contract")
    create_topics(bootstrap_servers, other)
    fill(bootstrap_servers, topic, 3)
    fill(bootstrap_servers, other, 4)
    consumer.assign([TopicPartition(topic, 0, 1)])
    polled(consumer, at_end, "the end of the first topic")
    consumer.incremental_assign([TopicPartition(other, 0, 2)])
    got = polled(consumer, at_end, "the end of the second topic")
    assert {message.topic() for message in got} == {other}, "incremental_assign reads what was assigned before anew"
    assert [message.offset() for message in got] == [2, 3, 4]
    consumer.incremental_unassign([TopicPartition(other, 0)])
    fill(bootstrap_servers, other, 1)
    fill(bootstrap_servers, topic, 1)
    got = polled(consumer, at_end, "one more record of the first topic")
    assert [(message.topic(), message.offset()) for message in got] == [(topic, 3), (topic, 4)]


def test_a_topic_can_not_be_assigned_twice(topic: str, consumer: Consumer) -> None:
    consumer.assign([TopicPartition(topic, 0, 0)])
    with pytest.raises(KafkaException) as raised:
        consumer.incremental_assign([TopicPartition(topic, 0, 0)])
    assert raised.value.args[0].code() == KafkaError._CONFLICT, "the feed takes a topic away before it reads it from another place"


def test_asking_for_many_after_the_first_gives_what_is_there_and_waits_for_no_more(
    bootstrap_servers: str, topic: str, consumer: Consumer
) -> None:
    fill(bootstrap_servers, topic, 50)
    consumer.assign([TopicPartition(topic, 0, 0)])
    got: list[Message] = []

    def is_read() -> bool:
        first = consumer.poll(0.1)
        if first is not None:
            got.extend((first, *consumer.consume(1000, 0)))
        return at_end(got)

    wait_until(is_read, "50 records and the end", PATIENCE_SECONDS)
    assert [message.offset() for message in got] == list(range(51)), "consume(n, 0) after poll loses or repeats records"


def test_reading_by_assignment_makes_no_group(bootstrap_servers: str, topic: str, consumer: Consumer, admin: AdminClient) -> None:
    fill(bootstrap_servers, topic, 1)
    consumer.assign([TopicPartition(topic, 0, 0)])
    polled(consumer, at_end, "the end of the topic")
    groups = admin.list_consumer_groups().result(PATIENCE_SECONDS)
    assert not [group.group_id for group in groups.valid if group.group_id.startswith("never-made")], (
        "the feed's consumer joins or commits to a group"
    )


# ----------------------------------------------------------------------------------------------- topics created again


def test_a_topic_created_again_is_told_by_the_log_before_its_records_come_and_by_nothing_else(
    bootstrap_servers: str, topic: str, consumer: Consumer, ids: Ids, admin: AdminClient
) -> None:
    def described() -> str:
        return str(admin.describe_topics(TopicCollection([topic]))[topic].result(PATIENCE_SECONDS).topic_id)

    fill(bootstrap_servers, topic, 3)
    consumer.assign([TopicPartition(topic, 0, 0)])
    polled(consumer, at_end, "the end of the topic")
    assert ids.learned == [(topic, described())], (
        "librdkafka no longer logs, under debug=metadata, `Topic NAME changed id from ... to ...` with the id that describe_topics gives: "
        "the feed learns of a topic created again only by the worker's check every ten seconds"
    )
    assert ids.threads == {threading.current_thread()}, "the log comes in another thread than the one that polls: the feed has no lock"
    delete_topic(admin, topic)
    create_topics(bootstrap_servers, topic)
    fill(bootstrap_servers, topic, 10)
    got = polled(consumer, lambda messages: any(code_of(message) is None for message in messages), "a record of the new topic")
    assert ids.learned[1:] == [(topic, described())], "the new id comes after the new topic's records: they would be read from the middle"
    if [code_of(message) for message in got] == [None]:
        assert got[0].offset() == 3, "librdkafka has begun to tell a topic created again by itself: the feed need not listen to its log"


def test_a_topic_that_is_not_there_is_described_as_an_error_of_its_own_and_not_created(topic: str, admin: AdminClient) -> None:
    missing = unique_name("missing")
    futures = admin.describe_topics(TopicCollection([missing, topic]))
    assert len(futures[topic].result(PATIENCE_SECONDS).partitions) == 1, "one missing topic spoils the answer about others"
    with pytest.raises(KafkaException) as raised:
        futures[missing].result(PATIENCE_SECONDS)
    assert raised.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert missing not in admin.list_topics(timeout=PATIENCE_SECONDS).topics


# -------------------------------------------------------------------------------------------------------- transactions


def test_a_commit_delivers_all_that_was_produced_and_reports_each_record_before_it_returns(bootstrap_servers: str, topic: str) -> None:
    reported: list[int | None] = []
    producer = producer_of(bootstrap_servers, topic)
    producer.begin_transaction()
    for _ in range(500):
        producer.produce(topic, b"value", None, 0, lambda error, message: reported.append(message.offset()), None, 1_000, [])
    producer.commit_transaction(PATIENCE_SECONDS)
    assert reported == list(range(500)), "commit_transaction no longer flushes and polls: the ledger would not know its rows' offset"


def test_who_takes_over_aborts_what_is_open_and_fences_who_wrote_it(bootstrap_servers: str, topic: str, admin: AdminClient) -> None:
    former = producer_of(bootstrap_servers, topic)
    former.begin_transaction()
    former.produce(topic, b"of the former owner", partition=0)
    assert former.flush(PATIENCE_SECONDS) == 0
    producer_of(bootstrap_servers, topic)
    assert end_of(admin, topic) == 2, "init_transactions returns before the former transaction is aborted: a barrier could come first"
    with pytest.raises(KafkaException) as raised:
        former.commit_transaction(PATIENCE_SECONDS)
    error = raised.value.args[0]
    assert error.code() in _FENCED, f"a fenced producer is now told {error.name()}: the worker would call that a failed transaction"
    assert error.fatal()


def test_a_record_that_is_too_large_is_refused_at_once_and_the_largest_dead_letter_is_not(bootstrap_servers: str, topic: str) -> None:
    producer = producer_of(bootstrap_servers, topic)
    producer.begin_transaction()
    key, value, headers = deadletter.fitted(b"k" * 1_000, b"v" * 10_000_000, [("h", b"h" * 1_000)], [("own", b"o" * 5_000)])
    producer.produce(topic, value, key, 0, headers=headers)
    producer.commit_transaction(PATIENCE_SECONDS)
    producer.begin_transaction()
    with pytest.raises(KafkaException) as raised:
        producer.produce(topic, b"v" * 2_000_000, partition=0)
    assert raised.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    producer.abort_transaction(PATIENCE_SECONDS)
