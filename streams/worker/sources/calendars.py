"""The trading days that a live session is given: read from the library well ahead, and again before they run out.

The library reads the wall clock and changes with its version, so its days are no more than an input: the session stores them, and goes
by what it has stored. They are asked for up to the end of the year that is `AHEAD_DAYS` ahead, so that workers that start within a year
ask for the same.
"""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Final

from loguru import logger

from streams.calendar.ending import days_left, end_in_words
from streams.calendar.trading import TradingCalendar
from streams.config.session import SessionConfig
from streams.engine.rules.calendars import reached_day
from streams.engine.state.session import SessionState
from streams.errors import CalendarEndedError, SessionConfigError
from streams.model.inputs import InputKind, JournalInput
from streams.times import from_us

AHEAD_DAYS: Final = 400


def wanted_through(now_us: int) -> date:
    """Up to which date trading days are asked for at an instant."""
    return date((from_us(now_us) + timedelta(days=AHEAD_DAYS)).year, 12, 31)


class CalendarKeeper:
    """Reads a config's trading days from the library, ahead of the clock."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config
        self._asked: date | None = None
        self._read: TradingCalendar | None = None
        self._reading: asyncio.Task[None] | None = None
        self._has_news = False

    def opening(self, now_us: int) -> TradingCalendar:
        """The trading days that a new session begins with.

        Raises:
            CalendarEndedError: none are known from now on.
        """
        calendar = self._known(now_us)
        check_not_ended(calendar, now_us)
        return calendar

    def resumed(self, state: SessionState, now_us: int) -> list[JournalInput]:
        """The input that gives a stored session the days that are known here, where they differ from its own."""
        newer = self._known(now_us)
        if state.calendar.extended(newer, reached_day(state)).to_text() == state.calendar_text:
            return []
        return [JournalInput(InputKind.CALENDAR, calendar=newer.to_text())]

    def look_ahead(self, state: SessionState, now_us: int) -> list[JournalInput]:
        """Have further days read when the last ones have come closer; the input that gives them to the session once they are there.

        Raises:
            CalendarEndedError: see `check_not_ended`.
        """
        check_not_ended(state.calendar, now_us)
        through = wanted_through(now_us)
        if self._asked is not None and through > self._asked:
            self._asked = through  # once: where the library knows no more now, or fails, it will do so again
            self._reading = asyncio.create_task(self._read_through(through))
        if not self._has_news:
            return []
        self._has_news = False
        return self.resumed(state, now_us)

    def _known(self, now_us: int) -> TradingCalendar:
        through = wanted_through(now_us)
        if self._read is None or (self._asked or through) < through:
            self._read, self._asked = self._config.calendar(through), through
        return self._read

    async def _read_through(self, through: date) -> None:
        """Read the days in a thread: it takes up to seconds."""
        try:
            self._read = await asyncio.get_running_loop().run_in_executor(None, self._config.calendar, through)
        except SessionConfigError as error:
            logger.warning("the trading days up to {} can't be read: {}", through, error)
        else:
            self._has_news = True


def check_not_ended(calendar: TradingCalendar, now_us: int) -> None:
    """See that the calendar goes on.

    Raises:
        CalendarEndedError: nothing is known of the days from now on.
    """
    if not days_left(calendar, now_us):
        raise CalendarEndedError(end_in_words(calendar, now_us))
