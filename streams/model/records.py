"""What goes into the engine and what comes out: frozen records without behavior.

Three families:

* market data: `Bar` as it comes from a topic, `SessionBar` as the session keeps and publishes it;
* inputs: what a shell hands to the engine besides bars. Each one stands in the journal, so that a re-drive meets it;
* outcomes: what the engine hands back. A shell encodes them and never decides anything about them.

Instants are microseconds since the epoch (`_us`), dates are days since the epoch (`_days`), as on the wire; where a program
reads a record, the same instant is there as an aware `datetime` too (`start`, `end`, `time`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from streams.errors import InvalidSymbolError
from streams.times import from_us

PROVENANCE_FEED: Final = "feed"
PROVENANCE_GAP_FILL: Final = "gap_fill"
PROVENANCE_DERIVED: Final = "derived"
PROVENANCE_HISTORY: Final = "history"

QUOTES: Final = "quotes"
TICKS: Final = "ticks"
EXTRA_STREAMS: Final = (QUOTES, TICKS)
"""What a symbol may stream besides bars; each has a topic of its own."""

MAX_SYMBOL_LENGTH: Final = 64


def check_symbol(symbol: str) -> str:
    """The symbol itself, when it can be one: 1 to 64 printable characters without blanks or `|`.

    Raises:
        InvalidSymbolError: it can't.
    """
    if not symbol:
        raise InvalidSymbolError("a symbol must not be empty")
    if len(symbol) > MAX_SYMBOL_LENGTH:
        raise InvalidSymbolError(f"symbol {symbol[:20]!r}... has {len(symbol)} characters, at most {MAX_SYMBOL_LENGTH} are allowed")
    if not symbol.isprintable() or "|" in symbol or any(c.isspace() for c in symbol):
        raise InvalidSymbolError(f"symbol {symbol!r} has a blank, a control character or a '|' in it")
    return symbol


# ---------------------------------------------------------------------------------------------- market data


class Bar(Struct, frozen=True, gc=False):
    """One bar as it came from a topic, a file or a store: prices in currency, volume in units of the instrument.

    `interval` is its name (`1m`); `[start_us, end_us)` is what it covers; `vwap` and `trades` where the source has them;
    `provenance` says where it comes from (`feed`, `gap_fill`, or a user's own word).
    """

    symbol: str
    interval: str
    start_us: int
    end_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None = None
    trades: int | None = None
    provenance: str = PROVENANCE_FEED

    @property
    def start(self) -> datetime:
        """When it opens; aware, UTC."""
        return from_us(self.start_us)

    @property
    def end(self) -> datetime:
        """When it is complete and becomes known; aware, UTC."""
        return from_us(self.end_us)


class SessionBar(Struct, frozen=True, gc=False):
    """One bar, base or derived, as the session keeps it.

    `base_count` of `expected_count` base bars went into it, `complete` when that is all of them; `revision` counts
    how often its content was replaced.
    """

    start_us: int
    end_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    trades: int | None
    base_count: int
    expected_count: int
    revision: int
    complete: bool
    provenance: str

    @property
    def start(self) -> datetime:
        """When it opens; aware, UTC."""
        return from_us(self.start_us)

    @property
    def end(self) -> datetime:
        """When it is complete and becomes known; aware, UTC."""
        return from_us(self.end_us)


class Quote(Struct, frozen=True, gc=False):
    """The best bid and ask of a symbol at an instant: prices in currency, sizes in units of the instrument; one side may be missing."""

    symbol: str
    time_us: int
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    provenance: str = PROVENANCE_FEED

    @property
    def time(self) -> datetime:
        """When it was made; aware, UTC."""
        return from_us(self.time_us)


class Tick(Struct, frozen=True, gc=False):
    """One trade of a symbol: price in currency, size in units of the instrument."""

    symbol: str
    time_us: int
    price: float
    size: float
    provenance: str = PROVENANCE_FEED

    @property
    def time(self) -> datetime:
        """When it was made; aware, UTC."""
        return from_us(self.time_us)


def known_us(record: Bar | Quote | Tick) -> int:
    """The instant at which a record is known: a bar at its end, a quote or a tick at its time."""
    return record.end_us if isinstance(record, Bar) else record.time_us


class Undecodable(Struct, frozen=True):
    """A record of a topic that is none of those above: what was wrong with it, and, where its headers tell, why and what to change."""

    message: str
    hint: str | None = None


class Rejection(StrEnum):
    """Why a record went to the dead-letter topic."""

    UNDECODABLE = "undecodable"
    WRONG_SYMBOL = "wrong_symbol"
    BAD_PRICES = "bad_prices"
    MISALIGNED = "misaligned"
    FUTURE = "future"
    ENGINE_ERROR = "engine_error"


class Dropped(StrEnum):
    """Why a bar was counted and dropped: it is no fault, and not a bar of this session."""

    DUPLICATE = "duplicate"
    OUT_OF_HOURS = "out_of_hours"
    OTHER_INTERVAL = "other_interval"
    OTHER_DAY = "other_day"
    FORMING = "forming"


# ---------------------------------------------------------------------------------------------------- inputs


class CommandKind(StrEnum):
    """What a control command asks for."""

    ADD_SYMBOL = "add_symbol"
    REMOVE_SYMBOL = "remove_symbol"
    BEGIN_EXPORT = "begin_export"
    END_EXPORT = "end_export"


class ControlCommand(Struct, frozen=True):
    """A command from the control topic.

    `streams` are the intervals to stream, and quotes or ticks, empty for the config's; `start_us` an instant to read from
    instead of the day's open; `immediate` removes without draining; `must_exist` refuses a symbol whose topic does not exist;
    `export_number` says which export is done, of which beginning of the session and addition of the symbol (any when left out).
    """

    id: str
    kind: str
    symbol: str
    sent_us: int
    streams: tuple[str, ...] = ()
    start_us: int | None = None
    immediate: bool = False
    must_exist: bool = False
    sender: str | None = None
    export_number: int | None = None
    epoch: int | None = None
    incarnation: int | None = None


class RemovalPlan(Struct, frozen=True):
    """What a shell found out about a graceful removal before the command is applied.

    `end_offset` is the read_committed end of the symbol's topic; at `deadline_us` it goes, drained or not.
    """

    end_offset: int
    deadline_us: int


class SourcePosition(Struct, frozen=True):
    """Where a symbol's reading starts.

    `topic_id` is Kafka's id of the topic (a re-created one has another), `offset` the first to read, `end_offset`
    the read_committed end when that was found: what lies between is the backlog. `note` says in words what was
    special about it ("topic created", "from the earliest offset: the day's first bars are no longer there").
    """

    topic_id: str
    offset: int
    end_offset: int
    note: str | None = None


# -------------------------------------------------------------------------------------------------- outcomes


class AnalysisKind(StrEnum):
    """Kinds of records on the analysis topic. A reader skips what it does not know."""

    BAR = "bar"
    ACTIVATED = "activated"
    DEACTIVATED = "deactivated"
    HELD_BACK = "held_back"
    REVISED = "revised"
    SYMBOL_ADDED = "symbol_added"
    SYMBOL_REMOVED = "symbol_removed"
    SYMBOL_FAILED = "symbol_failed"
    SESSION_ROLLED = "session_rolled"
    INTERVAL_COMPLETE = "interval_complete"
    HEARTBEAT = "heartbeat"


class LaggingSymbol(Struct, frozen=True):
    """A symbol that keeps the gate shut, and by how many seconds it was behind at its last check."""

    symbol: str
    lag_seconds: float


class GateChange(Struct, frozen=True):
    """The gate as it stands after a change, and why it changed."""

    active: bool
    reason: str
    lagging: tuple[LaggingSymbol, ...] = ()


class Extent(Struct, frozen=True):
    """A stretch of bars of one symbol and interval: `count` bars within `[first_start_us, last_end_us)`."""

    cause: str
    first_start_us: int
    last_end_us: int
    count: int

    @property
    def first_start(self) -> datetime:
        """When the first of them opens; aware, UTC."""
        return from_us(self.first_start_us)

    @property
    def last_end(self) -> datetime:
        """When the last of them is complete; aware, UTC."""
        return from_us(self.last_end_us)


class IntervalComplete(Struct, frozen=True):
    """How many loaded symbols have their bar that ends at `end_us`, and which have not."""

    end_us: int
    expected: int
    present: int
    absent: tuple[str, ...] = ()

    @property
    def end(self) -> datetime:
        """When these bars end; aware, UTC."""
        return from_us(self.end_us)


class PublishedBar(Struct, frozen=True, gc=False):
    """A bar for the analysis topic: fresh until `valid_until_us`."""

    sequence: int
    symbol: str
    interval: str
    incarnation: int
    trading_days: int
    bar: SessionBar
    valid_until_us: int


class HeldBackBar(Struct, frozen=True, gc=False):
    """A bar that is in the state and not on analysis, for the ungated topic; `sequence` is the one that was given out last."""

    sequence: int
    symbol: str
    interval: str
    incarnation: int
    trading_days: int
    bar: SessionBar
    valid_until_us: int


class Marker(Struct, frozen=True):
    """Any other record for the analysis topic."""

    sequence: int
    kind: AnalysisKind
    symbol: str | None = None
    interval: str | None = None
    incarnation: int | None = None
    trading_days: int | None = None
    gate: GateChange | None = None
    extent: Extent | None = None
    interval_complete: IntervalComplete | None = None
    reason: str | None = None


class EventKind(StrEnum):
    """Kinds of session events: ungated news about the session and its symbols."""

    SESSION_OPENED = "session_opened"
    CALENDAR_CHANGED = "calendar_changed"
    CALENDAR_ENDING = "calendar_ending"
    CLOCK_WRONG = "clock_wrong"
    CLOCK_RIGHT = "clock_right"
    SESSION_RESUMED = "session_resumed"
    CONFIG_CHANGED = "config_changed"
    BARS_TOPIC_FILLED = "bars_topic_filled"
    ACTIVATED = "activated"
    DEACTIVATED = "deactivated"
    SYMBOL_PENDING = "symbol_pending"
    SYMBOL_LOADED = "symbol_loaded"
    SYMBOL_REMOVING = "symbol_removing"
    SYMBOL_REMOVED = "symbol_removed"
    SYMBOL_FAILED = "symbol_failed"
    SYMBOL_LAGGING = "symbol_lagging"
    SYMBOL_CAUGHT_UP = "symbol_caught_up"
    SYMBOL_SILENT = "symbol_silent"
    SYMBOL_ROLLED = "symbol_rolled"
    QUALITY = "quality"
    GAP_ASKED = "gap_asked"
    HISTORY_LOADED = "history_loaded"
    HISTORY_MISSING = "history_missing"
    SOURCE_LOST = "source_lost"
    SOURCE_WARNED = "source_warned"
    UNKNOWN_FIELDS = "unknown_fields"
    STREAM_LOCATED = "stream_located"
    BAR_LATE = "bar_late"
    BAR_CORRECTED = "bar_corrected"
    COMMAND_REJECTED = "command_rejected"
    EXPORT_LOST = "export_lost"


class Event(Struct, frozen=True):
    """News for the events topic; `attributes` are short texts by name (`lag_seconds`, `reason`, `offset`)."""

    kind: EventKind
    symbol: str | None = None
    incarnation: int | None = None
    reason: str | None = None
    attributes: dict[str, str] = {}


class ReplyStatus(StrEnum):
    """How far a command has come."""

    ACCEPTED = "accepted"
    COMPLETED = "completed"
    FAILED = "failed"


class Reply(Struct, frozen=True):
    """An answer to a command for the replies topic; `text` is what it gave, as JSON."""

    command_id: str
    kind: str
    symbol: str
    status: ReplyStatus
    reason: str | None = None
    text: str | None = None


class Rejected(Struct, frozen=True):
    """A record just received goes to the dead-letter topic, for this reason."""

    symbol: str
    code: Rejection
    message: str


Outcome = PublishedBar | HeldBackBar | Marker | Event | Reply | Rejected
