"""The bars of an export one by one, as they are made: a symbol's days in order, of each day the intervals, shortest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from streams.engine.rules.exports import new_bars
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import SessionBar
from streams.times import interval_us


class Format(StrEnum):
    """How an export is written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


class Row(NamedTuple):
    """A bar, and what it is of."""

    symbol: str
    interval: str
    trading_days: int
    bar: SessionBar


def all_rows(symbols: Iterable[SymbolSessionData]) -> Iterator[Row]:
    """All bars that symbols have: those of the days before that are kept, then those of the session."""
    for data in symbols:
        for days, by_interval in sorted(data.historical.items()):
            for interval in sorted(by_interval, key=interval_us):
                yield from (Row(data.symbol, interval, days, bar) for bar in by_interval[interval])
        for interval in (data.base_interval, *data.derived_intervals):
            yield from (Row(data.symbol, interval, data.day.days, bar) for bar in data.series(interval) or ())


def new_rows(data: SymbolSessionData) -> Iterator[Row]:
    """The bars that the export under way holds."""
    for (days, interval), bars in new_bars(data):
        yield from (Row(data.symbol, interval, days, bar) for bar in bars)
