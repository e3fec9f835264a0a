"""The hash is that of the bars, commands and config: it does not tell where a source lies, nor what else is there.

Paths and hosts are for people: `details` of a step, the summary and the words on standard error have them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.history.lean.files import read_lean
from streams.history.store.store import HistoryStore
from streams.model.records import Marker
from streams.replay.lean_source import LeanSource
from streams.replay.source import BarSource, MemorySource
from streams.replay.store_source import StoreSource
from tests.support.engine import at, bar
from tests.support.sessions.replay import MINUTES, Result, clock, run_replay, session_of

THREE_DAYS = ("2013-10-07", "2013-10-09")
ADD = {"at": clock("12:00", "2013-10-08"), "command": "add_symbol", "symbol": "IBM"}
SECOND_DAY = "2013-10-08"


def store_in(folder: Path) -> HistoryStore:
    store = HistoryStore.create(folder)
    for symbol in ("spy", "ibm"):
        store.write_bars(read_lean(MINUTES / symbol))
    return store


def store_file(store: HistoryStore, symbol: str) -> Path:
    return next(path for path in store.files() if f"symbol={symbol}/date={SECOND_DAY}" in str(path))


def damaged_store(folder: Path) -> BarSource:
    store = store_in(folder)
    store_file(store, "IBM").write_bytes(b"no Parquet")
    return StoreSource(store)


def store_with_a_file_in_the_wrong_place(folder: Path) -> BarSource:
    store = store_in(folder)
    store_file(store, "IBM").write_bytes(store_file(store, "SPY").read_bytes())
    return StoreSource(store)


def store_with_a_foreign_file(folder: Path) -> BarSource:
    store = store_in(folder)
    pq.write_table(pa.table({"price": [1.0]}), store_file(store, "IBM"))
    return StoreSource(store)


def store_without_ibm(folder: Path) -> BarSource:
    store = store_in(folder)
    store.delete_bars("IBM", "1m")
    return StoreSource(store)


def store_with_five_minutes_of_ibm(folder: Path) -> BarSource:
    store = store_in(folder)
    store.delete_bars("IBM", "1m")
    store.write_bars([bar("IBM", at("09:30", SECOND_DAY), "5m")])
    return StoreSource(store)


def damaged_zip(folder: Path) -> BarSource:
    copytree(MINUTES, folder / "equity" / "usa" / "minute")
    path = folder / "equity" / "usa" / "minute" / "ibm" / "20131008_trade.zip"
    path.write_bytes(path.read_bytes()[:2000])
    return LeanSource.of([folder])


def zips_without_ibm(folder: Path) -> BarSource:
    copytree(MINUTES / "spy", folder / "equity" / "usa" / "minute" / "spy")
    return LeanSource.of([folder])


FAULTS: list[Callable[[Path], BarSource]] = [
    damaged_store, store_with_a_file_in_the_wrong_place, store_with_a_foreign_file, store_without_ibm, store_with_five_minutes_of_ibm,
    damaged_zip, zips_without_ibm,
]  # fmt: skip


def replayed(source: BarSource) -> Result:
    return run_replay(session_of("SPY"), source, days=THREE_DAYS, commands=[ADD])


def texts(result: Result) -> str:
    """Everything that a replay writes down, or could: records, events, replies and the journal."""
    return result.text + repr(result.outcomes) + repr([step.journal for step in result.steps])


@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
def test_a_failure_is_recorded_without_the_place_of_its_source_and_told_with_it(make: Callable[[Path], BarSource], tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "elsewhere" / "deep"
    for folder in (here, there):
        folder.mkdir(parents=True)
    one, other = replayed(make(here)), replayed(make(there))
    assert [line["symbol"] for line in one.markers("symbol_failed")] == ["IBM"]
    assert one.sha256 == other.sha256
    assert texts(one) == texts(other)
    assert str(tmp_path) not in texts(one)
    assert "/" not in one.markers("symbol_failed")[0]["reason"]
    (told,) = [step.details for step in one.steps if step.details]
    if make is not zips_without_ibm:  # which has no file to name
        assert str(here) in next(iter(told.values()))
    assert one.summary.failed == {"IBM": next(iter(told.values()))}


def test_the_hash_does_not_tell_what_else_a_source_has(tmp_path: Path) -> None:
    # SPY is all that is replayed, and IBM is added in vain: whether AIG is there must not show.
    spy, aig = list(read_lean(MINUTES / "spy")), list(read_lean(MINUTES / "aig"))
    alone, with_aig = replayed(MemorySource({"SPY": spy})), replayed(MemorySource({"SPY": spy, "AIG": aig}))
    assert alone.sha256 == with_aig.sha256
    assert [outcome.reason for _, outcome in alone.outcomes if isinstance(outcome, Marker) and outcome.kind == "symbol_failed"] == [
        "there are no 1m bars of IBM"
    ]
    for make in (store_without_ibm, zips_without_ibm):
        assert replayed(make(tmp_path / make.__name__)).sha256 == alone.sha256
