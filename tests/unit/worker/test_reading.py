"""Reads of a worker: of the last committed state, with a place that goes with it, and without holding bars up for longer than a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from streams.api.reader import AsOf
from streams.engine.rollback import fork_symbol
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.errors import NotActiveError
from streams.wire.outputs import Record
from streams.worker import http_reader
from streams.worker.feed.batches import Tick
from streams.worker.health import Health, WorkerStatus
from streams.worker.http_reader import Shared, WorkerReader
from tests.support.engine import at, minutes
from tests.unit.worker.test_runner import Bench, Ledger

OWNER = "http://worker-1:6066"
OWN = "http://worker-2:6066"


class SlowLedger(Ledger):
    """Commits when it is told to, and says then where analysis ends."""

    def __init__(self) -> None:
        self.analysis_offset: int | None = None  # type: ignore[assignment]
        self.open: list[asyncio.Future[None]] = []
        self.is_slow = False
        self.commits = self.renewals = 0
        self.commit_seconds = self.last_commit_seconds = 0.0

    def write(self, records: Sequence[Record]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_slow:
            self.open.append(future)
        else:
            future.set_result(None)
        return future

    def commit(self, analysis_offset: int) -> None:
        self.analysis_offset = analysis_offset
        self.open.pop(0).set_result(None)


class Office(Bench):
    """A bench with a slow ledger and a reader."""

    def __init__(self, owner_url: str | None = OWNER) -> None:
        super().__init__(read=5)
        self.slow = SlowLedger()
        self.runner._ledger = self.slow  # type: ignore[assignment]
        self.health = Health(self.runner, self.slow, self.clock, owner="tester", session="main", overdue_seconds=3.0)  # type: ignore[arg-type]
        self.reader = WorkerReader(self.runner, self.health, owner_url=lambda: owner_url, own_url=OWN)
        self.number = 0

    async def activate(self) -> None:
        self.reader.begin()
        await self.runner.activate()
        self.health.enter(WorkerStatus.ACTIVE)
        await turns()

    async def read_bars(self, count: int) -> None:
        """One transaction of so many more bars."""
        self.number += 1
        first = self.runner.session.symbol("SPY").offset  # type: ignore[union-attr]
        await self.runner.process(self.batch(self.number, minutes("SPY", at("10:00"), 60)[first : first + count], first=first))

    async def count(self) -> tuple[int, int]:
        """How many bars a read finds, and where it says that analysis goes on."""
        as_of, count = await self.reader.take(lambda state: len(state.symbols["SPY"].bars))
        return count, as_of.analysis_offset


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    asyncio.run(main())


async def turns() -> None:
    """Let everything go on that can."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_read_is_of_the_committed_state_and_waits_for_what_is_in_flight() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        office.slow.is_slow = True
        await office.read_bars(3)
        asked = asyncio.create_task(office.count())
        await asyncio.sleep(0.05)
        assert not asked.done(), "the three bars are in the state, and not committed"
        office.slow.commit(analysis_offset=77)
        assert await asked == (8, 77)
        assert not office.ends

    run(scenario)


def test_where_analysis_goes_on_is_asked_of_the_broker_as_long_as_nothing_was_written_there() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        assert await office.count() == (5, 1000), "the end of the topic, as the bench's broker has it"
        office.slow.analysis_offset = 1007
        assert await office.count() == (5, 1007)

    run(scenario)


def test_an_answer_says_how_long_ago_the_last_transaction_was_committed() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        await office.read_bars(3)
        for seconds in (0.0, 1.25, 1.5):
            office.clock.advance_seconds(seconds)
            as_of, _ = await office.reader.take(lambda state: state.sequence)
            assert as_of.committed_seconds == pytest.approx(office.clock.monotonic() - office.runner.committed_at)
        assert as_of.committed_seconds == pytest.approx(2.75)
        await office.read_bars(1)
        as_of, _ = await office.reader.take(lambda state: state.sequence)
        assert as_of.committed_seconds == 0.0

    run(scenario)


def test_reads_that_come_while_one_waits_share_its_wait_and_are_of_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        entered: list[None] = []
        committed = office.runner.committed
        monkeypatch.setattr(office.runner, "committed", lambda: entered.append(None) or committed())
        office.slow.is_slow = True
        await office.read_bars(1)
        asked = [asyncio.create_task(office.count()) for _ in range(20)]
        await asyncio.sleep(0.05)
        office.slow.commit(analysis_offset=50)
        assert set(await asyncio.gather(*asked)) == {(6, 50)}
        assert len(entered) == 1

    run(scenario)


def test_a_copy_is_not_changed_by_what_comes_after_it_and_bars_go_on_while_one_has_it() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()

        def take(state: SessionState) -> SymbolSessionData:
            return fork_symbol(state.symbols["SPY"])

        as_of, copy = await office.reader.take(take)
        before = [bar.start_us for bar in copy.bars]
        await office.read_bars(10)
        assert [bar.start_us for bar in copy.bars] == before
        later, _ = await office.reader.take(take)
        assert isinstance(as_of, AsOf)
        assert later.sequence > as_of.sequence

    run(scenario)


def test_a_read_that_fails_fails_alone() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()

        def broken(state: SessionState) -> int:
            return state.symbols["NOBODY"].offset

        results: list[Any] = await asyncio.gather(office.reader.take(broken), office.count(), return_exceptions=True)
        assert isinstance(results[0], KeyError)
        assert results[1] == (5, 1000)
        assert not office.ends

    run(scenario)


def test_more_reads_than_share_one_hold_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_reader, "AT_ONCE", 3)

    async def scenario() -> None:
        office = Office()
        await office.activate()
        assert await asyncio.gather(*[office.count() for _ in range(10)]) == [(5, 1000)] * 10

    run(scenario)


@pytest.mark.parametrize(
    ("status", "owner_url", "known", "says"),
    [
        (WorkerStatus.STARTING, OWNER, None, "the worker is starting"),
        (WorkerStatus.RECOVERING, OWNER, None, "the worker is recovering"),
        (WorkerStatus.STANDBY, OWNER, OWNER, "this worker is a standby"),
        (WorkerStatus.STANDBY, None, None, "this worker is a standby"),
        (WorkerStatus.STANDBY, OWN, None, "this worker is a standby"),
    ],
)
def test_a_worker_without_the_state_says_so_and_who_has_it(
    status: WorkerStatus, owner_url: str | None, known: str | None, says: str
) -> None:
    async def scenario() -> None:
        office = Office(owner_url)
        office.reader.begin()
        office.health.enter(status)
        for ask in (office.reader.check, office.count):
            with pytest.raises(NotActiveError, match=says) as caught:
                await ask()
            assert caught.value.owner_url == known

    run(scenario)


def test_a_worker_whose_transactions_do_not_get_through_does_not_answer_from_what_may_be_of_the_past() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        office.clock.advance_seconds(6)  # it was paused, say, and another one may have taken over
        with pytest.raises(NotActiveError, match="do not get through"):
            await office.count()

    run(scenario)


def test_a_read_that_waits_as_the_worker_is_put_out_is_not_answered() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        office.slow.is_slow = True
        await office.read_bars(1)
        asked = asyncio.create_task(office.count())
        await turns()
        leaving = asyncio.create_task(office.runner.deactivate())
        await turns()
        office.slow.commit(analysis_offset=9)
        await leaving
        again = asyncio.create_task(office.count())
        with pytest.raises(NotActiveError):
            await again
        assert (await asked)[0] == 6, "it came before, and what it waited for was committed"

    run(scenario)


def test_before_there_is_a_loop_health_is_told_and_nothing_else() -> None:
    async def scenario() -> None:
        office = Office()
        condition = await office.reader.condition()
        assert (condition.report["status"], condition.is_well) == (WorkerStatus.STARTING, False)
        assert b"streams_worker_status" in await office.reader.metrics()
        with pytest.raises(NotActiveError, match="starting"):
            await office.count()
        with pytest.raises(NotActiveError, match="starting"):
            await office.reader.check()

    run(scenario)


def test_figures_are_collected_once_for_all_who_ask_before_that_is_begun() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        collected, collect = [], office.health.figures
        office.health.figures = lambda: collected.append(1) or collect()  # type: ignore[method-assign,func-returns-value]
        office.reader._figures._rests_until = asyncio.get_running_loop().time() + 0.05  # all of them ask before the first is begun
        texts = await asyncio.gather(*(office.reader.metrics() for _ in range(100)))
        assert len(collected) == 1
        assert len(set(texts)) == 1
        assert b"streams_worker_status" in texts[0]

    run(scenario)


def test_an_answer_that_costs_time_is_not_made_again_before_it_has_rested() -> None:
    async def scenario() -> None:
        loop, spans = asyncio.get_running_loop(), []

        async def make() -> int:
            began = loop.time()
            await asyncio.sleep(0.01)
            spans.append((began, loop.time()))
            return len(spans)

        shared = Shared(make, rest=5.0, longest_rest_seconds=0.2)
        first = asyncio.create_task(shared.get())
        await turns()
        late = [asyncio.create_task(shared.get()) for _ in range(3)]
        assert await first == 1
        assert await asyncio.gather(*late) == [2, 2, 2], "those who asked while it was being made get a newer one, and one for all"
        (began, ended), (again, _) = spans
        assert again - ended >= min(5.0 * (ended - began), 0.2)

    run(scenario)


def test_an_answer_that_fails_is_told_to_all_and_the_next_one_is_made() -> None:
    async def scenario() -> None:
        made = 0

        async def make() -> int:
            nonlocal made
            made += 1
            await asyncio.sleep(0)
            if made == 1:
                raise NotActiveError("the worker is stopping")
            return made

        shared = Shared(make, rest=0.0, longest_rest_seconds=0.0)
        both = await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)
        assert [type(one) for one in both] == [NotActiveError, NotActiveError]
        assert await shared.get() == 2

    run(scenario)


def test_who_asks_and_goes_away_takes_the_answer_from_nobody() -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def make() -> int:
            await go.wait()
            return 1

        shared = Shared(make, rest=0.0, longest_rest_seconds=0.0)
        gone, stays = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
        await turns()
        gone.cancel()
        go.set()
        assert await stays == 1

    run(scenario)


def test_a_worker_whose_transactions_do_not_get_through_gives_no_answer_after_three_seconds_though_it_is_not_failing_yet() -> None:
    async def scenario() -> None:
        office = Office()
        await office.activate()
        office.clock.advance_seconds(2.9)
        assert (await office.count())[0] == 5
        office.clock.advance_seconds(0.2)
        assert office.health.status is WorkerStatus.ACTIVE
        with pytest.raises(NotActiveError, match="do not get through to the broker"):
            await office.count()
        office.number += 1
        await office.runner.process(Tick(office.runner._taken or 0))
        assert (await office.count())[0] == 5, "with the next commit it answers again"

    run(scenario)
