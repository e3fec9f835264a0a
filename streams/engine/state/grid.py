"""Windows of derived bars: where they lie on a trading day, and the one that is being filled.

`Grid` knows the geometry of one interval on one day: windows begin at the day's open (`session`) or where the exchange's clock shows
a multiple of the interval (`clock`); the last one ends at the close, early or not. Where that clock is changed, the window that
holds the change is shorter or longer by as much. A window that a clock multiple would begin before its trading day does, while the
day before may still trade, begins with the day: no two days have a window with the same start. An interval of a day has one
window, the trading day itself. A base interval is a grid of its own bars.

`Window` adds up base bars in order of start; `aggregate` does the same from scratch, in the same order of additions, so
that a window that was filled bar by bar, one that was made again after a correction and one that was restored from rows
are equal to the last bit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from streams.calendar.trading import TradingDay
from streams.model.records import PROVENANCE_DERIVED, SessionBar
from streams.times import DAY_US, interval_us

UTC_CLOCK: Final = "utc"
"""The anchor `clock` of sessions whose epoch was opened under the first rules: multiples are those of UTC."""


class Grid:
    """The slots of one interval on one trading day, and how many base bars each should have.

    An interval of a day is the trading day itself, `[open, close)`, whatever the anchor. Slots of a base interval lie within
    the day's hours: one that would begin before the open or end after the close is cut there.

    Windows have lines, numbers that lie `width_us` apart: `line_of` and `start_at` lead there and back. A line is where its window
    starts, unless that was moved to the beginning of the day, or lies behind a change of the clock on the same day.

    Args:
        day: the trading day.
        interval: the interval's name.
        base_interval: the symbol's base interval; equal to `interval` for the base grid.
        anchor: `session`, `clock` or `UTC_CLOCK`.
    """

    __slots__ = (
        "_base", "_base_interval", "_is_base", "_is_day", "_is_even", "_uneven_starts", "anchor", "base_us", "day", "first_us", "interval",
        "is_uniform", "origin_us", "width_us",
    )  # fmt: skip

    def __init__(self, day: TradingDay, interval: str, base_interval: str, anchor: str) -> None:
        self.day = day
        self.interval = interval
        self.anchor = anchor
        self._base_interval = base_interval
        self.width_us = interval_us(interval)
        self.base_us = interval_us(base_interval)
        self._is_base = interval == base_interval
        self._is_day = self.width_us >= DAY_US
        # Where all hours begin and end at multiples of the base, and its bars too, slots can be counted instead of walked over.
        self._is_even = day.is_even(self.base_us) and (anchor != "clock" or not any(ahead % self.base_us for _, ahead in day.offsets))
        self._base = None if self._is_base or self._is_even else Grid(day, base_interval, base_interval, anchor)
        # Where windows start that are not all of one length, because the clock is changed within the day.
        self._uneven_starts: list[int] | None = None
        origin_us = day.open_us
        if self._is_day or anchor == "session":
            pass
        elif anchor == UTC_CLOCK:
            origin_us -= origin_us % self.width_us
        else:
            (_, ahead), *changes = day.offsets
            if any((other - ahead) % self.width_us for _, other in changes):
                self._uneven_starts = _clock_starts(day, self.width_us)
                origin_us = self._uneven_starts[0]
            else:
                origin_us -= (origin_us + ahead) % self.width_us
        self.origin_us = origin_us
        # Whether each line is where its window starts, or would if the day did not begin later: what is asked for many bars goes by this.
        self.is_uniform = self._uneven_starts is None
        # Where the first window starts.
        self.first_us = max(origin_us, day.open_us if self._is_base else day.starts_us)

    def start_of(self, instant_us: int) -> int:
        """Start of the window that holds `instant_us`."""
        if self._is_day:
            return self.first_us
        if self._uneven_starts is not None:
            return self.start_at(self.origin_us + self.number_of(instant_us) * self.width_us)
        start_us = instant_us - (instant_us - self.origin_us) % self.width_us
        return start_us if start_us > self.first_us else self.first_us

    def base(self) -> Grid:
        """The grid of the base bars."""
        if self._is_base:
            return self
        return self._base if self._base is not None else Grid(self.day, self._base_interval, self._base_interval, self.anchor)

    def number_of(self, instant_us: int) -> int:
        """How many windows after the one at the open the one lies that holds `instant_us`; below 0 before it."""
        if self._uneven_starts is not None:
            return bisect_right(self._uneven_starts, instant_us) - 1
        if self._is_day:  # which may have 25 hours
            return -1 if instant_us < self.origin_us else 0
        return (instant_us - self.origin_us) // self.width_us

    def line_of(self, start_us: int) -> int:
        """The line of the window that starts at `start_us`."""
        if self._uneven_starts is not None:
            return self.origin_us + self.number_of(start_us) * self.width_us
        return self.origin_us if start_us == self.first_us else start_us

    def slots_from(self, line_us: int, starts_us: Iterable[int]) -> list[int]:
        """How many lines after `line_us` windows with these starts have theirs."""
        width_us = self.width_us
        if self._uneven_starts is None:
            return [(start_us - line_us) // width_us for start_us in starts_us]
        return [(self.line_of(start_us) - line_us) // width_us for start_us in starts_us]

    def start_at(self, line_us: int) -> int:
        """Start of the window with this line."""
        if self._uneven_starts is not None:
            line_us = self.full_start_at(line_us)
        return line_us if line_us > self.first_us else self.first_us

    def full_start_at(self, line_us: int) -> int:
        """Where the window with this line starts, or would if the day did not begin later."""
        if self._uneven_starts is None:
            return line_us
        number = (line_us - self.origin_us) // self.width_us
        return self._uneven_starts[min(max(number, 0), len(self._uneven_starts) - 1)]

    def end_of(self, start_us: int) -> int:
        """End of the window that starts at `start_us`: where the next one starts, or the close."""
        if self._is_day and start_us == self.first_us:
            return self.day.close_us
        if self._uneven_starts is not None:
            following = self.number_of(start_us) + 1
            return self._uneven_starts[following] if following < len(self._uneven_starts) else self.day.close_us
        return min(self.line_of(start_us) + self.width_us, self.day.close_us)

    def expected(self, start_us: int) -> int:
        """How many base bars the window that starts at `start_us` has when none is missing."""
        if self._is_base:
            return 1
        end_us = self.end_of(start_us)
        if self._base is None:
            return self.day.expected(self.base_us, start_us, end_us)
        return sum(start_us <= base_start_us < end_us for base_start_us in self._base.starts(self.day.close_us))

    def expected_until(self, instant_us: int) -> int:
        """How many windows with any trading in them have ended by `instant_us`."""
        until_us = min(instant_us, self.day.close_us)
        if self._is_base and self._is_even:
            return self.day.expected(self.width_us, self.day.open_us, until_us - self.width_us + 1)
        return sum(1 for _ in self.starts(until_us))

    def starts(self, until_us: int) -> Iterator[int]:
        """Starts of the windows with any trading in them that have ended by `until_us`, in order."""
        until_us = min(until_us, self.day.close_us)
        start_us = self.first_us
        while start_us < self.day.close_us and (end_us := self.end_of(start_us)) <= until_us:
            if self.day.trades_within(start_us, end_us) if self._is_base else self.expected(start_us):
                yield start_us
            start_us = end_us if self._is_day or self._uneven_starts is not None else self.line_of(start_us) + self.width_us


def _clock_starts(day: TradingDay, width_us: int) -> list[int]:
    """Where the exchange's clock shows a multiple of `width_us`, from the last one up to the open to the close.

    A multiple that a change of the clock leaves out counts where it would have been: at the change.
    """
    starts: set[int] = set()
    before_us: int | None = None
    for place, (since_us, ahead_us) in enumerate(day.offsets):
        until_us = day.offsets[place + 1][0] if place + 1 < len(day.offsets) else day.close_us
        starts.update(range(since_us + -(since_us + ahead_us) % width_us, until_us, width_us))
        if before_us is not None and (since_us + ahead_us) // width_us > (since_us + before_us - 1) // width_us:
            starts.add(since_us)
        before_us = ahead_us
    rising = sorted(starts)
    return rising[bisect_right(rising, day.open_us) - 1 :]


class Window:
    """A derived bar in the making: base bars go in by rising start, `bar()` gives what has come together.

    `closed` says that its derived bar is in the series already, so that a further base bar makes a revision. `waiting` holds
    the starts of the windows before it that lack base bars and are not closed yet, rising; `outdated` those of closed windows, this
    one included, whose derived bars are to be made again at the end of the backlog, rising. `is_stale` says that only `count` is
    right: base bars have come or changed behind the newest one, so the sums have to be made again before `bar()`.
    """

    __slots__ = (
        "_trades", "_trades_known", "_turnover", "_vwap_known", "close", "closed", "count", "end_us", "expected", "grid", "high",
        "interval", "is_stale", "low", "open", "outdated", "start_us", "volume", "waiting",
    )  # fmt: skip

    def __init__(self, grid: Grid, start_us: int) -> None:
        self.grid = grid
        self.interval = grid.interval
        self.waiting: list[int] = []
        self.outdated: list[int] = []
        self.begin(start_us)

    def begin(self, start_us: int) -> None:
        """Stand empty and open at the window that starts at `start_us`."""
        self.closed = False
        self.empty(start_us)

    def empty(self, start_us: int) -> None:
        """Stand empty at the window that starts at `start_us`, closed or not as before."""
        self.start_us = start_us
        self.end_us = self.grid.end_of(start_us)
        self.expected = self.grid.expected(start_us)
        self.is_stale = False
        self.count = 0
        self.open = self.high = self.low = self.close = 0.0
        self.volume = self._turnover = 0.0
        self._trades = 0
        self._vwap_known = self._trades_known = True

    def add(self, bar: SessionBar) -> None:
        """Take in a base bar that starts after all that are in."""
        high, low = bar.high, bar.low
        if self.count:
            if high > self.high:
                self.high = high
            if low < self.low:
                self.low = low
        else:
            self.open, self.high, self.low = bar.open, high, low
        self.close = bar.close
        self.volume += bar.volume
        self.count += 1
        if bar.vwap is None:
            self._vwap_known = False
        else:
            self._turnover += bar.vwap * bar.volume
        if bar.trades is None:
            self._trades_known = False
        else:
            self._trades += bar.trades

    def refill(self, bars: Iterable[SessionBar]) -> None:
        """Make the sums again, of all base bars of the window in order of start."""
        self.empty(self.start_us)
        for bar in bars:
            self.add(bar)

    def bar(self, revision: int = 0) -> SessionBar:
        """What has come together so far; at least one base bar must be in."""
        vwap = self._turnover / self.volume if self._vwap_known and self.volume > 0 else None
        return SessionBar(
            self.start_us, self.end_us, self.open, self.high, self.low, self.close, self.volume,
            vwap, self._trades if self._trades_known else None,
            self.count, self.expected, revision, self.count == self.expected, PROVENANCE_DERIVED,
        )  # fmt: skip


def holds(starts: list[int], start_us: int) -> bool:
    """Whether a start is among some that rise."""
    place = bisect_left(starts, start_us)
    return place < len(starts) and starts[place] == start_us


def aggregate(grid: Grid, start_us: int, bars: Iterable[SessionBar]) -> Window:
    """The window that starts at `start_us`, filled from scratch with `bars` in order of start."""
    window = Window(grid, start_us)
    for bar in bars:
        window.add(bar)
    return window
