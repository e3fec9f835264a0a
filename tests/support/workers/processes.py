"""Real workers as processes: started, watched by their health page, killed by their process id, and always ended.

    with Workers(bootstrap_servers, tmp_path) as workers:
        worker = workers.start(config)
        worker.wait_until("active")
        worker.kill()

Each worker has its own log file; what the workers of a failed test have said is printed as the test is taken down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import psutil
import pytest

from streams.broker.ports import free_port
from streams.config.session import SessionConfig
from tests.support.waiting import wait_until

ACTIVE_SECONDS = 60.0
ENDS_SECONDS = 60.0
SUPERVISED = ("--supervise",)
_TAIL_LINES = 60
_HEALTH_ANSWERS_SECONDS = 2.0


class Worker:
    """One worker process. `config` may be changed between a start and the next."""

    def __init__(self, name: str, config: Path, environment: Mapping[str, str], log: Path, options: tuple[str, ...], module: str) -> None:
        self.name = name
        self.instance = environment["STREAMS_INSTANCE_ID"]
        self.log = log
        self._module = module
        self._config = config
        self._port = free_port()
        self._options = options
        self._environment = {**environment, "STREAMS_HTTP_PORT": str(self._port)}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the process, or start it again: in its own slot, with its log going on."""
        command = [sys.executable, "-m", self._module, "worker", str(self._config), *self._options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def move(self) -> None:
        """Serve the pages on another port from the next start on."""
        self._port = free_port()
        self._environment["STREAMS_HTTP_PORT"] = str(self._port)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        if self._process is None:
            raise RuntimeError(f"worker {self.name} was never started")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    @property
    def url(self) -> str:
        """Where it answers over HTTP."""
        return f"http://127.0.0.1:{self._port}"

    def page(self, path: str) -> str | None:
        """What a page of the worker says, whatever its HTTP status; None where nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=_HEALTH_ANSWERS_SECONDS) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return None

    def health(self) -> dict[str, object]:
        """The health report; empty where nobody answers."""
        text = self.page("/health")
        return {} if text is None else json.loads(text)

    def status(self) -> str | None:
        """`starting`, `recovering`, `standby`, `active` or `failing`; None where nobody answers."""
        status = self.health().get("status")
        return None if status is None else str(status)

    def wait_until(self, status: str, timeout_s: float = ACTIVE_SECONDS) -> None:
        """Wait for a health status; the test fails at once when the process ends before."""

        def reached() -> bool:
            if not self.is_running:
                pytest.fail(f"worker {self.name} ended with {self.process.returncode} before it was {status}\n{self.tail()}")
            return self.status() == status

        wait_until(reached, f"worker {self.name} to be {status}", timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, and to no other."""
        self.process.send_signal(number)

    @property
    def stands_still(self) -> bool:
        """Whether the process is stopped, as by SIGSTOP."""
        return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stopped, with all that the process holds, while the block runs."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> int:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        return self.wait_ended()

    def stop(self) -> int:
        """SIGTERM, and wait for the end; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_ended()

    def wait_ended(self, timeout_s: float = ENDS_SECONDS) -> int:
        """The exit code, once the process has ended."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"worker {self.name} did not end within {timeout_s:g} s\n{self.tail()}")

    def children(self) -> list[int]:
        """Process ids of the worker's children: what a supervisor runs."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def said(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        """The last lines of the log."""
        lines = self.said().splitlines()[-_TAIL_LINES:]
        return "\n".join([f"--- log of worker {self.name}, its last {len(lines)} lines", *lines])

    def end(self) -> None:
        """End the process and its children by any means."""
        if self._process is None or self._process.poll() is not None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait(ENDS_SECONDS)
        for child in children:
            if child.is_running():
                child.kill()


class Workers:
    """The workers of a test; a context manager that ends them all.

    Args:
        bootstrap_servers: the broker.
        folder: for configs, logs and the workers' slots.
    """

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        self._folder = folder
        self._servers = bootstrap_servers
        self._workers: list[Worker] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            print(worker.tail())  # pytest shows it where the test failed

    def start(
        self,
        config: SessionConfig,
        *,
        instance: str | None = None,
        options: tuple[str, ...] = (),
        settings: Mapping[str, str] | None = None,
        module: str = "streams.cli.main",
    ) -> Worker:
        """Start a worker of `config` under an instance id of its own, or the given one; `settings` are further STREAMS_* variables.

        `module` is what is run: the command line, or a module of the tests that puts a bug into it first.
        """
        name = instance or f"{config.session_name}-w{len(self._workers)}"
        number = len(self._workers)
        path = self.write(config)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STREAMS_")}
        environment = {
            **inherited,
            "TMPDIR": str(self._folder),
            "STREAMS_BOOTSTRAP_SERVERS": self._servers,
            "STREAMS_INSTANCE_ID": name,
            "STREAMS_LOG_LEVEL": os.environ.get("STREAMS_LOG_LEVEL", "INFO"),
            **(settings or {}),
        }
        worker = Worker(f"{name} ({number})", path, environment, self._folder / f"{config.session_name}-{number}.log", options, module)
        self._workers.append(worker)
        return worker

    def write(self, config: SessionConfig) -> Path:
        """Write the session's config file, which the next start of its workers reads."""
        path = self._folder / f"{config.session_name}.json"
        path.write_text(config.to_json())
        return path
