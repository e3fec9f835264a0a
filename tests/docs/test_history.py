"""The page on the store: its commands and its program are taken from the text and run, one after another."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streams.history.store.store import HistoryStore
from tests.support.history import START_US, bar
from tests.support.sessions.replay import MINUTES, lean_rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like the checkout, into which the commands may write."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(words: list[str], folder: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=folder, env={**clean, "PATH": path, "PYTHONPATH": str(ROOT)}, text=True, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_commands_and_the_program_of_the_page_work_when_they_are_pasted(folder: Path) -> None:
    examples, own, past = blocks("sh")
    said = run(["bash", "-e", "-c", examples], folder)
    assert "imported 16 files into bars: 30,027 new" in said
    assert "bars: sound; 18 files with 30,027 records read" in said
    assert len((folder / "spy.csv").read_text().splitlines()) == 1 + 390
    assert "replayed 3 trading days" in said
    assert "sha256 " in said

    said = run(["bash", "-e", "-c", own], folder)
    assert "SPY,1m,2013-10-07T13:30:00Z,2013-10-07T13:31:00Z,167.43,167.52,167.41,167.44,816453.0,,,feed" in said

    said = run(["bash", "-e", "-c", past], folder)
    assert "replayed 1 trading day, 2013-10-09 to 2013-10-09" in said

    program, reading = blocks("python")[:2]
    # By `unzip -p` the rows of 34200000 and of 57540000 milliseconds: the first open and the last close of the day.
    printed = ["390 167.43 167.42", "WriteResult(added=0, replaced=0, unchanged=390)"]
    assert run([sys.executable, "-c", program], folder).splitlines() == printed
    printed = [f"{last_close('SPY', '20131008')} {mean_volume('IBM')}", "780 156"]
    assert run([sys.executable, "-c", reading], folder).splitlines() == printed


WAYS = blocks("python")[2:]
LIBRARIES = [next(name for name in ("polars", "duckdb", "pandas", "pyarrow") if f"import {name}" in way) for way in WAYS]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with a store of codes in digits, one with a slash, and bars of another interval."""
    store = HistoryStore.create(tmp_path / "bars")
    for symbol in ("0700", "0005", "BTC/USD"):
        store.write_bars([bar(0, symbol=symbol), bar(1, symbol=symbol)])
    store.write_bars([msgspec.structs.replace(bar(0, symbol="9988"), interval="5m", end_us=START_US + 300_000_000)])
    return tmp_path


@pytest.mark.parametrize(("way", "library"), list(zip(WAYS, LIBRARIES, strict=True)), ids=lambda value: value if len(value) < 10 else "")
def test_other_programs_read_the_symbols_as_they_are(way: str, library: str, mixed: Path) -> None:
    pytest.importorskip(library)
    escaped = "types" in way
    assert run([sys.executable, "-c", way], mixed).strip() == str(["0005", "0700", "BTC_2FUSD" if escaped else "BTC/USD"])


def test_each_of_the_libraries_of_the_page_is_tried_both_ways() -> None:
    assert sorted(LIBRARIES) == sorted(["duckdb", "pandas", "polars", "pyarrow"] * 2)


@pytest.mark.parametrize(("way", "library"), [pair for pair in zip(WAYS, LIBRARIES, strict=True) if "types" in pair[0]])
def test_with_the_types_files_of_format_1_are_read_as_well(way: str, library: str, mixed: Path) -> None:
    pytest.importorskip(library)
    old = ROOT / "tests" / "data" / "store-1" / "bars" / "interval=1m" / "symbol=0700" / "date=2013-10-07"
    shutil.copytree(old, mixed / "bars" / "bars" / "interval=1m" / "symbol=0001" / "date=2013-10-07")
    said = run([sys.executable, "-c", way], mixed)
    assert said.strip() == str(["0001", "0005", "0700", "BTC_2FUSD"])


def last_close(symbol: str, day: str) -> float:
    return lean_rows(MINUTES, symbol, day)[-1][4] / 10_000


def mean_volume(symbol: str) -> float:
    return sum(row[5] for day in ("20131007", "20131008") for row in lean_rows(MINUTES, symbol, day)) / 2
