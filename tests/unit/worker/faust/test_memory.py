"""The garbage collector as the worker sets it: it looks seldom, and still frees what is in a cycle."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.worker.faust.memory import YOUNG_OBJECTS, settle


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Node:
    def __init__(self) -> None:
        self.itself = self


def test_what_was_there_is_out_of_the_collectors_sight() -> None:
    settle()
    assert gc.get_freeze_count() > 0


def test_cycles_that_are_made_afterwards_are_still_freed() -> None:
    settle()
    gone = weakref.ref(Node())
    assert gone() is not None
    kept = [[number] for number in range(2 * YOUNG_OBJECTS)]
    assert len(kept) == 2 * YOUNG_OBJECTS
    assert gone() is None
