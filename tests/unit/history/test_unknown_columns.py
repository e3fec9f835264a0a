"""Columns that nothing is read of: counted and said once, in every command that reads a user's files, unless they are ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.cli.files import sending
from streams.cli.main import run
from streams.history.formats.unknown import MOST_NAMES, UnknownColumns

Shown = pytest.CaptureFixture[str]
HEADER = "time,open,high,low,close,volume"
ROW = "2013-10-07T13:3{0}:00Z,10,12,9,11,100"
OF_SPY = ["--symbol", "SPY", "--interval", "1m"]
NOTE = "note: {}not read: vwapp, source: say with --column what they hold, or leave them out with --ignore-column"


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    class Producer:
        pending = 0

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> Producer:
            return self

        def __exit__(self, *_: object) -> None: ...

        def prepare(self, _: object, stream: str | None = None) -> list[str]:
            return []

        def send(self, record: object) -> None: ...

        def stalled_seconds(self) -> float:
            return 0.0

    monkeypatch.setattr(sending, "BarProducer", Producer)


def csv_file(folder: Path, name: str = "bars.csv", extra: str = ",vwapp,source", values: str = ",10.5,x", rows: int = 3) -> Path:
    path = folder / name
    path.write_text("\n".join([HEADER + extra, *(ROW.format(at) + values for at in range(rows))]) + "\n")
    return path


def test_an_import_says_them_once_and_counts_them(tmp_path: Path, capsys: Shown) -> None:
    first, second = csv_file(tmp_path, "a.csv"), csv_file(tmp_path, "b.csv", rows=2)
    store = str(tmp_path / "store")
    assert run(["import", "csv", str(first), str(second), *OF_SPY, "--store", store]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [NOTE.format(f"{first}: ")]
    # 3 rows of the one file and 2 of the other.
    assert shown.out.splitlines()[-1] == "not read: vwapp (5 records), source (5 records)"
    assert run(["import", "csv", str(first), str(second), *OF_SPY, "--store", store, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["unknown_columns"] for one in told["files"]] == [{"vwapp": 3, "source": 3}, {"vwapp": 2, "source": 2}]
    assert told["unknown_columns"] == {"vwapp": 5, "source": 5}


def test_a_column_that_is_ignored_or_named_is_not_said(tmp_path: Path, capsys: Shown) -> None:
    path, store = csv_file(tmp_path), str(tmp_path / "store")
    words = ["import", "csv", str(path), *OF_SPY, "--store", store, "--column", "vwap=vwapp", "--ignore-column", "source"]
    assert run(words) == 0
    shown = capsys.readouterr()
    assert (shown.err, "not read" in shown.out) == ("", False)


def test_a_parquet_file_says_them_too_but_for_the_index_of_pandas(tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "bars.parquet"
    columns: dict[str, list[Any]] = {"time": ["2013-10-07T13:30:00Z"], "adj_close": [11.0], "__index_level_0__": [7]}
    pq.write_table(pa.table(columns | {name: [10.0] for name in ("open", "high", "low", "close", "volume")}), path)
    assert run(["import", "parquet", str(path), *OF_SPY, "--store", str(tmp_path / "store")]) == 0
    shown = capsys.readouterr()
    assert "not read: adj_close: say with --column what it holds, or leave it out with --ignore-column" in shown.err
    assert shown.out.splitlines()[-1] == "not read: adj_close (1 record)"


def test_a_second_column_for_the_same_thing_is_one_that_is_not_read(tmp_path: Path, capsys: Shown) -> None:
    path = csv_file(tmp_path, extra=",close,timestamp,", values=",12,2013-10-08T13:30:00Z,7")
    assert run(["import", "csv", str(path), *OF_SPY, "--store", str(tmp_path / "store")]) == 0
    # `time` is not the first of the names that a start may have, `timestamp` comes behind it; the last column has no name.
    assert capsys.readouterr().out.splitlines()[-1] == "not read: timestamp (3 records), '' (3 records), close (3 records)"


@pytest.mark.parametrize(
    ("kind", "lines", "words"),
    [
        ("csv", [HEADER + ",vwapp,source", *(ROW.format(at) + ",1,x" for at in range(3))], OF_SPY),
        (
            "jsonl",
            [
                json.dumps(dict(zip(HEADER.split(","), ROW.format(at).split(","), strict=True)) | {"vwapp": 1, "source": 2})
                for at in range(3)
            ],
            OF_SPY,
        ),
        ("quotes", ["time,bid,ask,vwapp,source", *(f"2013-10-07T13:30:0{at}Z,10,11,1,x" for at in range(3))], ["--symbol", "SPY"]),
        ("ticks", ["time,price,size,vwapp,source", *(f"2013-10-07T13:30:0{at}Z,10,11,1,x" for at in range(3))], ["--symbol", "SPY"]),
    ],
)
@pytest.mark.usefixtures("no_broker")
def test_what_is_produced_says_them_once_and_counts_them(
    kind: str, lines: list[str], words: list[str], tmp_path: Path, capsys: Shown
) -> None:
    path = tmp_path / ("file.jsonl" if kind == "jsonl" else "file.csv")
    path.write_text("\n".join(lines) + "\n")
    command = ["produce", kind, str(path), *words]
    assert run(command) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [NOTE.format("")]
    assert shown.out.splitlines()[-1] == "not read: vwapp (3 records), source (3 records)"
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown_columns"] == {"vwapp": 3, "source": 3}
    assert run([*command, "--ignore-column", "vwapp", "--ignore-column", "source"]) == 0
    shown = capsys.readouterr()
    assert (shown.err, "not read" in shown.out) == ("", False)


@pytest.mark.usefixtures("no_broker")
def test_fields_that_only_some_lines_have_are_counted_by_line(tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "ticks.jsonl"
    lines = [{"cond": "@"}, {}, {"cond": "T", "venue": "Q"}]
    path.write_text("\n".join(json.dumps({"time": "2013-10-07T13:30:00Z", "price": 1, "size": 2, **extra}) for extra in lines))
    assert run(["produce", "ticks", str(path), "--symbol", "SPY"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("note: not read: cond: ")
    assert shown.out.splitlines()[-1] == "not read: cond (2 records), venue (1 record)"


def test_lines_with_fields_of_their_own_do_not_fill_the_memory() -> None:
    unknown = UnknownColumns()
    for at in range(1000):
        unknown.add([f"field{at}"])
    assert (unknown.records, len(unknown.counts)) == (1000, MOST_NAMES)
