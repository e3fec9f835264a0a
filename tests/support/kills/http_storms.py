"""Requests that are no good, and clients that are worse, against a worker's API: raw bytes over sockets, at random.

    storm = HttpStorm(worker.url, seed, symbols, read_token=..., command_token=...)
    storm.send(1500)
    storm.counts       # how many requests got which status; "left" are those whose client went away before its answer

Requests are right, wrong in a part, or no requests; clients send them at once, in drops, not to the end, or don't take the
answer. The seed decides all but what comes of it. A request that was sent to its end and gets no answer is a failure.
"""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from tests.support.kills.storms import Storm, flipped

LEFT = "left"
_THREADS = 6
_ANSWER_SECONDS = 60.0
_PATHS = ("", "/bars", "/latest", "/quality", "/gaps", "/metrics", "/history", "/indicators", "/quotes", "/ticks", "/export",
          "/nothing")  # fmt: skip
_SESSION = ("/v1/session", "/v1/symbols", "/health", "/metrics", "/openapi.json", "/v1/commands/x", "/v1", "/", "/v2/session", "*")
_NAMES = ("interval", "last", "limit", "start", "end", "since", "internal", "on", "after", "format", "immediate", "wait_seconds", "x")
_VALUES = ("1s", "csv", "parquet", "5s", "1m", "0", "1", "-1", "9" * 30, "true", "TRUE", "2013-10-07T13:30:00Z", "2013-10-07",
           "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "", "%00", "é", "null", "1e308", "[]", "'--")  # fmt: skip
_METHODS = ("GET", "GET", "GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "BREW")
_HEADERS = ("Expect: 100-continue", "Upgrade: websocket\r\nConnection: Upgrade", "Accept: text/html", "Accept-Encoding: gzip",
            "Range: bytes=0-1", "If-Match: *", "Content-Type: text/plain", "X-Long: " + "x" * 3000, "Cookie: a=b",
            "Host: elsewhere")  # fmt: skip
_OTHER_HOSTS = ("evil.example", "10.0.0.5:6066", "[::1", "", "localhost.evil.example", "a" * 300, "é", "localhost:6066:1")

Result = int | str


class HttpStorm:
    """Random requests around sound ones.

    Args:
        url: the worker's.
        seed: decides what is sent.
        symbols: those of the session; requests are about them and about others.
        read_token, command_token: given with some requests.
    """

    def __init__(self, url: str, seed: int, symbols: Sequence[str], *, read_token: str, command_token: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 0
        self._seed = seed
        self._symbols = symbols
        self._tokens = (read_token, command_token, "another-token-of-some-length", "é", "")
        self._lock = threading.Lock()
        self.counts: Counter[Result] = Counter()
        self.failures: list[str] = []

    def send(self, count: int) -> None:
        """So many requests, by several clients at once."""
        shares = [count // _THREADS + (place < count % _THREADS) for place in range(_THREADS)]
        clients = [
            threading.Thread(target=self._run, args=(place, share), name=f"http storm {place}", daemon=True)
            for place, share in enumerate(shares)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    @contextmanager
    def half_open(self, count: int) -> Iterator[None]:
        """So many connections on which a request was begun and nothing more comes, while the block runs."""
        connections = [socket.create_connection(self._address, _ANSWER_SECONDS) for _ in range(count)]
        try:
            for place, connection in enumerate(connections):
                connection.sendall(b"POST /v1/symbols HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"[: place % 75])
            yield
        finally:
            for connection in connections:
                connection.close()

    def _run(self, place: int, count: int) -> None:
        client = _Client(random.Random(f"{self._seed}-{place}"), self._symbols, self._tokens)
        for number in range(count):
            request, behave = client.next()
            try:
                with socket.create_connection(self._address, _ANSWER_SECONDS) as connection:
                    result: Result = behave(connection, request)
            except (OSError, ValueError) as error:
                with self._lock:
                    self.failures.append(f"request {number} of client {place}: {error!r} for {request[:200]!r}")
                result = "failed"
            with self._lock:
                self.counts[result] += 1


class _Client:
    def __init__(self, chance: random.Random, symbols: Sequence[str], tokens: Sequence[str]) -> None:
        self._chance = chance
        self._storm = Storm(chance.randrange(2**32))
        self._symbols = symbols
        self._tokens = tokens

    def next(self) -> tuple[bytes, Callable[[socket.socket, bytes], Result]]:
        """A request, and how it is sent."""
        chance = self._chance
        match chance.randrange(20):
            case 0:
                return chance.randbytes(chance.randint(1, 300)) + b"\r\n\r\n", self._whole
            case 1:
                # With some luck it still is a request, whose body then never comes: nobody waits for the answer.
                return flipped(self._request(), chance), self._leave
            case 2:
                return self._request(), self._leave
            case 3:
                return self._request(), self._in_part
            case 4:
                return self._request(), self._in_drops
            case 5:
                return self._read() * chance.randint(2, 5), self._whole
            case 6 | 7 | 8 | 9:
                return self._command(), self._whole
            case 10 | 11 | 12:
                return self._request(), self._whole
            case _:
                return self._read(), self._whole

    # ---------------------------------------------------------------------------------------------- requests

    def _read(self) -> bytes:
        chance = self._chance
        symbol = chance.choice((*self._symbols, "NOT", "A%2FB"))
        path = chance.choice(_SESSION[:5]) if chance.random() < 0.2 else f"/v1/symbols/{symbol}{chance.choice(_PATHS)}"
        return self._encoded("GET", path + self._query(chance.choice((0, 0, 1, 2))), b"", [])

    def _command(self) -> bytes:
        """Additions of a few names, removals, and bodies that are none."""
        chance = self._chance
        name = f"FUZZ{chance.randrange(4)}"
        if chance.random() < 0.3:
            query = f"?immediate={chance.choice(('true', 'false', 'x'))}&wait_seconds={chance.choice((0, 0, 0.01, 61))}"
            return self._encoded("DELETE", f"/v1/symbols/{chance.choice((name, 'NOT', 'A%20B'))}{query}", b"", [])
        fields: dict[str, object] = {"symbol": name, "wait_seconds": 0, "streams": chance.choice(([], ["1s"], ["quotes"], ["1h", "ticks"]))}
        if chance.random() < 0.6:
            fields[chance.choice((*fields, "start", "command_id", "must_exist", "x"))] = self._storm.anything()
        body = json.dumps(fields).encode()
        if chance.random() < 0.2:
            body = chance.choice((flipped(body, chance), body[: chance.randrange(len(body))], chance.randbytes(50), b"", b"[]"))
        if chance.random() < 0.1:
            body = chance.randbytes(20_000)
        return self._encoded("POST", "/v1/symbols", body, ["Content-Type: application/json"])

    def _request(self) -> bytes:
        """Anything that has the form of a request, about."""
        chance = self._chance
        path = chance.choice((*_SESSION, f"/v1/symbols/{chance.choice(self._symbols)}{chance.choice(_PATHS)}", self._odd_path()))
        headers = [chance.choice(_HEADERS) for _ in range(chance.randrange(3))]
        body = chance.choice((b"", b"", chance.randbytes(chance.choice((1, 100, 20_000)))))
        return self._encoded(chance.choice(_METHODS), path + self._query(chance.randrange(4)), body, headers)

    def _odd_path(self) -> str:
        chance = self._chance
        odd = chance.choice(("%", "%zz", "%00", "%ff%fe", "..", "../../etc/passwd", "a" * 20_000, "é", ";", "//", "%2F" * 9, "|", "%0d%0a"))
        return f"/v1/symbols/{odd}{chance.choice(_PATHS)}"

    def _query(self, count: int) -> str:
        chance = self._chance
        pairs = [f"{chance.choice(_NAMES)}={quote(chance.choice(_VALUES), safe='%')}" for _ in range(count)]
        return "?" + "&".join(pairs) if pairs else ""

    def _encoded(self, method: str, path: str, body: bytes, headers: list[str]) -> bytes:
        chance = self._chance
        if chance.random() < 0.8:
            fitting = self._tokens[0 if method == "GET" else 1]
            token = fitting if chance.random() < 0.7 else chance.choice(self._tokens)
            headers = [*headers, f"Authorization: {chance.choice(('Bearer', 'bearer', 'Bearer', 'Basic'))} {token}"]
        length = [f"Content-Length: {len(body)}"] if body or chance.random() < 0.2 else []
        host = "localhost" if chance.random() < 0.95 else chance.choice(_OTHER_HOSTS)
        head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *length, *headers])
        return head.encode() + b"\r\n\r\n" + body

    # ------------------------------------------------------------------------------------------------ clients

    def _whole(self, connection: socket.socket, request: bytes) -> Result:
        """Send it at once, and take the answer."""
        _send(connection, request)
        return _status(connection)

    def _in_drops(self, connection: socket.socket, request: bytes) -> Result:
        """Send it in pieces with pauses, and take the answer."""
        pieces = sorted(self._chance.sample(range(len(request)), min(4, len(request))))
        for begin, end in zip([0, *pieces], [*pieces, len(request)], strict=True):
            _send(connection, request[begin:end])
            threading.Event().wait(self._chance.uniform(0.0, 0.05))
        return _status(connection)

    def _in_part(self, connection: socket.socket, request: bytes) -> Result:
        """Send a part of it, and go away."""
        _send(connection, request[: self._chance.randrange(len(request))])
        return LEFT

    def _leave(self, connection: socket.socket, request: bytes) -> Result:
        """Send it, and go away at once: with a reset now and then, so that the worker meets that while it writes."""
        _send(connection, request)
        if self._chance.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        return LEFT


def _send(connection: socket.socket, data: bytes) -> None:
    # Who is refused in the middle of a long request finds the connection shut for writing, with the answer in it.
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


def _status(connection: socket.socket) -> int:
    """The status of the first answer that is a final one."""
    connection.settimeout(_ANSWER_SECONDS)
    received = b""
    while True:
        head, mark, rest = received.partition(b"\r\n\r\n")
        if mark:
            status = int(head.split(b" ", 2)[1])
            if status >= 200:
                return status
            received = rest
            continue
        piece = connection.recv(65_536)
        if not piece:
            raise ValueError(f"the connection was closed without an answer, after {received[:200]!r}")
        received += piece
