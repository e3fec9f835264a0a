"""What `status`, `watch` and the lists say, from rows and records made by hand."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime

import pytest
from rich.console import Console
from rich.table import Table

from streams.calendar.trading import TradingCalendar
from streams.cli.demo.parts import completeness_words
from streams.cli.options import data_console
from streams.cli.status import status_facts, status_page
from streams.cli.watch import event_line
from streams.cli.words import clock_text, plural, seconds_text
from streams.client.jsonlines import analysis_json
from streams.client.state import StateView
from streams.model.records import Extent, GateChange, IntervalComplete, LaggingSymbol
from streams.model.rows import (
    ConfigRow,
    LatestQuote,
    ProgressRow,
    SessionRow,
    StreamRow,
    SymbolRow,
    progress_key,
    symbol_key,
)
from streams.times import SECOND_US, parse_instant
from streams.wire.messages import AnalysisBar, AnalysisEvent
from tests.support.rows import blank

# A Saturday, noon in London.
NOW_US = parse_instant("2013-10-05T11:00:00Z")
CONFIG = json.dumps({"session_name": "main", "exchange": "XNYS", "session_data_config": {"symbols": ["SPY"]}})


def view_of_a_session(*, now_us: int = NOW_US) -> StateView:
    view = StateView()
    session = blank(SessionRow, session="main", epoch=2, sequence=1234, now_us=now_us, gate_reason="IBM lags", trading_days=15_985)
    view.apply("session", session)
    view.apply("config", ConfigRow(CONFIG))
    view.apply(
        symbol_key("SPY"), blank(SymbolRow, symbol="SPY", incarnation=1, status="loaded", base_interval="1m", derived_intervals=("5m",))
    )
    view.apply(
        progress_key("SPY"),
        blank(
            ProgressRow, symbol="SPY", incarnation=1, frontier_us=parse_instant("2013-10-04T20:00:00Z"), checks=9, lag_us=400_000,
            bar_count=390, published=468, out_of_hours=412, duplicates=1, rejected=2,
        ),
    )  # fmt: skip
    view.apply(symbol_key("IBM"), blank(SymbolRow, symbol="IBM", incarnation=2, status="loaded", dynamic=True, base_interval="1m"))
    view.apply(
        progress_key("IBM"),
        blank(ProgressRow, symbol="IBM", incarnation=2, frontier_us=-1, checks=1, lag_us=9_000 * SECOND_US, lagging=True),
    )
    return view


def shown(view: StateView, *, now_us: int = NOW_US) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(status_page(status_facts(view, now_us=now_us)))
    return capture.get()


def test_status_says_why_the_gate_is_closed_and_who_lags() -> None:
    text = shown(view_of_a_session())
    assert "gate closed  IBM lags  lagging: IBM by 2 h 30 min" in text
    assert "epoch 2  sequence 1,234  trading day 2013-10-07" in text
    assert "2013-10-04 20:00:00" in text


def test_status_says_what_was_dropped_in_words() -> None:
    text = shown(view_of_a_session())
    assert "SPY: 412 bars dropped: outside XNYS hours, next open Mon 09:30 New York" in text
    assert "SPY: 1 bar dropped: equal to one that is there" in text
    assert "SPY: 2 dead letters: `streams dead-letters list --session main --symbol SPY` shows why" in text


@pytest.mark.parametrize(("seconds", "worker"), [(5, "active"), (6, "none")])
def test_no_worker_is_active_when_nothing_was_committed_for_more_than_five_seconds(seconds: int, worker: str) -> None:
    view = view_of_a_session()
    now_us = NOW_US + seconds * SECOND_US
    assert status_facts(view, now_us=now_us)["worker"] == worker
    assert ("no worker is active since 2013-10-05T11:00:00Z (6.0 s ago)" in shown(view, now_us=now_us)) is (worker == "none")


def test_status_shows_quotes_and_ticks_where_a_symbol_streams_them() -> None:
    view = view_of_a_session()
    assert "quotes" not in shown(view)
    view.apply(
        symbol_key("SPY"), blank(SymbolRow, symbol="SPY", incarnation=1, status="loaded", base_interval="1m", streams=("quotes", "ticks"))
    )
    quote = LatestQuote(NOW_US, 167.4, 167.5, None, None, "feed")
    view.apply(
        "quotes|SPY",
        blank(
            StreamRow,
            symbol="SPY",
            incarnation=1,
            stream="quotes",
            count=12_345,
            total=20_000,
            rejected=3,
            unknown_fields=7,
            quote=quote,
            unknown_names=("venue", "[n]"),
        ),
    )
    view.apply("ticks|SPY", blank(StreamRow, symbol="SPY", incarnation=1, stream="ticks", reason="topic ticks.SPY was deleted"))
    text = shown(view)
    assert "quotes" in text
    assert "12,345" in text
    assert "no ticks: topic ticks.SPY was deleted" in text
    assert "SPY: 7 quotes had unknown fields, which are ignored: venue, [n]" in text
    assert "SPY: 3 quotes are dead letters: `streams dead-letters list --session main --symbol SPY` shows why" in text
    _, spy = status_facts(view, now_us=NOW_US)["symbols"]
    assert spy["quotes"] == {
        "count": 12_345, "total": 20_000, "latest": "2013-10-05T11:00:00Z", "out_of_hours": 0, "dead_letters": 3, "unknown_fields": 7,
        "unknown_names": ["venue", "[n]"], "reason": None,
    }  # fmt: skip
    view.apply("quotes|SPY", None)
    assert status_facts(view, now_us=NOW_US)["symbols"][1]["quotes"] is None


def test_status_as_json_has_every_symbol_with_its_counts() -> None:
    facts = json.loads(json.dumps(status_facts(view_of_a_session(), now_us=NOW_US)))
    assert facts["lagging"] == ["IBM"]
    assert facts["trading_date"] == "2013-10-07"
    ibm, spy = facts["symbols"]
    assert (ibm["symbol"], ibm["frontier"], ibm["lag_seconds"], ibm["dynamic"]) == ("IBM", None, 9000.0, True)
    assert (spy["bars"], spy["published"], spy["out_of_hours"], spy["dead_letters"]) == (390, 468, 412, 2)


def test_hours_without_the_calendar_package_are_still_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streams.calendar.library", None)
    view = view_of_a_session()
    # No other test asks for Warsaw: a calendar that was made once is made no more in a run of the tests.
    view.apply("config", ConfigRow(CONFIG.replace("XNYS", "XWAR")))
    assert status_facts(view, now_us=NOW_US)["remarks"][0] == "SPY: 412 bars dropped: outside XWAR hours"


def test_stored_trading_days_need_no_calendar_package(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = TradingCalendar("XNYS", through=date(2013, 12, 31)).to_text()
    monkeypatch.setitem(sys.modules, "streams.calendar.library", None)
    view = view_of_a_session()
    view.apply("config", ConfigRow(CONFIG, stored))
    facts = status_facts(view, now_us=NOW_US)
    assert facts["calendar_last_date"] == "2013-12-31"
    assert facts["remarks"][0] == "SPY: 412 bars dropped: outside XNYS hours, next open Mon 09:30 New York"


@pytest.mark.parametrize(
    ("now", "expected", "why"),
    [
        ("2013-12-02T04:59:00Z", "SPY: 412 bars dropped", "31 days are left: New York's year ends at 05:00 UTC"),
        ("2013-12-02T05:00:00Z", "the calendar of XNYS ends on 2013-12-31, in 30 days: install a newer", "30 days"),
        ("2014-01-02T15:00:00Z", "the calendar of XNYS ended on 2013-12-31: install a newer", "it has ended"),
    ],
)
def test_status_says_that_the_calendar_ends_and_also_that_it_has_ended(now: str, expected: str, why: str) -> None:
    now_us = parse_instant(now)
    view = view_of_a_session(now_us=now_us)
    view.apply("config", ConfigRow(CONFIG, TradingCalendar("XNYS", through=date(2013, 12, 31)).to_text()))
    remarks = status_facts(view, now_us=now_us)["remarks"]
    assert remarks[0].startswith(expected), why
    assert "outside XNYS hours" in " ".join(remarks)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (9.96, "10.0 s"), (95, "95 s"), (720, "12 min"), (9000, "2 h 30 min"), (409_536_000, "4740 d"), (-1.5, "-1.5 s")],
)
def test_durations_are_said_as_a_person_says_them(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_small_words() -> None:
    assert (plural(1, "bar"), plural(4120, "bar")) == ("1 bar", "4,120 bars")
    assert clock_text(parse_instant("2013-10-07T13:30:00Z")) == "13:30:00"
    assert clock_text(parse_instant("2013-10-07T13:30:00.250Z")) == "13:30:00.250"


START_US = parse_instant("2013-10-07T13:30:00Z")
BAR = AnalysisBar(
    start_us=START_US, end_us=START_US + 300 * SECOND_US, open=167.4, high=167.5, low=167.3, close=167.45, volume=1200.0,
    vwap=None, trades=None, base_count=4, expected_count=5, revision=1, complete=False,
    provenance="derived", valid_until_us=START_US + 360 * SECOND_US,
)  # fmt: skip


def test_a_bar_is_one_line_that_says_when_it_is_incomplete_revised_and_stale() -> None:
    event = AnalysisEvent(
        sequence=7, epoch=1, session="main", emitted_us=START_US + 301 * SECOND_US, kind="bar", symbol="SPY", interval="5m", bar=BAR
    )
    fresh = event_line(event, START_US + 302 * SECOND_US).plain
    assert fresh == ("13:35:01  SPY     5m   13:30:00 to 13:35:00  o 167.4  h 167.5  l 167.3  c 167.45  v 1200  4 of 5 bars  revision 1")
    assert event_line(event, START_US + 480 * SECOND_US).plain == f"{fresh}  stale for 2 min"


def test_a_marker_is_one_line_that_says_what_happened() -> None:
    gate = GateChange(False, "IBM lags", (LaggingSymbol("IBM", 9000.0),))
    closed = AnalysisEvent(sequence=8, epoch=1, session="main", emitted_us=START_US, kind="deactivated", gate=gate)
    assert event_line(closed, START_US).plain.split() == ["13:30:00", "deactivated", *"IBM lags IBM lags 2 h 30 min".split()]
    extent = Extent("gate_closed", START_US, START_US + 300 * SECOND_US, 5)
    held = AnalysisEvent(
        sequence=9, epoch=1, session="main", emitted_us=START_US, kind="held_back", symbol="IBM", interval="1m", extent=extent
    )
    assert "5 bars from 2013-10-07T13:30:00Z to 2013-10-07T13:35:00Z (gate_closed)" in event_line(held, START_US).plain


def test_a_json_line_has_the_schema_s_names_and_leaves_out_what_is_not_set() -> None:
    event = AnalysisEvent(
        sequence=7, epoch=1, session="main", emitted_us=START_US, kind="bar", symbol="SPY", interval="5m", trading_days=15_985, bar=BAR
    )
    fields = json.loads(json.dumps(analysis_json(event)))
    assert fields["emitted_at"] == "2013-10-07T13:30:00Z"
    assert fields["trading_date"] == "2013-10-07"
    assert fields["bar"]["end"] == "2013-10-07T13:35:00Z"
    assert fields["bar"]["valid_until"] == "2013-10-07T13:36:00Z"
    assert "gate" not in fields
    assert "reason" not in fields


def test_what_others_wrote_is_shown_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    table.add_column("note")
    table.add_row("my.sources:X: [Errno 2] has no [red]bars[/]")
    data_console().print(table)
    assert "my.sources:X: [Errno 2] has no [red]bars[/]" in capsys.readouterr().out


def test_the_demo_says_whose_bars_a_window_has_and_who_is_absent() -> None:
    end_us = parse_instant("2013-10-07T13:31:00Z")
    event = AnalysisEvent(
        sequence=7, epoch=1, session="demo", emitted_us=end_us, kind="interval_complete", interval="1m",
        interval_complete=IntervalComplete(end_us, 3, 2, ("IBM",)),
    )  # fmt: skip
    local = datetime(2013, 10, 7, 13, 31, tzinfo=UTC).astimezone()
    assert completeness_words(event) == f"1m to {local:%H:%M:%S} has the bars of 2 of 3, without IBM"
