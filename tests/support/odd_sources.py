"""History sources of a user's own that misbehave, each in its way, for a real worker: `tests.support.odd_sources:by_symbol`.

What a source does with a question is the first word of the symbol: HANG, RAISE, NONSENSE, or anything else for an empty answer.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from streams.model.records import Bar
from streams.times import to_us


class BySymbol:
    """Does what the symbol says."""

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """As `HistorySource.get_bars`, or not."""
        if symbol.startswith("HANG"):
            threading.Event().wait()
        if symbol.startswith("RAISE"):
            raise PermissionError("the licence has run out")
        if symbol.startswith("NONSENSE"):
            return [Bar(symbol, interval, to_us(start), to_us(start) + 7, 3.0, 2.0, 1.0, float("nan"), -1.0)]
        return []

    def close(self) -> None:
        """Hang here too."""
        threading.Event().wait()


def by_symbol() -> BySymbol:
    """A source that does what the symbol says."""
    return BySymbol()
