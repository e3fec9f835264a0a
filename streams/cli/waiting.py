"""Wait for a session whose first worker is still starting: typed one after the other, the second command is often the quicker one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from streams.errors import NoSessionError
from streams.times import Clock

_LOOK_AGAIN_SECONDS: Final = 0.25

T = TypeVar("T")


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
