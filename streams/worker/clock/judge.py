"""Whether this worker's clock is right, by what the brokers' clocks and the feeds say. Pure: what is measured is handed in.

A session's time is its worker's clock: by it a bar is fresh, stale, or from the future. One clock can't tell that it is wrong, so it is
held against others:

* The brokers' clocks. Each leader's clock is read by a record that the broker stamps, so how far this one is off lies between two
  bounds, as far apart as the answer took. It is off for sure only as far as the nearer bound. Of several brokers the median counts, so
  that one broker whose clock is wrong is outvoted; of two middle ones the one nearer to this clock.
* The feeds. Where every bar that comes live has its end after this clock's now, and no other comes, the clock is behind or all feeds
  are stamped wrongly. One symbol suffices where no broker's clock is known, two where the brokers agree with this clock. What counts is
  the newest record of a topic that is sound but for its time: one with a wrong time among others says nothing of the clock. It is on time
  within the tolerance of clocks, whatever a session tolerates of its feeds.

What the clock is off by is kept against the time that has passed since the machine's start (`elapsed`), which never leaps: so one
measurement goes on being true when the clock is set.

    judge = ClockJudge(tolerance_us=5_000_000)
    judge.measured([BrokerTime(1, low_us, high_us)], elapsed=12.5)
    judge.verdict(now_us - elapsed_us, elapsed=13.0).standing
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from streams.errors import ClockError
from streams.times import HOUR_US, SECOND_US, iso

FARTHEST_US: Final = HOUR_US
"""A clock that is off by more can't be right: a broker of Kafka 4 refuses records that are so far ahead of it."""
EARLIEST_US: Final = 1_577_836_800 * SECOND_US
"""2020-01-01, when there was no such software yet."""
EVIDENCE_SECONDS: Final = 120.0
"""How long a feed's word counts: two bars of a minute."""
CONSIDER_SECONDS: Final = 10.0
"""How long a symbol's first bars from the future wait for what other symbols say."""
RIGHT_AGAIN: Final = 0.8
"""At which part of the tolerance a clock that was wrong is right again, so that the gate does not flap at its edge."""


class BrokerTime(Struct, frozen=True):
    """A broker's clock minus the time elapsed here: between `low_us` and `high_us`."""

    broker: int
    low_us: int
    high_us: int

    def off_us(self, offset_us: int) -> int:
        """How far a clock is ahead of this broker's for sure, below zero when it is behind; `offset_us`: that clock minus elapsed."""
        if offset_us > self.high_us:
            return offset_us - self.high_us
        return min(0, offset_us - self.low_us)


class Standing(StrEnum):
    """How a clock stands to the others."""

    UNKNOWN = "unknown"
    RIGHT = "right"
    AHEAD = "ahead"
    BEHIND = "behind"


class Verdict(Struct, frozen=True):
    """What is known of a clock: `off_us` is how far it is ahead (below zero: behind), `reason` says what is wrong, None for nothing."""

    standing: Standing
    off_us: int = 0
    reason: str | None = None
    by_feeds: bool = False

    @property
    def is_wrong(self) -> bool:
        """Whether the clock is off by more than is tolerated."""
        return self.reason is not None


class ClockJudge:
    """Judges one clock.

    Args:
        tolerance_us: how far it may be off; 0: it is not judged at all.
    """

    def __init__(self, tolerance_us: int) -> None:
        self._tolerance_us = tolerance_us
        self._times: tuple[BrokerTime, ...] = ()
        self._measured_at = -1.0
        self._believed_since = float("-inf")
        self._was_wrong = False
        self._ahead: dict[str, tuple[float, int, str | None]] = {}
        self._considered: dict[str, float] = {}
        self._fresh_at: float | None = None
        self._latched: tuple[int, int] | None = None

    def measured(self, times: Sequence[BrokerTime], elapsed: float) -> None:
        """Take what the brokers' clocks say, who were asked at `elapsed`; none is no news."""
        if times and elapsed >= self._believed_since:
            self._times, self._measured_at = tuple(times), elapsed

    @property
    def measured_at(self) -> float:
        """When the brokers were asked last, of the times that they answered, in seconds elapsed; below zero when they never did."""
        return self._measured_at

    def believed(self, since: float) -> None:
        """A leap that is in doubt since then is believed: what the brokers said before stands against seconds that did not count all."""
        self._believed_since = since
        if self._measured_at < since:
            self._times = ()

    def off_us(self, offset_us: int) -> int | None:
        """How far a clock is ahead of the brokers', None when that is not known; `offset_us` is that clock minus elapsed."""
        offs = sorted(one.off_us(offset_us) for one in self._times)
        if not offs:
            return None
        low, high = offs[(len(offs) - 1) // 2], offs[len(offs) // 2]
        return 0 if low < 0 < high else min(low, high, key=abs)

    def latest_us(self, elapsed: float) -> int | None:
        """What time it is at the latest by the brokers' clocks, of two middle ones by the later; None when that is not known."""
        highs = sorted(one.high_us for one in self._times)
        return highs[len(highs) // 2] + round(elapsed * SECOND_US) if highs else None

    def brokers_off(self, offset_us: int) -> list[tuple[int, int]]:
        """Brokers whose clocks are off by more than is tolerated from what most brokers say: id, and by how much they are ahead."""
        off_us = self.off_us(offset_us)
        if off_us is None or not self._tolerance_us:
            return []
        right_us = offset_us - off_us
        return [(one.broker, -one.off_us(right_us)) for one in self._times if abs(one.off_us(right_us)) > self._tolerance_us]

    def saw(self, symbol: str, ahead_us: int, elapsed: float, *, is_witness: bool, stream: str | None = None) -> None:
        """The newest record of a symbol's bars, or of a stream besides, is of `ahead_us` after this clock's now, below zero: before it.

        `is_witness` says that it vouches for the clock if it is not from the future.
        """
        if ahead_us > self._tolerance_us:
            self.saw_ahead(symbol, ahead_us, elapsed, stream)
            return
        self.saw_past(symbol, stream)
        if is_witness:
            self.saw_fresh(elapsed)

    def saw_fresh(self, elapsed: float) -> None:
        """A bar has come that ended just before this clock's now: its feed goes by the same time."""
        self._fresh_at = elapsed
        self._ahead.clear()
        self._considered.clear()
        self._latched = None

    def saw_ahead(self, symbol: str, ahead_us: int, elapsed: float, stream: str | None = None) -> None:
        """The newest record of a symbol's bars, or of a stream besides, is of `ahead_us` after this clock's now."""
        if ahead_us <= FARTHEST_US:
            known = self._ahead.get(symbol)
            if known is None or elapsed - known[0] >= EVIDENCE_SECONDS:
                self._considered[symbol] = elapsed  # what was said of it then is forgotten
            self._ahead[symbol] = elapsed, ahead_us, stream

    def saw_past(self, symbol: str, stream: str | None = None) -> None:
        """The newest record is not from the future: one that was is contradicted by those behind it."""
        if symbol in self._ahead and self._ahead[symbol][2] == stream:
            del self._ahead[symbol]
            self._considered.pop(symbol, None)

    def verdict(self, offset_us: int, elapsed: float) -> Verdict:
        """How the clock stands; `offset_us` is its now minus elapsed."""
        if not self._tolerance_us:
            return Verdict(Standing.UNKNOWN)
        off_us = self.off_us(offset_us)
        limit_us = self._tolerance_us * RIGHT_AGAIN if self._was_wrong else self._tolerance_us
        self._was_wrong = off_us is not None and abs(off_us) > limit_us
        if off_us is not None and self._was_wrong:
            standing = Standing.AHEAD if off_us > 0 else Standing.BEHIND
            return Verdict(standing, off_us, _off(off_us, len(self._times)))
        behind_us = self._behind_feeds_us(offset_us, elapsed, 2 if self._times else 1)
        if behind_us:
            other = "or all feeds are stamped wrongly" if self._times else "and no broker's clock is known"
            reason = f"this worker's clock is {behind_us / SECOND_US:,.1f} s or more behind all bars that come, {other}"
            return Verdict(Standing.BEHIND, -behind_us, reason, by_feeds=True)
        return Verdict(Standing.UNKNOWN if off_us is None else Standing.RIGHT, off_us or 0)

    def considers(self, symbol: str, elapsed: float, symbols: int) -> bool:
        """Whether a symbol's bar from the future has still to wait for what the other symbols say, `symbols` in all."""
        if not self._tolerance_us or self._is_fresh(elapsed) or symbols < 2:
            return False
        since = self._considered.get(symbol)
        return since is not None and elapsed - since < CONSIDER_SECONDS

    def contradicts(self, old_us: int, new_us: int, since: float) -> bool:
        """Whether the brokers' clocks, read since then, say that a clock leapt away from them; the two are clocks minus elapsed."""
        if self._measured_at < since or not self._tolerance_us:
            return False
        old, new = self.off_us(old_us), self.off_us(new_us)
        return old is not None and new is not None and abs(new) > self._tolerance_us and abs(new) > abs(old)

    def _is_fresh(self, elapsed: float) -> bool:
        return self._fresh_at is not None and elapsed - self._fresh_at < EVIDENCE_SECONDS

    def _behind_feeds_us(self, offset_us: int, elapsed: float, enough: int) -> int:
        """By how much the clock is behind all feeds, 0 for not. It holds until a feed says otherwise, or the clock is set."""
        if self._latched is not None:
            set_at_us, behind_us = self._latched
            if abs(offset_us - set_at_us) <= 2 * SECOND_US:
                return behind_us
            self._latched = None
            self._ahead.clear()
        if self._is_fresh(elapsed):
            return 0
        ahead = [
            ahead_us for at, ahead_us, _ in list(self._ahead.values()) if elapsed - at < EVIDENCE_SECONDS and ahead_us > self._tolerance_us
        ]
        if len(ahead) < enough:
            return 0
        self._latched = offset_us, min(ahead)
        return min(ahead)


def check_possible(now_us: int) -> None:
    """See that a clock says a time at which this software can run.

    Raises:
        ClockError: it does not.
    """
    if now_us < EARLIEST_US:
        raise ClockError(f"this machine's clock says {iso(now_us)}, which can't be right: set it, then start the worker")


def check_plausible(verdict: Verdict) -> None:
    """See that a clock is not further off than one that is wrong by accident.

    Raises:
        ClockError: it is off by more than an hour.
    """
    if verdict.is_wrong and abs(verdict.off_us) > FARTHEST_US:
        raise ClockError(f"{verdict.reason}, which can't be right: set it, then start the worker")


def _off(off_us: int, brokers: int) -> str:
    whose = "the broker's clock" if brokers == 1 else "the brokers' clocks"
    return f"this worker's clock is {abs(off_us) / SECOND_US:,.1f} s {'ahead of' if off_us > 0 else 'behind'} {whose}"
