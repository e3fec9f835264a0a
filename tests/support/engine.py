"""Drive the engine in tests: topics in memory, transactions, tables, a journal, and what must hold after every transaction.

    desk = Desk(config("SPY", derived_intervals=["5m"]), now_us=at("09:30"))
    desk.load("SPY")
    desk.produce(bar("SPY", at("09:30")))
    desk.read(now_us=at("09:31"))
    assert [one.bar.end_us for one in desk.published("SPY", "1m")] == [at("09:31")]

`Desk` keeps the tables that the rows make up, so it can stop and go on from them at any point, and the journal, so it can
drive a fresh engine from it. Its checks count on their own: they read outcomes and rows, never the engine's counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from streams.config.session import SessionConfig
from streams.engine.loading import begin_input, in_words, judged, missing_input, stretches
from streams.engine.rules.past_days import wanted
from streams.engine.session import Session
from streams.engine.state.symbol import SymbolSessionData
from streams.engine.transaction import Transaction, command_text, redrive
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import (
    QUOTES,
    TICKS,
    AnalysisKind,
    Bar,
    ControlCommand,
    Event,
    EventKind,
    HeldBackBar,
    Marker,
    Outcome,
    PublishedBar,
    Quote,
    Rejected,
    Reply,
    SessionBar,
    Tick,
    Undecodable,
)
from streams.model.rows import BlockRow, Columns, ProgressRow, Row, SessionRow, SymbolRow, stream_key
from streams.model.transactions import RangeRead, TransactionResult
from streams.times import MINUTE_US, interval_us, to_us
from streams.wire.codec import Codec

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = "2013-10-07"
"""A Monday with regular hours on XNYS: 09:30 to 16:00 in New York, which is four hours behind UTC on that day."""

OWNER = "tester"
CODEC = Codec()

Record = Bar | Quote | Tick | Undecodable

T = TypeVar("T")


def at(clock: str, day: str = MONDAY) -> int:
    """The instant at which a clock in New York shows `clock` (`09:30` or `09:30:15`)."""
    return to_us(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK))


def config(*symbols: str, **parts: Any) -> dict[str, Any]:
    """A session config: top-level keys, and keys of `session_data_config` and of its `streaming`, each by its own name."""
    streaming_keys = {
        "catchup_threshold_seconds", "catchup_check_interval", "check", "reference", "silence_threshold_seconds", "silence_lags",
    }  # fmt: skip
    top_keys = {"session_name", "mode", "exchange", "hours", "hours_overrides", "window_anchor"}
    streaming = {key: parts.pop(key) for key in list(parts) if key in streaming_keys}
    if "per_symbol" in parts:
        streaming["symbols"] = parts.pop("per_symbol")
    top = {key: parts.pop(key) for key in list(parts) if key in top_keys}
    return {**top, "session_data_config": {"symbols": list(symbols), "streaming": streaming, "interval_complete": [], **parts}}


def bar(symbol: str, start_us: int, interval: str = "1m", price: float = 100.0, volume: float = 10.0, **fields: Any) -> Bar:
    """A bar that opens and closes at `price`, a quarter around it."""
    values: dict[str, Any] = {"open": price, "high": price + 0.25, "low": price - 0.25, "close": price, "volume": volume}
    return Bar(symbol, interval, start_us, **{"end_us": start_us + interval_us(interval), **values, **fields})


def minutes(symbol: str, first: int, count: int, step: int = 1, **fields: Any) -> list[Bar]:
    """One-minute bars from the instant `first` on, `step` minutes apart."""
    return [bar(symbol, first + index * step * MINUTE_US, **fields) for index in range(count)]


def quote(symbol: str, time_us: int, bid: float | None = 99.5, ask: float | None = 100.5, **fields: Any) -> Quote:
    """A quote of an instant, a hundred on each side."""
    return Quote(symbol, time_us, bid, ask, **{"bid_size": 100.0, "ask_size": 100.0, **fields})


def tick(symbol: str, time_us: int, price: float = 100.0, size: float = 10.0, **fields: Any) -> Tick:
    """A tick of an instant."""
    return Tick(symbol, time_us, price, size, **fields)


def columns_to_bars(columns: Columns, width_us: int) -> list[tuple[int, float, float, int]]:
    """Start, close, volume and revision of the bars of a row, read off its columns."""
    revisions = columns.revisions or [0] * len(columns.slots)
    starts = [columns.first_start_us + slot * width_us for slot in columns.slots]
    return list(zip(starts, columns.close, columns.volume, revisions, strict=True))


def encoded(rows: Mapping[str, Row | None]) -> dict[str, bytes | None]:
    """Rows as the bytes that a table would hold: equal when the rows are, not-a-numbers included."""
    return {key: None if row is None else CODEC.row_to(row) for key, row in rows.items()}


class Desk:
    """A session, its topics, its tables and its journal. `now_us` stands until a call moves it.

    Args:
        values: the config, as JSON has it.
        now_us: when the session begins.
        restores: go on from the tables after every transaction, through the wire's own form of the rows.
        epoch: how often the session was begun anew, counted from one.
        calendar: the trading days that it goes by, as text; empty: those of the library.
    """

    def __init__(self, values: dict[str, Any], now_us: int, *, restores: bool = False, epoch: int = 1, calendar: str = "") -> None:
        self.config = SessionConfig.from_dict(values)
        self.now_us = now_us
        self.restores = restores
        self.topics: dict[str, list[Record]] = {}
        self.table: dict[str, Row] = {}
        self.journal: list[JournalRecord] = []
        self.results: list[TransactionResult] = []
        self.outcomes: list[Outcome] = []
        self.commands = 0
        self._active = False
        self._tells_all = self.config.session_data_config.bars_topic
        self._sequence = 0
        self.held: Counter[tuple[str, int, str]] = Counter()
        self.shown: Counter[tuple[str, int, str]] = Counter()
        self.told_held: Counter[tuple[str, int, str]] = Counter()
        self.forgotten: Counter[tuple[str, int, str]] = Counter()
        self.loaded: Counter[tuple[str, int, str]] = Counter()
        """Bar versions of past days, which were loaded and not accepted."""
        self.session, transaction = Transaction.of_new_session(
            self.config, epoch=epoch, control_topic_id=f"control-{epoch}", control_offset=0, owner=OWNER, now_us=now_us, calendar=calendar
        )
        self._take(transaction.finish())

    # Inputs

    def begin(self, now_us: int | None = None) -> Transaction:
        """A transaction that the test fills by hand; `end` takes what comes of it."""
        if now_us is not None:
            self.now_us = now_us
        return Transaction(self.session, owner=OWNER, now_us=self.now_us)

    def end(self, transaction: Transaction) -> list[Outcome]:
        """Finish a transaction that `begin` gave."""
        return self._take(transaction.finish())

    def apply(self, *given: JournalInput, now_us: int | None = None) -> list[Outcome]:
        """One transaction of these inputs."""
        transaction = self.begin(now_us)
        for one in given:
            transaction.apply(one)
        return self.end(transaction)

    def advance(self, now_us: int) -> list[Outcome]:
        """A transaction that only lets time pass."""
        return self.apply(now_us=now_us)

    def about(self, kind: InputKind, symbol: str, **fields: Any) -> JournalInput:
        """An input about a symbol as it is now."""
        return JournalInput(kind, symbol=symbol, incarnation=self.data(symbol).incarnation, **fields)

    def load(self, *symbols: str, backlog: int = 0, offset: int = 0, now_us: int | None = None, note: str | None = None) -> list[Outcome]:
        """Fix the start positions of pending symbols, `backlog` records before the captured end; quotes and ticks begin with the first."""
        located = [
            self.about(InputKind.STREAM_LOCATED, symbol, stream=stream, topic_id=f"{symbol}-{stream}-1", first_offset=0)
            for symbol in symbols
            for stream in self.data(symbol).extras
        ]
        loaded = [
            self.about(
                InputKind.LOADED, symbol, topic_id=f"{symbol}-1", first_offset=offset, end_offset=offset + backlog, reason=note
            )
            for symbol in symbols
        ]  # fmt: skip
        return self.apply(*located, *loaded, now_us=now_us)

    def history(self, symbol: str, *bars: Bar, interval: str = "1m", begins: bool = True) -> list[Outcome]:
        """One transaction that gives a pending symbol past bars of an interval, as a shell does with what a source answers."""
        return self.apply(*self.history_inputs(symbol, *bars, interval=interval, begins=begins))

    def history_inputs(self, symbol: str, *bars: Bar, interval: str = "1m", begins: bool = True) -> list[JournalInput]:
        """What a shell makes of a source's answer."""
        state = self.session.state
        plan = wanted(state, self.data(symbol))
        inputs = [begin_input(plan)] if begins else []
        for asked in stretches(plan, interval, state.calendar):
            answer = [one for one in bars if asked.start_us <= one.start_us < asked.end_us]
            found = judged(plan, asked, answer, state.calendar, self.now_us)
            inputs += found.inputs
            reason = in_words(plan, interval, found.empty, found.faulty)
            if reason:
                inputs.append(missing_input(plan, interval, len(found.empty) + len(found.faulty), reason))
        return inputs

    def caught_up(self, *symbols: str, now_us: int | None = None) -> list[Outcome]:
        """Say that the symbols' captured ends are reached."""
        return self.apply(*[self.about(InputKind.CAUGHT_UP, symbol) for symbol in symbols], now_us=now_us)

    def command(
        self, kind: str, symbol: str, *, plan: tuple[int, int] | None = None, now_us: int | None = None, **fields: Any
    ) -> list[Outcome]:
        """One command as a transaction; `plan` is the captured end and the deadline of a graceful removal."""
        return self.apply(self.command_input(kind, symbol, plan=plan, now_us=now_us, **fields), now_us=now_us)

    def command_input(
        self, kind: str, symbol: str, *, plan: tuple[int, int] | None = None, now_us: int | None = None, **fields: Any
    ) -> JournalInput:
        """A command as an input."""
        self.commands += 1
        fields.setdefault("id", f"command-{self.commands}")
        command = ControlCommand(kind=kind, symbol=symbol, sent_us=self.now_us if now_us is None else now_us, **fields)
        end_offset, deadline_us = plan if plan is not None else (None, None)
        return JournalInput(
            InputKind.COMMAND, text=command_text(command), first_offset=self.commands - 1, next_offset=self.commands,
            end_offset=end_offset, deadline_us=deadline_us,
        )  # fmt: skip

    def add(self, symbol: str, *, backlog: int = 0, now_us: int | None = None, **fields: Any) -> list[Outcome]:
        """Add a symbol and load it in the transaction after."""
        return self.command("add_symbol", symbol, now_us=now_us, **fields) + self.load(symbol, backlog=backlog)

    def produce(self, *records: Record, topic: str | None = None) -> None:
        """Append records to topics; that of a symbol's quotes is named `quotes|SPY` here."""
        for record in records:
            name = topic
            match record:
                case Bar() if name is None:
                    name = record.symbol
                case Quote() if name is None:
                    name = stream_key(QUOTES, record.symbol)
                case Tick() if name is None:
                    name = stream_key(TICKS, record.symbol)
            assert name is not None, "a record that is no bar needs its topic named"
            self.topics.setdefault(name, []).append(record)

    def range_of(self, symbol: str, count: int | None = None, stream: str | None = None) -> RangeRead | None:
        """The next `count` unread records of a symbol (all), or None without any; bars, or of a stream besides."""
        data = self.data(symbol)
        topic = self.topics.get(symbol if stream is None else stream_key(stream, symbol), [])
        first = data.offset if stream is None else data.extras[stream].offset
        end = len(topic) if count is None else min(len(topic), first + count)
        if end <= first:
            return None
        return RangeRead(symbol, data.incarnation, first, end, list(range(first, end)), topic[first:end], stream)

    def read(self, *symbols: str, count: int | None = None, now_us: int | None = None) -> list[Outcome]:
        """One transaction that reads the next unread records of these symbols (all that are read), quotes and ticks included."""
        transaction = self.begin(now_us)
        chosen = symbols or [symbol for symbol, data in sorted(self.session.state.symbols.items()) if data.is_loaded]
        wanted = [(symbol, stream) for symbol in chosen for stream in (None, *self.data(symbol).extras)]
        transaction.read([read for symbol, stream in wanted if (read := self.range_of(symbol, count, stream)) is not None])
        return self.end(transaction)

    def feed(self, *bars: Record, now_us: int | None = None) -> list[Outcome]:
        """Produce records and read all that is unread, in one transaction."""
        self.produce(*bars)
        return self.read(now_us=now_us)

    def flow(self, *bars: Bar) -> list[Outcome]:
        """Produce and read bars one by one, each at its own end: as they come live."""
        return [outcome for one in bars for outcome in self.feed(one, now_us=one.end_us)]

    def restart(self, now_us: int | None = None, *, resumes: bool = True) -> list[Outcome]:
        """Go on from the tables, as the next worker does."""
        self.session = Session.restore({key: CODEC.row_from(CODEC.row_to(row)) for key, row in self.table.items()})
        return self.apply(JournalInput(InputKind.RESUMED, reason=OWNER), now_us=now_us) if resumes else []

    def configure(self, values: dict[str, Any], now_us: int | None = None) -> list[Outcome]:
        """Restart under another config."""
        self.restart(now_us)
        self.config = SessionConfig.from_dict(values)
        self._tells_all &= self.config.session_data_config.bars_topic
        return self.apply(JournalInput(InputKind.CONFIGURED, text=self.config.to_json()))

    # Looking

    def data(self, symbol: str) -> SymbolSessionData:
        """A symbol that must be there."""
        data = self.session.symbol(symbol)
        assert data is not None, f"{symbol} is not in the session"
        return data

    @property
    def active(self) -> bool:
        """The gate, as the markers on analysis tell it."""
        return self._active

    def bars(self, symbol: str, interval: str = "1m") -> list[SessionBar]:
        """The session's bars of a symbol."""
        series = self.data(symbol).series(interval)
        assert series is not None
        return list(series)

    def published(self, symbol: str | None = None, interval: str | None = None) -> list[PublishedBar]:
        """All bars on analysis so far."""
        return [
            one for one in self.outcomes
            if isinstance(one, PublishedBar) and symbol in (None, one.symbol) and interval in (None, one.interval)
        ]  # fmt: skip

    def markers(self, kind: AnalysisKind) -> list[Marker]:
        """All markers of a kind on analysis so far."""
        return markers(self.outcomes, kind)

    def versions(self, symbol: str) -> Counter[str]:
        """How many bar versions each interval's rows hold: a bar of revision n has been accepted n + 1 times."""
        found: Counter[str] = Counter()
        progress, identity = self.table[f"progress|{symbol}"], self.table[f"symbol|{symbol}"]
        assert isinstance(progress, ProgressRow)
        assert isinstance(identity, SymbolRow)
        own = (symbol, progress.incarnation)  # blocks of a former one may be left for later transactions to delete
        blocks = [row for row in self.table.values() if isinstance(row, BlockRow) and (row.symbol, row.incarnation) == own]
        columns = [(row.interval, row.bars) for row in blocks]
        for interval, one in [*columns, (identity.base_interval, progress.tail)]:
            found[interval] += len(one.slots) + sum(one.revisions)
        return found

    # Checking

    def _take(self, result: TransactionResult) -> list[Outcome]:
        self.results.append(result)
        self.journal.append(result.journal)
        self.outcomes += result.outcomes
        gone = [self.table.pop(key, None) for key, row in result.rows.items() if row is None]
        self.table |= {key: row for key, row in result.rows.items() if row is not None}
        for row in gone:
            self._forget(row)
        self._note_history(result)
        self._check_outcomes(result)
        self._check_tables()
        if self.restores:
            self.restart(resumes=False)
        return result.outcomes

    def _note_history(self, result: TransactionResult) -> None:
        loading = {one.symbol for one in result.journal.inputs if one.kind in (InputKind.HISTORY, InputKind.LOADED)}
        for symbol in loading & self.session.state.symbols.keys():
            assert symbol is not None
            for interval, versions in self.versions(symbol).items():
                key = (symbol, self.data(symbol).incarnation, interval)
                self.loaded[key] = versions + self.forgotten[key]

    def _forget(self, row: Row | None) -> None:
        if not isinstance(row, BlockRow):
            return
        progress = self.table.get(f"progress|{row.symbol}")
        of_day = (row.incarnation, row.trading_days)
        # A block of a day that goes on was united with others: its bars are there.
        if not isinstance(progress, ProgressRow) or (progress.incarnation, progress.trading_days) != of_day:
            self.forgotten[row.symbol, row.incarnation, row.interval] += len(row.bars.slots) + sum(row.bars.revisions)

    def _check_outcomes(self, result: TransactionResult) -> None:
        assert result.journal.before_sequence == self._sequence
        for outcome in result.outcomes:
            match outcome:
                case PublishedBar():
                    self._check_sequence(outcome.sequence)
                    self._check_fresh(outcome, result.now_us)
                    self.shown[outcome.symbol, outcome.incarnation, outcome.interval] += 1
                case HeldBackBar():
                    assert outcome.sequence == self._sequence, "the sequence given out last"
                    self.told_held[outcome.symbol, outcome.incarnation, outcome.interval] += 1
                case Marker():
                    self._check_sequence(outcome.sequence)
                    if outcome.kind is AnalysisKind.HELD_BACK:
                        assert outcome.symbol is not None
                        assert outcome.incarnation is not None
                        assert outcome.interval is not None
                        assert outcome.extent is not None
                        self.held[outcome.symbol, outcome.incarnation, outcome.interval] += outcome.extent.count
                    elif outcome.gate is not None:
                        assert outcome.gate.active != self._active, "a gate that stands as it stood has not changed"
                        self._active = outcome.gate.active
        assert result.journal.last_sequence == self._sequence

    def _check_sequence(self, sequence: int) -> None:
        self._sequence += 1
        assert sequence == self._sequence, "the sequence has a hole or a repetition"

    def _check_fresh(self, outcome: PublishedBar, now_us: int) -> None:
        assert self._active, f"{outcome} was published while the gate was shut"
        assert now_us <= outcome.valid_until_us, f"{outcome} was stale at {now_us}"
        by_open = self.config.session_data_config.streaming.reference == "open" and outcome.bar.provenance != "derived"
        reference_us = outcome.bar.start_us if by_open else outcome.bar.end_us
        assert outcome.valid_until_us == reference_us + self.config.threshold_us(outcome.symbol)

    def _check_tables(self) -> None:
        assert encoded(self.table) == encoded(self.session.rows)
        row = self.table["session"]
        assert isinstance(row, SessionRow)
        assert (row.sequence, row.active) == (self._sequence, self._active)
        trailing = self.config.session_data_config.historical.trailing_days
        for progress in [row for row in self.table.values() if isinstance(row, ProgressRow)]:
            runs = Counter({run.interval: run.count for run in progress.runs})
            rolled = any(isinstance(one, Event) and one.kind is EventKind.SYMBOL_ROLLED for one in self.outcomes)
            if rolled and not trailing:
                # The bars of a day that nobody keeps are gone before they are written.
                continue
            past_only = set(self.config.session_data_config.historical.intervals)
            past_only -= {self.data(progress.symbol).base_interval, *self.data(progress.symbol).derived_intervals}
            if self._tells_all:
                told_held = {key[2]: count for key, count in self.told_held.items() if key[:2] == (progress.symbol, progress.incarnation)}
                for interval in told_held.keys() | runs:
                    held = self.held[progress.symbol, progress.incarnation, interval] + runs[interval]
                    assert told_held.get(interval) == held, f"{progress.symbol} {interval}: a bar that is held back is told of once"
            for interval, versions in self.versions(progress.symbol).items():
                if interval in past_only:
                    continue
                key = (progress.symbol, progress.incarnation, interval)
                told = self.shown[key] + self.held[key] + runs[interval]
                accepted = versions + self.forgotten[key] - self.loaded[key]
                assert told == accepted, f"{key}: {accepted} bars were accepted and {told} are accounted for"
            total = sum(count for key, count in (self.shown + self.held).items() if key[:2] == (progress.symbol, progress.incarnation))
            assert progress.accepted == total + sum(runs.values())

    def redriven(self) -> list[TransactionResult]:
        """What a fresh engine makes of the journal and the topics."""
        session: Session | None = None
        results = []
        for record in self.journal:
            session, result = redrive(session, CODEC.journal_from(CODEC.journal_to(record)), self._read_again)
            results.append(result)
        return results

    def _read_again(self, given: JournalInput) -> RangeRead:
        assert given.symbol is not None
        assert given.incarnation is not None
        assert given.first_offset is not None
        assert given.next_offset is not None
        first, end = given.first_offset, given.next_offset
        topic = self.topics[given.symbol if given.stream is None else stream_key(given.stream, given.symbol)]
        return RangeRead(given.symbol, given.incarnation, first, end, list(range(first, end)), topic[first:end], given.stream)

    def check_redriven(self) -> None:
        """Assert that a re-drive gives every output and every row again."""
        for lived, again in zip(self.results, self.redriven(), strict=True):
            assert again.outcomes == lived.outcomes
            assert again.dead_letters == lived.dead_letters
            assert CODEC.journal_to(again.journal) == CODEC.journal_to(lived.journal)
            assert encoded(again.rows) == encoded(lived.rows)


def markers(outcomes: Iterable[Outcome], *kinds: AnalysisKind) -> list[Marker]:
    """The markers of these kinds (of all)."""
    return [one for one in outcomes if isinstance(one, Marker) and (not kinds or one.kind in kinds)]


def events(outcomes: Iterable[Outcome], *kinds: EventKind) -> list[Event]:
    """The events of these kinds (of all)."""
    return [one for one in outcomes if isinstance(one, Event) and (not kinds or one.kind in kinds)]


def replies(outcomes: Iterable[Outcome]) -> list[Reply]:
    """The replies."""
    return [one for one in outcomes if isinstance(one, Reply)]


def rejections(outcomes: Iterable[Outcome]) -> list[Rejected]:
    """The dead letters."""
    return [one for one in outcomes if isinstance(one, Rejected)]


def shown(outcomes: Iterable[Outcome]) -> list[str]:
    """What came on analysis, in short words: `bar SPY 1m 09:30`, `held_back SPY 1m 3`, `activated fresh`."""
    words = []
    for one in outcomes:
        match one:
            case PublishedBar():
                words.append(
                    f"bar {one.symbol} {one.interval} {clock(one.bar.start_us)}" + (f" r{one.bar.revision}" if one.bar.revision else "")
                )
            case Marker():
                parts = [str(one.kind), one.symbol, one.interval, one.gate and one.gate.reason, one.extent and str(one.extent.count)]
                words.append(" ".join(part for part in parts if part))
    return words


def clock(instant_us: int) -> str:
    """`09:30`, or with seconds where there are any: the time in New York."""
    local = datetime.fromtimestamp(instant_us / 1_000_000, NEW_YORK)
    return local.strftime("%H:%M:%S" if local.second else "%H:%M")
