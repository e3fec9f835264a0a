"""One transaction: inputs in, outcomes and rows and the journal record out. The worker, the replay and the audit share it.

    transaction = Transaction(session, owner="w1", now_us=now)
    transaction.apply(JournalInput(InputKind.CAUGHT_UP, symbol="SPY", incarnation=3))
    transaction.read([RangeRead("SPY", 3, 100, 105, records)])
    result = transaction.finish()

What a shell found out by I/O comes in as a `JournalInput`, bars come as ranges of offsets with their records; both stand
in the journal in the order in which they were applied, so that driving a fresh engine from it gives the same again.
Every transaction begins with `advance` and ends with `finish`; they need no input of their own. Two inputs come before `advance`:
`resumed`, and a `clock` that is right again. Both say that records are still unread, so no day may roll and no window close over them.

Ranges of bars that are read together are merged by (end, symbol); the order within a symbol is that of its topic, always.
Quotes and ticks that are read with them come after all bars: they have no effect on them, so nothing waits for their merging.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from streams.config.session import SessionConfig
from streams.engine.applying import apply_input, in_words, instead_of, is_current
from streams.engine.rules.placement import placer
from streams.engine.session import Session
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.errors import EngineError, FatalError
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import (
    Bar,
    ControlCommand,
    Outcome,
    PublishedBar,
    Rejected,
    Rejection,
    Undecodable,
)
from streams.model.rules_version import RULES, check_known
from streams.model.transactions import UNKNOWN_OFFSET, DeadLetter, RangeRead, TransactionResult
from streams.model.validation import undecodable_reason

MOST_REASON_BYTES: Final = 150_000
"""What the reasons of skipped records may take of a journal record: what they need besides is half of what Kafka takes for the most
records that a batch can have."""
AS_BEFORE: Final = "as before"

Place = tuple[str, str | None, int]
"""A record of a source topic: symbol, stream (None for bars) and offset."""


def merge_order(ranges: Sequence[RangeRead]) -> list[tuple[int, str, int, int]]:
    """Where the records of several ranges stand in event-time order: (end, symbol, range, place), sorted.

    A record that is behind the ones before it in its topic counts as their contemporary, so that the topic's order holds.
    """
    order: list[tuple[int, str, int, int]] = []
    append = order.append
    for number, read in enumerate(ranges):
        newest_us = 0
        symbol = read.symbol
        for place, record in enumerate(read.records):
            if record.__class__ is Bar:
                end_us = record.end_us
                if end_us > newest_us:
                    newest_us = end_us
            append((newest_us, symbol, number, place))
    if len(ranges) > 1:
        order.sort()
    return order


class Transaction:
    """Applies inputs to a session and gathers what comes of them."""

    def __init__(
        self, session: Session, *, owner: str, now_us: int, rules: int = RULES, skip_waiting: Mapping[tuple[str, int], str] | None = None
    ) -> None:
        self._session = session
        self._owner = owner
        self._inputs: list[JournalInput] = []
        self._dead_letters: list[DeadLetter] = []
        self._before_sequence = session.state.sequence
        self._has_advanced = False
        self._outcomes: list[Outcome] = []
        self._reason_bytes = 0
        # Symbol and start of waiting bars that a former run has passed over, with its reasons.
        self._skip_waiting = skip_waiting or {}
        # Time never goes back in the engine, and what the journal says must be what the engine went by.
        self.now_us = max(now_us, session.state.now_us)
        session.adopt_rules(rules, session.state.now_us)

    @classmethod
    def of_new_session(
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
    ) -> tuple[Session, Transaction]:
        """Open a session, and the transaction that says so; for `config_json` and `calendar` see `Session.open`."""
        session, outcomes = Session.open(
            config, epoch=epoch, control_topic_id=control_topic_id, control_offset=control_offset, owner=owner, now_us=now_us,
            owner_url=owner_url, config_json=config_json, calendar=calendar, rules=rules,
        )  # fmt: skip
        transaction = cls(session, owner=owner, now_us=now_us, rules=rules)
        transaction._before_sequence = 0
        transaction._outcomes = outcomes
        transaction._inputs.append(
            JournalInput(
                InputKind.OPENED,
                text=session.state.config_json,
                topic_id=control_topic_id,
                first_offset=control_offset,
                reason=owner_url or None,
                calendar=calendar or None,
            )
        )
        return session, transaction

    @property
    def is_empty(self) -> bool:
        """Whether nothing was applied and time alone has brought nothing: it may then be dropped instead of finished."""
        self._advance()
        return not self._inputs and not self._outcomes and not self._session.has_changes

    def apply(self, given: JournalInput) -> bool:
        """Apply an input other than bars; one that time has overtaken is dropped (False).

        That is one about a symbol or incarnation that is gone, `loaded` of a symbol that is not pending, `caught_up` or
        `source_lost` of one that is not read, `silent` of one that is not quiet any more. For a command on which the engine
        raises a refusal is applied, for an input about a symbol the symbol's failure.

        Raises:
            EngineError: `resumed`, or a `clock` that is right again, after another input: what it lets wait has happened already.
        """
        if not _precedes_time(given):
            self._advance()
        elif self._has_advanced:
            what = "resumes a session" if given.kind is InputKind.RESUMED else "says that the clock is right again"
            raise EngineError(f"a transaction that {what} must begin with that: time may only go on after it")
        if not is_current(self._session, given, self.now_us):
            return False
        try:
            outcomes = apply_input(self._session, given, self.now_us)
        except (EngineError, FatalError):
            raise
        except Exception as error:  # a bug met by one input is no reason to stop the session, nor to meet it again at each start
            instead = instead_of(given, error)
            if instead is None:
                raise
            return self.apply(instead)
        self._outcomes += outcomes
        self._inputs.append(given)
        return True

    def beat(self) -> None:
        """Put a heartbeat on analysis, unless the gate is shut or this transaction puts something else there."""
        self._advance()
        if self._session.state.active and not self.has_told:
            self.apply(JournalInput(InputKind.HEARTBEAT))

    @property
    def has_told(self) -> bool:
        """Whether something goes to analysis, as far as has been applied."""
        return self._session.state.sequence != self._before_sequence

    def _advance(self) -> None:
        if not self._has_advanced:
            self._has_advanced = True
            for end_us, symbol in self._session.due_bars(self.now_us):
                if end_us > self._session.state.now_us:
                    # What else is due comes in its order: at the bar's own end after the bar.
                    self._outcomes += self._session.advance(end_us - 1, emitted_us=self.now_us)
                self._take_waiting(symbol, end_us)
            self._outcomes += self._session.advance(self.now_us)

    def _take_waiting(self, symbol: str, end_us: int) -> None:
        """Take in the next bar of a symbol that has waited for its end; a bug met by it stops neither the session nor the next bar."""
        data = self._session.symbol(symbol)
        if data is None or not data.waiting:
            return  # the symbol has failed with the one before
        bar = data.waiting[0]
        reason = self._skip_waiting.get((symbol, bar.start_us))
        if reason is None:
            try:
                got = self._session.take_waiting(symbol, end_us, emitted_us=self.now_us)
            except EngineError:
                raise
            except Exception as error:
                reason = in_words(error)
            else:
                self._keep(got, symbol, UNKNOWN_OFFSET, bar=bar)
                return
        reason = self._fitting(reason)
        self._inputs.append(JournalInput(InputKind.SKIPPED, symbol, data.incarnation, start_us=bar.start_us, reason=reason))
        self._keep(self._session.skipped_waiting(symbol, reason, end_us), symbol, UNKNOWN_OFFSET, bar=bar)

    def read(self, ranges: Iterable[RangeRead], skip: Mapping[Place, str] | None = None) -> None:
        """Receive the records of ranges in merged order, and move the symbols' positions.

        A range of another incarnation, or of a symbol that is not being read, is dropped whole. A record on which the
        engine raises is passed over, journaled as `skipped` and a dead letter. `skip` holds the reasons for which a former run
        passed records over: a re-drive passes them over again.

        Raises:
            EngineError: a range begins after the position that the state stands at: records would be lost.
        """
        self._advance()
        current: list[RangeRead] = []
        extra: list[RangeRead] = []
        for read in ranges:
            data = self._session.symbol(read.symbol)
            if data is not None and self._is_readable(read, data):
                if read.stream is None:
                    current.append(self._placed(read, data) if data.is_uneven else read)
                else:
                    extra.append(read)
        if (current or extra) and self._inputs and self._inputs[-1].kind is InputKind.RANGE:
            self.apply(JournalInput(InputKind.READ))
        self._inputs += [
            JournalInput(InputKind.RANGE, read.symbol, read.incarnation, first_offset=read.first_offset, next_offset=read.next_offset)
            for read in current
        ]
        if extra:
            self._inputs += [_range_input(read) for read in extra]
        self._read_bars(current, skip)
        for read in extra:
            self._read_extra(read, skip or {})

    def _read_bars(self, current: Sequence[RangeRead], skip: Mapping[Place, str] | None) -> None:
        stopped: dict[str, int] = {}
        receive, now_us, outcomes = self._session.receive, self.now_us, self._outcomes
        any_unknown = any(read.unknown for read in current)
        for _, symbol, number, place in merge_order(current):
            read = current[number]
            record = read.records[place]
            if symbol in stopped:
                continue
            if any_unknown and read.unknown is not None and place in read.unknown:
                outcomes += self._session.unknown_fields(symbol, read.unknown[place], 1, now_us)
            if record.__class__ is Bar and record.symbol == symbol and not skip:
                try:
                    got = receive(record, now_us)
                except EngineError:
                    raise
                except Exception as error:  # a bug met by this record stops neither the session nor the symbol's next record
                    got = self._pass_over(read, place, in_words(error))
            else:
                got = self._take_unusual(read, place, skip or {})
            if len(got) == 1 and got[0].__class__ is PublishedBar:
                outcomes.append(got[0])  # as of most bars: nothing that could end the reading of its symbol
            elif got:
                self._keep(got, symbol, read.offsets[place])
                data = self._session.symbol(symbol)
                if data is None or data.status not in READING:
                    stopped[symbol] = read.offsets[place] + 1
        if current:
            self._outcomes += self._session.all_moved(
                [(read.symbol, stopped.get(read.symbol, read.next_offset)) for read in current], now_us
            )

    @staticmethod
    def _is_readable(read: RangeRead, data: SymbolSessionData) -> bool:
        if data.incarnation != read.incarnation or data.status not in READING:
            return False
        if read.stream is None:
            offset = data.offset
        else:
            extra = data.extras.get(read.stream)
            if extra is None or not extra.is_read:
                return False
            offset = extra.offset
        if read.first_offset != offset:
            what = read.symbol if read.stream is None else f"the {read.stream} of {read.symbol}"
            raise EngineError(f"records of {what} from offset {read.first_offset} were handed over while the state stands at {offset}")
        return True

    def _placed(self, read: RangeRead, data: SymbolSessionData) -> RangeRead:
        """The range as it is merged, of a symbol whose bars the hours cut: a daily bar ends at the close, whatever end it came with."""
        placed = placer(data.base_interval, data.anchor, self._session.state.calendar)
        records = [placed(record) if isinstance(record, Bar) else record for record in read.records]
        return msgspec.structs.replace(read, records=records)

    def _read_extra(self, read: RangeRead, skip: Mapping[Place, str]) -> None:
        """Receive a range of quotes or ticks; of a symbol that went, or failed, with the bars before them none is."""
        session, symbol, stream = self._session, read.symbol, read.stream or ""
        records, offsets = read.records, read.offsets
        reasons = {place: skip.get((symbol, stream, offset)) for place, offset in enumerate(offsets)} if skip else {}
        known = [place for place, reason in reasons.items() if reason is not None]
        known.append(len(records))
        place, next_offset = 0, read.next_offset
        if not self._is_being_read(symbol):
            return
        if read.unknown:
            names = sorted({name for some in read.unknown.values() for name in some})
            self._outcomes += session.unknown_fields(symbol, names, len(read.unknown), self.now_us, stream=stream)
        while True:
            end = known[bisect_left(known, place)]
            received = session.receive_extras(symbol, stream, records[place:end], self.now_us)
            for at, outcome in received.rejected:
                self._keep([outcome], symbol, offsets[place + at], stream)
            place += received.count
            reason = reasons.get(place) if received.error is None else in_words(received.error)
            if reason is None:
                break
            self._keep(self._pass_over(read, place, reason), symbol, offsets[place], stream)
            place += 1
            if not self._is_being_read(symbol):
                next_offset = offsets[place - 1] + 1
                break
        if session.symbol(symbol) is not None:
            self._outcomes += session.moved(symbol, next_offset, self.now_us, stream=stream)

    def _is_being_read(self, symbol: str) -> bool:
        data = self._session.symbol(symbol)
        return data is not None and data.status in READING

    def _take_unusual(self, read: RangeRead, place: int, skip: Mapping[Place, str]) -> list[Outcome]:
        record, symbol = read.records[place], read.symbol
        reason = skip.get((symbol, None, read.offsets[place]))
        if reason is not None:
            return self._pass_over(read, place, reason)
        if isinstance(record, Undecodable):
            return self._session.reject(symbol, Rejection.UNDECODABLE, undecodable_reason(record, self._session.state.rules), self.now_us)
        if not isinstance(record, Bar) or record.symbol != symbol:
            message = f"a {type(record).__name__.lower()} of {record.symbol} on the topic of {symbol}"
            return self._session.reject(symbol, Rejection.WRONG_SYMBOL, message, self.now_us)
        return self._session.receive(record, self.now_us)

    def _pass_over(self, read: RangeRead, place: int, reason: str) -> list[Outcome]:
        reason = self._fitting(reason)
        self._inputs.append(
            JournalInput(
                InputKind.SKIPPED, symbol=read.symbol, incarnation=read.incarnation, first_offset=read.offsets[place], reason=reason,
                stream=read.stream,
            )
        )  # fmt: skip
        return self._session.skipped(read.symbol, reason, self.now_us, stream=read.stream)

    def _fitting(self, reason: str) -> str:
        # All of a batch may be skipped, and a re-drive begins with the reasons that are left: they come to the same.
        if self._reason_bytes + len(reason.encode()) > MOST_REASON_BYTES:
            reason = AS_BEFORE
        self._reason_bytes += len(reason.encode())
        return reason

    def _keep(self, got: Sequence[Outcome], symbol: str, offset: int, stream: str | None = None, bar: Bar | None = None) -> None:
        self._outcomes += got
        for outcome in got:
            if outcome.__class__ is Rejected:
                self._dead_letters.append(DeadLetter(symbol, offset, outcome.code, outcome.message, stream, bar))

    def finish(self) -> TransactionResult:
        """End the transaction."""
        self._advance()
        session = self._session
        finished = session.finish(self.now_us)
        self._outcomes += finished.outcomes
        state = session.state
        journal = JournalRecord(
            session=state.config.session_name, epoch=state.epoch, transaction=state.transaction, now_us=self.now_us, owner=self._owner,
            before_sequence=self._before_sequence, last_sequence=state.sequence, inputs=tuple(self._inputs), rules=state.rules,
        )  # fmt: skip
        return TransactionResult(self.now_us, self._outcomes, self._dead_letters, finished.rows, journal, state.tells_held_back)


def _precedes_time(given: JournalInput) -> bool:
    """Whether an input is applied before time goes on to the transaction's now."""
    return given.kind is InputKind.RESUMED or (given.kind is InputKind.CLOCK and given.reason is None)


def _range_input(read: RangeRead) -> JournalInput:
    return JournalInput(
        InputKind.RANGE, read.symbol, read.incarnation, first_offset=read.first_offset, next_offset=read.next_offset, stream=read.stream
    )


def command_text(command: ControlCommand) -> str:
    """A command as it stands in the journal."""
    return msgspec.json.encode(command).decode()


def redrive(session: Session | None, record: JournalRecord, read: Callable[[JournalInput], RangeRead]) -> tuple[Session, TransactionResult]:
    """Apply a journal record: to the session as the record before it left it, or to none for the first.

    Args:
        session: None for a record that opens a session.
        record: one transaction.
        read: gives the records of a `range` input, from the topic or a copy of it.

    Raises:
        EngineError: the record does not follow on the session's state.
        StateError: it was written under rules that this version does not have.
    """
    rules = check_known(record.rules, f"transaction {record.transaction} of the journal")
    inputs = list(record.inputs)
    if inputs and inputs[0].kind is InputKind.OPENED:
        opening = inputs.pop(0)
        session, transaction = Transaction.of_new_session(
            SessionConfig.from_json(opening.text or ""), epoch=record.epoch, control_topic_id=opening.topic_id or "",
            control_offset=opening.first_offset or 0, owner=record.owner, now_us=record.now_us,
            owner_url=opening.reason or "", config_json=opening.text or "", calendar=opening.calendar or "", rules=rules,
        )  # fmt: skip
    elif session is None:
        raise EngineError(f"the journal begins with transaction {record.transaction}, which does not open a session")
    else:
        waited = [given for given in inputs if given.kind is InputKind.SKIPPED and given.start_us is not None]
        skip_waiting = {(given.symbol or "", given.start_us or 0): given.reason or "" for given in waited}
        inputs = [given for given in inputs if given.kind is not InputKind.SKIPPED or given.start_us is None]
        transaction = Transaction(session, owner=record.owner, now_us=record.now_us, rules=rules, skip_waiting=skip_waiting)
    place = 0
    while place < len(inputs):
        if inputs[place].kind is not InputKind.RANGE:
            transaction.apply(inputs[place])
            place += 1
            continue
        end = place
        while end < len(inputs) and inputs[end].kind is InputKind.RANGE:
            end += 1
        ranges = [read(given) for given in inputs[place:end]]
        place = end
        skip: dict[Place, str] = {}
        while place < len(inputs) and inputs[place].kind is InputKind.SKIPPED:
            given = inputs[place]
            skip[given.symbol or "", given.stream, given.first_offset or 0] = given.reason or ""
            place += 1
        transaction.read(ranges, skip)
    return session, transaction.finish()
