"""The seam between a warm-up and the live records: pure, so that every interleaving can be tried.

Records carry `(epoch, sequence)`, which counts up by one. A snapshot of the state includes all records up to a sequence, and
knows the offset behind them; reading goes on there, and the first record must be the next one. A snapshot that was put
together in several reads has parts that are younger than that: until the sequence is past which none of them reaches, a bar
that the snapshot has in the same revision or a later one is passed over. So each bar counts once, whichever way it came.

    seam = Seam(Position(1, 10, 57), snapshot.bars, closes_at=12)
    seam.follow(1, 11, 57)          # None: it is the next one
    seam.has(event)                 # True where the snapshot has it
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.consumer.place import Hole, Position
from streams.wire.messages import AnalysisEvent

_Key = tuple[str | None, int | None, str | None, int]


class Seam:
    """Whether records follow each other, and which of them were known before.

    Args:
        last: where reading goes on; None where it may begin anywhere.
        bars: those of the snapshot, where parts of it may be younger than `last`.
        closes_at: the sequence of the youngest part.
    """

    def __init__(self, last: Position | None = None, bars: Iterable[AnalysisEvent] = (), closes_at: int = 0) -> None:
        self._last = last
        self._closes_at = closes_at
        self._revisions: dict[_Key, int] = {}
        self._incarnations: dict[str | None, int] = {}
        if not self.is_closed:
            for event in bars:
                if event.bar is not None:
                    self._revisions[_key(event, event.bar.start_us)] = event.bar.revision
                    self._incarnations[event.symbol] = event.incarnation or 0

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
        self._closes_at = 0
        return Hole.between(last, epoch, sequence, offset)

    def has(self, event: AnalysisEvent) -> bool:
        """Whether the snapshot has the record that was followed to last: a bar, or what became of a former incarnation."""
        if not self._revisions:
            return False
        if self._last is None or self._last.sequence > self._closes_at:
            self._revisions, self._incarnations = {}, {}
            return False
        if event.symbol is not None and (event.incarnation or 0) < self._incarnations.get(event.symbol, 0):
            return True
        return event.bar is not None and event.bar.revision <= self._revisions.get(_key(event, event.bar.start_us), -1)


def _key(event: AnalysisEvent, start_us: int) -> _Key:
    return event.symbol, event.incarnation, event.interval, start_us
