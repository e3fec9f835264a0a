"""Topics that a list of all topics leaves out: a broker leaves out those that a user may not describe, so that they seem not to exist.

require_visible(settings, {"main.control": [AclOperation.READ]}, "reading the session's commands")
# MissingRightError: reading the session's commands: User:desk lacks Read on topic main.control: allow it ...
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation

from streams.config.settings import Settings
from streams.errors import MissingRightError
from streams.kafka.clients import ErrorNote, explain, make_admin
from streams.kafka.rights import lacking, refusal


def missing_rights(settings: Settings, topics: Mapping[str, Collection[AclOperation]], what: str) -> list[str]:
    """Which of these operations on topics the client may not do, as `Read on topic main.control`; a topic that is absent lacks nothing.

    Raises:
        NobodyThereError: no broker answers.
        BrokerRefusedError: it answered with an error; `what` says what the client was about to do.
    """
    note = ErrorNote()
    try:
        return lacking(settings, make_admin(settings, note), topics)
    except KafkaException as error:
        raise explain(error.args[0], settings, note, what) from None


def require_visible(settings: Settings, topics: Mapping[str, Collection[AclOperation]], what: str) -> None:
    """See that topics which are not in a list of all topics are absent, and not left out for want of a right; arguments as above.

    Raises:
        MissingRightError: a right is missing; the message names each.
        NobodyThereError: no broker answers.
        BrokerRefusedError: it answered with another error.
    """
    missing = missing_rights(settings, topics, what)
    if missing:
        raise MissingRightError(f"{what}: {refusal(settings, missing)}")
