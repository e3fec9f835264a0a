"""Bars from a user's own CSV and JSON lines: every form of an instant, and where a fault is."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from streams.errors import BarFileError
from streams.history.fields import Form
from streams.history.textfiles import read_csv, read_jsonl
from streams.records import Bar

# 2013-10-07T13:30:00Z by `date -u -d 2013-10-07T13:30:00Z +%s`
START_US = 1_381_152_600_000_000
NEW_YORK = ZoneInfo("America/New_York")

EXPECTED = Bar("SPY", "1m", START_US, START_US + 60_000_000, 167.4, 167.5, 167.3, 167.45, 1200.0)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("2013-10-07T13:30:00Z", "ISO 8601 in UTC"),
        ("2013-10-07T09:30:00-04:00", "ISO 8601 with an offset"),
        ("2013-10-07 09:30", "a local time, in the zone"),
        ("20131007 093000", "a local time in basic form"),
        ("1381152600", "seconds"),
        ("1381152600.0", "seconds as a float"),
        ("1381152600000", "milliseconds"),
        ("1381152600000000", "microseconds"),
        ("1381152600000000000", "nanoseconds"),
    ],
)
def test_an_instant_may_be_written_in_many_ways(written: str, why: str) -> None:
    lines = ["time,open,high,low,close,volume\n", f"{written},167.4,167.5,167.3,167.45,1200\n"]
    assert list(read_csv(lines, Form("SPY", "1m", NEW_YORK))) == [EXPECTED], why


@pytest.mark.parametrize(
    ("header", "row", "why"),
    [
        ("symbol,interval,start,open,high,low,close,volume", "SPY,1m,1381152600,167.4,167.5,167.3,167.45,1200", "everything named"),
        ("Volume,Close,Low,High,Open,Timestamp,Ticker,Interval", "1200,167.45,167.3,167.5,167.4,1381152600,SPY,1m", "any order and case"),
        (
            "t;date;time;symbol;interval;o;h;l;c;v",
            "x;2013-10-07;13:30:00Z;SPY;1m;167.4;167.5;167.3;167.45;1200",
            "date and time apart, semicolons",
        ),
        (
            "symbol\tstart\tend\topen\thigh\tlow\tclose\tvolume",
            "SPY\t1381152600\t1381152660\t167.4\t167.5\t167.3\t167.45\t1200",
            "interval from the end, tabs",
        ),
    ],
)
def test_columns_are_known_by_their_usual_names(header: str, row: str, why: str) -> None:
    assert list(read_csv([header + "\n", row + "\n"])) == [EXPECTED], why


def test_vwap_trades_and_provenance_are_kept_and_may_be_empty() -> None:
    lines = [
        "symbol,interval,start,open,high,low,close,volume,vwap,trades,provenance\n",
        "SPY,1m,1381152600,1,2,1,2,10,1.5,7,vendor\n",
        "SPY,1m,1381152660,1,2,1,2,10,,,\n",
    ]
    full, bare = read_csv(lines)
    assert (full.vwap, full.trades, full.provenance) == (1.5, 7, "vendor")
    assert (bare.vwap, bare.trades, bare.provenance) == (None, None, "feed")


@pytest.mark.parametrize(
    ("row", "place", "what"),
    [
        ("2013-10-07T13:30:00Z,1,2,1,abc,5", "line 3, column 5", "close is 'abc'"),
        ("2013-10-07T13:30:00Z,1,inf,1,1,5", "line 3, column 3", "high is 'inf'"),
        ("2013-10-07T13:30:00Z,1,2,1,1,", "line 3, column 6", "there is no volume"),
        ("2013-10-07T13:30:00,1,2,1,1,5", "line 3, column 1", "--zone America/New_York"),
        ("yesterday,1,2,1,1,5", "line 3, column 1", "'yesterday' is no instant"),
        ("2013-10-07T13:30:00Z,1,2,1,1", "line 3, column 5", "has 5 fields, the header has 6"),
    ],
)
def test_a_bad_line_is_named_by_line_and_column_and_the_rest_goes_on_where_told(row: str, place: str, what: str) -> None:
    good = "2013-10-07T13:30:00Z,1,2,1,2,5\n"
    lines = ["time,open,high,low,close,volume\n", good, row + "\n", good]
    errors: list[BarFileError] = []
    bars = list(read_csv(lines, Form("SPY", "1m"), name="mine.csv", on_error=errors.append))
    assert len(bars) == 2
    assert len(errors) == 1
    for part in ("mine.csv", place, what):
        assert part in str(errors[0])
    with pytest.raises(BarFileError):
        list(read_csv(lines, Form("SPY", "1m"), name="mine.csv"))


@pytest.mark.parametrize(
    ("symbol", "interval", "what"),
    [(None, "1m", "--symbol"), ("SPY", None, "--interval"), ("S P", "1m", "has a blank"), ("SPY", "5x", "'5x' is no interval")],
)
def test_what_no_column_says_must_be_named(symbol: str | None, interval: str | None, what: str) -> None:
    lines = ["time,open,high,low,close,volume\n", "2013-10-07T13:30:00Z,1,2,1,2,5\n"]
    with pytest.raises(BarFileError, match=what):
        list(read_csv(lines, Form(symbol, interval)))


def test_an_end_that_contradicts_the_interval_is_an_error() -> None:
    lines = ["start,end,open,high,low,close,volume\n", "1381152600,1381152900,1,2,1,2,5\n"]
    with pytest.raises(BarFileError, match="300 seconds after the start: a bar of 1m ends 60 seconds"):
        list(read_csv(lines, Form("SPY", "1m")))


def test_a_local_time_that_the_clocks_skip_is_an_error() -> None:
    lines = ["time,open,high,low,close,volume\n", "2013-03-10 02:30,1,2,1,2,5\n"]
    with pytest.raises(BarFileError, match="clocks skip that time"):
        list(read_csv(lines, Form("SPY", "1m", NEW_YORK)))


@pytest.mark.parametrize("header", ["time,open,high,low,close\n", ""])
def test_a_header_that_lacks_a_column_says_which(header: str) -> None:
    with pytest.raises(BarFileError, match=r"line 1, column 1: .*lacks .*volume \(or vol, v\)"):
        list(read_csv([header]))


def test_a_bar_is_out_as_soon_as_its_line_is_in() -> None:
    def endless() -> Iterator[str]:
        yield "time,open,high,low,close,volume\n"
        while True:
            yield "2013-10-07T13:30:00Z,167.4,167.5,167.3,167.45,1200\n"

    assert next(iter(read_csv(endless(), Form("SPY", "1m")))) == EXPECTED


def test_json_lines_have_the_same_fields() -> None:
    lines = [
        '{"symbol":"SPY","interval":"1m","start":1381152600000000,"end":1381152660000000,"open":167.4,"high":167.5,"low":167.3,"close":167.45,"volume":1200}\n',
        "\n",
        '{"ticker":"SPY","time":"2013-10-07T13:30:00Z","interval":"1m","o":167.4,"h":167.5,"l":167.3,"c":167.45,"v":1200,"vwap":null,"extra":[1]}\n',
    ]
    assert list(read_jsonl(lines)) == [EXPECTED, EXPECTED]


@pytest.mark.parametrize(
    ("line", "place", "what"),
    [
        ('{"symbol":"SPY",', "line 1, column 17", "is no JSON"),
        ("[1, 2]", "line 1, column 1", "is list, not an object"),
        ('{"start":1381152600,"open":"x","high":2,"low":1,"close":1,"volume":1}', "line 1, column 21", "open is 'x'"),
        ('{"start":1381152600,"open":[1],"high":2,"low":1,"close":1,"volume":1}', "line 1, column 21", "open is '[1]'"),
        ('{"start":1381152600,"open":true,"high":2,"low":1,"close":1,"volume":1}', "line 1, column 21", "open is True"),
        ('{"start":1381152600,"open":1,"high":2,"low":1,"close":1}', "line 1, column 1", "there is no volume"),
    ],
)
def test_a_bad_json_line_is_named_by_line_and_column(line: str, place: str, what: str) -> None:
    errors: list[BarFileError] = []
    assert list(read_jsonl([line + "\n"], Form("SPY", "1m"), on_error=errors.append)) == []
    assert place in str(errors[0])
    assert what in str(errors[0])
