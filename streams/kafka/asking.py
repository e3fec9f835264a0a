"""Questions to Kafka, asked again with fresh metadata until a broker answers.

A client of librdkafka 2.16 that had a broker in mind goes on asking it after it died, as a leader or as the controller, for a
minute or for good. A new client learns at once who leads now, and so does one that asks `list_topics`. Kafka itself takes about
ten seconds to give a dead broker's partitions to others, so a question that nobody answers is asked again for longer than that
before it counts as unanswered.

    ends = until_answered(lambda: latest(self._admin, topics, timeout_seconds=5.0), anew=self._connect_anew)

What is read from a topic (`client.reader`) says the same with errors of its own:

    records = until_read(lambda: read_all(topic), clock=clock)
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from streams.errors import NobodyThereError, NoSessionError
from streams.kafka.clients import UNANSWERED, leaderless
from streams.times import Clock, SystemClock

PATIENCE_SECONDS: Final = 30.0
"""How long a question is asked again: Kafka's own failover (about 10 s), twice, and some time for a busy machine."""
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 1.0

_MOVING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError._WAIT_COORD,
    }
)
"""Codes of a broker's that mean that what was asked for is moving to another broker, or that too few are there."""

T = TypeVar("T")


def passes(error: KafkaError) -> bool:
    """Whether an error says nothing about what was asked, only that nobody could answer now.

    A topic that a broker does not know is an answer, although librdkafka calls it one to be asked for again.
    """
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return False
    return error.code() in UNANSWERED or error.code() in _MOVING or bool(error.retriable()) or leaderless(error)


def until_answered(
    ask: Callable[[], T],
    *,
    anew: Callable[[KafkaError], None] = lambda error: None,
    patience_seconds: float = PATIENCE_SECONDS,
    clock: Clock | None = None,
    stopping: Event | None = None,
) -> T:
    """What `ask` gives, asked again while the error is one that passes.

    Args:
        ask: raises a KafkaException where it got no answer.
        anew: called with the error before each further attempt: replaces the clients that `ask` uses.
        patience_seconds: after that time no further attempt is made; one that is under way is not cut short.
        clock: for the deadline.
        stopping: once set, no further attempt is made.

    Raises:
        KafkaException: what `ask` raised last.
    """
    passing, stopping = _Passing(clock, patience_seconds), Event() if stopping is None else stopping
    while True:
        try:
            return ask()
        except KafkaException as error:
            if not passes(error.args[0]) or passing.is_over or stopping.is_set():
                raise
            anew(error.args[0])
        stopping.wait(passing.next_pause())


def until_read(read: Callable[[], T], *, patience_seconds: float = PATIENCE_SECONDS, clock: Clock | None = None) -> T:
    """What `read` gives, called again while no broker answers it. Each call makes a reader of its own, which asks who leads now.

    Args:
        read: raises a NobodyThereError where it got no answer. That a topic does not exist is an answer.
        patience_seconds, clock: as for `until_answered`.

    Raises:
        NobodyThereError: no broker answered in time.
        StreamsError: what else `read` raises.
    """
    passing = _Passing(clock, patience_seconds)
    while True:
        try:
            return read()
        except NobodyThereError as error:
            if isinstance(error, NoSessionError) or passing.is_over:
                raise
        Event().wait(passing.next_pause())


class _Passing:
    """How long a question is asked again, and the pauses between the attempts: each twice as long as the one before, up to a limit."""

    def __init__(self, clock: Clock | None, patience_seconds: float) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._deadline = self._clock.monotonic() + patience_seconds
        self._pause_seconds = FIRST_PAUSE_SECONDS

    @property
    def is_over(self) -> bool:
        return self._clock.monotonic() >= self._deadline

    def next_pause(self) -> float:
        pause_seconds, self._pause_seconds = self._pause_seconds, min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        return pause_seconds
