"""Where things stand in a store: paths from what they hold, and back. Pure; nothing here touches a disk.

    DIR/store.json                                                    format and adjustment
    DIR/bars/interval=1m/symbol=BTC_2FUSD/date=2013-10-07/data.parquet
    DIR/quotes/interval=1m/symbol=SPY/date=2013-10-07/data.parquet

Dates are UTC. The names are those that Arrow, DuckDB, Polars and Spark take for partitions. A symbol is written as in the name
of its topic, so the way back is exact.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path, PurePath
from typing import Final

from msgspec import Struct

from streams.errors import InvalidSymbolError
from streams.model.records import check_symbol
from streams.times import interval_us
from streams.wire.topics import escape, unescape

DATA_FILE: Final = "data.parquet"
MARK_FILE: Final = "store.json"

_LONGEST_NAME: Final = 255
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Partition(Struct, frozen=True, order=True):
    """What one file holds: the records of one kind, interval and symbol that start on one UTC date."""

    kind: str
    interval: str
    symbol: str
    day: date

    @property
    def path(self) -> Path:
        """The file, below the store's folder.

        Raises:
            InvalidSymbolError: the symbol can't be one, or makes a name that file systems refuse.
        """
        return series_folder(self.kind, self.interval, self.symbol) / f"date={self.day.isoformat()}" / DATA_FILE

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.kind} on {self.day}"


def series_folder(kind: str, interval: str, symbol: str) -> Path:
    """The folder of one kind, interval and symbol, below the store's folder.

    Raises:
        InvalidSymbolError: the symbol can't be one, or makes a name that file systems refuse.
        ValueError: no interval.
    """
    interval_us(interval)
    name = f"symbol={escape(check_symbol(symbol))}"
    if len(name) > _LONGEST_NAME:
        raise InvalidSymbolError(
            f"symbol {symbol!r} would be a folder named with {len(name)} characters, at most {_LONGEST_NAME} are allowed"
        )
    return Path(kind, f"interval={interval}", name)


def partition_of(path: PurePath) -> Partition | None:
    """What a file holds by its path below the store's folder; None for a path that `Partition.path` does not make."""
    parts = path.parts
    if len(parts) != 5 or parts[-1] != DATA_FILE:
        return None
    kind, *named = parts[:-1]
    values = [
        name.removeprefix(f"{key}=") if name.startswith(f"{key}=") else ""
        for key, name in zip(("interval", "symbol", "date"), named, strict=True)
    ]
    interval, symbol, day = values[0], unescape(values[1]), day_of(parts[3])
    if symbol is None or day is None:
        return None
    try:
        found = Partition(kind, interval, symbol, day)
        return found if found.path == Path(path) else None
    except ValueError:
        return None


def day_of(name: str) -> date | None:
    """The date of a folder such as `date=2013-10-07`; None for another name."""
    text = name.removeprefix("date=")
    if text == name or not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
