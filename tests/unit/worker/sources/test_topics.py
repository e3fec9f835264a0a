"""What Kafka says about topics, one of which it may refuse: by an admin client that answers as the test says."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation

from streams.config.settings import Settings
from streams.worker.sources.topics import SourceRefusedError, Sources, TopicLook, TopicSplitError

PATIENCE_SECONDS = 20.0


class Admin:
    """Topics by name: an id, or the code of the error that is answered to a question about it."""

    def __init__(self, described: dict[str, str | int], offsets: dict[str, int] | None = None) -> None:
        self.described = described
        self.offsets = offsets or {}
        self.asked = 0

    def describe_topics(self, topics: TopicCollection, **options: Any) -> dict[str, Future[Any]]:
        self.asked += 1
        return {topic: answer(_described(self.described[topic])) for topic in topics.topic_names}

    def list_offsets(self, specs: dict[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Future[Any]]:
        refused = {partition.topic: -code for partition in specs if (code := self.offsets.get(partition.topic, 7)) < 0}
        return {
            partition: answer(failure(refused[partition.topic]) if partition.topic in refused else SimpleNamespace(offset=7))
            for partition in specs
        }


def _described(found: str | int) -> Any:
    return failure(found) if isinstance(found, int) else SimpleNamespace(topic_id=found, partitions=[0])


def failure(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def answer(what: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(what, Exception):
        future.set_exception(what)
    else:
        future.set_result(what)
    return future


def looked(admin: Admin) -> dict[str, TopicLook]:
    sources = Sources(Settings.load(bootstrap_servers="127.0.0.1:1"))
    sources._admin = admin  # type: ignore[assignment]
    sources._make_admin = lambda: admin  # type: ignore[method-assign, assignment, return-value]
    try:
        return asyncio.run(asyncio.wait_for(sources.look(list(admin.described)), PATIENCE_SECONDS))
    finally:
        sources.close()


AT_SEVEN = TopicLook("id", 1, 7, 7)


@pytest.mark.parametrize(
    ("admin", "why"),
    [
        (Admin({"fine": "id", "denied": KafkaError.TOPIC_AUTHORIZATION_FAILED}), "not even its id is told"),
        (Admin({"fine": "id", "denied": "id"}, {"denied": -KafkaError.TOPIC_AUTHORIZATION_FAILED}), "its offsets are not told"),
    ],
)
def test_a_topic_that_is_refused_spoils_the_answer_about_no_other(admin: Admin, why: str) -> None:
    found = looked(admin)
    assert found["fine"] == AT_SEVEN, why
    assert found["denied"].topic_id is None
    assert (found["denied"].refused or "").startswith("TOPIC_AUTHORIZATION_FAILED: "), why


def test_a_topic_that_is_not_there_is_no_refusal() -> None:
    assert looked(Admin({"fine": "id", "gone": KafkaError.UNKNOWN_TOPIC_OR_PART})) == {"fine": AT_SEVEN, "gone": TopicLook()}


def test_a_refusal_that_is_about_more_than_a_topic_is_told_to_the_caller() -> None:
    with pytest.raises(SourceRefusedError, match="CLUSTER_AUTHORIZATION_FAILED"):
        looked(Admin({"fine": "id", "denied": KafkaError.CLUSTER_AUTHORIZATION_FAILED}))


def test_a_topic_that_may_be_described_and_not_read_is_refused_by_what_the_broker_allows() -> None:
    admin = Admin({"bars.SPY": "id", "bars.IBM": "id"})
    operations = {"bars.SPY": [AclOperation.DESCRIBE, AclOperation.WRITE], "bars.IBM": [AclOperation.DESCRIBE, AclOperation.READ]}

    def describe_topics(topics: TopicCollection, **options: Any) -> dict[str, Future[Any]]:
        assert options["include_authorized_operations"] is True
        found = {
            topic: SimpleNamespace(topic_id="id", partitions=[0], authorized_operations=operations[topic]) for topic in topics.topic_names
        }
        return {topic: answer(description) for topic, description in found.items()}

    admin.describe_topics = describe_topics  # type: ignore[method-assign]
    sources = Sources(Settings.load(bootstrap_servers="127.0.0.1:1"))
    sources._admin = admin  # type: ignore[assignment]
    try:
        looks = asyncio.run(sources.look(["bars.SPY", "bars.IBM"]))
    finally:
        sources.close()
    assert (looks["bars.SPY"].may_read, looks["bars.IBM"].may_read) == (False, True)
    assert (looks["bars.SPY"].refused or "").startswith("TOPIC_AUTHORIZATION_FAILED")
    assert looks["bars.IBM"].refused is None


def test_a_topic_that_one_broker_knows_and_the_next_one_does_not_yet_is_taken_as_it_was_described() -> None:
    """On several brokers each learns of a new topic in its own time: what knows it once is enough."""
    admin = Admin({})
    gone, there = failure(KafkaError.UNKNOWN_TOPIC_OR_PART), SimpleNamespace(topic_id="id", partitions=[0, 1])
    answers = [gone, gone, there, gone, gone]
    admin.describe_topics = lambda topics, **options: {"bars.SPY": answer(answers.pop(0))}  # type: ignore[method-assign]
    exists = failure(KafkaError.TOPIC_ALREADY_EXISTS)
    admin.create_topics = lambda new, **options: {"bars.SPY": answer(exists)}  # type: ignore[attr-defined]
    sources = Sources(Settings.load(bootstrap_servers="127.0.0.1:1"))
    sources._admin = admin  # type: ignore[assignment]
    try:
        with pytest.raises(TopicSplitError, match="has 2 partitions"):
            asyncio.run(sources.locate("bars.SPY", stream=None, from_us=0, at_us=lambda record: None, create=True))
    finally:
        sources.close()
    assert len(answers) == 2, "no second question whose answer may be another"
