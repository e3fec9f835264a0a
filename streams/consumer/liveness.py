"""Whether a session still lives, by the reader's own clock: pure, so that the rule can be tried against simulated time.

While its gate is open, a session puts a record on analysis at least once a second: a heartbeat where there is nothing else. So a reader
that has read all there is and gets nothing for a few seconds knows that no worker commits, whatever the last record said. The clocks
of two machines are never compared. What was on the topic before reading began proves nothing about now; what comes behind it does.

A strategy that was busy finds records that have waited, for seconds perhaps. How long before the last of them the one before it was
written, their own times say: so the reader dates them back, and does not take them for a sign of life of this moment.

    liveness = Liveness(3.0)
    liveness.begin(live_from=1200)                     # where the topic ends when reading begins
    liveness.read(1202, 7.5, last=(1201, stamp_ms), at_end=True)
    liveness.gate = True                               # as of the record that was handed over last
    liveness.active(10.6)                              # False: for more than 3 s nothing has come
    liveness.turn(10.6)                                # False, once: the strategy is to take its hands off
"""

from __future__ import annotations

from typing import Final

NO_HEARTBEAT: Final = "no_heartbeat"
"""The reason of a `deactivated` that the reader makes itself: no worker has been heard of."""
HEARTBEAT: Final = "heartbeat"
"""The reason of the `activated` that it makes when a worker is heard of again, and the gate was open all the while."""
_LOOKS_SECONDS: Final = 1.0


class Liveness:
    """What a reader knows of a session's gate and of its workers. All times are seconds of a clock that never goes back.

    Args:
        timeout_seconds: how long after the last record a session counts as inactive; 0: the gate's last word holds for ever.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.gate: bool | None = None
        self._timeout_seconds = timeout_seconds
        self._live_from: int | None = None
        self._caught_up_at: float | None = None
        self._heard_at: float | None = None
        self._heard_ms = 0
        self._looked_at: float | None = None
        self._is_lost = False

    def begin(self, live_from: int) -> None:
        """Reading begins somewhere, and the topic ends at offset `live_from` now."""
        self._live_from = live_from
        self._caught_up_at = self._heard_at = self._looked_at = None

    def read(self, next_offset: int, now: float, *, last: tuple[int, int] | None, at_end: bool) -> None:
        """The topic was looked at, and reading stands at `next_offset`.

        Args:
            next_offset: where reading goes on.
            now: the time.
            last: offset and timestamp (milliseconds, as its producer gave it) of the last record that came; None if none did.
            at_end: whether this was all there is.
        """
        looked_at, self._looked_at = self._looked_at, now if at_end else None
        if self._live_from is None or next_offset < self._live_from:
            return
        if self._caught_up_at is None:
            self._caught_up_at = now
        if last is None or last[0] < self._live_from:
            return
        heard_at = now
        has_waited = looked_at is None or now - looked_at > _LOOKS_SECONDS
        if has_waited and self._heard_at is not None:
            heard_at = min(now, max(self._heard_at, self._heard_at + (last[1] - self._heard_ms) / 1000))
        self._heard_at, self._heard_ms = heard_at, last[1]

    def is_silent(self, now: float) -> bool:
        """Whether for too long no record has come."""
        if not self._timeout_seconds or self._caught_up_at is None:
            return False
        return now - (self._caught_up_at if self._heard_at is None else self._heard_at) > self._timeout_seconds

    def active(self, now: float) -> bool | None:
        """Whether the gate is open and a worker lives; None as long as that is not known."""
        if not self._timeout_seconds:
            return self.gate
        if self.gate is False or self.is_silent(now):
            return False
        return True if self.gate and self._heard_at is not None else None

    def turn(self, now: float, *, is_about_gate: bool = False) -> bool | None:
        """What a strategy is to be told that no record says: False when an open gate has fallen silent, True when it is heard of again.

        Args:
            now: the time.
            is_about_gate: whether the record that comes next says how the gate is: then nothing need be said before it.
        """
        if is_about_gate:
            self._is_lost = False
            return None
        active = self.active(now)
        if not self.gate or active is None or active is not self._is_lost:
            return None
        self._is_lost = not active
        return active
