"""From files of bars to a store: each file as a whole, or not at all.

A file is read and checked to its end before the store is touched. What is wrong with a line is kept, with its place, and the
reading goes on, so that all of it is known at once; a file with more of that than is allowed is refused, and the next one is taken.

    for file in lean_imports(Path("examples/data/lean")):
        done = import_file(store, file)
        print(done.result.added, done.refused)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from streams.errors import BarFileError, HistoryError
from streams.history.formats.checks import Check, Faults, FileCheck, OnError, coarser_grid
from streams.history.formats.fields import Form
from streams.history.formats.parquet import adjustment_in, read_parquet
from streams.history.formats.text import read_csv
from streams.history.formats.unknown import UnknownColumns
from streams.history.kinds import BARS, QUOTES, Kind
from streams.history.lean.files import LeanFile, find, none_of, read_lean_file, read_lean_quotes
from streams.history.quotes import QuoteBar
from streams.history.store.store import HistoryStore, WriteResult
from streams.model.records import Bar
from streams.model.validation import ABOVE_ZERO, LOWEST_PRICE

RECORDS_A_TELL: Final = 5000

Read = Callable[[OnError, Check], Iterator[Bar | QuoteBar]]


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file to import.

    Attributes:
        path, kind: which, and what it holds.
        read: how it is read.
        symbol, interval: where its path says them.
        adjustment: what it says itself of its prices.
        sparse: its records may all lie on a coarser grid than that of their interval.
        unknown: counts the columns of it that are not read.
    """

    path: Path
    kind: Kind[Any]
    read: Read
    symbol: str | None = None
    interval: str | None = None
    adjustment: Callable[[], str | None] = lambda: None
    sparse: bool = True
    unknown: UnknownColumns = field(default_factory=UnknownColumns)


class ImportedFile(Struct):
    """What came of a file.

    Attributes:
        path, kind: which, and what it holds.
        series: symbols and intervals that were in it.
        result: what the store made of it.
        faults: what is wrong with lines of it, the first ten; `fault_count` says how many there are.
        refused: why nothing of it was imported, None when it was.
        unknown_columns: columns that are not read, each with the number of records that have it.
    """

    path: Path
    kind: str
    series: list[str] = []
    result: WriteResult = WriteResult()
    faults: list[str] = []
    fault_count: int = 0
    refused: str | None = None
    unknown_columns: dict[str, int] = {}


def lean_import(file: LeanFile) -> ImportFile:
    """A LEAN file as one to import."""
    return _trades(file) if file.what == "trade" else _quotes(file)


def lean_imports(path: Path) -> list[ImportFile]:
    """The trade and quote files of LEAN that a path names: itself, or all below it; trades first.

    Raises:
        BarFileError: there is none, or a file's path does not say what it holds.
    """
    found = find(path)
    if not found.files:
        raise BarFileError(none_of(path, "trade", found))
    return [lean_import(file) for file in sorted(found.files, key=lambda file: file.what == "quote")]


def csv_imports(path: Path, form: Form, *, sparse: bool = False) -> list[ImportFile]:
    """The CSV files that a path names; `sparse` as for `ImportFile`.

    Raises:
        BarFileError: there is none.
    """

    def one(file: Path) -> ImportFile:
        unknown = UnknownColumns()
        counted = replace(form, unknown=unknown)

        def read(on_error: OnError, check: Check) -> Iterator[Bar]:
            try:
                with file.open(encoding="utf-8-sig", newline="") as stream:
                    yield from read_csv(stream, counted, name=str(file), on_error=on_error, check=check)
            except OSError as error:
                raise BarFileError(f"{file}: {error.strerror}: it must be a file that can be read") from None

        return ImportFile(file, BARS, read, sparse=sparse, unknown=unknown)

    return [one(file) for file in _files(path, "csv")]


def parquet_imports(path: Path, form: Form, *, sparse: bool = False) -> list[ImportFile]:
    """The Parquet files that a path names; `sparse` as for `ImportFile`.

    Raises:
        BarFileError: there is none.
    """

    def one(file: Path) -> ImportFile:
        unknown = UnknownColumns()
        counted = replace(form, unknown=unknown)

        def read(on_error: OnError, check: Check) -> Iterator[Bar]:
            return read_parquet(file, counted, on_error=on_error, check=check)

        return ImportFile(file, BARS, read, adjustment=lambda: adjustment_in(file), sparse=sparse, unknown=unknown)

    return [one(file) for file in _files(path, "parquet")]


def import_file(
    store: HistoryStore,
    file: ImportFile,
    *,
    max_errors: int = 0,
    allow_negative_prices: bool = False,
    tell: Callable[[int], object] | None = None,
) -> ImportedFile:
    """Import one file.

    Args:
        store: where to.
        file: which.
        max_errors: how many lines that can't be kept are left out; with one more the whole file is.
        allow_negative_prices: whether prices may be zero and below.
        tell: is told now and then how many records are read.
    """
    done, faults = ImportedFile(file.path, file.kind.name), Faults()
    try:
        said = file.adjustment()
        if said not in (None, store.adjustment):
            raise BarFileError(
                f"{file.path}: its prices are {said}, those of the store {store.root} are {store.adjustment}: name another store"
            )
        records = []
        for record in file.read(faults, FileCheck(LOWEST_PRICE if allow_negative_prices else ABOVE_ZERO)):
            records.append(record)
            if tell is not None and len(records) % RECORDS_A_TELL == 0:
                tell(len(records))
        if faults.count > max_errors:
            done.refused = f"{file.path}: {faults.count} of its lines can't be kept, nothing of it is imported"
        elif faults.count and not records:
            done.refused = f"{file.path}: none of its lines can be kept"
        elif not file.sparse and (found := coarser_grid(records)) is not None:
            done.refused = f"{file.path}: {found}"
        else:
            done.series = sorted({f"{record.symbol} {record.interval}" for record in records})
            done.result = store.write(file.kind, records)
    except BarFileError as error:
        done.refused = str(error)
    except HistoryError as error:
        done.refused = f"{file.path}: {error}"
    done.faults, done.fault_count = faults.said, faults.count
    done.unknown_columns = file.unknown.counts
    return done


def _trades(file: LeanFile) -> ImportFile:
    def read(on_error: OnError, check: Check) -> Iterator[Bar]:
        return read_lean_file(file, on_error=on_error, check=check)

    return ImportFile(file.path, BARS, read, file.symbol, file.interval)


def _quotes(file: LeanFile) -> ImportFile:
    def read(on_error: OnError, check: Check) -> Iterator[QuoteBar]:
        return read_lean_quotes(file, on_error=on_error, check=check)

    return ImportFile(file.path, QUOTES, read, file.symbol, file.interval)


def _files(path: Path, ending: str) -> list[Path]:
    if not path.exists():
        raise BarFileError(f"{path}: there is no such file or folder")
    if path.is_file():
        return [path]
    found = sorted(path.rglob(f"*.{ending}"))
    if not found:
        raise BarFileError(f"{path}: there is no file *.{ending} in or below this folder")
    return found
