"""What a process takes from its environment: where Kafka is, how topics are named and kept, how it listens and logs.

What a session is stands in its config file; what surrounds it stands here, so that one config runs on a laptop and in
a cluster. Only the environment and explicit overrides count: no file is read unasked. An empty variable is as none.

| variable | default | meaning |
|---|---|---|
| `STREAMS_BOOTSTRAP_SERVERS` | `localhost:9092` | Kafka's brokers: `host:port`, several with commas between |
| `STREAMS_SESSION` | none | the session that commands of the command line are about |
| `STREAMS_TOPIC_PREFIX` | none | put before the name of every topic that has no override |
| `STREAMS_BARS_PATTERN` | `bars.{symbol}` | name of a symbol's bar topic |
| `STREAMS_QUOTES_PATTERN` | `quotes.{symbol}` | name of the topic of a symbol's quotes |
| `STREAMS_TICKS_PATTERN` | `ticks.{symbol}` | name of the topic of a symbol's ticks |
| `STREAMS_TOPIC_OVERRIDES` | `{}` | JSON of symbols whose bar topic has another name, written whole: `{"SPY": "md.spy.1m"}` |
| `STREAMS_CREATE_TOPICS` | `true` | whether missing topics may be created; otherwise it is said which are needed |
| `STREAMS_REPLICATION_FACTOR` | `-1` | copies of each created topic; -1 leaves it to the broker's `default.replication.factor` |
| `STREAMS_BARS_RETENTION_MS` | `-1` | how long created topics of symbols keep records; -1 for ever, since replays read them |
| `STREAMS_OUTPUT_RETENTION_MS` | `604800000` | the same for the topics that a session writes: seven days |
| `STREAMS_HISTORY` | none | where past bars are asked for: a store's folder, `kafka://host:port`, or `module:attribute` of a source |
| `STREAMS_SCHEMA_IDS_FILE` | none | ids of the Avro schemas; none: those that come with the package |
| `STREAMS_HTTP_HOST` | `127.0.0.1` | where health, metrics and the API listen; `0.0.0.0` in a container |
| `STREAMS_HTTP_PORT` | `6066` | their port; 0 turns them off |
| `STREAMS_ADVERTISED_URL` | none | where other machines reach this worker's API, for a standby to send readers to; none: by host and port |
| `STREAMS_ALLOWED_HOSTS` | none | hosts to answer to besides localhost and the above, with commas between; `*.domain`: all below it |
| `STREAMS_READ_TOKEN` | none | 16 characters or more: lets one read over HTTP while the gate is shut (`internal=true`); none: nobody may |
| `STREAMS_COMMAND_TOKEN` | none | 16 characters or more: lets one add and remove symbols over HTTP; none: nobody may |
| `STREAMS_INSTANCE_ID` | none | a worker's name in its group, stable over restarts; none: one is made up |
| `STREAMS_LOG_LEVEL` | `INFO` | TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR or CRITICAL |
| `STREAMS_LOG_JSON` | `false` | log JSON lines instead of text |
| `STREAMS_TRANSACTION_TIMEOUT_MS` | `30000` | how long brokers have to take a transaction; one whose worker is gone ends after it |
| `STREAMS_SESSION_TIMEOUT_SECONDS` | `6` | after it a worker without a heartbeat is taken for dead; brokers ask for at least 6 |
| `STREAMS_HEARTBEAT_TIMEOUT_SECONDS` | `3` | seconds without an analysis record after which readers treat a session as inactive; 0: never |
| `STREAMS_CLOCK_TOLERANCE_SECONDS` | `5` | how far a worker's clock may be off from the brokers' and the feeds'; 0: it is not compared |
| `STREAMS_REMOVAL_DEADLINE_SECONDS` | `30` | how long a graceful removal may drain before the symbol goes anyway |
| `STREAMS_KAFKA_CONFIG` | `{}` | JSON of further librdkafka properties: `{"security.protocol": "SSL"}` |
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from streams.config.explain import Location, dotted, explain
from streams.config.hostnames import address_of, host_of
from streams.config.sections import Seconds, SessionName
from streams.errors import SettingsError
from streams.model.records import check_symbol

PREFIX: Final = "STREAMS_"
_ANY_HOST: Final = ("0.0.0.0", "::")

# Of the embedded broker, of Faust's command line and of docker-compose.yml.
_OTHERS: Final = frozenset({f"{PREFIX}{name}" for name in ("BROKER_DATA", "CACHE", "URL", "CONFIG", "CONFIG_FILE", "IMAGE", "BUILD_CA")})

OWN_PROPERTIES: Final = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.idempotence",
        "group.id",
        "group.instance.id",
        "isolation.level",
        "metadata.broker.list",
        "transactional.id",
    }
)
"""Properties on which exactly once depends: each client sets its own, so `STREAMS_KAFKA_CONFIG` must not."""

_TOPIC_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._-]*")
_MAX_TOPIC_LENGTH: Final = 249
_TOKEN_LENGTH: Final = 16
HEARTBEAT_TIMEOUT_SECONDS: Final = 3.0
_LEAST_HEARTBEAT_TIMEOUT_SECONDS: Final = 2.0
SERVER: Final = re.compile(r"(?:(?i:(?:SASL_)?(?:PLAINTEXT|SSL))://)?(?:\[[0-9A-Fa-f:.]+\]|[^\s,:/\[\]]+)(?::([0-9]{1,5}))?")
"""One broker's address; the group is its port."""


def _check_servers(servers: str) -> str:
    for server in servers.split(","):
        match = SERVER.fullmatch(server.strip())
        if match is None or not 1 <= int(match[1] or 9092) <= 65535:
            raise ValueError(f"must be host:port, several with commas between, got {server.strip()!r} in {servers!r}")
    return servers


def _check_topic_part(part: str) -> str:
    if not _TOPIC_CHARACTERS.fullmatch(part) or len(part) > _MAX_TOPIC_LENGTH:
        raise ValueError(f"must be letters, digits, '.', '_' and '-', as Kafka allows in a topic, at most 249, got {part!r}")
    return part


def _check_instance(name: str) -> str:
    if name in (".", ".."):
        raise ValueError(f"must be more than dots, got {name!r}")
    return _check_topic_part(name)


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError(f"must be a URL such as http://worker-1:6066, got {url!r}")
    return url.rstrip("/")


def _split(value: object) -> object:
    return tuple(one.strip() for one in value.split(",") if one.strip()) if isinstance(value, str) else value


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_check_host(host) for host in hosts)


def _check_host(host: str) -> str:
    if host == "*":
        return host
    name = host.removeprefix("*.")
    address = address_of(name.removeprefix("[").removesuffix("]"))
    if address is not None and name == host:
        return str(address)
    found = None if ":" in name else host_of(name)
    if found is None or address is not None:
        raise ValueError(f"must be names or addresses of hosts without ports, such as worker-1,*.desk.example,10.0.0.5, got {host!r}")
    return host[: len(host) - len(name)] + found


def _check_token(token: SecretStr) -> SecretStr:
    # The value is not shown, whatever is wrong with it.
    value = token.get_secret_value()
    if len(value) < _TOKEN_LENGTH or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"must have at least {_TOKEN_LENGTH} characters of ASCII without blanks: `openssl rand -hex 32` makes one")
    return token


def _check_pattern(pattern: str) -> str:
    if pattern.count("{symbol}") != 1:
        raise ValueError(f"must have {{symbol}} in it once, such as bars.{{symbol}}, got {pattern!r}")
    _check_topic_part(pattern.replace("{symbol}", ""))
    return pattern


def _mapping(value: object) -> dict[str, str]:
    # The value is not shown where it is wrong: passwords stand in it.
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f'must be JSON such as {{"name": "value"}}: {error.msg} at character {error.pos}') from None
    if not isinstance(value, dict):
        raise ValueError(f'must be a JSON object such as {{"name": "value"}}, got a {type(value).__name__}')
    for name, entry in value.items():
        if not isinstance(entry, str | int | float):
            raise ValueError(f"must have a text, a number, true or false at {name}, got a {type(entry).__name__}")
    return {str(name): str(entry).lower() if isinstance(entry, bool) else str(entry) for name, entry in value.items()}


def _check_overrides(overrides: dict[str, str]) -> dict[str, str]:
    for symbol, topic in overrides.items():
        check_symbol(symbol)
        if not topic or topic in (".", ".."):
            raise ValueError(f"must name a topic for {symbol}, got {topic!r}")
        _check_topic_part(topic)
    topics = list(overrides.values())
    for topic in topics:
        if topics.count(topic) > 1:
            raise ValueError(f"names the topic {topic} for more than one symbol: each symbol has a topic of its own")
    return overrides


def _check_properties(properties: dict[str, str]) -> dict[str, str]:
    for name in properties:
        if name in OWN_PROPERTIES:
            advice = (
                "use STREAMS_BOOTSTRAP_SERVERS" if name in ("bootstrap.servers", "metadata.broker.list") else "each client sets its own"
            )
            raise ValueError(f"must not set {name}: {advice}")
    return properties


def _check_minus_one(number: int) -> int:
    if number == 0:
        raise ValueError("must be -1 or at least 1, got 0")
    return number


def _check_heartbeat(seconds: float) -> float:
    if seconds and seconds < _LEAST_HEARTBEAT_TIMEOUT_SECONDS:
        raise ValueError(
            f"must be 0 or at least {_LEAST_HEARTBEAT_TIMEOUT_SECONDS:g}, since heartbeats are up to 1 s apart, got {seconds:g}"
        )
    return seconds


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Literal["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"]
Mapped = Annotated[dict[str, str], NoDecode, BeforeValidator(_mapping)]
Unlimited = Annotated[int, AfterValidator(_check_minus_one), Field(ge=-1)]
"""A count or a duration of at least one; -1 stands for the broker's own or for none."""


class Settings(BaseSettings):
    """The environment of a process; the module's docstring lists what each one means."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False)

    bootstrap_servers: Annotated[str, AfterValidator(_check_servers)] = "localhost:9092"
    session: SessionName | None = None
    topic_prefix: Annotated[str, AfterValidator(_check_topic_part)] = ""
    bars_pattern: Annotated[str, AfterValidator(_check_pattern)] = "bars.{symbol}"
    quotes_pattern: Annotated[str, AfterValidator(_check_pattern)] = "quotes.{symbol}"
    ticks_pattern: Annotated[str, AfterValidator(_check_pattern)] = "ticks.{symbol}"
    topic_overrides: Annotated[Mapped, AfterValidator(_check_overrides)] = Field(default_factory=dict)
    create_topics: bool = True
    replication_factor: Annotated[Unlimited, Field(le=32767)] = -1
    bars_retention_ms: Unlimited = -1
    output_retention_ms: Unlimited = 7 * 24 * 60 * 60 * 1000
    history: str | None = Field(default=None, repr=False)
    schema_ids_file: Path | None = None
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=6066, ge=0, le=65535)
    advertised_url: Annotated[str, AfterValidator(_check_url)] | None = None
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_hosts)] = ()
    read_token: Annotated[SecretStr, AfterValidator(_check_token)] | None = None
    command_token: Annotated[SecretStr, AfterValidator(_check_token)] | None = None
    instance_id: Annotated[str, AfterValidator(_check_instance)] | None = None
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = "INFO"
    log_json: bool = False
    transaction_timeout_ms: int = Field(default=30_000, ge=1_000, le=900_000)
    session_timeout_seconds: float = Field(default=6.0, ge=1, le=1800)
    heartbeat_timeout_seconds: Annotated[float, AfterValidator(_check_heartbeat)] = Field(default=HEARTBEAT_TIMEOUT_SECONDS, le=3600)
    clock_tolerance_seconds: Seconds = Field(default=5.0, ge=0)
    removal_deadline_seconds: Seconds = Field(default=30.0, ge=0)
    kafka_config: Annotated[Mapped, AfterValidator(_check_properties)] = Field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """The settings of this process; an override that is not `None` wins over its variable.

        Raises:
            SettingsError: values that can't be accepted, one a line: the variable, the value, and what would be right.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**given)  # type: ignore[arg-type]
        except ValidationError as error:
            raise SettingsError(explain(error, cls, name_of=_variable)) from None

    def kafka(self, **more: str | int | float | bool) -> dict[str, str | int | float | bool]:
        """Properties for a confluent-kafka client: the brokers, then `kafka_config`, then `more`, the later ones winning."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.kafka_config, **more}

    def own_url(self) -> str:
        """Where this process answers over HTTP, as others are to be told: as advertised, or by host and port; empty when it does not."""
        if not self.http_port:
            return ""
        if self.advertised_url is not None:
            return self.advertised_url
        host = socket.gethostname() if self.http_host in _ANY_HOST else self.http_host
        return f"http://[{host}]:{self.http_port}" if ":" in host else f"http://{host}:{self.http_port}"

    @property
    def overdue_seconds(self) -> float:
        """Time without a commit after which a worker stops answering reads: as long as a reader of analysis waits."""
        return self.heartbeat_timeout_seconds or HEARTBEAT_TIMEOUT_SECONDS

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Overrides, then the environment, and nothing else."""
        return init_settings, env_settings


def misspelt(environment: Iterable[str]) -> list[str]:
    """What to say of variables that look like one of these and are none: a typing error would leave its default in force, unsaid."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    remarks = []
    for name in sorted(set(environment) - known - _OTHERS):
        near = get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], 1, 0.65)
        if name.startswith(PREFIX) and near:
            remarks.append(f"{name} is no setting and has no effect: did you mean {PREFIX}{near[0]}?")
    return remarks


def _variable(location: Location) -> str:
    return PREFIX + dotted((str(location[0]).upper(), *location[1:])) if location else PREFIX
