"""The two kinds of records that a store keeps, and their Parquet schemas, with units in the metadata of each column.

Symbol, interval and adjustment are the same in a whole file and stand in its metadata. The symbol is a column as well: a reader that
takes it from the path reads 700 for 0700, and BTC_2FUSD for BTC/USD. Files of format 1 have no such column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, get_args

import pyarrow as pa

from streams.history.quotes import QuoteBar
from streams.history.rules import Record
from streams.model.records import Bar

FORMAT: Final = "2"
"""What files are written in."""
FORMATS: Final = ("1", FORMAT)
"""What can be read."""

Adjustment = Literal["raw", "split", "total"]
"""Prices as traded; adjusted for splits; adjusted for splits and dividends."""
ADJUSTMENTS: Final[tuple[Adjustment, ...]] = get_args(Adjustment)

_INSTANT: Final = pa.timestamp("us", tz="UTC")
_PRICE: Final = "currency of the instrument"
_SIZE: Final = "units of the instrument"


def _column(name: str, column_type: Any, unit: str, *, optional: bool = False) -> Any:
    return pa.field(name, column_type, nullable=optional, metadata={"unit": unit})


_SYMBOL: Final = _column("symbol", pa.string(), "a name, as in its topic before that is escaped")
_SPAN: Final = (
    _column("start", _INSTANT, "microseconds since 1970-01-01 UTC, the bar's open"),
    _column("end", _INSTANT, "microseconds since 1970-01-01 UTC, from when on the bar is known"),
)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Record]):
    """A kind of records.

    Attributes:
        name: of its folder.
        record: the type.
        schema: what a record holds, in the order of the type's fields behind symbol and interval.
    """

    name: str
    record: type[Record]
    schema: Any

    def file_schema(self, file_format: str = FORMAT) -> Any:
        """The columns of a file of the store."""
        return self.schema if file_format == "1" else pa.schema([_SYMBOL, *self.schema])

    def file_table(self, records: Sequence[Record], metadata: dict[str, str]) -> Any:
        """The records as a file of the store has them."""
        symbols = pa.array([record.symbol for record in records], type=pa.string())
        return pa.Table.from_arrays([symbols, *self.table(records, {}).columns], schema=self.file_schema().with_metadata(metadata))

    def table(self, records: Sequence[Record], metadata: dict[str, str]) -> Any:
        """The records as an Arrow table that carries this metadata."""
        attributes = self.record.__struct_fields__[2:]
        columns = [
            pa.array([getattr(record, attribute) for record in records], type=field.type)
            for attribute, field in zip(attributes, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=self.schema.with_metadata(metadata))

    def records(self, table: Any, symbol: str, interval: str) -> list[Record]:
        """The records of a table of this schema."""
        starts, ends = (table.column(name).cast(pa.int64()).to_pylist() for name in ("start", "end"))
        rest = [table.column(field.name).to_pylist() for field in list(self.schema)[2:]]
        record = self.record
        return [record(symbol, interval, *values) for values in zip(starts, ends, *rest, strict=True)]


BARS: Final = Kind(
    "bars",
    Bar,
    pa.schema(
        [
            *_SPAN,
            *(_column(name, pa.float64(), _PRICE) for name in ("open", "high", "low", "close")),
            _column("volume", pa.float64(), _SIZE),
            _column("vwap", pa.float64(), _PRICE, optional=True),
            _column("trades", pa.int64(), "trades", optional=True),
            _column("provenance", pa.string(), "a word: feed, gap_fill, or a user's own"),
        ]
    ),
)

QUOTES: Final = Kind(
    "quotes",
    QuoteBar,
    pa.schema(
        [
            *_SPAN,
            *(
                _column(f"{side}_{name}", pa.float64(), _SIZE if name == "size" else _PRICE, optional=True)
                for side in ("bid", "ask")
                for name in ("open", "high", "low", "close", "size")
            ),
        ]
    ),
)

AnyKind = Kind[Bar] | Kind[QuoteBar]
KINDS: Final[tuple[AnyKind, ...]] = (BARS, QUOTES)
