"""Past days of a live session's symbols: from a store, from sources that misbehave, and by a worker that is killed meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams.config.session import SessionConfig
from streams.engine.reads import SessionData
from streams.engine.session import Session
from streams.engine.state.symbol import SymbolStatus
from streams.history.store.store import HistoryStore
from streams.model.inputs import InputKind, JournalInput
from streams.model.rows import BlockRow
from streams.times import SystemClock
from streams.wire.messages import SessionEvent
from tests.support import unique_symbol, wait_until
from tests.support.feeders import around_the_clock
from tests.support.kafka.reading import read_topic
from tests.support.oracle.evidence import CODEC
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.past_days import past_bars
from tests.support.workers.processes import Workers

HANGS_SECONDS = 90.0


def config_of(name: str, *symbols: str, **historical: Any) -> SessionConfig:
    """A session of one-minute bars around the clock."""
    data = {"symbols": list(symbols), "derived_intervals": ["1h"], "historical": historical}
    return SessionConfig.from_dict({"session_name": name, **around_the_clock(), "session_data_config": data})


def days_before(config: SessionConfig, count: int) -> list[tuple[int, int]]:
    """Open and close of the trading days before the running one, oldest first."""
    calendar = config.calendar()
    day, days = calendar.current_day(SystemClock().now_us()), []
    for _ in range(count):
        day = calendar.previous_day(day.days)
        days.insert(0, (day.open_us, day.close_us))
    return days


def kept(desk: LiveDesk, symbol: str) -> list[tuple[int, int]]:
    """Where the past one-minute bars of a symbol start, day by day, and how many there are; read off the rows."""
    rows = [row for row in desk.topics.rows().values() if isinstance(row, BlockRow) and (row.symbol, row.interval) == (symbol, "1m")]
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row.trading_days, []).extend(row.bars.first_start_us + slot * 60_000_000 for slot in row.bars.slots)
    assert all(len(starts) == len(set(starts)) for starts in found.values()), "no bar stands in two rows"
    return [(min(starts), len(starts)) for _, starts in sorted(found.items())]


def loads_begun(desk: LiveDesk) -> list[JournalInput]:
    """The inputs with which loads began whose first bars are in the state."""
    journal = [CODEC.journal_from(record.value) for record in read_topic(desk.servers, desk.names.journal)]
    return [one for record in journal for one in record.inputs if one.kind is InputKind.HISTORY and one.interval is None]


def events_of(desk: LiveDesk, symbol: str, *kinds: str) -> list[SessionEvent]:
    return [event for event in desk.topics.events() if event.symbol == symbol and event.kind in kinds]


def test_past_days_come_from_a_store_before_a_symbol_is_loaded(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    first, added = unique_symbol("FIRST"), unique_symbol("ADDED")
    indicators = [
        {"name": "close", "kind": "prior_close"},
        {"name": "volume", "kind": "average_daily_volume", "period": 2},
        {"name": "sma4", "kind": "sma", "interval": "1m", "period": 4},
    ]
    config = config_of(session_name, first, trailing_days=2, indicators=indicators)
    days = days_before(config, 3)
    store = HistoryStore.create(tmp_path / "bars")
    store.write_bars(past_bars(first, "1m", days[0][0], days[2][1]))
    store.write_bars(past_bars(added, "1m", days[2][0], days[2][1]))
    desk = LiveDesk(bootstrap_servers, config)
    worker = workers.start(config, settings={"STREAMS_HISTORY": str(tmp_path / "bars")})
    worker.wait_until("active")
    reply = desk.add(added)
    assert reply is not None
    assert reply.reason is not None
    assert "history: no 1m bars of" in reply.reason
    assert kept(desk, first) == [(open_us, 1440) for open_us, _ in days[1:]]
    assert kept(desk, added) == [(days[2][0], 1440)]
    assert [event.kind for event in events_of(desk, first, "history_loaded", "symbol_loaded")] == ["history_loaded", "symbol_loaded"]
    (missing,) = events_of(desk, added, "history_missing")
    assert missing.attributes == {"interval": "1m", "days": "1"}
    read = SessionData(Session.restore(desk.topics.rows()).state)
    # The last bars of a day that ends at a whole hour: of minutes 56 to 59, a quarter apart.
    assert read.get_indicators(first, internal=True) == {"close": 114.75, "volume": 2880.0, "sma4": 114.375}
    assert read.get_indicators(added, internal=True) == {"close": 114.75, "volume": None, "sma4": 114.375}
    assert len(read.get_historical_bars(first, "1h", internal=True)) == 48
    lines = [line for line in worker.said().splitlines() if "history_loaded" in line and first in line]
    assert len(lines) == 1
    assert "2880" in lines[0]
    assert worker.stop() == 0
    desk.check_left_behind([first, added])


def test_a_worker_that_is_killed_while_it_loads_begins_again_and_nothing_is_double(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbol = unique_symbol("SLOW")
    config = config_of(session_name, symbol, trailing_days=50)
    desk = LiveDesk(bootstrap_servers, config)
    worker = workers.start(config, settings={"STREAMS_HISTORY": "tests.support.sessions.past_days:slow"})
    for loads in (1, 2):
        worker.wait_until("active")

        def has_begun(least: int = loads) -> bool:
            return len(loads_begun(desk)) == least

        wait_until(has_begun, f"some days of {symbol} to be loaded", 60)
        row = desk.symbol(symbol)
        assert row is not None
        assert row.status == SymbolStatus.PENDING
        worker.kill()
        worker.start()
    worker.wait_until("active")
    wait_until(lambda: (row := desk.symbol(symbol)) is not None and row.status == SymbolStatus.LOADED, f"{symbol} to be loaded", 120)
    assert kept(desk, symbol) == [(open_us, 1440) for open_us, _ in days_before(config, 50)]
    assert len(loads_begun(desk)) == 3, "each worker has begun anew"
    assert max(len(record.value or b"") for record in read_topic(desk.servers, desk.names.journal)) < 500_000
    assert worker.stop() == 0
    desk.check_left_behind([symbol])


def test_a_source_that_fails_hangs_or_gives_nonsense_costs_a_symbol_its_past_days_and_nothing_else(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    config = config_of(session_name, trailing_days=2)
    desk = LiveDesk(bootstrap_servers, config)
    worker = workers.start(config, settings={"STREAMS_HISTORY": "tests.support.odd_sources:by_symbol"})
    worker.wait_until("active")
    symbols = {}
    for kind, words in (
        ("RAISE", "PermissionError: the licence has run out"),
        ("NONSENSE", ": close must be a number above 0 and up to 1e+100, got nan"),
        ("NOTHING", "no 1m bars of "),
        ("HANG", "the source gave no answer within 30 s"),
        ("AFTER", "the source is left alone for a while, after this: the source gave no answer within 30 s"),
    ):
        symbol = symbols[kind] = unique_symbol(kind)
        reply = desk.add(symbol, timeout_seconds=HANGS_SECONDS)
        assert reply is not None
        assert (reply.status, "history: " in (reply.reason or "")) == ("completed", True)
        (missing,) = events_of(desk, symbol, "history_missing")
        assert words in (missing.reason or ""), kind
        assert words in (reply.reason or ""), kind
        assert kept(desk, symbol) == []
    assert worker.said().count("history_missing") == len(symbols)
    assert worker.stop() == 0
    desk.check_left_behind(list(symbols.values()))
