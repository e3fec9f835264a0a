"""Wait for a session whose first worker is still starting: typed one after the other, the second command is often the quicker one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from streams.errors import NoSessionError
from streams.times import Clock

_LOOK_AGAIN_SECONDS: Final = 0.25

T = TypeVar("T")


class Patience:
    """Waits up to a deadline, and reports each new reason for it.

    Args:
        seconds: how long in all.
        clock: the time.
        report: takes a reason that is not the one before it.
    """

    def __init__(self, seconds: float, clock: Clock, report: Callable[[str], object]) -> None:
        self._clock = clock
        self._deadline = clock.monotonic() + seconds
        self._report = report
        self._reported = ""

    def lasts(self, why: str) -> bool:
        """Whether there is time left to wait, for this reason."""
        if self._clock.monotonic() >= self._deadline:
            return False
        if why != self._reported:
            self._report(why)
            self._reported = why
        return True

    def until_there(self, make: Callable[[], T]) -> T:
        """What `make` returns, called again while there is no such session.

        Raises:
            NoSessionError: there was none in time.
        """
        pause = threading.Event()
        while True:
            try:
                return make()
            except NoSessionError:
                if not self.lasts("no worker has run it yet"):
                    raise
            pause.wait(_LOOK_AGAIN_SECONDS)


def once_there(make: Callable[[], T], wait_seconds: float, clock: Clock, *, tell: Callable[[str], object] = lambda text: None) -> T:
    """What `make` gives, called again for up to `wait_seconds` while there is no such session; `tell` hears once that one waits.

    Raises:
        NoSessionError: there was none in time.
    """
    deadline, pause, told = clock.monotonic() + wait_seconds, threading.Event(), False
    while True:
        try:
            return make()
        except NoSessionError as error:
            if clock.monotonic() >= deadline:
                raise
            if not told:
                tell(f"{error}; waiting up to {wait_seconds:g} s for its first worker")
                told = True
            pause.wait(_LOOK_AGAIN_SECONDS)
