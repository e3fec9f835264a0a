"""The journal's form: one record a transaction, enough to drive a fresh engine through the same states.

`inputs` stand in processing order. Neighbouring `RANGE` inputs are one group: their bars are merged by (end, symbol)
before they are received; a `READ` between two parts groups that were read one after the other. Everything that a shell found
out by I/O stands here; the bars themselves stay in their topics.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from streams.model.rows import Columns


class InputKind(StrEnum):
    """What a shell told the engine."""

    OPENED = "opened"
    CONFIGURED = "configured"
    CALENDAR = "calendar"
    RESUMED = "resumed"
    COMMAND = "command"
    CONTROL_SKIPPED = "control_skipped"
    COMMAND_SKIPPED = "command_skipped"
    LOADED = "loaded"
    LOAD_FAILED = "load_failed"
    RANGE = "range"
    READ = "read"
    SKIPPED = "skipped"
    CAUGHT_UP = "caught_up"
    SILENT = "silent"
    REWOUND = "rewound"
    CLOCK = "clock"
    HEARTBEAT = "heartbeat"
    SOURCE_LOST = "source_lost"
    SOURCE_WARNED = "source_warned"
    STREAM_LOCATED = "stream_located"
    TOPICS_CHECKED = "topics_checked"
    HISTORY = "history"
    GAP_ASKED = "gap_asked"
    ENDED = "ended"


class JournalInput(Struct, frozen=True):
    """One input; which fields are set depends on the kind.

    opened: text (config JSON), topic_id and first_offset (of the control topic), reason (the owner's URL), calendar.
    configured: text (config JSON). calendar: calendar (the trading days to go by from the next day on, `TradingCalendar.to_text`).
    resumed: reason (owner), text (the owner's URL).
    command: text (command JSON), first_offset, next_offset, and for a graceful removal end_offset and deadline_us.
    control_skipped: first_offset, next_offset, reason, text (the id to answer). command_skipped (a command on which the
    engine raised): as command, and reason.
    loaded: symbol, incarnation, topic_id, first_offset, end_offset, reason (a note). load_failed: symbol, incarnation, reason.
    range: symbol, incarnation, first_offset, next_offset. skipped: symbol, incarnation, first_offset (a record on which the
    engine raised), reason. caught_up, silent: symbol, incarnation. rewound, heartbeat, read: nothing.
    clock: reason (what is wrong with the worker's clock; none: nothing any more), start_us (what it says), end_us (what it should).
    source_lost: symbol, incarnation, topic_id, first_offset (where reading goes on), reason.
    source_warned: symbol, incarnation, reason (the symbol's note from now on), text (what is warned of; none: nothing any more).
    stream_located: symbol, incarnation, stream, topic_id, first_offset (where reading begins). history: symbol, incarnation,
    interval, trading_days, bars; without bars reason says why there are none. gap_asked: symbol, incarnation, start_us, end_us,
    count (of the bars that a source gave), reason (why it gave none, when it failed). ended: nothing; a replay's last input.
    topics_checked: start_us (since when checks of topics fail; none: they are answered again), reason (why).
    range, skipped and source_lost have stream where they are about quotes or ticks; source_lost of such without a topic_id says that they
    are not read until stream_located.
    """

    kind: InputKind
    symbol: str | None = None
    incarnation: int | None = None
    first_offset: int | None = None
    next_offset: int | None = None
    end_offset: int | None = None
    deadline_us: int | None = None
    topic_id: str | None = None
    reason: str | None = None
    text: str | None = None
    stream: str | None = None
    interval: str | None = None
    trading_days: int | None = None
    start_us: int | None = None
    end_us: int | None = None
    count: int | None = None
    bars: Columns | None = None
    calendar: str | None = None


class JournalRecord(Struct, frozen=True):
    """One transaction: `now_us`, its inputs, and the sequences `(before_sequence, last_sequence]` that it wrote.

    `rules` is the version of the engine's rules that it ran under (`engine.rules`).
    """

    session: str
    epoch: int
    transaction: int
    now_us: int
    owner: str
    before_sequence: int
    last_sequence: int
    inputs: tuple[JournalInput, ...]
    rules: int = 1
