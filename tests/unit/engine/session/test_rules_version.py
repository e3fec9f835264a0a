"""The rules version: each transaction says which rules it ran under, and is driven again under them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine.session import Session
from streams.engine.transaction import Transaction, redrive
from streams.errors import StateError
from streams.model.inputs import JournalInput
from streams.model.rows import SESSION_KEY, SessionRow
from streams.model.rules_version import RULES
from streams.model.transactions import RangeRead
from tests.support.engine import Desk, at, bar, config

NINE_THIRTY = at("09:30")


def session_row(desk: Desk) -> SessionRow:
    row = desk.table[SESSION_KEY]
    assert isinstance(row, SessionRow)
    return row


def no_bars(given: JournalInput) -> RangeRead:
    raise AssertionError(f"nothing was read, so nothing is to be read again: {given}")


def test_a_new_session_runs_under_the_newest_rules_and_each_record_says_so() -> None:
    desk = Desk(config("SPY"), NINE_THIRTY)
    desk.load("SPY")
    desk.flow(bar("SPY", NINE_THIRTY))
    assert {record.rules for record in desk.journal} == {RULES}
    assert (session_row(desk).rules, session_row(desk).opened_rules) == (RULES, RULES)


def test_a_session_of_the_first_rules_adopts_the_newest_with_its_next_transaction_and_keeps_those_it_was_opened_under() -> None:
    desk = Desk(config("SPY"), NINE_THIRTY)
    old = {**desk.table, SESSION_KEY: replace(session_row(desk), rules=1, opened_rules=1)}
    session = Session.restore(old)
    assert (session.state.rules, session.state.opened_rules) == (1, 1)
    result = Transaction(session, owner="w", now_us=NINE_THIRTY).finish()
    row = result.rows[SESSION_KEY]
    assert isinstance(row, SessionRow)
    assert (result.journal.rules, row.rules, row.opened_rules) == (RULES, RULES, 1)


def test_a_record_of_the_first_rules_is_driven_again_under_them() -> None:
    desk = Desk(config("SPY"), NINE_THIRTY)
    session, result = redrive(None, replace(desk.journal[0], rules=1), no_bars)
    assert (session.state.rules, session.state.opened_rules, result.journal.rules) == (1, 1, 1)


def test_rules_survive_a_verb_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(config("SPY"), NINE_THIRTY)
    desk.load("SPY")
    transaction = Transaction(desk.session, owner="w", now_us=NINE_THIRTY, rules=1)
    with monkeypatch.context() as patched:
        patched.setattr("streams.engine.rules.bars._take_new", lambda *_: {}["a bug"])
        with pytest.raises(KeyError):
            desk.session.receive(bar("SPY", NINE_THIRTY), at("09:31"))
    assert desk.session.state.rules == 1
    assert transaction.finish().journal.rules == 1


def test_what_a_newer_version_wrote_is_refused() -> None:
    desk = Desk(config("SPY"), NINE_THIRTY)
    with pytest.raises(StateError, match=r"transaction 1 of the journal runs under rules version 99, and this version of streams has"):
        redrive(None, replace(desk.journal[0], rules=99), no_bars)
    with pytest.raises(StateError, match=r"the state of session .* runs under rules version 99"):
        Session.restore({**desk.table, SESSION_KEY: replace(session_row(desk), rules=99)})
