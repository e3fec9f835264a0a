"""The audit of a store: every file readable, where its path says, and its records in order, one a start, and sane.

It only reads, and goes on after each fault, so that one run tells all of them. Writers may work meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from streams.errors import HistoryError
from streams.history.files import PART
from streams.history.kinds import KINDS, Kind
from streams.history.layout import Partition, partition_of
from streams.history.rules import faults_of_day
from streams.history.store import HistoryStore

FAULTS_A_FILE: Final = 10
"""How many faults of one file are told; a file that lost its order would tell thousands."""


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
    kinds = {kind.name: kind for kind in KINDS}
    files = store.files()
    for count, path in enumerate(files, start=1):
        partition = partition_of(path.relative_to(store.root))
        if partition is not None:
            _audit_file(store, path, kinds[partition.kind], partition, found)
        elif path.name.startswith(".") and path.suffix == PART:
            found.notes.append(f"{path}: is being written, or a writer was ended: then the next write to its day removes it")
        else:
            found.faults.append(StoreFault(path, "is no file of the store: it must go, or be imported"))
        if tell is not None:
            tell(count, len(files))
    return found


def _audit_file(store: HistoryStore, path: Path, kind: Kind[Any], partition: Partition, found: StoreAudit) -> None:
    try:
        records = store.read_day(kind, partition)
    except HistoryError as error:
        found.faults.append(StoreFault(path, str(error).removeprefix(f"{path}: ")))
        return
    found.files += 1
    found.records += len(records)
    faults = faults_of_day(records, partition.symbol, partition.interval, partition.day)
    found.faults += [StoreFault(path, message) for message in islice(faults, FAULTS_A_FILE)]
    more = sum(1 for _ in faults)
    if more:
        found.faults.append(StoreFault(path, f"and {more} more"))
