"""The runner between feed and ledger: what was read of a topic before it was found lost must not stand for what is to be read anew."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest

from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.engine.session import Session
from streams.engine.state.symbol import SymbolSessionData
from streams.engine.transaction import command_text
from streams.errors import BrokerLostError, ControlLostError, DemotedError, ForbiddenError
from streams.history.sources.source import HistorySource
from streams.kafka.probing import AtUs
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar, ControlCommand, SourcePosition
from streams.model.rows import ProgressRow, QualityRow, StreamRow, SymbolRow
from streams.times import MINUTE_US, ManualClock, to_us
from streams.wire.codec import Codec
from streams.wire.outputs import Record
from streams.wire.topics import TopicNames
from streams.worker import runner
from streams.worker.clock.judge import BrokerTime
from streams.worker.clock.watch import ClockWatch
from streams.worker.feed.batches import Alarm, GapAnswers, Notice, Tick
from streams.worker.feed.feed import Assignment, Feed, FeedBatch, TopicRead, Trouble
from streams.worker.runner import SessionRunner
from streams.worker.sources.history import HistoryLoader
from streams.worker.sources.topics import SourceRefusedError, TopicLook
from streams.worker.sources.unchecked import Unchecked
from tests.support.engine import Desk, at, config, minutes

CODEC = Codec()
TEN = at("10:00")


class Message:
    """A fetched record, as far as the worker looks at one."""

    def __init__(self, topic: str, offset: int, value: bytes) -> None:
        self._topic, self._offset, self._value = topic, offset, value

    def topic(self) -> str:
        return self._topic

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, TEN // 1000

    def key(self) -> None:
        return None

    def headers(self) -> None:
        return None


class Table(dict[bytes, bytes]):
    """The state's rows, without a changelog."""

    changelog_topic_name = "changelog"
    on_change: Callable[[bytes, bytes | None], None] | None = None
    committed_digest: bytes | None = None

    def hold_up_to(self, offset: int | None) -> None:
        """A table in memory holds everything."""


class Ledger:
    """Commits at once, to nowhere."""

    changelog_offset = None
    analysis_offset = None

    def __init__(self) -> None:
        self.written: list[Record] = []

    def wrote(self) -> None:
        """Called for each transaction."""

    def write(self, records: Sequence[Record]) -> asyncio.Future[None]:
        self.written += records
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        self.wrote()
        return future


class Sources:
    """Topics that are as the test says; without a word all are as the state knows them. `silent` says that no broker answers."""

    silent: BrokerLostError | None = None
    unanswered: Unchecked | None = None

    def __init__(self, ids: dict[str, str | None]) -> None:
        self.ids = ids
        self.first = 0
        self.refused: dict[str, str] = {}
        self.configs: dict[str, dict[str, str | None]] = {}

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str | None]:
        return {topic: self.ids[topic] for topic in topics}

    async def beginnings(self, topics: Iterable[str]) -> dict[str, int]:
        asked = list(topics)
        assert None not in [self.ids[topic] for topic in asked], "Kafka refuses to answer about a topic that is gone"
        return dict.fromkeys(asked, 0)

    async def look(self, topics: Iterable[str]) -> dict[str, TopicLook]:
        if self.silent is not None:
            raise self.silent
        return {
            topic: TopicLook(refused=self.refused[topic]) if topic in self.refused else TopicLook(self.ids[topic], 1, self.first, 1000)
            for topic in topics
        }

    async def ends(self, topics: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(topics, 1000)

    async def settings(self, topics: Iterable[str]) -> dict[str, dict[str, str | None]]:
        return {topic: dict(self.configs.get(topic, {})) for topic in topics}

    async def locate(self, topic: str, *, stream: str | None, from_us: int, at_us: AtUs, create: bool) -> SourcePosition:
        if self.silent is not None:
            raise self.silent
        topic_id = self.ids[topic]
        assert topic_id is not None
        return SourcePosition(topic_id, 7, 9, None)


class Brokers:
    """One broker, by whose clock the worker's is ahead by what the test says; None: it does not answer."""

    def __init__(self, off_seconds: Callable[[], float | None]) -> None:
        self._off_seconds = off_seconds

    def read(self) -> list[BrokerTime]:
        off_seconds = self._off_seconds()
        off_us = 0 if off_seconds is None else round(off_seconds * 1_000_000)
        return [] if off_seconds is None else [BrokerTime(1, -off_us, -off_us)]


class Bench:
    """A runner of a session with SPY, loaded, of which `read` records were read before."""

    def __init__(
        self,
        read: int,
        *others: str,
        clock: ManualClock | None = None,
        extra: Sequence[str] = (),
        source: HistorySource | None = None,
        calendar: str = "",
        off_seconds: Callable[[], float | None] | None = None,
        **config_parts: Any,
    ) -> None:
        desk = Desk(config("SPY", *others, streams=["1m", *extra], **config_parts), TEN, calendar=calendar)
        desk.load("SPY", *others)
        desk.produce(*minutes("SPY", TEN, read))
        desk.read(now_us=at("10:40"))
        self.names = TopicNames(desk.config.session_name)
        self.topic = self.names.bars("SPY")
        self.table = Table({key.encode(): CODEC.row_to(row) for key, row in desk.table.items()})
        self.sources = Sources({self.names.control: "control-1", **{self.names.bars(one): f"{one}-1" for one in ("SPY", *others)}})
        self.sources.ids |= {self.names.of(one, stream): f"{one}-{stream}-1" for one in ("SPY", *others) for stream in ("quotes", "ticks")}
        self.ledger = Ledger()
        self.sent: list[Any] = []
        self.clock = clock or ManualClock()
        self.clock.set_us(at("10:40"))
        settings = Settings.load()
        self.feed = Feed(settings, deliver=lambda item: None, die=self._die)
        history = HistoryLoader(source, self.clock)
        parts: dict[str, Any] = {"history": history, "table": self.table, "ledger": self.ledger, "sources": self.sources, "feed": self.feed}
        watch = None
        if off_seconds is not None:
            brokers: Any = Brokers(off_seconds)
            watch = ClockWatch(self.clock, tolerance_seconds=5, names=self.names, make_clocks=lambda elapsed: brokers)
        self.runner = SessionRunner(
            config=desk.config, settings=settings, clock=self.clock, codec=CODEC, names=self.names,
            send=self.sent.append, owner="tester", owner_url="http://tester:1", adopt_config=False, die=self._die, watch=watch, **parts,
        )  # fmt: skip
        self.ends: list[BaseException] = []

    def _die(self, error: BaseException) -> None:
        self.ends.append(error)

    def batch(self, number: int, bars: Sequence[Bar], first: int) -> FeedBatch:
        """What the feed would hand over if it fetched these bars now."""
        messages: list[Any] = [Message(self.topic, first + place, CODEC.bar_to_avro(bar)) for place, bar in enumerate(bars)]
        read = TopicRead(self.topic, self.feed.assigned[self.topic], first + len(bars), messages, at_end=True)
        return FeedBatch(self.feed.generation, number, [read])

    def lost(self) -> JournalInput:
        """What is found out when the topic was created again."""
        return JournalInput(InputKind.SOURCE_LOST, "SPY", 1, topic_id="SPY-2", first_offset=0, reason="re-created")

    def progress(self) -> ProgressRow:
        row = CODEC.row_from(self.table[b"progress|SPY"])
        assert isinstance(row, ProgressRow)
        return row

    def identity(self) -> SymbolRow:
        row = CODEC.row_from(self.table[b"symbol|SPY"])
        assert isinstance(row, SymbolRow)
        return row


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())


def test_what_was_fetched_before_a_topic_was_found_re_created_does_not_skip_what_is_to_be_read_anew() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        anew = minutes("SPY", at("10:05"), 10)
        overtaken = bench.batch(1, anew[5:], first=5)  # read on where the old topic stood
        await bench.runner.process(Notice(bench.feed.generation, bench.lost()))
        await bench.runner.process(overtaken)
        assert (bench.progress().offset, bench.progress().backlog) == (0, True)
        await bench.runner.process(bench.batch(2, anew, first=0))
        assert (bench.progress().offset, bench.progress().bar_count) == (10, 15)
        assert not bench.ends

    run(scenario())


def test_a_loss_that_is_found_twice_sends_reading_back_once() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        first, second = (Notice(bench.feed.generation, bench.lost(), bench.feed.assigned[bench.topic]) for _ in range(2))
        await bench.runner.process(first)
        assert bench.identity().topic_id == "SPY-2"
        await bench.runner.process(bench.batch(1, minutes("SPY", at("10:05"), 3), first=0))
        await bench.runner.process(second)
        assert bench.progress().offset == 3
        assert not bench.ends

    run(scenario())


def test_what_was_fetched_before_a_topic_was_truncated_is_not_read_again() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        fetched = bench.batch(1, minutes("SPY", at("10:05"), 5), first=5)
        bench.sources.first = 7
        bench.clock.advance_seconds(60)
        await bench.runner.process(Tick(0))
        await answered(bench)
        (notice,) = bench.sent
        await bench.runner.process(fetched)
        await bench.runner.process(notice)
        assert bench.progress().offset == 10
        await bench.runner.process(bench.batch(2, minutes("SPY", at("10:10"), 1), first=10))
        assert (bench.progress().offset, bench.progress().duplicates) == (11, 0)
        assert not bench.ends

    run(scenario())


def test_a_removal_may_drain_for_its_time_also_where_the_clock_is_behind_the_session() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        bench.clock.set_us(at("09:40"))  # the session went on until 10:40 under a worker whose clock was an hour ahead
        await bench.runner.activate()
        control = bench.names.control
        value = b'{"command": "remove_symbol", "symbol": "SPY"}'
        messages: list[Any] = [Message(control, 0, value)]
        read = TopicRead(control, bench.feed.assigned[control], 1, messages, at_end=True)
        await bench.runner.process(FeedBatch(bench.feed.generation, 1, [read]))
        assert bench.identity().status == "removing"
        assert (bench.identity().removal_deadline_us or 0) > at("10:40")

    run(scenario())


def test_symbols_that_are_removed_at_once_are_looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        others = [f"S{number}" for number in range(20)]
        bench = Bench(5, *others)
        await bench.runner.activate()
        asked: list[list[str]] = []
        look = bench.sources.look

        async def counted(topics: Iterable[str]) -> dict[str, TopicLook]:
            asked.append(list(topics))
            return await look(asked[-1])

        monkeypatch.setattr(bench.sources, "look", counted)
        control = bench.names.control
        commands = [f'{{"command": "remove_symbol", "symbol": "{symbol}"}}'.encode() for symbol in (*others, others[0], "NOBODY")]
        messages: list[Any] = [Message(control, place, value) for place, value in enumerate(commands)]
        read = TopicRead(control, bench.feed.assigned[control], len(messages), messages, at_end=True)
        await bench.runner.process(FeedBatch(bench.feed.generation, 1, [read]))
        assert asked == [sorted(bench.names.bars(symbol) for symbol in others)], "bars of all symbols wait for each question"
        identity = CODEC.row_from(bench.table[b"symbol|S7"])
        assert isinstance(identity, SymbolRow)
        assert (identity.status, identity.removal_end_offset) == ("removing", 1000)
        assert not bench.ends

    run(scenario())


def test_symbols_that_load_at_once_share_transactions_and_each_is_read_from_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        commits: list[None] = []
        others = [f"S{number}" for number in range(20)]
        bench.sources.ids |= {bench.names.bars(symbol): f"{symbol}-1" for symbol in others}
        await bench.runner.activate()
        control = bench.names.control
        commands = [f'{{"command": "add_symbol", "symbol": "{symbol}"}}'.encode() for symbol in others]
        messages: list[Any] = [Message(control, place, value) for place, value in enumerate(commands)]
        read = TopicRead(control, bench.feed.assigned[control], len(messages), messages, at_end=True)
        await bench.runner.process(FeedBatch(bench.feed.generation, 1, [read]))
        monkeypatch.setattr(bench.ledger, "wrote", lambda: commits.append(None))
        while any(bench.names.bars(symbol) not in bench.feed.assigned for symbol in others):
            await asyncio.sleep(0)
            while bench.sent:
                await bench.runner.process(bench.sent.pop(0))
        assert len(commits) <= 2, "one transaction for each symbol would keep a large session shut for long"
        assert {bench.feed.assigned[bench.names.bars(symbol)].offset for symbol in others} == {7}
        assert not bench.ends

    run(scenario())


class DoubtedClock(ManualClock):
    """A clock that leapt: it is sure again after it has been asked three times."""

    asked = 0

    def is_certain(self) -> bool:
        self.asked += 1
        return self.asked > 3


def test_no_bar_is_judged_while_a_leap_of_the_clock_is_in_doubt_and_the_heartbeat_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "HEARTBEAT_SECONDS", 0.0)

    async def scenario() -> None:
        clock = DoubtedClock()
        bench = Bench(read=5, clock=clock)
        await bench.runner.activate()
        seen: list[tuple[int, int]] = []
        monkeypatch.setattr(bench.ledger, "wrote", lambda: seen.append((clock.asked, bench.progress().offset)))
        await bench.runner.process(bench.batch(1, minutes("SPY", at("10:05"), 3), first=5))
        assert seen == [(1, 5), (2, 5), (3, 5), (4, 8)], "three heartbeats, then the batch"
        assert not bench.ends

    run(scenario())


class Filler:
    """A gap filler that has been told what to answer."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: list[JournalInput] = []

    def ask(self, session: Session, now_us: int) -> None:
        self.calls.append(f"ask at {now_us}")

    def begin(self) -> None:
        self.calls.append("begin")

    def take_answers(self) -> list[JournalInput]:
        answers, self.answers = self.answers, []
        return answers


def test_gaps_are_asked_for_each_second_and_answers_are_inputs_of_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        bench, filler = Bench(read=5), Filler()
        monkeypatch.setattr(bench.runner, "filler", filler)
        await bench.runner.activate()
        await bench.runner.process(Tick(0))
        assert filler.calls == ["begin", f"ask at {at('10:40')}"]
        commits: list[None] = []
        monkeypatch.setattr(bench.ledger, "wrote", lambda: commits.append(None))
        stretch = {"symbol": "SPY", "interval": "1m", "start_us": at("10:05"), "end_us": at("10:06")}
        filler.answers = [
            JournalInput(InputKind.GAP_ASKED, incarnation=1, count=0, **stretch),
            JournalInput(InputKind.GAP_ASKED, incarnation=7, count=0, **stretch),
        ]
        await bench.runner.process(GapAnswers())
        row = CODEC.row_from(bench.table[b"quality|SPY"])
        assert isinstance(row, QualityRow)
        assert [(one.start_us, one.end_us) for one in row.empty] == [(at("10:05"), at("10:06"))]
        await bench.runner.process(GapAnswers())
        assert len(commits) == 1, "a second notice of the same finds nothing more"
        await bench.runner.process(Tick(9))
        assert filler.calls[2:] == ["begin"], "items were lost: everything is read anew, and nothing asked before that"
        assert not bench.ends

    run(scenario())


def test_a_transaction_that_is_cut_off_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(bench.ledger, "write", lambda records: never)
        bars = minutes("SPY", at("10:05"), 4)
        await bench.runner.process(bench.batch(1, bars[:2], first=5))
        second = asyncio.create_task(bench.runner.process(bench.batch(2, bars[2:], first=7)))
        await answered(bench)
        assert bench.progress().offset == 7, "the second batch waits for the first one's commit"
        second.cancel()
        await asyncio.wait([second])
        assert [type(one) for one in bench.ends] == [DemotedError]

    run(scenario())


def test_a_symbol_is_not_silent_while_a_bar_of_it_is_on_its_way() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        bars = minutes("SPY", at("10:40"), 2)
        await bench.runner.process(bench.batch(1, bars[:1], first=5))
        bench.clock.advance_seconds(600)
        bench.feed._at_end[bench.topic] = 7  # the second one was fetched, and is on the channel
        await bench.runner.process(Tick(1))
        assert not bench.progress().silent
        await bench.runner.process(bench.batch(2, bars[1:], first=6))
        bench.clock.advance_seconds(600)
        await bench.runner.process(Tick(3))
        assert bench.progress().silent
        assert not bench.ends

    run(scenario())


def test_a_control_topic_that_is_deleted_ends_the_worker_with_advice() -> None:
    async def scenario() -> None:
        bench = Bench(read=0)
        bench.sources.ids[bench.names.control] = None
        with pytest.raises(ControlLostError, match=r"was deleted.*commands may be lost"):
            await bench.runner.activate()

    run(scenario())


def test_a_removal_of_a_symbol_whose_topic_may_not_be_read_is_not_met_again_at_each_start_but_carried_out_at_once() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        bench.sources.refused[bench.topic] = "TOPIC_AUTHORIZATION_FAILED"
        control = bench.names.control
        messages: list[Any] = [Message(control, 0, b'{"command": "remove_symbol", "symbol": "SPY"}')]
        read = TopicRead(control, bench.feed.assigned[control], 1, messages, at_end=True)
        await bench.runner.process(FeedBatch(bench.feed.generation, 1, [read]))
        assert b"symbol|SPY" not in bench.table
        assert not bench.ends

    run(scenario())


def test_a_topic_that_may_not_be_read_when_a_worker_starts_fails_its_symbol_alone() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM", "AIG")
        bench.sources.refused[bench.topic] = "TOPIC_AUTHORIZATION_FAILED: denied"
        await bench.runner.activate()
        assert bench.identity().status == "failed"
        assert "may not be read (TOPIC_AUTHORIZATION_FAILED: denied): allow User:ANONYMOUS Read on it, then" in (
            bench.identity().reason or ""
        )
        assert sorted(bench.feed.assigned) == sorted([bench.names.control, bench.names.bars("AIG"), bench.names.bars("IBM")])

    run(scenario())


def test_a_worker_that_may_read_no_topic_ends_and_fails_no_symbol() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM")
        bench.sources.refused = {bench.names.bars(symbol): "TOPIC_AUTHORIZATION_FAILED" for symbol in ("SPY", "IBM")}
        with pytest.raises(ForbiddenError, match="none of the 2 bar topics may be read"):
            await bench.runner.activate()
        assert bench.identity().status == "loaded"

    run(scenario())


async def answered(bench: Bench) -> None:
    """Let the follower's tasks come to their end."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_topic_that_can_be_looked_at_and_not_fetched_from_fails_its_symbol_alone() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM")
        await bench.runner.activate()
        assignment = bench.feed.assigned[bench.topic]
        await bench.runner.process(Trouble(bench.feed.generation, bench.topic, assignment, "denied", refused=True))
        await answered(bench)
        (notice,) = bench.sent
        await bench.runner.process(notice)
        assert bench.identity().status == "failed"
        assert bench.topic not in bench.feed.assigned

    run(scenario())


@pytest.mark.parametrize("is_control", [False, True])
def test_a_topic_that_is_in_order_after_trouble_is_read_on_from_where_the_state_stands(is_control: bool) -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        topic = bench.names.control if is_control else bench.topic
        before = bench.feed.assigned[topic]
        await bench.runner.process(Trouble(bench.feed.generation, topic, before, "its id is another"))
        await answered(bench)
        after = bench.feed.assigned[topic]
        assert after is not before
        assert (after.offset, after.topic_id) == (0 if is_control else 5, before.topic_id)
        assert not bench.sent

    run(scenario())


def test_trouble_that_could_not_be_looked_into_is_looked_into_again_with_the_next_round() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        before = bench.feed.assigned[bench.topic]
        answers, bench.sources.look = bench.sources.look, refusing  # type: ignore[method-assign]
        await bench.runner.process(Trouble(bench.feed.generation, bench.topic, before, "its id is another"))
        await answered(bench)
        assert bench.feed.assigned[bench.topic] is before
        bench.sources.look = answers  # type: ignore[method-assign]
        bench.clock.advance_seconds(11)
        await bench.runner.process(Tick(sent=0))
        await answered(bench)
        assert bench.feed.assigned[bench.topic] is not before

    run(scenario())


async def refusing(topics: Iterable[str]) -> dict[str, TopicLook]:
    raise SourceRefusedError("not now")


def test_a_channel_that_lost_all_it_held_is_noticed_by_the_next_tick() -> None:
    async def scenario() -> None:
        bench = Bench(read=0)
        await bench.runner.activate()
        bars = minutes("SPY", TEN, 10)
        await bench.runner.process(Tick(sent=7))  # it counts from here
        await bench.runner.process(bench.batch(1, bars[:5], first=0))
        await bench.runner.process(Tick(sent=9))
        generation = bench.feed.generation
        bench.batch(2, bars[5:], first=5)  # with it the feed's last credit is gone: nothing comes any more that has a hole before it
        await bench.runner.process(Tick(sent=11))
        assert bench.feed.generation == generation + 1, "nothing is read again"
        assert bench.feed.assigned[bench.topic].offset == 5
        await bench.runner.process(bench.batch(1, bars[5:], first=5))
        await bench.runner.process(Tick(sent=13))
        assert bench.feed.generation == generation + 1, "one loss was noticed twice"
        assert (bench.progress().offset, bench.progress().bar_count) == (10, 10)
        assert not bench.ends

    run(scenario())


def test_a_hole_in_the_batches_sends_reading_back_once() -> None:
    async def scenario() -> None:
        bench = Bench(read=0)
        await bench.runner.activate()
        bars = minutes("SPY", TEN, 10)
        await bench.runner.process(Tick(sent=0))
        generation = bench.feed.generation
        await bench.runner.process(bench.batch(2, bars[5:], first=5))
        await bench.runner.process(Tick(sent=3))
        assert bench.feed.generation == generation + 1
        await bench.runner.process(bench.batch(1, bars, first=0))
        assert (bench.progress().offset, bench.progress().bar_count) == (10, 10)

    run(scenario())


def test_items_of_a_former_activity_that_were_cleared_are_no_loss() -> None:
    async def scenario() -> None:
        bench = Bench(read=0)
        await bench.runner.activate()
        await bench.runner.process(Tick(sent=3))
        await bench.runner.deactivate()
        await bench.runner.activate()
        generation = bench.feed.generation
        await bench.runner.process(Tick(sent=20))
        await bench.runner.process(Tick(sent=21))
        assert bench.feed.generation == generation
        assert not bench.ends

    run(scenario())


async def looked_around(bench: Bench) -> None:
    """Ten seconds later the topics are looked at, and what is found out is taken in."""
    bench.sent.clear()
    bench.clock.advance_seconds(11)
    await bench.runner.process(Tick(0))
    await answered(bench)
    for item in [one for one in bench.sent if not isinstance(one, Tick)]:
        await bench.runner.process(item)


def quotes_of(bench: Bench) -> StreamRow:
    row = CODEC.row_from(bench.table[b"quotes|SPY"])
    assert isinstance(row, StreamRow)
    return row


def test_a_quotes_topic_that_may_not_be_read_costs_the_quotes_until_it_may_and_goes_on_where_it_stood() -> None:
    async def scenario() -> None:
        bench = Bench(5, extra=["quotes"])
        quotes = bench.names.quotes("SPY")
        bench.sources.refused[quotes] = "TOPIC_AUTHORIZATION_FAILED: denied"
        await bench.runner.activate()
        assert bench.identity().status == "loaded"
        assert (
            quotes_of(bench).reason
            == f"topic {quotes} may not be read (TOPIC_AUTHORIZATION_FAILED: denied): allow User:ANONYMOUS Read on it"
        )
        assert sorted(bench.feed.assigned) == sorted([bench.names.control, bench.topic])
        before = len(bench.table)
        await looked_around(bench)
        assert quotes not in bench.feed.assigned
        bench.sources.refused.clear()
        await looked_around(bench)
        assert bench.feed.assigned[quotes] == Assignment(0, "SPY", 1, "SPY-quotes-1", "quotes")
        assert (quotes_of(bench).reason, len(bench.table)) == (None, before)

    run(scenario())


def test_a_stream_that_a_config_has_got_is_looked_for_and_read_from_the_place_that_is_found() -> None:
    async def scenario() -> None:
        bench = Bench(5)
        quotes = bench.names.quotes("SPY")
        bench.runner._config = SessionConfig.from_dict(config("SPY", streams=["1m", "quotes"]))
        await bench.runner.activate()
        assert quotes not in bench.feed.assigned, "where it begins is not known yet"
        await asyncio.sleep(0)
        await answered(bench)
        for item in list(bench.sent):
            await bench.runner.process(item)
        assert bench.feed.assigned[quotes] == Assignment(7, "SPY", 1, "SPY-quotes-1", "quotes")


class PastDays:
    """A source that has bars around the clock; questions wait for `may_answer`."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: list[str] = []

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> list[Bar]:
        self.asked.append(symbol)
        self.may_answer.wait(20)
        return minutes(symbol, to_us(start), (to_us(end) - to_us(start)) // MINUTE_US)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def deal(bench: Bench) -> None:
    """Deal with what was sent, as the merge agent does."""
    while bench.sent:
        await bench.runner.process(bench.sent.pop(0))


def test_a_symbol_that_is_added_has_its_past_days_before_it_is_loaded_whatever_becomes_of_the_reading_meanwhile() -> None:
    async def scenario() -> None:
        source = PastDays()
        bench = Bench(read=5, source=source, historical={"trailing_days": 30})
        bench.sources.ids[bench.names.bars("IBM")] = "IBM-1"
        await bench.runner.activate()
        add = ControlCommand("add-1", "add_symbol", "IBM", 0)
        bench.runner._write_inputs([JournalInput(InputKind.COMMAND, text=command_text(add), first_offset=0, next_offset=1)])
        await bench.runner.process(Tick(1))
        await until(lambda: source.asked)
        # Reading begins anew: what the first load finds out is of no use, and the symbol is loaded again from the beginning.
        await bench.runner.process(Tick(9))
        source.may_answer.set()
        await until(lambda: len(source.asked) == 2)
        session = bench.runner.session
        assert session is not None

        def ibm() -> SymbolSessionData:
            data = session.symbol("IBM")
            assert data is not None
            return data

        while not ibm().is_loaded:
            await until(lambda: bench.sent)
            await deal(bench)
        assert [len(kept["1m"]) for kept in ibm().historical.values()] == [390] * 30
        journals = [CODEC.journal_from(record.value) for record in bench.ledger.written if record.topic == bench.names.journal]
        portions = [[one for one in journal.inputs if one.kind is InputKind.HISTORY] for journal in journals]
        sizes = [sum(len(one.bars.slots) for one in portion if one.bars) for portion in portions if portion]
        assert sum(sizes) == 30 * 390
        assert max(sizes) <= 23 * 390, "no transaction is larger than the journal may be"
        assert bench.ends == []

    run(scenario())


def test_the_runner_is_woken_up_when_a_waiting_bar_ends_and_not_a_second_later() -> None:
    async def scenario() -> None:
        bench = Bench(read=40)
        await bench.runner.activate()
        await bench.runner.process(bench.batch(1, [], first=40))
        bench.clock.set_us(at("10:41") - 50_000)  # 50 ms before the bar's end
        await bench.runner.process(bench.batch(2, minutes("SPY", at("10:40"), 1), first=40))
        assert bench.progress().waiting != ()
        assert bench.sent == []
        async with asyncio.timeout(10):
            while not bench.sent:
                await asyncio.sleep(0.005)
        assert bench.sent == [Alarm()]
        await bench.runner.process(bench.sent.pop())
        assert bench.progress().waiting != (), "by the session's clock it has not ended yet"
        bench.clock.set_us(at("10:41"))
        await bench.runner.process(Alarm())
        assert (bench.progress().waiting, bench.progress().frontier_us) == ((), at("10:41"))
        await bench.runner.close()
        assert bench.ends == []

    run(scenario())


COMPACT = {"cleanup.policy": "compact"}


def test_a_topic_with_settings_that_lose_bars_is_warned_of_at_the_start_and_only_when_it_changes() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        bench.sources.configs[bench.topic] = dict(COMPACT)
        await bench.runner.activate()
        await answered(bench)
        (notice,) = bench.sent
        await bench.runner.process(notice)
        assert (bench.identity().reason or "").startswith(f"settings of topic {bench.topic}: cleanup.policy=compact keeps only the newest")
        bench.sent.clear()
        await bench.runner.deactivate()
        bench.table.committed_digest = None  # this table hands on no changes, which the digest is made of
        await bench.runner.activate()
        await answered(bench)
        assert not bench.sent, "it is known, and stands in the note"
        bench.sources.configs.clear()
        await bench.runner.deactivate()
        bench.table.committed_digest = None  # this table hands on no changes, which the digest is made of
        await bench.runner.activate()
        await answered(bench)
        (notice,) = bench.sent
        await bench.runner.process(notice)
        assert bench.identity().reason is None, "it was put right"
        assert not bench.ends

    run(scenario())


def test_an_added_symbol_says_in_its_note_which_settings_lose_bars() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        topic = bench.names.bars("IBM")
        bench.sources.ids[topic], bench.sources.configs[topic] = "IBM-1", dict(COMPACT)
        await bench.runner.activate()
        control = bench.names.control
        messages: list[Any] = [Message(control, 0, b'{"command": "add_symbol", "symbol": "IBM"}')]
        read = TopicRead(control, bench.feed.assigned[control], 1, messages, at_end=True)
        await bench.runner.process(FeedBatch(bench.feed.generation, 1, [read]))
        while topic not in bench.feed.assigned:
            await asyncio.sleep(0)
            while bench.sent:
                await bench.runner.process(bench.sent.pop(0))
        identity = CODEC.row_from(bench.table[b"symbol|IBM"])
        assert isinstance(identity, SymbolRow)
        assert (identity.reason or "").startswith(f"settings of topic {topic}: cleanup.policy=compact")
        replies = [CODEC.reply_from(record.value) for record in bench.ledger.written if record.topic == bench.names.replies]
        assert (replies[-1].reason or "") == identity.reason
        told = [CODEC.event_from(record.value) for record in bench.ledger.written if record.topic == bench.names.events]
        (warned,) = [event for event in told if event.kind == "source_warned"]
        assert (warned.symbol, warned.reason) == ("IBM", identity.reason)
        assert not bench.ends

    run(scenario())
