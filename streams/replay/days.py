"""The trading days that a replay covers: where it begins and ends, and what has to happen though no bar comes.

A day's bars are those that end after the day has begun (`TradingDay.starts_us`) and at or before the beginning of the next
one: bars before the open and after the close are of it too, and the engine counts them as out of hours.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.errors import ReplayError
from streams.times import date_of_days, days_of


class ReplayDays:
    """The trading days from `start` to `end`, both included.

    Args:
        calendar: whose days.
        start, end: dates.
        grace_us: how long a window waits for late bars after its end.

    Raises:
        ReplayError: there is none, or they lie beyond the calendar.
    """

    def __init__(self, calendar: TradingCalendar, start: date, end: date, *, grace_us: int) -> None:
        if end < start:
            raise ReplayError(f"a replay can't end on {end}, before it starts on {start}")
        self._calendar = calendar
        self._grace_us = grace_us
        self.days: list[TradingDay] = []
        try:
            day = calendar.day_on(days_of(start)) or calendar.next_day(days_of(start))
            while day.days <= days_of(end):
                self.days.append(day)
                day = calendar.next_day(day.days)
            if not self.days:
                raise ReplayError(f"{calendar.exchange} does not trade from {start} to {end}: its next day is {date_of_days(day.days)}")
            self.ends_us = day.starts_us
        except ReplayError:
            raise
        except ValueError as error:
            if not self.days or end > calendar.last_date:
                advice = ""
                if end > calendar.last_date:
                    advice = f": its last date is {calendar.last_date}, write later trading days into calendar_days of the config"
                raise ReplayError(f"the days from {start} to {end} can't be replayed: {error}{advice}") from None
            self.ends_us = calendar.ends_us
        self._opens_us = [day.open_us for day in self.days]
        self._traded_before_us = [0]
        for day in self.days:
            self._traded_before_us.append(self._traded_before_us[-1] + self._length_us(day))

    @property
    def first(self) -> TradingDay:
        """The first day."""
        return self.days[0]

    @property
    def last(self) -> TradingDay:
        """The last day."""
        return self.days[-1]

    def holds(self, instant_us: int) -> bool:
        """Whether the instant belongs to one of the days."""
        return self.first.starts_us <= instant_us < self.ends_us

    def end_of_day(self, instant_us: int) -> int:
        """When the day after the one that the instant lies in begins; the replay's end for one beyond the calendar."""
        try:
            return self._calendar.next_day(self._calendar.current_day(instant_us).days).starts_us
        except ValueError:
            return self.ends_us

    def milestones(self) -> list[int]:
        """Instants at which time alone has an effect, in order: windows close after the close, days roll where the next begins."""
        ends_us = [day.close_us + self._grace_us for day in self.days]
        return sorted({*ends_us, *(day.starts_us for day in self.days[1:])})

    def traded_us(self, instant_us: int) -> int:
        """How much of the days' trading lies before the instant: nights and weekends count for nothing."""
        place = bisect_right(self._opens_us, instant_us) - 1
        if place < 0:
            return 0
        day = self.days[place]
        return self._traded_before_us[place] + min(instant_us - day.open_us, self._length_us(day))

    def _length_us(self, day: TradingDay) -> int:
        return day.close_us + self._grace_us - day.open_us
