"""Offsets of topics, as a broker answers for them: a number that is not an answer never counts as one.

librdkafka 2.16 gives -1001 *without an error* for each partition whose leader does not answer in time, for about a minute after
a broker died. Taken for an offset it makes a topic look cut off, empty, or drained. So a negative number is an error like any other
silence of a broker, and worth another try by a new client: the one that asked keeps the dead leader in mind. Only a question
about a time has a negative answer: -1, no record is that late.

    ends = latest(admin, ["bars.SPY"], timeout_seconds=5.0)
    begin = at_time(admin, ["bars.SPY"], 1381152600001, timeout_seconds=5.0)["bars.SPY"]   # None: no record is that late
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.kafka.clients import once_led

NONE_SO_LATE: Final = -1
"""The answer to a question about a time that no record of the topic has reached."""

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Refused = Callable[[str, KafkaException], bool]
"""Takes a topic and what the broker answered about it; whether the answers about the others count without it."""


def earliest(admin: AdminClient, topics: Iterable[str], *, timeout_seconds: float, refused: Refused | None = None) -> dict[str, int]:
    """The first offset of each topic.

    Args:
        admin: who asks.
        topics: names of topics with one partition.
        timeout_seconds: how long one question may take.
        refused: notes a topic that the broker does not answer about, which then has no entry; without it that is raised.

    Raises:
        KafkaException: the broker refuses, or does not answer: `_TIMED_OUT` where it gave no offset.
    """
    return _asked(admin, dict.fromkeys(topics, _EARLIEST), timeout_seconds, refused)


def latest(
    admin: AdminClient, topics: Iterable[str], *, timeout_seconds: float, refused: Refused | None = None, committed: bool = True
) -> dict[str, int]:
    """The end of each topic, the committed one unless `committed` is false; otherwise as `earliest`."""
    isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    return _asked(admin, dict.fromkeys(topics, _LATEST), timeout_seconds, refused, isolation)


def at_time(admin: AdminClient, topics: Iterable[str], timestamp_ms: int, *, timeout_seconds: float) -> dict[str, int | None]:
    """The first offset of each topic whose message has this time or a later one, None where none has; otherwise as `earliest`."""
    spec = OffsetSpec.for_timestamp(max(0, timestamp_ms))
    found = _asked(admin, dict.fromkeys(topics, spec), timeout_seconds, None, least=NONE_SO_LATE)
    return {topic: None if offset == NONE_SO_LATE else offset for topic, offset in found.items()}


def bounds(consumer: Consumer, topic: str, *, timeout_seconds: float) -> tuple[int, int]:
    """The first offset of a topic and its end, as a consumer reads it: the committed one, unless it reads what is not; as `earliest`."""

    def ask() -> tuple[int, int]:
        found = cast("tuple[int, int] | None", consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=timeout_seconds))
        first, end = (-1, -1) if found is None else found  # its documentation has None for a time-out
        return answered(topic, first), answered(topic, end)

    return once_led(ask)


def answered(topic: str, offset: int, least: int = 0) -> int:
    """The offset, if it is an answer.

    Raises:
        KafkaException: it is less than `least`, so the leader did not answer in time.
    """
    if offset < least:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"the leader of {topic} did not answer"))
    return offset


def _asked(
    admin: AdminClient,
    specs: Mapping[str, OffsetSpec],
    timeout_seconds: float,
    refused: Refused | None,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    *,
    least: int = 0,
) -> dict[str, int]:
    if not specs:
        return {}
    partitions = {TopicPartition(topic, 0): spec for topic, spec in specs.items()}

    def ask() -> dict[str, int]:
        found = {}
        for partition, future in admin.list_offsets(partitions, isolation_level=isolation, request_timeout=timeout_seconds).items():
            try:
                found[partition.topic] = future.result().offset
            except KafkaException as error:
                if refused is None or not refused(partition.topic, error):
                    raise
        return {topic: answered(topic, offset, least) for topic, offset in found.items()}

    return once_led(ask)
