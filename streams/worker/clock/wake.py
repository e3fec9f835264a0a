"""Being woken up when a bar that waits has ended, or a heartbeat is due: up to the next tick it may be a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from streams.worker.feed.batches import Alarm

SOON_SECONDS: Final = 2.0
"""What is due later is found at a tick, by which the clock may have been set."""
_SHORTEST_SECONDS: Final = 0.001


class Wake:
    """Puts an alarm on the merge agent's channel when something is due.

    Args:
        send: puts it on the channel.
    """

    def __init__(self, send: Callable[[Alarm], None]) -> None:
        self._send = send
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Wake up in so many seconds, and at no other time."""
        self.cancel()
        if seconds < SOON_SECONDS:
            self._timer = asyncio.get_running_loop().call_later(max(_SHORTEST_SECONDS, seconds), self._send, Alarm())

    def cancel(self) -> None:
        """Do not wake up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
