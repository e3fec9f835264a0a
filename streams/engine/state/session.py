"""`SessionState`: the session as data, and the outbox in which outcomes gather while a verb runs.

The rules are functions of other modules over this state (`gate`, `publish`, `intake`, `lifecycle`, `rollover`); the one
who calls them in the right order is `Session`.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.config.session import SessionConfig
from streams.engine.state.grid import UTC_CLOCK
from streams.engine.state.open_windows import Wait
from streams.engine.state.symbol import NEVER_US, SymbolSessionData, SymbolStatus
from streams.errors import EngineError
from streams.model.records import (
    AnalysisKind,
    Event,
    EventKind,
    Extent,
    GateChange,
    IntervalComplete,
    Marker,
    Outcome,
    Reply,
    ReplyStatus,
)
from streams.model.rows import CommandRow, CompletedRow, Row, SessionRow, command_key
from streams.model.rules_version import RULES

NEVER_DUE_US = 1 << 62


def by_symbol(data: SymbolSessionData) -> str:
    """Sort key: the order in which symbols are dealt with."""
    return data.symbol


class SessionState:
    """All of a session's state. `outcomes` are those of the verb that is running."""

    __slots__ = (
        "active", "ahead_us", "by_open", "calendar", "calendar_text", "changed_commands", "clock_behind_us", "clock_reason", "commands",
        "completed",
        "completed_before", "config", "config_changed", "config_json", "control_offset", "control_topic_id", "days", "doomed",
        "draining", "epoch", "ever_active", "future_tolerance_us", "gate_reason", "grace_us", "lagging", "looks", "looks_for",
        "measured_us", "min_completeness", "next_close_us", "next_complete_us", "next_incarnation", "next_quiet_us",
        "next_roll_us", "next_waiting_us", "now_us", "opened_rules", "outcomes", "owner", "owner_url", "removed_keys", "revised",
        "rules", "sequence", "silent", "stale_indicators", "strategy", "streamed", "symbols", "tells_held_back", "transaction",
        "unchecked_reason", "unchecked_us", "unfilled", "waits",
    )  # fmt: skip

    def __init__(self, config: SessionConfig, calendar: TradingCalendar, *, config_json: str = "", calendar_text: str = "") -> None:
        self.calendar = calendar
        # The calendar as it was given, which is stored; empty where it is the library's.
        self.calendar_text = calendar_text
        self.use(config, config_json)
        self.epoch = 1
        # See `engine.rules`.
        self.rules = self.opened_rules = RULES
        self.transaction = 0
        self.sequence = 0
        self.now_us = 0
        # While time passes: how much later than the instant that is worked on its outcomes are emitted.
        self.ahead_us = 0
        self.active = self.ever_active = False
        self.gate_reason = "new"
        # What is wrong with the worker's clock, and how far it is behind; None while it is right.
        self.clock_reason: str | None = None
        self.clock_behind_us = 0
        self.days = 0
        self.measured_us = NEVER_US
        self.next_incarnation = 1
        self.control_offset = 0
        self.control_topic_id = ""
        self.owner = self.owner_url = ""
        self.unchecked_us, self.unchecked_reason = NEVER_US, ""
        self.symbols: dict[str, SymbolSessionData] = {}
        self.commands: dict[str, CommandRow] = {}
        # Up to where each interval was told to be complete, while the gate is open.
        self.completed: dict[str, int] = {}
        # What follows is not stored: it is empty between transactions or computed from the rest.
        # The same as it was when the gate shut in this transaction.
        self.completed_before: dict[str, int] = {}
        self.doomed: list[str] = []
        self.lagging: set[str] = set()
        # Before these instants no window closes by the clock, no day rolls, and no symbol is quiet; 0 where that is to be found out.
        self.next_close_us = self.next_roll_us = self.next_quiet_us = 0
        self.waits: list[Wait] = []
        self.next_complete_us = NEVER_DUE_US
        self.next_waiting_us = NEVER_DUE_US
        self.silent: set[str] = set()
        self.draining: set[str] = set()
        self.revised: set[str] = set()
        self.streamed: set[str] = set()
        self.unfilled: set[str] = set()
        self.stale_indicators: set[str] = set()
        self.outcomes: list[Outcome] = []
        self.removed_keys: set[str] = set()
        self.changed_commands: dict[str, Row | None] = {}
        self.config_changed = False

    def use(self, config: SessionConfig, config_json: str) -> None:
        """Go by this config; what every bar needs of it is kept at hand. As text it is stored as it was given."""
        self.config = config
        # Written out again it would have the keys that this version has, and a journal of another one would differ.
        self.config_json = config_json or config.to_json()
        # When the symbols are looked at next, in order, and the incarnation up to which that is known: it goes by the config.
        self.looks: list[tuple[int, str, int]] = []
        self.looks_for = 0
        streaming = config.session_data_config.streaming
        self.by_open = streaming.reference == "open"
        self.strategy = streaming.check
        self.min_completeness = config.session_data_config.min_completeness
        self.grace_us = config.grace_us
        self.tells_held_back = config.session_data_config.bars_topic
        self.future_tolerance_us = config.future_tolerance_us

    def defers(self, data: SymbolSessionData) -> bool:
        """Whether derived bars of the symbol wait for the end of its backlog (`derive`)."""
        return data.backlog and self.rules >= 2

    def of(self, symbol: str) -> SymbolSessionData:
        """A symbol's data.

        Raises:
            EngineError: it is not in the session.
        """
        data = self.symbols.get(symbol)
        if data is None:
            raise EngineError(f"{symbol} is not in the session, so nothing can be said about it")
        return data

    def ordered(self) -> Iterator[SymbolSessionData]:
        """The symbols by name."""
        for symbol in sorted(self.symbols):
            yield self.symbols[symbol]

    def initial_pending(self) -> bool:
        """Whether a symbol of the session's first config still awaits its start position."""
        return any(data.initial and data.status is SymbolStatus.PENDING for data in self.symbols.values())

    @property
    def window_anchor(self) -> str:
        """Where windows begin: the config's anchor, by the clock that the epoch was opened under."""
        anchor = self.config.window_anchor
        return UTC_CLOCK if anchor == "clock" and self.opened_rules < 2 else anchor

    def day(self) -> TradingDay:
        """The trading day that every symbol has reached."""
        day = self.calendar.day_on(self.days)
        return day if day is not None else self.calendar.current_day(self.now_us)

    def mark(
        self,
        kind: AnalysisKind,
        data: SymbolSessionData | None = None,
        *,
        interval: str | None = None,
        gate: GateChange | None = None,
        extent: Extent | None = None,
        interval_complete: IntervalComplete | None = None,
        reason: str | None = None,
    ) -> None:
        """Put a marker on analysis: about the session, or about a symbol and one of its intervals."""
        self.sequence += 1
        self.outcomes.append(
            Marker(
                self.sequence, kind,
                symbol=data.symbol if data else None, interval=interval, incarnation=data.incarnation if data else None,
                trading_days=data.day.days if data else self.days,
                gate=gate, extent=extent, interval_complete=interval_complete, reason=reason,
            )
        )  # fmt: skip

    def tell(self, kind: EventKind, data: SymbolSessionData | None = None, *, reason: str | None = None, **attributes: object) -> None:
        """Put news on the events topic."""
        texts = {name: str(value) for name, value in attributes.items()}
        self.outcomes.append(Event(kind, data.symbol if data else None, data.incarnation if data else None, reason, texts))

    def reply(
        self, command_id: str, kind: str, symbol: str, status: ReplyStatus, reason: str | None = None, *, text: str | None = None
    ) -> None:
        """Answer a command, and remember the answer for a repeated id, but for `text`: what the command gave, as JSON."""
        self.outcomes.append(Reply(command_id, kind, symbol, status, reason, text))
        row = CommandRow(command_id, kind, symbol, status, reason, self.now_us)
        # Answers stay in order of their time: `forget_old_commands` looks at the oldest only.
        self.commands.pop(command_id, None)
        self.commands[command_id] = row
        self.changed_commands[command_key(command_id)] = row

    def session_row(self) -> SessionRow:
        """The session's own row."""
        return SessionRow(
            session=self.config.session_name, epoch=self.epoch, transaction=self.transaction, sequence=self.sequence, now_us=self.now_us,
            active=self.active, ever_active=self.ever_active, gate_reason=self.gate_reason, trading_days=self.days,
            next_incarnation=self.next_incarnation, control_offset=self.control_offset, control_topic_id=self.control_topic_id,
            owner=self.owner, owner_url=self.owner_url, measured_us=self.measured_us,
            completed=tuple([CompletedRow(interval, end_us) for interval, end_us in self.completed.items()]),
            rules=self.rules, opened_rules=self.opened_rules, clock_reason=self.clock_reason, clock_behind_us=self.clock_behind_us,
            unchecked_us=self.unchecked_us, unchecked_reason=self.unchecked_reason,
        )  # fmt: skip
