"""A Kafka cluster of three brokers on this machine: killed, stopped, frozen, started again, one by one or all at once.

    with Cluster(tmp_path) as cluster:
        node = cluster.leader_of("bars.SPY")
        cluster.kill(node)
        cluster.start(node)
        cluster.wait_until_in_sync()

Each broker is a controller too (KRaft), topics have three replicas of which two must be in sync, and the internal topics have enough
partitions that two transactional IDs can have different coordinators. Heaps are small: a cluster takes about a gigabyte.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, PartitionMetadata, TopicMetadata

from streams.broker.folder import new_cluster_id
from streams.broker.health import answers, wait_until_ready
from streams.broker.jars import JarCache, read_jar_list
from streams.broker.java import find_java
from streams.broker.local import default_cache_dir
from streams.broker.ports import free_port
from tests.support.kafka.java import java_command
from tests.support.waiting import wait_until

READY_SECONDS: Final = 120.0
IN_SYNC_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
COORDINATOR_PARTITIONS: Final = 3
_REQUEST_SECONDS: Final = 10.0
_LOG_LINES_SHOWN: Final = 15
_REASSIGN: Final = Path(__file__).with_name("Reassign.java")
_LOGGING: Final = Path(__file__).parents[3] / "streams" / "broker" / "log4j2.properties"
_JVM: Final = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto", "-Djava.awt.headless=true")
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENT://127.0.0.1:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
num.partitions=1
log.retention.ms=-1
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions={coordinators}
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions={coordinators}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=33554432
log.cleaner.backoff.ms=2000
"""


class Cluster:
    """Some brokers with their data in `folder`, numbered from 1; a context manager that ends them and keeps the folder.

    Args:
        folder: an empty folder.
        size: how many brokers.
        settings: further lines of each broker's properties, by name: the defaults of Kafka hold for all that is not set above.
    """

    def __init__(self, folder: Path, size: int = 3, *, settings: Mapping[str, str] | None = None) -> None:
        self.nodes = tuple(range(1, size + 1))
        self._folder = folder
        self._settings = settings or {}
        self._ports = {node: free_port() for node in self.nodes}
        self._controller_ports = {node: free_port() for node in self.nodes}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.bootstrap_servers = ",".join(self.address_of(node) for node in self.nodes)
        java, jars = find_java(), JarCache(default_cache_dir()).fetch(read_jar_list(), lambda done, total: None)
        self._java = [str(java.executable), *_JVM, "-cp", ":".join(map(str, jars))]

    def __enter__(self) -> Cluster:
        try:
            self._create()
            for node in self.nodes:
                self.start(node, waits=False)
            self.wait_until_ready()
            self.wait_until_in_sync()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all brokers at once."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
        for process in self._processes.values():
            process.wait()

    def address_of(self, node: int) -> str:
        """Where clients reach a broker."""
        return f"127.0.0.1:{self._ports[node]}"

    # Faults

    def start(self, node: int, *, waits: bool = True) -> None:
        """Start a broker, with `waits` until it answers."""
        assert not self.is_running(node), f"broker {node} is running"
        home = self._home(node)
        logging = [f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}", f"-Dstreams.log={home / 'broker.log'}"]
        with (home / "console.log").open("ab") as console:
            self._processes[node] = subprocess.Popen(
                [*self._java, *logging, "kafka.Kafka", str(home / "server.properties")],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, cwd=home,
            )  # fmt: skip
        if waits:
            # What the others say of it is what they last knew.
            wait_until(lambda: answers(self.address_of(node)), f"broker {node} to answer", READY_SECONDS)

    def kill(self, *nodes: int) -> None:
        """End brokers at once, as a power cut would."""
        for node in nodes:
            self._processes[node].kill()
        for node in nodes:
            self._processes[node].wait()

    def stop(self, node: int) -> None:
        """Ask a broker to end, which hands its partitions over first."""
        process = self._processes[node]
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(node)

    def freeze(self, node: int) -> None:
        """Stop a broker's process where it stands; its connections stay open."""
        self._processes[node].send_signal(signal.SIGSTOP)

    def thaw(self, node: int) -> None:
        """Let a frozen broker go on."""
        self._processes[node].send_signal(signal.SIGCONT)

    def is_running(self, node: int) -> bool:
        """Whether the broker's process is there."""
        process = self._processes.get(node)
        return process is not None and process.poll() is None

    def reassign(self, topics: Collection[str], replicas: Sequence[int]) -> None:
        """Give topics other replicas, the first of which is the preferred leader; done when all of them have caught up."""
        command = [*java_command(_REASSIGN, self._folder), self.bootstrap_servers, ",".join(map(str, replicas)), *topics]
        done = subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def elect_preferred(self, topics: Iterable[str]) -> None:
        """Have the preferred replica of each topic lead it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        partitions = [TopicPartition(topic, 0) for topic in topics]
        # Without its time-outs, which confluent-kafka 2.16.1 takes for an error: findings/confluent-elect-leaders-timeouts.sh.
        for error in admin.elect_leaders(ElectionType.PREFERRED, partitions).result(READY_SECONDS).values():
            code = None if error is None else error.args[0].code() if isinstance(error, KafkaException) else error.code()
            assert code in (None, KafkaError.ELECTION_NOT_NEEDED), error

    # Questions, each to a client of its own: one that has been told of a dead broker holds on to it

    def alive(self) -> set[int]:
        """The brokers that the cluster counts as alive; empty where none answers."""
        try:
            return set(self._metadata().brokers)
        except KafkaException:
            return set()

    def leader_of(self, topic: str) -> int:
        """The broker that leads a topic's first partition."""
        return int(self.topics()[topic].partitions[0].leader)

    def led_by(self, node: int) -> set[str]:
        """The topics whose first partition a broker leads, internal ones left out."""
        topics = self.topics().items()
        return {name for name, topic in topics if not name.startswith("__") and topic.partitions[0].leader == node}

    def transaction_coordinator_of(self, transactional_id: str) -> int:
        """The broker that coordinates the transactions of a transactional ID."""
        return self._coordinator("__transaction_state", transactional_id)

    def may_coordinate(self, node: int, *, transactional_ids: Collection[str], group_id: str) -> bool:
        """Whether a broker has a copy of what is kept of these: it coordinates them, or may have to, and writes wait for it."""
        partitions = [self._partition("__transaction_state", one) for one in transactional_ids]
        return any(node in one.replicas for one in [*partitions, self._partition("__consumer_offsets", group_id)])

    def group_coordinator_of(self, group_id: str) -> int:
        """The broker that coordinates a consumer group."""
        return self._coordinator("__consumer_offsets", group_id)

    def wait_until_ready(self) -> None:
        """Wait until the cluster answers and commits a transaction."""
        missing = wait_until_ready(self.bootstrap_servers, READY_SECONDS)
        assert missing is None, f"the cluster is not ready; awaited was {missing}\n{self.tails()}"

    def wait_until_in_sync(self) -> None:
        """Wait until all brokers are alive and every partition has all its replicas in sync."""

        def in_sync() -> bool:
            try:
                found = self._metadata()
            except KafkaException:
                return False
            partitions = [one for topic in found.topics.values() for one in topic.partitions.values()]
            return len(found.brokers) == len(self.nodes) and all(len(one.isrs) == len(one.replicas) for one in partitions)

        wait_until(in_sync, "all replicas to be in sync", IN_SYNC_SECONDS)

    def tails(self) -> str:
        """The last lines that each broker logged."""
        return "\n".join(f"broker {node}:\n{self._tail(node)}" for node in self.nodes)

    # Inside

    def _home(self, node: int) -> Path:
        return self._folder / f"broker-{node}"

    def _create(self) -> None:
        size, cluster_id = len(self.nodes), new_cluster_id()
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in self._controller_ports.items())
        for node in self.nodes:
            home = self._home(node)
            home.mkdir(parents=True)
            text = _PROPERTIES.format(
                node=node, voters=voters, port=self._ports[node], controller_port=self._controller_ports[node], data=home / "data",
                replicas=size, in_sync=max(1, size - 1), coordinators=COORDINATOR_PARTITIONS,
            )  # fmt: skip
            text += "".join(f"{name}={value}\n" for name, value in self._settings.items())
            (home / "server.properties").write_text(text, "utf-8")
        formatting = [
            subprocess.Popen(
                [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._home(node) / "server.properties")],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            for node in self.nodes
        ]  # fmt: skip
        for process in formatting:
            said, _ = process.communicate(timeout=READY_SECONDS)
            assert process.returncode == 0, said.decode("utf-8", "replace")

    def _metadata(self, **topic: Any) -> Any:
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}, error_cb=lambda error: None)
        return admin.list_topics(timeout=_REQUEST_SECONDS, **topic)

    def topics(self) -> dict[str, TopicMetadata]:
        """All topics, internal ones too, as a client is told that has just come."""

        def told() -> dict[str, TopicMetadata] | None:
            try:
                topics: dict[str, TopicMetadata] = self._metadata().topics
            except KafkaException:  # it asked the one that is away
                return None
            return topics

        topics = wait_until(told, "a broker to say which topics there are", READY_SECONDS)
        assert topics is not None
        return topics

    def _coordinator(self, topic: str, key: str) -> int:
        return int(self._partition(topic, key).leader)

    def _partition(self, topic: str, key: str) -> PartitionMetadata:
        partitions = self.topics()[topic].partitions
        return partitions[_java_hash(key) % len(partitions)]

    def _tail(self, node: int) -> str:
        lines = []
        for name in ("console.log", "broker.log"):
            log = self._home(node) / name
            lines += log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return "\n".join(lines[-_LOG_LINES_SHOWN:])


def _java_hash(text: str) -> int:
    """What Kafka goes by to choose a coordinator: Java's `String.hashCode`, its sign bit cut off."""
    value = 0
    raw = text.encode("utf-16-be")
    for high, low in zip(raw[::2], raw[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF
