"""The HTTP API without a worker: over a desk's session, in process.

client = client_over(desk)
client.get("/v1/symbols/SPY/bars").json()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp

from streams.api.app import create_app
from streams.api.guard import Limits
from streams.api.hosts import Hosts
from streams.api.reader import AsOf, Condition, SessionReader
from streams.engine.state.session import SessionState
from streams.errors import CommandRefusedError, NotActiveError
from streams.model.records import CommandKind, ControlCommand
from streams.wire.messages import CommandReply
from tests.support.engine import Desk

READ_TOKEN = "a-token-that-reads"
COMMAND_TOKEN = "a-token-that-commands"
ANALYSIS_OFFSET = 41
HOSTS = Hosts(allowed=["test", "testserver", "one", "two"])
"""The hosts of the URLs that tests of the API and of the clients go by."""

T = TypeVar("T")


class DeskReader:
    """Answers from a desk's session, or says that somebody else has it."""

    def __init__(self, desk: Desk, elsewhere: NotActiveError | None = None, committed_seconds: float = 0.0) -> None:
        self.committed_seconds = committed_seconds
        self.desk = desk
        self.elsewhere = elsewhere

    async def check(self) -> None:
        if self.elsewhere is not None:
            raise self.elsewhere

    async def take(self, take: Callable[[SessionState], T]) -> tuple[AsOf, T]:
        await self.check()
        state = self.desk.session.state
        as_of = AsOf(
            state.config.session_name, state.epoch, state.sequence, ANALYSIS_OFFSET, state.now_us, state.active, self.committed_seconds
        )
        return as_of, take(state)

    async def condition(self) -> Condition:
        return Condition({"status": "active"}, is_well=True)

    async def metrics(self) -> bytes:
        return b"streams_sequence 1.0\n"


class DeskCommander:
    """Completes each command but those about what is not there, or is; `hears` says up to which status one hears of them."""

    def __init__(self, desk: Desk, hears: str | None = "completed") -> None:
        self.desk = desk
        self.hears = hears
        self.sent: list[tuple[ControlCommand, float]] = []

    async def send(self, command: ControlCommand, wait_seconds: float) -> CommandReply | None:
        self.sent.append((command, wait_seconds))
        if (command.kind == CommandKind.ADD_SYMBOL) == (command.symbol in self.desk.session.state.symbols):
            raise CommandRefusedError(f"{command.symbol} can't be that")
        if self.hears is None:
            return None
        return CommandReply(command.id, command.kind, command.symbol, self.hears, None, self.desk.now_us, 1, "main")


class Client:
    """Asks an app in process; follows no redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""

        return asyncio.run(self.asked(method, path, **options))

    async def asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, within a loop that runs."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    def get(self, path: str, *, token: str | None = None) -> httpx.Response:
        """A read, with a token or without."""
        return self.ask("GET", path, headers={} if token is None else bearer(token))


def app_over(
    desk: Desk,
    *,
    tokens: bool = True,
    elsewhere: NotActiveError | None = None,
    limits: Limits | None = None,
    commander: DeskCommander | None = None,
    reader: SessionReader | None = None,
    hosts: Hosts | None = None,
    committed_seconds: float = 0.0,
) -> ASGIApp:
    """The API over a desk's session, with both tokens or none."""
    read, command = (SecretStr(READ_TOKEN), SecretStr(COMMAND_TOKEN)) if tokens else (None, None)
    reader = reader or DeskReader(desk, elsewhere, committed_seconds)
    return create_app(reader, commander or DeskCommander(desk), read_token=read, command_token=command, hosts=hosts or HOSTS, limits=limits)


def bearer(token: str) -> dict[str, str]:
    """The header that a token goes into."""
    return {"Authorization": f"Bearer {token}"}
