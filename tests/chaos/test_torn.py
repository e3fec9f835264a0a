"""A transaction of which only a part was committed, as by a late EndTxn: the next start completes it, and publishes nothing twice."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from confluent_kafka import Producer

from streams.engine.session import Session
from streams.engine.transaction import Transaction
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar
from streams.model.transactions import DeadLetter, RangeRead
from streams.times import SystemClock
from streams.wire.outputs import Encoder, RawRecord, Record
from streams.wire.ranges import range_read
from streams.worker.ledger.digest import CARRIER, HEADER, RowDigest
from tests.support.feeders import live_timeline
from tests.support.kafka.reading import read_topic
from tests.support.kafka.topics import unique_symbol
from tests.support.oracle.evidence import CODEC
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

PER_SECOND = 1000.0


class TornSession:
    """A session whose worker has ended, and the transaction that it would have written next."""

    def __init__(self, servers: str, session_name: str, workers: Workers) -> None:
        self.symbols = [unique_symbol(), unique_symbol()]
        self.desk = LiveDesk(servers, second_bars(session_name, self.symbols, threshold_seconds=3600))
        self.bars = live_timeline(self.symbols, 60, PER_SECOND)
        self.workers = workers
        worker = workers.start(self.desk.config)
        worker.wait_until("active")
        self.desk.bars(self.bars[:60])
        self.desk.await_read(dict.fromkeys(self.symbols, 30))
        assert worker.stop() == 0
        self.desk.bars([*self.bars[60:80], *self.garbage()])
        self.outputs, self.rows = self._next()

    def garbage(self) -> list[Bar]:
        """A bar that goes to the dead-letter topic: its high is below its low."""
        return [msgspec.structs.replace(self.bars[79], high=1.0, low=2.0)]

    def _next(self) -> tuple[list[Record], list[Record]]:
        names, stored = self.desk.names, self.desk.topics.rows()
        digest = RowDigest((key.encode(), CODEC.row_to(row)) for key, row in stored.items())
        session = Session.restore(stored)
        transaction = Transaction(session, owner="torn", now_us=SystemClock().now_us())
        raws: dict[tuple[str, str | None, int], RawRecord] = {}
        ranges = []
        for symbol in self.symbols:
            data = session.symbol(symbol)
            assert data is not None
            ranges.append(self._range(symbol, data.incarnation, data.offset, raws))
        transaction.read(ranges)
        transaction.apply(JournalInput(InputKind.REWOUND))
        result = transaction.finish()

        def raw_of(letter: DeadLetter) -> RawRecord:
            return raws[letter.symbol, letter.stream, letter.offset]

        encoder = Encoder(CODEC, names, session=self.desk.config.session_name, epoch=session.state.epoch)
        outputs = encoder.records(result, raw_of)
        timestamp_ms = result.now_us // 1000
        rows = [(key.encode(), None if row is None else CODEC.row_to(row)) for key, row in result.rows.items()]
        for key, value in rows:
            digest.change(key, value)
        carried = [(HEADER, digest.text())]
        topic = self.desk.topics.changelog
        return outputs, [Record(topic, key, value, carried if key == CARRIER else [], timestamp_ms) for key, value in rows]

    def _range(self, symbol: str, incarnation: int, first: int, raws: dict[tuple[str, str | None, int], RawRecord]) -> RangeRead:
        topic = self.desk.names.bars(symbol)
        found = [one for one in read_topic(self.desk.servers, topic) if one.offset >= first]
        for one in found:
            raws[symbol, None, one.offset] = RawRecord(topic, one.offset, one.key, one.value, [])
        offsets, values = [one.offset for one in found], [one.value for one in found]
        return range_read(CODEC, symbol, incarnation, first, offsets[-1] + 1, offsets, values)

    def of(self, topic: str) -> list[Record]:
        """The transaction's records of a topic."""
        return [one for one in self.outputs if one.topic == topic]

    def commit(self, records: list[Record]) -> None:
        """Commit a part of the transaction, as a late EndTxn does."""
        producer = Producer({"bootstrap.servers": self.desk.servers, "transactional.id": f"{self.desk.config.session_name}-torn"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for one in records:
            producer.produce(one.topic, one.value, one.key, 0, timestamp=one.timestamp_ms, headers=one.headers)
        producer.commit_transaction(30)


@pytest.fixture
def torn(bootstrap_servers: str, session_name: str, workers: Workers) -> TornSession:
    return TornSession(bootstrap_servers, session_name, workers)


def journal_only(torn: TornSession) -> list[Record]:
    return torn.of(torn.desk.names.journal)


def half_of_analysis(torn: TornSession) -> list[Record]:
    analysis = torn.of(torn.desk.names.analysis)
    return [*analysis[: len(analysis) // 2], *journal_only(torn)]


def all_outputs(torn: TornSession) -> list[Record]:
    return torn.outputs


def all_rows(torn: TornSession) -> list[Record]:
    return [*torn.rows, *journal_only(torn)]


def rows_without_the_session(torn: TornSession) -> list[Record]:
    return [*[row for row in torn.rows if row.key != CARRIER], *torn.outputs]


def the_session_row_alone(torn: TornSession) -> list[Record]:
    return [*[row for row in torn.rows if row.key == CARRIER], *half_of_analysis(torn)]


def the_session_row_and_all_outputs(torn: TornSession) -> list[Record]:
    return [*[row for row in torn.rows if row.key == CARRIER], *torn.outputs]


PARTS: list[Callable[[TornSession], list[Record]]] = [half_of_analysis, rows_without_the_session]
MORE_PARTS: list[Callable[[TornSession], list[Record]]] = [
    journal_only,
    all_outputs,
    all_rows,
    the_session_row_alone,
    the_session_row_and_all_outputs,
]
CASES = [*PARTS, *(pytest.param(part, marks=pytest.mark.slow) for part in MORE_PARTS)]


@pytest.mark.chaos
@pytest.mark.parametrize("part", CASES, ids=lambda part: part.__name__.replace("_", " "))
def test_a_transaction_that_is_there_in_part_is_completed_and_nothing_is_published_twice(
    torn: TornSession, part: Callable[[TornSession], list[Record]]
) -> None:
    torn.commit(part(torn))
    worker = torn.workers.start(torn.desk.config)
    worker.wait_until("active")
    assert "was there only in part, and is completed" in worker.said()
    torn.desk.bars(torn.bars[80:])
    torn.desk.await_read({torn.symbols[0]: 60, torn.symbols[1]: 61})
    assert worker.stop() == 0
    evidence = torn.desk.topics.evidence(torn.desk.config, torn.symbols)
    assert [record.owner for record in evidence.journal].count("torn") == 1
    assert [event.sequence for event in evidence.analysis] == list(range(1, len(evidence.analysis) + 1))
    torn.desk.check_audit()


@pytest.mark.chaos
def test_a_transaction_whose_journal_record_is_missing_ends_the_worker_with_what_it_found(torn: TornSession) -> None:
    torn.commit(torn.of(torn.desk.names.analysis)[:3])
    worker = torn.workers.start(torn.desk.config)
    assert worker.wait_ended(60.0) == 19
    assert "the last transaction is torn: the rows stand at transaction" in worker.said()
