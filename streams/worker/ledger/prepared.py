"""A transaction that is encoded, and not handed to the ledger yet."""

from __future__ import annotations

from msgspec import Struct

from streams.model.transactions import DeadLetter, TransactionResult
from streams.wire.codec import Codec
from streams.wire.outputs import RawRecord, Record


class Prepared(Struct, frozen=True):
    """A result with its rows by key (None: to be deleted), its records, and those of commands that were none."""

    result: TransactionResult
    records: list[Record]
    rows: list[tuple[bytes, bytes | None]]
    more: list[Record]


def rows_of(codec: Codec, result: TransactionResult) -> list[tuple[bytes, bytes | None]]:
    """The rows of a result, encoded."""
    return [(key.encode(), None if row is None else codec.row_to(row)) for key, row in result.rows.items()]


def no_raw(letter: DeadLetter) -> RawRecord:
    """Stands in where a transaction reads no records, so that no letter can be about one."""
    raise LookupError(f"no record of {letter.symbol} at offset {letter.offset} was read in this transaction")
