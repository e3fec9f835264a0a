"""Feeds with holes, and sessions that have just opened and whose gap filler loses no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from streams.config.session import SessionConfig
from streams.model.records import Bar
from streams.times import MINUTE_US, SECOND_US, SystemClock
from tests.support.feeders import walk

RETRIES = 3


def opened_us() -> int:
    """When a session with holes has opened: at a whole minute, two to three minutes ago."""
    now_us = SystemClock().now_us()
    return now_us - now_us % MINUTE_US - 2 * MINUTE_US


def gappy_config(name: str, symbols: Sequence[str], open_us: int, **parts: Any) -> SessionConfig:
    """A session of one-second bars that opened then, with a gap filler that loses no time; what is older than ten seconds is stale."""
    turn = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=open_us)).strftime("%H:%M")
    data: dict[str, Any] = {
        "symbols": list(symbols),
        "streams": ["1s"],
        "derived_intervals": ["5s"],
        "sparse_intervals": [],
        "grace_seconds": 1,
        "streaming": {"catchup_threshold_seconds": 10},
        "gap_filler": {"enabled": True, "max_retries": RETRIES, "retry_interval_seconds": 1},
        **parts,
    }
    return SessionConfig.from_dict(
        {"session_name": name, "exchange": "24/7", "hours": {"open": turn, "close": turn}, "session_data_config": data}
    )


def between(bars: Sequence[Bar], first: int, end: int) -> list[Bar]:
    """The bars of seconds `first` to `end` after the open."""
    open_us = bars[0].start_us
    return [one for one in bars if open_us + first * SECOND_US <= one.start_us < open_us + end * SECOND_US]


@dataclass
class Holed:
    """A symbol whose feed has holes, in seconds after the open, and all bars that there were."""

    symbol: str
    bars: list[Bar]
    holes: list[tuple[int, int]]

    @classmethod
    def of(cls, symbol: str, open_us: int, *holes: tuple[int, int]) -> Holed:
        """Bars from the open until four minutes from now."""
        end_us = SystemClock().now_us() + 4 * MINUTE_US
        return cls(symbol, list(takewhile(lambda bar: bar.end_us < end_us, walk(symbol, open_us))), list(holes))

    @property
    def missing(self) -> list[Bar]:
        """What the feed has not."""
        return [one for first, end in self.holes for one in between(self.bars, first, end)]

    @property
    def fed(self) -> list[Bar]:
        """What the feed has."""
        missing = {one.start_us for one in self.missing}
        return [one for one in self.bars if one.start_us not in missing]

    def known_of_feed(self) -> list[Bar]:
        """What the feed has had by now."""
        now_us = SystemClock().now_us()
        return [one for one in self.fed if one.end_us <= now_us]

    def known(self, *unknown: tuple[int, int]) -> list[Bar]:
        """What a source has by now: everything but some stretches."""
        now_us = SystemClock().now_us()
        gone = {one.start_us for first, end in unknown for one in between(self.bars, first, end)}
        return [one for one in self.bars if one.end_us <= now_us and one.start_us not in gone]
