"""Derived intervals that the config drops and takes back within a day: nothing that was told is told again as if it were new."""

from __future__ import annotations

import pytest

from streams.model.inputs import InputKind
from streams.model.records import AnalysisKind, Event, Marker, PublishedBar
from streams.model.transactions import TransactionResult
from streams.times import SECOND_US
from tests.support.engine import Desk, at, bar, config, minutes, shown

TEN = at("10:00")
WITH_FIVE = config("SPY", derived_intervals=["5m"], catchup_threshold_seconds=120)
WITHOUT = config("SPY", catchup_threshold_seconds=120)


def desk_with_five(minutes_in: int) -> Desk:
    desk = Desk(WITH_FIVE, TEN)
    desk.load("SPY")
    desk.flow(*minutes("SPY", TEN, minutes_in))
    return desk


def told_of_five(results: list[TransactionResult]) -> list[str]:
    """What was told of the five-minute bars: starts and revisions on analysis, extents and causes of what was held back."""
    words = []
    for outcome in (one for result in results for one in result.outcomes):
        if isinstance(outcome, PublishedBar) and outcome.interval == "5m":
            words.append(f"bar {(outcome.bar.start_us - TEN) // (60 * SECOND_US)} r{outcome.bar.revision}")
        if isinstance(outcome, Marker) and outcome.kind is AnalysisKind.HELD_BACK and outcome.interval == "5m":
            assert outcome.extent is not None
            words.append(f"held {(outcome.extent.first_start_us - TEN) // (60 * SECOND_US)} {outcome.extent.cause} x{outcome.extent.count}")
    return words


def test_an_interval_that_comes_back_tells_no_window_twice() -> None:
    desk = desk_with_five(12)
    desk.configure(WITHOUT)
    desk.configure(WITH_FIVE)
    desk.caught_up("SPY")
    desk.flow(*minutes("SPY", at("10:12"), 4))
    desk.command("remove_symbol", "SPY", immediate=True)
    assert told_of_five(desk.results) == ["bar 0 r0", "bar 5 r0", "bar 10 r0"]
    desk.check_redriven()


def test_a_window_that_was_missed_meanwhile_is_accounted_for_and_one_that_changed_is_a_revision() -> None:
    desk = desk_with_five(11)
    desk.configure(WITHOUT)
    desk.caught_up("SPY")
    desk.flow(*minutes("SPY", at("10:11"), 6))
    desk.feed(bar("SPY", at("10:01"), price=150.0))
    desk.configure(WITH_FIVE)
    assert [(one.start_us, one.revision, one.base_count) for one in desk.bars("SPY", "5m")] == [
        (TEN, 1, 5),
        (at("10:05"), 0, 5),
        (at("10:10"), 0, 5),
    ]
    assert desk.bars("SPY", "5m")[0].high == 150.25
    desk.command("remove_symbol", "SPY", immediate=True)
    assert told_of_five(desk.results) == ["bar 0 r0", "bar 5 r0", "held 0 reconfigured x2"]
    desk.check_redriven()


def test_a_window_that_the_clock_closed_early_goes_on_as_a_revision() -> None:
    desk = desk_with_five(3)
    desk.advance(at("10:05:10"))
    desk.configure(WITHOUT)
    desk.configure(WITH_FIVE)
    desk.caught_up("SPY")
    desk.feed(bar("SPY", at("10:03")))
    assert told_of_five(desk.results) == ["bar 0 r0", "bar 0 r1"]
    desk.check_redriven()


@pytest.mark.parametrize("restarts", [False, True])
def test_the_window_that_is_open_when_an_interval_comes_back_is_told_once(restarts: bool) -> None:
    desk = desk_with_five(13)
    desk.restores = restarts
    desk.configure(WITHOUT)
    desk.flow(bar("SPY", at("10:13")))
    desk.configure(WITH_FIVE)
    desk.caught_up("SPY")
    assert shown(desk.feed(bar("SPY", at("10:14")), now_us=at("10:15"))) == ["bar SPY 1m 10:14", "bar SPY 5m 10:10"]
    assert desk.bars("SPY", "5m")[-1].base_count == 5
    desk.check_redriven()


def test_bars_of_a_dropped_interval_are_not_read_and_go_with_their_day() -> None:
    desk = desk_with_five(12)
    desk.configure(config("SPY", historical={"trailing_days": 2}))
    desk.caught_up("SPY")
    assert desk.data("SPY").series("5m") is None
    assert [key for key in desk.table if key.startswith("bars|5m|")], "the day's are kept, so that they are known should it come back"
    tomorrow = "2013-10-08"
    desk.flow(bar("SPY", at("09:30", tomorrow)))
    assert [key for key in desk.table if key.startswith("bars|5m|")] == []
    assert list(desk.data("SPY").historical[desk.data("SPY").day.days - 1]) == ["1m"]
    desk.check_redriven()


def test_removing_a_symbol_removes_the_bars_of_a_dropped_interval_too() -> None:
    desk = desk_with_five(12)
    desk.configure(WITHOUT)
    desk.command("remove_symbol", "SPY", immediate=True)
    assert [key for key in desk.table if "SPY" in key] == []


def test_bars_that_another_config_made_of_a_failed_symbol_are_accounted_for_when_it_is_added_again() -> None:
    desk = desk_with_five(12)
    desk.apply(desk.about(InputKind.LOAD_FAILED, "SPY", reason="its topic was deleted"))
    desk.configure(config("SPY", derived_intervals=["5m", "2m"], catchup_threshold_seconds=120))
    assert len(desk.bars("SPY", "2m")) == 6
    told = desk.command("add_symbol", "SPY")
    assert shown(told) == ["held_back SPY 2m 6"]
    desk.check_redriven()


def test_a_changed_config_is_reported_with_every_key_that_changed() -> None:
    desk = desk_with_five(1)
    desk.configure(config("SPY", "IBM", derived_intervals=["5m", "15m"], catchup_threshold_seconds=90, bars_topic=True))
    (event,) = [one for one in desk.outcomes if isinstance(one, Event) and one.kind == "config_changed"]
    assert event.attributes == {
        "symbols": "SPY,IBM",
        "keys": "session_data_config.bars_topic, session_data_config.derived_intervals, "
        "session_data_config.streaming.catchup_threshold_seconds, session_data_config.symbols",
    }
    desk.check_redriven()
