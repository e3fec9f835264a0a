"""An export as a table, one row a bar: CSV, or Parquet with units in its schema.

Numbers come back as they were to the last bit. What is missing is empty, or null.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, Final

from streams.errors import ExportError
from streams.exports.document import FORMAT
from streams.exports.rows import Row
from streams.installing import install_line
from streams.times import date_of_days, iso

COLUMNS: Final = (
    "symbol", "interval", "trading_date", "start", "end", "open", "high", "low", "close", "volume", "vwap", "trades", "base_count",
    "expected_count", "revision", "complete", "provenance",
)  # fmt: skip

_ROWS_A_PIECE: Final = 1000
_ROWS_A_GROUP: Final = 50_000


def csv_pieces(rows: Iterable[Row]) -> Iterator[bytes]:
    """A CSV with a header, in pieces."""
    yield (",".join(COLUMNS) + "\n").encode()
    remaining = iter(rows)
    while chunk := list(islice(remaining, _ROWS_A_PIECE)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(_values(row) for row in chunk)
        yield text.getvalue().encode()


def write_parquet(rows: Iterable[Row], stream: BinaryIO, metadata: Mapping[str, str]) -> None:
    """A Parquet file, zstd; `metadata` stands in its schema.

    Raises:
        ExportError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ExportError(f"Parquet needs more than this install has: {install_line('replay')}; or export CSV or JSON") from None
    schema = _schema(pa, metadata)
    remaining = iter(rows)
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while chunk := list(islice(remaining, _ROWS_A_GROUP)):
            writer.write_table(_table(pa, schema, chunk))


def _values(row: Row) -> tuple[object, ...]:
    bar = row.bar
    return (
        row.symbol, row.interval, date_of_days(row.trading_days).isoformat(), iso(bar.start_us), iso(bar.end_us),
        bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades, bar.base_count, bar.expected_count, bar.revision,
        str(bar.complete).lower(), bar.provenance,
    )  # fmt: skip


def _schema(pa: Any, metadata: Mapping[str, str]) -> Any:
    from streams.history.kinds import BARS

    counts = ("base bars", "base bars", "how often its content was replaced")
    bars = list(BARS.schema)
    fields = [
        *(pa.field(name, pa.string(), nullable=False) for name in ("symbol", "interval")),
        pa.field("trading_date", pa.date32(), nullable=False),
        *bars[:-1],
        *(
            pa.field(name, pa.int64(), nullable=False, metadata={"unit": unit})
            for name, unit in zip(("base_count", "expected_count", "revision"), counts, strict=True)
        ),
        pa.field("complete", pa.bool_(), nullable=False),
        bars[-1],
    ]
    return pa.schema(fields, metadata={"streams.format": str(FORMAT), **metadata})


def _table(pa: Any, schema: Any, rows: list[Row]) -> Any:
    own = ([row.symbol for row in rows], [row.interval for row in rows], [row.trading_days for row in rows])
    names = ("start_us", "end_us", *COLUMNS[5:])
    columns = [*own, *([getattr(row.bar, name) for row in rows] for name in names)]
    return pa.Table.from_arrays([pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)], schema=schema)
