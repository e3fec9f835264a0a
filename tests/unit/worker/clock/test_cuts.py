"""Bars from the future beside others: each is judged by itself, by the right time, and the worker's loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime

import pytest

from streams.model.inputs import InputKind, JournalRecord
from streams.model.records import Bar
from streams.times import MINUTE_US, SECOND_US, SteadyClock, to_us
from streams.wire.topics import TopicNames
from streams.worker.clock import watch
from streams.worker.clock.judge import BrokerTime, Standing
from streams.worker.clock.watch import ClockWatch
from streams.worker.feed.batches import Notice, Tick
from tests.support.engine import at, bar, minutes
from tests.unit.worker.clock.test_holds import NOW, ahead, batch_of, gate_reasons, letters
from tests.unit.worker.test_runner import CODEC, Bench, run

FAR = bar("SPY", to_us(datetime.fromisoformat("2200-01-02T15:00:00+00:00")))
TWO_HOURS = bar("SPY", NOW + 120 * MINUTE_US)


def journal(bench: Bench) -> list[JournalRecord]:
    return [CODEC.journal_from(one.value) for one in bench.ledger.written if one.topic == bench.names.journal and one.value is not None]


@pytest.mark.parametrize(("wrong", "why"), [(FAR, "a bar of the year 2200"), (TWO_HOURS, "one of two hours on")])
@pytest.mark.parametrize(
    ("off_seconds", "symbols"),
    [(-120.0, ()), (-120.0, ("IBM",)), (0.0, ("IBM",)), (None, ("IBM",))],
    ids=["behind", "behind, two symbols", "right", "unknown"],
)
def test_a_bar_that_no_clock_explains_takes_none_behind_it_along(
    wrong: Bar, why: str, off_seconds: float | None, symbols: tuple[str, ...]
) -> None:
    async def scenario() -> None:
        bench = Bench(5, *symbols, off_seconds=lambda: off_seconds)
        await bench.runner.activate()
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, wrong, ahead("SPY", 60), ahead("SPY", 120)))
        assert (bench.progress().offset, len(letters(bench))) == (6, 1), why
        assert bench.topic not in bench.feed.assigned, "the good bars wait in their topic"
        assert not bench.ends

    run(scenario())


def test_good_bars_on_both_sides_of_one_of_the_year_2200_are_all_taken_in_once_the_clock_is_right() -> None:
    off = [-120.0]

    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: off[0])
        await bench.runner.activate()
        bars = [minutes("SPY", NOW - MINUTE_US, 1)[0], ahead("SPY", 60), FAR, ahead("SPY", 120)]
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, *bars))
        assert (bench.progress().offset, letters(bench)) == (6, [])
        off[0] = 0.0
        bench.clock.set_us(NOW + 121 * SECOND_US)
        await bench.runner.watch.measured()
        await bench.runner.process(Tick(0))
        await bench.runner.process(batch_of(bench, 1, "SPY", 6, *bars[1:]))
        assert (bench.progress().offset, bench.progress().bar_count, len(letters(bench))) == (9, 8, 1)
        assert not bench.ends

    run(scenario())


def test_a_clock_that_is_set_right_while_a_batch_waits_is_known_to_the_session_before_time_goes_on() -> None:
    is_set = [False]

    async def scenario() -> None:
        def off_seconds() -> float:
            if is_set[0]:
                bench.clock.set_us(NOW + 600 * SECOND_US)
                return 0.0
            return -600.0

        bench = Bench(5, off_seconds=off_seconds)
        await bench.runner.activate()
        bench.clock.advance_seconds(2)
        is_set[0] = True
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, minutes("SPY", NOW - MINUTE_US, 1)[0], ahead("SPY", 60)))
        first = next(record for record in journal(bench) if record.now_us > NOW + 2 * SECOND_US)
        assert (first.inputs[0].kind, first.inputs[0].reason) == (InputKind.CLOCK, None)
        assert (bench.progress().backlog, bench.feed.assigned[bench.topic].offset) == (True, bench.progress().offset)
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, minutes("SPY", NOW - MINUTE_US, 1)[0], ahead("SPY", 60), ahead("SPY", 120)))
        assert (bench.progress().offset, bench.progress().bar_count, letters(bench)) == (8, 8, [])
        assert not bench.ends

    run(scenario())


class SlowBrokers:
    """A broker that answers when the test lets it, by whose clock the worker's is right."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.looks = 0

    def off_seconds(self) -> float:
        self.looks += 1
        assert self.answers.wait(30), "the test never let the broker answer"
        return 0.0


def test_the_worker_goes_on_while_no_broker_tells_its_clock_and_a_bar_from_the_future_waits_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", 0.01)

    async def scenario() -> None:
        brokers = SlowBrokers()
        bench = Bench(5, off_seconds=brokers.off_seconds)
        await bench.runner.activate()
        bench.clock.advance_seconds(3)
        brokers.answers.clear()
        before = brokers.looks
        now = minutes("SPY", NOW - MINUTE_US, 1)[0]
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, now, FAR))
        assert (bench.progress().offset, letters(bench)) == (6, []), "nothing goes to the dead letters by a clock that is not known"
        await bench.runner.process(Tick(0))
        assert bench.runner.watch.holds(bench.topic), "the broker has not answered yet"
        brokers.answers.set()
        while bench.runner.watch.holds(bench.topic):
            await asyncio.sleep(0.001)
            bench.runner.watch.release()
        await bench.runner.process(Tick(1))
        bench.clock.advance_seconds(5)  # however long the topic takes to be read again: the broker was asked after the bar had come
        await bench.runner.process(batch_of(bench, 2, "SPY", 6, FAR))
        assert (bench.progress().offset, len(letters(bench))) == (7, 1)
        assert brokers.looks - before == 1
        assert not bench.ends

    run(scenario())


def test_a_worker_becomes_active_by_a_measurement_of_a_moment_ago_without_asking_again() -> None:
    async def scenario() -> None:
        brokers = SlowBrokers()
        bench = Bench(5, off_seconds=brokers.off_seconds)
        await bench.runner.watch.measured()
        bench.clock.advance_seconds(14)
        await bench.runner.activate()
        assert brokers.looks == 1

    run(scenario())


@pytest.mark.parametrize(
    ("off_seconds", "letters_at_once", "why"),
    [
        (-4.5, 0, "by the broker's clock the bar has ended"),
        (0.0, 1, "the clock is right, and the bar early"),
        (-2.0, 1, "it is early by the broker's clock too"),
    ],
)
def test_a_tolerance_of_feeds_below_that_of_clocks_goes_by_the_brokers_clock(off_seconds: float, letters_at_once: int, why: str) -> None:
    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: off_seconds, future_tolerance_seconds=1)
        await bench.runner.activate()
        assert gate_reasons(bench)[1] is None
        bench.clock.set_us(NOW + 56 * SECOND_US)
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 60)))
        assert len(letters(bench)) == letters_at_once, why
        if letters_at_once:
            return
        bench.clock.advance_seconds(2)
        await bench.runner.process(Tick(0))
        assert bench.topic not in bench.feed.assigned
        bench.clock.advance_seconds(1)
        await bench.runner.process(Tick(1))
        assert bench.feed.assigned[bench.topic].offset == 5, "it is read again once it is within the tolerance, not after ten seconds"
        await bench.runner.process(batch_of(bench, 2, "SPY", 5, ahead("SPY", 60)))
        bench.clock.advance_seconds(1)
        await bench.runner.process(Tick(2))
        assert (bench.progress().bar_count, letters(bench)) == (6, [])

    run(scenario())


def test_a_wide_tolerance_of_feeds_makes_no_bar_from_the_future_a_witness_for_the_clock() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM", off_seconds=lambda: 0.0, future_tolerance_seconds=600)
        await bench.runner.activate()
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 60)))
        await bench.runner.process(batch_of(bench, 2, "IBM", 0, ahead("IBM", 60)))
        await bench.runner.process(Tick(0))
        assert gate_reasons(bench)[0] == "clock"
        assert letters(bench) == []

    run(scenario())


def test_a_bar_that_is_punctual_only_by_the_session_s_time_says_nothing_good_of_a_clock_that_is_behind_it() -> None:
    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: None)
        bench.clock.set_us(at("10:38"))  # the session's time is 10:40, by the worker before
        await bench.runner.activate()
        assert gate_reasons(bench)[1] is None
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 0)))
        assert (bench.progress().offset, letters(bench)) == (6, [])
        await bench.runner.process(Tick(0))
        assert gate_reasons(bench) == (
            "clock",
            "this worker's clock is 120.0 s or more behind all bars that come, and no broker's clock is known",
        )

    run(scenario())


def test_what_was_held_back_of_a_topic_says_nothing_of_the_one_that_is_made_in_its_place() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM", off_seconds=lambda: 0.0)
        await bench.runner.activate()
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 60)))
        assert bench.runner.watch.holds(bench.topic)
        await bench.runner.process(Notice(bench.feed.generation, bench.lost()))
        await bench.runner.process(batch_of(bench, 2, "SPY", 0, ahead("SPY", 0)))
        await bench.runner.process(batch_of(bench, 3, "IBM", 0, ahead("IBM", 60)))
        assert len(letters(bench)) == 1, "a bar that comes on time, the first of the new topic, has vouched for the clock"
        assert not bench.ends

    run(scenario())


class VirtualMachine:
    """A machine with a broker, and a worker's watch on it. It can stand still, which no clock of its own counts."""

    def __init__(self) -> None:
        self.wall_us, self.elapsed, self.broker_us = NOW, 1000.0, NOW
        self.answers = True
        self.clock = SteadyClock(lambda: self.wall_us, lambda: self.elapsed)
        self.watch = ClockWatch(self.clock, tolerance_seconds=5, names=TopicNames("main"), make_clocks=lambda elapsed: self)  # type: ignore[arg-type, return-value]

    def prepare(self) -> None:
        """As `BrokerClocks`."""

    def read(self) -> list[BrokerTime]:
        offset_us = self.broker_us - round(self.elapsed * SECOND_US)
        return [BrokerTime(1, offset_us, offset_us)] if self.answers else []

    def passes(self, seconds: float) -> None:
        self.wall_us += round(seconds * SECOND_US)
        self.broker_us += round(seconds * SECOND_US)
        self.elapsed += seconds


@pytest.mark.parametrize("answers", [False, True])
def test_a_machine_that_stood_still_and_is_set_right_is_not_ahead_whether_brokers_answer_or_not(answers: bool) -> None:
    machine = VirtualMachine()
    machine.watch.prepare()
    machine.answers = answers
    machine.broker_us += 120 * SECOND_US  # it stands still
    machine.wall_us += 120 * SECOND_US  # then its clock is set
    for _ in range(12):
        machine.passes(1)
        asyncio.run(_measured(machine))
    verdict = machine.watch.verdict()
    assert (verdict.standing, machine.clock.now_us()) == (Standing.RIGHT if answers else Standing.UNKNOWN, machine.broker_us)
    machine.watch.check_ahead(verdict)


async def _measured(machine: VirtualMachine) -> None:
    await machine.watch.measured()
