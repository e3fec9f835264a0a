"""What the model writes down: trading days as lists of slots, bars as tuples, and one `Life` for each addition of a symbol.

Everything is held the plain way: a day is the list of its slots, a series is a dictionary by start, a run is the list of what
is in it. What the engine keeps incrementally is counted from these.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from streams.calendar.trading import TradingCalendar
from streams.model.records import Bar
from streams.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US, interval_us

if TYPE_CHECKING:
    from tests.support.simulation.exportbook import Exported
    from tests.support.simulation.extrabook import Extra

Segments = tuple[tuple[int, int], ...]
NEVER = -1


class Violation(AssertionError):
    """The engine broke a promise: `invariant` names it in a sentence, `detail` says what was seen."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


class Day(NamedTuple):
    """A trading day: its date, its stretches of trading, from when on it is the current one, and the zone of the exchange's clock."""

    days: int
    segments: Segments
    starts_us: int
    zone: tzinfo

    @property
    def open_us(self) -> int:
        return self.segments[0][0]

    @property
    def close_us(self) -> int:
        return self.segments[-1][1]

    def trades_at(self, instant_us: int) -> bool:
        return any(first <= instant_us < last for first, last in self.segments)


NO_DAY = Day(0, ((0, 0),), 0, UTC)


class Slot(NamedTuple):
    """One window of an interval on a day: the starts of the base bars that it should have."""

    start_us: int
    end_us: int
    expected: int


class BaseSlot(NamedTuple):
    """One base bar of a day: what it covers, and the line that it would begin at if the day did not cut it."""

    start_us: int
    end_us: int
    line_us: int


def ahead_us(zone: tzinfo, instant_us: int) -> int:
    """How far a clock in the zone is ahead of UTC."""
    ahead = datetime.fromtimestamp(instant_us // SECOND_US, zone).utcoffset()
    assert ahead is not None
    return ahead // timedelta(microseconds=1)


def line_of(day: Day, instant_us: int, width_us: int, anchor: str) -> int:
    """Where the window that holds the instant begins, if its day does not cut it.

    By the clock that is when the exchange's clock last showed a multiple of the interval, or was put past one.
    """
    if anchor == "session":
        return day.open_us + (instant_us - day.open_us) // width_us * width_us
    now_ahead = ahead_us(day.zone, instant_us)
    line_us = instant_us - (instant_us + now_ahead) % width_us
    then_ahead = ahead_us(day.zone, line_us)
    if then_ahead == now_ahead:
        return line_us
    minute_us = line_us // MINUTE_US * MINUTE_US
    changed_us = next(at for at in range(minute_us, instant_us + 1, MINUTE_US) if ahead_us(day.zone, at) == now_ahead)
    left_out = range(changed_us + then_ahead, changed_us + now_ahead)
    if any(shown % width_us == 0 for shown in left_out[::MINUTE_US]):
        return changed_us
    return line_of(day, changed_us - 1, width_us, anchor)


def next_line(day: Day, line_us: int, width_us: int, anchor: str) -> int:
    """Where the window after that with this line begins."""
    if anchor == "session" or HOUR_US % width_us == 0:
        return line_us + width_us
    latest_us = line_us + width_us + 2 * HOUR_US
    ahead = ahead_us(day.zone, line_us)
    if ahead == ahead_us(day.zone, latest_us) and (line_us + ahead) % width_us == 0:
        return line_us + width_us
    return next(at for at in range(line_us + MINUTE_US, latest_us, MINUTE_US) if line_of(day, at, width_us, anchor) == at)


@lru_cache(maxsize=4096)
def lines_of(day: Day, width_us: int, anchor: str) -> list[int]:
    """Where the windows of a day begin, if the day did not cut the first."""
    lines = [line_of(day, day.open_us, width_us, anchor)]
    while (line := next_line(day, lines[-1], width_us, anchor)) < day.close_us:
        lines.append(line)
    return lines


def start_in_row(day: Day, first_us: int, number: int, width_us: int, anchor: str) -> int:
    """Where the window begins that a row names by its number after another; rows count as if all windows were of one length."""
    if width_us >= DAY_US:
        return first_us + number * width_us
    lines = lines_of(day, width_us, anchor)
    return lines[(first_us - lines[0]) // width_us + number]


@lru_cache(maxsize=4096)
def slots_of(day: Day, base_us: int, width_us: int, anchor: str) -> dict[int, Slot]:
    """All windows of a day that a base bar can lie in, by start, found by walking over the day's base bars one by one."""
    open_us, close_us = day.open_us, day.close_us
    bases = base_slots(day, base_us, anchor)
    if width_us >= DAY_US:
        return {open_us: Slot(open_us, close_us, len(bases))}
    expected = Counter(line_of(day, start, width_us, anchor) for start in bases)
    # A window that would begin before its day does begins with it.
    slots = [
        Slot(max(line, day.starts_us), min(next_line(day, line, width_us, anchor), close_us), count)
        for line, count in sorted(expected.items())
    ]
    return {slot.start_us: slot for slot in slots}


@lru_cache(maxsize=1024)
def base_slots(day: Day, base_us: int, anchor: str) -> dict[int, BaseSlot]:
    """All base bars of a day that has any trading in them, by start, in order."""
    open_us, close_us = day.open_us, day.close_us
    if base_us >= DAY_US:
        return {open_us: BaseSlot(open_us, close_us, open_us)}
    lines = lines_of(day, base_us, anchor)
    slots = [BaseSlot(max(line, open_us), min(end, close_us), line) for line, end in pairwise([*lines, DAY_US * DAY_US])]
    slots[-1] = slots[-1]._replace(end_us=min(next_line(day, lines[-1], base_us, anchor), close_us))
    trades = [any(first < slot.end_us and slot.start_us < last for first, last in day.segments) for slot in slots]
    return {slot.start_us: slot for slot, trading in zip(slots, trades, strict=True) if trading}


class Days:
    """A calendar's days, as a list."""

    def __init__(self, calendar: TradingCalendar, first: int, last: int) -> None:
        """Take the days with dates in `[first, last]` (days since the epoch)."""
        self.first, self.last = first, last
        found = [calendar.day_on(days) for days in range(first, last + 1)]
        self.zone = calendar.timezone
        self.is_even = calendar.is_even
        self.take([Day(day.days, day.segments, day.starts_us, self.zone) for day in found if day is not None])

    def take(self, days: list[Day]) -> None:
        """Be these days."""
        self.days = days
        self._opens = [day.open_us for day in self.days]
        self._by_date = {day.days: day for day in self.days}

    def on(self, days: int) -> Day | None:
        """The day of a date."""
        return self._by_date.get(days)

    def holding(self, instant_us: int) -> Day | None:
        """The day that trades at the instant."""
        place = bisect_right(self._opens, instant_us) - 1
        return self.days[place] if place >= 0 and self.days[place].trades_at(instant_us) else None

    def current(self, now_us: int) -> Day:
        """The last day that has begun."""
        place = bisect_right(self._opens, now_us)
        begun = [day for day in self.days[max(0, place - 1) : place + 2] if day.starts_us <= now_us]
        return begun[-1]

    def unfinished(self, instant_us: int) -> Day:
        """The first day that closes after the instant."""
        place = max(0, bisect_right(self._opens, instant_us) - 1)
        return next(day for day in self.days[place:] if day.close_us > instant_us)

    def after(self, days: int) -> Day:
        """The first day after a date."""
        return self.days[bisect_right(self.days, days, key=lambda day: day.days)]

    def before(self, days: int, count: int) -> list[Day]:
        """The last `count` days before a date."""
        end = bisect_left(self.days, days, key=lambda day: day.days)
        return self.days[max(0, end - count) : end]

    def slots_between(self, from_us: int, until_us: int, base_us: int, anchor: str) -> list[tuple[Day, BaseSlot]]:
        """The base bars that begin at `from_us` or later and have ended by `until_us`."""
        first, last = max(0, bisect_right(self._opens, from_us) - 1), bisect_right(self._opens, until_us)
        slots = [(day, slot) for day in self.days[first:last] for slot in base_slots(day, base_us, anchor).values()]
        return [(day, slot) for day, slot in slots if slot.start_us >= from_us and slot.end_us <= until_us]

    def next_open_us(self, instant_us: int) -> int:
        """When trading begins next, after the instant."""
        place = max(0, bisect_right(self._opens, instant_us) - 1)
        return min(first for day in self.days[place : place + 2] for first, _ in day.segments if first > instant_us)


class Kept(NamedTuple):
    """A bar as the session should hold it; the fields are those of `SessionBar`, in its order."""

    start_us: int
    end_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    trades: int | None
    base_count: int
    expected_count: int
    revision: int
    complete: bool
    provenance: str

    def content(self) -> tuple[object, ...]:
        """All but the revision and where it came from."""
        return self[2:9]


Series = dict[int, Kept]


@dataclass
class Life:
    """One addition of a symbol: all that should be known about it."""

    symbol: str
    incarnation: int
    base: str
    derived: tuple[str, ...]
    anchor: str
    added_us: int
    initial: bool
    status: str = "pending"
    dynamic: bool = False
    command_id: str | None = None
    start_us: int | None = None
    topic_id: str = ""
    offset: int = 0
    removal_end: int | None = None
    removal_deadline_us: int | None = None
    base_us: int = 0

    frontier_us: int = NEVER
    last_start_us: int = NEVER
    last_update_us: int = NEVER
    last_stale_us: int = NEVER
    lag_us: int = 0
    checks: int = 0
    lagging: bool = False
    behind: bool = False
    backlog: bool = False
    silent: bool = False
    errors_in_a_row: int = 0

    past: dict[int, dict[str, Series]] = field(default_factory=dict)
    exported: Exported | None = None
    extras: dict[str, Extra] = field(default_factory=dict)
    waiting: dict[int, Bar] = field(default_factory=dict)
    held: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    held_cause: dict[str, str] = field(default_factory=dict)
    revised: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    day: Day = NO_DAY
    bars: Series = field(default_factory=dict)
    made: dict[str, Series] = field(default_factory=dict)
    unmade: dict[str, set[int]] = field(default_factory=dict)
    outdated: dict[str, set[int]] = field(default_factory=dict)
    filled: dict[str, Counter[int]] = field(default_factory=dict)
    retired: dict[str, Series] = field(default_factory=dict)
    told: dict[str, tuple[int, int]] = field(default_factory=dict)
    told_us: int = NEVER
    unsent: bool = False
    asked: dict[int, tuple[int, int]] = field(default_factory=dict)
    empty: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.base_us = interval_us(self.base)

    @property
    def is_read(self) -> bool:
        return self.status in ("loaded", "removing")

    def stand_on(self, day: Day) -> None:
        """Begin a day without a bar."""
        self.day = day
        self.frontier_us = self.last_start_us = NEVER
        self.bars = {}
        self.retired = {}
        self.told, self.asked, self.empty = {}, {}, set()
        self.unsent = False
        self.made = {interval: {} for interval in self.derived}
        self.unmade = {interval: set() for interval in self.derived}
        self.outdated = {interval: set() for interval in self.derived}
        self.filled = {interval: Counter() for interval in self.derived}

    def slots(self, interval: str, day: Day | None = None) -> dict[int, Slot]:
        """The windows of an interval on the day (or another)."""
        return slots_of(day or self.day, self.base_us, interval_us(interval), self.anchor)

    def window_of(self, interval: str, base_start_us: int, day: Day | None = None) -> Slot:
        """The window that a base bar lies in."""
        where = day or self.day
        width_us = interval_us(interval)
        if width_us >= DAY_US:
            return self.slots(interval, where)[where.open_us]
        line = line_of(where, base_start_us, width_us, self.anchor)
        return self.slots(interval, where)[max(line, where.starts_us)]

    def series(self) -> dict[str, Series]:
        """The day's series, base first."""
        return {self.base: self.bars, **self.made}


def inside(bars: Series, slot: Slot, base_us: int) -> list[Kept]:
    """The base bars of a window, in order."""
    if base_us >= HOUR_US:
        return [bars[start] for start in sorted(bars) if slot.start_us <= start < slot.end_us]
    first = -(-slot.start_us // base_us) * base_us
    return [bars[start] for start in range(first, slot.end_us, base_us) if start in bars]


def summed(bars: list[Kept], slot: Slot, revision: int) -> Kept:
    """The derived bar that these base bars make."""
    volume = 0.0
    turnover: float | None = 0.0
    trades: int | None = 0
    for bar in bars:
        volume += bar.volume
        turnover = None if turnover is None or bar.vwap is None else turnover + bar.vwap * bar.volume
        trades = None if trades is None or bar.trades is None else trades + bar.trades
    return Kept(
        slot.start_us, slot.end_us, bars[0].open, max(bar.high for bar in bars), min(bar.low for bar in bars), bars[-1].close, volume,
        turnover / volume if turnover is not None and volume > 0 else None, trades,
        len(bars), slot.expected, revision, len(bars) == slot.expected, "derived",
    )  # fmt: skip
