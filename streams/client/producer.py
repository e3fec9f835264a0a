"""Bars, quotes and ticks to their topics.

A bar goes to the topic of its symbol, keyed by the symbol, with its end as the message's time: that is how a worker finds
where a trading day begins. A daily bar that is sent at the close ends, by its own word, at midnight or later, and a broker refuses
messages that are more than an hour ahead (Kafka 4: `message.timestamp.after.max.ms`): such a message has the time of sending.
Quotes and ticks go to topics of their own, with their time. The invariant: what was sent and flushed
without an error is in its topic once (the producer is idempotent); an error names the first record that is not.

    with BarProducer(Settings()) as producer:
        producer.send(Bar("SPY", "1m", start_us, end_us, 167.4, 167.5, 167.3, 167.45, 1200.0))

Leaving the block waits until everything is delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import NewTopic

from streams.config.settings import Settings
from streams.errors import BrokerRefusedError, StreamsError
from streams.kafka.clients import (
    ConfigValue,
    ErrorNote,
    bar_topics_of,
    codec_of,
    explain,
    make_admin,
    make_producer,
    no_broker,
    topics_on,
)
from streams.kafka.delivery import SafeProducer
from streams.model.records import QUOTES, TICKS, Bar, Quote, Tick, known_us
from streams.times import Clock, SystemClock, iso
from streams.wire.codec import Codec
from streams.wire.topics import TopicNames

DELIVERY_TIMEOUT_SECONDS: Final = 30.0


def message_ms(record: Bar | Quote | Tick, now_us: int) -> int:
    """The time of a record's message in milliseconds since 1970: when the record is known, or the time of sending if that is earlier."""
    return min(known_us(record), now_us) // 1000


class BarProducer:
    """Sends bars, quotes and ticks; a context manager that flushes at its end.

    Args:
        settings: where the broker is, and how topics are named.
        topics: other names than the settings'.
        codec: other schema ids than the project's.
        as_json: JSON values instead of Avro.
        create_topics: make a symbol's topic where it is missing: one partition, kept for ever unless the settings say
            otherwise, because bars of 2013 are older than any limit the moment they arrive. None: as the settings say.
        delivery_timeout_seconds: how long a bar may wait for a broker that is away before it counts as not delivered.
        clock: gives the time of sending.

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
        clock: Clock | None = None,
    ) -> None:
        self.sent = 0
        self._clock = clock or SystemClock()
        self._answered_at = self._clock.monotonic()
        self._delivered = 0
        self._patience_seconds = delivery_timeout_seconds
        self._settings = settings
        self._topics = topics or bar_topics_of(settings)
        self._codec = codec or codec_of(settings)
        self._encode_bar = self._codec.bar_to_json if as_json else self._codec.bar_to_avro
        self._encode_quote = self._codec.quote_to_json if as_json else self._codec.quote_to_avro
        self._encode_tick = self._codec.tick_to_json if as_json else self._codec.tick_to_avro
        self._create_topics = settings.create_topics if create_topics is None else create_topics
        self._note = ErrorNote()
        self._failure: StreamsError | None = None
        self._admin = make_admin(settings, self._note)
        self._existing = set(topics_on(self._admin, settings, self._note))
        self._names: dict[tuple[str, str | None], str] = {}
        own: dict[str, ConfigValue] = {
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "message.timeout.ms": round(delivery_timeout_seconds * 1000),
        }
        producer = make_producer(settings, self._note, own, {"linger.ms": 5, "compression.type": "lz4"})
        self._producer = SafeProducer(producer, settings, self._note)

    def __enter__(self) -> BarProducer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()
        else:
            with suppress(StreamsError):  # the block's own error is the one to tell
                self._producer.flush(1.0)

    def prepare(self, symbols: Iterable[str], stream: str | None = None) -> list[str]:
        """Make the topics of these symbols' bars that are missing, all at once; returns the names of those it made.

        With `stream` it is the topics of their `quotes` or `ticks`.

        Raises:
            BrokerRefusedError: the broker refuses, or the producer was told not to create topics.
            InvalidSymbolError: a symbol that can have no topic.
        """
        names = {(symbol, stream): self._topics.of(symbol, stream) for symbol in symbols}
        missing = sorted(set(names.values()) - self._existing)
        if missing:
            self._create(missing)
        self._existing.update(missing)
        self._names.update(names)
        return missing

    def send(self, record: Bar | Quote | Tick) -> None:
        """Hand a record over; it is delivered in the background, in order per topic.

        Raises:
            BrokerRefusedError: an earlier record was refused, or this one's topic can't be had.
            NobodyThereError: an earlier record could not be delivered in time.
        """
        stream: str | None = None
        if isinstance(record, Bar):
            value = self._encode_bar(record)
        elif isinstance(record, Quote):
            stream, value = QUOTES, self._encode_quote(record)
        else:
            stream, value = TICKS, self._encode_tick(record)
        name = self._names.get((record.symbol, stream))
        if name is None:
            self.prepare([record.symbol], stream)
            name = self._names[record.symbol, stream]
        stamp_ms = message_ms(record, self._clock.now_us())
        if not len(self._producer):  # the wait for an answer begins here, not when the record before was delivered
            self._delivered, self._answered_at = self.sent, self._clock.monotonic()
        while True:
            try:
                self._producer.produce(name, value, record.symbol.encode(), partition=0, on_delivery=self._report, timestamp=stamp_ms)
                break
            except BufferError:
                self._producer.poll(0.1)
                self._raise_failure()
        self.sent += 1
        self._producer.poll(0)
        self._raise_failure()

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Wait until every record that was sent is in its topic; by default until each was delivered or its time was over.

        Raises:
            BrokerRefusedError: a record was refused.
            NobodyThereError: not all could be delivered in time.
        """
        left = self._producer.flush(self._patience_seconds + 5 if timeout_seconds is None else timeout_seconds)
        self._raise_failure()
        if left:
            raise no_broker(self._settings, self._note)

    @property
    def pending(self) -> int:
        """How many records are not delivered yet."""
        return len(self._producer)

    def flush_for(self, seconds: float) -> None:
        """Wait until every record is in its topic, or for `seconds`; errors as for `send`."""
        self._producer.flush(seconds)
        self._raise_failure()

    def stalled_seconds(self) -> float:
        """How long the broker has taken no record while some wait; 0 while none waits."""
        self._producer.poll(0)
        self._raise_failure()
        # Deliveries are not reported one by one: they show in how many records are left.
        left = len(self._producer)
        if not left or self.sent - left > self._delivered:
            self._delivered, self._answered_at = self.sent - left, self._clock.monotonic()
        return self._clock.monotonic() - self._answered_at

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
                    raise self._uncreated(error.args[0], name) from None

    def _uncreated(self, error: KafkaError, name: str) -> StreamsError:
        # A topic that this client may not describe seems not to exist: it may be there, and lack Write alone.
        needs = f"Write on topic {name}, or Create where it does not exist"
        return explain(error, self._settings, self._note, f"looking for topic {name}", needs=needs)

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            # A failed record no longer knows its time.
            what = f"producing {self._in_words(message.topic() or '', message.value())} to {message.topic()}"
            self._failure = explain(error, self._settings, self._note, what, needs=f"Write on topic {message.topic()}")

    def _in_words(self, topic: str, value: bytes | None) -> str:
        found = self._topics.source_of(topic)
        match None if found is None else found[1]:
            case None:
                bar = self._codec.bar_from(value)
                return f"the bar of {bar.symbol} that ends at {iso(bar.end_us)}"
            case stream:
                record = self._codec.quote_from(value) if stream == QUOTES else self._codec.tick_from(value)
                return f"the {type(record).__name__.lower()} of {record.symbol} of {iso(record.time_us)}"

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
