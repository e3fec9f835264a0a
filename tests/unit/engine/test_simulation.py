"""The simulation, briefly: some seeds, each judged after every step. `make chaos` runs a million steps."""

from __future__ import annotations

import pytest

from tests.support.simulation.run import SimulationFailure, simulate

SEEDS = range(12)
STEPS = 250


@pytest.mark.parametrize("seed", SEEDS)
def test_every_invariant_holds_after_every_step(seed: int) -> None:
    ran = simulate(seed, STEPS, redrives=True)
    assert ran.bars > 0, "a run without bars shows nothing"


def test_a_seed_repeats_its_run_exactly() -> None:
    assert simulate(3, 120) == simulate(3, 120)


def test_the_seeds_publish_and_hold_back() -> None:
    ran = [simulate(seed, 200) for seed in range(20, 26)]
    assert sum(one.published for one in ran) > 100
    assert sum(one.held_back for one in ran) > 100


def first_failure(seeds: range, steps: int) -> None:
    for seed in seeds:
        simulate(seed, steps)


def test_a_failure_names_the_seed_the_step_and_the_invariant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.engine.state.symbol.SymbolSessionData.settle_metrics", lambda data: None)
    with pytest.raises(SimulationFailure) as caught:
        first_failure(range(20), 400)
    failure = caught.value
    assert f"seed {failure.seed}, step {failure.at}: it does not hold that the session's volume" in str(failure)
    assert "the last transactions" in str(failure)
