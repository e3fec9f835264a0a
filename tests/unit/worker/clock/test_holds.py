"""Bars from the future at a worker: the clock is asked about before they are dead letters, and while it is wrong none of them is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.errors import ClockError
from streams.model.records import Bar
from streams.times import MINUTE_US, SECOND_US
from streams.worker.feed.batches import Tick
from streams.worker.feed.feed import FeedBatch, TopicRead
from tests.support.engine import at, bar, minutes
from tests.unit.worker.test_runner import CODEC, Bench, Message, run

NOW = at("10:40")


def batch_of(bench: Bench, number: int, symbol: str, first: int, *bars: Bar) -> FeedBatch:
    topic = bench.names.bars(symbol)
    messages: list[Message] = [Message(topic, first + place, CODEC.bar_to_avro(one)) for place, one in enumerate(bars)]
    read = TopicRead(topic, bench.feed.assigned[topic], first + len(bars), messages, at_end=True)  # type: ignore[arg-type]
    return FeedBatch(bench.feed.generation, number, [read])


def letters(bench: Bench) -> list[bytes | None]:
    return [record.value for record in bench.ledger.written if record.topic == bench.names.dlq]


def ahead(symbol: str, seconds: int) -> Bar:
    """A bar that ends so many seconds after now, as whole minutes allow."""
    end_us = NOW + seconds * SECOND_US
    assert end_us % MINUTE_US == 0
    return bar(symbol, end_us - MINUTE_US)


def gate_reasons(bench: Bench) -> Sequence[str | None]:
    session = bench.runner.session
    assert session is not None
    return session.state.gate_reason, session.state.clock_reason


def test_a_bar_from_the_future_of_a_clock_that_is_behind_waits_in_its_topic_and_is_read_once_the_clock_is_right() -> None:
    off = [-120.0]

    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: off[0])
        await bench.runner.activate()
        assert gate_reasons(bench) == ("clock", "this worker's clock is 120.0 s behind the broker's clock")
        now = minutes("SPY", NOW - MINUTE_US, 1)[0]
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, now, ahead("SPY", 60), ahead("SPY", 120)))
        assert (bench.progress().offset, bench.progress().bar_count, letters(bench)) == (6, 6, []), "what is not ahead is taken in"
        assert bench.topic not in bench.feed.assigned
        bench.clock.advance_seconds(9)
        await bench.runner.process(Tick(0))
        assert bench.topic not in bench.feed.assigned
        bench.clock.advance_seconds(2)
        await bench.runner.process(Tick(1))
        assert bench.feed.assigned[bench.topic].offset == 6, "it is tried again after ten seconds"

        off[0] = 0.0
        bench.clock.set_us(NOW + 131 * SECOND_US)
        await bench.runner.watch.measured()
        await bench.runner.process(Tick(2))
        assert gate_reasons(bench) == ("recovering", None)
        assert (bench.feed.assigned[bench.topic].offset, bench.progress().backlog) == (6, True)
        await bench.runner.process(batch_of(bench, 1, "SPY", 6, ahead("SPY", 60), ahead("SPY", 120)))
        assert (bench.progress().offset, bench.progress().bar_count, letters(bench)) == (8, 8, [])
        assert gate_reasons(bench) == ("fresh", None)
        assert not bench.ends

    run(scenario())


def test_a_bar_that_is_from_the_future_by_the_right_time_too_is_a_dead_letter_at_once() -> None:
    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: -120.0)
        await bench.runner.activate()
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 3600)))
        assert (bench.progress().offset, len(letters(bench))) == (6, 1)
        assert not bench.ends

    run(scenario())


def test_a_clock_that_the_broker_agrees_with_sends_a_bar_from_the_future_to_the_dead_letters_after_a_fresh_look() -> None:
    looks = []

    def off_seconds() -> float:
        looks.append(1)
        return 0.0

    async def scenario() -> None:
        bench = Bench(5, off_seconds=off_seconds)
        await bench.runner.activate()
        bench.clock.advance_seconds(3)
        before = len(looks)
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 60)))
        assert (bench.progress().offset, len(letters(bench)), len(looks) - before) == (6, 1, 1)
        await bench.runner.process(batch_of(bench, 2, "SPY", 6, ahead("SPY", 120)))
        assert (len(letters(bench)), len(looks) - before) == (2, 1), "not one look for each bar"
        assert not bench.ends

    run(scenario())


def test_where_all_feeds_are_ahead_no_bar_is_a_dead_letter_though_the_broker_agrees_with_the_clock() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM", off_seconds=lambda: 0.0)
        await bench.runner.activate()
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 60)))
        assert (bench.progress().offset, letters(bench)) == (5, []), "IBM has not been heard yet"
        assert gate_reasons(bench)[1] is None
        await bench.runner.process(batch_of(bench, 2, "IBM", 0, ahead("IBM", 60)))
        await bench.runner.process(Tick(0))
        reason = "this worker's clock is 60.0 s or more behind all bars that come, or all feeds are stamped wrongly"
        assert (gate_reasons(bench), letters(bench)) == (("clock", reason), [])
        assert not bench.ends

    run(scenario())


def test_a_symbol_that_is_alone_ahead_loses_its_bar_after_ten_seconds_and_at_once_where_another_comes_on_time() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM", off_seconds=lambda: 0.0)
        await bench.runner.activate()
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 1200)))
        assert letters(bench) == []
        await bench.runner.process(batch_of(bench, 2, "IBM", 0, ahead("IBM", 0)))
        bench.clock.advance_seconds(10)
        await bench.runner.process(Tick(0))
        await bench.runner.process(batch_of(bench, 3, "SPY", 5, ahead("SPY", 1200)))
        assert (len(letters(bench)), gate_reasons(bench)[1]) == (1, None)
        await bench.runner.process(batch_of(bench, 4, "SPY", 6, ahead("SPY", 1260)))
        assert len(letters(bench)) == 2
        assert not bench.ends

    run(scenario())


def test_a_standby_whose_clock_is_ahead_does_not_become_active() -> None:
    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: 3000.0)
        with pytest.raises(ClockError, match=r"this worker's clock is 3,000\.0 s ahead of the broker's clock: nothing is written by it"):
            await bench.runner.activate()
        assert bench.ledger.written == []

    run(scenario())


def test_an_active_worker_whose_clock_has_gone_ahead_ends_before_it_writes_by_it() -> None:
    off = [0.0]

    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: off[0])
        await bench.runner.activate()
        off[0] = 5.5
        bench.clock.advance_seconds(2)
        await bench.runner.watch.measured()
        written = len(bench.ledger.written)
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, *minutes("SPY", NOW - MINUTE_US, 1)))
        assert [type(error) for error in bench.ends] == [ClockError]
        assert len(bench.ledger.written) == written

    run(scenario())


def test_where_no_broker_answers_a_clock_is_neither_right_nor_wrong_until_all_feeds_say_so() -> None:
    async def scenario() -> None:
        bench = Bench(5, off_seconds=lambda: None)
        await bench.runner.activate()
        assert gate_reasons(bench)[1] is None
        await bench.runner.process(batch_of(bench, 1, "SPY", 5, ahead("SPY", 60)))
        await bench.runner.process(Tick(0))
        reason = "this worker's clock is 60.0 s or more behind all bars that come, and no broker's clock is known"
        assert (gate_reasons(bench), letters(bench)) == (("clock", reason), [])

    run(scenario())
