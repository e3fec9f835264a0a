"""A producer that may write no topic: the client library raises its fatal error once, from a poll or behind a SystemError."""

from __future__ import annotations

import re
from concurrent.futures import Future
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation

from streams.cli.main import exit_code_of
from streams.client import control as control_module
from streams.client import deadletters as deadletters_module
from streams.client import producer as produce_module
from streams.client.control import SessionControl
from streams.client.deadletters import DeadLetter, Resend
from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.errors import BrokerRefusedError, MissingRightError
from streams.kafka import delivery
from streams.kafka.clients import ErrorNote
from streams.kafka.delivery import SafeProducer
from streams.kafka.rights import lacking
from streams.model.records import Bar
from streams.replay import topic_sink as topic_module
from streams.times import ManualClock

LOGIN = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "desk", "sasl.password": "secret"}
SETTINGS = Settings.load(bootstrap_servers="kafka.example:9092", session="main", kafka_config=LOGIN)
BAR = Bar("SPY", "1m", 1381152600000000, 1381152660000000, 1.0, 2.0, 1.0, 2.0, 5.0)


def done(value: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class FatalProducer:
    """What confluent-kafka 2.16.1 does with an idempotent producer whose user may write nothing; `first` is where its error comes."""

    def __init__(self, first: str) -> None:
        self._first = first
        self._reports: list[Any] = []
        self._is_over = False

    def __len__(self) -> int:
        return len(self._reports)

    def produce(self, topic: str, value: bytes, key: bytes, **options: Any) -> None:
        if self._is_over:
            raise KafkaException(KafkaError(KafkaError._FATAL))
        self._reports.append((options["on_delivery"], SimpleNamespace(topic=lambda: topic, value=lambda: value)))

    def poll(self, seconds: float) -> int:
        if self._first == "poll":
            self._end()
        return 0 if not self._is_over else self._report()

    def flush(self, seconds: float) -> int:
        self._end()
        self._report()
        return 0

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        denied = KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "Failed to acquire idempotence PID", fatal=True))
        match self._first:
            case "poll":
                raise denied
            case "flush":
                self._reports.clear()
                raise SystemError("<method 'topic' of 'cimpl.Message' objects> returned a result with an exception set") from denied
            case _:
                self._report()
                raise SystemError("<method 'flush' of 'cimpl.Producer' objects> returned NULL without setting an exception")

    def _report(self) -> int:
        reports, self._reports = self._reports, []
        for report, message in reports:
            report(KafkaError(KafkaError._PURGE_QUEUE, "Local: Purged in queue"), message)
        return len(reports)


@pytest.fixture(params=["poll", "flush", "nothing"])
def fatal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FatalProducer:
    """A producer that its user's rights stop; the error is raised by poll, behind what flush raises, or is not to be had."""
    producer = FatalProducer(request.param)
    described: Any = SimpleNamespace(
        describe_topics=lambda names, **options: {
            name: done(SimpleNamespace(authorized_operations=[AclOperation.READ])) for name in names.topic_names
        }
    )
    monkeypatch.setattr(delivery, "lacking", lambda settings, admin, topics: lacking(settings, described, topics))
    for module in (produce_module, control_module, topic_module, deadletters_module):
        monkeypatch.setattr(module, "make_producer", lambda *args: producer)
    monkeypatch.setattr(produce_module, "topics_on", lambda *args: frozenset({"bars.SPY"}))
    monkeypatch.setattr(topic_module, "topics_on", lambda *args: frozenset({"main.replay"}))
    monkeypatch.setattr(topic_module.TopicSink, "_prepare", lambda *args, **options: None)
    monkeypatch.setattr(control_module, "require_topic", lambda *args, **options: None)
    monkeypatch.setattr(deadletters_module, "existing_topics", lambda *args: frozenset({"bars.SPY"}))
    return producer


def lacks_write(topic: str) -> str:
    return rf"producing to {topic}: User:desk lacks Write on topic {topic}: allow it \(docs/deployment\.md lists the rights of each role\)"


def test_a_producer_that_may_write_no_topic_says_which_right_it_lacks_and_says_it_again(fatal: FatalProducer) -> None:
    producer = BarProducer(SETTINGS)
    with pytest.raises(MissingRightError, match=lacks_write(r"bars\.SPY")) as raised, producer:
        producer.send(BAR)
    assert exit_code_of(raised.value) == 21
    for use in (producer.flush, lambda: producer.send(BAR), producer.stalled_seconds, lambda: producer.flush_for(0.1)):
        with pytest.raises(MissingRightError, match=lacks_write(r"bars\.SPY")):  # nothing of it is in its topic
            use()


def test_the_missing_right_is_what_leaves_the_block_of_a_producer(fatal: FatalProducer) -> None:
    with pytest.raises(MissingRightError, match=lacks_write(r"bars\.SPY")), BarProducer(SETTINGS) as producer:
        producer.send(BAR)
    with pytest.raises(KeyError), BarProducer(SETTINGS):
        raise KeyError("of the block")


def test_a_command_that_may_not_be_sent_for_want_of_any_right_to_write_says_so(fatal: FatalProducer) -> None:
    with pytest.raises(MissingRightError, match=lacks_write(r"main\.control")), SessionControl(SETTINGS) as control:
        control.add_symbol("SPY", wait=False)


def test_a_replay_whose_topic_may_not_be_written_says_so(fatal: FatalProducer) -> None:
    sink = topic_module.TopicSink(SETTINGS, "main.replay", session="main", epoch=1)
    with pytest.raises(MissingRightError, match=lacks_write(r"main\.replay")), closing(sink):
        sink._produce("main.replay", b"SPY", b"value", [], 1)
    with pytest.raises(MissingRightError):
        sink.close()


def test_dead_letters_that_may_not_be_sent_again_each_say_so(fatal: FatalProducer) -> None:
    letters = [
        DeadLetter(offset, 0, "bars.SPY", offset, "bars", "SPY", "undecodable", "decode", "", None, b"SPY", b"{}", ()) for offset in (4, 5)
    ]
    sent = deadletters_module.send_again(SETTINGS, [Resend(letter, b"{}", None) for letter in letters])
    assert [one.letter.offset for one in sent] == [4, 5]
    for one in sent:
        assert re.match(lacks_write(r"bars\.SPY"), one.error or "")


def test_a_record_that_the_client_library_does_not_take_fails_alone() -> None:
    taken: list[bytes] = []

    class Producer:
        def produce(self, topic: str, value: bytes, key: bytes, **options: object) -> None:
            if len(value) > 3:
                raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
            taken.append(value)

    inner: Any = Producer()
    producer = SafeProducer(inner, SETTINGS, ErrorNote())
    with pytest.raises(BrokerRefusedError, match=r"producing to bars\.SPY: .*MSG_SIZE_TOO_LARGE"):
        producer.produce("bars.SPY", b"long", b"SPY")
    producer.produce("bars.SPY", b"not", b"SPY")
    assert taken == [b"not"]


def test_a_message_of_a_replay_is_not_ahead_of_the_time_of_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps: list[int] = []
    fake: Any = SimpleNamespace(produce=lambda *args, timestamp, **options: stamps.append(timestamp), poll=lambda seconds: 0)
    monkeypatch.setattr(topic_module, "make_producer", lambda *args: fake)
    monkeypatch.setattr(topic_module, "topics_on", lambda *args: frozenset())
    monkeypatch.setattr(topic_module.TopicSink, "_prepare", lambda *args, **options: None)
    sink = topic_module.TopicSink(SETTINGS, "main.replay", session="main", epoch=1, clock=ManualClock(1_000_000_000))
    for now_us in (999_000_000, 1_000_000_000, 9_000_000_000):
        sink._produce("main.replay", b"SPY", b"value", [], now_us)
    assert stamps == [999_000, 1_000_000, 1_000_000]
