"""Many markets, live and replayed: exchanges with nights, breaks, weekends and none of them; symbols that are thin, normal or late.

The first seed is printed, each seed is a market of its own; CHAOS_SEED repeats them.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.support.sessions.live_cases import random_case

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

_CASES = 60


def test_live_runs_and_their_replays_are_the_same() -> None:
    first = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000_000))
    print(f"CHAOS_SEED={first}: {_CASES} markets")
    found = []
    for seed in range(first, first + _CASES):
        case = random_case(seed)
        found += [f"{case.name}: {one}" for one in case.differences()]
    assert not found, f"{len(found)} differences; `random_case(SEED)` repeats a market:\n" + "\n".join(found[:40])
