"""What an audit has found: differences with their places, what could not be checked, and how much was compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from msgspec import Struct

MOST_DIFFERENCES: Final = 1000
"""How many differences are kept; the others are only counted."""


class DifferenceKind(StrEnum):
    """In what way something differs from what the journal and the source topics give."""

    MISSING = "missing"
    EXTRA = "extra"
    REPEATED = "repeated"
    REORDERED = "reordered"
    CHANGED = "changed"
    UNDRIVABLE = "undrivable"


class Difference(Struct, frozen=True):
    """One place where a session differs from its re-drive.

    Attributes:
        kind: in what way.
        topic: where; for a row the changelog of the table.
        transaction: that of the session which it belongs to, 0 where that is unknown.
        epoch: the epoch that was re-driven.
        what: the record or row in words: `bar SPY 1m`, `progress|SPY`.
        offset: its place in the topic; for what is missing the place where it should be, None at the end.
        sequence: that of an analysis record.
        field: what differs within it, such as `bar.close`.
        expected, found: the values of that field, or of the whole.
    """

    kind: DifferenceKind
    topic: str
    transaction: int
    epoch: int
    what: str
    offset: int | None = None
    sequence: int | None = None
    field: str | None = None
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        place = self.topic if self.offset is None else f"{self.topic} offset {self.offset}"
        belongs = f"epoch {self.epoch}" + (f", transaction {self.transaction}" if self.transaction else "")
        if self.sequence is not None:
            belongs += f", sequence {self.sequence}"
        return f"{place} ({belongs}): {self.what} {self._words()}"

    def _words(self) -> str:
        match self.kind:
            case DifferenceKind.MISSING:
                return "is missing"
            case DifferenceKind.EXTRA:
                return "should not be there"
            case DifferenceKind.REPEATED:
                return "is there again"
            case DifferenceKind.REORDERED:
                return "and the record before it are in the wrong order"
            case DifferenceKind.CHANGED:
                return f"differs: {self.field} is {self.found}, should be {self.expected}"
            case DifferenceKind.UNDRIVABLE:
                return f"can't be driven again: {self.found}"


@dataclass
class VerifyReport:
    """The result of an audit.

    Attributes:
        session: the session's name.
        epochs: those that were re-driven.
        transactions, inputs, bars, extras: how many of them were; bars are records of bar topics, read again, extras of quotes and ticks.
        compared: by topic, how many records were held against what they should be and are that.
        rows: how many rows of the tables were, and `rows_at` as of which transaction.
        differences: where they differ, in the order of the transactions that they belong to; at most 1000.
        difference_count: how many there are.
        unchecked: what could not be checked, and why; as long as there is such, the session is not verified.
        notes: what else there is to know.
        duration_seconds: how long it took.
    """

    session: str
    epochs: list[int] = field(default_factory=list)
    transactions: int = 0
    inputs: int = 0
    bars: int = 0
    extras: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    rows_at: int | None = None
    differences: list[Difference] = field(default_factory=list)
    difference_count: int = 0
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    duration_seconds: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether all was checked and nothing differs."""
        return not self.difference_count and not self.unchecked

    @property
    def records(self) -> int:
        """How many records of all topics were compared and are equal."""
        return sum(self.compared.values())

    def add(self, difference: Difference) -> None:
        """Take a difference."""
        self.difference_count += 1
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(difference)

    def put_in_order(self) -> None:
        """Order the differences by transaction; within one as they were met."""
        self.differences.sort(key=lambda difference: (difference.epoch, difference.transaction))
