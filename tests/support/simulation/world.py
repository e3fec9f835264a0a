"""The shells around the simulated engine: topics, a clock, transactions as the runner makes them, restarts, a restored twin.

Each transaction is given to the engine, to a twin that was restored from the rows some while ago (now and then there is one),
and to the model; then everything is compared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from streams.config.session import SessionConfig
from streams.engine.session import Session
from streams.engine.transaction import Transaction, command_text, redrive
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import EXTRA_STREAMS, Bar, ControlCommand, Quote, Tick, Undecodable
from streams.model.transactions import RangeRead, TransactionResult
from streams.times import iso
from streams.wire.codec import Codec
from tests.support.simulation.books import Life, Violation
from tests.support.simulation.judge import Judge
from tests.support.simulation.model import Model
from tests.support.simulation.scenario import Scenario, days_of
from tests.support.simulation.tables import Tables, check_due, check_exports, check_next_effect, check_quality

OWNER = "simulated"
CODEC = Codec()
WHOLE_EVERY = 20
"""After so many transactions all rows are compared, besides after each what it touched."""

Part = JournalInput | list[RangeRead]
Record = Bar | Quote | Tick | Undecodable


@dataclass
class Topic:
    """A symbol's topic: records by offset, with the holes that markers of transactions leave."""

    number: int = 1
    end: int = 0
    offsets: list[int] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def append(self, record: Record) -> None:
        self.offsets.append(self.end)
        self.records.append(record)
        self.end += 1

    def between(self, first: int, following: int) -> tuple[list[int], list[Record]]:
        """The records of offsets in `[first, following)`."""
        begin, end = bisect_left(self.offsets, first), bisect_left(self.offsets, following)
        return self.offsets[begin:end], self.records[begin:end]


@dataclass
class Feed:
    """How a symbol's bars come: `next_start_us` is the next to be written, `delay_us` how long they take, `outage` how many do not."""

    next_start_us: int
    delay_us: int = 0
    outage: int = 0
    held_up: list[Bar] = field(default_factory=list)
    sent: deque[Bar] = field(default_factory=lambda: deque(maxlen=300))


class World:
    """One simulated session. `journals` and `topics` are kept whole, so that the run can be driven again."""

    def __init__(self, scenario: Scenario, *, keeps_journal: bool = False) -> None:
        self.scenario = scenario
        self.values: dict[str, Any] = scenario.config
        self.now_us = scenario.begin_us
        config = SessionConfig.from_dict(self.values)
        self.days = days_of(config, self.now_us)
        self.topics = {symbol: Topic() for symbol in scenario.symbols}
        self.past_topics: dict[tuple[str, int], Topic] = {}
        self.extra_topics = {(symbol, stream): Topic() for symbol in scenario.symbols for stream in EXTRA_STREAMS}
        self.past_extra_topics: dict[tuple[str, str, int], Topic] = {}
        self.feeds = {symbol: Feed(self.now_us) for symbol in scenario.symbols}
        self.captured: dict[tuple[str, int], int] = {}
        self.commands: list[ControlCommand] = []
        self.histories: dict[tuple[str, int], list[JournalInput]] = {}
        self.other_intervals: list[str] = []
        self.log: deque[tuple[int, list[Part]]] = deque(maxlen=8)
        self.judge, self.tables = Judge(), Tables()
        self.model = Model(config, self.days, self.now_us)
        self.twin: Session | None = None
        self.transactions = 0
        self.gone: list[Life] = []
        self._journal: list[tuple[JournalRecord, TransactionResult]] | None = [] if keeps_journal else None
        self.session, transaction = Transaction.of_new_session(
            config, epoch=1, control_topic_id="control-1", control_offset=0, owner=OWNER, now_us=self.now_us
        )
        self._take(transaction.finish())

    @property
    def lives(self) -> list[Life]:
        """The symbols that are there, and those that have gone."""
        return [*self.gone, *self.model.lives.values()]

    # Inputs

    def about(self, kind: InputKind, life: Life, **fields: Any) -> JournalInput:
        return JournalInput(kind, symbol=life.symbol, incarnation=life.incarnation, **fields)

    def command(self, chance: Random, kind: str, symbol: str, plan: tuple[int, int] | None = None, **fields: Any) -> JournalInput:
        """A new command as an input."""
        given = ControlCommand(id=f"c{self.model.control_offset}-{chance.getrandbits(32)}", kind=kind, symbol=symbol, sent_us=0, **fields)
        return self.sent(given, plan)

    def sent(self, command: ControlCommand, plan: tuple[int, int] | None = None) -> JournalInput:
        """A command as an input."""
        self.commands.append(command)
        offset = self.model.control_offset
        end_offset, deadline_us = plan or (None, None)
        return JournalInput(
            InputKind.COMMAND, text=command_text(command), first_offset=offset, next_offset=offset + 1,
            end_offset=end_offset, deadline_us=deadline_us,
        )  # fmt: skip

    def range_of(self, life: Life, count: int) -> RangeRead | None:
        """The next unread records of a symbol, at most `count`; None without any."""
        return self._range(life, None, self.topics[life.symbol], life.offset, count)

    def extra_ranges(self, life: Life, count: int) -> list[RangeRead]:
        """The same of the quotes and ticks that are read."""
        read = [(stream, extra.offset) for stream, extra in life.extras.items() if extra.is_read]
        found = [self._range(life, stream, self.extra_topics[life.symbol, stream], offset, count) for stream, offset in read]
        return [one for one in found if one is not None]

    def _range(self, life: Life, stream: str | None, topic: Topic, first: int, count: int) -> RangeRead | None:
        following = topic.end
        rest = bisect_left(topic.offsets, first) + count
        if rest < len(topic.offsets):
            following = topic.offsets[rest]
        if following <= first:
            return None
        offsets, records = topic.between(first, following)
        return RangeRead(life.symbol, life.incarnation, first, following, offsets, records, stream)

    def capture_ends(self) -> None:
        """What is written so far is what a symbol with a backlog has to catch up with."""
        for life in self.model.lives.values():
            self.captured[life.symbol, life.incarnation] = self.topics[life.symbol].end

    # Transactions

    def transact(self, parts: Sequence[Part]) -> None:
        """One transaction of these parts."""
        self.log.append((self.now_us, list(parts)))
        self.model.begin(self.now_us)
        transactions = [Transaction(session, owner=OWNER, now_us=self.now_us) for session in (self.session, self.twin) if session]
        for part in parts:
            if isinstance(part, JournalInput):
                expected = self.model.apply(part)
                if any(transaction.apply(part) != expected for transaction in transactions):
                    raise Violation(
                        "an input that time has overtaken is dropped, and no other", f"{part} was {'' if expected else 'not '}due"
                    )
            else:
                # A symbol that an earlier part has changed may not be read from where it was.
                ranges = [read for read in part if self._follows(read)]
                self.model.read(ranges)
                for transaction in transactions:
                    transaction.read(ranges)
        self.model.finish()
        results = [transaction.finish() for transaction in transactions]
        if self.twin is not None:
            self._compare_twin(*results)
        self._take(results[0])

    def _follows(self, read: RangeRead) -> bool:
        life = self.model.lives.get(read.symbol)
        if life is None or life.incarnation != read.incarnation or not life.is_read:
            return True
        if read.stream is None:
            return life.offset == read.first_offset
        extra = life.extras.get(read.stream)
        return extra is None or not extra.is_read or extra.offset == read.first_offset

    def _take(self, result: TransactionResult) -> None:
        self.transactions += 1
        self.gone += self.model.ended
        if self._journal is not None:
            self._journal.append((result.journal, result))
        self.tables.take(result.rows)
        self.judge.judge(result, self.model, epoch=1)
        self.tables.check(self.model, self.judge, result.rows)
        check_next_effect(self.session, self.model)
        for symbol, life in self.model.lives.items():
            if life.exported is not None and (life.exported.frozen is not None or self.transactions % WHOLE_EVERY == 0):
                check_exports(self.session, self.model, symbol)
        if self.transactions % WHOLE_EVERY == 0:
            self.check_whole()

    def check_whole(self) -> None:
        """Compare everything."""
        self.tables.check_whole(self.model)
        read = [life for symbol, life in sorted(self.model.lives.items()) if life.is_read]
        if read:
            life = read[self.transactions // WHOLE_EVERY % len(read)]
            for interval in (life.base, *life.derived):
                check_quality(self.session, self.model, life.symbol, interval)
            check_due(self.session, self.model, life.symbol)

    def _compare_twin(self, lived: TransactionResult, twin: TransactionResult) -> None:
        if lived.outcomes != twin.outcomes or lived.dead_letters != twin.dead_letters:
            pairs = zip([*lived.outcomes, *lived.dead_letters, None], [*twin.outcomes, *twin.dead_letters, None], strict=False)
            one, other = next((pair for pair in pairs if pair[0] != pair[1]), (len(lived.outcomes), len(twin.outcomes)))
            raise Violation("a session that was restored goes on as the one that its rows came from", f"{other} instead of {one}")
        if lived.rows != twin.rows:
            for key in sorted(lived.rows.keys() | twin.rows.keys()):
                one, other = lived.rows.get(key), twin.rows.get(key)
                bytes_of = [None if row is None else CODEC.row_to(row) for row in (one, other)]
                if bytes_of[0] != bytes_of[1] or (key in lived.rows) != (key in twin.rows):
                    raise Violation("a session that was restored writes the rows that the other one writes", f"{other} instead of {one}")

    # Restarts

    def restored(self) -> Session:
        """A session from the rows, by way of their bytes."""
        return Session.restore({key: CODEC.row_from(CODEC.row_to(row)) for key, row in self.tables.rows.items()})

    def restart(self) -> None:
        """The worker is gone; the next one begins from the rows."""
        self.session = self.restored()

    # Driving it again

    def check_redriven(self) -> None:
        """Drive a fresh engine through the journal.

        Raises:
            Violation: it gives something else.
        """
        session: Session | None = None

        def read(given: JournalInput) -> RangeRead:
            return self._read_again(session, given)

        for record, lived in self._journal or ():
            session, again = redrive(session, CODEC.journal_from(CODEC.journal_to(record)), read)
            journals = [CODEC.journal_to(one.journal) for one in (again, lived)]  # as bytes: not-a-number is not equal to itself
            if (again.outcomes, again.dead_letters) != (lived.outcomes, lived.dead_letters) or journals[0] != journals[1]:
                raise Violation("a journal that is driven again gives the same outputs", f"not transaction {record.transaction}")

    def _read_again(self, session: Session | None, given: JournalInput) -> RangeRead:
        symbol, first, following = given.symbol or "", given.first_offset or 0, given.next_offset or 0
        data = session.symbol(symbol) if session is not None else None
        assert data is not None
        source = data if given.stream is None else data.extras[given.stream]
        number = int(source.topic_id.rpartition("-")[2])
        topic = self.topics[symbol] if given.stream is None else self.extra_topics[symbol, given.stream]
        if topic.number != number:
            key = (symbol, number)
            topic = self.past_topics[key] if given.stream is None else self.past_extra_topics[symbol, given.stream, number]
        offsets, records = topic.between(first, following)
        return RangeRead(symbol, given.incarnation or 0, first, following, offsets, records, given.stream)

    def lose_topic(self, symbol: str) -> None:
        """The topic is deleted and made anew, empty."""
        topic = self.topics[symbol]
        self.past_topics[symbol, topic.number] = copy(topic)
        self.topics[symbol] = Topic(topic.number + 1)

    def lose_extra_topic(self, symbol: str, stream: str) -> None:
        """The same of a topic of quotes or ticks."""
        topic = self.extra_topics[symbol, stream]
        self.past_extra_topics[symbol, stream, topic.number] = copy(topic)
        self.extra_topics[symbol, stream] = Topic(topic.number + 1)

    def last_steps(self) -> list[str]:
        """The last transactions, in words."""
        return [f"{iso(now_us)}: " + ("; ".join(map(_in_words, parts)) or "time passes") for now_us, parts in self.log]


def _in_words(part: Part) -> str:
    if isinstance(part, JournalInput):
        fields = {name: getattr(part, name) for name in part.__struct_fields__ if getattr(part, name) is not None}
        return ", ".join(f"{name}={str(value)[:160]}" for name, value in fields.items())
    return " + ".join(f"{read.symbol} {read.stream or ''}[{read.first_offset}..{read.next_offset}) {_bars_in_words(read)}" for read in part)


def _bars_in_words(read: RangeRead) -> str:
    words = [
        f"{iso(one.start_us)[11:-1]}{'' if one.provenance == 'feed' else ' ' + one.provenance}" if isinstance(one, Bar) else "?"
        for one in read.records
    ]
    return " ".join(words if len(words) < 9 else [*words[:4], f"... {len(words) - 8} more ...", *words[-4:]])
