"""Asking about a partition that has no leader yet: a topic just created, a broker just back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.clients import once_led


def _answering(*answers: int | KafkaException) -> tuple[Callable[[], int], list[int | KafkaException]]:
    left = list(answers)

    def ask() -> int:
        answer = left.pop(0)
        if isinstance(answer, KafkaException):
            raise answer
        return answer

    return ask, left


def _refusal(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


@pytest.mark.parametrize(
    "code",
    [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._NOENT],
)
def test_a_question_is_asked_again_while_the_partition_has_no_leader(code: int) -> None:
    ask, left = _answering(_refusal(code), _refusal(code), 7)
    assert once_led(ask) == 7
    assert left == []


def test_any_other_refusal_is_said_at_once() -> None:
    ask, left = _answering(_refusal(KafkaError.TOPIC_AUTHORIZATION_FAILED), 7)
    with pytest.raises(KafkaException):
        once_led(ask)
    assert left == [7]


def test_a_leader_that_never_comes_is_said_in_the_end() -> None:
    ask, left = _answering(*[_refusal(KafkaError.NOT_LEADER_FOR_PARTITION)] * 3)
    with pytest.raises(KafkaException):
        once_led(ask, attempts=3)
    assert left == []
