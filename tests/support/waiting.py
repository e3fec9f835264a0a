"""Waiting for a condition, with a limit that says what was awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")

_PAUSE_SECONDS = 0.02


def wait_until(condition: Callable[[], Found], what: str, timeout_s: float = 60.0) -> Found:
    """The first true value of `condition`; the test fails with `what` was awaited when none comes in `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s in vain for {what}; last seen: {found!r}")
        time.sleep(_PAUSE_SECONDS)
    return found
