"""The broker's data folder: what lies where, and the settings that one small node needs.

    broker.json          the running, or last, process: pid and port
    broker.lock          held while a process starts or stops the broker
    server.properties    written at each start
    kafka/               topics, transactions and metadata: the data
    scratch/             Java's temporary files, emptied at each start
    logs/broker.log      the broker's log;  logs/console.log  what Java itself prints

The settings keep bars for ever (the user's folder, the user's bars: `streams broker` never deletes by age), create no
topic by accident, and keep one partition where many only make a start slow.
"""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from streams.errors import BrokerError

HOST: Final = "127.0.0.1"

_PROPERTIES: Final = """\
# Written by `streams broker up` at each start: edits are lost.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=CLIENT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=CLIENT://{host}:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs={data}

auto.create.topics.enable=false
default.replication.factor=1
num.partitions=1
log.retention.ms=-1

offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# After a crash the controller waits this long before it takes the broker back.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.backoff.ms=2000
log.cleaner.dedupe.buffer.size=33554432
"""


class BrokerProcess(Struct, frozen=True):
    """What `broker.json` holds: the process that was started last, and the port that its clients use."""

    pid: int
    port: int


class DataFolder:
    """Paths and small files of one broker's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        if "," in str(self.path):
            raise BrokerError(f"the data folder {self.path} has a comma in its path, which Kafka takes for a list: choose another")
        self.lock = self.path / "broker.lock"
        self.properties = self.path / "server.properties"
        self.data = self.path / "kafka"
        self.log = self.path / "logs" / "broker.log"
        self.console = self.path / "logs" / "console.log"
        self.scratch = self.path / "scratch"
        self._process = self.path / "broker.json"

    def create(self) -> None:
        """Make the folders that are missing, and empty the scratch folder: a killed broker leaves libraries there."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.data, self.log.parent, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_formatted(self) -> bool:
        """Whether an earlier run has made this folder Kafka's."""
        return (self.data / "meta.properties").exists()

    def write_properties(self, *, port: int, controller_port: int) -> None:
        """Write the settings for a start with these ports."""
        text = _PROPERTIES.format(host=HOST, port=port, controller_port=controller_port, data=_escaped(self.data))
        self.properties.write_text(text, "utf-8")

    def read_process(self) -> BrokerProcess | None:
        """The process that was started last; None when none was, or when the file was cut short by a crash.

        Raises:
            BrokerError: the folder can't be read.
        """
        try:
            return msgspec.json.decode(self._process.read_bytes(), type=BrokerProcess)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None
        except OSError as error:
            raise BrokerError(
                f"{self._process} can't be read ({error}): choose another folder with --data or STREAMS_BROKER_DATA"
            ) from error

    def write_process(self, process: BrokerProcess) -> None:
        """Remember the process, in one step, so that a reader sees the old one or the new one."""
        written = self._process.with_suffix(".new")
        written.write_bytes(msgspec.json.encode(process))
        written.replace(self._process)

    def log_size(self) -> int:
        """Bytes in the broker's log: the mark that `log_since` reads from."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, mark: int) -> list[str]:
        """What Java printed at the last start, and what the broker logged after `mark` bytes."""
        lines = self.console.read_text("utf-8", "replace").splitlines() if self.console.exists() else []
        if self.log.exists():
            logged = self.log.read_bytes()
            lines += logged[mark if mark <= len(logged) else 0 :].decode("utf-8", "replace").splitlines()
        return lines


def new_cluster_id() -> str:
    """A cluster id as Kafka wants it: 16 random bytes in URL-safe base64 that don't begin like an option of its tools."""
    while (encoded := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return encoded


def _escaped(path: Path) -> str:
    # Java reads properties as Latin-1 with the same escapes that JSON has.
    return json.dumps(str(path))[1:-1]
