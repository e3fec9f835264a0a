"""Bars from a user's own text: CSV with a header, or one JSON object a line.

Readers are lazy: a bar is out as soon as its line is in, so that they work on a pipe that never ends. A line that can't
be read is a `BarFileError` with file, line and column; it is raised, or, where the caller hands in `on_error`, given to
it and the reading goes on with the next line. Which names and forms are understood stands in `streams.history.fields`.

    with open("bars.csv", encoding="utf-8-sig", newline="") as stream:
        for bar in read_csv(stream, symbol="SPY", interval="1m", zone=ZoneInfo("America/New_York")):
            producer.send(bar)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import Final

from streams.errors import BarFileError
from streams.history.checks import Check, OnError
from streams.history.fields import NAMES, REQUIRED, Defaults, FieldError, Stamp, Value, find_fields, make_bar
from streams.records import Bar

_DELIMITERS: Final = ",;\t"


def read_csv(
    stream: Iterable[str],
    *,
    name: str = "standard input",
    symbol: str | None = None,
    interval: str | None = None,
    zone: tzinfo | None = None,
    stamp: Stamp = "open",
    columns: Mapping[str, str] | None = None,
    on_error: OnError | None = None,
    check: Check | None = None,
) -> Iterator[Bar]:
    """The bars of a CSV whose first line names its columns; separated by commas, semicolons or tabs.

    Args:
        stream: the lines, opened with `newline=""`.
        name: what the file is called in messages.
        symbol: of lines that do not name one.
        interval: of lines that do not name one, such as `1m`.
        zone: of times without an offset.
        stamp: whether a line's time is that of the bar's open or of its close.
        columns: what columns with names of their own hold: meaning to name.
        on_error: takes a line that can't be read; without it the first one is raised.
        check: looks at each bar, and refuses it with a `FieldError`.

    Raises:
        BarFileError: the header lacks a column, or, without `on_error`, a line can't be read.
    """
    lines = iter(stream)
    try:
        header_line = next(lines, "")
        delimiter = max(_DELIMITERS, key=header_line.count)
        header = next(csv.reader([header_line], delimiter=delimiter), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise BarFileError(f"{name}: line 1, column 1: the header can't be read: {error}") from error
    try:
        fields = find_fields(header, columns)
    except FieldError as error:
        raise BarFileError(f"{name}: line 1, column 1: {error}") from None
    _check_header(name, header, fields)
    places = {meaning: header.index(column) for meaning, column in fields.items()}
    defaults = Defaults(symbol, interval, zone, stamp)
    rows = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            row = next(rows, None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise BarFileError(f"{name}: line {rows.line_num + 2}, column 1: can't be read on: {error}") from error
        if row is None:
            return
        if not row:
            continue
        try:
            if len(row) != len(header):
                raise FieldError(None, f"has {len(row)} fields, the header has {len(header)}")
            values: dict[str, Value] = {meaning: row[index] for meaning, index in places.items()}
            bar = make_bar(values, defaults)
            if check is not None:
                check(bar)
        except FieldError as error:
            column = places.get(error.field, 0) if error.field else min(len(row), len(header)) - 1
            _report(BarFileError(f"{name}: line {rows.line_num + 1}, column {column + 1}: {error}"), on_error)
            continue
        yield bar


def read_jsonl(
    stream: Iterable[str],
    *,
    name: str = "standard input",
    symbol: str | None = None,
    interval: str | None = None,
    zone: tzinfo | None = None,
    on_error: OnError | None = None,
) -> Iterator[Bar]:
    """The bars of lines that each hold one JSON object; parameters and errors as for `read_csv`."""
    defaults = Defaults(symbol, interval, zone)
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
        fields: dict[str, str] = {}
        try:
            record = _object(line)
            fields = find_fields(list(record))
            bar = make_bar({meaning: record[key] for meaning, key in fields.items()}, defaults)
        except json.JSONDecodeError as error:
            _report(BarFileError(f"{name}: line {number}, column {error.colno}: is no JSON: {error.msg}"), on_error)
            continue
        except FieldError as error:
            column = line.find(f'"{fields[error.field]}"') if error.field in fields else 0
            _report(BarFileError(f"{name}: line {number}, column {max(column, 0) + 1}: {error}"), on_error)
            continue
        yield bar


def _report(error: BarFileError, on_error: OnError | None) -> None:
    if on_error is None:
        raise error
    on_error(error)


def _check_header(name: str, header: list[str], fields: dict[str, str]) -> None:
    lacking = [meaning for meaning in REQUIRED if meaning not in fields]
    if lacking:
        known = ", ".join(f"{meaning} (or {', '.join(NAMES[meaning][1:])})" for meaning in lacking)
        raise BarFileError(f"{name}: line 1, column 1: the header {','.join(header)!r} lacks {known}")


def _object(line: str) -> dict[str, Value]:
    """The line's object; a nested value becomes its text, which is no number and no instant wherever a bar needs one."""
    record: object = json.loads(line.rstrip())
    if not isinstance(record, dict):
        raise FieldError(None, f"is {type(record).__name__}, not an object: write one such as " + '{"symbol": "SPY", "start": ...}')
    for key, value in record.items():
        if isinstance(value, dict | list):
            record[key] = json.dumps(value)
    return record
