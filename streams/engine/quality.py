"""How complete a symbol's bars are: quality in percent, and the gaps, by the calendar at a given instant.

Expected are the slots of the day that have ended by then and that have trading in them; a slot without a bar is missing,
and a gap is a maximal run of missing slots: one that spans a break of the exchange is one gap. A derived interval is
measured the same way, on its own bars. Where a missing bar is no gap (a sparse interval: no trade, no bar), the shells
ask nothing here: `SessionConfig.sparse` says so, and both answers are None or empty.
"""

from __future__ import annotations

from msgspec import Struct

from streams.engine.series import BarSeries
from streams.engine.slots import Slots
from streams.engine.symbol import SymbolSessionData
from streams.engine.views import GapInfo

__all__ = ["Completeness", "GapInfo", "completeness_of", "gaps_of", "quality_of"]


class Completeness(Struct, frozen=True):
    """How many bars of an interval there should be, and how many of those are there."""

    expected: int
    present: int

    @property
    def missing(self) -> int:
        """How many are not there."""
        return self.expected - self.present

    @property
    def quality(self) -> float | None:
        """Present of expected in percent; None before anything is expected."""
        return 100.0 * self.present / self.expected if self.expected else None


def completeness_of(data: SymbolSessionData, interval: str, now_us: int) -> Completeness | None:
    """What should be there and is, of a base or derived interval of the session; None for one that the symbol has not."""
    series = data.series(interval)
    if series is None:
        return None
    slots, present, confirmed = _counted(data, series)
    due = range(slots.ended(now_us))
    return Completeness(sum(one in present or one not in confirmed for one in due), sum(one in present for one in due))


def quality_of(data: SymbolSessionData, interval: str, now_us: int) -> float | None:
    """Bars present of bars expected between the open and `now_us`, in percent."""
    found = completeness_of(data, interval, now_us)
    return None if found is None else found.quality


def gaps_of(data: SymbolSessionData, interval: str, now_us: int) -> list[GapInfo]:
    """The gaps of a base or derived interval of the session, in order."""
    series = data.series(interval)
    if series is None:
        return []
    slots, present, confirmed = _counted(data, series)
    gaps: list[GapInfo] = []
    run: list[int] = []
    for number in range(slots.ended(now_us) + 1):
        if number < slots.ended(now_us) and number not in present:
            run += [number] if number not in confirmed else []
        elif run:
            start_us, end_us = slots.start_of(run[0]), slots.end_of(run[-1])
            retries = max((one.count for one in data.attempts if one.start_us < end_us and one.end_us > start_us), default=0)
            gaps.append(GapInfo(start_us, end_us, len(run), retries))
            run = []
    return gaps


def _counted(data: SymbolSessionData, series: BarSeries) -> tuple[Slots, set[int], set[int]]:
    slots, base = Slots(series.grid), Slots(data.bars.grid)
    present = {slots.before(start_us) for start_us in series.starts() if slots.before(start_us) < slots.through(start_us)}
    empty = {number for one in data.empty for number in range(base.starting_before(one.start_us), base.starting_before(one.end_us))}
    confirmed = set()
    for number in range(slots.total) if empty else ():
        first, after = base.starting_before(slots.start_of(number)), base.starting_before(slots.end_of(number))
        if first < after and empty.issuperset(range(first, after)):
            confirmed.add(number)
    return slots, present, confirmed
