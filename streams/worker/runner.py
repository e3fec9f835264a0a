"""The session's live shell: takes what the feed and the worker's tasks bring, drives the engine, and writes what comes of it.

One item at a time becomes one transaction: the engine is driven, its result is encoded, and the records are handed to the
ledger. The next item is worked on while the ledger commits; its own records are handed over only after that commit, so the
order holds. Any error ends the process: what is in memory and not committed was seen by nobody.

The runner decides nothing about bars: what it finds out by I/O goes into the engine as inputs, and stands in the journal.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from loguru import logger

from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.engine.session import Session
from streams.engine.state.session import SessionState
from streams.engine.transaction import Transaction
from streams.errors import ConfigConflictError, DemotedError, ForbiddenError, NotActiveError, StateError
from streams.kafka.rights import principal
from streams.model.inputs import InputKind, JournalInput
from streams.model.rows import SESSION_KEY, Row, is_symbol_key
from streams.model.transactions import DeadLetter, TransactionResult
from streams.times import SECOND_US, Clock
from streams.wire.codec import Codec
from streams.wire.outputs import Encoder, RawRecord, Record
from streams.wire.topics import TopicNames
from streams.worker.clock.heartbeat import Heartbeat
from streams.worker.clock.judge import Verdict
from streams.worker.clock.wake import Wake
from streams.worker.clock.watch import KEPT_SECONDS, ClockWatch
from streams.worker.commands import CommandReader
from streams.worker.faust.overrides import TransactionalTable
from streams.worker.feed.batches import Alarm, GapAnswers, Item, Loads, Notice, SourceReads, Tick
from streams.worker.feed.end_offsets import ReachedEnds
from streams.worker.feed.feed import Feed, FeedBatch, Trouble
from streams.worker.ledger.digest import CARRIER, HEADER, RowDigest, check
from streams.worker.ledger.journal_tail import last_epoch
from streams.worker.ledger.ledger import Ledger
from streams.worker.ledger.prepared import Prepared, no_raw, rows_of
from streams.worker.ledger.torn import TornTransactions
from streams.worker.log import log_outcomes
from streams.worker.sources.calendars import CalendarKeeper, check_not_ended
from streams.worker.sources.follower import Follower
from streams.worker.sources.gap_filling import GapFiller
from streams.worker.sources.history import HistoryLoader
from streams.worker.sources.topics import SourceRefusedError, Sources
from streams.worker.sources.unchecked import Unchecked, news

HEARTBEAT_SECONDS: Final = 1.0


class SessionRunner:
    """Runs one session while this worker is the active one.

    Args:
        config: the session as the user wants it.
        settings: the surroundings.
        clock: where `now` comes from.
        table: the state's rows.
        ledger, feed, sources, codec, names: its collaborators.
        send: puts an item on the merge agent's channel; safe to call in the loop's thread.
        owner: this worker's name.
        owner_url: where it answers over HTTP; empty when it does not.
        adopt_config: whether a standby may take over a session that runs under another config.
        die: ends the process.
        history: loads past days of pending symbols.
        filler: asks a history source for missing bars; None where that is not wanted.
        torn: looks for a transaction that is only partly there as the state is taken over; None where there can be none.
        watch: watches the clock; None where it is not to be compared with others.
    """

    def __init__(
        self,
        *,
        config: SessionConfig,
        settings: Settings,
        clock: Clock,
        table: TransactionalTable,
        ledger: Ledger,
        feed: Feed,
        sources: Sources,
        codec: Codec,
        names: TopicNames,
        send: Callable[[Item], None],
        owner: str,
        owner_url: str,
        adopt_config: bool,
        die: Callable[[BaseException], object],
        history: HistoryLoader,
        filler: GapFiller | None = None,
        torn: TornTransactions | None = None,
        watch: ClockWatch | None = None,
    ) -> None:
        self.filler = filler
        self._torn = torn
        self.watch = ClockWatch(clock, tolerance_seconds=0, names=names) if watch is None else watch
        self._config = config
        self._settings = settings
        self._clock = clock
        self._table = table
        self._ledger = ledger
        self._feed = feed
        self._sources = sources
        self._codec = codec
        self._names = names
        self._owner = owner
        self._owner_url = owner_url
        self._adopt_config = adopt_config
        self._die = die
        self._commands = CommandReader(codec, names, sources, clock, removal_seconds=settings.removal_deadline_seconds)
        self._calendars = CalendarKeeper(config)
        self._follower = Follower(
            feed=feed, sources=sources, history=history, names=names, clock=clock, send=send, die=die, user=principal(settings),
            is_held=self.watch.holds,
        )  # fmt: skip
        self._send = send
        self._wake = Wake(send)
        self._lock = asyncio.Lock()
        self._encoder: Encoder | None = None
        self._in_flight: asyncio.Future[None] | None = None
        self._changelog: list[tuple[bytes, bytes | None]] = []
        self._digest = RowDigest()
        self._ends = ReachedEnds()
        self._membership_changed = False
        self._next_number = 1
        self._wrote_at = 0.0
        self._heartbeat = Heartbeat(clock, overdue_seconds=settings.overdue_seconds)
        self._taken: int | None = None
        self._analysis_offset = 0
        self.session: Session | None = None
        self.active = False
        self.active_since: tuple[int, int] | None = None
        self.has_been_standby = False
        self.committed_at = 0.0
        self.records_read: Counter[str | None] = Counter()
        self.dead_letters = 0
        table.on_change = lambda key, value: self._changelog.append((key, value))

    # --------------------------------------------------------------------------------- becoming active, and not

    async def activate(self) -> None:
        """Go on from the recovered table: open or resume the session, then read.

        Raises:
            FatalError: the state and the config, or the state and the topics, don't go together, or the state is not what was
                committed.
        """
        async with self._lock:
            verdict = await self.watch.measured(KEPT_SECONDS)
            self.watch.check_ahead(verdict)
            await self._complete_torn()
            self._digest = check(self._table.items(), self._table.committed_digest)
            rows = {key.decode(): self._codec.row_from(value) for key, value in self._table.items()}
            now_us = self._clock.now_us()
            try:
                transaction = await (self._resume(rows, now_us, verdict) if rows else self._open(now_us))
            except SourceRefusedError as error:
                raise ForbiddenError(f"the broker does not let this worker read what it needs: {error}") from error
            session = self._require_session()
            if (of_clock := self.watch.news(session.state, verdict)) is not None:
                transaction.apply(of_clock)  # it is wrong: that it is right again was said before time went on
            self._encoder = Encoder(self._codec, self._names, session=session.state.config.session_name, epoch=session.state.epoch)
            self._commit(self._prepare(transaction.finish(), no_raw))
            await self._settled()
            await self._find_analysis_end()
            self.active_since = (session.state.epoch, session.state.transaction)
            self._taken = None  # what was on the channel before may have been cleared, and is of no use now
            self.active = True
            self._heartbeat.told()
            self._read_from_state()
            self._set_alarm()
        logger.bind(session=session.state.config.session_name, epoch=session.state.epoch, symbols=len(session.state.symbols)).info(
            "active: reading from the state's positions"
        )

    async def _complete_torn(self) -> None:
        """Write what is missing of the last transaction, should it be there only in part."""
        if self._torn is None:
            return
        rows, digest = dict(self._table.items()), self._table.committed_digest
        found = await asyncio.get_running_loop().run_in_executor(None, self._torn.look, rows, digest)
        if found is not None:
            number, count = found.result.journal.transaction, len(found.missing)
            logger.warning("transaction {} was there only in part, and is completed: {} records and its rows", number, count)
            self._digest = RowDigest(rows.items())
            self._commit(Prepared(found.result, found.missing, rows_of(self._codec, found.result), []))
            await self._settled()

    async def _find_analysis_end(self) -> None:
        """Learn where analysis goes on: the ledger is told by the broker, unless the first transaction has written nothing there."""
        if self._ledger.analysis_offset is None:
            # Former owners are fenced, and what they left open is closed: their last record is behind the committed end.
            self._analysis_offset = (await self._sources.ends([self._names.analysis]))[self._names.analysis]

    @asynccontextmanager
    async def committed(self) -> AsyncIterator[tuple[SessionState, int]]:
        """The state while all of it is committed and nothing changes it, and where analysis goes on after it. No bar is taken in meanwhile.

        Raises:
            NotActiveError: this worker is not the active one.
        """
        async with self._lock:
            if not self.active:
                raise NotActiveError("this worker is not the active one now")
            await self._settled()
            offset = self._ledger.analysis_offset
            yield self._require_session().state, self._analysis_offset if offset is None else offset

    @property
    def unchecked(self) -> Unchecked | None:
        """Since when, by the monotonic clock, questions about topics are refused or not answered; None when they are answered."""
        return self._follower.unchecked

    async def check_control(self) -> None:
        """See that the control topic is the one that the session goes by.

        Raises:
            ControlLostError: it is not.
        """
        if self.session is not None:
            await self._follower.check_control(self.session)

    async def deactivate(self) -> None:
        """Stop reading, and wait until what is being written is committed."""
        self.active = False
        self._feed.pause()
        async with self._lock:
            # Becoming active may have been under way, and is now done.
            self.active = False
            self._feed.pause()
            self._wake.cancel()
            await self._settled()

    async def close(self) -> None:
        """End the runner's own tasks."""
        await self.deactivate()
        self._follower.stop()

    async def _open(self, now_us: int) -> Transaction:
        control = self._names.control
        topic_id = (await self._sources.topic_ids([control]))[control]
        epoch = await asyncio.get_running_loop().run_in_executor(None, last_epoch, self._settings, self._names.journal, self._codec) + 1
        # Commands that were sent before the session's first start are run; those of a former epoch had their effect in it.
        offset = 0 if epoch == 1 else (await self._sources.ends([control]))[control]
        offset = max(offset, (await self._sources.beginnings([control]))[control])
        calendar = self._calendars.opening(now_us)
        self.session, transaction = Transaction.of_new_session(
            self._config, epoch=epoch, control_topic_id=topic_id or "", control_offset=offset, owner=self._owner, now_us=now_us,
            owner_url=self._owner_url, calendar=calendar.to_text(),
        )  # fmt: skip
        return transaction

    async def _resume(self, rows: Mapping[str, Row], now_us: int, verdict: Verdict) -> Transaction:
        if SESSION_KEY not in rows:
            raise StateError(f"the table holds {len(rows)} rows but none of a session")
        session = self.session = Session.restore(rows)
        state = session.state
        await self._follower.check_control(session)
        changed = state.config != self._config
        if changed and self.has_been_standby and not self._adopt_config:
            raise ConfigConflictError(
                "this standby's config differs from the one that the session runs under, so it does not take over: "
                "give it the same config, or start it with --adopt-config to change the session's when it takes over"
            )
        transaction = Transaction(session, owner=self._owner, now_us=now_us)
        transaction.apply(JournalInput(InputKind.RESUMED, reason=self._owner, text=self._owner_url or None))
        if (of_clock := self.watch.news(state, verdict)) is not None and of_clock.reason is None:
            transaction.apply(of_clock)
        if changed:
            transaction.apply(JournalInput(InputKind.CONFIGURED, text=self._config.to_json()))
        for given in self._calendars.resumed(state, now_us):
            transaction.apply(given)
        check_not_ended(state.calendar, now_us)
        for given in await self._follower.lost_sources(session):
            transaction.apply(given)
        return transaction

    # ----------------------------------------------------------------------------------------------- one item

    async def process(self, item: Item) -> None:
        """Make a transaction of one item of the channel."""
        try:
            await self._await_certain_time()
            async with self._lock:
                if self._taken is not None:
                    self._taken += 1
                if self.active:
                    self._judge_clock()
                    await self._process(item)
                    self._set_alarm()
                if isinstance(item, FeedBatch):
                    self._answer(item)
        except asyncio.CancelledError:
            if self.active:  # what the engine has taken in would be in no row, and the next transaction would go on from it
                self._die(DemotedError("this worker was stopped while it worked on a transaction: it ends, to start again"))
            raise
        except BaseException as error:  # nothing that goes wrong here can be mended but by a new start
            self._die(error)

    async def _await_certain_time(self) -> None:
        """Wait while a leap of the wall clock is in doubt: no bar is to be judged by a time that may be wrong."""
        while self.active and not self._clock.is_certain():
            async with self._lock:
                if self.active:
                    self._tick()  # the heartbeat goes on
            await asyncio.sleep(HEARTBEAT_SECONDS * 0.9)

    def _judge_clock(self) -> bool:
        """Tell the session when its clock is found to be wrong, or right again; whether all is read again from the state's positions."""
        verdict = self.watch.verdict()
        self.watch.check_ahead(verdict)
        of_clock = self.watch.news(self._require_session().state, verdict)
        if of_clock is None:
            return False
        self._write([of_clock], self._clock.now_us())
        if of_clock.reason is not None:
            return False
        self._read_from_state()
        return True

    def _answer(self, batch: FeedBatch) -> None:
        """Tell the feed that a batch has been dealt with: a full one now, a small one once its commit is through."""
        if batch.is_full or self._in_flight is None:
            return self._feed.done(batch)
        return self._in_flight.add_done_callback(lambda done: self._feed.done(batch))

    async def _process(self, item: Item) -> None:
        match item:
            case FeedBatch():
                await self._take_batch(item)
            case Trouble():
                self._follower.look_into(self._require_session(), item)
            case Notice():
                self._take_notice(item)
            case Loads():
                await self._settled()  # meanwhile more may be found out: symbols that load at once share transactions
                self._write_inputs(self._follower.take_loads())
            case GapAnswers():
                await self._settled()  # as above
                self._take_gap_answers()
            case Alarm():
                if self._heartbeat.is_due(self.committed_at) or self._require_session().due_bars(self._clock.now_us()):
                    self._write_inputs([])
            case Tick():
                self._take_tick(item)
        # To look at each symbol after each batch would cost the more the more there are. A tick makes sure.
        if self._membership_changed or isinstance(item, Tick):
            self._membership_changed = False
            self._follower.follow(self._require_session())

    def _set_alarm(self) -> None:
        """Be woken up when the next bar that waits has ended, or a heartbeat is due: up to the next tick it may be a second."""
        state = self._require_session().state
        seconds = (state.next_waiting_us - self._clock.now_us()) / SECOND_US
        self._wake.set(min(seconds, self._heartbeat.seconds_left(self._wrote_at)) if state.active else seconds)

    def _take_notice(self, notice: Notice) -> None:
        if self._follower.is_of_now(self._require_session(), notice):
            given = notice.given
            self._write_inputs([given])
            if given.kind is InputKind.SOURCE_LOST:
                if given.stream is None:
                    self._ends.forget(given.symbol or "", given.incarnation or 0)
                self._follower.read_anew(self._require_session(), given.symbol or "", given.stream)

    def _take_gap_answers(self) -> None:
        answers = self.filler.take_answers() if self.filler is not None else []
        if answers:
            self._write_inputs(answers)

    async def _take_batch(self, batch: FeedBatch) -> None:
        if batch.generation != self._feed.generation:
            return
        if batch.number != self._next_number:
            if self._taken is not None:
                self._taken += batch.number - self._next_number  # the next tick need not find them missing again
            self._rewind(f"batches {self._next_number} to {batch.number - 1}")
            return
        self._next_number += 1
        session = self._require_session()
        # What was fetched before a topic was found re-created would move the position past what is to be read anew.
        reads = [read for read in batch.reads if self._feed.is_current(read)]
        control = [read for read in reads if read.symbol is None]
        *full, commands = await self._commands.read(session, control)
        for part in full:
            await self._settled()
            self._write_inputs(part.inputs, part.dead_letters)
        if batch.generation != self._feed.generation:
            return
        found = SourceReads(self._codec, session, reads)
        # Before anything is skipped: a symbol that is to drain later may be at its end already, and is told so only once.
        self._ends.note(reads)
        now_us = await self._hold_back(session, found)
        if not commands.inputs and not found:
            return
        if self._judge_clock():
            return
        transaction = Transaction(session, owner=self._owner, now_us=now_us)
        for given in commands.inputs:
            transaction.apply(given)
        transaction.read(found.ranges)
        transaction.read(self._ends.of_removing(session))
        for symbol, incarnation in found.at_end:
            transaction.apply(JournalInput(InputKind.CAUGHT_UP, symbol, incarnation))
        for read in found.ranges:
            self.records_read[read.stream] += len(read.records)
        prepared = self._prepare(self._finish(transaction), found.raw, commands.dead_letters)
        await self._settled()
        self._commit(prepared)

    async def _hold_back(self, session: Session, found: SourceReads) -> int:
        """Leave out what is to be held back; gives the now by which the rest is to be taken in."""
        now_us = self._clock.now_us()
        if found.ranges:
            sifted = await self.watch.sift(session, found.ranges, now_us)
            for held in found.keep(sifted, lambda read: self.watch.holds(self._names.of(read.symbol, read.stream)), self._ends):
                self._feed.remove(self._names.of(held.symbol, held.stream))
        # A clock that has been set back meanwhile must not make a dead letter of a bar that was not ahead.
        return max(now_us, self._clock.now_us())

    def _write_inputs(self, inputs: list[JournalInput], dead_letters: list[Record] | None = None) -> None:
        now_us = self._clock.now_us()
        self._judge_clock()  # it may have been set up to this moment, while something was waited for
        self._write(inputs, now_us, dead_letters)

    def _write(self, inputs: list[JournalInput], now_us: int, dead_letters: list[Record] | None = None) -> None:
        transaction = Transaction(self._require_session(), owner=self._owner, now_us=now_us)
        for given in inputs:
            transaction.apply(given)
        self._commit(self._prepare(self._finish(transaction), no_raw, dead_letters))

    def _finish(self, transaction: Transaction) -> TransactionResult:
        if self._heartbeat.is_due(self.committed_at):
            transaction.beat()
        result = transaction.finish()
        if transaction.has_told:
            self._heartbeat.told()
        return result

    def _take_tick(self, tick: Tick) -> None:
        """Do what is due each second. A channel that has lost all that was on it, and the feed's credits with it, shows here alone."""
        lost = 0 if self._taken is None else tick.sent + 1 - self._taken
        self._taken = tick.sent + 1
        if lost > 0:
            self._rewind(f"{lost} items")
            return
        self._tick()
        self.watch.release()
        if self.filler is not None:
            self.filler.ask(self._require_session(), self._clock.now_us())

    def _rewind(self, lost: str) -> None:
        """Read again from the state's positions, with the gate shut until that is done."""
        logger.warning("{} were lost on their way: reading again from the state", lost)
        self._write_inputs([JournalInput(InputKind.REWOUND)])
        self._read_from_state()

    def _read_from_state(self) -> None:
        self._next_number = 1
        self._ends.clear()
        self.watch.forget()
        self._follower.begin(self._require_session())
        if self.filler is not None:
            self.filler.begin()

    def _tick(self) -> None:
        session = self._require_session()
        inputs = []
        for symbol in session.quiet_symbols(self._clock.now_us()):
            data = session.symbol(symbol)
            end = self._feed.end_of(self._names.bars(symbol))
            # What was fetched up to the end may still be on its way to here.
            if data is not None and end is not None and end == self._ends.of(symbol, data.incarnation):
                inputs.append(JournalInput(InputKind.SILENT, symbol, data.incarnation))
        inputs += self._calendars.look_ahead(session.state, self._clock.now_us())
        inputs += news(self.unchecked, session.state, self._clock)
        if inputs or self._clock.monotonic() - self._wrote_at >= HEARTBEAT_SECONDS * 0.9:
            self._write_inputs(inputs)
        self._follower.look_around(session)

    # ------------------------------------------------------------------------------------------------ writing

    def _prepare(self, result: TransactionResult, raw: Callable[[DeadLetter], RawRecord], more: list[Record] | None = None) -> Prepared:
        """Encode a result: all that can be done while the transaction before it is still being committed."""
        if self._encoder is None:
            raise StateError("a transaction was finished before the session was active")
        if any(map(is_symbol_key, result.rows)):
            self._membership_changed = True
        return Prepared(result, self._encoder.records(result, raw), rows_of(self._codec, result), more or [])

    def _commit(self, prepared: Prepared) -> None:
        """Change the table, and hand everything to the ledger."""
        result, records = prepared.result, prepared.records
        for key, value in prepared.rows:
            if value is not None:
                self._table[key] = value
            elif key in self._table:
                del self._table[key]
        timestamp_ms = result.now_us // 1000
        changelog = self._table.changelog_topic_name
        for key, value in self._changelog:
            self._digest.change(key, value)
        digest = self._digest.text()
        carried = [(HEADER, digest)]
        records += [Record(changelog, key, value, carried if key == CARRIER else [], timestamp_ms) for key, value in self._changelog]
        self._changelog.clear()
        records += prepared.more
        self.dead_letters += len(result.dead_letters) + len(prepared.more)
        self._wrote_at = self._clock.monotonic()
        # The ledger has one thread, so transactions are written in the order in which they are handed over here.
        self._in_flight = self._ledger.write(records)
        self._in_flight.add_done_callback(partial(self._written, digest))
        log_outcomes(result)

    def _written(self, digest: bytes, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._die(error)
        self._table.hold_up_to(self._ledger.changelog_offset)
        self._table.committed_digest = digest
        self.committed_at = self._clock.monotonic()

    async def _settled(self) -> None:
        """Wait until what was handed to the ledger is committed."""
        if self._in_flight is not None:
            await asyncio.shield(self._in_flight)

    def _require_session(self) -> Session:
        if self.session is None:
            raise StateError("there is no session yet")
        return self.session
