"""Whether a session still lives, by the reader's own clock: pure, so that the rule can be tried against simulated time.

While its gate is open, a session puts a record on analysis at least once a second: a heartbeat where there is nothing else. So a reader
that has read all there is and gets nothing for a few seconds knows that no worker commits, whatever the last record said. What was on
the topic before reading began proves nothing about now; what comes behind it does.

What counts is how old the last record is, not when this reader got it: a strategy that was busy, a process that was stopped, or a
network that was cut off gets records that have waited. The clocks of two machines are never compared. A record was written after the
reader last saw the topic's end, and before it got the record. Within that, the *differences* of the records' own times date it: so much
later than the record before it. Where the two disagree, the worker's clock is another one than before, or the end was an old one:

    the end was seen right behind a record, by a reader that was not away    the end holds, and the clock is another one
    otherwise                                                               the record is as old as its time says, until the next one

A record that can't be dated to within a second, and may be too old, proves nothing: the reader waits for the next, as at its beginning.

    liveness = Liveness(3.0)
    liveness.begin(live_from=1200, now=7.0)            # where the topic ends when reading begins
    liveness.read(1202, 7.5, records=[Record(1201, stamp_ms, None, None)], at_end=True)
    liveness.gate = True                               # as of the record that was handed over last
    liveness.active(10.6)                              # False: for more than 3 s nothing has come
    liveness.turn(10.6)                                # False, once: the strategy stops trading
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.kafka.reader import Record

NO_HEARTBEAT: Final = "no_heartbeat"
"""The reason of a `deactivated` that the reader makes itself: no worker has been heard of."""
HEARTBEAT: Final = "heartbeat"
"""The reason of the `activated` that it makes when a worker is heard of again, and the gate was open all the while."""
# A reader that looks this often was not away, and a record that is dated this exactly is dated.
_MOMENT_SECONDS: Final = 1.0


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
        self._is_lost = False
        # When the last record that counts was written: not before and not after; and what its own time was.
        self._written: tuple[float, float] | None = None
        self._stamp_ms = 0
        # When reading last stood at the end, as far as the client library knew; and when that is certain.
        self._end_seen = self._end_certain = 0.0
        self._looked_at = 0.0
        self._was_at_end = False

    def begin(self, live_from: int, now: float) -> None:
        """Reading begins somewhere, and the topic ended at offset `live_from` when it was asked, at `now` or later."""
        self._live_from = live_from
        self._caught_up_at = self._heard_at = self._written = None
        self._end_seen = self._end_certain = self._looked_at = now
        self._was_at_end = False

    def read(self, next_offset: int, now: float, *, records: Sequence[Record], at_end: bool) -> None:
        """The topic was looked at, and reading stands at `next_offset`.

        Args:
            next_offset: where reading goes on.
            now: the time.
            records: what came, with the times that their producer gave them.
            at_end: whether this was all there is, as far as the client library knows.
        """
        was_away, self._looked_at = now - self._looked_at > _MOMENT_SECONDS, now
        # The library says so once, behind the last record; that stands until the next one comes.
        is_new_end, self._was_at_end = at_end and (bool(records) or not self._was_at_end), at_end
        if self._live_from is not None and next_offset >= self._live_from:
            if self._caught_up_at is None:
                self._caught_up_at = now
            first = next((record for record in records if record.offset >= self._live_from), None)
            if first is not None and self._date(first.timestamp_ms, records[-1].timestamp_ms, now):
                was_away = False  # what has waited is read now, so the end behind it is that of now
        if at_end:
            self._end_seen = now
        if is_new_end and not was_away:
            self._end_certain = now

    def _date(self, first_ms: int, last_ms: int, now: float) -> bool:
        """Find out when the last of the records that came at `now` was written. True where that is before the end that was seen."""
        low, high = self._end_seen, now
        has_waited = False
        if self._written is not None:
            step = max(0, first_ms - self._stamp_ms) / 1000
            early, late = self._written[0] + step, self._written[1] + step
            if late + _MOMENT_SECONDS < low:
                has_waited = late >= self._end_certain
                if has_waited:
                    low, high = max(early, self._end_certain), late
            elif early - _MOMENT_SECONDS <= now:
                low = max(low, min(early, now))
                high = max(low, min(late, now))
        span = max(0, last_ms - first_ms) / 1000
        low, high = min(low + span, now), min(high + span, now)
        self._written, self._stamp_ms = (low, high), last_ms
        if high - low <= _MOMENT_SECONDS:
            self._heard_at = high
        elif now - low <= self._timeout_seconds:
            self._heard_at = low
        else:
            self._heard_at, self._caught_up_at = None, now
        return has_waited

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
