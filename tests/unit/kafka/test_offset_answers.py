"""What Kafka's clients answer when they could not ask: -1001 or -1 for an offset, None, no partition. It never counts as an answer.

After a broker died, `AdminClient.list_offsets` of librdkafka 2.16 gives -1001 without an error for each partition that it led
(shared finding `librdkafka-list-offsets-dead-leader.sh`), a delivery report may come without its offset, and an admin client may
time out on a broker that is no longer there. One test for each place where such an answer would have been believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition

from streams.config.settings import Settings
from streams.errors import BrokerLostError
from streams.kafka.asking import passes, until_answered
from streams.kafka.offsets import at_time, bounds, earliest, latest
from streams.kafka.probing import Start
from streams.model.records import SourcePosition
from streams.times import ManualClock
from streams.worker.ledger import journal_tail
from streams.worker.ledger.ledger import Ledger
from streams.worker.sources.topics import Sources, TopicLook
from streams.worker.sources.unchecked import Unchecked
from tests.unit.worker.sources.test_topics import answer, failure

NOT_GIVEN = -1001
SETTINGS = Settings.load(bootstrap_servers="a.example:9092,b.example:9092")


class Admin:
    """An admin client that knows one topic, and gives these offsets for it, whatever it is asked."""

    def __init__(self, offset: int, *, described: Any = None) -> None:
        self.offset = offset
        self.described = SimpleNamespace(topic_id="id", partitions=[0]) if described is None else described

    def describe_topics(self, topics: TopicCollection, **options: Any) -> dict[str, Future[Any]]:
        return dict.fromkeys(topics.topic_names, answer(self.described))

    def list_offsets(self, specs: dict[TopicPartition, Any], **options: Any) -> dict[TopicPartition, Future[Any]]:
        return dict.fromkeys(specs, answer(SimpleNamespace(offset=self.offset)))


def silent_code(ask: Callable[[], object]) -> int:
    with pytest.raises(KafkaException) as raised:
        ask()
    return int(raised.value.args[0].code())


@pytest.mark.parametrize("given", [NOT_GIVEN, -1])
def test_a_negative_end_or_beginning_is_no_answer(given: int) -> None:
    admin: Any = Admin(given)
    assert silent_code(lambda: latest(admin, ["bars.SPY"], timeout_seconds=1.0)) == KafkaError._TIMED_OUT
    assert silent_code(lambda: earliest(admin, ["bars.SPY"], timeout_seconds=1.0)) == KafkaError._TIMED_OUT


def test_only_a_question_about_a_time_may_be_answered_with_none() -> None:
    none_so_late: Any = Admin(-1)
    assert at_time(none_so_late, ["bars.SPY"], 1_381_152_600_000, timeout_seconds=1.0) == {"bars.SPY": None}
    not_given: Any = Admin(NOT_GIVEN)
    assert silent_code(lambda: at_time(not_given, ["bars.SPY"], 1_381_152_600_000, timeout_seconds=1.0)) == KafkaError._TIMED_OUT


@pytest.mark.parametrize("given", [None, (NOT_GIVEN, NOT_GIVEN), (0, NOT_GIVEN), (-1, 7)])
def test_a_consumer_that_was_not_given_a_topics_bounds_does_not_make_them_up(given: tuple[int, int] | None) -> None:
    consumer: Any = SimpleNamespace(get_watermark_offsets=lambda partition, timeout: given)
    assert silent_code(lambda: bounds(consumer, "bars.SPY", timeout_seconds=1.0)) == KafkaError._TIMED_OUT


@pytest.mark.parametrize(
    ("code", "is_passing", "why"),
    [
        (KafkaError._TIMED_OUT, True, "the broker that was asked is away"),
        (KafkaError._TRANSPORT, True, "the connection broke"),
        (KafkaError.NOT_LEADER_FOR_PARTITION, True, "another broker leads by now"),
        (KafkaError.OFFSET_NOT_AVAILABLE, True, "a new leader does not know yet how far the others are (KIP-207)"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, False, "the topic is gone, which is an answer"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False, "it is refused, and will be again"),
    ],
)
def test_only_what_says_nothing_about_the_question_is_asked_again(code: int, is_passing: bool, why: str) -> None:
    assert passes(KafkaError(code)) is is_passing, why


def test_a_question_is_asked_again_by_a_new_client_until_patience_ends() -> None:
    clock = ManualClock()
    ends: list[float] = []

    def ask() -> int:
        clock.advance_seconds(7.0)
        raise failure(KafkaError._TIMED_OUT)

    def anew(error: KafkaError) -> None:
        ends.append(clock.monotonic())

    began = clock.monotonic()
    assert silent_code(lambda: until_answered(ask, anew=anew, clock=clock)) == KafkaError._TIMED_OUT
    assert [at - began for at in ends] == [7.0, 14.0, 21.0, 28.0], "the fifth attempt ends after patience has: it is the last"
    assert clock.monotonic() - began == 35.0


# The worker


def sources_of(*admins: Admin, patience_seconds: float = 5.0) -> Sources:
    """Sources that ask with these clients, the next one each time a new one is made, the last one for good."""
    left: Iterator[Admin] = iter(admins)
    last = admins[-1]
    sources = Sources(SETTINGS, patience_seconds=patience_seconds)
    sources._make_admin = lambda: next(left, last)  # type: ignore[method-assign, assignment, return-value]
    sources._admin = sources._make_admin()
    return sources


def asked(sources: Sources, question: Callable[[], Any]) -> Any:
    try:
        return asyncio.run(asyncio.wait_for(question(), 20.0))
    finally:
        sources.close()


def test_a_topic_whose_leader_does_not_answer_is_looked_at_again_and_never_ends_before_its_position() -> None:
    sources = sources_of(Admin(NOT_GIVEN), Admin(NOT_GIVEN), Admin(7))
    assert asked(sources, lambda: sources.look(["bars.SPY"])) == {"bars.SPY": TopicLook("id", 1, 7, 7)}
    assert sources.unanswered is None


@pytest.mark.parametrize("question", ["look", "ends", "beginnings"])
def test_a_worker_that_nobody_answers_knows_nothing_of_its_topics(question: str) -> None:
    sources = sources_of(Admin(NOT_GIVEN), patience_seconds=0)
    with pytest.raises(BrokerLostError, match=r"no answer in time from the brokers at a\.example:9092,b\.example:9092"):
        asked(sources, lambda: getattr(sources, question)(["bars.SPY"]))


def test_a_topic_without_partitions_is_one_that_nobody_knows_yet() -> None:
    nothing = SimpleNamespace(topic_id="id", partitions=[])
    sources = sources_of(Admin(7, described=nothing), Admin(7))
    assert asked(sources, lambda: sources.look(["bars.SPY"])) == {"bars.SPY": TopicLook("id", 1, 7, 7)}


def test_that_a_topic_is_gone_is_believed_when_a_new_client_says_so_too() -> None:
    gone = failure(KafkaError.UNKNOWN_TOPIC_OR_PART)
    sources = sources_of(Admin(7, described=gone), Admin(7))
    assert asked(sources, lambda: sources.topic_ids(["main.control"])) == {"main.control": "id"}
    sources = sources_of(Admin(7, described=gone))
    assert asked(sources, lambda: sources.topic_ids(["main.control"])) == {"main.control": None}


def test_while_a_question_is_asked_again_it_is_known_since_when() -> None:
    clock = ManualClock()
    clock.advance_seconds(100.0)
    sources = Sources(SETTINGS, patience_seconds=60.0, clock=clock)
    seen: list[Unchecked | None] = []

    def ask() -> int:
        seen.append(sources.unanswered)
        clock.advance_seconds(5.0)
        if len(seen) < 4:
            raise failure(KafkaError._TIMED_OUT)
        return 7

    began = clock.monotonic()
    assert asked(sources, lambda: sources._run(ask, ["bars.SPY"])) == 7
    silent = Unchecked(began + 5.0, KafkaError(KafkaError._TIMED_OUT).str())
    assert seen == [None, silent, silent, silent]
    assert sources.unanswered is None


def test_a_topic_that_could_not_be_created_because_it_is_there_is_read_from_where_its_records_say() -> None:
    sources = sources_of(Admin(7, described=failure(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    admin: Any = sources._admin

    def create(topics: list[Any], **options: Any) -> dict[str, Future[Any]]:
        admin.described = SimpleNamespace(topic_id="id", partitions=[0])  # whoever was asked first knows of it by now
        return {topic.topic: answer(failure(KafkaError.TOPIC_ALREADY_EXISTS)) for topic in topics}

    admin.create_topics = create
    sources._start = lambda topic, stream, from_us, end, at_us: Start(3)  # type: ignore[method-assign]
    found = asked(sources, lambda: sources.locate("bars.SPY", stream=None, from_us=0, at_us=lambda record: None, create=True))
    assert found == SourcePosition("id", 3, 7, None)


def test_settings_that_nobody_tells_are_not_taken_for_none() -> None:
    entry = SimpleNamespace(value="delete")
    away, there = Admin(7), Admin(7)
    away.describe_configs = lambda found, **options: {one: answer(failure(KafkaError._TIMED_OUT)) for one in found}  # type: ignore[attr-defined]
    there.describe_configs = lambda found, **options: {one: answer({"cleanup.policy": entry}) for one in found}  # type: ignore[attr-defined]
    sources = sources_of(away, there)
    assert asked(sources, lambda: sources.settings(["bars.SPY"])) == {"bars.SPY": {"cleanup.policy": "delete"}}


# The ledger


def delivered(topic: str, offset: int | None) -> Any:
    return SimpleNamespace(topic=lambda: topic, offset=lambda: offset)


@pytest.mark.parametrize("offset", [NOT_GIVEN, -1, None])
def test_a_record_that_is_acknowledged_without_its_offset_moves_no_position(offset: int | None) -> None:
    ledger = Ledger(SETTINGS, transactional_id="main", changelog="main-state-changelog", analysis="main.analysis", clock=ManualClock())
    for topic in ("main-state-changelog", "main.analysis"):
        ledger._delivered(None, delivered(topic, 41))
        ledger._delivered(None, delivered(topic, offset))
    assert (ledger._row_offset, ledger._analysis_end) == (41, 42)


@pytest.mark.parametrize("offset", [NOT_GIVEN, -1, None])
def test_a_barrier_without_its_offset_does_not_end_recovery_before_it_began(offset: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Producer:
        def __init__(self, properties: Any) -> None:
            self.told: list[Any] = []

        def produce(self, topic: str, *, on_delivery: Any, **record: Any) -> None:
            self.told.append(lambda: on_delivery(None, delivered(topic, offset)))

        def commit_transaction(self, seconds: float) -> None:
            for tell in self.told:
                tell()

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: None

    monkeypatch.setattr("streams.worker.ledger.ledger.Producer", Producer)
    ledger = Ledger(SETTINGS, transactional_id="main", changelog="main-state-changelog", analysis="main.analysis", clock=ManualClock())
    with pytest.raises(BrokerLostError, match="where the barrier stands in main-state-changelog"):
        ledger._take_over(["main-state-changelog"])


# The journal, as a worker looks into it


class JournalConsumer:
    """A consumer whose first answer about the journal's bounds is none, and whose records come after errors that pass."""

    def __init__(self, *polled: Any) -> None:
        self.given: Iterator[tuple[int, int]] = iter([(NOT_GIVEN, NOT_GIVEN), (0, 12)])
        self.polled = iter(polled)

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        return next(self.given)

    def poll(self, seconds: float) -> Any:
        return next(self.polled)

    def assign(self, partitions: list[TopicPartition]) -> None:
        pass

    def close(self) -> None:
        pass


def event(code: int) -> Any:
    return SimpleNamespace(error=lambda: KafkaError(code))


def test_the_journals_end_is_asked_for_until_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_tail, "_consumer", lambda settings: JournalConsumer())
    assert journal_tail.journal_end(SETTINGS, "main.journal") == 12


def test_former_epochs_are_read_past_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    polled = (event(KafkaError._ALL_BROKERS_DOWN), event(KafkaError._TRANSPORT), event(KafkaError._PARTITION_EOF))
    monkeypatch.setattr(journal_tail, "_consumer", lambda settings: JournalConsumer(*polled))
    codec: Any = None
    assert journal_tail.last_epoch(SETTINGS, "main.journal", codec) == 0


@pytest.mark.parametrize("polled", [(event(KafkaError._TRANSPORT), None), (None,)])
def test_a_journal_that_could_not_be_read_does_not_say_that_there_is_no_namesake(polled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def consumer(settings: Settings) -> JournalConsumer:
        one = JournalConsumer(*polled)
        next(one.given)
        return one

    monkeypatch.setattr(journal_tail, "_consumer", consumer)
    codec: Any = None
    with pytest.raises(KafkaException):
        journal_tail.has_namesake(SETTINGS, "main.journal", codec, owner="w-1", since_offset=0, since_us=0)
