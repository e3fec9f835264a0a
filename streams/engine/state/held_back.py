"""Runs of bars that were not published: exact counts, so that every accepted bar is somewhere.

A run belongs to one symbol, incarnation and interval. It grows with each bar that is held back and ends when a
`held_back` record says what it held: what is on analysis, what those records count and what the open runs count is
every accepted bar. The same shape serves for stretches that await their `revised` record.
"""

from __future__ import annotations

from streams.model.records import Extent
from streams.model.rows import RunRow
from streams.times import interval_us


class Run:
    """`count` bars within `[first_start_us, last_end_us)`; the cause is that of the first."""

    __slots__ = ("cause", "count", "first_start_us", "last_end_us")

    def __init__(self, cause: str, first_start_us: int, last_end_us: int, count: int) -> None:
        self.cause = cause
        self.first_start_us = first_start_us
        self.last_end_us = last_end_us
        self.count = count


class Runs:
    """The open runs of one symbol, by interval."""

    __slots__ = ("_by_interval",)

    def __init__(self) -> None:
        self._by_interval: dict[str, Run] = {}

    def __bool__(self) -> bool:
        return bool(self._by_interval)

    def add(self, interval: str, cause: str, start_us: int, end_us: int) -> None:
        """Count one more bar into the interval's run."""
        run = self._by_interval.get(interval)
        if run is None:
            self._by_interval[interval] = Run(cause, start_us, end_us, 1)
            return
        run.count += 1
        if end_us > run.last_end_us:
            run.last_end_us = end_us
        if start_us < run.first_start_us:
            run.first_start_us = start_us

    def take(self, intervals: frozenset[str] | None = None) -> list[tuple[str, Extent]]:
        """End the runs (of `intervals`, or all) and give what they held, shortest interval first."""
        chosen = [interval for interval in self._by_interval if intervals is None or interval in intervals]
        taken = []
        for interval in sorted(chosen, key=interval_us):
            run = self._by_interval.pop(interval)
            taken.append((interval, Extent(run.cause, run.first_start_us, run.last_end_us, run.count)))
        return taken

    def intervals(self) -> frozenset[str]:
        """The intervals that have a run."""
        return frozenset(self._by_interval)

    def count(self) -> int:
        """How many bars are in open runs."""
        return sum(run.count for run in self._by_interval.values())

    def rows(self) -> tuple[RunRow, ...]:
        """The runs as they are stored."""
        return tuple(
            RunRow(interval, run.cause, run.first_start_us, run.last_end_us, run.count) for interval, run in self._by_interval.items()
        )

    def restore(self, rows: tuple[RunRow, ...]) -> None:
        """Take over the runs from their rows."""
        self._by_interval = {row.interval: Run(row.cause, row.first_start_us, row.last_end_us, row.count) for row in rows}
