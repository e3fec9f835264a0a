"""When a heartbeat is due on analysis: pure but for the clock that it is given.

Readers take a session of which no record comes for a few seconds for dead. So while the gate is open no second passes without one. A
heartbeat is a promise that transactions get through, so none is sent while they do not.

    heartbeat = Heartbeat(clock, overdue_seconds=3.0)
    heartbeat.told()                                # something was put on analysis
    heartbeat.is_due(committed_at)                  # whether one goes into the transaction at hand
    heartbeat.seconds_left(wrote_at)                # until one is due, or is tried again
"""

from __future__ import annotations

from typing import Final

from streams.times import Clock

BEAT_SECONDS: Final = 0.9
"""After so long without a record on analysis one is due: with its commit, two records lie a second apart at most."""


class Heartbeat:
    """Knows when something was put on analysis last.

    Args:
        clock: for durations.
        overdue_seconds: after how long without a commit none is sent.
    """

    def __init__(self, clock: Clock, *, overdue_seconds: float) -> None:
        self._clock = clock
        self._overdue_seconds = overdue_seconds
        self._told_at = 0.0

    def told(self) -> None:
        """Something goes to analysis now, or from now on it is for this worker to say that the session lives."""
        self._told_at = self._clock.monotonic()

    def is_due(self, committed_at: float) -> bool:
        """Whether readers need a sign of life, and this worker may give it.

        After a while in which no transaction got through, as of a worker that stood still, the first one goes without: another worker may
        have taken over, and stale bars may be waiting, which shut the gate.
        """
        now = self._clock.monotonic()
        return now - self._told_at >= BEAT_SECONDS and now - committed_at <= self._overdue_seconds

    def seconds_left(self, wrote_at: float) -> float:
        """How long until one is due; one that was due and not sent waits until what was written at `wrote_at` may be committed."""
        now = self._clock.monotonic()
        left = self._told_at + BEAT_SECONDS - now
        return left if left > 0 else max(0.0, wrote_at + BEAT_SECONDS - now)
