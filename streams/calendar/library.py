"""What `exchange_calendars` says of an exchange: its calendar, built and checked, as far as it is asked for and known.

pandas comes with it, which takes a second to import: a stored calendar does without.
"""

from __future__ import annotations

from datetime import date
from difflib import get_close_matches
from importlib.metadata import version
from textwrap import shorten
from typing import Final

import exchange_calendars

from streams.calendar.hours import Segments
from streams.errors import SessionConfigError
from streams.times import DAY_US

HISTORY_FROM: Final = date(1990, 1, 1)
"""The first date that is asked for; a calendar that begins later is covered from its own beginning."""


def read_calendar(exchange: str, through: date | None) -> exchange_calendars.ExchangeCalendar:
    """The calendar up to a date, by default about a year from today; it may end before.

    Raises:
        SessionConfigError: there is none of this name, or it can't be built.
    """
    names = exchange_calendars.get_calendar_names()
    if exchange not in names:
        near = get_close_matches(exchange.upper(), names, n=3)
        advice = f"did you mean {' or '.join(near)}?" if near else "write a name such as XNYS, XNAS, XLON, CMES or 24/7"
        raise SessionConfigError(f"exchange must be a calendar of exchange_calendars, got {exchange!r}: {advice}")
    try:
        source = _built(exchange, through)
    except Exception as error:  # a calendar's rules are library code of many authors: what they raise is of any kind
        raise _unusable(exchange, f"can't be built ({type(error).__name__}: {shorten(str(error), 100)})") from error
    if _has_lost_weekends(source):
        raise _unusable(exchange, "lacks its sessions at weekends")
    return source


def _built(exchange: str, through: date | None) -> exchange_calendars.ExchangeCalendar:
    end = None if through is None else last_date(exchange_calendars.get_calendar(exchange), through)
    try:
        return exchange_calendars.get_calendar(exchange, start=HISTORY_FROM.isoformat(), end=end)
    except ValueError:
        shorter = exchange_calendars.get_calendar(exchange)
        return exchange_calendars.get_calendar(exchange, start=type(shorter).bound_min() or shorter.first_session, end=end)


def last_date(source: exchange_calendars.ExchangeCalendar, through: date) -> date:
    """The last date that the library knows, at most `through`."""
    bound = type(source).bound_max()
    return through if bound is None else min(through, bound.date())


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


def session_days(source: exchange_calendars.ExchangeCalendar) -> list[int]:
    """The trading dates, days since 1970."""
    days: list[int] = (source.sessions_nanos // (DAY_US * 1000)).tolist()
    return days


def regular_hours(source: exchange_calendars.ExchangeCalendar) -> dict[int, Segments]:
    """The hours of each date, days since 1970, breaks cut out."""
    opens, closes = (source.opens_nanos // 1000).tolist(), (source.closes_nanos // 1000).tolist()
    break_starts, break_ends = (source.break_starts_nanos // 1000).tolist(), (source.break_ends_nanos // 1000).tolist()
    by_day: dict[int, Segments] = {}
    for days, open_us, close_us, break_start, break_end in zip(session_days(source), opens, closes, break_starts, break_ends, strict=True):
        # A day without a break has a "not a time" there, which is far below any instant.
        has_break = open_us < break_start < break_end < close_us
        by_day[days] = ((open_us, break_start), (break_end, close_us)) if has_break else ((open_us, close_us),)
    return by_day
