"""What all parts of the client share about Kafka: settings, names, and what an error of librdkafka means.

librdkafka reports a lost connection over and over on the terminal and to nobody in particular. Here its own log is off,
its errors are kept by an `ErrorNote`, and whoever gives up waiting says the last of them. An error becomes one of two:
nobody answered (`NobodyThereError`), or the broker answered with a refusal (`BrokerRefusedError`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from types import MappingProxyType
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, TopicMetadata

from streams.config.settings import Settings
from streams.errors import BrokerRefusedError, MissingRightError, NobodyThereError, NoSessionError, SettingsError, StreamsError
from streams.kafka.connecting import connection_fault, is_fault
from streams.kafka.rights import FORBIDDEN, refusal
from streams.wire.codec import Codec
from streams.wire.ids import IdFile
from streams.wire.topics import TopicNames

BROKER_TIMEOUT_SECONDS: Final = 5.0

# A partition gets its leader a moment after its topic is created, and another one after a broker's restart. Until then the
# broker that is asked says one of these, and librdkafka hands them on as they are.
_NO_LEADER_YET: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._NOENT,  # librdkafka's own: it asked for the leaders first, and none of the partitions had one
    }
)
_LEADER_PAUSE_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 1.0

T = TypeVar("T")

NOT_THERE: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
    }
)
"""Codes of librdkafka's for a broker that does not answer."""

UNANSWERED: Final = NOT_THERE | {
    KafkaError._DESTROY_BROKER,  # the question was on its way to a broker that librdkafka has just learned is gone
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.BROKER_NOT_AVAILABLE,
}
"""Codes that mean that no broker answered, or not in time."""

STATE_CHANGELOG: Final = "-state-changelog"
"""What the name of a session's changelog ends with."""

ConfigValue = str | int | float | bool

_QUIET: Final[Mapping[str, ConfigValue]] = MappingProxyType({"log_level": 0})


class ErrorNote:
    """The last error that librdkafka told of, for the message of whoever gives up waiting.

    `fault` is the last one that says more than that no broker is there: a password, a certificate, another protocol.
    """

    def __init__(self) -> None:
        self.last: str | None = None
        self.fault: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take an error; librdkafka calls this while it is polled."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self.last is None:
            self.last = error.str()
        if is_fault(error):
            self.fault = error


def make_producer(
    settings: Settings, note: ErrorNote, own: Mapping[str, ConfigValue], preferred: Mapping[str, ConfigValue] = MappingProxyType({})
) -> Producer:
    """A producer: `preferred` gives way to the settings' properties, `own` does not.

    Raises:
        SettingsError: librdkafka does not know a property, or not its value.
    """
    with accepted_properties():
        return Producer({**_QUIET, **preferred, **settings.kafka(**own), "error_cb": note})


def make_consumer(settings: Settings, note: ErrorNote, own: Mapping[str, ConfigValue]) -> Consumer:
    """A consumer; properties and errors as for `make_producer`."""
    with accepted_properties():
        return Consumer({**_QUIET, **settings.kafka(**own), "error_cb": note})


def make_admin(settings: Settings, note: ErrorNote) -> AdminClient:
    """A client for topics and their like; errors as for `make_producer`."""
    with accepted_properties():
        return AdminClient({**_QUIET, **settings.kafka()}, error_cb=note)


@contextmanager
def accepted_properties() -> Iterator[None]:
    """Around the making of clients.

    Raises:
        SettingsError: librdkafka does not know a property, or not its value.
    """
    try:
        yield
    except KafkaException as error:
        raise SettingsError(f"STREAMS_KAFKA_CONFIG: {error.args[0].str()}") from None


def codec_of(settings: Settings) -> Codec:
    """A codec with the schema ids that the settings name, by default the project's own."""
    return Codec() if settings.schema_ids_file is None else Codec(IdFile(settings.schema_ids_file.parent))


def session_of(settings: Settings) -> str:
    """The session that this is about.

    Raises:
        SettingsError: the settings name none.
    """
    if settings.session is None:
        raise SettingsError("no session is named: give --session main, or set STREAMS_SESSION")
    return settings.session


def topics_of(settings: Settings) -> TopicNames:
    """The names of the session's topics.

    Raises:
        SettingsError: no session is named, or a name that Kafka would refuse.
    """
    return named_topics(settings, session_of(settings))


def bar_topics_of(settings: Settings) -> TopicNames:
    """The names of bar topics, which belong to no session: for those who only produce.

    Raises:
        SettingsError: a name that Kafka would refuse.
    """
    return named_topics(settings, settings.session or "none")


def reading_group(settings: Settings, role: str) -> str:
    """A `group.id` for a client that only assigns partitions: librdkafka demands one, it is never joined and nothing is committed.

    It is named after the session, so that a right on the session's groups covers it: `main.reader`.
    """
    return f"{settings.topic_prefix}{settings.session or 'streams'}.{role}"


def state_changelog(settings: Settings) -> str:
    """The topic that holds the session's state: the changelog of the worker's one table, named as Faust names it."""
    return f"{settings.topic_prefix}{session_of(settings)}{STATE_CHANGELOG}"


def named_topics(settings: Settings, session: str) -> TopicNames:
    """The names of a session's topics.

    Raises:
        SettingsError: a name that Kafka would refuse.
    """
    return TopicNames(
        session, prefix=settings.topic_prefix, bars_pattern=settings.bars_pattern, quotes_pattern=settings.quotes_pattern,
        ticks_pattern=settings.ticks_pattern, overrides=settings.topic_overrides,
    )  # fmt: skip


def no_broker(settings: Settings, note: ErrorNote) -> StreamsError:
    """The error that says that no broker answers, or that one is there and refuses the connection."""
    fault = connection_fault(settings, note.fault)
    if fault is not None:
        return fault
    last = f" ({note.last})" if note.last else ""
    return NobodyThereError(
        f"no broker answers at {settings.bootstrap_servers}{last}: is it running? `streams broker up` starts one",
        reason="no broker answers",
    )


def explain(error: KafkaError, settings: Settings, note: ErrorNote, what: str, *, needs: str = "", group: str = "") -> StreamsError:
    """An error of Kafka's as one of ours.

    Args:
        error: Kafka's.
        settings: where the broker is, and who this client is.
        note: what was heard of the connection.
        what: what was tried, as in `reading main.analysis at offset 7`.
        needs: the right that it takes, as in `Read on topic main.analysis`.
        group: the `group.id` of a reader: librdkafka asks for the group's coordinator although it joins no group.
    """
    if error.code() in UNANSWERED:
        return no_broker(settings, note)
    if error.code() in FORBIDDEN:
        needed = f"Describe on group {group}" if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED and group else needs
        if needed:
            lacks = f"{refusal(settings, [needed])}, {error.name()}"
            return MissingRightError(f"{what}: {lacks}", reason=f"{what}: {lacks}")
    if leaderless(error) and error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        away = f"no broker leads what was asked for ({error.name()})"
        return NobodyThereError(f"{what}: {away} at {settings.bootstrap_servers}", reason=f"{what}: {away}")
    answer = f"answered {error.name()}: {error.str()}"
    return BrokerRefusedError(f"{what}: the broker at {settings.bootstrap_servers} {answer}", reason=f"{what}: the broker {answer}")


def header_names(message: Message) -> list[str]:
    """The names of a message's headers."""
    found = message.headers()
    if not found:
        return []
    return list(found) if isinstance(found, dict) else [name for name, _ in found]


def leaderless(error: KafkaError) -> bool:
    """Whether an error about a partition that exists says only that it has no leader yet."""
    return error.code() in _NO_LEADER_YET


def once_led(ask: Callable[[], T], *, attempts: int = 100) -> T:
    """What `ask` gives about partitions that are known to exist, asked again while one of them has no leader yet.

    Raises:
        KafkaException: what `ask` raised last: the leader did not come within `attempts`, 50 ms apart, or it is another error.
    """
    pause = Event()
    for _ in range(attempts - 1):
        try:
            return ask()
        except KafkaException as error:
            if not leaderless(error.args[0]):
                raise
        pause.wait(_LEADER_PAUSE_SECONDS)
    return ask()


def existing_topics(settings: Settings, timeout_seconds: float = BROKER_TIMEOUT_SECONDS) -> frozenset[str]:
    """The names of all topics that the broker has.

    Raises:
        NobodyThereError: no broker answers in time.
        BrokerRefusedError: it answered with an error.
    """
    note = ErrorNote()
    return topics_on(make_admin(settings, note), settings, note, timeout_seconds)


def require_topic(settings: Settings, topic: str, missing: str, *, needs: str) -> None:
    """See that a topic exists. It is asked for by its name: in a list of all, one that may not be described seems not to exist.

    Args:
        settings: where the broker is.
        topic: its name.
        missing: the beginning of the message when there is none.
        needs: the right that the caller will need, for the message when it may not even describe it.

    Raises:
        NoSessionError: there is no such topic.
        MissingRightError: it may not be described.
        NobodyThereError: no broker answers in time.
        BrokerRefusedError: it answered with an error.
    """
    note = ErrorNote()
    try:
        found = listed(make_admin(settings, note), note, BROKER_TIMEOUT_SECONDS, topic).get(topic)
    except KafkaException as error:
        raise explain(error.args[0], settings, note, f"asking for topic {topic}") from None
    require_found(found, settings, note, topic, missing, needs=needs)


def require_found(
    found: TopicMetadata | None, settings: Settings, note: ErrorNote, topic: str, missing: str, *, needs: str, group: str = ""
) -> None:
    """See that what a broker answered about a topic says that it is there; parameters and errors as for `require_topic`."""
    if found is None or (found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
        raise NoSessionError(f"{missing}: topic {topic} does not exist at {settings.bootstrap_servers}")
    if found.error is not None and not leaderless(found.error):
        raise explain(found.error, settings, note, f"asking for topic {topic}", needs=needs, group=group)


def topics_on(admin: AdminClient, settings: Settings, note: ErrorNote, timeout_seconds: float = BROKER_TIMEOUT_SECONDS) -> frozenset[str]:
    """The names of all topics, by a client that is there already; errors as for `existing_topics`."""
    try:
        return frozenset(listed(admin, note, timeout_seconds))
    except KafkaException as error:
        raise explain(error.args[0], settings, note, "asking for its topics") from None


def listed(client: AdminClient | Consumer, note: ErrorNote, timeout_seconds: float, topic: str | None = None) -> dict[str, TopicMetadata]:
    """All topics, or the one, asked for until `timeout_seconds` are over, or a broker refuses the connection.

    It is given up then, since each further attempt to log in may lock the account.

    Raises:
        KafkaException: no answer; the note says what is known of the connection.
    """
    left = timeout_seconds
    while True:
        try:
            seconds = min(left, _LOOK_SECONDS)
            return (client.list_topics(timeout=seconds) if topic is None else client.list_topics(topic, seconds)).topics
        except KafkaException as error:
            client.poll(0)  # hands the connection's errors to the note
            left -= _LOOK_SECONDS
            if left <= 0 or note.fault is not None or error.args[0].code() not in NOT_THERE:
                raise
