"""A trading day ends and another begins: per symbol, and for the session once the last symbol is there.

A symbol rolls on its first bar of a later day, or by the clock once it is up to date and the bars of the day it leaves would
be stale. Its open windows are closed with
what they have, its runs are accounted for, its bars become historical bars of their date as far back as the config keeps
them, and its metrics begin anew. The session's day is the earliest of its symbols'; when it moves, `session_rolled` says so.
"""

from __future__ import annotations

from streams.calendar.trading import TradingDay
from streams.engine.rules import (
    calendars,
    derived_bars,
    exports,
    gate,
    indicators,
    interval_complete,
    past_days,
)
from streams.engine.state.grid import Grid
from streams.engine.state.series import BarSeries
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.symbol import NEVER_US, READING, SymbolSessionData
from streams.model.records import AnalysisKind, EventKind
from streams.times import DAY_US, MINUTE_US, date_of_days

LONGEST_WAIT_US = 5 * MINUTE_US


def roll_symbol(state: SessionState, data: SymbolSessionData, day: TradingDay) -> None:
    """Leave the symbol's day behind and stand at the beginning of `day`."""
    left = data.day.days
    derived_bars.end_day(state, data)
    interval_complete.end_day(state, day.open_us)
    gate.flush_held_back(state, data)
    data.seal_day()
    state.tell(
        EventKind.SYMBOL_ROLLED, data, trading_date=date_of_days(day.days), left=date_of_days(left),
        bars=len(data.bars), volume=f"{data.session_volume:.15g}",
    )  # fmt: skip
    for interval, series in data.retired.items():
        data.forget_blocks(left, interval, series)
    if data.last_start_us != NEVER_US:
        exports.leave_day(state, data)
        kept = past_days.made_of_day(state, data)
        data.queue_blocks(left, kept)
        data.historical[left] = {data.base_interval: data.bars, **data.derived, **kept}
    trim_history(state, data)
    data.set_day(day)
    state.next_roll_us = state.next_quiet_us = 0
    data.dirty = True
    indicators.outdate(state, data)


def kept_day(state: SessionState, data: SymbolSessionData, day: TradingDay) -> dict[str, BarSeries] | None:
    """The historical bars of a day before the symbol's, by interval; begun here where that day had none and is one to keep."""
    of_day = data.historical.get(day.days)
    trailing_days = state.config.session_data_config.historical.trailing_days
    if of_day is not None or day.days < state.calendar.days_before(data.day.days, trailing_days):
        return of_day
    of_day = data.historical[day.days] = {
        interval: BarSeries(Grid(day, interval, data.base_interval, data.anchor), is_base=interval == data.base_interval)
        for interval in (data.base_interval, *data.derived_intervals)
    }
    if data.exports is not None:
        data.exports.follow(day.days, of_day)
    # One that had bars and lay further back, behind days without any, is none of the newest any more.
    trim_history(state, data)
    return of_day


def trim_history(state: SessionState, data: SymbolSessionData) -> None:
    """Let go of the days beyond the newest trailing days, rows and all, unless an export lacks bars of them."""
    exports.bring_back_days(data)
    trailing_days = state.config.session_data_config.historical.trailing_days
    for days in sorted(data.historical)[: max(0, len(data.historical) - trailing_days)]:
        exports.let_day_go(data, days, data.historical.pop(days))
    exports.trim_days(state, data)


def rolls_us(state: SessionState, until_us: int) -> int:
    """When the clock leaves a day next, of a symbol or, without any, of the session; `NEVER_DUE_US` when none before `until_us`."""
    if until_us < state.next_roll_us:
        return NEVER_DUE_US
    reading = [data for data in state.symbols.values() if data.status in READING]
    if not reading:
        return _starts_after(state, state.days)
    # The bar of a daily symbol, should it come, makes it wait for less.
    state.next_roll_us = min(data.close_us + min(data.threshold_us, LONGEST_WAIT_US) for data in reading)
    if until_us < state.next_roll_us:
        return NEVER_DUE_US
    starts = {days: _starts_after(state, days) for days in {data.day.days for data in reading}}
    return min((_roll_us(data, starts[data.day.days]) for data in reading if not data.behind and not data.backlog), default=NEVER_DUE_US)


def _starts_after(state: SessionState, days: int) -> int:
    """When the day after a date begins; `NEVER_DUE_US` where the calendar ends."""
    try:
        return state.calendar.next_day(days).starts_us
    except ValueError:
        return NEVER_DUE_US


def _roll_us(data: SymbolSessionData, next_starts_us: int) -> int:
    """When the clock takes a symbol that is up to date to the next day, which begins then."""
    return max(next_starts_us, data.close_us + _wait_us(data))


def roll_by_clock(state: SessionState) -> None:
    """Roll the symbols that are up to date, for which it is time, to the next day: by the first rules at once to today."""
    if state.rules < 2 and not state.calendar.covers(state.now_us):
        return
    for data in list(state.ordered()):
        if data.status not in READING or data.behind or data.backlog or state.now_us < data.close_us:
            continue
        if state.now_us >= _roll_us(data, _starts_after(state, data.day.days)):
            day = state.calendar.next_day(data.day.days) if state.rules >= 2 else state.calendar.current_day(state.now_us)
            roll_symbol(state, data, day)
    roll_session(state)


def _wait_us(data: SymbolSessionData) -> int:
    """How long after the close a day is still left to its bars: where one day follows on another they arrive when that has begun.

    A daily bar is the only one of its day, and it comes when it comes: it is waited for as long as it would be fresh.
    """
    if data.base_us >= DAY_US and data.last_start_us == NEVER_US:
        return data.threshold_us
    return min(data.threshold_us, LONGEST_WAIT_US)


def roll_session(state: SessionState) -> None:
    """Move the session's day up to the earliest of its symbols'; without any, on with the clock."""
    reading = [data.day.days for data in state.symbols.values() if data.status in READING]
    reached = min(reading) if reading else _day_of_clock(state)
    if reached > state.days:
        state.days = reached
        state.mark(AnalysisKind.SESSION_ROLLED)
        calendars.tell_of_end(state)


def _day_of_clock(state: SessionState) -> int:
    """The day that a session without symbols comes to: the next one, once it has begun, by the first rules today."""
    if state.rules < 2:
        return state.calendar.current_day(state.now_us).days if state.calendar.covers(state.now_us) else state.days
    return state.calendar.next_day(state.days).days if _starts_after(state, state.days) <= state.now_us else state.days
