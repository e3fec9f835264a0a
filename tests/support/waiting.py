"""Waiting for a condition, with a limit that says what was awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")

_PAUSE_SECONDS = (0.02, 0.1)
"""Between two looks, at first and at most: many of them read a whole topic, and what is awaited needs the processor itself."""


def wait_until(condition: Callable[[], Found], what: str, timeout_s: float = 60.0) -> Found:
    """The first true value of `condition`; the test fails with `what` was awaited when none comes in `timeout_s` seconds."""
    began = time.monotonic()
    least, most = _PAUSE_SECONDS
    while not (found := condition()):
        waited = time.monotonic() - began
        if waited > timeout_s:
            pytest.fail(f"waited {timeout_s:g} s in vain for {what}; last seen: {found!r}")
        time.sleep(min(most, max(least, waited / 20)))
    return found
