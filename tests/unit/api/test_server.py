"""Connections, with a real server and sockets: how many there may be, and what becomes of one that makes no step."""

from __future__ import annotations

import json
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from streams.api.server import ConnectionLimits, HttpServer
from streams.errors import SettingsError
from tests.support.api import app_over
from tests.support.waiting import wait_until
from tests.unit.api.worlds import ODD, active_desk

HOST = "127.0.0.1"
LARGE = 32 * 1024 * 1024
Serve = Callable[..., int]


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with more than any buffer between here and the client holds."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(LARGE).encode())]})
    await send({"type": "http.response.body", "body": b"x" * LARGE})


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server and gives its port."""
    with ExitStack() as stack:

        def start(**limits: Any) -> int:
            server = HttpServer(app_over(active_desk()), host=HOST, port=0, limits=ConnectionLimits(**limits))
            port = server.start()
            stack.callback(server.stop)
            return port

        yield start


def connect(port: int) -> socket.socket:
    connection = socket.create_connection((HOST, port), timeout=10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection


def is_cut(connection: socket.socket) -> bool:
    """Whether the other side has ended the connection, without waiting for it."""
    connection.setblocking(False)
    try:
        return connection.recv(65_536) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.setblocking(True)


def asked(port: int, path: str = "/v1/session") -> dict[str, object]:
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        said: dict[str, object] = json.loads(answer.read())
        return said


def test_it_answers_over_a_socket_with_a_slash_in_a_symbol(serve: Serve) -> None:
    port = serve()
    assert asked(port)["session_active"] is True
    path = f"/v1/symbols/{urllib.parse.quote(ODD, safe='')}/bars"
    assert asked(port, path)["symbol"] == ODD


def test_a_connection_that_asks_for_nothing_is_cut(serve: Serve) -> None:
    port = serve(idle_seconds=0.2)
    silent, slow = connect(port), connect(port)
    slow.sendall(b"GET /v1/session HTTP/1.1\r\nHost: x\r\nX-Long: ")
    wait_until(lambda: is_cut(silent), "a connection without a request to be cut")
    wait_until(lambda: is_cut(slow), "a request whose head does not end to be cut")
    assert asked(port)["session_active"] is True


def test_a_client_that_does_not_take_its_answer_is_cut(serve: Serve) -> None:
    server = HttpServer(large, host=HOST, port=0, limits=ConnectionLimits(idle_seconds=0.2))
    connection = connect(server.start())
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(10), "the answer has begun"
    assert server.connections == 1
    wait_until(lambda: server.connections == 0, "the server to give the connection up")
    server.stop()


def test_of_too_many_connections_the_one_that_has_been_idle_longest_goes(serve: Serve) -> None:
    port = serve(most=3)
    with ExitStack() as stack:
        held = [stack.enter_context(connect(port)) for _ in range(3)]
        for _ in range(3):
            assert asked(port)["session_active"] is True, "somebody new is let in"
        wait_until(lambda: sum(is_cut(one) for one in held) > 0, "an old one to go")


def test_a_head_that_is_too_large_is_refused(serve: Serve) -> None:
    connection = connect(serve())
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n")
    assert b" 431 " in connection.recv(200)


def test_a_port_that_is_taken_is_told_before_anything_is_served(serve: Serve) -> None:
    port = serve()
    with pytest.raises(SettingsError, match=f"nothing can listen on {HOST} port {port} .*set STREAMS_HTTP_HOST and STREAMS_HTTP_PORT"):
        HttpServer(app_over(active_desk()), host=HOST, port=port).start()


def test_a_server_that_has_stopped_holds_no_port() -> None:
    server = HttpServer(app_over(active_desk()), host=HOST, port=0)
    port = server.start()
    assert asked(port)["session_active"] is True
    server.stop()
    again = HttpServer(app_over(active_desk()), host=HOST, port=port)
    assert again.start() == port
    again.stop()
