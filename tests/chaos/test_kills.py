"""The worker is killed at random moments, and nothing is lost, repeated, stale or out of order.

The seed is printed; CHAOS_SEED repeats its choices. What the kills then hit is up to the machine, so it is counted: a run in
which they hit workers that were not at work would prove nothing.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from streams.client.control import SessionControl
from streams.client.state import StateReader
from streams.config import SessionConfig
from streams.records import AnalysisKind, CommandKind, ControlCommand
from streams.replay.verify import verify
from streams.settings import Settings
from streams.times import SystemClock
from tests.support import unique_symbol, wait_until
from tests.support.evidence import SessionTopics
from tests.support.feeders import SteadyFeed, around_the_clock, live_timeline
from tests.support.oracle import judge
from tests.support.workers import Worker, Workers

SYMBOLS = 20
DYNAMIC = 5
BARS_EACH = 1000
BARS_A_SECOND = 450.0
SIGKILLS = 5
SIGTERMS = 2
HITS_AT_LEAST = 4
CAUGHT_UP_SECONDS = 60.0


def session_config(name: str, symbols: Sequence[str]) -> SessionConfig:
    """Second bars, fresh for ten minutes but those of two symbols; two symbols that don't gate."""
    return SessionConfig.from_dict(
        {
            "session_name": name,
            **around_the_clock(),
            "session_data_config": {
                "symbols": list(symbols),
                "streams": ["1s"],
                "derived_intervals": ["5s", "1m"],
                "streaming": {
                    "catchup_threshold_seconds": 600,
                    "symbols": {
                        symbols[0]: {"catchup_threshold_seconds": 60, "gates": False},
                        symbols[1]: {"catchup_threshold_seconds": 300, "catchup_check_interval": 3},
                        symbols[2]: {"gates": False},
                    },
                },
            },
        }
    )


class Commands:
    """Sends additions, removals and re-additions at random moments from a thread of its own, and remembers their ids."""

    def __init__(self, settings: Settings, symbols: Sequence[str], chance: random.Random) -> None:
        self.ids: list[str] = []
        self._settings = settings
        self._symbols = symbols
        self._chance = chance
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send while the block runs, then whatever it takes to have every symbol in the session at the end."""
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
            with SessionControl(self._settings) as control:
                for symbol in self._symbols:
                    self._send(control, CommandKind.ADD_SYMBOL, symbol)
                while not self._stopping.wait(self._chance.uniform(0.2, 1.5)):
                    symbol = self._chance.choice(self._symbols)
                    choice = self._chance.random()
                    immediate = self._chance.random() < 0.5
                    self._send(control, CommandKind.REMOVE_SYMBOL, symbol, immediate=immediate)
                    # In one go, so that both can come in one batch; a graceful removal that is not over refuses the addition.
                    if choice < 0.6:
                        self._send(control, CommandKind.ADD_SYMBOL, symbol)
                for symbol in self._symbols:
                    self._send(control, CommandKind.REMOVE_SYMBOL, symbol, immediate=True)
                    self._send(control, CommandKind.ADD_SYMBOL, symbol)
        except BaseException as error:
            self._error = error

    def _send(self, control: SessionControl, kind: CommandKind, symbol: str, *, immediate: bool = False) -> None:
        number = f"c{len(self.ids)}"
        control.send(ControlCommand(number, kind, symbol, SystemClock().now_us(), immediate=immediate), wait=False, timeout_seconds=0)
        self.ids.append(number)


def kill_at_random(worker: Worker, feed: SteadyFeed, chance: random.Random) -> int:
    """All kills, each followed by a new start; gives how many hit a worker that was at work."""
    plan = ["SIGKILL"] * SIGKILLS + ["SIGTERM"] * SIGTERMS
    chance.shuffle(plan)
    # Most while it works, some while it starts and recovers.
    while_working = [True] * (len(plan) - 2) + [False] * 2
    chance.shuffle(while_working)
    hits = 0
    for what, works in zip(plan, while_working, strict=True):
        if works:
            wait_until(lambda: worker.status() == "active" and _commits(worker) >= 3, "the worker to commit")
        threading.Event().wait(chance.uniform(0.1, 3.5))  # the moment is the point of it
        at_work = worker.status() == "active" and _commits(worker) >= 3 and not feed.is_done
        hits += at_work
        code = worker.kill() if what == "SIGKILL" else worker.stop()
        print(f"{what} at {feed.sent} bars, {'at work' if at_work else 'not at work'}: exit code {code}")
        worker.start()
    return hits


def _commits(worker: Worker) -> int:
    commits = worker.health().get("commits", 0)
    return commits if isinstance(commits, int) else 0


@pytest.mark.chaos
def test_nothing_is_lost_or_repeated_whatever_is_killed(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"CHAOS_SEED={seed}")
    chance = random.Random(seed)
    symbols = [unique_symbol("K") for _ in range(SYMBOLS)]
    initial, dynamic = symbols[:-DYNAMIC], symbols[-DYNAMIC:]
    settings = Settings.load(bootstrap_servers=bootstrap_servers, session=session_name)
    config = session_config(session_name, initial)
    topics = SessionTopics(bootstrap_servers, session_name)
    worker = workers.start(config)
    worker.wait_until("active")
    commands = Commands(settings, dynamic, random.Random(chance.random()))
    bars = live_timeline(symbols, BARS_EACH, BARS_A_SECOND, seed=seed)
    with SteadyFeed(settings, bars, BARS_A_SECOND) as feed, commands.sending():
        hits = kill_at_random(worker, feed, chance)
        wait_until(lambda: feed.is_done, "the feed to end", 120.0)
    worker.wait_until("active")

    with StateReader(settings) as state:
        view = state.catch_up()

        def is_caught_up() -> bool:
            state.follow()
            return all((row := view.progress_of(symbol)) is not None and row.offset >= BARS_EACH for symbol in symbols)

        wait_until(is_caught_up, f"{SYMBOLS} symbols to be read to their end", CAUGHT_UP_SECONDS)
    wait_until(lambda: worker.health().get("session_active") is True, "the gate to open")
    assert worker.stop() == 0

    evidence = topics.evidence(config, symbols)
    findings = judge(evidence)
    assert not findings, f"CHAOS_SEED={seed}\n" + "\n".join(findings)
    audit = verify(settings)
    assert audit.is_equal, f"CHAOS_SEED={seed}\n" + "\n".join([*map(str, audit.differences), *audit.unchecked])
    assert all(len(bars) == BARS_EACH for bars in evidence.topics.values()), "the feed did not produce what it was to"
    final = {reply.command_id: reply.status for reply in topics.replies()}
    assert set(final) == set(commands.ids), "each command is answered"
    assert set(final.values()) <= {"completed", "failed"}, f"each command has a last answer: {final}"
    kinds = {event.kind for event in evidence.analysis}
    assert {AnalysisKind.HELD_BACK, AnalysisKind.ACTIVATED, AnalysisKind.BAR, AnalysisKind.SYMBOL_REMOVED} <= kinds
    published = sum(event.bar is not None for event in evidence.analysis)
    print(f"{hits} of {SIGKILLS + SIGTERMS} kills hit a worker at work; {published} bars published, {len(commands.ids)} commands")
    assert hits >= HITS_AT_LEAST, f"CHAOS_SEED={seed}: only {hits} kills hit a worker at work"
