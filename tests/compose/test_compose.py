"""docker-compose.yml, brought up for real: bars flow to a reader outside, and a worker that is lost is replaced.

Each run has a project name, ports, an image and a volume of its own, and takes all of them away at its end. What is read from
the analysis topic is read by plain confluent-kafka through the published port, as a user's program would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from streams.broker.ports import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.compose

ROOT = Path(__file__).parents[2]
WORKERS = ("worker-1", "worker-2")
SESSION = "main"
OLDEST_ENGINE = 25
UP_SECONDS = 300
SETTLED_SECONDS = 60.0
TAKEOVER_SECONDS = 30.0


@dataclass(frozen=True)
class Published:
    """A record of the analysis topic by its headers: what it is, its place, and until when it was fresh."""

    kind: str
    symbol: str
    interval: str
    epoch: int
    sequence: int
    emitted_us: int
    valid_until_us: int


class Analysis:
    """All that is committed on the analysis topic, from its beginning."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.records: list[Published] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "compose-test",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        self._consumer.assign([TopicPartition(f"{SESSION}.analysis", 0, OFFSET_BEGINNING)])

    def read(self) -> list[Published]:
        """What was published so far."""
        while (message := self._consumer.poll(0.2)) is not None:
            assert message.error() is None, message.error()
            headers = {name: value.decode() for name, value in message.headers() or []}
            self.records.append(
                Published(
                    headers["kind"],
                    headers.get("symbol", ""),
                    headers.get("interval", ""),
                    int(headers["epoch"]),
                    int(headers["sequence"]),
                    message.timestamp()[1] * 1000,
                    int(headers.get("valid_until_us", 0)),
                )
            )
        return self.records

    def wait_for_bars(self, count: int, *, after: int = 0) -> list[Published]:
        """The bars after the first `after` records, once there are `count`."""

        def bars() -> list[Published]:
            return [record for record in self.read()[after:] if record.kind == "bar"]

        wait_until(lambda: len(bars()) >= count, f"{count} more bars on {SESSION}.analysis", SETTLED_SECONDS)
        return bars()

    def assert_contiguous(self) -> None:
        """Every record follows the one before: none is missing and none repeated."""
        places = [(record.epoch, record.sequence) for record in self.records]
        epoch, first = places[0]
        assert places == [(epoch, first + number) for number in range(len(places))]

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()


class Stack:
    """The services of docker-compose.yml under a project name and on ports of their own."""

    def __init__(self) -> None:
        self.project = f"session-streams-test-{uuid.uuid4().hex[:8]}"
        self.image = f"session-streams:{self.project.rpartition('-')[2]}"
        kafka_port, *worker_ports = (free_port() for _ in range(1 + len(WORKERS)))
        self.bootstrap_servers = f"localhost:{kafka_port}"
        self._health = {worker: f"http://127.0.0.1:{port}/health" for worker, port in zip(WORKERS, worker_ports, strict=True)}
        own = {
            "STREAMS_IMAGE": self.image,
            "STREAMS_SESSION": SESSION,
            "STREAMS_CONFIG_FILE": "./deploy/session.json",
            "KAFKA_PORT": str(kafka_port),
            "WORKER_1_PORT": str(worker_ports[0]),
            "WORKER_2_PORT": str(worker_ports[1]),
        }
        # What a user has set for a stack of his own must not lead this one elsewhere.
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")} | own

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run `docker compose`; what it printed."""
        command = ["docker", "compose", "--project-name", self.project, "--file", str(ROOT / "docker-compose.yml"), *arguments]
        done = subprocess.run(command, env=self._environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            pytest.fail(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}", pytrace=False)
        return done.stdout

    def status_of(self, worker: str) -> str:
        """What a worker's health page says; nothing when it does not answer."""
        try:
            with urllib.request.urlopen(self._health[worker], timeout=2) as page:
                return str(json.load(page)["status"])
        except urllib.error.HTTPError as error:
            return str(json.load(error)["status"])
        except OSError:
            return ""

    def settled(self) -> tuple[str, str]:
        """The active worker and its standby, once there are both."""

        def both() -> tuple[str, str] | None:
            found = {self.status_of(worker): worker for worker in WORKERS}
            return (found["active"], found["standby"]) if found.keys() == {"active", "standby"} else None

        found = wait_until(both, "one active worker and one standby", SETTLED_SECONDS)
        assert found is not None
        return found

    def restarts_of(self, worker: str) -> int:
        """How often the engine has started a worker's container again by itself."""
        container = self.compose("ps", "--all", "--quiet", worker).strip()
        return int(_docker("inspect", "--format", "{{.RestartCount}}", container))


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _require_engine() -> None:
    advice = f"install Docker Engine {OLDEST_ENGINE} or newer with Compose v2, start it, and let `docker version` answer (DOCKER_HOST)"
    if shutil.which("docker") is None:
        pytest.fail(f"there is no docker command here: {advice}", pytrace=False)
    for question in (["version", "--format", "{{.Server.Version}}"], ["compose", "version", "--short"]):
        done = subprocess.run(["docker", *question], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.fail(f"`docker {question[0]}` says {done.stderr.strip()!r}: {advice}", pytrace=False)
        if question[0] == "version" and int(done.stdout.partition(".")[0]) < OLDEST_ENGINE:
            pytest.fail(f"the container engine is {done.stdout.strip()}, too old for start_interval: {advice}", pytrace=False)


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    _require_engine()
    stack = Stack()
    failures, is_up = request.session.testsfailed, False
    try:
        stack.compose("up", "--build", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS))
        is_up = True
        yield stack
    finally:
        if not is_up or request.session.testsfailed > failures:
            print(stack.compose("logs", "--no-color", "--tail", "60", check=False))
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        subprocess.run(["docker", "image", "rm", stack.image], capture_output=True, check=False)


@pytest.fixture
def analysis(stack: Stack) -> Iterator[Analysis]:
    reader = Analysis(stack.bootstrap_servers)
    yield reader
    reader.close()


def test_fresh_bars_of_all_symbols_reach_a_reader_outside(stack: Stack, analysis: Analysis) -> None:
    stack.settled()

    def symbols() -> set[str]:
        return {record.symbol for record in analysis.read() if record.kind == "bar" and record.interval == "1s"}

    wait_until(lambda: symbols() == {"SPY", "IBM"}, "second bars of SPY and IBM on analysis", SETTLED_SECONDS)
    assert all(record.emitted_us < record.valid_until_us for record in analysis.records if record.kind == "bar")
    analysis.assert_contiguous()


def test_the_command_line_in_a_container_knows_its_session(stack: Stack) -> None:
    stack.settled()
    status = json.loads(stack.compose("exec", "-T", "worker-1", "streams", "status", "--json"))
    assert (status["session"], status["worker"]) == (SESSION, "active")
    assert {symbol["symbol"] for symbol in status["symbols"]} == {"SPY", "IBM"}


def test_the_standby_goes_on_when_the_active_worker_is_killed(stack: Stack, analysis: Analysis) -> None:
    active, standby = stack.settled()
    analysis.wait_for_bars(5)
    stack.compose("kill", "--signal", "KILL", active)
    before = len(analysis.read())

    wait_until(lambda: stack.status_of(standby) == "active", f"{standby} in the place of {active}", TAKEOVER_SECONDS)
    after = analysis.wait_for_bars(10, after=before)
    assert all(record.emitted_us < record.valid_until_us for record in after)
    analysis.assert_contiguous()

    stack.compose("start", active)
    wait_until(lambda: stack.status_of(active) == "standby", f"{active} back as a standby", SETTLED_SECONDS)
    analysis.wait_for_bars(5, after=len(analysis.read()))
    analysis.assert_contiguous()


def test_a_worker_that_ends_by_itself_is_started_again(stack: Stack, analysis: Analysis) -> None:
    active, _ = stack.settled()
    restarts = stack.restarts_of(active)
    # Another holder of the session's transactional id fences the active worker, which ends with exit code 11.
    Producer({"bootstrap.servers": stack.bootstrap_servers, "transactional.id": SESSION}).init_transactions(30)

    wait_until(lambda: stack.restarts_of(active) > restarts, f"a restart of {active} by the engine", TAKEOVER_SECONDS)
    stack.settled()
    analysis.wait_for_bars(5, after=len(analysis.read()))
    analysis.assert_contiguous()
