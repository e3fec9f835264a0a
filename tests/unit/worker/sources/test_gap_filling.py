"""The gap filler between engine and source: what is asked and when, and that a source which misbehaves costs no more than threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from loguru import logger
from msgspec.structs import replace

from streams.engine.state.completeness import gaps_of, quality_of
from streams.errors import BrokerRefusedError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar
from streams.times import MINUTE_US, ManualClock, to_us
from streams.worker.feed.batches import GapAnswers
from streams.worker.sources.gap_filling import FillerCounts, FillerLimits, GapFiller
from tests.support.engine import Desk, at, bar, config, minutes

FILLER: dict[str, Any] = {"gap_filler": {"enabled": True, "max_retries": 3, "retry_interval_seconds": 60}, "grace_seconds": 5}


class Source:
    """Has the bars it is told to have; `says` may do anything else instead."""

    def __init__(self, *bars: Bar) -> None:
        self.bars = list(bars)
        self.asked: list[tuple[str, str, int, int]] = []
        self.says: Callable[[], Any] | None = None

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        start_us, end_us = to_us(start), to_us(end)
        self.asked.append((symbol, interval, start_us, end_us))
        if self.says is not None:
            return self.says()
        return [one for one in self.bars if one.symbol == symbol and start_us <= one.start_us < end_us]


class WordlessError(Exception):
    """Can't say what is wrong."""

    def __str__(self) -> str:
        raise LookupError


def raise_(error: Exception) -> None:
    raise error


class Bench:
    """A filler whose threads run when the test says so, of a session whose topics are in memory."""

    def __init__(self, *symbols: str, limits: FillerLimits | None = None, clock: ManualClock | None = None, **parts: Any) -> None:
        self.desk = Desk(config(*symbols, derived_intervals=["5m"], **{**FILLER, **parts}), at("09:30"))
        self.desk.load(*symbols)
        self.source = Source()
        self.clock = clock or ManualClock()
        self.produced: list[Bar] = []
        self.fails: Exception | None = None
        self.threads: list[Callable[[], None]] = []
        self.sent: list[GapAnswers] = []
        self.filler = GapFiller(
            source=self.source, produce=self._produce, clock=self.clock, send=self.sent.append, call_soon=lambda call: call(),
            start=lambda run, name: self.threads.append(run), limits=limits,
        )  # fmt: skip

    def _produce(self, bars: Sequence[Bar]) -> None:
        if self.fails is not None:
            raise self.fails
        self.produced += bars
        self.desk.produce(*bars)

    def ask(self, now: str) -> int:
        """A tick; gives how many threads it has started."""
        before = len(self.threads)
        self.clock.set_us(at(now))
        self.desk.advance(at(now))
        self.filler.ask(self.desk.session, at(now))
        return len(self.threads) - before

    def run(self) -> None:
        """All threads that were started come to their end."""
        while self.threads:
            self.threads.pop(0)()

    def take(self) -> list[JournalInput]:
        """The runner's turn: what the filler holds becomes a transaction."""
        self.sent.clear()
        answers = self.filler.take_answers()
        self.desk.apply(*answers)
        return answers

    def round(self, now: str) -> list[JournalInput]:
        """Ask, answer, take, and read what was produced."""
        self.ask(now)
        self.run()
        answers = self.take()
        self.desk.read()
        return answers

    def gaps(self, symbol: str = "SPY") -> list[tuple[int, int, int]]:
        """Start, length and attempts of the symbol's gaps."""
        return [(gap.start_us, gap.bar_count, gap.retry_count) for gap in gaps_of(self.desk.data(symbol), "1m", self.desk.now_us)]


@pytest.fixture
def bench() -> Bench:
    """SPY with the minutes 09:30 to 09:34 and 09:40 to 09:44."""
    one = Bench("SPY")
    one.desk.flow(*minutes("SPY", at("09:30"), 5), *minutes("SPY", at("09:40"), 5))
    return one


@contextmanager
def warnings() -> Iterator[list[str]]:
    """What is logged from INFO up."""
    lines: list[str] = []
    number = logger.add(lambda message: lines.append(str(message)), level="INFO", format="{level} {message}")
    try:
        yield lines
    finally:
        logger.remove(number)


def test_what_a_source_has_fills_the_gap_by_way_of_the_topic(bench: Bench) -> None:
    bench.source.bars = minutes("SPY", at("09:30"), 15, price=50.0)
    assert bench.ask("09:45") == 1
    bench.run()
    assert bench.source.asked == [("SPY", "1m", at("09:35"), at("09:40"))]
    assert [(one.start_us, one.provenance) for one in bench.produced] == [(at("09:35") + n * MINUTE_US, "gap_fill") for n in range(5)]
    (given,) = bench.take()
    assert given == bench.desk.about(
        InputKind.GAP_ASKED, "SPY", interval="1m", start_us=at("09:35"), end_us=at("09:40"), count=5, reason=None
    )
    bench.desk.read()
    assert bench.gaps() == []
    assert quality_of(bench.desk.data("SPY"), "1m", bench.desk.now_us) == 100.0
    (derived,) = [one for one in bench.desk.bars("SPY", "5m") if one.start_us == at("09:35")]
    assert (derived.base_count, derived.complete) == (5, True)
    bench.desk.check_redriven()
    assert bench.filler.counts == FillerCounts(gaps_asked=1, gaps_filled=1, gap_bars=5)
    assert bench.ask("09:45:30") == 0


def test_an_empty_answer_is_the_last_that_is_heard_of_a_gap(bench: Bench) -> None:
    (given,) = bench.round("09:45")
    assert (given.count, given.reason) == (0, None)
    assert bench.gaps() == []
    assert bench.filler.counts == FillerCounts(gaps_asked=1, gaps_empty=1)
    bench.desk.flow(*minutes("SPY", at("09:45"), 10))
    assert bench.ask("09:55") == 0


def test_what_a_source_has_a_part_of_is_asked_for_again_without_that_part(bench: Bench) -> None:
    bench.source.bars = minutes("SPY", at("09:36"), 2)
    bench.round("09:45")
    assert bench.gaps() == [(at("09:35"), 1, 1), (at("09:38"), 2, 1)]
    bench.desk.flow(bar("SPY", at("09:45")))
    bench.source.bars = minutes("SPY", at("09:35"), 1)
    bench.round("09:46")
    bench.round("09:46:01")
    assert bench.source.asked[1:] == [("SPY", "1m", at("09:35"), at("09:36")), ("SPY", "1m", at("09:38"), at("09:40"))]
    assert bench.gaps() == []


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: None, "it gave a NoneType instead of bars"),
        (lambda: [bar("QQQ", at("09:35"))], "it gave a 1m bar of QQQ"),
        (lambda: [bar("SPY", at("10:35"))], "it gave a bar that starts at 2013-10-07T14:35:00Z, outside the stretch that was asked for"),
        (lambda: [replace(bar("SPY", at("09:35")), close=float("nan"))], "it gave a bar that can't be one: close must be a number"),
        (lambda: exit(3), "SystemExit: 3"),
        (lambda: raise_(OSError("no file a\udcff")), "OSError: no file a?"),
        (lambda: raise_(WordlessError()), "WordlessError: its text can't be had, LookupError was raised"),
        (lambda: [bar("S\udcff", at("09:35"))], "it gave a 1m bar of S?"),
    ],
)
def test_a_source_that_fails_is_asked_again_a_limited_number_of_times(bench: Bench, says: Callable[[], Any], reason: str) -> None:
    bench.source.says = says
    for retry, now in enumerate(["09:45", "09:46", "09:47"], start=1):
        (given,) = bench.round(now)
        assert given.reason is not None
        assert given.reason.startswith(reason)
        assert bench.gaps()[0] == (at("09:35"), 5, retry)
        bench.desk.flow(bar("SPY", at(now)))
    bench.source.asked.clear()
    bench.round("10:30")
    assert at("09:35") not in [start_us for _, _, start_us, _ in bench.source.asked]
    assert bench.produced == []


def test_bars_that_can_not_be_produced_are_a_failure_with_its_reason(bench: Bench) -> None:
    bench.source.bars = minutes("SPY", at("09:35"), 5)
    bench.fails = BrokerRefusedError("producing to bars.SPY: the broker answered TOPIC_AUTHORIZATION_FAILED")
    (given,) = bench.round("09:45")
    assert (given.count, given.reason) == (
        0, "BrokerRefusedError: producing to bars.SPY: the broker answered TOPIC_AUTHORIZATION_FAILED",
    )  # fmt: skip
    assert bench.gaps() == [(at("09:35"), 5, 1)]
    bench.fails = None
    bench.desk.flow(bar("SPY", at("09:45")))
    bench.round("09:46")
    assert bench.gaps() == []


def test_a_filler_that_was_killed_between_the_bars_and_the_answer_loses_and_repeats_nothing(bench: Bench) -> None:
    bench.source.bars = minutes("SPY", at("09:35"), 5)
    bench.ask("09:45")
    bench.run()  # produced, and the answer never comes into a transaction
    bench.desk.restart(now_us=at("09:45:01"))
    bench.desk.caught_up("SPY")
    following = Bench("SPY")
    following.desk = bench.desk
    following.source.bars = bench.source.bars
    assert following.ask("09:45:05") == 1, "the engine knows nothing of the first time, and has not read the bars yet"
    following.run()
    following.take()
    following.desk.read()
    data = following.desk.data("SPY")
    assert (data.counts.late, data.counts.duplicates, following.gaps()) == (5, 5, [])
    assert [one.revision for one in following.desk.bars("SPY")] == [0] * 15
    following.desk.check_redriven()


def test_what_is_found_out_for_a_symbol_that_is_gone_or_was_added_again_is_dropped(bench: Bench) -> None:
    bench.ask("09:45")
    bench.desk.command("remove_symbol", "SPY")
    bench.run()
    bench.take()
    assert bench.desk.session.symbol("SPY") is None
    for now in ("09:45:10", "09:45:20"):
        bench.desk.add("SPY", backlog=10, now_us=at(now))
        bench.desk.read()
        bench.desk.caught_up("SPY")
        bench.ask(now)
        if now == "09:45:10":
            bench.desk.command("remove_symbol", "SPY")
    assert len(bench.threads) == 1, "one question at a time, whatever the incarnation"
    bench.run()
    (given,) = bench.take()
    assert given.incarnation == bench.desk.data("SPY").incarnation - 1
    assert bench.gaps() == [(at("09:35"), 5, 0)], "the answer of a former incarnation confirms nothing for this one"
    bench.round("09:45:30")
    assert bench.gaps() == []
    bench.desk.check_redriven()


# How much a source may cost


def test_one_question_at_a_time_for_each_symbol_until_its_answer_is_taken(bench: Bench) -> None:
    bench.source.says = lambda: 1 / 0
    assert bench.ask("09:45") == 1
    assert bench.ask("09:47") == 0
    bench.run()
    assert bench.sent == [GapAnswers()]
    assert bench.ask("09:48") == 0, "the engine does not know of the answer yet"
    bench.take()
    assert bench.ask("09:49") == 1


def test_questions_are_limited_and_symbols_have_their_turns() -> None:
    symbols = ["A", "B", "C", "D", "E"]
    bench = Bench(*symbols, limits=FillerLimits(at_once=2), gap_filler={**FILLER["gap_filler"], "retry_interval_seconds": 1})
    for symbol in symbols:
        bench.desk.feed(bar(symbol, at("09:35")), now_us=at("09:36"))
    bench.source.says = lambda: 1 / 0
    turns = []
    for second in range(10, 15):
        assert bench.ask(f"09:36:{second}") == 2
        bench.run()
        turns.append([asked[0] for asked in bench.source.asked[-2:]])
        bench.take()
    assert turns == [["A", "B"], ["C", "D"], ["E", "A"], ["B", "C"], ["D", "E"]]


class SlowClock(ManualClock):
    """A clock that a millisecond passes on whenever it is looked at."""

    def monotonic(self) -> float:
        self.advance_seconds(0.001)
        return super().monotonic()


def test_where_looking_at_all_symbols_takes_too_long_the_others_have_their_turn_the_next_time() -> None:
    symbols = [f"S{number}" for number in range(9)]
    bench = Bench(*symbols, clock=SlowClock(), limits=FillerLimits(look_seconds=0.01, at_once=99, most_threads=99))
    turns = []
    for second in range(10, 13):
        bench.ask(f"09:36:{second}")
        bench.run()
        turns.append([asked[0] for asked in bench.source.asked])
        bench.source.asked.clear()
    assert all(turns[:2]), "some each time"
    assert len(turns[0]) < 9
    assert [symbol for turn in turns for symbol in turn] == symbols, "each once, in order"


def test_a_question_without_an_answer_is_written_off_and_what_comes_of_it_later_is_not_produced(bench: Bench) -> None:
    bench.source.bars = minutes("SPY", at("09:35"), 5)
    bench.ask("09:45")
    (hanging,) = bench.threads
    bench.threads.clear()
    assert bench.ask("09:45:29") == 0
    assert bench.sent == []
    bench.ask("09:45:30")
    (given,) = bench.take()
    assert (given.count, given.reason) == (0, "it gave no answer within 30 s")
    assert bench.filler.counts == FillerCounts(gaps_asked=1, gaps_failed=1, gap_questions_hanging=1)
    hanging()
    assert bench.produced == []
    assert bench.sent == []
    assert bench.filler.counts.gap_questions_hanging == 0


def test_nothing_is_asked_while_too_many_questions_hang() -> None:
    bench = Bench("A", "B", "C", limits=FillerLimits(at_once=2, answer_seconds=5, most_threads=2))
    for symbol in ("A", "B", "C"):
        bench.desk.feed(bar(symbol, at("09:35")), now_us=at("09:36"))
    with warnings() as lines:
        assert bench.ask("09:36:10") == 2
        assert bench.ask("09:36:15") == 0
        assert bench.ask("09:36:16") == 0
        bench.take()
        assert bench.ask("09:40") == 0
        stuck = [line for line in lines if "hang" in line]
    assert stuck == ["WARNING 2 questions to the history source hang: nothing is asked until one comes back\n"]
    bench.threads.pop(0)()
    assert bench.ask("09:41") == 1, "one has come back"
    assert bench.source.asked[-1][0] == "A", "that was the one that hung"


def test_an_answer_that_is_being_produced_is_waited_for(bench: Bench) -> None:
    bench.source.bars = minutes("SPY", at("09:35"), 5)
    producing, go_on = threading.Event(), threading.Event()

    def produce(bars: Sequence[Bar]) -> None:
        producing.set()
        assert go_on.wait(20)
        bench.produced += bars

    calls: list[Callable[[], None]] = []
    filler = GapFiller(source=bench.source, produce=produce, clock=bench.clock, send=bench.sent.append, call_soon=calls.append)
    bench.clock.set_us(at("09:45"))
    filler.ask(bench.desk.session, at("09:45"))
    assert producing.wait(20)
    bench.clock.set_us(at("09:55"))
    filler.ask(bench.desk.session, at("09:55"))
    assert filler.counts.gap_questions_hanging == 0
    go_on.set()
    (thread,) = [one for one in threading.enumerate() if one.name == "gap of SPY"]
    assert thread.daemon, "a source that hangs must not keep the process from ending"
    thread.join(20)
    (ended,) = calls
    ended()
    (given,) = filler.take_answers()
    assert (given.count, len(bench.produced)) == (5, 5)


def test_where_no_thread_can_be_had_the_question_has_failed(bench: Bench) -> None:
    def no_thread(run: Callable[[], None], name: str) -> None:
        raise RuntimeError("can't start new thread")

    filler = GapFiller(
        source=bench.source, produce=bench.produced.extend, clock=bench.clock, send=bench.sent.append, call_soon=lambda call: call(),
        start=no_thread,
    )  # fmt: skip
    filler.ask(bench.desk.session, at("09:45"))
    (given,) = filler.take_answers()
    assert given.reason == "RuntimeError: can't start new thread"


def test_an_answer_whose_notice_was_lost_on_the_channel_is_sent_again_when_reading_begins_anew(bench: Bench) -> None:
    bench.ask("09:45")
    bench.run()
    bench.sent.clear()
    bench.filler.begin()
    assert bench.sent == [GapAnswers()]
    assert len(bench.take()) == 1
    bench.filler.begin()
    assert bench.sent == []


def test_trouble_with_the_source_is_logged_when_it_begins_and_when_it_ends(bench: Bench) -> None:
    with warnings() as lines:
        bench.source.says = lambda: 1 / 0
        for now in ("09:45", "09:46"):
            bench.round(now)
            bench.desk.flow(bar("SPY", at(now)))
        bench.source.says = None
        bench.round("09:47")
        bench.round("09:47:30")
    assert [line.split(":")[0] for line in lines] == ["WARNING gaps can't be filled", "INFO gaps are filled again"]
    assert "asked for 1m bars of SPY from 2013-10-07T13:35:00Z to 2013-10-07T13:40:00Z: ZeroDivisionError" in lines[0]


def test_nothing_is_asked_of_a_symbol_that_is_behind_or_where_a_missing_bar_is_no_gap() -> None:
    bench = Bench("SPY", sparse_intervals=["1m"])
    bench.desk.feed(bar("SPY", at("09:35")), now_us=at("09:36"))
    assert bench.ask("09:36:10") == 0
    behind = Bench("SPY")
    behind.desk.feed(bar("SPY", at("09:35")), now_us=at("09:45"))
    assert behind.ask("09:45:01") == 0
