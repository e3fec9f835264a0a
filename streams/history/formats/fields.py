"""From the fields of a line, whatever they are called, to a record.

CSV, JSON lines and Parquet differ in how a line is cut up, not in what it says. Here stands what they agree on: which names
a column may have, and what a record needs. A fault is a `FieldError` that names the field; the reader that knows file, line and
column turns it into a `BarFileError`. How an instant may be written is the affair of `streams.instants`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final, Generic, Literal, TypeVar

from streams.errors import InvalidSymbolError
from streams.history.formats.unknown import UnknownColumns
from streams.instants import Moment, parse_moment, place, two_instants
from streams.model.records import Bar, Quote, Tick, check_symbol
from streams.times import MINUTE_US

R = TypeVar("R", Bar, Quote, Tick)

Value = str | int | float | bool | None
Stamp = Literal["open", "close"]

_INDEX: Final = re.compile(r"__index_level_[0-9]+__")
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
        unknown: counts the columns that are not read, if anyone asks.
    """

    symbol: str | None = None
    interval: str | None = None
    zone: tzinfo | None = None
    stamp: Stamp = "open"
    columns: Mapping[str, str] = field(default_factory=dict)
    ignored: Collection[str] = ()
    now_us: Callable[[], int] | None = None
    in_order: bool = False
    unknown: UnknownColumns | None = None


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


def unknown_names(names: Iterable[str], found: Mapping[str, str], form: Form) -> list[str]:
    """The names that are neither read nor ignored: what is lost unless someone hears of it.

    The unnamed indexes that pandas writes into a Parquet file are not among them: they number the rows.
    """
    read = {*found.values(), *form.ignored}
    return [name for name in names if name not in read and _INDEX.fullmatch(name) is None]


def missing_fields(fields: Fields, found: Collection[str]) -> str | None:
    """What a record needs and no column has, with the names that it may have; None when all is there."""
    lacking = [meaning for meaning in fields.required if meaning not in found]
    return ", ".join(f"{meaning} (or {', '.join(fields.names[meaning][1:])})" for meaning in lacking) or None


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
    if is_absent(value):
        return None
    return value.strip() if isinstance(value, str) else repr(value)


def is_absent(value: Value) -> bool:
    """Whether nothing stands in a field; a NaN is how columns of floats say so."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())
