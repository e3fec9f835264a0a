"""A different bar for a known start replaces it: what was made of the old one is made again, by any sequence of bars.

What is expected is counted here from the last version of each bar, the plain way.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine.reads import SessionData
from streams.model.records import Bar, EventKind
from streams.times import MINUTE_US
from tests.support.engine import Desk, at, bar, config, events

OPEN_US = at("09:30")
INTERVALS = {"3m": 3, "5m": 5}


class Version(NamedTuple):
    """One bar that comes: the minute of the day, and what it says."""

    minute: int
    high: float
    low: float
    volume: float
    is_filled: bool


versions = st.builds(
    Version,
    minute=st.integers(0, 24),
    # Far apart, so that the day's high and low are often those of one bar, which may then be replaced.
    high=st.sampled_from([101.0, 105.0, 150.0]),
    low=st.sampled_from([99.0, 95.0, 50.0]),
    volume=st.sampled_from([0.0, 0.1, 0.2, 7.5, 1e6]),
    is_filled=st.booleans(),
)


def made(one: Version) -> Bar:
    fields = {"high": one.high, "low": one.low, "volume": one.volume, "provenance": "gap_fill" if one.is_filled else "feed"}
    return bar("SPY", OPEN_US + one.minute * MINUTE_US, **fields)


def take(kept: dict[int, tuple[Version, int]], one: Version) -> None:
    """As the rules say: a different one replaces and counts up, one that fills gaps only fills them."""
    if one.minute not in kept:
        kept[one.minute] = (one, 0)
        return
    before, revision = kept[one.minute]
    if before[1:4] != one[1:4] and not one.is_filled:
        kept[one.minute] = (one, revision + 1)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(batches=st.lists(st.lists(versions, min_size=1, max_size=8), max_size=12), restores=st.booleans())
def test_after_any_bars_all_that_is_made_of_them_is_made_of_their_last_versions(batches: list[list[Version]], restores: bool) -> None:
    values = config("SPY", derived_intervals=list(INTERVALS), catchup_threshold_seconds=36_000)
    desk = Desk(values, OPEN_US, restores=restores)
    desk.load("SPY")
    kept: dict[int, tuple[Version, int]] = {}
    corrected = 0
    for batch in batches:
        for one in batch:
            before = kept.get(one.minute)
            take(kept, one)
            corrected += before is not None and kept[one.minute] != before
        desk.feed(*map(made, batch), now_us=OPEN_US + 30 * MINUTE_US)
        check(desk, kept)
    assert len(events(desk.outcomes, EventKind.BAR_CORRECTED)) == corrected == (desk.data("SPY").counts.corrected)
    desk.check_redriven()


def check(desk: Desk, kept: dict[int, tuple[Version, int]]) -> None:
    """Bars, metrics, and the derived bars of windows that are closed."""
    found = [((one.start_us - OPEN_US) // MINUTE_US, one.high, one.low, one.volume, one.revision) for one in desk.bars("SPY")]
    assert found == [(minute, one.high, one.low, one.volume, revision) for minute, (one, revision) in sorted(kept.items())]
    volume = 0.0
    for _, (one, _) in sorted(kept.items()):
        volume += one.volume
    metrics = SessionData(desk.session.state).get_session_metrics("SPY", internal=True)
    assert metrics is not None
    assert (metrics.volume, metrics.bar_count) == (volume, len(kept))
    assert metrics.high == max((one.high for one, _ in kept.values()), default=None)
    assert metrics.low == min((one.low for one, _ in kept.values()), default=None)
    for interval, width in INTERVALS.items():
        windows: dict[int, list[Version]] = defaultdict(list)
        for minute, (one, _) in sorted(kept.items()):
            windows[minute // width].append(one)
        for derived in desk.bars("SPY", interval):
            parts = windows[(derived.start_us - OPEN_US) // MINUTE_US // width]
            volume = 0.0
            for one in parts:
                volume += one.volume
            assert (derived.high, derived.low, derived.volume, derived.base_count) == (
                max(one.high for one in parts), min(one.low for one in parts), volume, len(parts),
            ), interval  # fmt: skip


def test_the_days_high_goes_with_the_bar_that_had_it() -> None:
    desk = Desk(config("SPY"), OPEN_US)
    desk.load("SPY")
    desk.flow(bar("SPY", OPEN_US, high=200.0, low=1.0), bar("SPY", OPEN_US + MINUTE_US))
    desk.feed(bar("SPY", OPEN_US))
    data = desk.data("SPY")
    assert (data.session_high, data.session_low, data.session_volume) == (100.25, 99.75, 20.0)
    assert [one.revision for one in desk.bars("SPY")] == [1, 0]


def test_a_correction_changes_neither_quality_nor_gaps() -> None:
    desk = Desk(config("SPY"), OPEN_US)
    desk.load("SPY")
    desk.flow(bar("SPY", OPEN_US), bar("SPY", OPEN_US + 2 * MINUTE_US))
    before = desk.data("SPY").bar_gaps("1m", desk.now_us)
    desk.feed(bar("SPY", OPEN_US, price=101.0))
    assert desk.data("SPY").bar_gaps("1m", desk.now_us) == before
    assert len(before) == 1
