"""What a missing right, or a password that is not accepted, becomes: who lacks what, on which resource, and what was done all the same."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation

from streams.client import control as control_module
from streams.client.control import SessionControl
from streams.config.settings import Settings
from streams.errors import LoginError, MissingRightError, UnansweredError
from streams.kafka.clients import ErrorNote, explain
from streams.kafka.rights import lacking, principal
from streams.times import ManualClock
from streams.worker import setup
from streams.worker.process import _HOPELESS

LOGIN = {"security.protocol": "SASL_PLAINTEXT", "sasl.username": "desk", "sasl.password": "secret"}
SETTINGS = Settings.load(bootstrap_servers="kafka.example:9092", session="main", kafka_config=LOGIN)


def done(value: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(value) if isinstance(value, Exception) else future.set_result(value)
    return future


@pytest.mark.parametrize(
    ("properties", "who"),
    [
        (LOGIN, "User:desk"),
        ({}, "User:ANONYMOUS"),
        ({"security.protocol": "SSL", "ssl.certificate.location": "/etc/desk.pem"}, "the user of the certificate /etc/desk.pem"),
    ],
)
def test_a_client_is_named_as_access_rules_name_it(properties: dict[str, str], who: str) -> None:
    assert principal(Settings.load(kafka_config=properties)) == who


def test_a_refusal_names_the_user_the_operation_and_the_topic_or_the_group_of_a_reader() -> None:
    def said(code: int) -> str:
        error = explain(
            KafkaError(code), SETTINGS, ErrorNote(), "reading main.analysis", needs="Read on topic main.analysis", group="main.reader"
        )
        assert isinstance(error, MissingRightError)
        return str(error)

    assert said(KafkaError.TOPIC_AUTHORIZATION_FAILED).startswith(
        "reading main.analysis: User:desk lacks Read on topic main.analysis: allow it"
    )
    assert said(KafkaError.GROUP_AUTHORIZATION_FAILED).startswith(
        "reading main.analysis: User:desk lacks Describe on group main.reader: allow it"
    )


def test_what_is_missing_is_what_the_broker_does_not_list_as_authorized() -> None:
    denied = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    answers = {
        "all": SimpleNamespace(authorized_operations=[AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE]),
        "part": SimpleNamespace(authorized_operations=[AclOperation.READ, AclOperation.DESCRIBE]),
        "none": denied,
        "gone": KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)),
        "old": SimpleNamespace(authorized_operations=None),
    }
    admin: Any = SimpleNamespace(describe_topics=lambda names, **options: {topic: done(answer) for topic, answer in answers.items()})
    wanted = dict.fromkeys(answers, (AclOperation.READ, AclOperation.WRITE))
    assert lacking(SETTINGS, admin, wanted) == ["Write on topic part", "Read on topic none", "Write on topic none"]


@pytest.mark.parametrize("is_known_before", [True, False])
def test_a_command_whose_replies_may_not_be_read_is_sent_and_that_is_said_with_its_id(
    monkeypatch: pytest.MonkeyPatch, is_known_before: bool
) -> None:
    denied = MissingRightError("reading main.replies: User:desk lacks Read on topic main.replies")
    sent: list[bytes] = []

    class Producer:
        def produce(self, topic: str, value: bytes, key: bytes, **options: object) -> None:
            sent.append(key)

        def flush(self, timeout: float) -> int:
            return 0

    class Reader:
        def __init__(self, *args: object, **options: object) -> None:
            if is_known_before:
                raise denied

        def read(self) -> list[object]:
            raise denied

        def close(self) -> None:
            pass

    monkeypatch.setattr(control_module, "require_topic", lambda *args, **options: None)
    monkeypatch.setattr(control_module, "make_producer", lambda *args: Producer())
    monkeypatch.setattr(control_module, "TopicReader", Reader)
    said = r"command c-1 was sent to main\.control, and what became of it can't be read here: .*User:desk lacks Read on topic main\.replies"
    with SessionControl(SETTINGS) as control, pytest.raises(UnansweredError, match=said):
        control.add_symbol("SPY", command_id="c-1")
    assert sent == [b"c-1"]


def test_a_worker_whose_password_is_not_accepted_ends_at_once_and_is_not_started_again() -> None:
    note = ErrorNote()
    asked: list[float] = []

    class Admin:
        def list_topics(self, timeout: float) -> object:
            asked.append(timeout)
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

        def poll(self, timeout: float) -> None:
            said = "sasl_plaintext://kafka.example:9092/bootstrap: SASL authentication error: Authentication failed: Invalid username"
            note(KafkaError(KafkaError._AUTHENTICATION, said))

    admin: Any = Admin()
    with pytest.raises(LoginError, match="it does not accept User:desk: wrong password or unknown user"):
        setup._present(admin, note, SETTINGS, ManualClock())
    assert len(asked) == 1
    assert LoginError.exit_code in _HOPELESS
