"""Bars from a user's own CSV and JSON lines: every form of an instant, and where a fault is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from streams.errors import BarFileError
from streams.history.formats.checks import FileCheck, OrderCheck
from streams.history.formats.fields import Form
from streams.history.formats.text import read_csv, read_jsonl
from streams.model.records import Bar
from streams.times import iso, parse_instant

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
        ("yesterday,1,2,1,1,5", "line 3, column 1", "'yesterday' is not an instant"),
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


PRICES = {"open": 1, "high": 2, "low": 1, "close": 2, "volume": 5}


@pytest.mark.parametrize(
    ("interval", "start", "end", "reason"),
    [
        ("1d", "2026-11-30T00:00:00Z", "2026-11-30T21:00:00Z", "New York: midnight UTC of the date to the close"),
        ("1d", "2026-11-30T05:00:00Z", "2026-11-30T21:00:00Z", "New York: midnight there"),
        ("1d", "2026-11-30T14:30:00Z", "2026-11-30T21:00:00Z", "New York: from the open"),
        ("1d", "2026-11-27T00:00:00Z", "2026-11-27T18:00:00Z", "New York: an early close"),
        ("1d", "2026-11-29T13:00:00Z", "2026-11-30T05:00:00Z", "Sydney: midnight there"),
        ("1d", "2026-11-29T23:00:00Z", "2026-11-30T22:00:00Z", "Chicago's futures: an hour before the whole"),
        ("4h", "2026-11-30T18:30:00Z", "2026-11-30T21:00:00Z", "the last bar of a day that is cut by the close"),
        ("1h", "2026-11-30T20:30:00Z", "2026-11-30T21:00:00Z", "an hour bar after 09:30"),
    ],
)
@pytest.mark.parametrize("short", ["", "one millisecond short"])
def test_a_bar_of_an_hour_or_more_may_end_at_the_close(interval: str, start: str, end: str, reason: str, short: str) -> None:
    written = iso(parse_instant(end) - 1000) if short else end
    (read,) = read_csv(["start,end,open,high,low,close,volume\n", f"{start},{written},1,2,1,2,5\n"], Form("SPY", interval))
    (from_json,) = read_jsonl([json.dumps({"start": start, "end": written, **PRICES})], Form("SPY", interval))
    assert (iso(read.start_us), iso(read.end_us)) == (start, end), reason
    assert from_json == read


@pytest.mark.parametrize(
    ("interval", "start", "end", "reason"),
    [
        ("4h", "2026-11-30T18:30:00Z", "2026-11-30T22:31:00Z", "after its slot"),
        ("1d", "2026-11-30T00:00:00Z", "2026-12-01T00:01:00Z", "after its slot"),
        ("1d", "2026-11-30T00:00:00Z", "2026-11-30T00:00:00Z", "at its start"),
        ("4h", "2026-11-30T18:30:00Z", "2026-11-30T18:59:30Z", "no exchange closes between two minutes"),
        ("5m", "2026-11-30T18:30:00Z", "2026-11-30T18:31:00Z", "too short to be cut off by a close"),
    ],
)
def test_another_end_is_an_error(interval: str, start: str, end: str, reason: str) -> None:
    with pytest.raises(BarFileError, match="seconds after the start: a bar of"):
        list(read_csv(["start,end,open,high,low,close,volume\n", f"{start},{end},1,2,1,2,5\n"], Form("SPY", interval)))


def test_bars_that_would_all_be_cut_off_have_another_interval() -> None:
    rows = [f"2026-11-30T14:{minute:02}:00Z,2026-11-30T14:{minute + 5:02}:00Z,1,2,1,2,5\n" for minute in (30, 35, 40)]
    with pytest.raises(BarFileError, match=r"before the 1h of the one before it are over .*: is the interval right\?"):
        list(read_csv(["start,end,open,high,low,close,volume\n", *rows], Form("SPY", "1h"), check=FileCheck()))


def test_an_hour_bar_that_begins_at_the_open_is_followed_by_one_of_the_clock() -> None:
    rows = [f"2026-11-30T{start}Z,2026-11-30T{end}Z,1,2,1,2,5\n" for start, end in (("14:30", "15:00"), ("15:00", "16:00"))]
    bars = list(read_csv(["start,end,open,high,low,close,volume\n", *rows], Form("SPY", "1h"), check=FileCheck()))
    assert [iso(bar.end_us) for bar in bars] == ["2026-11-30T15:00:00Z", "2026-11-30T16:00:00Z"]


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


KLINES = "open_time,open,high,low,close,volume,close_time\n"


@pytest.mark.parametrize(
    ("close_time", "why"),
    [
        ("1381152659999", "a millisecond short, as exchanges have it"),
        ("1381152659999999", "a microsecond short"),
        ("1381152659999999999", "a nanosecond short"),
        ("1381152659", "a second short"),
        ("2013-10-07T13:30:59.999Z", "a millisecond short, as text"),
        ("2013-10-07T13:30:59.999999999Z", "a nanosecond short, as text"),
        ("2013-10-07 09:30:59", "a second short, local"),
        ("1381152660000", "the end itself"),
    ],
)
def test_an_end_one_unit_short_is_the_end_of_the_slot(close_time: str, why: str) -> None:
    row = f"1381152600000,167.4,167.5,167.3,167.45,1200,{close_time}\n"
    assert list(read_csv([KLINES, row], Form("SPY", "1m", NEW_YORK))) == [EXPECTED], why


def test_an_interval_is_told_by_an_end_one_unit_short_unless_it_may_be_a_second() -> None:
    row = "1381152600000,167.4,167.5,167.3,167.45,1200,{}\n"
    assert list(read_csv([KLINES, row.format("1381152659999")], Form("SPY"))) == [EXPECTED]
    with pytest.raises(BarFileError, match="59 seconds after the start, which may be one second short: name the interval"):
        list(read_csv([KLINES, row.format("1381152659")], Form("SPY")))


def test_a_close_one_unit_short_stands_for_the_close() -> None:
    header = "close_time,open,high,low,close,volume\n"
    for stamp in ("1381152659999", "1381152659", "1381152660", "1381152659.999999999"):
        row = f"{stamp},167.4,167.5,167.3,167.45,1200\n"
        form = Form("SPY", "1m", None, "close", {"start": "close_time"})
        assert list(read_csv([header, row], form)) == [EXPECTED], stamp


def test_a_column_that_says_something_else_is_ignored_by_name() -> None:
    row = "1381152600000,167.4,167.5,167.3,167.45,1200,1381152600123\n"
    with pytest.raises(BarFileError, match=r"line 2, column 7: the end is 0.123 seconds.*leave it aside with --ignore-column"):
        list(read_csv([KLINES, row], Form("SPY", "1m")))
    assert list(read_csv([KLINES, row], Form("SPY", "1m", ignored=("close_time",)))) == [EXPECTED]
    line = '{"t": 0, "start":1381152600,"end":7,"open":167.4,"high":167.5,"low":167.3,"close":167.45,"volume":1200}\n'
    assert list(read_jsonl([line], Form("SPY", "1m", ignored=("end",)))) == [EXPECTED]
    with pytest.raises(BarFileError, match="line 1, column 1: there is no column 'closetime' to ignore: there are open_time"):
        list(read_csv([KLINES, row], Form("SPY", "1m", ignored=("closetime",))))


def test_a_start_finer_than_a_microsecond_is_refused() -> None:
    lines = ["time,open,high,low,close,volume\n", "1381152600000000500,1,2,1,2,5\n"]
    with pytest.raises(BarFileError, match="line 2, column 1: '1381152600000000500' is finer than a microsecond: no bar starts there"):
        list(read_csv(lines, Form("SPY", "1m")))


@pytest.mark.parametrize(
    ("time", "says"),
    [
        ("093000", "It may be the time of day 09:30:00 without its date: name the column of the date with --column day=NAME"),
        ("41554.395833333336", "a spreadsheet's day number, 2013-10-07 09:30:00"),
        ("4102617600", "after 2100"),
    ],
)
def test_a_number_that_is_no_time_is_refused_in_text_and_json(time: str, says: str) -> None:
    with pytest.raises(BarFileError) as refused:
        list(read_csv(["time,open,high,low,close,volume\n", f"{time},1,2,1,2,5\n"], Form("SPY", "1m")))
    assert "line 2, column 1" in str(refused.value)
    assert says in str(refused.value)
    number = time.lstrip("0")
    with pytest.raises(BarFileError) as refused:
        list(read_jsonl([f'{{"time": {number}, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 5}}\n'], Form("SPY", "1m")))
    assert says in str(refused.value)


def test_a_date_beside_a_time_may_have_a_name_of_its_own() -> None:
    lines = ["d,t,open,high,low,close,volume\n", "20131007,093000,167.4,167.5,167.3,167.45,1200\n"]
    form = Form("SPY", "1m", NEW_YORK, columns={"day": "d", "start": "t"})
    assert list(read_csv(lines, form)) == [EXPECTED]


def test_from_a_pipe_a_number_may_be_a_day_ahead_of_the_clock_and_no_more() -> None:
    form = Form("SPY", "1m", now_us=lambda: START_US)
    header = "time,open,high,low,close,volume\n"
    assert len(list(read_csv([header, "1381239000,1,2,1,2,5\n"], form))) == 1
    with pytest.raises(BarFileError, match="more than a day ahead of the clock, 2013-10-07T13:30:00Z"):
        list(read_csv([header, "1381239001,1,2,1,2,5\n"], form))


@pytest.mark.parametrize(
    ("interval", "start", "end", "kept", "why"),
    [
        ("1d", "2024-11-04", "2024-11-04 16:00", "2024-11-04T21:00:00Z", "a day ends at the close"),
        ("1d", "2024-11-29", "2024-11-29 12:59:59.999", "2024-11-29T18:00:00Z", "an early one, a millisecond short"),
        ("4h", "2024-11-04 13:30", "2024-11-04 16:00", "2024-11-04T21:00:00Z", "four hours that the close cuts"),
        ("4h", "2024-11-04 09:30", "2024-11-04 13:30", "2024-11-04T18:30:00Z", "whole ones"),
        ("1d", "2024-11-04", "2024-11-05 16:00", None, "longer than a day"),
        ("1d", "2024-11-04", "2024-11-04", None, "at its start"),
        ("1m", "2024-11-04 09:30", "2024-11-04 09:30:30", None, "no close cuts a minute"),
        ("1d", "2024-11-03", "2024-11-04", "2024-11-04T04:00:00Z", "a local day of 25 hours: its first 24"),
        ("1d", "2024-11-03", "2024-11-03 23:59:59", "2024-11-04T04:00:00Z", "the same, a second short"),
        ("1d", "2024-03-10", "2024-03-11", "2024-03-11T04:00:00Z", "a local day of 23 hours"),
    ],
)
def test_a_bar_of_an_hour_or_longer_may_end_at_the_close(interval: str, start: str, end: str, kept: str | None, why: str) -> None:
    lines = ["start,end,open,high,low,close,volume\n", f"{start},{end},1,2,1,2,5\n"]
    errors: list[BarFileError] = []
    bars = list(read_csv(lines, Form("SPY", interval, NEW_YORK), on_error=errors.append))
    assert [iso(bar.end_us) for bar in bars] == ([] if kept is None else [kept]), why
    assert bool(errors) is (kept is None)


@pytest.mark.parametrize("newest_first", [False, True])
def test_short_bars_that_are_called_long_ones_are_refused(newest_first: bool) -> None:
    rows = [f"2024-11-04 09:{minute},2024-11-04 09:{minute + 1},1,2,1,2,5\n" for minute in range(30, 40)]
    lines = ["start,end,open,high,low,close,volume\n", *(rows[::-1] if newest_first else rows)]
    with pytest.raises(BarFileError, match=r"line 3, column 1: .* 1h .*are over .*: is the interval right\?"):
        list(read_csv(lines, Form("SPY", "1h", NEW_YORK), check=OrderCheck()))
