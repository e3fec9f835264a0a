"""The brokers' clocks, read by records that they stamp.

No request of Kafka's asks a broker for its time. But of a topic with `message.timestamp.type=LogAppendTime` the leader stamps each
record with its own clock, whatever the client's says, and the delivery report brings the stamp back. So a session has a topic
`<session>.clock` for that, with a partition for each broker that there was when it was made, and this sends an empty record to each of
them, outside of any transaction. Its records are of use to nobody else, and are deleted after an hour.

It takes Create (once) and Write on topics of the session, which a worker has. Where the topic can't be had, the brokers' clocks are not
known, which is a warning.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import NewTopic
from loguru import logger

from streams.config.settings import Settings
from streams.kafka.clients import ErrorNote, make_admin
from streams.times import SECOND_US
from streams.worker.clock.judge import BrokerTime

ANSWER_SECONDS: Final = 3.0
"""How long the brokers have to answer: a stamp that took longer says little."""
OTHERS_SECONDS: Final = 0.3
"""How long the others have once most of them have answered: one that is dead is not waited for."""
POLL_SECONDS: Final = 0.05
REQUEST_SECONDS: Final = 10.0
MOST_PARTITIONS: Final = 5
"""So many brokers are asked at most: the median of five outvotes two."""
APPEND_TIME: Final = "LogAppendTime"
CONFIG: Final = {
    "message.timestamp.type": APPEND_TIME,
    "cleanup.policy": "delete",
    "retention.ms": str(60 * 60 * 1000),
    "segment.ms": str(60 * 60 * 1000),
}
_UNHEARD: Final = logging.Logger("clock", logging.CRITICAL + 1)


class BrokerClocks:
    """Reads the clocks of the brokers that lead a session's clock topic.

    Args:
        settings: where Kafka is.
        topic: the clock topic.
        elapsed: seconds that passed, which never leap.
    """

    def __init__(self, settings: Settings, topic: str, elapsed: Callable[[], float]) -> None:
        self._settings = settings
        self._topic = topic
        self._elapsed = elapsed
        self._note = ErrorNote()
        self._producer: Producer | None = None
        self._lock = threading.Lock()
        self._is_said = False

    def prepare(self) -> None:
        """Make the topic if it is missing. Without it the worker's clock is held against what the feeds say alone, with a warning."""
        admin = make_admin(self._settings, self._note)
        try:
            found = admin.list_topics(timeout=REQUEST_SECONDS)
            topic = found.topics.get(self._topic)
            if topic is not None and topic.error is None:
                return
            partitions = max(1, min(len(found.brokers), MOST_PARTITIONS))
            if not self._settings.create_topics:
                settings = ", ".join(f"{key}={value}" for key, value in CONFIG.items())
                self._warn(f"topic {self._topic} is missing, and may not be made: create it with {partitions} partitions, {settings}")
                return
            new = NewTopic(self._topic, num_partitions=partitions, replication_factor=self._settings.replication_factor, config=CONFIG)
            admin.create_topics([new], request_timeout=REQUEST_SECONDS)[self._topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                self._warn(f"topic {self._topic} could not be made: {error.args[0].str()}")

    def read(self) -> list[BrokerTime]:
        """What each broker's clock says; those that don't answer in time are left out. Takes `ANSWER_SECONDS` at most, and blocks."""
        with self._lock:
            try:
                return self._read()
            except KafkaException as error:
                logger.debug("the brokers' clocks could not be read: {}", error.args[0].str())
                return []

    def close(self) -> None:
        """Let the connections go."""
        with self._lock:
            self._producer = None

    def _read(self) -> list[BrokerTime]:
        if self._producer is None:
            self._producer = Producer(self._config())
        producer = self._producer
        topic = producer.list_topics(self._topic, ANSWER_SECONDS).topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        leaders = {number: one.leader for number, one in topic.partitions.items() if one.leader >= 0}
        times: dict[int, BrokerTime] = {}
        errors: list[KafkaError] = []
        answered: list[int | None] = []
        sent_at = self._elapsed()

        def delivered(error: KafkaError | None, message: Message) -> None:
            answered.append(message.partition())
            if error is not None:
                errors.append(error)
                return
            kind, stamp_ms = message.timestamp()
            if kind != TIMESTAMP_LOG_APPEND_TIME:
                self._warn(f"topic {self._topic} does not have message.timestamp.type={APPEND_TIME}: change that, or delete the topic")
                return
            broker = leaders[message.partition() or 0]
            # Stamped after it was sent, before now, and to the millisecond.
            high_us = (stamp_ms + 1) * 1000 - round(sent_at * SECOND_US)
            times[broker] = BrokerTime(broker, stamp_ms * 1000 - round(self._elapsed() * SECOND_US), high_us)

        for number in leaders:
            producer.produce(self._topic, b"", partition=number, on_delivery=delivered)
        deadline = sent_at + ANSWER_SECONDS
        brokers, has_most = len(set(leaders.values())), False
        while len(answered) < len(leaders) and self._elapsed() < deadline:
            producer.poll(POLL_SECONDS)
            if not has_most and 2 * len(times) > brokers:
                has_most, deadline = True, min(deadline, self._elapsed() + OTHERS_SECONDS)
        if errors and not times:
            raise KafkaException(errors[0])
        return list(times.values())

    def _config(self) -> dict[str, object]:
        return {
            "log_level": 0,
            "logger": _UNHEARD,
            **self._settings.kafka(),
            "acks": 1,
            "linger.ms": 0,
            "message.timeout.ms": round(ANSWER_SECONDS * 1000),
            "socket.timeout.ms": round(ANSWER_SECONDS * 1000),
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "error_cb": self._note,
        }

    def _warn(self, what: str) -> None:
        if not self._is_said:
            self._is_said = True
            logger.warning("this worker's clock is not compared with the brokers', only with what the feeds say: {}", what)
