"""Bars from Parquet files of other programs, whatever their columns are called and their times are typed.

Names and forms are those of `streams.history.formats.fields`; besides, a column of Arrow's timestamps is taken as it is, without a zone as
local time. A file says where it has a fault by row, counted from 1, and by the column's name. Old files of a store have no
columns for symbol and interval: those stand in their metadata, and hold where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from streams.errors import BarFileError
from streams.history.formats.bar_fields import make_bar
from streams.history.formats.checks import Check, OnError
from streams.history.formats.fields import BAR_FIELDS, FieldError, Form, Value, find_fields, unknown_names
from streams.history.formats.reading import Row, read_records
from streams.history.formats.text import BAR_SERIES
from streams.history.formats.unknown import UnknownColumns
from streams.model.records import Bar

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone is that of the column
_UNITS_A_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def adjustment_in(path: Path) -> str | None:
    """The adjustment that a file says its prices have, if it says one: those of a store and of `streams history export` do.

    Raises:
        BarFileError: the file can't be read.
    """
    try:
        return _said(pq.read_schema(path), "adjustment")
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def read_parquet(path: Path, form: Form, *, on_error: OnError | None = None, check: Check | None = None) -> Iterator[Bar]:
    """The bars of a Parquet file, in the order of its rows; parameters as for `read_csv`.

    Raises:
        BarFileError: the file can't be read or lacks a column, or, without `on_error`, a row can't be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            form = replace(form, symbol=form.symbol or _said(schema, "symbol"), interval=form.interval or _said(schema, "interval"))
            fields = _fields(path, schema.names, form)
            rows = _ParquetRows(path, file, fields, form.unknown, unknown_names(schema.names, fields, form))
            yield from read_records(rows, make_bar, form, BAR_SERIES, on_error=on_error, check=check)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


class _ParquetRows:
    """The rows of an open file, a batch at a time."""

    def __init__(self, path: Path, file: Any, fields: dict[str, str], unknown: UnknownColumns | None, names: list[str]) -> None:
        self._path = path
        self._file = file
        self._fields = fields
        self._unknown = unknown
        self._names = names

    def __iter__(self) -> Iterator[Row]:
        number = 0
        for batch in self._file.iter_batches(columns=sorted(set(self._fields.values()))):
            lists = {meaning: _values(batch.column(name)) for meaning, name in self._fields.items()}
            for values in zip(*lists.values(), strict=True):
                number += 1
                if self._unknown is not None:
                    self._unknown.add(self._names)
                yield Row(number, dict(zip(lists, values, strict=True)))

    def where(self, row: Row, field: str | None) -> str:
        """As `Rows.where`."""
        column = f", column {self._fields[field]!r}" if field in self._fields else ""
        return f"{self._path}: row {row.number}{column}"


def _fields(path: Path, names: list[str], form: Form) -> dict[str, str]:
    unknown = [column for column in form.ignored if column not in names]
    if unknown:
        raise BarFileError(f"{path}: there is no column {unknown[0]!r} to ignore: there are {', '.join(names)}")
    try:
        fields = find_fields(names, BAR_FIELDS, form)
    except FieldError as error:
        raise BarFileError(f"{path}: {error}") from None
    lacking = [meaning for meaning in BAR_FIELDS.required if meaning not in fields]
    if lacking:
        there = f"there is no column for {', '.join(lacking)} among {', '.join(names)}"
        raise BarFileError(f"{path}: {there}: say which it is, as in --column {lacking[0]}=NAME")
    return fields


def _values(column: Any) -> list[Value]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        counts = column.cast(pa.int64()).to_pylist()
        # Without a zone it is a local time, which make_bar places where its zone is known.
        return [None if count is None else _instant(count, kind.unit, "Z" if kind.tz else "") for count in counts]
    return [_value(value) for value in column.to_pylist()]


def _instant(count: int, unit: str, offset: str) -> str:
    """A timestamp as ISO 8601 with all its digits; one of no year from 1 to 9999 as its count."""
    units_a_second = _UNITS_A_SECOND[unit]
    seconds, fraction = divmod(count, units_a_second)
    try:
        text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return f"{count} {unit} since 1970"
    return f"{text}.{fraction * (1_000_000_000 // units_a_second):09d}{offset}" if fraction else f"{text}{offset}"


def _value(value: object) -> Value:
    match value:
        case None | str() | bool() | int() | float():
            return value
        case Decimal():
            return float(value)
        case date() | time():
            return value.isoformat()
        case _:
            return repr(value)


def _said(schema: Any, name: str) -> str | None:
    text = (schema.metadata or {}).get(f"streams.{name}".encode())
    return None if text is None else text.decode()


def _unreadable(path: Path, error: Exception) -> BarFileError:
    return BarFileError(f"{path}: is no Parquet file that can be read: {' '.join(str(error).split())}")
