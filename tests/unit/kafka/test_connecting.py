"""Why a connection fails although a broker is there: what librdkafka says of it, and what a look at the port adds, in one sentence."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from streams.broker.ports import free_port
from streams.config.settings import Settings
from streams.errors import BrokerConnectionError, NobodyThereError
from streams.kafka.clients import ErrorNote, no_broker
from streams.kafka.connecting import connection_fault

UNVERIFIED = (
    "ssl://127.0.0.1:33915/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate "
    "could not be verified, verify that ssl.ca.location is correctly configured (after 19ms in state SSL_HANDSHAKE)"
)


def certificate(folder: Path, *, until: datetime.datetime) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    file = folder / "broker.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def listening(pem: Path | None) -> Iterator[str]:
    """The address of a port that shakes hands with TLS; without a certificate it closes each connection at once."""
    context = None
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), link:
                if context is not None:
                    context.wrap_socket(link, server_side=True).close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def noted(code: int, text: str) -> ErrorNote:
    note = ErrorNote()
    note(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    note(KafkaError(code, text))
    return note


def test_a_plaintext_client_at_a_tls_port_is_told_so(tmp_path: Path) -> None:
    with listening(certificate(tmp_path, until=datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC))) as servers:
        error = no_broker(Settings.load(bootstrap_servers=servers), ErrorNote())
    assert isinstance(error, BrokerConnectionError)
    assert "it is a TLS port, and security.protocol is PLAINTEXT: set SSL or SASL_SSL" in str(error)
    assert "broker up" not in str(error)


def test_an_expired_certificate_is_told_from_one_that_nobody_here_trusts(tmp_path: Path) -> None:
    pem = certificate(tmp_path, until=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
    note = noted(KafkaError._SSL, UNVERIFIED)
    with listening(pem) as servers:
        trusting = {"security.protocol": "SSL", "ssl.ca.location": str(pem)}
        expired = no_broker(Settings.load(bootstrap_servers=servers, kafka_config=trusting), note)
        strange = no_broker(Settings.load(bootstrap_servers=servers, kafka_config={"security.protocol": "SSL"}), note)
    assert "its certificate is not accepted: certificate has expired" in str(expired)
    assert "its certificate is not accepted: self-signed certificate" in str(strange)


def test_a_port_that_closes_connections_or_is_not_open_is_a_broker_that_does_not_answer() -> None:
    with listening(None) as servers:
        assert isinstance(no_broker(Settings.load(bootstrap_servers=servers), ErrorNote()), NobodyThereError)
    closed = Settings.load(bootstrap_servers=f"127.0.0.1:{free_port()}")
    refused = noted(KafkaError._TRANSPORT, "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused")
    assert isinstance(no_broker(closed, refused), NobodyThereError)


@pytest.mark.parametrize(
    ("code", "text", "said", "is_login"),
    [
        (
            KafkaError._AUTHENTICATION,
            "SASL authentication error: Authentication failed: Invalid username or password (after 304ms in state AUTH_REQ)",
            "it does not accept User:desk: wrong password or unknown user",
            True,
        ),
        (
            KafkaError._AUTHENTICATION,
            "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: PLAIN",
            "it does not accept this way to log in, SASL_SSL with the mechanism in STREAMS_KAFKA_CONFIG (SASL SCRAM-SHA-512 mechanism",
            False,
        ),
        (
            KafkaError._TRANSPORT,
            "SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener?",
            "it does not speak TLS, and security.protocol is SASL_SSL: set SASL_PLAINTEXT in STREAMS_KAFKA_CONFIG",
            False,
        ),
    ],
)
def test_what_the_client_says_of_its_connection_is_said_with_what_is_wrong(code: int, text: str, said: str, is_login: bool) -> None:
    login = {"security.protocol": "SASL_SSL", "sasl.username": "desk", "sasl.password": "never-shown"}
    settings = Settings.load(bootstrap_servers="127.0.0.1:9", kafka_config=login)
    fault = connection_fault(settings, noted(code, f"sasl_ssl://127.0.0.1:9/bootstrap: {text}").fault)
    assert fault is not None
    assert said in str(fault)
    assert fault.is_login is is_login
    assert "never-shown" not in str(fault)
