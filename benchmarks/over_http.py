"""Requests over HTTP: each on the connection that the client keeps, and each on a connection of its own.

The server is a worker's own, over a session in memory: what a request costs here is the connection, the server and the API, without a
wait for the session's loop. Client and server are threads of one process.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import TypeVar

from benchmarks.engine import OPEN_US, session_of
from benchmarks.measure import Better, Plan, Row, at_most, in_turn, seconds_of
from streams.api.app import create_app
from streams.api.commander import Commander
from streams.api.reader import AsOf, Condition
from streams.api.server import HttpServer
from streams.client.session import SessionClient
from streams.engine.state.session import SessionState
from streams.model.records import ControlCommand
from streams.wire.messages import CommandReply

REQUESTS, SMALL_REQUESTS = 1000, 20
HOST = "127.0.0.1"
PATH = "/v1/session"

T = TypeVar("T")


class _Reader:
    """A session in memory."""

    def __init__(self) -> None:
        self._state = session_of(["SPY"]).state

    async def check(self) -> None:
        """It has the state."""

    async def take(self, take: Callable[[SessionState], T]) -> tuple[AsOf, T]:
        """See `SessionReader`."""
        return AsOf("bench", 1, 0, 0, OPEN_US, active=True), take(self._state)

    async def condition(self) -> Condition:
        """See `SessionReader`."""
        return Condition({"status": "active"}, is_well=True)

    async def metrics(self) -> bytes:
        """See `SessionReader`."""
        return b""


class _NoCommander(Commander):
    async def send(self, command: ControlCommand, wait_seconds: float) -> CommandReply | None:
        raise NotImplementedError


def rows(plan: Plan) -> list[Row]:
    """Milliseconds a request."""
    count = SMALL_REQUESTS if plan.small else REQUESTS
    server = HttpServer(create_app(_Reader(), _NoCommander()), host=HOST, port=0)
    port = server.start()

    def on_one_connection() -> None:
        connection = http.client.HTTPConnection(HOST, port)
        for _ in range(count):
            _ask(connection)
        connection.close()

    def on_connections_of_their_own() -> None:
        for _ in range(count):
            connection = http.client.HTTPConnection(HOST, port)
            _ask(connection)
            connection.close()

    def by_a_client() -> None:
        with SessionClient(f"http://{HOST}:{port}") as client:
            for _ in range(count):
                client.get_overview()

    try:
        return in_turn(
            f"{count:,} requests over HTTP",
            "ms/request",
            {
                "on one connection": lambda: seconds_of(on_one_connection) / count * 1000,
                f"on {count:,} connections": lambda: seconds_of(on_connections_of_their_own) / count * 1000,
                "SessionClient, which keeps its connection": lambda: seconds_of(by_a_client) / count * 1000,
            },
            plan.rounds,
            better=Better.LOWER,
            # The other side may hold an acknowledgment back for 40 ms.
            targets={"on one connection": [at_most(5.0)]},
        )
    finally:
        server.stop()


def _ask(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", PATH)
    with connection.getresponse() as answer:
        body = answer.read()
    if answer.status != 200 or b'"session":"bench"' not in body:
        raise AssertionError(f"{PATH} was answered with {answer.status}: {body!r}")
