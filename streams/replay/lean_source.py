"""LEAN files as a replay's source.

A bar's offset is its start in whole seconds since 1970, so it does not depend on how days are spread over files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Final

from streams.errors import BarFileError, HistoryError
from streams.history.lean.files import NOTHING, Assumed, LeanFile, lean_files, read_lean_files
from streams.model.records import Bar
from streams.replay.source import OpenedTopic, Read, no_bars
from streams.times import DAY_US, SECOND_US, to_us

_NAME: Final = "lean"


class LeanSource:
    """Bars of LEAN trade zips.

    Args:
        files: which; `of` finds those of paths.
    """

    def __init__(self, files: Iterable[LeanFile]) -> None:
        self._files: dict[str, dict[str, list[LeanFile]]] = {}
        for file in sorted(set(files)):
            self._files.setdefault(file.symbol, {}).setdefault(file.interval, []).append(file)

    @classmethod
    def of(cls, paths: Iterable[Path], assumed: Assumed = NOTHING) -> LeanSource:
        """The files that the paths name: zips, or folders of them; `assumed` says what their paths don't.

        Raises:
            BarFileError: a path does not exist, holds no trade file, or does not say what it holds.
        """
        return cls(file for path in paths for file in lean_files(path, assumed=assumed))

    def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
        """As `BarSource.open`.

        Raises:
            HistoryError: there is no file of the symbol with bars of this interval.
        """
        of_symbol = self._files.get(symbol)
        reason = no_bars(symbol, interval)
        if of_symbol is None:
            present = ", ".join(sorted(self._files)) or "no symbol"
            raise HistoryError(f"there is no LEAN file of {symbol}: there are those of {present}", reason=reason)
        files = of_symbol.get(interval)
        if files is None:
            present = ", ".join(sorted(of_symbol))
            raise HistoryError(f"there is no LEAN file of {symbol} with {interval} bars: there are those with {present}", reason=reason)
        wanted = [file for file in files if file.day is None or _ends_us(file.day, file.zone) > from_us]
        return OpenedTopic(_NAME, from_us // SECOND_US, _read(wanted, from_us))

    def close(self) -> None:
        """A file is open only while it is read."""


def _ends_us(day: date, zone: tzinfo) -> int:
    """An instant after the last bar of a file's day."""
    midnight = datetime.combine(day, datetime.min.time(), zone)
    # A day may have 25 hours, and a bar may end after midnight.
    return to_us(midnight) + 2 * DAY_US


def _read(files: list[LeanFile], from_us: int) -> Iterator[Read]:
    try:
        for bar in read_lean_files(files):
            if bar.end_us > from_us:
                yield Read(_offset(bar), bar)
    except BarFileError as error:
        raise HistoryError(str(error), reason=_without_folders(str(error), files)) from error


def _without_folders(message: str, files: list[LeanFile]) -> str:
    for file in files:
        message = message.replace(str(file.path), file.path.name)
    return message


def _offset(bar: Bar) -> int:
    return bar.start_us // SECOND_US
