"""Bars to their topics.

A bar goes to the topic of its symbol, keyed by the symbol, with its end as the message's time: that is how a worker finds
where a trading day begins. The invariant: what was sent and flushed without an error is in its topic once (the producer is
idempotent); an error names the first bar that is not.

    with BarProducer(Settings()) as producer:
        producer.send(Bar("SPY", "1m", start_us, end_us, 167.4, 167.5, 167.3, 167.45, 1200.0))

Leaving the block waits until everything is delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import NewTopic

from streams.client.kafka import ConfigValue, ErrorNote, bar_topics_of, codec_of, explain, make_admin, make_producer, no_broker, topics_on
from streams.errors import BrokerRefusedError, StreamsError
from streams.records import Bar
from streams.settings import Settings
from streams.times import iso
from streams.wire.codec import Codec
from streams.wire.topics import TopicNames

DELIVERY_TIMEOUT_SECONDS: Final = 30.0


class BarProducer:
    """Sends bars; a context manager that flushes at its end.

    Args:
        settings: where the broker is, and how topics are named.
        topics: other names than the settings'.
        codec: other schema ids than the project's.
        as_json: JSON values instead of Avro.
        create_topics: make a symbol's topic where it is missing: one partition, kept for ever unless the settings say
            otherwise, because bars of 2013 are older than any limit the moment they arrive. None: as the settings say.
        delivery_timeout_seconds: how long a bar may wait for a broker that is away before it counts as not delivered.

    Raises:
        NobodyThereError: no broker answers.
    """

    def __init__(
        self,
        settings: Settings,
        topics: TopicNames | None = None,
        *,
        codec: Codec | None = None,
        as_json: bool = False,
        create_topics: bool | None = None,
        delivery_timeout_seconds: float = DELIVERY_TIMEOUT_SECONDS,
    ) -> None:
        self.sent = 0
        self._patience_seconds = delivery_timeout_seconds
        self._settings = settings
        self._topics = topics or bar_topics_of(settings)
        self._codec = codec or codec_of(settings)
        self._encode = self._codec.bar_to_json if as_json else self._codec.bar_to_avro
        self._create_topics = settings.create_topics if create_topics is None else create_topics
        self._note = ErrorNote()
        self._failure: StreamsError | None = None
        self._admin = make_admin(settings, self._note)
        self._existing = set(topics_on(self._admin, settings, self._note))
        self._names: dict[str, str] = {}
        own: dict[str, ConfigValue] = {
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "message.timeout.ms": round(delivery_timeout_seconds * 1000),
        }
        self._producer = make_producer(settings, self._note, own, {"linger.ms": 5, "compression.type": "lz4"})

    def __enter__(self) -> BarProducer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.flush(1.0)  # the block's own error is the one to tell

    def prepare(self, symbols: Iterable[str]) -> list[str]:
        """Make the topics of these symbols that are missing, all at once; returns the names of those it made.

        Raises:
            BrokerRefusedError: the broker refuses, or the producer was told not to create topics.
            InvalidSymbolError: a symbol that can have no topic.
        """
        names = {symbol: self._topics.bars(symbol) for symbol in symbols}
        missing = sorted(set(names.values()) - self._existing)
        if missing:
            self._create(missing)
        self._existing.update(missing)
        self._names.update(names)
        return missing

    def send(self, bar: Bar) -> None:
        """Hand a bar over; it is delivered in the background, in order per symbol.

        Raises:
            BrokerRefusedError: an earlier bar was refused, or this one's topic can't be had.
            NobodyThereError: an earlier bar could not be delivered in time.
        """
        name = self._names.get(bar.symbol)
        if name is None:
            self.prepare([bar.symbol])
            name = self._names[bar.symbol]
        value = self._encode(bar)
        while True:
            try:
                self._producer.produce(
                    name, value, bar.symbol.encode(), partition=0, on_delivery=self._report, timestamp=bar.end_us // 1000
                )
                break
            except BufferError:
                self._producer.poll(0.1)
                self._raise_failure()
        self.sent += 1
        self._producer.poll(0)
        self._raise_failure()

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Wait until every bar that was sent is in its topic; by default until each was delivered or its time was over.

        Raises:
            BrokerRefusedError: a bar was refused.
            NobodyThereError: not all could be delivered in time.
        """
        left = self._producer.flush(self._patience_seconds + 5 if timeout_seconds is None else timeout_seconds)
        self._raise_failure()
        if left:
            raise no_broker(self._settings, self._note)

    def _create(self, names: list[str]) -> None:
        config = {"cleanup.policy": "delete", "retention.ms": str(self._settings.bars_retention_ms)}
        if not self._create_topics:
            raise BrokerRefusedError(
                f"{self._settings.bootstrap_servers} has no topic {', '.join(names)}, and topics are not to be created from here: "
                f"have it created with 1 partition and {', '.join(f'{key}={value}' for key, value in config.items())}"
            )
        wanted = [NewTopic(name, num_partitions=1, replication_factor=self._settings.replication_factor, config=config) for name in names]
        for name, done in self._admin.create_topics(wanted).items():
            try:
                done.result()
            except KafkaException as error:
                # Another producer may have been quicker.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise explain(error.args[0], self._settings, self._note, f"creating topic {name}") from None

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            bar = self._codec.bar_from(message.value())  # a failed record no longer knows its time
            what = f"producing the bar of {bar.symbol} that ends at {iso(bar.end_us)} to {message.topic()}"
            self._failure = explain(error, self._settings, self._note, what)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
