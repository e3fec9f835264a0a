"""Bars for the ungated topic: those that are held back become outcomes of their own, where the config asks for it and only there."""

from __future__ import annotations

from streams.records import HeldBackBar, Outcome, PublishedBar
from streams.times import MINUTE_US
from tests.support.engine import Desk, at, bar, config, minutes

TUESDAY = "2013-10-08"


def told(outcomes: list[Outcome]) -> list[tuple[str, str, int, bool]]:
    """Symbol, interval, start and whether it was held back, of each bar that goes to the ungated topic."""
    return [
        (one.symbol, one.interval, one.bar.start_us, isinstance(one, HeldBackBar))
        for one in outcomes
        if isinstance(one, HeldBackBar | PublishedBar)
    ]


def test_without_the_config_key_nothing_is_told_of_a_bar_that_is_held_back() -> None:
    desk = Desk(config("SPY"), at("09:30"))
    desk.load("SPY")
    desk.feed(*minutes("SPY", at("09:30"), 30), now_us=at("10:00"))
    assert not any(isinstance(one, HeldBackBar) for one in desk.outcomes)
    assert not any(result.bars_topic for result in desk.results)


def test_a_backlog_is_told_of_bar_by_bar_with_the_sequence_given_out_last() -> None:
    desk = Desk(config("SPY", derived_intervals=["5m"], bars_topic=True), at("09:30"))
    desk.load("SPY")
    desk.feed(*minutes("SPY", at("09:30"), 10), now_us=at("10:00"))
    held = [one for one in desk.outcomes if isinstance(one, HeldBackBar)]
    base = [one for one in held if one.interval == "1m"]
    assert [one.bar.start_us for one in base] == [at("09:30") + number * MINUTE_US for number in range(10)]
    assert [one.bar.start_us for one in held if one.interval == "5m"] == [at("09:30"), at("09:35")]
    assert {one.sequence for one in held} == {desk.session.state.sequence}, "nothing came on analysis meanwhile"
    assert base[0].valid_until_us == base[0].bar.end_us + MINUTE_US
    assert all(result.bars_topic for result in desk.results)


def test_a_bar_is_either_published_or_held_back_and_told_of_once() -> None:
    desk = Desk(config("SPY", bars_topic=True), at("09:30"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 3))
    desk.feed(bar("SPY", at("09:33")), now_us=at("09:40"))
    desk.feed(*minutes("SPY", at("09:34"), 6), now_us=at("09:40"))
    told_of = told(desk.outcomes)
    assert [start for _, _, start, _ in told_of] == [at("09:30") + number * MINUTE_US for number in range(10)]
    assert [start for _, _, start, held in told_of if held] == [at("09:33") + number * MINUTE_US for number in range(5)]
    desk.check_redriven()


def test_a_late_bar_of_a_day_that_is_over_has_that_day_and_not_the_symbol_s() -> None:
    desk = Desk(config("SPY", derived_intervals=["5m"], bars_topic=True, historical={"trailing_days": 1}), at("09:30"))
    desk.load("SPY")
    desk.flow(*[one for one in minutes("SPY", at("09:30"), 5) if one.start_us != at("09:32")])
    desk.flow(bar("SPY", at("09:30", TUESDAY)))
    desk.feed(bar("SPY", at("09:32")), now_us=at("09:32", TUESDAY))
    late = [one for one in desk.outcomes if isinstance(one, HeldBackBar) and one.bar.start_us < at("09:30", TUESDAY)]
    monday = desk.data("SPY").day.days - 1
    assert [(one.interval, one.bar.start_us, one.trading_days) for one in late] == [
        ("5m", at("09:30"), monday),  # with what it had, as the day ended
        ("1m", at("09:32"), monday),
        ("5m", at("09:30"), monday),
    ]


def test_the_key_may_be_set_and_taken_away_at_a_restart() -> None:
    values = config("SPY")
    desk = Desk(values, at("09:30"))
    desk.load("SPY")
    desk.feed(bar("SPY", at("09:30")), now_us=at("09:40"))
    values["session_data_config"]["bars_topic"] = True
    desk.configure(values, at("09:41"))
    desk.feed(bar("SPY", at("09:31")), now_us=at("09:42"))
    values["session_data_config"]["bars_topic"] = False
    desk.configure(values, at("09:43"))
    desk.feed(bar("SPY", at("09:32")), now_us=at("09:44"))
    assert [one.bar.start_us for one in desk.outcomes if isinstance(one, HeldBackBar)] == [at("09:31")]
    desk.check_redriven()
