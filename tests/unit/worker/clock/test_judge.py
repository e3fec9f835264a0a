"""Whether a worker's clock is right: by the brokers' clocks, of which one may be wrong, and by what all feeds say."""

from __future__ import annotations

from datetime import datetime

import pytest

from streams.errors import ClockError
from streams.times import HOUR_US, SECOND_US, to_us
from streams.worker.clock.judge import BrokerTime, ClockJudge, Standing, check_plausible, check_possible

TOLERANCE_US = 5 * SECOND_US


def judge_of(*ahead_seconds: float, answer_seconds: float = 0.0) -> ClockJudge:
    """A judge of a clock whose offset is 0, and which is so far ahead of each broker's at least."""
    judge = ClockJudge(TOLERANCE_US)
    times = [
        BrokerTime(number, round((-ahead - answer_seconds) * SECOND_US), round(-ahead * SECOND_US))
        for number, ahead in enumerate(ahead_seconds)
    ]
    judge.measured(times, 0.0)
    return judge


@pytest.mark.parametrize(
    ("ahead_seconds", "standing", "why"),
    [
        ((0.0,), Standing.RIGHT, "the same"),
        ((3.0,), Standing.RIGHT, "3 s do no harm"),
        ((-3.0,), Standing.RIGHT, "nor do they behind"),
        ((5.0,), Standing.RIGHT, "exactly the tolerance is within it"),
        ((5.001,), Standing.AHEAD, "above it"),
        ((-120.0,), Standing.BEHIND, "two minutes behind"),
        ((3000.0,), Standing.AHEAD, "fifty minutes ahead"),
        ((), Standing.UNKNOWN, "no broker was asked"),
        ((0.0, 0.0, -120.0), Standing.RIGHT, "one of three brokers is 120 s ahead: it is outvoted"),
        ((-120.0, -120.0, 0.0), Standing.BEHIND, "two of three say that this clock is behind"),
        ((0.0, -120.0), Standing.RIGHT, "of two that disagree one agrees with this clock"),
        ((-60.0, 60.0), Standing.RIGHT, "of two this clock is in the middle: nobody outvotes it"),
        ((-120.0, -60.0), Standing.BEHIND, "both say that it is behind"),
    ],
)
def test_a_clock_is_wrong_when_the_median_broker_says_so(ahead_seconds: tuple[float, ...], standing: Standing, why: str) -> None:
    assert judge_of(*ahead_seconds).verdict(0, 1.0).standing is standing, why


def test_the_verdict_names_which_way_and_how_far() -> None:
    assert judge_of(-120.0).verdict(0, 1.0).reason == "this worker's clock is 120.0 s behind the broker's clock"
    assert judge_of(3000.0, 3000.0).verdict(0, 1.0).reason == "this worker's clock is 3,000.0 s ahead of the brokers' clocks"


def test_an_answer_that_took_long_makes_no_clock_wrong() -> None:
    # An answer that took 28 s and seems to be of 30 s later than it arrived may have been stamped 2 s after it was asked for.
    verdict = judge_of(-30.0, answer_seconds=28.0).verdict(0, 1.0)
    assert (verdict.standing, verdict.off_us) == (Standing.RIGHT, -2 * SECOND_US)
    verdict = judge_of(-30.0, answer_seconds=20.0).verdict(0, 1.0)
    assert (verdict.standing, verdict.off_us) == (Standing.BEHIND, -10 * SECOND_US)
    assert judge_of(-20.0, answer_seconds=30.0).verdict(0, 1.0).off_us == 0


def test_a_measurement_holds_when_the_clock_is_set() -> None:
    judge = judge_of(-120.0)
    assert judge.verdict(0, 1.0).standing is Standing.BEHIND
    assert judge.verdict(120 * SECOND_US, 500.0).standing is Standing.RIGHT


def test_a_clock_that_was_wrong_is_right_again_a_little_within_the_tolerance() -> None:
    judge = judge_of(0.0)
    offs = [(6, True), (4.9, True), (4.1, True), (4.0, False), (4.9, False), (5.1, True)]
    assert [judge.verdict(round(off * SECOND_US), 1.0).is_wrong for off, _ in offs] == [wrong for _, wrong in offs]


def test_a_broker_whose_clock_is_off_is_named() -> None:
    assert judge_of(0.0, 1.0, -120.0).brokers_off(0) == [(2, 120 * SECOND_US)]
    assert judge_of(-120.0, -120.0, 0.0).brokers_off(0) == [(2, -120 * SECOND_US)]
    assert judge_of(-120.0).brokers_off(0) == []


def test_without_a_tolerance_nothing_is_judged() -> None:
    judge = ClockJudge(0)
    judge.measured([BrokerTime(1, HOUR_US, HOUR_US)], 0.0)
    judge.saw_ahead("SPY", 60 * SECOND_US, 1.0)
    assert judge.verdict(0, 1.0).standing is Standing.UNKNOWN
    assert not judge.considers("SPY", 1.0, 2)
    assert not judge.contradicts(HOUR_US, 0, 0.0)


def test_where_all_feeds_are_ahead_the_clock_is_behind_though_a_broker_beside_it_agrees_with_it() -> None:
    judge = judge_of(0.0)
    judge.saw_ahead("SPY", 118 * SECOND_US, 1.0)
    assert judge.considers("SPY", 1.0, 2), "one symbol may be stamped wrongly: the other is waited for"
    assert judge.verdict(0, 1.0).standing is Standing.RIGHT
    judge.saw_ahead("IBM", 119 * SECOND_US, 2.0)
    verdict = judge.verdict(0, 2.0)
    assert (verdict.standing, verdict.off_us, verdict.by_feeds) == (Standing.BEHIND, -118 * SECOND_US, True)
    assert judge.verdict(0, 500.0).is_wrong, "silence is no news"
    judge.measured([BrokerTime(0, 118 * SECOND_US, 118 * SECOND_US)], 501.0)
    assert not judge.verdict(118 * SECOND_US, 501.0).is_wrong, "both clocks were set"


def test_one_feed_that_comes_on_time_vouches_for_the_clock() -> None:
    judge = judge_of(0.0)
    judge.saw_ahead("SPY", 60 * SECOND_US, 1.0)
    judge.saw_ahead("IBM", 60 * SECOND_US, 1.0)
    assert judge.verdict(0, 1.0).is_wrong
    judge.saw_fresh(2.0)
    judge.saw_ahead("SPY", 60 * SECOND_US, 3.0)
    judge.saw_ahead("IBM", 60 * SECOND_US, 3.0)
    assert not judge.verdict(0, 3.0).is_wrong
    assert not judge.considers("SPY", 3.0, 3)


def test_a_symbol_alone_is_waited_with_for_ten_seconds_then_it_is_its_feed_that_is_wrong() -> None:
    judge = judge_of(0.0)
    for elapsed, considers in ((1.0, True), (10.9, True), (11.0, False), (60.0, False)):
        judge.saw_ahead("SPY", 60 * SECOND_US, elapsed)
        assert judge.considers("SPY", elapsed, 2) is considers
    assert not judge.verdict(0, 60.0).is_wrong


def test_a_symbol_that_was_waited_with_is_waited_with_again_when_that_was_long_ago() -> None:
    judge = judge_of(0.0)
    for elapsed, considers in ((1.0, True), (11.0, False), (130.9, False), (251.0, True), (261.0, False)):
        judge.saw_ahead("SPY", 60 * SECOND_US, elapsed)
        assert judge.considers("SPY", elapsed, 2) is considers, elapsed


def test_what_time_it_is_at_the_latest_is_what_the_median_broker_says() -> None:
    assert ClockJudge(TOLERANCE_US).latest_us(7.0) is None
    assert judge_of(-4.0, answer_seconds=1.0).latest_us(7.0) == 11 * SECOND_US
    assert judge_of(-4.0, 0.0, -120.0).latest_us(7.0) == 11 * SECOND_US
    assert judge_of(-4.0, 0.0).latest_us(7.0) == 11 * SECOND_US, "of two the one that is ahead: nothing is a dead letter by the other"


def test_what_was_measured_before_a_leap_that_is_believed_counts_no_more() -> None:
    judge = judge_of(0.0)
    judge.measured([BrokerTime(0, 0, 0)], 5.0)
    judge.believed(4.0)
    assert judge.verdict(0, 15.0).standing is Standing.RIGHT, "they were asked since the leap"
    judge.believed(6.0)
    judge.measured([BrokerTime(0, 0, 0)], 5.9)
    assert judge.verdict(120 * SECOND_US, 16.0).standing is Standing.UNKNOWN, "an answer that was on its way counts as little"
    judge.measured([BrokerTime(0, 120 * SECOND_US, 120 * SECOND_US)], 17.0)
    assert judge.verdict(120 * SECOND_US, 17.0).standing is Standing.RIGHT


def test_without_a_brokers_clock_one_symbol_suffices() -> None:
    judge = ClockJudge(TOLERANCE_US)
    judge.saw_ahead("SPY", 60 * SECOND_US, 1.0)
    assert judge.verdict(0, 1.0).standing is Standing.BEHIND


def test_a_bar_that_is_hours_ahead_says_nothing_of_the_clock() -> None:
    judge = ClockJudge(TOLERANCE_US)
    judge.saw_ahead("SPY", 2 * HOUR_US, 1.0)
    assert not judge.verdict(0, 1.0).is_wrong


@pytest.mark.parametrize(
    ("old", "new", "expected", "why"),
    [
        (0, 3000, True, "it leapt away from the right time"),
        (0, 4, False, "within the tolerance"),
        (-120, 0, False, "it was wrong, and was set right"),
        (-120, -60, False, "it was set nearer to the right time"),
        (-60, -120, True, "further off"),
    ],
)
def test_a_leap_is_contradicted_when_it_leads_away_from_the_brokers(old: int, new: int, expected: bool, why: str) -> None:
    judge = judge_of(0.0)
    assert judge.contradicts(old * SECOND_US, new * SECOND_US, 0.0) is expected, why
    assert not judge.contradicts(old * SECOND_US, new * SECOND_US, 1.0), "the brokers were not asked since"


def test_a_clock_of_1976_can_not_be_right() -> None:
    with pytest.raises(ClockError, match="this machine's clock says 1976-05-01T00:00:00Z, which can't be right: set it"):
        check_possible(to_us(datetime.fromisoformat("1976-05-01T00:00:00+00:00")))
    check_possible(to_us(datetime.fromisoformat("2020-01-01T00:00:00+00:00")))


def test_more_than_an_hour_off_can_not_be_right_either() -> None:
    check_plausible(judge_of(3600.0).verdict(0, 1.0))
    with pytest.raises(ClockError, match=r"this worker's clock is 7,200.0 s ahead of the broker's clock, which can't be right"):
        check_plausible(judge_of(7200.0).verdict(0, 1.0))
    with pytest.raises(ClockError, match=r"3,601\.0 s behind"):
        check_plausible(judge_of(-3601.0).verdict(0, 1.0))
    assert ClockError.exit_code == 23
