"""The topics of a session: created with the settings that its promises need, and checked at every start.

A topic that exists with other settings is not changed but refused, with what to change: whoever made it so may have had
a reason, and the wrong retention loses commands or state without a word.
"""

from __future__ import annotations

import threading
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, NewTopic, ResourceType, TopicMetadata
from loguru import logger
from msgspec import Struct

from streams.config.settings import Settings
from streams.errors import BrokerLostError, ControlLostError, ForbiddenError, LoginError, TopicSetupError
from streams.kafka.asking import until_answered
from streams.kafka.clients import ErrorNote, listed, make_admin
from streams.kafka.connecting import connection_fault
from streams.kafka.offsets import latest
from streams.kafka.rights import FORBIDDEN, lacking, refusal, right
from streams.times import Clock, SystemClock
from streams.wire.topics import TopicNames
from streams.worker.link import broker_lost, is_cut, plain, silence

REQUEST_SECONDS: Final = 10.0
NEW_TOPICS_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.05
BROKER_WAIT_SECONDS: Final = 20.0
ASK_AGAIN_SECONDS: Final = 4.0
_SEGMENT_BYTES: Final = 16 * 1024 * 1024
_LARGEST: Final = "max.message.bytes"
LARGEST_BYTES: Final = 1_048_588
"""What Kafka takes by default."""
SENT_BYTES: Final = 1_000_000
"""What a producer sends at once by default. A topic that takes less would refuse a large dead letter, and again at each start."""


class TopicSpec(Struct, frozen=True):
    """A topic with the settings it is created with; it is refused without the `needed` ones, or if it takes less than `least_bytes`."""

    name: str
    config: dict[str, str]
    needed: dict[str, str]
    least_bytes: int = 0


def topic_specs(names: TopicNames, changelog: str, settings: Settings, *, bars_topic: bool = False) -> list[TopicSpec]:
    """The topics of a session; the ungated one only where its config asks for it."""
    outputs = {"cleanup.policy": "delete", "retention.ms": str(settings.output_retention_ms), _LARGEST: str(LARGEST_BYTES)}
    control = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    state = {
        "cleanup.policy": "compact",
        "segment.bytes": str(_SEGMENT_BYTES),
        "segment.ms": str(10 * 60 * 1000),
        "min.cleanable.dirty.ratio": "0.1",
        "min.compaction.lag.ms": "0",
        _LARGEST: str(LARGEST_BYTES),
    }
    written = [names.replies, names.analysis, names.events, names.dlq, names.journal, *([names.all_bars] if bars_topic else [])]
    return [
        TopicSpec(names.control, control, control),
        *(TopicSpec(name, outputs, {"cleanup.policy": "delete"}, SENT_BYTES) for name in written),
        TopicSpec(changelog, state, {"cleanup.policy": "compact"}, SENT_BYTES),
    ]


def prepare_topics(settings: Settings, names: TopicNames, changelog: str, clock: Clock | None = None, *, bars_topic: bool = False) -> None:
    """Create what is missing and check what is there.

    What can't be checked for want of a right is logged as a warning; a right that the worker can't do without ends it.

    Raises:
        TopicSetupError: a topic is missing, and is not to be created, or has settings that would lose data.
        ForbiddenError: a right is missing.
        LoginError: the broker does not accept the user or the password.
        ControlLostError: the control topic is missing, and there is state of a session that read one.
        BrokerLostError: the broker does not answer.
    """
    logger.info("asking for the session's topics at {}", settings.bootstrap_servers)
    note = ErrorNote()
    clock = SystemClock() if clock is None else clock
    specs = topic_specs(names, changelog, settings, bars_topic=bars_topic)
    present = _present(make_admin(settings, note), note, settings, clock)
    try:
        # Each attempt has a client of its own: one that had a broker in mind that died asks it again.
        wrong = until_answered(lambda: _prepared(make_admin(settings, note), settings, names, changelog, specs, present), clock=clock)
    except KafkaException as error:
        what = error.args[0]
        if what.code() in FORBIDDEN:
            names_of_all = ", ".join(spec.name for spec in specs)
            raise ForbiddenError(f"checking the session's topics: {refusal(settings, [f'Describe on topics {names_of_all}'])}") from error
        raise broker_lost(settings.bootstrap_servers, note.last or what.str(), "checking the session's topics") from error
    if wrong:
        raise TopicSetupError("topics have settings that would lose data:\n  " + "\n  ".join(wrong))


def _prepared(
    admin: AdminClient, settings: Settings, names: TopicNames, changelog: str, specs: list[TopicSpec], present: dict[str, TopicMetadata]
) -> list[str]:
    """Create the topics that are not present, and say what is wrong with the others."""
    try:
        missing = [spec for spec in specs if spec.name not in present]
        if names.control in {spec.name for spec in missing} and changelog in present and _has_records(admin, changelog):
            # To create it would hide the loss, and this worker's place in the group may be that of one without the topic: for ever.
            raise ControlLostError(
                f"topic {names.control} was deleted, and {changelog} holds the state of a session that read it: commands may be lost. "
                f"Keep its retention unlimited; to begin anew delete {changelog} and start the worker again"
            )
        if missing:
            _create(admin, settings, missing)
            await_leaders(admin, [spec.name for spec in missing])
        lacks = lacking(settings, admin, _rights(specs, names, changelog))
        if lacks:
            raise ForbiddenError(refusal(settings, lacks))
        existing = [spec for spec in specs if spec.name in present]
        wrong = [
            f"{spec.name} has {len(present[spec.name].partitions)} partitions and must have 1: delete it or use another session name"
            for spec in existing
            if len(present[spec.name].partitions) != 1
        ]
        return wrong + _wrong_configs(admin, settings, existing)
    except KafkaException:
        admin.poll(0)  # hands the connection's errors to the note
        raise


def _rights(specs: list[TopicSpec], names: TopicNames, changelog: str) -> dict[str, tuple[AclOperation, ...]]:
    """What the worker does with each topic. Commands it writes for those who send them over HTTP, which is not asked for here."""
    rights: dict[str, tuple[AclOperation, ...]] = {spec.name: (AclOperation.WRITE,) for spec in specs}
    for read_too in (changelog, names.journal):
        rights[read_too] = (AclOperation.READ, AclOperation.WRITE)
    rights[names.control] = (AclOperation.READ,)
    return rights


def _has_records(admin: AdminClient, topic: str) -> bool:
    return latest(admin, [topic], timeout_seconds=REQUEST_SECONDS, committed=False)[topic] > 0


def _present(admin: AdminClient, note: ErrorNote, settings: Settings, clock: Clock) -> dict[str, TopicMetadata]:
    """The topics that are there, asked for again and again while no broker answers; a supervisor starts the worker after that."""
    deadline = clock.monotonic() + BROKER_WAIT_SECONDS
    is_said = False
    while True:
        try:
            return listed(admin, note, ASK_AGAIN_SECONDS)
        except KafkaException as error:
            fault = connection_fault(settings, note.fault)
            if fault is not None and fault.is_login:
                raise LoginError(str(fault)) from None
            why = note.last or error.args[0].str()
            what = f"{silence(settings.bootstrap_servers)} ({plain(why)})" if fault is None else str(fault)
            if clock.monotonic() >= deadline:
                raise BrokerLostError(what) from error
        if not is_said:
            logger.warning("{}, trying again", what)
            is_said = True


def _create(admin: AdminClient, settings: Settings, specs: list[TopicSpec]) -> None:
    if not settings.create_topics:
        needed = "\n  ".join(
            f"{spec.name}: 1 partition, " + ", ".join(f"{key}={value}" for key, value in spec.config.items()) for spec in specs
        )
        raise TopicSetupError(f"STREAMS_CREATE_TOPICS is false and these topics are missing; create them:\n  {needed}")
    new = [NewTopic(spec.name, num_partitions=1, replication_factor=settings.replication_factor, config=spec.config) for spec in specs]
    for name, future in admin.create_topics(new, request_timeout=REQUEST_SECONDS).items():
        try:
            future.result()
            logger.bind(topic=name).debug("topic created")
        except KafkaException as error:
            if is_cut(error):
                raise  # the broker went away meanwhile: that is no reason to ask somebody for a change
            if error.args[0].code() in FORBIDDEN:
                # One that may not be described seems not to exist.
                needed = f"Describe on topic {name}, or Create where it does not exist"
                raise ForbiddenError(refusal(settings, [needed])) from error
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicSetupError(f"topic {name} could not be created: {error.args[0].str()}") from error


def await_leaders(admin: AdminClient, topics: list[str]) -> None:
    """Wait until new topics can be read: a worker that joins the group before is given nothing to read, and stays so."""
    pause, clock = threading.Event(), SystemClock()
    deadline = clock.monotonic() + NEW_TOPICS_SECONDS
    while True:
        found = admin.list_topics(timeout=REQUEST_SECONDS).topics
        absent = [name for name in topics if name not in found or not _is_led(found[name])]
        if not absent:
            return
        if clock.monotonic() >= deadline:
            break
        pause.wait(PAUSE_SECONDS)
    raise BrokerLostError(f"created, and without a leader after {NEW_TOPICS_SECONDS:g} s: {', '.join(absent)}")


def _is_led(topic: TopicMetadata) -> bool:
    partitions = topic.partitions.values()
    return topic.error is None and bool(partitions) and all(one.error is None and one.leader >= 0 for one in partitions)


def _wrong_configs(admin: AdminClient, settings: Settings, specs: list[TopicSpec]) -> list[str]:
    if not specs:
        return []
    by_name = {spec.name: spec for spec in specs}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in by_name]
    wrong = []
    for resource, future in admin.describe_configs(resources, request_timeout=REQUEST_SECONDS).items():
        name = resource.name
        try:
            found = future.result()
        except KafkaException as error:
            if error.args[0].code() not in FORBIDDEN:
                raise
            needed = right(AclOperation.DESCRIBE_CONFIGS, f"topic {name}")
            logger.warning("the settings of {} are not checked, since {}", name, refusal(settings, [needed]))
            continue
        wrong += [
            _wrong(name, key, found[key].value, value, value)
            for key, value in by_name[name].needed.items()
            if found[key].value != value
        ]  # fmt: skip
        least, limit = by_name[name].least_bytes, found.get(_LARGEST)
        if limit is not None and int(limit.value) < least:
            wrong.append(_wrong(name, _LARGEST, limit.value, f"at least {least}", str(LARGEST_BYTES)))
    return wrong


def _wrong(topic: str, key: str, found: str, needed: str, right: str) -> str:
    return (
        f"{topic} has {key}={found} and must have {needed}: "
        f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {key}={right}"
    )
