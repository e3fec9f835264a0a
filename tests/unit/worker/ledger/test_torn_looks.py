"""A torn transaction, looked for while the brokers that hold it are away: asked for again, and every end has its own exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from streams.config.settings import Settings
from streams.errors import (
    BrokerConnectionError,
    BrokerLostError,
    BrokerRefusedError,
    FatalError,
    ForbiddenError,
    LoginError,
    MissingRightError,
    NobodyThereError,
    NoSessionError,
    OffsetGoneError,
    RecoveryError,
    StreamsError,
)
from streams.kafka import asking
from streams.times import Clock, ManualClock
from streams.wire.outputs import Encoder, RawRecord, Record
from streams.wire.topics import TopicNames
from streams.worker.ledger import barrier, torn
from streams.worker.ledger.torn import TornTransactions
from tests.support.engine import CODEC, Desk, at, config, minutes
from tests.support.sessions.topics_in_memory import Reader, Topics

SETTINGS = Settings.load(bootstrap_servers="a.example:9092,b.example:9092")
CHANGELOG = "main-state-changelog"
ATTEMPT_SECONDS = 5.0
"""How long a reader tries to find who leads a topic."""


class Brokers(Topics):
    """Topics whose reader raises an error so many times; each attempt takes its time."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.errors: dict[str, tuple[StreamsError, int]] = {}
        self.asked: Counter[str] = Counter()

    def fail(self, topic: str, error: StreamsError, times: int = 1_000_000) -> None:
        self.errors[topic] = (error, times)

    def reader(
        self, settings: Settings, topic: str, *, start: int, missing: str, clock: Clock | None = None, role: str = "reader"
    ) -> Reader:
        self.asked[topic] += 1
        error, times = self.errors.get(topic, (None, 0))
        if error is not None and self.asked[topic] <= times:
            self.clock.advance_seconds(ATTEMPT_SECONDS)
            raise error
        found = super().reader(settings, topic, start=start, missing=missing, clock=clock)
        if start > found.bounds()[1]:
            raise OffsetGoneError(f"{topic} has no offset {start}")
        return found

    def put(self, records: list[Record]) -> None:
        """One transaction."""
        for record in records:
            self.setdefault(record.topic, self.new()).append(record.timestamp_ms, record.key, record.value, list(record.headers))
        for topic in {record.topic for record in records}:
            self[topic].commit()


class Torn:
    """A session of SPY whose last transaction, of the bars from 9:40 to 9:45, has only its journal record."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.brokers = Brokers(self.clock)
        self.names = TopicNames("main")
        monkeypatch.setattr(torn, "TopicReader", self.brokers.reader)
        monkeypatch.setattr(barrier, "TopicReader", self.brokers.reader)
        monkeypatch.setattr(asking, "Event", lambda: SimpleNamespace(wait=self.clock.advance_seconds))
        desk = Desk(config("SPY"), at("09:30"))
        desk.load("SPY")
        bars = minutes("SPY", 0, 15)
        desk.feed(*bars[:10], now_us=bars[9].end_us)
        for result in desk.results:
            self.brokers.put(self._outputs(desk, len(self.brokers), result))
        self.rows = {key.encode(): CODEC.row_to(row) for key, row in desk.table.items()}
        desk.feed(*bars[10:], now_us=bars[14].end_us)
        self.result = desk.results[-1]
        self.outputs = self._outputs(desk, 0, self.result)
        self.brokers.put([one for one in self.outputs if one.topic == self.names.journal])
        self.bars = self.names.bars("SPY")
        self.brokers.put([Record(self.bars, b"SPY", CODEC.bar_to_avro(one), [], one.end_us // 1000) for one in bars])
        self.look = lambda: TornTransactions(SETTINGS, self.names, CODEC, CHANGELOG, self.clock).look(self.rows, None)

    def _outputs(self, desk: Desk, number: int, result: object) -> list[Record]:
        encoder = Encoder(CODEC, self.names, session="main", epoch=1)
        return encoder.records(result, no_letter)  # type: ignore[arg-type]

    def missing(self) -> list[Record]:
        """What the transaction has besides its journal record."""
        return [one for one in self.outputs if one.topic != self.names.journal]


def no_letter(letter: object) -> RawRecord:
    raise AssertionError(letter)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Torn:
    return Torn(monkeypatch)


def journal(case: Torn) -> str:
    return case.names.journal


def analysis(case: Torn) -> str:
    return case.names.analysis


def bars(case: Torn) -> str:
    return case.bars


TOPICS: list[Callable[[Torn], str]] = [journal, analysis, bars]
AWAY = NobodyThereError("no broker answers at a.example:9092,b.example:9092: is it running?")


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("times", [0, 1, 5])
def test_a_topic_whose_leader_died_is_asked_for_again_until_another_broker_leads_it(
    case: Torn, topic: Callable[[Torn], str], times: int
) -> None:
    """Kafka gives a dead broker's partitions to others after about ten seconds; five attempts of five seconds are 25."""
    case.brokers.fail(topic(case), AWAY, times)
    found = case.look()
    assert found is not None
    assert found.missing == case.missing()
    assert found.result.journal == case.result.journal


@pytest.mark.parametrize("topic", TOPICS)
def test_brokers_that_stay_away_end_the_takeover_as_lost_after_thirty_seconds(case: Torn, topic: Callable[[Torn], str]) -> None:
    case.brokers.fail(topic(case), AWAY)
    with pytest.raises(BrokerLostError, match=r"no broker answers at a\.example"):
        case.look()
    # Attempts of 5 s with pauses of 0.1, 0.2, 0.4, 0.8, 1 between them: the sixth is the last that begins before 30 s are over.
    assert case.brokers.asked[topic(case)] == 6


ENDS: list[tuple[StreamsError, type[FatalError], str]] = [
    (MissingRightError("User:desk lacks Read on topic main.journal"), ForbiddenError, "User:desk lacks Read on topic main.journal"),
    (BrokerConnectionError("the password is wrong", is_login=True), LoginError, "the password is wrong"),
    (BrokerConnectionError("the certificate has expired"), BrokerLostError, "the certificate has expired"),
    (NoSessionError("main.journal does not exist"), RecoveryError, "can't be seen: main.journal does not exist"),
    (OffsetGoneError("main.journal no longer has offset 7"), RecoveryError, "can't be seen: main.journal no longer has offset 7"),
    (BrokerRefusedError("the broker answered CORRUPT_MESSAGE"), RecoveryError, "can't be seen: the broker answered CORRUPT_MESSAGE"),
]


@pytest.mark.parametrize(("error", "kind", "words"), ENDS, ids=[words for _, _, words in ENDS])
def test_an_answer_that_says_why_the_journal_cannot_be_read_ends_the_takeover_at_once_with_its_own_code(
    case: Torn, error: StreamsError, kind: type[FatalError], words: str
) -> None:
    case.brokers.fail(journal(case), error)
    with pytest.raises(FatalError, match=words) as raised:
        case.look()
    assert type(raised.value) is kind
    assert case.brokers.asked[journal(case)] == 1


def test_a_torn_transaction_whose_bars_were_deleted_since_says_so_and_what_to_do(case: Torn) -> None:
    case.brokers[case.bars].truncate(12)  # by retention: the transaction was made from offsets 10 to 15
    with pytest.raises(
        RecoveryError, match=r"is torn, and what it was made from is no longer there.*offset 10.*delete the session's changelog"
    ):
        case.look()


def test_a_torn_transaction_whose_bar_topic_is_gone_or_was_cut_off_says_so(case: Torn) -> None:
    whole = case.brokers.pop(case.bars)
    with pytest.raises(RecoveryError, match=rf"what it was made from is no longer there.*{case.bars} does not exist"):
        case.look()
    whole.records, whole.end = whole.records[:12], 12
    case.brokers[case.bars] = whole
    with pytest.raises(RecoveryError, match=rf"what it was made from is no longer there.*{case.bars} ends at offset 12, before 15"):
        case.look()


def test_a_barrier_of_another_owner_is_looked_for_until_a_broker_answers(case: Torn) -> None:
    case.brokers.put([Record(CHANGELOG, b"row", b"value", [], 0), Record(CHANGELOG, barrier.BARRIER_KEY, None, [], 0)])
    case.brokers.fail(CHANGELOG, AWAY, 3)
    assert barrier.has_barrier(SETTINGS, CHANGELOG, case.clock, first=1, end=2)
    assert case.brokers.asked[CHANGELOG] == 4
    assert not barrier.has_barrier(SETTINGS, CHANGELOG, case.clock, first=0, end=1)
    assert barrier.has_barrier(SETTINGS, CHANGELOG, case.clock, first=0)
    assert not barrier.has_barrier(SETTINGS, CHANGELOG, case.clock, first=2)
    assert not barrier.has_barrier(SETTINGS, CHANGELOG, case.clock, first=9), "no row behind the end is committed yet"
