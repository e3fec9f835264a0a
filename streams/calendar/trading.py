"""Trading days and hours over `exchange_calendars`: when a session is open, in integers of microseconds.

The calendar's library is asked once, at construction; from then on every question is a `bisect` in sorted lists.
Invariant: days are in order and do not overlap, so each instant belongs to one trading day or to none.

A calendar is data with an end: it knows the dates up to `through`. What it says of them depends on the version of the library, so a
live session stores the days that it goes by as text, and goes on with further ones that it is given (`extended`).

    >>> calendar = TradingCalendar("XNYS")
    >>> day = calendar.day_of(to_us(datetime(2013, 10, 7, 13, 30, tzinfo=UTC)))
    >>> day.expected(MINUTE_US, day.open_us, day.close_us)
    390

A trading day begins before its open: from `starts_us` on it is the session's current one. That is local midnight of
its date, or its open where that lies on the evening before, but never before the day before it has closed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, tzinfo
from itertools import chain
from math import gcd
from typing import TYPE_CHECKING, Final, Literal, Self
from zoneinfo import ZoneInfo

from msgspec import Struct

from streams.calendar.hours import (
    DayOverride,
    Hours,
    Offsets,
    Segments,
    Window,
    local_us,
    offsets_between,
    parse_windows,
    segments_on,
)
from streams.calendar.presets import preset_of
from streams.calendar.text import CalendarDays, calendar_from_text, calendar_to_text
from streams.errors import SessionConfigError
from streams.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US, date_of_days, days_of, from_us, iso

if TYPE_CHECKING:
    import exchange_calendars

GivenDay = DayOverride | Literal["regular"]
"""What a config says of a date that the library does not know yet."""

END_WAIT_US: Final = 10 * MINUTE_US
"""How long after its last close a calendar has not ended yet: the bars of that day still have to come in."""
_USUAL_DAYS: Final = 60
"""The days by which regular hours are told: about twelve of each weekday."""

_CLOCK_US: Final = DAY_US + 2 * HOUR_US
"""How long before a day's open its clock matters: a window that holds the open begins less than a day and a clock change before."""
_CLOCK_GRAIN_US: Final = 15 * MINUTE_US
"""Since 1990 all clocks are ahead of UTC by multiples of this."""

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class TradingDay(Struct, frozen=True, gc=False):
    """One trading day: its date as `days` since the epoch, and when it trades.

    `segments` are `[open, close)` in order, breaks cut out; from `starts_us` on the day is the session's current one. `offsets` say
    how far the exchange's clock is ahead of UTC, and since when, from more than a day before the open to the close.
    """

    days: int
    segments: Segments
    starts_us: int
    offsets: Offsets = ((0, 0),)

    @property
    def open_us(self) -> int:
        """Where the first segment opens: the day's windows are counted from here."""
        return self.segments[0][0]

    @property
    def close_us(self) -> int:
        """Where the last segment closes."""
        return self.segments[-1][1]

    def contains(self, start_us: int) -> bool:
        """Whether a bar that starts at `start_us` lies within the day's hours."""
        return any(open_us <= start_us < close_us for open_us, close_us in self.segments)

    def trades_within(self, from_us: int, to_us: int) -> bool:
        """Whether any of the stretch lies within the day's hours."""
        return any(open_us < to_us and from_us < close_us for open_us, close_us in self.segments)

    def is_even(self, interval_us: int) -> bool:
        """Whether the hours begin and end at multiples of the interval, counted from 1970: then all its bars lie whole within them."""
        return not any(open_us % interval_us or close_us % interval_us for open_us, close_us in self.segments)

    def expected(self, interval_us: int, from_us: int, to_us: int) -> int:
        """How many bars of an interval start in `[from_us, to_us)` and within the hours.

        Bars start at the day's open and every `interval_us` after it; of an interval of a day or longer there is one.
        """
        open_us = self.open_us
        if interval_us >= DAY_US:
            return int(from_us <= open_us < to_us)
        count = 0
        for segment_open, segment_close in self.segments:
            first, last = max(segment_open, from_us), min(segment_close, to_us)
            if first < last:
                # -(-a // b) rounds up: the first slot at or after the instant.
                count += -((open_us - last) // interval_us) + (open_us - first) // interval_us
        return count


class TradingCalendar:
    """The trading days of an exchange, from 1990 or the calendar's beginning up to the last date that is known."""

    def __init__(
        self,
        exchange: str,
        hours: Hours = "regular",
        overrides: Mapping[date, DayOverride] | None = None,
        *,
        given: Mapping[date, GivenDay] | None = None,
        through: date | None = None,
    ) -> None:
        """Read the calendar of `exchange` (`XNYS`, `XHKG`, `CMES`, `24/7`, ...).

        Args:
            hours: `regular` takes opens, early closes and breaks from the calendar. The name of a preset (`streams.calendar.presets`)
                takes those of a group of products. One `(open, close)` or a list of such, `HH:MM` in exchange local time,
                holds on each of the calendar's dates instead; a window belongs to the date of its open, or to the next one
                where the open is written `HH:MM previous day`, and may cross midnight. An early close of the calendar that
                lies between the first open and the last close ends such a day; breaks of the calendar do not count.
            overrides: a date is `closed`, or has windows of its own, also where the calendar has no trading on it;
                an early close does not shorten what is written here.
            given: dates that the library may not know yet: `closed`, `regular`, or windows. Beyond the library's last date they are all
                that is known: a date that is not among them is closed, the last of them is the last known one.
            through: the last date that is asked for, by default about a year from today; the library may know fewer.

        Raises:
            SessionConfigError: no such calendar, or windows that can't be.
        """
        from streams.calendar.library import last_date, read_calendar  # pandas comes with it: a stored calendar does without

        self.exchange = exchange
        source = read_calendar(exchange, through)
        self.timezone: tzinfo = source.tz
        by_day = self._hours_of(source, hours)
        self._override(by_day, overrides or {})
        known = days_of(source.last_session.date() if through is None else min(through, last_date(source, through)))
        self._give(by_day, given or {}, hours, through=known)

        days = sorted(by_day)
        through_days = max(known, *map(days_of, given)) if given else known
        self._take(days, [by_day[date] for date in days], through_days, starts=None)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The calendar that `to_text` was called on, without the library.

        Raises:
            ValueError: it is not such a text.
        """
        return cls._of(calendar_from_text(text))

    @classmethod
    def _of(cls, known: CalendarDays) -> Self:
        calendar = cls.__new__(cls)
        calendar.exchange = known.exchange
        calendar.timezone = ZoneInfo(known.zone)
        calendar._take(known.days, known.segments, known.through, starts=known.starts)
        return calendar

    def _take(self, days: list[int], segments: list[Segments], through: int, *, starts: list[int] | None) -> None:
        self._days, self._segments, self._through = days, segments, through
        # Where each day begins at the earliest. Ten thousand midnights take longer than all else here, and a replay needs few of them.
        self._starts = starts
        self._opens = [segments[0][0] for segments in self._segments]
        self._closes = [segments[-1][1] for segments in self._segments]
        self._index = {days: index for index, days in enumerate(self._days)}
        self._made: dict[int, TradingDay] = {}
        self._check_order()
        self._grain_us = gcd(*(edge_us for segments in self._segments for segment in segments for edge_us in segment))

    def to_text(self) -> str:
        """All that is known, as text; equal calendars give equal texts."""
        return calendar_to_text(self._known())

    def extended(self, newer: TradingCalendar, after: int) -> Self:
        """This calendar up to the date `after`, and from there on what a newer one says, and this one again beyond what that knows.

        A day of the newer one that opens before this one's last is over begins when that is.
        """
        days: list[int] = []
        starts: list[int] = []
        segments: list[Segments] = []
        parts = (self._between(None, after), newer._between(after, newer._through), self._between(max(after, newer._through), None))
        for date_days, start_us, traded in chain(*parts):
            closed_us = segments[-1][-1][1] if segments else traded[0][0]
            left = tuple((max(open_us, closed_us), close_us) for open_us, close_us in traded if close_us > closed_us)
            if left:
                days.append(date_days)
                starts.append(start_us)
                segments.append(left)
        through = max(self._through, newer._through)
        return self._of(CalendarDays(self.exchange, str(self.timezone), through, days, starts, segments))

    def _between(self, after: int | None, through: int | None) -> Iterator[tuple[int, int, Segments]]:
        """Date, earliest beginning and hours of the days after one date and up to another."""
        first = 0 if after is None else bisect_right(self._days, after)
        last = len(self._days) if through is None else bisect_right(self._days, through)
        starts = [self._earliest_start(index) for index in range(first, last)]
        return zip(self._days[first:last], starts, self._segments[first:last], strict=True)

    def _known(self) -> CalendarDays:
        starts = [self._earliest_start(index) for index in range(len(self._days))]
        return CalendarDays(self.exchange, str(self.timezone), self._through, self._days, starts, self._segments)

    def _earliest_start(self, index: int) -> int:
        if self._starts is not None:
            return self._starts[index]
        return min(local_us(self.timezone, self._days[index], 0), self._opens[index])

    @property
    def last_date(self) -> date:
        """The last date of which it is known whether there is trading."""
        return date_of_days(self._through)

    @property
    def ends_us(self) -> int:
        """Where the last known date is over where the exchange is, and its trading too: nothing is known from then on."""
        return max(self.midnight_of(self._through + 1), self._closes[-1] + END_WAIT_US)

    def day_of(self, start_us: int) -> TradingDay | None:
        """The day whose hours contain the instant; `None` outside hours.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        self._check_covered(start_us)
        index = bisect_right(self._opens, start_us) - 1
        day = self._day(index)
        return day if day.contains(start_us) else None

    def day_on(self, days: int) -> TradingDay | None:
        """The trading day of a date; `None` when there is no trading on it."""
        index = self._index.get(days)
        return None if index is None else self._day(index)

    def current_day(self, now_us: int) -> TradingDay:
        """The day that a session stands in at `now_us`: the last one with `starts_us` at or before it.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        if not self._opens[0] <= now_us < self.ends_us:
            raise self._beyond(iso(now_us))
        index = bisect_right(self._opens, now_us) - 1
        # A day starts at or before its open and after the close before it, so only the next one may have started too.
        if index + 1 < len(self._days) and self._day(index + 1).starts_us <= now_us:
            index += 1
        return self._day(index)

    def next_day(self, days: int) -> TradingDay:
        """The first trading day after a date.

        Raises:
            ValueError: the calendar knows none.
        """
        index = bisect_right(self._days, days)
        if days < self._days[0] or index == len(self._days):
            raise self._beyond(f"the trading day after {date_of_days(days)}")
        return self._day(index)

    def previous_day(self, days: int) -> TradingDay:
        """The last trading day before a date.

        Raises:
            ValueError: the calendar knows none.
        """
        index = bisect_left(self._days, days) - 1
        if index < 0 or days > self._days[-1] + 1:
            raise self._beyond(f"the trading day before {date_of_days(days)}")
        return self._day(index)

    def days_before(self, days: int, count: int) -> int:
        """The date `count` trading days before one, or the first that is known."""
        return self._days[max(0, bisect_left(self._days, days) - count)]

    def day_at_or_after(self, instant_us: int) -> TradingDay:
        """The first day that is not over at the instant: its close lies after it.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        self._check_covered(instant_us)
        return self._day(bisect_right(self._closes, instant_us))

    def is_even(self, interval_us: int, anchor: str) -> bool:
        """Whether the hours of all days begin and end at multiples of the interval, and so does the clock, where it is the anchor."""
        if self._grain_us % interval_us:
            return False
        if anchor != "clock" or _CLOCK_GRAIN_US % interval_us == 0:
            return True
        return not any(ahead % interval_us for index in range(len(self._days)) for _, ahead in self._day(index).offsets)

    def midnight_of(self, days: int) -> int:
        """The instant at which a date begins where the exchange is."""
        return local_us(self.timezone, days, 0)

    def is_open(self, instant_us: int) -> bool:
        """Whether the instant lies within trading hours.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        return self.day_of(instant_us) is not None

    def covers(self, instant_us: int) -> bool:
        """Whether the calendar knows the instant: the lookups that take one raise where it does not."""
        return self._opens[0] <= instant_us < self._closes[-1]

    def format_next_open(self, instant_us: int) -> str:
        """When trading next begins, at or after the instant, in words for a status: `Mon 09:30 New York`.

        Raises:
            ValueError: the instant lies beyond what the calendar knows.
        """
        day = self.day_at_or_after(instant_us)
        opens = [open_us for open_us, _ in day.segments if open_us >= instant_us]
        opening = from_us(opens[0] if opens else self.next_day(day.days).open_us).astimezone(self.timezone)
        local = from_us(instant_us).astimezone(self.timezone)
        words = [_WEEKDAYS[opening.weekday()], f"{opening:%H:%M:%S}".removesuffix(":00"), _city(self.timezone)]
        if (opening.date() - local.date()).days >= len(_WEEKDAYS):
            words.insert(1, opening.date().isoformat())
        return " ".join(words)

    def _day(self, index: int) -> TradingDay:
        day = self._made.get(index)
        if day is None:
            days = self._days[index]
            starts_us = self._earliest_start(index)
            if index:
                starts_us = max(starts_us, self._closes[index - 1])
            segments = self._segments[index]
            offsets = offsets_between(self.timezone, segments[0][0] - _CLOCK_US, segments[-1][1])
            day = self._made[index] = TradingDay(days, segments, starts_us, offsets)
        return day

    def _hours_of(self, source: exchange_calendars.ExchangeCalendar, hours: Hours) -> dict[int, Segments]:
        from streams.calendar import library as library

        if not isinstance(hours, str):
            windows = _parse(f"hours of {self.exchange}", hours)
            return self._own_hours(source, lambda _: windows)
        if hours == "regular":
            return library.regular_hours(source)
        try:
            preset = preset_of(hours, self.exchange)
        except ValueError as error:
            raise SessionConfigError(f"hours {error}") from None
        if preset.market:
            from streams.calendar.markets import market_hours  # its library is needed by these presets alone, and takes long to import

            return market_hours(preset, source.first_session.date(), source.last_session.date())
        self.timezone = ZoneInfo(preset.zone) if preset.zone else self.timezone
        return self._own_hours(source, preset.windows_on())

    def _own_hours(self, source: exchange_calendars.ExchangeCalendar, windows_on: Callable[[int], Sequence[Window]]) -> dict[int, Segments]:
        from streams.calendar.library import session_days

        closes = dict(zip(session_days(source), (source.closes_nanos // 1000).tolist(), strict=True))
        early_closes = [closes[days_of(session.date())] for session in source.early_closes]
        by_day: dict[int, Segments] = {}
        for days in closes:
            segments = segments_on(self.timezone, days, windows_on(days))
            if segments:
                nearest = bisect_right(early_closes, segments[0][0])
                if nearest < len(early_closes):
                    segments = tuple((o, min(c, early_closes[nearest])) for o, c in segments if o < early_closes[nearest])
                by_day[days] = segments
        return by_day

    def _override(self, by_day: dict[int, Segments], overrides: Mapping[date, DayOverride]) -> None:
        first, last = min(by_day), max(by_day)
        for day, override in overrides.items():
            days = days_of(day)
            windows = () if override == "closed" else _parse(f"hours on {day}", override)
            # Where the calendar does not know a date's neighbours, no lookup can come to it either.
            if not first <= days <= last:
                continue
            by_day.pop(days, None)
            segments = segments_on(self.timezone, days, windows)
            if segments:
                by_day[days] = segments

    def _give(self, by_day: dict[int, Segments], given: Mapping[date, GivenDay], hours: Hours, *, through: int) -> None:
        """Put in what the config says of single dates; beyond the library's last date no other day is known."""
        for day, wanted in sorted(given.items()):
            days = days_of(day)
            if days <= min(by_day):
                continue
            windows: Sequence[Window] = ()
            if wanted == "regular":
                own = isinstance(hours, str)
                windows = self._usual(by_day, days, through) if own else _parse(f"hours of {self.exchange}", hours)
            elif wanted != "closed":
                windows = _parse(f"calendar_days on {day}", wanted)
            by_day.pop(days, None)
            segments = segments_on(self.timezone, days, windows)
            if segments:
                by_day[days] = segments

    def _usual(self, by_day: Mapping[int, Segments], days: int, through: int) -> tuple[Window, ...]:
        """The hours of most of the last days that the library knows, of those of the same weekday if there are any."""
        last = [known for known in sorted(by_day) if known <= through][-_USUAL_DAYS:]
        seen: Counter[tuple[Window, ...]] = Counter()
        for known in [one for one in last if (one - days) % len(_WEEKDAYS) == 0] or last:
            midnight_us = self.midnight_of(known)
            seen[tuple(Window((o - midnight_us) // SECOND_US, (c - midnight_us) // SECOND_US) for o, c in by_day[known])] += 1
        return seen.most_common(1)[0][0]

    def _check_order(self) -> None:
        for index in range(1, len(self._days)):
            if self._opens[index] < self._closes[index - 1]:
                before, after = date_of_days(self._days[index - 1]), date_of_days(self._days[index])
                raise SessionConfigError(
                    f"the hours of {self.exchange} on {before} close at {iso(self._closes[index - 1])}, after those of {after} "
                    f"have opened at {iso(self._opens[index])}: a day must be over before the next one opens"
                )

    def _check_covered(self, instant_us: int) -> None:
        if not self.covers(instant_us):
            raise self._beyond(iso(instant_us))

    def _beyond(self, what: str) -> ValueError:
        return ValueError(
            f"{what} is beyond the calendar of {self.exchange}, which goes from {iso(self._opens[0])} to {iso(self._closes[-1])}"
        )


def _parse(what: str, windows: Hours | DayOverride) -> tuple[Window, ...]:
    if isinstance(windows, str):
        raise SessionConfigError(f"{what} must be windows such as ['09:30', '16:00'], got {windows!r}")
    try:
        return parse_windows(windows)
    except ValueError as error:
        raise SessionConfigError(f"{what}: {error}") from None


def _city(zone: tzinfo) -> str:
    return str(zone).rpartition("/")[2].replace("_", " ")
