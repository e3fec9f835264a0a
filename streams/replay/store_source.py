"""The Parquet store as a replay's source.

A bar's offset is its start in whole seconds since 1970, as with LEAN files. Days are read one after another, so that memory
holds one of each symbol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streams.errors import HistoryError
from streams.history.kinds import BARS
from streams.history.store.store import HistoryStore
from streams.replay.source import OpenedTopic, Read, no_bars
from streams.times import SECOND_US, interval_us

_NAME: Final = "store"


class StoreSource:
    """Bars of a store.

    Args:
        store: which.
    """

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._intervals: dict[str, list[str]] = {}
        for kind, symbol, interval in store.names():
            if kind == BARS.name:
                self._intervals.setdefault(symbol, []).append(interval)

    def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
        """As `BarSource.open`.

        Raises:
            HistoryError: the store has no bars of the symbol and this interval.
        """
        intervals = self._intervals.get(symbol)
        where = self._store.root
        reason = no_bars(symbol, interval)
        if not self._intervals:
            raise HistoryError(f"{where} has no bars at all: `streams import` fills a store", reason=reason)
        if intervals is None:
            present = ", ".join(sorted(self._intervals))
            raise HistoryError(f"{where} has no bars of {symbol}: it has those of {present}", reason=reason)
        if interval not in intervals:
            present = ", ".join(sorted(intervals, key=interval_us))
            raise HistoryError(f"{where} has no {interval} bars of {symbol}: it has those of {present}", reason=reason)
        # A bar that has begun before the instant and ends after it is one of those asked for.
        first_us = from_us - interval_us(interval) + 1
        return OpenedTopic(_NAME, first_us // SECOND_US, self._read(symbol, interval, first_us, from_us))

    def close(self) -> None:
        """A file is open only while it is read."""

    def _read(self, symbol: str, interval: str, first_us: int, from_us: int) -> Iterator[Read]:
        for bar in self._store.read(BARS, symbol, interval, first_us):
            if bar.end_us > from_us:
                yield Read(bar.start_us // SECOND_US, bar)
