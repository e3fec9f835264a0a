"""Past days in a replay: what is loaded before the first one, what refuses an addition, and indicators over real bars."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from streams.engine.reads import SessionData
from streams.engine.transaction import Undecodable
from streams.history.lean.files import read_lean
from streams.history.store.store import HistoryStore
from streams.model.records import Bar
from streams.replay.lean_source import LeanSource
from streams.replay.source import BarSource, MemorySource
from streams.replay.store_source import StoreSource
from streams.times import date_of_days, days_of
from tests.support.engine import at, bar, minutes
from tests.support.sessions.replay import MINUTES, Result, clock, lean_rows, run_replay, session_of

THURSDAY, FRIDAY, MONDAY, TUESDAY, WEDNESDAY = "2013-10-03", "2013-10-04", "2013-10-07", "2013-10-08", "2013-10-09"
ONE_DAY = (WEDNESDAY, WEDNESDAY)
OF_SPY: dict[str, Any] = {
    "trailing_days": 2,
    "indicators": [
        {"name": "close", "kind": "prior_close"},
        {"name": "high", "kind": "prior_high"},
        {"name": "low", "kind": "prior_low"},
        {"name": "adv2", "kind": "average_daily_volume", "period": 2},
        {"name": "sma2", "kind": "sma", "period": 2},
        {"name": "ema3", "kind": "ema", "interval": "1m", "period": 3},
        {"name": "atr2", "kind": "atr", "period": 2},
        {"name": "vwap390", "kind": "vwap", "interval": "1m", "period": 390},
    ],
}


def past(result: Result, symbol: str = "SPY") -> dict[str, dict[str, int]]:
    data = result.replay.session.symbol(symbol)
    assert data is not None
    return {str(date_of_days(days)): {name: len(bars) for name, bars in kept.items()} for days, kept in sorted(data.historical.items())}


def store_of(folder: Path) -> StoreSource:
    store = HistoryStore.create(folder)
    store.write_bars(read_lean(MINUTES / "spy"))
    store.write_bars(read_lean(MINUTES / "aig"))
    return StoreSource(store)


def in_memory() -> MemorySource:
    return MemorySource({symbol: list(read_lean(MINUTES / symbol.lower())) for symbol in ("SPY", "AIG")})


@pytest.mark.parametrize("kind", ["store", "files", "topics"])
def test_real_past_days_and_indicators_are_the_same_from_every_source(kind: str, tmp_path: Path) -> None:
    sources: dict[str, BarSource] = {
        "store": store_of(tmp_path), "files": LeanSource.of([MINUTES / "spy", MINUTES / "aig"]), "topics": in_memory()
    }  # fmt: skip
    session = session_of("SPY", derived_intervals=["5m"], historical=OF_SPY)
    result = run_replay(session, sources[kind], days=ONE_DAY)
    whole = {"1m": 390, "5m": 78}
    assert past(result) == {MONDAY: whole, TUESDAY: whole}
    (loaded,) = result.events("history_loaded")
    assert loaded.attributes == {"days": "2", "bars": "780", "intervals": "1m", "first": MONDAY, "last": TUESDAY}

    # A row of a zip: milliseconds, open, high, low, close in 1/10000 of a dollar, volume.
    monday, tuesday = (lean_rows(MINUTES, "SPY", day.replace("-", "")) for day in (MONDAY, TUESDAY))
    highs, lows = (
        [max(row[2] for row in rows) / 1e4 for rows in (monday, tuesday)],
        [min(row[3] for row in rows) / 1e4 for rows in (monday, tuesday)],
    )
    closes = [rows[-1][4] / 1e4 for rows in (monday, tuesday)]
    volumes = [sum(row[5] for row in rows) for rows in (monday, tuesday)]
    average = sum(row[4] / 1e4 for row in [*monday, *tuesday][-63:][:3]) / 3
    for row in [*monday, *tuesday][-60:]:
        average = (average + row[4] / 1e4) / 2
    ranges = [highs[0] - lows[0], max(highs[1] - lows[1], abs(highs[1] - closes[0]), abs(lows[1] - closes[0]))]
    turnover = sum((row[2] + row[3] + row[4]) / 3e4 * row[5] for row in tuesday)
    expected = {
        "close": closes[1], "high": highs[1], "low": lows[1], "adv2": sum(volumes) / 2, "sma2": sum(closes) / 2, "ema3": average,
        "atr2": sum(ranges) / 2, "vwap390": turnover / volumes[1],
    }  # fmt: skip
    data = SessionData(result.replay.session.state)
    assert data.get_indicators("SPY", internal=True) == {name: pytest.approx(value, abs=1e-9) for name, value in expected.items()}
    assert data.get_historical_bars("SPY", on=date(2013, 10, 7), internal=True)[-1].close == closes[0]


def test_a_symbol_that_is_added_at_noon_has_its_past_days_and_the_morning(tmp_path: Path) -> None:
    commands = [{"at": clock("12:00", TUESDAY), "command": "add_symbol", "symbol": "AIG"}]
    result = run_replay(
        session_of("SPY", historical={"trailing_days": 1, "indicators": [{"name": "close", "kind": "prior_close"}]}),
        store_of(tmp_path), days=(TUESDAY, WEDNESDAY), commands=commands,
    )  # fmt: skip
    assert result.replies() == [("line-1", "accepted", None), ("line-1", "completed", None)]
    loaded = {event.symbol: event.attributes for event in result.events("history_loaded")}
    assert (loaded["AIG"]["first"], loaded["AIG"]["bars"]) == (MONDAY, "389"), "AIG was not traded in one minute of that day"
    assert past(result, "AIG") == {TUESDAY: {"1m": 390}}, "a day is over since, and one day is kept"
    row = lean_rows(MINUTES, "AIG", "20131008")[-1]
    assert SessionData(result.replay.session.state).get_indicator("AIG", "close", internal=True) == row[4] / 1e4


def refusal(records: list[Bar | Undecodable], trailing_days: int = 3, **parts: Any) -> str | None:
    """Why SPY can't be replayed on Tuesday, with other bars than its own for company."""
    source = MemorySource({"SPY": [*records, *minutes("SPY", at("09:30", TUESDAY), 5)], "IBM": minutes("IBM", at("09:30", TUESDAY), 5)})
    historical = {"trailing_days": trailing_days, "apply_to": ["SPY"], **parts}
    result = run_replay(session_of("SPY", "IBM", historical=historical), source, days=(TUESDAY, TUESDAY))
    assert len(result.bars("IBM")) == 5, "the others go on"
    (reason,) = [event.reason for event in result.events("symbol_failed")] or [None]
    return reason


def day(text: str, count: int = 3, **fields: Any) -> list[Bar | Undecodable]:
    return list(minutes("SPY", at("09:30", text), count, **fields))


WHOLE = [*day(THURSDAY), *day(FRIDAY), *day(MONDAY)]
REFUSED: list[tuple[str, list[Bar | Undecodable], dict[str, Any], str | None]] = [
    ("all is there", WHOLE, {}, None),
    ("nothing is", [], {}, "no 1m bars of 2013-10-03 to 2013-10-07: a replay needs all of the 3 trading days before 2013-10-08 that"),
    ("a day is missing", [*day(THURSDAY), *day(MONDAY)], {}, "no 1m bars of 2013-10-04: "),
    ("days here and there", [*day("2013-10-02"), *day(FRIDAY)], {"trailing_days": 4}, "no 1m bars of 2013-10-03, 2013-10-07: "),
    ("a bar can't be", [*day(THURSDAY), *day(FRIDAY, low=300.0), *day(MONDAY)], {}, "2013-10-04: low 300.0 is above high 100.25"),
    ("another interval is wanted", WHOLE, {"intervals": ["1d"]}, "no 1d bars of 2013-10-03 to 2013-10-07: "),
    ("a topic has repetitions and corrections", [*WHOLE, *day(MONDAY), *day(MONDAY, price=101)], {}, None),
    ("a record is none", [*WHOLE, Undecodable("no magic byte")], {}, None),
    ("a stray from the future stands in between", [bar("SPY", at("09:30", "2020-10-07")), *WHOLE], {}, None),
    ("a bar came late, on the day after", [*day(THURSDAY), *day(MONDAY), *day(FRIDAY)], {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("what", "records", "parts", "words"), REFUSED, ids=[what for what, *_ in REFUSED])
def test_a_replay_refuses_a_symbol_whose_past_days_are_not_whole(
    what: str, records: list[Bar | Undecodable], parts: dict[str, Any], words: str | None
) -> None:
    reason = refusal(records, **parts)
    assert (reason is None) == (words is None), (what, reason)
    assert words is None or words in (reason or "")


def test_a_correction_in_a_topic_counts() -> None:
    source = {
        "SPY": [
            *minutes("SPY", at("09:30", MONDAY), 3),
            bar("SPY", at("09:32", MONDAY), price=250.0),
            *minutes("SPY", at("09:30", TUESDAY), 5),
        ]
    }
    historical = {"trailing_days": 1, "indicators": [{"name": "close", "kind": "prior_close"}]}
    result = run_replay(session_of("SPY", historical=historical), source, days=(TUESDAY, TUESDAY))
    assert SessionData(result.replay.session.state).get_indicator("SPY", "close", internal=True) == 250.0


def test_what_was_not_known_when_the_day_began_is_not_known_then() -> None:
    """A bar of Monday that stands behind Tuesday's first ones comes in with them: before that nobody has it."""
    late = bar("SPY", at("15:59", MONDAY), price=250.0)
    source = {
        "SPY": [*minutes("SPY", at("09:30", MONDAY), 3), *minutes("SPY", at("09:30", TUESDAY), 3), late, bar("SPY", at("09:33", TUESDAY))]
    }
    historical = {"trailing_days": 1, "indicators": [{"name": "close", "kind": "prior_close"}]}
    result = run_replay(session_of("SPY", historical=historical), source, days=(TUESDAY, TUESDAY))
    (loaded,) = result.events("history_loaded")
    assert loaded.attributes["bars"] == "3"
    (told,) = [now_us for now_us, one in result.outcomes if one in result.events("bar_late")]
    assert told == at("09:33", TUESDAY)
    assert past(result) == {MONDAY: {"1m": 4}}
    assert SessionData(result.replay.session.state).get_indicator("SPY", "close", internal=True) == 250.0


def test_a_start_in_the_past_has_the_days_before_it() -> None:
    commands = [{"at": clock("12:00", TUESDAY), "command": "add_symbol", "symbol": "IBM", "start": clock("09:30", MONDAY)}]
    bars = {
        symbol: [one for text in (FRIDAY, MONDAY, TUESDAY) for one in minutes(symbol, at("09:30", text), 3)] for symbol in ("SPY", "IBM")
    }
    session = session_of("SPY", historical={"trailing_days": 1})
    result = run_replay(session, bars, days=(TUESDAY, TUESDAY), commands=commands)
    loaded = {event.symbol: event.attributes["last"] for event in result.events("history_loaded")}
    assert loaded == {"SPY": MONDAY, "IBM": FRIDAY}
    assert past(result, "IBM") == {MONDAY: {"1m": 3}}
    assert days_of(date.fromisoformat(MONDAY)) in result.replay.session.state.symbols["IBM"].historical
