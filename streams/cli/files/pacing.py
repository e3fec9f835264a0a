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

from streams.model.records import Bar, Quote, Tick, known_us


@dataclass(slots=True)
class Survey:
    """What lies in a source: how many records, in all and by symbol, the intervals, the first and the last end, the longest bar."""

    count: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    intervals: dict[str, set[str]] = field(default_factory=dict)
    first_end_us: int = 0
    last_end_us: int = 0
    longest_us: int = 1

    @classmethod
    def of(cls, records: Iterable[Bar | Quote | Tick]) -> Survey:
        """Look at each record once."""
        survey = cls()
        for record in records:
            survey.add(record)
        return survey

    def add(self, record: Bar | Quote | Tick) -> None:
        """Take one record in; what is no bar ends at its time."""
        end_us = known_us(record)
        if not self.counts:
            self.first_end_us = self.last_end_us = end_us
        self.count += 1
        self.counts[record.symbol] = self.counts.get(record.symbol, 0) + 1
        self.first_end_us = min(self.first_end_us, end_us)
        self.last_end_us = max(self.last_end_us, end_us)
        if isinstance(record, Bar):
            self.intervals.setdefault(record.symbol, set()).add(record.interval)
            self.longest_us = max(self.longest_us, end_us - record.start_us)


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

    def due_us(self, record: Bar | Quote | Tick) -> int:
        """When the record, not yet moved, is to be sent; in the past when it is due at once."""
        if self.speed is None:
            return self.anchor_us
        return self.anchor_us + round((known_us(record) - self.first_end_us) / self.speed)

    def moved(self, record: Bar | Quote | Tick) -> Bar | Quote | Tick:
        """The record in its new place."""
        if not self.shift_us:
            return record
        if isinstance(record, Bar):
            return msgspec.structs.replace(record, start_us=record.start_us + self.shift_us, end_us=record.end_us + self.shift_us)
        return msgspec.structs.replace(record, time_us=record.time_us + self.shift_us)
