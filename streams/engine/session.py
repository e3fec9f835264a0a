"""`Session`: the engine's way in. Verbs in, outcomes out; no I/O, no clock, no logging.

    session = Session.open(config, epoch=1, control=position, owner="w1", now_us=now)
    session.loaded("SPY", incarnation, SourcePosition(topic_id, offset, end_offset), now)
    outcomes = session.receive(bar, now)
    finished = session.finish(now)          # what is left to say, and the rows that changed

A shell drives it through `engine.transaction`, which keeps the journal too. What the verbs promise:

* the same verbs with the same arguments give the same outcomes and the same rows, on any machine;
* a verb is atomic: when it raises, the state is as it was before. It is rebuilt from the rows of the last transaction
  and the verbs since, so the common case pays nothing for it; a further one of the same transaction goes by a copy of what
  the one before has rebuilt, so many cost as many times the symbols that they touch, not the session;
* `restore(rows)` gives a session that goes on exactly as the one that the rows came from;
* `now_us` never goes back: an earlier one counts as the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from streams.calendar.trading import TradingCalendar
from streams.config.session import SessionConfig
from streams.engine import effects
from streams.engine.changes import changed_rows
from streams.engine.restore import restore_state
from streams.engine.rollback import fork_state, fork_symbol
from streams.engine.rules import (
    bars,
    bars_topic,
    calendars,
    gap_filling,
    gate,
    indicators,
    interval_complete,
    lifecycle,
    past_days,
    publish,
    quality_events,
    quotes,
    reconfigure,
    source_position,
    waiting_bars,
)
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.errors import RedriveError
from streams.model.inputs import JournalInput
from streams.model.records import (
    Bar,
    ControlCommand,
    EventKind,
    Outcome,
    Rejection,
    RemovalPlan,
    ReplyStatus,
    SourcePosition,
)
from streams.model.rows import Row
from streams.model.rules_version import RULES

_Verb = Callable[[SessionState], None]


class Finished(Struct, frozen=True):
    """The end of a transaction: its last outcomes, and the rows that changed (None: to be deleted)."""

    outcomes: list[Outcome]
    rows: dict[str, Row | None]


class Session:
    """One session. See the module for what its verbs promise."""

    def __init__(self, state: SessionState, rows: Mapping[str, Row]) -> None:
        self._state = state
        self._written: dict[str, Row] = dict(rows)
        self._since: list[tuple[int, _Verb] | tuple[int, Bar]] = []
        self._base: SessionState | None = None
        """Where `_since` begins: a copy of the state there, in a transaction in which a verb has raised; else the rows."""
        self._unwritten = False

    @classmethod
    def open(
        cls,
        config: SessionConfig,
        *,
        epoch: int,
        control_topic_id: str,
        control_offset: int,
        owner: str,
        now_us: int,
        owner_url: str = "",
        config_json: str = "",
        calendar: str = "",
        rules: int = RULES,
    ) -> tuple[Session, list[Outcome]]:
        """Begin a session anew, with the config's symbols pending.

        `calendar` holds the trading days to go by, as text, instead of the library's; `config_json` is how the config is stored.
        """
        days = TradingCalendar.from_text(calendar) if calendar else config.calendar()
        state = SessionState(config, days, config_json=config_json, calendar_text=calendar)
        state.rules = state.opened_rules = rules
        state.epoch, state.owner, state.owner_url, state.now_us = epoch, owner, owner_url, now_us
        state.control_topic_id, state.control_offset = control_topic_id, control_offset
        state.days = state.calendar.current_day(now_us).days
        state.config_changed = True
        state.tell(EventKind.SESSION_OPENED, epoch=epoch, owner=owner)
        for symbol in config.symbols:
            lifecycle.begin_symbol(state, symbol, config.base_interval, config.derived_intervals, config.extra_streams, initial=True)
        calendars.tell_of_end(state)
        gate.open_if_clear(state, "loaded")
        outcomes, state.outcomes = state.outcomes, []
        session = cls(state, {})
        # Nothing is in the tables yet, but a failed verb has to find this beginning again.
        session._written = {key: row for key, row in changed_rows(state, {}).items() if row is not None}
        session._nothing_written()
        return session, outcomes

    @classmethod
    def restore(cls, rows: Mapping[str, Row]) -> Session:
        """Go on from stored rows; those of former incarnations are dropped, and tombstoned by the next `finish`.

        Raises:
            StateError: the rows are not a session.
        """
        state = restore_state(rows)
        interval_complete.go_on(state)
        return cls(state, rows)

    def adopt_rules(self, rules: int, now_us: int) -> None:
        """Go on under another version of the rules; to be called first in a transaction."""

        def adopt(state: SessionState) -> None:
            state.rules = rules
            for data in state.symbols.values():
                gate.bound_prices(state, data)

        if rules != self._state.rules:
            self._run(adopt, now_us)

    def resume(self, owner: str, now_us: int, *, owner_url: str = "") -> list[Outcome]:
        """A worker takes over, which answers at `owner_url`: each symbol reads what was missed.

        After a downtime beyond a threshold they lag until then.
        """
        away_us = now_us - self._state.now_us
        return self._run(lambda state: source_position.resumed(state, owner, owner_url, away_us), now_us)

    def configure(self, config: SessionConfig, now_us: int, *, config_json: str = "") -> list[Outcome]:
        """Go on under a changed config, stored as `config_json`.

        Raises:
            ConfigConflictError: the change contradicts the state (exchange, hours, base interval, name).
        """
        return self._run(lambda state: reconfigure.configure(state, config, config_json), now_us)

    def use_calendar(self, calendar: str, now_us: int) -> list[Outcome]:
        """Go by these trading days (`TradingCalendar.to_text`) once the day is over that the session or a symbol stands on."""
        return self._run(lambda state: calendars.use(state, calendar), now_us)

    def receive(self, bar: Bar, now_us: int) -> list[Outcome]:
        """Take in one bar of a symbol that is being read.

        Raises:
            EngineError: the symbol is not being read.
            Exception: a bug met by this bar; the state is as before it, `skipped` then says that it was passed over.
        """
        state = self._state
        if now_us > state.now_us:
            state.now_us = now_us
        try:
            bars.receive(state, bar)
        except Exception:
            self._rebuild(bar.symbol)
            raise
        self._since.append((now_us, bar))
        outcomes = state.outcomes
        if outcomes:
            state.outcomes = []
        return outcomes

    def due_bars(self, now_us: int) -> list[tuple[int, str]]:
        """End and symbol of the waiting bars that have ended by `now_us`, in order; `advance` takes in those that nobody has before."""
        return waiting_bars.due(self._state, now_us)

    def take_waiting(self, symbol: str, now_us: int, *, emitted_us: int | None = None) -> list[Outcome]:
        """Take in the first waiting bar of a symbol, which has ended by `now_us`; for `emitted_us` see `advance`.

        Raises:
            Exception: a bug met by this bar; it still waits, `skipped_waiting` then says that it was passed over.
        """

        def run(state: SessionState) -> None:
            state.ahead_us = 0 if emitted_us is None else max(0, emitted_us - state.now_us)
            bars.take_waiting(state, state.of(symbol))
            state.ahead_us = 0

        return self._run(run, now_us)

    def skipped_waiting(self, symbol: str, reason: str, now_us: int) -> list[Outcome]:
        """A waiting bar on which `take_waiting` raised is passed over, as `skipped`."""

        def run(state: SessionState) -> None:
            state.of(symbol).waiting.pop(0)
            source_position.pass_over(state, symbol, reason)

        return self._run(run, now_us)

    def receive_extras(self, symbol: str, stream: str, records: Sequence[quotes.Record], now_us: int) -> quotes.Received:
        """Take in quotes or ticks of a symbol that is being read, up to the first on which something is raised; see `Received`.

        Raises:
            EngineError: they are not being read.
        """
        state = self._state
        if now_us > state.now_us:
            state.now_us = now_us
        received = quotes.receive(state, symbol, stream, records)
        taken = records if received.error is None else records[: received.count]

        def again(state: SessionState) -> None:
            quotes.receive(state, symbol, stream, taken)

        self._since.append((now_us, again))
        return received

    def reject(self, symbol: str, code: Rejection, message: str, now_us: int) -> list[Outcome]:
        """A record of the symbol's topic that is no bar of it: counted, and a dead letter."""
        return self._run(lambda state: source_position.reject(state, symbol, code, message), now_us)

    def skipped(self, symbol: str, reason: str, now_us: int, *, stream: str | None = None) -> list[Outcome]:
        """A record on which `receive` raised is passed over; after ten in a row the symbol fails, alone."""
        if stream is not None:
            return self._run(lambda state: quotes.pass_over(state, symbol, stream, reason), now_us)
        return self._run(lambda state: source_position.pass_over(state, symbol, reason), now_us)

    def unknown_fields(self, symbol: str, names: Sequence[str], count: int, now_us: int, *, stream: str | None = None) -> list[Outcome]:
        """`count` records of the symbol's topic, or of its stream's, have fields of these names, which are not known and are ignored."""
        return self._run(lambda state: source_position.unknown_fields(state, symbol, stream, names, count), now_us)

    def moved(self, symbol: str, next_offset: int, now_us: int, *, stream: str | None = None) -> list[Outcome]:
        """Reading of the symbol's topic has come to `next_offset`; a removing symbol that is drained by it goes.

        With `stream` it is the topic of its quotes or ticks, after which nobody waits.
        """
        if stream is not None:
            return self._run(lambda state: quotes.moved(state, symbol, stream, next_offset), now_us)
        return self._run(lambda state: source_position.moved(state, symbol, next_offset), now_us)

    def all_moved(self, positions: Sequence[tuple[str, int]], now_us: int) -> list[Outcome]:
        """As `moved` of several symbols' bars, in this order; one that has gone meanwhile is passed over."""

        def run(state: SessionState) -> None:
            for symbol, next_offset in positions:
                if symbol in state.symbols:
                    source_position.moved(state, symbol, next_offset)

        return self._run(run, now_us)

    def caught_up(self, symbol: str, now_us: int) -> list[Outcome]:
        """What had been written to the symbol's topic when its end was captured is read."""
        return self._run(lambda state: source_position.caught_up(state, symbol), now_us)

    def silent(self, symbol: str, now_us: int) -> list[Outcome]:
        """A symbol of `quiet_symbols` has nothing unread: it is silent."""
        return self._run(lambda state: gate.fall_silent(state, state.of(symbol)), now_us)

    def rewound(self, now_us: int) -> list[Outcome]:
        """Reading begins again at the stored positions: what lies beyond them is backlog."""
        return self._run(source_position.rewound, now_us)

    def clock_wrong(self, reason: str, behind_us: int, now_us: int) -> list[Outcome]:
        """The worker's clock is off by more than is tolerated, behind by `behind_us`: the gate is shut until `clock_right`."""
        return self._run(lambda state: gate.clock_wrong(state, reason, behind_us), now_us)

    def clock_right(self, now_us: int) -> list[Outcome]:
        """The worker's clock is right again, and reading begins again at the stored positions: what lies beyond them is backlog."""
        return self._run(lambda state: gate.clock_right(state, source_position.being_read(state)), now_us)

    def heartbeat(self, now_us: int) -> list[Outcome]:
        """Nothing has been put on analysis for a while: while the gate is open, say there that the session lives."""
        return self._run(gate.beat, now_us)

    def ended(self, now_us: int) -> list[Outcome]:
        """A replay has come to its end: each open run gets its `held_back` record, as when its symbol is removed."""

        def run(state: SessionState) -> None:
            for data in state.ordered():
                gate.flush_held_back(state, data)

        return self._run(run, now_us)

    def advance(self, now_us: int, *, emitted_us: int | None = None) -> list[Outcome]:
        """Time has come to `now_us`: waiting bars are taken in, windows close, days roll, deadlines pass, each at its instant.

        `emitted_us` is the time of the transaction, when what comes of it is emitted; without it that is `now_us`.
        """

        def run(state: SessionState) -> None:
            if state.rules >= 2:
                effects.pass_time(state, now_us, now_us if emitted_us is None else emitted_us)
            else:
                effects.leap(state, now_us)

        # Time moves within the verb.
        return self._run(run, self._state.now_us)

    def next_effect_us(self, until_us: int, *, with_completes: bool = True) -> int | None:
        """The next instant up to `until_us` at which time alone has an effect, None when there is none.

        It is one at which `advance` changes something, or at which a symbol becomes one of `quiet_symbols`. Between two inputs,
        a clock that stops at each of these instants misses nothing. One that is not after the latest `now_us` is due at once.

        Args:
            until_us: how far to look, in microseconds since the epoch.
            with_completes: False leaves out the instants at which `interval_complete` alone is due.
        """
        state = self._state
        due_us = min(effects.next_us(state, until_us, with_completes=with_completes), gate.quiet_us(state, until_us))
        return due_us if due_us <= until_us else None

    def command(self, command: ControlCommand, now_us: int, *, plan: RemovalPlan | None = None) -> list[Outcome]:
        """Answer a control command; `plan` for a removal that is to drain (without one it is immediate)."""
        return self._run(lambda state: lifecycle.run_command(state, command, plan), now_us)

    def control_moved(self, next_offset: int, now_us: int, *, skipped: str | None = None, answer_to: str | None = None) -> list[Outcome]:
        """Reading of the control topic has come to `next_offset`.

        `skipped` says why the record there was no command, `answer_to` the id in it, if one could be made out.
        """

        def run(state: SessionState) -> None:
            state.control_offset = next_offset
            if skipped is not None:
                state.tell(EventKind.COMMAND_REJECTED, reason=skipped, offset=next_offset - 1)
                if answer_to is not None and answer_to not in state.commands:
                    state.reply(answer_to, "unknown", "", ReplyStatus.FAILED, skipped)

        return self._run(run, now_us)

    def command_skipped(self, command: ControlCommand, next_offset: int, reason: str, now_us: int) -> list[Outcome]:
        """A command on which `command` raised is passed over, and refused with the reason."""

        def run(state: SessionState) -> None:
            state.control_offset = next_offset
            state.tell(EventKind.COMMAND_REJECTED, reason=reason, command=command.kind, id=command.id, subject=command.symbol)
            state.reply(command.id, command.kind, command.symbol, ReplyStatus.FAILED, reason)

        return self._run(run, now_us)

    def loaded(self, symbol: str, position: SourcePosition, now_us: int) -> list[Outcome]:
        """A pending symbol's start position is fixed."""
        return self._run(lambda state: lifecycle.symbol_loaded(state, state.of(symbol), position), now_us)

    def history(self, symbol: str, given: JournalInput, now_us: int) -> list[Outcome]:
        """Bars of a past day of a pending symbol, why there are none, or that loading them begins: a `history` input."""
        return self._run(lambda state: past_days.take(state, state.of(symbol), given), now_us)

    def failed(self, symbol: str, reason: str, now_us: int) -> list[Outcome]:
        """A symbol can't go on; the others do."""
        return self._run(lambda state: lifecycle.symbol_failed(state, state.of(symbol), reason), now_us)

    def source_lost(self, symbol: str, topic_id: str, offset: int, reason: str, now_us: int, *, stream: str | None = None) -> list[Outcome]:
        """The symbol's topic was re-created or truncated: reading goes on at `offset` of the topic that is there now.

        With `stream` it is the topic of its quotes or ticks, which without an id is not read any more, until `stream_located`.
        """
        if stream is not None:
            return self._run(lambda state: quotes.lost(state, symbol, stream, topic_id, offset, reason), now_us)
        return self._run(lambda state: source_position.lost(state, symbol, topic_id, offset, reason), now_us)

    def topics_checked(self, unchecked_us: int | None, reason: str | None, now_us: int) -> list[Outcome]:
        """Checks of the topics fail since `unchecked_us`, and why; None once they are answered again."""
        return self._run(lambda state: source_position.checked(state, unchecked_us, reason), now_us)

    def source_warned(self, symbol: str, note: str | None, warning: str | None, now_us: int) -> list[Outcome]:
        """The settings of the symbol's topics may lose records: that is in its note, or is no longer."""
        return self._run(lambda state: source_position.warned(state, symbol, note, warning), now_us)

    def gap_asked(self, symbol: str, start_us: int, end_us: int, count: int, reason: str | None, now_us: int) -> list[Outcome]:
        """A source was asked for the symbol's bars in `[start_us, end_us)` and gave `count`; `reason` says why none, when it failed."""
        return self._run(lambda state: gap_filling.gap_asked(state, symbol, start_us, end_us, count, reason), now_us)

    def stream_located(self, symbol: str, stream: str, topic_id: str, offset: int, now_us: int) -> list[Outcome]:
        """The topic of a symbol's quotes or ticks was found: it is read from `offset` on, once the symbol is."""
        return self._run(lambda state: quotes.located(state, symbol, stream, topic_id, offset), now_us)

    def finish(self, now_us: int) -> Finished:
        """End a transaction: say what is left to say, and hand over the rows that changed."""

        def run(state: SessionState) -> None:
            publish.settle(state)
            indicators.settle(state)
            quality_events.tell_quality(state)
            bars_topic.fill(state)
            state.completed_before = {}

        outcomes = self._run(run, now_us)
        self._forget_base()
        self._state.transaction += 1
        rows = changed_rows(self._state, self._written)
        for key, row in rows.items():
            if row is None:
                self._written.pop(key, None)
            else:
                self._written[key] = row
        self._since.clear()
        self._unwritten = False
        return Finished(outcomes, rows)

    def _nothing_written(self) -> None:
        self._unwritten = self._state.config_changed = True
        for data in self._state.symbols.values():
            data.dirty = data.identity_changed = data.quality_changed = True
            for extra in data.extras.values():
                extra.changed = True

    @property
    def state(self) -> SessionState:
        """The state, for readers. Only verbs may change it."""
        return self._state

    @property
    def has_changes(self) -> bool:
        """Whether `finish` would write more than the session's own row."""
        state = self._state
        if state.config_changed or state.removed_keys or state.doomed or state.changed_commands or state.streamed or self._base is not None:
            return True
        return any(data.dirty or data.pending_blocks for data in state.symbols.values())

    @property
    def rows(self) -> Mapping[str, Row]:
        """All rows as of the last `finish`."""
        return self._written

    def symbol(self, symbol: str) -> SymbolSessionData | None:
        """A symbol's data, or None."""
        return self._state.symbols.get(symbol)

    def quiet_symbols(self, now_us: int) -> list[str]:
        """Symbols that are silent if nothing of theirs is unread, which only a shell can tell."""
        return gate.quiet_symbols(self._state, now_us)

    def _run(self, verb: _Verb, now_us: int) -> list[Outcome]:
        state = self._state
        if now_us > state.now_us:
            state.now_us = now_us
        try:
            verb(state)
        except Exception:
            self._rebuild()
            raise
        self._since.append((now_us, verb))
        outcomes, state.outcomes = state.outcomes, []
        return outcomes

    def _rebuild(self, received: str | None = None) -> None:
        """Come back to the state before the verb that raised: the last rows or the base, and the verbs since.

        `received` is the symbol whose bar it was. A bar touches its symbol, and by way of the gate such as are marked dirty;
        any other verb may have touched all.
        """
        try:
            base = self._base
            if base is None:
                base = restore_state(self._written, self._state)
                interval_complete.go_on(base)
                touched = None
            else:
                touched = None if received is None else {received, *(data.symbol for data in self._state.symbols.values() if data.dirty)}
            if base is not self._base and self._unwritten:
                self._state = base
                self._nothing_written()
            for now_us, step in self._since:
                if now_us > base.now_us:
                    base.now_us = now_us
                if isinstance(step, Bar):
                    bars.receive(base, step)
                else:
                    step(base)
                base.outcomes.clear()
            self._state = _forked(base, self._state, touched)
            self._base = base
            self._since.clear()
        except Exception as error:
            raise RedriveError(f"the state before a failed record can't be rebuilt: {error!r}") from error

    def _forget_base(self) -> None:
        """Mark what was touched before the base was made: its flags were taken off, to know what is touched since."""
        base, self._base = self._base, None
        if base is not None:
            for symbol, data in self._state.symbols.items():
                known = base.symbols.get(symbol)
                if known is not None and known.dirty and known.incarnation == data.incarnation:
                    data.dirty = True


def _forked(base: SessionState, broken: SessionState, touched: set[str] | None) -> SessionState:
    """A copy of `base` to go on with: of the broken state's symbols those are kept that were not touched since it was such a copy."""
    symbols = {}
    for symbol, data in base.symbols.items():
        kept = None if touched is None or symbol in touched else broken.symbols.get(symbol)
        symbols[symbol] = fork_symbol(data) if kept is None or kept.incarnation != data.incarnation else kept
        symbols[symbol].dirty = False
    copy = fork_state(base, symbols)
    interval_complete.renew(copy)
    return copy
