"""A broker with users and an authorizer that denies what is not granted, and the rights that the documentation lists for each role.

broker = RightsBroker(tmp_path)
broker.up()
broker.grant(documented("worker", "main"))  # exactly what docs/deployment.md says
broker.settings("worker", session="main")
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams.broker import LocalBroker
from streams.broker.folder import DataFolder
from streams.broker.ports import free_port
from streams.config.settings import Settings
from tests.support.kafka.certificates import HOST, Certificates
from tests.support.waiting import wait_until

ROLES = ("worker", "producer", "consumer", "operator", "auditor", "researcher")
_DOCUMENT = Path(__file__).parents[3] / "docs" / "deployment.md"
_RESOURCES = {"--topic": ResourceType.TOPIC, "--group": ResourceType.GROUP, "--transactional-id": ResourceType.TRANSACTIONAL_ID}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Delete": AclOperation.DELETE,
}


def documented(role: str, session: str) -> list[AclBinding]:
    """The rights of a role, read from the commands in docs/deployment.md, for a session of this name."""
    text = _DOCUMENT.read_text("utf-8").partition("<!-- rights: begin -->")[2].partition("<!-- rights: end -->")[0]
    bindings = []
    for line in text.splitlines():
        if not line.startswith("acls --"):
            continue
        words = shlex.split(line)[1:]
        pairs = list(zip(words[::2], words[1::2], strict=True))
        options = dict(pairs)
        if options["--allow-principal"] != f"User:{role}":
            continue
        (option,) = _RESOURCES.keys() & options.keys()
        name = options[option]
        name = f"{session}{name.removeprefix('main')}" if name.startswith("main") else name
        prefixed = options.get("--resource-pattern-type") == "prefixed"
        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        bindings += [
            AclBinding(_RESOURCES[option], name, pattern, f"User:{role}", "*", _OPERATIONS[word], AclPermissionType.ALLOW)
            for key, word in pairs
            if key == "--operation"
        ]
    return bindings


@dataclass(frozen=True)
class Listener:
    """A port of the broker's: what is spoken there, and with which certificate."""

    protocol: str
    keystore: Path | None = None
    port: int = field(default_factory=free_port)


class _Folder(DataFolder):
    """A folder whose settings add listeners, and an authorizer. Who comes without a user may do everything."""

    def __init__(self, path: Path, listeners: Mapping[str, Listener]) -> None:
        super().__init__(path)
        self._listeners = listeners

    def write_properties(self, *, port: int, controller_port: int) -> None:
        super().write_properties(port=port, controller_port=controller_port)
        client = f"CLIENT://{HOST}:{port}"
        addresses = "".join(f",{name}://{HOST}:{one.port}" for name, one in self._listeners.items())
        protocols = "".join(f",{name}:{one.protocol}" for name, one in self._listeners.items())
        text = self.properties.read_text("utf-8").replace(client, f"{client}{addresses}")
        text = text.replace("CONTROLLER:PLAINTEXT", f"CONTROLLER:PLAINTEXT{protocols}")
        users = " ".join(f'user_{role}="{role}-secret"' for role in ROLES)
        more = ["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS"]
        for name, one in self._listeners.items():
            of_listener = f"listener.name.{name.lower()}"
            if one.keystore is not None:
                more += [f"{of_listener}.ssl.keystore.type=PEM", f"{of_listener}.ssl.keystore.location={one.keystore}"]
            if one.protocol.startswith("SASL"):
                module = f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
                more += [f"{of_listener}.sasl.enabled.mechanisms=PLAIN", f"{of_listener}.plain.sasl.jaas.config={module}"]
        self.properties.write_text("\n".join([text, *more, ""]), "utf-8")


class RightsBroker:
    """The broker; `servers` asks for a user, `open_servers` lets everybody do everything.

    `tls` has the addresses that speak TLS by what their certificate is: `good` (and asks for a user), `expired`, `elsewhere` (of another
    host), and `certificates` who has issued these.
    """

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates(folder / "certificates")
        expired = datetime(2021, 1, 1, tzinfo=UTC)
        listeners = {
            "SASL": Listener("SASL_PLAINTEXT"),
            "GOOD": Listener("SASL_SSL", self.certificates.broker("good")),
            "EXPIRED": Listener("SSL", self.certificates.broker("expired", until=expired)),
            "ELSEWHERE": Listener("SSL", self.certificates.broker("elsewhere", host="kafka.example")),
        }
        self._broker = LocalBroker(folder)
        self._broker._folder = _Folder(folder, listeners)
        self.servers = f"{HOST}:{listeners['SASL'].port}"
        self.tls = {name.lower(): f"{HOST}:{one.port}" for name, one in listeners.items() if one.keystore is not None}

    def up(self) -> None:
        """Start it."""
        self._broker.up()
        self.open_servers = self._broker.bootstrap_servers
        self.admin = AdminClient({"bootstrap.servers": self.open_servers, "log_level": 0})

    def down(self) -> None:
        """End it."""
        self._broker.down()

    def environment(self, role: str, session: str, **properties: str) -> dict[str, str]:
        """The variables with which a process comes as this user."""
        login = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": role,
            "sasl.password": f"{role}-secret",
            **properties,
        }
        return {
            "STREAMS_BOOTSTRAP_SERVERS": self.servers,
            "STREAMS_SESSION": session,
            "STREAMS_KAFKA_CONFIG": json.dumps(login),
        }

    def settings(self, role: str, session: str, **properties: str) -> Settings:
        """The settings of a client that comes as this user."""
        login = json.loads(self.environment(role, session, **properties)["STREAMS_KAFKA_CONFIG"])
        return Settings.load(bootstrap_servers=self.servers, session=session, kafka_config=login)

    def grant(self, bindings: Iterable[AclBinding]) -> None:
        """Allow these, and wait until the broker goes by it."""
        wanted = list(bindings)
        for created in self.admin.create_acls(wanted).values():
            created.result(60)
        self._await(lambda found: set(wanted) <= found)

    def revoke(self, bindings: Iterable[AclBinding]) -> None:
        """Take these back, and wait until the broker goes by it."""
        gone = list(bindings)
        filters = [
            AclBindingFilter(
                one.restype, one.name, one.resource_pattern_type, one.principal, one.host, one.operation, one.permission_type
            )
            for one in gone
        ]  # fmt: skip
        for deleted in self.admin.delete_acls(filters).values():
            deleted.result(60)
        self._await(lambda found: not set(gone) & found)

    def _await(self, condition: object) -> None:
        every = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
        )  # fmt: skip
        wait_until(lambda: condition(set(self.admin.describe_acls(every).result(60))), "the broker to know the rules")  # type: ignore[operator]
