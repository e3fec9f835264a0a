"""The seam between a warm-up and the live records: pure, so that every interleaving can be tried.

Records carry `(epoch, sequence)`, which counts up by one. A snapshot of the state includes all records up to a sequence, and
knows the offset behind them; reading goes on there, and the first record must be the next one. A snapshot that was put
together symbol by symbol includes more of some symbols than of others: reading goes on behind the oldest part, and what a
younger part includes already is passed over. So each record counts once, whichever way it came.

    seam = Seam(Position(1, 10, 57), {"SPY": 10, "IBM": 12})
    seam.follow(1, 11, 57)          # None: it is the next one
    seam.includes("IBM", 11)        # True: the snapshot of IBM has it
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.consumer.place import Hole, Position


class Seam:
    """Whether records follow each other, and which of them were known before.

    Args:
        last: where reading goes on; None where it may begin anywhere.
        known: up to which sequence the snapshot includes what is about a symbol, for those that it includes more of.
    """

    def __init__(self, last: Position | None = None, known: Mapping[str, int] | None = None) -> None:
        self._last = last
        self._known = dict(known or {})
        self._closes_at = max(self._known.values(), default=0)

    @property
    def last(self) -> Position | None:
        """The record that was followed to last, and the offset behind it."""
        return self._last

    @property
    def is_closed(self) -> bool:
        """Whether all that follows is new: from here on the position alone says what is known."""
        return self._last is None or self._last.sequence >= self._closes_at

    def follow(self, epoch: int, sequence: int, offset: int) -> Hole | None:
        """Go on to the record that comes next; a hole when it does not follow on the one before.

        The next record is then measured by this one, whatever lies between.
        """
        last, self._last = self._last, Position(epoch, sequence, offset + 1)
        if last is None or (epoch == last.epoch and sequence == last.sequence + 1):
            return None
        self._known, self._closes_at = {}, 0
        return Hole.between(last, epoch, sequence, offset)

    def includes(self, symbol: str | None, sequence: int) -> bool:
        """Whether the snapshot includes a record about a symbol; one about the session it never does."""
        return symbol is not None and sequence <= self._known.get(symbol, 0)
