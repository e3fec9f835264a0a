"""The whole session by the rules: what each input of a transaction should do.

model.begin(now_us)
model.apply(given)            # as `Transaction.apply`: False when time has overtaken the input
model.read(ranges)
model.finish()                # then `analysis`, `events`, `replies`, `letters` are what the engine should have told
"""

from __future__ import annotations

import msgspec

from streams.config.sections import intervals_of
from streams.config.session import SessionConfig
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar, ControlCommand
from streams.model.transactions import RangeRead
from streams.times import DAY_US, SECOND_US, interval_us
from tests.support.simulation import calendarbook, exportbook, extrabook, pastbook
from tests.support.simulation.books import Day, Days, Life, Series, inside, summed
from tests.support.simulation.pastbook import first_day
from tests.support.simulation.timebook import Timebook

MOST_UNGATED = 40
"""How many bars the engine is to send to an ungated topic that was turned on before it leaves further symbols to the next transaction."""
POISON = "poison"
"""Provenance of a bar on which the engine is made to raise."""
SLOW_POISON = "slow poison"
"""Provenance of a bar on which the engine is made to raise when it has waited until its end."""


class Model(Timebook):
    """The session as it should be."""

    def __init__(self, config: SessionConfig, days: Days, now_us: int) -> None:
        super().__init__(config, days, now_us)
        self._has_advanced = True
        self.unchecked: tuple[int, str | None] | None = None
        self.tell("session_opened")
        for symbol in config.symbols:
            self._begin(symbol, config.base_interval, config.derived_intervals, initial=True)
        self.open("loaded")
        self.measured_us = now_us

    # Transactions

    def begin(self, now_us: int) -> None:
        """A transaction begins; time never goes back."""
        self.emitted_us, self._before_us = max(now_us, self.now_us), self.now_us
        self._has_advanced = False
        self.completed_before = {}
        for told in (self.analysis, self.events, self.qualities, self.replies, self.letters, self.ended):
            told.clear()

    def finish(self) -> None:
        """A transaction ends."""
        self._advance()
        self.settle()
        self.look()
        self.fill_ungated(MOST_UNGATED)

    def _advance(self) -> None:
        if self._has_advanced:
            return
        self._has_advanced = True
        self.pass_time()
        for command_id in [known for known, (*_, time_us) in self.answers.items() if time_us < self.now_us - 7 * DAY_US]:
            del self.answers[command_id]

    def read(self, ranges: list[RangeRead]) -> None:
        """Records in order of event time; within a symbol in the order of its topic."""
        self._advance()
        readable = [read for read in ranges if self._is_life(read.symbol, read.incarnation) and self.lives[read.symbol].is_read]
        current = [read for read in readable if read.stream is None]
        extras = [read for read in readable if read.stream in (lost := self.lives[read.symbol].extras) and lost[read.stream].is_read]
        entries = []
        for number, read in enumerate(current):
            newest = 0
            for place, record in enumerate(read.records):
                newest = max(newest, self.end_of(record, self.lives[read.symbol])) if isinstance(record, Bar) else newest
                entries.append((newest, read.symbol, number, place))
        reached = {read.symbol: read.next_offset for read in current}
        for _, symbol, number, place in sorted(entries):
            read, life = current[number], self.lives.get(symbol)
            if life is None or life.incarnation != read.incarnation or not life.is_read:
                continue
            life.counts["read"] += 1
            self.take_record(life, read.records[place], read.offsets[place])
            if symbol in self.lives and not life.is_read:
                reached[symbol] = read.offsets[place] + 1
        for read in current:
            if self._is_life(read.symbol, read.incarnation):
                self.lives[read.symbol].offset = reached[read.symbol]
                self.let_go(self.lives[read.symbol])
        for read in extras:
            extrabook.read(self, read)

    def take_record(self, life: Life, record: object, offset: int) -> None:
        """A record of a symbol's topic, whatever it is."""
        if isinstance(record, Bar) and record.symbol == life.symbol and self._is_poison(record, has_waited=offset == -1):
            life.counts["engine_errors"] += 1
            life.errors_in_a_row += 1
            self.letters.append((life.symbol, offset, "engine_error"))
            if life.errors_in_a_row >= 10:
                self._fail(life)
        elif isinstance(record, Bar) and record.symbol == life.symbol:
            self.take(life, record, offset)
        else:
            life.errors_in_a_row = 0
            life.counts["rejected"] += 1
            self.letters.append((life.symbol, offset, "wrong_symbol" if isinstance(record, Bar) else "undecodable"))

    def _is_poison(self, bar: Bar, *, has_waited: bool) -> bool:
        return bar.provenance == (SLOW_POISON if has_waited else POISON)

    def _is_life(self, symbol: str, incarnation: int | None) -> bool:
        return symbol in self.lives and self.lives[symbol].incarnation == incarnation

    # Inputs

    def apply(self, given: JournalInput) -> bool:
        """One input; False when it is about what is no more."""
        if given.kind is InputKind.RESUMED:
            self.now_us = self.emitted_us
            self._resume()
            return True
        if given.kind is InputKind.CLOCK and given.reason is None:
            # What is unread is not left behind by the time that the clock has leapt over.
            self.now_us = self.emitted_us
            self.judge_clock(given)
            return True
        self._advance()
        symbol = given.symbol
        if symbol is not None:
            if not self._is_life(symbol, given.incarnation) or not self._applies(given, self.lives[symbol]):
                return False
            self._about(given, self.lives[symbol])
        else:
            self._about_session(given)
        return True

    def _about_session(self, given: JournalInput) -> None:
        """An input that names no symbol."""
        if given.kind is InputKind.COMMAND:
            self._command(msgspec.json.decode(given.text or "", type=ControlCommand), given)
            self.control_offset = given.next_offset or 0
        elif given.kind is InputKind.CONTROL_SKIPPED:
            self.control_offset = given.next_offset or 0
            self.tell("command_rejected")
            if given.text is not None and given.text not in self.answers:
                self.answer(given.text, "unknown", "", "failed")
        elif given.kind is InputKind.REWOUND:
            for life in self.lives.values():
                life.backlog = life.backlog or life.is_read
        elif given.kind is InputKind.CLOCK:
            self.judge_clock(given)
        elif given.kind is InputKind.HEARTBEAT:
            self._heartbeat()
        elif given.kind is InputKind.CALENDAR:
            self.calendar = calendarbook.followed(self.calendar, given, calendarbook.reached(self.days, self.lives.values()))
            self.tell("calendar_changed")
            self.renew_waits()
        elif given.kind is InputKind.TOPICS_CHECKED:
            self.unchecked = None if given.start_us is None else (given.start_us, given.reason)
        elif given.kind is InputKind.CONFIGURED:
            self._configure(SessionConfig.from_json(given.text or ""))

    def _heartbeat(self) -> None:
        if self.active:
            self.mark("heartbeat")

    def _applies(self, given: JournalInput, life: Life) -> bool:
        match given.kind:
            case InputKind.LOADED:
                is_of_day = given.trading_days in (None, first_day(life, self.calendar, self._today()).days)
                return life.status == "pending" and is_of_day
            case InputKind.HISTORY:
                return pastbook.applies(self.config, life, self.calendar, self._today(), given)
            case InputKind.LOAD_FAILED:
                return life.status != "failed"
            case InputKind.STREAM_LOCATED:
                return extrabook.applies(life, given)
            case InputKind.SOURCE_LOST if given.stream is not None:
                return extrabook.applies(life, given)
            case InputKind.SILENT:
                return self.is_quiet(life, self.now_us)
            case InputKind.GAP_ASKED:
                return life.is_read and life.day.open_us <= (given.start_us or 0) < life.day.close_us
            case _:
                return life.is_read

    def _about(self, given: JournalInput, life: Life) -> None:
        match given.kind:
            case InputKind.LOADED:
                self._loaded(life, given)
            case InputKind.HISTORY:
                pastbook.take(life, self.calendar, given)
                if given.interval is not None and given.bars is None:
                    self.tell("history_missing", life)
            case InputKind.LOAD_FAILED:
                self._fail(life)
            case InputKind.CAUGHT_UP:
                self.end_backlog(life)
                self.punctuate()
                life.backlog = life.behind = False
                if life.lagging:
                    self.leave(life, "caught_up")
            case InputKind.SILENT:
                self._fall_silent(life)
            case InputKind.STREAM_LOCATED:
                self.tell("stream_located", life)
                extrabook.about(life, given)
            case InputKind.SOURCE_LOST if given.stream is not None:
                self.tell("source_lost", life)
                extrabook.about(life, given)
            case InputKind.GAP_ASKED:
                self.answered(life, given)
            case InputKind.SOURCE_LOST | InputKind.SOURCE_WARNED:
                self._about_topic(life, given)

    def _about_topic(self, life: Life, given: JournalInput) -> None:
        if given.kind is InputKind.SOURCE_WARNED:
            if given.text is not None:
                self.tell("source_warned", life)
            return
        self.tell("source_lost", life)
        life.topic_id, life.offset, life.backlog = given.topic_id or "", given.first_offset or 0, True
        if life.removal_end is not None:
            self._remove(life)

    def _resume(self) -> None:
        self.tell("session_resumed")
        self.unchecked = None  # the worker that could not ask is gone
        read = [self.lives[symbol] for symbol in sorted(self.lives) if self.lives[symbol].is_read]
        for life in read:
            life.backlog = True
        if self.now_us - self._before_us > self.smallest_threshold * SECOND_US:
            self.fall_behind(read, "recovering")
        self.renew_waits()

    def _fall_silent(self, life: Life) -> None:
        life.behind = False
        trading = life.day.trades_at(self.now_us) and life.base_us < DAY_US
        if trading:
            life.silent = True
            self.tell("symbol_silent", life)
        if trading and self.config.session_data_config.streaming.silence_lags:
            if self.gates(life) and not life.lagging:
                self.join(life)
                self.shut("silent")
        elif life.lagging:
            self.leave(life, "silent")

    # A symbol's life

    def _begin(self, symbol: str, base: str, derived: tuple[str, ...], *, initial: bool) -> Life:
        life = Life(symbol, self.next_incarnation, base, derived, self.config.window_anchor, self.now_us, initial)
        self.next_incarnation += 1
        life.extras = extrabook.begun(self.config.extra_streams)
        today = self.calendar.on(self.days)
        life.stand_on(today or self.calendar.current(self.now_us))
        self.lives[symbol] = life
        self.tell("symbol_pending", life)
        return life

    def _today(self) -> Day:
        return self.calendar.on(self.days) or self.calendar.current(self.now_us)

    def _loaded(self, life: Life, given: JournalInput) -> None:
        life.stand_on(first_day(life, self.calendar, self._today()))
        life.status, life.topic_id, life.offset = "loaded", given.topic_id or "", given.first_offset or 0
        life.backlog = (given.end_offset or 0) > life.offset
        if any(pastbook.is_given(series) for past in life.past.values() for series in past.values()):
            self.tell("history_loaded", life)
        self.tell("symbol_loaded", life)
        self.mark("symbol_added", life)
        self._complete(life, "add_symbol")
        if life.initial and life.backlog and not self.ever_active:
            self.fall_behind([life], "loading")
        self.open("loaded")
        self.renew_waits()

    def _fail(self, life: Life) -> None:
        if life.status == "removing":
            self._remove(life)
            return
        if life.status == "pending":
            life.past.clear()
        self.end_backlog(life)
        life.status, life.backlog, life.behind = "failed", False, False
        life.waiting.clear()
        self.flush(life)
        self.mark("symbol_failed", life)
        self.tell("symbol_failed", life)
        self._answer_addition(life)
        life.lagging = life.silent = False
        self.open("failed")
        self.roll_session()
        self.renew_waits()

    def _remove(self, life: Life) -> None:
        self.end_backlog(life)
        self.flush(life)
        self.mark("symbol_removed", life)
        self.tell("symbol_removed", life)
        self._complete(life, "remove_symbol")
        self._tell_lost(life)
        del self.lives[life.symbol]
        self.ended.append(life)
        self.open("removed")
        self.roll_session()
        self.renew_waits()

    def _tell_lost(self, life: Life) -> None:
        for _ in range(exportbook.lost_days(life)):
            self.tell("export_lost", life)

    def let_go(self, life: Life) -> None:
        """Remove a symbol that has drained, or whose deadline has come."""
        if life.status != "removing":
            return
        drained = life.removal_end is not None and life.offset >= life.removal_end and not life.waiting
        if drained or (life.removal_deadline_us is not None and self.now_us >= life.removal_deadline_us):
            self._remove(life)

    def _complete(self, life: Life, kind: str) -> None:
        if life.command_id is not None:
            self.answer(life.command_id, kind, life.symbol, "completed")
            life.command_id = None

    def _answer_addition(self, life: Life) -> None:
        if life.command_id is not None:
            self.answer(life.command_id, "add_symbol", life.symbol, "failed")
            life.command_id = None

    # Commands

    def _command(self, command: ControlCommand, given: JournalInput) -> None:
        if self.answer_again(command):
            return
        present = self.lives.get(command.symbol)
        if command.kind == "add_symbol":
            fits = self._may_add(command, present)
        elif command.kind == "begin_export":
            fits = present is not None
        elif command.kind == "end_export":
            fits = exportbook.may_end(present, command.export_number)
        else:
            fits = command.kind == "remove_symbol" and present is not None and (present.status != "removing" or command.immediate)
        self.answer(command.id, command.kind, command.symbol, "accepted" if fits else "failed")
        if not fits:
            self.tell("command_rejected")
        elif command.kind == "add_symbol":
            self._add(command, present)
        elif present is not None and command.kind == "remove_symbol":
            self._begin_removal(present, command, given)
        elif present is not None:
            (exportbook.begin if command.kind == "begin_export" else exportbook.end)(present)
            self.answer(command.id, command.kind, command.symbol, "completed")

    def _may_add(self, command: ControlCommand, present: Life | None) -> bool:
        limits = self.config.session_data_config
        lengths = sorted(interval_us(stream) for stream in intervals_of(command.streams))
        pending = sum(life.status == "pending" for life in self.lives.values())
        return (
            command.symbol.isprintable()
            and not set(command.symbol) & set(" |")
            and 0 < len(command.symbol) <= 64
            and all(length % lengths[0] == 0 for length in lengths)
            and (present is None or present.status == "failed")
            and len(self.lives) - (present is not None) < limits.max_symbols
            and pending < limits.max_pending
        )

    def _add(self, command: ControlCommand, failed: Life | None) -> None:
        base, derived = self.config.base_interval, self.config.derived_intervals
        intervals = intervals_of(command.streams)
        if intervals:
            base = min(intervals, key=interval_us)
            wanted = {*intervals, *self.config.derived_intervals}
            longer = {name for name in wanted if interval_us(name) > interval_us(base) and interval_us(name) % interval_us(base) == 0}
            derived = tuple(sorted(longer, key=interval_us))
        if failed is not None:
            self.flush(failed)
            self._tell_lost(failed)
            self.ended.append(failed)
        life = self._begin(command.symbol, base, derived, initial=False)
        life.dynamic, life.command_id, life.start_us = True, command.id, command.start_us
        if command.streams:
            life.extras = extrabook.begun(command.streams)

    def _begin_removal(self, life: Life, command: ControlCommand, given: JournalInput) -> None:
        if life.status == "removing":
            self._complete(life, "remove_symbol")
        else:
            self._answer_addition(life)
        life.command_id = command.id
        if command.immediate or given.deadline_us is None or life.status != "loaded":
            self._remove(life)
            return
        life.status, life.removal_end, life.removal_deadline_us = "removing", given.end_offset or 0, given.deadline_us
        self.tell("symbol_removing", life)
        self.renew_waits()
        self.let_go(life)

    # A changed config

    def _configure(self, config: SessionConfig) -> None:
        old, self.config = self.config, config
        self.tell("config_changed")
        for symbol in old.symbols:
            life = self.lives.get(symbol)
            if symbol not in config.symbols and life is not None and not life.dynamic:
                self._remove(life)
        for symbol in config.symbols:
            if symbol not in old.symbols and symbol not in self.lives:
                self._begin(symbol, config.base_interval, config.derived_intervals, initial=False)
        for symbol in sorted(self.lives):
            life = self.lives[symbol]
            if life.lagging and not self.gates(life):
                self.leave(life, "gates_off")
            self.trim(life)
            if old.derived_intervals != config.derived_intervals:
                self._derive_other(life, old, config)
            pastbook.drop_others(config, life)
            extrabook.configured(life, old, config)
        is_on, was_on = config.session_data_config.bars_topic, old.session_data_config.bars_topic
        for life in self.lives.values():
            life.unsent = bool(life.bars) and is_on and (life.unsent or not was_on)
        self.open("configured")
        self.renew_waits()

    def _derive_other(self, life: Life, old: SessionConfig, config: SessionConfig) -> None:
        wanted = set(life.derived) - (set(old.derived_intervals) - set(config.derived_intervals))
        for name in config.derived_intervals:
            if interval_us(name) > life.base_us and interval_us(name) % life.base_us == 0:
                wanted.add(name)
        self.flush(life, [name for name in life.derived if name not in wanted])
        for name in set(life.derived) - wanted:
            life.retired[name] = life.made.pop(name)
            del life.unmade[name], life.outdated[name], life.filled[name]
            exportbook.drop_interval(life, name)
        added = wanted - set(life.derived)
        life.derived = tuple(sorted(wanted, key=interval_us))
        for name in sorted(added, key=interval_us):
            self._make_anew(life, name, life.retired.pop(name, {}))
        life.made = {name: life.made[name] for name in life.derived}

    def _make_anew(self, life: Life, name: str, known: Series) -> None:
        """The day's bars of an interval that comes, or comes back: what was accounted for before is not told again."""
        life.made[name], life.unmade[name], life.filled[name] = dict(known), set(), type(life.counts)()  # type: ignore[assignment]
        life.outdated[name] = set()
        slots = sorted({life.window_of(name, start) for start in life.bars})
        for slot in slots:
            parts = inside(life.bars, slot, life.base_us)
            life.filled[name][slot.start_us] = len(parts)
            before = known.get(slot.start_us)
            made = summed(parts, slot, 0 if before is None else before.revision + 1)
            if before is not None and made.content() == before.content() and made.base_count == before.base_count:
                continue
            if before is None and slot is slots[-1] and not made.complete:
                life.unmade[name].add(slot.start_us)
                continue
            life.made[name][slot.start_us] = made
            life.accepted[name] += 1
            self.hold(life, name, made, "reconfigured")
