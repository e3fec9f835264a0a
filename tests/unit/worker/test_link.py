"""What the many errors of a broker that does not answer become: one plain sentence, and an exit code of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, NodeNotReadyError, TopicAuthorizationFailedError
from confluent_kafka import KafkaError, KafkaException
from loguru import logger

from streams.config.settings import Settings
from streams.errors import (
    BrokerConnectionError,
    BrokerLostError,
    BrokerRefusedError,
    FencedError,
    ForbiddenError,
    InternalError,
    LoginError,
    MissingRightError,
    NobodyThereError,
    NoSessionError,
    StreamsError,
)
from streams.kafka.asking import passes
from streams.kafka.clients import ErrorNote, explain
from streams.times import ManualClock
from streams.worker.ledger.ledger import Ledger
from streams.worker.link import as_fatal, plain
from streams.worker.log import SAY_AGAIN_SECONDS, LibraryLines
from streams.worker.sources.topics import SourceRefusedError, Sources

SETTINGS = Settings.load(bootstrap_servers="kafka.example:9092")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The lines that are logged, level and message."""
    lines: list[str] = []
    number = logger.add(lambda line: lines.append(line.rstrip("\n")), format="{level} {message}", level="DEBUG")
    yield lines
    logger.remove(number)


def line(name: str, message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    return logging.LogRecord(name, logging.ERROR, "", 0, message, arguments, info)


@pytest.mark.parametrize(
    "error",
    [
        KafkaException(KafkaError(KafkaError._TRANSPORT)),  # the feed asks for metadata
        KafkaException(KafkaError(KafkaError._TIMED_OUT)),
        KafkaConnectionError("Unable to bootstrap from [('127.0.0.1', 9092)]"),  # Faust starts
        NodeNotReadyError("Attempt to send a request to node which is not ready"),
    ],
)
def test_an_error_of_a_cut_link_ends_the_worker_as_a_lost_broker_and_not_as_a_bug(error: Exception) -> None:
    fatal = as_fatal(error, SETTINGS)
    assert isinstance(fatal, BrokerLostError)
    assert str(fatal).startswith("no broker answers at kafka.example:9092")


SEVERAL = Settings.load(bootstrap_servers="a.example:9092,b.example:9092,c.example:9092")


def test_of_several_brokers_it_is_not_said_that_none_answers_where_one_was_needed_and_did_not() -> None:
    timed_out = KafkaException(KafkaError(KafkaError._TIMED_OUT, "Failed while waiting for controller: Local: Timed out"))
    fatal = as_fatal(timed_out, SEVERAL)
    assert isinstance(fatal, BrokerLostError)
    assert (
        str(fatal)
        == f"no answer in time from the brokers at {SEVERAL.bootstrap_servers} (Failed while waiting for controller: Local: Timed out)"
    )
    ledger = Ledger(SEVERAL, transactional_id="t", changelog="c", analysis="a", clock=ManualClock())
    said = str(ledger._fatal(KafkaError(KafkaError._TIMED_OUT), "committing a transaction of 3 records", ["c"]))
    assert said.startswith(f"no answer in time from the brokers at {SEVERAL.bootstrap_servers} (")
    assert said.endswith(", committing a transaction of 3 records")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NobodyThereError("no broker answers"), BrokerLostError),
        (BrokerConnectionError("the certificate has expired"), BrokerLostError),
        (BrokerConnectionError("the password is wrong", is_login=True), LoginError),
        (MissingRightError("User:desk lacks Read on topic main.journal"), ForbiddenError),
        (NoSessionError("the topic does not exist"), InternalError),
    ],
)
def test_a_topic_that_could_not_be_read_ends_the_worker_with_the_code_of_the_reason(error: StreamsError, kind: type[Exception]) -> None:
    assert type(as_fatal(error, SETTINGS)) is kind


def test_a_partition_that_no_broker_leads_now_is_not_a_refusal() -> None:
    note = ErrorNote()
    moving = explain(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION), SEVERAL, note, "asking where main.journal ends")
    assert isinstance(moving, NobodyThereError)
    assert str(moving).startswith("asking where main.journal ends: no broker leads what was asked for (NOT_LEADER_FOR_PARTITION)")
    for code in (KafkaError.REQUEST_TIMED_OUT, KafkaError._DESTROY_BROKER):
        assert isinstance(explain(KafkaError(code), SEVERAL, note, "asking"), NobodyThereError)
        assert passes(KafkaError(code))
    assert isinstance(explain(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), SEVERAL, note, "asking"), BrokerRefusedError)


def test_a_fatal_error_stays_what_it_is_and_anything_else_is_a_bug() -> None:
    fenced = FencedError("taken over")
    assert as_fatal(fenced, SETTINGS) is fenced
    assert isinstance(as_fatal(KeyError("offset"), SETTINGS), InternalError)
    refused = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert isinstance(as_fatal(refused, SETTINGS), ForbiddenError)


@pytest.mark.parametrize(
    ("error", "right"),
    [
        (TopicAuthorizationFailedError({"main.control", "main-state-changelog"}), "Read on topic main-state-changelog, main.control"),
        (GroupAuthorizationFailedError("main.workers"), "Read on group main.workers"),
    ],
)
def test_a_right_that_is_missing_is_no_bug_and_is_named_with_who_lacks_it(error: Exception, right: str) -> None:
    fatal = as_fatal(error, SETTINGS)
    assert isinstance(fatal, ForbiddenError)
    assert str(fatal).startswith(f"User:ANONYMOUS lacks {right}: allow it")


@pytest.mark.parametrize(
    ("said_by_librdkafka", "told"),
    [
        (
            "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)",
            "Connection refused",
        ),
        (
            "kafka:9092/1: Disconnected while requesting ApiVersion (after 3ms in state APIVERSION_QUERY)",
            "Disconnected while requesting ApiVersion",
        ),
        ("Failed to resolve 'kafka:9092': Name or service not known", "Failed to resolve 'kafka:9092': Name or service not known"),
    ],
)
def test_what_librdkafka_says_of_a_connection_is_told_without_its_threads_and_states(said_by_librdkafka: str, told: str) -> None:
    assert plain(said_by_librdkafka) == told


@pytest.mark.parametrize(
    ("codes", "kind", "words"),
    [
        # What the commit says is only that records are missing; each record is told why.
        ((KafkaError._INCONSISTENT, KafkaError._MSG_TIMED_OUT), BrokerLostError, "no broker answers at kafka.example:9092"),
        ((KafkaError._TIMED_OUT, None), BrokerLostError, "no broker answers at kafka.example:9092"),
        ((KafkaError.PRODUCER_FENCED, None), FencedError, "another worker has taken this session over"),
    ],
)
def test_a_commit_that_fails_says_why(codes: tuple[int, int | None], kind: type[Exception], words: str) -> None:
    ledger = Ledger(SETTINGS, transactional_id="t", changelog="c", analysis="a", clock=ManualClock())
    code, undelivered = codes
    if undelivered is not None:
        ledger._delivered(KafkaError(undelivered), None)  # type: ignore[arg-type]
    fatal = ledger._fatal(KafkaError(code), "committing a transaction of 3 records", ["c"])
    assert isinstance(fatal, kind)
    assert words in str(fatal)
    assert "_INCONSISTENT" not in str(fatal)


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_fatal_error_that_comes_as_a_commit_is_asked_for_its_reason_is_the_reason(is_behind: bool) -> None:
    fenced = KafkaException(KafkaError(KafkaError._FENCED, fatal=True))

    class Producer:
        def poll(self, seconds: float) -> int:
            if is_behind:  # a delivery report was handed over while the error was pending
                raise SystemError("returned a result with an exception set") from fenced
            raise fenced

    ledger = Ledger(SETTINGS, transactional_id="t", changelog="c", analysis="a", clock=ManualClock())
    ledger._producers, ledger._turn = [Producer()], 0  # type: ignore[list-item]
    fatal = ledger._fatal(KafkaError(KafkaError._INCONSISTENT), "committing a transaction of 3 records", ["c"])
    assert isinstance(fatal, FencedError)


def test_a_broker_that_is_away_is_said_once_in_a_while_and_not_at_each_attempt(said: list[str]) -> None:
    clock = ManualClock()
    lines = LibraryLines(SETTINGS, clock)
    for _ in range(100):
        lines.emit(line("aiokafka", "Unable connect to node with id %s: %s", 1, "[Errno 111] Connect call failed"))
        lines.emit(line("aiokafka.consumer.fetcher", "Failed fetch messages from %s: %s", 1, "NodeNotReadyError"))
        lines.emit(
            line("aiokafka.consumer.fetcher", "Failed fetch offsets from %s: %s", 1, "NodeNotReadyError: to node which is not ready")
        )
        lines.emit(line("faust.tables.recovery", "[^--Recovery]: %r", NodeNotReadyError("Attempt to send a request to node")))
        lines.emit(line("mode.services", "[^--Fetcher]: %s", "KafkaTimeoutError: Failed to update metadata after 30 secs."))
    lines.emit(line("faust.worker", "[^_Worker]: Error: %r", error=KafkaConnectionError("Unable to bootstrap")))
    assert said == ["WARNING no broker answers at kafka.example:9092, trying again"]
    clock.advance_seconds(SAY_AGAIN_SECONDS)
    lines.emit(line("aiokafka", "Unable to update metadata from %s", [1]))
    assert len(said) == 2


def test_other_lines_of_the_libraries_are_handed_on(said: list[str]) -> None:
    lines = LibraryLines(SETTINGS, ManualClock())
    lines.emit(line("aiokafka", "Authentication failed for %s", "desk"))
    lines.emit(line("faust", "table %s is broken", "state"))
    assert said == ["ERROR Authentication failed for desk", "ERROR table state is broken"]


def test_a_right_that_is_missing_is_one_line_of_the_libraries_and_no_traceback(said: list[str]) -> None:
    error = GroupAuthorizationFailedError("main.workers")
    LibraryLines(SETTINGS, ManualClock()).emit(line("streams.worker.faust.overrides", "Drain messages raised: %r", error, error=error))
    assert len(said) == 1
    assert "Traceback" not in said[0]


def no_leaders() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._NOENT, "Failed to query partition leaders: No leaders found"))


def test_topics_without_a_leader_are_those_of_a_broker_that_is_away_and_no_reason_to_fail_a_symbol() -> None:
    def ask() -> None:
        raise no_leaders()

    with pytest.raises(BrokerLostError, match=r"no broker answers at kafka\.example:9092 \(.*No leaders found\)"):
        asyncio.run(Sources(SETTINGS, patience_seconds=0)._run(ask, ["bars.SPY"]))


def test_a_topic_that_the_broker_refuses_is_refused() -> None:
    def ask() -> None:
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    said = r"User:ANONYMOUS lacks Describe on topic bars\.SPY: allow it .*TOPIC_AUTHORIZATION_FAILED"
    with pytest.raises(SourceRefusedError, match=said):
        asyncio.run(Sources(SETTINGS)._run(ask, ["bars.SPY"]))
