"""How far the feed runs ahead: what may be under way at once, and what wakes it."""

from __future__ import annotations

import threading

import pytest

from streams.worker.feed.in_flight import Ahead

FULL, SMALL, DONE = "full", "small", "done"


@pytest.mark.parametrize(
    ("steps", "may_fetch", "why"),
    [
        ([], True, "nothing is under way"),
        ([FULL], True, "the next one is worked on while a full one commits"),
        ([FULL, FULL], False, "two are under way, and a third would only wait"),
        ([FULL, FULL, DONE], True, "one of the two is out of the way"),
        ([SMALL], False, "what comes while a small one commits is to go into one batch"),
        ([SMALL, DONE], True, "its commit is through"),
        ([FULL, SMALL], False, "the backlog has come to its end: live from here"),
        ([FULL, SMALL, DONE], False, "the small one is still under way"),
        ([FULL, SMALL, DONE, DONE], True, "both are out of the way"),
        ([SMALL, DONE, FULL], True, "a backlog has begun"),
    ],
)
def test_what_may_be_under_way_at_once(steps: list[str], may_fetch: bool, why: str) -> None:
    ahead = Ahead()
    for step in steps:
        if step == DONE:
            ahead.done()
        else:
            ahead.took(full=step == FULL)
    assert ahead.wait(0) is may_fetch, why


def test_a_commit_wakes_the_feed_that_waits_for_it() -> None:
    ahead = Ahead()
    ahead.took(full=False)
    may_fetch: list[bool] = []
    feed = threading.Thread(target=lambda: may_fetch.append(ahead.wait(60)))
    feed.start()
    ahead.done()
    feed.join(60)
    assert may_fetch == [True], "the feed slept on after the commit was through"


def test_whoever_has_something_else_for_the_feed_to_do_wakes_it_once() -> None:
    ahead = Ahead()
    ahead.took(full=False)
    ahead.interrupt()
    assert not ahead.wait(60), "a batch may be fetched although the one before is not committed"
    assert not ahead.wait(0)
    ahead.done()
    assert ahead.wait(0), "an interruption has cost the right to fetch"
