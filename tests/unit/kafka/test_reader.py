"""Reading a topic where librdkafka reports an error, or its end, among the records of one batch: nothing that came is lost."""

from __future__ import annotations

from collections import deque

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.config.settings import Settings
from streams.errors import BrokerRefusedError
from streams.exports import committed as committed_module
from streams.exports.committed import CommittedState
from streams.kafka import reader as reader_module
from streams.kafka.reader import BEGINNING, TopicReader

SETTINGS = Settings(session="s", bootstrap_servers="127.0.0.1:1")


class Said:
    """A record, or what librdkafka says in place of one."""

    def __init__(self, offset: int, code: int | None = None) -> None:
        self._offset, self._code = offset, code

    def error(self) -> KafkaError | None:
        return None if self._code is None else KafkaError(self._code)

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000

    def key(self) -> bytes:
        return b"session"

    def value(self) -> bytes:
        return str(self._offset).encode()

    def headers(self) -> None:
        return None


class Scripted:
    """A consumer that is handed batches."""

    def __init__(self, *batches: list[Said], end: int) -> None:
        self.batches = deque(batches)
        self._end = end

    def poll(self, timeout: float) -> Said | None:
        if self.batches and self.batches[0]:
            return self.batches[0].pop(0)
        if self.batches:
            self.batches.popleft()
        return None

    def consume(self, count: int, timeout: float) -> list[Said]:
        return self.batches.popleft()

    def get_watermark_offsets(self, partition: TopicPartition, **options: object) -> tuple[int, int]:
        return 0, self._end

    def assign(self, partitions: list[TopicPartition]) -> None:
        pass

    def close(self) -> None:
        pass


class AsItIs:
    """A codec that decodes nothing."""

    def row_from(self, value: bytes) -> bytes:
        return value


def reader_of(monkeypatch: pytest.MonkeyPatch, consumer: Scripted) -> TopicReader:
    monkeypatch.setattr(reader_module, "make_consumer", lambda *_: consumer)
    monkeypatch.setattr(TopicReader, "_require_topic", lambda self, missing: None)
    return TopicReader(SETTINGS, "topic", start=BEGINNING, missing="")


def test_records_around_a_refusal_in_one_batch_are_all_read_and_the_refusal_is_raised_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Said(2, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    reader = reader_of(monkeypatch, Scripted([Said(0), Said(1), refused, Said(2), Said(3, KafkaError._PARTITION_EOF)], end=3))
    assert [record.offset for record in reader.read()] == [0, 1]
    assert reader.position == 2
    with pytest.raises(BrokerRefusedError):
        reader.read()
    assert [record.offset for record in reader.read()] == [2]
    assert (reader.position, reader.at_end) == (3, True)


def test_passing_errors_in_a_batch_split_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(monkeypatch, Scripted([Said(0), Said(0, KafkaError._TRANSPORT), Said(1)], end=2))
    assert [record.offset for record in reader.read()] == [0, 1]


def test_what_was_fetched_before_a_move_is_not_read_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Said(1, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    reader = reader_of(monkeypatch, Scripted([Said(0), refused, Said(1)], [Said(7)], end=8))
    reader.read()
    reader.move(7)
    assert [record.offset for record in reader.read()] == [7]


def test_a_committed_state_is_read_to_where_the_topic_ends_now_not_to_the_end_that_was_seen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Scripted([Said(0), Said(1, KafkaError._PARTITION_EOF)], end=1)
    monkeypatch.setattr(committed_module, "TopicReader", lambda *args, **options: reader_of(monkeypatch, consumer))
    with CommittedState(SETTINGS, codec=AsItIs()) as committed:  # type: ignore[arg-type]
        committed.read(5.0)
        assert committed.row("session") == b"0"
        # A transaction is committed; on a busy machine its records come some polls later.
        consumer._end = 2
        consumer.batches.extend([[], [], [Said(1)]])
        committed.read(5.0)
        assert committed.row("session") == b"1"
