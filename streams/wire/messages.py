"""What a reader of a session's topics gets: the decoded public records.

Kinds and statuses are plain text here, not enums: a later version of the worker may send one that this reader does not
know, and it is to be skipped, not to be an error. Instants are microseconds since the epoch, dates days since it.
"""

from __future__ import annotations

from msgspec import Struct

from streams.records import Extent, GateChange, IntervalComplete, SessionBar


class AnalysisBar(SessionBar, frozen=True, gc=False):
    """A bar from the analysis topic: it counts as fresh until `valid_until_us`."""

    valid_until_us: int


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
