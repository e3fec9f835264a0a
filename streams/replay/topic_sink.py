"""A replay's analysis records to a topic of their own, in the form of a live session's analysis topic.

The topic holds one replay: sequences count from one, so a second replay behind a first would look like repeated records. One
that is not empty is therefore refused, or emptied where that is asked for. What was written and closed without an error is
there once and in order.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import NewTopic

from streams.config.settings import Settings
from streams.errors import ReplayError, StreamsError
from streams.kafka.clients import (
    BROKER_TIMEOUT_SECONDS,
    ConfigValue,
    ErrorNote,
    codec_of,
    explain,
    make_admin,
    make_producer,
    no_broker,
    topics_on,
)
from streams.kafka.delivery import SafeProducer
from streams.kafka.offsets import earliest, latest
from streams.model.records import HeldBackBar, Marker, PublishedBar
from streams.times import Clock, SystemClock
from streams.wire.analysis import AnalysisEncoder, Header

DELIVERY_TIMEOUT_SECONDS: Final = 30.0


class TopicSink:
    """Writes analysis records to a topic, which is created where it is missing.

    Args:
        settings: where the broker is.
        topic: its name.
        session, epoch: of the replayed session.
        overwrite: empty the topic first.
        all_bars: a second topic, for all bars, published or held back; None without one.
        clock: gives the time of sending, which a message has whose replayed time is later.

    Raises:
        ReplayError: a topic is not empty.
        NobodyThereError: no broker answers.
        BrokerRefusedError: the broker refuses.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        *,
        session: str,
        epoch: int,
        overwrite: bool = False,
        all_bars: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self.topic: Final = topic
        self._all_bars = all_bars
        self._session_key = session.encode()
        self._clock = clock or SystemClock()
        self._note = ErrorNote()
        self._failure: StreamsError | None = None
        self._admin = make_admin(settings, self._note)
        self._encoder = AnalysisEncoder(codec_of(settings), session=session, epoch=epoch)
        present = topics_on(self._admin, settings, self._note)
        for name in [topic] if all_bars is None else [topic, all_bars]:
            self._prepare(name, present, overwrite=overwrite)
        own: dict[str, ConfigValue] = {
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "message.timeout.ms": round(DELIVERY_TIMEOUT_SECONDS * 1000),
        }
        producer = make_producer(settings, self._note, own, {"linger.ms": 5, "compression.type": "lz4"})
        self._producer = SafeProducer(producer, settings, self._note)

    def write(self, outcome: PublishedBar | Marker, line: str, now_us: int) -> None:
        """Hand one record over; it is delivered in the background.

        Raises:
            BrokerRefusedError: an earlier one was refused.
            NobodyThereError: an earlier one could not be delivered in time.
        """
        key = self._session_key if outcome.symbol is None else outcome.symbol.encode()
        value, headers = self._encoder.record(outcome, now_us)
        self._produce(self.topic, key, value, headers, now_us)
        if self._all_bars is not None and isinstance(outcome, PublishedBar):
            self._produce(self._all_bars, key, value, headers, now_us)

    def hold(self, outcome: HeldBackBar, now_us: int) -> None:
        """Hand a bar over that was held back; errors as for `write`."""
        if self._all_bars is not None:
            value, headers = self._encoder.held_back(outcome, now_us)
            self._produce(self._all_bars, outcome.symbol.encode(), value, headers, now_us)

    def _produce(self, topic: str, key: bytes, value: bytes, found: list[Header], now_us: int) -> None:
        # A replay of today ends with the day, and a broker refuses messages that are more than an hour ahead.
        stamp_ms = min(now_us, self._clock.now_us()) // 1000
        headers: list[tuple[str, str | bytes | None]] = [*found]
        while True:
            try:
                self._producer.produce(topic, value, key, partition=0, on_delivery=self._report, timestamp=stamp_ms, headers=headers)
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

    def _prepare(self, topic: str, present: frozenset[str], *, overwrite: bool) -> None:
        if topic not in present:
            self._create(topic)
            return
        try:
            first = earliest(self._admin, [topic], timeout_seconds=BROKER_TIMEOUT_SECONDS)[topic]
            end = latest(self._admin, [topic], timeout_seconds=BROKER_TIMEOUT_SECONDS, committed=False)[topic]
            if first < end and overwrite:
                emptied = self._admin.delete_records([TopicPartition(topic, 0, end)], request_timeout=BROKER_TIMEOUT_SECONDS)
                for done in emptied.values():
                    done.result()
                first = end
        except KafkaException as error:
            raise self._explained(error.args[0], f"looking into topic {topic}", f"Delete on topic {topic}") from None
        if first < end:
            raise ReplayError(f"topic {topic} holds {end - first} records already: give --overwrite to empty it first, or another --topic")

    def _create(self, topic: str) -> None:
        # Records have the time of the replayed days, so that any limit by age would delete them at once.
        config = {"cleanup.policy": "delete", "retention.ms": "-1"}
        if not self._settings.create_topics:
            raise ReplayError(
                f"there is no topic {topic}, and STREAMS_CREATE_TOPICS is false: have it created with 1 partition and "
                f"{', '.join(f'{key}={value}' for key, value in config.items())}"
            )
        new = NewTopic(topic, num_partitions=1, replication_factor=self._settings.replication_factor, config=config)
        try:
            self._admin.create_topics([new])[topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._explained(error.args[0], f"creating topic {topic}", f"Create on topic {topic}") from None

    def _explained(self, error: KafkaError, what: str, needs: str) -> StreamsError:
        return explain(error, self._settings, self._note, what, needs=needs)

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = self._explained(error, f"writing to {message.topic()}", f"Write on topic {message.topic()}")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
