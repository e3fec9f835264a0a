"""What a replay from topics leaves out: symbols that the live session had by command, or that only have topics, but no config names.

A live session gets most of its symbols from commands, and a replay gets its commands from a file. Whoever replays with the config
alone would replay a part of the session and see no difference. So the control topic is read, and it is said which symbols are not
replayed, and what to write so that they are.

    found = left_out(settings, config, commands, days)
    found.config_symbols          # what to write as `symbols` in the config
    found.command_lines           # what to add to the file for --commands
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation, AdminClient
from msgspec import Struct
from msgspec.structs import replace

from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.errors import StreamsError, WireError
from streams.kafka.clients import (
    BROKER_TIMEOUT_SECONDS,
    ErrorNote,
    bar_topics_of,
    codec_of,
    make_admin,
    topics_of,
    topics_on,
)
from streams.kafka.hidden import require_visible
from streams.kafka.offsets import earliest, latest
from streams.kafka.reader import BEGINNING, TopicReader
from streams.model.records import CommandKind, ControlCommand
from streams.replay.days import ReplayDays
from streams.times import iso
from streams.wire.codec import Codec

READ_SECONDS: Final = 30.0


class LeftOutSymbol(Struct, frozen=True):
    """A symbol that is not replayed.

    `in_session` says whether the session had it, by command, in the replay's days; else it only has a topic of bars. `records` are
    those of its topic, of all days; None where it is not in the session, or the broker does not say.
    """

    symbol: str
    in_session: bool
    records: int | None = None


class LeftOut(Struct, frozen=True):
    """What a replay leaves out. `config_symbols` and `command_lines` are empty where there is nothing to write.

    `config_symbols` are the config's symbols and those that were added by command before the first day; `command_lines` are the commands
    of the days, one JSON object each, as a file for `--commands` has them. `problem` says why the session's commands are not known.
    """

    symbols: list[LeftOutSymbol] = []
    config_symbols: list[str] = []
    command_lines: list[str] = []
    problem: str | None = None

    @property
    def of_session(self) -> list[LeftOutSymbol]:
        """Those that the session had."""
        return [one for one in self.symbols if one.in_session]

    @property
    def others(self) -> list[LeftOutSymbol]:
        """Those that only have a topic."""
        return [one for one in self.symbols if not one.in_session]


def left_out(settings: Settings, config: SessionConfig, given: Iterable[ControlCommand], days: ReplayDays) -> LeftOut:
    """Look what the broker has of the session besides what is replayed; `problem` has the error where that can't be had.

    Args:
        settings: where the broker is, and how topics are named.
        config: of the session.
        given: the commands of the replay.
        days: that are replayed.
    """
    note = ErrorNote()
    names = bar_topics_of(settings)
    try:
        admin = make_admin(settings, note)
        present = topics_on(admin, settings, note)
        topics = {symbol: topic for topic in present if (symbol := names.symbol_of(topic)) is not None}
        control = topics_of(settings).control
        if control not in present:
            require_visible(settings, {control: [AclOperation.READ]}, f"reading the commands on {control}")
        commands = _commands(settings, control) if control in present else []
        found = judged(config.symbols, given, commands, days, topics.keys())
        counts = _counts(admin, {one.symbol: topics[one.symbol] for one in found.of_session if one.symbol in topics})
        symbols = [replace(one, records=counts.get(one.symbol)) for one in found.symbols]
        return replace(found, symbols=symbols)
    except StreamsError as error:
        return LeftOut(problem=str(error))


def _counts(admin: AdminClient, topics: Mapping[str, str]) -> dict[str, int]:
    """How many records the symbols' topics have, markers of transactions among them; nothing where the broker does not say."""
    if not topics:
        return {}
    try:
        first = earliest(admin, topics.values(), timeout_seconds=BROKER_TIMEOUT_SECONDS)
        end = latest(admin, topics.values(), timeout_seconds=BROKER_TIMEOUT_SECONDS)
    except KafkaException:  # one may have been deleted meanwhile; the names are what matters
        return {}
    return {symbol: end[topic] - first[topic] for symbol, topic in topics.items() if topic in first and topic in end}


def judged(
    symbols: Iterable[str],
    given: Iterable[ControlCommand],
    commands: Iterable[ControlCommand],
    days: ReplayDays,
    with_topics: Collection[str],
) -> LeftOut:
    """What is left out.

    Args:
        symbols: those of the config.
        given: the commands of the replay.
        commands: those of the session's control topic, in its order.
        days: that are replayed.
        with_topics: the symbols that have a topic of bars.
    """
    in_config = list(symbols)
    named = {*in_config, *(command.symbol for command in given if command.kind == CommandKind.ADD_SYMBOL)}
    first_us = days.first.open_us
    before: dict[str, ControlCommand] = {}
    within: dict[str, list[ControlCommand]] = {}
    for command in commands:
        if command.symbol in named or command.kind not in (CommandKind.ADD_SYMBOL, CommandKind.REMOVE_SYMBOL):
            continue
        if command.sent_us <= first_us:
            if command.kind == CommandKind.ADD_SYMBOL:
                before.setdefault(command.symbol, command)
            else:
                before.pop(command.symbol, None)
        elif days.holds(command.sent_us):
            is_there = command.symbol in before or command.symbol in within
            if command.kind == CommandKind.ADD_SYMBOL or is_there:
                within.setdefault(command.symbol, []).append(command)
    # One with streams of its own can't be written among the config's symbols, which all have the config's.
    own = [replace(command, sent_us=first_us, start_us=None) for command in before.values() if command.streams]
    whole = [command.symbol for command in before.values() if not command.streams]
    lines = [*own, *sorted((one for ones in within.values() for one in ones), key=lambda one: one.sent_us)]
    of_session = before.keys() | within.keys()
    found = [LeftOutSymbol(symbol, in_session=True) for symbol in sorted(of_session)]
    found += [LeftOutSymbol(symbol, in_session=False) for symbol in sorted(set(with_topics) - of_session - named)]
    return LeftOut(found, [*in_config, *sorted(whole)] if whole else [], [_line(command) for command in lines])


def _line(command: ControlCommand) -> str:
    fields: dict[str, object] = {"at": iso(command.sent_us), "command": command.kind, "symbol": command.symbol}
    if command.streams:
        fields["streams"] = list(command.streams)
    if command.start_us is not None:
        fields["start"] = iso(command.start_us)
    if command.immediate:
        fields["immediate"] = True
    return json.dumps(fields)


def _commands(settings: Settings, topic: str) -> list[ControlCommand]:
    codec = codec_of(settings)
    with TopicReader(settings, topic, start=BEGINNING, missing=f"there is no topic {topic}", role="replay") as reader:
        return [
            command
            for record in reader.up_to(reader.bounds()[1], READ_SECONDS)
            if (command := _command(codec, record.value, f"{topic}@{record.offset}", record.timestamp_ms * 1000)) is not None
        ]


def _command(codec: Codec, value: bytes | None, default_id: str, sent_us: int) -> ControlCommand | None:
    """The command of a control record, at the time of its message: when it took effect, as near as anyone can tell."""
    try:
        return replace(codec.command_from(value, default_id, sent_us), sent_us=sent_us)
    except WireError:  # which the session refused, too
        return None
