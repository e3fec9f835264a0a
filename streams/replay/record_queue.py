"""The records of one topic, bars or quotes or ticks, in event time: what is due by when.

A bar is due at its end, a quote or a tick at its time, or, where they are behind the ones before, together with them: so the order
of the topic holds. The clock of a replay is the greatest of these times, so one bar from the future would carry it away, and with it
every bar after it would be stale. Live, the wall clock unmasks such a bar. Here it is the bars after it: a bar beyond the
trading day that its symbol stands in is a stray when the topic goes on within that day. A stray is due together with what
came before it, and the engine, at that time, takes it for what it is: from the future, a dead letter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from streams.errors import HistoryError
from streams.model.records import Bar, Quote, Tick, Undecodable
from streams.model.transactions import RangeRead
from streams.model.validation import ABOVE_ZERO
from streams.replay.source import OpenedTopic, Read, ends_us_of
from streams.replay.versions import LastVersions

WITNESSES: Final = 3
LOOK_AHEAD: Final = 64


class Lane:
    """Hands out a symbol's records as time goes on.

    Args:
        symbol, incarnation: whose.
        opened: the records.
        from_us: the instant at which they were opened.
        end_of_day: when the day after the one of an instant begins.
        place: gives a bar as it lies on its day, where its own start and end don't say that: a daily bar ends at the close.
        stream: quotes or ticks; None for bars.
        lowest_price: the lower bound of its prices.
    """

    def __init__(
        self,
        symbol: str,
        incarnation: int,
        opened: OpenedTopic,
        from_us: int,
        end_of_day: Callable[[int], int],
        place: Callable[[Bar], Bar] | None = None,
        stream: str | None = None,
        lowest_price: float = ABOVE_ZERO,
    ) -> None:
        self.symbol = symbol
        self.stream = stream
        self.incarnation = incarnation
        self.due_us: int | None = None
        self.failure: HistoryError | None = None
        self._opened = opened
        self._end_of_day = end_of_day
        # Of bars that were still forming when they were sent the last version counts; others are given as they are.
        self._versions = LastVersions(opened.records, place, lowest_price) if stream is None else None
        self._records: Iterator[Read] = opened.records if self._versions is None else iter(self._versions)
        self._position = opened.offset
        # When the last record was due that was taken; before any the instant at which they were opened.
        self.newest_us = from_us
        self._limit_us = end_of_day(from_us)
        self._ahead: deque[Read | HistoryError | None] = deque()
        self._head: Read | None = None
        self._step()

    @property
    def position(self) -> int:
        """The offset after the last record that was taken."""
        return self._position

    def count_left_out(self) -> int:
        """How many versions of bars were left out since this was asked last, because later ones replaced them before the bars' end."""
        if self._versions is None or not self._versions.left_out:
            return 0
        count, self._versions.left_out = self._versions.left_out, 0
        return count

    def take(self, until_us: int) -> RangeRead:
        """All records that are due at `until_us` or before; `due_us` then says when the next one is, None at the end.

        `failure` says why reading can't go on after them, if so.
        """
        first = self._position
        offsets: list[int] = []
        records: list[Bar | Quote | Tick | Undecodable] = []
        unknown: dict[int, tuple[str, ...]] = {}
        while self._head is not None and self.due_us is not None and self.due_us <= until_us:
            offset, record, _, names = self._head
            if names:
                unknown[len(offsets)] = names
            offsets.append(offset)
            records.append(record)
            self._position = offset + 1
            if self.due_us > self.newest_us:
                self.newest_us = self.due_us
                if self.due_us > self._limit_us:
                    self._limit_us = self._end_of_day(self.due_us)
            self._step()
        return RangeRead(self.symbol, self.incarnation, first, self._position, offsets, records, self.stream, unknown or None)

    def close(self) -> None:
        """Read no further."""
        self._opened.close()

    def _step(self) -> None:
        """Stand at the next record."""
        found = self._ahead.popleft() if self._ahead else self._read()
        if isinstance(found, HistoryError):
            self.failure = found
            found = None
        self._head = found
        if found is None:
            self.due_us = None
            return
        record = found[1]
        ends_us = record.end_us if record.__class__ is Bar else ends_us_of(record)
        if ends_us <= self.newest_us or (ends_us > self._limit_us and self._is_stray()):
            ends_us = self.newest_us
        self.due_us = ends_us

    def _read(self) -> Read | HistoryError | None:
        try:
            return next(self._records, None)
        except HistoryError as error:
            return error

    def _is_stray(self) -> bool:
        """Whether most of the next bars that are not behind go on within the day. A bar late by a few is outvoted."""
        within = beyond = 0
        for place in range(LOOK_AHEAD):
            if place == len(self._ahead):
                self._ahead.append(self._read())
            found = self._ahead[place]
            if found is None or isinstance(found, HistoryError):
                break
            ends_us = ends_us_of(found[1])
            if ends_us > self.newest_us:
                within += ends_us <= self._limit_us
                beyond += ends_us > self._limit_us
            if WITNESSES in (within, beyond):
                break
        return within > beyond
