"""The slots of one interval on one trading day, numbered: where bars are to be expected, breaks of the exchange left out.

Slot 0 begins at the open, the one after the last before a break is the first after it, so that a run of missing bars is a
run of numbers whatever lies between. A slot is expected when trading goes on somewhere in it: of a base interval in the slot
itself, of a derived one where a base bar starts in it. All questions are answered by arithmetic over the day's few segments.
"""

from __future__ import annotations

from bisect import bisect_right

from streams.engine.state.grid import Grid
from streams.times import DAY_US


class Slots:
    """The expected slots of a grid, from 0 to `total - 1`."""

    __slots__ = ("_close_us", "_grid", "_spans", "total")

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._close_us = grid.day.close_us
        # Stretches of neighbouring slots: the numbers of the first and the last one in the grid, and the first's number here.
        self._spans: list[tuple[int, int, int]] = []
        self.total = 0
        for first, last in self._stretches():
            if first <= last:
                self._spans.append((first, last, self.total))
                self.total += last - first + 1

    def _stretches(self) -> list[tuple[int, int]]:
        """First and last slot of each segment; a slot that reaches into two segments is the first one's."""
        day, number_of = self._grid.day, self._grid.number_of
        if self._grid.base_us >= DAY_US:
            return [(0, 0)]
        base_start_of = self._grid.base().start_of
        found: list[tuple[int, int]] = []
        for open_us, close_us in day.segments:
            first_base_us = max(base_start_of(open_us), day.open_us)
            first = number_of(first_base_us)
            last = number_of(max(base_start_of(close_us - 1), first_base_us))
            found.append((max(first, found[-1][1] + 1) if found else first, last))
        return found

    def _start_at(self, index: int) -> int:
        return self._grid.start_at(self._grid.origin_us + index * self._grid.width_us)

    def _count_before(self, index: int) -> int:
        for first, last, number in self._spans:
            if index <= first:
                return number
            if index <= last:
                return number + index - first
        return self.total

    def starting_before(self, instant_us: int) -> int:
        """How many slots start before the instant."""
        return self._count_before(self._grid.number_of(instant_us - 1) + 1) if instant_us > self._grid.first_us else 0

    def ended(self, now_us: int) -> int:
        """How many slots have ended by `now_us`."""
        return self.total if now_us >= self._close_us else self._count_before(self._grid.number_of(now_us))

    def before(self, start_us: int) -> int:
        """How many slots lie before the one that a bar with this start falls into."""
        return self._count_before(self._grid.number_of(start_us))

    def through(self, start_us: int) -> int:
        """How many slots lie up to the one that a bar with this start falls into, that one included."""
        return self._count_before(self._grid.number_of(start_us) + 1)

    def start_of(self, number: int) -> int:
        """Start of a slot."""
        place = bisect_right(self._spans, number, key=lambda span: span[2]) - 1
        first, _, first_number = self._spans[place]
        return self._start_at(first + number - first_number)

    def end_of(self, number: int) -> int:
        """End of a slot."""
        return self._grid.end_of(self.start_of(number))
