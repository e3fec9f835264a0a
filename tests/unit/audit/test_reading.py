"""How an audit reads bars while the session goes on: the end of a topic that was told once is not its end for ever."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.audit import reading
from streams.audit.reading import SourceTopics
from streams.config.settings import Settings
from streams.errors import HistoryError
from streams.times import ManualClock

TOPIC = "bars.SPY"


class Told:
    """What a consumer tells: a record, or with an error the end of its topic."""

    def __init__(self, offset: int, error: KafkaError | None = None) -> None:
        self._offset = offset
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return TOPIC

    def headers(self) -> None:
        return None

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"bar"


class Consumer:
    """Tells of all that its topic holds when it is assigned, then of the end, as a fetch before the next record came does."""

    def __init__(self, held: int) -> None:
        self.held = held
        self._left: list[Told] = []

    def assign(self, partitions: list[TopicPartition]) -> None:
        end = Told(self.held, KafkaError(KafkaError._PARTITION_EOF))
        self._left = [*(Told(offset) for offset in range(partitions[0].offset, self.held)), end]

    def poll(self, timeout: float) -> Told | None:
        return self._left.pop(0) if self._left else None

    def consume(self, most: int, timeout: float) -> list[Told]:
        taken, self._left = self._left[:most], self._left[most:]
        return taken

    def list_topics(self, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(topics={TOPIC: None})

    def close(self) -> None:
        pass


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer(5)
    monkeypatch.setattr(reading, "make_consumer", lambda *_: made)
    monkeypatch.setattr(reading, "make_admin", lambda *_: None)
    monkeypatch.setattr(SourceTopics, "_ask_id", lambda self, topic: "an id")
    return made


def test_records_behind_an_end_that_was_told_before_they_came_are_read(consumer: Consumer) -> None:
    with SourceTopics(Settings(), ManualClock(0), fetch_records=5) as source:
        assert [raw.offset for raw in source.records(TOPIC, "", 0, 5)] == [0, 1, 2, 3, 4]
        consumer.held = 7  # the end at 5 is still to be told
        assert [raw.offset for raw in source.records(TOPIC, "", 5, 7)] == [5, 6]


def test_records_that_are_behind_the_end_of_the_topic_as_it_is_now_are_said(consumer: Consumer) -> None:
    with SourceTopics(Settings(), ManualClock(0), fetch_records=5) as source:
        source.records(TOPIC, "", 0, 5)
        with pytest.raises(HistoryError, match=r"bars\.SPY ends at offset 5, records up to 5 were read from it"):
            source.records(TOPIC, "", 5, 6)
