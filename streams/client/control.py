"""Commands to a running session: add a symbol, remove one, and hear what became of it.

A command is a record on the session's control topic; what became of it comes on its replies topic: accepted, then
completed or failed. The end of the replies is noted before the command is sent, so no answer can slip by. A command that
nobody answers in time is not lost: it stays on its topic and runs when a worker starts.

    with SessionControl(Settings.load(session="main")) as control:
        control.add_symbol("IBM")
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaError, Message

from streams.config.sections import check_stream
from streams.config.settings import Settings
from streams.errors import CommandRefusedError, MissingRightError, StreamsError, UnansweredError
from streams.kafka.clients import (
    ConfigValue,
    ErrorNote,
    codec_of,
    explain,
    make_producer,
    no_broker,
    require_topic,
    session_of,
    topics_of,
)
from streams.kafka.delivery import SafeProducer
from streams.kafka.reader import END, TopicReader
from streams.model.records import CommandKind, ControlCommand, ReplyStatus, check_symbol
from streams.times import Clock, SystemClock, to_us
from streams.wire.codec import Codec
from streams.wire.messages import CommandReply

REPLY_TIMEOUT_SECONDS: Final = 30.0

OnReply = Callable[[CommandReply], None]


class SessionControl:
    """Sends commands to one session; a context manager.

    Args:
        settings: where the broker is, and which session.
        codec: other schema ids than the project's.
        clock: for the time of the command, and for deadlines.
        sender: who sends, for the worker's log.

    Raises:
        NobodyThereError: no broker answers, or no worker has ever run this session there.
        SettingsError: the settings name no session.
    """

    def __init__(self, settings: Settings, *, codec: Codec | None = None, clock: Clock | None = None, sender: str | None = None) -> None:
        self._settings = settings
        self._topics = topics_of(settings)
        self._codec = codec or codec_of(settings)
        self._clock = clock or SystemClock()
        self._sender = sender
        self._note = ErrorNote()
        self._failure: StreamsError | None = None
        self._missing = f"no worker has ever run session {session_of(settings)!r} here"
        control = self._topics.control
        require_topic(settings, control, self._missing, needs=f"Write on topic {control}")
        own: dict[str, ConfigValue] = {"enable.idempotence": True, "message.timeout.ms": 10_000}
        self._producer = SafeProducer(make_producer(settings, self._note, own), settings, self._note)

    def __enter__(self) -> SessionControl:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(StreamsError):  # what was sent has been waited for, or its error was raised
            self._producer.flush(1.0)

    def add_symbol(
        self,
        symbol: str,
        *,
        streams: Sequence[str] = (),
        start: datetime | None = None,
        must_exist: bool = False,
        wait: bool = True,
        timeout_seconds: float = REPLY_TIMEOUT_SECONDS,
        command_id: str | None = None,
        on_reply: OnReply | None = None,
    ) -> CommandReply | None:
        """Add a symbol to the session, with its history.

        Args:
            symbol: the symbol.
            streams: what to stream: intervals such as `1m` and `5m`, `quotes`, `ticks`. Empty for the config's; without an interval for
                the config's bars.
            start: read from this instant instead of the trading day's open.
            must_exist: refuse a symbol whose topic does not exist, instead of making the topic.
            wait: wait for the final reply; otherwise return `None` once the command is on its topic.
            timeout_seconds: how long to wait for it.
            command_id: an id of your own; a repeated one is answered again and not run again.
            on_reply: told of every reply as it comes, `accepted` among them.

        Returns:
            The final reply, whose status is `completed`; `None` without `wait`.

        Raises:
            CommandRefusedError: it failed; the message is the worker's reason.
            UnansweredError: nobody answered in time.
            NobodyThereError: no broker took it.
            InvalidSymbolError: the symbol can't be one.
            ValueError: a stream that is none, or a `start` without a zone.
        """
        for stream in streams:
            check_stream(stream)
        command = ControlCommand(
            id=command_id or str(uuid.uuid4()),
            kind=CommandKind.ADD_SYMBOL,
            symbol=check_symbol(symbol),
            sent_us=self._clock.now_us(),
            streams=tuple(streams),
            start_us=None if start is None else to_us(start),
            must_exist=must_exist,
            sender=self._sender,
        )
        return self.send(command, wait=wait, timeout_seconds=timeout_seconds, on_reply=on_reply)

    def remove_symbol(
        self,
        symbol: str,
        *,
        immediate: bool = False,
        wait: bool = True,
        timeout_seconds: float = REPLY_TIMEOUT_SECONDS,
        command_id: str | None = None,
        on_reply: OnReply | None = None,
    ) -> CommandReply | None:
        """Remove a symbol and everything that is kept about it; parameters and errors as for `add_symbol`.

        `immediate` removes it at once; otherwise what its topic holds at this moment is read first.
        """
        command = ControlCommand(
            id=command_id or str(uuid.uuid4()),
            kind=CommandKind.REMOVE_SYMBOL,
            symbol=check_symbol(symbol),
            sent_us=self._clock.now_us(),
            immediate=immediate,
            sender=self._sender,
        )
        return self.send(command, wait=wait, timeout_seconds=timeout_seconds, on_reply=on_reply)

    def send(self, command: ControlCommand, *, wait: bool, timeout_seconds: float, on_reply: OnReply | None = None) -> CommandReply | None:
        """Send any command; results and errors as for `add_symbol`."""
        if not wait:
            self._produce(command)
            return None
        with self._sent([command]) as replies:
            return self._await_reply(replies, command, timeout_seconds, on_reply)

    def send_all(self, commands: Sequence[ControlCommand], *, timeout_seconds: float = REPLY_TIMEOUT_SECONDS) -> list[CommandReply]:
        """Send commands at once, and wait for the final reply to each; that one failed is in its reply.

        Raises:
            UnansweredError: not all of them were answered in time.
        """
        if not commands:
            return []
        found: dict[str, CommandReply] = {}
        with self._sent(commands) as replies:
            deadline = self._clock.monotonic() + timeout_seconds
            wanted = {command.id.encode() for command in commands}
            while len(found) < len(wanted) and self._clock.monotonic() < deadline:
                for record in replies.read():
                    if record.key in wanted and record.value is not None:
                        reply = self._codec.reply_from(record.value)
                        if reply.status != ReplyStatus.ACCEPTED:
                            found[reply.command_id] = reply
        if len(found) < len(wanted):
            raise UnansweredError(
                f"no worker of session {session_of(self._settings)!r} answered within {timeout_seconds:g} s: {len(wanted) - len(found)} of "
                f"{len(wanted)} commands stay on {self._topics.control} and run when a worker starts"
            )
        return [found[command.id] for command in commands]

    @contextmanager
    def _sent(self, commands: Sequence[ControlCommand]) -> Iterator[TopicReader]:
        """Send commands, and have their replies read. A user who may send may lack the right to read: the commands are sent all the same.

        Raises:
            UnansweredError: the replies may not be read; the message says that the commands were sent.
        """
        replies: TopicReader | None = None
        sent = 0
        try:
            with suppress(MissingRightError):  # reading raises it again, once the commands are sent
                replies = self._make_reader()
            for command in commands:
                self._produce(command)
                sent += 1
            replies = replies or self._make_reader()
            yield replies
        except MissingRightError as error:
            if sent < len(commands):
                raise  # it is about sending
            which = f"command {commands[0].id} was" if sent == 1 else f"{sent} commands ({', '.join(one.id for one in commands)}) were"
            raise UnansweredError(
                f"{which} sent to {self._topics.control}, and what became of it can't be read here: {error}", reason=error.reason
            ) from None
        finally:
            if replies is not None:
                replies.close()

    def _make_reader(self) -> TopicReader:
        return TopicReader(self._settings, self._topics.replies, start=END, missing=self._missing, clock=self._clock)

    def _produce(self, command: ControlCommand) -> None:
        self._failure = None
        self._producer.produce(
            self._topics.control, self._codec.command_to_json(command), command.id.encode(), partition=0, on_delivery=self._report
        )
        if self._producer.flush(15.0):
            raise no_broker(self._settings, self._note)
        if self._failure is not None:
            raise self._failure

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            what, needs = f"sending the command to {message.topic()}", f"Write on topic {message.topic()}"
            self._failure = explain(error, self._settings, self._note, what, needs=needs)

    def _await_reply(self, replies: TopicReader, command: ControlCommand, timeout_seconds: float, on_reply: OnReply | None) -> CommandReply:
        deadline = self._clock.monotonic() + timeout_seconds
        accepted = False
        while self._clock.monotonic() < deadline:
            for record in replies.read():
                if record.key != command.id.encode() or record.value is None:
                    continue
                reply = self._codec.reply_from(record.value)
                if on_reply is not None:
                    on_reply(reply)
                if reply.status == ReplyStatus.FAILED:
                    raise CommandRefusedError(reply.reason or f"{command.kind} {command.symbol} failed, and the worker gave no reason")
                if reply.status == ReplyStatus.COMPLETED:
                    return reply
                accepted = accepted or reply.status == ReplyStatus.ACCEPTED
        if accepted:
            raise UnansweredError(
                f"session {session_of(self._settings)!r} accepted {command.kind} {command.symbol} and did not complete it within "
                f"{timeout_seconds:g} s: it goes on, `streams status` shows how far it is"
            )
        raise UnansweredError(
            f"no worker of session {session_of(self._settings)!r} answered within {timeout_seconds:g} s: "
            f"the command {command.id} stays on {self._topics.control} and runs when a worker starts"
        )
