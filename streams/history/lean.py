"""Trade bars from the files of QuantConnect's LEAN engine.

A LEAN zip says little about itself; its path says the rest: `minute/spy/20131007_trade.zip` holds the one-minute trade
bars of SPY on 7 October 2013. Inside is one CSV without a header: milliseconds since midnight in exchange time of the
bar's start, then open, high, low and close in 1/10000 of a dollar, then the volume.

The invariant: bars come out in order of (end, symbol, length of the interval), however many files they come from, and
no more files are open at a time than there are symbols. Seconds and minutes without a trade have no row and give no bar.

    for bar in read_lean(Path("examples/data/lean/equity/usa/minute")):
        producer.send(bar)
"""

from __future__ import annotations

import heapq
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from streams.errors import BarFileError
from streams.records import Bar
from streams.times import interval_us, to_us

EXCHANGE_ZONE: Final = ZoneInfo("America/New_York")

_INTERVALS: Final = {"minute": "1m", "second": "1s"}
_TRADE_NAME: Final = re.compile(r"([0-9]{8})_trade\.zip")
_PRICE_SCALE: Final = 10_000
_FIELDS: Final = ("milliseconds", "open", "high", "low", "close", "volume")
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, order=True)
class LeanFile:
    """One zip, and what its path says about it. Sorts by symbol, interval and day."""

    symbol: str
    interval: str
    day: date
    path: Path


def lean_files(path: Path) -> list[LeanFile]:
    """The trade files that `path` names: itself, or all below it when it is a folder; sorted, quotes left out.

    Raises:
        BarFileError: there is none, or a file's path does not say what it holds.
    """
    if not path.exists():
        raise BarFileError(f"{path}: there is no such file or folder")
    if path.is_file():
        return [_describe(path)]
    found = sorted(_describe(file) for file in path.rglob("*_trade.zip"))
    if not found:
        raise BarFileError(f"{path}: there is no LEAN trade file in or below this folder, such as minute/spy/20131007_trade.zip")
    return found


def read_lean(path: Path) -> Iterator[Bar]:
    """The bars of a LEAN zip or of all those below a folder, in order of (end, symbol, length of the interval).

    Raises:
        BarFileError: a file can't be read; the message names file, line and column.
    """
    return read_lean_files(lean_files(path))


def read_lean_files(files: Iterable[LeanFile]) -> Iterator[Bar]:
    """The bars of these files as one stream, in order of (end, symbol, length of the interval).

    Raises:
        BarFileError: a file can't be read, or two hold the same symbol, interval and day.
    """
    chains: dict[tuple[str, str], list[LeanFile]] = {}
    for file in sorted(set(files)):
        chain = chains.setdefault((file.symbol, file.interval), [])
        if chain and chain[-1].day == file.day:
            raise BarFileError(f"{file.path}: holds the same bars as {chain[-1].path}: name one of them")
        chain.append(file)
    return heapq.merge(*(_chained(chain) for chain in chains.values()), key=_order)


def _order(bar: Bar) -> tuple[int, str, int]:
    return bar.end_us, bar.symbol, bar.end_us - bar.start_us


def _chained(files: Sequence[LeanFile]) -> Iterator[Bar]:
    for file in files:
        yield from _read_file(file)


def _describe(path: Path) -> LeanFile:
    """What the path of a trade file says.

    Raises:
        BarFileError: it does not say it.
    """
    named = _TRADE_NAME.fullmatch(path.name)
    resolution, symbol = path.absolute().parts[-3:-1] if len(path.absolute().parts) > 3 else ("", "")
    if named is None or resolution.lower() not in _INTERVALS:
        raise BarFileError(
            f"{path}: is no LEAN trade file: its path must end like minute/spy/20131007_trade.zip or second/spy/20131007_trade.zip"
        )
    try:
        day = datetime.strptime(named[1], "%Y%m%d").date()
    except ValueError:
        raise BarFileError(f"{path}: {named[1]} is no date: the name must begin with year, month and day, such as 20131007") from None
    return LeanFile(symbol.upper(), _INTERVALS[resolution.lower()], day, path)


def _read_file(file: LeanFile) -> Iterator[Bar]:
    """The bars of one zip, in the order of its rows, which must be that of time.

    Raises:
        BarFileError: the zip, a row or a field of it can't be read.
    """
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise BarFileError(f"{file.path}: holds {len(names)} files: a LEAN zip holds one CSV")
            with archive.open(names[0]) as member:
                yield from _read_rows(file, TextIOWrapper(member, encoding="ascii", newline=""))
    except (zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        raise BarFileError(f"{file.path}: is damaged ({error}): get it again") from error
    except OSError as error:
        raise BarFileError(f"{file.path}: {error.strerror}: it must be a file that can be read") from None


def _read_rows(file: LeanFile, rows: Iterable[str]) -> Iterator[Bar]:
    length_us = interval_us(file.interval)
    midnight = datetime.combine(file.day, datetime.min.time())
    previous_ms = -1
    for number, row in enumerate(rows, start=1):
        text = row.strip()
        if not text:
            continue
        fields = text.split(",")
        if len(fields) != len(_FIELDS):
            raise _bad(
                file,
                number,
                min(len(fields), len(_FIELDS)),
                f"has {len(fields)} fields: a trade row has {len(_FIELDS)}: {','.join(_FIELDS)}",
            )
        start_ms = _milliseconds(file, number, fields[0], length_us // 1000)
        if start_ms <= previous_ms:
            raise _bad(file, number, 1, f"milliseconds {start_ms} come after {previous_ms}: rows must be in order of time")
        previous_ms = start_ms
        start_us = to_us((midnight + timedelta(milliseconds=start_ms)).replace(tzinfo=EXCHANGE_ZONE).astimezone(UTC))
        values = [_number(file, number, column, fields[column - 1]) for column in range(2, 7)]
        yield Bar(
            symbol=file.symbol,
            interval=file.interval,
            start_us=start_us,
            end_us=start_us + length_us,
            open=values[0] / _PRICE_SCALE,
            high=values[1] / _PRICE_SCALE,
            low=values[2] / _PRICE_SCALE,
            close=values[3] / _PRICE_SCALE,
            volume=values[4],
        )


def _milliseconds(file: LeanFile, line: int, text: str, length_ms: int) -> int:
    if not text.isdecimal() or int(text) >= _DAY_MS:
        raise _bad(file, line, 1, f"{text!r} is no number of milliseconds since midnight: write 0 to {_DAY_MS - 1}")
    if int(text) % length_ms:
        raise _bad(file, line, 1, f"{text} is no start of a bar of {file.interval}: it must be a multiple of {length_ms}")
    return int(text)


def _number(file: LeanFile, line: int, column: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _bad(file, line, column, f"{_FIELDS[column - 1]} is {text!r}: it must be a number")
    return value


def _bad(file: LeanFile, line: int, column: int, what: str) -> BarFileError:
    return BarFileError(f"{file.path}: line {line}, column {column}: {what}")
