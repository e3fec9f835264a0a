"""Instants as people and files write them: the one parser of every entry point.

Files that are imported or produced, commands, options of the command line and parameters of HTTP all read times here.
What stands for an instant:

- ISO 8601: `2013-10-07T13:30:00Z`, `2013-10-07 09:30`. Without an offset it is a local time and needs a zone. The parts of the
  date may be apart by dots or slashes, `2013.10.07`: the year comes first.
- A number of 8, 12, 14 or 17 digits that makes a date of 1970 to 2099: `20131007`, `201310070930`, `20131007093000`,
  `20131007093000250`. It is local as well.
- A count since 1970 of seconds, milliseconds, microseconds or nanoseconds: the unit is the one that puts it between 1973 and
  2100. No number fits two of them. A count outside is refused, and the error says what the number may be.
- A date and a time of the twelve-hour clock: `2013-10-07 9:30 AM`. It is local.
- A time of day beside its date: `parse_moment("093000.250", day="20131007")`.

A local time that the clocks of its zone show twice is two instants, `place` gives both; `read_instant` refuses it. A date
alone is the first instant of that day.

    >>> read_instant("1381152600")
    1381152600000000
    >>> read_instant("201310070930", ZoneInfo("America/New_York"))
    1381152600000000

JSON on the wire has a contract of its own, text in ISO 8601 or whole microseconds: it reads its texts with
`streams.times.parse_instant`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final, NamedTuple

from streams.times import DAY_US, HOUR_US, SECOND_US, from_us, iso, to_us

FIRST_US: Final = 94_694_400 * SECOND_US
"""1973-01-01: a count before it is taken for something else."""
LAST_US: Final = 4_102_444_800 * SECOND_US
"""2100-01-01: the newest time that a file may have."""
AHEAD_US: Final = DAY_US
"""How far a count may lie ahead of the newest plausible time."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE]\+?[0-9]{1,2})?")
_POINTED: Final = re.compile(r"^([0-9]{4})([./])([0-9]{2})\2([0-9]{2})\b")
_YEAR_LAST: Final = re.compile(r"[0-9]{1,2}([./-])[0-9]{1,2}\1[0-9]{2,4}\b")
_HALF_DAY: Final = re.compile(r"[0-9] ?[AaPp][Mm](?:Z|z|[+-][0-9]{2}:?[0-9]{2})?$")
_FINE: Final = re.compile(r"[.,][0-9]{6}([0-9]+)")
_YEAR_START: Final = re.compile(r"(?:19[7-9]|20[0-9])[0-9]+")
_COMPACT: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
_UNITS: Final = (
    ("seconds", Decimal(SECOND_US)),
    ("milliseconds", Decimal(1000)),
    ("microseconds", Decimal(1)),
    ("nanoseconds", Decimal("0.001")),
)
_LARGEST: Final = (10**11, 10**14, 10**17)
_CLOCK: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?(?: ?([AaPp][Mm]))?(Z|z|[+-][0-9]{2}:?[0-9]{2})?")
_DIGITS_OF_DAY: Final = re.compile(r"([0-9]+)(?:\.([0-9]*))?")
_YEAR_10000_US: Final = 253_402_300_800 * SECOND_US


class Moment(NamedTuple):
    """What a text says: an instant, or a local time that takes a zone to be one.

    Attributes:
        text: as it is written.
        us: microseconds since 1970, None for a local time.
        local: the local time, None for an instant.
        is_date: it names a day and no time of day.
        nanoseconds: what is finer than a microsecond, 0 to 999; `us` and `local` leave it out.
    """

    text: str
    us: int | None
    local: datetime | None
    is_date: bool = False
    nanoseconds: int = 0


def read_instant(text: str, zone: tzinfo | None = None) -> int:
    """Microseconds since 1970 of an instant in any of the forms above; what is finer than a microsecond is cut off.

    Args:
        text: the instant.
        zone: of local times.

    Raises:
        ValueError: it is in none of the forms, a local time without a zone, or one that its zone's clocks skip or show twice.
    """
    moment = parse_moment(text)
    if zone is None and moment.local is not None:
        local = moment.local.isoformat()
        raise ValueError(f"{text!r} has no time zone, so it names no instant: write {local}Z or {local}-05:00")
    candidates = place(moment, zone)
    if len(candidates) == 2:
        raise ValueError(": ".join(two_instants(text, candidates, zone)))
    return candidates[0]


def parse_moment(text: str, *, day: str | None = None, now_us: int | None = None) -> Moment:
    """What a text says, before a zone is known.

    Args:
        text: an instant, or with `day` a time of day.
        day: the date that stands beside it, such as `20131007` or `2013-10-07`.
        now_us: the clock, of records that come as they happen: a count may lie a day ahead of it. None for files: until 2100.

    Raises:
        ValueError: it is in none of the forms; the message says what a number may be.
    """
    text = _POINTED.sub(r"\1-\3-\4", text.strip())
    if day is not None:
        return _beside(text, day.strip(), now_us)
    if _NUMBER.fullmatch(text):
        return _number(text, now_us)
    date_text, _, clock = text.partition(" ")
    if _HALF_DAY.search(clock):
        # A date and a time of the twelve-hour clock in one column, as spreadsheets write them.
        if _YEAR_LAST.match(date_text):
            raise ValueError(f"{text!r} is not an instant: {_right_form(date_text)}")
        return _beside(clock.strip(), date_text, now_us)._replace(text=text)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an instant: {_right_form(text)}") from None
    _check_date(text, parsed, now_us)
    fine = _FINE.search(text)
    nanoseconds = int(fine[1][:3].ljust(3, "0")) if fine else 0
    if parsed.tzinfo is not None:
        return Moment(text, to_us(parsed), None, False, nanoseconds)
    return Moment(text, None, parsed, len(text) <= 10, nanoseconds)


def unit_of_count(count: Decimal) -> tuple[str, int] | None:
    """The unit that puts a count since 1970 between 1973 and 2100, and the instant that it is; None if none does."""
    if not count.is_finite():
        return None
    for unit, factor in _UNITS:
        if FIRST_US <= (exact := count * factor) <= LAST_US:
            return unit, int(exact)
    return None


def _check_date(text: str, parsed: datetime, now_us: int | None) -> None:
    """Hold a date in ISO 8601 to the bounds that counts have."""
    utc_us = to_us(parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC))
    # A zone is at most 14 hours ahead.
    if now_us is not None and utc_us > now_us + AHEAD_US + (0 if parsed.tzinfo is not None else 14 * HOUR_US):
        raise ValueError(f"{text!r} is more than a day ahead of the clock, {iso(now_us)}")


def _right_form(text: str) -> str:
    if _YEAR_LAST.match(text):
        return "write the year first, such as 2013-10-07T13:30:00Z: otherwise day and month can't be told apart"
    return "write one such as 2013-10-07T13:30:00Z, or a count since 1970"


def place(moment: Moment, zone: tzinfo | None, *, whole_days: bool = False) -> tuple[int, ...]:
    """The instants, one or two, that a moment is in a zone: microseconds since 1970, the earlier one first.

    Args:
        moment: what a text says.
        zone: whose clocks show local times.
        whole_days: it is of something that takes whole days, so that a midnight is the day's first instant.

    Raises:
        ValueError: a local time without a zone, or one that the zone's clocks skip.
    """
    if moment.us is not None:
        return (moment.us,)
    local = moment.local
    assert local is not None  # noqa: S101 - one of both is there
    if zone is None:
        raise ValueError(f"{moment.text!r} has no time zone: write {local.isoformat()}Z, or name its zone with --zone America/New_York")
    first, second = (to_us(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first == second:
        return (first,)
    if moment.is_date or (whole_days and local.time() == datetime.min.time()):
        # The clocks may skip or repeat midnight: the day begins when its date is first shown.
        if from_us(first).astimezone(zone).date() == local.date():
            return (first,)
    elif first < second:
        return (first, second)
    raise ValueError(f"{moment.text!r} does not exist in {zone}: its clocks skip that time")


def two_instants(text: str, candidates: tuple[int, ...], zone: tzinfo | None) -> tuple[str, str]:
    """What is wrong with a local time that is two instants, and what to write instead."""
    earlier, later = (from_us(candidate).astimezone(zone).isoformat() for candidate in candidates)
    wrong = f"{text!r} is two instants in {zone}, where the clocks go back, {iso(candidates[0])} and {iso(candidates[1])}"
    return wrong, f"write {earlier} or {later}"


def _number(text: str, now_us: int | None) -> Moment:
    count = Decimal(text)
    if count == count.to_integral_value() and count > 0:
        digits = str(int(count))
        if (local := _compact(digits)) is not None:
            _check_ahead(text, local, now_us)
            return Moment(text, None, local, len(digits) == 8)
        if len(digits) in _COMPACT and _YEAR_START.fullmatch(digits):
            raise ValueError(
                f"{text!r} is not an instant: {len(digits)} digits are a date such as {_example(len(digits))}, and this one does not exist"
            )
    latest_us = LAST_US if now_us is None else now_us
    for _, factor in _UNITS:
        exact = count * factor
        if FIRST_US <= exact <= latest_us + AHEAD_US:
            us = int(exact)
            return Moment(text, us, None, False, int((exact - us) * 1000))
    raise ValueError(_not_a_count(text, count, now_us))


def _compact(digits: str) -> datetime | None:
    """The date that these digits make, if it is one of 1970 to 2099."""
    form = _COMPACT.get(len(digits))
    if form is None or not _YEAR_START.fullmatch(digits):
        return None
    try:
        return datetime.strptime(digits, form)
    except ValueError:
        return None


def _example(length: int) -> str:
    return "20131007093000250"[:length]


def _check_ahead(text: str, local: datetime, now_us: int | None) -> None:
    # A zone is at most 14 hours ahead; the day of grace holds for the local time.
    if now_us is not None and local > from_us(now_us).replace(tzinfo=None) + timedelta(microseconds=AHEAD_US, hours=14):
        raise ValueError(f"{text!r} is the date {local}, more than a day ahead of the clock, {iso(now_us)}")


def _not_a_count(text: str, count: Decimal, now_us: int | None) -> str:
    unit, factor = next((known for known, largest in zip(_UNITS, _LARGEST, strict=False) if abs(count) < largest), _UNITS[-1])
    us = int(count * factor)
    read = iso(us) if abs(us) < _YEAR_10000_US // 5 else f"{'before' if us < 0 else 'after'} the range of dates"
    limit = "before 1973" if us < FIRST_US else "after 2100" if now_us is None else f"more than a day ahead of the clock, {iso(now_us)}"
    said = f"{text!r} is not an instant: as {unit} since 1970 it is {read}, {limit}"
    guesses = _guesses(text, count)
    return f"{said}. It may be {', or '.join(guesses)}" if guesses else said


def _guesses(text: str, count: Decimal) -> list[str]:
    """What a number that is not a count since 1970 may be."""
    found: list[str] = []
    digits = text.partition(".")[0].lstrip("+")
    value = float(count)
    if (
        digits.isdecimal()
        and 3 <= len(digits) <= 6
        and (time := _time_of_digits(digits.zfill(4 if len(digits) < 5 else 6), "")) is not None
    ):
        found.append(f"the time of day {_clock(time)} without its date: name the column of the date with --column day=NAME")
    if 25_569 <= value < 73_051:
        found.append(f"a spreadsheet's day number, {_days_after('1899-12-30', value)}: format the column as date and time")
    if 1_096 <= value < 47_482:
        found.append(f"days since 1970, {_days_after('1970-01-01', value)}: write the dates")
    if 720_624 <= value < 767_011:
        found.append(f"MATLAB's day number, {_days_after('1970-01-01', value - 719_529)}: write the dates")
    if 2_441_683 <= value < 2_488_070:
        found.append(f"a Julian day, {_days_after('1970-01-01', value - 2_440_587.5)}: write the dates")
    is_whole = count == count.to_integral_value()
    if is_whole and 1_000_000 <= value < 86_400_000:
        found.append(f"milliseconds of a day, {_clock(timedelta(milliseconds=int(value)))}, without its date")
    if is_whole and 1_577_880 <= value < 68_374_080:
        found.append(f"minutes since 1970, {iso(int(value) * 60 * SECOND_US)}: write seconds")
    if digits.isdecimal():
        found += _dates_of(digits)
    return found


def _dates_of(digits: str) -> list[str]:
    """Dates of unusual length that digits may be."""
    if len(digits) == 6 and (local := _parsed(digits, "%y%m%d")) is not None:
        return [f"the date {local.date()} with a year of two digits: write all four"]
    if len(digits) == 10 and (local := _parsed(digits, "%Y%m%d%H")) is not None:
        return [f"the date and hour {local}: write the minutes too, {digits}00"]
    if len(digits) > 17 and (local := _parsed(digits[:14], "%Y%m%d%H%M%S")) is not None:
        return [f"a date and time of more than 17 digits: write {local.isoformat()}.{digits[14:]}"]
    return []


def _parsed(digits: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(digits, form)
    except ValueError:
        return None


def _days_after(day: str, days: float) -> str:
    return str(datetime.fromisoformat(day) + timedelta(seconds=round(days * 86_400)))


def _beside(text: str, day: str, now_us: int | None) -> Moment:
    """The moment of a time of day and the date beside it."""
    stated = _date(day)
    match = _CLOCK.fullmatch(text)
    time: timedelta | None
    nanoseconds = 0
    if match is not None:
        hours, minutes, seconds, fraction, half, offset = match.groups()
        time = _time(int(hours), int(minutes), int(seconds or 0), fraction or "", half)
        nanoseconds = _nanoseconds(fraction or "")
    elif (number := _DIGITS_OF_DAY.fullmatch(text)) is not None and len(number[1]) <= 9:
        offset = None
        fraction = number[2] or ""
        if len(number[1]) < 4:
            raise ValueError(f"{text!r} may be hours and minutes, or minutes and seconds: write it as 0930, 093000 or 09:30")
        time, nanoseconds = _time_of_digits(number[1], fraction), _nanoseconds(fraction)
    else:
        return _full(text, day, stated, now_us)
    if time is None:
        raise ValueError(f"{text!r} is not a time of day: write one such as 09:30, 09:30:00.250 or 093000")
    local = datetime.combine(stated, datetime.min.time()) + time
    if offset is None:
        return Moment(f"{day} {text}", None, local, False, nanoseconds)
    us = to_us(datetime.fromisoformat(f"{local.isoformat()}{offset}"))
    return Moment(f"{day} {text}", us, None, False, nanoseconds)


def _full(text: str, day: str, stated: date, now_us: int | None) -> Moment:
    """What stands beside a date and is more than a time of day: an instant, which the date must not contradict."""
    try:
        moment = parse_moment(text, now_us=now_us)
    except ValueError:
        raise ValueError(f"{text!r} is neither a time of day nor an instant: write one such as 09:30, 09:30:00.250 or 093000") from None
    its_date = from_us(moment.us).date() if moment.us is not None else moment.local.date() if moment.local is not None else stated
    # Another zone may show the day before or after.
    if abs((its_date - stated).days) > (1 if moment.us is not None else 0):
        raise ValueError(f"{text!r} has a date of its own, and the date beside it is {day}: correct one of them, or ignore a column")
    return moment


def _date(text: str) -> date:
    try:
        moment = parse_moment(text)
    except ValueError:
        moment = Moment(text, 0, None)
    if moment.local is None or not (moment.is_date or moment.local.time() == datetime.min.time()):
        raise ValueError(f"the date {text!r} is none: write one such as 2013-10-07 or 20131007")
    return moment.local.date()


def _time_of_digits(digits: str, fraction: str) -> timedelta | None:
    """The time of day of `0930`, `093000`, `93000` or `093000250`; None if it is none."""
    if len(digits) == 4:
        return None if fraction.strip("0") else _time(int(digits[:2]), int(digits[2:]), 0, "", None)
    width = 6 if len(digits) <= 6 else 9
    padded = digits.zfill(width)
    if width == 9 and fraction.strip("0"):
        return None
    return _time(int(padded[:2]), int(padded[2:4]), int(padded[4:6]), padded[6:] or fraction, None)


def _time(hours: int, minutes: int, seconds: int, fraction: str, half: str | None) -> timedelta | None:
    if half is not None:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half.lower() == "pm" else 0)
    time = timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=int(fraction[:6].ljust(6, "0")))
    # 24:00 is the end of the day.
    return time if minutes < 60 and seconds < 60 and time <= timedelta(days=1) else None


def _nanoseconds(fraction: str) -> int:
    return int(fraction[6:9].ljust(3, "0")) if len(fraction) > 6 else 0


def _clock(time: timedelta) -> str:
    return (datetime(1970, 1, 1) + time).time().isoformat()  # noqa: DTZ001 - a time of day alone
