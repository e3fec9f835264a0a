"""The Parquet store: past bars and quotes by interval, symbol and date.

    store = HistoryStore.create(Path("bars"), adjustment="raw")
    store.write_bars(read_lean(Path("examples/data/lean")))
    store.get_bars("SPY", "1m", start, end, regular_hours_only=False)

What holds, with any number of readers and writers on one machine (on a network drive, as far as its locks are real):

- Writers take turns, a call of `write_bars` each, so none undoes what another wrote to the same day.
- A day's file is seen whole, before or after a write, never in between. Readers wait for nobody.
- A write that is refused changes nothing. One that is killed, or meets a full disk, may leave some of its days written and
  others not, each of them whole; to write the same again completes it.
- A write that brings nothing new touches no file.

One store holds prices of one adjustment; others are refused, in whichever way they come.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from msgspec import Struct

from streams.errors import HistoryError
from streams.history.kinds import ADJUSTMENTS, BARS, FORMAT, FORMATS, KINDS, QUOTES, Adjustment, Kind
from streams.history.quotes import QuoteBar
from streams.history.rules import Merged, Record, by_day, fault_of, merge
from streams.history.store.files import PART, create_file, replace_file
from streams.history.store.layout import DATA_FILE, MARK_FILE, Partition, day_of, partition_of, series_folder
from streams.model.records import Bar
from streams.times import DAY_US, from_us, interval_us, to_us

if TYPE_CHECKING:
    from streams.calendar.trading import TradingCalendar

_LOCK_FILE: Final = ".lock"
_PATIENCE_SECONDS: Final = 60.0


class WriteResult(Struct, frozen=True):
    """How many records were new, took the place of a different one with their start, or were there already."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0

    def __add__(self, other: WriteResult) -> WriteResult:
        return WriteResult(self.added + other.added, self.replaced + other.replaced, self.unchanged + other.unchanged)


class StoredSeries(Struct, frozen=True, order=True):
    """What a store has of one kind, symbol and interval; dates are UTC."""

    kind: str
    symbol: str
    interval: str
    first: date
    last: date
    days: int
    records: int
    bytes: int


class HistoryStore:
    """A folder of Parquet files; made by `create` and `open`."""

    def __init__(self, root: Path, adjustment: Adjustment, calendar: TradingCalendar | None, patience_seconds: float) -> None:
        self.root: Final = root
        self.adjustment: Final = adjustment
        self._calendar = calendar
        self._patience_seconds = patience_seconds
        self._is_made = True

    @classmethod
    def planned(cls, root: Path, *, adjustment: Adjustment = "raw") -> Self:
        """The store in this folder, or one that is not there yet: its folder is made by the first write that keeps something.

        Args:
            root: the folder.
            adjustment: of the prices that will be written, as for `create`.

        Raises:
            HistoryError: the store that is there holds prices of another adjustment, or no folder can be made there.
        """
        if (root / MARK_FILE).exists():
            return cls.open(root, adjustment=adjustment)
        there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise HistoryError(f"{root}: no store can be made here: {os.strerror(errno.EACCES if there.is_dir() else errno.ENOTDIR)}")
        store = cls(root, adjustment, None, _PATIENCE_SECONDS)
        store._is_made = False
        return store

    @classmethod
    def create(cls, root: Path, *, adjustment: Adjustment = "raw", calendar: TradingCalendar | None = None) -> Self:
        """The store in this folder, which is made if it is not there.

        Args:
            root: the folder.
            adjustment: of the prices that will be written: `raw`, `split`, or `total` (splits and dividends).
            calendar: whose hours are regular; needed to ask for those alone.

        Raises:
            HistoryError: the store that is there holds prices of another adjustment, or the folder can't be made.
        """
        mark = {"format": int(FORMAT), "adjustment": adjustment}
        try:
            create_file(root / MARK_FILE, json.dumps(mark).encode() + b"\n")
        except OSError as error:
            raise HistoryError(f"{root}: no store can be made here: {error.strerror}") from None
        return cls.open(root, adjustment=adjustment, calendar=calendar)

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        adjustment: Adjustment | None = None,
        calendar: TradingCalendar | None = None,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> Self:
        """The store in this folder.

        Args:
            root: the folder.
            adjustment: what the prices have to be; None takes them as they are.
            calendar: whose hours are regular; needed to ask for those alone.
            patience_seconds: how long a write waits for others.

        Raises:
            HistoryError: there is no store, one of a later version, or one with prices of another adjustment.
        """
        found = _read_mark(root)
        if adjustment is not None and adjustment != found:
            raise HistoryError(
                f"{root} holds {found} prices and can't take or give {adjustment} ones: one store has one adjustment, so name another "
                f"store for {adjustment} prices, or say {found} where that is what they are"
            )
        return cls(root, found, calendar, patience_seconds)

    # Reading

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime, regular_hours_only: bool = False) -> list[Bar]:
        """The bars that start in `[start, end)`, in order.

        Args:
            symbol, interval: whose; what the store does not have gives no bar.
            start, end: aware.
            regular_hours_only: leave out bars that start outside the calendar's hours; those of a day or longer are kept.

        Raises:
            ValueError: an instant without a zone, an end before the start, or a name that is no interval.
            HistoryError: a file is damaged, or there is no calendar that knows the hours.
        """
        first_us, end_us = _bounds(start, end)
        return list(self.read(BARS, symbol, interval, first_us, end_us, regular_hours_only=regular_hours_only))

    def get_quotes(self, symbol: str, interval: str, start: datetime, end: datetime) -> list[QuoteBar]:
        """The quote bars that start in `[start, end)`, in order; parameters and errors as for `get_bars`."""
        first_us, end_us = _bounds(start, end)
        return list(self.read(QUOTES, symbol, interval, first_us, end_us))

    def read(
        self,
        kind: Kind[Record],
        symbol: str,
        interval: str,
        first_us: int | None = None,
        end_us: int | None = None,
        *,
        regular_hours_only: bool = False,
    ) -> Iterator[Record]:
        """The records that start in `[first_us, end_us)`, in order, a day's file at a time.

        Raises:
            HistoryError: a file is damaged, or there is no calendar that knows the hours.
        """
        is_open = self._hours(interval) if regular_hours_only else None
        for partition in self._days(kind, symbol, interval, first_us, end_us):
            for record in self.read_day(kind, partition):
                if (
                    (first_us is None or record.start_us >= first_us)
                    and (end_us is None or record.start_us < end_us)
                    and (is_open is None or is_open(record.start_us))
                ):
                    yield record

    def read_day(self, kind: Kind[Record], partition: Partition) -> list[Record]:
        """The records of one file; none when there is no such file.

        Raises:
            HistoryError: the file is damaged, or not what its path says.
        """
        path = self.root / partition.path
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                table = file.read()
        except FileNotFoundError:
            return []
        except (pa.ArrowException, OSError) as error:
            message = f"{path}: is damaged: {_words(error)}: delete it and import its day again"
            raise HistoryError(message, reason=f"{_file(partition)} is damaged") from None
        self._check_table(path, kind, partition, table)
        return kind.records(table, partition.symbol, partition.interval)

    def contents(self) -> list[StoredSeries]:
        """What the store has, by kind, symbol and interval. Only the ends of files are read.

        Raises:
            HistoryError: a file is damaged.
        """
        found: dict[tuple[str, str, str], list[tuple[date, int, int]]] = {}
        for path in self.files():
            partition = partition_of(path.relative_to(self.root))
            if partition is None:
                continue
            try:
                rows, size = pq.read_metadata(path).num_rows, path.stat().st_size
            except FileNotFoundError:  # deleted meanwhile
                continue
            except (pa.ArrowException, OSError) as error:
                raise HistoryError(f"{path}: is damaged: {_words(error)}: `streams history verify` lists all that is") from None
            found.setdefault((partition.kind, partition.symbol, partition.interval), []).append((partition.day, rows, size))
        return sorted(
            StoredSeries(*names, min(days)[0], max(days)[0], len(days), sum(rows for _, rows, _ in days), sum(size for *_, size in days))
            for names, days in found.items()
        )

    def names(self) -> list[tuple[str, str, str]]:
        """Kind, symbol and interval of all that the store has, in order; no file is read."""
        found = []
        for folder in (folder for kind in KINDS for folder in (self.root / kind.name).glob("interval=*/symbol=*")):
            path = next(folder.glob(f"date=*/{DATA_FILE}"), None)
            partition = None if path is None else partition_of(path.relative_to(self.root))
            if partition is not None:
                found.append((partition.kind, partition.symbol, partition.interval))
        return sorted(found)

    def files(self) -> list[Path]:
        """Every file below the folders of the kinds, in order; also what does not belong there."""
        return sorted(path for kind in KINDS for path in (self.root / kind.name).rglob("*") if path.is_file())

    # Writing

    def write_bars(self, bars: Iterable[Bar]) -> WriteResult:
        """Write bars of any symbols and intervals: all of them, or none.

        A bar that is there already changes nothing, another one for a known start takes its place.

        Raises:
            HistoryError: a bar that can't be one, or that overlaps another; a damaged file; no turn or no place on the disk.
        """
        return self.write(BARS, bars)

    def write_quotes(self, quotes: Iterable[QuoteBar]) -> WriteResult:
        """Write quote bars; as `write_bars`."""
        return self.write(QUOTES, quotes)

    def write(self, kind: Kind[Record], records: Iterable[Record]) -> WriteResult:
        """Write records of one kind; as `write_bars`."""
        given = self._partitioned(kind, records)
        if not given:
            return WriteResult()
        if not self._is_made:
            for ones in given.values():
                merge([], ones)  # refused before there is a folder
            type(self).create(self.root, adjustment=self.adjustment)  # another process may have made it meanwhile, for other prices
            self._is_made = True
        with self._turn():
            # All is worked out before the first file is touched: what is refused changes nothing.
            merged = {partition: merge(self.read_day(kind, partition), ones) for partition, ones in sorted(given.items())}
            for partition, one in merged.items():
                if one.changes:
                    self._put(kind, partition, one)
        return sum((WriteResult(one.added, one.replaced, one.unchanged) for one in merged.values()), WriteResult())

    def delete_bars(self, symbol: str, interval: str, start: datetime | None = None, end: datetime | None = None) -> int:
        """Delete the bars that start in `[start, end)`, or all of them; gives how many those were.

        Raises:
            ValueError: an instant without a zone, or an end before the start.
            HistoryError: a file is damaged, no turn, or the disk refuses.
        """
        return self._delete(BARS, symbol, interval, start, end)

    def delete_quotes(self, symbol: str, interval: str, start: datetime | None = None, end: datetime | None = None) -> int:
        """Delete quote bars; as `delete_bars`."""
        return self._delete(QUOTES, symbol, interval, start, end)

    # Below

    def _delete(self, kind: Kind[Record], symbol: str, interval: str, start: datetime | None, end: datetime | None) -> int:
        first_us, end_us = _bounds(start, end)
        deleted = 0
        with self._turn():
            for partition in self._days(kind, symbol, interval, first_us, end_us):
                held = self.read_day(kind, partition)
                kept = [
                    record
                    for record in held
                    if (first_us is not None and record.start_us < first_us) or (end_us is not None and record.start_us >= end_us)
                ]
                deleted += len(held) - len(kept)
                if not kept:
                    self._drop(partition)
                elif len(kept) < len(held):
                    self._put(kind, partition, merge([], kept))
        return deleted

    def _hours(self, interval: str) -> Callable[[int], bool] | None:
        """Whether a bar of the interval is within regular hours, by its start; None where each is."""
        if interval_us(interval) >= DAY_US:
            return None
        calendar = self._calendar
        if calendar is None:
            raise HistoryError("which hours are regular is the exchange's affair: open the store with a calendar")

        def is_open(start_us: int) -> bool:
            try:
                return calendar.is_open(start_us)
            except ValueError as error:
                raise HistoryError(str(error)) from None

        return is_open

    def _days(self, kind: Kind[Any], symbol: str, interval: str, first_us: int | None, end_us: int | None) -> list[Partition]:
        """The files that may hold records which start in `[first_us, end_us)`, in order."""
        folder = self.root / series_folder(kind.name, interval, symbol)
        found = {day_of(path.name) for path in folder.glob("date=*") if (path / DATA_FILE).exists()}
        first = None if first_us is None else from_us(first_us).date()
        last = None if end_us is None else from_us(end_us - 1).date()
        days = sorted(day for day in found if day is not None and (first is None or day >= first) and (last is None or day <= last))
        return [Partition(kind.name, interval, symbol, day) for day in days]

    def _partitioned(self, kind: Kind[Record], records: Iterable[Record]) -> dict[Partition, list[Record]]:
        series: dict[tuple[str, str], list[Record]] = {}
        for record in records:
            fault = fault_of(record)
            if fault is not None:
                raise HistoryError(f"{record.symbol} {record.interval}: a record of the {kind.name} can't be kept: {fault.message}")
            series.setdefault((record.symbol, record.interval), []).append(record)
        for symbol, interval in series:
            series_folder(kind.name, interval, symbol)
        return {
            Partition(kind.name, interval, symbol, day): ones
            for (symbol, interval), all_of in series.items()
            for day, ones in by_day(all_of).items()
        }

    def _put(self, kind: Kind[Record], partition: Partition, merged: Merged[Record]) -> None:
        path = self.root / partition.path
        table = kind.file_table(merged.records, self._metadata(partition))
        self._sweep(path.parent)
        try:
            replace_file(path, lambda beside: pq.write_table(table, beside, compression="zstd", write_page_checksum=True))
        except OSError as error:
            raise HistoryError(f"{path}: can't be written: {error.strerror or _words(error)}") from None

    def _drop(self, partition: Partition) -> None:
        path = self.root / partition.path
        self._sweep(path.parent)
        try:
            path.unlink(missing_ok=True)
            path.parent.rmdir()
        except OSError as error:
            raise HistoryError(f"{path}: can't be deleted: {error.strerror}") from None

    def _sweep(self, folder: Path) -> None:
        """Remove what a killed writer left: whoever has the turn is the only one who may have such a file."""
        for left in folder.glob(f".*{PART}"):
            left.unlink(missing_ok=True)

    def _metadata(self, partition: Partition) -> dict[str, str]:
        own = {"format": FORMAT, "kind": partition.kind, "symbol": partition.symbol, "interval": partition.interval}
        return {f"streams.{name}": value for name, value in {**own, "adjustment": self.adjustment}.items()}

    def _check_table(self, path: Path, kind: Kind[Any], partition: Partition, table: Any) -> None:
        written = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        found_format = written.get("streams.format", FORMAT)
        if not table.schema.equals(kind.file_schema(found_format)):
            message = f"{path}: its columns are not those of the store: import it with `streams import parquet`"
            raise HistoryError(message, reason=f"{_file(partition)} has other columns than those of the store")
        wanted = self._metadata(partition) | ({"streams.format": found_format} if found_format in FORMATS else {})
        faults = [
            f"its {name.removeprefix('streams.')} is {written.get(name)!r}, in this place it must be {value!r}"
            for name, value in wanted.items()
            if written.get(name) != value
        ]
        if "symbol" in table.column_names:
            others = sorted({*table.column("symbol").unique().to_pylist()} - {partition.symbol})
            faults += [f"it has records of {others[0]!r}, in this place all must be of {partition.symbol!r}"] if others else []
        for fault in faults[:1]:
            raise HistoryError(f"{path}: {fault}", reason=f"{_file(partition)} is in the wrong place: {fault}")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            lock = FileLock(self.root / _LOCK_FILE, timeout=self._patience_seconds)
            lock.acquire()
        except Timeout:
            raise HistoryError(
                f"{self.root}: others have been writing for {self._patience_seconds:g} s: try again when they are done"
            ) from None
        except OSError as error:
            raise HistoryError(f"{self.root}: can't be written to: {error.strerror}") from None
        try:
            yield
        finally:
            lock.release()


def _file(partition: Partition) -> str:
    """A file of the store as records name it."""
    return f"the store's file of {partition.symbol}, {partition.interval} {partition.kind} of {partition.day},"


def _read_mark(root: Path) -> Adjustment:
    path = root / MARK_FILE
    try:
        mark = json.loads(path.read_bytes())
        written, adjustment = str(mark["format"]), mark["adjustment"]
    except FileNotFoundError:
        raise HistoryError(f"{root} is not a store: `streams import` makes one, as in streams import lean FOLDER --store {root}") from None
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}: it must be a file that can be read") from None
    except (ValueError, KeyError, TypeError):
        raise HistoryError(f'{path}: is damaged: it must be JSON such as {{"format": {FORMAT}, "adjustment": "raw"}}') from None
    if written not in FORMATS:
        raise HistoryError(f"{path}: the store is of format {written}, this version reads formats {' and '.join(FORMATS)}")
    for known in ADJUSTMENTS:
        if adjustment == known:
            return known
    raise HistoryError(f"{path}: the adjustment must be {', '.join(ADJUSTMENTS)}, got {adjustment!r}")


def _bounds(start: datetime | None, end: datetime | None) -> tuple[int | None, int | None]:
    first_us, end_us = (None if instant is None else to_us(instant) for instant in (start, end))
    if first_us is not None and end_us is not None and end_us < first_us:
        raise ValueError(f"the end {end} comes before the start {start}")
    return first_us, end_us


def _words(error: BaseException) -> str:
    """An error of Arrow in one line."""
    return " ".join(str(error).split())
