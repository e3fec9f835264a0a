"""From the fields of a line, whatever they are called, to a record.

CSV, JSON lines and Parquet differ in how a line is cut up, not in what it says. Here stands what they agree on: which names
a column may have, and what a bar needs. A fault is a `FieldError` that names the field; the reader that knows file, line and
column turns it into a `BarFileError`. How an instant may be written is the affair of `streams.instants`.

The end of a bar may be one unit short, as exchanges write it: 59.999 seconds after the start of a minute is its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from itertools import product
from typing import Final, Generic, Literal, TypeVar

from streams.errors import InvalidSymbolError
from streams.instants import Moment, parse_moment, place, two_instants
from streams.records import PROVENANCE_FEED, Bar, Quote, Tick, check_symbol
from streams.times import DAY_US, MINUTE_US, SECOND_US, interval_name, interval_us

R = TypeVar("R", Bar, Quote, Tick)

Value = str | int | float | bool | None
Stamp = Literal["open", "close"]

_DATE: Final = ("date",)
_NO_END: Final = "If the column is not the end of the bar, leave it aside with --ignore-column"
_ONE_SHORT_US: Final = (1, 1000, SECOND_US)
_LATE_US: Final = MINUTE_US
"""How far the clock of a feed may be ahead of ours."""


class FieldError(ValueError):
    """A field that can't be read; `field` is its meaning, or `None` when the line as a whole is at fault."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a kind of records.

    Attributes:
        thing: what a record is called in messages.
        names: what a field may be called, by what it means; case does not matter, and the first one found counts.
        required: what every record needs.
        time: the field that a date may stand beside.
    """

    thing: str
    names: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...]
    time: str


_SHARED: Final = {"symbol": ("symbol", "ticker"), "provenance": ("provenance",), "day": ()}

BAR_FIELDS: Final = Fields(
    "bar",
    {
        "start": ("start", "time", "timestamp", "datetime", "date", "open_time", "start_us"),
        "end": ("end", "close_time", "end_us"),
        "open": ("open", "o"),
        "high": ("high", "h"),
        "low": ("low", "l"),
        "close": ("close", "c"),
        "volume": ("volume", "vol", "v"),
        "interval": ("interval",),
        "vwap": ("vwap", "vw"),
        "trades": ("trades", "trade_count", "n"),
        **_SHARED,
    },
    ("start", "open", "high", "low", "close", "volume"),
    "start",
)  # fmt: skip
_TIMES: Final = ("time", "timestamp", "datetime", "date", "ts", "time_us")
QUOTE_FIELDS: Final = Fields(
    "quote",
    {
        "time": _TIMES,
        "bid": ("bid", "bid_price", "bp"),
        "ask": ("ask", "ask_price", "ap"),
        "bid_size": ("bid_size", "bidsize", "bs"),
        "ask_size": ("ask_size", "asksize", "as"),
        **_SHARED,
    },
    ("time",),
    "time",
)
TICK_FIELDS: Final = Fields(
    "tick",
    {"time": _TIMES, "price": ("price", "last", "p"), "size": ("size", "quantity", "qty", "volume", "s"), **_SHARED},
    ("time", "price", "size"),
    "time",
)


@dataclass(frozen=True, slots=True)
class Form:
    """How to understand lines that don't say it all themselves.

    Attributes:
        symbol: of lines that do not name one.
        interval: of lines that do not name one, such as `1m`.
        zone: of times without an offset.
        stamp: whether a line's time is that of the bar's open or of its close.
        columns: what columns with names of their own hold: meaning to name.
        ignored: columns that are left aside.
        now_us: the clock, for records that come as they happen; None for files of any age.
        in_order: keep the order of the lines across symbols, where a line waits for others of its symbol.
    """

    symbol: str | None = None
    interval: str | None = None
    zone: tzinfo | None = None
    stamp: Stamp = "open"
    columns: Mapping[str, str] = field(default_factory=dict)
    ignored: Collection[str] = ()
    now_us: Callable[[], int] | None = None
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class Repeated(Generic[R]):
    """A record with a local time that the clocks show twice: one of two, which the order of the lines has to tell.

    Attributes:
        earlier, later: what it may be.
        field: whose time it is.
        wrong: what is wrong with it alone.
        right: what to write instead.
    """

    earlier: R
    later: R
    field: str
    wrong: str
    right: str


def find_fields(names: list[str], fields: Fields, form: Form) -> dict[str, str]:
    """Which of these names stands for which field: meaning to name. A `date` beside a `time` is the meaning `day`.

    Args:
        names: as the file has them.
        fields: what a record of the kind has.
        form: which columns the user names, which go before the usual names, and which are ignored.

    Raises:
        FieldError: the user names what is not there.
    """
    names = [name for name in names if name not in form.ignored]
    for meaning, name in form.columns.items():
        if meaning not in fields.names:
            raise FieldError(None, f"{meaning!r} is nothing that a {fields.thing} has: say one of {', '.join(fields.names)}")
        if name not in names:
            raise FieldError(meaning, f"there is no column {name!r} for {meaning}: there are {', '.join(names)}")
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    found = {meaning: by_lower[name] for meaning, known in fields.names.items() for name in reversed(known) if name in by_lower}
    if "date" in by_lower and "time" in by_lower:
        found[fields.time], found["day"] = by_lower["time"], by_lower["date"]
    if fields.time in form.columns:
        found.pop("day", None)
    return found | dict(form.columns)


def missing_fields(fields: Fields, found: Collection[str]) -> str | None:
    """What a record needs and no column has, with the names that it may have; None when all is there."""
    lacking = [meaning for meaning in fields.required if meaning not in found]
    return ", ".join(f"{meaning} (or {', '.join(fields.names[meaning][1:])})" for meaning in lacking) or None


def make_bar(values: Mapping[str, Value], form: Form) -> Bar | Repeated[Bar]:
    """The bar that these values, keyed by meaning, make.

    Raises:
        FieldError: a value is missing, can't be read, or contradicts another.
    """
    for meaning in BAR_FIELDS.required:
        if _absent(values.get(meaning)):
            raise FieldError(meaning, f"there is no {meaning}: every bar needs {', '.join(BAR_FIELDS.required)}")
    symbol = read_symbol(values, form)
    moment = _moment(values, "start", form)
    extents = _extents(values, moment, form)
    trades = None if _absent(values.get("trades")) else _number("trades", values["trades"])
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
            vwap=None if _absent(values.get("vwap")) else _number("vwap", values["vwap"]),
            trades=None if trades is None else int(trades),
            provenance=text_of(values.get("provenance")) or PROVENANCE_FEED,
        )
        for interval, start_us, end_us in extents
    ]
    return one_or_two(bars, [bar.end_us for bar in bars], moment, "start", form)


def one_or_two(records: list[R], known_us: list[int], moment: Moment, meaning: str, form: Form) -> R | Repeated[R]:
    """The record, or, where its local time is two instants, both of them.

    Args:
        records: one or two, the earlier one first.
        known_us: from when on each can be known: what is not yet over by the clock is not what has just come.
        moment: the time of the line.
        meaning: its field.
        form: zone and clock.
    """
    if len(records) == 1 or (form.now_us is not None and known_us[1] > form.now_us() + _LATE_US):
        return records[0]
    wrong, right = two_instants(moment.text, place(moment, form.zone), form.zone)
    return Repeated(records[0], records[1], meaning, wrong, right)


def read_symbol(values: Mapping[str, Value], form: Form) -> str:
    """The symbol that a line names, or that is named for all lines.

    Raises:
        FieldError: there is none, or it can't be one.
    """
    symbol = text_of(values.get("symbol")) or form.symbol
    if symbol is None:
        raise FieldError("symbol", "there is no symbol: name it with --symbol or in a column 'symbol'")
    try:
        return check_symbol(symbol)
    except InvalidSymbolError as error:
        raise FieldError("symbol", str(error)) from None


def read_moment(values: Mapping[str, Value], meaning: str, form: Form, day: str | None = None) -> Moment:
    """The moment that a field says.

    Raises:
        FieldError: it can't be read.
    """
    now_us = None if form.now_us is None else form.now_us()
    try:
        return parse_moment(text_of(values.get(meaning)) or "", day=day, now_us=now_us)
    except ValueError as error:
        raise FieldError(meaning, str(error)) from None


def place_moment(moment: Moment, meaning: str, form: Form, *, whole_days: bool = False) -> tuple[int, ...]:
    """The instants, one or two, of a moment.

    Raises:
        FieldError: a local time without a zone, or one that its clocks skip.
    """
    try:
        return place(moment, form.zone, whole_days=whole_days)
    except ValueError as error:
        raise FieldError(meaning, str(error)) from None


def text_of(value: Value) -> str | None:
    """The value as text, None for one that is empty."""
    if _absent(value):
        return None
    return value.strip() if isinstance(value, str) else repr(value)


def _moment(values: Mapping[str, Value], meaning: str, form: Form) -> Moment:
    return read_moment(values, meaning, form, text_of(values.get("day")))


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
        starts = tuple(_whole_end(stamp, moment, length_us) - length_us for stamp in stamps)
    elif moment.nanoseconds:
        raise FieldError("start", f"{moment.text!r} is finer than a microsecond: no bar starts there")
    else:
        starts = stamps
    if _absent(values.get("end")):
        if interval is None or length_us is None:
            raise FieldError("interval", "there is no interval: name it with --interval 1m or in a column 'interval'")
        return [(interval, start_us, start_us + length_us) for start_us in starts]
    ends = _ends(values, form)
    if interval is None or length_us is None:
        return _named(starts, ends)
    fitting = [(interval, start_us, start_us + length_us) for start_us in starts if _fits(start_us + length_us, ends)]
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


def _fits(right_us: int, ends: tuple[int, ...]) -> bool:
    return any(right_us - end_us in (0, *_ONE_SHORT_US) for end_us in ends)


def _whole_end(us: int, moment: Moment, length_us: int) -> int:
    """The end that a close stands for which may be one unit short of a whole second, or of a whole minute."""
    us += moment.nanoseconds >= 500
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


def _absent(value: Value) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


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
