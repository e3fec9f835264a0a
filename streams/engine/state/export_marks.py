"""How far a symbol's bars have been exported: a mark for each series, and what export of the new is under way.

A mark says that the bars up to a start are exported, but for stretches whose bars came late or changed since. `begin` freezes
what is new under the next number; what comes or changes from then on is noted for the export after it. `end` moves the marks.
So each version of a bar is in one export, and a correction in a later one, whenever the exporter is stopped in between.

A day that is over is followed as long as it has marks, which it has from when it was the symbol's day. It is kept in `days`
when it is no longer among the trailing days and an export lacks bars of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from streams.engine.state.series import BarSeries
from streams.model.records import SessionBar
from streams.model.rows import ExportRow, MarkRow, StretchRow
from streams.times import interval_us

MOST_STRETCHES: Final = 256
"""How many stretches a mark has at most; then those with the least between them become one, and bars in between are exported again."""
MOST_OF_ALL: Final = 4_000
"""How many stretches all marks share, where they are many: all of them stand in one row, for which Kafka has a million bytes."""

_NOTHING_US: Final = -1

SeriesKey = tuple[int, str]
"""A trading day and an interval."""


class Mark:
    """Bars of one series that start at `exported_to_us` or before are exported, but those in the stretches."""

    __slots__ = ("_ends", "_starts", "exported_to_us")

    def __init__(self, exported_to_us: int = _NOTHING_US, stretches: Iterable[StretchRow] = ()) -> None:
        self.exported_to_us = exported_to_us
        self._starts: list[int] = []
        self._ends: list[int] = []
        for stretch in stretches:
            self._starts.append(stretch.start_us)
            self._ends.append(stretch.end_us)

    @property
    def stretches(self) -> tuple[StretchRow, ...]:
        """The stretches that are to be exported again, in order; a bar lies in one that holds its start."""
        return tuple([StretchRow(start_us, end_us) for start_us, end_us in zip(self._starts, self._ends, strict=True)])

    @property
    def has_stretches(self) -> bool:
        """Whether there is any."""
        return bool(self._starts)

    def holds(self, start_us: int) -> bool:
        """Whether the bar that starts there lies in one of the stretches."""
        place = bisect_right(self._starts, start_us)
        return place > 0 and start_us < self._ends[place - 1]

    def note(self, start_us: int, end_us: int, most: int | None = None) -> bool:
        """Put a bar's extent among the stretches, which are `most` at most; False when it is there already."""
        starts, ends = self._starts, self._ends
        place = bisect_right(starts, start_us)
        if place and start_us < ends[place - 1]:
            return False
        follows = place > 0 and ends[place - 1] == start_us
        leads = place < len(starts) and starts[place] == end_us
        if follows and leads:
            ends[place - 1] = ends.pop(place)
            del starts[place]
        elif follows:
            ends[place - 1] = end_us
        elif leads:
            starts[place] = start_us
        else:
            starts.insert(place, start_us)
            ends.insert(place, end_us)
            while len(starts) > (most or MOST_STRETCHES):
                self._join_nearest()
        return True

    def _join_nearest(self) -> None:
        starts, ends = self._starts, self._ends
        nearest = min(range(1, len(starts)), key=lambda place: starts[place] - ends[place - 1])
        ends[nearest - 1] = ends.pop(nearest)
        del starts[nearest]

    def take_stretches(self) -> tuple[StretchRow, ...]:
        """The stretches, which are let go."""
        taken = self.stretches
        self._starts, self._ends = [], []
        return taken


class Exports:
    """The marks of one symbol. `changed` says that they differ from what was written last."""

    __slots__ = ("changed", "days", "done", "is_pending", "number", "pending")

    def __init__(self) -> None:
        self.number = 0
        self.is_pending = False
        self.done: dict[SeriesKey, Mark] = {}
        self.pending: dict[SeriesKey, Mark] = {}
        self.days: dict[int, dict[str, BarSeries]] = {}
        self.changed = False

    @classmethod
    def restored(cls, row: ExportRow) -> Exports:
        """The marks of a row."""
        exports = cls()
        exports.number, exports.is_pending = row.number, row.is_pending
        exports.done, exports.pending = (
            {(mark.trading_days, mark.interval): Mark(mark.exported_to_us, mark.changed) for mark in marks}
            for marks in (row.done, row.pending)
        )
        return exports

    def row(self, symbol: str, incarnation: int) -> ExportRow:
        """The marks as they are stored."""
        return ExportRow(symbol, incarnation, self.number, self.is_pending, _mark_rows(self.done), _mark_rows(self.pending))

    def note(self, days: int, interval: str, bar: SessionBar) -> None:
        """A bar has come behind later ones, or has replaced another: if exports are past it, it is for the next one."""
        key = (days, interval)
        mark = self.done.get(key)
        if mark is None:
            return
        most = max(1, min(MOST_STRETCHES, MOST_OF_ALL // len(self.done)))
        if bar.start_us <= self.pending.get(key, mark).exported_to_us and mark.note(bar.start_us, bar.end_us, most):
            self.changed = True

    def begin(self, series: Iterable[tuple[SeriesKey, BarSeries]]) -> None:
        """Freeze what is new in these series under the next number; without anything new nothing is begun."""
        for key, bars in series:
            last, mark = bars.last(), self.done.get(key)
            if last is None or (mark is not None and last.start_us <= mark.exported_to_us and not mark.has_stretches):
                continue
            if mark is None:
                mark = self.done[key] = Mark()
            self.pending[key] = Mark(max(last.start_us, mark.exported_to_us), mark.take_stretches())
        if self.pending:
            self.number += 1
            self.is_pending = self.changed = True

    def end(self) -> None:
        """The export that is under way is done."""
        for key, mark in self.pending.items():
            self.done[key].exported_to_us = mark.exported_to_us
        self.pending = {}
        self.is_pending = False
        self.changed = True

    def follow(self, days: int, intervals: Iterable[str]) -> None:
        """The symbol leaves its day: from here on only what has a mark belongs to exports."""
        for interval in intervals:
            if (days, interval) not in self.done:
                self.done[days, interval] = Mark()
                self.changed = True

    def lacks(self, days: int, by_interval: Mapping[str, BarSeries]) -> bool:
        """Whether a day that is followed has bars that are not exported."""
        return any(self._lacks_of((days, interval), series) for interval, series in by_interval.items())

    def _lacks_of(self, key: SeriesKey, series: BarSeries) -> bool:
        mark, pending = self.done.get(key), self.pending.get(key)
        if mark is None:
            return False
        last = series.last()
        return (
            mark.has_stretches
            or (pending is not None and pending.has_stretches)
            or (last is not None and last.start_us > mark.exported_to_us)
        )

    def count_new(self, key: SeriesKey, series: BarSeries) -> int:
        """How many bars of a series are not exported."""
        mark, pending = self.done.get(key), self.pending.get(key)
        if mark is None:
            return len(series)
        return sum(
            1
            for start_us in series.starts()
            if start_us > mark.exported_to_us or mark.holds(start_us) or (pending is not None and pending.holds(start_us))
        )

    def forget(self, days: int, interval: str | None = None) -> None:
        """Let go of the marks of a day, or of one of its intervals."""
        for marks in (self.done, self.pending):
            for key in [key for key in marks if key[0] == days and interval in (None, key[1])]:
                del marks[key]
                self.changed = True

    def bars(self, key: SeriesKey, series: BarSeries) -> Iterator[SessionBar]:
        """The bars of a series that the export under way holds, in order: not those which have changed since it was begun."""
        mark, pending = self.done.get(key), self.pending.get(key)
        if mark is None or pending is None:
            return
        stretches = [(stretch.start_us, stretch.end_us) for stretch in pending.stretches]
        for from_us, to_us in (*stretches, (mark.exported_to_us + 1, pending.exported_to_us + 1)):
            for bar in series.between(from_us, to_us):
                if not mark.holds(bar.start_us):
                    yield bar


def by_day_and_length(key: SeriesKey) -> tuple[int, int]:
    """Sort key: the order of series."""
    return key[0], interval_us(key[1])


def _mark_rows(marks: Mapping[SeriesKey, Mark]) -> tuple[MarkRow, ...]:
    ordered = sorted(marks, key=by_day_and_length)
    return tuple(
        [MarkRow(interval, days, marks[days, interval].exported_to_us, marks[days, interval].stretches) for days, interval in ordered]
    )
