"""Quotes and ticks from a user's text: by the usual names and forms, and what a bad line says."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from streams.errors import BarFileError
from streams.history.formats.extras import read_extras
from streams.history.formats.fields import Form
from streams.model.records import Quote, Tick
from streams.times import parse_instant

# 2013-10-07 13:30 UTC, by `date -u -d ... +%s`.
OPEN_US = 1_381_152_600_000_000


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time,symbol,bid,ask,bid_size,ask_size\n2013-10-07T13:30:00Z,SPY,1,2,3,4\n", "the usual names"),
        ("Timestamp;Ticker;BP;AP;BS;AS\n1381152600;SPY;1;2;3;4\n", "short ones, seconds, semicolons"),
        (
            "symbol,ask,bid,ask_size,bid_size,colour,time\nSPY,2,1,4,3,red,1381152600000\n\n",
            "another order, milliseconds, a column nobody needs",
        ),
    ],
)
def test_quotes_of_a_csv_are_read(text: str, reason: str) -> None:
    assert list(read_extras(lines(text), "quotes", "csv")) == [Quote("SPY", OPEN_US, 1.0, 2.0, 3.0, 4.0)], reason


def test_quotes_and_ticks_of_json_lines_are_read() -> None:
    text = '{"time": "2013-10-07T09:30:00", "bid": 1, "ask": null}\n\n{"time": 1381152600000000, "ask": "2.5", "symbol": "IBM"}\n'
    found = list(read_extras(lines(text), "quotes", "jsonl", Form("SPY", zone=ZoneInfo("America/New_York"))))
    assert found == [Quote("SPY", OPEN_US, 1.0), Quote("IBM", OPEN_US, None, 2.5)]
    ticks = list(read_extras(['{"ts": 1381152600, "p": 1.5, "qty": 3, "provenance": "mine"}'], "ticks", "jsonl", Form("SPY")))
    assert ticks == [Tick("SPY", OPEN_US, 1.5, 3.0, "mine")]


@pytest.mark.parametrize(
    ("kind", "form", "text", "says"),
    [
        ("quotes", "csv", "bid,ask\n1,2\n", "f: line 1, column 1: the header 'bid,ask' lacks time (or timestamp, datetime"),
        ("ticks", "csv", "time,price\n1,2\n", "lacks size (or quantity, qty, volume, s): say which it is, as in --column size=NAME"),
        ("ticks", "csv", "time,price,size\n1381152600,x,2\n", "f: line 2, column 2: price is 'x': it must be a number such as 167.41"),
        ("ticks", "csv", "time,price,size\n1381152600,,2\n", "f: line 2, column 2: there is no price"),
        ("ticks", "csv", "time,price,size\n1381152600,1\n", "f: line 2, column 2: has 2 fields, the header has 3"),
        ("quotes", "csv", "time,bid,ask\n1381152600,,\n", "there is neither a bid nor an ask"),
        ("quotes", "csv", "time,bid\n2013-10-07T09:30:00,1\n", "has no time zone"),
        ("quotes", "jsonl", "{no json}\n", "f: line 1, column 2: is no JSON"),
        ("quotes", "jsonl", "[1]\n", "f: line 1, column 1: is list, not an object"),
        ("quotes", "jsonl", '{"time": 1381152600, "bid": {"a": 1}}\n', "bid is '{\"a\": 1}'"),
        ("quotes", "jsonl", '{"bid": 1}\n', "there is no time"),
        ("quotes", "jsonl", '{"time": 1381152600, "bid": 1, "symbol": "A B"}\n', "a blank"),
    ],
)  # fmt: skip
def test_a_line_that_can_not_be_read_says_where_and_what(kind: str, form: str, text: str, says: str) -> None:
    with pytest.raises(BarFileError) as raised:
        list(read_extras(lines(text), kind, form, Form("SPY"), name="f"))  # type: ignore[arg-type]
    assert says in str(raised.value)


def test_a_line_without_a_symbol_asks_for_one_and_the_reading_goes_on_where_errors_are_taken() -> None:
    errors: list[BarFileError] = []
    found = list(read_extras(lines("time,bid,symbol\n1381152600,1,\n1381152600,2,IBM\n"), "quotes", "csv", on_error=errors.append))
    assert found == [Quote("IBM", OPEN_US, 2.0)]
    assert "there is no symbol: name it with --symbol" in str(errors[0])


def test_a_date_beside_a_time_is_taken() -> None:
    # EST is five hours behind UTC all year.
    text = "date,time,price,size\n20131007,093000.250,167.41,100\n"
    (tick,) = read_extras(lines(text), "ticks", "csv", Form("SPY", zone=ZoneInfo("EST")))
    assert tick == Tick("SPY", parse_instant("2013-10-07T14:30:00.250Z"), 167.41, 100.0)
    (quote,) = read_extras(['{"date": "2013-10-07", "time": "09:30", "bid": 1}'], "quotes", "jsonl", Form("SPY", zone=ZoneInfo("EST")))
    assert quote == Quote("SPY", parse_instant("2013-10-07T14:30:00Z"), 1.0)


def test_columns_with_names_of_their_own_are_named_and_others_ignored() -> None:
    text = "d;t;px;shares;size\n2013-10-07;09:30:00;1.5;3;x\n"
    form = Form("SPY", zone=ZoneInfo("America/New_York"), columns={"day": "d", "time": "t", "price": "px", "size": "shares"})
    assert list(read_extras(lines(text), "ticks", "csv", form)) == [Tick("SPY", OPEN_US, 1.5, 3.0)]
    with pytest.raises(BarFileError, match="'close' is nothing that a tick has: say one of time, price, size, symbol"):
        list(read_extras(lines(text), "ticks", "csv", Form("SPY", columns={"close": "px"})))
    form = Form("SPY", ignored=("bid",))
    assert list(read_extras(lines("time,bid,ask\n1381152600,x,2\n"), "quotes", "csv", form)) == [Quote("SPY", OPEN_US, None, 2.0)]


def test_a_number_that_is_no_time_is_refused() -> None:
    with pytest.raises(BarFileError, match=r"line 2, column 1: '093000' is not an instant.*the time of day 09:30:00 without its date"):
        list(read_extras(lines("time,price,size\n093000,1,2\n"), "ticks", "csv", Form("SPY")))
    with pytest.raises(BarFileError, match="line 2, column 1: '20131007' has no time zone"):
        list(read_extras(lines("time,price,size\n20131007,1,2\n"), "ticks", "csv", Form("SPY")))


def test_what_is_finer_than_a_microsecond_is_cut_off_a_tick() -> None:
    (tick,) = read_extras(lines("time,price,size\n1381152600123456789,1,2\n"), "ticks", "csv", Form("SPY"))
    assert tick == Tick("SPY", OPEN_US + 123_456, 1.0, 2.0)


def test_ticks_that_networks_swapped_are_no_second_pass_of_the_hour_that_comes_twice() -> None:
    clocks = ("00:59:59", "01:10:00", "01:09:59", "01:59:59.500", "01:00:00", "01:30:00", "02:00:00")
    text = "time,price,size\n" + "".join(f"2024-11-03 {clock},1,2\n" for clock in clocks)
    ticks = list(read_extras(lines(text), "ticks", "csv", Form("SPY", zone=ZoneInfo("America/New_York"))))
    expected = ("04:59:59", "05:10:00", "05:09:59", "05:59:59.500", "06:00:00", "06:30:00", "07:00:00")
    assert [tick.time_us for tick in ticks if isinstance(tick, Tick)] == [parse_instant(f"2024-11-03T{clock}Z") for clock in expected]
