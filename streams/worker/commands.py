"""Control records as inputs of the engine: commands, with what has to be found out before they are applied.

A record that is no command is never fatal: it goes to the dead-letter topic, and where an id can be made out in it, it is
answered with the reason too.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message
from msgspec import Struct

from streams.engine.journal import InputKind, JournalInput
from streams.engine.session import Session
from streams.engine.symbol import SymbolStatus
from streams.engine.transaction import command_text
from streams.errors import WireError
from streams.records import CommandKind, ControlCommand, RemovalPlan
from streams.times import SECOND_US, Clock
from streams.wire.codec import Codec
from streams.wire.deadletter import shortened
from streams.wire.outputs import Record, control_letter
from streams.wire.topics import TopicNames
from streams.worker.feed import TopicRead
from streams.worker.inbox import raw_of
from streams.worker.sources import Sources


class CommandsRead(Struct, frozen=True):
    """The inputs of a batch's control records, and the dead letters among them."""

    inputs: list[JournalInput]
    dead_letters: list[Record]


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

    async def read(self, session: Session, reads: Sequence[TopicRead]) -> CommandsRead:
        """Inputs for the control records from the position that the state stands at."""
        found = CommandsRead([], [])
        for read in reads:
            for message in read.messages:
                if (message.offset() or 0) >= session.state.control_offset:
                    await self._read_one(session, message, found)
        return found

    async def _read_one(self, session: Session, message: Message, found: CommandsRead) -> None:
        raw = raw_of(message)
        offset, sent_us = raw.offset, (message.timestamp()[1] or 0) * 1000
        default_id = f"{raw.topic}@{offset}"
        try:
            command = self._codec.command_from(raw.value, default_id, sent_us)
        except WireError as error:
            answer_to = self._codec.command_id_in(raw.value)
            found.inputs.append(
                JournalInput(
                    InputKind.CONTROL_SKIPPED, first_offset=offset, next_offset=offset + 1, reason=shortened(str(error)), text=answer_to
                )
            )  # fmt: skip
            found.dead_letters.append(control_letter(self._names.dlq, raw, error, self._clock.now_us() // 1000))
            return
        plan = await self._plan(session, command)
        found.inputs.append(
            JournalInput(
                InputKind.COMMAND, first_offset=offset, next_offset=offset + 1, text=command_text(command),
                end_offset=plan.end_offset if plan else None, deadline_us=plan.deadline_us if plan else None,
            )
        )  # fmt: skip

    async def _plan(self, session: Session, command: ControlCommand) -> RemovalPlan | None:
        data = session.symbol(command.symbol)
        if command.kind != CommandKind.REMOVE_SYMBOL or command.immediate or data is None or data.status is not SymbolStatus.LOADED:
            return None
        topic = self._names.bars(command.symbol)
        if (await self._sources.topic_ids([topic]))[topic] != data.topic_id:
            return None  # what it was to drain is not there any more
        # The session's time may be that of a former worker whose clock was ahead: a deadline in its past would not let it drain.
        now_us = max(self._clock.now_us(), session.state.now_us)
        return RemovalPlan((await self._sources.ends([topic]))[topic], now_us + self._removal_us)
