"""What a former version wrote still verifies and restores: an upgrade in the middle of a day changes nothing that was said before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.engine.session import Session
from streams.engine.transaction import Transaction
from streams.model.rules_version import RULES
from tests.support.oracle.audit import CODEC
from tests.support.sessions.past_sessions import past_sessions, read_past

FIRST = past_sessions(1)


def test_there_are_sessions_of_the_first_rules() -> None:
    assert len(FIRST) == 14


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.name.partition(".")[0])
def test_a_session_of_the_first_rules_still_verifies(path: Path) -> None:
    left = read_past(path)
    report = left.audit()
    assert [str(one) for one in report.differences] == []
    assert report.unchecked == []
    assert (report.transactions, report.rows) == (left.transaction, len(left.rows))


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.name.partition(".")[0])
def test_a_session_of_the_first_rules_goes_on_under_the_newest(path: Path) -> None:
    left = read_past(path)
    session = Session.restore({key: CODEC.row_from(value) for key, value in left.rows.items()})
    assert session.state.rules == 1
    result = Transaction(session, owner="w", now_us=session.state.now_us + 1_000_000).finish()
    assert result.journal.rules == RULES
    again = Session.restore(session.rows)
    assert (again.state.rules, again.state.opened_rules) == (RULES, 1)


def test_a_changed_value_of_the_first_rules_is_found() -> None:
    left = read_past(FIRST[0])
    records = left.topics[left.names.analysis]
    del records[len(records) // 2]
    assert not left.audit().is_equal
