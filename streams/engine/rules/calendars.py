"""The trading days that a session goes by: further ones come as an input, and their end is told of ahead.

A library knows trading days up to some date, and each version of it knows others, so what a session goes by is stored with it. Days
that come later hold from the first day on that neither the session nor anything of its symbols has reached: what is in the state stays
where it is.
"""

from __future__ import annotations

from streams.calendar.ending import ENDING_DAYS, days_left, end_in_words
from streams.calendar.trading import TradingCalendar
from streams.engine.rules import interval_complete
from streams.engine.state.session import SessionState
from streams.model.records import EventKind


def reached_day(state: SessionState) -> int:
    """The latest day that the session, or the bars, quotes, or ticks of a symbol stand on, days since 1970."""
    symbols = state.symbols.values()
    return max([state.days, *(data.day.days for data in symbols), *(extra.days for data in symbols for extra in data.extras.values())])


def use(state: SessionState, text: str) -> None:
    """Go by other trading days from the next day on."""
    state.calendar = state.calendar.extended(TradingCalendar.from_text(text), reached_day(state))
    state.calendar_text = state.calendar.to_text()
    state.config_changed = True
    for data in state.symbols.values():
        data.is_uneven = not state.calendar.is_even(data.base_us, data.anchor)
    state.tell(EventKind.CALENDAR_CHANGED, last_date=state.calendar.last_date)
    tell_of_end(state)
    interval_complete.renew(state)


def tell_of_end(state: SessionState) -> None:
    """Say that the stored trading days end soon. A session whose days are the library's at each start can't know."""
    left = days_left(state.calendar, state.now_us)
    if state.calendar_text and left <= ENDING_DAYS:
        words = end_in_words(state.calendar, state.now_us)
        state.tell(EventKind.CALENDAR_ENDING, reason=words, last_date=state.calendar.last_date, days_left=left)
