"""Trade bars and quote bars from the files of QuantConnect's LEAN engine.

A LEAN zip says little about itself; its path says the rest: `minute/spy/20131007_trade.zip` holds the one-minute trade
bars of SPY on 7 October 2013. Inside is one CSV without a header: milliseconds since midnight in exchange time of the
bar's start, then open, high, low and close in 1/10000 of a dollar, then the volume. A quote row has two such groups, of bid
and ask, each with the last size in place of the volume; a side that nobody quoted is empty.

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
from streams.history.checks import Check, OnError
from streams.history.lean_rows import EXCHANGE_ZONE, PRICE_SCALE, LeanFile, lean_files, read_rows
from streams.history.quotes import QuoteBar
from streams.records import Bar

__all__ = ["EXCHANGE_ZONE", "LeanFile", "lean_files", "read_lean", "read_lean_file", "read_lean_files", "read_lean_quotes"]

_TRADE_FIELDS: Final = ("milliseconds", "open", "high", "low", "close", "volume")
_QUOTE_FIELDS: Final = (
    "milliseconds",
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
        BarFileError: a file can't be read, or two hold the same symbol, interval and day.
    """
    chains: dict[tuple[str, str], list[LeanFile]] = {}
    for file in sorted(set(files)):
        chain = chains.setdefault((file.symbol, file.interval), [])
        if chain and chain[-1].day == file.day:
            raise BarFileError(f"{file.path}: holds the same bars as {chain[-1].path}: name one of them")
        chain.append(file)
    return heapq.merge(*(_chained(chain) for chain in chains.values()), key=_order)


def read_lean_file(file: LeanFile, *, on_error: OnError | None = None, check: Check | None = None) -> Iterator[Bar]:
    """The bars of one trade file; parameters and errors as for `read_rows`."""

    def make(start_us: int, end_us: int, values: Sequence[float | None]) -> Bar:
        open_, high, low, close, volume = (value or 0.0 for value in values)  # none is missing: they are not optional
        return Bar(
            symbol=file.symbol,
            interval=file.interval,
            start_us=start_us,
            end_us=end_us,
            open=open_ / PRICE_SCALE,
            high=high / PRICE_SCALE,
            low=low / PRICE_SCALE,
            close=close / PRICE_SCALE,
            volume=volume,
        )

    return read_rows(file, _TRADE_FIELDS, make, what="trade", on_error=on_error, check=check)


def read_lean_quotes(file: LeanFile, *, on_error: OnError | None = None, check: Check | None = None) -> Iterator[QuoteBar]:
    """The quote bars of one quote file; parameters and errors as for `read_rows`."""

    def make(start_us: int, end_us: int, values: Sequence[float | None]) -> QuoteBar:
        scaled = [value if value is None or place in _SIZES else value / PRICE_SCALE for place, value in enumerate(values)]
        return QuoteBar(file.symbol, file.interval, start_us, end_us, *scaled)

    return read_rows(file, _QUOTE_FIELDS, make, what="quote", optional=True, on_error=on_error, check=check)


def _order(bar: Bar) -> tuple[int, str, int]:
    return bar.end_us, bar.symbol, bar.end_us - bar.start_us


def _chained(files: Sequence[LeanFile]) -> Iterator[Bar]:
    for file in files:
        yield from read_lean_file(file)
