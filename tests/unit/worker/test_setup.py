"""New topics: a worker goes on only when each of them can be read."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

from confluent_kafka import KafkaError

from streams.config.settings import Settings
from streams.wire.topics import TopicNames
from streams.worker.setup import await_leaders, topic_specs


def _topic(leader: int, error: KafkaError | None = None) -> SimpleNamespace:
    return SimpleNamespace(error=error, partitions={0: SimpleNamespace(error=error, leader=leader)})


class _Broker:
    """Answers each question about topics with the next of its answers; a question too many is an error."""

    def __init__(self, answers: list[dict[str, SimpleNamespace]]) -> None:
        self.left: Iterator[dict[str, SimpleNamespace]] = iter(answers)

    def list_topics(self, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(topics=next(self.left))


def test_the_ungated_topic_belongs_to_a_session_whose_config_asks_for_it() -> None:
    names, settings = TopicNames("main"), Settings.load()
    without = [spec.name for spec in topic_specs(names, "main-state-changelog", settings)]
    asked = topic_specs(names, "main-state-changelog", settings, bars_topic=True)
    assert [spec.name for spec in asked if spec.name not in without] == ["main.bars"]
    by_name = {spec.name: spec for spec in asked}
    assert (by_name["main.bars"].config, by_name["main.bars"].needed) == (by_name["main.analysis"].config, by_name["main.analysis"].needed)


def test_a_worker_waits_until_each_topic_that_was_created_is_known_and_has_a_leader() -> None:
    unknown: dict[str, SimpleNamespace] = {}
    one_of_two = {"control": _topic(1)}
    no_partition = {**one_of_two, "changelog": SimpleNamespace(error=None, partitions={})}
    no_leader = {**one_of_two, "changelog": _topic(-1)}
    refused = {**one_of_two, "changelog": _topic(1, KafkaError(KafkaError.LEADER_NOT_AVAILABLE))}
    led = {**one_of_two, "changelog": _topic(1)}
    broker = _Broker([unknown, one_of_two, no_partition, no_leader, refused, led, led])
    await_leaders(broker, ["control", "changelog"])  # type: ignore[arg-type]
    assert len(list(broker.left)) == 1, "it asks until both have a leader, and not once more"
