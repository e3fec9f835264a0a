"""Trading hours by product group, as `pandas_market_calendars` knows them: what presets of CME products stand for."""

from __future__ import annotations

from datetime import date

import pandas_market_calendars

from streams.calendar.hours import Segments
from streams.calendar.presets import Preset
from streams.times import DAY_US, HOUR_US, MINUTE_US, days_of

_WHOLE_DAY_US = 23 * HOUR_US
_QUARTER_US = 15 * MINUTE_US
_COLUMNS = ("market_open", "break_start", "break_end", "market_close")


def market_hours(preset: Preset, first: date, last: date) -> dict[int, Segments]:
    """The hours of each trading date from `first` to `last`, by days since 1970.

    A break counts where it has a duration: the library writes one that does not take place as a moment.
    """
    halts = _schedule(preset.halts_of, first, last) if preset.halts_of else {}
    first_later, last_later = (days_of(day) for day in preset.closed_later or (date.max, date.min))
    by_day: dict[int, Segments] = {}
    for days, (open_us, *own, close_us) in _schedule(preset.market, first, last).items():
        if first_later <= days <= last_later and close_us - open_us == _WHOLE_DAY_US:
            close_us += _QUARTER_US
        break_us, again_us = halts.get(days, [0, *own])[1:3] or (0, 0)
        has_break = open_us < break_us < again_us < close_us
        by_day[days] = ((open_us, break_us), (again_us, close_us)) if has_break else ((open_us, close_us),)
    return by_day


def _schedule(market: str, first: date, last: date) -> dict[int, list[int]]:
    """Open, beginning and end of the break where the market has breaks, and close, by days since 1970."""
    schedule = pandas_market_calendars.get_calendar(market).schedule(first.isoformat(), last.isoformat(), tz="UTC")
    days = [session // DAY_US for session in schedule.index.as_unit("us").asi8.tolist()]
    edges = [schedule[name].dt.as_unit("us").astype("int64").tolist() for name in _COLUMNS if name in schedule]
    return {date_days: list(instants) for date_days, instants in zip(days, zip(*edges, strict=True), strict=True)}
