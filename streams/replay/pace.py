"""How fast a replay goes. The invariant: its outputs do not depend on it, since only waiting does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from streams.errors import ReplayError
from streams.times import SECOND_US, Clock, SystemClock

_LONGEST_NAP_SECONDS: Final = 0.5
_SHORTEST_NAP_SECONDS: Final = 0.001


class Pacer:
    """Waits until an instant of the replay is due.

    Args:
        speed: times real time; 0 is as fast as possible.
        clock, sleep: the time that really passes.

    Raises:
        ReplayError: the speed is negative.
    """

    def __init__(self, speed: float = 0.0, *, clock: Clock | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        if speed < 0:
            raise ReplayError(f"a replay's speed must be 0, as fast as possible, or times real time, got {speed:g}")
        self._speed = speed
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._began: tuple[int, float] | None = None

    def wait(self, traded_us: int) -> None:
        """Wait until `traded_us` of trading are due, counted from the first call."""
        if not self._speed:
            return
        if self._began is None:
            self._began = traded_us, self._clock.monotonic()
        first_us, began = self._began
        due = began + (traded_us - first_us) / SECOND_US / self._speed
        while (left := due - self._clock.monotonic()) >= _SHORTEST_NAP_SECONDS:
            # Short naps, so that Ctrl-C is heard soon everywhere.
            self._sleep(min(left, _LONGEST_NAP_SECONDS))
