"""What may stand in a store, and what comes of writing to it: pure, over records in memory.

The invariant that `merge` keeps, and that `faults_of_day` checks: the records of one symbol and interval are in order of their
starts, one a start, none overlapping the next, each sane by itself. Prices are judged as the engine judges them, so what
a store holds can be replayed.

    >>> merge(held=[], given=[bar, bar]).added
    1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final, Generic, NamedTuple, TypeVar

from streams.errors import HistoryError, InvalidSymbolError
from streams.history.quotes import QuoteBar
from streams.model.records import Bar, check_symbol
from streams.model.validation import ABOVE_ZERO, LARGEST_VALUE, LOWEST_PRICE, MOST_TRADES, prices_from
from streams.times import from_us, interval_us, iso, to_us

Record = TypeVar("Record", Bar, QuoteBar)

_FIRST_US: Final = to_us(datetime.min.replace(tzinfo=UTC))
_LAST_US: Final = to_us(datetime.max.replace(tzinfo=UTC))


class Fault(NamedTuple):
    """What is wrong with a record: the field at fault, and what would be right."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Merged(Generic[Record]):
    """What a day holds after a write, and how many of the given starts were new, replaced another record, or changed nothing."""

    records: list[Record]
    added: int
    replaced: int
    unchanged: int

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.added or self.replaced)


def merge(held: Iterable[Record], given: Iterable[Record]) -> Merged[Record]:
    """Put records of one symbol and interval among those that are held; for one start the last one given counts.

    Raises:
        HistoryError: two of the resulting records overlap.
    """
    by_start = {record.start_us: record for record in held}
    new = {record.start_us: record for record in given}
    added = sum(start_us not in by_start for start_us in new)
    unchanged = sum(by_start.get(start_us) == record for start_us, record in new.items())
    by_start.update(new)
    records = [by_start[start_us] for start_us in sorted(by_start)]
    for one, following in pairwise(records):
        if following.start_us < one.end_us:
            raise HistoryError(
                f"{one.symbol} {one.interval}: the record that starts at {iso(following.start_us)} overlaps the one from "
                f"{iso(one.start_us)} to {iso(one.end_us)}: records of one interval must follow each other"
            )
    return Merged(records, added, len(new) - added - unchanged, unchanged)


def date_of(record: Bar | QuoteBar) -> date:
    """The UTC date of a record's start, which says in which file it stands: a store knows no exchange."""
    return from_us(record.start_us).date()


def by_day(records: Iterable[Record]) -> dict[date, list[Record]]:
    """The records by their dates."""
    days: dict[date, list[Record]] = {}
    for record in records:
        days.setdefault(date_of(record), []).append(record)
    return days


def fault_of(record: Bar | QuoteBar, lowest_price: float = LOWEST_PRICE) -> Fault | None:
    """What keeps a record out of a store, or None; an import has a bound of its own for prices."""
    return _identity_fault(record) or (_bar_fault(record, lowest_price) if isinstance(record, Bar) else _quote_fault(record, lowest_price))


def faults_of_day(records: Sequence[Bar | QuoteBar], symbol: str, interval: str, day: date) -> Iterator[str]:
    """What is wrong with the records of one file, in words, in their order."""
    for row, record in enumerate(records, start=1):
        fault = fault_of(record)
        if fault is not None:
            yield f"row {row}, column {fault.field}: {fault.message}"
        elif (record.symbol, record.interval, date_of(record)) != (symbol, interval, day):
            yield f"row {row}: starts at {iso(record.start_us)}, which is not of {symbol} {interval} on {day}"
    for row, (one, following) in enumerate(pairwise(records), start=2):
        if following.start_us == one.start_us:
            yield f"row {row}: starts at {_instant(one.start_us)} as the row before it does: one of them must go"
        elif following.start_us < one.start_us:
            yield f"row {row}: starts at {_instant(following.start_us)}, before the row before it: rows must be in order of start"
        elif following.start_us < one.end_us:
            yield f"row {row}: starts at {_instant(following.start_us)}, before the row before it ends at {_instant(one.end_us)}"


def _identity_fault(record: Bar | QuoteBar) -> Fault | None:
    try:
        check_symbol(record.symbol)
    except InvalidSymbolError as error:
        return Fault("symbol", str(error))
    try:
        length_us = interval_us(record.interval)
    except ValueError as error:
        return Fault("interval", str(error))
    if not _FIRST_US <= record.start_us < record.end_us <= _LAST_US:
        return Fault(
            "start", f"it covers {record.start_us} to {record.end_us} us since 1970: a start comes before its end, in years 1 to 9999"
        )
    # Shorter is right for the last window of a day, which ends with the close.
    if record.end_us - record.start_us > length_us:
        return Fault("end", f"the end {iso(record.end_us)} is more than {record.interval} after the start {iso(record.start_us)}")
    return None


def _bar_fault(bar: Bar, lowest_price: float) -> Fault | None:
    if bar.vwap is not None and not bar.vwap == bar.volume == 0.0 and not lowest_price <= bar.vwap <= LARGEST_VALUE:
        return _no_price("vwap", bar.vwap, lowest_price)
    if bar.trades is not None and not 0 <= bar.trades <= MOST_TRADES:
        return Fault("trades", f"trades must be a whole number from 0 to {MOST_TRADES}, got {bar.trades}")
    if not 0.0 <= bar.volume <= LARGEST_VALUE:
        return _no_number("volume", bar.volume)
    return _prices_fault("", lowest_price, bar.open, bar.high, bar.low, bar.close)


def _quote_fault(quote: QuoteBar, lowest_price: float) -> Fault | None:
    sides = (
        ("bid_", quote.bid_open, quote.bid_high, quote.bid_low, quote.bid_close, quote.bid_size),
        ("ask_", quote.ask_open, quote.ask_high, quote.ask_low, quote.ask_close, quote.ask_size),
    )
    lowest_price = min(lowest_price, 0.0)  # a side that nobody quotes may stand as zero
    for side, open_, high, low, close, size in sides:
        if size is not None and not 0.0 <= size <= LARGEST_VALUE:
            return _no_number(f"{side}size", size)
        prices = (open_, high, low, close)
        if open_ is None or high is None or low is None or close is None:
            if any(price is not None for price in prices):
                return Fault(f"{side}open", f"{side}open, high, low and close must all be there or all be empty, got {prices}")
        elif fault := _prices_fault(side, lowest_price, open_, high, low, close):
            return fault
    return None


def _prices_fault(side: str, lowest_price: float, open_: float, high: float, low: float, close: float) -> Fault | None:
    # A chained comparison is false for NaN.
    if lowest_price <= low <= open_ <= high <= LARGEST_VALUE and low <= close <= high:
        return None
    for name, value in (("open", open_), ("high", high), ("low", low), ("close", close)):
        if not lowest_price <= value <= LARGEST_VALUE:
            return _no_price(side + name, value, lowest_price)
    if low > high:
        return Fault(f"{side}low", f"{side}low {low} is above {side}high {high}")
    name, value = ("close", close) if low <= open_ <= high else ("open", open_)
    return Fault(side + name, f"{side}{name} {value} lies outside {side}low {low} and {side}high {high}")


def _no_price(name: str, value: float, lowest_price: float) -> Fault:
    hint = ": --allow-negative-prices takes prices of zero and below" if 0.0 <= lowest_price <= ABOVE_ZERO and value <= 0.0 else ""
    return Fault(name, f"{name} must be {prices_from(lowest_price)}, got {value}{hint}")


def _no_number(name: str, value: float) -> Fault:
    return Fault(name, f"{name} must be a number from 0 to {LARGEST_VALUE:g}, got {value}")


def _instant(instant_us: int) -> str:
    return iso(instant_us) if _FIRST_US <= instant_us <= _LAST_US else f"{instant_us} us since 1970"
