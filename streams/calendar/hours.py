"""Windows of trading hours in exchange local time: parsed and checked once, for the config and for the calendar.

A window belongs to the date of its open, or to the one after it: `("18:00 previous day", "17:00")` opens on the evening
before its trading date. A close is the first such time after the open, so `("18:00", "17:00")` lasts 23 hours and ends on the next
date, and `("00:00", "00:00")`, like `("00:00", "24:00")`, is the whole day. Invariant of what `parse_windows` returns: at least one
window, in order, none overlapping another, and the last one over before the first opens again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

from streams.times import DAY_US, SECOND_US, date_of_days, to_us

DAY_SECONDS: Final = 86_400

OpenClose = tuple[str, str]
Windows = OpenClose | Sequence[OpenClose]
Hours = str | Windows
"""`regular`, the name of a preset (`streams.calendar.presets`), or windows."""
DayOverride = Literal["closed"] | Windows

Segments = tuple[tuple[int, int], ...]
"""Stretches `[open_us, close_us)` of one trading day, in order."""

Offsets = tuple[tuple[int, int], ...]
"""How far a clock is ahead of UTC, in microseconds: `(from when on, how far)`, in order."""

PREVIOUS_DAY: Final = " previous day"

_MICROSECOND: Final = timedelta(microseconds=1)
_TIME: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?")


class Window(Struct, frozen=True):
    """Seconds after local midnight of the window's date: below 0 on the evening before, 86,400 and more after the next midnight."""

    open_seconds: int
    close_seconds: int


def _seconds(text: str) -> int:
    match = _TIME.fullmatch(text)
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0) if match else DAY_SECONDS + 1
    if seconds > DAY_SECONDS:
        raise ValueError(
            f"{text!r} is no time of day: write hours and minutes such as 09:30, at most 24:00, "
            "or such as 18:00 previous day for the evening before the date"
        )
    return seconds


def parse_window(opens: str, closes: str) -> Window:
    """The window from `opens` to `closes`, both `HH:MM` or `HH:MM:SS` in exchange local time, with or without ` previous day`.

    Raises:
        ValueError: not a time of day, an open at 24:00, or a close on the day before the open's.
    """
    open_seconds, close_seconds = _seconds(opens.removesuffix(PREVIOUS_DAY)), _seconds(closes.removesuffix(PREVIOUS_DAY))
    if open_seconds == DAY_SECONDS:
        raise ValueError("a window can't open at 24:00: write 00:00 of the next date")
    if close_seconds <= open_seconds:
        close_seconds += DAY_SECONDS
    if opens.endswith(PREVIOUS_DAY):
        open_seconds, close_seconds = open_seconds - DAY_SECONDS, close_seconds - DAY_SECONDS
    if closes.endswith(PREVIOUS_DAY) and (close_seconds > 0 or not opens.endswith(PREVIOUS_DAY)):
        raise ValueError(f"a window that opens {opens} can't close {closes}: that is before it opens")
    return Window(open_seconds, close_seconds)


def parse_windows(windows: Windows) -> tuple[Window, ...]:
    """One window or a list of them, checked against each other.

    Raises:
        ValueError: not a time of day, no window at all, windows out of order or overlapping.
    """
    pairs: Sequence[OpenClose] = [(windows[0], windows[1])] if _is_one(windows) else windows  # type: ignore[assignment,list-item]
    if not pairs:
        raise ValueError('a list of windows must not be empty: name at least one, or write "closed" for a date')
    parsed = tuple(parse_window(opens, closes) for opens, closes in pairs)
    for index, (before, after) in enumerate(pairwise(parsed)):
        if after.open_seconds < before.close_seconds:
            raise ValueError(f"the window that opens {pairs[index + 1][0]} begins before the one that closes {pairs[index][1]} is over")
    if parsed[-1].close_seconds - DAY_SECONDS > parsed[0].open_seconds:
        raise ValueError(f"the last window closes {pairs[-1][1]} on the next date, after the first one has opened again at {pairs[0][0]}")
    return parsed


def _is_one(windows: Windows) -> bool:
    return len(windows) == 2 and isinstance(windows[0], str)


def local_us(zone: tzinfo, days: int, seconds: int) -> int:
    """The instant that a clock in `zone` shows `seconds` after midnight of the date `days` since the epoch.

    An hour that a clock change leaves out moves forward with the clock; of one that comes twice the first counts.
    """
    fixed = zone.utcoffset(None)
    if fixed is not None:  # the clock never changes: the thousands of days of a calendar need no arithmetic with dates
        return days * DAY_US + seconds * SECOND_US - fixed // _MICROSECOND
    midnight = datetime.combine(date_of_days(days), datetime.min.time())
    return to_us((midnight + timedelta(seconds=seconds)).replace(tzinfo=zone))


def offsets_between(zone: tzinfo, from_us: int, to_us: int) -> Offsets:
    """How far a clock in `zone` is ahead of UTC from one instant to another, in which it is changed once at most."""

    def ahead_us(second: int) -> int:
        ahead = datetime.fromtimestamp(second, zone).utcoffset() or timedelta()
        return round(ahead.total_seconds()) * SECOND_US

    first, last = from_us // SECOND_US, to_us // SECOND_US
    before_us, after_us = ahead_us(first), ahead_us(last)
    if before_us == after_us:
        return ((from_us, before_us),)
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (middle, last) if ahead_us(middle) == before_us else (first, middle)
    return (from_us, before_us), (last * SECOND_US, after_us)


def segments_on(zone: tzinfo, days: int, windows: Sequence[Window]) -> Segments:
    """The windows of one date as instants; a clock change can shift or shorten one, or leave nothing of it."""
    segments: list[tuple[int, int]] = []
    for window in windows:
        open_us, close_us = local_us(zone, days, window.open_seconds), local_us(zone, days, window.close_seconds)
        if segments:
            open_us = max(open_us, segments[-1][1])
        if open_us < close_us:
            segments.append((open_us, close_us))
    return tuple(segments)
