"""Offsets that are no answers: librdkafka gives -1001 without an error for a partition whose leader does not answer.

Seen with confluent-kafka 2.16.1 after a broker of three was killed. Everything that asks for offsets has to take it for silence.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.config.settings import Settings
from streams.errors import BrokerLostError, NobodyThereError
from streams.history.sources.topics import TopicHistory
from streams.kafka.clients import ErrorNote
from streams.kafka.offsets import at_time, earliest, latest
from streams.kafka.reader import TopicReader
from streams.replay.topic_sink import TopicSink
from streams.replay.topic_source import KafkaSource
from streams.times import ManualClock, from_us
from streams.worker.setup import _has_records
from streams.worker.sources.topics import Sources

SILENCE = -1001
SETTINGS = Settings.load(bootstrap_servers="127.0.0.1:1", session="s")
TOPIC = "bars.SPY"


class Hurried(ManualClock):
    """Twenty seconds pass whenever somebody looks: patience is over after two or three attempts."""

    def monotonic(self) -> float:
        self.advance_seconds(20.0)
        return super().monotonic()


class Admin:
    """Answers each question about offsets with the same number, or with the next of several."""

    def __init__(self, *offsets: int) -> None:
        self._offsets = list(offsets)
        self.asked = 0

    def list_offsets(self, specs: dict[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Future[Any]]:
        self.asked += 1
        offset = self._offsets.pop(0) if len(self._offsets) > 1 else self._offsets[0]
        return {partition: _done(SimpleNamespace(offset=offset)) for partition in specs}

    def list_topics(self, *args: Any, **options: Any) -> Any:
        return SimpleNamespace(topics={TOPIC: None})

    def describe_topics(self, topics: Any, **options: Any) -> dict[str, Future[Any]]:
        return {topic: _done(SimpleNamespace(topic_id="id", partitions=[0])) for topic in topics.topic_names}

    def poll(self, timeout: float) -> int:
        return 0


def _done(what: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(what)
    return future


@pytest.mark.parametrize("ask", [earliest, latest], ids=["earliest", "latest"])
@pytest.mark.parametrize("offset", [SILENCE, -1, -2])
def test_a_negative_offset_is_no_answer(ask: Any, offset: int) -> None:
    with pytest.raises(KafkaException) as raised:
        ask(Admin(offset), [TOPIC], timeout_seconds=1.0)
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


def test_only_a_question_about_a_time_has_minus_one_for_an_answer() -> None:
    assert at_time(Admin(-1), [TOPIC], 5, timeout_seconds=1.0) == {TOPIC: None}  # type: ignore[arg-type]
    assert at_time(Admin(7), [TOPIC], 5, timeout_seconds=1.0) == {TOPIC: 7}  # type: ignore[arg-type]
    with pytest.raises(KafkaException):
        at_time(Admin(SILENCE), [TOPIC], 5, timeout_seconds=1.0)  # type: ignore[arg-type]


def test_a_worker_asks_anew_by_a_new_client_and_believes_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    admins = [Admin(SILENCE), Admin(3, 9)]
    monkeypatch.setattr(Sources, "_make_admin", lambda sources: admins.pop(0))
    sources = Sources(SETTINGS, clock=Hurried())
    try:
        (look,) = asyncio.run(sources.look([TOPIC])).values()
    finally:
        sources.close()
    assert (look.first, look.end) == (3, 9)


@pytest.mark.parametrize("what", ["look", "ends", "beginnings", "locate"])
def test_a_worker_that_is_never_answered_says_so_and_takes_no_topic_for_cut_off(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(Sources, "_make_admin", lambda sources: Admin(SILENCE))
    sources = Sources(SETTINGS, clock=Hurried())

    async def ask() -> object:
        if what == "locate":
            return await sources.locate(TOPIC, stream=None, from_us=0, at_us=lambda record: 0, create=False)
        return await getattr(sources, what)([TOPIC])

    try:
        with pytest.raises(BrokerLostError, match=r"the leader of bars\.SPY did not answer"):
            asyncio.run(ask())
    finally:
        sources.close()


def test_a_replay_does_not_take_silence_for_an_empty_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.replay.topic_source.make_admin", lambda settings, note: Admin(SILENCE))
    with pytest.raises(NobodyThereError):
        KafkaSource(SETTINGS, ["SPY"], clock=Hurried())


def test_history_from_topics_does_not_take_silence_for_an_empty_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.history.sources.topics.make_admin", lambda settings, note: Admin(SILENCE))
    with pytest.raises(NobodyThereError):
        TopicHistory(SETTINGS, clock=Hurried()).get_bars("SPY", "1m", from_us(0), from_us(60_000_000))


def test_a_sink_does_not_take_silence_for_an_empty_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.replay.topic_sink.make_admin", lambda settings, note: Admin(SILENCE))
    with pytest.raises(NobodyThereError):
        TopicSink(SETTINGS, TOPIC, session="s", epoch=1)


def test_a_worker_does_not_take_silence_for_a_topic_without_records() -> None:
    with pytest.raises(KafkaException):
        _has_records(Admin(SILENCE), TOPIC)  # type: ignore[arg-type]


class Consumer:
    """Answers as librdkafka does for a partition whose leader is away."""

    def offsets_for_times(self, asked: list[TopicPartition], **options: Any) -> list[TopicPartition]:
        return [TopicPartition(one.topic, 0, SILENCE) for one in asked]

    def get_watermark_offsets(self, partition: TopicPartition, **options: Any) -> tuple[int, int]:
        return SILENCE, SILENCE


@pytest.mark.parametrize("ask", [lambda reader: reader.offset_at(5), lambda reader: reader.bounds()], ids=["time", "bounds"])
def test_a_reader_does_not_take_silence_for_an_offset(ask: Any) -> None:
    reader = TopicReader.__new__(TopicReader)
    reader.topic, reader._group = TOPIC, "main.reader"  # type: ignore[misc]
    reader._settings, reader._note, reader._consumer = SETTINGS, ErrorNote(), Consumer()  # type: ignore[assignment]
    with pytest.raises(NobodyThereError):
        ask(reader)
