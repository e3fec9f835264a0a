"""Past days of a symbol: which ones belong to it, and how their bars come in while it is pending.

A shell asks `wanted` what to load, gets it from a source, and hands it over as inputs: one that begins, then bars of one
interval and day after another, and in place of what could not be had the reason. After `loaded` they stand beside the days
that have rolled, as far back as `trailing_days` reaches, under the same keys.

Base bars of a day bring the symbol's derived bars with them, made as those of the running day are. Other intervals are kept as
they were given; of a day that rolls they are made of its base bars, where they are whole multiples. None of these bars is
published or held back: what is accounted for on analysis are the bars that the session has read.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.config.session import SessionConfig
from streams.engine.state.grid import Grid, aggregate
from streams.engine.state.series import BarSeries
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.errors import EngineError
from streams.model.inputs import JournalInput
from streams.model.records import PROVENANCE_HISTORY, EventKind, SessionBar
from streams.model.rows import Columns
from streams.model.validation import ABOVE_ZERO
from streams.times import date_of_days, interval_us


class Wanted(Struct, frozen=True):
    """What is to be loaded of a symbol before it begins on `day`: bars of these intervals (the base first) and days, oldest first."""

    symbol: str
    incarnation: int
    anchor: str
    day: TradingDay
    intervals: tuple[str, ...]
    days: tuple[TradingDay, ...]
    lowest_price: float = ABOVE_ZERO


def first_day(state: SessionState, data: SymbolSessionData) -> TradingDay:
    """The day of the instant that a symbol starts at, but none that the session has not reached; without one the session's day."""
    today = state.day()
    if data.start_us is None or not state.calendar.covers(data.start_us):
        return today
    return min(today, state.calendar.day_at_or_after(data.start_us), key=lambda day: day.days)


def wanted(state: SessionState, data: SymbolSessionData) -> Wanted:
    """What is to be loaded of a pending symbol; without an interval where nothing is."""
    historical = state.config.session_data_config.historical
    day = first_day(state, data)
    intervals: tuple[str, ...] = ()
    days: tuple[TradingDay, ...] = ()
    if state.config.has_history(data.symbol):
        intervals = _intervals(historical.intervals, data)
        days = _days_before(state.calendar, day, historical.trailing_days)
    return Wanted(data.symbol, data.incarnation, data.anchor, day, intervals, days, data.lowest_price)


def _days_before(calendar: TradingCalendar, day: TradingDay, count: int) -> tuple[TradingDay, ...]:
    """The `count` trading days before one, oldest first, as far as the calendar goes."""
    days: list[TradingDay] = []
    while len(days) < count:
        try:
            day = calendar.previous_day(day.days)
        except ValueError:
            break
        days.append(day)
    return tuple(reversed(days))


def _intervals(listed: tuple[str, ...], data: SymbolSessionData) -> tuple[str, ...]:
    """Those that a source is asked for: none that is made of base bars which are asked for themselves."""
    names = listed or (data.base_interval,)
    if data.base_interval in names:
        names = tuple(name for name in names if name not in data.derived_intervals)
    return tuple(sorted(names, key=lambda name: (name != data.base_interval, interval_us(name))))


def is_wanted(state: SessionState, data: SymbolSessionData, given: JournalInput) -> bool:
    """Whether a `history` input still is about what the pending symbol is to have."""
    if given.interval is None:
        return True
    found = wanted(state, data)
    return given.interval in found.intervals and (given.bars is None or any(given.trading_days == day.days for day in found.days))


def take(state: SessionState, data: SymbolSessionData, given: JournalInput) -> None:
    """Take a `history` input.

    Raises:
        EngineError: its bars are of no day.
        ValueError: they don't follow on those that are there.
    """
    data.dirty = True
    if given.interval is None:
        forget(data)
    elif given.bars is None:
        state.tell(EventKind.HISTORY_MISSING, data, reason=given.reason, interval=given.interval, days=given.count)
    else:
        day = state.calendar.day_on(given.trading_days or 0)
        if day is None:
            raise EngineError(f"{state.config.exchange} does not trade on day {given.trading_days} since 1970")
        _take_bars(data, given.interval, day, given.bars, given.count or 0)


def forget(data: SymbolSessionData) -> None:
    """Let go of all past days, rows and all: they are loaded again, or not needed."""
    for days, by_interval in data.historical.items():
        for interval, series in by_interval.items():
            data.forget_blocks(days, interval, series)
    data.historical.clear()


def _take_bars(data: SymbolSessionData, interval: str, day: TradingDay, bars: Columns, count: int) -> None:
    of_day = data.historical.setdefault(day.days, {})
    series = of_day.get(interval)
    if series is None:
        series = of_day[interval] = given_series(day, interval, data.anchor)
    series.extend(msgspec.structs.replace(bars, provenances=(PROVENANCE_HISTORY,)))
    changed = {interval: series}
    if interval == data.base_interval and len(series) == count:
        parts = list(series)
        changed |= {name: _made(data, day, name, parts) for name in data.derived_intervals}
        of_day |= changed
    data.queue_blocks(day.days, changed)


def given_series(day: TradingDay, interval: str, anchor: str) -> BarSeries:
    """An empty series of bars that a source gives, as the base bars of the symbol are given: nothing is known of their parts."""
    return BarSeries(Grid(day, interval, interval, anchor), is_base=True)


def made_series(data: SymbolSessionData, day: TradingDay, interval: str) -> BarSeries:
    """An empty series of bars that are made of base bars."""
    return BarSeries(Grid(day, interval, data.base_interval, data.anchor), is_base=False)


def _made(data: SymbolSessionData, day: TradingDay, interval: str, bars: Iterable[SessionBar]) -> BarSeries:
    series = made_series(data, day, interval)
    for bar in windows_of(series.grid, bars):
        series.put(bar)
    return series


def windows_of(grid: Grid, bars: Iterable[SessionBar]) -> list[SessionBar]:
    """The bars of a grid that base bars make, which come in order."""
    by_start: dict[int, list[SessionBar]] = {}
    for bar in bars:
        by_start.setdefault(grid.start_of(bar.start_us), []).append(bar)
    return [aggregate(grid, start_us, parts).bar() for start_us, parts in by_start.items()]


def tell_loaded(state: SessionState, data: SymbolSessionData) -> None:
    """Say what has been loaded of a symbol, if anything was."""
    given = [series for by_interval in data.historical.values() for series in by_interval.values() if series.is_given]
    if given:
        state.tell(
            EventKind.HISTORY_LOADED, data, days=len(data.historical), bars=sum(map(len, given)),
            intervals=",".join(sorted({series.grid.interval for series in given}, key=interval_us)),
            first=date_of_days(min(data.historical)), last=date_of_days(max(data.historical)),
        )  # fmt: skip


def made_of_day(state: SessionState, data: SymbolSessionData) -> dict[str, BarSeries]:
    """Bars of the day that the symbol leaves, of the intervals that are kept of past days only."""
    historical = state.config.session_data_config.historical
    return {
        interval: _made(data, data.day, interval, data.bars)
        for interval in (historical.intervals if historical.trailing_days else ())
        if interval not in (data.base_interval, *data.derived_intervals)
        and interval_us(interval) > data.base_us
        and interval_us(interval) % data.base_us == 0
    }


def kept_intervals(config: SessionConfig, data: SymbolSessionData) -> set[str]:
    """The intervals of which past days are kept."""
    return {data.base_interval, *data.derived_intervals, *config.session_data_config.historical.intervals}


def drop_others(data: SymbolSessionData, kept: set[str]) -> None:
    """Let go of past bars of all but these intervals, rows and all."""
    for days, by_interval in list(data.historical.items()):
        for interval in by_interval.keys() - kept:
            data.forget_blocks(days, interval, by_interval.pop(interval))
        if not by_interval:
            del data.historical[days]


def restored_series(data: SymbolSessionData, day: TradingDay, interval: str, blocks: list[Columns]) -> BarSeries:
    """A past day's series from its blocks by rising number."""
    is_given = interval == data.base_interval or blocks[0].provenances == (PROVENANCE_HISTORY,)
    series = given_series(day, interval, data.anchor) if is_given else made_series(data, day, interval)
    series.restore_blocks(blocks, is_over=True)
    return series
