"""Which bars of a source are meant: from and to, by the time of each day or by instants.

    window = TimeWindow.parse("09:30", "16:00", zone=ZoneInfo("America/New_York"))
    regular = [bar for bar in read_lean(path) if window.holds(bar)]

A bar is in when it starts at or after `from` and ends at or before `to`, so that 09:30 to 16:00 of one-minute bars are 390.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from streams.instants import parse_moment, read_instant
from streams.model.records import Bar
from streams.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US, from_us

_TIME_OF_DAY: Final = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?")


@dataclass(frozen=True, slots=True)
class _Bound:
    """A time of day, as microseconds since local midnight, or an instant."""

    value_us: int
    of_day: bool


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From and to, either of which may be missing; times of day are those of `zone`."""

    first: _Bound | None
    last: _Bound | None
    zone: tzinfo

    @classmethod
    def parse(cls, first: str | None, last: str | None, *, zone: tzinfo) -> TimeWindow:
        """A window from texts such as `09:30`, `2013-10-08`, `2013-10-08 09:30` (local) or `2013-10-08T13:30:00Z`.

        Raises:
            ValueError: a text is neither a time of day nor an instant, or the window is empty.
        """
        window = cls(_parse(first, zone), _parse(last, zone), zone)
        if window.first and window.last and window.first.of_day == window.last.of_day and window.first.value_us >= window.last.value_us:
            raise ValueError(f"nothing lies between {first} and {last}: the first must be the earlier one")
        return window

    def holds(self, bar: Bar) -> bool:
        """Whether the bar lies within."""
        return (self.first is None or self._place(bar, self.first) >= self.first.value_us) and (
            self.last is None or self._place(bar, self.last) + bar.end_us - bar.start_us <= self.last.value_us
        )

    def select(self, bars: Iterable[Bar]) -> Iterator[Bar]:
        """Those that lie within."""
        return (bar for bar in bars if self.holds(bar))

    def _place(self, bar: Bar, bound: _Bound) -> int:
        if not bound.of_day:
            return bar.start_us
        local = from_us(bar.start_us).astimezone(self.zone)
        return local.hour * HOUR_US + local.minute * MINUTE_US + local.second * SECOND_US + local.microsecond


def _parse(text: str | None, zone: tzinfo) -> _Bound | None:
    if text is None:
        return None
    match = _TIME_OF_DAY.fullmatch(text.strip())
    if match is None:
        return _Bound(_instant(text.strip(), zone), of_day=False)
    value_us = int(match[1]) * HOUR_US + int(match[2]) * MINUTE_US + int(match[3] or 0) * SECOND_US
    if value_us > DAY_US:
        raise ValueError(f"{text!r} is no time of day: write 00:00 to 24:00")
    return _Bound(value_us, of_day=True)


def _instant(text: str, zone: tzinfo) -> int:
    try:
        parse_moment(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a time of day such as 09:30 nor an instant such as 2013-10-08T13:30:00Z") from None
    return read_instant(text, zone)
