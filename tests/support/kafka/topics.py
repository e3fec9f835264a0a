"""Names and topics of a test's own, so that all tests can share one broker."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.waiting import wait_until

_ANSWER_SECONDS = 20.0


def unique_name(readable: str) -> str:
    """A session name that no other test has: what `readable` says, and eight random digits."""
    words = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")[:39].strip("-")
    return f"{words}-{uuid.uuid4().hex[:8]}"


def unique_symbol(prefix: str = "T") -> str:
    """A symbol that no other test has, and with it a bar topic of its own."""
    return f"{prefix}{uuid.uuid4().hex[:8].upper()}"


def create_topics(bootstrap_servers: str, *names: str, partitions: int = 1, settings: Mapping[str, str] | None = None) -> None:
    """Create topics and wait until each can be written."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    topics = [NewTopic(name, partitions, 1, config=dict(settings or {})) for name in names]
    for created in admin.create_topics(topics, operation_timeout=_ANSWER_SECONDS).values():
        created.result(_ANSWER_SECONDS)
    # The controller has them by then; the broker that a client asks may learn of them a moment later.
    wait_until(lambda: set(names) <= admin.list_topics(timeout=_ANSWER_SECONDS).topics.keys(), f"topics {', '.join(names)}")
