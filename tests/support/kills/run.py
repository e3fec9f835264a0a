"""Carries out a plan of kills and commands on real workers, and counts what it hit.

Between strikes the workers are looked after as a supervisor would: one that ended by itself with a code that a new start
mends is started again, one that ended with any other code fails the test.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from streams.client.control import SessionControl
from streams.client.session import SessionClient
from streams.config.settings import Settings
from streams.errors import BrokerLostError, CommandRefusedError, DemotedError, FencedError, LedgerError
from streams.model.records import CommandKind, ControlCommand
from streams.times import SystemClock
from tests.support.feeders import SteadyFeed
from tests.support.http_readers import COMMAND_TOKEN
from tests.support.kills.plan import Change, Moment, Plan, Strike, Target
from tests.support.waiting import wait_until
from tests.support.workers.processes import Worker

AT_WORK_COMMITS = 3
COMES_SECONDS = 120.0
"""A limit for waiting: a start, a take-over and a recovery on a busy machine."""
MENDED_BY_A_START = frozenset({FencedError.exit_code, DemotedError.exit_code, LedgerError.exit_code, BrokerLostError.exit_code})
_SIGTERM_ENDS = frozenset({0, -signal.SIGTERM, FencedError.exit_code, DemotedError.exit_code})
"""In order; before the worker has a handler; overtaken by a take-over on its way."""


class Commands:
    """Sends a plan's changes as the feed comes to their places, from a thread of its own, and remembers the ids.

    What is sent over HTTP goes to the workers at `urls`, until one of them takes it.
    """

    def __init__(
        self, settings: Settings, symbols: Sequence[str], changes: Sequence[Change], feed: SteadyFeed, urls: Sequence[str]
    ) -> None:
        self.ids: list[str] = []
        self._urls = urls
        self._settings = settings
        self._symbols = symbols
        self._changes = changes
        self._feed = feed
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Add all symbols, send the changes while the block runs, and at its end what puts every symbol into the session."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with (
                SessionControl(self._settings) as control,
                SessionClient(self._urls, command_token=COMMAND_TOKEN, patience_seconds=COMES_SECONDS) as client,
            ):
                for symbol in self._symbols:
                    self._send(control, CommandKind.ADD_SYMBOL, symbol)
                for change in self._changes:
                    while self._feed.sent < change.at_bar and not self._stopping.wait(0.01):
                        pass
                    if self._stopping.is_set():
                        break
                    symbol = self._symbols[change.symbol]
                    # In one go, so that both can come in one batch; a graceful removal that is not over refuses the addition.
                    if change.over_http:
                        self._ask(client.remove_symbol, symbol, immediate=change.immediate)
                    else:
                        self._send(control, CommandKind.REMOVE_SYMBOL, symbol, immediate=change.immediate)
                    if change.again and change.over_http:
                        self._ask(client.add_symbol, symbol)
                    elif change.again:
                        self._send(control, CommandKind.ADD_SYMBOL, symbol)
                for symbol in self._symbols:
                    self._send(control, CommandKind.REMOVE_SYMBOL, symbol, immediate=True)
                    self._send(control, CommandKind.ADD_SYMBOL, symbol)
        except BaseException as error:
            self._error = error

    def _send(self, control: SessionControl, kind: CommandKind, symbol: str, *, immediate: bool = False) -> None:
        command = ControlCommand(self._next(), kind, symbol, SystemClock().now_us(), immediate=immediate)
        control.send(command, wait=False, timeout_seconds=0)

    def _ask(self, ask: Callable[..., object], symbol: str, **options: object) -> None:
        # A refusal is an answer, too: it may be the one to the same command, sent when the worker died before it could say so.
        with suppress(CommandRefusedError):
            ask(symbol, command_id=self._next(), wait_seconds=0.0, **options)

    def _next(self) -> str:
        self.ids.append(f"c{len(self.ids)}")
        return self.ids[-1]


class Crew:
    """The workers of one session, under a supervisor's care."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = list(workers)
        self._down: set[Worker] = set()
        self.ended_by_themselves: Counter[int] = Counter()

    def look_after(self) -> None:
        """Start again who ended without having been told to."""
        for worker in self._workers:
            if worker not in self._down and not worker.is_running:
                code = worker.process.returncode
                if code not in MENDED_BY_A_START:
                    pytest.fail(f"worker {worker.name} ended by itself with {code}\n{worker.tail()}")
                self.ended_by_themselves[code] += 1
                print(f"    {worker.name} ended by itself with {code}")
                worker.start()

    def await_active(self) -> Worker:
        """The active worker, once there is one."""

        def active() -> Worker | None:
            self.look_after()
            return self.in_state("active")

        found = wait_until(active, "a worker to be active", COMES_SECONDS)
        assert found is not None
        return found

    def await_standby(self) -> None:
        """Wait for the others to follow the active one."""
        if len(self._workers) > 1:
            wait_until(lambda: self.look_after() or self.in_state("standby"), "a worker to be standby", COMES_SECONDS)

    def in_state(self, status: str) -> Worker | None:
        """A worker whose health page says so."""
        return next((worker for worker in self._workers if worker not in self._down and worker.status() == status), None)

    def targets(self, target: Target) -> list[Worker]:
        """Whom a strike hits: where nobody is what it is meant for, the first that is not the other kind."""
        if target is Target.BOTH or len(self._workers) == 1:
            return self._workers
        wanted, other = ("active", "standby") if target is Target.ACTIVE else ("standby", "active")
        by_status = {worker.status(): worker for worker in reversed(self._workers)}
        return [by_status.get(wanted) or next((one for one in self._workers if one is not by_status.get(other)), self._workers[0])]

    def put_down(self, workers: Sequence[Worker], name: str) -> list[int]:
        """Send the signal to each, and give their exit codes, once all have ended."""
        for worker in workers:
            worker.signal(signal.Signals[name])
        codes = [worker.wait_ended() for worker in workers]
        self._down.update(workers)
        return codes

    def put_up(self, workers: Sequence[Worker]) -> None:
        """Start them again."""
        for worker in workers:
            self._down.discard(worker)
            worker.start()

    def stop(self) -> None:
        """End all in order, the active one last."""
        self.await_standby()
        last = self.await_active()
        for worker in [*(one for one in self._workers if one is not last), last]:
            code = worker.stop()
            assert code == 0, f"worker {worker.name} ended with {code}\n{worker.tail()}"


def commits(worker: Worker) -> int:
    """How many transactions the worker says that it has committed."""
    said = worker.health().get("commits", 0)
    return said if isinstance(said, int) else 0


class Strikes:
    """Carries out a plan's strikes; `hits` counts who was hit: `at work` is an active worker that commits while the feed runs."""

    def __init__(self, plan: Plan, crew: Crew, feed: SteadyFeed) -> None:
        self._plan = plan
        self._crew = crew
        self._feed = feed
        self.hits: Counter[str] = Counter()

    def carry_out(self) -> None:
        """All strikes, each followed by a new start."""
        for number, strike in enumerate(self._plan.strikes, start=1):
            before = self._await_moment(strike)
            threading.Event().wait(strike.delay_seconds)  # the moment is the point of it
            workers = self._crew.targets(strike.target)
            found = [self._state(worker, before) for worker in workers]
            codes = self._crew.put_down(workers, strike.signal)
            self.hits.update(found)
            names = [worker.name.rsplit("-", 1)[-1] for worker in workers]
            what = ", ".join(f"{name} {state}: {code}" for name, state, code in zip(names, found, codes, strict=True))
            print(f"{number}. {strike.signal} at {self._feed.sent} bars: {what}", flush=True)
            allowed = _SIGTERM_ENDS | MENDED_BY_A_START if strike.signal == "SIGTERM" else MENDED_BY_A_START | {-signal.SIGKILL}
            assert set(codes) <= allowed, [worker.tail() for worker in workers]
            self._stay_down(strike.down_seconds)
            self._crew.put_up(workers)

    def _await_moment(self, strike: Strike) -> dict[Worker, int]:
        """Wait for the moment; gives the commits of the active worker then."""
        crew = self._crew
        match strike.moment:
            case Moment.WORKING:
                if strike.target is not Target.ACTIVE:
                    crew.await_standby()
                worker = wait_until(self._working, f"a worker to commit {AT_WORK_COMMITS} transactions", COMES_SECONDS)
                assert worker is not None
                return {worker: commits(worker)}
            case Moment.RECOVERING:
                # It may be over sooner than it can be seen: then somebody is active.
                states = ("recovering", "active")
                wait_until(lambda: crew.look_after() or any(map(crew.in_state, states)), "a worker to recover", COMES_SECONDS)
            case Moment.STARTING:
                pass
        return {}

    def _working(self) -> Worker | None:
        self._crew.look_after()
        worker = self._crew.in_state("active")
        return worker if worker is not None and commits(worker) >= AT_WORK_COMMITS else None

    def _state(self, worker: Worker, before: dict[Worker, int]) -> str:
        status = worker.status() or "starting"
        if status != "active":
            return status
        at_work = worker in before and commits(worker) > before[worker] and not self._feed.is_done
        return "at work" if at_work else "active"

    def _stay_down(self, seconds: float) -> None:
        """Nobody starts those that were put down; the others are looked after."""
        clock = SystemClock()
        until = clock.monotonic() + seconds
        while clock.monotonic() < until:
            threading.Event().wait(0.1)
            self._crew.look_after()
