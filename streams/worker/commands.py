"""Control records as inputs of the engine: commands, with what has to be found out before they are applied.

A record that is no command is never fatal: it goes to the dead-letter topic, and where an id can be made out in it, it is
answered with the reason too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from confluent_kafka import Message
from msgspec import Struct

from streams.engine.session import Session
from streams.engine.state.symbol import SymbolStatus
from streams.engine.transaction import command_text
from streams.errors import WireError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import CommandKind, ControlCommand, RemovalPlan
from streams.times import SECOND_US, Clock
from streams.wire.codec import Codec
from streams.wire.deadletter import shortened
from streams.wire.outputs import RawRecord, Record, control_letter
from streams.wire.topics import TopicNames
from streams.worker.feed.batches import raw_of
from streams.worker.feed.feed import TopicRead
from streams.worker.sources.topics import Sources, TopicLook

MOST_JOURNAL_BYTES: Final = 400_000
"""What the texts of commands may take of one journal record: Kafka takes a million bytes, and each input has numbers and names too."""


class CommandsRead(Struct):
    """The inputs of control records, the dead letters among them, and what the inputs take in the journal."""

    inputs: list[JournalInput] = msgspec.field(default_factory=list)
    dead_letters: list[Record] = msgspec.field(default_factory=list)
    size: int = 0


class CommandReader:
    """Decodes control records.

    Args:
        codec, names, sources, clock: collaborators.
        removal_seconds: how long a graceful removal may drain.
    """

    def __init__(self, codec: Codec, names: TopicNames, sources: Sources, clock: Clock, *, removal_seconds: float) -> None:
        self._codec = codec
        self._names = names
        self._sources = sources
        self._clock = clock
        self._removal_us = round(removal_seconds * SECOND_US)

    async def read(self, session: Session, reads: Sequence[TopicRead]) -> list[CommandsRead]:
        """Inputs for the control records from the position that the state stands at, in parts that the journal can hold each."""
        messages = [one for read in reads for one in read.messages if (one.offset() or 0) >= session.state.control_offset]
        found = [(raw, self._command_of(raw, message)) for message in messages for raw in (raw_of(message),)]
        looks = await self._look(session, [command for _, command in found if isinstance(command, ControlCommand)])
        parts = [CommandsRead()]
        for raw, command in found:
            if parts[-1].size > MOST_JOURNAL_BYTES:
                parts.append(CommandsRead())
            if isinstance(command, ControlCommand):
                self._take(session, raw, command, looks, parts[-1])
            else:
                self._refuse(raw, command, parts[-1])
        return parts

    def _command_of(self, raw: RawRecord, message: Message) -> ControlCommand | WireError:
        try:
            return self._codec.command_from(raw.value, f"{raw.topic}@{raw.offset}", (message.timestamp()[1] or 0) * 1000)
        except WireError as error:
            return error

    async def _look(self, session: Session, commands: Sequence[ControlCommand]) -> dict[str, TopicLook]:
        """The topics of symbols that are to drain, at once: asked for one by one, a thousand of them would keep all bars waiting."""
        topics = {self._names.bars(command.symbol) for command in commands if _drains(session, command)}
        return await self._sources.look(sorted(topics)) if topics else {}

    def _refuse(self, raw: RawRecord, error: WireError, found: CommandsRead) -> None:
        answer_to = self._codec.command_id_in(raw.value)
        reason = shortened(str(error))
        found.inputs.append(
            JournalInput(InputKind.CONTROL_SKIPPED, first_offset=raw.offset, next_offset=raw.offset + 1, reason=reason, text=answer_to)
        )
        found.size += len(reason.encode()) + len((answer_to or "").encode())
        found.dead_letters.append(control_letter(self._names.dlq, raw, error, self._clock.now_us() // 1000))

    def _take(self, session: Session, raw: RawRecord, command: ControlCommand, looks: Mapping[str, TopicLook], found: CommandsRead) -> None:
        plan = self._plan(session, command, looks)
        text = command_text(command)
        found.size += len(text.encode())
        found.inputs.append(
            JournalInput(
                InputKind.COMMAND, first_offset=raw.offset, next_offset=raw.offset + 1, text=text,
                end_offset=plan.end_offset if plan else None, deadline_us=plan.deadline_us if plan else None,
            )
        )  # fmt: skip

    def _plan(self, session: Session, command: ControlCommand, looks: Mapping[str, TopicLook]) -> RemovalPlan | None:
        data = session.symbol(command.symbol)
        if data is None or not _drains(session, command):
            return None
        look = looks[self._names.bars(command.symbol)]
        if look.topic_id != data.topic_id:
            return None  # what it was to drain is not there any more, or may not be read
        # The session's time may be that of a former worker whose clock was ahead: a deadline in its past would not let it drain.
        now_us = max(self._clock.now_us(), session.state.now_us)
        return RemovalPlan(look.end, now_us + self._removal_us)


def _drains(session: Session, command: ControlCommand) -> bool:
    """Whether the command is a removal that waits until what is there is read."""
    data = session.symbol(command.symbol)
    is_graceful = command.kind == CommandKind.REMOVE_SYMBOL and not command.immediate
    return is_graceful and data is not None and data.status is SymbolStatus.LOADED
