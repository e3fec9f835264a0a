"""Trading days and hours over `exchange_calendars`: when a session is open, in integers of microseconds.

The calendar's library is asked once, at construction; from then on every question is a `bisect` in sorted lists.
Invariant: days are in order and do not overlap, so each instant belongs to one trading day or to none.

    >>> calendar = TradingCalendar("XNYS")
    >>> day = calendar.day_of(to_us(datetime(2013, 10, 7, 13, 30, tzinfo=UTC)))
    >>> day.expected(MINUTE_US, day.open_us, day.close_us)
    390

A trading day begins before its open: from `starts_us` on it is the session's current one. That is local midnight of
its date, or its open where that lies on the evening before, but never before the day before it has closed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import date, tzinfo
from difflib import get_close_matches
from importlib.metadata import version
from math import gcd
from textwrap import shorten
from typing import Final
from zoneinfo import ZoneInfo

import exchange_calendars
from msgspec import Struct

from streams.errors import SessionConfigError
from streams.hours import DayOverride, Hours, Segments, Window, local_us, parse_windows, segments_on
from streams.markets import market_hours
from streams.presets import preset_of
from streams.times import DAY_US, date_of_days, days_of, from_us, iso

HISTORY_FROM: Final = date(1990, 1, 1)
"""The first date that is asked for; a calendar that begins later is covered from its own beginning."""

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class TradingDay(Struct, frozen=True, gc=False):
    """One trading day: its date as `days` since the epoch, and when it trades.

    `segments` are `[open, close)` in order, breaks cut out; from `starts_us` on the day is the session's current one.
    """

    days: int
    segments: Segments
    starts_us: int

    @property
    def open_us(self) -> int:
        """Where the first segment opens: the day's windows are counted from here."""
        return self.segments[0][0]

    @property
    def close_us(self) -> int:
        """Where the last segment closes."""
        return self.segments[-1][1]

    def contains(self, start_us: int) -> bool:
        """Whether a bar that starts at `start_us` lies within the day's hours."""
        return any(open_us <= start_us < close_us for open_us, close_us in self.segments)

    def trades_within(self, from_us: int, to_us: int) -> bool:
        """Whether any of the stretch lies within the day's hours."""
        return any(open_us < to_us and from_us < close_us for open_us, close_us in self.segments)

    def is_even(self, interval_us: int) -> bool:
        """Whether the hours begin and end at multiples of the interval, counted from 1970: then all its bars lie whole within them."""
        return not any(open_us % interval_us or close_us % interval_us for open_us, close_us in self.segments)

    def expected(self, interval_us: int, from_us: int, to_us: int) -> int:
        """How many bars of an interval start in `[from_us, to_us)` and within the hours.

        Bars start at the day's open and every `interval_us` after it; of an interval of a day or longer there is one.
        """
        open_us = self.open_us
        if interval_us >= DAY_US:
            return int(from_us <= open_us < to_us)
        count = 0
        for segment_open, segment_close in self.segments:
            first, last = max(segment_open, from_us), min(segment_close, to_us)
            if first < last:
                # -(-a // b) rounds up: the first slot at or after the instant.
                count += -((open_us - last) // interval_us) + (open_us - first) // interval_us
        return count


class TradingCalendar:
    """The trading days of an exchange, from 1990 or the calendar's beginning to about a year ahead of its construction."""

    def __init__(self, exchange: str, hours: Hours = "regular", overrides: Mapping[date, DayOverride] | None = None) -> None:
        """Read the calendar of `exchange` (`XNYS`, `XHKG`, `CMES`, `24/7`, ...).

        Args:
            hours: `regular` takes opens, early closes and breaks from the calendar. The name of a preset (`streams.presets`)
                takes those of a group of products. One `(open, close)` or a list of such, `HH:MM` in exchange local time,
                holds on each of the calendar's dates instead; a window belongs to the date of its open, or to the next one
                where the open is written `HH:MM previous day`, and may cross midnight. An early close of the calendar that
                lies between the first open and the last close ends such a day; breaks of the calendar do not count.
            overrides: a date is `closed`, or has windows of its own, also where the calendar has no trading on it;
                an early close does not shorten what is written here.

        Raises:
            SessionConfigError: no such calendar, or windows that can't be.
        """
        self.exchange = exchange
        source = _read_calendar(exchange)
        self.timezone: tzinfo = source.tz
        by_day = self._hours_of(source, hours)
        self._override(by_day, overrides or {})

        self._days = sorted(by_day)
        self._segments = [by_day[days] for days in self._days]
        self._opens = [segments[0][0] for segments in self._segments]
        self._closes = [segments[-1][1] for segments in self._segments]
        self._index = {days: index for index, days in enumerate(self._days)}
        self._made: dict[int, TradingDay] = {}
        self._check_order()
        self._grain_us = gcd(*(edge_us for segments in self._segments for segment in segments for edge_us in segment))

    def day_of(self, start_us: int) -> TradingDay | None:
        """The day whose hours contain the instant; `None` outside hours.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        self._check_covered(start_us)
        index = bisect_right(self._opens, start_us) - 1
        day = self._day(index)
        return day if day.contains(start_us) else None

    def day_on(self, days: int) -> TradingDay | None:
        """The trading day of a date; `None` when there is no trading on it."""
        index = self._index.get(days)
        return None if index is None else self._day(index)

    def current_day(self, now_us: int) -> TradingDay:
        """The day that a session stands in at `now_us`: the last one with `starts_us` at or before it.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        self._check_covered(now_us)
        index = bisect_right(self._opens, now_us) - 1
        # A day starts at or before its open and after the close before it, so only the next one may have started too.
        if index + 1 < len(self._days) and self._day(index + 1).starts_us <= now_us:
            index += 1
        return self._day(index)

    def next_day(self, days: int) -> TradingDay:
        """The first trading day after a date.

        Raises:
            ValueError: the calendar knows none.
        """
        index = bisect_right(self._days, days)
        if days < self._days[0] or index == len(self._days):
            raise self._beyond(f"the trading day after {date_of_days(days)}")
        return self._day(index)

    def previous_day(self, days: int) -> TradingDay:
        """The last trading day before a date.

        Raises:
            ValueError: the calendar knows none.
        """
        index = bisect_left(self._days, days) - 1
        if index < 0 or days > self._days[-1] + 1:
            raise self._beyond(f"the trading day before {date_of_days(days)}")
        return self._day(index)

    def days_before(self, days: int, count: int) -> int:
        """The date `count` trading days before one, or the first that is known."""
        return self._days[max(0, bisect_left(self._days, days) - count)]

    def day_at_or_after(self, instant_us: int) -> TradingDay:
        """The first day that is not over at the instant: its close lies after it.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        self._check_covered(instant_us)
        return self._day(bisect_right(self._closes, instant_us))

    def is_even(self, interval_us: int) -> bool:
        """Whether the hours of all days begin and end at multiples of the interval."""
        return self._grain_us % interval_us == 0

    def midnight_of(self, days: int) -> int:
        """The instant at which a date begins where the exchange is."""
        return local_us(self.timezone, days, 0)

    def is_open(self, instant_us: int) -> bool:
        """Whether the instant lies within trading hours.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        return self.day_of(instant_us) is not None

    def covers(self, instant_us: int) -> bool:
        """Whether the calendar knows the instant: the lookups that take one raise where it does not."""
        return self._opens[0] <= instant_us < self._closes[-1]

    def format_next_open(self, instant_us: int) -> str:
        """When trading next begins, at or after the instant, in words for a status: `Mon 09:30 New York`.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        day = self.day_at_or_after(instant_us)
        opens = [open_us for open_us, _ in day.segments if open_us >= instant_us]
        opening = from_us(opens[0] if opens else self.next_day(day.days).open_us).astimezone(self.timezone)
        local = from_us(instant_us).astimezone(self.timezone)
        words = [_WEEKDAYS[opening.weekday()], f"{opening:%H:%M:%S}".removesuffix(":00"), _city(self.timezone)]
        if (opening.date() - local.date()).days >= len(_WEEKDAYS):
            words.insert(1, opening.date().isoformat())
        return " ".join(words)

    def _day(self, index: int) -> TradingDay:
        day = self._made.get(index)
        if day is None:
            days = self._days[index]
            starts_us = min(local_us(self.timezone, days, 0), self._opens[index])
            if index:
                starts_us = max(starts_us, self._closes[index - 1])
            day = self._made[index] = TradingDay(days, self._segments[index], starts_us)
        return day

    def _hours_of(self, source: exchange_calendars.ExchangeCalendar, hours: Hours) -> dict[int, Segments]:
        if not isinstance(hours, str):
            windows = _parse(f"hours of {self.exchange}", hours)
            return self._own_hours(source, lambda _: windows)
        if hours == "regular":
            return _regular_hours(source)
        try:
            preset = preset_of(hours, self.exchange)
        except ValueError as error:
            raise SessionConfigError(f"hours {error}") from None
        if preset.market:
            return market_hours(preset, source.first_session.date(), source.last_session.date())
        self.timezone = ZoneInfo(preset.zone) if preset.zone else self.timezone
        return self._own_hours(source, preset.windows_on())

    def _own_hours(self, source: exchange_calendars.ExchangeCalendar, windows_on: Callable[[int], Sequence[Window]]) -> dict[int, Segments]:
        closes = dict(zip(_session_days(source), (source.closes_nanos // 1000).tolist(), strict=True))
        early_closes = [closes[days_of(session.date())] for session in source.early_closes]
        by_day: dict[int, Segments] = {}
        for days in closes:
            segments = segments_on(self.timezone, days, windows_on(days))
            if segments:
                nearest = bisect_right(early_closes, segments[0][0])
                if nearest < len(early_closes):
                    segments = tuple((o, min(c, early_closes[nearest])) for o, c in segments if o < early_closes[nearest])
                by_day[days] = segments
        return by_day

    def _override(self, by_day: dict[int, Segments], overrides: Mapping[date, DayOverride]) -> None:
        first, last = min(by_day), max(by_day)
        for day, override in overrides.items():
            days = days_of(day)
            windows = () if override == "closed" else _parse(f"hours on {day}", override)
            # Where the calendar does not know a date's neighbours, no lookup can come to it either.
            if not first <= days <= last:
                continue
            by_day.pop(days, None)
            segments = segments_on(self.timezone, days, windows)
            if segments:
                by_day[days] = segments

    def _check_order(self) -> None:
        for index in range(1, len(self._days)):
            if self._opens[index] < self._closes[index - 1]:
                before, after = date_of_days(self._days[index - 1]), date_of_days(self._days[index])
                raise SessionConfigError(
                    f"the hours of {self.exchange} on {before} close at {iso(self._closes[index - 1])}, after those of {after} "
                    f"have opened at {iso(self._opens[index])}: a day must be over before the next one opens"
                )

    def _check_covered(self, instant_us: int) -> None:
        if not self.covers(instant_us):
            raise self._beyond(iso(instant_us))

    def _beyond(self, what: str) -> ValueError:
        return ValueError(
            f"{what} is beyond the calendar of {self.exchange}, which goes from {iso(self._opens[0])} to {iso(self._closes[-1])}"
        )


def _read_calendar(exchange: str) -> exchange_calendars.ExchangeCalendar:
    names = exchange_calendars.get_calendar_names()
    if exchange not in names:
        near = get_close_matches(exchange.upper(), names, n=3)
        advice = f"did you mean {' or '.join(near)}?" if near else "write a name such as XNYS, XNAS, XLON, CMES or 24/7"
        raise SessionConfigError(f"exchange must be a calendar of exchange_calendars, got {exchange!r}: {advice}")
    try:
        source = _built(exchange)
    except Exception as error:  # a calendar's rules are library code of many authors: what they raise is of any kind
        raise _unusable(exchange, f"can't be built ({type(error).__name__}: {shorten(str(error), 100)})") from error
    if _has_lost_weekends(source):
        raise _unusable(exchange, "lacks its sessions at weekends")
    return source


def _built(exchange: str) -> exchange_calendars.ExchangeCalendar:
    try:
        return exchange_calendars.get_calendar(exchange, start=HISTORY_FROM.isoformat())
    except ValueError:
        shorter = exchange_calendars.get_calendar(exchange)
        return exchange_calendars.get_calendar(exchange, start=type(shorter).bound_min() or shorter.first_session)


def _has_lost_weekends(source: exchange_calendars.ExchangeCalendar) -> bool:
    """Whether the calendar names periods with sessions at weekends and has no such session in any of them.

    With a version of pandas that `exchange_calendars` was not made for, its rule for such periods is ignored without an error.
    """
    any_period = False
    for begins, ends, weekmask in getattr(source, "special_weekmasks", ()):
        first = source.first_session if begins is None else max(begins.tz_localize(None), source.first_session)
        last = source.last_session if ends is None else min(ends.tz_localize(None), source.last_session)
        special = {day for day, is_open in enumerate(weekmask) if is_open == "1" and source.weekmask[day] != "1"}
        if special and first < last:
            any_period = True
            if special & set(source.sessions[source.sessions.slice_indexer(first, last)].dayofweek):
                return False
    return any_period


def _unusable(exchange: str, why: str) -> SessionConfigError:
    installed = f"exchange_calendars {version('exchange_calendars')} and pandas {version('pandas')}"
    return SessionConfigError(f"with {installed}, the calendar {exchange} {why}: use the tested pandas (`pip install 'pandas>=3.0,<3.1'`)")


def _session_days(source: exchange_calendars.ExchangeCalendar) -> list[int]:
    days: list[int] = (source.sessions_nanos // (DAY_US * 1000)).tolist()
    return days


def _regular_hours(source: exchange_calendars.ExchangeCalendar) -> dict[int, Segments]:
    opens, closes = (source.opens_nanos // 1000).tolist(), (source.closes_nanos // 1000).tolist()
    break_starts, break_ends = (source.break_starts_nanos // 1000).tolist(), (source.break_ends_nanos // 1000).tolist()
    by_day: dict[int, Segments] = {}
    for days, open_us, close_us, break_start, break_end in zip(_session_days(source), opens, closes, break_starts, break_ends, strict=True):
        # A day without a break has a "not a time" there, which is far below any instant.
        has_break = open_us < break_start < break_end < close_us
        by_day[days] = ((open_us, break_start), (break_end, close_us)) if has_break else ((open_us, close_us),)
    return by_day


def _parse(what: str, windows: Hours | DayOverride) -> tuple[Window, ...]:
    if isinstance(windows, str):
        raise SessionConfigError(f"{what} must be windows such as ['09:30', '16:00'], got {windows!r}")
    try:
        return parse_windows(windows)
    except ValueError as error:
        raise SessionConfigError(f"{what}: {error}") from None


def _city(zone: tzinfo) -> str:
    return str(zone).rpartition("/")[2].replace("_", " ")
