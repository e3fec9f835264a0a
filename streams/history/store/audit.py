"""The audit of a store: every file readable, where its path says, and its records in order, one a start, and sane.

It only reads, and goes on after each fault, so that one run tells all of them. Writers may work meanwhile.

A series whose prices are ten thousand times those of the record before is no fault, but hardly a market's doing either: LEAN writes
the prices of equities, and of them alone, in ten-thousandths. Where files were read by the rules of another type, and others beside
them by the right ones, the two meet at such a step, and a note names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from streams.errors import HistoryError
from streams.history.kinds import KINDS, Kind
from streams.history.quotes import QuoteBar
from streams.history.rules import faults_of_day
from streams.history.store.files import PART
from streams.history.store.layout import Partition, partition_of
from streams.history.store.store import HistoryStore
from streams.model.records import Bar
from streams.times import iso

FAULTS_A_FILE: Final = 10
"""How many faults of one file are told; a file that lost its order would tell thousands."""


UNIT: Final = 10_000.0
"""In how many parts LEAN divides a unit of currency."""
UNIT_TOLERANCE: Final = 2.0
"""By how much the price itself may have moved at such a step."""


class StoreFault(Struct, frozen=True):
    """What is wrong with a file of a store."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class StoreAudit(Struct):
    """What an audit has found: how much was read, what is wrong, and what else there is to know."""

    files: int = 0
    records: int = 0
    faults: list[StoreFault] = []
    notes: list[str] = []

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def audit(store: HistoryStore, tell: Callable[[int, int], object] | None = None) -> StoreAudit:
    """Read all of a store and check it.

    Args:
        store: which.
        tell: is told after each file how many of how many are read.
    """
    found = StoreAudit()
    steps = _UnitSteps()
    kinds = {kind.name: kind for kind in KINDS}
    files = store.files()
    for count, path in enumerate(files, start=1):
        partition = partition_of(path.relative_to(store.root))
        if partition is not None:
            _audit_file(store, path, kinds[partition.kind], partition, found, steps)
        elif path.name.startswith(".") and path.suffix == PART:
            found.notes.append(f"{path}: is being written, or a writer was ended: then the next write to its day removes it")
        else:
            found.faults.append(StoreFault(path, "is not a file of the store: it must go, or be imported"))
        if tell is not None:
            tell(count, len(files))
    return found


class _UnitSteps:
    """Finds where prices go on in another unit; knows the last record of the series whose files are read."""

    def __init__(self) -> None:
        self._series: tuple[str, str, str] | None = None
        self._last: Bar | QuoteBar | None = None

    def notes(self, path: Path, partition: Partition, records: Sequence[Bar | QuoteBar]) -> Iterator[str]:
        """What there is to say of one file's records; files come in order of their days."""
        series = (partition.kind, partition.symbol, partition.interval)
        before = [self._last] if self._last is not None and self._series == series else []
        for one, following in pairwise([*before, *records]):
            step = _price_of(following) / (_price_of(one) or math.inf)
            if _is_unit(step) or _is_unit(1 / (step or math.inf)):
                yield (
                    f"{path}: prices go from {_price_of(one):g} to {_price_of(following):g} at {iso(following.start_us)}: were "
                    f"these {partition.symbol} {partition.interval} {partition.kind} imported in another unit than those before?"
                )
        if records:
            self._series, self._last = series, records[-1]


def _is_unit(step: float) -> bool:
    return UNIT / UNIT_TOLERANCE <= step <= UNIT * UNIT_TOLERANCE


def _price_of(record: Bar | QuoteBar) -> float:
    """A price of the record, 0 where it has none."""
    return record.close if isinstance(record, Bar) else record.bid_close or record.ask_close or 0.0


def _audit_file(store: HistoryStore, path: Path, kind: Kind[Any], partition: Partition, found: StoreAudit, steps: _UnitSteps) -> None:
    try:
        records = store.read_day(kind, partition)
    except HistoryError as error:
        found.faults.append(StoreFault(path, str(error).removeprefix(f"{path}: ")))
        return
    found.files += 1
    found.records += len(records)
    found.notes += islice(steps.notes(path, partition, records), FAULTS_A_FILE)
    faults = faults_of_day(records, partition.symbol, partition.interval, partition.day)
    found.faults += [StoreFault(path, message) for message in islice(faults, FAULTS_A_FILE)]
    more = sum(1 for _ in faults)
    if more:
        found.faults.append(StoreFault(path, f"and {more} more"))
