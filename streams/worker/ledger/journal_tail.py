"""What a session's journal says about others: former epochs, when there is no state to go on from, and who took over."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.config.settings import Settings
from streams.errors import BrokerLostError, FatalError, ForbiddenError, WireError
from streams.kafka.asking import passes, until_answered
from streams.kafka.clients import reading_group
from streams.kafka.offsets import bounds
from streams.kafka.rights import FORBIDDEN, refusal
from streams.model.inputs import InputKind, JournalRecord
from streams.times import Clock
from streams.wire.codec import Codec

READ_SECONDS = 15.0
REQUEST_SECONDS = 5.0
SUCCESSOR_SECONDS = 5.0
_SUCCESSOR_BACK = 512
_TAKES_OVER = frozenset({InputKind.OPENED, InputKind.RESUMED})


def last_epoch(settings: Settings, journal_topic: str, codec: Codec) -> int:
    """The epoch of the newest journal record, 0 when there is none.

    Raises:
        BrokerLostError: the broker did not answer.
        ForbiddenError: the journal may not be read.
    """
    consumer = _consumer(settings)
    try:
        first, end = until_answered(lambda: bounds(consumer, journal_topic, timeout_seconds=REQUEST_SECONDS))
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
        raise _unread(settings, journal_topic, error.args[0]) from error
    finally:
        consumer.close()


def successor(settings: Settings, journal_topic: str, codec: Codec, clock: Clock, *, owner: str, after: tuple[int, int]) -> str | None:
    """The worker that took the session over from `owner` after a transaction, by its epoch and number; None when none says so in time.

    A new owner says so in its first transaction, which comes a moment after it has fenced the former one. It may have the same name.

    Raises:
        KafkaException: the journal can't be read.
    """
    deadline = clock.monotonic() + SUCCESSOR_SECONDS
    consumer = _consumer(settings)
    try:
        first, end = bounds(consumer, journal_topic, timeout_seconds=SUCCESSOR_SECONDS)
        consumer.assign([TopicPartition(journal_topic, 0, max(first, end - _SUCCESSOR_BACK))])
        while clock.monotonic() < deadline:
            message = consumer.poll(0.1)
            record = None if message is None or message.error() is not None else _journal(codec, message)
            if record is None or (record.epoch, record.transaction) <= after:
                continue
            if record.owner != owner or any(one.kind in _TAKES_OVER for one in record.inputs):
                return record.owner
    finally:
        consumer.close()
    return None


def journal_end(settings: Settings, journal_topic: str) -> int:
    """The offset at which the journal's next record will be.

    Raises:
        BrokerLostError: the broker did not answer.
        ForbiddenError: the journal may not be read.
    """
    consumer = _consumer(settings)
    try:
        return until_answered(lambda: bounds(consumer, journal_topic, timeout_seconds=REQUEST_SECONDS))[1]
    except KafkaException as error:
        raise _unread(settings, journal_topic, error.args[0]) from error
    finally:
        consumer.close()


def has_namesake(settings: Settings, journal_topic: str, codec: Codec, *, owner: str, since_offset: int, since_us: int) -> bool:
    """Whether somebody has written as `owner` since a process of this name began, at an offset and an instant, which wrote nothing.

    What a former process of the name has committed may come to be seen behind that offset, but tells of an instant before it.

    Raises:
        KafkaException: the journal can't be read.
    """
    consumer = _consumer(settings)
    try:
        _, end = bounds(consumer, journal_topic, timeout_seconds=SUCCESSOR_SECONDS)
        consumer.assign([TopicPartition(journal_topic, 0, max(since_offset, end - _SUCCESSOR_BACK))])
        while (message := consumer.poll(SUCCESSOR_SECONDS)) is not None:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return False
            if error is not None and not passes(error):
                raise KafkaException(error)
            record = None if error is not None else _journal(codec, message)
            if record is not None and record.owner == owner and record.now_us > since_us:
                return True
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{journal_topic} was not read to its end"))
    finally:
        consumer.close()


def _unread(settings: Settings, topic: str, error: KafkaError) -> FatalError:
    if error.code() in FORBIDDEN:
        is_group = error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
        needed = f"Describe on group {reading_group(settings, 'journal')}" if is_group else f"Read on topic {topic}"
        return ForbiddenError(f"reading {topic}: {refusal(settings, [needed])}")
    return BrokerLostError(f"reading {topic}: {error.str()}")


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        {
            "log_level": 0,
            **settings.kafka(),
            "group.id": reading_group(settings, "journal"),
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )


def _journal(codec: Codec, message: Message) -> JournalRecord | None:
    value = message.value()
    try:
        return codec.journal_from(value if isinstance(value, bytes) else None)
    except WireError:
        return None  # written by somebody else: it says nothing


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
            if passes(error):
                continue  # librdkafka goes on by itself
            raise KafkaException(error)
        record = _journal(codec, message)
        epoch = epoch if record is None else record.epoch
