"""Reading the brokers' clocks: what was stamped counts, and a broker that is dead is not waited for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError

from streams.config.settings import Settings
from streams.times import SECOND_US
from streams.worker.clock import broker_clock
from streams.worker.clock.broker_clock import BrokerClocks

NEVER = float("inf")


class Stamp:
    """A delivery report."""

    def __init__(self, partition: int, stamp_ms: int, kind: int = TIMESTAMP_LOG_APPEND_TIME) -> None:
        self._partition, self._stamp_ms, self._kind = partition, stamp_ms, kind

    def partition(self) -> int:
        return self._partition

    def timestamp(self) -> tuple[int, int]:
        return self._kind, self._stamp_ms


class Cluster:
    """A clock topic whose partitions are led by these brokers, each of which answers after so many seconds, at a broker's time of 0.

    It stands in for the producer, and time passes only while that waits.
    """

    def __init__(self, leaders: list[int], answers: list[float | KafkaError]) -> None:
        self.leaders, self.answers, self.now = leaders, answers, 100.0
        self.kind = TIMESTAMP_LOG_APPEND_TIME
        self._sent: list[tuple[float, int, Callable[[KafkaError | None, Stamp], None]]] = []

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        partitions = {number: SimpleNamespace(leader=leader) for number, leader in enumerate(self.leaders)}
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions=partitions)})

    def produce(self, topic: str, value: bytes, *, partition: int, on_delivery: Callable[[KafkaError | None, Stamp], None]) -> None:
        answer = self.answers[partition]
        self._sent.append((self.now + answer if isinstance(answer, float) else self.now, partition, on_delivery))

    def poll(self, seconds: float) -> None:
        self.now += seconds
        for one in [one for one in self._sent if one[0] <= self.now]:
            self._sent.remove(one)
            answer = self.answers[one[1]]
            one[2](answer if isinstance(answer, KafkaError) else None, Stamp(one[1], round(one[0] * 1000), self.kind))

    def clocks(self, monkeypatch: pytest.MonkeyPatch) -> BrokerClocks:
        monkeypatch.setattr(broker_clock, "Producer", lambda config: self)
        return BrokerClocks(Settings.load(), "main.clock", lambda: self.now)


@pytest.mark.parametrize(
    ("leaders", "answers", "answered", "seconds", "why"),
    [
        ([1, 2, 3], [0.01, 0.01, 0.01], [1, 2, 3], (0, 0.2), "all answer"),
        ([1, 2, 3], [0.01, 0.01, NEVER], [1, 2], (0.2, 0.6), "most have answered: the dead one is not waited for"),
        ([1, 2, 3], [0.01, 0.2, 0.01], [1, 2, 3], (0.1, 0.4), "nor is one left out that is a little slower"),
        ([1, 2, 3], [0.01, NEVER, NEVER], [1], (2.9, 3.2), "one of three may be wrong: the others have their time"),
        ([1, 2], [0.01, NEVER], [1], (2.9, 3.2), "so may one of two"),
        ([1], [NEVER], [], (2.9, 3.2), "nobody"),
        ([7, 7, 7], [0.01, 0.01, 0.01], [7], (0, 0.2), "one broker leads all since the others went"),
        ([1, -1, 3], [0.01, 0.01, 0.01], [1, 3], (0, 0.2), "a partition without a leader is left out"),
    ],
)
def test_most_brokers_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    leaders: list[int],
    answers: list[float | KafkaError],
    answered: list[int],
    seconds: tuple[float, float],
    why: str,
) -> None:
    cluster = Cluster(leaders, answers)
    times = cluster.clocks(monkeypatch).read()
    assert sorted(one.broker for one in times) == answered, why
    assert seconds[0] <= cluster.now - 100.0 <= seconds[1], why
    for one in times:
        # Its clock shows what has elapsed here, so that the difference is none, to a millisecond and to as long as an answer took.
        assert one.low_us <= 0 <= one.high_us + 1000
        assert one.high_us - one.low_us < 0.4 * SECOND_US


def test_an_answer_of_a_look_before_is_not_taken_for_one_of_this(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([1, 2, 3], [0.01, 0.01, 2.0])
    clocks = cluster.clocks(monkeypatch)
    assert sorted(one.broker for one in clocks.read()) == [1, 2]
    cluster.now += 5
    cluster.answers[2] = NEVER
    assert sorted(one.broker for one in clocks.read()) == [1, 2]


def test_an_error_is_an_answer_and_nobody_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([1, 2], [KafkaError(KafkaError._MSG_TIMED_OUT), 0.01])
    assert [one.broker for one in cluster.clocks(monkeypatch).read()] == [2]
    assert cluster.now < 101
    cluster = Cluster([1], [KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    assert cluster.clocks(monkeypatch).read() == []


def test_a_stamp_that_is_the_producer_s_own_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([1], [0.01])
    cluster.kind = TIMESTAMP_CREATE_TIME
    assert cluster.clocks(monkeypatch).read() == []
