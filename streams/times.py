"""Instants, intervals, and the only place in the project that reads a clock.

Inside, an instant is an `int`: microseconds since 1970-01-01 UTC, in names that end in `_us`. Public functions take
and give aware `datetime`s; a naive one is a `ValueError`, because nobody can know what it meant. An interval is a
name such as `1m`; `interval_us` gives its length.

    >>> to_us(datetime(2013, 10, 7, 13, 30, tzinfo=UTC))
    1381152600000000
    >>> interval_us("5m")
    300000000
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DATE: Final = date(1970, 1, 1)
_INTERVAL: Final = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_UNIT_US: Final = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime.

    Raises:
        ValueError: the datetime has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError(
            f"{instant.isoformat()} has no time zone, so it names no instant: write {instant.isoformat()}Z or {instant.isoformat()}-05:00"
        )
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND_US + delta.microseconds


def from_us(instant_us: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=instant_us)


def parse_instant(text: str) -> int:
    """Microseconds of an ISO 8601 instant such as `2013-10-07T13:30:00Z`.

    Raises:
        ValueError: not ISO 8601, or without a zone.
    """
    try:
        parsed = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is no instant: write one such as 2013-10-07T13:30:00Z") from None
    return to_us(parsed)


def iso(instant_us: int) -> str:
    """`2013-10-07T13:30:00Z`: the shortest ISO 8601 text that loses nothing."""
    text = from_us(instant_us).isoformat()
    return text.removesuffix("+00:00") + "Z"


def days_of(day: date) -> int:
    """Days since 1970-01-01, the wire's form of a date."""
    return (day - _EPOCH_DATE).days


def date_of_days(days: int) -> date:
    """The date that lies `days` after 1970-01-01."""
    return _EPOCH_DATE + timedelta(days=days)


def interval_us(name: str) -> int:
    """Length in microseconds of an interval such as `1s`, `5m`, `1h` or `1d`.

    Raises:
        ValueError: not an interval.
    """
    match = _INTERVAL.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no interval: write a number and s, m, h or d, such as 1s, 5m or 1h")
    return int(match[1]) * _UNIT_US[match[2]]


class Clock(Protocol):
    """Where a shell gets `now` from. Injected, so that a test can hold time still."""

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines and durations."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to: for tests, and for replays."""

    def __init__(self, now_us: int = 0) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """The instant that was set last."""
        return self._now_us

    def monotonic(self) -> float:
        """Seconds that follow the set instant."""
        return self._now_us / SECOND_US

    def set_us(self, now_us: int) -> None:
        """Stand at `now_us`."""
        self._now_us = now_us

    def advance_seconds(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._now_us += round(seconds * SECOND_US)
