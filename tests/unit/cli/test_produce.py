"""`streams produce` of text files, without a broker: what is sent of them, and how a run ends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streams.cli.files import sending
from streams.cli.main import run
from streams.errors import NobodyThereError
from streams.model.records import Bar, Quote, Tick
from streams.times import iso, parse_instant

Shown = pytest.CaptureFixture[str]
Record = Bar | Quote | Tick
BARS = "time,open,high,low,close,volume\n"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    records: list[Record] = []

    class Producer:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> Producer:
            return self

        def __exit__(self, *_: object) -> None: ...

        def prepare(self, _: Iterable[str], stream: str | None = None) -> list[str]:
            return []

        def send(self, record: Record) -> None:
            records.append(record)

        def flush(self) -> None: ...

        pending = 0

        def stalled_seconds(self) -> float:
            return 0.0

    monkeypatch.setattr(sending, "BarProducer", Producer)
    return records


def text_file(folder: Path, text: str) -> str:
    path = folder / "file.csv"
    path.write_text(text)
    return str(path)


def test_ticks_are_sent_with_the_date_beside_their_time(tmp_path: Path, sent: list[Record]) -> None:
    path = text_file(tmp_path, "date,time,price,size\n20131007,093000.250,167.41,100\n")
    assert run(["produce", "ticks", path, "--symbol", "SPY", "--zone", "EST"]) == 0
    assert sent == [Tick("SPY", parse_instant("2013-10-07T14:30:00.250Z"), 167.41, 100.0)]


def test_columns_of_quotes_are_named_and_ignored(tmp_path: Path, sent: list[Record]) -> None:
    path = text_file(tmp_path, "when,time,b,ask\n2013-10-07T13:30:00Z,x,1.5,none\n")
    words = ["--column", "time=when", "--column", "bid=b", "--ignore-column", "ask"]
    assert run(["produce", "quotes", path, "--symbol", "SPY", *words]) == 0
    assert sent == [Quote("SPY", parse_instant("2013-10-07T13:30:00Z"), 1.5)]


def test_a_column_of_another_kind_is_refused(tmp_path: Path, sent: list[Record], capsys: Shown) -> None:
    assert run(["produce", "ticks", text_file(tmp_path, ""), "--column", "bid=b"]) == 2
    assert "FIELD=NAME such as time=ts" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("speed", ["max", "1000000000"])
def test_the_hour_that_comes_twice_is_sent_once_each(tmp_path: Path, sent: list[Record], speed: str) -> None:
    times = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
    path = text_file(tmp_path, BARS + "".join(f"2024-11-03 {time},1,2,1,2,5\n" for time in times))
    words = ["--symbol", "BTC", "--interval", "30m", "--zone", "America/New_York", "--speed", speed]
    assert run(["produce", "csv", path, *words]) == 0
    assert [iso(bar.start_us)[11:16] for bar in sent if isinstance(bar, Bar)] == ["04:30", "05:00", "05:30", "06:00", "06:30", "07:00"]


@pytest.mark.parametrize("number", ["093000", "201313070930", "20131007093000000000", "41554.4", "4102444800"])
def test_a_number_that_is_no_time_is_not_sent(tmp_path: Path, sent: list[Record], capsys: Shown, number: str) -> None:
    for command in (["csv", "--interval", "1m"], ["ticks"]):
        header, row = (BARS, "1,2,1,2,5") if command[0] == "csv" else ("time,price,size\n", "1,2")
        path = text_file(tmp_path, f"{header}{number},{row}\n")
        assert run(["produce", command[0], path, "--symbol", "SPY", *command[1:]]) == 1
        assert f"line 2, column 1: '{number}' is not an instant" in capsys.readouterr().err
    assert sent == []


def test_a_run_in_which_no_line_could_be_read_ends_with_one(tmp_path: Path, sent: list[Record], capsys: Shown) -> None:
    path = text_file(tmp_path, BARS + "soon,1,2,1,2,5\n" * 3)
    words = ["produce", "csv", path, "--symbol", "SPY", "--interval", "1m", "--max-errors", "5"]
    assert run(words) == 1
    assert "none of the lines could be read" in capsys.readouterr().err
    Path(path).write_text(BARS + "soon,1,2,1,2,5\n2013-10-07T13:30:00Z,1,2,1,2,5\n")
    assert run(words) == 0
    assert len(sent) == 1


def test_an_outage_is_said_once_and_so_is_its_end_and_all_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    stalled = [0.0, 4.9, 5.2, 20.0, 40.0, 0.0, 0.0]

    class Away:
        @property
        def pending(self) -> int:
            return len(stalled)

        def flush_for(self, seconds: float) -> None: ...

        def stalled_seconds(self) -> float:
            return stalled.pop(0)

    outage = sending._Outage(Away(), "localhost:9092", "bar")  # type: ignore[arg-type]
    outage.wait_out()
    assert capsys.readouterr().err.splitlines() == [
        "no answer from localhost:9092 for 5 s: waiting for it, the bars are kept and sent in order",
        "localhost:9092 answers again",
    ]


def test_a_topic_that_can_not_be_made_in_an_outage_is_waited_for_where_there_is_a_speed(
    tmp_path: Path, sent: list[Record], monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    answers = [NobodyThereError("no broker answers"), NobodyThereError("no broker answers"), ["bars.SPY"]]

    def prepare(_: object, symbols: Iterable[str], stream: str | None = None) -> list[str]:
        if not list(symbols):
            return []
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sending.BarProducer, "prepare", prepare)
    path = text_file(tmp_path, BARS + "2013-10-07T13:30:00Z,1,2,1,2,5\n")
    words = ["produce", "csv", path, "--symbol", "SPY", "--interval", "1m", "--bootstrap", "host:1"]
    assert run([*words, "--speed", "1000000000"]) == 0
    shown = capsys.readouterr()
    said = ["no answer from host:1: waiting for it, the bars are kept and sent in order", "host:1 answers again"]
    assert shown.err.splitlines() == said
    assert shown.out.splitlines()[-1] == "created bars.SPY"
    assert len(sent) == 1
    # One that sends what is there does not wait.
    answers = [NobodyThereError("no broker answers")]
    assert run(words) == 3


@pytest.mark.parametrize("kind", ["csv", "quotes", "ticks"])
@pytest.mark.parametrize(
    ("number", "says"), [("inf", "is 'inf'"), ("1e999", "is '1e999'"), ("167,41", "is '167,41'"), ("true", "is 'true'")]
)
def test_a_price_that_is_no_number_is_named_by_line_and_column_whatever_is_sent(
    kind: str, number: str, says: str, tmp_path: Path, sent: list[Record], capsys: Shown
) -> None:
    header, rest = {"csv": (BARS, "2;1;2;5"), "quotes": ("time,bid,ask\n", "2"), "ticks": ("time,price,size\n", "5")}[kind]
    path = text_file(tmp_path, header.replace(",", ";") + f"2013-10-07T13:30:00Z;{number};{rest}\n")
    words = ["--symbol", "SPY", *(["--interval", "1m"] if kind == "csv" else [])]
    assert run(["produce", kind, path, *words]) == 1
    field = {"csv": "open", "quotes": "bid", "ticks": "price"}[kind]
    assert f"{path}: line 2, column 2: {field} {says}: it must be a number such as 167.41" in capsys.readouterr().err
    assert sent == []
