"""Readers of a session whose workers are killed: a strategy, a client over HTTP and a program in Java learn it by themselves, and once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streams.client.session import SessionClient
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.consumer import HEARTBEAT, NO_HEARTBEAT, SessionConsumer
from streams.errors import NobodyThereError
from streams.model.records import AnalysisKind
from tests.integration.client.test_java_reader import ROOT, SOURCE, running
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline
from tests.support.kafka.java import java_command
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

TAKES_OVER_SECONDS = 60.0


def quiet(name: str, symbols: Sequence[str], *, bars_topic: bool = False) -> SessionConfig:
    """A session that says nothing by itself but that it lives: no bars are fed, and of windows without any it does not tell."""
    values = json.loads(second_bars(name, symbols, bars_topic=bars_topic).to_json())
    values["session_data_config"]["interval_complete"] = []
    return SessionConfig.from_dict(values)


class Watcher:
    """Notes each change of what a reader says of a session, and what is handed over about the gate."""

    def __init__(self) -> None:
        self.states: list[bool | None] = []
        self.gates: list[tuple[str, str]] = []

    def note(self, state: bool | None) -> None:
        if not self.states or self.states[-1] is not state:
            self.states.append(state)


@contextmanager
def strategy(settings: Settings) -> Iterator[Watcher]:
    """A strategy that reads in a thread."""
    watcher, ends, failures = Watcher(), threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            with SessionConsumer(settings) as session:
                while not ends.is_set():
                    event = session.poll(0.05)
                    if event is not None and event.gate is not None:
                        watcher.gates.append((event.kind, event.gate.reason))
                    watcher.note(session.active)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield watcher
    finally:
        ends.set()
        thread.join(30)
        assert not failures, failures


@contextmanager
def http_client(url: str) -> Iterator[Watcher]:
    """A client that asks again and again in a thread, with little patience."""
    watcher, ends = Watcher(), threading.Event()

    def ask() -> None:
        with SessionClient(url, patience_seconds=0.5) as client:
            while not ends.wait(0.05):
                try:
                    overview = client.get_overview()
                    watcher.note(overview.place.active)
                except NobodyThereError:
                    pass
                watcher.note(client.active)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield watcher
    finally:
        ends.set()
        thread.join(30)


def test_readers_learn_that_both_workers_are_dead_and_notice_a_takeover_once(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol() for _ in range(2)]
    desk = LiveDesk(bootstrap_servers, quiet(session_name, symbols))
    first = workers.start(desk.config)
    first.wait_until("active")
    second = workers.start(desk.config)
    second.wait_until("standby")
    first.wait_until("active")
    with strategy(desk.settings) as bot, http_client(f"{first.url},{second.url}") as client:
        wait_until(lambda: bot.states[-1:] == client.states[-1:] == [True], "both readers to hear of the active worker", 60)
        bot.gates.clear()
        # Nothing is fed, so all that comes are heartbeats.
        sequence = desk.topics.analysis()[-1].sequence
        wait_until(lambda: desk.topics.analysis()[-1].sequence >= sequence + 4, "heartbeats", 60)
        assert {event.kind for event in desk.topics.analysis() if event.sequence > sequence} == {AnalysisKind.HEARTBEAT}
        first.kill()
        second.wait_until("active", TAKES_OVER_SECONDS)
        wait_until(lambda: bot.states[-1] is True and client.states[-1] is True, "both readers to hear of the standby", 60)
        taken_over = desk.topics.analysis()[-1].sequence
        wait_until(lambda: desk.topics.analysis()[-1].sequence >= taken_over + 6, "heartbeats of the standby", 60)
        for states in (bot.states, client.states):
            assert states[-1] is True
            assert states.count(False) <= 1, f"it is noticed once, if it takes longer than three seconds: {states}"
        assert bot.gates in ([], [("deactivated", NO_HEARTBEAT), ("activated", HEARTBEAT)])
        changes = len(bot.gates)
        second.kill()
        wait_until(lambda: bot.states[-1] is False, "the strategy to learn that nobody lives", 30)
        wait_until(lambda: client.states[-1] is False, "the client to learn that nobody lives", 30)
        assert bot.gates[changes:] == [("deactivated", NO_HEARTBEAT)]
        third = workers.start(desk.config, instance=f"{session_name}-w0")
        third.wait_until("active", TAKES_OVER_SECONDS)
        wait_until(lambda: bot.states[-1] is True, "the strategy to hear of the worker that is there again", 60)
        assert bot.gates[changes:] == [("deactivated", NO_HEARTBEAT), ("activated", HEARTBEAT)]
    # A reader that starts where all are dead believes nobody.
    third.kill()
    with strategy(desk.settings) as late:
        wait_until(lambda: late.states[-1:] == [False], "a reader that starts to give up", 30)
        assert True not in late.states
    desk.check_left_behind(symbols)


def test_while_a_worker_stands_still_nothing_looks_active_and_when_it_goes_on_everything_does(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol()]
    desk = LiveDesk(bootstrap_servers, quiet(session_name, symbols))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    with strategy(desk.settings) as bot, http_client(worker.url) as client:
        wait_until(lambda: bot.states[-1:] == client.states[-1:] == [True], "both readers to hear of the worker", 60)
        bot.gates.clear()
        with worker.paused():
            wait_until(lambda: bot.states[-1] is False, "the strategy to learn that nothing comes", 30)
            wait_until(lambda: client.states[-1] is False, "the client to learn that nobody answers", 60)
        wait_until(lambda: bot.states[-1] is True, "the strategy to hear of the worker again", 60)
        wait_until(lambda: client.states[-1] is True, "the client to hear of the worker again", 60)
    assert bot.gates[0] == ("deactivated", NO_HEARTBEAT)
    worker.kill()
    desk.check_left_behind(symbols)


def test_the_reader_in_java_stops_trading_when_the_worker_is_dead_and_resumes(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    command = [*java_command(SOURCE, tmp_path), bootstrap_servers, session_name, str(ROOT / "schemas")]
    symbols = [unique_symbol()]
    desk = LiveDesk(bootstrap_servers, quiet(session_name, symbols, bars_topic=True))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    said = tmp_path / "said"
    with SteadyFeed(desk.settings, live_timeline(symbols, 10, 20.0), 20.0) as feed:
        wait_until(lambda: feed.is_done, "all bars to be sent", 60)
    desk.await_read({symbols[0]: 10})
    with running(command, said):
        wait_until(lambda: "history" in said.read_text(), "the reader to begin", 60)
        sequence = desk.topics.analysis()[-1].sequence
        wait_until(lambda: desk.topics.analysis()[-1].sequence >= sequence + 5, "heartbeats", 60)
        assert "trading" not in said.read_text()
        worker.kill()
        wait_until(lambda: "stop trading: no worker is heard of" in said.read_text(), "the reader to learn that nobody lives", 60)
        again = workers.start(desk.config, instance=f"{session_name}-w0")
        again.wait_until("active", TAKES_OVER_SECONDS)
        wait_until(lambda: "resume trading: a worker is heard of again" in said.read_text(), "the reader to hear of the worker again", 60)
        assert "hole" not in said.read_text()
