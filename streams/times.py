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
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol

from msgspec import Struct

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


def interval_name(length_us: int) -> str:
    """The name of an interval of whole seconds, such as `5m`, in the largest unit that fits.

    Raises:
        ValueError: no interval has this length.
    """
    for unit, unit_us in reversed(_UNIT_US.items()):
        if length_us > 0 and length_us % unit_us == 0 and length_us // unit_us <= 99_999:
            return f"{length_us // unit_us}{unit}"
    raise ValueError(f"{length_us} microseconds are no interval of whole seconds")


class Clock(Protocol):
    """Where a shell gets `now` from. Injected, so that a test can hold time still."""

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines and durations."""
        ...

    def is_certain(self) -> bool:
        """Whether `now_us` can be relied on: no while a leap of the wall clock is in doubt."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def is_certain(self) -> bool:
        """It is taken as it is."""
        return True


LEAP_SECONDS: Final = 2.0
"""A wall clock that gets further off than this between two readings has leapt: what keeps a clock right moves it by less."""
DOUBT_SECONDS: Final = 10.0
"""How long a leap must have stayed before it is believed."""


class Leap(Struct, frozen=True):
    """What became of a leap of the wall clock by `seconds`, against the time that passed."""

    seconds: float
    is_believed: bool | None
    """None while it is in doubt; then whether it stayed, or the clock came back."""
    is_contradicted: bool = False
    """It stayed, and is not believed, since other clocks say otherwise."""


class SteadyClock:
    """The machine's clock, whose leaps are believed only once they have stayed.

    A wall clock that leaps by mistake, if only for a moment, must not send a session into another day: its time never goes
    back. So the wall clock is held against one that counts the time that passes. What both agree on is believed at once: a
    machine that slept, a process that was paused. A wall clock that goes off by more than `LEAP_SECONDS` (it was set, or the
    whole virtual machine stood still) is in doubt: `now_us` goes on by the time that passed, and `is_certain` says no, until
    the leap has stayed for `DOUBT_SECONDS`, or the clock has come back. Smaller steps are followed as they come. A leap that stays and
    that other clocks contradict (`contradicts`) is not believed for as long as they do: `now_us` goes on by the time that passes.

    Args:
        wall_us: microseconds since the epoch, which may leap.
        elapsed: seconds that never leap, those that the machine slept through included where the system counts them.
        tell: is told what becomes of each leap.
    """

    def __init__(
        self,
        wall_us: Callable[[], int] | None = None,
        elapsed: Callable[[], float] | None = None,
        tell: Callable[[Leap], object] = lambda leap: None,
    ) -> None:
        self._wall_us = SystemClock().now_us if wall_us is None else wall_us
        self._elapsed = _elapsed if elapsed is None else elapsed
        self._tell = tell
        self._offset_us = self._reading()[1]
        self._doubted_us: int | None = None
        self._doubted_since = 0.0
        self._is_contradicted = False
        self._lock = threading.Lock()  # it is read by several threads
        self.contradicts: Callable[[int, int, float], bool] = lambda old_us, new_us, since: False
        """Whether other clocks, read since then, say that the wall clock leapt away from the right time. Given are where it stood and
        where it stands, each minus the time elapsed, and since when the leap is in doubt."""
        self.believed: Callable[[float], object] = lambda since: None
        """Called when a leap that is in doubt since then is believed: the time elapsed may lack what the wall clock has leapt over."""

    def elapsed(self) -> float:
        """Seconds that passed since the machine's start; they never leap."""
        return self._elapsed()

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch, without the leaps that are in doubt."""
        with self._lock:
            return self._now_us()

    def _now_us(self) -> int:
        elapsed, offset_us = self._reading()
        leap_us = offset_us - self._offset_us
        if abs(leap_us) <= LEAP_SECONDS * SECOND_US:
            if self._doubted_us is not None:
                self._tell(Leap((self._doubted_us - self._offset_us) / SECOND_US, False))
            self._offset_us, self._doubted_us, self._is_contradicted = offset_us, None, False
        elif self._doubted_us is None or abs(offset_us - self._doubted_us) > LEAP_SECONDS * SECOND_US:
            self._doubted_us, self._doubted_since, self._is_contradicted = offset_us, elapsed, False
            self._tell(Leap(leap_us / SECOND_US, None))
        elif elapsed - self._doubted_since >= DOUBT_SECONDS:
            if self.contradicts(self._offset_us, offset_us, self._doubted_since):
                if not self._is_contradicted:
                    self._tell(Leap(leap_us / SECOND_US, False, is_contradicted=True))
                self._doubted_us, self._is_contradicted = offset_us, True
            else:
                self._tell(Leap(leap_us / SECOND_US, True))
                self.believed(self._doubted_since)
                self._offset_us, self._doubted_us, self._is_contradicted = offset_us, None, False
        else:
            self._doubted_us = offset_us
        return self._offset_us + round(elapsed * SECOND_US)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def is_certain(self) -> bool:
        """Whether no leap is in doubt."""
        self.now_us()
        return self._doubted_us is None or self._is_contradicted

    def wall_ahead_us(self) -> int:
        """How far the wall clock is ahead of `now_us` by a leap that other clocks contradict; 0 without one."""
        self.now_us()
        return self._doubted_us - self._offset_us if self._is_contradicted and self._doubted_us is not None else 0

    def _reading(self) -> tuple[float, int]:
        """The time that passed, and how far the wall clock is ahead of it."""
        elapsed = self._elapsed()
        return elapsed, self._wall_us() - round(elapsed * SECOND_US)


def _elapsed() -> float:
    # Linux counts the time that the machine slept in a clock of its own.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


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

    def is_certain(self) -> bool:
        """It stands where it was set."""
        return True

    def set_us(self, now_us: int) -> None:
        """Stand at `now_us`."""
        self._now_us = now_us

    def advance_seconds(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._now_us += round(seconds * SECOND_US)
