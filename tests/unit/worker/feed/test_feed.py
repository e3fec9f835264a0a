"""The feed and a consumer that answers as the test says: in which order it is asked for what, and what is never handed over."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.config.settings import Settings
from streams.worker.feed.feed import Assignment, Feed, FeedBatch, Trouble

SPY = Assignment(5, "SPY", 1, "id-1")


class Message:
    """A fetched record, or an error about a topic."""

    def __init__(self, topic: str, offset: int, error: KafkaError | None = None) -> None:
        self._topic, self._offset, self._error = topic, offset, error

    def topic(self) -> str:
        return self._topic

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return self._error


class Consumer:
    """Notes what it is asked for, and gives what lies in `fetched`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.fetched: list[Message] = []
        self.existing: set[str] = set()
        self.unavailable: dict[str, KafkaException] = {}

    def list_topics(self, topic: str | None = None, timeout: float = 0) -> SimpleNamespace:
        self.calls.append(("list_topics", topic))
        if topic in self.unavailable:
            raise self.unavailable[topic]
        error = None if topic in self.existing else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error)})

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.calls.append(("assign", [(one.topic, one.offset) for one in partitions]))

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.calls.append(("incremental_assign", [(one.topic, one.offset) for one in partitions]))

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.calls.append(("incremental_unassign", [one.topic for one in partitions]))

    def poll(self, timeout: float) -> Message | None:
        return self.fetched.pop(0) if self.fetched else None

    def consume(self, count: int, timeout: float) -> list[Message]:
        fetched, self.fetched = self.fetched, []
        return fetched


class Bench:
    """A feed whose thread was never started: the test does its work."""

    def __init__(self, **topics: Assignment) -> None:
        self.delivered: list[Any] = []
        self.feed = Feed(Settings.load(), deliver=self.delivered.append, die=self.delivered.append)
        self.consumer: Any = Consumer()
        self.feed.rewind(topics)
        self.feed._operate(self.consumer)

    def fetch(self, *messages: Message) -> list[Any]:
        """What is handed over when these are fetched."""
        self.delivered.clear()
        self.consumer.fetched = list(messages)
        self.feed._fetch(self.consumer, self.feed._ahead)
        return list(self.delivered)

    def log(self, line: str) -> None:
        """A line of librdkafka's log."""
        logger: Any = self.feed._config["logger"]
        logger.log(10, "METADATA [rdkafka#consumer-1] [thrd:main]: %s", line)


def test_a_topic_is_added_after_its_metadata_was_asked_for_since_its_fetch_would_begin_late_otherwise() -> None:
    bench = Bench(control=Assignment(0))
    bench.feed.add("bars.SPY", SPY)
    bench.feed._operate(bench.consumer)
    assert bench.consumer.calls[-2:] == [("list_topics", "bars.SPY"), ("incremental_assign", [("bars.SPY", 5)])]


def test_a_topic_that_is_read_from_another_place_is_taken_away_first_since_librdkafka_refuses_to_assign_it_twice() -> None:
    bench = Bench(**{"bars.SPY": SPY})
    bench.feed.add("bars.SPY", Assignment(0, "SPY", 2, "id-1"))
    bench.feed._operate(bench.consumer)
    assert [name for name, _ in bench.consumer.calls[-3:]] == ["incremental_unassign", "list_topics", "incremental_assign"]


def test_nothing_of_a_topic_whose_id_has_changed_is_handed_over_until_it_is_assigned_anew() -> None:
    bench = Bench(**{"bars.SPY": SPY, "bars.IBM": Assignment(0, "IBM", 2, "id-2")})
    (batch,) = bench.fetch(Message("bars.SPY", 5), Message("bars.IBM", 0))
    assert [read.topic for read in batch.reads] == ["bars.SPY", "bars.IBM"]
    bench.delivered.clear()
    bench.log("Topic bars.SPY changed id from id-1 to id-3")
    (trouble,) = bench.delivered
    assert (trouble.topic, trouble.assignment, trouble.refused) == ("bars.SPY", SPY, False)
    (batch,) = bench.fetch(Message("bars.SPY", 6), Message("bars.IBM", 1))
    assert [read.topic for read in batch.reads] == ["bars.IBM"]
    assert bench.fetch(Message("bars.SPY", 7)) == [], "a batch of nothing else is none"
    bench.feed.add("bars.SPY", Assignment(0, "SPY", 1, "id-3"))
    bench.feed._operate(bench.consumer)
    (batch,) = bench.fetch(Message("bars.SPY", 0))
    assert isinstance(batch, FeedBatch)
    assert [(read.topic, read.assignment.topic_id) for read in batch.reads] == [("bars.SPY", "id-3")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Topic bars.SPY changed id from AAAAAAAAAAAAAAAAAAAAAA to id-1", "it is the one that is meant"),
        ("Topic bars.SPY changed id from id-1 to AAAAAAAAAAAAAAAAAAAAAA", "no id is no other one: a deleted topic has an error of its own"),
        ("Topic bars.OTHER changed id from id-1 to id-3", "it is not read"),
        ("Topic bars.FRESH changed id from id-1 to id-3", "its assignment names no id"),
        ("Topic bars.SPY [0] Leader 1 Epoch 0", "it is about something else"),
    ],
)
def test_other_lines_of_the_log_put_no_topic_in_doubt(line: str, why: str) -> None:
    bench = Bench(**{"bars.SPY": SPY, "bars.FRESH": Assignment(0, "FRESH", 1)})
    bench.log(line)
    assert bench.delivered == [], why
    (batch,) = bench.fetch(Message("bars.SPY", 5))
    assert [read.topic for read in batch.reads] == ["bars.SPY"]


@pytest.mark.parametrize(
    ("code", "is_told", "is_refused", "why"),
    [
        (KafkaError._AUTO_OFFSET_RESET, True, False, "the position is out of range"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, True, False, "it was deleted"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True, True, "it may not be read"),
        (KafkaError._TRANSPORT, False, False, "a broker that is away comes back"),
    ],
)
def test_what_an_error_says_about_a_topic(code: int, is_told: bool, is_refused: bool, why: str) -> None:
    bench = Bench(**{"bars.SPY": SPY})
    told = bench.fetch(Message("bars.SPY", 5, KafkaError(code)))
    assert [isinstance(one, Trouble) and one.refused is is_refused for one in told] == [True] * is_told, why


def test_the_next_offset_of_a_topic_that_is_at_its_end_lies_behind_the_markers() -> None:
    bench = Bench(**{"bars.SPY": SPY})
    (batch,) = bench.fetch(Message("bars.SPY", 5), Message("bars.SPY", 7, KafkaError(KafkaError._PARTITION_EOF)))
    assert [(read.next_offset, read.at_end, len(read.messages)) for read in batch.reads] == [(7, True, 1)]
    (batch,) = bench.fetch(Message("bars.SPY", 7, KafkaError(KafkaError._PARTITION_EOF)), Message("bars.SPY", 8))
    assert [(read.next_offset, read.at_end) for read in batch.reads] == [(9, False)], "the end has moved on meanwhile"


def test_properties_of_the_user_do_not_silence_the_log_that_the_feed_listens_to() -> None:
    settings = Settings.load(kafka_config={"debug": "broker", "log_level": "0"})
    config = Feed(settings, deliver=lambda item: None, die=lambda error: None)._config
    assert (config["debug"], config["log_level"]) == ("broker,metadata", 7)


def test_a_topic_that_can_be_read_no_further_is_not_known_to_be_at_its_end() -> None:
    """Its symbol would be called silent, and keep nobody waiting, while bars may lie there unread."""
    bench = Bench(spy=SPY)
    bench.fetch(Message("spy", 5, KafkaError(KafkaError._PARTITION_EOF)))
    assert bench.feed.end_of("spy") == 5
    (trouble,) = bench.fetch(Message("spy", 5, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    assert isinstance(trouble, Trouble)
    assert bench.feed.end_of("spy") is None


QUOTES = Assignment(3, "SPY", 1, "id-q", "quotes")


class FloodBench(Bench):
    """A feed that reads quotes too; `extra` is the consumer that it makes for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **topics: Assignment) -> None:
        self.extra: Any = Consumer()
        self.made = 0

        def make(feed: Feed) -> Any:
            self.made += 1
            return self.extra

        monkeypatch.setattr(Feed, "_make_consumer", make)
        super().__init__(**topics)


def test_quotes_and_ticks_are_read_by_a_consumer_of_their_own_which_is_not_made_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = FloodBench(monkeypatch, **{"bars.SPY": SPY})
    bench.fetch(Message("bars.SPY", 5))
    assert bench.made == 0
    bench.feed.add("quotes.SPY", QUOTES)
    bench.feed.add("ticks.SPY", Assignment(0, "SPY", 1, "id-t", "ticks"))
    bench.feed._operate(bench.consumer)
    assert bench.made == 1
    assert [name for name, _ in bench.consumer.calls] == ["list_topics", "assign"], "nothing of them goes to the consumer of bars"
    assert bench.extra.calls[1] == ("incremental_assign", [("quotes.SPY", 3)])
    bench.feed.remove("quotes.SPY")
    bench.feed._operate(bench.consumer)
    assert bench.extra.calls[-1] == ("incremental_unassign", ["quotes.SPY"])


def test_a_rewind_assigns_to_each_consumer_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = FloodBench(monkeypatch, **{"control": Assignment(0), "bars.SPY": SPY, "quotes.SPY": QUOTES})
    assert bench.consumer.calls == [("list_topics", None), ("assign", [("control", 0), ("bars.SPY", 5)])]
    assert bench.extra.calls == [("list_topics", None), ("assign", [("quotes.SPY", 3)])]
    bench.feed.pause()
    bench.feed._operate(bench.consumer)
    assert (bench.consumer.calls[-1], bench.extra.calls[-1]) == (("assign", []), ("assign", []))


def test_a_batch_takes_the_bars_that_are_there_and_so_many_quotes_as_do_not_keep_them_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = FloodBench(monkeypatch, **{"bars.SPY": SPY, "quotes.SPY": QUOTES})
    asked: list[int] = []

    def consume(count: int, timeout: float) -> list[Message]:
        asked.append(count)
        return [Message("quotes.SPY", 3 + place) for place in range(count)]

    bench.extra.consume = consume
    (batch,) = bench.fetch(Message("bars.SPY", 5))
    assert [(read.topic, read.stream, len(read.messages)) for read in batch.reads] == [
        ("bars.SPY", None, 1),
        ("quotes.SPY", "quotes", asked[0]),
    ]
    assert batch.is_full, "more of them are likely to be there"
    bench.extra.consume = lambda count, timeout: [Message("quotes.SPY", 9000 + place) for place in range(1000)]
    (batch,) = bench.fetch()
    assert [read.topic for read in batch.reads] == ["quotes.SPY"], "quotes do not wait for a bar"
    assert not batch.is_full, "a thousand quotes are no reason to fetch ahead of a commit, which a bar would wait for"


class TestWhereAnAddedTopicLies:
    """What the feed asks before it reads one more topic."""

    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        bench = Bench(**{"bars.SPY": SPY})
        bench.feed._consumer = bench.consumer
        bench.consumer.calls.clear()
        yield bench
        bench.feed._asking.shutdown()

    def add(self, bench: Bench, topic: str) -> list[tuple[str, Any]]:
        """What was asked of the consumer by the time at which the topic is read."""
        bench.feed.add(topic, Assignment(0, "IBM", 2, "id-9"))
        bench.feed._operate(bench.consumer)
        calls: list[tuple[str, Any]] = bench.consumer.calls
        return calls

    def test_it_is_not_asked_again_when_that_was_learnt_meanwhile(self, bench: Bench) -> None:
        bench.consumer.existing.add("bars.IBM")
        bench.feed.learn("bars.IBM")
        assert self.add(bench, "bars.IBM") == [("list_topics", "bars.IBM"), ("incremental_assign", [("bars.IBM", 0)])]

    def test_one_that_did_not_exist_then_is_asked_for_again(self, bench: Bench) -> None:
        bench.feed.learn("bars.IBM")
        assert [name for name, _ in self.add(bench, "bars.IBM")] == ["list_topics", "list_topics", "incremental_assign"]

    def test_a_broker_that_did_not_answer_is_asked_again(self, bench: Bench) -> None:
        bench.consumer.unavailable["bars.IBM"] = KafkaException(KafkaError(KafkaError._TRANSPORT))
        bench.feed.learn("bars.IBM")
        bench.feed._asking.submit(bench.consumer.unavailable.clear).result()
        assert [name for name, _ in self.add(bench, "bars.IBM")] == ["list_topics", "list_topics", "incremental_assign"]

    def test_what_was_learnt_goes_for_one_addition(self, bench: Bench) -> None:
        bench.consumer.existing.add("bars.IBM")
        bench.feed.learn("bars.IBM")
        self.add(bench, "bars.IBM")
        assert [name for name, _ in self.add(bench, "bars.IBM")][2:] == ["incremental_unassign", "list_topics", "incremental_assign"]

    def test_what_was_learnt_before_reading_began_anew_is_not_gone_by(self, bench: Bench) -> None:
        bench.consumer.existing.add("bars.IBM")
        bench.feed.learn("bars.IBM")
        assert bench.feed._learning["bars.IBM"].result()
        bench.feed.rewind({"bars.SPY": SPY})
        assert self.add(bench, "bars.IBM")[-2:] == [("list_topics", "bars.IBM"), ("incremental_assign", [("bars.IBM", 0)])]

    def test_a_feed_that_is_ending_has_nothing_to_ask(self, bench: Bench) -> None:
        bench.feed._asking.shutdown()
        bench.feed.learn("bars.IBM")
        assert bench.consumer.calls == []
