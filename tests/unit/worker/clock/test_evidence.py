"""What bars from the future say of a worker's clock: only sound ones count, and only where none behind them contradicts them."""

from __future__ import annotations

import msgspec
import pytest

from streams.model.records import Bar
from streams.times import MINUTE_US
from streams.worker.clock.judge import BrokerTime, ClockJudge, Standing
from tests.support.engine import minutes
from tests.unit.worker.clock.test_holds import NOW, ahead, batch_of, gate_reasons, letters
from tests.unit.worker.test_runner import Bench, run

FRESH = NOW - MINUTE_US


def fresh(symbol: str) -> Bar:
    return minutes(symbol, FRESH, 1)[0]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda bar: msgspec.structs.replace(bar, start_us=bar.start_us - 7 * MINUTE_US), id="its end does not fit its start"),
        pytest.param(lambda bar: msgspec.structs.replace(bar, end_us=bar.end_us + 1, start_us=bar.start_us + 1), id="between minutes"),
        pytest.param(lambda bar: msgspec.structs.replace(bar, low=bar.high + 1), id="its prices can't be"),
    ],
)  # fmt: skip
def test_broken_bars_with_a_time_ahead_are_dead_letters_at_once_and_say_nothing_of_the_clock(damage: object) -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM", off_seconds=lambda: 0.0)
        await bench.runner.activate()
        for number, (symbol, first) in enumerate((("SPY", 5), ("IBM", 0)), start=1):
            await bench.runner.process(batch_of(bench, number, symbol, first, damage(ahead(symbol, 600))))  # type: ignore[operator]
        assert gate_reasons(bench)[1] is None
        assert len(letters(bench)) == 2
        assert set(bench.feed.assigned) >= {bench.names.bars("SPY"), bench.names.bars("IBM")}, "no topic is held back"
        assert not bench.ends

    run(scenario())


def test_a_bar_from_the_future_that_is_followed_by_one_of_now_is_a_dead_letter_at_once() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM", off_seconds=lambda: 0.0)
        await bench.runner.activate()
        for number, (symbol, first) in enumerate((("SPY", 5), ("IBM", 0)), start=1):
            await bench.runner.process(batch_of(bench, number, symbol, first, ahead(symbol, 600), fresh(symbol)))
        assert gate_reasons(bench)[1] is None
        assert len(letters(bench)) == 2
        assert bench.progress().offset == 7
        assert not bench.ends

    run(scenario())


def judge_whose_clock_is_right() -> ClockJudge:
    judge = ClockJudge(5_000_000)
    judge.measured([BrokerTime(1, -1_000, 1_000)], elapsed=0.0)
    return judge


def test_a_symbol_is_no_witness_any_more_once_a_record_that_is_not_ahead_comes_behind_the_one_that_was() -> None:
    judge = judge_whose_clock_is_right()
    judge.saw_ahead("SPY", 60_000_000, 1.0)
    assert judge.considers("SPY", 2.0, 2)
    judge.saw_past("SPY")
    assert not judge.considers("SPY", 2.0, 2)
    judge.saw_ahead("IBM", 60_000_000, 3.0)
    assert judge.verdict(0, 4.0).standing is Standing.RIGHT, "one symbol alone, where the broker agrees with the clock"


def test_quotes_of_now_say_nothing_against_bars_that_are_stamped_with_the_future() -> None:
    judge = judge_whose_clock_is_right()
    for symbol in ("SPY", "IBM"):
        judge.saw_ahead(symbol, 60_000_000, 1.0)
        judge.saw_past(symbol, "quotes")
    assert judge.verdict(0, 2.0).by_feeds
