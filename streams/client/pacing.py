"""When a past bar is sent, and what time it then claims to be of.

Sending old bars at `speed` times real time, and rebasing them so that a session takes them for today's, are one
calculation. The invariant: no bar is sent before its (rebased) end, so none comes from the future, and a shift is a
whole number of intervals, so a bar stays aligned. Rebased at speed 1 the first bar ends now and the others follow in real
time; at `max` the last one ends now; in between the feed lags at first and has caught up at its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from streams.records import Bar


@dataclass(slots=True)
class Survey:
    """What lies in a source: how many bars, in all and by symbol, the intervals, the first and the last end, the longest bar."""

    count: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    intervals: dict[str, set[str]] = field(default_factory=dict)
    first_end_us: int = 0
    last_end_us: int = 0
    longest_us: int = 1

    @classmethod
    def of(cls, bars: Iterable[Bar]) -> Survey:
        """Look at each bar once."""
        survey = cls()
        for bar in bars:
            survey.add(bar)
        return survey

    def add(self, bar: Bar) -> None:
        """Take one bar in."""
        if not self.counts:
            self.first_end_us = self.last_end_us = bar.end_us
        self.count += 1
        self.counts[bar.symbol] = self.counts.get(bar.symbol, 0) + 1
        self.intervals.setdefault(bar.symbol, set()).add(bar.interval)
        self.first_end_us = min(self.first_end_us, bar.end_us)
        self.last_end_us = max(self.last_end_us, bar.end_us)
        self.longest_us = max(self.longest_us, bar.end_us - bar.start_us)


@dataclass(frozen=True, slots=True)
class Pace:
    """A plan: by how much bars are moved, and when each is due; `speed` is `None` for as fast as possible."""

    speed: float | None
    shift_us: int
    anchor_us: int
    first_end_us: int

    @classmethod
    def plain(cls, *, first_end_us: int, speed: float | None, now_us: int) -> Pace:
        """Bars as they are, the first of them now."""
        return cls(speed, 0, now_us, first_end_us)

    @classmethod
    def rebased(cls, survey: Survey, *, speed: float | None, now_us: int) -> Pace:
        """Bars moved to now, as the module says."""
        span_us = survey.last_end_us - survey.first_end_us
        if speed is not None and speed < 1:
            exact_us = now_us - survey.first_end_us
        else:
            exact_us = now_us + (round(span_us / speed) if speed is not None else 0) - survey.last_end_us
        rest_us = exact_us % survey.longest_us
        # The first bar is due in the past by what alignment takes, so that the others are sent at their very end.
        return cls(speed, exact_us - rest_us, now_us - rest_us, survey.first_end_us)

    def due_us(self, bar: Bar) -> int:
        """When the bar, not yet moved, is to be sent; in the past when it is due at once."""
        if self.speed is None:
            return self.anchor_us
        return self.anchor_us + round((bar.end_us - self.first_end_us) / self.speed)

    def moved(self, bar: Bar) -> Bar:
        """The bar in its new place."""
        if not self.shift_us:
            return bar
        return msgspec.structs.replace(bar, start_us=bar.start_us + self.shift_us, end_us=bar.end_us + self.shift_us)
