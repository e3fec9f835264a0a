"""Bars, quotes and ticks from a user's own text: CSV with a header, or one JSON object a line.

Readers are lazy, so that they work on a pipe that never ends. A line that can't be read is a `BarFileError` with file, line
and column; it is raised, or, where the caller hands in `on_error`, given to it and the reading goes on with the next line.
Which names and forms are understood stands in `streams.history.formats.fields` and `streams.instants`.

    with open("bars.csv", encoding="utf-8-sig", newline="") as stream:
        for bar in read_csv(stream, Form("SPY", "1m", ZoneInfo("America/New_York"))):
            producer.send(bar)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from streams.errors import BarFileError
from streams.history.formats.bar_fields import make_bar
from streams.history.formats.checks import Check, OnError
from streams.history.formats.fields import (
    BAR_FIELDS,
    FieldError,
    Fields,
    Form,
    Value,
    find_fields,
    missing_fields,
    unknown_names,
)
from streams.history.formats.reading import Row, Rows, Series, read_records
from streams.model.records import Bar

TextFormat = Literal["csv", "jsonl"]

STANDARD_INPUT: Final = "standard input"
BAR_SERIES: Final = Series(lambda bar: (bar.symbol, bar.interval), lambda bar: bar.start_us)

_DELIMITERS: Final = ",;\t"
_PLAIN: Final = Form()


def read_csv(
    stream: Iterable[str],
    form: Form = _PLAIN,
    *,
    name: str = STANDARD_INPUT,
    on_error: OnError | None = None,
    check: Check | None = None,
) -> Iterator[Bar]:
    """The bars of a CSV whose first line names its columns; separated by commas, semicolons or tabs.

    Args:
        stream: the lines, opened with `newline=""`.
        form: what the lines don't say themselves.
        name: what the file is called in messages.
        on_error: takes a line that can't be read; without it the first one is raised.
        check: looks at each bar, and refuses it with a `FieldError`.

    Raises:
        BarFileError: the header lacks a column, or, without `on_error`, a line can't be read.
    """
    return read_records(CsvRows(stream, BAR_FIELDS, form, name), make_bar, form, BAR_SERIES, on_error=on_error, check=check)


def read_jsonl(
    stream: Iterable[str],
    form: Form = _PLAIN,
    *,
    name: str = STANDARD_INPUT,
    on_error: OnError | None = None,
    check: Check | None = None,
) -> Iterator[Bar]:
    """The bars of lines that each hold one JSON object; parameters and errors as for `read_csv`."""
    return read_records(JsonRows(stream, BAR_FIELDS, form, name), make_bar, form, BAR_SERIES, on_error=on_error, check=check)


def text_rows(stream: Iterable[str], text_format: TextFormat, fields: Fields, form: Form, name: str) -> Rows:
    """The rows of a text in this format."""
    return CsvRows(stream, fields, form, name) if text_format == "csv" else JsonRows(stream, fields, form, name)


class CsvRows:
    """The rows of a CSV.

    Args:
        stream: the lines.
        fields: what a record has.
        form: which columns hold what.
        name: what the file is called in messages.
    """

    def __init__(self, stream: Iterable[str], fields: Fields, form: Form, name: str) -> None:
        self._stream = stream
        self._fields = fields
        self._form = form
        self._name = name
        self._width = 0
        self._places: dict[str, int] = {}
        self._unknown: list[str] = []

    def __iter__(self) -> Iterator[Row]:
        lines = iter(self._stream)
        delimiter = self._read_header(lines)
        rows = csv.reader(lines, delimiter=delimiter)
        while True:
            try:
                row = next(rows, None)
            except (csv.Error, UnicodeDecodeError) as error:
                raise BarFileError(f"{self._name}: line {rows.line_num + 2}, column 1: can't be read on: {error}") from error
            if row is None:
                return
            if not row:
                continue
            number = rows.line_num + 1
            if len(row) == self._width:
                if self._form.unknown is not None:
                    self._form.unknown.add(self._unknown)
                yield Row(number, {meaning: row[index] for meaning, index in self._places.items()})
            else:
                yield Row(number, FieldError(None, f"has {len(row)} fields, the header has {self._width}"), text="," * (len(row) - 1))

    def where(self, row: Row, field: str | None) -> str:
        """As `Rows.where`."""
        column = min(row.text.count(","), self._width - 1) if field is None else self._places.get(field, 0)
        return f"{self._name}: line {row.number}, column {column + 1}"

    def _read_header(self, lines: Iterator[str]) -> str:
        try:
            header_line = next(lines, "")
            delimiter = max(_DELIMITERS, key=header_line.count)
            header = next(csv.reader([header_line], delimiter=delimiter), [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise BarFileError(f"{self._name}: line 1, column 1: the header can't be read: {error}") from error
        unknown = [column for column in self._form.ignored if column not in header]
        if unknown:
            raise BarFileError(
                f"{self._name}: line 1, column 1: there is no column {unknown[0]!r} to ignore: there are {', '.join(header)}"
            )
        try:
            fields = find_fields(header, self._fields, self._form)
        except FieldError as error:
            raise BarFileError(f"{self._name}: line 1, column 1: {error}") from None
        lacking = missing_fields(self._fields, fields)
        if lacking is not None:
            right = f"say which it is, as in --column {lacking.partition(' ')[0]}=NAME"
            raise BarFileError(f"{self._name}: line 1, column 1: the header {','.join(header)!r} lacks {lacking}: {right}")
        self._width = len(header)
        self._places = {meaning: header.index(column) for meaning, column in fields.items()}
        repeated = [column for index, column in enumerate(header) if column in header[:index] and column not in self._form.ignored]
        self._unknown = unknown_names(header, fields, self._form)
        self._unknown += [column for column in dict.fromkeys(repeated) if column not in self._unknown]
        return delimiter


class JsonRows:
    """The rows of JSON lines; parameters as for `CsvRows`."""

    def __init__(self, stream: Iterable[str], fields: Fields, form: Form, name: str) -> None:
        self._stream = stream
        self._fields = fields
        self._form = form
        self._name = name
        self._keys: list[str] = []
        self._found: dict[str, str] = {}
        self._unknown: list[str] = []

    def __iter__(self) -> Iterator[Row]:
        lines = iter(self._stream)
        number = 0
        while True:
            number += 1
            try:
                line = next(lines, None)
            except UnicodeDecodeError as error:
                raise BarFileError(f"{self._name}: line {number}, column 1: can't be read on: {error}") from error
            if line is None:
                return
            if not line.strip():
                continue
            try:
                record = _object(line)
                names = self._names(list(record))
            except json.JSONDecodeError as error:
                yield Row(number, FieldError(None, f"is no JSON: {error.msg}"), text=" " * (error.colno - 1))
            except FieldError as error:
                yield Row(number, error)
            else:
                if self._form.unknown is not None:
                    self._form.unknown.add(self._unknown)
                yield Row(number, {meaning: record[key] for meaning, key in names.items()}, text=line)

    def where(self, row: Row, field: str | None) -> str:
        """As `Rows.where`."""
        if isinstance(row.values, FieldError):
            column = len(row.text)
        else:
            names = self._names(list(_object(row.text)))
            column = max(row.text.find(f'"{names[field]}"'), 0) if field in names else 0
        return f"{self._name}: line {row.number}, column {column + 1}"

    def _names(self, keys: list[str]) -> dict[str, str]:
        # Lines of one feed have the same keys: they are looked up once.
        if keys != self._keys:
            self._found = find_fields(keys, self._fields, self._form)
            self._unknown = unknown_names(keys, self._found, self._form)
            self._keys = keys
        return self._found


def _object(line: str) -> dict[str, Value]:
    """The line's object; a nested value becomes its text, which is no number and no instant wherever a record needs one."""
    record: object = json.loads(line.rstrip())
    if not isinstance(record, dict):
        raise FieldError(None, f"is {type(record).__name__}, not an object: write one such as " + '{"symbol": "SPY", "start": ...}')
    for key, value in record.items():
        if isinstance(value, dict | list):
            record[key] = json.dumps(value)
    return record
