"""Run a seed; on a failure tell the seed, the step, the invariant and the last steps, and find a smaller run that fails so too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from streams.engine import loading
from streams.engine.rules import bars as intake
from streams.engine.rules import bars_topic
from streams.engine.state import series
from streams.engine.state import symbol as symbol_module
from streams.model.records import Bar
from tests.support.simulation.actions import step
from tests.support.simulation.books import Violation
from tests.support.simulation.model import MOST_UNGATED, POISON, SLOW_POISON
from tests.support.simulation.scenario import kept_calendars, scenario_of
from tests.support.simulation.world import World

MOST_RUNS_TO_SHRINK = 60


class SimulationFailure(AssertionError):
    """A seed's run broke an invariant at a step."""

    def __init__(self, seed: int, at: int, violation: Violation, last: Sequence[str], steps: Sequence[int], symbols: Sequence[str]) -> None:
        self.seed, self.at, self.violation, self.steps, self.symbols = seed, at, violation, tuple(steps), tuple(symbols)
        told = "\n".join(f"  {line}" for line in last)
        super().__init__(
            f"seed {seed}, step {at}: it does not hold that {violation.invariant}.\n{violation.detail}\n"
            f"the last transactions, this one included:\n{told}\n"
            f"it takes {len(self.steps)} steps of the symbols {', '.join(symbols)}; again: "
            f"simulate({seed}, {_as_text(self.steps)}, symbols={self.symbols})"
        )


@dataclass(frozen=True)
class Ran:
    """What a run came to."""

    seed: int
    steps: int
    transactions: int
    bars: int
    published: int
    held_back: int


@contextmanager
def _surroundings() -> Iterator[None]:
    real, real_take_waiting = intake.receive, intake.take_waiting

    def receive(state: Any, bar: Bar) -> None:
        real(state, bar)
        if bar.provenance == POISON:
            raise RuntimeError("a bug that this bar meets, after it has changed the state")

    def take_waiting(state: Any, data: Any) -> None:
        first = data.waiting[0]
        real_take_waiting(state, data)
        if first.provenance == SLOW_POISON:
            raise RuntimeError("a bug that a bar meets at its end, after it has changed the state")

    # Blocks are full, and are united, sooner than in use, so that a batch of bars fills several.
    with (
        kept_calendars(),
        mock.patch.object(intake, "receive", receive),
        mock.patch.object(intake, "take_waiting", take_waiting),
        mock.patch.multiple(series, LARGEST_BLOCK=12, SMALL_BLOCK=6),
        mock.patch.object(loading, "MOST_BARS_OF_INPUT", 5),
        mock.patch.object(bars_topic, "MOST_BARS", MOST_UNGATED),
        mock.patch.multiple(symbol_module, UNITE_AT=2, UNITE_SPREAD=2),
    ):
        yield


def simulate(seed: int, steps: int | Sequence[int], *, symbols: Sequence[str] | None = None, redrives: bool = False) -> Ran:
    """Run a seed for so many steps, or for these steps only, with all or some of its symbols.

    Raises:
        SimulationFailure: an invariant does not hold.
    """
    numbers = range(steps) if isinstance(steps, int) else steps
    with _surroundings():
        scenario = scenario_of(seed)
        if symbols is not None:
            scenario = replace(scenario, symbols=tuple(symbols))
        number, world = -1, None
        try:
            world = World(scenario, keeps_journal=redrives)
            for number in numbers:
                step(world, seed, number)
            world.check_whole()
            if redrives:
                world.check_redriven()
        except Violation as violation:
            raise _failure(seed, number, violation, world, numbers, scenario.symbols) from violation
        except Exception as error:  # whatever the engine raises on is a finding
            violation = Violation("the engine takes every input", f"{type(error).__name__}: {error}")
            raise _failure(seed, number, violation, world, numbers, scenario.symbols) from error
        counts = [life.counts for life in world.lives]
        return Ran(
            seed, len(numbers), world.transactions, sum(one["read"] for one in counts),
            sum(world.judge.published.values()), sum(world.judge.held.values()),
        )  # fmt: skip


def _failure(
    seed: int, at: int, violation: Violation, world: World | None, numbers: Sequence[int], symbols: Sequence[str]
) -> SimulationFailure:
    done = [number for number in numbers if number <= at]
    return SimulationFailure(seed, at, violation, world.last_steps() if world else [], done, symbols)


def shrunk(failure: SimulationFailure) -> SimulationFailure:
    """The same failure with as few symbols and steps as a bounded search finds."""
    budget = MOST_RUNS_TO_SHRINK

    def again(steps: Sequence[int], symbols: Sequence[str]) -> SimulationFailure | None:
        nonlocal budget
        budget -= 1
        try:
            simulate(failure.seed, steps, symbols=symbols)
        except SimulationFailure as found:
            return found if found.violation.invariant == failure.violation.invariant else None
        return None

    best = failure
    for symbol in failure.symbols:
        fewer = [one for one in best.symbols if one != symbol]
        if fewer and (found := again(best.steps, fewer)) is not None:
            best = found
    size = max(1, len(best.steps) // 2)
    while budget > 0:
        place = 0
        while place < len(best.steps) and budget > 0:
            kept = best.steps[:place] + best.steps[place + size :]
            found = again(kept, best.symbols) if kept else None
            if found is None:
                place += size
            else:
                best = found
        if size == 1:
            break
        size = max(1, size // 2)
    return best


def _as_text(steps: Sequence[int]) -> str:
    if list(steps) == list(range(len(steps))):
        return str(len(steps))
    return str(list(steps))


def run_of(seed: int, steps: int) -> Ran | str:
    """A run of a process of its own: what it came to, or in words how it failed. Every eighth is driven again from its journal."""
    try:
        return simulate(seed, steps, redrives=seed % 8 == 0)
    except SimulationFailure as failure:
        return str(failure)
