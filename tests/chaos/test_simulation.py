"""A million steps of the simulated engine, over as many processes as there are cores: every invariant after every step.

The first seed is printed, each seed is a run of its own. CHAOS_SEED repeats the runs, SIMULATION_STEPS sets how many steps
there are in all.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.support.simulation.run import SimulationFailure, run_of, shrunk, simulate

STEPS_A_RUN = 1000
TOLD_FAILURES = 5
NICE = 10


@pytest.mark.chaos
@pytest.mark.slow
def test_every_invariant_holds_through_a_million_steps() -> None:
    first = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000_000))
    steps = int(os.environ.get("SIMULATION_STEPS") or 1_000_000)
    seeds = range(first, first + max(1, steps // STEPS_A_RUN))
    print(f"CHAOS_SEED={first}: {len(seeds)} runs of {STEPS_A_RUN} steps")
    # It takes what the tests beside it leave of the processor, which must not have to wait for it.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=os.nice, initargs=(NICE,)) as pool:
        runs = list(pool.map(run_of, seeds, [STEPS_A_RUN] * len(seeds), chunksize=4))
    failures = [told for told in runs if isinstance(told, str)]
    ran = [told for told in runs if not isinstance(told, str)]
    print(
        f"{sum(one.steps for one in ran)} steps, {sum(one.bars for one in ran)} records read, "
        f"{sum(one.published for one in ran)} bars published, {sum(one.held_back for one in ran)} told as held back"
    )
    if failures:
        broken = next(seed for seed, told in zip(seeds, runs, strict=True) if isinstance(told, str))
        pytest.fail(_smaller(broken) + f"\n\n{len(failures)} of {len(runs)} seeds fail:\n" + "\n\n".join(failures[:TOLD_FAILURES]))
    assert sum(one.published for one in ran) > 50 * len(ran), "runs in which the gate is hardly ever open show little"


def _smaller(seed: int) -> str:
    try:
        simulate(seed, STEPS_A_RUN)
    except SimulationFailure as failure:
        return str(shrunk(failure))
    return f"seed {seed} fails when it is driven again from its journal only"
