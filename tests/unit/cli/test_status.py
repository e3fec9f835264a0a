"""`streams status` on terminals of any width, and what it says when something could not be asked or written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from streams.cli import status
from streams.cli.main import run
from streams.cli.status import SessionFacts, health_of, status_facts, status_page
from streams.client.state import StateView
from streams.errors import NoSessionError
from streams.model.rows import ProgressRow, SymbolRow, progress_key, symbol_key
from streams.times import SECOND_US, SystemClock, parse_instant
from tests.support.rows import blank
from tests.unit.cli.test_words import NOW_US, view_of_a_session

REASON = (
    "settings of topic bars.BRK.B: retention.ms=60000 is less than a trading day, 23400000 ms. To change them: "
    "kafka-configs.sh --alter --entity-type topics --entity-name bars.BRK.B --add-config retention.ms=604800000"
)
Ask = Callable[[str, str], str | None]


def facts(view: StateView, *, seconds: int = 0, ask: Ask = lambda url, owner: None) -> SessionFacts:
    return status_facts(view, now_us=NOW_US + seconds * SECOND_US, ask=ask)


def page(view: StateView, width: int, *, seconds: int = 0, ask: Ask = lambda url, owner: None) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(status_page(facts(view, seconds=seconds, ask=ask)))
    return [line.rstrip() for line in capture.get().splitlines()]


def changed(view: StateView, **fields: object) -> StateView:
    assert view.session is not None
    view.apply("session", replace(view.session, **fields))
    return view


def with_reason() -> StateView:
    view = view_of_a_session()
    view.apply(symbol_key("BRK.B"), blank(SymbolRow, symbol="BRK.B", incarnation=3, status="loaded", base_interval="1m", reason=REASON))
    frontier_us = parse_instant("2013-10-04T20:00:00Z")
    view.apply(
        progress_key("BRK.B"), blank(ProgressRow, symbol="BRK.B", incarnation=3, frontier_us=frontier_us, bar_count=1_234_567, published=1)
    )
    return view


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
def test_every_reason_is_read_in_full_at_any_width(width: int) -> None:
    text = "".join(page(with_reason(), width)).replace(" ", "")
    assert REASON.replace(" ", "") in text
    assert max(map(len, page(with_reason(), width))) <= width


@pytest.mark.parametrize(
    ("width", "headings", "left_out"),
    [
        (400, "symbol status last bar lag bars published held back late dropped dead note", None),
        # By hand: the columns are 6, 6, 19, 11, 9, 9, 9, 4, 7 and 4 wide, with two blanks between them: 102.
        (102, "symbol status last bar lag bars published held back late dropped dead", None),
        (101, "symbol status last bar lag bars published held back dropped dead", "late"),
        (80, "symbol status last bar lag bars published", "held back, late, dropped, dead"),
        (60, "symbol status last bar lag bars", "published, held back, late, dropped, dead"),
        (40, "symbol status lag", "last bar, bars, published, held back, late, dropped, dead"),
    ],
)
def test_columns_of_numbers_go_before_text_is_cut_and_are_named(width: int, headings: str, left_out: str | None) -> None:
    lines = page(with_reason(), width)
    table = next(number for number, line in enumerate(lines) if line.startswith("symbol"))
    assert " ".join(lines[table].split()).startswith(headings)
    assert (f"not shown in {width} columns: {left_out}" in " ".join(lines)) is (left_out is not None)
    assert lines[table + 1].split()[:2] == ["BRK.B", "loaded"]


def test_a_long_symbol_is_folded_and_not_cut() -> None:
    view = view_of_a_session()
    symbol = "A" * 70
    view.apply(symbol_key(symbol), blank(SymbolRow, symbol=symbol, incarnation=3, status="loaded", base_interval="1m"))
    lines = page(view, 60)
    assert sum(line.count("A") for line in lines if set(line.split(" ")[0]) == {"A"}) == 70


def test_status_says_since_when_topics_are_not_checked_and_why() -> None:
    view = view_of_a_session()
    assert facts(view)["topics_unchecked_since"] is None
    since_us = parse_instant("2013-10-05T10:58:00Z")
    changed(view, unchecked_us=since_us, unchecked_reason="no broker answers in time (Timed out waiting for controller)")
    found = facts(view)
    assert found["topics_unchecked_since"] == "2013-10-05T10:58:00Z"
    assert found["topics_unchecked_reason"] == "no broker answers in time (Timed out waiting for controller)"
    said = "topics can't be checked since 2013-10-05T10:58:00Z: no broker answers in time (Timed out waiting for controller)"
    assert said in " ".join(page(view, 60))


@pytest.mark.parametrize(
    ("url", "answer", "worker", "said"),
    [
        ("http://w-1:6066", "failing", "failing", "worker w-1 is there, and nothing was committed since 2013-10-05T11:00:00Z (30 s ago)"),
        ("http://w-1:6066", "active", "failing", "worker w-1 is there, and nothing was committed since"),
        ("http://w-1:6066", "standby", "none", "no worker is active since 2013-10-05T11:00:00Z (30 s ago)"),
        ("http://w-1:6066", None, "none", "no worker is active since 2013-10-05T11:00:00Z (30 s ago)"),
        ("", "failing", "none", "no worker is active since 2013-10-05T11:00:00Z (30 s ago)"),
    ],
)
def test_a_worker_that_is_there_and_commits_nothing_is_told_from_none(url: str, answer: str | None, worker: str, said: str) -> None:
    view = changed(view_of_a_session(), owner="w-1", owner_url=url)
    asked: list[tuple[str, str]] = []

    def ask(at: str, owner: str) -> str | None:
        asked.append((at, owner))
        return answer

    assert facts(view, seconds=30, ask=ask)["worker"] == worker
    assert asked == ([(url, "w-1")] if url else [])
    assert said in " ".join(page(view, 200, seconds=30, ask=ask))
    assert facts(view, ask=ask)["worker"] == "active", "what commits need not be asked"


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that gives this answer with 503, as a worker that is failing does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (json.dumps({"status": "failing", "worker": "w-1"}).encode(), "failing"),
        (json.dumps({"status": "active", "worker": "w-2"}).encode(), None),
        (b"<html>", None),
        (b"[]", None),
    ],
)
def test_only_the_worker_that_is_asked_for_speaks_for_itself(body: bytes, found: str | None) -> None:
    with answering(body) as url:
        assert health_of(url, "w-1") == found
    assert health_of(url, "w-1") is None, "nobody is there any more"
    assert health_of("no url", "w-1") is None


class Following:
    """A reader of a session that passes through these states, one with each look."""

    def __init__(self, *views: StateView) -> None:
        self._views = list(views)

    @property
    def view(self) -> StateView:
        return self._views[0]

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None: ...

    def follow(self, timeout_seconds: float) -> bool:
        if len(self._views) > 1:
            del self._views[0]
        return True


def committed_now(**fields: object) -> StateView:
    return changed(view_of_a_session(), now_us=SystemClock().now_us() + 60 * SECOND_US, owner_url="", **fields)


def wait_for(monkeypatch: pytest.MonkeyPatch, reader: Following, *words: str, missing: int = 0) -> int:
    answers: list[Exception] = [NoSessionError("no worker has ever run session 'main' here")] * missing

    def opened(*_: object) -> Following:
        if answers:
            raise answers.pop()
        return reader

    monkeypatch.setattr(status, "caught_up", opened)
    return run(["status", "--session", "main", "--bootstrap", "localhost:1", "--wait", "active", *words])


def test_it_waits_until_the_session_is_active_and_reports_each_reason_once(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    new = committed_now(active=False, gate_reason="new")
    new.apply(symbol_key("BRK.B"), blank(SymbolRow, symbol="BRK.B", incarnation=3, status="pending", base_interval="1m"))
    lags = committed_now(active=False, gate_reason="lagging")
    lagging = [name for name in sorted(lags.symbols) if (row := lags.progress_of(name)) is not None and row.lagging]
    assert lagging
    assert wait_for(monkeypatch, Following(new, new, lags, committed_now(active=True)), "--json", missing=2) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["gate_open"] is True
    assert printed.err.splitlines() == [
        "waiting for session main: no worker has run it yet",
        f"waiting for session main: the gate is closed (new); lagging: {', '.join(lagging)}; pending: BRK.B",
        f"waiting for session main: the gate is closed (lagging); lagging: {', '.join(lagging)}",
    ]


@pytest.mark.parametrize(
    ("view", "missing", "code", "said"),
    [
        (lambda: committed_now(active=False, gate_reason="new"), 0, 4, "gate closed"),
        (view_of_a_session, 0, 3, "no worker is active since"),
        (view_of_a_session, 9, 3, "no worker has ever run session 'main' here"),
    ],
)
def test_when_time_is_up_the_exit_code_says_what_was_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, view: Callable[[], StateView], missing: int, code: int, said: str
) -> None:
    assert wait_for(monkeypatch, Following(view()), "--timeout", "0", missing=missing) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


def test_nothing_else_than_active_can_be_waited_for() -> None:
    assert run(["status", "--session", "main", "--wait", "ready"]) == 2
