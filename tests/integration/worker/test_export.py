"""`streams export` against a real worker: whole, also when it is gone; and what is new, by exporters and a worker that are killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from streams.cli.main import run
from streams.exports.committed import CommittedState
from streams.model.records import Bar
from streams.times import SECOND_US
from tests.support import unique_name, unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline, now_us
from tests.support.kills.dying_exporter import STEPS
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

EACH = 400
PER_SECOND = 60.0

Versions = dict[tuple[str, ...], tuple[str, ...]]


@dataclass
class Story:
    """A session that was exported by processes which were killed at each step, while bars came late and were corrected."""

    desk: LiveDesk
    worker: Worker
    symbols: list[str]
    folder: Path


def export(desk: LiveDesk, *words: str) -> int:
    return run(["export", *words, "--bootstrap", desk.servers, "--session", desk.config.session_name])


def export_and_die(desk: LiveDesk, step: str, folder: Path) -> None:
    """A process that begins an export and kills itself at a step."""
    where = ["--bootstrap", desk.servers, "--session", desk.config.session_name]
    words = ["export", "--all", "--delta", "--internal", "--format", "csv", "--output", str(folder), *where]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.kills.dying_exporter", step, *words],
        env=os.environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def changed(bar: Bar, by: float) -> Bar:
    return msgspec.structs.replace(bar, high=bar.high + by)


def rows_of(path: Path) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The bars of a CSV: what each is of, and its content with the revision."""
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            yield (row["symbol"], row["interval"], row["trading_date"], row["start"]), tuple(row.values())[5:]


def concatenated(folder: Path) -> Versions:
    """All files of a folder one after another; a version of a bar stands in one of them."""
    found: Versions = {}
    revisions: dict[tuple[str, ...], int] = {}
    for path in sorted(folder.glob("*.csv")):
        for key, content in rows_of(path):
            revision = int(content[9])
            assert revision > revisions.get(key, -1), f"{path.name} repeats {key} revision {revision}"
            revisions[key], found[key] = revision, content
    return found


@pytest.fixture(scope="module")
def story(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    symbols = [unique_symbol("E") for _ in range(2)]
    folder = tmp_path_factory.mktemp("exported")
    with Workers(bootstrap_servers, tmp_path_factory.mktemp("export")) as workers:
        desk = LiveDesk(bootstrap_servers, second_bars(unique_name("export"), symbols))
        worker = workers.start(desk.config)
        worker.wait_until("active")
        timeline = live_timeline(symbols, EACH, PER_SECOND)
        late = timeline[20:40:2]
        with SteadyFeed(desk.settings, [bar for bar in timeline if bar not in late], PER_SECOND) as feed:
            for number, step in enumerate(STEPS):
                wait_until(lambda least=60 * (number + 1): feed.sent > least, "more bars to be fed")
                export_and_die(desk, step, folder)
                desk.bars(
                    [*late[2 * number : 2 * number + 2], *(changed(bar, number + 1.0) for bar in timeline[number:60:7] if bar not in late)]
                )
                if step == "in write":
                    worker.kill()
                    worker.start()
                    worker.wait_until("active")
            wait_until(lambda: feed.is_done, "all bars to be fed", 60)
        desk.bars(late[2 * len(STEPS) :])
        yield Story(desk, worker, symbols, folder)


def test_the_files_of_what_was_new_are_together_what_the_session_has(story: Story, tmp_path: Path) -> None:
    desk = story.desk
    for symbol in story.symbols:
        desk.await_progress(symbol, lambda row: row.bar_count >= EACH, "all of its bars")
    for _ in range(2):
        assert export(desk, "--all", "--delta", "--internal", "--format", "csv", "--output", str(story.folder)) == 0
    whole = tmp_path / "whole.csv"
    assert export(desk, *story.symbols, "--internal", "--format", "csv", "--output", str(whole)) == 0
    assert concatenated(story.folder) == dict(rows_of(whole))
    assert not list(story.folder.glob("*.part"))


def test_what_is_exported_does_not_need_the_worker_and_is_the_same_in_each_format(story: Story, tmp_path: Path) -> None:
    desk, (first, second) = story.desk, story.symbols
    assert story.worker.stop() == 0
    assert export(desk, "--all", "--internal", "--output", str(tmp_path)) == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{first}.json", f"{second}.json"}
    for form in ("csv", "parquet"):
        assert export(desk, first, "--internal", "--format", form, "--output", str(tmp_path / f"one.{form}")) == 0
    document = json.loads((tmp_path / f"{first}.json").read_text())
    (symbol,) = document["symbols"]
    bars = [(interval, one["start"], one["close"]) for interval, found in symbol["bars"].items() for one in found["bars"]]
    assert len(bars) >= EACH
    assert bars == [(key[1], key[3], float(content[3])) for key, content in rows_of(tmp_path / "one.csv")]
    table = pq.read_table(tmp_path / "one.parquet")
    assert table.column("close").to_pylist() == [close for *_, close in bars]
    desk.check_audit()


def test_without_a_worker_what_is_new_is_not_exported_and_that_is_said(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(story.desk, story.symbols[0], "--delta", "--internal", "--timeout", "1", "--output", str(tmp_path)) == 3
    assert "no worker of session" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".streams-export.json"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["NONE"], 1, "NONE is not in session"),
        ([], 2, "name the symbols, or give --all"),
        (["SPY", "--all"], 2, "name the symbols, or give --all"),
        (["--all", "--delta"], 2, "--delta needs the folder"),
        (["--all", "--format", "parquet"], 2, "a Parquet file needs a name"),
    ],
)
def test_what_is_wrong_is_said(story: Story, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(story.desk, *words, "--internal") == code
    assert said in capsys.readouterr().err


def test_an_inactive_session_needs_internal(alone: tuple[LiveDesk, Worker], capsys: pytest.CaptureFixture[str]) -> None:
    desk, _ = alone
    symbol = unique_symbol("E")
    desk.add(symbol)
    old = now_us() - 3600 * SECOND_US
    desk.bars([Bar(symbol, "1s", old, old + SECOND_US, 1.0, 1.0, 1.0, 1.0, 1.0)])
    desk.await_progress(symbol, lambda row: row.lagging, "lagging")
    assert export(desk, symbol) == 1
    assert "is inactive (lagging)" in capsys.readouterr().err
    assert export(desk, symbol, "--internal", "--format", "csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_state_that_is_read_again_is_that_of_a_later_transaction(alone: tuple[LiveDesk, Worker]) -> None:
    desk, _ = alone
    first, second = unique_symbol("E"), unique_symbol("E")
    desk.add(first)
    with CommittedState(desk.settings, symbols=[first]) as committed:
        committed.read()
        before = committed.session.transaction
        assert sorted(committed.state().symbols) == [first]
        desk.add(second)

        def is_later() -> bool:
            committed.read()
            return committed.session.transaction > before

        wait_until(is_later, "a later transaction")
        assert committed.symbols() == [first], "nothing else was asked for"
