"""The HTTP server: uvicorn in a thread with an event loop of its own, and limits on connections.

    server = HttpServer(app, host="127.0.0.1", port=6066)
    server.start()
    ...
    server.stop()

The session's loop and this one share nothing but what the app asks of its reader. What clients do here must not hurt the
session: of connections there are so many and no more, the one that has been idle longest going first, since each holds a file
descriptor of the process; and one that neither asks nor takes its answer for a while is cut.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, Final, cast

import uvicorn
from loguru import logger
from msgspec import Struct
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from streams.errors import SettingsError

STOP_SECONDS: Final = 2.0
_BACKLOG: Final = 128
_HEADER_BYTES: Final = 16_384
_LOOK_SECONDS: Final = 1.0


class ConnectionLimits(Struct, frozen=True):
    """How many connections there may be, and how long one may go without a step.

    `idle_seconds` is for sending a request's head and for taking the last answer, `at_work_seconds` for the answer to come.
    """

    most: int = 128
    idle_seconds: float = 20.0
    at_work_seconds: float = 120.0
    keep_alive_seconds: int = 5


class HttpServer:
    """Serves an ASGI app until it is stopped.

    Args:
        app: what answers.
        host, port: where it listens; port 0 takes any that is free.
        limits: on connections.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, limits: ConnectionLimits | None = None) -> None:
        self._limits = limits or ConnectionLimits()
        self._host = host
        self._asked_port = port
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, http=_protocol(self._limits), ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
                proxy_headers=False, timeout_keep_alive=self._limits.keep_alive_seconds, timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=_HEADER_BYTES,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._socket: socket.socket | None = None

    def start(self) -> int:
        """Listen, and serve in a thread; gives the port.

        Raises:
            SettingsError: nothing can listen there.
        """
        listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._asked_port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise SettingsError(
                f"nothing can listen on {self._host} port {self._asked_port} ({error.strerror}): set STREAMS_HTTP_HOST and "
                "STREAMS_HTTP_PORT to an address of this machine and a free port, or the port to 0 for none"
            ) from None
        self._socket = listener
        self._thread.start()
        port: int = listener.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.server_state.connections)

    def stop(self) -> None:
        """Finish what is being answered, for a moment, and end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            logger.opt(exception=error).error("the HTTP server has ended: the session goes on without it until the next start")

    async def _serve(self) -> None:
        assert self._socket is not None  # noqa: S101
        watch = asyncio.create_task(self._watch())
        await self._server.serve(sockets=[self._socket])
        watch.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, Connection) and connection.is_overdue(now):
                    connection.cut()


class _Counted:
    """A transport that knows how far writing has come."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._writes = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Another one whenever something was written, or taken by the other side."""
        return self._writes, self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        self._writes += 1
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(H11Protocol):
    """uvicorn's protocol, which knows since when it has been waiting, and for what."""

    limits = ConnectionLimits()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._step: tuple[object, object] = (None, None)
        self._since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take one more in, and let go of the one that has been idle longest when there are too many."""
        self._counted = _Counted(transport)
        super().connection_made(cast(asyncio.Transport, self._counted))
        if len(self.connections) > self.limits.most:
            idle = [one for one in self.connections if isinstance(one, Connection) and one is not self and not one.is_at_work]
            min(idle, key=lambda one: one._since, default=self).cut()

    @property
    def is_at_work(self) -> bool:
        """Whether a request of it is being answered."""
        cycle = self._cycle()
        return cycle is not None and not cycle.response_complete

    def _cycle(self) -> RequestResponseCycle | None:
        return self.cycle  # None before the first request, which its type does not say

    def is_overdue(self, now: float) -> bool:
        """Whether it has made no step for too long; what is sent of an answer under way is one."""
        step = (self.cycle, self._counted.progress if self.is_at_work else None)
        if step != self._step:
            self._step, self._since = step, now
        return now - self._since > (self.limits.at_work_seconds if self.is_at_work else self.limits.idle_seconds)

    def cut(self) -> None:
        """Close it at once, whatever is still to be sent."""
        self.transport.abort()


def _protocol(limits: ConnectionLimits) -> type[Connection]:
    return type("LimitedConnection", (Connection,), {"limits": limits})
