"""What stands before the API: limits on what one request may cost, and an answer in the API's own form whatever goes wrong.

It is plain ASGI around the app. A request that names another host, or whose length can be read in two ways, is refused. A body is read
only where a route takes one: whole, up to a size and within a time, before the app sees the request. A request counts as
worked on from then on, so that a client that never sends its body does not hold up others. At most so many are worked on at
once, `/health` and `/metrics` apart, which have to answer when all else is busy. A failure that nobody expected is logged, and the
client is told no more than that there was one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from loguru import logger
from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.api.hosts import Hosts
from streams.api.problems import refusal
from streams.errors import ApiError

PAGES: Final = frozenset({"/health", "/metrics"})
_ON_EACH: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Limits(Struct, frozen=True):
    """What a request may cost."""

    at_once: int = 32
    head_bytes: int = 16_384
    body_bytes: int = 16_384
    body_seconds: float = 10.0
    answer_seconds: float = 90.0
    export_seconds: float = 900.0


class Guard:
    """An ASGI app around another one.

    Args:
        app: the other one.
        hosts: the hosts that requests may name.
        takes_body: whether a route takes the body of a request with this method and path.
        limits: on what a request may cost.
    """

    def __init__(self, app: ASGIApp, *, hosts: Hosts, takes_body: Callable[[str, str], bool], limits: Limits | None = None) -> None:
        self._app = app
        self._hosts = hosts
        self._takes_body = takes_body
        self._limits = limits or Limits()
        self._at_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        # What HEAD is asked of says GET; the server sends no body.
        is_head = scope["method"] == "HEAD"
        scope = {**scope, "method": "GET"} if is_head else scope
        out = _Out(send, is_head=is_head)
        try:
            self._check_head(scope)
            if scope["path"] in PAGES:
                await self._answer(scope, b"", receive, out)
                return
            scope = {**scope, "path": path_of(scope)}
            body = await self._body(scope, receive) if self._takes_body(scope["method"], scope["path"]) else b""
            if body is None:
                return
            if self._at_work >= self._limits.at_once:
                message = f"{self._at_work} requests are being worked on, which is the most: ask again in a second"
                raise ApiError(503, "busy", message, {"Retry-After": "1"})
            self._at_work += 1
            try:
                await self._answer(scope, body, receive, out)
            finally:
                self._at_work -= 1
        except ApiError as error:
            await self._refuse(error, scope, receive, out)
        except TimeoutError:
            message = f"there was no answer within {self._limits.answer_seconds:g} s: ask again, or for less"
            await self._refuse(ApiError(503, "too_slow", message, {"Retry-After": "1"}), scope, receive, out)
        except Exception as error:
            logger.opt(exception=error).error("a request over HTTP failed: {} {}", scope["method"], scope["path"])
            await self._refuse(ApiError(500, "internal", "the worker failed to answer: its log says why"), scope, receive, out)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, out: _Out) -> None:
        seconds = self._limits.export_seconds if scope["path"].endswith("/export") else self._limits.answer_seconds
        async with asyncio.timeout(seconds):
            await self._app(scope, _Given(body, receive), out)

    def _check_head(self, scope: Scope) -> None:
        told = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["path"]) + len(scope["query_string"])
        if told > self._limits.head_bytes:
            raise ApiError(
                431, "too_large", f"a request's path, query and headers may have {self._limits.head_bytes} bytes, these have {told}"
            )
        headers: dict[bytes, bytes] = dict(scope["headers"])
        _check_framing(headers, scope.get("http_version"))
        host = headers.get(b"host")
        self._hosts.check(None if host is None else host.decode("latin-1"), is_page=scope["path"] in PAGES)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The request's body; None when the client has gone."""
        most = self._limits.body_bytes
        too_large = ApiError(413, "too_large", f"a request's body may have {most} bytes", {"Connection": "close"})
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            why = f"the request's body did not arrive within {self._limits.body_seconds:g} s: send it whole"
            raise ApiError(408, "too_slow", why, {"Connection": "close"}) from None

    @staticmethod
    async def _refuse(error: ApiError, scope: Scope, receive: Receive, out: _Out) -> None:
        if not out.has_begun:  # else the connection is closed, which tells the client as much as can be told
            await refusal(error)(scope, receive, out)


def _check_framing(headers: dict[bytes, bytes], version: str | None) -> None:
    """See that there is one way to read where a request ends.

    A proxy that goes by the other header takes what one client sent for two requests (RFC 9112, sections 6.1 and 11.2): so nothing that
    follows on the connection is believed.

    Raises:
        ApiError: there are two.
    """
    if b"transfer-encoding" not in headers:
        return
    if b"content-length" in headers:
        why = "a request has Content-Length or Transfer-Encoding, this one has both"
    elif version == "1.0":
        why = "HTTP/1.0 has no Transfer-Encoding: send Content-Length"
    else:
        return
    raise ApiError(400, "ambiguous_length", why, {"Connection": "close"})


class _Given:
    """`receive` of a request whose body has been read, or is not wanted."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            while (message := await self._receive())["type"] == "http.request":
                pass
            return message
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Out:
    """`send` that knows whether the answer has begun, and adds what each answer has."""

    def __init__(self, send: Send, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            message = {**message, "headers": [*message["headers"], *_ON_EACH]}
        elif self._is_head:
            message = {**message, "body": b""}
        await self._send(message)


def path_of(scope: Scope) -> str:
    """The path to find a route by: decoded, but for the slashes and percent signs in its parts, so that `BTC%2FUSD` is one part.

    `part_of` decodes what is left.
    """
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return str(scope["path"])
    parts = raw.partition(b"?")[0].decode("latin-1").split("/")
    return "/".join(unquote(part).replace("%", "%25").replace("/", "%2F") for part in parts)


def part_of(part: str) -> str:
    """A part of a path as it was meant."""
    return unquote(part)
