"""Where the session's worker answers over HTTP stands in the state, so that a standby can send readers there."""

from __future__ import annotations

from streams.engine.session import Session
from streams.engine.transaction import Transaction, redrive
from streams.model.inputs import InputKind, JournalInput
from tests.support.engine import Desk, at, config


def test_the_owner_of_a_new_session_is_known_and_known_again_from_the_journal() -> None:
    session, transaction = Transaction.of_new_session(
        Desk(config("SPY"), at("09:30")).config, epoch=1, control_topic_id="c", control_offset=0, owner="w1", owner_url="http://w1:6066",
        now_us=at("09:30"),
    )  # fmt: skip
    result = transaction.finish()
    assert session.state.session_row().owner_url == "http://w1:6066"
    driven, again = redrive(None, result.journal, lambda given: (_ for _ in ()).throw(AssertionError(given)))
    assert again.rows == result.rows
    assert Session.restore(driven.rows).state.owner_url == "http://w1:6066"


def test_a_worker_that_takes_over_is_the_owner_from_then_on() -> None:
    desk = Desk(config("SPY"), at("09:30"))
    desk.apply(JournalInput(InputKind.RESUMED, reason="w2", text="http://w2:6066"))
    assert desk.session.state.session_row().owner_url == "http://w2:6066"
    desk.apply(JournalInput(InputKind.RESUMED, reason="w3"))
    assert desk.session.state.session_row().owner_url == "", "one that does not answer over HTTP"
