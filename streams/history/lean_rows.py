"""What LEAN's trade and quote files have in common: a path that says what they hold, and one CSV of numbers in a zip.

The first column of a row is milliseconds since midnight in exchange time of the bar's start; prices are in 1/10000 of a dollar.
A fault names file, line and column. Where the caller takes faults it is handed to him and the next row is read; without, it ends
the reading.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from streams.errors import BarFileError
from streams.history.checks import Check, OnError
from streams.history.fields import FieldError
from streams.history.rules import Record
from streams.times import interval_us, to_us

EXCHANGE_ZONE: Final = ZoneInfo("America/New_York")
PRICE_SCALE: Final = 10_000

What = Literal["trade", "quote"]

_INTERVALS: Final = {"minute": "1m", "second": "1s"}
_NAME: Final = re.compile(r"([0-9]{8})_(trade|quote)\.zip")
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, order=True)
class LeanFile:
    """One zip, and what its path says about it. Sorts by symbol, interval and day."""

    symbol: str
    interval: str
    day: date
    path: Path


def lean_files(path: Path, what: What = "trade") -> list[LeanFile]:
    """The trade files, or the quote files, that `path` names: itself, or all below it when it is a folder; sorted.

    Raises:
        BarFileError: there is none, or a file's path does not say what it holds.
    """
    if not path.exists():
        raise BarFileError(f"{path}: there is no such file or folder")
    if path.is_file():
        return [_describe(path, what)]
    found = sorted(_describe(file, what) for file in path.rglob(f"*_{what}.zip"))
    if not found:
        raise BarFileError(f"{path}: there is no LEAN {what} file in or below this folder, such as minute/spy/20131007_{what}.zip")
    return found


def read_rows(
    file: LeanFile,
    fields: Sequence[str],
    make: Callable[[int, int, Sequence[float | None]], Record],
    *,
    what: What,
    optional: bool = False,
    on_error: OnError | None = None,
    check: Check | None = None,
) -> Iterator[Record]:
    """The records of one zip, in the order of its rows, which must be that of time.

    Args:
        file: which.
        fields: what its columns hold.
        make: a record from start and end in microseconds and the numbers of the columns after the first.
        what: what the file holds, for messages.
        optional: whether a number may be missing.
        on_error: takes a row that can't be read; without it the first one is raised.
        check: looks at each record, and refuses it with a `FieldError`.

    Raises:
        BarFileError: the zip can't be read, or, without `on_error`, a row or a field of it.
    """
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise BarFileError(f"{file.path}: holds {len(names)} files: a LEAN zip holds one CSV")
            with archive.open(names[0]) as member:
                rows = _Rows(file, fields, what, optional)
                for number, text in enumerate(TextIOWrapper(member, encoding="ascii", newline=""), start=1):
                    if not text.strip():
                        continue
                    try:
                        record = make(*rows.parse(text.strip()))
                        if check is not None:
                            check(record)
                    except FieldError as error:
                        fault = BarFileError(f"{file.path}: line {number}, column {rows.column_of(error.field)}: {error}")
                        if on_error is None:
                            raise fault from None
                        on_error(fault)
                        continue
                    yield record
    except (zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        raise BarFileError(f"{file.path}: is damaged ({error}): get it again") from error
    except OSError as error:
        raise BarFileError(f"{file.path}: {error.strerror}: it must be a file that can be read") from None


class _Rows:
    """Cuts rows into numbers; knows the row before."""

    def __init__(self, file: LeanFile, fields: Sequence[str], what: What, optional: bool) -> None:
        self._fields = fields
        self._what = what
        self._optional = optional
        self._length_us = interval_us(file.interval)
        self._interval = file.interval
        self._midnight = datetime.combine(file.day, datetime.min.time())
        self._previous_ms = -1
        self._found = 0

    def parse(self, text: str) -> tuple[int, int, list[float | None]]:
        """Start, end and numbers of a row."""
        fields = text.split(",")
        self._found = len(fields)
        if len(fields) != len(self._fields):
            message = f"has {len(fields)} fields: a {self._what} row has {len(self._fields)}: {','.join(self._fields)}"
            raise FieldError(None, message)
        start_ms = self._milliseconds(fields[0])
        if start_ms <= self._previous_ms:
            raise FieldError(self._fields[0], f"milliseconds {start_ms} come after {self._previous_ms}: rows must be in order of time")
        self._previous_ms = start_ms
        local = (self._midnight + timedelta(milliseconds=start_ms)).replace(tzinfo=EXCHANGE_ZONE)
        start_us = to_us(local.astimezone(UTC))
        return start_us, start_us + self._length_us, [self._number(*pair) for pair in zip(self._fields[1:], fields[1:], strict=True)]

    def column_of(self, field: str | None) -> int:
        """The column of a field, counted from 1; of a row as a whole its last one."""
        if field is None:
            return min(self._found, len(self._fields))
        return self._fields.index(field) + 1 if field in self._fields else 1

    def _milliseconds(self, text: str) -> int:
        if not text.isdecimal() or int(text) >= _DAY_MS:
            raise FieldError(self._fields[0], f"{text!r} is no number of milliseconds since midnight: write 0 to {_DAY_MS - 1}")
        if int(text) * 1000 % self._length_us:
            message = f"{text} is no start of a bar of {self._interval}: it must be a multiple of {self._length_us // 1000}"
            raise FieldError(self._fields[0], message)
        return int(text)

    def _number(self, field: str, text: str) -> float | None:
        if self._optional and not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FieldError(field, f"{field} is {text!r}: it must be a number")
        return value


def _describe(path: Path, what: What) -> LeanFile:
    """What the path of a file says.

    Raises:
        BarFileError: it does not say it.
    """
    named = _NAME.fullmatch(path.name)
    resolution, symbol = path.absolute().parts[-3:-1] if len(path.absolute().parts) > 3 else ("", "")
    if named is None or named[2] != what or resolution.lower() not in _INTERVALS:
        raise BarFileError(
            f"{path}: is no LEAN {what} file: its path must end like minute/spy/20131007_{what}.zip or second/spy/20131007_{what}.zip"
        )
    try:
        day = datetime.strptime(named[1], "%Y%m%d").date()
    except ValueError:
        raise BarFileError(f"{path}: {named[1]} is no date: the name must begin with year, month and day, such as 20131007") from None
    return LeanFile(symbol.upper(), _INTERVALS[resolution.lower()], day, path)
