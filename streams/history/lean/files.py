"""Trade bars and quote bars from the files of QuantConnect's LEAN engine.

A LEAN zip says little about itself; its path says the rest: `crypto/coinbase/minute/btcusd/20180404_trade.zip` holds the one-minute
trade bars of BTCUSD on Coinbase of 4 April 2018. Inside is a CSV without a header: the bar's start, then open, high, low, close, then
the volume. A quote row has two such groups, of bid and ask, each with the last size in place of the volume; a side that nobody
quoted is empty. `lean_paths` knows the places, `lean_markets` the zones of times and the units of prices, `lean_rows` the rows.

The invariant: bars come out in order of (end, symbol, length of the interval), however many files they come from, and
no more files are open at a time than there are symbols. Seconds and minutes without a trade have no row and give no bar.

    for bar in read_lean(Path("examples/data/lean/equity/usa/minute")):
        producer.send(bar)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from streams.errors import BarFileError
from streams.history.formats.checks import Check, OnError
from streams.history.lean.paths import NOTHING, Assumed, LeanFile, What, find, lean_files, none_of
from streams.history.lean.rows import read_rows
from streams.history.quotes import QuoteBar
from streams.model.records import Bar

__all__ = [
    "NOTHING", "Assumed", "LeanFile", "What", "check_one_market", "find", "lean_files", "none_of",
    "read_lean", "read_lean_file", "read_lean_files", "read_lean_quotes",
]  # fmt: skip

_TRADE_FIELDS: Final = ("start", "open", "high", "low", "close", "volume")
_QUOTE_FIELDS: Final = (
    "start",
    *(f"{side}_{name}" for side in ("bid", "ask") for name in ("open", "high", "low", "close", "size")),
)
_SIZES: Final = (4, 9)


def read_lean(path: Path) -> Iterator[Bar]:
    """The bars of a LEAN zip or of all those below a folder, in order of (end, symbol, length of the interval).

    Raises:
        BarFileError: a file can't be read; the message names file, line and column.
    """
    return read_lean_files(lean_files(path))


def read_lean_files(files: Iterable[LeanFile]) -> Iterator[Bar]:
    """The bars of these files as one stream, in order of (end, symbol, length of the interval).

    Raises:
        BarFileError: a file can't be read, or two hold the same symbol, interval and day, or a series is of two markets.
    """
    chains: dict[tuple[str, str], list[LeanFile]] = {}
    files = sorted(set(files))
    check_one_market(files)
    for file in files:
        chain = chains.setdefault((file.symbol, file.interval), [])
        if chain and chain[-1].day == file.day:
            raise BarFileError(f"{file.path}: holds the same bars as {chain[-1].path}: name one of them")
        chain.append(file)
    return heapq.merge(*(_chained(chain) for chain in chains.values()), key=_order)


def check_one_market(files: Iterable[LeanFile]) -> None:
    """Hold the files of each series against each other: minutes of EURUSD from two markets are not one series.

    Raises:
        BarFileError: a symbol's bars of one interval are of two markets.
    """
    first: dict[tuple[str, str], LeanFile] = {}
    for file in sorted(files):
        known = first.setdefault((file.symbol, file.interval), file)
        if known.market != file.market:
            raise BarFileError(
                f"{file.path}: {file.symbol} {file.interval} is of {file.market}, and of {known.market} in {known.path}: "
                "name the files of one of them"
            )


def read_lean_file(file: LeanFile, *, on_error: OnError | None = None, check: Check | None = None) -> Iterator[Bar]:
    """The bars of one trade file; parameters and errors as for `read_rows`."""
    scale = file.scale

    def make(start_us: int, end_us: int, values: Sequence[float | None]) -> Bar:
        open_, high, low, close, volume = (value or 0.0 for value in values)  # none is missing: they are not optional
        return Bar(
            symbol=file.symbol,
            interval=file.interval,
            start_us=start_us,
            end_us=end_us,
            open=open_ / scale,
            high=high / scale,
            low=low / scale,
            close=close / scale,
            volume=volume,
        )

    return read_rows(file, _TRADE_FIELDS, make, on_error=on_error, check=check)


def read_lean_quotes(file: LeanFile, *, on_error: OnError | None = None, check: Check | None = None) -> Iterator[QuoteBar]:
    """The quote bars of one quote file; parameters and errors as for `read_rows`."""
    scale = file.scale

    def make(start_us: int, end_us: int, values: Sequence[float | None]) -> QuoteBar:
        scaled = [value if value is None or place in _SIZES else value / scale for place, value in enumerate(values)]
        return QuoteBar(file.symbol, file.interval, start_us, end_us, *scaled)

    return read_rows(file, _QUOTE_FIELDS, make, optional=True, on_error=on_error, check=check)


def _order(bar: Bar) -> tuple[int, str, int]:
    return bar.end_us, bar.symbol, bar.end_us - bar.start_us


def _chained(files: Sequence[LeanFile]) -> Iterator[Bar]:
    for file in files:
        yield from read_lean_file(file)
