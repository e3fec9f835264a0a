"""Where bars of one series are missing, kept as bars come, so that nobody has to walk over them to count.

A hole is a maximal run of slots without a bar, before the newest bar; what is missing after it follows from the calendar and the
instant that is asked about. A bar that begins where the one before ended changes nothing, so it costs nothing; one further on
leaves a hole behind, a late one fills a part of one. A slot where a source has no bar either is confirmed empty: it is absent
like the others, and neither missing nor expected.

The invariant: holes stand in order, none touches another, and each is as long as it can be.

    expected = present + missing,  missing = absent - confirmed,  present = ended slots - absent
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from msgspec import Struct

from streams.engine.state.slots import Slots


class Completeness(Struct, frozen=True):
    """How many bars of an interval there should be, how many of those are there, and how many runs of missing ones there are."""

    expected: int
    present: int
    gaps: int

    @property
    def missing(self) -> int:
        """How many are not there."""
        return self.expected - self.present

    @property
    def quality(self) -> float | None:
        """Present of expected in percent; None before anything is expected."""
        return 100.0 * self.present / self.expected if self.expected else None


class Ranges:
    """Runs of slot numbers `[first, after)` in order, none touching another: what is confirmed empty."""

    __slots__ = ("_afters", "_before", "_firsts")

    def __init__(self, runs: list[tuple[int, int]]) -> None:
        self._firsts = [first for first, _ in runs]
        self._afters = [after for _, after in runs]
        self._before: list[int] = []
        count = 0
        for first, after in runs:
            self._before.append(count)
            count += after - first

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._afters, strict=True))

    def count(self, first: int, after: int) -> int:
        """How many numbers of `[first, after)` are in a run."""
        return self._below(after) - self._below(first) if self._firsts else 0

    def _below(self, number: int) -> int:
        place = bisect_right(self._firsts, number) - 1
        return 0 if place < 0 else self._before[place] + min(number, self._afters[place]) - self._firsts[place]

    def next_outside(self, number: int) -> int:
        """The first number from `number` on that is in no run."""
        place = bisect_right(self._firsts, number) - 1
        return max(number, self._afters[place]) if place >= 0 else number

    def last_outside(self, number: int) -> int:
        """The last number up to `number` that is in no run."""
        place = bisect_right(self._firsts, number) - 1
        return self._firsts[place] - 1 if place >= 0 and number < self._afters[place] else number


_NONE = Ranges([])


class Holes:
    """The holes of one series. `newest_us` in its questions is the start of the series' newest bar, None without any.

    `absent` is how many slots before that bar have none.
    """

    __slots__ = ("_afters", "_confirmed", "_empty", "_firsts", "_gaps", "absent", "slots")

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._firsts: list[int] = []
        self._afters: list[int] = []
        self._empty = _NONE
        self.absent = self._confirmed = self._gaps = 0

    def confirm(self, empty: Ranges) -> None:
        """Where, of the whole day, a source has no bars either: instead of what was known of that."""
        self._empty = empty
        self._confirmed = self._gaps = 0
        for first, after in zip(self._firsts, self._afters, strict=True):
            confirmed = empty.count(first, after)
            self._confirmed += confirmed
            self._gaps += confirmed < after - first

    def passed(self, newest_us: int | None, start_us: int) -> None:
        """A bar has come beyond the newest one."""
        first = 0 if newest_us is None else self.slots.through(newest_us)
        after = self.slots.before(start_us)
        if first < after:
            self._firsts.append(first)
            self._afters.append(after)
            self._count(first, after, 1)

    def filled(self, start_us: int) -> None:
        """A bar has come before the newest one, or in the place of one."""
        number = self.slots.before(start_us)
        if self.slots.through(start_us) == number:
            return  # it lies where none is expected
        place = bisect_right(self._firsts, number) - 1
        if place < 0 or number >= self._afters[place]:
            return
        first, after = self._firsts[place], self._afters[place]
        parts = [part for part in ((first, number), (number + 1, after)) if part[0] < part[1]]
        self._firsts[place : place + 1] = [part[0] for part in parts]
        self._afters[place : place + 1] = [part[1] for part in parts]
        self._count(first, after, -1)
        for part in parts:
            self._count(*part, 1)

    def _count(self, first: int, after: int, sign: int) -> None:
        confirmed = self._empty.count(first, after)
        self.absent += sign * (after - first)
        self._confirmed += sign * confirmed
        self._gaps += sign * (confirmed < after - first)

    def completeness(self, newest_us: int | None, now_us: int) -> Completeness:
        """What should be there at an instant, and is. Bars and holes that end after it are not counted."""
        ended = self.slots.ended(now_us)
        absent, confirmed, gaps = self.absent, self._confirmed, self._gaps
        reached = 0 if newest_us is None else self.slots.through(newest_us)
        if reached < ended:
            empty = self._empty.count(reached, ended)
            absent, confirmed, gaps = absent + ended - reached, confirmed + empty, gaps + (empty < ended - reached)
        for place in range(len(self._afters) - 1, -1, -1):
            first, after = self._firsts[place], self._afters[place]
            if after <= ended:
                break
            cut = max(first, ended)
            empty, kept = self._empty.count(cut, after), self._empty.count(first, cut)
            absent, confirmed = absent - (after - cut), confirmed - empty
            gaps += (kept < cut - first) - (empty + kept < after - first)
        missing = absent - confirmed
        return Completeness(ended - confirmed, ended - confirmed - missing, gaps)

    def gaps(self, newest_us: int | None, now_us: int) -> Iterator[tuple[int, int, int]]:
        """Start, end and number of missing bars of each gap at an instant, in order."""
        ended = self.slots.ended(now_us)
        reached = 0 if newest_us is None else self.slots.through(newest_us)
        for first, after in (*zip(self._firsts, self._afters, strict=True), (reached, max(reached, ended))):
            until = min(after, ended)
            if first >= until:
                continue
            count = until - first - self._empty.count(first, until)
            if count:
                first_missing, last_missing = self._empty.next_outside(first), self._empty.last_outside(until - 1)
                yield self.slots.start_of(first_missing), self.slots.end_of(last_missing), count


def windows_within(base_runs: Ranges, base: Slots, windows: Slots) -> Ranges:
    """The windows of a derived interval all of whose base slots lie in one of the runs."""
    found: list[tuple[int, int]] = []
    for first, after in base_runs:
        begin, end = windows.before(base.start_of(first)), windows.through(base.start_of(after - 1))
        if begin < end and base.starting_before(windows.start_of(begin)) < first:
            begin += 1
        if begin < end and base.starting_before(windows.end_of(end - 1)) > after:
            end -= 1
        if begin < end:
            found.append((begin, end))
    return Ranges(found)
