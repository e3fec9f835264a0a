"""Quotes and ticks from a user's own text: CSV with a header, or one JSON object a line.

As with bars, a record is out as soon as its line is in, and a line that can't be read is a `BarFileError` with file, line and
column, raised or handed to `on_error`. Columns go by their usual names, instants by the forms of `streams.history.fields`.

    with open("quotes.csv", encoding="utf-8-sig", newline="") as stream:
        for quote in read_extras(stream, QUOTES, "csv", symbol="SPY"):
            producer.send(quote)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import Final, Literal

from streams.errors import BarFileError, InvalidSymbolError
from streams.history.checks import OnError
from streams.history.fields import FieldError, Value, read_instant
from streams.records import PROVENANCE_FEED, QUOTES, TICKS, Quote, Tick, check_symbol

Format = Literal["csv", "jsonl"]

_COMMON: Final = {
    "symbol": ("symbol", "ticker"),
    "time": ("time", "timestamp", "datetime", "date", "ts", "time_us"),
    "provenance": ("provenance",),
}
NAMES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    QUOTES: {
        **_COMMON,
        "bid": ("bid", "bid_price", "bp"),
        "ask": ("ask", "ask_price", "ap"),
        "bid_size": ("bid_size", "bidsize", "bs"),
        "ask_size": ("ask_size", "asksize", "as"),
    },
    TICKS: {**_COMMON, "price": ("price", "last", "p"), "size": ("size", "quantity", "qty", "volume", "s")},
}
"""What a field may be called, by stream and meaning; case does not matter, and the first one found counts."""

_REQUIRED: Final = {QUOTES: ("time",), TICKS: ("time", "price", "size")}
_DELIMITERS: Final = ",;\t"


def read_extras(
    stream: Iterable[str],
    kind: str,
    form: Format,
    *,
    name: str = "standard input",
    symbol: str | None = None,
    zone: tzinfo | None = None,
    on_error: OnError | None = None,
) -> Iterator[Quote | Tick]:
    """The quotes or ticks of a text.

    Args:
        stream: the lines, opened with `newline=""`.
        kind: `quotes` or `ticks`.
        form: how a line is cut up.
        name: what the file is called in messages.
        symbol: of lines that do not name one.
        zone: of times without an offset.
        on_error: takes a line that can't be read; without it the first one is raised.

    Raises:
        BarFileError: the header lacks a column, or, without `on_error`, a line can't be read.
    """
    lines = _csv_lines(stream, kind, name) if form == "csv" else _json_lines(stream, name)
    for number, values in lines:
        error: str | None = None
        if isinstance(values, str):
            error = values
        else:
            try:
                record = _made(kind, _meanings(kind, values), symbol, zone)
            except FieldError as fault:
                error = f"column {_place(kind, values, fault.field)}: {fault}"
        if error is None:
            yield record
        elif on_error is None:
            raise BarFileError(f"{name}: line {number}, {error}")
        else:
            on_error(BarFileError(f"{name}: line {number}, {error}"))


def _csv_lines(stream: Iterable[str], kind: str, name: str) -> Iterator[tuple[int, dict[str, Value] | str]]:
    lines = iter(stream)
    try:
        header_line = next(lines, "")
        header = next(csv.reader([header_line], delimiter=max(_DELIMITERS, key=header_line.count)), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise BarFileError(f"{name}: line 1, column 1: the header can't be read: {error}") from error
    lacking = [meaning for meaning in _REQUIRED[kind] if meaning not in _meanings(kind, dict.fromkeys(header, ""))]
    if lacking:
        known = ", ".join(f"{meaning} (or {', '.join(NAMES[kind][meaning][1:])})" for meaning in lacking)
        raise BarFileError(f"{name}: line 1, column 1: the header {','.join(header)!r} lacks {known}")
    rows = csv.reader(lines, delimiter=max(_DELIMITERS, key=header_line.count))
    while True:
        try:
            row = next(rows, None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise BarFileError(f"{name}: line {rows.line_num + 2}, column 1: can't be read on: {error}") from error
        if row is None:
            return
        if not row:
            continue
        fits = len(row) == len(header)
        fault = f"column {min(len(row), len(header))}: has {len(row)} fields, the header has {len(header)}"
        yield rows.line_num + 1, dict(zip(header, row, strict=True)) if fits else fault


def _json_lines(stream: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, Value] | str]]:
    lines = iter(stream)
    number = 0
    while True:
        number += 1
        try:
            line = next(lines, None)
        except UnicodeDecodeError as error:
            raise BarFileError(f"{name}: line {number}, column 1: can't be read on: {error}") from error
        if line is None:
            return
        if not line.strip():
            continue
        try:
            record: object = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"column {error.colno}: is no JSON: {error.msg}"
            continue
        if isinstance(record, dict):
            yield number, {key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in record.items()}
        else:
            yield number, f"column 1: is {type(record).__name__}, not an object"


def _meanings(kind: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values by what they mean; what no name is known for stays out."""
    by_lower = {name.strip().lower(): value for name, value in values.items()}
    found: dict[str, Value] = {}
    for meaning, names in NAMES[kind].items():
        name = next((one for one in names if one in by_lower), None)
        if name is not None:
            found[meaning] = by_lower[name]
    return found


def _place(kind: str, values: Mapping[str, Value], meaning: str | None) -> int:
    names = NAMES[kind].get(meaning or "", ())
    return next((place for place, name in enumerate(values, 1) if name.strip().lower() in names), 1)


def _made(kind: str, values: Mapping[str, Value], symbol: str | None, zone: tzinfo | None) -> Quote | Tick:
    given = _text(values.get("symbol")) or symbol
    if given is None:
        raise FieldError("symbol", "there is no symbol: name it with --symbol or in a column 'symbol'")
    try:
        check_symbol(given)
    except InvalidSymbolError as error:
        raise FieldError("symbol", str(error)) from None
    time = _text(values.get("time"))
    if time is None:
        raise FieldError("time", "there is no time")
    try:
        time_us = read_instant(time, zone)
    except ValueError as error:
        raise FieldError("time", str(error)) from None
    provenance = _text(values.get("provenance")) or PROVENANCE_FEED
    if kind == QUOTES:
        bid, ask, bid_size, ask_size = (_number(values, meaning) for meaning in ("bid", "ask", "bid_size", "ask_size"))
        if bid is None and ask is None:
            raise FieldError("bid", "there is neither a bid nor an ask")
        return Quote(given, time_us, bid, ask, bid_size, ask_size, provenance)
    price, size = _number(values, "price"), _number(values, "size")
    if price is None or size is None:
        raise FieldError("price" if price is None else "size", f"there is no {'price' if price is None else 'size'}")
    return Tick(given, time_us, price, size, provenance)


def _number(values: Mapping[str, Value], meaning: str) -> float | None:
    value = values.get(meaning)
    if value is None or _text(value) is None:
        return None
    try:
        number = None if isinstance(value, bool) else float(value)
    except ValueError:
        number = None
    if number is None:
        raise FieldError(meaning, f"{meaning} is {value!r}: it must be a number such as 167.41")
    return number


def _text(value: Value) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return value.strip() if isinstance(value, str) else repr(value)
