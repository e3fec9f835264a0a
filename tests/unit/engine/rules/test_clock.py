"""A worker's clock that is wrong, as an input: the gate is shut until it is right, and what came meanwhile is read before it opens."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streams.errors import EngineError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import EventKind
from streams.model.rows import SESSION_KEY, SessionRow
from streams.times import MINUTE_US, SECOND_US, to_us
from tests.support.engine import Desk, at, config, events, minutes, shown

TEN = at("10:00")
WHY = "this worker's clock is 120.0 s behind the brokers'"
BEHIND_US = 120 * SECOND_US


def desk_of(*symbols: str) -> Desk:
    desk = Desk(config(*symbols), TEN)
    desk.load(*symbols)
    return desk


def wrong(now_us: int) -> JournalInput:
    return JournalInput(InputKind.CLOCK, reason=WHY, start_us=now_us, end_us=now_us + BEHIND_US)


RIGHT = JournalInput(InputKind.CLOCK)


def row(desk: Desk) -> SessionRow:
    found = desk.table[SESSION_KEY]
    assert isinstance(found, SessionRow)
    return found


def test_a_wrong_clock_shuts_the_gate_though_no_symbol_lags_and_its_bars_are_held_back() -> None:
    desk = desk_of("SPY")
    desk.flow(*minutes("SPY", TEN, 2))
    assert desk.active
    now_us = at("10:02:01")
    got = desk.apply(wrong(now_us), now_us=now_us)
    assert shown(got) == ["deactivated clock"]
    (event,) = events(got, EventKind.CLOCK_WRONG)
    assert (event.reason, event.attributes) == (WHY, {"behind_seconds": "120.000"})
    assert (row(desk).gate_reason, row(desk).clock_reason, row(desk).clock_behind_us) == ("clock", WHY, BEHIND_US)
    # A bar that looks fresh by the wrong clock may be two minutes old.
    assert shown(desk.flow(*minutes("SPY", at("10:02"), 3))) == []
    desk.check_redriven()


def test_once_the_clock_is_right_the_gate_opens_after_what_came_meanwhile_is_read() -> None:
    desk = desk_of("SPY", "IBM")
    desk.flow(*minutes("SPY", TEN, 2))
    desk.apply(wrong(at("10:02:01")), now_us=at("10:02:01"))
    desk.produce(*minutes("SPY", at("10:02"), 3))
    got = desk.apply(RIGHT, now_us=at("10:05:10"))
    assert shown(got) == [], "bars that came meanwhile are still to be read"
    assert len(events(got, EventKind.CLOCK_RIGHT)) == 1
    assert (row(desk).active, row(desk).gate_reason, row(desk).clock_reason) == (False, "recovering", None)
    assert [desk.data(one).backlog and desk.data(one).lagging for one in ("SPY", "IBM")] == [True, True]
    desk.read("SPY", now_us=at("10:05:11"))
    desk.caught_up("SPY", now_us=at("10:05:11"))
    assert not desk.active, "IBM is still to be read to its end"
    got = desk.caught_up("IBM", now_us=at("10:05:12"))
    assert shown(got) == ["held_back SPY 1m 3", "activated caught_up"]
    desk.check_redriven()


def test_neither_a_fresh_bar_nor_a_symbol_that_caught_up_opens_the_gate_while_the_clock_is_wrong() -> None:
    desk = desk_of("SPY", "IBM")
    desk.flow(*minutes("SPY", TEN, 1), *minutes("IBM", at("10:01"), 1))
    late = at("10:05")
    assert shown(desk.feed(*minutes("SPY", at("10:01"), 1), now_us=late)) == ["deactivated lagging"]
    got = desk.apply(wrong(late), now_us=late)
    assert shown(got) == [], "the gate is shut already, and readers are told only that it is"
    assert row(desk).gate_reason == "clock"
    assert shown(desk.flow(*minutes("SPY", at("10:05"), 1))) == []
    assert not desk.data("SPY").lagging
    assert not desk.active


def test_a_worker_that_goes_on_keeps_the_gate_shut_until_its_own_clock_is_judged() -> None:
    desk = desk_of("SPY")
    desk.apply(wrong(TEN), now_us=TEN)
    assert shown(desk.restart(at("10:00:10"))) == []
    assert not desk.active
    assert row(desk).clock_reason == WHY


def test_a_clock_that_was_right_and_is_said_to_be_changes_nothing() -> None:
    desk = desk_of("SPY")
    got = desk.apply(RIGHT, now_us=TEN)
    assert (shown(got), events(got)) == ([], [])
    assert desk.active


def test_a_session_without_symbols_opens_as_soon_as_its_clock_is_right() -> None:
    desk = Desk(config(), TEN)
    desk.apply(wrong(TEN), now_us=TEN)
    assert not desk.active
    assert shown(desk.apply(RIGHT, now_us=at("10:01"))) == ["activated clock"]


def test_a_slow_clock_that_is_set_right_rolls_no_day_before_the_bars_that_it_held_back_are_read() -> None:
    # By the slow clock it is 23:58 of Monday, by the right one 00:08 of Tuesday, and no past day is kept.
    midnight = to_us(datetime(2013, 10, 8, tzinfo=UTC))
    desk = Desk(config("SPY", exchange="24/7", historical={"trailing_days": 0}), midnight - 10 * MINUTE_US)
    desk.load("SPY")
    desk.flow(*minutes("SPY", midnight - 10 * MINUTE_US, 8))
    desk.apply(wrong(desk.now_us), now_us=desk.now_us)
    desk.produce(*minutes("SPY", midnight - 2 * MINUTE_US, 3))
    desk.apply(RIGHT, now_us=midnight + 8 * MINUTE_US)
    assert desk.data("SPY").backlog
    desk.read("SPY")
    assert (desk.data("SPY").counts.other_day, desk.data("SPY").counts.late) == (0, 0)
    (rolled,) = [event for event in events(desk.outcomes) if event.kind is EventKind.SYMBOL_ROLLED]
    assert rolled.attributes["bars"] == "10", "Monday's last two minutes are part of its day"
    desk.check_redriven()


def test_a_clock_that_is_right_again_must_be_the_first_input_of_its_transaction() -> None:
    desk = desk_of("SPY")
    desk.apply(wrong(TEN), now_us=TEN)
    transaction = desk.begin(at("10:05"))
    transaction.apply(desk.about(InputKind.CAUGHT_UP, "SPY"))
    with pytest.raises(EngineError, match="must begin with that: time may only go on after it"):
        transaction.apply(RIGHT)


def test_a_worker_that_goes_on_may_say_first_that_it_does_and_then_that_its_clock_is_right() -> None:
    desk = desk_of("SPY")
    desk.apply(wrong(TEN), now_us=TEN)
    desk.restart(resumes=False)
    got = desk.apply(JournalInput(InputKind.RESUMED, reason="other"), RIGHT, now_us=at("10:05"))
    assert [event.kind for event in events(got, EventKind.SESSION_RESUMED, EventKind.CLOCK_RIGHT)] == ["session_resumed", "clock_right"]
    assert desk.data("SPY").backlog
    desk.check_redriven()
