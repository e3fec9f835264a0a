"""Commands over HTTP: each goes to the session's control topic like anybody's, and its reply is waited for in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from streams.client.control import SessionControl
from streams.config.settings import Settings
from streams.errors import ApiError, UnansweredError
from streams.model.records import ControlCommand
from streams.wire.codec import Codec
from streams.wire.messages import CommandReply

AT_ONCE: Final = 8

OnReply = Callable[[CommandReply], None]


class Commander(Protocol):
    """Sends commands to the session."""

    async def send(self, command: ControlCommand, wait_seconds: float) -> CommandReply | None:
        """The final reply, or the newest one, or None when there was none within `wait_seconds`.

        Raises:
            ApiError: as many commands as may be are being waited for.
            CommandRefusedError: the session refused it.
            NobodyThereError: it could not be sent.
        """
        ...


class ControlCommander:
    """Sends commands by the control topic.

    Args:
        settings: where Kafka is, and which session.
        codec: the session's schema ids.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._pool = ThreadPoolExecutor(AT_ONCE, "commands")
        self._waiting = 0

    async def send(self, command: ControlCommand, wait_seconds: float) -> CommandReply | None:
        """See `Commander`."""
        if self._waiting >= AT_ONCE:
            busy = f"{AT_ONCE} commands are being waited for, which is the most: send it again in a second, or with wait_seconds=0"
            raise ApiError(503, "busy", busy, {"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._send, command, wait_seconds)
        finally:
            self._waiting -= 1

    def _send(self, command: ControlCommand, wait_seconds: float) -> CommandReply | None:
        replies: list[CommandReply] = []
        with SessionControl(self._settings, codec=self._codec) as control:
            try:
                return control.send(command, wait=wait_seconds > 0, timeout_seconds=wait_seconds, on_reply=replies.append)
            except UnansweredError:
                return replies[-1] if replies else None
