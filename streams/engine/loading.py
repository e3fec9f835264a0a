"""What a source gave of past days: judged, and made into the inputs of a pending symbol.

A source is asked for one interval and some days at once (`stretches`), and its answer is judged bar by bar (`judged`): a day
with a bar that can't be, or that comes twice, is not loaded, and neither is one without bars; the others are. What is missing is
told in words that name the days. The shells ask, each in its own way; nothing of that is here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from math import nan
from typing import Final

from msgspec import Struct

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.engine.rules.past_days import Wanted
from streams.engine.rules.placement import Place, place_of
from streams.engine.state.grid import Grid
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar
from streams.model.rows import Columns
from streams.model.validation import LARGEST_VALUE, future_fault, price_fault, text_of
from streams.times import DAY_US, date_of_days, interval_us

MOST_BARS_ASKED: Final = 25_000
"""How many bars one question may be about, as far as that is known before: a day of seconds, a quarter of minutes."""
MOST_BARS_OF_INPUT: Final = 8_000
BYTES_OF_BAR: Final = 44
"""What a bar takes in the journal, about, where it has no vwap and no trades, and at most half as much again where it has."""
DAYS_SAID: Final = 6
REASON_CHARACTERS: Final = 400


class Stretch(Struct, frozen=True):
    """One question: the bars of some days in order that start in `[start_us, end_us)`."""

    interval: str
    days: tuple[TradingDay, ...]
    start_us: int
    end_us: int


class Judged(Struct, frozen=True):
    """What comes of an answer: inputs, the days without bars, and those with a bar that can't be, with what is wrong."""

    inputs: list[JournalInput]
    bars: int
    empty: list[TradingDay]
    faulty: list[tuple[TradingDay, str]]


def begin_input(wanted: Wanted) -> JournalInput:
    """The input that comes before all others of a load."""
    return JournalInput(InputKind.HISTORY, wanted.symbol, wanted.incarnation)


def missing_input(wanted: Wanted, interval: str, days: int, reason: str) -> JournalInput:
    """The input that says why there are no bars of an interval on so many days."""
    return JournalInput(InputKind.HISTORY, wanted.symbol, wanted.incarnation, interval=interval, count=days, reason=reason)


def size_of(given: JournalInput) -> int:
    """How many bytes an input takes in the journal, about."""
    bars = given.bars
    if bars is None:
        return 100 + len((given.reason or "").encode())
    return 100 + len(bars.slots) * (BYTES_OF_BAR + (8 if bars.vwap else 0) + (6 if bars.trades else 0))


def stretches(wanted: Wanted, interval: str, calendar: TradingCalendar) -> Iterator[Stretch]:
    """The questions to ask for an interval, oldest days first."""
    width_us = interval_us(interval)
    days: list[TradingDay] = []
    bars = 0
    for day in wanted.days:
        expected = day.expected(width_us, day.open_us, day.close_us)
        if days and bars + expected > MOST_BARS_ASKED:
            yield _stretch(wanted, interval, days, calendar)
            days, bars = [], 0
        days.append(day)
        bars += expected
    if days:
        yield _stretch(wanted, interval, days, calendar)


def _stretch(wanted: Wanted, interval: str, days: list[TradingDay], calendar: TradingCalendar) -> Stretch:
    first, last, width_us = days[0], days[-1], interval_us(interval)
    start_us, end_us = first.open_us, last.close_us
    if width_us >= DAY_US:
        # A daily bar may be stamped with midnight of its date, here or there; that of the next date is of another day.
        start_us = min(start_us, first.days * DAY_US, calendar.midnight_of(first.days))
        end_us = max(last.open_us + 1, min(end_us, (last.days + 1) * DAY_US, calendar.midnight_of(last.days + 1)))
    else:
        start_us = Grid(first, interval, interval, wanted.anchor).origin_us
    return Stretch(interval, tuple(days), start_us, end_us)


def judged(wanted: Wanted, asked: Stretch, bars: Iterable[Bar], calendar: TradingCalendar, now_us: int) -> Judged:
    """Judge an answer.

    Args:
        wanted, asked: what for.
        bars: the answer.
        calendar: of the session.
        now_us: nothing that ends after it can be known.
    """
    of_days: dict[int, list[Bar]] = {day.days: [] for day in asked.days}
    faults: dict[int, str] = {}
    placing = _Placing(wanted, asked, calendar, now_us)
    for bar in bars:
        found = placing.place(bar)
        if found is None:
            continue
        days, placed = found
        if isinstance(placed, str):
            faults.setdefault(days, placed)
        elif of_days[days] and placed.start_us <= of_days[days][-1].start_us:
            twice = placed.start_us == of_days[days][-1].start_us
            faults.setdefault(days, f"the bar that starts at {text_of(placed.start_us)} {'is given twice' if twice else 'is out of order'}")
        else:
            of_days[days].append(placed)
    inputs: list[JournalInput] = []
    count = 0
    for day in asked.days:
        kept = of_days[day.days]
        if kept and day.days not in faults:
            inputs += _inputs(wanted, asked.interval, day, kept)
            count += len(kept)
    empty = [day for day in asked.days if not of_days[day.days] and day.days not in faults]
    return Judged(inputs, count, empty, [(day, faults[day.days]) for day in asked.days if day.days in faults])


class _Placing:
    """Places the bars of an answer on their days."""

    def __init__(self, wanted: Wanted, asked: Stretch, calendar: TradingCalendar, now_us: int) -> None:
        self._wanted = wanted
        self._asked = asked
        self._calendar = calendar
        self._now_us = now_us
        self._width_us = interval_us(asked.interval)
        self._is_even = self._width_us < DAY_US and calendar.is_even(self._width_us, wanted.anchor)
        self._days = list(asked.days)
        self._at = 0

    def place(self, bar: Bar) -> tuple[int, Bar | str] | None:
        """The date of the bar and the bar as it lies there, or what is wrong with it; None for one of no day that was asked for."""
        days, asked = self._days, self._asked
        start_us = bar.start_us
        if bar.symbol != self._wanted.symbol or bar.interval != asked.interval or not asked.start_us <= start_us < asked.end_us:
            what = f"a {bar.interval} bar of {bar.symbol} that starts at {text_of(start_us)} was not asked for"
            return self._nearest(start_us), what
        while self._at + 1 < len(days) and start_us >= days[self._at].close_us:
            self._at += 1
        if self._is_even and self._is_usual(bar, days[self._at]):
            return days[self._at].days, bar
        fault = price_fault(bar, self._wanted.lowest_price)
        placed = fault or place_of(bar, self._wanted.anchor, self._calendar)
        if placed is None:
            return None
        if not isinstance(placed, Place):
            return self._nearest(start_us), f"{placed[1]} (the bar that starts at {text_of(start_us)})"
        late = future_fault(placed.bar, self._now_us, 0)
        if late is not None:
            return self._nearest(start_us), late[1]
        return (placed.day.days, placed.bar) if any(placed.day.days == day.days for day in days) else None

    def _is_usual(self, bar: Bar, day: TradingDay) -> bool:
        """Whether nothing is wrong with a bar of an interval that all hours are whole numbers of; most are looked at no further."""
        low, high = bar.low, bar.high
        return (
            self._wanted.lowest_price <= low <= bar.open <= high <= LARGEST_VALUE
            and low <= bar.close <= high
            and 0.0 <= bar.volume <= LARGEST_VALUE
            and bar.vwap is None
            and bar.trades is None
            and bar.start_us % self._width_us == 0
            and bar.end_us == bar.start_us + self._width_us
            and bar.end_us <= self._now_us
            and day.contains(bar.start_us)
        )

    def _nearest(self, instant_us: int) -> int:
        """The date of the last day asked for that has begun by then, or of the first."""
        return next((day.days for day in reversed(self._days) if day.starts_us <= instant_us), self._days[0].days)


def _inputs(wanted: Wanted, interval: str, day: TradingDay, bars: Sequence[Bar]) -> Iterator[JournalInput]:
    grid = Grid(day, interval, interval, wanted.anchor)
    for place in range(0, len(bars), MOST_BARS_OF_INPUT):
        yield JournalInput(
            InputKind.HISTORY, wanted.symbol, wanted.incarnation, interval=interval, trading_days=day.days, count=len(bars),
            bars=_columns(grid, bars[place : place + MOST_BARS_OF_INPUT]),
        )  # fmt: skip


def _columns(grid: Grid, bars: Sequence[Bar]) -> Columns:
    first_us = grid.line_of(bars[0].start_us)
    has_vwap, has_trades = any(bar.vwap is not None for bar in bars), any(bar.trades is not None for bar in bars)
    return Columns(
        first_us,
        array("q", grid.slots_from(first_us, [bar.start_us for bar in bars])),
        array("d", [bar.open for bar in bars]),
        array("d", [bar.high for bar in bars]),
        array("d", [bar.low for bar in bars]),
        array("d", [bar.close for bar in bars]),
        array("d", [bar.volume for bar in bars]),
        array("d", [nan if bar.vwap is None else bar.vwap for bar in bars] if has_vwap else []),
        array("q", [-1 if bar.trades is None else bar.trades for bar in bars] if has_trades else []),
        array("q"),
        array("q"),
        (),
    )


def in_words(wanted: Wanted, interval: str, empty: Sequence[TradingDay], faulty: Sequence[tuple[TradingDay, str]]) -> str:
    """What is missing of an interval, and why: `no 1m bars of 2013-10-01 to 2013-10-03; 2013-10-04: low 2.0 is above high 1.0`."""
    parts = [f"no {interval} bars of {dates_of(wanted.days, empty)}"] if empty else []
    parts += [f"{date_of_days(day.days)}: {what}" for day, what in faulty[:DAYS_SAID]]
    if len(faulty) > DAYS_SAID:
        parts.append(f"and {len(faulty) - DAYS_SAID} more days with such bars")
    return shortened("; ".join(parts))


def shortened(reason: str) -> str:
    """A reason that the journal and a reply can hold; what it quotes may have characters that nothing can be written with."""
    reason = reason.encode(errors="replace").decode()
    return reason if len(reason) <= REASON_CHARACTERS else f"{reason[:REASON_CHARACTERS]}..."


def dates_of(days: Sequence[TradingDay], chosen: Sequence[TradingDay]) -> str:
    """Dates in words, those that follow on each other as one stretch; of many stretches the first ones."""
    places = {day.days: place for place, day in enumerate(days)}
    runs: list[list[TradingDay]] = []
    for day in chosen:
        if runs and places[runs[-1][-1].days] + 1 == places[day.days]:
            runs[-1].append(day)
        else:
            runs.append([day])
    said = [str(date_of_days(run[0].days)) + (f" to {date_of_days(run[-1].days)}" if len(run) > 1 else "") for run in runs[:DAYS_SAID]]
    more = sum(map(len, runs[DAYS_SAID:]))
    return ", ".join(said) + (f" and {more} more" if more else "")
