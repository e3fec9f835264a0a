"""When a calendar ends, how long before that people are told, and in which words."""

from __future__ import annotations

from typing import Final

from streams.calendar.trading import TradingCalendar
from streams.times import DAY_US

ENDING_DAYS: Final = 30
"""How many days before the end of a calendar it is told of."""


def days_left(calendar: TradingCalendar, now_us: int) -> int:
    """How many days of the calendar are left, the one that has begun included; 0 once it has ended."""
    return max(0, -((now_us - calendar.ends_us) // DAY_US))


def end_in_words(calendar: TradingCalendar, now_us: int) -> str:
    """When the calendar ends or ended, and what to do."""
    left = days_left(calendar, now_us)
    when = f"ends on {calendar.last_date}, in {left} day{'s' * (left != 1)}" if left else f"ended on {calendar.last_date}"
    return (
        f"the calendar of {calendar.exchange} {when}: install a newer exchange_calendars, or write the trading days after that date "
        "into calendar_days of the config, then start the worker again"
    )
