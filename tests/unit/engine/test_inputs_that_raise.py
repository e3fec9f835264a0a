"""An input on which the engine raises: a command is refused, a symbol fails, and the session goes on."""

from __future__ import annotations

import pytest

from streams.engine.rules import gate, lifecycle
from streams.engine.state.symbol import SymbolStatus
from streams.engine.transaction import Transaction, command_text, redrive
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import ControlCommand, Reply, ReplyStatus
from tests.support.engine import Desk, at, config


def raising(*arguments: object, **options: object) -> None:
    raise ZeroDivisionError("a bug")


def finish_and_redrive(desk: Desk, transaction: Transaction) -> list[object]:
    """The outcomes, which a re-drive of the journal on a sound engine gives again."""
    result = transaction.finish()
    twin = None
    for record in [*desk.journal, result.journal]:
        twin, again = redrive(twin, record, desk_reads_nothing)
    assert again.outcomes == result.outcomes
    assert again.rows == result.rows
    return list(result.outcomes)


def desk_reads_nothing(given: JournalInput) -> None:
    raise AssertionError(f"no bars were read: {given}")


def test_a_command_that_meets_a_bug_is_refused_and_the_next_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(config("SPY"), at("09:00"))
    transaction = Transaction(desk.session, owner="w", now_us=desk.now_us)
    with monkeypatch.context() as broken:
        broken.setattr(lifecycle, "begin_symbol", raising)
        first = ControlCommand("c-1", "add_symbol", "IBM", desk.now_us)
        assert transaction.apply(JournalInput(InputKind.COMMAND, text=command_text(first), first_offset=0, next_offset=1))
    second = ControlCommand("c-2", "add_symbol", "AIG", desk.now_us)
    assert transaction.apply(JournalInput(InputKind.COMMAND, text=command_text(second), first_offset=1, next_offset=2))
    outcomes = finish_and_redrive(desk, transaction)
    answers = {(outcome.command_id, outcome.status): outcome.reason for outcome in outcomes if isinstance(outcome, Reply)}
    assert answers == {
        ("c-1", ReplyStatus.FAILED): "it could not be processed: ZeroDivisionError: a bug",
        ("c-2", ReplyStatus.ACCEPTED): None,
    }
    assert desk.session.symbol("IBM") is None
    assert desk.session.symbol("AIG") is not None
    assert desk.session.state.control_offset == 2, "the command is not met again at the next start"


def test_a_symbol_whose_input_meets_a_bug_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(config("SPY", "IBM"), at("09:00"))
    transaction = Transaction(desk.session, owner="w", now_us=desk.now_us)
    spy, ibm = desk.session.symbol("SPY"), desk.session.symbol("IBM")
    assert spy is not None
    assert ibm is not None
    with monkeypatch.context() as broken:
        broken.setattr(gate, "open_if_clear", raising)
        loaded = JournalInput(InputKind.LOADED, "SPY", spy.incarnation, topic_id="t", first_offset=0, end_offset=0)
        with pytest.raises(ZeroDivisionError):
            transaction.apply(loaded)
    with monkeypatch.context() as broken:
        broken.setattr(lifecycle, "symbol_loaded", raising)
        assert transaction.apply(loaded)
    assert transaction.apply(JournalInput(InputKind.LOADED, "IBM", ibm.incarnation, topic_id="t", first_offset=0, end_offset=0))
    finish_and_redrive(desk, transaction)
    failed, fine = desk.session.symbol("SPY"), desk.session.symbol("IBM")
    assert failed is not None
    assert failed.status is SymbolStatus.FAILED
    assert failed.reason == "loaded: it could not be processed: ZeroDivisionError: a bug"
    assert fine is not None
    assert fine.status is SymbolStatus.LOADED
    assert desk.session.state.active, "a symbol that failed keeps nobody waiting"
