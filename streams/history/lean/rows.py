"""What LEAN's trade and quote files have in common: one CSV of numbers in a zip, whose first column is the bar's start.

In files of one day that is milliseconds since midnight, in files of hours and days a stamp such as `20131007 09:00`; both are
wall-clock times of the file's zone. A fault names file, line and column. Where the caller takes faults it is handed over and the next row
is read; without, it ends the reading.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from io import TextIOWrapper
from typing import Final

from streams.errors import BarFileError
from streams.history.formats.checks import Check, OnError
from streams.history.formats.fields import FieldError
from streams.history.lean.entries import check_entry, the_only_entry
from streams.history.lean.paths import LeanFile
from streams.history.rules import Record
from streams.times import DAY_US, interval_us, to_us

_STAMP: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2}) ([0-9]{2}):([0-9]{2})")
_DAY_MS: Final = 86_400_000
_MS_US: Final = 1000


def read_rows(
    file: LeanFile,
    fields: Sequence[str],
    make: Callable[[int, int, Sequence[float | None]], Record],
    *,
    optional: bool = False,
    on_error: OnError | None = None,
    check: Check | None = None,
) -> Iterator[Record]:
    """The records of one zip, in the order of its rows, which must be that of time.

    Args:
        file: which.
        fields: what its columns hold.
        make: a record from start and end in microseconds and the numbers of the columns after the first.
        optional: whether a number may be missing.
        on_error: takes a row that can't be read; without it the first one is raised.
        check: looks at each record, and refuses it with a `FieldError`.

    Raises:
        BarFileError: the zip can't be read, or, without `on_error`, a row or a field of it.
    """
    entry = file.entry or the_only_entry(file.path)
    check_entry(file.path, file.day, entry)
    # Which one it is goes without saying where there is one.
    place = f"{file.path}: {file.entry}" if file.entry else str(file.path)
    try:
        with zipfile.ZipFile(file.path) as archive, archive.open(entry) as member:
            rows = _Rows(file, fields, optional)
            for number, text in enumerate(TextIOWrapper(member, encoding="ascii", newline=""), start=1):
                if not text.strip():
                    continue
                try:
                    record = make(*rows.parse(text.strip()))
                    if check is not None:
                        check(record)
                except FieldError as error:
                    fault = BarFileError(f"{place}: line {number}, column {rows.column_of(error.field)}: {error}")
                    if on_error is None:
                        raise fault from None
                    on_error(fault)
                    continue
                yield record
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise BarFileError(f"{file.path}: is damaged ({error}): get it again") from error
    except OSError as error:
        raise BarFileError(f"{file.path}: {error.strerror}: it must be a file that can be read") from None


class _Rows:
    """Cuts rows into numbers; knows the row before."""

    def __init__(self, file: LeanFile, fields: Sequence[str], optional: bool) -> None:
        self._fields = fields
        self._what = file.what
        self._optional = optional
        self._length_us = interval_us(file.interval)
        self._interval = file.interval
        self._zone = file.zone
        self._midnight = None if file.day is None else datetime.combine(file.day, datetime.min.time())
        self._midnight_us = None if self._midnight is None else _midnight_us(self._midnight, file.zone)
        self._previous: datetime | None = None
        self._found = 0

    def parse(self, text: str) -> tuple[int, int, list[float | None]]:
        """Start, end and numbers of a row."""
        fields = text.split(",")
        self._found = len(fields)
        if len(fields) != len(self._fields):
            message = f"has {len(fields)} fields: a {self._what} row has {len(self._fields)}: {','.join(self._fields)}"
            raise FieldError(None, message)
        start_us, end_us = self._span(fields[0])
        return start_us, end_us, [self._number(*pair) for pair in zip(self._fields[1:], fields[1:], strict=True)]

    def column_of(self, field: str | None) -> int:
        """The column of a field, counted from 1; of a row as a whole its last one."""
        if field is None:
            return min(self._found, len(self._fields))
        return self._fields.index(field) + 1 if field in self._fields else 1

    def _span(self, text: str) -> tuple[int, int]:
        """Start and end of the bar whose row begins with this."""
        if self._midnight is None:
            local = self._stamp(text)
            start_us = None
        else:
            milliseconds = self._milliseconds(text)
            local = self._midnight + timedelta(milliseconds=milliseconds)
            start_us = None if self._midnight_us is None else self._midnight_us + milliseconds * _MS_US
        if self._previous is not None and local <= self._previous:
            raise FieldError(self._fields[0], f"{text} comes after {self._previous:%Y%m%d %H:%M:%S}: rows must be in order of time")
        self._previous = local
        if start_us is None:
            start_us = self._instant_us(local)
        end_us = start_us + self._length_us
        if self._length_us == DAY_US:
            # The day on which clocks go forward has 23 hours.
            end_us = min(end_us, self._instant_us(local + timedelta(days=1)))
        return start_us, end_us

    def _milliseconds(self, text: str) -> int:
        if not text.isdecimal() or int(text) >= _DAY_MS:
            raise FieldError(self._fields[0], f"{text!r} is not a number of milliseconds since midnight: write 0 to {_DAY_MS - 1}")
        if int(text) * _MS_US % self._length_us:
            message = f"{text} is not the start of a bar of {self._interval}: it must be a multiple of {self._length_us // _MS_US}"
            raise FieldError(self._fields[0], message)
        return int(text)

    def _stamp(self, text: str) -> datetime:
        match = _STAMP.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            year, month, day, hour, minute = (int(part) for part in match.groups())
            local = datetime.combine(date(year, month, day), time(hour, minute))
        except ValueError:
            message = f"{text!r} is not a date and time: files of {self._interval} bars have stamps such as 20131007 09:00"
            raise FieldError(self._fields[0], message) from None
        if timedelta(hours=hour, minutes=minute) % timedelta(microseconds=self._length_us):
            raise FieldError(self._fields[0], f"{text} is not the start of a bar of {self._interval}")
        return local

    def _instant_us(self, local: datetime) -> int:
        """The instant of a wall-clock time that the zone has once."""
        instant = local.replace(tzinfo=self._zone)
        if instant.utcoffset() != instant.replace(fold=1).utcoffset():
            message = f"{local:%Y-%m-%d %H:%M:%S} is not one instant in {self._zone}: its clocks are changed then"
            raise FieldError(self._fields[0], message)
        return to_us(instant.astimezone(UTC))

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


def _midnight_us(midnight: datetime, zone: tzinfo) -> int | None:
    """The instant of midnight, None for a day on which the zone's clocks are changed: its times must be looked up one by one."""
    first, following = midnight.replace(tzinfo=zone), (midnight + timedelta(days=1)).replace(tzinfo=zone)
    if first.utcoffset() != following.utcoffset() or first.utcoffset() != first.replace(fold=1).utcoffset():
        return None
    return to_us(first.astimezone(UTC))
