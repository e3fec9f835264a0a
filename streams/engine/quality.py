"""How complete a symbol's bars are: quality in percent, and the gaps, by the calendar at a given instant.

Expected are the slots of the day that have ended by then and that have trading in them; a slot without a bar is missing,
and a gap is a maximal run of missing slots: one that spans a break of the exchange is one gap. A derived interval is
measured the same way, on its own bars. Where a missing bar is no gap (a sparse interval: no trade, no bar), the shells
ask nothing here: `SessionConfig.sparse` says so, and both answers are None or empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from msgspec import Struct

from streams.engine.series import BarSeries
from streams.engine.symbol import SymbolSessionData


class GapInfo(Struct, frozen=True):
    """A maximal run of `bar_count` missing bars within `[start_us, end_us)`; `retry_count` counts attempts to fill it."""

    start_us: int
    end_us: int
    bar_count: int
    retry_count: int = 0


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
    expected = series.grid.expected_until(now_us)
    present = sum(1 for _ in _ended(series, now_us))
    return Completeness(expected, present)


def quality_of(data: SymbolSessionData, interval: str, now_us: int) -> float | None:
    """Bars present of bars expected between the open and `now_us`, in percent."""
    found = completeness_of(data, interval, now_us)
    return None if found is None else found.quality


def gaps_of(data: SymbolSessionData, interval: str, now_us: int) -> list[GapInfo]:
    """The gaps of a base or derived interval of the session, in order."""
    series = data.series(interval)
    if series is None:
        return []
    grid = series.grid
    present = _ended(series, now_us)
    next_present = next(present, None)
    gaps: list[GapInfo] = []
    first_us, last_us, count = 0, 0, 0
    for start_us in grid.starts(now_us):
        if start_us != next_present:
            first_us, last_us, count = (first_us if count else start_us), start_us, count + 1
            continue
        next_present = next(present, None)
        if count:
            gaps.append(GapInfo(first_us, grid.end_of(last_us), count))
            count = 0
    if count:
        gaps.append(GapInfo(first_us, grid.end_of(last_us), count))
    return gaps


def _ended(series: BarSeries, now_us: int) -> Iterator[int]:
    """Starts of the bars that have ended by `now_us`: a tolerated one from the future is not expected yet."""
    end_of = series.grid.end_of
    return takewhile(lambda start_us: end_of(start_us) <= now_us, series.starts())
