"""Connections, with a real server and sockets: how many there may be, and what becomes of one that makes no step."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from streams.api.guard import Limits
from streams.api.server import Connection, ConnectionLimits, HttpServer
from streams.errors import SettingsError
from tests.support.api import DeskReader, app_over
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

        def start(app: ASGIApp | None = None, **limits: Any) -> int:
            server = HttpServer(app or app_over(active_desk()), host=HOST, port=0, limits=ConnectionLimits(**limits))
            port = server.start()
            stack.callback(server.stop)
            return port

        yield start


def connect(port: int) -> socket.socket:
    connection = socket.create_connection((HOST, port), timeout=60)
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
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=60) as answer:
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
    slow.sendall(b"GET /v1/session HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
    wait_until(lambda: is_cut(silent), "a connection without a request to be cut")
    wait_until(lambda: is_cut(slow), "a request whose head does not end to be cut")
    assert asked(port)["session_active"] is True


def test_a_client_that_does_not_take_its_answer_is_cut(serve: Serve) -> None:
    server = HttpServer(large, host=HOST, port=0, limits=ConnectionLimits(idle_seconds=0.2))
    connection = connect(server.start())
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
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
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n")
    assert rest_of(connection)[0].startswith(b"HTTP/1.1 431 ")


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


def test_small_parts_of_an_answer_are_sent_at_once() -> None:
    """With Nagle's algorithm on, the last part would wait until the other side has acknowledged the first, which it does after 40 ms."""

    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        ours = (HOST, scope["server"][1]), tuple(scope["client"])
        options = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets_of_this_process() if ends_of(one) == ours]
        body = json.dumps(options).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    server = HttpServer(tell, host=HOST, port=0)
    port = server.start()
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=60) as answer:
            options = json.loads(answer.read())
    finally:
        server.stop()
    assert len(options) == 1, "the connection that the server has accepted"
    assert options[0] != 0


def sockets_of_this_process() -> Iterator[socket.socket]:
    """Each of its sockets, for as long as it is looked at."""
    for name in os.listdir("/proc/self/fd"):
        try:
            one = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # a file, or closed meanwhile
            continue
        with one:
            yield one


def ends_of(one: socket.socket) -> tuple[object, object] | None:
    """The addresses of both ends of a connection."""
    try:
        return one.getsockname(), one.getpeername()
    except OSError:
        return None


UNSENT = b"POST /v1/symbols HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (UNSENT, "a body that is announced and does not come"),
        (UNSENT + b'{"symbol": ', "one that comes in part"),
        (UNSENT.replace(b"POST", b"GET"), "one where none is taken"),
        (b"GET /v1/session HTTP/1.1\r\nHost: loc", "a head that does not end"),
        (b"", "nothing at all"),
    ],
)
def test_a_probe_is_answered_whatever_140_connections_hold_back(serve: Serve, head: bytes, reason: str) -> None:
    port = serve()
    with ExitStack() as stack:

        def another() -> socket.socket:
            one = stack.enter_context(socket.create_connection((HOST, port), timeout=60))
            one.sendall(head)
            return one

        held = [another() for _ in range(140)]
        for _ in range(20):
            assert asked(port, "/health") == {"status": "active"}, reason
            with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=60) as answer:
                assert answer.status == 200, reason
            held = [another() if is_cut(one) else one for one in held]
        assert asked(port)["session_active"] is True, "nor are reads shut out"


class Stuck(DeskReader):
    """Answers no read until it is let go."""

    def __init__(self) -> None:
        super().__init__(active_desk())
        self.waiting = 0
        self.go = False

    async def check(self) -> None:
        self.waiting += 1
        while not self.go:
            await asyncio.sleep(0.01)


def test_a_probe_is_answered_while_as_many_reads_as_may_be_are_under_way_and_no_more_of_them_are_cut(serve: Serve) -> None:
    reader = Stuck()
    port = serve(app_over(reader.desk, reader=reader, limits=Limits(at_once=4)), most=6)
    with ExitStack() as stack:
        reads = [stack.enter_context(connect(port)) for _ in range(4)]
        for one in reads:
            one.sendall(b"GET /v1/session HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: reader.waiting == 4, "four reads to be under way")
        silent = [stack.enter_context(connect(port)) for _ in range(4)]
        for _ in range(5):
            assert asked(port, "/health") == {"status": "active"}
        wait_until(lambda: sum(is_cut(one) for one in silent) >= 2, "connections that ask for nothing to give way")
        reader.go = True
        assert [one.recv(12) for one in reads] == [b"HTTP/1.1 200"] * 4, "what is owed an answer stays"


def test_the_connection_that_has_kept_the_server_waiting_longest_goes_first(serve: Serve) -> None:
    port = serve(most=3)
    with ExitStack() as stack:
        held = []
        for head in (UNSENT, b"", b"GET /v1/session HTTP/1.1\r\n"):
            held.append(stack.enter_context(connect(port)))
            held[-1].sendall(head)
        for place in range(3):
            stack.enter_context(connect(port))
            wait_until(lambda place=place: is_cut(held[place]), "the oldest to go")  # type: ignore[misc]
            assert not any(is_cut(one) for one in held[place + 1 :]), "and none but it"


def rest_of(connection: socket.socket) -> tuple[bytes, bool]:
    """All that the other side sends, and whether it then closed the connection as is proper."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        return received, False
    return received, True


BOTH = b"POST /v1/symbols HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
NEXT = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (BOTH, 400, "two lengths"),
        (BOTH.replace(b"POST", b"GET"), 400, "where no body is taken, too"),
        (BOTH.replace(b"POST /v1/symbols", b"GET /health"), 400, "nor for a page"),
        (BOTH.replace(b"Content-Length: 5\r\n", b"").replace(b"1.1", b"1.0"), 400, "HTTP/1.0 has no chunks"),
        (BOTH.replace(b"Transfer-Encoding: chunked", b"Content-Length: 6"), 400, "two lengths of one kind"),
        (BOTH.replace(b"Content-Length: 5", b"Transfer-Encoding: gzip"), 501, "chunks that are packed"),
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "no host"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400, "two hosts"),
        (b"GET /health\r\n\r\n", 400, "a request of HTTP/0.9"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "TLS where none is spoken"),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused_and_nothing_after_it_is_believed(
    serve: Serve, sent: bytes, status: int, reason: str
) -> None:
    with connect(serve()) as client:
        client.sendall(sent + NEXT)
        answer, is_closed = rest_of(client)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), reason
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"]["message"], "one answer, in the API's own form"
    assert is_closed


def test_requests_that_are_sent_without_waiting_are_answered_in_turn(serve: Serve) -> None:
    with connect(serve()) as client:
        client.sendall(NEXT * 19 + NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer, is_closed = rest_of(client)
    assert answer.count(b"HTTP/1.1 200 ") == 20
    assert is_closed


def test_an_upgrade_to_a_web_socket_is_not_made(serve: Serve) -> None:
    with connect(serve()) as client:
        client.sendall(NEXT.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"))
        assert rest_of(client)[0].startswith(b"HTTP/1.1 200 "), "a server may pass over it (RFC 9110, section 7.8)"


def test_a_client_that_is_still_sending_hears_why_its_body_is_refused(serve: Serve) -> None:
    with connect(serve()) as client:
        client.sendall(UNSENT.replace(b"Content-Length: 100", b"Content-Length: 4000000"))
        for _ in range(40):
            client.sendall(b"x" * 100_000)
        answer, is_closed = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert is_closed


def test_a_client_that_never_comes_to_its_end_is_not_listened_to_for_long(serve: Serve) -> None:
    with connect(serve(linger_seconds=0.1)) as client:
        client.sendall(UNSENT.replace(b"Content-Length: 100", b"Content-Length: 4000000"))
        assert rest_of(client)[0].startswith(b"HTTP/1.1 413 ")

        def is_gone() -> bool:
            try:
                client.sendall(b"x")
            except OSError:
                return True
            return False

        wait_until(is_gone, "the connection to be closed for good")


class Pipe(asyncio.Transport):
    """A transport whose other side takes as much as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.untaken = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.untaken += len(data)

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def is_closing(self) -> bool:
        return False


def test_a_client_that_takes_its_answer_slowly_makes_steps() -> None:
    async def ask() -> None:
        config = uvicorn.Config(large, http=Connection, ws="none", lifespan="off", log_config=None)
        config.load()
        connection, pipe = Connection(config, ServerState(), {}), Pipe()
        connection.connection_made(pipe)
        connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while connection.is_at_work or not pipe.untaken:
            await asyncio.sleep(0)
        now, idle = asyncio.get_running_loop().time(), ConnectionLimits().idle_seconds
        for _ in range(10):  # the server has long sent all of it
            now += idle - 1.0
            assert not connection.is_overdue(now)
            pipe.untaken -= 100_000
        assert not connection.is_overdue(now + 1.0)
        assert connection.is_overdue(now + 1.0 + idle + 0.1), "it takes no more"

    asyncio.run(ask())
