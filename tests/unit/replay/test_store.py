"""Replays from the Parquet store: the outcomes are those of the files that it was filled from, and of topics."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.cli.main import run
from streams.errors import HistoryError
from streams.history.lean.files import read_lean
from streams.history.store.store import HistoryStore
from streams.model.records import Bar
from streams.replay.lean_source import LeanSource
from streams.replay.source import BarSource, MemorySource
from streams.replay.store_source import StoreSource
from streams.times import SECOND_US
from tests.support.history import START_US, bar, bars
from tests.support.sessions.replay import LEAN, MINUTES, SECONDS, check_sums, clock, run_replay, session_of

COMMANDS = [
    {"at": clock("12:00"), "command": "add_symbol", "symbol": "IBM"},
    {"at": clock("15:00", "2013-10-08"), "command": "remove_symbol", "symbol": "IBM"},
]
THREE_DAYS = ("2013-10-07", "2013-10-09")
CONFIG = "examples/backtest.json"


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    filled = HistoryStore.create(tmp_path / "store")
    for folder in (MINUTES / "spy", MINUTES / "ibm", SECONDS / "ibm"):
        filled.write_bars(read_lean(folder))
    return filled


def in_memory() -> MemorySource:
    """The bars as topics hold them: a symbol's own, in their order."""
    return MemorySource({symbol: list(read_lean(MINUTES / symbol.lower())) for symbol in ("SPY", "IBM")})


def test_three_days_with_a_symbol_added_and_removed_are_the_same_from_store_files_and_topics(store: HistoryStore) -> None:
    session = session_of("SPY", derived_intervals=["5m", "15m"])
    sources: list[BarSource] = [StoreSource(store), LeanSource.of([MINUTES / "spy", MINUTES / "ibm"]), in_memory()]
    from_store, *others = [run_replay(session, source, days=THREE_DAYS, commands=COMMANDS) for source in sources]
    assert [other.text == from_store.text for other in others] == [True, True]
    assert from_store.summary.base_accepted == 3 * 390 + 390 + 330
    check_sums(from_store)


def test_seconds_and_minutes_of_a_symbol_are_not_confused(store: HistoryStore) -> None:
    session = session_of("IBM", streams=["1s"], derived_intervals=["1m"])
    result = run_replay(session, StoreSource(store))
    assert result.sha256 == run_replay(session, LeanSource.of([SECONDS / "ibm"])).sha256
    assert result.summary.base_accepted == 5002


@settings(max_examples=25)
@given(st.lists(bars(), max_size=8, unique_by=lambda one: one.start_us), st.integers(-3000 * 60, 3000 * 60))
def test_reading_begins_with_the_first_bar_that_ends_after_the_instant(given_bars: list[Bar], second: int) -> None:
    from_us = START_US + second * SECOND_US
    ordered = sorted(given_bars, key=lambda one: one.start_us)
    with TemporaryDirectory() as folder:
        store = HistoryStore.create(Path(folder))
        store.write_bars([*given_bars, bar(5000)])
        opened = StoreSource(store).open("SPY", "1m", from_us)
        read = list(opened.records)
        assert [one.record for one in read] == [one for one in [*ordered, bar(5000)] if one.end_us > from_us]
        offsets = [one.offset for one in read]
        assert opened.offset <= offsets[0]
        assert offsets == sorted(set(offsets))


def test_a_symbol_that_the_store_lacks_fails_alone_and_says_what_there_is(store: HistoryStore) -> None:
    source = StoreSource(store)
    with pytest.raises(HistoryError, match="has no bars of NONE: it has those of IBM, SPY"):
        source.open("NONE", "1m", 0)
    empty = HistoryStore.create(store.root.parent / "empty")
    with pytest.raises(HistoryError, match="empty has no bars at all: `streams import` fills a store"):
        StoreSource(empty).open("SPY", "1m", START_US)
    with pytest.raises(HistoryError, match="has no 5m bars of IBM: it has those of 1s, 1m"):
        source.open("IBM", "5m", 0)
    result = run_replay(session_of("SPY", "NONE"), StoreSource(store))
    assert list(result.summary.failed) == ["NONE"]
    assert result.summary.base_accepted == 390


def test_a_damaged_day_fails_its_symbol_where_it_is_met(store: HistoryStore) -> None:
    second_day = next(path for path in store.files() if "interval=1m/symbol=SPY/date=2013-10-08" in str(path))
    second_day.write_bytes(b"")
    result = run_replay(session_of("SPY", "IBM"), StoreSource(store), days=THREE_DAYS)
    assert list(result.summary.failed) == ["SPY"]
    assert {line["bar"]["end"] for line in result.bars("SPY")} == {
        one["bar"]["end"] for one in result.bars("IBM") if one["bar"]["end"] <= clock("16:00")
    }
    assert len(result.bars("IBM")) > 2 * 390


def test_the_command_line_gives_the_same_hash_from_the_store_as_from_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "bars")
    assert run(["import", "lean", str(MINUTES), "--store", folder]) == 0
    capsys.readouterr()
    hashes = []
    for origin in (["--store", folder], [str(MINUTES)], ["--source", "store", "--store", folder]):
        assert run(["replay", CONFIG, *origin, "--commands", "examples/commands.jsonl", "--to", "none", "--json"]) == 0
        hashes.append(json.loads(capsys.readouterr().out)["sha256"])
    assert len(set(hashes)) == 1


def test_a_store_whose_prices_are_adjusted_otherwise_than_the_config_says_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bars"
    HistoryStore.create(folder, adjustment="split").write_bars(bar(minute) for minute in range(390))
    assert run(["replay", CONFIG, "--store", str(folder), "--to", "none"]) == 1
    assert f"error: {folder} holds split prices and can't take or give raw ones" in capsys.readouterr().err
    config = json.loads(Path(CONFIG).read_text())
    config["session_data_config"]["historical"] = {"adjustment": "split"}
    adjusted = tmp_path / "config.json"
    adjusted.write_text(json.dumps(config))
    assert run(["replay", str(adjusted), "--store", str(folder), "--to", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["base_accepted"] == 390


def test_a_dead_letter_of_a_store_is_named_by_the_start_of_its_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bars"
    below_zero = msgspec.structs.replace(bar(60), low=-0.01)
    HistoryStore.create(folder).write_bars([bar(0), below_zero])
    assert run(["replay", CONFIG, "--store", str(folder), "--to", "none"]) == 0
    assert "dead letter: SPY of 2013-10-07T14:30:00Z: bad_prices: low must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--source", "store"], 2, "--source store needs a folder"),
        (["--source", "kafka", "--store", "bars"], 2, "a store is for --source store"),
        ([str(LEAN), "--store", "bars"], 2, "a store is for --source store"),
        (["--store", "no/such/store"], 1, "no/such/store is not a store"),
    ],
)
def test_what_is_wrong_is_said_with_an_exit_code(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["replay", CONFIG, *words]) == code
    assert said in capsys.readouterr().err
