"""When a worker sends heartbeats: two records on analysis are never more than a second apart, and none is sent that proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.times import SECOND_US
from streams.wire.outputs import Record
from streams.worker.clock.heartbeat import BEAT_SECONDS
from streams.worker.feed.batches import Alarm, Tick
from streams.worker.health import Health, WorkerStatus
from tests.support.engine import at, minutes
from tests.unit.worker.test_runner import CODEC, Bench, Ledger


class Kept(Ledger):
    """Commits at once, or when it is told to; keeps when what was on analysis was handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stuck = False
        self.open: list[asyncio.Future[None]] = []

    def write(self, records: Sequence[Record]) -> asyncio.Future[None]:
        if not self.is_stuck:
            return super().write(records)
        self.written += records
        self.open.append(asyncio.get_running_loop().create_future())
        return self.open[-1]

    def commit(self) -> None:
        self.is_stuck = False
        for one in self.open:
            one.set_result(None)


class Life(Bench):
    """An active worker of SPY whose alarms go off when the simulated clock says so."""

    def __init__(self) -> None:
        super().__init__(read=40)
        self.kept = Kept()
        self.runner._ledger = self.kept  # type: ignore[assignment]
        self.number = 0
        self.alarms: list[float] = []

    async def begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Handle:
            def cancel(self) -> None:
                pass

        def call_later(seconds: float, *_: Any) -> Handle:
            self.alarms = [self.clock.monotonic() + seconds]
            return Handle()

        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
        await self.runner.activate()
        await turns()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, with the alarms that are due in it, and a tick each second."""
        end = self.clock.monotonic() + seconds
        while self.alarms and self.alarms[0] <= end:
            (due,) = self.alarms
            self.alarms = []
            self.clock.advance_seconds(max(0.0, due - self.clock.monotonic()))
            await self.take(Alarm())
        self.clock.advance_seconds(end - self.clock.monotonic())

    async def take(self, item: Any) -> None:
        await self.runner.process(item)
        await turns()

    async def bars(self, count: int = 1, *, at_end: bool = True) -> None:
        session = self.runner.session
        assert session is not None
        data = session.symbol("SPY")
        assert data is not None
        self.number += 1
        first = data.offset
        batch = self.batch(self.number, minutes("SPY", at("10:00"), 200)[first : first + count], first=first)
        await self.take(replace(batch, reads=[replace(read, at_end=at_end) for read in batch.reads]))

    def kinds(self) -> list[str]:
        """The kinds of all records that were handed over for analysis since the worker became active."""
        return [CODEC.analysis_from(one.value).kind for one in self.kept.written if one.topic == self.names.analysis]

    def told_at(self) -> list[float]:
        """When, in seconds, a record was emitted on analysis."""
        return [CODEC.analysis_from(one.value).emitted_us / SECOND_US for one in self.kept.written if one.topic == self.names.analysis]


async def turns() -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    asyncio.run(main())


def test_an_idle_worker_sends_a_heartbeat_before_each_second_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        life = Life()
        await life.begin(monkeypatch)
        began = life.clock.monotonic()
        await life.pass_time(30)
        assert set(life.kinds()) == {"heartbeat"}
        told = [began, *life.told_at(), life.clock.monotonic()]
        assert max(later - one for one, later in pairwise(told)) <= 1.0
        assert len(life.kinds()) <= 34, "and not much more often than that"
        assert not life.ends

    run(scenario)


@given(steps=st.lists(st.tuples(st.sampled_from(["wait", "tick", "bar"]), st.floats(0.0, 1.7)), max_size=25))
@settings(deadline=None, max_examples=40)
def test_whatever_comes_in_between_two_records_lie_a_second_apart_at_most(steps: list[tuple[str, float]]) -> None:
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            life = Life()
            await life.begin(monkeypatch)
            began = life.clock.monotonic()
            for what, seconds in steps:
                await life.pass_time(seconds)
                if what == "tick":
                    await life.take(Tick(life.runner._taken or 0))
                elif what == "bar":
                    await life.bars()
            told = [began, *life.told_at(), life.clock.monotonic()]
            assert max(later - one for one, later in pairwise(told)) <= 1.0 + 1e-6
            assert not life.ends

    run(scenario)


def test_a_worker_whose_transactions_do_not_get_through_sends_none_until_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        life = Life()
        await life.begin(monkeypatch)
        await life.pass_time(5)
        before = len(life.kinds())
        life.kept.is_stuck = True
        await life.pass_time(20)
        assert len(life.kinds()) - before <= 3, "those that were handed over before it was known that nothing gets through"
        stuck = len(life.kinds())
        life.kept.commit()
        await turns()
        await life.pass_time(1)
        assert len(life.kinds()) > stuck
        assert len(life.alarms) == 1, "nor does it wake up again and again meanwhile"

    run(scenario)


def test_a_worker_that_stood_still_commits_once_before_it_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        life = Life()
        await life.begin(monkeypatch)
        await life.pass_time(2)
        before, commits = len(life.kinds()), len(life.kept.written)
        life.clock.advance_seconds(45)  # as after SIGSTOP and SIGCONT, with nobody to take over
        await life.take(Alarm())
        await life.take(Tick(life.runner._taken or 0))
        assert len(life.kinds()) == before, "stale bars may be waiting, and another worker may have taken over"
        assert len(life.kept.written) > commits
        await life.pass_time(1)
        assert len(life.kinds()) == before + 1

    run(scenario)


def test_while_the_gate_is_shut_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        life = Life()
        await life.begin(monkeypatch)
        life.clock.advance_seconds(600)
        await life.bars(at_end=False)  # stale by now, and there is more
        assert life.kinds()[-1] == "deactivated"
        await life.pass_time(10)
        assert life.kinds()[-1] == "deactivated"

    run(scenario)


def test_health_and_figures_say_that_the_gate_is_open_only_while_transactions_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        life = Life()
        await life.begin(monkeypatch)
        ledger: Any = life.kept
        ledger.commits = ledger.renewals = ledger.commit_seconds = ledger.last_commit_seconds = 0
        health = Health(life.runner, ledger, life.clock, owner="tester", session="main", overdue_seconds=3.0)
        health.enter(WorkerStatus.ACTIVE)
        life.kept.is_stuck = True
        for seconds, status, is_active in ((2.9, "active", True), (0.2, "active", False), (2.0, "failing", False)):
            life.clock.advance_seconds(seconds)
            assert (health.report()["status"], health.report()["session_active"]) == (status, is_active)
            (figure,) = (one for one in health.figures() if one.name == "streams_session_active")
            assert figure.samples[0].value == float(is_active)

    run(scenario)


def test_a_heartbeat_leaves_room_for_the_commit_within_its_second() -> None:
    assert BEAT_SECONDS <= 0.9
