"""From the fields of a line to a bar: its start, its end and its interval, each from the others where it is not said.

The end may be one unit short, as exchanges write it: 59.999 seconds after the start of a minute is its end. The last bar of a day,
of an hour or longer, ends at the close. A local time that the clocks show twice makes two bars, unless the end tells which of them
it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Final

from streams.history.formats.fields import (
    BAR_FIELDS,
    FieldError,
    Form,
    Repeated,
    Value,
    is_absent,
    one_or_two,
    place_moment,
    read_moment,
    read_symbol,
    text_of,
)
from streams.instants import Moment
from streams.model.records import PROVENANCE_FEED, Bar
from streams.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US, interval_name, interval_us

_NO_END: Final = "If the column is not the end of the bar, leave it aside with --ignore-column"
_ONE_SHORT_US: Final = (1, 1000, SECOND_US)


def make_bar(values: Mapping[str, Value], form: Form) -> Bar | Repeated[Bar]:
    """The bar that these values, keyed by meaning, make.

    Raises:
        FieldError: a value is missing, can't be read, or contradicts another.
    """
    for meaning in BAR_FIELDS.required:
        if is_absent(values.get(meaning)):
            raise FieldError(meaning, f"there is no {meaning}: every bar needs {', '.join(BAR_FIELDS.required)}")
    symbol = read_symbol(values, form)
    moment = read_moment(values, "start", form, text_of(values.get("day")))
    extents = _extents(values, moment, form)
    trades = None if is_absent(values.get("trades")) else _number("trades", values["trades"])
    if trades is not None and trades != int(trades):
        raise FieldError("trades", f"trades is {values['trades']!r}: it must be a whole number")
    prices = {name: _number(name, values[name]) for name in ("open", "high", "low", "close", "volume")}
    bars = [
        Bar(
            symbol=symbol,
            interval=interval,
            start_us=start_us,
            end_us=end_us,
            **prices,
            vwap=None if is_absent(values.get("vwap")) else _number("vwap", values["vwap"]),
            trades=None if trades is None else int(trades),
            provenance=text_of(values.get("provenance")) or PROVENANCE_FEED,
        )
        for interval, start_us, end_us in extents
    ]
    return one_or_two(bars, [bar.end_us for bar in bars], moment, "start", form)


def _extents(values: Mapping[str, Value], moment: Moment, form: Form) -> list[tuple[str, int, int]]:
    """Interval, start and end, each from the others where it is not said: one, or two where local times are two instants."""
    interval = text_of(values.get("interval")) or form.interval
    try:
        length_us = None if interval is None else interval_us(interval)
    except ValueError as error:
        raise FieldError("interval", str(error)) from None
    stamps = place_moment(moment, "start", form, whole_days=length_us is not None and length_us % DAY_US == 0)
    if form.stamp == "close":
        if length_us is None:
            raise FieldError("interval", "there is no interval, so a close does not tell the open: name it with --interval 1m")
        starts = tuple(_whole_end(stamp + (moment.nanoseconds >= 500), length_us) - length_us for stamp in stamps)
    elif moment.nanoseconds:
        raise FieldError("start", f"{moment.text!r} is finer than a microsecond: no bar starts there")
    else:
        starts = stamps
    if is_absent(values.get("end")):
        if interval is None or length_us is None:
            raise FieldError("interval", "there is no interval: name it with --interval 1m or in a column 'interval'")
        return [(interval, start_us, start_us + length_us) for start_us in starts]
    ends = _ends(values, form)
    if interval is None or length_us is None:
        return _named(starts, ends)
    # The local day of the hour that comes twice ends an hour after its 24 hours.
    longer_us = HOUR_US if form.zone is not None and length_us % DAY_US == 0 else 0
    fitting = [(interval, start_us, start_us + length_us) for start_us in starts if _fits(start_us + length_us, ends, longer_us)]
    if not fitting and length_us >= HOUR_US:
        closes = [_whole_end(end_us, length_us) for end_us in ends]
        fitting = [
            (interval, start_us, close_us)
            for start_us, close_us in product(starts, closes)
            if start_us < close_us < start_us + length_us and close_us % MINUTE_US == 0
        ]
    if not fitting:
        given_seconds, right_seconds = ((end_us - starts[0]) / SECOND_US for end_us in (ends[0], starts[0] + length_us))
        message = f"the end is {given_seconds:g} seconds after the start: a bar of {interval} ends {right_seconds:g} seconds after it"
        raise FieldError("end", f"{message}. {_NO_END}")
    return fitting


def _ends(values: Mapping[str, Value], form: Form) -> tuple[int, ...]:
    try:
        moment = read_moment(values, "end", form)
        return tuple(us + (moment.nanoseconds >= 500) for us in place_moment(moment, "end", form))
    except FieldError as error:
        raise FieldError("end", f"{error}. {_NO_END}") from None


def _fits(right_us: int, ends: tuple[int, ...], longer_us: int) -> bool:
    return any(right_us + more_us - end_us in (0, *_ONE_SHORT_US) for end_us in ends for more_us in {0, longer_us})


def _whole_end(us: int, length_us: int) -> int:
    """The end that a close stands for which may be one unit short of a whole second, or of a whole minute."""
    for short_us in (1, 1000):
        if (us + short_us) % SECOND_US == 0:
            us += short_us
    return us + SECOND_US if length_us % MINUTE_US == 0 and (us + SECOND_US) % MINUTE_US == 0 else us


def _named(starts: tuple[int, ...], ends: tuple[int, ...]) -> list[tuple[str, int, int]]:
    """The extents of a bar whose interval is that from its start to its end; of several the shortest counts."""
    lengths = {(start_us, end_us): end_us - start_us for start_us, end_us in product(starts, ends) if end_us > start_us}
    if not lengths:
        raise FieldError("interval", "there is no interval: name it with --interval 1m or in a column 'interval'")
    shortest_us = min(lengths.values())
    name, length_us = _name_of(shortest_us)
    return [(name, start_us, start_us + length_us) for (start_us, _), length in lengths.items() if length == shortest_us]


def _name_of(given_us: int) -> tuple[str, int]:
    for length_us in (given_us, *(given_us + short_us for short_us in _ONE_SHORT_US[:2])):
        if length_us % SECOND_US:
            continue
        if (length_us + SECOND_US) % MINUTE_US == 0:
            what = f"the end is {length_us // SECOND_US} seconds after the start, which may be one second short"
            raise FieldError("end", f"{what}: name the interval with --interval 1m")
        try:
            return interval_name(length_us), length_us
        except ValueError:
            break
    raise FieldError("end", f"the end is {given_us} microseconds after the start: that is no interval of whole seconds")


def _number(meaning: str, value: Value) -> float:
    number = math.nan
    if not isinstance(value, bool) and value is not None:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
    if not math.isfinite(number):
        raise FieldError(meaning, f"{meaning} is {value!r}: it must be a number such as 167.41")
    return number
