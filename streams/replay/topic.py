"""A replay's analysis records to a topic of their own, in the form of a live session's analysis topic.

The topic holds one replay: sequences count from one, so a second replay behind a first would look like repeated records. One
that is not empty is therefore refused, or emptied where that is asked for. What was written and closed without an error is
there once and in order.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec

from streams.client.kafka import (
    BROKER_TIMEOUT_SECONDS,
    ConfigValue,
    ErrorNote,
    codec_of,
    explain,
    make_admin,
    make_producer,
    no_broker,
    once_led,
    topics_on,
)
from streams.errors import ReplayError, StreamsError
from streams.records import Marker, PublishedBar
from streams.settings import Settings
from streams.wire.analysis import AnalysisEncoder

DELIVERY_TIMEOUT_SECONDS: Final = 30.0
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class TopicSink:
    """Writes analysis records to a topic, which is created where it is missing.

    Args:
        settings: where the broker is.
        topic: its name.
        session, epoch: of the replayed session.
        overwrite: empty the topic first.

    Raises:
        ReplayError: the topic is not empty.
        NobodyThereError: no broker answers.
        BrokerRefusedError: the broker refuses.
    """

    def __init__(self, settings: Settings, topic: str, *, session: str, epoch: int, overwrite: bool = False) -> None:
        self._settings = settings
        self._topic = topic
        self._session_key = session.encode()
        self._note = ErrorNote()
        self._failure: StreamsError | None = None
        self._admin = make_admin(settings, self._note)
        self._encoder = AnalysisEncoder(codec_of(settings), session=session, epoch=epoch)
        self._prepare(overwrite)
        own: dict[str, ConfigValue] = {
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "message.timeout.ms": round(DELIVERY_TIMEOUT_SECONDS * 1000),
        }
        self._producer = make_producer(settings, self._note, own, {"linger.ms": 5, "compression.type": "lz4"})

    def write(self, outcome: PublishedBar | Marker, line: str, now_us: int) -> None:
        """Hand one record over; it is delivered in the background.

        Raises:
            BrokerRefusedError: an earlier one was refused.
            NobodyThereError: an earlier one could not be delivered in time.
        """
        key = self._session_key if outcome.symbol is None else outcome.symbol.encode()
        value, found = self._encoder.record(outcome, now_us)
        headers: list[tuple[str, str | bytes | None]] = [*found]
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, partition=0, on_delivery=self._report, timestamp=now_us // 1000, headers=headers
                )
                break
            except BufferError:
                self._producer.poll(0.1)
                self._raise_failure()
        self._producer.poll(0)
        self._raise_failure()

    def close(self) -> None:
        """Wait until all that was written is there; errors as for `write`."""
        left = self._producer.flush(DELIVERY_TIMEOUT_SECONDS + 5)
        self._raise_failure()
        if left:
            raise no_broker(self._settings, self._note)

    def _prepare(self, overwrite: bool) -> None:
        if self._topic not in topics_on(self._admin, self._settings, self._note):
            self._create()
            return
        try:
            first, end = self._offset(_EARLIEST), self._offset(_LATEST)
            if first < end and overwrite:
                emptied = self._admin.delete_records([TopicPartition(self._topic, 0, end)], request_timeout=BROKER_TIMEOUT_SECONDS)
                for done in emptied.values():
                    done.result()
                first = end
        except KafkaException as error:
            raise explain(error.args[0], self._settings, self._note, f"looking into topic {self._topic}") from None
        if first < end:
            raise ReplayError(
                f"topic {self._topic} holds {end - first} records already: give --overwrite to empty it first, or another --topic"
            )

    def _offset(self, which: OffsetSpec) -> int:
        partition = TopicPartition(self._topic, 0)

        def ask() -> int:
            asked = self._admin.list_offsets(
                {partition: which}, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=BROKER_TIMEOUT_SECONDS
            )
            return int(asked[partition].result().offset)

        return once_led(ask)

    def _create(self) -> None:
        # Records have the time of the replayed days, so that any limit by age would delete them at once.
        config = {"cleanup.policy": "delete", "retention.ms": "-1"}
        if not self._settings.create_topics:
            raise ReplayError(
                f"there is no topic {self._topic}, and STREAMS_CREATE_TOPICS is false: have it created with 1 partition and "
                f"{', '.join(f'{key}={value}' for key, value in config.items())}"
            )
        new = NewTopic(self._topic, num_partitions=1, replication_factor=self._settings.replication_factor, config=config)
        try:
            self._admin.create_topics([new])[self._topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise explain(error.args[0], self._settings, self._note, f"creating topic {self._topic}") from None

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = explain(error, self._settings, self._note, f"writing to {self._topic}")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
