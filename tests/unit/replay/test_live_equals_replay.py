"""A live run and the replay of what it has read publish the same bars with the same values.

What the wall clock holds back is the one difference: a feed that is minutes late is stale live, and in a replay, where a bar comes when it
ends, it is not.
"""

from __future__ import annotations

import pytest

from streams.model.records import HeldBackBar, PublishedBar
from tests.support.sessions.live_cases import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_live_run_and_its_replay_are_the_same(case: Case) -> None:
    found = case.differences()
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:20])


@pytest.mark.parametrize("case", [case for case in CASES if case.is_prompt], ids=lambda case: case.name)
def test_a_prompt_feed_is_published_whole(case: Case) -> None:
    outcomes = case.live().desk.outcomes
    assert not [outcome for outcome in outcomes if isinstance(outcome, HeldBackBar)]
    base = {(one.symbol, one.bar.start_us) for one in outcomes if isinstance(one, PublishedBar) and one.bar.provenance == "feed"}
    assert base == {(symbol, one.start_us) for symbol, arrivals in case.arriving.items() for _, one in arrivals}
