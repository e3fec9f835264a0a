"""What Faust's client is given where the brokers ask who it is; handshakes are real ones, over sockets of this machine."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import faust
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.config.settings import Settings
from streams.errors import SettingsError
from streams.worker.faust.security import broker_credentials

USER = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "desk", "sasl.password": "s3cret"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def _context(properties: dict[str, str]) -> ssl.SSLContext:
    credentials = broker_credentials({"security.protocol": "ssl", **properties})
    assert isinstance(credentials, faust.SSLCredentials)
    return credentials.context


def _shake_hands(client: ssl.SSLContext, authority: trustme.CA, *, host: str = "localhost", asks_for_certificate: bool = False) -> None:
    """Connect as aiokafka does, to a server that shows a certificate for `host`."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(server)
    if asks_for_certificate:
        authority.configure_trust(server)
        server.verify_mode = ssl.CERT_REQUIRED

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def connect() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server) as listening:
            port = listening.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
            try:
                if await reader.read() != b"hello":  # with TLS 1.3 a client hears only now that its certificate won't do
                    raise ConnectionError("the server hung up")
            finally:
                writer.close()

    asyncio.run(connect())


@pytest.mark.parametrize("properties", [{}, {"security.protocol": "PLAINTEXT"}, {"client.id": "desk", "linger.ms": "5"}])
def test_without_security_faust_is_given_none(properties: dict[str, str]) -> None:
    assert broker_credentials(properties) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_a_user_with_a_password_reaches_aiokafka_as_it_is(name: str, mechanism: str) -> None:
    given = {"security.protocol": "SASL_PLAINTEXT", name: mechanism, "sasl.username": "desk", "sasl.password": "s3cret"}
    assert credentials_to_aiokafka_auth(broker_credentials(given)) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "desk",
        "sasl_plain_password": "s3cret",
        "ssl_context": None,
    }


def test_a_user_over_ssl_trusts_the_authority_that_is_named(authority: trustme.CA, ca_file: Path) -> None:
    given = {"security.protocol": "sasl_ssl", "ssl.ca.location": str(ca_file), **USER}
    found = credentials_to_aiokafka_auth(broker_credentials(given))
    assert (found["security_protocol"], found["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    _shake_hands(found["ssl_context"], authority)


def test_the_properties_are_read_from_the_same_variable_as_every_other_client_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_KAFKA_CONFIG", '{"security.protocol": "SSL", "enable.ssl.certificate.verification": false}')
    credentials = broker_credentials(Settings.load().kafka_config)
    assert isinstance(credentials, faust.SSLCredentials)
    assert credentials.context.verify_mode is ssl.CERT_NONE


def test_authorities_may_be_given_themselves_instead_of_a_file(authority: trustme.CA) -> None:
    _shake_hands(_context({"ssl.ca.pem": authority.cert_pem.bytes().decode()}), authority)


def test_a_broker_of_another_authority_is_not_trusted(ca_file: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        _shake_hands(_context({"ssl.ca.location": str(ca_file)}), trustme.CA())


def test_a_broker_of_another_name_is_not_trusted_unless_any_will_do(authority: trustme.CA, ca_file: Path) -> None:
    trusting = {"ssl.ca.location": str(ca_file)}
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
        _shake_hands(_context(trusting), authority, host="elsewhere.example")
    _shake_hands(_context({**trusting, "ssl.endpoint.identification.algorithm": "none"}), authority, host="elsewhere.example")


def test_no_certificate_is_checked_where_that_is_asked_for() -> None:
    _shake_hands(_context({"enable.ssl.certificate.verification": "false"}), trustme.CA(), host="elsewhere.example")


def test_a_client_s_own_certificate_is_shown_to_a_broker_that_asks(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    own = authority.issue_cert("desk.example")
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    own.private_key_pem.write_to_path(tmp_path / "own.key")
    context = _context(
        {
            "ssl.ca.location": str(ca_file),
            "ssl.certificate.location": str(tmp_path / "own.pem"),
            "ssl.key.location": str(tmp_path / "own.key"),
        }
    )
    _shake_hands(context, authority, asks_for_certificate=True)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _shake_hands(_context({"ssl.ca.location": str(ca_file)}), authority, asks_for_certificate=True)


def test_a_key_under_a_password_needs_the_right_one(authority: trustme.CA, tmp_path: Path) -> None:
    own = authority.issue_cert("desk.example")
    key = load_pem_private_key(own.private_key_pem.bytes(), None)
    (tmp_path / "own.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"s3cret")))
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    files = {"ssl.certificate.location": str(tmp_path / "own.pem"), "ssl.key.location": str(tmp_path / "own.key")}

    _context({**files, "ssl.key.password": "s3cret"})
    for wrong in ({}, {"ssl.key.password": "another"}):
        with pytest.raises(SettingsError, match=r"is ssl\.key\.password right\?"):
            _context({**files, **wrong})


REFUSED = [
    ({"security.protocol": "tls"}, "security.protocol must be one of plaintext, ssl, sasl_plaintext, sasl_ssl, got 'tls'"),
    # librdkafka's default is Kerberos, so nothing said is not as good as PLAIN
    ({"security.protocol": "sasl_ssl"}, "sasl.mechanisms must be one of .*none is set, which means GSSAPI"),
    ({"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism must be one of .*got OAUTHBEARER"),
    ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "GSSAPI"}, "sasl.mechanism must be one of .*got GSSAPI"),
    ({"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.password": "s3cret"}, "sasl.username must be set"),
    ({"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "desk"}, "sasl.password must be set"),
    # a key store can't be opened by Python: going on without it would connect as nobody
    ({"security.protocol": "ssl", "ssl.keystore.location": "own.p12"}, "ssl.keystore.location can't be carried over.*openssl pkcs12"),
    ({"security.protocol": "ssl", "ssl.key.pem": "s3cret"}, "ssl.key.pem can't be carried over.*ssl.key.location"),
    ({"security.protocol": "ssl", "ssl.crl.location": "revoked.pem"}, "ssl.crl.location can't be carried over"),
    ({"security.protocol": "ssl", "ssl.ca.location": "/no/such.pem"}, "ssl.ca.location must be a file or a folder.*/no/such.pem"),
    ({"security.protocol": "ssl", "ssl.ca.pem": "no certificate"}, "ssl.ca.pem must be certificates in PEM"),
    ({"security.protocol": "ssl", "ssl.key.location": "own.key"}, "ssl.certificate.location must be set"),
    ({"security.protocol": "ssl", "ssl.certificate.location": "/no/such.pem"}, "ssl.certificate.location can't be used, /no/such.pem"),
    ({"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "ldaps"}, "must be https or none, got 'ldaps'"),
    ({"security.protocol": "ssl", "enable.ssl.certificate.verification": "perhaps"}, "must be true or false"),
    ({"security.protocol": "ssl", "ssl.cipher.suites": "ROT13"}, "has no cipher that OpenSSL knows: 'ROT13'"),
]


@pytest.mark.parametrize(("properties", "reason"), REFUSED)
def test_what_has_no_counterpart_is_refused_with_the_reason(properties: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        broker_credentials(properties)
    assert str(refused.value).startswith("STREAMS_KAFKA_CONFIG: ")
    assert "s3cret" not in str(refused.value)
