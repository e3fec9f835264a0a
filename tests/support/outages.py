"""What the tests of faults between worker and broker have in common: a session under load, and the proof that nothing came of it.

story = Story(servers, session_name, each=600)
worker = story.start(workers)
with story.feed(patient_seconds=240):
    ...                              # the fault
    story.await_fed()
story.prove(worker)                  # all is read, and it is stopped; the oracle and `verify` look at everything
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support.desk import LiveDesk
from tests.support.feeders import SteadyFeed, live_timeline
from tests.support.sessions import second_bars
from tests.support.topics import unique_symbol
from tests.support.waiting import wait_until
from tests.support.workers import SUPERVISED, Worker, Workers

BARS_A_SECOND = 120.0
READ_SECONDS = 120.0
COMES_BACK_SECONDS = 90.0
"""Limits for waiting, on a machine with much else to do: the second from the end of a fault to a worker that is active."""

_RIDDLES = ("Traceback", "_INCONSISTENT", "InternalError", "exit code 70", "exit code 1;", "would not mend")


class Story:
    """A session of a few symbols with a steady feed, on the broker at `servers`."""

    def __init__(self, servers: str, session: str, *, symbols: int = 4, each: int, threshold_seconds: int = 3600) -> None:
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

    def start_two(self, workers: Workers) -> list[Worker]:
        """An active worker and its standby, each under a supervisor."""
        return [self.start(workers), self.start(workers, "standby")]

    def feed(self, *, per_second: float = BARS_A_SECOND, patient_seconds: float | None = None) -> SteadyFeed:
        """The feed, a context manager: it outlasts a broker that is away for `patient_seconds`, and may be left before its end."""
        bars = live_timeline(self.symbols, self.each, per_second)
        self._feed = SteadyFeed(self.desk.settings, bars, per_second, patient_seconds=patient_seconds)
        return self._feed

    def fed(self) -> dict[str, int]:
        """How many bars of each symbol were sent."""
        assert self._feed is not None, "no feed was started"
        return {symbol: self._feed.sent_of[symbol] for symbol in self.symbols}

    def published(self) -> int:
        """The number of the newest analysis record."""
        analysis = self.desk.topics.analysis()
        return analysis[-1].sequence if analysis else 0

    def await_published(self, more: int, timeout_seconds: float = READ_SECONDS) -> None:
        """Wait until `more` records than now are on analysis: the session is at work."""
        wanted = self.published() + more
        wait_until(lambda: self.published() >= wanted, f"{more} more records on analysis", timeout_seconds)

    def await_fed(self) -> None:
        """Wait until all bars are in their topics."""
        feed = self._feed
        assert feed is not None, "no feed was started"
        wait_until(lambda: feed.is_done, "the feed to end", 2 * READ_SECONDS)

    def prove_two(self, workers: Sequence[Worker]) -> None:
        """Of two workers one is active and the other its standby, in the end too; then as `prove`."""

        def roles() -> dict[str | None, Worker]:
            by_status = {worker.status(): worker for worker in workers}
            return by_status if by_status.keys() == {"active", "standby"} else {}

        worker_of = wait_until(roles, "both workers to have their roles", COMES_BACK_SECONDS)
        assert worker_of["standby"].stop() == 0
        self.prove(worker_of["active"])

    def prove(self, worker: Worker) -> list[str]:
        """Wait until all is read and stop the worker; nothing is lost, repeated, stale or out of order, and `verify` finds all equal.

        Gives the owners of the transactions, in turn.
        """
        self.desk.await_read(self.fed())
        assert worker.stop() == 0, worker.tail()
        evidence = self.desk.check_left_behind(self.symbols)
        assert {symbol: len(bars) for symbol, bars in evidence.topics.items()} == self.fed()
        # Which bars are held back depends on when a symbol was loaded; the oracle accounts for each. Some must be there to judge.
        assert any(event.bar is not None for event in evidence.analysis)
        return [record.owner for record in evidence.journal]


def await_one_active(workers: Sequence[Worker]) -> None:
    """Wait until one of the workers is active."""
    wait_until(lambda: any(worker.status() == "active" for worker in workers), "a worker to be active", COMES_BACK_SECONDS)


def assert_plain(worker: Worker, *, away: str | None = None) -> None:
    """The log says what is wrong in words: where it is said where a broker was `away`, that none answers there."""
    log = worker.said()
    assert away is None or f"no broker answers at {away}" in log
    for riddle in _RIDDLES:
        assert riddle not in log, f"{riddle} in\n{worker.tail()}"
