"""What comes when: the clock, late bars and strays, silence, commands and failures. Bars in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from streams.errors import HistoryError, ReplayError
from streams.model.records import Bar, Undecodable
from streams.replay.runner import Replay
from streams.replay.source import MemorySource, OpenedTopic, Read
from streams.times import DAY_US, MINUTE_US
from tests.support.engine import at, bar, minutes
from tests.support.sessions.replay import Result, check_sums, clock, run_replay, session_of

OPEN = at("09:30")
FAR = at("12:00", "2099-01-05")


def day_of(symbol: str, day: str = "2013-10-07", count: int = 390) -> list[Bar]:
    return minutes(symbol, at("09:30", day), count)


def ends(result: Result, symbol: str, interval: str = "1m") -> list[str]:
    return [line["bar"]["end"] for line in result.bars(symbol, interval)]


def test_bars_of_one_end_come_by_symbol_and_all_others_by_end() -> None:
    result = run_replay(session_of("SPY", "IBM"), {"SPY": day_of("SPY", count=3), "IBM": day_of("IBM", count=3)})
    order = [(line["bar"]["end"], line["symbol"]) for line in result.lines if line["kind"] == "bar"]
    assert order == [(clock(f"09:3{minute}"), symbol) for minute in (1, 2, 3) for symbol in ("IBM", "SPY")]
    assert all(line["emitted_at"] == line["bar"]["end"] for line in result.lines if line["kind"] == "bar")


@pytest.mark.parametrize(("day", "close"), [("2013-10-07", "16:00"), ("2024-11-29", "13:00")])
def test_a_daily_bar_comes_at_the_close_whatever_midnight_it_is_stamped_with(day: str, close: str) -> None:
    midnight, count = at("16:00", day) // DAY_US * DAY_US, (at(close, day) - at("09:30", day)) // MINUTE_US
    commands = [{"command": "add_symbol", "symbol": "DJI", "streams": ["1d"], "at": f"{day}T14:30:00Z"}]
    session = session_of("SPY", historical={"trailing_days": 3, "apply_to": []})
    bars = {"SPY": day_of("SPY", day, count), "DJI": [bar("DJI", midnight - DAY_US, "1d"), bar("DJI", midnight, "1d")]}
    result = run_replay(session, bars, days=(day, day), commands=commands)
    (told,) = result.bars("DJI", "1d")
    assert (told["emitted_at"], told["bar"]["start"], told["bar"]["end"]) == (clock(close, day), clock("09:30", day), clock(close, day))
    assert [line["symbol"] for line in result.lines if line["kind"] == "bar"][-2:] == ["DJI", "SPY"]
    assert (result.dead_letters, result.events("deactivated")) == ([], [])


def test_a_late_bar_comes_with_the_one_before_it_in_its_topic() -> None:
    spy = day_of("SPY", count=6)
    spy[1], spy[2] = spy[2], spy[1]
    result = run_replay(session_of("SPY", "IBM"), {"SPY": spy, "IBM": day_of("IBM", count=6)})
    assert [(line["bar"]["end"], line["emitted_at"]) for line in result.bars("SPY")[:4]] == [
        (clock("09:31"), clock("09:31")),
        (clock("09:33"), clock("09:33")),
        (clock("09:32"), clock("09:33")),
        (clock("09:34"), clock("09:34")),
    ]
    assert [event.symbol for event in result.events("bar_late")] == ["SPY"]
    check_sums(result)


def test_a_late_bar_of_another_symbol_does_not_move_the_clock_back() -> None:
    spy, ibm = day_of("SPY", count=5), day_of("IBM", count=5)
    result = run_replay(session_of("SPY", "IBM"), {"SPY": spy, "IBM": [*ibm[:2], *ibm[3:], ibm[2]]})
    emitted = [line["emitted_at"] for line in result.lines]
    assert emitted == sorted(emitted)
    check_sums(result)


@pytest.mark.parametrize("place", [0, 1, 200, 386])
@pytest.mark.parametrize("strays", [1, 2])
def test_a_bar_beyond_the_day_is_a_dead_letter_and_carries_nothing_away(place: int, strays: int) -> None:
    spy = day_of("SPY")
    clean = run_replay(session_of("SPY", "IBM"), {"SPY": spy, "IBM": day_of("IBM")})
    spy[place:place] = [bar("SPY", FAR + number * MINUTE_US) for number in range(strays)]
    result = run_replay(session_of("SPY", "IBM"), {"SPY": spy, "IBM": day_of("IBM")})
    assert [(letter.symbol, letter.offset, letter.code) for letter in result.dead_letters] == [
        ("SPY", place + number, "future") for number in range(strays)
    ]
    assert "2099" in result.dead_letters[0].message
    assert [line for line in result.lines if line["kind"] == "bar"] == [line for line in clean.lines if line["kind"] == "bar"]
    check_sums(result)


def test_a_bar_of_yesterday_after_the_first_of_today_is_no_reason_to_drop_today_s() -> None:
    monday, tuesday = day_of("SPY"), day_of("SPY", "2013-10-08")
    # The last bar of Monday comes after the first of Tuesday.
    spy = [*monday[:-1], tuesday[0], monday[-1], *tuesday[1:]]
    result = run_replay(session_of("SPY"), {"SPY": spy}, days=("2013-10-07", "2013-10-08"))
    assert result.dead_letters == []
    assert len(result.bars("SPY")) == 779
    assert result.summary.dropped == {"other_day": 1}, "Monday is over, and is not kept without trailing days"
    check_sums(result)


def test_bars_after_the_last_day_are_not_read() -> None:
    spy = [*day_of("SPY"), *day_of("SPY", "2013-10-08")]
    result = run_replay(session_of("SPY"), {"SPY": spy})
    assert result.summary.bars_in == 390
    assert result.dead_letters == []
    assert result.markers("session_rolled") == []


def test_a_day_without_a_bar_is_rolled_through() -> None:
    spy = [*day_of("SPY"), *day_of("SPY", "2013-10-09")]
    result = run_replay(session_of("SPY"), {"SPY": spy}, days=("2013-10-07", "2013-10-09"))
    assert [line["trading_date"] for line in result.markers("session_rolled")] == ["2013-10-08", "2013-10-09"]
    assert len(result.bars("SPY")) == 780


def test_open_windows_close_by_the_clock_after_the_close_though_no_bar_comes() -> None:
    result = run_replay(session_of("SPY", derived_intervals=["5m"]), {"SPY": day_of("SPY", count=388)})
    last = result.bars("SPY", "5m")[-1]
    assert (last["bar"]["end"], last["emitted_at"], last["bar"]["base_count"]) == (clock("16:00"), clock("16:00:05"), 3)


def test_a_session_that_never_closes_rolls_at_midnight() -> None:
    start = at("20:00", "2013-10-07")  # midnight in UTC
    session = session_of("BTC", exchange="24/7", derived_intervals=["1h"])
    btc = minutes("BTC", start, 2 * 1440)
    del btc[1439]  # the last minute of the first day, so that the clock has to close its hour
    result = run_replay(session, {"BTC": btc}, days=("2013-10-08", "2013-10-09"))
    assert len(result.bars("BTC")) == 2879
    hours = result.bars("BTC", "1h")
    assert (len(hours), hours[23]["bar"]["base_count"]) == (48, 59)
    assert [line["trading_date"] for line in result.markers("session_rolled")] == ["2013-10-09"]
    assert result.summary.dropped == {}
    check_sums(result)


def test_silence_is_told_when_the_time_has_come_and_the_next_bar_ends_it() -> None:
    ibm = [*day_of("IBM", count=10), *minutes("IBM", at("09:50"), 5)]
    session = session_of("SPY", "IBM", silence_threshold_seconds=300, silence_lags=True)
    result = run_replay(session, {"SPY": day_of("SPY", count=60), "IBM": ibm})
    silent = [now_us for now_us, one in result.outcomes if getattr(one, "kind", None) == "symbol_silent"]
    assert silent[0] == at("09:45"), "IBM's last bar was known at 09:40"
    gates = [(line["kind"], line["emitted_at"]) for line in result.markers("activated", "deactivated")]
    assert gates[:3] == [("activated", clock("09:30")), ("deactivated", clock("09:45")), ("activated", clock("09:51"))]


def test_a_thin_symbol_that_is_added_opens_the_gate_once_its_bars_are_read() -> None:
    commands = [{"at": clock("12:00"), "command": "add_symbol", "symbol": "THIN"}]
    result = run_replay(session_of("SPY"), {"SPY": day_of("SPY"), "THIN": minutes("THIN", OPEN, 3, step=40)}, commands=commands)
    gates = [(line["kind"], line["emitted_at"], line["gate"]["reason"]) for line in result.markers("activated", "deactivated")]
    assert gates[1:] == [("deactivated", clock("12:00"), "lagging"), ("activated", clock("12:00"), "caught_up")]
    assert clock("12:00") in ends(result, "SPY"), "the others miss nothing"
    assert len(ends(result, "SPY")) == 390


@pytest.mark.parametrize(
    ("immediate", "last", "reason"),
    [(False, "12:00", "drained"), (True, "11:59", "immediate")],
)
def test_removal_drains_what_has_ended_unless_it_is_immediate(immediate: bool, last: str, reason: str) -> None:
    commands = [{"at": clock("12:00"), "command": "remove_symbol", "symbol": "IBM", "immediate": immediate}]
    result = run_replay(session_of("SPY", "IBM"), {"SPY": day_of("SPY"), "IBM": day_of("IBM")}, commands=commands)
    assert ends(result, "IBM")[-1] == clock(last)
    (removed,) = result.markers("symbol_removed")
    assert (removed["emitted_at"], removed["reason"]) == (clock("12:00"), reason)
    assert result.summary.symbols == ["SPY"]
    check_sums(result)


def test_a_symbol_can_be_removed_and_added_again_at_one_instant() -> None:
    commands = [
        {"at": clock("12:00"), "command": "remove_symbol", "symbol": "IBM", "immediate": True},
        {"at": clock("12:00"), "command": "add_symbol", "symbol": "IBM"},
    ]
    result = run_replay(session_of("SPY", "IBM"), {"SPY": day_of("SPY"), "IBM": day_of("IBM")}, commands=commands)
    ibm = result.bars("IBM")
    assert len([line for line in ibm if line["incarnation"] == 2]) == 149
    assert next(line["bar"]["end"] for line in ibm if line["incarnation"] == 3) == clock("11:59")
    assert [status for _, status, _ in result.replies()] == ["accepted", "completed"] * 2
    check_sums(result)


def test_a_command_between_bars_takes_effect_at_its_instant_and_one_before_the_open_finds_a_session() -> None:
    commands = [
        {"at": clock("09:00"), "command": "add_symbol", "symbol": "IBM"},
        {"at": clock("10:00:30"), "command": "add_symbol", "symbol": "BAC"},
    ]
    bars = {"SPY": day_of("SPY"), "IBM": day_of("IBM"), "BAC": day_of("BAC")}
    result = run_replay(session_of("SPY"), bars, commands=commands)
    added = [(line["symbol"], line["emitted_at"]) for line in result.markers("symbol_added")]
    assert added == [("SPY", clock("09:00")), ("IBM", clock("09:00")), ("BAC", clock("10:00:30"))]
    assert len(ends(result, "IBM")) == 390


def test_commands_outside_the_days_are_left_out() -> None:
    commands = [
        {"at": clock("12:00", "2013-10-04"), "command": "add_symbol", "symbol": "IBM"},
        {"at": clock("12:00", "2013-10-08"), "command": "add_symbol", "symbol": "IBM"},
    ]
    result = run_replay(session_of("SPY"), {"SPY": day_of("SPY")}, commands=commands)
    assert [command.id for command in result.replay.left_out] == ["line-1", "line-2"]
    assert result.replies() == []


def test_a_symbol_without_bars_fails_its_addition_and_the_rest_goes_on() -> None:
    commands = [
        {"at": clock("12:00"), "command": "add_symbol", "symbol": "NONE", "id": "mine"},
        {"at": clock("12:05"), "command": "add_symbol", "symbol": "SPY"},
    ]
    result = run_replay(session_of("SPY", "GONE"), {"SPY": day_of("SPY")}, commands=commands)
    assert len(ends(result, "SPY")) == 390
    assert [(line["symbol"], line["emitted_at"]) for line in result.markers("symbol_failed")] == [
        ("GONE", clock("09:30")), ("NONE", clock("12:00")),
    ]  # fmt: skip
    failed = [(name, reason or "") for name, status, reason in result.replies() if status == "failed"]
    assert failed == [("mine", "there are no 1m bars of NONE"), ("line-2", "SPY is in the session already (loaded)")]
    assert result.summary.failed == {name: f"there are no bars of {name}: there are those of SPY" for name in ("GONE", "NONE")}
    assert result.summary.deactivations == 0


def test_what_is_held_back_at_the_end_has_its_record() -> None:
    # Referred to by its open, a minute is 60 s old when it is known: with a threshold of 30 s none is ever fresh.
    session = session_of("SPY", derived_intervals=["5m"], catchup_threshold_seconds=30, reference="open", silence_threshold_seconds=43200)
    result = run_replay(session, {"SPY": day_of("SPY", count=10)})
    last = [(line["kind"], line["symbol"], line["interval"], line["extent"]["count"]) for line in result.lines[-2:]]
    assert last == [("held_back", "SPY", "1m", 10), ("held_back", "SPY", "5m", 2)]
    assert (result.lines[-2]["extent"]["first_start"], result.lines[-2]["extent"]["last_end"]) == (clock("09:30"), clock("09:40"))
    assert result.bars("SPY") == []
    check_sums(result)


class BreaksOff:
    """A source of which IBM's bars can't be read beyond the hundredth."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
        return OpenedTopic("test", 0, self._records(symbol), close=lambda: self.closed.append(symbol))

    def _records(self, symbol: str) -> Iterator[Read]:
        for offset, one in enumerate(day_of(symbol)):
            if symbol == "IBM" and offset == 100:
                raise HistoryError("the disk is gone")
            yield offset, one

    def close(self) -> None:
        """Nothing is held."""


def test_a_source_that_breaks_off_fails_its_symbol_after_the_bars_that_were_read() -> None:
    source = BreaksOff()
    result = run_replay(session_of("SPY", "IBM"), source)
    assert (len(ends(result, "SPY")), len(ends(result, "IBM"))) == (390, 100)
    assert result.summary.failed == {"IBM": "the disk is gone"}
    assert sorted(source.closed) == ["IBM", "SPY"]
    check_sums(result)


def test_an_addition_whose_backlog_breaks_off_leaves_nothing_behind() -> None:
    source = BreaksOff()
    result = run_replay(session_of("SPY"), source, commands=[{"at": clock("12:00"), "command": "add_symbol", "symbol": "IBM"}])
    assert result.markers("symbol_added", "deactivated", "held_back") == [
        line for line in result.markers("symbol_added") if line["symbol"] == "SPY"
    ]
    assert [status for _, status, _ in result.replies()] == ["accepted", "failed"]
    assert source.closed == ["IBM", "SPY"]


def test_bad_records_are_dead_letters_with_their_offsets_and_are_summed_up() -> None:
    spy: list[Bar | Undecodable] = [*day_of("SPY", count=5)]
    spy[2:2] = [Undecodable("no bar"), bar("IBM", OPEN), bar("SPY", OPEN + 2 * MINUTE_US, low=200.0)]
    spy += [bar("SPY", OPEN, "5m"), bar("SPY", OPEN)]
    result = run_replay(session_of("SPY"), {"SPY": spy})
    assert [(letter.offset, letter.code) for letter in result.dead_letters] == [(2, "undecodable"), (3, "wrong_symbol"), (4, "bad_prices")]
    assert result.summary.dead_letters == {"bad_prices": 1, "undecodable": 1, "wrong_symbol": 1}
    assert result.summary.dropped == {"duplicate": 1, "other_interval": 1}
    assert (result.summary.bars_in, result.summary.base_accepted) == (10, 5)
    check_sums(result)


def test_a_start_in_the_past_reads_the_days_before() -> None:
    bars = {"SPY": [*day_of("SPY"), *day_of("SPY", "2013-10-08")], "IBM": [*day_of("IBM"), *day_of("IBM", "2013-10-08")]}
    add = {"at": clock("12:00", "2013-10-08"), "command": "add_symbol", "symbol": "IBM", "start": clock("15:00", "2013-10-07")}
    result = run_replay(session_of("SPY"), bars, days=("2013-10-08", "2013-10-08"), commands=[add])
    assert result.summary.bars_in == 390 + 60 + 390
    assert result.markers("activated")[-1]["emitted_at"] == clock("12:00", "2013-10-08")
    check_sums(result)


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ({}, "give --start"),
        ({"start": date(2013, 10, 7)}, "give --end"),
        (
            {"start": date(2013, 10, 5), "end": date(2013, 10, 6)},
            "does not trade from 2013-10-05 to 2013-10-06: its next day is 2013-10-07",
        ),
        ({"start": date(2013, 10, 8), "end": date(2013, 10, 7)}, "before it starts"),
        ({"start": date(2013, 10, 8), "end": date(2999, 10, 7)}, "beyond the calendar of XNYS"),
    ],
)
def test_days_that_can_t_be_replayed_are_refused(dates: dict[str, Any], said: str) -> None:
    with pytest.raises(ReplayError, match=said):
        Replay(session_of("SPY"), source=MemorySource({}), **dates)


def test_a_command_s_start_before_the_calendar_is_no_error() -> None:
    add = {"at": clock("12:00"), "command": "add_symbol", "symbol": "IBM", "start": "1975-01-01T00:00:00Z"}
    result = run_replay(session_of("SPY"), {"SPY": day_of("SPY"), "IBM": day_of("IBM")}, commands=[add])
    assert result.summary.failed == {}
    assert result.summary.bars_in == 780
