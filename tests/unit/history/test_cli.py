"""`streams import` and `streams history`, on the examples' own data."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from streams.cli.main import run
from streams.history.formats.text import read_csv, read_jsonl
from streams.history.lean.files import read_lean
from streams.history.store.store import HistoryStore
from streams.times import iso
from tests.support.history import bar
from tests.support.sessions.replay import LEAN, MINUTES, lean_rows

SPY = str(MINUTES / "spy" / "20131007_trade.zip")
LINES = "time,open,high,low,close,volume\n2013-10-07 09:30,10,12,9,11,100\n2013-10-07 09:31,10,8,9,11,100\n"

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def filled(folder: str, capsys: Shown) -> str:
    assert run(["import", "lean", str(MINUTES), "--store", folder]) == 0
    capsys.readouterr()
    return folder


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


def contents_of(folder: str) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in HistoryStore.open(Path(folder)).files()}


def test_examples_are_imported_with_a_line_a_file_and_a_sum(folder: str, capsys: Shown) -> None:
    assert run(["import", "lean", str(MINUTES), "--store", folder]) == 0
    shown = capsys.readouterr()
    *lines, total = shown.out.splitlines()
    assert f"{SPY}: SPY 1m: bars: 828 new" in lines
    assert len(lines) == 14
    assert total == f"imported 14 files into {folder}: 8,229 new"
    assert shown.err == ""
    assert run(["import", "lean", SPY, "--store", folder]) == 0
    assert f"imported 1 file into {folder}: 0 new, 828 there already" in capsys.readouterr().out


def test_on_a_terminal_there_is_a_progress_bar_instead_of_lines(folder: str, capsys: Shown, on_a_terminal: None) -> None:
    assert run(["import", "lean", str(MINUTES / "spy"), "--store", folder]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"imported 4 files into {folder}: 3,377 new"]
    assert "4/4" in shown.err


def test_prices_below_zero_are_imported_where_they_are_asked_for(tmp_path: Path, folder: str, capsys: Shown) -> None:
    oil = tmp_path / "oil.csv"  # the May contract of WTI at its settlement
    oil.write_text("time,open,high,low,close,volume\n2020-04-20T18:28:00Z,-35.2,-34.1,-40.32,-37.63,1234\n")
    words = ["import", "csv", str(oil), "--symbol", "CL", "--interval", "1m", "--store", folder]
    assert run(words) == 1
    assert (
        "open must be a number above 0 and up to 1e+100, got -35.2: --allow-negative-prices takes prices of zero and below"
        in capsys.readouterr().err
    )
    assert run([*words, "--allow-negative-prices"]) == 0
    assert run(["history", "verify", "--store", folder]) == 0
    capsys.readouterr()
    assert run(["history", "export", "CL", "--store", folder]) == 0
    assert "-37.63" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "series"),
    [
        (["--symbols", "spy, ibm", "--kind", "bars", "--interval", "1m"], ["bars IBM 1m", "bars SPY 1m"]),
        (["--kind", "quotes"], ["quotes IBM 1m", "quotes SPY 1m"]),
        (["--interval", "1s", "--symbols", "IBM"], ["bars IBM 1s"]),
    ],
)
def test_lean_files_are_chosen_by_symbol_kind_and_interval(folder: str, words: list[str], series: list[str], capsys: Shown) -> None:
    assert run(["import", "lean", str(LEAN), "--store", folder, *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted({f"{file['kind']} {one}" for file in told["files"] for one in file["series"]}) == series
    assert told["refused"] == 0


def test_a_refused_file_is_said_on_standard_error_the_others_are_imported_and_the_exit_code_is_one(
    tmp_path: Path, folder: str, capsys: Shown
) -> None:
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text(LINES)
    good.write_text(LINES.replace("10,8,9", "10,12,9"))
    words = ["--symbol", "SPY", "--interval", "1m", "--zone", "America/New_York", "--store", folder]
    assert run(["import", "csv", str(bad), str(good), *words]) == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        f"refused: {bad}: 1 of its lines can't be kept, nothing of it is imported",
        f"  {bad}: line 3, column 4: low 9.0 is above high 8.0",
    ]
    assert shown.out.splitlines()[-2:] == [f"imported 1 file into {folder}: 2 new", "refused 1 file: nothing of it is imported"]
    assert run(["import", "csv", str(bad), *words, "--max-errors", "1"]) == 0
    assert "left out: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("time,open,high,low,close,volume\n", [], "nothing is imported: the files hold no records"),
        ("time,open,high,low,close,volume\n9,1,2,1,2,5\n", ["--max-errors", "5"], "none of its lines can be kept"),
    ],
)
def test_an_import_that_keeps_nothing_ends_with_one(
    tmp_path: Path, folder: str, capsys: Shown, text: str, words: list[str], says: str
) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    assert run(["import", "csv", str(path), "--symbol", "SPY", "--interval", "1m", "--store", folder, *words]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LINES, []),
        ("time,open,high,low,close\n", []),
        ("time,open,high,low,close,volume\n", []),
        (LINES.replace("10,8,9", "10,12,9"), ["--interval", "7x"]),
        (LINES.replace("10,8,9", "10,12,9"), ["--symbol", "S" * 300]),
    ],
)
def test_a_first_import_that_is_refused_leaves_no_store(tmp_path: Path, folder: str, text: str, words: list[str]) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    zone = ["--zone", "America/New_York"]
    assert run(["import", "csv", str(path), "--symbol", "SPY", "--interval", "1m", *zone, "--store", folder, *words]) != 0
    assert not Path(folder).exists()


def test_a_store_can_not_be_made_below_a_file(tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(LINES)
    assert run(["import", "csv", str(path), "--symbol", "SPY", "--interval", "1m", "--store", str(path)]) == 1
    assert f"{path}: no store can be made here: Not a directory" in capsys.readouterr().err


def test_a_column_is_ignored_and_sparse_bars_are_taken_where_it_is_asked_for(tmp_path: Path, folder: str, capsys: Shown) -> None:
    path = tmp_path / "klines.csv"
    rows = "".join(f"{1381152600000 + at * 300_000},1,2,1,2,5,{at}\n" for at in range(20))
    path.write_text("open_time,open,high,low,close,volume,close_time\n" + rows)
    words = ["import", "csv", str(path), "--symbol", "BTC", "--interval", "1m", "--store", folder]
    assert run(words) == 1
    assert "--ignore-column" in capsys.readouterr().err
    assert run([*words, "--ignore-column", "close_time"]) == 1
    assert "start at multiples of 5m" in capsys.readouterr().err
    assert run([*words, "--ignore-column", "close_time", "--sparse"]) == 0
    assert "20 new" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_is_exported_can_be_imported_again(kind: str, filled: str, tmp_path: Path, capsys: Shown) -> None:
    out, other = tmp_path / f"bars.{kind}", str(tmp_path / "other")
    assert run(["history", "export", "--format", kind, "--out", str(out), "--store", filled]) == 0
    assert run(["import", kind, str(out), "--store", other]) == 0
    before, after = (
        {path.relative_to(root): path.read_bytes() for path in HistoryStore.open(Path(root)).files()} for root in (filled, other)
    )
    assert after == {path: content for path, content in before.items() if path.parts[0] == "bars"}


def test_regular_hours_of_a_day_come_out_as_csv(filled: str, capsys: Shown) -> None:
    words = [
        "SPY",
        "--from",
        "2013-10-07",
        "--to",
        "2013-10-08",
        "--zone",
        "America/New_York",
        "--regular-hours",
        "XNYS",
        "--store",
        filled,
    ]
    assert run(["history", "export", *words]) == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader(text.splitlines()))
    expected = lean_rows(MINUTES, "SPY")
    assert [[float(row[name]) for name in ("open", "high", "low", "close", "volume")] for row in rows] == [
        [row[1] / 10_000, row[2] / 10_000, row[3] / 10_000, row[4] / 10_000, row[5]] for row in expected
    ]
    assert (rows[0]["start"], rows[-1]["end"]) == ("2013-10-07T13:30:00Z", "2013-10-07T20:00:00Z")
    regular = [one for one in read_lean(Path(SPY)) if rows[0]["start"] <= iso(one.start_us) < rows[-1]["end"]]
    assert list(read_csv(text.splitlines(keepends=True))) == regular


def test_json_lines_are_what_produce_reads(filled: str, capsys: Shown) -> None:
    assert run(["history", "export", "AIG", "--format", "jsonl", "--store", filled]) == 0
    assert list(read_jsonl(capsys.readouterr().out.splitlines())) == list(read_lean(MINUTES / "aig"))


def test_an_exported_file_of_quotes_has_units_and_the_adjustment(filled: str, tmp_path: Path) -> None:
    out = tmp_path / "quotes.parquet"
    assert run(["history", "export", "--kind", "quotes", "--format", "parquet", "--out", str(out), "--store", filled]) == 0
    schema = pq.read_schema(out)
    assert (pq.read_metadata(out).num_rows, schema.metadata[b"streams.adjustment"]) == (554 + 908, b"raw")
    assert schema.field("bid_size").metadata == {b"unit": b"units of the instrument"}


def test_the_list_says_what_there_is(filled: str, capsys: Shown) -> None:
    assert run(["history", "list", "--store", filled]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][:7] == ["bars", "AIG", "1m", "2013-10-07", "2013-10-09", "3", "1,289"]
    assert run(["history", "list", "--store", filled, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["adjustment"], told["series"][0]["records"]) == ("raw", 1289)


def test_verify_is_sound_or_names_the_file(filled: str, capsys: Shown) -> None:
    assert run(["history", "verify", "--store", filled]) == 0
    assert f"{filled}: sound; 16 files with 8,229 records read" in capsys.readouterr().out
    damaged = HistoryStore.open(Path(filled)).files()[0]
    damaged.write_bytes(b"")
    assert run(["history", "verify", "--store", filled]) == 1
    shown = capsys.readouterr().out
    assert f"{damaged}: is damaged" in shown
    assert "not sound: 1 fault" in shown
    assert run(["history", "verify", "--store", filled, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"][0]["path"] == str(damaged)


def test_an_export_that_meets_a_damaged_file_leaves_none_of_its_own(filled: str, tmp_path: Path, capsys: Shown) -> None:
    damaged = HistoryStore.open(Path(filled)).files()[2]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 4] ^= 1
    damaged.write_bytes(content)
    out = tmp_path / "out" / "bars.csv"
    (tmp_path / "out").mkdir(exist_ok=True)
    assert run(["history", "export", "AIG", "--out", str(out), "--store", filled]) == 1
    assert f"error: {damaged}: is damaged" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def seconds_beside(folder: str) -> None:
    HistoryStore.create(Path(folder)).write_bars([bar(symbol="ONE")])
    run(["import", "lean", str(LEAN / "equity" / "usa" / "second" / "ibm"), "--store", folder])


def empty(folder: str) -> None:
    HistoryStore.create(Path(folder))


def nothing(folder: str) -> None:
    """There is no store."""


@pytest.mark.parametrize(
    ("prepare", "words", "code", "said"),
    [
        (nothing, ["history", "list"], 1, "is not a store: `streams import` makes one"),
        (nothing, ["import", "lean", "no/such"], 1, "no/such: there is no such file or folder"),
        (nothing, ["import", "lean", str(LEAN), "--symbols", "SPY,NONE"], 1, "there are no files of NONE: there are those of"),
        (nothing, ["import", "lean", SPY, "--interval", "1s"], 1, "there is no file of 1s bars: there are those of 1m"),
        (nothing, ["import", "csv", "x", "--zone", "Mars/Base"], 2, "'Mars/Base' is not a time zone"),
        (nothing, ["import", "csv", "x", "--interval", "1x"], 2, "'1x' is no interval"),
        (nothing, ["import", "csv", "x", "--column", "ts"], 2, "'ts' is not FIELD=NAME such as start=ts"),
        (nothing, ["import", "parquet", str(LEAN)], 1, "there is no file *.parquet in or below this folder"),
        (empty, ["import", "lean", SPY, "--adjustment", "split"], 1, "holds raw prices and can't take or give split ones"),
        (empty, ["history", "export"], 1, "has no bars at all: `streams import` fills a store"),
        (seconds_beside, ["history", "export", "NONE"], 1, "has no bars of NONE: it has those of IBM, ONE"),
        (seconds_beside, ["history", "export"], 1, "has bars of 1s and 1m: choose with --interval 1s"),
        (seconds_beside, ["history", "export", "--interval", "5m"], 1, "has no bars of 5m of what was asked for: it has 1s, 1m"),
        (seconds_beside, ["history", "export", "--format", "parquet"], 2, "a Parquet file needs a name"),
        (seconds_beside, ["history", "export", "ONE", "--from", "soon"], 2, "'soon' is not an instant"),
        (seconds_beside, ["history", "export", "ONE", "--regular-hours", "NYSE1"], 1, "exchange must be a calendar"),
    ],
)
def test_what_is_wrong_is_said_with_an_exit_code(
    prepare: Callable[[str], Any], words: list[str], code: int, said: str, folder: str, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    prepare(folder)
    capsys.readouterr()
    assert run([*words, "--store", folder]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
