"""The settings: what the environment may say, and what is told when it says something else."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from streams.config import settings as module
from streams.config.settings import Settings
from streams.errors import SettingsError


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("STREAMS_"):
            monkeypatch.delenv(name)


def complaints() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STREAMS_BOOTSTRAP", "STREAMS_BOOTSTRAP_SERVERS"),
        ("STREAMS_BOOTSTRAP_SERVER", "STREAMS_BOOTSTRAP_SERVERS"),
        ("STREAMS_INSTANCEID", "STREAMS_INSTANCE_ID"),
        ("STREAMS_TRANSACTION_TIMEOUT", "STREAMS_TRANSACTION_TIMEOUT_MS"),
    ],
)
def test_a_variable_that_looks_like_a_setting_and_is_none_is_told_with_what_was_meant(name: str, meant: str) -> None:
    assert module.misspelt([name, "PATH"]) == [f"{name} is no setting and has no effect: did you mean {meant}?"]


def test_variables_of_others_are_no_typing_errors() -> None:
    own = [f"STREAMS_{name.upper()}" for name in Settings.model_fields]
    of_compose = ["STREAMS_CONFIG", "STREAMS_CONFIG_FILE", "STREAMS_IMAGE", "STREAMS_BUILD_CA", "STREAMS_CACHE", "STREAMS_BROKER_DATA"]
    of_kubernetes = ["STREAMS_WORKER_SERVICE_HOST", "STREAMS_WORKER_PORT_6066_TCP", "STREAMS_WORKER_SERVICE_PORT"]
    assert module.misspelt([*own, *of_compose, *of_kubernetes, "STREAMSX_SESSION", "SESSION", "BOOTSTRAP_SERVERS"]) == []


def test_without_any_variable_the_defaults_hold() -> None:
    assert Settings.load().model_dump() == {
        "bootstrap_servers": "localhost:9092",
        "session": None,
        "topic_prefix": "",
        "bars_pattern": "bars.{symbol}",
        "quotes_pattern": "quotes.{symbol}",
        "ticks_pattern": "ticks.{symbol}",
        "topic_overrides": {},
        "create_topics": True,
        "replication_factor": -1,
        "bars_retention_ms": -1,
        "output_retention_ms": 604_800_000,
        "history": None,
        "schema_ids_file": None,
        "http_host": "127.0.0.1",
        "http_port": 6066,
        "advertised_url": None,
        "allowed_hosts": (),
        "read_token": None,
        "command_token": None,
        "instance_id": None,
        "log_level": "INFO",
        "log_json": False,
        "transaction_timeout_ms": 30_000,
        "session_timeout_seconds": 6.0,
        "heartbeat_timeout_seconds": 3.0,
        "clock_tolerance_seconds": 5.0,
        "removal_deadline_seconds": 30.0,
        "kafka_config": {},
    }


@pytest.mark.parametrize(
    ("variable", "text", "value", "reason"),
    [
        ("BOOTSTRAP_SERVERS", "kafka:9092", "kafka:9092", "one broker"),
        ("BOOTSTRAP_SERVERS", "a:1,b:65535, [::1]:9092", "a:1,b:65535, [::1]:9092", "several, one of them IPv6"),
        ("BOOTSTRAP_SERVERS", "SASL_SSL://a:9092", "SASL_SSL://a:9092", "with a protocol, as librdkafka takes it"),
        ("SESSION", "main", "main", "a session's name"),
        ("TOPIC_PREFIX", "desk-1.", "desk-1.", "with its own separator"),
        ("BARS_PATTERN", "md_{symbol}.1m", "md_{symbol}.1m", "the symbol anywhere"),
        ("TOPIC_OVERRIDES", '{"BTC/USD": "crypto.btc"}', {"BTC/USD": "crypto.btc"}, "a symbol of any characters"),
        ("CREATE_TOPICS", "no", False, "another word for false"),
        ("REPLICATION_FACTOR", "3", 3, "three copies"),
        ("BARS_RETENTION_MS", "1", 1, "the lower bound"),
        ("OUTPUT_RETENTION_MS", "-1", -1, "for ever"),
        ("HISTORY", "/data/bars", "/data/bars", "what it means is found out by whoever asks it"),
        ("SCHEMA_IDS_FILE", "/etc/ids.json", Path("/etc/ids.json"), "a path"),
        ("HTTP_HOST", "0.0.0.0", "0.0.0.0", "any interface"),
        ("HTTP_PORT", "0", 0, "off"),
        ("HTTP_PORT", "65535", 65_535, "the upper bound"),
        ("ADVERTISED_URL", "http://worker-1:6066", "http://worker-1:6066", "a container's name"),
        ("ADVERTISED_URL", "https://desk.example/main/", "https://desk.example/main", "behind a proxy, on a path"),
        ("ALLOWED_HOSTS", "Worker-1., *.Desk.example,,[::1]", ("worker-1", "*.desk.example", "::1"), "several, each in its one spelling"),
        ("ALLOWED_HOSTS", "0:0:0:0:0:0:0:1,10.0.0.5", ("::1", "10.0.0.5"), "addresses, an IPv6 one without brackets"),
        ("ALLOWED_HOSTS", "*", ("*",), "any, behind a proxy that checks"),
        ("READ_TOKEN", "0123456789abcdef", SecretStr("0123456789abcdef"), "the shortest that is taken"),
        ("COMMAND_TOKEN", "0123456789abcdef", SecretStr("0123456789abcdef"), "the same for commands"),
        ("INSTANCE_ID", "worker-1", "worker-1", "a pod's name"),
        ("LOG_LEVEL", "debug", "DEBUG", "in small letters"),
        ("LOG_JSON", "1", True, "another word for true"),
        ("TRANSACTION_TIMEOUT_MS", "1000", 1_000, "the lower bound"),
        ("TRANSACTION_TIMEOUT_MS", "900000", 900_000, "what a broker allows unless told otherwise"),
        ("SESSION_TIMEOUT_SECONDS", "1", 1.0, "the lower bound"),
        ("CLOCK_TOLERANCE_SECONDS", "0", 0.0, "no clock is compared"),
        ("REMOVAL_DEADLINE_SECONDS", "0", 0.0, "no draining"),
        ("KAFKA_CONFIG", '{"security.protocol": "SSL"}', {"security.protocol": "SSL"}, "a property"),
        (
            "KAFKA_CONFIG",
            '{"linger.ms": 5, "log.connection.close": false}',
            {"linger.ms": "5", "log.connection.close": "false"},
            "as texts",
        ),
    ],
)
def test_a_variable_sets_its_value(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: object, reason: str) -> None:
    monkeypatch.setenv(f"STREAMS_{variable}", text)
    assert getattr(Settings.load(), variable.lower()) == value, reason


SECRET = "must have at least 16 characters of ASCII without blanks: `openssl rand -hex 32` makes one"
HOSTS = "must be names or addresses of hosts without ports, such as worker-1,*.desk.example,10.0.0.5, got"
TOPIC = "must be letters, digits, '.', '_' and '-', as Kafka allows in a topic, at most 249, got"


@pytest.mark.parametrize(
    ("variable", "text", "message", "reason"),
    [
        ("BOOTSTRAP_SERVERS", "a:1,,b:2", "must be host:port, several with commas between, got '' in 'a:1,,b:2'", "a comma too many"),
        ("BOOTSTRAP_SERVERS", "a:65536", "must be host:port, several with commas between, got 'a:65536' in 'a:65536'", "no such port"),
        ("BOOTSTRAP_SERVERS", "http://a", "must be host:port, several with commas between, got 'http://a' in 'http://a'", "no web page"),
        ("BOOTSTRAP_SERVERS", "a b", "must be host:port, several with commas between, got 'a b' in 'a b'", "a blank"),
        ("SESSION", "a.b", "must be 1 to 48 letters, digits, _ or -, since topics are named after it, got 'a.b'", "a dot separates topics"),
        ("TOPIC_PREFIX", "desk/", f"{TOPIC} 'desk/'", "a slash is not for topics"),
        ("BARS_PATTERN", "bars", "must have {symbol} in it once, such as bars.{symbol}, got 'bars'", "all symbols in one topic"),
        ("BARS_PATTERN", "{symbol}{symbol}", "must have {symbol} in it once, such as bars.{symbol}, got '{symbol}{symbol}'", "twice"),
        ("BARS_PATTERN", "bars {symbol}", f"{TOPIC} 'bars '", "a blank"),
        ("TOPIC_OVERRIDES", '{"SPY"', 'must be JSON such as {"name": "value"}: Expecting \':\' delimiter at character 6', "cut off"),
        ("TOPIC_OVERRIDES", '["SPY"]', 'must be a JSON object such as {"name": "value"}, got a list', "another kind of JSON"),
        ("TOPIC_OVERRIDES", '{"SPY": ""}', "must name a topic for SPY, got ''", "empty"),
        ("TOPIC_OVERRIDES", '{"SPY": "a/b"}', f"{TOPIC} 'a/b'", "a slash is not for topics"),
        (
            "TOPIC_OVERRIDES",
            '{"A": "x", "B": "x"}',
            "names the topic x for more than one symbol: each symbol has a topic of its own",
            "shared",
        ),
        ("CREATE_TOPICS", "perhaps", 'must be true or false, got "perhaps"', "neither"),
        ("REPLICATION_FACTOR", "0", "must be -1 or at least 1, got 0", "no copy at all"),
        ("REPLICATION_FACTOR", "-2", 'must be between -1 and 32767, got "-2"', "below the broker's own"),
        ("REPLICATION_FACTOR", "many", 'must be a whole number, got "many"', "a word"),
        ("BARS_RETENTION_MS", "-5", 'must be >= -1, got "-5"', "below for ever"),
        ("HTTP_PORT", "65536", 'must be between 0 and 65535, got "65536"', "no such port"),
        ("ADVERTISED_URL", "worker-1:6066", "must be a URL such as http://worker-1:6066, got 'worker-1:6066'", "no scheme"),
        ("ADVERTISED_URL", "http://", "must be a URL such as http://worker-1:6066, got 'http://'", "no host"),
        ("ALLOWED_HOSTS", "worker-1,worker-2:6067", f"{HOSTS} 'worker-2:6067'", "ports make no difference"),
        ("ALLOWED_HOSTS", "http://worker-1", f"{HOSTS} 'http://worker-1'", "a URL"),
        ("ALLOWED_HOSTS", "desk.*", f"{HOSTS} 'desk.*'", "the end is what the owner of a domain has"),
        ("ALLOWED_HOSTS", "*.10.0.0.5", f"{HOSTS} '*.10.0.0.5'", "nothing is below an address"),
        ("ALLOWED_HOSTS", "*.", f"{HOSTS} '*.'", "below nothing"),
        ("READ_TOKEN", "short", SECRET, "easily guessed"),
        ("COMMAND_TOKEN", "0123456789 abcdef", SECRET, "a header can't carry it as it is"),
        ("LOG_LEVEL", "loud", 'must be "TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR" or "CRITICAL", got "LOUD"', "not a level"),
        ("TRANSACTION_TIMEOUT_MS", "999", 'must be between 1000 and 900000, got "999"', "just below"),
        ("TRANSACTION_TIMEOUT_MS", "900001", 'must be between 1000 and 900000, got "900001"', "just above"),
        ("SESSION_TIMEOUT_SECONDS", "0.5", 'must be between 1 and 1800, got "0.5"', "just below"),
        ("SESSION_TIMEOUT_SECONDS", "nan", 'must be a finite number, got "nan"', "no number"),
        ("CLOCK_TOLERANCE_SECONDS", "-1", 'must be >= 0, got "-1"', "just below"),
        ("REMOVAL_DEADLINE_SECONDS", "-1", 'must be >= 0, got "-1"', "just below"),
        ("KAFKA_CONFIG", '{"acks": 1}', "must not set acks: each client sets its own", "exactly once depends on it"),
        (
            "KAFKA_CONFIG",
            '{"bootstrap.servers": "a"}',
            "must not set bootstrap.servers: use STREAMS_BOOTSTRAP_SERVERS",
            "it has a variable",
        ),
        ("KAFKA_CONFIG", '{"a": null}', "must have a text, a number, true or false at a, got a NoneType", "null is no value"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str, reason: str
) -> None:
    monkeypatch.setenv(f"STREAMS_{variable}", text)
    assert complaints() == [f"STREAMS_{variable} {message}"], reason


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_HTTP_PORT", "x")
    monkeypatch.setenv("STREAMS_LOG_JSON", "x")
    assert [line.split()[0] for line in complaints()] == ["STREAMS_HTTP_PORT", "STREAMS_LOG_JSON"]


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_SESSION", "")
    monkeypatch.setenv("STREAMS_HTTP_PORT", "")
    loaded = Settings.load()
    assert (loaded.session, loaded.http_port) == (None, 6066)


def test_an_override_wins_and_none_is_no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_BOOTSTRAP_SERVERS", "environment:9092")
    monkeypatch.setenv("STREAMS_SESSION", "environment")
    loaded = Settings.load(bootstrap_servers="option:9092", session=None)
    assert (loaded.bootstrap_servers, loaded.session) == ("option:9092", "environment")


def test_an_override_of_no_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"STREAMS_BOOTSTRAP is not a known key: did you mean bootstrap_servers\?"):
        Settings.load(bootstrap="a:1")


def test_no_file_is_read_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STREAMS_SESSION=from_a_file\n")
    monkeypatch.chdir(tmp_path)
    assert Settings.load().session is None


def test_properties_for_a_client_are_the_brokers_then_the_users_then_the_clients_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("STREAMS_KAFKA_CONFIG", '{"security.protocol": "SSL", "linger.ms": 100}')
    assert Settings.load().kafka(**{"group.id": "readers", "linger.ms": 5}) == {
        "bootstrap.servers": "kafka:9092",
        "security.protocol": "SSL",
        "linger.ms": 5,
        "group.id": "readers",
    }


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_KAFKA_CONFIG", '{"sasl.password": "hunter2"}')
    loaded = Settings.load()
    assert loaded.kafka()["sasl.password"] == "hunter2"
    assert "hunter2" not in repr(loaded)
    for broken in ('{"sasl.password": "hunter2"', '["hunter2"]', '{"sasl.password": ["hunter2"]}', '{"acks": "hunter2"}'):
        monkeypatch.setenv("STREAMS_KAFKA_CONFIG", broken)
        assert "hunter2" not in "".join(complaints())


@pytest.mark.parametrize("variable", ["STREAMS_READ_TOKEN", "STREAMS_COMMAND_TOKEN"])
def test_a_token_is_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    token = "hunter2hunter2hunter2"
    monkeypatch.setenv(variable, token)
    loaded = Settings.load()
    assert token not in repr(loaded) + str(loaded) + loaded.model_dump_json()
    monkeypatch.setenv(variable, "hunter2")
    assert "hunter2" not in "".join(complaints())


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("127.0.0.1", 6066, "http://127.0.0.1:6066"),
        ("0.0.0.0", 80, f"http://{socket.gethostname()}:80"),
        ("::1", 80, "http://[::1]:80"),
        ("127.0.0.1", 0, ""),
    ],
)
def test_where_a_worker_answers_is_told_by_host_and_port_unless_it_is_advertised(host: str, port: int, url: str) -> None:
    assert Settings.load(http_host=host, http_port=port).own_url() == url
    advertised = Settings.load(http_host=host, http_port=port, advertised_url="http://w").own_url()
    assert advertised == ("http://w" if port else "")


def in_the_table(value: object) -> str:
    if value == ():
        return "none"
    match value:
        case None | "":
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def test_the_table_of_settings_has_each_one_with_its_default() -> None:
    rows = re.findall(r"^\| `STREAMS_([A-Z_]+)` \| (.+?) \|", module.__doc__ or "", flags=re.MULTILINE)
    loaded = Settings.load()
    assert dict(rows) == {name.upper(): in_the_table(getattr(loaded, name)) for name in Settings.model_fields}


@pytest.mark.parametrize("text", ["1", "1.9", "0.5", "-3", "nan", "4000"])
def test_readers_do_not_give_up_between_two_heartbeats(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STREAMS_HEARTBEAT_TIMEOUT_SECONDS", text)
    (said,) = complaints()
    assert said.startswith("STREAMS_HEARTBEAT_TIMEOUT_SECONDS")


def test_a_worker_stops_answering_when_a_reader_stops_believing_and_by_itself_where_readers_believe_for_ever() -> None:
    assert Settings.load(heartbeat_timeout_seconds=10).overdue_seconds == 10.0
    assert Settings.load(heartbeat_timeout_seconds=0).overdue_seconds == 3.0
