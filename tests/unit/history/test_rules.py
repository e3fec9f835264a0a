"""What may stand in a store, and what comes of a write: worked by hand, and held against the engine's own judgement."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import HistoryError
from streams.history.quotes import QuoteBar
from streams.history.rules import by_day, fault_of, faults_of_day, merge
from streams.model.records import Bar, Rejection
from streams.model.validation import fault_of as engine_fault_of
from streams.times import MINUTE_US
from tests.support.history import START_US, bar, bars

NAN, INFINITE = float("nan"), float("inf")


def test_new_bars_come_among_the_held_ones_in_order_of_start() -> None:
    merged = merge([bar(0), bar(2)], [bar(3), bar(1)])
    assert merged.records == [bar(0), bar(1), bar(2), bar(3)]
    assert (merged.added, merged.replaced, merged.unchanged) == (2, 0, 0)


def test_the_same_bar_changes_nothing_and_another_for_its_start_takes_its_place() -> None:
    corrected = bar(1, close=10.5)
    merged = merge([bar(0), bar(1)], [bar(0), corrected])
    assert merged.records == [bar(0), corrected]
    assert (merged.added, merged.replaced, merged.unchanged) == (0, 1, 1)
    assert not merge([bar(0)], [bar(0)]).changes


def test_of_two_given_for_one_start_the_last_one_counts_and_is_counted_once() -> None:
    merged = merge([], [bar(0), bar(0, close=10.5)])
    assert merged.records == [bar(0, close=10.5)]
    assert (merged.added, merged.replaced, merged.unchanged) == (1, 0, 0)


def test_bars_that_overlap_are_refused() -> None:
    shifted = Bar("SPY", "1m", START_US + MINUTE_US // 2, START_US + MINUTE_US * 3 // 2, 10, 12, 9, 11, 100)
    with pytest.raises(HistoryError, match=r"starts at 2013-10-07T13:30:30Z overlaps the one from 2013-10-07T13:30:00Z"):
        merge([bar(0)], [shifted])


@settings(max_examples=40)
@given(st.lists(bars(), max_size=12), st.lists(bars(), max_size=12), st.lists(bars(), max_size=12))
def test_writes_one_after_another_give_what_a_dictionary_gives(first: list[Bar], second: list[Bar], third: list[Bar]) -> None:
    held: list[Bar] = []
    for given_bars in (first, second, third):
        merged = merge(held, given_bars)
        assert merged.added + merged.replaced + merged.unchanged == len({one.start_us for one in given_bars})
        assert len(merged.records) == len(held) + merged.added
        assert merged.changes == (merged.records != held)
        held = merged.records
    plain = {one.start_us: one for one in [*first, *second, *third]}
    assert held == [plain[start_us] for start_us in sorted(plain)]
    assert not merge(held, held).changes


@settings(max_examples=40)
@given(st.lists(bars(), max_size=12))
def test_every_bar_is_of_one_day_and_days_are_those_of_utc(given_bars: list[Bar]) -> None:
    days = by_day(given_bars)
    assert sorted(one.start_us for ones in days.values() for one in ones) == sorted(one.start_us for one in given_bars)
    for day, ones in days.items():
        assert all(one.start_us // (1440 * MINUTE_US) == (day - date(1970, 1, 1)).days for one in ones)


@pytest.mark.parametrize(
    ("parts", "field", "said"),
    [
        ({"open": NAN}, "open", "open must be a number from 0 to 1e+100, got nan"),
        ({"high": INFINITE}, "high", "high must be a number"),
        ({"low": -1.0}, "low", "low must be a number from 0"),
        ({"high": 8.0}, "low", "low 9.0 is above high 8.0"),
        ({"open": 12.5}, "open", "open 12.5 lies outside low 9.0 and high 12.0"),
        ({"close": 8.5}, "close", "close 8.5 lies outside low 9.0 and high 12.0"),
        ({"volume": -1.0}, "volume", "volume must be a number from 0"),
        ({"vwap": NAN}, "vwap", "vwap must be a number"),
        ({"trades": -1}, "trades", "trades must be a whole number from 0"),
        ({"symbol": "A B"}, "symbol", "has a blank"),
    ],
)
def test_what_is_not_sane_is_named_by_its_field(parts: dict[str, Any], field: str, said: str) -> None:
    fault = fault_of(bar(**parts), 0.0)
    assert fault is not None
    assert (fault.field, said in fault.message) == (field, True), fault


def test_the_last_window_of_a_day_may_be_shorter_than_its_interval_and_none_may_be_longer() -> None:
    cut = Bar("SPY", "1h", START_US, START_US + 30 * MINUTE_US, 10, 12, 9, 11, 100)
    assert fault_of(cut) is None
    long = Bar("SPY", "1m", START_US, START_US + 2 * MINUTE_US, 10, 12, 9, 11, 100)
    assert fault_of(long) == ("end", "the end 2013-10-07T13:32:00Z is more than 1m after the start 2013-10-07T13:30:00Z")


loose = st.floats(width=32) | st.sampled_from([NAN, INFINITE, -0.0, 0.0, 1e100, 2e100, 9.0, 10.0, 11.0])


lowest = st.sampled_from([5e-324, -1e100])


@given(loose, loose, loose, loose, loose, st.none() | loose, st.none() | st.integers(-2, 2) | st.just(10**12 + 1), lowest)
def test_prices_are_judged_as_the_engine_judges_them(
    open_: float, high: float, low: float, close: float, volume: float, vwap: float | None, trades: int | None, lowest: float
) -> None:
    one = bar(open=open_, high=high, low=low, close=close, volume=volume, vwap=vwap, trades=trades)
    judged = engine_fault_of(one, MINUTE_US, one.end_us, 0, lowest)
    assert (fault_of(one, lowest) is None) == (judged is None)
    assert judged is None or judged[0] is Rejection.BAD_PRICES


def test_a_quote_may_lack_a_side_but_not_a_part_of_one() -> None:
    bid = (10.0, 12.0, 9.0, 11.0, 100.0)
    times = ("SPY", "1m", START_US, START_US + MINUTE_US)
    assert fault_of(QuoteBar(*times, *bid, None, None, None, None, None)) is None
    assert fault_of(QuoteBar(*times, *bid, None, None, None, None, 0.0)) is None
    part = fault_of(QuoteBar(*times, *bid, 10.0, None, 9.0, 11.0, 100.0))
    assert part is not None
    assert (part.field, "must all be there or all be empty" in part.message) == ("ask_open", True)
    size = fault_of(QuoteBar(*times, *bid[:4], -1.0, *bid))
    assert size is not None
    assert size.field == "bid_size"


def test_a_file_is_told_each_of_its_faults_with_the_row() -> None:
    rows = [bar(0), bar(0, close=10.5), bar(-1), bar(1, high=1.0), bar(24 * 60), bar(24 * 60 + 1, symbol="IBM")]
    assert list(faults_of_day(rows, "SPY", "1m", date(2013, 10, 7))) == [
        "row 4, column low: low 9.0 is above high 1.0",
        "row 5: starts at 2013-10-08T13:30:00Z, which is not of SPY 1m on 2013-10-07",
        "row 6: starts at 2013-10-08T13:31:00Z, which is not of SPY 1m on 2013-10-07",
        "row 2: starts at 2013-10-07T13:30:00Z as the row before it does: one of them must go",
        "row 3: starts at 2013-10-07T13:29:00Z, before the row before it: rows must be in order of start",
    ]
