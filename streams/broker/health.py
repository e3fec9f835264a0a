"""When a Kafka broker is ready: a metadata request answers, and one transaction commits.

An open port is too early: the group and transaction coordinators come up later, and a client's first transaction
would wait or fail. The probe's topic is deleted again, so that a user's list of topics shows only their own. Each probe has a
name of its own: two that wait for one broker would fence each other, and delete each other's topic.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.times import Clock, SystemClock

PROBE_TOPIC: Final = "streams.broker.probe"

_POLL_SECONDS: Final = 0.1
_REQUEST_SECONDS: Final = 2.0
_CLIENT: Final[dict[str, str | int | float | bool]] = {
    "log_level": 0,  # the refusals of a broker that is starting are expected
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 100,
    "topic.metadata.refresh.fast.interval.ms": 20,
}


def answers(bootstrap_servers: str, timeout_seconds: float = _REQUEST_SECONDS) -> bool:
    """Whether a broker answers a metadata request in time."""
    try:
        _admin(bootstrap_servers).list_topics(timeout=timeout_seconds)
    except KafkaException:
        return False
    return True


def wait_until_ready(
    bootstrap_servers: str,
    timeout_seconds: float,
    *,
    still_alive: Callable[[], bool] = lambda: True,
    clock: Clock | None = None,
) -> str | None:
    """Wait until the broker is ready; None when it is, else what was awaited last and why it did not come.

    Gives up early when `still_alive` says no.
    """
    clock = clock or SystemClock()
    deadline = clock.monotonic() + timeout_seconds
    awaited = "an answer to a metadata request"
    admin = _admin(bootstrap_servers)
    probe = f"{PROBE_TOPIC}.{uuid.uuid4().hex[:12]}"
    reason = f"none in {timeout_seconds:g} s"
    while clock.monotonic() < deadline:
        if not still_alive():
            return f"{awaited}: the process has ended"
        try:
            admin.list_topics(timeout=_REQUEST_SECONDS)
            awaited = "the commit of a transaction"
            _commit_one_transaction(bootstrap_servers, admin, probe, max(1.0, deadline - clock.monotonic()))
        except KafkaException as error:
            reason = str(error)
            time.sleep(_POLL_SECONDS)
        else:
            return None
    return f"{awaited}: {reason}"


def _commit_one_transaction(bootstrap_servers: str, admin: AdminClient, probe: str, timeout_seconds: float) -> None:
    if probe not in admin.list_topics(timeout=_REQUEST_SECONDS).topics:
        admin.create_topics([NewTopic(probe, 1, 1)])[probe].result(timeout_seconds)
    producer = Producer(_CLIENT | {"bootstrap.servers": bootstrap_servers, "transactional.id": probe, "linger.ms": 0})
    producer.init_transactions(timeout_seconds)
    producer.begin_transaction()
    producer.produce(probe, b"ready")
    producer.commit_transaction(timeout_seconds)
    admin.delete_topics([probe])[probe].result(timeout_seconds)


def _admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient(_CLIENT | {"bootstrap.servers": bootstrap_servers})
