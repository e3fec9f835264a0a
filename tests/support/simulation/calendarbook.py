"""Trading days that are given to a session later: other hours, a day that is closed, one more day."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import msgspec

from streams.calendar.text import calendar_from_text, calendar_to_text
from streams.calendar.trading import TradingCalendar
from streams.config.session import SessionConfig
from streams.model.inputs import InputKind, JournalInput
from streams.times import DAY_US, HOUR_US
from tests.support.simulation.books import Day, Days, Life

_LAST_AHEAD = 6


def changed_days(config: SessionConfig, now_us: int, chance: Random) -> JournalInput:
    """The library's days with one of the next dates changed: closed, traded on, or over earlier."""
    calendar = config.calendar()
    known = calendar_from_text(calendar.to_text())
    days, starts, segments = list(known.days), list(known.starts), list(known.segments)
    date = now_us // DAY_US + chance.randint(0, _LAST_AHEAD)
    # Hours that begin and end where those of other days do leave all intervals as even as they were.
    grain_us = next(
        width_us for width_us in (DAY_US, HOUR_US, HOUR_US // 2, HOUR_US // 12, HOUR_US // 60) if calendar.is_even(width_us, "session")
    )
    if date not in days:
        place = next(index for index, later in enumerate(days) if later > date)
        shift_us = (days[place] - date) * DAY_US
        traded = tuple((open_us - shift_us, close_us - shift_us) for open_us, close_us in segments[place])
        if traded[-1][1] <= segments[place][0][0] and traded[0][0] >= segments[place - 1][-1][1]:
            days.insert(place, date)
            starts.insert(place, starts[place] - shift_us)
            segments.insert(place, traded)
    else:
        place = days.index(date)
        open_us, close_us = segments[place][-1]
        if grain_us <= HOUR_US and close_us - open_us > 2 * grain_us and chance.random() < 0.5:
            segments[place] = (*segments[place][:-1], (open_us, close_us - 2 * grain_us))
        else:
            for column in (days, starts, segments):
                del column[place]
    text = calendar_to_text(msgspec.structs.replace(known, days=days, starts=starts, segments=segments))
    return JournalInput(InputKind.CALENDAR, calendar=text)


def reached(days: int, lives: Iterable[Life]) -> int:
    """The latest day that anything stands on: the session, a symbol's bars, its quotes, its ticks."""
    found = [days]
    for life in lives:
        found += [life.day.days, *(extra.days(life.day) for extra in life.extras.values())]
    return max(found)


def followed(days: Days, given: JournalInput, until: int) -> Days:
    """The days up to the one that is reached, and from there on those that were given; the first of them begins when that is over."""
    known = calendar_from_text(given.calendar or "")
    newer = Days(TradingCalendar.from_text(given.calendar or ""), days.first, days.last)
    kept = [day for day in days.days if day.days <= until]
    following = [day for day in newer.days if day.days > until]
    if kept and following:
        first, over_us = following[0], kept[-1].close_us
        begins_us = known.starts[known.days.index(first.days)]
        traded = tuple((max(open_us, over_us), close_us) for open_us, close_us in first.segments if close_us > over_us)
        following[0] = Day(first.days, traded, max(begins_us, over_us), first.zone)
    newer.take(kept + following)
    return newer
