"""The API of real workers: reads behind the gate, commands, a standby that sends on, and a snapshot that goes on without a hole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.times import SECOND_US, iso
from streams.wire.codec import Codec
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline, made_up_bars, now_us, walk
from tests.support.kafka.reading import read_topic
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

CODEC = Codec()
ROOT = Path(__file__).parents[3]
READ, COMMAND = "the-token-that-reads", "the-token-that-commands"
TOKENS = {"STREAMS_READ_TOKEN": READ, "STREAMS_COMMAND_TOKEN": COMMAND}
EACH = 300
BARS_A_SECOND = 60.0


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(worker: Worker, path: str, token: str | None = None, method: str = "GET", **options: Any) -> httpx.Response:
    return httpx.request(method, f"{worker.url}{path}", headers={} if token is None else bearer(token), timeout=70, **options)


@pytest.fixture
def pair(bootstrap_servers: str, session_name: str, workers: Workers) -> tuple[LiveDesk, Worker, Worker]:
    """A session without symbols, with an active worker and a standby."""
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [], derived=[]))
    active = workers.start(desk.config, settings=TOKENS)
    active.wait_until("active")
    standby = workers.start(desk.config, settings=TOKENS)
    standby.wait_until("standby")
    active.wait_until("active")
    return desk, active, standby


def test_a_pair_of_workers_answers_behind_the_gate_takes_commands_and_sends_on(pair: tuple[LiveDesk, Worker, Worker]) -> None:
    desk, active, standby = pair
    symbol = f"{unique_symbol()}/USD"
    path = f"/v1/symbols/{symbol.replace('/', '%2F')}"

    # Commands need their token, and come back with the final reply.
    assert ask(active, "/v1/symbols", READ, "POST", json={"symbol": symbol}).status_code == 401
    added = ask(active, "/v1/symbols", COMMAND, "POST", json={"symbol": symbol})
    assert (added.status_code, added.json()["status"]) == (200, "completed"), added.text
    again = ask(active, "/v1/symbols", COMMAND, "POST", json={"symbol": symbol})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "refused")

    # Fresh bars: the gate is open, and anybody reads them.
    bars = made_up_bars(symbol, 20, end_us=now_us())
    desk.bars(bars)
    wait_until(lambda: ask(active, f"{path}/bars").json().get("bar_count") == 20, "the bars to be read")
    shown = ask(active, f"{path}/bars?last=2").json()
    assert [(bar["start"], bar["close"]) for bar in shown["bars"]] == [(iso(bar.start_us), bar.close) for bar in bars[-2:]]
    assert shown["session_active"] is True

    # A standby sends on, with the token where it is told to keep it.
    away = ask(standby, f"{path}/bars?last=2")
    assert (away.status_code, away.headers["Location"]) == (307, f"{active.url}{path}/bars?last=2")
    assert httpx.get(f"{standby.url}{path}/bars?last=2", follow_redirects=True).json()["bars"] == shown["bars"]
    assert ask(standby, "/v1/symbols", None, "POST", json={"symbol": symbol}).status_code == 307
    assert ask(standby, "/health").json()["status"] == "standby"

    # An old bar of another symbol shuts the gate, for all but those with the token.
    late = unique_symbol()
    assert ask(active, "/v1/symbols", COMMAND, "POST", json={"symbol": late}).status_code == 200
    desk.bars(made_up_bars(late, 1, end_us=now_us() - 4000 * SECOND_US))
    wait_until(lambda: ask(active, "/v1/session").json()["session_active"] is False, "the gate to be shut")
    outside = ask(active, f"{path}/bars").json()
    assert (outside["bars"], outside["bar_count"], outside["interval"]) == ([], 0, None)
    assert ask(active, f"{path}/bars?internal=true").status_code == 401
    assert ask(active, f"{path}/bars?internal=true", COMMAND).status_code == 401
    inside = ask(active, f"{path}/bars?internal=true", READ).json()
    assert inside["bar_count"] == 20
    assert [one["symbol"] for one in ask(active, "/v1/session?internal=true", READ).json()["lagging"]] == [late]

    # Removed, it is gone, and the command can be asked about.
    gone = ask(active, f"{path}?immediate=true&command_id=by-hand", COMMAND, "DELETE")
    assert (gone.status_code, gone.json()["status"]) == (200, "completed"), gone.text
    assert ask(active, f"{path}?internal=true", READ).status_code == 404
    assert ask(active, "/v1/commands/by-hand", COMMAND).json()["status"] == "completed"
    assert ask(active, path, COMMAND, "DELETE").status_code == 409

    # The secrets are in no log.
    assert not any(token in worker.said() for token in TOKENS.values() for worker in (active, standby))
    for worker in (active, standby):
        assert worker.stop() == 0
    desk.check_left_behind([symbol, late])


def test_a_command_that_takes_longer_than_one_waits_runs_all_the_same(alone_with_tokens: tuple[LiveDesk, Worker]) -> None:
    _, worker = alone_with_tokens
    symbol = unique_symbol()
    sent = ask(worker, "/v1/symbols", COMMAND, "POST", json={"symbol": symbol, "wait_seconds": 0, "command_id": "later"})
    assert (sent.status_code, sent.json()["status"]) == (202, "sent")
    wait_until(lambda: ask(worker, "/v1/commands/later", COMMAND).json().get("status") == "completed", "the command to be run")
    assert ask(worker, f"/v1/symbols/{symbol}").json()["symbol"]["status"] == "loaded"


@pytest.fixture
def alone_with_tokens(bootstrap_servers: str, session_name: str, workers: Workers) -> tuple[LiveDesk, Worker]:
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, []))
    worker = workers.start(desk.config, settings=TOKENS)
    worker.wait_until("active")
    return desk, worker


class Example:
    """examples/snapshot.py as a process that is killed and started again."""

    def __init__(self, desk: LiveDesk, symbol: str, url: str, folder: Path) -> None:
        self.place = folder / "place.json"
        self.output = folder / "output.txt"
        self._command = [
            sys.executable, str(ROOT / "examples" / "snapshot.py"), symbol, "--url", url, "--bootstrap", desk.servers,
            "--place", str(self.place),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        assert self._process is not None
        text = self.output.read_text()
        assert self._process.poll() is None, text
        return text

    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.place.read_text())
        return found


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Callable[[LiveDesk, str, str], Example]]:
    """Makes examples that end with the test."""
    made: list[Example] = []

    def make(desk: LiveDesk, symbol: str, url: str) -> Example:
        made.append(Example(desk, symbol, url, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def test_a_snapshot_goes_on_at_the_next_record_whoever_is_killed_in_between(
    bootstrap_servers: str, session_name: str, workers: Workers, example: Callable[[LiveDesk, str, str], Example]
) -> None:
    symbols = [unique_symbol() for _ in range(3)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, derived=[], threshold_seconds=3600))
    first = workers.start(desk.config)
    first.wait_until("active")
    second = workers.start(desk.config)
    second.wait_until("standby")
    first.wait_until("active")
    follower = example(desk, symbols[0], second.url)  # the standby sends it on
    made_up = live_timeline(symbols, EACH, BARS_A_SECOND)
    with SteadyFeed(desk.settings, made_up, BARS_A_SECOND) as feed:
        wait_until(lambda: ask(first, f"/v1/symbols/{symbols[0]}/bars").json().get("bar_count", 0) > 50, "bars to be there")
        follower.start()
        wait_until(lambda: follower.said().count("bar ") > 20, "the example to follow")
        follower.kill()
        wait_until(lambda: ask(first, f"/v1/symbols/{symbols[0]}/bars").json().get("bar_count", 0) > 150, "more bars to be there")
        follower.start()
        wait_until(lambda: "going on with" in follower.said(), "the example to go on")
        first.kill()
        second.wait_until("active")
        wait_until(lambda: feed.is_done, "the feed to end", 60.0)
    desk.await_read(dict.fromkeys(symbols, EACH))
    # While another symbol lags, what comes is held back: of that analysis has a note only.
    late = unique_symbol()
    desk.add(late)
    desk.bars(made_up_bars(late, 1, end_us=now_us() - 5000 * SECOND_US))
    wait_until(lambda: second.health()["session_active"] is False, "the gate to be shut")
    after_us = made_up[-1].end_us
    wait_until(lambda: now_us() > after_us + 5 * SECOND_US, "time for five more bars")
    desk.bars(list(islice(walk(symbols[0], after_us), 5)))
    desk.await_read({symbols[0]: EACH + 5})
    desk.remove(late, immediate=True)
    wait_until(lambda: "read again: " in follower.said(), "the example to read what was held back")
    sequence = desk.topics.analysis()[-1].sequence
    wait_until(lambda: follower.kept()["sequence"] >= sequence and not follower.kept()["to_read"], "the example to have all")
    follower.kill()

    shown = ask(second, f"/v1/symbols/{symbols[0]}/bars?limit=5000").json()
    assert follower.kept()["bars"] == {bar["start"]: bar["close"] for bar in shown["bars"]}
    assert len(shown["bars"]) == EACH + 5
    # It goes on only from one number to the next, or ends: so each record was taken in once, and none is missing.
    said = follower.output.read_text()
    assert said.count("snapshot: ") == said.count("going on with ") == 1
    assert second.stop() == 0
    desk.check_left_behind([*symbols, late])


def test_reads_of_one_state_agree_while_bars_come_in_and_the_worker_is_killed(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol() for _ in range(2)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, threshold_seconds=3600))
    first = workers.start(desk.config)
    first.wait_until("active")
    second = workers.start(desk.config)
    second.wait_until("standby")
    first.wait_until("active")
    seen: dict[int, set[int]] = {}
    with SteadyFeed(desk.settings, live_timeline(symbols, EACH, BARS_A_SECOND), BARS_A_SECOND) as feed:
        killed = False
        while not feed.is_done:
            worker = second if killed else first
            try:
                answered = httpx.get(f"{worker.url}/v1/symbols/{symbols[0]}/bars?last=1", timeout=60)
            except httpx.TransportError:
                continue  # it is starting to take over
            if answered.status_code in (307, 503):
                continue
            assert answered.status_code == 200, answered.text
            said = answered.json()
            if said["session_active"]:
                seen.setdefault(said["as_of"]["analysis_offset"], set()).add(said["bar_count"])
            if not killed and said.get("bar_count", 0) > EACH // 3:
                first.kill()
                killed = True
        assert killed
    desk.await_read(dict.fromkeys(symbols, EACH))
    assert second.stop() == 0
    desk.check_left_behind(symbols)
    # What a read knew of is what stands before the offset that it names, and nothing else: counted on the topic itself.
    records = read_topic(desk.servers, desk.names.analysis)
    published = [(record.offset, event) for record in records if (event := CODEC.analysis_from(record.value)).symbol == symbols[0]]
    for offset, counts in seen.items():
        before = sum(1 for at, event in published if at < offset and event.kind == "bar" and event.interval == "1s")
        held = sum(event.extent.count for at, event in published if at < offset and event.extent is not None and event.interval == "1s")
        assert counts == {before + held}, offset
