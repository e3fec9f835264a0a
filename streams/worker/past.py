"""What a session's journal says about former epochs: read once, when there is no state to go on from."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.client.kafka import once_led
from streams.errors import BrokerLostError, WireError
from streams.settings import Settings
from streams.wire.codec import Codec

READ_SECONDS = 15.0


def last_epoch(settings: Settings, journal_topic: str, codec: Codec) -> int:
    """The epoch of the newest journal record, 0 when there is none.

    Raises:
        BrokerLostError: the broker did not answer.
    """
    consumer = Consumer(
        {
            "log_level": 0,
            **settings.kafka(),
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    try:
        partition = TopicPartition(journal_topic, 0)
        first, end = once_led(lambda: consumer.get_watermark_offsets(partition, timeout=READ_SECONDS))
        epoch, back = 0, 16
        # The last offsets are markers of transactions, and perhaps aborted records: go back further until there is one.
        while epoch == 0 and end > first:
            start = max(first, end - back)
            epoch = _newest_epoch(consumer, journal_topic, start, codec)
            if start == first:
                break
            back *= 8
        return epoch
    except KafkaException as error:
        raise BrokerLostError(f"reading {journal_topic}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _newest_epoch(consumer: Consumer, topic: str, start: int, codec: Codec) -> int:
    consumer.assign([TopicPartition(topic, 0, start)])
    epoch = 0
    while True:
        message = consumer.poll(READ_SECONDS)
        if message is None:
            raise BrokerLostError(f"{topic} could not be read to its end within {READ_SECONDS:g} s")
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return epoch
            raise KafkaException(error)
        value = message.value()
        try:
            epoch = codec.journal_from(value if isinstance(value, bytes) else None).epoch
        except WireError:
            continue  # written by somebody else: it says nothing about epochs
