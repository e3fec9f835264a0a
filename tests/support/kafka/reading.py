"""Topics read by plain confluent-kafka, committed records only, from the beginning to the end: what any consumer would see."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from confluent_kafka import OFFSET_END, Consumer, KafkaError, TopicPartition

from streams.kafka.clients import once_led

_READ_SECONDS = 60.0
_LONG_FETCH_MS = 1000  # the worker's own wait 20 ms at the broker
_PASSING = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT)


@dataclass(frozen=True)
class Read:
    """A record as it was read."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


def read_topic(bootstrap_servers: str, topic: str, *, isolation: str = "read_committed") -> list[Read]:
    """Every record of partition 0 of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "test-reader",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    try:
        # A leader that has just been chosen does not know the end for a moment (KIP-207).
        first, _ = once_led(lambda: consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=_READ_SECONDS))
        assert first >= 0, f"the beginning of {topic} is not known"
        consumer.assign([TopicPartition(topic, 0, first)])
        return _to_end(consumer, topic)
    finally:
        consumer.close()


def await_no_fetch(bootstrap_servers: str, topic: str) -> None:
    """Wait until no fetch of a paused worker is left at the broker, so that what comes next is met by its next fetch only.

    A fetch that begins now and waits longer than the worker's comes back after it. To produce a record that answers the worker's is
    not enough: the broker confirms the record before it answers fetches, and what is produced meanwhile goes into the same answer.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "test-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": _LONG_FETCH_MS,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
        assert not _to_end(consumer, topic), f"records came to {topic} while nothing was to be produced"
    finally:
        consumer.close()


def _to_end(consumer: Consumer, topic: str) -> list[Read]:
    records: list[Read] = []
    deadline = time.monotonic() + _READ_SECONDS
    while time.monotonic() < deadline:
        one = consumer.poll(0.5)
        # To ask for many at once would wait until there are so many.
        for message in [] if one is None else [one, *consumer.consume(1000, 0)]:
            error = message.error()
            if error is None:
                headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}
                records.append(Read(message.offset(), message.timestamp()[1], message.key(), message.value(), headers))
            elif error.code() == KafkaError._PARTITION_EOF:
                return records
            elif error.code() in _PASSING:
                continue  # a broker has died; the consumer goes on with the next leader
            else:
                pytest.fail(f"reading {topic}: {error}")
    pytest.fail(f"{topic} was not read to its end within {_READ_SECONDS:g} s, {len(records)} records came")
