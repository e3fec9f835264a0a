"""The Parquet store as a history source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from streams.errors import HistoryError
from streams.history.kinds import BARS, Adjustment
from streams.history.store.store import HistoryStore
from streams.model.records import Bar
from streams.times import iso, to_us


class StoreHistory:
    """Bars of a store.

    That it has none of a stretch is believed only where it has some before and behind it: a store that is filled at night has
    no bar of the running day, and that says nothing about the market.

    Args:
        store: which.
    """

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self.adjustment = store.adjustment

    @classmethod
    def at(cls, folder: Path, adjustment: Adjustment) -> Self:
        """The store in this folder.

        Raises:
            HistoryError: there is none, or its prices are adjusted otherwise.
        """
        return cls(HistoryStore.open(folder, adjustment=adjustment))

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """As `HistorySource.get_bars`.

        Raises:
            HistoryError: a file is damaged, or the store does not reach around a stretch of which it has nothing.
        """
        bars = self._store.get_bars(symbol, interval, start, end)
        if not bars:
            before = next(self._store.read(BARS, symbol, interval, None, to_us(start)), None)
            behind = next(self._store.read(BARS, symbol, interval, to_us(end), None), None)
            if before is None or behind is None:
                what = "before" if before is None else "behind"
                raise HistoryError(
                    f"{self._store.root} has no {interval} bars of {symbol} from {iso(to_us(start))} to {iso(to_us(end))}, and none {what} "
                    "that either: it may not have been filled that far"
                )
        return bars
