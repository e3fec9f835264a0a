"""From the fields of a line, whatever they are called, to a bar.

CSV and JSON lines differ in how a line is cut up, not in what it says. Here stands what both agree on: which names a
column may have, how an instant may be written, and what a bar needs. A fault is a `FieldError` that names the field;
the reader that knows file, line and column turns it into a `BarFileError`.

An instant is ISO 8601, or a count since 1970 whose unit is told by its size: below 10^11 seconds, below 10^14
milliseconds, below 10^17 microseconds, else nanoseconds (each is right from 1973 to 5138). Eight digits such as
20131007 are a date. A local time without an offset needs a zone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Final, Literal

from streams.errors import InvalidSymbolError
from streams.records import PROVENANCE_FEED, Bar, check_symbol
from streams.times import interval_us, to_us

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "start": ("start", "time", "timestamp", "datetime", "date", "open_time", "start_us"),
    "end": ("end", "close_time", "end_us"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
    "symbol": ("symbol", "ticker"),
    "interval": ("interval",),
    "vwap": ("vwap", "vw"),
    "trades": ("trades", "trade_count", "n"),
    "provenance": ("provenance",),
}
"""What a field may be called, by what it means; case does not matter, and the first one found counts."""

REQUIRED: Final = ("start", "open", "high", "low", "close", "volume")

_COUNT: Final = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE]\+?[0-9]{1,2})?")
_DATE: Final = re.compile(r"(19|20)[0-9]{6}")
_UNITS: Final = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))

Value = str | int | float | bool | None
Stamp = Literal["open", "close"]


class FieldError(ValueError):
    """A field that can't be read; `field` is its meaning, or `None` when the line as a whole is at fault."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for bars whose line does not say it: symbol, interval, the zone of local times, and which end they are of."""

    symbol: str | None = None
    interval: str | None = None
    zone: tzinfo | None = None
    stamp: Stamp = "open"


def find_fields(names: list[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Which of these names stands for which field: meaning to name. A `date` beside a `time` stays out of it.

    Args:
        names: as the file has them.
        given: what the user says, which goes before the usual names.

    Raises:
        FieldError: the user names what is not there.
    """
    for meaning, name in (given or {}).items():
        if meaning not in NAMES:
            raise FieldError(None, f"{meaning!r} is nothing that a bar has: say one of {', '.join(NAMES)}")
        if name not in names:
            raise FieldError(meaning, f"there is no column {name!r} for {meaning}: there are {', '.join(names)}")
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    found = {meaning: by_lower[name] for meaning, known in NAMES.items() for name in reversed(known) if name in by_lower}
    if "date" in by_lower and "time" in by_lower:
        found["start"], found["day"] = by_lower["time"], by_lower["date"]
    if given and "start" in given:
        found.pop("day", None)
    return found | dict(given or {})


def make_bar(values: Mapping[str, Value], defaults: Defaults) -> Bar:
    """The bar that these values, keyed by meaning, make.

    Raises:
        FieldError: a value is missing, can't be read, or contradicts another.
    """
    for meaning in REQUIRED:
        if _absent(values.get(meaning)):
            raise FieldError(meaning, f"there is no {meaning}: every bar needs {', '.join(REQUIRED)}")
    symbol = _text(values.get("symbol")) or defaults.symbol
    if symbol is None:
        raise FieldError("symbol", "there is no symbol: name it with --symbol or in a column 'symbol'")
    try:
        check_symbol(symbol)
    except InvalidSymbolError as error:
        raise FieldError("symbol", str(error)) from None
    stamped_us = _start(values, defaults.zone)
    start_us = stamped_us if defaults.stamp == "open" else _opened(values, stamped_us, defaults)
    interval, end_us = _extent(values, start_us, defaults)
    trades = None if _absent(values.get("trades")) else _number("trades", values["trades"])
    if trades is not None and trades != int(trades):
        raise FieldError("trades", f"trades is {values['trades']!r}: it must be a whole number")
    return Bar(
        symbol=symbol,
        interval=interval,
        start_us=start_us,
        end_us=end_us,
        open=_number("open", values["open"]),
        high=_number("high", values["high"]),
        low=_number("low", values["low"]),
        close=_number("close", values["close"]),
        volume=_number("volume", values["volume"]),
        vwap=None if _absent(values.get("vwap")) else _number("vwap", values["vwap"]),
        trades=None if trades is None else int(trades),
        provenance=_text(values.get("provenance")) or PROVENANCE_FEED,
    )


def read_instant(text: str, zone: tzinfo | None) -> int:
    """Microseconds since the epoch of an instant in one of the forms that the module names.

    Raises:
        ValueError: it is in none of them, or is a local time without a zone, or one that the zone's clocks skip.
    """
    if _COUNT.fullmatch(text) and not _DATE.fullmatch(text):
        return _from_count(Decimal(text))
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no instant: write one such as 2013-10-07T13:30:00Z, or a count since 1970") from None
    if instant.tzinfo is not None:
        return to_us(instant)
    if zone is None:
        raise ValueError(f"{text!r} has no time zone: write {instant.isoformat()}Z, or name its zone with --zone America/New_York")
    placed = instant.replace(tzinfo=zone).astimezone(UTC)
    if placed.astimezone(zone).replace(tzinfo=None) != instant:
        raise ValueError(f"{text!r} does not exist in {zone}: its clocks skip that time")
    return to_us(placed)


def _from_count(count: Decimal) -> int:
    for limit, factor in _UNITS:
        if abs(count) < limit:
            return int(count * factor)
    return int(count // 1000)


def _start(values: Mapping[str, Value], zone: tzinfo | None) -> int:
    text = _text(values["start"]) or ""
    day = _text(values.get("day"))
    try:
        return read_instant(f"{day} {text}" if day else text, zone)
    except ValueError as error:
        raise FieldError("start", str(error)) from None


def _opened(values: Mapping[str, Value], stamped_us: int, defaults: Defaults) -> int:
    """The start of a bar that is stamped with its close."""
    interval = _text(values.get("interval")) or defaults.interval
    if interval is None:
        raise FieldError("interval", "there is no interval, so a close does not tell the open: name it with --interval 1m")
    try:
        return stamped_us - interval_us(interval)
    except ValueError as error:
        raise FieldError("interval", str(error)) from None


def _extent(values: Mapping[str, Value], start_us: int, defaults: Defaults) -> tuple[str, int]:
    """Interval and end, each from the other where only one is given."""
    interval = _text(values.get("interval")) or defaults.interval
    given_end_us: int | None = None
    if not _absent(values.get("end")):
        try:
            given_end_us = read_instant(_text(values["end"]) or "", defaults.zone)
        except ValueError as error:
            raise FieldError("end", str(error)) from None
    if interval is None:
        if given_end_us is None or given_end_us <= start_us:
            raise FieldError("interval", "there is no interval: name it with --interval 1m or in a column 'interval'")
        return _name_of(given_end_us - start_us), given_end_us
    try:
        end_us = start_us + interval_us(interval)
    except ValueError as error:
        raise FieldError("interval", str(error)) from None
    if given_end_us is not None and given_end_us != end_us:
        given_seconds, right_seconds = ((end - start_us) / 1_000_000 for end in (given_end_us, end_us))
        message = f"the end is {given_seconds:g} seconds after the start: a bar of {interval} ends {right_seconds:g} seconds after it"
        raise FieldError("end", message)
    return interval, end_us


def _name_of(length_us: int) -> str:
    for unit in ("d", "h", "m", "s"):
        unit_us = interval_us(f"1{unit}")
        if length_us % unit_us == 0 and length_us // unit_us <= 99_999:
            return f"{length_us // unit_us}{unit}"
    raise FieldError("end", f"the end is {length_us} microseconds after the start: that is no interval of whole seconds")


def _absent(value: Value) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text(value: Value) -> str | None:
    if _absent(value):
        return None
    return value.strip() if isinstance(value, str) else repr(value)


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
