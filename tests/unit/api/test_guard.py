"""What one request may cost, and what a client hears when something fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import pytest
from starlette.types import Message

from streams.api.guard import Limits, part_of, path_of
from streams.api.hosts import Hosts
from tests.support.api import COMMAND_TOKEN, Client, DeskReader, app_over, bearer
from tests.unit.api.worlds import active_desk

READS, PAGES = ["/v1/session", "/v1/symbols/SPY/bars", "/openapi.json", "/nowhere"], ["/health", "/metrics"]
JSON = {**bearer(COMMAND_TOKEN), "Content-Type": "application/json"}


def error_of(answered: Any) -> tuple[int, str]:
    return answered.status_code, answered.json()["error"]["code"]


def test_a_body_that_says_that_it_is_too_large_is_not_read() -> None:
    client = Client(app_over(active_desk(), limits=Limits(body_bytes=100)))
    assert error_of(client.ask("POST", "/v1/symbols", content=b"x" * 101, headers=JSON)) == (413, "too_large")
    assert error_of(client.ask("POST", "/v1/symbols", content=b"x" * 100, headers=JSON)) == (422, "invalid")


def test_a_body_that_does_not_say_how_large_it_is_is_read_up_to_the_limit() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 60

    client = Client(app_over(active_desk(), limits=Limits(body_bytes=100)))
    assert error_of(client.ask("POST", "/v1/symbols", content=endless(), headers=JSON)) == (413, "too_large")


async def sent_by(app: Any, receive: Any, path: str = "/v1/symbols", method: str = "POST") -> list[Message]:
    """What the app sends for a request whose body comes from `receive`."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return sent


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    sent = asyncio.run(sent_by(app_over(active_desk(), limits=Limits(body_seconds=0.01)), never))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/session", 200),
        ("HEAD", "/v1/session", 200),
        ("GET", "/health", 200),
        ("POST", "/health", 405),
        ("POST", "/v1/session", 405),
        ("POST", "/nowhere", 404),
        ("DELETE", "/v1/symbols/NEW", 401),
    ],
)
def test_a_body_is_not_waited_for_where_none_is_taken(method: str, path: str, status: int) -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    sent = asyncio.run(sent_by(app_over(active_desk()), never, path, method))
    assert sent[0]["status"] == status


def test_requests_whose_bodies_do_not_come_keep_nobody_from_being_answered() -> None:
    async def ask() -> None:
        app = app_over(active_desk(), limits=Limits(at_once=1))
        asked, unsent = 0, asyncio.Event()

        async def never() -> Message:
            nonlocal asked
            asked += 1
            await unsent.wait()
            return {"type": "http.disconnect"}

        waiting = [asyncio.create_task(sent_by(app, never)) for _ in range(5)]
        while asked < 5:
            await asyncio.sleep(0)
        assert (await Client(app).asked("GET", "/v1/session")).status_code == 200
        unsent.set()
        assert await asyncio.gather(*waiting) == [[]] * 5

    asyncio.run(ask())


def test_a_client_that_has_gone_is_sent_nothing() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    assert asyncio.run(sent_by(app_over(active_desk()), gone)) == []


class StuckReader(DeskReader):
    """Answers once it is let go."""

    def __init__(self) -> None:
        super().__init__(active_desk())
        self.go = asyncio.Event()
        self.waiting = 0

    async def check(self) -> None:
        self.waiting += 1
        await self.go.wait()


def test_no_more_than_so_many_requests_are_worked_on_at_once_but_health_is_told() -> None:
    async def ask() -> None:
        reader = StuckReader()
        app = app_over(reader.desk, reader=reader, limits=Limits(at_once=2))
        client = Client(app)
        first = [asyncio.create_task(client.asked("GET", "/v1/session")) for _ in range(2)]
        while reader.waiting < 2:
            await asyncio.sleep(0)
        third = await client.asked("GET", "/v1/session")
        assert error_of(third) == (503, "busy")
        assert third.headers["Retry-After"] == "1"
        assert (await client.asked("GET", "/health")).status_code == 200
        reader.go.set()
        assert [one.status_code for one in await asyncio.gather(*first)] == [200, 200]
        assert (await client.asked("GET", "/v1/session")).status_code == 200

    asyncio.run(ask())


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async def ask() -> None:
        reader = StuckReader()
        client = Client(app_over(reader.desk, reader=reader, limits=Limits(answer_seconds=0.01)))
        assert error_of(await client.asked("GET", "/v1/session")) == (503, "too_slow")

    asyncio.run(ask())


class BrokenReader(DeskReader):
    """Has a bug."""

    async def check(self) -> None:
        raise ZeroDivisionError("a secret of the code")


def test_a_bug_is_told_without_its_traceback() -> None:
    reader = BrokenReader(active_desk())
    answered = Client(app_over(reader.desk, reader=reader)).get("/v1/session")
    assert error_of(answered) == (500, "internal")
    assert "secret" not in answered.text + str(answered.headers)
    assert "Traceback" not in answered.text


@pytest.mark.parametrize(
    ("raw", "path", "symbol"),
    [
        (b"/v1/symbols/SPY", "/v1/symbols/SPY", "SPY"),
        (b"/v1/symbols/BTC%2FUSD", "/v1/symbols/BTC%2FUSD", "BTC/USD"),
        (b"/v1/symbols/BTC%2fUSD", "/v1/symbols/BTC%2FUSD", "BTC/USD"),
        (b"/v1/symbols/BTC%252FUSD", "/v1/symbols/BTC%252FUSD", "BTC%2FUSD"),
        (b"/v1/symbols/%C3%84%25", "/v1/symbols/Ä%25", "Ä%"),
        (b"/v1/symbols/A?x=%2F", "/v1/symbols/A", "A"),
    ],
)
def test_a_part_of_a_path_keeps_its_slashes_and_percent_signs(raw: bytes, path: str, symbol: str) -> None:
    got = path_of({"raw_path": raw, "path": "unused"})
    assert (got, part_of(got.split("/")[3])) == (path, symbol)
    assert path_of({"path": "/health"}) == "/health", "a server need not say how it was sent"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("localhost", "the name"),
        ("localhost:6067", "whatever port it was published at"),
        ("LocalHost.", "case, and the dot of a name that is complete"),
        ("desk.localhost", "a name below it is this machine, too"),
        ("127.0.0.1:6066", "the address"),
        ("127.8.9.10", "all of 127/8 is loopback"),
        ("[::1]:6066", "IPv6"),
        ("[0:0:0:0:0:0:0:1]", "IPv6 in another spelling"),
        ("[::ffff:127.0.0.1]:6066", "IPv4 in IPv6"),
        ("worker.example", "the advertised URL's"),
        ("WORKER.example.:443", "the same in another spelling"),
        ("10.1.2.3:6066", "in the setting, an address"),
        ("[2001:db8:0::5]", "in the setting, an IPv6 address"),
        ("a.desk.example", "below a domain of the setting"),
        ("a.b.desk.example", "further below it"),
        (None, "HTTP/1.0 has none, nor has a browser been there"),
    ],
)
def test_a_request_under_a_name_of_the_workers_is_answered(host: str | None, reason: str) -> None:
    for path in ("/v1/session", "/health"):
        assert status_under(host, path) == 200, reason


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("evil.example", "a page's own name, which its owner lets turn into this address"),
        ("evil.example:6066", "with a port"),
        ("127.0.0.1.evil.example", "begins like one of ours"),
        ("evil-localhost", "ends like one of ours"),
        ("localhost.evil.example", "ours is in it"),
        ("desk.example", "is not below itself"),
        ("evildesk.example", "ends like a domain of the setting"),
        ("worker.example.evil", "the advertised name is in it"),
        ("localhost@evil.example", "not a host"),
        ("evil.example#localhost", "not a host"),
        ("evil.example,localhost", "two"),
        ("localhost:6066:1", "two ports"),
        ("[::1", "half an address"),
        ("[localhost]", "a name in brackets"),
        ("::1", "an IPv6 address without brackets"),
        ("", "nothing"),
        (".", "a dot"),
        ("l\u00f6calhost", "letters that no header has"),
    ],
)
def test_a_request_under_another_name_is_refused(host: str, reason: str) -> None:
    for path in READS + PAGES:
        assert status_under(host, path) == 421, reason


@pytest.mark.parametrize("host", ["10.244.0.7:6066", "[fd00::7]:6066", "192.0.2.1", "0.0.0.0"])
def test_health_and_metrics_are_answered_under_any_address_as_platforms_probe_them_and_reads_are_not(host: str) -> None:
    assert [status_under(host, path) for path in PAGES] == [200, 200]
    assert [status_under(host, path) for path in READS] == [421] * len(READS)


def test_the_setting_may_let_any_name_in() -> None:
    assert status_under("evil.example", "/v1/session", Hosts(allowed=["*"])) == 200


def test_an_advertised_name_of_other_letters_is_known_as_browsers_write_it() -> None:
    assert status_under("xn--brse-5qa.example", "/v1/session", Hosts("http://b\u00f6rse.example:6066")) == 200


def test_without_a_url_or_a_setting_localhost_alone_is_let_in() -> None:
    assert status_under("localhost", "/v1/session", Hosts()) == 200
    assert status_under("worker.example", "/v1/session", Hosts()) == 421


def test_a_refused_name_is_told_with_what_to_do() -> None:
    answered = Client(app_over(active_desk(), hosts=OWN)).ask("GET", "/v1/session", headers={"Host": "desk-7:6066"})
    assert answered.json()["error"] == {
        "code": "unknown_host",
        "message": "this worker does not answer to the host 'desk-7:6066': use localhost or the host of its STREAMS_ADVERTISED_URL, "
        "or add this one to its STREAMS_ALLOWED_HOSTS",
    }


DESK = cache(active_desk)
OWN = Hosts("http://Worker.example:6066", allowed=["10.1.2.3", "2001:db8::5", "*.desk.example"])


def status_under(host: str | None, path: str, hosts: Hosts = OWN) -> int:
    """How a request is answered that names a host."""

    async def ask() -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = [] if host is None else [(b"host", host.encode("utf-8"))]
        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
        await app_over(DESK(), hosts=hosts)(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    return asyncio.run(ask())
