"""`streams sessions` and `streams dead-letters` against a session with a worker."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from streams.broker.ports import free_port
from streams.client.sessions import read_sessions
from tests.support import unique_symbol, wait_until
from tests.support.feeders import now_us
from tests.support.kafka.reading import read_topic
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

SECOND_US = 1_000_000


@pytest.fixture
def running(bootstrap_servers: str, session_name: str, workers: Workers) -> tuple[LiveDesk, Worker, str]:
    symbol = unique_symbol()
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [symbol], threshold_seconds=60))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    return desk, worker, symbol


def cli(desk: LiveDesk, *words: str, code: int = 0, typed: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli.main", *words, "--bootstrap", desk.servers],
        input=typed, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


def bar_json(symbol: str, end_us: int, **fields: object) -> bytes:
    bar = {"symbol": symbol, "interval": "1s", "start": end_us - SECOND_US, "end": end_us}
    prices = {"open": 167.4, "high": 167.5, "low": 167.3, "close": 167.45, "volume": 1200.0}
    return json.dumps({**bar, **prices, **fields}).encode()


def last_second_us() -> int:
    return now_us() // SECOND_US * SECOND_US


def test_sessions_are_listed_with_who_works_on_them(running: tuple[LiveDesk, Worker, str]) -> None:
    desk, worker, _ = running
    name = desk.config.session_name

    def listed() -> dict[str, object]:
        found: dict[str, dict[str, object]] = {fact["session"]: fact for fact in json.loads(cli(desk, "sessions", "--json").stdout)}
        return found[name]

    fact = listed()
    (row,) = [state.row for state in read_sessions(desk.settings) if state.name == name]
    assert row is not None
    assert (fact["worker"], fact["owner"], fact["epoch"]) == ("active", row.owner, 1)
    assert fact["owner"]
    text = cli(desk, "sessions").stdout
    assert f"{name} " in text
    assert worker.stop() == 0
    wait_until(lambda: listed()["worker"] == "none", "the session to be without a worker")
    assert listed()["owner"] == row.owner, "who it was is still known"


def test_a_cluster_that_cannot_be_asked_is_an_error_and_not_an_empty_list() -> None:
    words = [sys.executable, "-m", "streams.cli.main", "sessions", "--json", "--bootstrap", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no broker answers" in done.stderr


@pytest.fixture
def letters(running: tuple[LiveDesk, Worker, str]) -> tuple[LiveDesk, str, list[int]]:
    """Three dead letters: prices that can't be, a bar that is ahead by ten seconds, and no bar at all."""
    desk, _, symbol = running
    topic = desk.names.bars(symbol)
    end_us = last_second_us() + 10 * SECOND_US
    desk.raw(topic, bar_json(symbol, last_second_us(), high=1.0), bar_json(symbol, end_us), b"nonsense", key=b"the key")
    found = desk.await_dead_letters(topic, 3)
    wait_until(lambda: now_us() > end_us + SECOND_US, "the bar that was ahead to be complete")
    return desk, symbol, [letter.offset for letter in found]


def test_dead_letters_are_listed_shown_and_sent_again_with_their_key(letters: tuple[LiveDesk, str, list[int]]) -> None:
    desk, symbol, (bad, ahead, nonsense) = letters
    session = ("--session", desk.config.session_name)
    listed = json.loads(cli(desk, "dead-letters", "list", *session, "--json").stdout)
    assert [(one["offset"], one["reason"], one["symbol"]) for one in listed] == [
        (bad, "bad_prices", symbol), (ahead, "future", symbol), (nonsense, "undecodable", symbol),
    ]  # fmt: skip
    assert json.loads(cli(desk, "dead-letters", "list", *session, "--reason", "future", "--json").stdout) == [listed[1]]
    assert "no dead letters of these" in cli(desk, "dead-letters", "list", *session, "--symbol", "NOPE").stdout
    assert "low 167.3 is above high 1.0" in cli(desk, "dead-letters", "list", *session).stdout.replace("\n", " ")
    shown = cli(desk, "dead-letters", "show", str(bad), *session).stdout
    assert "key the key" in shown
    assert '"high": 1.0' in shown
    assert cli(desk, "dead-letters", "show", str(nonsense), *session, "--value").stdout == "nonsense"

    unconfirmed = cli(desk, "dead-letters", "resend", str(ahead), *session, code=2)
    assert f"{ahead} -> {desk.names.bars(symbol)}, key the key" in unconfirmed.stdout
    assert "nothing was sent" in unconfirmed.stderr
    tried = cli(desk, "dead-letters", "resend", "--symbol", symbol, *session, "--yes", code=1)
    assert "would be rejected again: low 167.3 is above high 1.0" in tried.stdout
    assert "sent again: 1 of 3 records; failed: 0; not sent: 2" in tried.stderr
    desk.await_bars(symbol, 1)
    sent = read_topic(desk.servers, desk.names.bars(symbol))[-1]
    # The bar that was ahead is the second of its topic.
    assert (sent.key, sent.headers) == (b"the key", {"streams.resent_from": f"{desk.names.dlq}:{ahead}", "streams.resent_offset": "1"})
    assert sent.timestamp_ms * 1000 == json.loads(sent.value or b"")["end"]


def test_a_corrected_value_is_sent_in_place_of_the_letters(letters: tuple[LiveDesk, str, list[int]]) -> None:
    desk, symbol, (bad, _, nonsense) = letters
    session = ("--session", desk.config.session_name)
    value = cli(desk, "dead-letters", "show", str(bad), *session, "--value").stdout
    corrected = value.replace('"high": 1.0', '"high": 167.9')
    done = cli(desk, "dead-letters", "resend", str(bad), *session, "--value", "-", "--yes", "--json", typed=corrected)
    (outcome,) = json.loads(done.stdout)
    assert outcome["status"] == "sent"
    (event,) = desk.await_bars(symbol, 1)
    assert event.bar is not None
    assert event.bar.high == 167.9

    cli(desk, "dead-letters", "resend", str(nonsense), *session, "--force", "--yes")
    again = desk.await_dead_letters(desk.names.bars(symbol), 4)[-1]
    listed = json.loads(cli(desk, "dead-letters", "list", *session, "--last", "1", "--json").stdout)
    assert (listed[0]["offset"], listed[0]["resent_from"]) == (again.offset, f"{desk.names.dlq}:{nonsense}")
    missing = cli(desk, "dead-letters", "show", str(again.offset + 1000), *session, code=2)
    assert "there is no dead letter at" in missing.stderr
