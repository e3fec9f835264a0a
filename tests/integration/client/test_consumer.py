"""A strategy warms up while bars flow, is killed and started again at random places, and so is the worker: each bar once, or told of."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.model.records import AnalysisKind
from streams.model.rows import ProgressRow
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.bot import lines_of
from tests.support.workers.processes import SUPERVISED, Worker, Workers

TOKEN = "a-read-token-of-a-test"
EACH = 250
PER_SECOND = 60.0
KILLS = 4

Version = tuple[Any, ...]


@contextmanager
def bot(servers: str, session: str, path: Path, warm_up: str) -> Iterator[subprocess.Popen[bytes]]:
    """The strategy as a process; killed at the end of the block."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    environment = {**clean, "STREAMS_BOOTSTRAP_SERVERS": servers, "STREAMS_READ_TOKEN": TOKEN}
    command = [sys.executable, "-m", "tests.support.workers.bot", session, str(path), warm_up]
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        died = process.poll()
        process.kill()
        process.wait(20)
        assert died is None, f"the strategy ended by itself with {died}"


def seen(path: Path) -> Counter[Version]:
    """The bars that a strategy was handed, and how often."""
    return Counter(tuple(line["bar"]) for line in lines_of(path) if "bar" in line)


def lost(desk: LiveDesk, path: Path) -> list[Version]:
    """Bars of the session, each in its newest revision, that a strategy was neither handed nor told of as held back."""
    had = seen(path)
    newest: dict[Version, int] = {}
    for event in desk.topics.all_bars():
        if event.bar is not None:
            newest[event.symbol, event.incarnation, event.interval, event.bar.start_us] = event.bar.revision
    extents: dict[Version, list[tuple[int, int]]] = {}
    for line in lines_of(path):
        if "held_back" in line:
            extents.setdefault((line["symbol"], line["interval"]), []).append(tuple(line["held_back"]))
    for row in desk.topics.rows().values():
        if isinstance(row, ProgressRow):
            for run in row.runs:
                extents.setdefault((row.symbol, run.interval), []).append((run.first_start_us, run.last_end_us))
    return [
        (*series, revision)
        for series, revision in newest.items()
        if (*series, revision) not in had and not any(first <= series[3] < last for first, last in extents.get((series[0], series[2]), ()))
    ]


@pytest.mark.parametrize("way", ["bars_topic", "http"])
def test_each_bar_of_the_day_comes_once_or_is_told_of_whatever_is_killed(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path, way: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, pause = random.Random(seed), threading.Event()
    symbols = [unique_symbol() for _ in range(3)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, threshold_seconds=150, bars_topic=True))
    worker = workers.start(desk.config, options=SUPERVISED, settings={"STREAMS_READ_TOKEN": TOKEN})
    worker.wait_until("active")
    path = tmp_path / "bot.jsonl"
    warm_up = way if way == "bars_topic" else worker.url
    with SteadyFeed(desk.settings, live_timeline(symbols, EACH, PER_SECOND), PER_SECOND) as feed:
        wait_until(lambda: feed.sent > 100, "some bars to be sent")
        for number in range(KILLS):
            with bot(bootstrap_servers, session_name, path, warm_up):
                if number % 2:
                    pause.wait(chance.uniform(0.3, 2))  # in the midst of starting, now and then
                else:
                    wait_until(lambda: any(line["position"] for line in lines_of(path)), "a place to go on from")
                    pause.wait(chance.uniform(0, 1))
                if number == KILLS // 2:
                    kill_child(worker)
                    pause.wait(chance.uniform(0, 1.5))
        wait_until(lambda: feed.is_done, "all bars to be sent", 120)
    desk.await_read(feed.sent_of)
    with bot(bootstrap_servers, session_name, path, warm_up):
        wait_until(lambda: not lost(desk, path), "each bar to be handed over or told of", 60)
    assert [version for version, count in seen(path).items() if count > 1] == [], "a bar came twice"
    lines = lines_of(path)
    assert {line["way"] for line in lines} == {"history", "begun", "live"}
    published = {
        (event.symbol, event.incarnation, event.interval, event.bar.start_us, event.bar.revision)
        for event in desk.topics.analysis()
        if event.bar is not None
    }
    assert {tuple(line["bar"]) for line in lines if line["way"] == "live" and "bar" in line} <= published
    worker.stop()
    evidence = desk.check_left_behind(symbols)
    assert any(event.kind == AnalysisKind.HELD_BACK for event in evidence.analysis), "old bars were held back"


def kill_child(worker: Worker) -> None:
    """SIGKILL to the worker that the supervisor runs."""
    (child,) = worker.children()
    os.kill(child, 9)
