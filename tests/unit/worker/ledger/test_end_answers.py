"""Only a transaction whose end was asked for once and granted is known to have ended: librdkafka's log says so."""

from __future__ import annotations

import pytest

from streams.worker.ledger.end_answers import EndAnswers

DEBUG = 10


def line(name: str) -> tuple[str, str, str, str]:
    """A line as librdkafka 2.16 writes it, and as confluent-kafka hands it over."""
    text = f"[thrd:main]: EndTxn returned {name} in state CommittingTransaction (may_retry=true)"
    return "%s [%s] %s", "ENDTXN", "rdkafka#producer-2", text


def test_one_request_that_was_granted_is_the_end() -> None:
    answers = EndAnswers()
    answers.log(DEBUG, *line("NO_ERROR"))
    assert answers.are_final


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "no line: it was worded otherwise, or the log was not asked for"),
        (["_TRANSPORT", "NO_ERROR"], "the connection broke, and the request was sent again"),
        (["_TIMED_OUT", "NO_ERROR"], "no answer came in time, and the request was sent again"),
        (["_TIMED_OUT", "_TRANSPORT", "NO_ERROR"], "both, one after the other"),
        (["NO_ERROR", "NO_ERROR"], "two answers to one transaction"),
        (["_TRANSPORT"], "the connection broke, and nothing is known"),
    ],
)
def test_anything_else_may_leave_a_request_under_way(names: list[str], why: str) -> None:
    answers = EndAnswers()
    for name in names:
        answers.log(DEBUG, *line(name))
    assert not answers.are_final, why


def test_each_transaction_counts_for_itself_and_other_lines_do_not_count() -> None:
    answers = EndAnswers()
    answers.log(DEBUG, *line("_TRANSPORT"))
    answers.begin()
    answers.log(DEBUG, "%s [%s] %s", "TXNSTATE", "rdkafka#producer-2", "[thrd:main]: Transaction state change BeginCommit -> Ready")
    answers.log(DEBUG, *line("NO_ERROR"))
    assert answers.are_final


def test_a_user_s_debug_settings_do_not_silence_the_lines() -> None:
    answers = EndAnswers()
    made = answers.properties({"debug": "broker", "log_level": 0, "linger.ms": 50})
    assert made == {"debug": "eos", "log_level": 7, "linger.ms": 50, "logger": answers}
