"""What leaves a store in text comes back as it was, whatever the symbol and the words in it."""

from __future__ import annotations

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.history.export import write_csv, write_jsonl
from streams.history.formats.text import read_csv, read_jsonl
from streams.history.kinds import BARS, QUOTES
from streams.history.quotes import QuoteBar
from streams.model.records import Bar
from tests.support.history import START_US, bar, bars, symbols


@settings(max_examples=50)
@given(st.lists(bars(symbols), max_size=10))
def test_bars_come_back_from_csv_and_from_json_lines(given_bars: list[Bar]) -> None:
    as_csv, as_jsonl = io.StringIO(), io.StringIO()
    write_csv(BARS, given_bars, as_csv)
    write_jsonl(BARS, given_bars, as_jsonl)
    assert list(read_csv(io.StringIO(as_csv.getvalue()))) == given_bars
    assert list(read_jsonl(io.StringIO(as_jsonl.getvalue()))) == given_bars


def test_what_is_missing_is_empty_in_csv_and_null_in_json_lines() -> None:
    stream = io.StringIO()
    write_csv(BARS, [bar(0, trades=7)], stream)
    assert stream.getvalue().splitlines() == [
        "symbol,interval,start,end,open,high,low,close,volume,vwap,trades,provenance",
        "SPY,1m,2013-10-07T13:30:00Z,2013-10-07T13:31:00Z,10.0,12.0,9.0,11.0,100.0,,7,feed",
    ]
    stream = io.StringIO()
    write_jsonl(QUOTES, [QuoteBar("SPY", "1m", START_US, START_US + 60_000_000, 10.0, 12.0, 9.0, 11.0, 5.0, *(None,) * 5)], stream)
    assert stream.getvalue() == (
        '{"symbol": "SPY", "interval": "1m", "start": "2013-10-07T13:30:00Z", "end": "2013-10-07T13:31:00Z", "bid_open": 10.0, '
        '"bid_high": 12.0, "bid_low": 9.0, "bid_close": 11.0, "bid_size": 5.0, "ask_open": null, "ask_high": null, "ask_low": null, '
        '"ask_close": null, "ask_size": null}\n'
    )
