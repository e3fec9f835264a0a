"""Bars and quotes for tests of the store: real ones, and strategies that draw sane ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from streams.history.quotes import QuoteBar
from streams.model.records import Bar, check_symbol
from streams.times import MINUTE_US, to_us

START_US = to_us(datetime(2013, 10, 7, 13, 30, tzinfo=UTC))

ONE_NAME = st.just("SPY")
prices = st.floats(min_value=0, max_value=1e9, allow_nan=False)
starts = st.integers(min_value=-3_000, max_value=3_000).map(lambda minutes: START_US + minutes * MINUTE_US)
"""Whole minutes of about four days, on both sides of midnight."""


# What is printable and no blank: drawn so, not filtered, for most texts are no symbols.
symbols = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="|"), min_size=1, max_size=20).map(
    check_symbol
)
"""Symbols as odd as they may be."""


def bar(minute: int = 0, *, symbol: str = "SPY", **parts: Any) -> Bar:
    """A one-minute bar, `minute` minutes after 09:30 in New York."""
    start_us = START_US + minute * MINUTE_US
    values: dict[str, Any] = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100.0} | parts
    return Bar(symbol=symbol, interval="1m", start_us=start_us, end_us=start_us + MINUTE_US, **values)


def ladders() -> st.SearchStrategy[tuple[float, float, float, float]]:
    """Open, high, low, close that fit together."""
    return (
        st.lists(prices, min_size=4, max_size=4)
        .map(sorted)
        .flatmap(lambda four: st.sampled_from([(four[1], four[3], four[0], four[2]), (four[2], four[3], four[0], four[1])]))
    )


@st.composite
def bars(draw: st.DrawFn, names: st.SearchStrategy[str] = ONE_NAME) -> Bar:
    """A sane one-minute bar."""
    open_, high, low, close = draw(ladders())
    start_us = draw(starts)
    return Bar(
        draw(names), "1m", start_us, start_us + MINUTE_US, open_, high, low, close, draw(prices),
        draw(st.none() | prices), draw(st.none() | st.integers(0, 10**12)), draw(st.sampled_from(["feed", "gap_fill", "my own, é"])),
    )  # fmt: skip


@st.composite
def quotes(draw: st.DrawFn) -> QuoteBar:
    """A sane one-minute quote bar, one side of which may be missing."""
    start_us = draw(starts)
    sides: list[float | None] = []
    for _ in range(2):
        ladder = draw(st.none() | ladders())
        sides += [*(ladder or (None,) * 4), draw(st.none() | prices)]
    return QuoteBar("SPY", "1m", start_us, start_us + MINUTE_US, *sides)
