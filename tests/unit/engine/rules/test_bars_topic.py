"""Bars for the ungated topic: those that are held back become outcomes of their own, where the config asks for it and only there."""

from __future__ import annotations

from typing import Any

import pytest

from streams.config.session import SessionConfig
from streams.engine.rules import bars_topic
from streams.engine.transaction import Transaction
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import EventKind, HeldBackBar, Outcome, PublishedBar
from streams.times import MINUTE_US
from tests.support.engine import Desk, at, bar, config, events, minutes

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
    assert [one.bar.start_us for one in desk.outcomes if isinstance(one, HeldBackBar)] == [at("09:30"), at("09:31")]
    desk.check_redriven()


def turned_on(desk: Desk, values: dict[str, Any], now_us: int) -> list[Outcome]:
    values["session_data_config"]["bars_topic"] = True
    return desk.configure(values, now_us)


def test_the_topic_that_is_turned_on_gets_what_the_state_has_of_the_day() -> None:
    values = config("SPY", derived_intervals=["5m"], historical={"trailing_days": 2})
    desk = Desk(values, at("09:30"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("15:50"), 10), *minutes("SPY", at("09:30", TUESDAY), 8))
    desk.feed(bar("SPY", at("09:31", TUESDAY), price=101.0))
    filled = turned_on(desk, values, at("09:40", TUESDAY))
    bars = [one for one in filled if isinstance(one, HeldBackBar)]
    nine_thirty = at("09:30", TUESDAY)
    assert told(filled) == [
        *[("SPY", "1m", nine_thirty + number * MINUTE_US, True) for number in range(8)],
        ("SPY", "5m", nine_thirty, True),
    ]
    assert [(one.bar.close, one.bar.revision) for one in bars[:3]] == [(100.0, 0), (101.0, 1), (100.0, 0)], "each in its newest revision"
    assert bars[0].valid_until_us == nine_thirty + 2 * MINUTE_US
    assert {one.sequence for one in bars} == {desk.session.state.sequence}
    assert {one.trading_days for one in bars} == {desk.data("SPY").day.days}
    assert [one.attributes for one in events(filled, EventKind.BARS_TOPIC_FILLED)] == [{"bars": "9"}]
    assert desk.data("SPY").counts.accepted == desk.data("SPY").counts.published + desk.data("SPY").counts.held_back
    assert told(desk.advance(at("09:41", TUESDAY))) == [], "once"
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_many_bars_take_several_transactions_each_with_whole_symbols(monkeypatch: pytest.MonkeyPatch, restores: bool) -> None:
    monkeypatch.setattr(bars_topic, "MOST_BARS", 12)
    values = config("A", "B", "C", "D", "E")
    desk = Desk(values, at("09:30"), restores=restores)
    desk.load("A", "B", "C", "D", "E")
    desk.feed(*[one for symbol in "ABCDE" for one in minutes(symbol, at("09:30"), 10)], now_us=at("09:40"))
    sent = [turned_on(desk, values, at("09:41")), *(desk.advance(at("09:41") + number) for number in range(3))]
    filled = [[one.symbol for one in events(outcomes, EventKind.BARS_TOPIC_FILLED)] for outcomes in sent]
    assert filled == [["A", "B"], ["C", "D"], ["E"], []]
    assert [len(told(outcomes)) for outcomes in sent] == [20, 20, 10, 0]


def test_a_topic_that_is_turned_off_before_it_was_filled_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars_topic, "MOST_BARS", 1)
    values = config("A", "B")
    desk = Desk(values, at("09:30"))
    desk.load("A", "B")
    desk.feed(*minutes("A", at("09:30"), 3), *minutes("B", at("09:30"), 3), now_us=at("09:40"))
    turned_on(desk, values, at("09:41"))
    values["session_data_config"]["bars_topic"] = False
    assert {one[0] for one in told(desk.outcomes)} == {"A"}
    desk.restart(resumes=False)
    text = SessionConfig.from_dict(values).to_json()
    # As a worker does it: in one transaction.
    off = desk.apply(JournalInput(InputKind.RESUMED, reason="w"), JournalInput(InputKind.CONFIGURED, text=text), now_us=at("09:42"))
    assert told(off + desk.advance(at("09:43"))) == []


def test_under_the_first_rules_nothing_is_filled() -> None:
    values = config("SPY")
    desk = Desk(values, at("09:30"))
    desk.load("SPY")
    desk.feed(*minutes("SPY", at("09:30"), 3), now_us=at("09:40"))
    values["session_data_config"]["bars_topic"] = True
    transaction = Transaction(desk.session, owner="w", now_us=at("09:41"), rules=1)
    transaction.apply(JournalInput(InputKind.CONFIGURED, text=SessionConfig.from_dict(values).to_json()))
    assert told(transaction.finish().outcomes) == []
