"""Importing files: each as a whole or not at all, and what is wrong with it by line and column."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.errors import BarFileError
from streams.history.formats.fields import Form
from streams.history.importing import ImportedFile, ImportFile, csv_imports, import_file, lean_imports, parquet_imports
from streams.history.lean.files import read_lean
from streams.history.quotes import QuoteBar
from streams.history.store.audit import audit
from streams.history.store.store import HistoryStore, WriteResult
from streams.model.records import Bar
from tests.support.history import START_US, bar
from tests.support.sessions.replay import LEAN, MINUTES, SECONDS

NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
HEADER = "time,open,high,low,close,volume\n"
OPEN_STAMPED = "2013-10-07 09:30,10,12,9,11,100\n2013-10-07 09:31,10,12,9,11,100\n"
FORM = Form(symbol="SPY", interval="1m", zone=NEW_YORK)


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore.create(tmp_path / "store")


def all_bars(store: HistoryStore, symbol: str = "SPY", interval: str = "1m") -> list[Bar]:
    return store.get_bars(symbol, interval, FIRST, LAST)


def import_all(store: HistoryStore, files: list[ImportFile], **parts: Any) -> list[ImportedFile]:
    return [import_file(store, file, **parts) for file in files]


def text_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    return path


def lean_zip(tmp_path: Path, text: str, what: str = "trade") -> Path:
    path = tmp_path / "equity" / "usa" / "minute" / "spy" / f"20131007_{what}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bars.csv", text)
    return path


# LEAN


def test_a_folder_of_lean_files_is_imported_with_its_quotes(store: HistoryStore) -> None:
    done = import_all(store, lean_imports(MINUTES))
    assert [one.refused for one in done] == [None] * 14
    for symbol in ("aig", "bac", "ibm", "spy"):
        assert all_bars(store, symbol.upper()) == list(read_lean(MINUTES / symbol))
    # Rows of the quote files by `unzip -p ... | wc -l`.
    assert [(one.symbol, one.records) for one in store.contents() if one.kind == "quotes"] == [("IBM", 554), ("SPY", 908)]
    # 14400000,1800100,1813100,1800100,1813100,200,1836300,1836300,1818000,1818000,1900
    start_us = START_US - 330 * 60_000_000
    assert store.get_quotes("IBM", "1m", FIRST, LAST)[0] == QuoteBar(
        "IBM", "1m", start_us, start_us + 60_000_000, 180.01, 181.31, 180.01, 181.31, 200, 183.63, 183.63, 181.80, 181.80, 1900
    )


def test_seconds_and_minutes_of_a_symbol_are_apart_and_importing_again_changes_nothing(store: HistoryStore) -> None:
    files = [*lean_imports(MINUTES / "spy" / "20131007_trade.zip"), *lean_imports(SECONDS / "spy")]
    assert [one.result.added for one in import_all(store, files)] == [828, 16675]
    assert [one.result for one in import_all(store, files)] == [WriteResult(unchanged=828), WriteResult(unchanged=16675)]


def test_a_side_that_nobody_quoted_is_none(store: HistoryStore, tmp_path: Path) -> None:
    path = lean_zip(tmp_path, "34200000,,,,,,100000,120000,90000,110000,5\n34260000,100000,120000,90000,110000,5,,,,,\n", "quote")
    assert import_all(store, lean_imports(path))[0].refused is None
    first, second = store.get_quotes("SPY", "1m", FIRST, LAST)
    assert (first.bid_open, first.bid_size, first.ask_open, first.ask_size) == (None, None, 10.0, 5.0)
    assert (second.bid_close, second.ask_close) == (11.0, None)


def test_a_bad_file_is_told_line_and_column_nothing_of_it_is_written_and_the_rest_goes_on(store: HistoryStore, tmp_path: Path) -> None:
    rows = ["34200000,100,120,90,110,5", "34260000,100,80,90,110,5", "34320000,100,120,90,x,5", "34380000,100,120,90"]
    bad = lean_zip(tmp_path, "\n".join(rows))
    files = [*lean_imports(bad), *lean_imports(MINUTES / "ibm" / "20131007_trade.zip")]
    refused, done = import_all(store, files)
    assert refused.refused == f"{bad}: 3 of its lines can't be kept, nothing of it is imported"
    assert refused.faults == [
        f"{bad}: line 2, column 4: low 0.009 is above high 0.008",
        f"{bad}: line 3, column 5: close is 'x': it must be a number",
        f"{bad}: line 4, column 4: has 4 fields: a trade row has 6: start,open,high,low,close,volume",
    ]
    assert all_bars(store) == []
    assert (done.refused, done.result.added) == (None, 453)


def test_lines_that_cannot_be_kept_are_left_out_where_that_is_allowed(store: HistoryStore, tmp_path: Path) -> None:
    path = lean_zip(tmp_path, "34200000,100,120,90,110,5\n34260000,100,80,90,110,5\n34320000,100,120,90,110,5\n")
    (done,) = import_all(store, lean_imports(path), max_errors=1)
    assert (done.refused, done.result.added, done.fault_count) == (None, 2, 1)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "nowhere: there is no such file or folder"),
        (".", "there is no LEAN trade file in or below this folder"),
        ("other.zip", "other.zip: is not a LEAN trade or quote file"),
    ],
)
def test_a_path_without_lean_files_is_refused(tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "other.zip").write_bytes(b"")
    with pytest.raises(BarFileError) as refused:
        lean_imports(tmp_path / path)
    assert said in str(refused.value)


def test_a_damaged_zip_and_a_damaged_day_of_the_store_refuse_their_file_alone(store: HistoryStore, tmp_path: Path) -> None:
    path = lean_zip(tmp_path, "34200000,100,120,90,110,5\n")
    path.write_bytes(path.read_bytes()[:50])
    store.write_bars([bar(0, symbol="IBM")])
    store.files()[0].write_bytes(b"")
    files = [
        *lean_imports(path),
        *lean_imports(MINUTES / "ibm" / "20131007_trade.zip"),
        *lean_imports(MINUTES / "ibm" / "20131008_trade.zip"),
    ]
    damaged, day, fine = import_all(store, files)
    assert "is damaged" in (damaged.refused or "")
    assert "data.parquet: is damaged" in (day.refused or "")
    assert fine.result.added == 424


# CSV


@pytest.mark.parametrize(
    ("header", "rows", "form", "why"),
    [
        (HEADER, OPEN_STAMPED, FORM, "stamped with the open, local times"),
        (
            HEADER, "2013-10-07T13:31:00Z,10,12,9,11,100\n2013-10-07T13:32:00Z,10,12,9,11,100\n",
            Form("SPY", "1m", None, "close"), "stamped with the close",
        ),
        (
            "Zeit;Eröffnung;Hoch;Tief;Schluss;Menge\n", "2013-10-07 09:30;10;12;9;11;100\n2013-10-07 09:31;10;12;9;11;100\n",
            Form("SPY", "1m", NEW_YORK, "open", {
                "start": "Zeit", "open": "Eröffnung", "high": "Hoch", "low": "Tief", "close": "Schluss", "volume": "Menge",
            }), "columns with names of their own",
        ),
        (
            "time,open,high,low,close,adjusted,volume\n", "2013-10-07 09:30,10,12,9,1,11,100\n2013-10-07 09:31,10,12,9,1,11,100\n",
            Form("SPY", "1m", NEW_YORK, "open", {"close": "adjusted"}), "what the user says goes before the usual name",
        ),
        (
            "date,time,t,open,high,low,close,volume\n", "x,y,1381152600,10,12,9,11,100\nx,y,1381152660,10,12,9,11,100\n",
            Form("SPY", "1m", None, "open", {"start": "t"}), "date and time stay out where another column is the start",
        ),
    ],
)  # fmt: skip
def test_a_csv_is_understood_by_what_the_user_says(
    store: HistoryStore, tmp_path: Path, header: str, rows: str, form: Form, why: str
) -> None:
    (done,) = import_all(store, csv_imports(text_file(tmp_path, header + rows), form))
    assert done.refused is None, done
    assert done.series == ["SPY 1m"]
    assert all_bars(store) == [bar(0), bar(1)], why


@pytest.mark.parametrize(
    ("text", "form", "said"),
    [
        (HEADER + "2013-10-07 09:30,10,8,9,11,100\n", FORM, "line 2, column 4: low 9.0 is above high 8.0"),
        (HEADER + "2013-10-07 09:30,10,12,9,11,-1\n", FORM, "line 2, column 6: volume must be a number from 0"),
        (HEADER + OPEN_STAMPED + "2013-10-07 09:31,10,12,9,10,100\n", FORM, "line 4, column 1: the file has another, different record"),
        (HEADER + "2013-10-07 09:30,10,12,9,11,100\n", Form("SPY", "1m"), "line 2, column 1: '2013-10-07 09:30' has no time zone"),
        (HEADER + OPEN_STAMPED, Form("SPY", None, NEW_YORK, "close"), "column 1: there is no interval, so a close does not tell the open"),
        (
            HEADER + OPEN_STAMPED,
            Form("SPY", "1m", NEW_YORK, "open", {"close": "Last"}),
            "there is no column 'Last' for close: there are time",
        ),
        (HEADER + OPEN_STAMPED, Form("SPY", "1m", NEW_YORK, "open", {"price": "close"}), "'price' is nothing that a bar has"),
        ("time,open\n", FORM, "line 1, column 1: the header 'time,open' lacks high"),
        (HEADER + "2013-10-07,10,12,9,11,100\n", Form("SPY", "1d"), "has no time zone: write 2013-10-07T00:00:00Z, or name its zone"),
        (
            HEADER + OPEN_STAMPED, Form("SPY", "5m", NEW_YORK),
            "line 3, column 1: it starts at 2013-10-07T13:31:00Z, before the 5m of the one before it are over (2013-10-07T13:35:00Z)",
        ),
        (HEADER + "2013-03-10 02:30,10,12,9,11,100\n", FORM, "line 2, column 1: '2013-03-10 02:30' does not exist in America/New_York"),
    ],
)  # fmt: skip
def test_a_csv_at_fault_says_line_column_and_what_would_be_right(
    store: HistoryStore, tmp_path: Path, text: str, form: Form, said: str
) -> None:
    (done,) = import_all(store, csv_imports(text_file(tmp_path, text), form))
    assert done.refused is not None
    assert said in "\n".join([done.refused, *done.faults])
    assert store.files() == []


def test_a_repeated_line_is_no_fault_and_ten_of_many_faults_are_kept(store: HistoryStore, tmp_path: Path) -> None:
    (done,) = import_all(store, csv_imports(text_file(tmp_path, HEADER + OPEN_STAMPED + OPEN_STAMPED), FORM))
    assert (done.refused, done.result) == (None, WriteResult(added=2))
    (done,) = import_all(store, csv_imports(text_file(tmp_path, HEADER + "x,10,12,9,11,100\n" * 25), FORM))
    assert (len(done.faults), done.fault_count) == (10, 25)


def test_what_overlaps_the_store_is_refused_and_named(store: HistoryStore, tmp_path: Path) -> None:
    store.write_bars([bar(0)])
    (done,) = import_all(store, csv_imports(text_file(tmp_path, HEADER + "2013-10-07 09:30:30,10,12,9,11,100\n"), FORM))
    assert "bars.csv: SPY 1m: the record that starts at 2013-10-07T13:30:30Z overlaps" in (done.refused or "")


def test_days_of_local_time_follow_each_other_where_the_clocks_are_changed(store: HistoryStore, tmp_path: Path) -> None:
    # Sunday 10 March 2013 has 23 hours in New York: a day of 24 from its midnight ends an hour after the next one has begun.
    rows = "".join(f"2013-03-{day:02d},10,12,9,11,100\n" for day in range(9, 13))
    (done,) = import_all(store, csv_imports(text_file(tmp_path, HEADER + rows), Form("SPY", "1d", NEW_YORK)))
    assert (done.refused, done.result.added) == (None, 4)
    assert audit(store).is_sound


GRID = "".join(f"2013-10-07 {9 + at // 12:02d}:{at % 12 * 5:02d},10,12,9,11,100\n" for at in range(24))


@pytest.mark.parametrize(
    ("rows", "interval", "coarser", "why"),
    [
        (GRID, "1m", "5m", "five-minute bars"),
        (
            "".join(f"2024-{at // 4 + 1:02d}-{at % 4 * 7 + 1:02d},10,12,9,11,100\n" for at in range(4)) * 5,
            "1d",
            None,
            "fewer than 20 starts",
        ),
        (GRID + "2013-10-07 09:31,10,12,9,11,100\n", "1m", None, "one bar is off that grid"),
        ("\n".join(GRID.splitlines()[:19]) + "\n", "1m", None, "19 bars"),
        ("\n".join(GRID.splitlines()[:20]) + "\n", "1m", "5m", "20 bars"),
        (GRID, "5m", None, "as they are"),
    ],
)
def test_bars_of_a_coarser_grid_are_refused_unless_they_are_said_to_be_sparse(
    store: HistoryStore, tmp_path: Path, rows: str, interval: str, coarser: str | None, why: str
) -> None:
    path, form = text_file(tmp_path, HEADER + rows), Form("SPY", interval, NEW_YORK)
    (done,) = import_all(store, csv_imports(path, form))
    assert (done.refused is None) is (coarser is None), why
    if coarser is not None:
        assert f"bars of SPY start at multiples of {coarser}, and the interval is {interval}: with --interval {coarser}" in done.refused
        (done,) = import_all(store, csv_imports(path, form, sparse=True))
        assert done.refused is None


def test_weekly_bars_that_are_called_daily_are_refused_also_where_the_clocks_change(store: HistoryStore, tmp_path: Path) -> None:
    first = date(2024, 1, 1)
    rows = "".join(f"{first + timedelta(weeks=week)},10,12,9,11,100\n" for week in range(30))
    (done,) = import_all(store, csv_imports(text_file(tmp_path, HEADER + rows), Form("SPY", "1d", NEW_YORK)))
    assert "all 30 bars of SPY start at multiples of 7d, and the interval is 1d" in (done.refused or "")


def test_a_file_of_which_no_line_can_be_kept_is_refused_whatever_is_allowed(store: HistoryStore, tmp_path: Path) -> None:
    (done,) = import_all(store, csv_imports(text_file(tmp_path, HEADER + "x,10,12,9,11,100\n" * 3), FORM), max_errors=10)
    assert "bars.csv: none of its lines can be kept" in (done.refused or "")


# Parquet


def table_of(**columns: Any) -> Any:
    values = {"open": [10.0, 10.0], "high": [12.0, 12.0], "low": [9.0, 9.0], "close": [11.0, 11.0], "volume": [100.0, 100.0]}
    return pa.table({**columns, **{name: value for name, value in values.items() if name not in columns}})


TIMES = [datetime(2013, 10, 7, 13, 30, tzinfo=UTC), datetime(2013, 10, 7, 13, 31, tzinfo=UTC)]
LOCAL = [datetime(2013, 10, 7, 9, minute) for minute in (30, 31)]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("columns", "form", "why"),
    [
        ({"time": pa.array(TIMES, pa.timestamp("us", tz="UTC"))}, Form("SPY", "1m"), "microseconds in UTC"),
        ({"time": pa.array(TIMES, pa.timestamp("ns", tz="America/New_York"))}, Form("SPY", "1m"), "nanoseconds in a zone"),
        ({"time": pa.array(LOCAL, pa.timestamp("ms"))}, FORM, "milliseconds, local"),
        ({"time": ["2013-10-07 09:30", "2013-10-07 09:31"]}, FORM, "texts"),
        ({"time": [1381152600, 1381152660]}, Form("SPY", "1m"), "seconds since 1970"),
        ({"time": LOCAL, "ticker": pa.array(["SPY", "SPY"]).dictionary_encode()}, Form(None, "1m", NEW_YORK), "symbols in a dictionary"),
        ({"ts": LOCAL, "volume": [Decimal("100.00")] * 2}, Form("SPY", "1m", NEW_YORK, "open", {"start": "ts"}), "decimals, a name"),
        ({"date": [date(2013, 10, 7)] * 2, "time": ["09:30", "09:31"]}, FORM, "date and time apart"),
        ({"time": [one.replace(minute=one.minute + 1) for one in LOCAL]}, Form("SPY", "1m", NEW_YORK, "close"), "stamped with the close"),
    ],
)
def test_parquet_from_elsewhere_is_understood_whatever_its_types(
    store: HistoryStore, tmp_path: Path, columns: dict[str, Any], form: Form, why: str
) -> None:
    pq.write_table(table_of(**columns), tmp_path / "bars.parquet")
    (done,) = import_all(store, parquet_imports(tmp_path / "bars.parquet", form))
    assert done.refused is None, (why, done)
    assert all_bars(store) == [bar(0), bar(1)], why


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"time": TIMES, "close": [11.0, 13.0]}, "row 2, column 'close': close 13.0 lies outside low 9.0 and high 12.0"),
        ({"time": TIMES, "open": [None, 10.0]}, "row 1, column 'open': there is no open"),
        ({"time": TIMES, "open": ["ten", "10"]}, "row 1, column 'open': open is 'ten': it must be a number"),
        ({"time": LOCAL}, "row 1, column 'time': '2013-10-07T09:30:00' has no time zone"),
        (
            {"zeit": TIMES},
            "there is no column for start among zeit, open, high, low, close, volume: say which it is, as in --column start=NAME",
        ),
    ],
)
def test_parquet_at_fault_says_row_and_column(store: HistoryStore, tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    pq.write_table(table_of(**columns), tmp_path / "bars.parquet")
    (done,) = import_all(store, parquet_imports(tmp_path, Form("SPY", "1m")))
    assert said in "\n".join([done.refused or "", *done.faults])
    assert store.files() == []


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_an_end_one_unit_short_in_parquet_is_the_end_of_the_slot(store: HistoryStore, tmp_path: Path, unit: str) -> None:
    short = {"ms": 1_000_000, "us": 1_000, "ns": 1}[unit]
    ends = [(START_US + minute * 60_000_000) * 1000 - short for minute in (1, 2)]
    end = pa.array(ends, pa.timestamp("ns", tz="UTC")).cast(pa.timestamp(unit, tz="UTC"))
    pq.write_table(table_of(time=TIMES, end=end), tmp_path / "bars.parquet")
    (done,) = import_all(store, parquet_imports(tmp_path, Form("SPY", "1m")))
    assert (done.refused, done.faults) == (None, [])
    assert all_bars(store) == [bar(0), bar(1)]


def test_a_start_finer_than_a_microsecond_is_named_by_row_and_column_and_the_rest_is_read(store: HistoryStore, tmp_path: Path) -> None:
    times = pa.array([START_US * 1000, START_US * 1000 + 60_000_000_001], pa.timestamp("ns", tz="UTC"))
    pq.write_table(table_of(time=times), tmp_path / "bars.parquet")
    (done,) = import_all(store, parquet_imports(tmp_path, Form("SPY", "1m")), max_errors=1)
    (fault,) = done.faults
    assert fault.removeprefix(f"{tmp_path / 'bars.parquet'}: ") == (
        "row 2, column 'time': '2013-10-07T13:31:00.000000001Z' is finer than a microsecond: no bar starts there"
    )
    assert all_bars(store) == [bar(0)]


def test_a_nan_where_nothing_has_to_stand_is_nothing(store: HistoryStore, tmp_path: Path) -> None:
    nothing = float("nan")
    pq.write_table(table_of(time=TIMES, vwap=[nothing, 10.5], trades=[7.0, nothing]), tmp_path / "bars.parquet")
    (done,) = import_all(store, parquet_imports(tmp_path, Form("SPY", "1m")))
    assert done.refused is None
    assert all_bars(store) == [bar(0, trades=7), bar(1, vwap=10.5)]
    pq.write_table(table_of(time=TIMES, open=[nothing, 10.0]), tmp_path / "bars.parquet")
    (done,) = import_all(store, parquet_imports(tmp_path / "bars.parquet", Form("SPY", "1m")))
    assert "row 1, column 'open': there is no open" in done.faults[0]


def test_a_time_of_no_year_is_named_by_row_and_column(store: HistoryStore, tmp_path: Path) -> None:
    times = pa.array([START_US // 1000, 2**62], pa.timestamp("ms", tz="UTC"))
    pq.write_table(table_of(time=times), tmp_path / "bars.parquet")
    (done,) = import_all(store, parquet_imports(tmp_path, Form("SPY", "1m")))
    assert "row 2, column 'time': '4611686018427387904 ms since 1970' is not an instant" in done.faults[0]


def test_what_is_no_parquet_is_refused(store: HistoryStore, tmp_path: Path) -> None:
    (tmp_path / "bars.parquet").write_bytes(b"time,open\n")
    (done,) = import_all(store, parquet_imports(tmp_path, FORM))
    assert "bars.parquet: is no Parquet file that can be read" in (done.refused or "")


def test_files_of_another_store_say_themselves_what_they_hold_and_how_it_is_adjusted(store: HistoryStore, tmp_path: Path) -> None:
    store.write_bars([bar(0), bar(1, vwap=10.5, trades=7, provenance="gap_fill")])
    raw, split = HistoryStore.create(tmp_path / "raw"), HistoryStore.create(tmp_path / "split", adjustment="split")
    (done,) = import_all(raw, parquet_imports(store.root, Form()))
    assert done.refused is None
    assert all_bars(raw) == all_bars(store)
    (refused,) = import_all(split, parquet_imports(store.root, Form()))
    assert "its prices are raw, those of" in (refused.refused or "")


def test_all_of_the_examples_are_imported_and_pass_the_audit(store: HistoryStore) -> None:
    told: list[int] = []
    done = import_all(store, lean_imports(LEAN), tell=told.append)
    assert [one.refused for one in done] == [None] * 16
    assert told == [5000, 5000, 10000, 15000], "IBM's seconds, then SPY's"
    found = audit(store)
    assert (found.is_sound, found.records) == (True, sum(one.records for one in store.contents()))
