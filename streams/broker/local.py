"""The embedded broker: one data folder, one process, three verbs.

`up` is done when the broker is ready and harmless when it is so already; `down` ends it cleanly and keeps the data;
`status` only looks. A lock in the folder lets one `up` or `down` work at a time, whatever process asks.

    broker = LocalBroker(Path("data"), port=9092)
    print(broker.up().bootstrap_servers)    # 127.0.0.1:9092
    broker.down()
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
from filelock import FileLock, Timeout
from msgspec import Struct
from platformdirs import user_cache_path, user_data_path

from streams.broker import process as processes
from streams.broker.folder import HOST, BrokerProcess, DataFolder
from streams.broker.health import answers, wait_until_ready
from streams.broker.jars import KAFKA_VERSION, JarCache, Progress, read_jar_list
from streams.broker.java import find_java
from streams.broker.ports import free_port, holder_of, is_free
from streams.errors import BrokerError

DEFAULT_PORT: Final = 9092
START_SECONDS: Final = 60.0

_OTHER_COMMAND_SECONDS: Final = 900.0
_LOG_LINES_SHOWN: Final = 8


class BrokerStatus(Struct, frozen=True, kw_only=True):
    """What `LocalBroker` found or did, as `streams broker status --json` prints it.

    `running` says that the process is there, `ready` that it answers too, `started` that this very call started it.
    `pid` is None when it is not running, `bootstrap_servers` None when none was ever started in `data_dir`.
    """

    running: bool
    ready: bool
    started: bool = False
    pid: int | None
    bootstrap_servers: str | None
    data_dir: str
    log: str
    kafka_version: str = KAFKA_VERSION


def default_data_dir() -> Path:
    """`STREAMS_BROKER_DATA`, else a folder of this project among the user's application data."""
    if chosen := os.environ.get("STREAMS_BROKER_DATA"):
        return Path(chosen)
    return user_data_path("session-streams") / "broker"


def default_cache_dir() -> Path:
    """`STREAMS_CACHE`, else a folder of this project among the user's caches."""
    if chosen := os.environ.get("STREAMS_CACHE"):
        return Path(chosen)
    return user_cache_path("session-streams")


class LocalBroker:
    """A Kafka broker on this machine with its data in `data_dir`.

    `port` is where clients connect. None means the port of the last run in this folder, else a free one.
    """

    def __init__(self, data_dir: Path, port: int | None = None, *, jars: JarCache | None = None) -> None:
        self._folder = DataFolder(data_dir)
        self._asked_port = port
        self._jars = jars or JarCache(default_cache_dir())
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What clients are given, such as `127.0.0.1:9092`; the port of the last `up` in this folder.

        Raises:
            BrokerError: the folder has seen none.
        """
        port = self.last_port
        if port is None:
            raise BrokerError(f"no broker was started in {self._folder.path}: call up() first")
        return _address(port)

    @property
    def last_port(self) -> int | None:
        """The port of the last `up` in this folder, by whatever process; None when there was none."""
        recorded = self._folder.read_process()
        return recorded.port if recorded else None

    @property
    def pid(self) -> int | None:
        """The broker's process id; None when it is not running."""
        process = processes.find(self._folder)
        return process.pid if process else None

    def up(self, progress: Progress = lambda done, total: None, *, timeout_seconds: float = START_SECONDS) -> BrokerStatus:
        """Start the broker and wait until it is ready; when it is running already, only that.

        `progress` is told how many jars of how many are on the disk. `timeout_seconds` counts from Java's start.

        Raises:
            BrokerError: no Java, no jars, the port is taken, or Kafka did not become ready; the message says what to do.
        """
        with self._locked():
            running = processes.find(self._folder)
            if running is not None:
                return self._confirm(running, timeout_seconds)
            port = self._choose_port()
            java = find_java()
            jars = self._jars.fetch(read_jar_list(), progress)
            self._folder.create()
            self._folder.write_properties(port=port, controller_port=free_port())
            if not self._folder.is_formatted:
                processes.format_folder(java, jars, self._folder)
            mark = self._folder.log_size()
            self._child = child = processes.start(java, jars, self._folder)
            try:
                self._folder.write_process(BrokerProcess(child.pid, port))
                missing = wait_until_ready(_address(port), timeout_seconds, still_alive=lambda: child.poll() is None)
                if missing is not None:
                    raise self._failure(f"the broker did not become ready; awaited was {missing}", mark)
            except BaseException:
                # Also on Ctrl-C: what is half up would hold the port and the folder with nobody knowing of it.
                child.kill()
                child.wait()
                raise
            return self._status(child.pid, ready=True, started=True)

    def down(self, *, timeout_seconds: float = processes.STOP_SECONDS) -> BrokerStatus:
        """End the broker and keep its data; nothing when it is not running."""
        with self._locked():
            process = processes.find(self._folder)
            if process is not None:
                processes.end(process, timeout_seconds)
            self._reap()
            return self.status()

    def kill(self) -> None:
        """End the broker at once, as a crash would; nothing when it is not running."""
        process = processes.find(self._folder)
        if process is not None:
            processes.kill(process)
        self._reap()

    def status(self) -> BrokerStatus:
        """Look, and change nothing."""
        pid, port = self.pid, self.last_port
        return self._status(pid, ready=pid is not None and port is not None and answers(_address(port)))

    def _status(self, pid: int | None, *, ready: bool, started: bool = False) -> BrokerStatus:
        port = self.last_port
        return BrokerStatus(
            running=pid is not None,
            ready=ready,
            started=started,
            pid=pid,
            bootstrap_servers=None if port is None else _address(port),
            data_dir=str(self._folder.path),
            log=str(self._folder.log),
        )

    def _confirm(self, running: psutil.Process, timeout_seconds: float) -> BrokerStatus:
        """The status of a broker that is running already, when it is the one that was asked for."""
        port = self.last_port
        if port is None or self._asked_port not in (None, port):
            raise BrokerError(
                f"the broker of {self._folder.path} is running on port {port}, not on {self._asked_port}: "
                "use that port, or `streams broker down` first, or give another folder with --data"
            )
        missing = wait_until_ready(_address(port), timeout_seconds, still_alive=running.is_running)
        if missing is not None:
            raise self._failure(
                f"the broker of {self._folder.path} is running (process {running.pid}) and not ready; awaited was {missing}. "
                "`streams broker down`, then up again",
                self._folder.log_size(),
            )
        return self._status(running.pid, ready=True)

    def _choose_port(self) -> int:
        port = self._asked_port or self.last_port or free_port()
        if is_free(port):
            return port
        here = _address(port)
        hint = f" A Kafka broker answers there: use it with STREAMS_BOOTSTRAP_SERVERS={here}, or" if answers(here) else " End that, or"
        raise BrokerError(f"port {port} is taken by {holder_of(port)}.{hint} choose another port: streams broker up --port {port + 1}")

    def _failure(self, what: str, mark: int) -> BrokerError:
        lines = self._folder.log_since(mark)
        telling = [line for line in lines if " ERROR " in line or " FATAL " in line or "Exception" in line or "Error" in line]
        shown = (telling or lines)[-_LOG_LINES_SHOWN:]
        said = "\n  ".join(["", *shown]) if shown else " (empty)"
        return BrokerError(f"{what}. Its log {self._folder.log} says:{said}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder.lock, timeout=_OTHER_COMMAND_SECONDS):
                yield
        except Timeout:
            raise BrokerError(
                f"another command has been working on {self._folder.path} for {_OTHER_COMMAND_SECONDS:g} s: end it, then try again"
            ) from None
        except OSError as error:
            raise BrokerError(
                f"the data folder {self._folder.path} can't be used ({error}): choose another with --data or STREAMS_BROKER_DATA"
            ) from error

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None


def _address(port: int) -> str:
    return f"{HOST}:{port}"
