"""The sessions of a cluster, by the topics that they leave there: which there are, how each stands, and who wrote it last.

A session has a changelog of its state and topics of its own beside it. Its row in the changelog is written with every transaction,
so it is among the newest records: a few hundred are read from the end, not the whole state.

    for session in read_sessions(Settings()):
        print(session.name, session.row.owner if session.row else session.problem)
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from confluent_kafka.admin import AclOperation
from msgspec import Struct

from streams.config.settings import Settings
from streams.errors import BrokerRefusedError, NoSessionError, OffsetGoneError, SettingsError, WireError
from streams.kafka.clients import STATE_CHANGELOG, codec_of, existing_topics, state_changelog
from streams.kafka.hidden import missing_rights
from streams.kafka.reader import END, Record, TopicReader
from streams.model.rows import SESSION_KEY, SessionRow
from streams.wire.codec import Codec
from streams.wire.topics import TopicNames

_SUFFIXES: Final = tuple(sorted(topic.removeprefix("x") for topic in TopicNames("x").all_session_topics()))
_OF_REPLAY: Final = ".replay"
READ_SECONDS: Final = 30.0
_FIRST_SPAN: Final = 500
_GROWTH: Final = 20
_AT_ONCE: Final = 8


class SessionState(Struct, frozen=True):
    """A session as it was committed last.

    `name` is what `--session` takes; `row` is None while nothing is committed, or where it can't be read: then `problem` says why.
    """

    name: str
    row: SessionRow | None
    problem: str | None = None


def read_sessions(settings: Settings, *, codec: Codec | None = None) -> list[SessionState]:
    """All sessions under the settings' topic prefix, by name; those none of whose topics this user may describe are not among them.

    One of which it sees a topic, but not the state, is among them; `problem` says which right is missing.

    Raises:
        NobodyThereError: no broker answers.
        BrokerRefusedError: it answered with an error.
    """
    topics = existing_topics(settings)
    names = session_names(topics | hidden_changelogs(settings, topics), settings.topic_prefix)
    codec = codec or codec_of(settings)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda name: _state_of(settings.model_copy(update={"session": name}), name, codec), names)
        return [state for state in found if state is not None]


def hidden_changelogs(settings: Settings, topics: frozenset[str]) -> frozenset[str]:
    """The changelogs of sessions of which this user sees a topic, but not the state."""
    owners = {topic.removesuffix(suffix) for topic in topics for suffix in _SUFFIXES if topic.endswith(suffix)}
    # A replay writes a topic of its own beside the session's, and keeps no state.
    changelogs = {f"{name}{STATE_CHANGELOG}" for name in owners if not name.endswith(_OF_REPLAY)} - topics
    hidden = {changelog: [AclOperation.READ] for changelog in sorted(changelogs) if changelog.startswith(settings.topic_prefix)}
    missing = missing_rights(settings, hidden, "looking for sessions") if hidden else []
    return frozenset(changelog for changelog in hidden if f"Read on topic {changelog}" in missing)


def session_names(topics: frozenset[str], prefix: str = "") -> list[str]:
    """The names of the sessions that have these topics, in order.

    A changelog alone is not enough: a Faust app of someone else's may have a table that is called state, too.
    """
    names = []
    for topic in sorted(topics):
        name = topic.removeprefix(prefix).removesuffix(STATE_CHANGELOG)
        if not topic.startswith(prefix) or not topic.endswith(STATE_CHANGELOG) or not name:
            continue
        try:
            own = TopicNames(name, prefix=prefix).all_session_topics()
        except SettingsError:
            continue
        if not topics.isdisjoint(own):
            names.append(name)
    return names


def _state_of(settings: Settings, name: str, codec: Codec) -> SessionState | None:
    """How a session stands; None when it was deleted meanwhile."""
    try:
        return SessionState(name, _newest_row(settings, codec))
    except NoSessionError:
        return None
    except (BrokerRefusedError, OffsetGoneError, WireError) as error:
        return SessionState(name, None, str(error))


def _newest_row(settings: Settings, codec: Codec) -> SessionRow | None:
    changelog = state_changelog(settings)
    with TopicReader(settings, changelog, start=END, missing=f"session {settings.session!r} was deleted") as reader:
        low, end = reader.bounds()
        span = _FIRST_SPAN
        while True:
            first = max(low, end - span)
            reader.move(first)
            newest = _newest(reader, end)
            if newest is not None:
                row = None if newest.value is None else codec.row_from(newest.value)
                return row if isinstance(row, SessionRow) else None
            if first == low:
                return None
            span *= _GROWTH


def _newest(reader: TopicReader, end: int) -> Record | None:
    newest = None
    for record in reader.up_to(end, READ_SECONDS):
        if record.key == SESSION_KEY.encode():
            newest = record
    return newest
