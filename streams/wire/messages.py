"""What a reader of a session's topics gets: the decoded public records.

Kinds and statuses are plain text here, not enums: a later version of the worker may send one that this reader does not
know, and it is to be skipped, not to be an error. Instants are microseconds since the epoch, dates days since it.
"""

from __future__ import annotations

from datetime import date, datetime

from msgspec import Struct

from streams.model.records import Extent, GateChange, IntervalComplete, SessionBar
from streams.times import date_of_days, from_us


class AnalysisBar(SessionBar, frozen=True, gc=False):
    """A `SessionBar` from the analysis topic: it counts as fresh until `valid_until_us`."""

    valid_until_us: int

    @property
    def valid_until(self) -> datetime:
        """Until when it may be acted on."""
        return from_us(self.valid_until_us)


class AnalysisEvent(Struct, frozen=True):
    """One record of the analysis topic; `kind` says which of the optional parts are set.

    `(epoch, sequence)` is contiguous for a reader with `isolation.level=read_committed`. `held_back` is for the ungated topic.
    """

    sequence: int
    epoch: int
    session: str
    emitted_us: int
    kind: str
    symbol: str | None = None
    interval: str | None = None
    incarnation: int | None = None
    trading_days: int | None = None
    bar: AnalysisBar | None = None
    gate: GateChange | None = None
    extent: Extent | None = None
    interval_complete: IntervalComplete | None = None
    reason: str | None = None
    held_back: bool = False

    @property
    def emitted_at(self) -> datetime:
        """When the worker emitted it."""
        return from_us(self.emitted_us)

    @property
    def trading_date(self) -> date | None:
        """The trading day in exchange time that it belongs to."""
        return None if self.trading_days is None else date_of_days(self.trading_days)


class SessionEvent(Struct, frozen=True):
    """News from the events topic; `attributes` are short texts by name."""

    epoch: int
    session: str
    emitted_us: int
    kind: str
    symbol: str | None = None
    incarnation: int | None = None
    reason: str | None = None
    attributes: dict[str, str] = {}


class CommandReply(Struct, frozen=True):
    """An answer from the replies topic: `status` is accepted, then completed or failed; `text` what the command gave, as JSON."""

    command_id: str
    kind: str
    symbol: str
    status: str
    reason: str | None
    time_us: int
    epoch: int
    session: str
    text: str | None = None
