"""LEAN files: counts from the data's own description, values read off the zips with `unzip -p`."""

from __future__ import annotations

import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.errors import BarFileError
from streams.history.lean.files import lean_files, read_lean, read_lean_files
from streams.times import to_us

DATA = Path(__file__).parents[3] / "examples" / "data" / "lean" / "equity" / "usa"

OPEN_US = to_us(datetime(2013, 10, 7, 13, 30, tzinfo=UTC))
CLOSE_US = to_us(datetime(2013, 10, 7, 20, 0, tzinfo=UTC))


def zip_of(tmp_path: Path, text: str, *, name: str = "equity/usa/minute/spy/20131007_trade.zip") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.name[:8]}_spy_minute_trade.csv", text)
    return path


@pytest.mark.parametrize(
    ("path", "rows", "in_hours"),
    [
        ("minute/spy/20131007_trade.zip", 828, 390),
        ("minute/ibm/20131009_trade.zip", 423, None),
        ("minute/aig/20131007_trade.zip", 433, 389),
        ("second/spy/20131007_trade.zip", 16675, 14432),
        ("second/ibm/20131007_trade.zip", 5123, 5002),
    ],
)
def test_a_file_has_as_many_bars_as_its_description_says(path: str, rows: int, in_hours: int | None) -> None:
    bars = list(read_lean(DATA / path))
    assert len(bars) == rows
    if in_hours is not None:
        assert sum(OPEN_US <= bar.start_us < CLOSE_US for bar in bars) == in_hours


def test_the_first_row_of_a_minute_file_is_four_in_the_morning_in_new_york() -> None:
    first = next(iter(read_lean(DATA / "minute/spy/20131007_trade.zip")))
    # 14400000,1674100,1674100,1672500,1672700,3197
    assert first.symbol == "SPY"
    assert first.interval == "1m"
    assert first.start_us == to_us(datetime(2013, 10, 7, 8, 0, tzinfo=UTC))
    assert first.end_us == to_us(datetime(2013, 10, 7, 8, 1, tzinfo=UTC))
    assert (first.open, first.high, first.low, first.close, first.volume) == (167.41, 167.41, 167.25, 167.27, 3197.0)


def test_the_last_row_of_a_second_file_ends_a_second_after_its_start() -> None:
    *_, last = read_lean(DATA / "second/ibm/20131007_trade.zip")
    # 69967000,1819900,1819900,1819900,1819900,200
    assert last.start_us == to_us(datetime(2013, 10, 7, 23, 26, 7, tzinfo=UTC))
    assert last.end_us - last.start_us == 1_000_000
    assert (last.close, last.volume) == (181.99, 200.0)


def test_a_folder_is_read_in_order_of_end_and_symbol_and_leaves_quotes_out() -> None:
    bars = list(read_lean(DATA / "minute"))
    assert [(bar.end_us, bar.symbol) for bar in bars] == sorted((bar.end_us, bar.symbol) for bar in bars)
    assert Counter(bar.symbol for bar in bars) == {
        "SPY": 828 + 828 + 813,
        "IBM": 453 + 424 + 423,
        "AIG": 433 + 429 + 427,
        "BAC": 595 + 573 + 541,
    }


def test_winter_time_is_five_hours_behind_utc(tmp_path: Path) -> None:
    path = zip_of(tmp_path, "34200000,1,1,1,1,1\n", name="equity/usa/minute/spy/20131202_trade.zip")
    (bar,) = read_lean(path)
    assert bar.start_us == to_us(datetime(2013, 12, 2, 14, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("34200000,1,1,1,1,1\n34260000,1,1,1,1\n", "line 2, column 5", "has 5 fields"),
        ("x,1,1,1,1,1\n", "line 1, column 1", "not a number of milliseconds"),
        ("86400000,1,1,1,1,1\n", "line 1, column 1", "0 to 86399999"),
        ("34200500,1,1,1,1,1\n", "line 1, column 1", "multiple of 60000"),
        ("34200000,1,1,,1,1\n", "line 1, column 4", "low is ''"),
        ("34200000,1,1,1,1,nan\n", "line 1, column 6", "volume is 'nan'"),
        ("34260000,1,1,1,1,1\n34200000,1,1,1,1,1\n", "line 2, column 1", "order of time"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_column(tmp_path: Path, text: str, where: str, what: str) -> None:
    path = zip_of(tmp_path, text)
    with pytest.raises(BarFileError) as caught:
        list(read_lean(path))
    assert str(path) in str(caught.value)
    assert where in str(caught.value)
    assert what in str(caught.value)


def test_a_file_that_is_no_zip_says_so(tmp_path: Path) -> None:
    path = tmp_path / "equity" / "usa" / "minute" / "spy" / "20131007_trade.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"34200000,1,1,1,1,1\n")
    with pytest.raises(BarFileError, match="is damaged"):
        list(read_lean(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such file or folder"),
        ("equity/usa/minute/spy/20131007_quote.zip", "there is no LEAN trade file: quote bars alone"),
        ("equity/usa/minute/spy/20131307_trade.zip", "20131307 is not a date"),
        ("equity/usa/minute/spy/other.zip", "is not a LEAN trade or quote file"),
    ],
)
def test_a_path_that_says_nothing_is_refused(tmp_path: Path, name: str, message: str) -> None:
    if name != "nowhere":
        zip_of(tmp_path, "", name=name)
    with pytest.raises(BarFileError, match=message):
        lean_files(tmp_path / name)


def test_a_folder_without_trade_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BarFileError, match="no LEAN trade file in or below"):
        lean_files(tmp_path)


def test_the_same_day_of_a_symbol_from_two_folders_is_refused(tmp_path: Path) -> None:
    zip_of(tmp_path, "34200000,1,1,1,1,1\n", name="a/equity/usa/minute/spy/20131007_trade.zip")
    zip_of(tmp_path, "34200000,1,1,1,1,1\n", name="b/equity/usa/minute/spy/20131007_trade.zip")
    with pytest.raises(BarFileError, match="holds the same bars as"):
        list(read_lean_files(lean_files(tmp_path)))
