"""The HTTP server: uvicorn in a thread with an event loop of its own, and limits on connections.

    server = HttpServer(app, host="127.0.0.1", port=6066)
    server.start()
    ...
    server.stop()

The session's loop and this one share nothing but what the app asks of its reader. What clients do here must not hurt the
session: of connections there are so many and no more, since each holds a file descriptor of the process; and one that neither asks nor
takes its answer for a while is cut.

Nor may clients shut each other out, least of all whoever asks for `/health`. A newcomer always gets a place: the connection goes
that has kept the server waiting longest, for a request, for the rest of one, or for its client to take an answer. Only those that are
owed an answer stay, and the app owes fewer at once than there are places (`Limits.at_once`).
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, cast

import h11
import msgspec
import uvicorn
from loguru import logger
from msgspec import Struct
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from streams.api.problems import JSON, Fault, Refusal
from streams.errors import SettingsError

STOP_SECONDS: Final = 2.0
_BACKLOG: Final = 128
_ACCEPTED_AT_ONCE: Final = 16
_HEADER_BYTES: Final = 16_384
_LOOK_SECONDS: Final = 1.0


class ConnectionLimits(Struct, frozen=True):
    """How many connections there may be, and how long one may go without a step.

    `idle_seconds` is for sending a request and for taking the last answer, `at_work_seconds` for the answer to come,
    `linger_seconds` for taking an answer that came before the request was sent to its end. Without a new request a connection is closed
    after `keep_alive_seconds`: clients should let go of theirs before that, as `SessionClient` does, or a request meets the close.
    """

    most: int = 128
    idle_seconds: float = 20.0
    at_work_seconds: float = 120.0
    keep_alive_seconds: int = 15
    linger_seconds: float = 2.0


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
        self._server = _Server(
            uvicorn.Config(
                app, http=_protocol(self._limits), ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
                proxy_headers=False, timeout_keep_alive=self._limits.keep_alive_seconds, timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=_HEADER_BYTES, backlog=_ACCEPTED_AT_ONCE,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._socket: socket.socket | None = None

    def start(self) -> int:
        """Listen, and serve in a thread; gives the port.

        Raises:
            SettingsError: nothing can listen there.
        """
        # With the protocol said, or asyncio leaves Nagle's algorithm on: an answer's last part then waits 40 ms for an acknowledgment.
        listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


class _Server(uvicorn.Server):
    """uvicorn's server, which accepts few connections at a time of the many that may wait.

    asyncio takes one number for both. Were all that wait accepted at once, a connection could be let go for the later ones before its
    request was read.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(_BACKLOG)


class _Wire:
    """A transport that knows how far writing has come, and does not cut off an answer whose request is still coming in.

    A socket that is closed with bytes unread resets the connection, and the client may lose the answer that it would have read next
    (RFC 9112, section 9.6). So the sending half is closed, and what comes in is dropped for a moment.
    """

    def __init__(self, transport: asyncio.Transport, *, is_sending: Callable[[], bool], linger_seconds: float) -> None:
        self._transport = transport
        self._is_sending = is_sending
        self._linger_seconds = linger_seconds
        self._writes = 0
        self.lingers = False

    @property
    def progress(self) -> tuple[int, int]:
        """Another one whenever something was written, or taken by the other side."""
        return self._writes, self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        self._writes += 1
        self._transport.write(data)

    def close(self) -> None:
        if self._transport.is_closing() or self.lingers:
            return
        if not self._is_sending():
            self._transport.close()
            return
        self.lingers = True
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone
            self._transport.abort()
            return
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(self._linger_seconds, self._transport.close)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(H11Protocol):
    """uvicorn's protocol, which knows since when it has been waiting, and for what."""

    limits = ConnectionLimits()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._step: tuple[object, object] = (False, (0, 0))
        self._since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take one more in, and let go of the one that has kept us waiting longest when there are too many."""
        self._wire = _Wire(transport, is_sending=self._is_sending, linger_seconds=self.limits.linger_seconds)
        super().connection_made(cast(asyncio.Transport, self._wire))
        if len(self.connections) > self.limits.most:
            now = self.loop.time()
            others = [one for one in self.connections if isinstance(one, Connection) and one is not self and not one.is_at_work]
            min(others, key=lambda one: one.waiting_since(now), default=self).cut()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if not self._wire.lingers:
            super().data_received(data)

    @property
    def is_at_work(self) -> bool:
        """Whether it is owed an answer: to a request that has come in whole, or the rest of one that has begun."""
        cycle = self._cycle()
        return cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body)

    def _is_sending(self) -> bool:
        """Whether the client has not come to the end of its request."""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _cycle(self) -> RequestResponseCycle | None:
        return self.cycle  # None before the first request, which its type does not say

    def waiting_since(self, now: float) -> float:
        """Since when it has made no step: a request that has come in whole, what is sent of its answer, what is taken of it."""
        step = (self.is_at_work, self._wire.progress)
        if step != self._step:
            self._step, self._since = step, now
        return self._since

    def is_overdue(self, now: float) -> bool:
        """Whether it has made no step for too long."""
        return now - self.waiting_since(now) > (self.limits.at_work_seconds if self.is_at_work else self.limits.idle_seconds)

    def cut(self) -> None:
        """Close it at once, whatever is still to be sent."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, in the API's own form; uvicorn calls it while it handles h11's error."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is under way, or done
            self.transport.close()
            return
        error = sys.exc_info()[1]
        status, why = (error.error_status_hint, str(error)) if isinstance(error, h11.RemoteProtocolError) else (400, msg)
        code = "too_large" if status == 431 else "not_http"
        body = msgspec.json.encode(Refusal(Fault(code, f"this is not a request of HTTP/1.1: {why}")))
        headers = [("Content-Type", JSON), ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _protocol(limits: ConnectionLimits) -> type[Connection]:
    return type("LimitedConnection", (Connection,), {"limits": limits})
