"""Replays of the real bars of 7 to 9 October 2013; expected counts are read from the files, or off the calendar, by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from streams.history.lean.files import lean_files
from streams.replay.lean_source import LeanSource
from streams.replay.pace import Pacer
from streams.replay.source import MemorySource
from streams.times import ManualClock
from tests.support.engine import at
from tests.support.sessions.replay import (
    DAYS,
    LEAN,
    MINUTES,
    SECONDS,
    check_clock,
    check_sums,
    clock,
    lean_rows,
    run_replay,
    session_of,
)

NOON = clock("12:00")
ADD_IBM = {"at": NOON, "command": "add_symbol", "symbol": "IBM"}
DERIVED = ["5m", "15m"]
CLASSIC: dict[str, Any] = {
    "reference": "open", "check": "interval", "catchup_check_interval": 10, "catchup_threshold_seconds": 60, "future_tolerance_seconds": 60,
}  # fmt: skip


def minutes_source() -> LeanSource:
    return LeanSource.of([MINUTES / "spy", MINUTES / "ibm"])


def held(lines: list[dict[str, Any]]) -> list[tuple[str, str, int, str, str]]:
    return [
        (line["symbol"], line["interval"], line["extent"]["count"], line["extent"]["first_start"], line["extent"]["last_end"])
        for line in lines
        if line["kind"] == "held_back"
    ]


def test_ibm_added_at_noon_is_caught_up_out_of_sight_under_classic_settings() -> None:
    result = run_replay(session_of("SPY", derived_intervals=DERIVED, **CLASSIC), minutes_source(), commands=[ADD_IBM])
    assert len(lean_rows(MINUTES, "IBM", to_ms=43_200_000)) == 150, "every minute of IBM's morning has a bar"
    at_noon = [line for line in result.markers() if line["emitted_at"] == NOON]
    assert [line["kind"] for line in at_noon] == ["symbol_added", "deactivated", "held_back", "held_back", "held_back", "activated"]
    assert at_noon[1]["gate"]["lagging"] == [{"symbol": "IBM", "lag_seconds": 9000.0}]
    # The 11:59 bar, 60 s old by its start, is fresh but off the cadence of ten: what opens is that the backlog is read.
    assert held(at_noon) == [
        ("IBM", "1m", 150, clock("09:30"), NOON), ("IBM", "5m", 30, clock("09:30"), NOON), ("IBM", "15m", 10, clock("09:30"), NOON),
    ]  # fmt: skip
    assert at_noon[5]["gate"]["reason"] == "caught_up"
    first = result.bars("IBM")[0]
    assert (first["bar"]["start"], first["emitted_at"]) == (NOON, clock("12:01"))
    assert len(result.bars("IBM")) == 390 - 150
    assert len(result.bars("SPY")) == 390
    check_sums(result)


def test_ibm_added_at_noon_with_defaults_publishes_only_what_is_fresh() -> None:
    result = run_replay(session_of("SPY", derived_intervals=DERIVED), minutes_source(), commands=[ADD_IBM])
    at_noon = [line for line in result.markers() if line["emitted_at"] == NOON]
    assert at_noon[1]["gate"]["lagging"] == [{"symbol": "IBM", "lag_seconds": 8940.0}], "the 09:30 bar is known at 09:31"
    # The bar that ended at 11:59 is 60 s old, which is not more than the threshold, and opens the gate: 148 came before it.
    assert held(at_noon) == [
        ("IBM", "1m", 148, clock("09:30"), clock("11:58")),
        ("IBM", "5m", 29, clock("09:30"), clock("11:55")),
        ("IBM", "15m", 9, clock("09:30"), clock("11:45")),
    ]
    assert at_noon[-1]["gate"]["reason"] == "fresh"
    assert [line["bar"]["end"] for line in result.bars("IBM")[:2]] == [clock("11:59"), NOON]
    assert (len(result.bars("IBM")), len(result.bars("IBM", "5m")), len(result.bars("IBM", "15m"))) == (242, 49, 17)
    assert result.replies() == [("line-1", "accepted", None), ("line-1", "completed", None)]
    check_sums(result)


def test_prices_are_those_of_the_file_and_five_minutes_add_up() -> None:
    result = run_replay(session_of("SPY", derived_intervals=["5m"]), minutes_source())
    rows = lean_rows(MINUTES, "SPY")
    assert [
        [line["bar"][name] for name in ("open", "high", "low", "close", "volume")] for line in result.bars("SPY")
    ] == [[row[1] / 10_000, row[2] / 10_000, row[3] / 10_000, row[4] / 10_000, row[5]] for row in rows]  # fmt: skip
    assert [line["bar"]["volume"] for line in result.bars("SPY", "5m")] == [
        sum(row[5] for row in rows[place : place + 5]) for place in range(0, 390, 5)
    ]


def test_no_published_bar_is_older_than_the_threshold_or_comes_before_its_end() -> None:
    commands = [ADD_IBM, {"at": clock("13:00:30"), "command": "add_symbol", "symbol": "BAC"}]
    result = run_replay(session_of("SPY", derived_intervals=DERIVED), LeanSource.of([MINUTES]), commands=commands)
    bars = [line for line in result.lines if line["kind"] == "bar"]
    assert {line["symbol"] for line in bars} == {"SPY", "IBM", "BAC"}
    assert all(line["bar"]["end"] <= line["emitted_at"] <= line["bar"]["valid_until"] for line in bars)
    check_sums(result)


def test_three_days_roll_over_and_all_bars_of_the_files_are_accounted_for() -> None:
    commands = [ADD_IBM, {"at": clock("15:00", "2013-10-08"), "command": "remove_symbol", "symbol": "IBM"}]
    result = run_replay(
        session_of("SPY", derived_intervals=DERIVED), minutes_source(), days=("2013-10-07", "2013-10-09"), commands=commands
    )
    assert [(line["emitted_at"], line["trading_date"]) for line in result.markers("session_rolled")] == [
        (clock("00:00", "2013-10-08"), "2013-10-08"), (clock("00:00", "2013-10-09"), "2013-10-09"),
    ]  # fmt: skip
    assert len(result.bars("SPY")) == 3 * 390
    assert [(line["emitted_at"], line["reason"]) for line in result.markers("symbol_removed")] == [
        (clock("15:00", "2013-10-08"), "drained")
    ]
    assert result.bars("IBM")[-1]["bar"]["end"] == clock("15:00", "2013-10-08"), "what had ended by then is read first"
    # From the first open on: all of the files but what came before it, and of IBM nothing that ends after 15:00 on the second day.
    after_open = len(lean_rows(MINUTES, "SPY", DAYS[0], from_ms=34_200_000, to_ms=86_400_000))
    whole_days = sum(len(lean_rows(MINUTES, "SPY", day, from_ms=0, to_ms=86_400_000)) for day in DAYS[1:])
    ibm = len(lean_rows(MINUTES, "IBM", DAYS[0], to_ms=86_400_000)) + len(lean_rows(MINUTES, "IBM", DAYS[1], from_ms=0, to_ms=54_000_000))
    assert result.summary.bars_in == after_open + whole_days + ibm
    assert result.summary.base_accepted == 3 * 390 + 390 + 330
    assert result.summary.dropped == {"out_of_hours": result.summary.bars_in - 1890}
    assert (result.summary.activations, result.summary.deactivations, result.summary.symbols) == (2, 1, ["SPY"])
    check_sums(result)


def test_a_minute_without_a_trade_leaves_windows_that_the_clock_closes() -> None:
    assert len(lean_rows(MINUTES, "AIG")) == 389, "AIG lacks one minute of this day"
    session = session_of("AIG", derived_intervals=["5m", "15m"], bars_topic=True)
    result = run_replay(session, LeanSource.of([MINUTES]))
    check_clock(result, session.grace_us)
    short = [
        (line["interval"], line["bar"]["base_count"]) for line in result.lines if line["kind"] == "bar" and not line["bar"]["complete"]
    ]
    assert short == [("5m", 4), ("15m", 14)]
    assert (len(result.bars("AIG", "5m")), len(result.bars("AIG", "15m"))) == (78, 26)


def test_seconds_make_minutes() -> None:
    session = session_of("SPY", streams=["1s"], derived_intervals=["1m"])
    result = run_replay(session, LeanSource.of([SECONDS, MINUTES]))
    assert len(result.bars("SPY", "1s")) == len(lean_rows(SECONDS, "SPY")) == 14_432
    minutes = {row[0]: row for row in lean_rows(MINUTES, "SPY")}
    made = {at(line["bar"]["start"][11:16], "2013-10-07"): line["bar"] for line in result.bars("SPY", "1m")}
    assert len(made) == 390
    seconds = lean_rows(SECONDS, "SPY")
    noon = [row for row in seconds if 43_200_000 <= row[0] < 43_260_000]
    found = next(line["bar"] for line in result.bars("SPY", "1m") if line["bar"]["start"] == NOON)
    assert (found["open"], found["volume"]) == (noon[0][1] / 10_000, sum(row[5] for row in noon))
    assert found["high"] == max(row[2] for row in noon) / 10_000
    assert found["base_count"] == len(noon)
    assert 43_200_000 in minutes


def test_two_runs_are_byte_identical_and_the_hash_is_that_of_the_lines() -> None:
    runs = [
        run_replay(session_of("SPY", derived_intervals=DERIVED), minutes_source(), days=("2013-10-07", "2013-10-08"), commands=[ADD_IBM])
        for _ in range(2)
    ]
    assert runs[0].text == runs[1].text
    assert runs[0].sha256 == runs[1].sha256 == hashlib.sha256(runs[0].text.encode()).hexdigest()


@pytest.mark.parametrize("speed", [1.0, 3600.0])
def test_outputs_do_not_depend_on_the_speed_and_nights_pass_at_once(speed: float) -> None:
    session = session_of("SPY", derived_intervals=DERIVED)
    time = ManualClock()
    paced = run_replay(
        session, minutes_source(), days=("2013-10-07", "2013-10-08"), commands=[ADD_IBM],
        pacer=Pacer(speed, clock=time, sleep=time.advance_seconds),
    )  # fmt: skip
    plain = run_replay(session, minutes_source(), days=("2013-10-07", "2013-10-08"), commands=[ADD_IBM])
    assert paced.text == plain.text
    # Two days of six and a half hours and the five seconds of grace.
    assert time.monotonic() == pytest.approx(2 * (6.5 * 3600 + 5) / speed, rel=1e-4)


def test_outputs_do_not_depend_on_how_bars_are_cut_into_files_or_held() -> None:
    session = session_of("SPY", derived_intervals=DERIVED)
    days = ("2013-10-07", "2013-10-09")
    whole = run_replay(session, LeanSource.of([LEAN]), days=days, commands=[ADD_IBM])
    files = [file.path for symbol in ("spy", "ibm") for file in reversed(lean_files(MINUTES / symbol))]
    single = run_replay(session, LeanSource.of(files), days=days, commands=[ADD_IBM])
    in_memory = MemorySource({symbol: [one.record for one in minutes_source().open(symbol, "1m", 0).records] for symbol in ("SPY", "IBM")})
    assert whole.sha256 == single.sha256 == run_replay(session, in_memory, days=days, commands=[ADD_IBM]).sha256


def test_a_file_that_is_damaged_fails_its_symbol_alone(tmp_path: Path) -> None:
    for symbol in ("spy", "ibm"):
        folder = tmp_path / "equity" / "usa" / "minute" / symbol
        folder.mkdir(parents=True)
        whole = (MINUTES / symbol / "20131007_trade.zip").read_bytes()
        (folder / "20131007_trade.zip").write_bytes(whole if symbol == "spy" else whole[:2000])
    result = run_replay(session_of("SPY"), LeanSource.of([tmp_path]), commands=[ADD_IBM])
    assert len(result.bars("SPY")) == 390
    (failed,) = result.markers("symbol_failed")
    assert (failed["symbol"], failed["emitted_at"]) == ("IBM", NOON)
    assert "is damaged" in failed["reason"]
    assert [status for _, status, _ in result.replies()] == ["accepted", "failed"]
    assert "IBM" in result.summary.failed
