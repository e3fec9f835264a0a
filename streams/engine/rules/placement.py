"""Where a bar lies on its trading day, for base intervals that the day's hours are no whole number of.

A bar of `1d`, or of `1h` where trading begins at 09:30, says in its start which slot of the day it is; what it covers is cut
to the hours, so a daily bar ends, and is known, at the close, early or not. What names which slot:

    1d              midnight of the trading date, in UTC or where the exchange is, or the day's open
    others          the slot's start: the open and every interval after it (`session`), or multiples of the clock (`clock`)

Its end is a whole interval after its start, or that of the slot. A bar that was placed is placed again where it is.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.engine.state.grid import UTC_CLOCK, Grid
from streams.model.records import Bar, Quote, Rejection, Tick
from streams.model.validation import Fault, text_of
from streams.times import DAY_US, days_of, from_us, interval_us, iso


class Place(Struct, frozen=True):
    """The day that a bar belongs to, and the bar as it lies there."""

    day: TradingDay
    bar: Bar


def place_of(bar: Bar, anchor: str, calendar: TradingCalendar) -> Place | Fault | None:
    """The place of a bar of an uneven base interval; a fault for one between the slots, None for one outside the hours."""
    if not calendar.covers(bar.start_us):
        return None
    return _place_of_day(bar, calendar) if interval_us(bar.interval) >= DAY_US else _place_of_slot(bar, anchor, calendar)


def placer(interval: str, anchor: str, calendar: TradingCalendar) -> Callable[[Bar], Bar]:
    """Gives bars of the interval as they lie on their day, for what goes by their end; any other stays as it is."""

    def placed(bar: Bar) -> Bar:
        found = place_of(bar, anchor, calendar) if bar.interval == interval else None
        return found.bar if isinstance(found, Place) else bar

    return placed


def known_when(symbol: str, interval: str, anchor: str, calendar: TradingCalendar) -> Callable[[Bar | Quote | Tick], int | None]:
    """Gives the instant at which a bar of the symbol and interval is known, its end as it lies on its day; None for any other record."""
    place = None if calendar.is_even(interval_us(interval), anchor) else placer(interval, anchor, calendar)

    def known(record: Bar | Quote | Tick) -> int | None:
        if not isinstance(record, Bar) or record.symbol != symbol or record.interval != interval:
            return None
        return record.end_us if place is None else place(record).end_us

    return known


def _place_of_day(bar: Bar, calendar: TradingCalendar) -> Place | Fault | None:
    start_us = bar.start_us
    holding = calendar.day_at_or_after(start_us)
    local_date = days_of(from_us(start_us).astimezone(calendar.timezone).date())
    if (start_us, bar.end_us) == (holding.open_us, holding.close_us):
        date = holding.days
    elif start_us % DAY_US == 0:
        date = start_us // DAY_US
    elif start_us == calendar.midnight_of(local_date):
        date = local_date
    elif start_us == holding.open_us:
        date = holding.days
    else:
        return Rejection.MISALIGNED, (
            f"a {bar.interval} bar starts at midnight of its trading date, in UTC or in {calendar.timezone}, or at the day's open: "
            f"{iso(start_us)} is none of these"
        )
    day = calendar.day_on(date)
    if day is None:
        return None
    ends = sorted({day.close_us, start_us + DAY_US, calendar.midnight_of(date + 1)})
    return _wrong_end(bar, ends) or _at(bar, day, day.open_us, day.close_us)


def _place_of_slot(bar: Bar, anchor: str, calendar: TradingCalendar) -> Place | Fault | None:
    start_us, width_us = bar.start_us, interval_us(bar.interval)
    day = calendar.day_at_or_after(start_us)
    if not day.trades_within(start_us, start_us + width_us):
        return None
    grid = Grid(day, bar.interval, bar.interval, anchor)
    slot_us = grid.start_of(max(start_us, day.open_us))
    line_us, end_us = grid.full_start_at(grid.line_of(slot_us)), grid.end_of(slot_us)
    if start_us not in (slot_us, line_us):
        clock = "" if anchor == UTC_CLOCK else f" of the clock in {calendar.timezone}"
        begins, advice = f"at multiples of {bar.interval}{clock}", ""
        if anchor == "session":
            begins = f"at the open, {iso(day.open_us)}, and every {bar.interval} after it"
            advice = ': bars at multiples of the clock need window_anchor "clock"'
        return Rejection.MISALIGNED, f"a {bar.interval} bar of this day starts {begins}, not at {iso(start_us)}{advice}"
    return _wrong_end(bar, sorted({line_us + width_us, end_us})) or _at(bar, day, slot_us, end_us)


def _wrong_end(bar: Bar, ends: list[int]) -> Fault | None:
    if bar.end_us in ends:
        return None
    return Rejection.MISALIGNED, (
        f"a {bar.interval} bar that starts at {iso(bar.start_us)} ends at {' or '.join(map(iso, ends))}, not at {text_of(bar.end_us)}"
    )


def _at(bar: Bar, day: TradingDay, start_us: int, end_us: int) -> Place:
    if (start_us, end_us) == (bar.start_us, bar.end_us):
        return Place(day, bar)
    return Place(day, msgspec.structs.replace(bar, start_us=start_us, end_us=end_us))
