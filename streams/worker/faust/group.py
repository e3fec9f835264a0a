"""The consumer group that elects the active worker: its name, and who else is in it.

The group is `<session>.workers`. It was the session's name alone before, which a consumer of the session's topics takes easily: a member
with another protocol, or of the newer kind of groups (KIP-848), keeps workers out for as long as it is there. So the group's members are
looked at before a worker joins it, and when it drops out.

Once workers are in, Kafka refuses such members. It converts the group for one of KIP-848 only where assignments carry no user data, and
Faust's do (findings/kip848-consumer-in-a-classic-group.sh).

Workers of a version that still uses the former name elect among themselves. A worker of this version does not compete with them, since the
two groups would give the active role to one worker each, and these would fence each other in turn. It waits until the former group has no
worker left: a cold standby, which takes over then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from confluent_kafka import ConsumerGroupType, KafkaError, KafkaException
from confluent_kafka.admin import AclOperation, AdminClient, ConsumerGroupDescription
from loguru import logger
from msgspec import Struct

from streams.config.settings import Settings
from streams.errors import BrokerLostError, DemotedError, ForbiddenError
from streams.kafka.asking import passes, until_answered
from streams.kafka.clients import ErrorNote, make_admin
from streams.kafka.rights import refusal, right
from streams.times import Clock
from streams.worker.link import broker_lost

SUFFIX: Final = ".workers"
ASSIGNOR: Final = "faust"
"""The protocol that Faust's consumers agree on."""
_REQUEST_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.25


class GroupLook(Struct, frozen=True):
    """Who is in a group: of workers (`is_ours`) or of other consumers; `refused` where we may not look.

    `lacks` is the right that this user would need to join it.
    """

    members: tuple[str, ...] = ()
    is_ours: bool = True
    refused: bool = False
    lacks: str | None = None


def choose_group(settings: Settings, app_id: str, waiting: Callable[[], object], clock: Clock | None = None) -> str:
    """The group to join. Comes back once no worker of a former version is in the group that was named after the session alone.

    Args:
        app_id: the session's name, with the prefix of topics.
        waiting: called once when there is such a worker.
        clock: for how long it is asked who is in a group.

    Raises:
        DemotedError: other consumers are in the group.
        ForbiddenError: this user may not join it.
        BrokerLostError: nobody tells who is in it.
    """
    group = f"{app_id}{SUFFIX}"
    look, former = _look(settings, group, clock), _look(settings, app_id, clock)
    if former.refused:
        needed = right(AclOperation.DESCRIBE, f"group {app_id}")
        logger.warning("whether a worker of a former version runs is not checked, since {}", refusal(settings, [needed]))
    if look.lacks is not None and former.lacks is None:
        logger.warning(
            "this user may not use the consumer group {}: allow Read on it; until then workers elect in the group {}, as before",
            group, app_id,
        )  # fmt: skip
        group, look = app_id, former
    elif former.members and former.is_ours:
        waiting()
        logger.warning(
            "a worker of a former version runs in the consumer group {} ({}): this one waits until it has ended, and takes over then",
            app_id, "; ".join(former.members),
        )  # fmt: skip
        pause = threading.Event()
        while former.members and former.is_ours:
            pause.wait(_PAUSE_SECONDS)
            with suppress(KafkaException):  # its coordinator is about to change
                former = _ask(make_admin(settings, ErrorNote()), app_id)
        logger.info("no worker of a former version is left in the consumer group {}", app_id)
    if look.lacks is not None:
        raise ForbiddenError(refusal(settings, [look.lacks]))
    if look.members and not look.is_ours:
        raise held(group, look)
    return group


def holders(settings: Settings, group: str) -> DemotedError | None:
    """The error that says who else is in the group; None where nobody is, or nobody tells."""
    try:
        look = _look(settings, group)
    except BrokerLostError:
        return None
    return held(group, look) if look.members and not look.is_ours else None


def held(group: str, look: GroupLook) -> DemotedError:
    """The error that a group with other consumers in it is."""
    return DemotedError(
        f"other consumers are in the consumer group {group}, which is this session's: {'; '.join(look.members)}. End them, or give "
        "them another group.id. This worker ends, to try again"
    )


def _look(settings: Settings, group: str, clock: Clock | None = None) -> GroupLook:
    """Who is in a group. That nobody tells does not mean that nobody is in it: two groups would elect a worker each.

    Raises:
        BrokerLostError: nobody tells, for longer than Kafka takes to find another coordinator.
    """
    try:
        return until_answered(lambda: _ask(make_admin(settings, ErrorNote()), group), clock=clock)
    except KafkaException as error:
        what = f"asking who is in the consumer group {group}"
        raise broker_lost(settings.bootstrap_servers, "its coordinator does not answer", what) from error


def _ask(admin: AdminClient, group: str) -> GroupLook:
    """Who is in a group.

    Raises:
        KafkaException: its coordinator is about to change, or is not there.
    """
    try:
        found: ConsumerGroupDescription = admin.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=_REQUEST_SECONDS
        )[group].result()
    except KafkaException as error:
        what = error.args[0]
        if passes(what):
            raise
        logger.debug("the consumer group {} could not be looked at: {}", group, what.str())
        is_refused = what.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
        return GroupLook(refused=is_refused, lacks=right(AclOperation.READ, f"group {group}") if is_refused else None)
    return look_of(found, group)


def look_of(found: ConsumerGroupDescription, group: str) -> GroupLook:
    """Who is in a group, by its description, and whether this user may join it."""
    members = tuple(f"member {one.member_id} (client id {one.client_id}, host {one.host.lstrip('/')})" for one in found.members)
    # While a group is made up its protocol is open.
    is_ours = found.type is not ConsumerGroupType.CONSUMER and found.partition_assignor in ("", None, ASSIGNOR)
    allowed = cast("list[AclOperation] | None", found.authorized_operations)  # a broker of before Kafka 2.3 does not tell
    lacks = None if allowed is None or AclOperation.READ in allowed else right(AclOperation.READ, f"group {group}")
    return GroupLook(members, is_ours, lacks=lacks)
