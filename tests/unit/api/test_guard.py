"""What one request may cost, and what a client hears when something fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Message

from streams.api.guard import Limits, part_of, path_of
from tests.support.api import COMMAND_TOKEN, Client, DeskReader, app_over, bearer
from tests.unit.api.worlds import active_desk

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


async def sent_by(app: Any, receive: Any, path: str = "/v1/symbols") -> list[Message]:
    """What the app sends for a POST whose body comes from `receive`."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return sent


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    sent = asyncio.run(sent_by(app_over(active_desk(), limits=Limits(body_seconds=0.01)), never))
    assert sent[0]["status"] == 408


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
