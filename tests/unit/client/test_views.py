"""What a client makes of rows and records, without a broker."""

from __future__ import annotations

from streams.client.state import StateView
from streams.model.rows import (
    CommandRow,
    ConfigRow,
    ProgressRow,
    SessionRow,
    SymbolRow,
    command_key,
    progress_key,
    symbol_key,
)
from tests.support.rows import blank


def session_row(transaction: int) -> SessionRow:
    return blank(SessionRow, session="main", epoch=1, transaction=transaction)


def symbol_row(symbol: str, incarnation: int) -> SymbolRow:
    return blank(SymbolRow, symbol=symbol, incarnation=incarnation, status="loaded")


def progress_row(symbol: str, incarnation: int) -> ProgressRow:
    return blank(ProgressRow, symbol=symbol, incarnation=incarnation, offset=5)


def test_the_newest_row_of_each_key_is_the_state() -> None:
    view = StateView()
    view.apply("session", session_row(1))
    view.apply("session", session_row(2))
    view.apply("config", ConfigRow("{}"))
    view.apply(symbol_key("SPY"), symbol_row("SPY", 1))
    assert view.session == session_row(2)
    assert view.config_json == "{}"
    assert list(view.symbols) == ["SPY"]


def test_a_tombstone_deletes_its_row() -> None:
    view = StateView()
    for key, row in (("session", session_row(1)), (symbol_key("SPY"), symbol_row("SPY", 1)), (progress_key("SPY"), progress_row("SPY", 1))):
        view.apply(key, row)
        view.apply(key, None)
    assert view.session is None
    assert view.symbols == {}
    assert view.progress_of("SPY") is None


def test_progress_of_a_former_incarnation_is_none() -> None:
    view = StateView()
    view.apply(symbol_key("SPY"), symbol_row("SPY", 2))
    view.apply(progress_key("SPY"), progress_row("SPY", 1))
    assert view.progress_of("SPY") is None
    view.apply(progress_key("SPY"), progress_row("SPY", 2))
    assert view.progress_of("SPY") == progress_row("SPY", 2)


def test_bars_and_commands_are_not_wanted() -> None:
    assert StateView.wants("session")
    assert StateView.wants(symbol_key("A|B"))
    assert not StateView.wants("bars|1m|15985|00000|SPY")
    assert not StateView.wants(command_key("id"))
    view = StateView()
    view.apply(command_key("id"), CommandRow("id", "add_symbol", "SPY", "completed", None, 0))
    assert view.symbols == {}
