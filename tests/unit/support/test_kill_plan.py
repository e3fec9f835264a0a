"""A kill run's plan is made of its seed alone, and holds as much as the run is to prove."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from tests.support.kills.plan import LONG, SHORT, Bystander, Flaw, Moment, Scale, Target, made_plan

SEEDS = range(50)


@pytest.mark.parametrize("scale", [SHORT, LONG], ids=["short", "long"])
def test_the_same_seed_makes_the_same_plan_and_another_seed_another(scale: Scale) -> None:
    assert made_plan(scale, 7) == made_plan(scale, 7)
    assert str(made_plan(scale, 7)) == str(made_plan(scale, 7))
    assert len({made_plan(scale, seed) for seed in SEEDS}) == len(SEEDS)


def test_a_plan_is_the_same_in_another_process_whatever_its_hashes_are() -> None:
    program = "from tests.support.kills.plan import LONG, made_plan; print(made_plan(LONG, 7))"
    plans = [
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": hashes}, capture_output=True, text=True, check=True
        ).stdout
        for hashes in ("1", "2")
    ]
    assert plans == [f"{made_plan(LONG, 7)}\n"] * 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_plan_has_what_the_promise_is_measured_by(seed: int) -> None:
    plan = made_plan(LONG, seed)
    signals = Counter(strike.signal for strike in plan.strikes)
    assert signals["SIGKILL"] >= 30
    assert signals["SIGTERM"] >= 20
    assert plan.scale.bars >= 100_000
    assert plan.scale.symbols >= 50
    assert {strike.target for strike in plan.strikes} == set(Target)
    assert {strike.moment for strike in plan.strikes} == set(Moment)
    assert plan.aimed >= len(plan.strikes) // 2
    assert 5 <= sum(strike.down_seconds > 0 for strike in plan.strikes) <= 30, "some are down long enough for a standby to take over"


@pytest.mark.parametrize("scale", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_changes_lie_within_the_feed_in_order_and_are_of_every_kind(scale: Scale, seed: int) -> None:
    changes = made_plan(scale, seed).changes
    places = [change.at_bar for change in changes]
    assert places == sorted(set(places))
    assert 0 < places[0] < places[-1] < scale.bars
    assert {(change.immediate, change.again) for change in changes} == {(True, True), (True, False), (False, True), (False, False)}
    assert {change.symbol for change in changes} == set(range(scale.dynamic))


@pytest.mark.parametrize("scale", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_others_fall_within_the_feed_and_each_as_often_as_the_scale_says(scale: Scale, seed: int) -> None:
    falls = made_plan(scale, seed).falls
    assert Counter(fall.who for fall in falls) == dict.fromkeys(Bystander, scale.falls)
    places = [fall.at_bar for fall in falls]
    assert places == sorted(places)
    assert 0 < places[0] < places[-1] < scale.bars


@pytest.mark.parametrize("scale", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_feed_has_one_flaw_at_a_time_and_each_kind_of_them_early(scale: Scale, seed: int) -> None:
    stretches = made_plan(scale, seed).stretches
    for symbol in range(scale.holed):
        own = [one for one in stretches if one.symbol == symbol]
        assert {one.flaw for one in own[: len(Flaw)]} == set(Flaw)
        assert all(one.first + one.seconds < following.first for one, following in pairwise(own))
        assert own[-1].first > scale.holed_seconds - 20


@pytest.mark.parametrize("seed", SEEDS)
def test_some_changes_come_over_http(seed: int) -> None:
    assert {change.over_http for change in made_plan(SHORT, seed).changes} == {True, False}
