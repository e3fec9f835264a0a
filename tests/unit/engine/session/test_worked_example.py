"""The worked example of the design, number by number, and each way in which the classic rule fails."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.state.symbol import SymbolSessionData
from streams.model.inputs import InputKind
from streams.model.records import AnalysisKind, EventKind, LaggingSymbol
from streams.times import MINUTE_US
from tests.support.engine import Desk, at, bar, config, events, markers, minutes, shown

OPEN, NOON = at("09:30"), at("12:00")
CLASSIC: dict[str, Any] = {
    "reference": "open", "check": "interval", "catchup_check_interval": 10, "catchup_threshold_seconds": 60, "future_tolerance_seconds": 60,
}  # fmt: skip


def classic_desk() -> Desk:
    """12:00, the session active with RIVN, whose 47 bars since 11:13 are in."""
    desk = Desk(config("RIVN", **CLASSIC, derived_intervals=["5m", "15m"]), at("11:13"))
    desk.load("RIVN")
    desk.flow(*minutes("RIVN", at("11:13"), 47))
    assert (desk.now_us, desk.data("RIVN").checks, desk.active) == (NOON, 47, True)
    return desk


def lag_seconds(data: SymbolSessionData) -> float:
    return data.lag_us / 1_000_000


def test_the_worked_example_live_with_now_standing_at_noon() -> None:
    desk = classic_desk()
    desk.add("AAPL", backlog=151)
    desk.produce(*minutes("AAPL", OPEN, 151))
    aapl = desk.data("AAPL")
    assert desk.active, "adding a symbol does not close the gate: its first bar does"

    first = desk.read("AAPL", count=1)
    assert (aapl.checks, lag_seconds(aapl)) == (1, 9000.0)
    assert shown(first) == ["deactivated lagging"]
    assert markers(first)[0].gate is not None
    assert markers(first)[0].gate.lagging == (LaggingSymbol("AAPL", 9000.0),)

    assert shown(desk.read("AAPL", count=9)) == []
    assert aapl.checks == 10
    tenth = desk.read("AAPL", count=1)
    assert lag_seconds(aapl) == 8400.0, "counter 10 is the 09:40 bar"
    assert shown(tenth) == []
    assert not desk.active

    assert shown(desk.read("AAPL", count=139)) == []
    assert (aapl.checks, lag_seconds(aapl), desk.active) == (150, 60.0, False), "the 11:59 bar is fresh, and off the cadence of ten"

    assert shown(desk.read("AAPL", count=1)) == []
    assert (aapl.checks, desk.active) == (150, False), "the 12:00 bar is not known before 12:01"
    last = desk.advance(at("12:01"))
    assert (aapl.checks, lag_seconds(aapl)) == (151, 60.0)
    assert shown(last) == [
        "held_back AAPL 1m 150",
        "held_back AAPL 5m 30",
        "held_back AAPL 15m 10",
        "activated fresh",
        "bar AAPL 1m 12:00",
    ]
    stretches = [(one.extent.first_start_us, one.extent.last_end_us) for one in markers(last, AnalysisKind.HELD_BACK) if one.extent]
    assert stretches == [(OPEN, NOON)] * 3

    assert [one.bar.start_us for one in desk.published("AAPL")] == [NOON], "analysis never saw the two and a half hours in between"
    assert [one.start_us for one in desk.bars("AAPL")] == [OPEN + index * MINUTE_US for index in range(151)], "internal reads see all of it"
    assert (len(desk.bars("AAPL", "5m")), len(desk.bars("AAPL", "15m"))) == (30, 10)
    desk.check_redriven()


def test_the_worked_example_as_a_replay_where_a_bar_is_known_at_its_end() -> None:
    desk = classic_desk()
    desk.add("AAPL", backlog=150)
    desk.produce(*minutes("AAPL", OPEN, 151))
    # The clock stands at 12:00 while what has ended by then is caught up: bars 0 to 149.
    desk.read("AAPL", count=150)
    assert not desk.active
    opened = desk.read("AAPL", now_us=at("12:01"))
    assert lag_seconds(desk.data("AAPL")) == 60.0
    assert shown(opened)[-2:] == ["activated fresh", "bar AAPL 1m 12:00"]
    assert [one.bar.start_us for one in desk.published("AAPL")] == [NOON]
    assert len(desk.bars("AAPL")) == 151
    desk.check_redriven()


def test_the_other_symbols_go_on_being_kept_while_the_gate_is_shut() -> None:
    desk = classic_desk()
    desk.add("AAPL", backlog=151)
    desk.feed(*minutes("AAPL", OPEN, 100))
    before = len(desk.published("RIVN", "1m"))
    desk.flow(*minutes("RIVN", NOON, 3))
    assert len(desk.published("RIVN", "1m")) == before, "nothing of anyone is published while AAPL lags"
    assert len(desk.bars("RIVN")) == 50


def test_a_fresh_symbol_does_not_reopen_the_gate_for_one_that_lags() -> None:
    desk = classic_desk()
    desk.add("AAPL", backlog=151)
    desk.feed(*minutes("AAPL", OPEN, 5))
    # Under the classic rule RIVN's next check (counter 50, lag 60) would have opened the session.
    desk.flow(*minutes("RIVN", NOON, 13))
    assert desk.data("RIVN").checks == 60
    assert not desk.active


@pytest.mark.parametrize(
    ("check", "opens_at_bar", "why"),
    [
        ("interval", 150, "the cadence of ten comes to it only at counter 150"),
        ("every_bar", 149, "the 11:59 bar is the first whose lag of 60 s is not above 60"),
        ("adaptive", 149, "as every_bar while the gate is shut, so opening is not late by up to nine bars"),
    ],
)
def test_opening_is_late_only_under_the_interval_strategy(check: str, opens_at_bar: int, why: str) -> None:
    desk = Desk(config("RIVN", **{**CLASSIC, "check": check}), NOON)
    desk.load("RIVN")
    desk.add("AAPL", backlog=151)
    desk.produce(*minutes("AAPL", OPEN, 151))
    # The 12:00 bar is known at 12:01, all others are by noon.
    reads = [desk.read("AAPL", count=1, now_us=NOON + (index == 150) * MINUTE_US) for index in range(151)]
    opened_at = [index for index, outcomes in enumerate(reads) if "activated fresh" in shown(outcomes)]
    assert opened_at == [opens_at_bar], why


@pytest.mark.parametrize(
    ("reference", "delay_seconds", "active", "why"),
    [
        ("close", 0, True, "its age counts from its end: 0 s"),
        ("close", 60, True, "60 s is not above the threshold"),
        ("close", 61, False, "61 s is"),
        ("open", 0, True, "60 s old at birth, and just not above the threshold"),
        ("open", 1, False, "a one-minute bar that comes one second late is 61 s old by its start"),
    ],
)
def test_a_one_minute_bar_is_sixty_seconds_old_at_birth_by_its_start_only(
    reference: str, delay_seconds: int, active: bool, why: str
) -> None:
    desk = Desk(config("SPY", reference=reference), at("09:30"))
    desk.load("SPY")
    desk.feed(bar("SPY", at("10:00")), now_us=at("10:01") + delay_seconds * 1_000_000)
    assert desk.active is active, why
    assert len(desk.published()) == active


def test_a_thin_stock_does_not_keep_the_gate_shut_once_its_backlog_is_read() -> None:
    desk = Desk(config("SPY"), NOON)
    desk.load("SPY")
    desk.add("THIN", backlog=3)
    desk.feed(bar("THIN", at("09:31")), bar("THIN", at("10:20")), bar("THIN", at("11:52")))
    assert not desk.active
    assert shown(desk.caught_up("THIN")) == ["held_back THIN 1m 3", "activated caught_up"]
    assert desk.active, "its last trade was at 11:52 and nothing is unread: nobody waits for it"


def test_a_delayed_feed_shuts_the_gate_and_silence_opens_it() -> None:
    desk = Desk(config("SPY", "IBM", silence_threshold_seconds=300), at("10:00"))
    desk.load("SPY", "IBM")
    desk.flow(bar("SPY", at("10:00")), bar("IBM", at("10:01")))
    assert desk.active
    # IBM's feed hands its bars on eight minutes late.
    delayed = desk.feed(bar("IBM", at("10:02")), now_us=at("10:11"))
    assert shown(delayed) == ["deactivated lagging"]
    assert desk.session.quiet_symbols(at("10:15:59")) == ["SPY"], "IBM's stale bar came less than five minutes ago"
    assert desk.session.quiet_symbols(at("10:16")) == ["IBM", "SPY"]
    opened = desk.apply(desk.about(InputKind.SILENT, "IBM"), now_us=at("10:16"))
    assert shown(opened) == ["held_back IBM 1m 1", "activated silent"]
    assert [one.symbol for one in events(opened, EventKind.SYMBOL_SILENT)] == ["IBM"]


def test_a_delayed_feed_keeps_the_gate_shut_where_silence_lags() -> None:
    desk = Desk(config("SPY", "IBM", silence_threshold_seconds=300, silence_lags=True), at("10:00"))
    desk.load("SPY", "IBM")
    desk.flow(bar("SPY", at("10:00")), bar("IBM", at("10:01")))
    desk.feed(bar("IBM", at("10:02")), now_us=at("10:11"))
    assert shown(desk.apply(desk.about(InputKind.SILENT, "IBM"), now_us=at("10:16"))) == []
    assert not desk.active
    assert shown(desk.feed(bar("IBM", at("10:16")), now_us=at("10:17")))[-2:] == ["activated fresh", "bar IBM 1m 10:16"]
