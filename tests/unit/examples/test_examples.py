"""The example programs, without a broker."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from streams.model.records import AnalysisKind
from streams.wire.messages import AnalysisBar, AnalysisEvent

EXAMPLES = Path(__file__).parents[3] / "examples"
OPEN_US = 1_381_152_600_000_000
SECOND_US = 1_000_000


def example(name: str) -> ModuleType:
    """An example program as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bar_event(number: int, close: float, *, symbol: str = "SPY") -> AnalysisEvent:
    """The one-second bar that starts `number` seconds after the open."""
    start_us = OPEN_US + number * SECOND_US
    bar = AnalysisBar(
        start_us, start_us + SECOND_US, close, close, close, close, 1.0, None, None, 1, 1, 0, True, "feed", start_us + 61 * SECOND_US
    )
    return AnalysisEvent(number + 1, 1, "main", start_us + SECOND_US, AnalysisKind.BAR, symbol, "1s", bar=bar)


def test_the_strategy_compares_a_price_with_the_mean_of_the_last_twenty(tmp_path: Path) -> None:
    strategy = example("strategy").Crossing(tmp_path / "kept.json", "1s")
    assert [strategy.learn(bar_event(number, 100.0)) for number in range(19)] == [None] * 19
    assert strategy.learn(bar_event(19, 100.2)) is True, "above 100.01, the mean of nineteen 100.0 and one 100.2"
    assert strategy.learn(bar_event(20, 100.005)) is False, "below 100.01025"
    assert strategy.learn(bar_event(5, 90.0)) is True, "a correction of an earlier bar takes part in the mean: it is 99.51"


def test_the_strategy_keeps_as_many_bars_as_it_needs_however_long_the_day_is(tmp_path: Path) -> None:
    """99,000 one-second bars are a day and more: what is kept is sorted with each bar, and written to a file."""
    strategy = example("strategy").Crossing(tmp_path / "kept.json", "1s")
    for number in range(99_000):
        strategy.learn(bar_event(number, float(number)))
    (closes,) = strategy.kept["closes"].values()
    assert sorted(closes.values()) == [float(number) for number in range(98_980, 99_000)]
    assert len(json.dumps(strategy.kept)) < 2_000


def test_a_file_of_a_former_run_that_kept_all_bars_is_cut_to_what_is_needed(tmp_path: Path) -> None:
    module = example("strategy")
    events = [bar_event(number, float(number)) for number in range(3_000)]
    path = tmp_path / "kept.json"
    closes = {event.bar.start.isoformat(): event.bar.close for event in events if event.bar is not None}
    path.write_text(json.dumps({"position": "1:3000:3000", "closes": {"SPY": closes}}))
    strategy = module.Crossing(path, "1s")
    assert strategy.learn(bar_event(3_000, 0.0)) is False
    assert sorted(strategy.kept["closes"]["SPY"].values()) == [0.0, *map(float, range(2_981, 3_000))]


@pytest.mark.parametrize("name", ["snapshot", "strategy", "vendor_history"])
def test_each_example_program_can_be_imported(name: str) -> None:
    assert example(name).__doc__
