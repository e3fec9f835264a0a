"""Connections that a real broker refuses, or that a client refuses: each is told by its cause, to clients, and to a worker that starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from streams.client.producer import BarProducer
from streams.client.state import read_state
from streams.config.settings import Settings
from streams.errors import BrokerConnectionError, BrokerLostError, LoginError
from streams.wire.topics import TopicNames
from streams.worker import setup
from tests.support.feeders import made_up_bars, now_us
from tests.support.kafka.rights import RightsBroker

LOGIN = {"sasl.mechanism": "PLAIN", "sasl.username": "operator", "sasl.password": "operator-secret"}


@dataclass(frozen=True)
class Case:
    """How a client connects, and what is to be said of it; `port` is `sasl`, `open`, or a name of `RightsBroker.tls`."""

    port: str
    properties: dict[str, str]
    said: str
    trusts: str | None = None
    is_login: bool = False
    helps: str = field(default="")

    def settings(self, broker: RightsBroker) -> Settings:
        """The settings of such a client."""
        servers = {"sasl": broker.servers, "open": broker.open_servers, **broker.tls}[self.port]
        known = {"good": broker.certificates.authority, "other": broker.certificates.other_authority}
        trusted = {} if self.trusts is None else {"ssl.ca.location": str(known[self.trusts])}
        return Settings.load(bootstrap_servers=servers, session="main", kafka_config={**trusted, **self.properties})


PLAIN, TLS = {"security.protocol": "SASL_PLAINTEXT", **LOGIN}, {"security.protocol": "SASL_SSL", **LOGIN}
CASES = {
    "wrong password": Case(
        "sasl", {**PLAIN, "sasl.password": "wrong"}, "it does not accept User:operator: wrong password or unknown user", is_login=True
    ),
    "wrong password over TLS": Case(
        "good", {**TLS, "sasl.password": "wrong"}, "it does not accept User:operator: wrong password or unknown user", "good", is_login=True
    ),
    "unknown user": Case(
        "sasl", {**PLAIN, "sasl.username": "nobody"}, "it does not accept User:nobody: wrong password or unknown user", is_login=True
    ),
    "unknown mechanism": Case("sasl", {**PLAIN, "sasl.mechanism": "SCRAM-SHA-512"}, "supported mechanisms: PLAIN"),
    "expired certificate": Case(
        "expired", {"security.protocol": "SSL"}, "its certificate is not accepted: certificate has expired", "good", helps="renew"
    ),
    "untrusted authority": Case(
        "good", TLS, "its certificate is not accepted: unable to get local issuer certificate", "other", helps="ssl.ca.location"
    ),
    "certificate of another host": Case(
        "elsewhere", {"security.protocol": "SSL"}, "certificate is not valid for '127.0.0.1'", "good", helps="connect by a name"
    ),
    "plaintext on a TLS port": Case(
        "good", {}, "it is a TLS port, and security.protocol is PLAINTEXT", helps="set SSL or SASL_SSL in STREAMS_KAFKA_CONFIG"
    ),
    "a login without TLS on a TLS port": Case(
        "good", PLAIN, "it is a TLS port, and security.protocol is SASL_PLAINTEXT", helps="set SASL_SSL in STREAMS_KAFKA_CONFIG"
    ),
    "TLS on a plaintext port": Case(
        "open", {"security.protocol": "SSL"}, "it does not speak TLS, and security.protocol is SSL", "good", helps="set PLAINTEXT"
    ),
    "TLS on a plaintext port with a login": Case(
        "sasl", TLS, "it does not speak TLS, and security.protocol is SASL_SSL", "good", helps="set SASL_PLAINTEXT"
    ),
    "no login where one is asked for": Case(
        "sasl", {}, "it asks for a login, and security.protocol is PLAINTEXT", helps="set SASL_PLAINTEXT, sasl.mechanism (PLAIN)"
    ),
    "no login where one is asked for over TLS": Case(
        "good", {"security.protocol": "SSL"}, "it asks for a login, and security.protocol is SSL", "good", helps="set SASL_SSL"
    ),
    "a login where none is taken": Case("open", PLAIN, "it takes no login, and security.protocol is SASL_PLAINTEXT", helps="set PLAINTEXT"),
}


def produce(settings: Settings) -> None:
    with BarProducer(settings) as producer:
        for bar in made_up_bars("SPY", 1, end_us=now_us()):
            producer.send(bar)


def prepare(settings: Settings) -> None:
    setup.prepare_topics(settings, TopicNames("main"), "main-state-changelog")


DOINGS: dict[str, Callable[[Settings], object]] = {"a reader": read_state, "a producer": produce, "a worker that starts": prepare}


@pytest.fixture(scope="module")
def errors(guarded: RightsBroker) -> Iterator[dict[tuple[str, str], Exception]]:
    """What each of them raises in each case: all at the same time, since each takes seconds to give up."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(setup, "BROKER_WAIT_SECONDS", 0.0)
        attempts = {(name, doing): pool.submit(DOINGS[doing], CASES[name].settings(guarded)) for name in CASES for doing in DOINGS}
        raised = {which: attempt.exception() for which, attempt in attempts.items()}
        yield {which: error for which, error in raised.items() if isinstance(error, Exception)}


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("name", CASES)
def test_a_connection_that_is_refused_is_told_by_its_cause_and_by_what_helps(
    guarded: RightsBroker, errors: dict[tuple[str, str], Exception], name: str, doing: str
) -> None:
    case, error = CASES[name], errors[name, doing]
    of_worker = LoginError if case.is_login else BrokerLostError
    assert type(error) is (of_worker if doing == "a worker that starts" else BrokerConnectionError), error
    said = str(error)
    assert said.startswith(f"a broker is at {case.settings(guarded).bootstrap_servers}, and the connection failed: "), said
    assert case.said in said
    assert case.helps in said
    assert "broker up" not in said
    assert "secret" not in said


def test_the_command_line_says_it_in_one_line_and_ends_with_1(guarded: RightsBroker) -> None:
    case = CASES["no login where one is asked for"]
    environment = {**os.environ, "STREAMS_BOOTSTRAP_SERVERS": case.settings(guarded).bootstrap_servers, "STREAMS_SESSION": "main"}
    command = [sys.executable, "-m", "streams.cli.main", "status", "--once"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "it asks for a login, and security.protocol is PLAINTEXT: set SASL_PLAINTEXT" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
