"""How complete a symbol's bars are: quality in percent, and the gaps, by the calendar at a given instant.

Expected are the slots of the day that have ended by then and that have trading in them; a slot without a bar is missing,
and a gap is a maximal run of missing slots: one that spans a break of the exchange is one gap. A derived interval is
measured the same way, on its own bars, but a window without a bar is missing only once its grace has passed: until then it may wait for
base bars. A slot without a bar that a source has none for either is not expected. Where a missing
bar is no gap (a sparse interval: no trade, no bar), the shells ask nothing here: `SessionConfig.sparse` says so, and both answers
are None or empty.

Nothing is counted here: `holes` keeps what is missing as bars come.
"""

from __future__ import annotations

from streams.engine.state.holes import Completeness
from streams.engine.state.symbol import SymbolSessionData
from streams.model.views import GapInfo

__all__ = ["Completeness", "GapInfo", "completeness_of", "gaps_of", "quality_of"]


def completeness_of(data: SymbolSessionData, interval: str, now_us: int, *, grace_us: int = 0) -> Completeness | None:
    """What should be there and is, of a base or derived interval of the session; None for one that the symbol has not.

    Args:
        data: the symbol.
        interval: one of its intervals.
        now_us: the instant, in microseconds since the epoch.
        grace_us: how long windows of the session wait for late base bars.
    """
    return data.completeness(interval, now_us, grace_us=grace_us)


def quality_of(data: SymbolSessionData, interval: str, now_us: int, *, grace_us: int = 0) -> float | None:
    """Bars present of bars expected between the open and `now_us`, in percent; parameters as for `completeness_of`."""
    return data.bar_quality(interval, now_us, grace_us=grace_us)


def gaps_of(data: SymbolSessionData, interval: str, now_us: int, *, grace_us: int = 0) -> list[GapInfo]:
    """The gaps of a base or derived interval of the session, in order; parameters as for `completeness_of`."""
    return data.bar_gaps(interval, now_us, grace_us=grace_us)
