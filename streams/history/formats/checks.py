"""What an importer asks of each record while it still knows file, line and column.

A record that the store would refuse has to be named by its line, not found out when a whole file is to be written. So a
reader takes a `Check`, calls it with each record, and treats its `FieldError` like a field that can't be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import gcd
from typing import Final

from streams.errors import BarFileError
from streams.history.formats.fields import FieldError
from streams.history.quotes import QuoteBar
from streams.history.rules import date_of, fault_of
from streams.model.records import Bar
from streams.model.validation import ABOVE_ZERO
from streams.times import interval_name, interval_us, iso

OnError = Callable[[BarFileError], None]
"""Takes what is wrong with a line; the reading then goes on with the next one."""
Check = Callable[[Bar | QuoteBar], None]
"""Looks at a record, and raises a `FieldError` where it can't be kept."""

FAULTS_SAID: Final = 10
LEAST_OF_A_GRID: Final = 20
"""So many starts of a symbol lie on a coarser grid by chance once in half a million, if every second minute has a bar."""


class OrderCheck:
    """The check of a stream: no record begins before the one before it in its series is over, in either direction.

    A bar that ends before its interval does is the last of its day, so none of that day follows it either.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], Bar | QuoteBar] = {}

    def __call__(self, record: Bar | QuoteBar) -> None:
        """Look at a record.

        Raises:
            FieldError: it lies within the one before it, or that one in it.
        """
        before = self._before.get((record.symbol, record.interval))
        self._before[record.symbol, record.interval] = record
        if before is not None:
            _check_apart(before, record)


class FileCheck:
    """The check of one file: each record sane, no two different ones for the same start, none within the one before it.

    Args:
        lowest_price: the lower bound of prices.
    """

    def __init__(self, lowest_price: float = ABOVE_ZERO) -> None:
        self._lowest_price = lowest_price
        self._seen: dict[tuple[str, str, int], Bar | QuoteBar] = {}
        self._newest: dict[tuple[str, str], Bar | QuoteBar] = {}
        self._check_order = OrderCheck()

    def __call__(self, record: Bar | QuoteBar) -> None:
        """Look at a record.

        Raises:
            FieldError: it can't be kept.
        """
        fault = fault_of(record, self._lowest_price)
        if fault is not None:
            raise FieldError(fault.field, fault.message)
        known = self._seen.setdefault((record.symbol, record.interval, record.start_us), record)
        if known != record:
            what = f"{record.symbol} {record.interval} that starts at {iso(record.start_us)}"
            raise FieldError("start", f"the file has another, different record of {what}: keep one of them")
        newest = self._newest.setdefault((record.symbol, record.interval), record)
        _check_apart(newest, record)
        self._check_order(record)
        if record.start_us > newest.start_us:
            self._newest[record.symbol, record.interval] = record


def _check_apart(one: Bar | QuoteBar, other: Bar | QuoteBar) -> None:
    first, second = (one, other) if one.start_us <= other.start_us else (other, one)
    # A bar may be cut off by the open or by the close, but not two of them in the time of one.
    is_cut_at_open = _is_cut(first) and not _is_cut(second)
    over_us = first.end_us if is_cut_at_open else first.start_us + interval_us(first.interval)
    # Days of local time may overlap where clocks are changed: as in the store, only records of one date are compared.
    if first.start_us < second.start_us < over_us and date_of(first) == date_of(second):
        if second is other:
            what = f"it starts at {iso(second.start_us)}, before the {first.interval} of the one before it are over ({iso(over_us)})"
        else:
            what = f"its {first.interval} are over at {iso(over_us)}, after the one before it starts ({iso(second.start_us)})"
        raise FieldError("start", f"{what}: is the interval right?")


def _is_cut(record: Bar | QuoteBar) -> bool:
    return record.end_us - record.start_us < interval_us(record.interval)


def coarser_grid(records: Iterable[Bar | QuoteBar]) -> str | None:
    """What is wrong where all records of a series, at least 20, start on a coarser grid than that of their interval; or None.

    Five-minute bars that are called one-minute bars would be known four minutes before they are.
    """
    starts: dict[tuple[str, str], set[int]] = {}
    for record in records:
        starts.setdefault((record.symbol, record.interval), set()).add(record.start_us)
    for (symbol, interval), found in starts.items():
        if len(found) < LEAST_OF_A_GRID:
            continue
        length_us, first_us = interval_us(interval), min(found)
        # Days of local time are 23 or 25 hours where clocks change: to the nearest whole interval.
        step = gcd(*(round((start_us - first_us) / length_us) for start_us in found))
        if step > 1:
            coarser = interval_name(step * length_us)
            return (
                f"all {len(found)} bars of {symbol} start at multiples of {coarser}, and the interval is {interval}: with --interval "
                f"{coarser} each is known at its end; if they are {interval} bars of what trades seldom, add --sparse"
            )
    return None


class Faults:
    """Counts what is wrong with a file, and keeps the first few of it."""

    def __init__(self) -> None:
        self.count = 0
        self.said: list[str] = []

    def __call__(self, error: BarFileError) -> None:
        """Take one."""
        self.count += 1
        if self.count <= FAULTS_SAID:
            self.said.append(str(error))
