from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.broker.folder import BrokerProcess, DataFolder
from streams.broker.jars import Jar, JarCache
from streams.broker.local import LocalBroker
from streams.broker.ports import free_port, holder_of, is_free
from streams.errors import BrokerError


class NoJars(JarCache):
    """A cache for tests that must not come as far as a download."""

    def __init__(self, cache_dir: Path) -> None:
        super().__init__(cache_dir)
        self.asked = 0

    def fetch(self, jars: object, progress: object) -> list[Path]:
        self.asked += 1
        return []


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not the broker."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"\n")


def test_a_folder_without_a_run_is_not_running(tmp_path: Path) -> None:
    status = LocalBroker(tmp_path).status()
    assert (status.running, status.ready, status.pid, status.bootstrap_servers) == (False, False, None, None)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    LocalBroker(tmp_path / "data").status()
    assert list(tmp_path.iterdir()) == []


def test_the_address_is_not_known_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"call up\(\) first"):
        _ = LocalBroker(tmp_path).bootstrap_servers


def test_a_process_file_of_a_process_that_is_gone_is_stale(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    DataFolder(tmp_path).write_process(BrokerProcess(gone.pid, 9092))
    assert LocalBroker(tmp_path).status().running is False


def test_a_stranger_with_the_recorded_pid_is_neither_taken_for_the_broker_nor_ended(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    DataFolder(tmp_path).write_process(BrokerProcess(stranger.pid, 9092))
    broker = LocalBroker(tmp_path)
    assert broker.down().running is False
    broker.kill()
    assert stranger.poll() is None


def test_a_taken_port_says_who_has_it_and_what_to_do(tmp_path: Path, taken_port: int) -> None:
    broker = LocalBroker(tmp_path, taken_port, jars=NoJars(tmp_path))
    with pytest.raises(BrokerError) as refused:
        broker.up()
    message = str(refused.value)
    assert f"port {taken_port} is taken by" in message
    assert f"(process {os.getpid()})" in message
    assert f"--port {taken_port + 1}" in message


def test_a_data_folder_that_is_a_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with pytest.raises(BrokerError, match=r"data folder .* can't be used .* --data or STREAMS_BROKER_DATA"):
        LocalBroker(occupied).up()


def test_the_port_of_the_last_run_is_kept(tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.broker.local.answers", lambda servers: False)  # to find out that no Kafka is there takes two seconds
    DataFolder(tmp_path).write_process(BrokerProcess(1, taken_port))
    with pytest.raises(BrokerError, match=f"port {taken_port} is taken"):
        LocalBroker(tmp_path, jars=NoJars(tmp_path)).up()


def test_a_port_that_someone_listens_on_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)
    assert is_free(free_port())


def test_nobody_holds_a_free_port() -> None:
    assert holder_of(free_port()) == "another process"


def test_a_jar_that_can_not_be_had_leaves_nothing_running(tmp_path: Path) -> None:
    def offline(jar: Jar, repository: Path) -> None:
        raise ConnectionError("no network")

    broker = LocalBroker(tmp_path / "data", jars=JarCache(tmp_path / "cache", offline))
    with pytest.raises(BrokerError, match="could not be downloaded"):
        broker.up()
    assert broker.status().running is False
