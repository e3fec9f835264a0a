"""Bars from Parquet files of other programs, whatever their columns are called and their times are typed.

Names and forms are those of `streams.history.fields`; besides, a column of Arrow's timestamps is taken as it is, without a zone as
local time. A file says where it has a fault by row, counted from 1, and by the column's name. Files of a store have no columns
for symbol and interval: those stand in their metadata, and hold where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.errors import BarFileError
from streams.history.checks import Check, OnError
from streams.history.fields import REQUIRED, Defaults, FieldError, Stamp, Value, find_fields, make_bar
from streams.records import Bar
from streams.times import from_us


def adjustment_in(path: Path) -> str | None:
    """The adjustment that a file says its prices have, if it says one: those of a store and of `streams history export` do.

    Raises:
        BarFileError: the file can't be read.
    """
    try:
        return _said(pq.read_schema(path), "adjustment")
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def read_parquet(
    path: Path,
    *,
    symbol: str | None = None,
    interval: str | None = None,
    zone: tzinfo | None = None,
    stamp: Stamp = "open",
    columns: Mapping[str, str] | None = None,
    on_error: OnError | None = None,
    check: Check | None = None,
) -> Iterator[Bar]:
    """The bars of a Parquet file, in the order of its rows; parameters as for `read_csv`.

    Raises:
        BarFileError: the file can't be read or lacks a column, or, without `on_error`, a row can't be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            fields = _fields(path, schema.names, columns)
            defaults = Defaults(symbol or _said(schema, "symbol"), interval or _said(schema, "interval"), zone, stamp)
            row = 0
            for batch in file.iter_batches(columns=sorted(set(fields.values()))):
                lists = {meaning: _values(batch.column(name)) for meaning, name in fields.items()}
                for values in zip(*lists.values(), strict=True):
                    row += 1
                    try:
                        bar = make_bar(dict(zip(lists, values, strict=True)), defaults)
                        if check is not None:
                            check(bar)
                    except FieldError as error:
                        column = f", column {fields[error.field]!r}" if error.field in fields else ""
                        fault = BarFileError(f"{path}: row {row}{column}: {error}")
                        if on_error is None:
                            raise fault from None
                        on_error(fault)
                        continue
                    yield bar
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _fields(path: Path, names: list[str], columns: Mapping[str, str] | None) -> dict[str, str]:
    try:
        fields = find_fields(names, columns)
    except FieldError as error:
        raise BarFileError(f"{path}: {error}") from None
    lacking = [meaning for meaning in REQUIRED if meaning not in fields]
    if lacking:
        there = f"there is no column for {', '.join(lacking)} among {', '.join(names)}"
        raise BarFileError(f"{path}: {there}: say which it is, as in --column {lacking[0]}=NAME")
    return fields


def _values(column: Any) -> list[Value]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        instants = column.cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64()).to_pylist()
        # Without a zone it is a local time, which make_bar places where its zone is known.
        texts = [None if instant is None else from_us(instant).isoformat() for instant in instants]
        return [*texts] if kind.tz else [None if text is None else text.removesuffix("+00:00") for text in texts]
    return [_value(value) for value in column.to_pylist()]


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
