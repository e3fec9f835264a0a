"""The hour that clocks show twice, told apart by the order of the lines.

Where clocks go back, 01:00 and 01:30 come twice. A line alone can't say which of the two it means, but the lines of a symbol
in order can: in `01:00, 01:30, 01:00, 01:30` the times go on only if the first two are of the first pass. What the rule asks
of the times of one symbol (and interval), in the direction in which its other lines run:

- each is later than the one before it (earlier, in a file with the newest first);
- there is one way alone to have it so. Where there are several, as for a single `01:30`, the line is refused.

A line whose pass is open waits for the lines behind it; others go on. Lines of a symbol come out in their order, and with
`in_order` all lines do.

    >>> hours = RepeatedHours[int, Bar](lambda bar: bar.symbol, lambda bar: bar.start_us)
    >>> [bar for line, made in lines for _, bar in hours.take(line, made)] + [bar for _, bar in hours.rest()]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from streams.history.formats.fields import FieldError, R, Repeated

L = TypeVar("L")

_UNORDERED: Final = "and the lines are in no order of time that could tell which"
_OPEN: Final = "and the order of the lines does not tell which"


@dataclass(slots=True, eq=False)
class _Line(Generic[L, R]):
    """A line: where it stands, what it may be, and, once it is settled, what it is."""

    place: L
    made: R | Repeated[R]
    times: tuple[int, ...]
    result: R | FieldError | None = None
    first: int = 0

    def settle(self, time: int) -> None:
        made = self.made
        self.result = made if not isinstance(made, Repeated) else made.earlier if time == self.times[0] else made.later

    def refuse(self, why: str) -> None:
        made = self.made
        self.result = FieldError(made.field, f"{made.wrong}, {why}: {made.right}") if isinstance(made, Repeated) else made


@dataclass(slots=True)
class _Series(Generic[L, R]):
    """The lines of one symbol and interval.

    Attributes:
        slack_us: how far a time may go back without being out of order; below 0, equal times are.
        at_once: settle a line as soon as it can be, and not only at the end of the hour.
        last: the time of the newest settled line.
        direction: 1 with the oldest line first, -1 with the newest first, 0 while that is open.
        is_mixed: times have gone both ways, so their order tells nothing.
        is_spoiled: lines of this repeated hour fit no order, so none of the rest of it does.
        waiting: lines from the first on whose pass is open.
    """

    slack_us: int
    at_once: bool
    last: int | None = None
    direction: int = 0
    is_mixed: bool = False
    is_spoiled: bool = False
    waiting: list[_Line[L, R]] = field(default_factory=list)

    def pass_by(self, time: int) -> None:
        """Go on with a line of one time while nothing waits."""
        last, self.last = self.last, time
        self.is_spoiled = False
        if last is None:
            return
        step = time - last
        if abs(step) <= max(self.slack_us, 0):
            # The same time again: from here on it is no sign of a second pass.
            self.slack_us = max(self.slack_us, 0)
        elif self.direction == 0:
            self.direction = 1 if step > 0 else -1
        elif (step > 0) != (self.direction > 0):
            self.is_mixed = True

    def take(self, line: _Line[L, R]) -> list[_Line[L, R]]:
        """Those lines that are settled with this one, in order."""
        self.waiting.append(line)
        start = len(self.waiting) - 1
        if self.direction == 0:
            self.direction = self._direction(line)
            start = 0
        is_single = len(line.times) == 1
        if self.is_mixed or self.is_spoiled or (self.direction and not self._follow(start)):
            self.is_spoiled = not is_single
            if is_single:
                self.is_mixed, self.last = True, line.times[0]
            return self._refuse_all(_UNORDERED if self.is_mixed else _OPEN)
        if self.direction and (is_single or (self.at_once and line.first == self._ordered(line)[-1])):
            return self._settle(is_end=is_single)
        # Both passes are open to it, and so to those that wait before it; or later lines may show that none can be told.
        return []

    def rest(self) -> list[_Line[L, R]]:
        """All that wait, settled or refused: there are no more lines."""
        if self.waiting and self.direction == 0:
            # Nothing but the repeated hour: its order counts if it fits one direction alone.
            fitting = [direction for direction in (1, -1) if self._fits(direction)]
            if len(fitting) == 1:
                self._fits(fitting[0])
            else:
                self.direction = 0
        return self._settle(is_end=True) if self.direction else self._refuse_all(_OPEN)

    def _direction(self, line: _Line[L, R]) -> int:
        """The direction, by a line outside of the repeated hour: the one before those that wait, or the one behind them."""
        earliest, latest = self.waiting[0].times[0], self.waiting[0].times[-1]
        if self.last is not None and not earliest <= self.last <= latest:
            return 1 if self.last < earliest else -1
        if len(line.times) == 1 and not earliest <= line.times[0] <= latest:
            return 1 if line.times[0] > latest else -1
        return 0

    def _fits(self, direction: int) -> bool:
        slack_us, self.direction = self.slack_us, direction
        fits = self._follow(0)
        if not fits:
            self.slack_us = slack_us
        return fits

    def _ordered(self, line: _Line[L, R]) -> tuple[int, ...]:
        """The times of a line in the direction of the series, as numbers that grow along it."""
        return line.times if self.direction > 0 else tuple(-time for time in reversed(line.times))

    def _follow(self, start: int) -> bool:
        """Give each waiting line the first time that it can have behind the one before it; False if one has none."""
        for place in range(start, len(self.waiting)):
            line = self.waiting[place]
            times = self._ordered(line)
            last = None if self.last is None else self.last * self.direction
            before = self.waiting[place - 1].first if place else last
            first = next((time for time in times if before is None or time >= before - self.slack_us), None)
            if first is None:
                # Where no way is in order, a line may stand there twice: then equal times are no sign of a second pass.
                if self.slack_us >= 0:
                    return False
                self.slack_us = 0
                if self._follow(0):
                    return True
                self.slack_us = -1
                return False
            line.first = first
        return True

    def _settle(self, *, is_end: bool) -> list[_Line[L, R]]:
        """Settle the lines that have one time alone to take; at the end of the hour refuse the others."""
        limit: int | None = None
        for line in reversed(self.waiting):
            limit = max(time for time in self._ordered(line) if limit is None or time <= limit + self.slack_us)
            if line.first == limit:
                line.settle(limit * self.direction)
            elif is_end:
                line.refuse(_OPEN)
        count = next((place for place, line in enumerate(self.waiting) if line.result is None), len(self.waiting))
        settled, self.waiting = self.waiting[:count], self.waiting[count:]
        if settled:
            self.last = settled[-1].first * self.direction
        return settled

    def _refuse_all(self, why: str) -> list[_Line[L, R]]:
        refused, self.waiting = self.waiting, []
        for line in refused:
            if line.result is None:
                line.refuse(why)
        return refused


class RepeatedHours(Generic[L, R]):
    """Settles records of local times, line by line.

    Args:
        key: of which series a record is: lines of one series are in order.
        time: the instant that is in order.
        at_once: settle a line as soon as lines behind it tell its pass, for a pipe, where the end of the hour is far. Without it
            the whole hour is looked at first, so that what contradicts itself later is refused as a whole.
        in_order: give out lines in the order in which they came, across series.
        slack_us: how far a time may go back without being out of order.
    """

    def __init__(
        self,
        key: Callable[[R], Hashable],
        time: Callable[[R], int],
        *,
        at_once: bool = False,
        in_order: bool = False,
        slack_us: int = -1,
    ) -> None:
        self._key: Callable[[R], Hashable] = key
        self._time: Callable[[R], int] = time
        self._at_once = at_once
        self._in_order = in_order
        self._slack_us = slack_us
        self._series: dict[Hashable, _Series[L, R]] = {}
        self._queue: deque[_Line[L, R]] = deque()

    def take(self, place: L, made: R | Repeated[R]) -> Iterator[tuple[L, R | FieldError]]:
        """The records that are settled with this one, each with the place of its line; a `FieldError` for a refused one."""
        one = made.earlier if isinstance(made, Repeated) else made
        key = self._key(one)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(self._slack_us, self._at_once)
        if not isinstance(made, Repeated) and not series.waiting:
            series.pass_by(self._time(made))
            if not self._queue:
                yield place, made
                return
        times = (self._time(made.earlier), self._time(made.later)) if isinstance(made, Repeated) else (self._time(made),)
        line = _Line(place, made, times)
        if len(times) == 1 and not series.waiting:
            line.result = one
            settled = [line]
        else:
            settled = series.take(line)
        yield from self._out(line, settled)

    def rest(self) -> Iterator[tuple[L, R | FieldError]]:
        """What still waits, settled or refused: there are no more lines."""
        settled = [line for series in self._series.values() for line in series.rest()]
        yield from self._out(None, settled)

    def _out(self, line: _Line[L, R] | None, settled: list[_Line[L, R]]) -> Iterator[tuple[L, R | FieldError]]:
        if self._in_order:
            if line is not None:
                self._queue.append(line)
            settled = []
            while self._queue and self._queue[0].result is not None:
                settled.append(self._queue.popleft())
        for one in settled:
            if one.result is not None:
                yield one.place, one.result
