"""The clients over HTTP: each method answers what it answers in process, whichever of the workers has the state."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, datetime
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from streams.api.server import ConnectionLimits, HttpServer
from streams.client.answers import Place
from streams.client.asession import AsyncSessionClient
from streams.client.attempts import bases_of
from streams.client.connection import KEPT
from streams.client.session import SessionClient
from streams.engine.reads import SessionData
from streams.errors import CommandRefusedError, NobodyThereError, NotActiveError, RequestRefusedError, SettingsError
from streams.times import ManualClock, from_us
from tests.support.api import ANALYSIS_OFFSET, COMMAND_TOKEN, READ_TOKEN, DeskCommander, app_over
from tests.support.engine import Desk, at, minutes
from tests.support.waiting import wait_until
from tests.unit.api.worlds import ODD, active_desk, inactive_desk

Handler = Callable[[httpx.Request], httpx.Response]


class OverApp(httpx.BaseTransport):
    """Sends the requests of a blocking client to an app in process."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            answer = await self._transport.handle_async_request(request)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

        return asyncio.run(ask())


def client_of(app: ASGIApp, **more: Any) -> SessionClient:
    tokens = {"read_token": READ_TOKEN, "command_token": COMMAND_TOKEN}
    return SessionClient("http://one:6066", transport=OverApp(app), **tokens | more)


def scripted(handler: Handler, url: str = "http://one:6066,http://two:6066", **more: Any) -> SessionClient:
    clock = ManualClock()

    def tick(request: httpx.Request) -> httpx.Response:
        clock.advance_seconds(1.0)
        return handler(request)

    return SessionClient(url, transport=httpx.MockTransport(tick), clock=clock, read_token="r", command_token="c", **more)


def when(text: str, day: str = "2013-10-08") -> datetime:
    return from_us(at(text, day))


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("get_active_symbols", (), {}),
    ("get_loaded_symbols", (), {}),
    ("get_pending_symbols", (), {}),
    ("get_symbols_with_derived", (), {}),
    ("get_streamed_data", ("SPY",), {}),
    ("get_generated_data", ("SPY",), {}),
    ("get_symbol_data", ("SPY",), {}),
    ("get_symbol_data", (ODD,), {}),
    ("get_symbol_data", ("NEW",), {}),
    ("get_symbol_data", ("GONE",), {}),
    ("get_bars", ("SPY",), {}),
    ("get_bars", ("SPY", "5m"), {}),
    ("get_bars", ("SPY",), {"start": when("09:31"), "end": when("09:40")}),
    ("get_bars_ref", ("SPY",), {}),
    ("get_latest_bar", ("SPY",), {}),
    ("get_latest_bar", ("SPY", "5m"), {}),
    ("get_last_n_bars", ("SPY", 3), {}),
    ("get_last_n_bars", ("SPY", 0), {}),
    ("get_last_n_bars", ("SPY", 2, "5m"), {}),
    ("get_last_n_bars", ("SPY", 100_000), {}),
    ("get_bars_since", ("SPY", when("09:40")), {}),
    ("get_bar_count", ("SPY",), {}),
    ("get_quality", ("SPY",), {}),
    ("get_quality", ("SPY", "5m"), {}),
    ("get_gaps", ("SPY",), {}),
    ("get_session_metrics", ("SPY",), {}),
    ("get_historical_bars", ("SPY",), {}),
    ("get_historical_bars", ("SPY", "5m"), {"on": date(2013, 10, 7)}),
    ("get_historical_bars", ("SPY",), {"on": date(2012, 10, 7)}),
    ("get_indicators", ("SPY",), {}),
    ("get_indicator", ("SPY", "close"), {}),
    ("get_indicator", ("SPY", "none"), {}),
    ("get_quotes", ("SPY",), {}),
    ("get_ticks", ("SPY",), {}),
    ("get_ticks", ("NEW",), {}),
    ("get_export_position", ("SPY",), {}),
]


def comparable(value: object) -> object:
    # A view of bars in process is a tuple over HTTP.
    return tuple(value) if hasattr(value, "__reversed__") and not isinstance(value, list | dict) else value  # type: ignore[call-overload]


@pytest.mark.parametrize("internal", [False, True])
@pytest.mark.parametrize("make", [active_desk, inactive_desk])
@pytest.mark.parametrize(("name", "arguments", "more"), CALLS)
def test_a_method_answers_over_http_what_it_answers_in_process(
    name: str, arguments: tuple[Any, ...], more: dict[str, Any], make: Callable[[], Desk], internal: bool
) -> None:
    desk = make()
    expected = comparable(getattr(SessionData(desk.session.state), name)(*arguments, internal=internal, **more))
    if name == "get_bars_ref":
        expected = tuple(expected)  # type: ignore[arg-type]
    app = app_over(desk)
    with client_of(app) as client:
        assert getattr(client, name)(*arguments, internal=internal, **more) == expected

    async def asked() -> object:
        tokens = {"read_token": READ_TOKEN, "command_token": COMMAND_TOKEN}
        async with AsyncSessionClient("http://one:6066", transport=httpx.ASGITransport(app), **tokens) as client:
            return await getattr(client, name)(*arguments, internal=internal, **more)

    assert asyncio.run(asked()) == expected


BY_SYMBOL = sorted({name for name, arguments, _ in CALLS if arguments and name != "get_symbol_data"})
MORE: dict[str, tuple[Any, ...]] = {"get_last_n_bars": (3,), "get_bars_since": (from_us(at("10:00")),), "get_indicator": ("sma",)}


@pytest.mark.parametrize("name", [*BY_SYMBOL, "get_qualities"])
def test_an_unknown_symbol_is_an_error_of_every_method_as_it_is_over_http(name: str) -> None:
    app = app_over(active_desk())
    with client_of(app) as client, pytest.raises(RequestRefusedError, match="GONE is not in the session") as caught:
        getattr(client, name)("GONE", *MORE.get(name, ()))
    assert (caught.value.status, caught.value.code) == (404, "unknown_symbol")

    async def asked() -> None:
        async with AsyncSessionClient("http://one:6066", transport=httpx.ASGITransport(app)) as client:
            await getattr(client, name)("GONE", *MORE.get(name, ()))

    with pytest.raises(RequestRefusedError, match="GONE is not in the session"):
        asyncio.run(asked())


def test_an_unknown_interval_is_an_error_and_whether_a_symbol_is_there_can_be_asked() -> None:
    with client_of(app_over(active_desk())) as client:
        for name in ("get_bars", "get_bars_ref", "get_latest_bar", "get_bar_count", "get_quality", "get_gaps", "get_snapshot"):
            with pytest.raises(RequestRefusedError, match="SPY has no bars of 30m: it has 1m, 5m"):
                getattr(client, name)("SPY", "30m")
        assert client.get_symbol_data("GONE") is None
        assert client.get_snapshot("GONE") is None


def test_every_read_of_a_session_in_process_is_a_method_of_both_clients() -> None:
    names = {name for name in vars(SessionData) if name.startswith("get_")}
    assert names <= set(dir(SessionClient))
    assert {name for name in dir(SessionClient) if not name.startswith("_")} == {
        name for name in dir(AsyncSessionClient) if not name.startswith("_")
    }
    assert names - {name for name, _, _ in CALLS} == set(), "each is in the table"


def test_a_day_of_bars_comes_in_pages_and_is_as_of_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.client.calls.PAGE", 4)
    desk = active_desk()
    with client_of(app_over(desk)) as client:
        found = client.get_snapshot("SPY")
        assert found is not None
        assert found.bars == SessionData(desk.session.state).get_bars("SPY")
        state = desk.session.state
        place = Place("desk", state.epoch, state.sequence, ANALYSIS_OFFSET, from_us(state.now_us), True)
        assert found.place == client.place == Place(state.config.session_name, *list(place.__reduce__()[1])[1:])  # type: ignore[index]
        assert client.get_gaps("SPY") == SessionData(state).get_gaps("SPY")


def test_an_overview_has_the_symbols_and_who_lags() -> None:
    with client_of(app_over(inactive_desk())) as client:
        assert client.get_overview().active_symbols == frozenset()
        found = client.get_overview(internal=True)
    assert not found.place.active
    assert set(found.lagging) == {"IBM"}
    assert "SPY" in found.loaded_symbols


def test_commands_are_sent_with_an_id_and_answered() -> None:
    desk = active_desk()
    commander = DeskCommander(desk)
    with client_of(app_over(desk, commander=commander)) as client:
        done = client.add_symbol("AIG", streams=["1m", "5m"], start=when("09:31"), must_exist=True, command_id="mine", wait_seconds=5)
        assert (done.command_id, done.status, done.symbol) == ("mine", "completed", "AIG")
        assert client.remove_symbol("SPY", immediate=True).status == "completed"
        with pytest.raises(CommandRefusedError, match="SPY can't be that"):
            client.add_symbol("SPY")
    (added, waited), (removed, _), _ = commander.sent
    assert (added.streams, added.must_exist, waited) == (("1m", "5m"), True, 5.0)
    assert removed.immediate


def test_a_read_that_needs_a_token_says_so_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMS_READ_TOKEN", raising=False)
    monkeypatch.delenv("STREAMS_COMMAND_TOKEN", raising=False)
    client = SessionClient(transport=httpx.MockTransport(lambda request: pytest.fail("it was sent")))
    with pytest.raises(SettingsError, match="an internal read needs the session's read token: set STREAMS_READ_TOKEN, or give read_token"):
        client.get_bars("SPY", internal=True)
    with pytest.raises(SettingsError, match="a command needs the session's command token"):
        client.add_symbol("SPY")


def test_a_wrong_token_is_the_workers_refusal() -> None:
    with client_of(app_over(active_desk()), read_token="wrong") as client, pytest.raises(RequestRefusedError) as refused:
        client.get_bars("SPY", internal=True)
    assert refused.value.status == 401


def test_a_naive_instant_is_refused() -> None:
    with client_of(app_over(active_desk())) as client, pytest.raises(ValueError, match="has no time zone"):
        client.get_bars("SPY", start=datetime(2013, 10, 8, 9, 30))  # noqa: DTZ001


def test_a_standby_sends_the_whole_request_on_and_the_active_worker_is_asked_first_from_then_on() -> None:
    app = app_over(active_desk())
    standby = app_over(active_desk(), elsewhere=NotActiveError("this worker is a standby", "http://two:6066"))
    apps = {"one": OverApp(standby), "two": OverApp(app)}
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.host, request.headers.get("Authorization")))
        return apps[request.url.host].handle_request(request)

    with SessionClient(
        "http://one:6066,http://two:6066", transport=httpx.MockTransport(answer), read_token=READ_TOKEN, command_token=COMMAND_TOKEN
    ) as client:
        assert client.get_bar_count("SPY", internal=True) == 13
        assert client.get_bar_count("SPY") == 13
    assert [host for host, _ in asked] == ["one", "two", "two"]
    assert [token for _, token in asked][:2] == [f"Bearer {READ_TOKEN}"] * 2


def test_while_one_takes_over_from_another_the_request_is_sent_again() -> None:
    over = OverApp(app_over(active_desk()))
    failures = [httpx.ConnectError("refused"), httpx.Response(503), httpx.ReadError("cut"), httpx.Response(503)]

    def answer(request: httpx.Request) -> httpx.Response:
        if not failures:
            return over.handle_request(request)
        failure = failures.pop(0)
        if isinstance(failure, Exception):
            raise failure
        return failure

    with scripted(answer) as client:
        assert client.get_bar_count("SPY") == 13


@pytest.mark.parametrize(
    ("failures", "asked", "reason"),
    [
        ([httpx.RemoteProtocolError("cut")], ["one", "one"], "a kept connection that the worker let go"),
        ([httpx.ReadError("reset")], ["one", "one"], "or that was reset"),
        ([httpx.RemoteProtocolError("cut")] * 2, ["one", "one", "two"], "a worker that cuts each connection is none"),
        ([httpx.ConnectError("refused")], ["one", "two"], "nobody is there"),
        ([httpx.ReadError("reset")] * 2 + [httpx.WriteError("reset")], ["one", "one", "two", "two"], "nor at the other at once"),
    ],
)
def test_a_request_whose_connection_was_cut_goes_to_the_same_worker_again_once(
    failures: list[httpx.TransportError], asked: list[str], reason: str
) -> None:
    over, hosts = OverApp(app_over(active_desk())), []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        if len(hosts) <= len(failures):
            raise failures[len(hosts) - 1]
        return over.handle_request(request)

    with scripted(answer) as client:
        assert client.get_bar_count("SPY") == 13
    assert hosts == asked, reason


def serve_in(stack: ExitStack, listener: socket.socket, answers: list[int]) -> None:
    """Answers on each connection as many requests as it is given for it, then takes one more and cuts it."""

    def run() -> None:
        for count in answers:
            connection, _ = listener.accept()
            with connection:
                for number in range(count + 1):
                    if not connection.recv(65_536):
                        break
                    if number < count:
                        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 36\r\n\r\n")
                        connection.sendall(b'{"error":{"code":"x","message":"y"}}')

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    stack.callback(thread.join, 10)
    stack.callback(listener.close)


def test_a_connection_that_is_cut_when_the_next_request_comes_is_opened_again() -> None:
    with ExitStack() as stack:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        serve_in(stack, listener, [1, 2])
        client = stack.enter_context(SessionClient(f"http://127.0.0.1:{port}", patience_seconds=0.1))
        for _ in range(3):
            with pytest.raises(RequestRefusedError, match="y"):
                client.get_bars("SPY")


@pytest.mark.parametrize("limits", [{"keep_alive_seconds": 0}, {"most": 1}])
def test_a_connection_that_the_worker_has_let_go_is_opened_again(limits: dict[str, int]) -> None:
    server = HttpServer(app_over(active_desk()), host="127.0.0.1", port=0, limits=ConnectionLimits(**limits))
    port = server.start()
    try:
        with SessionClient(f"http://127.0.0.1:{port}", patience_seconds=0.1) as client:
            for _ in range(3):
                assert client.get_bar_count("SPY") == 13
                if "most" in limits:
                    socket.create_connection(("127.0.0.1", port)).close()
                wait_until(lambda: server.connections == 0, "the worker to let the connection go")
    finally:
        server.stop()


def test_a_client_lets_its_connection_go_before_a_worker_does() -> None:
    assert KEPT.keepalive_expiry is not None
    assert KEPT.keepalive_expiry <= ConnectionLimits().keep_alive_seconds / 2


def test_patience_has_an_end_that_says_who_was_asked_and_why_nobody_answered() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with scripted(answer, patience_seconds=5) as client, pytest.raises(NobodyThereError) as nobody:
        client.get_bars("SPY")
    assert str(nobody.value) == ("nobody answered for the session within 5 s at http://one:6066, http://two:6066: connection refused")


def test_workers_that_send_a_request_to_each_other_end_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        other = {"one": "two", "two": "one"}[request.url.host]
        return httpx.Response(307, headers={"Location": f"http://{other}:6066{request.url.raw_path.decode()}"})

    with scripted(answer, patience_seconds=10) as client, pytest.raises(NobodyThereError, match="no worker has the session's state"):
        client.get_bars("SPY")


def test_what_is_no_worker_is_said_to_be_none() -> None:
    with (
        scripted(lambda request: httpx.Response(200, text="<html>")) as client,
        pytest.raises(NobodyThereError, match="not a session's worker"),
    ):
        client.get_bars("SPY")
    with (
        scripted(lambda request: httpx.Response(404, text="<html>")) as client,
        pytest.raises(RequestRefusedError, match="status 404: <html>"),
    ):
        client.get_bars("SPY")


@pytest.mark.parametrize("url", ["", "127.0.0.1:6066", "ftp://a", "http://a/path", "http://a?x=1", []])
def test_a_url_that_is_none_is_refused(url: str | list[str]) -> None:
    with pytest.raises(SettingsError, match="a worker"):
        bases_of(url)


def test_quality_falls_where_bars_are_missing_and_a_client_sees_it() -> None:
    desk = active_desk()
    desk.flow(*minutes("SPY", at("09:50", "2013-10-08"), 1))
    with client_of(app_over(desk)) as client:
        assert client.get_qualities("SPY") == {"1m": client.get_quality("SPY"), "5m": client.get_quality("SPY", "5m")}


def test_three_seconds_after_the_last_answer_a_session_counts_as_inactive_for_its_client() -> None:
    over, clock, dead = OverApp(app_over(active_desk())), ManualClock(), []

    def answer(request: httpx.Request) -> httpx.Response:
        clock.advance_seconds(0.5)
        if dead:
            raise httpx.ConnectError("refused")
        return over.handle_request(request)

    with SessionClient(transport=httpx.MockTransport(answer), clock=clock, patience_seconds=1) as client:
        assert client.active is None
        client.get_bar_count("SPY")
        assert client.active is True
        clock.advance_seconds(2.5)
        assert client.active is True
        clock.advance_seconds(0.01)
        assert client.active is False, "three seconds since it was asked: the answer is of that moment or later"
        client.get_bar_count("SPY")
        assert client.active is True
        dead.append(True)
        with pytest.raises(NobodyThereError):
            client.get_bar_count("SPY")
        clock.advance_seconds(2.0)
        assert client.active is False
        assert client.place is not None
        assert client.place.active, "what the last answer was of stays as it was"
    with SessionClient(transport=httpx.MockTransport(over.handle_request), clock=clock, heartbeat_timeout_seconds=0) as patient:
        patient.get_bar_count("SPY")
        clock.advance_seconds(1e6)
        assert patient.active is True


def test_an_answer_counts_from_the_last_commit_that_the_worker_knew_of_by_the_worker_s_own_clock() -> None:
    app, clock = app_over(active_desk(), committed_seconds=2.8), ManualClock()
    over = OverApp(app)
    with SessionClient(transport=httpx.MockTransport(over.handle_request), clock=clock) as client:
        client.get_bar_count("SPY")
        assert client.place is not None
        assert client.place.committed_seconds == 2.8
        assert client.active is True
        clock.advance_seconds(0.3)
        assert client.active is False, "the worker had not committed for 2.8 s when it answered, which was 0.3 s ago"

    async def ask() -> None:
        async with AsyncSessionClient(transport=httpx.ASGITransport(app), clock=clock) as session:
            await session.get_bar_count("SPY")
            clock.advance_seconds(0.1)
            assert session.active is True
            clock.advance_seconds(0.2)
            assert session.active is False

    asyncio.run(ask())


def test_a_worker_that_does_not_say_when_it_committed_counts_from_the_request() -> None:
    over, clock = OverApp(app_over(active_desk(), committed_seconds=2.8)), ManualClock()

    def answer(request: httpx.Request) -> httpx.Response:
        response = over.handle_request(request)
        body = json.loads(response.read())
        del body["as_of"]["committed_seconds"]
        return httpx.Response(response.status_code, json=body)

    with SessionClient(transport=httpx.MockTransport(answer), clock=clock) as client:
        client.get_bar_count("SPY")
        clock.advance_seconds(3.0)
        assert client.active is True
        clock.advance_seconds(0.1)
        assert client.active is False


def test_a_shut_gate_is_shut_for_a_client_too_and_the_asynchronous_one_goes_by_the_same_rule() -> None:
    with client_of(app_over(inactive_desk())) as client:
        client.get_overview()
        assert client.active is False

    async def ask() -> None:
        clock = ManualClock()
        async with AsyncSessionClient(transport=httpx.ASGITransport(app_over(active_desk())), clock=clock) as session:
            assert session.active is None
            await session.get_bar_count("SPY")
            assert session.active is True
            clock.advance_seconds(3.1)
            assert session.active is False

    asyncio.run(ask())
