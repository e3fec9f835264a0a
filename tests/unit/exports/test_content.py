"""What an export says, read back: a person's desk with gaps, a correction, a past day, quotes; JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from streams.cli.main import run
from streams.errors import ExportError
from streams.exports import tables
from streams.exports.content import Content
from streams.exports.rows import Format
from streams.installing import install_line
from streams.model.records import SessionBar
from streams.times import parse_instant
from tests.support.engine import Desk, at, bar, config, minutes

MONDAY, TUESDAY = "2013-10-07", "2013-10-08"


@pytest.fixture(scope="module")
def desk() -> Desk:
    """09:41 on Tuesday: SPY lacks 09:33, 09:34 and 09:37, and has Monday's last five minutes; of one bar the price was corrected."""
    desk = Desk(config("SPY", "IBM", derived_intervals=["5m"], historical={"trailing_days": 1}), at("15:55", MONDAY))
    desk.load("SPY", "IBM")
    desk.flow(*minutes("SPY", at("15:55", MONDAY), 5))
    desk.advance(at("00:30", TUESDAY))
    desk.flow(*minutes("SPY", at("09:30", TUESDAY), 3), *minutes("SPY", at("09:35", TUESDAY), 2, price=0.1 + 0.2, volume=1e-9))
    desk.flow(*minutes("SPY", at("09:38", TUESDAY), 3, vwap=100.125, trades=7, provenance="vendor"))
    desk.feed(bar("SPY", at("09:31", TUESDAY), price=1 / 3))
    return desk


def read(content: Content, form: Format) -> bytes:
    stream = io.BytesIO()
    content.write(form, stream)
    assert b"".join(content.pieces(form)) == stream.getvalue() or form is Format.PARQUET
    return stream.getvalue()


def document_of(desk: Desk, *symbols: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read(Content.full(desk.session.state, symbols), Format.JSON))
    return found


def as_bar(fields: dict[str, Any]) -> SessionBar:
    """A bar of the document as the engine has it."""
    rest = {name: value for name, value in fields.items() if name not in ("start", "end")}
    return SessionBar(start_us=parse_instant(fields["start"]), end_us=parse_instant(fields["end"]), **rest)


def test_the_document_of_format_one_has_what_its_page_lists(desk: Desk) -> None:
    found = document_of(desk, "SPY", "IBM")
    assert found["format"] == 1
    assert list(found) == [
        "format", "kind", "session", "epoch", "transaction", "sequence", "as_of", "active", "gate_reason", "trading_date", "symbols",
    ]  # fmt: skip
    assert (found["kind"], found["session"], found["as_of"], found["trading_date"]) == ("full", "main", "2013-10-08T13:41:00Z", TUESDAY)
    spy, ibm = found["symbols"]
    assert (spy["symbol"], ibm["symbol"]) == ("SPY", "IBM")
    assert list(spy) == [
        "symbol", "incarnation", "status", "is_loaded", "reason", "base_interval", "derived_intervals", "streams", "trading_date",
        "topic_id", "offset", "lagging", "lag_seconds", "silent", "metrics", "counts", "quotes", "ticks",
        "indicators", "export", "bars", "historical",
    ]  # fmt: skip
    assert spy["metrics"] == {
        "volume": 60.000000002, "high": 100.25, "low": pytest.approx(0.05), "bar_count": 8, "last_update": "2013-10-08T13:41:00Z",
    }  # fmt: skip
    assert (spy["counts"]["corrected"], spy["quotes"], spy["export"]) == (1, None, {"number": 0, "is_pending": False})
    assert (ibm["bars"]["1m"]["bars"], ibm["historical"], ibm["metrics"]["high"]) == ([], {}, None)


def test_gaps_are_nested_under_each_interval(desk: Desk) -> None:
    (spy,) = document_of(desk, "SPY")["symbols"]
    base, derived = spy["bars"]["1m"], spy["bars"]["5m"]
    assert base["gaps"] == {
        "gap_count": 2,
        "missing_bars": 3,
        "ranges": [
            {"start_time": "2013-10-08T13:33:00Z", "end_time": "2013-10-08T13:35:00Z", "bar_count": 2},
            {"start_time": "2013-10-08T13:37:00Z", "end_time": "2013-10-08T13:38:00Z", "bar_count": 1},
        ],
    }
    assert base["quality"] == pytest.approx(100 * 8 / 11)
    assert derived["gaps"] == {"gap_count": 0, "missing_bars": 0, "ranges": []}
    assert derived["quality"] == 100.0


def test_an_interval_where_a_missing_bar_is_no_gap_has_no_quality() -> None:
    desk = Desk(config("SPY", streams=["1s"]), at("10:00"))
    desk.load("SPY")
    desk.flow(bar("SPY", at("10:00"), "1s"), bar("SPY", at("10:00:05"), "1s"))
    (spy,) = document_of(desk, "SPY")["symbols"]
    assert (spy["bars"]["1s"]["quality"], spy["bars"]["1s"]["gaps"]) == (None, None)


def test_every_bar_comes_back_from_json_as_it_was(desk: Desk) -> None:
    (spy,) = document_of(desk, "SPY")["symbols"]
    for interval in ("1m", "5m"):
        assert [as_bar(one) for one in spy["bars"][interval]["bars"]] == desk.bars("SPY", interval)
        assert spy["bars"][interval]["bar_count"] == len(desk.bars("SPY", interval))
    ((_, kept),) = desk.data("SPY").historical.items()
    assert {name: [as_bar(one) for one in found] for name, found in spy["historical"][MONDAY].items()} == {
        name: list(series) for name, series in kept.items()
    }


def test_every_bar_comes_back_from_csv_as_it_was(desk: Desk) -> None:
    rows = list(csv.DictReader(io.StringIO(read(Content.full(desk.session.state, ["SPY"]), Format.CSV).decode())))
    assert tuple(rows[0]) == tables.COLUMNS
    whole, numbers = ("base_count", "expected_count", "revision"), ("open", "high", "low", "close", "volume")
    found = [
        SessionBar(
            parse_instant(row["start"]), parse_instant(row["end"]), *(float(row[name]) for name in numbers),
            float(row["vwap"]) if row["vwap"] else None, int(row["trades"]) if row["trades"] else None,
            *(int(row[name]) for name in whole), row["complete"] == "true", row["provenance"],
        )
        for row in rows if (row["interval"], row["trading_date"]) == ("1m", TUESDAY)
    ]  # fmt: skip
    assert found == desk.bars("SPY")
    assert [(row["symbol"], row["trading_date"], row["interval"]) for row in rows] == [
        *[("SPY", MONDAY, "1m")] * 5, ("SPY", MONDAY, "5m"), *[("SPY", TUESDAY, "1m")] * 8, *[("SPY", TUESDAY, "5m")] * 2,
    ]  # fmt: skip


def test_every_bar_comes_back_from_parquet_as_it_was(desk: Desk) -> None:
    table = pq.read_table(io.BytesIO(read(Content.full(desk.session.state, ["SPY", "IBM"]), Format.PARQUET)))
    assert tuple(table.schema.names) == tables.COLUMNS
    assert table.schema.metadata[b"streams.format"] == b"1"
    assert table.schema.field("close").metadata[b"unit"] == b"currency of the instrument"
    today = [row for row in table.to_pylist() if (row["trading_date"].isoformat(), row["interval"]) == (TUESDAY, "1m")]
    found = [as_bar({**row, "start": row["start"].isoformat(), "end": row["end"].isoformat()}) for row in without_names(today)]
    assert found == desk.bars("SPY")


def without_names(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {name: value for name, value in row.items() if name not in ("symbol", "interval", "trading_date")}


def test_what_is_new_is_a_document_of_its_own() -> None:
    desk = Desk(config("SPY", derived_intervals=["5m"]), at("10:00"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("10:00"), 6))
    desk.command("begin_export", "SPY")
    desk.flow(*minutes("SPY", at("10:06"), 1))
    found = json.loads(read(Content.new(desk.session.state, "SPY"), Format.JSON))
    assert (found["format"], found["kind"], found["symbol"], found["incarnation"], found["number"]) == (1, "new", "SPY", 1, 1)
    assert [(one["interval"], one["trading_date"], len(one["bars"])) for one in found["series"]] == [("1m", MONDAY, 6), ("5m", MONDAY, 1)]
    rows = read(Content.new(desk.session.state, "SPY"), Format.CSV).decode().splitlines()
    assert len(rows) == 1 + 7
    table = pq.read_table(io.BytesIO(read(Content.new(desk.session.state, "SPY"), Format.PARQUET)))
    assert (table.num_rows, table.schema.metadata[b"streams.number"]) == (7, b"1")


def test_without_anything_an_export_is_empty_and_still_one() -> None:
    desk = Desk(config(), at("10:00"))
    assert document_of(desk)["symbols"] == []
    assert read(Content.full(desk.session.state, []), Format.CSV).decode().splitlines() == [",".join(tables.COLUMNS)]
    assert pq.read_table(io.BytesIO(read(Content.full(desk.session.state, []), Format.PARQUET))).num_rows == 0


def test_a_long_day_comes_in_pieces_of_bounded_size() -> None:
    desk = Desk(config("SPY", streams=["1s"]), at("09:30"))
    desk.load("SPY")
    desk.feed(*[bar("SPY", at("09:30") + number * 1_000_000, "1s") for number in range(5000)], now_us=at("11:00"))
    for form in (Format.JSON, Format.CSV):
        pieces = list(Content.full(desk.session.state, ["SPY"]).pieces(form))
        assert max(len(piece) for piece in pieces) < 200_000
        assert sum(len(piece) for piece in pieces) > 500_000
    assert (
        len(json.loads(b"".join(Content.full(desk.session.state, ["SPY"]).pieces(Format.JSON)))["symbols"][0]["bars"]["1s"]["bars"]) == 5000
    )


def test_without_pyarrow_parquet_says_what_to_install(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ExportError, match=re.escape(install_line("replay"))):
        list(Content.full(desk.session.state, ["SPY"]).pieces(Format.PARQUET))


@pytest.mark.parametrize("words", [["SPY", "--output", "{}/exported/spy.csv"], ["--all", "--delta", "--output", "{}/exported"]])
def test_a_folder_that_is_not_there_is_refused_before_anything_is_exported(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", "--session", "main", "--bootstrap", "127.0.0.1:1", *(word.format(tmp_path) for word in words)]) == 2
    assert "there is no folder" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []
