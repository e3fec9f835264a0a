"""A producer whose fatal errors come as errors of ours, each time, and with the right that is missing.

An idempotent producer whose user may write no topic at all gets no producer ID: a fatal error, CLUSTER_AUTHORIZATION_FAILED.
confluent-kafka raises it from the poll or the flush that hears of it, as KafkaException, or as SystemError where delivery reports were
handed over while it was pending. It does so once: the next flush gives 0, as if all were delivered, though the records were purged.

    producer = SafeProducer(make_producer(settings, note, own), settings, note)
    producer.produce("bars.SPY", b"...", b"SPY")
    producer.flush(30.0)   # MissingRightError: producing to bars.SPY: User:desk lacks Write on topic bars.SPY: allow it ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AclOperation

from streams.config.settings import Settings
from streams.errors import BrokerRefusedError, MissingRightError, StreamsError
from streams.kafka.clients import ErrorNote, explain, make_admin
from streams.kafka.rights import lacking, refusal

T = TypeVar("T")


class SafeProducer:
    """Hands records to a producer, and raises its fatal error whenever it is used after that.

    Args:
        producer: the client library's.
        settings: where the broker is, and who this client is.
        note: what the producer's errors are noted on.
    """

    def __init__(self, producer: Producer, settings: Settings, note: ErrorNote) -> None:
        self._producer = producer
        self._settings = settings
        self._note = note
        self._topic = ""
        self._fatal: StreamsError | None = None

    def __len__(self) -> int:
        return len(self._producer)

    def produce(self, topic: str, value: bytes | None, key: bytes | None, **options: Any) -> None:
        """Hand a record over, with the options of `confluent_kafka.Producer.produce`.

        Raises:
            BufferError: the queue is full: poll, and try again.
            BrokerRefusedError: the client library does not take this record, or has stopped, as for `flush`.
        """
        if self._fatal is None:
            self._topic = topic
        self._guarded(lambda: self._producer.produce(topic, value, key, **options))

    def poll(self, seconds: float) -> int:
        """Have what was delivered reported, for so long at most; how many reports there were. Errors as for `flush`."""
        return self._guarded(lambda: self._producer.poll(seconds))

    def flush(self, seconds: float) -> int:
        """Wait until all is delivered, for so long at most; how many records are left.

        Raises:
            MissingRightError: the user may write no topic at all.
            BrokerRefusedError: another fatal error.
            NobodyThereError: another fatal error, which says that no broker answers.
        """
        return self._guarded(lambda: self._producer.flush(seconds))

    def _guarded(self, call: Callable[[], T]) -> T:
        if self._fatal is not None:
            raise self._fatal
        try:
            return call()
        except (KafkaException, SystemError) as error:
            found = fatal_of(error)
            explained = self._explained(error, found)
            if found is None or found.fatal() or found.code() == KafkaError._FATAL:
                self._fatal = explained
            raise explained from None

    def _explained(self, error: KafkaException | SystemError, found: KafkaError | None) -> StreamsError:
        what, right = f"producing to {self._topic}", f"Write on topic {self._topic}"
        if found is not None and found.code() != KafkaError._FATAL:
            return explain(found, self._settings, self._note, what, needs=right)
        # The library does not say which error it is; the broker says what this client may do.
        try:
            missing = lacking(self._settings, make_admin(self._settings, ErrorNote()), {self._topic: [AclOperation.WRITE]})
        except KafkaException:
            missing = []
        if missing:
            return MissingRightError(f"{what}: {refusal(self._settings, missing)}")
        return BrokerRefusedError(f"{what}: the Kafka client has stopped with a fatal error: {error}")


def fatal_of(error: BaseException | None) -> KafkaError | None:
    """Kafka's error behind what a poll or a flush raised: its own, or the one that was pending as a callback ran."""
    while error is not None:
        if isinstance(error, KafkaException):
            found: KafkaError = error.args[0]
            return found
        error = error.__cause__ or error.__context__
    return None
