"""The ledger on a real broker: what a commit tells about the rows that it wrote."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

import pytest
from confluent_kafka import KafkaException, Producer

from streams.config.settings import Settings
from streams.errors import FencedError, LedgerError
from streams.times import SystemClock
from streams.wire.outputs import Record
from streams.worker.ledger import ledger as ledger_module
from streams.worker.ledger.barrier import has_barrier
from streams.worker.ledger.ledger import Ledger, second_id
from tests.support import create_topics, unique_name
from tests.support.kafka.reading import read_topic


def test_after_each_commit_the_ledger_knows_the_offset_of_the_last_row(bootstrap_servers: str) -> None:
    """Without it a table that is written here would be read from its beginning at each rebalance."""
    changelog, outputs = unique_name("changelog"), unique_name("outputs")
    create_topics(bootstrap_servers, changelog, outputs)
    settings = Settings.load(bootstrap_servers=bootstrap_servers)
    ledger = Ledger(settings, transactional_id=changelog, changelog=changelog, analysis="none", clock=SystemClock())

    def record(topic: str, key: bytes) -> Record:
        return Record(topic, key, b"value", [], 1_381_147_200_000)

    async def committed() -> list[int | None]:
        barrier = await ledger.take_over([changelog])
        known: list[int | None] = [barrier[changelog]]
        for keys in ((b"a", b"b"), (b"c",)):
            await ledger.write([record(outputs, b"x"), *[record(changelog, key) for key in keys], record(outputs, b"y")])
            known.append(ledger.changelog_offset)
        await ledger.close()
        return known

    known = asyncio.run(committed())
    offsets = {read.key: read.offset for read in read_topic(bootstrap_servers, changelog)}
    assert known == [offsets[b"barrier"], offsets[b"b"], offsets[b"c"]]


def test_a_commit_sends_what_lingers(bootstrap_servers: str) -> None:
    outputs = unique_name("outputs")
    create_topics(bootstrap_servers, outputs)
    minutes = {"linger.ms": 300_000, "delivery.timeout.ms": 600_000, "transaction.timeout.ms": 600_000}
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": outputs, **minutes})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(outputs, b"value", b"key", 0)
    try:
        producer.commit_transaction(60)
    except KafkaException as error:
        raise AssertionError("flushing now lingers: the ledger's linger.ms would delay every commit by as much") from error
    assert [read.value for read in read_topic(bootstrap_servers, outputs)] == [b"value"]


class Desk:
    """A changelog, and ledgers that write to it."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.servers = bootstrap_servers
        self.changelog = unique_name("changelog")
        create_topics(bootstrap_servers, self.changelog)

    def ledger(self) -> Ledger:
        settings = Settings.load(bootstrap_servers=self.servers)
        return Ledger(settings, transactional_id=self.changelog, changelog=self.changelog, analysis="none", clock=SystemClock())

    def take_over(self) -> Ledger:
        ledger = self.ledger()
        ledger._take_over([self.changelog])
        return ledger

    def write(self, ledger: Ledger, *keys: bytes) -> None:
        """A transaction for each key."""
        for key in keys:
            ledger._write([Record(self.changelog, key, b"value", [], 1_381_147_200_000)])

    def producer(self, transactional_id: str) -> Producer:
        producer = Producer({"bootstrap.servers": self.servers, "transactional.id": transactional_id})
        producer.init_transactions(30)
        return producer

    def written(self) -> list[bytes | None]:
        return [record.key for record in read_topic(self.servers, self.changelog) if record.key != b"barrier"]


@pytest.fixture
def desk(bootstrap_servers: str) -> Desk:
    return Desk(bootstrap_servers)


NAMES: list[Callable[[str], str]] = [str, second_id]


@pytest.mark.parametrize("name", NAMES, ids=["the first id", "the second id"])
@pytest.mark.parametrize("before", [0, 1])
def test_an_owner_of_whose_two_ids_one_is_taken_writes_one_transaction_more_at_most(
    desk: Desk, name: Callable[[str], str], before: int
) -> None:
    owner = desk.take_over()
    keys = [b"%d" % number for number in range(before + 2)]
    desk.write(owner, *keys[:before])
    desk.producer(name(desk.changelog))
    with pytest.raises(FencedError):
        desk.write(owner, *keys[before:])
    written = desk.written()
    assert written == keys[: len(written)]
    assert before <= len(written) <= before + 1


@pytest.mark.parametrize("name", NAMES, ids=["the first id", "the second id"])
def test_what_was_handed_over_behind_a_transaction_that_failed_is_not_written_under_the_other_id(
    desk: Desk, name: Callable[[str], str]
) -> None:
    owner = desk.take_over()
    desk.producer(name(desk.changelog))

    async def hand_over_all() -> list[object]:
        records = [[Record(desk.changelog, b"%d" % number, b"value", [], 1_381_147_200_000)] for number in range(4)]
        return await asyncio.gather(*[owner.write(one) for one in records], return_exceptions=True)

    ended = [type(one) for one in asyncio.run(hand_over_all())]
    written = desk.written()
    assert ended == [type(None)] * len(written) + [FencedError] * (4 - len(written))
    assert written == [b"%d" % number for number in range(len(written))]


def test_after_a_transaction_that_could_not_even_be_produced_nothing_is_written(desk: Desk) -> None:
    owner = desk.take_over()
    desk.write(owner, b"a")
    with pytest.raises(TypeError):
        owner._write([Record(desk.changelog, b"b", 1, [], 0)])  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="1 records could not be written: TypeError"):
        desk.write(owner, b"c")
    assert desk.written() == [b"a"]


@pytest.mark.parametrize("name", NAMES, ids=["the first id", "the second id"])
def test_what_a_dead_owner_left_open_under_either_id_is_ended_by_the_next_one(desk: Desk, name: Callable[[str], str]) -> None:
    dead = desk.producer(name(desk.changelog))
    dead.begin_transaction()
    dead.produce(desk.changelog, b"value", b"open", 0)
    dead.flush(30)
    owner = desk.take_over()
    desk.write(owner, b"a")
    # A reader of what is committed would be kept from it for as long as a transaction before it is open.
    assert desk.written() == [b"a"]


def test_of_two_that_take_over_at_once_only_the_last_one_gets_past_its_barrier(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two would hold one of the ids afterwards, and write one transaction, if the ids were not taken in order."""
    owners: list[Ledger] = []

    class Interrupted(Producer):
        """Just before its owner takes the second id, another one takes over."""

        taken = 0

        def init_transactions(self, *args: float) -> None:
            Interrupted.taken += 1
            if Interrupted.taken == 2:
                owners.append(desk.take_over())
            super().init_transactions(*args)

    late = desk.ledger()
    monkeypatch.setattr(ledger_module, "Producer", Interrupted)
    with pytest.raises(FencedError):
        late._take_over([desk.changelog])
    # The late one has taken the second id from the other, whose next transaction under it fails: nobody is left.
    with pytest.raises(FencedError):
        desk.write(owners[0], b"a")
    assert desk.written() == []
    desk.write(desk.take_over(), b"b")
    assert desk.written() == [b"b"]


def test_a_commit_whose_end_was_answered_costs_no_new_epochs(desk: Desk) -> None:
    """The ledger reads it in librdkafka's log: with lines that are worded otherwise it would take new epochs for each transaction."""
    owner = desk.take_over()
    desk.write(owner, b"a", b"b", b"c")
    assert owner.renewals == 0


def unanswered(owner: Ledger) -> None:
    """As if no answer had come to the request that ended the last transaction."""
    owner._is_end_unanswered = True


def test_after_an_end_without_an_answer_the_next_transaction_has_another_epoch(desk: Desk) -> None:
    owner = desk.take_over()
    desk.write(owner, b"a", b"b")
    unanswered(owner)
    desk.write(owner, b"c", b"d")
    assert owner.renewals == 1
    assert desk.written() == [b"a", b"b", b"c", b"d"]
    assert [record.key for record in read_topic(desk.servers, desk.changelog)].count(b"barrier") == 2


def test_an_offset_that_was_not_told_makes_the_owner_look_for_other_owners_and_find_none(desk: Desk) -> None:
    owner = desk.take_over()
    before = owner._row_offset
    desk.write(owner, b"a")
    unanswered(owner)
    owner._row_offset = before  # the broker acknowledged the row without its offset
    desk.write(owner, b"b")
    assert desk.written() == [b"a", b"b"]


def test_a_marker_that_is_not_written_yet_is_no_other_owner(desk: Desk) -> None:
    """A commit is answered before its marker is there: what is committed then ends before the owner's last row."""
    desk.write(desk.take_over(), b"a")
    end = 1 + max(record.offset for record in read_topic(desk.servers, desk.changelog))
    settings = Settings.load(bootstrap_servers=desk.servers)
    assert not has_barrier(settings, desk.changelog, SystemClock(), first=end + 10)
    assert has_barrier(settings, desk.changelog, SystemClock(), first=0)
    assert not has_barrier(settings, desk.changelog, SystemClock(), first=1)


class Steps(Producer):
    """Producers: before the n-th `init_transactions` or `commit_transaction` of them all something happens."""

    before: ClassVar[dict[tuple[str, int], Callable[[], object]]] = {}
    count: ClassVar[Counter[str]] = Counter()

    def _step(self, name: str) -> None:
        Steps.count[name] += 1
        happens = Steps.before.pop((name, Steps.count[name]), None)
        if happens is not None:
            happens()

    def init_transactions(self, *args: float) -> None:
        self._step("init")
        super().init_transactions(*args)

    def commit_transaction(self, *args: float) -> None:
        self._step("commit")
        super().commit_transaction(*args)


Put = Callable[[str, int, Callable[[], object]], None]


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Has something happen before the n-th call from then on."""
    monkeypatch.setattr(ledger_module, "Producer", Steps)

    def put(name: str, number: int, happens: Callable[[], object]) -> None:
        Steps.before, Steps.count = {(name, number): happens}, Counter()

    return put


@pytest.mark.parametrize("written", [[], [b"x"], [b"x", b"y"]], ids=["nothing", "one transaction", "two transactions"])
def test_an_owner_that_has_lost_the_session_and_takes_new_epochs_does_not_end_the_new_owner(desk: Desk, written: list[bytes]) -> None:
    former = desk.take_over()
    desk.write(former, b"a")
    unanswered(former)
    new = desk.take_over()
    desk.write(new, *written)
    with pytest.raises(FencedError, match="taking new producer epochs: another worker has taken this session over"):
        desk.write(former, b"b")
    with pytest.raises(FencedError):
        desk.write(former, b"c")
    assert former.renewals == 0
    desk.write(new, b"d", b"e", b"f")
    assert desk.written() == [b"a", *written, b"d", b"e", b"f"]


def test_a_renewal_just_before_a_takeover_leaves_the_new_owner(desk: Desk, step: Put) -> None:
    former = desk.take_over()
    desk.write(former, b"a")
    unanswered(former)
    step("init", 1, lambda: desk.write(former, b"b"))
    new = desk.take_over()
    desk.write(new, b"c", b"d")
    with pytest.raises(FencedError):
        desk.write(former, b"e")
    assert desk.written() == [b"a", b"b", b"c", b"d"]


def test_a_renewal_before_the_barrier_of_a_takeover_leaves_the_former_owner(desk: Desk, step: Put) -> None:
    """Until its barrier is committed nobody can see that there is a new one, and it has read nothing yet."""
    former = desk.take_over()
    desk.write(former, b"a")
    unanswered(former)
    step("commit", 1, lambda: desk.write(former, b"b"))
    with pytest.raises(FencedError):
        desk.take_over()
    desk.write(former, b"c", b"d", b"e")
    assert desk.written() == [b"a", b"b", b"c", b"d", b"e"]


@pytest.mark.parametrize(("name", "number"), [("init", 1), ("init", 2), ("commit", 1)])
def test_a_takeover_that_comes_between_the_steps_of_a_renewal_ends_the_former_owner_and_nothing_is_written_by_it(
    desk: Desk, step: Put, name: str, number: int
) -> None:
    former = desk.take_over()
    desk.write(former, b"a")
    unanswered(former)
    owners: list[Ledger] = []
    step(name, number, lambda: owners.append(desk.take_over()))
    with pytest.raises(FencedError):
        desk.write(former, b"b")
    assert desk.written() == [b"a"]
    with suppress(FencedError):  # the former owner has taken the second id from it, and it ends with its next transaction
        desk.write(owners[0], b"c")
    desk.write(desk.take_over(), b"d")
    assert desk.written() in ([b"a", b"c", b"d"], [b"a", b"d"])
