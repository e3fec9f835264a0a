"""The page on consuming, and the strategy that it names: run against a session with a worker, killed and started again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.model.records import AnalysisKind
from tests.support import unique_symbol, wait_until
from tests.support.feeders import made_up_bars, now_us
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "consumer.md").read_text(encoding="utf-8")
SECONDS = 60.0
BARS = 20
"""How many bars the strategy's mean is of."""


@contextmanager
def program(words: list[str], servers: str, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program whose output goes to a file; killed at the end of the block."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    environment = {**clean, "STREAMS_BOOTSTRAP_SERVERS": servers, "PYTHONPATH": str(ROOT)}
    with said.open("ab") as out:
        process = subprocess.Popen([sys.executable, *words], env=environment, stdout=out, stderr=out, cwd=said.parent)
        try:
            yield process
            assert process.poll() is None, said.read_text()
        finally:
            process.kill()
            process.wait(20)


def known_starts(path: Path, symbol: str) -> list[str]:
    """The starts of the bars of a symbol that the strategy keeps, in order."""
    return sorted(json.loads(path.read_text())["closes"].get(symbol, ())) if path.exists() else []


@pytest.fixture
def running(bootstrap_servers: str, session_name: str, workers: Workers) -> tuple[LiveDesk, Worker, str]:
    """A session that writes the ungated topic, with one symbol and thirty bars of it."""
    symbol = unique_symbol()
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [symbol], threshold_seconds=60, bars_topic=True))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    desk.bars(made_up_bars(symbol, 30, end_us=now_us()))
    desk.await_bars(symbol, 30)
    return desk, worker, symbol


def test_the_program_of_the_page_begins_with_the_day_and_acts_on_the_next_bar(
    running: tuple[LiveDesk, Worker, str], tmp_path: Path
) -> None:
    desk, worker, symbol = running
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    text = block.replace('"main"', f'"{desk.config.session_name}"').replace('"http://127.0.0.1:6066"', f'"{worker.url}"')
    said = tmp_path / "said"
    with program(["-c", text], desk.servers, said):
        sent = 30

        def has_acted() -> bool:
            nonlocal sent
            desk.bars(made_up_bars(symbol, 1, end_us=now_us()))
            sent += 1
            return f"act on {symbol} 1s" in said.read_text()

        wait_until(has_acted, "the program to act on a bar", SECONDS)
    count = int(re.findall(rf"act on {symbol} 1s .* (\d+)$", said.read_text(), re.MULTILINE)[0])
    assert 30 < count <= sent, "it knew the day's bars by then"


@pytest.mark.parametrize("way", ["--bars-topic", "--url"])
def test_the_strategy_goes_on_where_it_was_killed(running: tuple[LiveDesk, Worker, str], tmp_path: Path, way: str) -> None:
    desk, worker, symbol = running
    said, kept = tmp_path / "said", tmp_path / "strategy.json"
    source = [way] if way == "--bars-topic" else [way, worker.url]
    words = [
        str(ROOT / "examples" / "strategy.py"),
        "--session",
        desk.config.session_name,
        "--interval",
        "1s",
        "--keep",
        str(kept),
        *source,
    ]
    last_us = now_us() + 1_000_000

    def send() -> None:
        """One bar more, behind those before it."""
        nonlocal last_us
        wait_until(lambda: now_us() >= last_us, "the next second")
        desk.bars(made_up_bars(symbol, 1, end_us=last_us))
        last_us += 1_000_000

    before: list[str] = []
    for _ in range(2):
        with program(words, desk.servers, said):

            def goes_on(before: list[str] = before) -> bool:
                send()
                return len(now := known_starts(kept, symbol)) == BARS and (not before or now[-1] > before[-1])

            wait_until(goes_on, "the strategy to take a bar in", SECONDS)
        before = known_starts(kept, symbol)
    published = [event for event in desk.of(symbol) if event.kind == AnalysisKind.BAR and event.interval == "1s"]
    newest = [event.bar.start.isoformat() for event in published if event.bar is not None][-BARS:]
    with program(words, desk.servers, said):
        wait_until(lambda: known_starts(kept, symbol) == newest, "all of the newest bars to be known", SECONDS)

        def acts() -> bool:
            send()  # what was on the topic when reading began is no sign that the session is at work
            return re.search(rf"^{symbol} (above|below) its mean$", said.read_text(), re.MULTILINE) is not None

        wait_until(acts, "the strategy to act on a bar", SECONDS)
    assert "hole" not in said.read_text()
