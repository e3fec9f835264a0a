"""Quotes and ticks in a replay: the state that a live session would have, and the bars as if there were none."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.reads import SessionData
from streams.model.records import Bar, Quote, Rejection, Tick, Undecodable
from streams.replay.source import MemorySource
from streams.times import MINUTE_US, SECOND_US
from tests.support.engine import Desk, at, config, minutes, quote, tick
from tests.support.sessions.replay import Result, clock, run_replay, session_of

Extras = dict[tuple[str, str], list[Quote | Tick | Undecodable]]
BARS: dict[str, list[Bar | Undecodable]] = {symbol: [*minutes(symbol, at("09:30"), 60)] for symbol in ("SPY", "IBM")}
PARTS: dict[str, Any] = {"streams": ["1m", "quotes", "ticks"], "derived_intervals": ["5m"]}


def replayed(extras: Extras, commands: tuple[dict[str, Any], ...] = ()) -> Result:
    every = {(symbol, stream): extras.get((symbol, stream), []) for symbol in BARS for stream in ("quotes", "ticks")}
    return run_replay(session_of("SPY", **PARTS), MemorySource(BARS, every), commands=commands)


def stands_at(result: Result, symbol: str, stream: str) -> tuple[int, int, int, object]:
    data = SessionData(result.replay.session.state)
    found = data.get_quotes(symbol, internal=True) if stream == "quotes" else data.get_ticks(symbol, internal=True)
    assert found is not None
    return found.count, found.out_of_hours, found.rejected, found.latest


@st.composite
def extra_streams(draw: st.DrawFn) -> Extras:
    found: Extras = {}
    for stream in ("quotes", "ticks"):
        times = sorted(draw(st.lists(st.integers(-60, 3700), max_size=30)))
        made: list[Quote | Tick | Undecodable] = []
        for seconds in times:
            time_us = at("09:30") + seconds * SECOND_US
            price = draw(st.sampled_from([100.0, 101.0, 0.0]))
            made.append(quote("SPY", time_us, price) if stream == "quotes" else tick("SPY", time_us, price))
        for place in draw(st.lists(st.integers(0, len(made)), max_size=2)):
            made.insert(place, Undecodable("?"))
        found["SPY", stream] = made
    return found


@settings(max_examples=40, deadline=None)
@given(extra_streams())
def test_the_records_are_those_of_a_replay_without_them_and_the_state_is_that_of_a_live_session(extras: Extras) -> None:
    result, without = replayed(extras), replayed({})
    assert (result.text, result.sha256) == (without.text, without.sha256)
    desk = Desk(config("SPY", **PARTS), at("09:29"))
    desk.load("SPY")
    for (symbol, stream), records in extras.items():
        # Where reading begins: live by the time of the messages, which are those of the records.
        since_open = [not isinstance(one, Undecodable) and one.time_us >= at("09:30") for one in records]
        first = since_open.index(True) if True in since_open else len(records)
        desk.produce(*records[first:], topic=f"{stream}|{symbol}")
    desk.read(now_us=at("10:40"))
    live = SessionData(desk.session.state)
    for stream in ("quotes", "ticks"):
        found = live.get_quotes("SPY", internal=True) if stream == "quotes" else live.get_ticks("SPY", internal=True)
        assert found is not None
        assert stands_at(result, "SPY", stream) == (found.count, found.out_of_hours, found.rejected, found.latest)


def test_a_symbol_that_is_added_has_its_quotes_since_the_open() -> None:
    made = [quote("IBM", at("09:30") + number * MINUTE_US) for number in range(60)]
    added = ({"at": clock("10:00"), "command": "add_symbol", "symbol": "IBM"},)
    result = replayed({("IBM", "quotes"): [*made]}, added)
    assert stands_at(result, "IBM", "quotes") == (60, 0, 0, made[-1])
    assert result.summary.quotes_and_ticks == 60


def test_a_stray_quote_from_the_future_keeps_no_other_waiting() -> None:
    made = [quote("SPY", at("09:30") + number * MINUTE_US) for number in range(60)]
    stray = quote("SPY", at("09:30", "2099-01-05"))
    result = replayed({("SPY", "quotes"): [*made[:10], stray, *made[10:]]})
    assert stands_at(result, "SPY", "quotes") == (60, 0, 1, made[-1])
    assert [(letter.code, letter.stream) for letter in result.dead_letters] == [(Rejection.FUTURE, "quotes")]
    assert (result.summary.dead_letters, result.summary.bad_quotes_and_ticks) == ({}, 1)


def test_a_source_without_quotes_says_so_and_gives_the_bars() -> None:
    class BarsAlone:
        def __init__(self) -> None:
            self._memory = MemorySource(BARS)

        def open(self, symbol: str, interval: str, from_us: int) -> Any:
            return self._memory.open(symbol, interval, from_us)

        def close(self) -> None:
            pass

    result = run_replay(session_of("SPY", **PARTS), BarsAlone())
    assert [(one.attributes["stream"], one.reason) for one in result.events("source_lost")] == [
        (stream, f"{stream} are read from topics alone: this source has bars") for stream in ("quotes", "ticks")
    ]
    assert len(result.bars("SPY")) == 60


def test_a_missing_topic_of_quotes_costs_the_quotes_alone() -> None:
    result = run_replay(session_of("SPY", **PARTS), MemorySource(BARS, {("SPY", "ticks"): [tick("SPY", at("09:30"))]}))
    assert [one.reason for one in result.events("source_lost")] == ["there are no quotes of SPY"]
    assert stands_at(result, "SPY", "ticks")[0] == 1
    assert len(result.bars("SPY")) == 60
