"""Where the clock of a replay stops: wherever time alone has an effect live, whatever other symbols are in the session."""

from __future__ import annotations

from random import Random

import pytest

from streams.model.records import Bar
from streams.times import DAY_US, MINUTE_US, SECOND_US, parse_instant
from tests.support.engine import at, bar, minutes
from tests.support.sessions.replay import Result, clock, run_replay, session_of


def bars_of(symbol: str, interval: str, *starts: str) -> list[Bar]:
    return [bar(symbol, parse_instant(start), interval) for start in starts]


def emitted(result: Result, symbol: str, interval: str) -> list[tuple[str, str]]:
    """End of each published bar, and when it was published."""
    return [(line["bar"]["end"], line["emitted_at"]) for line in result.bars(symbol, interval)]


def completes(result: Result) -> list[tuple[str, str, list[str]]]:
    """End of each window that was told, when, and who was absent."""
    return [
        (line["interval_complete"]["end"], line["emitted_at"], line["interval_complete"]["absent"])
        for line in result.markers("interval_complete")
    ]


# Days that follow on each other

NOVEMBER = ("2024-11-04", "2024-11-06")
THREE_DAYS = [f"2024-11-{day:02}T00:00:00Z" for day in (4, 5, 6)]


@pytest.mark.parametrize("exchange", ["24/7", "24/5", "CMES", "us_futures"])
def test_each_daily_bar_of_days_without_a_pause_is_taken(exchange: str) -> None:
    result = run_replay(session_of("A", exchange=exchange, streams=["1d"]), {"A": bars_of("A", "1d", *THREE_DAYS)}, days=NOVEMBER)
    assert (result.summary.base_accepted, result.summary.dropped) == (3, {})
    assert [line["trading_date"] for line in result.bars("A", "1d")] == ["2024-11-04", "2024-11-05", "2024-11-06"]
    assert all(end == when for end, when in emitted(result, "A", "1d")), "each is known at its close"


ONLY_BAR_IS_THE_LAST = [
    ("24/7", "1m", "2024-11-05T23:59:00Z"),
    ("24/7", "1h", "2024-11-05T23:00:00Z"),
    ("24/7", "12h", "2024-11-05T12:00:00Z"),
    ("24/5", "1m", "2024-11-05T23:59:00Z"),
    ("24/5", "1h", "2024-11-05T23:00:00Z"),
    ("us_futures", "1m", "2024-11-05T22:59:00Z"),  # its days end at 18:00 in New York
    ("us_futures", "1h", "2024-11-05T22:00:00Z"),
    ("CMES", "1m", "2024-11-05T22:59:00Z"),  # at 17:00 in Chicago
]


@pytest.mark.parametrize(("exchange", "interval", "last"), ONLY_BAR_IS_THE_LAST)
def test_the_only_bar_of_a_day_may_be_its_last(exchange: str, interval: str, last: str) -> None:
    first, third = (
        ("2024-11-04T00:00:00Z", "2024-11-06T00:00:00Z") if interval == "12h" else ("2024-11-04T10:00:00Z", "2024-11-06T10:00:00Z")
    )
    source = {"A": bars_of("A", interval, first, last, third)}
    result = run_replay(session_of("A", exchange=exchange, streams=[interval]), source, days=NOVEMBER)
    assert (result.summary.base_accepted, result.summary.published, result.summary.dropped) == (3, 3, {})
    rolled = [line["trading_date"] for line in result.markers("session_rolled")]
    assert rolled == ["2024-11-05", "2024-11-06"]


def test_a_year_and_a_half_without_a_bar_rolls_each_day_and_is_passed_over_quickly() -> None:
    session = session_of("A", exchange="24/7", interval_complete=None)
    result = run_replay(session, {"A": []}, days=("2022-01-01", "2023-06-30"))
    assert len(result.markers("session_rolled")) == 545
    assert result.replay.session.state.days == parse_instant("2023-06-30T00:00:00Z") // DAY_US
    assert len(result.steps) < 546 * 6, "a few stands a day, and not one a minute"


# Windows


def test_a_window_with_a_hole_is_published_its_grace_after_its_end() -> None:
    starts = [f"2013-10-07T13:{minute}:00Z" for minute in (30, 31, 32, 33, 40)]
    result = run_replay(session_of("A", derived_intervals=["5m"]), {"A": bars_of("A", "1m", *starts)})
    assert emitted(result, "A", "5m") == [
        ("2013-10-07T13:35:00Z", "2013-10-07T13:35:05Z"),
        ("2013-10-07T13:45:00Z", "2013-10-07T13:45:05Z"),
    ]
    first = result.bars("A", "5m")[0]["bar"]
    assert (first["base_count"], first["expected_count"], first["complete"]) == (4, 5, False)


def thin(symbol: str) -> list[Bar]:
    """Bars in about 40% of the day's minutes, which lie in 74 of its 78 windows of five minutes."""
    chance = Random(1)
    return [bar(symbol, at("09:30") + minute * MINUTE_US) for minute in range(390) if chance.random() < 0.4]


def test_a_thin_symbol_has_the_same_derived_bars_alone_and_beside_another() -> None:
    alone = run_replay(session_of("THIN", derived_intervals=["5m"]), {"THIN": thin("THIN")})
    source = {"THIN": thin("THIN"), "SPY": minutes("SPY", at("09:30"), 390)}
    beside = run_replay(session_of("THIN", "SPY", derived_intervals=["5m"]), source)
    assert len(emitted(alone, "THIN", "5m")) == 74
    assert emitted(alone, "THIN", "5m") == emitted(beside, "THIN", "5m")
    assert [line["bar"] for line in alone.bars("THIN", "5m")] == [line["bar"] for line in beside.bars("THIN", "5m")]
    ends = {one.start_us // MINUTE_US // 5 * 5 * MINUTE_US + 5 * MINUTE_US for one in thin("THIN")}
    assert [parse_instant(end) for end, _ in emitted(alone, "THIN", "5m")] == sorted(ends)
    assert all(0 <= parse_instant(when) - parse_instant(end) <= 5 * SECOND_US for end, when in emitted(alone, "THIN", "5m"))
    assert alone.summary.held_back == beside.summary.held_back == 0


def test_a_window_before_the_lunch_break_is_published_in_the_break() -> None:
    before, after = "2024-11-05T03:57:00Z", "2024-11-05T05:00:00Z"  # 11:57 and 13:00 in Hong Kong
    session = session_of("0005", exchange="XHKG", derived_intervals=["5m"])
    result = run_replay(session, {"0005": bars_of("0005", "1m", before, after)}, days=("2024-11-05", "2024-11-05"))
    assert emitted(result, "0005", "5m") == [
        ("2024-11-05T04:00:00Z", "2024-11-05T04:00:05Z"),
        ("2024-11-05T05:05:00Z", "2024-11-05T05:05:05Z"),
    ]


# Windows that are complete


def test_the_last_minute_with_a_bar_is_told_though_the_feed_ends_early() -> None:
    session = session_of("IBM", "SPY", interval_complete=None)
    source = {"SPY": minutes("SPY", at("09:30"), 30), "IBM": minutes("IBM", at("09:30"), 29)}
    told = completes(run_replay(session, source))
    assert told[28:31] == [
        (clock("09:59"), clock("09:59"), []),
        (clock("10:00"), clock("10:00:05"), ["IBM"]),
        (clock("10:01"), clock("10:01:05"), ["IBM", "SPY"]),
    ]
    assert [end for end, _, _ in told] == [clock(f"{9 + (31 + place) // 60:02}:{(31 + place) % 60:02}") for place in range(390)]


@pytest.mark.parametrize(
    ("added_at", "why"),
    [
        ("10:00", "the bars of the minute come after the addition"),
        ("10:00:02", "the minute was told before"),
        ("10:00:30", "and so it was"),
    ],
)
def test_the_minute_in_which_an_addition_shuts_and_opens_the_gate_is_told_once(added_at: str, why: str) -> None:
    source = {symbol: minutes(symbol, at("09:30"), 60) for symbol in ("AIG", "IBM", "SPY")}
    commands = [{"command": "add_symbol", "symbol": "IBM", "at": clock(added_at)}]
    result = run_replay(session_of("SPY", "AIG", interval_complete=None), source, commands=commands)
    assert [line["emitted_at"] for line in result.markers("deactivated")] == [clock(added_at)]
    ends = [end for end, _, _ in completes(result)]
    assert ends == [clock(f"{9 + (31 + place) // 60:02}:{(31 + place) % 60:02}") for place in range(390)], why
    (at_ten,) = [
        line["interval_complete"] for line in result.markers("interval_complete") if line["interval_complete"]["end"] == clock("10:00")
    ]
    assert (at_ten["present"], at_ten["absent"]) == (at_ten["expected"], [])
    assert at_ten["expected"] == (3 if added_at == "10:00" else 2)


def test_windows_of_days_without_any_bar_are_passed_over() -> None:
    session = session_of("SPY", interval_complete=None)
    bars = [*minutes("SPY", at("09:30"), 390), *minutes("SPY", at("09:30", "2013-10-10"), 390)]
    told = completes(run_replay(session, {"SPY": bars}, days=("2013-10-07", "2013-10-10")))
    assert [sum(end[:10] == day for end, _, _ in told) for day in ("2013-10-07", "2013-10-10")] == [390, 390]
    assert len(told) == 2 * 390 + 2 * (2 + 3), (
        "of the two days between, what ends just before the clock stops: for silence, and at the close"
    )


# Silence and deadlines


def test_silence_is_told_though_no_other_symbol_moves_the_clock() -> None:
    session = session_of("A", silence_threshold_seconds=300, silence_lags=True)
    result = run_replay(session, {"A": [*minutes("A", at("10:00"), 2), bar("A", at("11:00"))]})
    gates = [(line["kind"], line["emitted_at"]) for line in result.markers("activated", "deactivated")]
    assert gates == [
        ("activated", clock("09:30")),
        ("deactivated", clock("09:35")),
        ("activated", clock("10:01")),
        ("deactivated", clock("10:07")),
        ("activated", clock("11:01")),
        ("deactivated", clock("11:06")),
        ("activated", clock("16:00")),
    ]


def test_silence_before_the_lunch_break_ends_with_its_start() -> None:
    session = session_of("0005", exchange="XHKG", silence_threshold_seconds=300, silence_lags=True)
    source = {"0005": bars_of("0005", "1m", "2024-11-05T03:30:00Z", "2024-11-05T05:00:00Z")}
    result = run_replay(session, source, days=("2024-11-05", "2024-11-05"))
    gates = [(line["kind"], line["emitted_at"][11:19]) for line in result.markers("activated", "deactivated")]
    assert gates[1:6] == [
        ("deactivated", "01:35:00"),  # nothing has come since the open, 09:30 in Hong Kong
        ("activated", "03:31:00"),
        ("deactivated", "03:36:00"),
        ("activated", "04:00:00"),
        ("deactivated", "05:06:00"),
    ]


def test_a_bar_that_comes_when_a_symbol_would_fall_silent_comes_first() -> None:
    session = session_of("A", silence_threshold_seconds=300)
    result = run_replay(session, {"A": minutes("A", at("09:30"), 78, step=5)})
    silent = [now_us for now_us, one in result.outcomes if getattr(one, "kind", None) == "symbol_silent"]
    assert silent == [], "each comes 300 seconds after the one before, and the day closes before the last one is that old"
