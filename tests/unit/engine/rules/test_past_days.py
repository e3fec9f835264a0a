"""Past days of a symbol: loaded while it is pending, kept beside the days that roll, and restored at any point."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from streams.engine.loading import judged, stretches
from streams.engine.rules.past_days import wanted
from streams.model.inputs import InputKind
from streams.model.records import Bar, EventKind
from streams.model.rows import BlockRow
from streams.times import DAY_US, MINUTE_US, date_of_days
from tests.support.engine import Desk, at, bar, config, events, minutes, replies, shown

FRIDAY, MONDAY, TUESDAY = "2013-10-04", "2013-10-07", "2013-10-08"
THURSDAY = "2013-10-03"
NOON = at("12:00")


def desk_of(*symbols: str, begin_us: int = NOON, restores: bool = False, trailing_days: int = 2, **parts: Any) -> Desk:
    historical = {"trailing_days": trailing_days, **parts.pop("historical", {})}
    return Desk(config(*symbols, historical=historical, **parts), begin_us, restores=restores)


def day_of(symbol: str, day: str, count: int = 390, **fields: Any) -> list[Bar]:
    return minutes(symbol, at("09:30", day), count, **fields)


def daily(symbol: str, day: str, price: float, start: str = "09:30") -> Bar:
    start_us = at(start, day)
    return bar(symbol, start_us, "1d", price=price, end_us=start_us + DAY_US)


def past(desk: Desk, symbol: str = "SPY") -> dict[str, dict[str, int]]:
    """How many bars are kept of each past day and interval."""
    kept = desk.data(symbol).historical
    return {str(date_of_days(days)): {name: len(series) for name, series in of_day.items()} for days, of_day in sorted(kept.items())}


@pytest.mark.parametrize("restores", [False, True])
def test_the_days_before_a_symbols_first_one_are_loaded_before_it_is(restores: bool) -> None:
    desk = desk_of("SPY", restores=restores, derived_intervals=["5m", "30m"])
    desk.history("SPY", *day_of("SPY", THURSDAY, price=90.0), *day_of("SPY", FRIDAY, price=95.0))
    assert not desk.data("SPY").is_loaded
    told = desk.load("SPY")
    whole = {"1m": 390, "5m": 78, "30m": 13}
    assert past(desk) == {THURSDAY: whole, FRIDAY: whole}
    (loaded,) = events(told, EventKind.HISTORY_LOADED)
    assert loaded.attributes == {"days": "2", "bars": "780", "intervals": "1m", "first": THURSDAY, "last": FRIDAY}
    assert [one.kind for one in events(told)][:2] == [EventKind.HISTORY_LOADED, EventKind.SYMBOL_LOADED]
    series = desk.data("SPY").historical[at("09:30", FRIDAY) // DAY_US]
    first, five = next(iter(series["1m"])), next(iter(series["5m"]))
    assert (first.start_us, first.provenance, first.close) == (at("09:30", FRIDAY), "history", 95.0)
    assert (five.end_us, five.volume, five.base_count, five.complete, five.provenance) == (at("09:35", FRIDAY), 50.0, 5, True, "derived")
    assert desk.data("SPY").counts.accepted == 0
    assert shown(told) == ["symbol_added SPY", "activated loaded"]
    desk.check_redriven()


def test_no_block_of_a_past_day_is_larger_than_any_other() -> None:
    desk = desk_of("SPY", trailing_days=1, exchange="24/7", begin_us=at("12:00"))
    desk.history("SPY", *minutes("SPY", at("20:00", "2013-10-05"), 1440))
    blocks = [row for row in desk.table.values() if isinstance(row, BlockRow)]
    assert [len(row.bars.slots) for row in blocks] == [256] * 5 + [160]
    assert {row.bars.provenances for row in blocks} == {("history",)}


def test_a_day_comes_in_several_inputs_where_it_is_too_large_for_one() -> None:
    desk = desk_of("SPY", streams=["1s"], derived_intervals=["1m"], trailing_days=1)
    seconds = [bar("SPY", at("09:30", FRIDAY) + n * MINUTE_US // 60, "1s") for n in range(23_400)]
    inputs = desk.history_inputs("SPY", *seconds, interval="1s")
    assert [len(one.bars.slots) if one.bars else None for one in inputs] == [None, 8000, 8000, 7400]
    for given in inputs:
        assert "1m" not in past(desk).get(FRIDAY, {}), "derived bars are made once the day is whole"
        desk.apply(given)
    assert past(desk) == {FRIDAY: {"1s": 23_400, "1m": 390}}


def test_loading_that_begins_again_leaves_nothing_double() -> None:
    desk = desk_of("SPY", derived_intervals=["5m"])
    desk.history("SPY", *day_of("SPY", THURSDAY), *day_of("SPY", FRIDAY))
    desk.restart()
    desk.history("SPY", *day_of("SPY", FRIDAY, 300))
    assert past(desk) == {FRIDAY: {"1m": 300, "5m": 60}}
    assert not [key for key in desk.table if key.startswith("bars|") and f"|{at('09:30', THURSDAY) // DAY_US}|" in key]
    desk.load("SPY")
    desk.check_redriven()


def test_history_for_a_day_on_which_the_symbol_does_not_begin_is_dropped() -> None:
    desk = desk_of("SPY")
    (_, given) = desk.history_inputs("SPY", *day_of("SPY", FRIDAY, 5))[:2]
    stale = [desk.about(InputKind.HISTORY, "SPY", interval="5m", trading_days=given.trading_days, bars=given.bars, count=5)]
    stale.append(desk.about(InputKind.HISTORY, "SPY", interval="1m", trading_days=(given.trading_days or 0) - 20, bars=given.bars, count=5))
    stale.append(desk.about(InputKind.LOADED, "SPY", topic_id="t", first_offset=0, end_offset=0, trading_days=given.trading_days))
    for one in stale:
        assert not desk.begin().apply(one)
    desk.load("SPY")
    assert not desk.begin().apply(given), "a loaded symbol has its past days"


def test_a_day_that_passes_while_a_symbol_loads_is_loaded_too() -> None:
    desk = desk_of("IBM", begin_us=at("15:00"), trailing_days=1)
    desk.load("IBM")
    desk.command("add_symbol", "SPY")
    before = wanted(desk.session.state, desk.data("SPY"))
    desk.advance(at("00:30", TUESDAY))
    loaded = desk.about(InputKind.LOADED, "SPY", topic_id="t", first_offset=0, end_offset=0, trading_days=before.day.days)
    assert not desk.begin().apply(loaded)
    after = wanted(desk.session.state, desk.data("SPY"))
    assert [str(date_of_days(day.days)) for day in (*before.days, *after.days)] == [FRIDAY, MONDAY]
    desk.history("SPY", *day_of("SPY", MONDAY, 10))
    desk.load("SPY")
    assert past(desk) == {MONDAY: {"1m": 10}}


@pytest.mark.parametrize("restores", [False, True])
def test_the_day_that_rolls_stands_beside_those_that_were_loaded(restores: bool) -> None:
    desk = desk_of("SPY", restores=restores, derived_intervals=["5m"], catchup_threshold_seconds=600)
    desk.history("SPY", *day_of("SPY", THURSDAY, 10), *day_of("SPY", FRIDAY, 10))
    desk.load("SPY")
    desk.flow(*minutes("SPY", NOON, 20))
    desk.advance(at("00:30", TUESDAY))
    assert past(desk) == {FRIDAY: {"1m": 10, "5m": 2}, MONDAY: {"1m": 20, "5m": 4}}
    days = {row.trading_days for row in desk.table.values() if isinstance(row, BlockRow)}
    assert days == {at("09:30", day) // DAY_US for day in (FRIDAY, MONDAY)}
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_a_bar_of_a_loaded_day_is_late_there(restores: bool) -> None:
    desk = desk_of("SPY", restores=restores, derived_intervals=["5m"])
    desk.history("SPY", *[one for one in day_of("SPY", FRIDAY, 10) if one.start_us != at("09:32", FRIDAY)])
    desk.load("SPY")
    desk.feed(bar("SPY", at("09:30", FRIDAY)))
    assert desk.data("SPY").counts.duplicates == 1
    desk.feed(bar("SPY", at("09:32", FRIDAY), price=130.0), bar("SPY", at("09:36", FRIDAY), price=140.0))
    counts = desk.data("SPY").counts
    assert (counts.late, counts.corrected, counts.accepted) == (1, 1, 4), "two of 1m, and a revision of each 5m"
    series = desk.data("SPY").historical[at("09:30", FRIDAY) // DAY_US]
    assert [(one.high, one.revision, one.complete) for one in series["5m"]] == [(130.25, 1, True), (140.25, 1, True)]
    assert [(one.provenance, one.revision) for one in series["1m"]][2:7] == [
        ("feed", 0), ("history", 0), ("history", 0), ("history", 0), ("feed", 1)
    ]  # fmt: skip
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_an_interval_that_is_kept_of_past_days_only_comes_as_it_is_and_is_made_of_days_that_roll(restores: bool) -> None:
    desk = desk_of("SPY", restores=restores, historical={"intervals": ["1m", "1d"]}, catchup_threshold_seconds=600)
    desk.history("SPY", *day_of("SPY", FRIDAY, 10))
    desk.history("SPY", daily("SPY", THURSDAY, 80.0, "00:00"), daily("SPY", FRIDAY, 90.0), interval="1d", begins=False)
    desk.load("SPY")
    desk.flow(*minutes("SPY", NOON, 20))
    desk.feed(bar("SPY", at("09:30", FRIDAY), price=500.0))
    desk.advance(at("00:30", TUESDAY))
    assert past(desk) == {FRIDAY: {"1m": 10, "1d": 1}, MONDAY: {"1m": 20, "1d": 1}}
    kept = desk.data("SPY").historical
    (given,), (made,) = (kept[at("09:30", day) // DAY_US]["1d"] for day in (FRIDAY, MONDAY))
    assert (given.start_us, given.end_us, given.close, given.complete) == (at("09:30", FRIDAY), at("16:00", FRIDAY), 90.0, True)
    assert (made.start_us, made.end_us, made.volume, made.base_count, made.complete) == (at("09:30"), at("16:00"), 200.0, 20, False)
    desk.feed(bar("SPY", at("10:00"), volume=1.0), now_us=at("00:31", TUESDAY))
    (made,) = kept[at("09:30") // DAY_US]["1d"] if not restores else desk.data("SPY").historical[at("09:30") // DAY_US]["1d"]
    assert (made.volume, made.revision) == (201.0, 1)
    desk.check_redriven()


def test_a_derived_interval_is_asked_for_only_where_base_bars_are_not() -> None:
    desk = desk_of("SPY", derived_intervals=["5m", "15m"], historical={"intervals": ["15m", "5m"]})
    assert wanted(desk.session.state, desk.data("SPY")).intervals == ("5m", "15m")
    desk = desk_of("SPY", derived_intervals=["5m", "15m"], historical={"intervals": ["1d", "5m", "1m"]})
    assert wanted(desk.session.state, desk.data("SPY")).intervals == ("1m", "1d")
    desk = desk_of("SPY", "IBM", historical={"apply_to": ["IBM"]})
    assert wanted(desk.session.state, desk.data("SPY")).intervals == ()
    assert wanted(desk.session.state, desk.data("IBM")).intervals == ("1m",)


@pytest.mark.parametrize("restores", [False, True])
def test_a_changed_config_keeps_of_past_days_what_it_names(restores: bool) -> None:
    parts: dict[str, Any] = {"derived_intervals": ["5m"]}
    desk = desk_of("SPY", restores=restores, historical={"intervals": ["1m", "1d"]}, **parts)
    desk.history("SPY", *day_of("SPY", THURSDAY, 10), *day_of("SPY", FRIDAY, 10))
    desk.history("SPY", daily("SPY", FRIDAY, 90.0), interval="1d", begins=False)
    desk.load("SPY")
    desk.configure(config("SPY", historical={"trailing_days": 1, "intervals": ["1m", "5m"]}))
    assert past(desk) == {FRIDAY: {"1m": 10, "5m": 2}}, "5m is derived no more, and kept of past days"
    desk.configure(config("SPY", historical={"trailing_days": 1}))
    assert past(desk) == {FRIDAY: {"1m": 10}}
    desk.configure(config("SPY", historical={"trailing_days": 0}))
    assert past(desk) == {}
    assert not [key for key in desk.table if key.startswith("bars|")]
    desk.check_redriven()


def test_a_symbol_that_goes_takes_its_past_days_along_and_loads_anew_when_it_is_back() -> None:
    desk = desk_of("IBM", derived_intervals=["5m"], historical={"indicators": [{"name": "pc", "kind": "prior_close"}]})
    desk.load("IBM")
    for price in (50.0, 60.0):
        desk.command("add_symbol", "SPY")
        desk.history("SPY", *day_of("SPY", FRIDAY, 10, price=price))
        desk.load("SPY")
        assert [one.close for one in desk.data("SPY").historical[at("09:30", FRIDAY) // DAY_US]["5m"]] == [price, price]
        desk.command("remove_symbol", "SPY", immediate=True)
        assert not [key for key in desk.table if key.endswith("|SPY")]
    desk.check_redriven()


def test_a_load_that_fails_leaves_no_past_day() -> None:
    desk = desk_of("SPY")
    desk.history("SPY", *day_of("SPY", FRIDAY, 10))
    desk.apply(desk.about(InputKind.LOAD_FAILED, "SPY", reason="no topic"))
    assert past(desk) == {}
    assert not [key for key in desk.table if key.startswith("bars|")]


def test_what_could_not_be_had_is_told_and_the_reply_says_so() -> None:
    desk = desk_of("IBM", trailing_days=4)
    desk.command("add_symbol", "SPY")
    told = desk.history("SPY", *day_of("SPY", FRIDAY, 5))
    (missing,) = events(told, EventKind.HISTORY_MISSING)
    assert (missing.symbol, missing.reason) == ("SPY", "no 1m bars of 2013-10-01 to 2013-10-03")
    assert missing.attributes == {"interval": "1m", "days": "3"}
    (done,) = replies(desk.load("SPY", note="history: no 1m bars of 2013-10-01 to 2013-10-03"))
    assert (done.status, done.reason) == ("completed", "history: no 1m bars of 2013-10-01 to 2013-10-03")
    assert past(desk) == {FRIDAY: {"1m": 5}}


def test_dates_follow_the_calendar_over_weekends_holidays_and_early_closes() -> None:
    # Thanksgiving was the 28th of November 2013; trading ended at 13:00 on the day after.
    desk = desk_of("SPY", begin_us=at("12:00", "2013-12-02"), trailing_days=3)
    plan = wanted(desk.session.state, desk.data("SPY"))
    assert [str(date_of_days(day.days)) for day in plan.days] == ["2013-11-26", "2013-11-27", "2013-11-29"]
    (asked,) = stretches(plan, "1m", desk.session.state.calendar)
    assert (asked.start_us, asked.end_us) == (at("09:30", "2013-11-26"), at("13:00", "2013-11-29"))
    desk.history("SPY", *day_of("SPY", "2013-11-29", 390))
    assert past(desk) == {"2013-11-29": {"1m": 210}}, "what the source has of after the close is left out"


def test_a_symbol_that_starts_in_the_past_has_the_days_before_that() -> None:
    desk = desk_of("IBM", begin_us=NOON)
    desk.command("add_symbol", "SPY", start_us=at("10:00", FRIDAY))
    plan = wanted(desk.session.state, desk.data("SPY"))
    assert [str(date_of_days(day.days)) for day in plan.days] == ["2013-10-02", THURSDAY]


FAULTS: list[tuple[str, list[Bar], str]] = [
    ("twice", [bar("SPY", at("10:00", FRIDAY)), bar("SPY", at("10:00", FRIDAY), price=101)], "14:00:00Z is given twice"),
    ("not rising", [bar("SPY", at("10:01", FRIDAY)), bar("SPY", at("10:00", FRIDAY))], "14:00:00Z is out of order"),
    ("not a number", [bar("SPY", at("10:00", FRIDAY), close=nan)], "close must be a number above 0 and up to 1e+100, got nan"),
    ("low above high", [bar("SPY", at("10:00", FRIDAY), low=200.0)], "low 200.0 is above high 100.25"),
    ("misaligned", [bar("SPY", at("10:00:30", FRIDAY))], "starts at the open, 2013-10-04T13:30:00Z, and every 1m after it"),
    ("too long", [bar("SPY", at("10:00", FRIDAY), end_us=at("10:02", FRIDAY))], "ends at 2013-10-04T14:01:00Z, not at"),
    ("another interval", [bar("SPY", at("10:00", FRIDAY), "5m")], "a 5m bar of SPY that starts at 2013-10-04T14:00:00Z was not asked for"),
    ("another symbol", [bar("IBM", at("10:00", FRIDAY))], "a 1m bar of IBM that starts at 2013-10-04T14:00:00Z was not asked for"),
    ("another day", [bar("SPY", at("10:00", MONDAY))], "a 1m bar of SPY that starts at 2013-10-07T14:00:00Z was not asked for"),
]


@pytest.mark.parametrize(("what", "bars", "words"), FAULTS, ids=[what for what, *_ in FAULTS])
def test_a_day_with_a_bar_that_can_not_be_is_not_loaded_and_the_others_are(what: str, bars: list[Bar], words: str) -> None:
    desk = desk_of("SPY")
    plan = wanted(desk.session.state, desk.data("SPY"))
    (asked,) = stretches(plan, "1m", desk.session.state.calendar)
    found = judged(plan, asked, [*day_of("SPY", THURSDAY, 5), *bars], desk.session.state.calendar, NOON)
    assert [given.trading_days for given in found.inputs] == [at("09:30", THURSDAY) // DAY_US], what
    ((day, reason),) = found.faulty
    assert (str(date_of_days(day.days)), found.empty) == (FRIDAY, [])
    assert words in reason


def test_bars_outside_the_hours_are_left_out() -> None:
    desk = desk_of("SPY", exchange="XHKG", begin_us=at("22:00", FRIDAY), trailing_days=1)
    plan = wanted(desk.session.state, desk.data("SPY"))
    (asked,) = stretches(plan, "1m", desk.session.state.calendar)
    bars = minutes("SPY", asked.start_us, (asked.end_us - asked.start_us) // MINUTE_US)
    found = judged(plan, asked, bars, desk.session.state.calendar, desk.now_us)
    assert (found.bars, found.faulty) == (330, []), "five hours and a half, without the break at noon"


@pytest.mark.parametrize(
    ("anchor", "starts", "why"),
    [("session", ["09:30", "10:30", "15:30"], "from the open on"), ("clock", ["09:00", "10:00", "15:00"], "by the clock")],
)
def test_hours_from_a_source_lie_where_the_configs_windows_do(anchor: str, starts: list[str], why: str) -> None:
    desk = desk_of("SPY", trailing_days=1, historical={"intervals": ["1h"]}, window_anchor=anchor)
    plan = wanted(desk.session.state, desk.data("SPY"))
    (asked,) = stretches(plan, "1h", desk.session.state.calendar)
    other = bar("SPY", at("10:15", FRIDAY), "1h")
    bars = [bar("SPY", at(start, FRIDAY), "1h") for start in starts]
    calendar = desk.session.state.calendar
    assert judged(plan, asked, bars, calendar, NOON).bars == 3, why
    assert judged(plan, asked, [other], calendar, NOON).faulty
    desk.apply(*judged(plan, asked, bars, calendar, NOON).inputs)
    desk.load("SPY")
    kept = list(desk.data("SPY").historical[at("09:30", FRIDAY) // DAY_US]["1h"])
    assert (kept[0].start_us, kept[1].start_us) == (at("09:30", FRIDAY), at(starts[1], FRIDAY))
    assert (kept[-1].end_us, all(one.complete for one in kept)) == (at("16:00", FRIDAY), True)


def test_nothing_that_ends_after_now_is_taken() -> None:
    desk = desk_of("SPY")
    plan = wanted(desk.session.state, desk.data("SPY"))
    (asked,) = stretches(plan, "1m", desk.session.state.calendar)
    found = judged(plan, asked, day_of("SPY", FRIDAY, 30), desk.session.state.calendar, at("09:31", FRIDAY))
    ((_, reason),) = found.faulty
    assert "60.000 s after now" in reason


def test_a_daily_bar_of_the_running_day_is_not_asked_for_where_days_begin_on_the_evening_before() -> None:
    hours = {"open": "18:00", "close": "17:00"}
    desk = desk_of("SPY", hours=hours, begin_us=at("19:00", MONDAY), trailing_days=1, historical={"intervals": ["1d"]})
    plan = wanted(desk.session.state, desk.data("SPY"))
    (asked,) = stretches(plan, "1d", desk.session.state.calendar)
    assert asked.end_us <= min(plan.day.days * DAY_US, at("00:00", MONDAY))
    assert plan.day.open_us == at("18:00", MONDAY)


def test_many_missing_days_are_said_in_short() -> None:
    desk = desk_of("SPY", trailing_days=40)
    every_other = [day for place, day in enumerate(wanted(desk.session.state, desk.data("SPY")).days) if place % 2]
    bars = [bar("SPY", day.open_us) for day in every_other]
    (missing,) = events(desk.history("SPY", *bars), EventKind.HISTORY_MISSING)
    assert missing.reason is not None
    assert missing.reason.startswith("no 1m bars of 2013-08-09, 2013-08-13, ")
    assert missing.reason.endswith(" and 14 more")
    assert missing.attributes["days"] == "20"


def test_a_symbol_whose_past_days_meet_a_bug_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of("SPY", "IBM", derived_intervals=["5m"])
    (_, *given) = desk.history_inputs("SPY", *day_of("SPY", FRIDAY, 10))

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    transaction = desk.begin()
    transaction.apply(desk.about(InputKind.HISTORY, "SPY"))
    with monkeypatch.context() as patched:
        patched.setattr("streams.engine.rules.past_days.aggregate", broken)
        transaction.apply(given[0])
    desk.end(transaction)
    assert desk.data("SPY").status == "failed"
    assert desk.data("SPY").reason == "history: it could not be processed: ZeroDivisionError: a bug"
    assert past(desk) == {}
    desk.load("IBM")
    assert desk.active
    desk.check_redriven()


def test_bars_that_do_not_follow_on_those_that_are_there_fail_the_symbol_and_change_nothing() -> None:
    desk = desk_of("SPY", "IBM")
    inputs = desk.history_inputs("SPY", *day_of("SPY", FRIDAY, 10))
    desk.apply(*inputs[:2], inputs[1])
    assert desk.data("SPY").status == "failed"
    assert "don't follow on the 10 that are there" in (desk.data("SPY").reason or "")
