"""The replay: event time, the order of inputs, and the engine between them.

    config = SessionConfig.load("examples/backtest.json")
    for step in replay(config, source=LeanSource.of([Path("examples/data/lean")])):
        for outcome in step.outcomes:
            ...

The clock is the greatest end of a bar that was delivered in order, so `now` is the moment at which that bar is known. It stops at
every distinct end, at every command's instant, at the edges of days, and wherever time alone has an effect
(`Session.next_effect_us`), as live: so what comes of a symbol's bars does not depend on other symbols' bars. Each stop is one
transaction. Within it commands come before bars, as they do live, and a symbol that is added is read
up to `now` before anything else goes on. Nothing here depends on how fast time really passes or in which portions a source
gives its bars, so neither do the outcomes.

Quotes and ticks move no clock: what is due of them by a stand is taken in there, after its bars, so that the bars' outcomes are those
of a replay without them. Of a source that has none, or lacks a topic of them, the session's events say so.

A symbol whose bars can't be had, at its addition or later, fails alone with the reason; the replay goes on.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from streams.config.session import SessionConfig
from streams.engine.rules.past_days import wanted
from streams.engine.rules.placement import known_when, placer
from streams.engine.session import Session
from streams.engine.state.symbol import READING, SymbolSessionData, SymbolStatus
from streams.engine.transaction import Transaction, command_text
from streams.errors import HistoryError, ReplayError
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import CommandKind, ControlCommand, Outcome
from streams.model.transactions import DeadLetter, RangeRead
from streams.replay.days import ReplayDays
from streams.replay.pace import Pacer
from streams.replay.past_inputs import past_inputs
from streams.replay.record_queue import Lane
from streams.replay.source import BarSource, ExtraSource, JudgedSource
from streams.replay.summary import ReplaySummary, Tally
from streams.times import SECOND_US

EPOCH: Final = 1
OWNER: Final = "replay"


class ReplayStep(Struct, frozen=True):
    """One stand of the clock: what came of it, its journal, and how many records the engine took from the source.

    Records must not depend on where a source lies, so their reasons name no path and no host. `details` has, by such a reason,
    the message for people that does.
    """

    now_us: int
    outcomes: list[Outcome]
    dead_letters: list[DeadLetter]
    journal: JournalRecord
    bars: int
    details: Mapping[str, str] = {}


def replay(
    config: SessionConfig,
    *,
    source: BarSource,
    start: date | None = None,
    end: date | None = None,
    commands: Iterable[ControlCommand] = (),
    pacer: Pacer | None = None,
) -> Iterator[ReplayStep]:
    """Replay a session; parameters and errors as for `Replay`."""
    return Replay(config, source=source, start=start, end=end, commands=commands, pacer=pacer).steps()


class Replay:
    """One replay of one session.

    Args:
        config: the session; its mode does not matter.
        source: where the bars come from. It is not closed here.
        start, end: trading dates, both included; by default those of the config's `backtest_config`.
        commands: take effect at their `sent_us`; what lies outside the days is in `left_out` and has no effect.
        pacer: how fast it goes; by default as fast as possible.

    Raises:
        ReplayError: no dates, or none on which the exchange trades.
    """

    def __init__(
        self,
        config: SessionConfig,
        *,
        source: BarSource,
        start: date | None = None,
        end: date | None = None,
        commands: Iterable[ControlCommand] = (),
        pacer: Pacer | None = None,
    ) -> None:
        first = _date(start, config.backtest_config.start_date, "start")
        last = _date(end, config.backtest_config.end_date, "end")
        self.days = ReplayDays(config.calendar(), first, last, grace_us=config.grace_us)
        given = sorted(commands, key=lambda command: command.sent_us)
        self.left_out = [command for command in given if not self.days.holds(command.sent_us)]
        self._config = config
        self._source = source
        self._pacer = pacer or Pacer()
        self._commands = deque(command for command in given if self.days.holds(command.sent_us))
        self._milestones = deque(self.days.milestones())
        self._lanes: dict[str, Lane] = {}
        # The lanes by what is due next; one that is in `_lanes` no more is passed over.
        self._due: list[tuple[int, str, int, Lane]] = []
        self._extra_lanes: dict[tuple[str, str], Lane] = {}
        self._session: Session | None = None
        self._now_us = 0
        # Where the trading day ends of which there have been bars last.
        self._busy_until_us = 0
        self._commands_run = 0
        self._tally = Tally()
        self._details: dict[str, str] = {}

    @property
    def session(self) -> Session:
        """The session as it stands.

        Raises:
            ReplayError: the first step was not taken yet.
        """
        if self._session is None:
            raise ReplayError("the replay has not begun: there is a session after its first step")
        return self._session

    def summary(self) -> ReplaySummary:
        """The numbers up to the last step."""
        state = self.session.state
        return self._tally.summary(state.symbols.values(), active=state.active, sequence=state.sequence, trading_days=len(self.days.days))

    def steps(self) -> Iterator[ReplayStep]:
        """Replay; to be called once. The outcomes of a step are those of one transaction, at its `now_us`."""
        # A command before the first open finds a session that is there already.
        begin_us = min([self.days.first.open_us, *(command.sent_us for command in self._commands)])
        self._pacer.wait(self.days.traded_us(begin_us))
        yield self._begin(begin_us)
        while (next_us := self._next_us()) is not None:
            # Records behind the clock, a stray among the first ones for example, are due at once.
            now_us = max(next_us, self._now_us)
            self._pacer.wait(self.days.traded_us(now_us))
            yield self._step(now_us)
        if any(data.runs for data in self.session.state.symbols.values()):
            yield self._end()

    def _begin(self, now_us: int) -> ReplayStep:
        self._now_us = now_us
        self._session, transaction = Transaction.of_new_session(
            self._config, epoch=EPOCH, control_topic_id=OWNER, control_offset=0, owner=OWNER, now_us=now_us
        )
        before = self._tally.bars_in
        self._load_pending(transaction)
        return self._finish(transaction, before)

    def _next_us(self) -> int | None:
        """The clock's next stand; None at the end: there is nothing to come after the last input and the last day's edge."""
        while self._due and self._lanes.get(self._due[0][1]) is not self._due[0][3]:
            heapq.heappop(self._due)
        next_bar_us = self._due[0][0] if self._due else None
        candidates = [] if next_bar_us is None else [next_bar_us]
        if self._commands:
            candidates.append(self._commands[0].sent_us)
        if self._milestones:
            candidates.append(self._milestones[0])
        next_us = min(candidates, default=None)
        if next_us is None:
            return None
        with_completes = next_us <= self._busy_until_us or self._is_busy(next_bar_us)
        effect_us = self.session.next_effect_us(next_us, with_completes=with_completes)
        return next_us if effect_us is None else effect_us

    def _is_busy(self, next_bar_us: int | None) -> bool:
        """Whether the clock stands on a day on which there are bars: the empty windows of any other are passed over."""
        return self._now_us < self._busy_until_us or (next_bar_us is not None and next_bar_us <= self.days.end_of_day(self._now_us))

    def _step(self, now_us: int) -> ReplayStep:
        self._now_us = now_us
        before = self._tally.bars_in
        while self._milestones and self._milestones[0] <= now_us:
            self._milestones.popleft()
        lanes = self._take_due(now_us)
        ranges = [self._take(lane, now_us) for lane in lanes]
        transaction = Transaction(self.session, owner=OWNER, now_us=now_us)
        if self._commands and self._commands[0].sent_us <= now_us:
            self._run_commands(transaction, now_us)
        self._read(transaction, [*ranges, *self._take_extras(now_us)])
        self._tell_lost_extras(transaction)
        for lane in lanes:
            if lane.failure is not None:
                self._fail(transaction, lane.symbol, lane.incarnation, lane.failure)
        self._tell_silence(transaction)
        for lane in lanes:
            self._go_on(lane)
        return self._finish(transaction, before)

    def _finish(self, transaction: Transaction, bars_before: int) -> ReplayStep:
        result = transaction.finish()
        details, self._details = self._details, {}
        self._tally.take(result.outcomes, result.dead_letters, details)
        bars = self._tally.bars_in - bars_before
        return ReplayStep(result.now_us, result.outcomes, result.dead_letters, result.journal, bars, details)

    def _end(self) -> ReplayStep:
        """Account for what is still held back, so that the records alone add up to every accepted bar."""
        transaction = Transaction(self.session, owner=OWNER, now_us=self._now_us)
        transaction.apply(JournalInput(InputKind.ENDED))
        return self._finish(transaction, self._tally.bars_in)

    # Lanes

    def _take_due(self, now_us: int) -> list[Lane]:
        lanes = []
        while self._due and self._due[0][0] <= now_us:
            lane = heapq.heappop(self._due)[3]
            if self._lanes.get(lane.symbol) is lane:
                lanes.append(lane)
        return lanes

    def _take(self, lane: Lane, now_us: int) -> RangeRead:
        taken = lane.take(now_us)
        left_out = lane.count_left_out()
        if left_out:
            self._tally.leave_out(left_out)
        if taken.records and lane.newest_us > self._busy_until_us:
            self._busy_until_us = self.days.end_of_day(lane.newest_us - 1)
        return taken

    def _go_on(self, lane: Lane) -> None:
        """Have the lane wait for its next record, or let it go: it is read to the end, or its symbol is read no more."""
        if self._lanes.get(lane.symbol) is not lane:
            return
        data = self._data_of(lane.symbol, lane.incarnation)
        if data is None or data.status not in READING or lane.due_us is None or lane.due_us > self.days.ends_us:
            self._drop(lane.symbol)
        else:
            heapq.heappush(self._due, (lane.due_us, lane.symbol, lane.incarnation, lane))

    def _drop(self, symbol: str) -> None:
        lane = self._lanes.pop(symbol, None)
        if lane is not None:
            lane.close()

    def _take_extras(self, now_us: int) -> list[RangeRead]:
        """The quotes and ticks that are due."""
        ranges = []
        for key, lane in list(self._extra_lanes.items()):
            data = self._data_of(lane.symbol, lane.incarnation)
            if data is None or data.status not in READING:
                self._extra_lanes.pop(key).close()
            elif lane.due_us is not None and lane.due_us <= now_us:
                ranges.append(lane.take(now_us))
        return ranges

    def _tell_lost_extras(self, transaction: Transaction) -> None:
        for key, lane in list(self._extra_lanes.items()):
            if lane.failure is not None:
                self._extra_lanes.pop(key).close()
                self._lose(transaction, lane.symbol, lane.incarnation, key[1], lane.failure)

    def _data_of(self, symbol: str, incarnation: int) -> SymbolSessionData | None:
        data = None if self._session is None else self._session.symbol(symbol)
        return data if data is not None and data.incarnation == incarnation else None

    # Inputs

    def _read(self, transaction: Transaction, ranges: Sequence[RangeRead]) -> None:
        """Hand bars to the engine, and count those that it took."""
        readable: list[tuple[RangeRead, SymbolSessionData]] = []
        for one in ranges:
            data = self._data_of(one.symbol, one.incarnation)
            if data is not None and data.status in READING:
                self._tally.watch(data)
                readable.append((one, data))
        transaction.read([one for one, _ in readable])
        for one, before in readable:
            data = self._data_of(one.symbol, one.incarnation)
            if one.stream is not None:
                self._tally.extras_in += len(one.records)
            elif data is None:
                self._tally.bars_in += len(one.records)  # it went with the last of them, drained
            else:
                if data is not before:  # the engine has rebuilt it, after a bug met by a record
                    self._tally.watch(data)
                self._tally.bars_in += len(one.records) if data.offset >= one.next_offset else bisect_left(one.offsets, data.offset)

    def _tell_silence(self, transaction: Transaction) -> None:
        """Whatever is due is read, so a symbol without a bar for long has none."""
        for symbol in self.session.quiet_symbols(self._now_us):
            data = self.session.symbol(symbol)
            if data is not None:
                transaction.apply(JournalInput(InputKind.SILENT, symbol, data.incarnation))

    def _run_commands(self, transaction: Transaction, now_us: int) -> None:
        while self._commands and self._commands[0].sent_us <= now_us:
            command = self._commands.popleft()
            drains_at = self._end_of_removal(command)
            number, self._commands_run = self._commands_run, self._commands_run + 1
            transaction.apply(
                JournalInput(
                    InputKind.COMMAND, first_offset=number, next_offset=number + 1, text=command_text(command),
                    end_offset=drains_at, deadline_us=None if drains_at is None else now_us + SECOND_US,
                )
            )  # fmt: skip
            lane = self._lanes.get(command.symbol)
            if lane is not None and self._data_of(lane.symbol, lane.incarnation) is None:
                self._drop(command.symbol)
            self._load_pending(transaction)

    def _end_of_removal(self, command: ControlCommand) -> int | None:
        """Where a symbol that is to drain is drained: after what has ended by now. None for another command."""
        lane = self._lanes.get(command.symbol)
        data = self.session.symbol(command.symbol)
        if command.kind != CommandKind.REMOVE_SYMBOL or command.immediate or data is None or data.status is not SymbolStatus.LOADED:
            return None
        return data.offset if lane is None else lane.position

    def _load_pending(self, transaction: Transaction) -> None:
        for data in [data for data in self.session.state.ordered() if data.status is SymbolStatus.PENDING]:
            self._load(transaction, data)

    def _load(self, transaction: Transaction, data: SymbolSessionData) -> None:
        """Open a pending symbol's bars, load its past days, and catch up with what has ended by now; it fails where that can't be done."""
        symbol, incarnation = data.symbol, data.incarnation
        from_us = data.start_us if data.start_us is not None else data.day.open_us
        calendar = self._config.calendar()
        if isinstance(self._source, JudgedSource):
            self._source.judge_by(symbol, data.base_interval, known_when(symbol, data.base_interval, data.anchor, calendar))
        try:
            past = past_inputs(self._source, wanted(self.session.state, data), calendar, self._now_us)
            opened = self._source.open(symbol, data.base_interval, from_us)
        except HistoryError as error:
            self._fail(transaction, symbol, incarnation, error)
            return
        place = placer(data.base_interval, data.anchor, calendar) if data.is_uneven else None
        lane = Lane(symbol, incarnation, opened, from_us, self.days.end_of_day, place, lowest_price=data.lowest_price)
        backlog = self._take(lane, self._now_us)
        if lane.failure is not None:
            lane.close()
            self._fail(transaction, symbol, incarnation, lane.failure)
            return
        for given in past:
            transaction.apply(given)
        notes = [] if opened.note is None else [opened.note]
        lost = self._open_extras(transaction, data, from_us, notes)
        transaction.apply(
            JournalInput(
                InputKind.LOADED, symbol, incarnation, topic_id=opened.topic_id, first_offset=backlog.first_offset,
                end_offset=backlog.next_offset, reason="; ".join(notes) or None,
            )
        )  # fmt: skip
        for stream, why in lost.items():
            self._lose(transaction, symbol, incarnation, stream, why)
        self._lanes[symbol] = lane
        self._tally.watch(data)
        if backlog.records:
            self._read(transaction, [backlog])
            transaction.apply(JournalInput(InputKind.CAUGHT_UP, symbol, incarnation))
        self._go_on(lane)

    def _open_extras(self, transaction: Transaction, data: SymbolSessionData, from_us: int, notes: list[str]) -> dict[str, HistoryError]:
        """Open a symbol's quotes and ticks; returns why some can't be, and adds to `notes` what is special about where they begin."""
        lost = {}
        for stream in data.extras:
            if not isinstance(self._source, ExtraSource):
                lost[stream] = HistoryError(f"{stream} are read from topics alone: this source has bars")
                continue
            try:
                # A quote of the very open is one of the day.
                opened = self._source.open_extra(data.symbol, stream, from_us - 1)
            except HistoryError as error:
                lost[stream] = error
                continue
            transaction.apply(
                JournalInput(
                    InputKind.STREAM_LOCATED, data.symbol, data.incarnation, topic_id=opened.topic_id, first_offset=opened.offset,
                    stream=stream,
                )
            )  # fmt: skip
            if opened.note is not None:
                notes.append(opened.note)
            lane = Lane(data.symbol, data.incarnation, opened, from_us - 1, self.days.end_of_day, stream=stream)
            self._extra_lanes[data.symbol, stream] = lane
        return lost

    def _fail(self, transaction: Transaction, symbol: str, incarnation: int, error: HistoryError) -> None:
        self._details[error.reason] = str(error)
        transaction.apply(JournalInput(InputKind.LOAD_FAILED, symbol, incarnation, reason=error.reason))

    def _lose(self, transaction: Transaction, symbol: str, incarnation: int, stream: str, error: HistoryError) -> None:
        self._details[error.reason] = str(error)
        transaction.apply(JournalInput(InputKind.SOURCE_LOST, symbol, incarnation, stream=stream, reason=error.reason))


def _date(given: date | None, configured: date | None, name: str) -> date:
    found = given or configured
    if found is None:
        raise ReplayError(
            f"the {name} is missing: give --{name} with a date such as 2013-10-07, or set backtest_config.{name}_date in the config"
        )
    return found
