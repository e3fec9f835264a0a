"""Rights on a broker with an authorizer: who this client is there, what it lacks, and the sentence that says so.

Kafka's errors name neither the operation nor the user, and often not even the resource. It answers a question about them, though: a
description of a topic or a group can list the operations that are authorized, so what is missing is asked for, not guessed.

    lacking(settings, make_admin(settings, ErrorNote()), {"main.control": {AclOperation.READ}})   # ["Read on topic main.control"]
    refusal(settings, ["Read on topic main.control"])   # "User:desk lacks Read on topic main.control: ..."
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from streams.config.settings import Settings

FORBIDDEN: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
"""Codes that mean that a right is missing."""

REQUEST_SECONDS: Final = 10.0
_DOCUMENTED: Final = "docs/deployment.md lists the rights of each role"


def principal(settings: Settings) -> str:
    """Who this client is to the broker, as an access rule names it."""
    properties = settings.kafka_config
    protocol = properties.get("security.protocol", "plaintext").lower()
    if protocol.startswith("sasl"):
        user = properties.get("sasl.username")
        return f"User:{user}" if user else "this user"
    if protocol == "ssl" and (certificate := properties.get("ssl.certificate.location")):
        return f"the user of the certificate {certificate}"
    return "User:ANONYMOUS"


def refusal(settings: Settings, missing: Iterable[str]) -> str:
    """The sentence for rights that are missing, such as `Write on topic main.control`."""
    return f"{principal(settings)} lacks {', '.join(missing)}: allow it ({_DOCUMENTED})"


def right(operation: AclOperation, resource: str) -> str:
    """A right in words: `DescribeConfigs on topic main.control`."""
    return f"{operation.name.title().replace('_', '')} on {resource}"


def lacking(settings: Settings, admin: AdminClient, topics: Mapping[str, Collection[AclOperation]]) -> list[str]:
    """Which of these operations on topics this client has no right to. A topic that does not exist lacks nothing.

    Raises:
        KafkaException: the broker does not answer.
    """
    missing: list[str] = []
    if not topics:
        return missing
    described = admin.describe_topics(TopicCollection(list(topics)), include_authorized_operations=True, request_timeout=REQUEST_SECONDS)
    for topic, future in described.items():
        wanted = sorted(topics[topic], key=lambda operation: operation.name)
        try:
            allowed = future.result().authorized_operations
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            if error.args[0].code() not in FORBIDDEN:
                raise
            allowed = []  # to be told of it takes Describe, which each of these operations implies
        if allowed is not None:  # a broker of before Kafka 2.3 does not tell
            missing += [right(operation, f"topic {topic}") for operation in wanted if operation not in allowed]
    return missing
