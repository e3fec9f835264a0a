"""The rows of the tables against those of a re-driven session, at one and the same transaction."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from streams.audit.fields import FieldDifference, first_difference, in_words
from streams.audit.report import Difference, DifferenceKind, VerifyReport
from streams.errors import WireError
from streams.model.rows import Row
from streams.wire.codec import Codec


class Tables(Struct, frozen=True):
    """The newest rows of the changelog `topic`, by key with their offsets, as of one transaction."""

    topic: str
    epoch: int
    transaction: int
    rows: dict[str, tuple[int, bytes]]


def compare_rows(expected: Mapping[str, Row], tables: Tables, codec: Codec, report: VerifyReport) -> None:
    """Compare each row field by field."""
    report.rows_at = tables.transaction
    for key in sorted({*expected, *tables.rows}):
        row = expected.get(key)
        offset, value = tables.rows.get(key, (None, None))
        if row is None:
            _tell(report, tables, DifferenceKind.EXTRA, key, offset)
        elif value is None:
            _tell(report, tables, DifferenceKind.MISSING, key, None)
        elif (difference := _difference(row, value, codec)) is not None:
            _tell(report, tables, DifferenceKind.CHANGED, key, offset, difference)
        else:
            report.rows += 1


def _difference(expected: Row, value: bytes, codec: Codec) -> FieldDifference | None:
    try:
        return first_difference(expected, codec.row_from(value))
    except WireError as error:
        return FieldDifference("value", "a row that can be decoded", in_words(str(error)))


def _tell(
    report: VerifyReport, tables: Tables, kind: DifferenceKind, key: str, offset: int | None, difference: FieldDifference | None = None
) -> None:
    field, expected, found = difference or (None, None, None)
    report.add(Difference(kind, tables.topic, tables.transaction, tables.epoch, f"row {key}", offset, None, field, expected, found))
