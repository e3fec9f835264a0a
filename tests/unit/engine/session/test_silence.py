"""A feed that falls silent during trading hours is found by the clock and shown, and shuts the gate only where that is configured."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.reads import SessionData
from streams.model.inputs import InputKind
from streams.model.records import EventKind
from streams.model.rows import ProgressRow
from streams.model.views import SymbolSnapshot
from streams.times import SECOND_US, parse_instant
from tests.support.engine import Desk, at, bar, config, events, shown


def silent_desk(**parts: Any) -> Desk:
    """SPY had its last bar at 10:01, IBM has one each minute, and the clock has come to 10:06."""
    desk = Desk(config("SPY", "IBM", silence_threshold_seconds=300, **parts), at("10:00"))
    desk.load("SPY", "IBM")
    desk.flow(bar("SPY", at("10:00")), *[bar("IBM", at(f"10:0{minute}")) for minute in range(6)])
    assert desk.session.quiet_symbols(at("10:05:59")) == []
    assert desk.session.quiet_symbols(at("10:06")) == ["SPY"]
    return desk


def snapshot(desk: Desk, symbol: str = "SPY") -> SymbolSnapshot:
    found = SessionData(desk.session.state).get_symbol_data(symbol, internal=True)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("silence_lags", "says", "why"),
    [(False, [], "a thin stock must not shut the gate for others"), (True, ["deactivated silent"], "it was asked for")],
)
def test_silence_is_shown_and_shuts_the_gate_only_where_it_is_asked_to(silence_lags: bool, says: list[str], why: str) -> None:
    desk = silent_desk(silence_lags=silence_lags)
    assert not snapshot(desk).silent
    told = desk.apply(desk.about(InputKind.SILENT, "SPY"), now_us=at("10:06"))
    assert shown(told) == says, why
    (event,) = events(told, EventKind.SYMBOL_SILENT)
    assert (event.symbol, event.attributes) == ("SPY", {"seconds": "300.000"})
    assert (snapshot(desk).silent, snapshot(desk).lagging, snapshot(desk, "IBM").silent) == (True, silence_lags, False)
    row = desk.table["progress|SPY"]
    assert isinstance(row, ProgressRow)
    assert row.silent, "a status is made of the rows"
    assert desk.session.quiet_symbols(at("10:30")) == ["IBM"], "it is not found again"


@pytest.mark.parametrize("silence_lags", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_bar_ends_the_silence(silence_lags: bool, restarts: bool) -> None:
    desk = silent_desk(silence_lags=silence_lags)
    desk.apply(desk.about(InputKind.SILENT, "SPY"), now_us=at("10:06"))
    if restarts:
        desk.restart(resumes=False)
    desk.flow(bar("SPY", at("10:06")))
    assert (snapshot(desk).silent, snapshot(desk).lagging, desk.active) == (False, False, True)
    assert "SPY" not in desk.session.quiet_symbols(at("10:11:59"))
    assert "SPY" in desk.session.quiet_symbols(at("10:12"))


def test_what_a_silent_feed_does_not_send_is_missing() -> None:
    desk = silent_desk()
    desk.apply(desk.about(InputKind.SILENT, "SPY"), now_us=at("10:06"))
    (before, gap) = SessionData(desk.session.state).get_gaps("SPY", internal=True)
    assert (before.bar_count, gap.start_us, gap.end_us) == (30, at("10:01"), at("10:06"))


@pytest.mark.parametrize(
    ("begins", "last", "pause", "opens", "why"),
    [
        ("2026-11-24T21:00", "2026-11-24T21:59", "2026-11-24T22:30", "2026-11-24T23:00", "the daily pause, 16:00 to 17:00 in Chicago"),
        ("2026-11-26T17:00", "2026-11-26T17:59", "2026-11-26T21:00", "2026-11-26T23:00", "the afternoon of Thanksgiving"),
        ("2026-11-27T18:00", "2026-11-27T18:14", "2026-11-29T22:59", "2026-11-29T23:00", "the weekend, up to Sunday evening"),
    ],
)
def test_futures_are_not_silent_while_they_pause(begins: str, last: str, pause: str, opens: str, why: str) -> None:
    begins_us, last_us, pause_us, opens_us = (parse_instant(f"{text}Z") for text in (begins, last, pause, opens))
    desk = Desk(config("ES", silence_threshold_seconds=300, exchange="CMES", hours="us_equity_futures"), begins_us)
    desk.load("ES")
    desk.flow(bar("ES", last_us))
    assert desk.session.quiet_symbols(pause_us) == [], why
    desk.advance(pause_us)
    desk.advance(opens_us)
    assert desk.session.quiet_symbols(opens_us + 299 * SECOND_US) == []
    assert desk.session.quiet_symbols(opens_us + 361 * SECOND_US) == ["ES"], "from the open on it is waited for"
