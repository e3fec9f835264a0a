"""What one transaction takes in and what it gives: ranges of source topics, dead letters, and all that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from streams.model.inputs import JournalRecord
from streams.model.records import Bar, Outcome, Quote, Rejection, Tick, Undecodable
from streams.model.rows import Row

UNKNOWN_OFFSET: Final = -1
"""The offset of a dead letter whose record was read by an earlier transaction."""


class RangeRead(Struct, frozen=True):
    """Records of a symbol's topic, from the position that the state stood at up to `next_offset`.

    `offsets` and `records` run side by side; offsets in between that hold no record are markers of transactions. `stream` says
    which of the symbol's topics it is: quotes or ticks, None for bars. `unknown` holds, by place in `records`, the names of fields that
    such a record does not have.
    """

    symbol: str
    incarnation: int
    first_offset: int
    next_offset: int
    offsets: Sequence[int]
    records: Sequence[Bar | Quote | Tick | Undecodable]
    stream: str | None = None
    unknown: Mapping[int, Sequence[str]] | None = None

    def before(self, place: int) -> RangeRead:
        """The range up to one of its records, without it: what is read again later is not counted now."""
        unknown = {number: names for number, names in (self.unknown or {}).items() if number < place}
        return msgspec.structs.replace(
            self, next_offset=self.offsets[place], offsets=self.offsets[:place], records=self.records[:place], unknown=unknown or None
        )


class DeadLetter(Struct, frozen=True):
    """A record of one of a symbol's topics that goes to the dead-letter topic; `stream` as of its range.

    `bar` stands in for the record of one that had waited for its end, which was read long before: its offset is `UNKNOWN_OFFSET`.
    """

    symbol: str
    offset: int
    code: Rejection
    message: str
    stream: str | None = None
    bar: Bar | None = None


class TransactionResult(Struct, frozen=True):
    """All that one transaction writes, but for the raw bytes of its dead letters; `bars_topic`: its bars go to the ungated topic too."""

    now_us: int
    outcomes: list[Outcome]
    dead_letters: list[DeadLetter]
    rows: dict[str, Row | None]
    journal: JournalRecord
    bars_topic: bool = False
