"""Pace and rebasing: worked by hand for three one-minute bars that end at 10:01, 10:02 and 10:05 (minutes 601, 602, 605)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.files.pacing import Pace, Survey
from streams.model.records import Bar
from streams.times import MINUTE_US, SECOND_US

ENDS = (601 * MINUTE_US, 602 * MINUTE_US, 605 * MINUTE_US)
NOW_US = 1_000 * MINUTE_US + 20 * SECOND_US


def bar(end_us: int) -> Bar:
    return Bar("SPY", "1m", end_us - MINUTE_US, end_us, 1.0, 1.0, 1.0, 1.0, 1.0)


BARS = [bar(end_us) for end_us in ENDS]


def test_a_survey_counts_and_finds_the_ends() -> None:
    survey = Survey.of([*BARS, Bar("IBM", "5m", 0, 5 * MINUTE_US, 1.0, 1.0, 1.0, 1.0, 1.0)])
    assert survey.count == 4
    assert survey.counts == {"SPY": 3, "IBM": 1}
    assert survey.intervals == {"SPY": {"1m"}, "IBM": {"5m"}}
    assert (survey.first_end_us, survey.last_end_us, survey.longest_us) == (5 * MINUTE_US, ENDS[2], 5 * MINUTE_US)


def test_bars_as_they_are_are_due_by_their_distance_from_the_first() -> None:
    pace = Pace.plain(first_end_us=ENDS[0], speed=60.0, now_us=NOW_US)
    assert [pace.due_us(bar) - NOW_US for bar in BARS] == [0, SECOND_US, 4 * SECOND_US]
    assert [pace.moved(bar) for bar in BARS] == BARS


def test_rebased_at_full_speed_the_last_bar_ends_at_the_last_full_minute() -> None:
    pace = Pace.rebased(Survey.of(BARS), speed=None, now_us=NOW_US)
    assert [pace.moved(bar).end_us for bar in BARS] == [996 * MINUTE_US, 997 * MINUTE_US, 1_000 * MINUTE_US]
    assert all(pace.due_us(bar) <= NOW_US for bar in BARS)


def test_rebased_in_real_time_the_first_bar_has_just_ended_and_each_other_is_sent_at_its_end() -> None:
    pace = Pace.rebased(Survey.of(BARS), speed=1.0, now_us=NOW_US)
    moved = [pace.moved(bar).end_us for bar in BARS]
    assert moved == [1_000 * MINUTE_US, 1_001 * MINUTE_US, 1_004 * MINUTE_US]
    assert [pace.due_us(bar) for bar in BARS] == moved


def test_rebased_at_twice_real_time_the_feed_lags_at_first_and_has_caught_up_at_its_end() -> None:
    pace = Pace.rebased(Survey.of(BARS), speed=2.0, now_us=NOW_US)
    lags = [pace.due_us(bar) - pace.moved(bar).end_us for bar in BARS]
    # Four minutes of bars in two: two minutes behind, then one and a half, then none.
    assert lags == [2 * MINUTE_US, 90 * SECOND_US, 0]


@given(
    ends=st.lists(st.integers(1, 10_000), min_size=1, max_size=20, unique=True).map(sorted),
    speed=st.one_of(st.none(), st.floats(0.01, 10_000)),
    now_us=st.integers(10**15, 2 * 10**15),
)
def test_a_rebased_bar_is_aligned_and_never_sent_before_its_end(ends: list[int], speed: float | None, now_us: int) -> None:
    bars = [bar(end * MINUTE_US) for end in ends]
    pace = Pace.rebased(Survey.of(bars), speed=speed, now_us=now_us)
    for original in bars:
        moved = pace.moved(original)
        assert moved.end_us % MINUTE_US == 0
        assert moved.end_us - moved.start_us == MINUTE_US
        assert max(pace.due_us(original), now_us) >= moved.end_us - 1  # a microsecond of rounding


@pytest.mark.parametrize("speed", [None, 1.0, 7.5, 0.5])
def test_a_single_bar_is_rebased_to_the_last_full_minute(speed: float | None) -> None:
    pace = Pace.rebased(Survey.of(BARS[:1]), speed=speed, now_us=NOW_US)
    assert pace.moved(BARS[0]).end_us == 1_000 * MINUTE_US
