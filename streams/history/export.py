"""Records out of a store, for other programs: CSV, JSON lines, Parquet, each with symbol and interval in every row.

Times are ISO 8601 in UTC, or timestamps in Parquet. `streams produce` and `streams import` read what comes out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from streams.history.kinds import Kind
from streams.history.rules import Record
from streams.times import iso

_ROWS_A_GROUP: Final = 50_000


def write_csv(kind: Kind[Record], records: Iterable[Record], stream: TextIO) -> None:
    """Write a CSV with a header; what is missing is empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_names(kind))
    writer.writerows(row.values() for row in _rows(kind, records))


def write_jsonl(kind: Kind[Record], records: Iterable[Record], stream: TextIO) -> None:
    """Write one JSON object a line; what is missing is null."""
    for row in _rows(kind, records):
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_parquet(kind: Kind[Record], records: Iterable[Record], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a Parquet file with the store's columns and units, and with symbol and interval before them."""
    own: tuple[str, ...] = ("symbol", "interval")
    schema = pa.schema([*(pa.field(name, pa.string(), nullable=False) for name in own), *kind.schema], metadata=dict(metadata))
    remaining = iter(records)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while chunk := list(islice(remaining, _ROWS_A_GROUP)):
            columns: list[Any] = [pa.array([getattr(record, name) for record in chunk], type=pa.string()) for name in own]
            columns += kind.table(chunk, {}).columns
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _names(kind: Kind[Any]) -> list[str]:
    return ["symbol", "interval", *kind.schema.names]


def _rows(kind: Kind[Record], records: Iterable[Record]) -> Iterator[dict[str, str | int | float | None]]:
    names = _names(kind)
    attributes = kind.record.__struct_fields__
    for record in records:
        row = dict(zip(names, (getattr(record, attribute) for attribute in attributes), strict=True))
        row["start"], row["end"] = iso(record.start_us), iso(record.end_us)
        yield row
