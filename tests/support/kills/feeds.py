"""Feeds of a kill run whose bars are missing, late and corrected as its plan has it, and the history source that has most of them.

feed = holed_feed(bars, plan.stretches_of(0))       # for `SteadyFeed`: in order of when each is to be sent
store.write_bars(known_bars(bars, plan.stretches_of(0)))
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from streams.config.session import SessionConfig
from streams.model.records import Bar
from streams.times import DAY_US, MINUTE_US, SECOND_US, from_us
from tests.support.feeders import walk
from tests.support.kills.plan import Flaw, Stretch
from tests.support.sessions.sessions import thresholds_of_all_kinds

PAST_DAYS = 2
PAST_BARS = 90
"""Of each day before: they need not fill it."""
LEAD_SECONDS = 40
"""How many bars of a feed with holes are there already when it begins."""
SLOWEST_DERIVED = "1m"
DERIVED = ("5s", SLOWEST_DERIVED)
INDICATORS = [
    {"name": "prior_close", "kind": "prior_close"},
    {"name": "prior_high", "kind": "prior_high"},
    {"name": "volume2", "kind": "average_daily_volume", "period": 2},
    {"name": "mean10", "kind": "sma", "interval": "5s", "period": 10},
]


def everything_on(name: str, symbols: Sequence[str], holed: Sequence[str], open_us: int, threshold_seconds: int) -> SessionConfig:
    """A session that has opened at a whole minute, with all that a config can turn on; a missing bar of `holed` symbols is a gap."""
    turn = from_us(open_us).strftime("%H:%M")
    own = thresholds_of_all_kinds(symbols, threshold_seconds)
    own |= {symbol: {"sparse": False} for symbol in holed}
    own[holed[0]] = {"sparse": False, "catchup_threshold_seconds": 12, "gates": False}  # what fills its gaps is stale, mostly
    data = {
        "symbols": list(symbols),
        "streams": ["1s", "quotes", "ticks"],
        "derived_intervals": list(DERIVED),
        "streaming": {"catchup_threshold_seconds": threshold_seconds, "symbols": own},
        "historical": {"trailing_days": PAST_DAYS, "indicators": INDICATORS},
        "gap_filler": {"enabled": True, "max_retries": 3, "retry_interval_seconds": 2},
        "quality": {"publish_seconds": 2},
        "interval_complete": ["1s", *DERIVED],
        "bars_topic": True,
    }
    hours = {"open": turn, "close": turn}
    return SessionConfig.from_dict({"session_name": name, "exchange": "24/7", "hours": hours, "session_data_config": data})


def open_before(instant_us: int) -> int:
    """A whole minute, one or two before an instant."""
    return instant_us - instant_us % MINUTE_US - MINUTE_US


def past_bars(symbol: str, open_us: int) -> list[Bar]:
    """Bars of the days before: the first minutes of each."""
    days = range(PAST_DAYS, 0, -1)
    return [bar for back in days for bar in islice(walk(symbol, open_us - back * DAY_US, seed=back), PAST_BARS)]


def holed_feed(bars: Sequence[Bar], stretches: Iterable[Stretch]) -> Iterator[Bar]:
    """What a feed sends, in order of when: bars at their end, some later or once more."""
    flaws = _by_second(stretches)
    later: list[tuple[int, int, Bar]] = []
    for second, bar in enumerate(bars):
        while later and later[0][0] <= bar.end_us:
            yield heapq.heappop(later)[2]
        stretch = flaws.get(second)
        due_us = bar.end_us + (0 if stretch is None else stretch.delay_seconds * SECOND_US)
        match None if stretch is None else stretch.flaw:
            case Flaw.KNOWN | Flaw.UNKNOWN:
                continue
            case Flaw.LATE:
                heapq.heappush(later, (due_us, second, bar))
                continue
            case Flaw.CORRECTED:
                heapq.heappush(later, (due_us, second, _corrected(bar)))
        yield bar


def _corrected(bar: Bar) -> Bar:
    return msgspec.structs.replace(bar, high=bar.high + 0.25, volume=bar.volume + 1.0)


def known_bars(bars: Sequence[Bar], stretches: Iterable[Stretch]) -> list[Bar]:
    """What the history source has of them: what lacks in no feed is there too, as it came first."""
    flaws = _by_second(stretches)
    return [bar for second, bar in enumerate(bars) if second not in flaws or flaws[second].flaw is not Flaw.UNKNOWN]


def _by_second(stretches: Iterable[Stretch]) -> dict[int, Stretch]:
    return {second: one for one in stretches for second in range(one.first, one.first + one.seconds)}
