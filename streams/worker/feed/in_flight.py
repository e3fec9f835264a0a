"""How far the feed may run ahead of the transactions.

Catching up, what comes next is there already: the next batch is fetched and worked on while the one before it commits. Live,
a batch that is fetched early holds the little that has come by then, and what comes a moment later waits for that batch's
commit and for its own. So after a small batch nothing is fetched before its commit is through: then all that came meanwhile
goes into one batch, and a bar waits for the rest of one commit and for its own.

    ahead = Ahead()
    ahead.wait(0.05)       # in the feed's thread: whether a batch may be fetched now
    ahead.took(full=True)
    ahead.done()           # in the worker's: a full batch has been handed to the ledger, a small one is committed
"""

from __future__ import annotations

import threading
from typing import Final

FULL_BATCHES: Final = 2


class Ahead:
    """Counts the batches that are under way: one small one, or up to two full ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._last_was_full = False
        self._is_awaited_elsewhere = False

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until a batch may be fetched, or until `interrupt`; whether one may."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_awaited_elsewhere or self._may_fetch(), timeout_seconds)
            self._is_awaited_elsewhere = False
            return self._may_fetch()

    def interrupt(self) -> None:
        """Whoever waits has something else to do first."""
        with self._changed:
            self._is_awaited_elsewhere = True
            self._changed.notify()

    def took(self, *, full: bool) -> None:
        """A batch was fetched."""
        with self._changed:
            self._under_way += 1
            self._last_was_full = full

    def done(self) -> None:
        """A batch is under way no more."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify()

    def _may_fetch(self) -> bool:
        return self._under_way == 0 or (self._last_was_full and self._under_way < FULL_BATCHES)
