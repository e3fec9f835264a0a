"""What the tests of faults between worker and broker have in common: a session under load, and the proof that nothing came of it.

story = Story(servers, session_name)
worker = story.start(workers)
with outage(story, [worker]):    # fed, and at work
    broker.kill()                # the fault
    broker.up()
                                 # it was at work again; all is read, the worker is stopped, the oracle and `verify` found no fault
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from streams.model.records import EventKind
from tests.support.feeders import SteadyFeed, endless_timeline
from tests.support.kafka.topics import unique_symbol
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.waiting import wait_until
from tests.support.workers.processes import SUPERVISED, Worker, Workers

BARS_A_SECOND = 120.0
BARS_A_SECOND_FOR_LONG = 40.0
PATIENT_SECONDS = 600.0
"""How long the feed waits for a broker that is away: longer than any test lets it be."""
READ_SECONDS = 120.0
COMES_BACK_SECONDS = 90.0
"""Limits for waiting, on a machine with much else to do: the second from the end of a fault to a worker that is active."""

_RIDDLES = ("Traceback", "_INCONSISTENT", "InternalError", "exit code 70", "exit code 1;", "would not mend")


class Story:
    """A session of a few symbols with a steady feed, on the broker at `servers`.

    So many bars of `each` symbol come at the feed's rate; whatever lasts longer is fed as live sessions are.
    """

    def __init__(self, servers: str, session: str, *, symbols: int = 4, each: int = 3600, threshold_seconds: int = 3600) -> None:
        self.symbols = [unique_symbol() for _ in range(symbols)]
        self.each = each
        # An hour, so that each bar is published however long a fault lasts.
        self.desk = LiveDesk(servers, second_bars(session, self.symbols, threshold_seconds=threshold_seconds))
        self.config = self.desk.config
        self._feed: SteadyFeed | None = None

    def topics(self) -> list[str]:
        """The topics that a session at work reads and writes."""
        names = self.desk.names
        written = [names.analysis, names.journal, names.events, f"{self.config.session_name}-state-changelog"]
        return [names.control, *written, *map(names.bars, self.symbols)]

    def start(self, workers: Workers, status: str = "active", **how: Any) -> Worker:
        """A worker of the session under a supervisor, unless `how` has other options, once it is so far."""
        worker = workers.start(self.config, **{"options": SUPERVISED, **how})
        worker.wait_until(status)
        return worker

    def start_two(self, workers: Workers, **how: Any) -> list[Worker]:
        """An active worker and its standby, each as `start` starts one."""
        return [self.start(workers, status, **how) for status in ("active", "standby")]

    def feed(self, *, per_second: float = BARS_A_SECOND) -> SteadyFeed:
        """The feed, a context manager: it goes on until it is left, or until `await_fed`."""
        bars, at_least = endless_timeline(self.symbols, self.each, per_second), self.each * len(self.symbols)
        self._feed = SteadyFeed(self.desk.settings, bars, per_second, at_least=at_least, patient_seconds=PATIENT_SECONDS)
        return self._feed

    def fed(self) -> dict[str, int]:
        """How many bars of each symbol were sent by the feed, which has ended."""
        assert self._feed is not None, "no feed was started"
        assert self._feed.is_done, "the feed goes on"
        return {symbol: self._feed.sent_of[symbol] for symbol in self.symbols}

    def published(self) -> int:
        """How many bars are on analysis: heartbeats are there as long as a worker lives, whatever it reads."""
        return sum(event.bar is not None for event in self.desk.topics.analysis())

    def await_published(self, more: int, timeout_seconds: float = READ_SECONDS) -> None:
        """Wait until `more` bars than now are on analysis: the session is at work."""
        wanted = self.published() + more
        wait_until(lambda: self.published() >= wanted, f"{more} more bars on analysis", timeout_seconds)

    def await_fed(self) -> None:
        """Wait until the bars that come at the feed's rate are all in their topics, and end the feed."""
        feed = self._feed
        assert feed is not None, "no feed was started"
        feed.finish()
        wait_until(lambda: feed.is_done, "the feed to end", 2 * READ_SECONDS)

    def prove_two(self, workers: Sequence[Worker]) -> list[str]:
        """Of two workers one is active and the other its standby, in the end too; then as `prove`."""

        def roles() -> dict[str | None, Worker]:
            by_status = {worker.status(): worker for worker in workers}
            return by_status if by_status.keys() == {"active", "standby"} else {}

        worker_of = wait_until(roles, "both workers to have their roles", COMES_BACK_SECONDS)
        assert worker_of["standby"].stop() == 0
        return self.prove(worker_of["active"])

    def prove(self, worker: Worker) -> list[str]:
        """Wait until all is read and stop the worker; nothing is lost, repeated, stale or out of order, and `verify` finds all equal.

        Gives the owners of the transactions, in turn.
        """
        self.desk.await_read(self.fed())
        assert worker.stop() == 0, worker.tail()
        evidence = self.desk.check_left_behind(self.symbols)
        lost = [event for event in self.desk.topics.events() if event.kind in (EventKind.SOURCE_LOST, EventKind.SYMBOL_FAILED)]
        assert not lost, f"a topic was taken for one that lost records, or is gone: {lost}"
        assert {symbol: len(bars) for symbol, bars in evidence.topics.items()} == self.fed()
        # Which bars are held back depends on when a symbol was loaded; the oracle accounts for each. Some must be there to judge.
        assert any(event.bar is not None for event in evidence.analysis)
        return [record.owner for record in evidence.journal]


@contextmanager
def outage(
    story: Story,
    workers: Sequence[Worker],
    *,
    per_second: float = BARS_A_SECOND_FOR_LONG,
    away: str | None = None,
    none_ends: bool = False,
) -> Iterator[list[str]]:
    """A session at work, the fault that the block is, the session at work again, and the proof that nothing else came of it.

    Gives a list, which holds the owners of the transactions, in turn, as soon as the proof is through.

    Args:
        story: the session, whose workers have their roles.
        workers: those that are there in the end: the active one, alone or with its standby.
        per_second: how many bars are sent.
        away: the broker that was away, if the workers' logs must say so.
        none_ends: whether no worker may have ended, not even to be started again.
    """
    owners: list[str] = []
    with story.feed(per_second=per_second):
        story.await_published(100)
        yield owners
        await_one_active(workers)
        story.await_published(100)
    for worker in workers:
        assert_plain(worker, away=away)
        assert not none_ends or "worker ends: " not in worker.said(), f"a worker ended\n{worker.tail()}"
    owners += story.prove(workers[0]) if len(workers) == 1 else story.prove_two(workers)


def await_one_active(workers: Sequence[Worker]) -> None:
    """Wait until one of the workers is active."""
    wait_until(lambda: any(worker.status() == "active" for worker in workers), "a worker to be active", COMES_BACK_SECONDS)


def pause(seconds: float) -> None:
    """Let time pass: how long the fault lasts is the point of it."""
    threading.Event().wait(seconds)


def assert_plain(worker: Worker, *, away: str | None = None) -> None:
    """The log says what is wrong in words: where it is said where a broker was `away`, that none answers there."""
    log = worker.said()
    assert away is None or f"no broker answers at {away}" in log
    for riddle in _RIDDLES:
        assert riddle not in log, f"{riddle} in\n{worker.tail()}"
