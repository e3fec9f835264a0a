"""Where the ends of bar topics lie that reading has reached: behind the last record, when markers of transactions follow it.

A symbol that is to drain after its topic's end was reached is told so only by what is remembered here.
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.engine.session import Session
from streams.model.transactions import RangeRead
from streams.worker.feed.feed import TopicRead


class ReachedEnds:
    """The ends by symbol and incarnation, as long as nothing was read behind them."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, int], int] = {}

    def note(self, reads: Iterable[TopicRead]) -> None:
        """Remember what a batch says of ends."""
        for read in reads:
            if read.symbol is not None and read.stream is None:
                key = (read.symbol, read.incarnation)
                if read.at_end:
                    self._ends[key] = read.next_offset
                else:
                    self._ends.pop(key, None)

    def of(self, symbol: str, incarnation: int) -> int | None:
        """The end that reading of a symbol's topic has reached; None when something was read behind the last one."""
        return self._ends.get((symbol, incarnation))

    def forget(self, symbol: str, incarnation: int) -> None:
        """The symbol's topic is read from another place."""
        self._ends.pop((symbol, incarnation), None)

    def clear(self) -> None:
        """All topics are read anew."""
        self._ends.clear()

    def of_removing(self, session: Session) -> list[RangeRead]:
        """Empty ranges that bring removing symbols to the end that was reached before, past markers without records."""
        ranges = []
        for symbol in sorted(session.state.draining):
            data = session.state.symbols[symbol]
            end = self._ends.get((symbol, data.incarnation), 0)
            if end > data.offset:
                ranges.append(RangeRead(symbol, data.incarnation, data.offset, end, [], []))
        return ranges
