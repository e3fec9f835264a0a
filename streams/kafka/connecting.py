"""Why no connection comes about although a broker is there: a wrong password, a certificate, another protocol.

librdkafka tries again whatever the reason, and says of a question only that it got no answer. What it tells of the connection
meanwhile is noted; where it tells nothing, as of a port that expects TLS or a login and gets neither, the port is looked at.

    fault = connection_fault(settings, note.fault)
"""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError

from streams.config.settings import Settings
from streams.errors import BrokerConnectionError
from streams.kafka.rights import principal

LOOK_SECONDS: Final = 1.0
_PLAINTEXT_THERE: Final = "connecting to a PLAINTEXT"
_UNVERIFIED: Final = "certificate verify failed"
_PASSWORD: Final = ("Authentication failed", "invalid credentials")
_NO_LOGIN_THERE: Final = "Request not valid in current SASL state"
_WHERE: Final = "STREAMS_KAFKA_CONFIG"
_SASL_HANDSHAKE: Final = 17
_MOST_MECHANISMS: Final = 16
_REMEDIES: Final = {
    "issuer certificate": f"name the authority that issued it in ssl.ca.location of {_WHERE}",
    "self-signed": f"name its authority in ssl.ca.location of {_WHERE}",
    "mismatch": "connect by a name that stands in it",
    "expired": "it is the broker's to renew",
    "not yet valid": "is the clock of this machine right?",
}
"""What helps, by words of OpenSSL's."""


def is_fault(error: KafkaError) -> bool:
    """Whether an error of a connection is more than a broker that is not there."""
    return error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL) or _PLAINTEXT_THERE in error.str()


def connection_fault(settings: Settings, error: KafkaError | None) -> BrokerConnectionError | None:
    """The error for a connection that a broker refused; None where nothing is known but that no answer came.

    Args:
        settings: where the broker is, and how it is talked to.
        error: what the client said of its connection, None if it said nothing.
    """
    servers = settings.bootstrap_servers
    protocol = settings.kafka_config.get("security.protocol", "plaintext").upper()
    if error is None:
        why = _look(servers, protocol)
        return None if why is None else _fault(servers, why)
    said = error.str().partition(" (after ")[0].rpartition("bootstrap: ")[2]
    if error.code() == KafkaError._AUTHENTICATION:
        if any(word in said for word in _PASSWORD):
            return _fault(servers, f"it does not accept {principal(settings)}: wrong password or unknown user ({said})", is_login=True)
        if _NO_LOGIN_THERE in said:
            right = protocol.removeprefix("SASL_")
            return _fault(servers, f"it takes no login, and security.protocol is {protocol}: set {right} in {_WHERE}")
        return _fault(servers, f"it does not accept this way to log in, {protocol} with the mechanism in {_WHERE} ({said})")
    if _PLAINTEXT_THERE in said:
        right = protocol.replace("SSL", "PLAINTEXT")
        return _fault(servers, f"it does not speak TLS, and security.protocol is {protocol}: set {right} in {_WHERE}")
    if _UNVERIFIED in said:
        why = _certificate_fault(settings)
        return _fault(servers, f"its certificate is not accepted: {why}" if why else f"its certificate is not accepted ({said})")
    return _fault(servers, said)


def _fault(servers: str, why: str, *, is_login: bool = False) -> BrokerConnectionError:
    what = f"a broker is at {servers}, and the connection failed: {why}"
    return BrokerConnectionError(what, reason="the connection to the broker failed", is_login=is_login)


def _addresses(servers: str) -> list[tuple[str, int]]:
    found = []
    for server in servers.split(","):
        host, _, port = server.strip().rpartition("://")[2].rpartition(":")
        if host and port.isdigit():
            found.append((host.strip("[]"), int(port)))
    return found


def _look(servers: str, protocol: str) -> str | None:
    """What a port expects that it does not get, where librdkafka says only that the broker has closed the connection."""
    for host, port in _addresses(servers):
        is_tls = _speaks_tls(host, port)
        if is_tls and not protocol.endswith("SSL"):
            right = "SASL_SSL" if protocol.startswith("SASL") else "SSL or SASL_SSL"
            return f"it is a TLS port, and security.protocol is {protocol}: set {right} in {_WHERE}"
        mechanisms = [] if protocol.startswith("SASL") else _mechanisms(host, port, is_tls=is_tls)
        if mechanisms:
            login = f"set SASL_{protocol}, sasl.mechanism ({' or '.join(mechanisms)}), sasl.username and sasl.password in {_WHERE}"
            return f"it asks for a login, and security.protocol is {protocol}: {login}"
    return None


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _speaks_tls(host: str, port: int) -> bool:
    try:
        _shake_hands(_unchecked(), host, port)
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error)
    except OSError:
        return False
    return True


def _mechanisms(host: str, port: int, *, is_tls: bool) -> list[str]:
    """The ways to log in that a port offers; empty where it takes no login, or does not say.

    It is asked with Kafka's SaslHandshake (version 1) for a mechanism that there is not, which no account is locked by.
    """
    client, mechanism = b"streams", b"?"
    body = struct.pack(f">hhih{len(client)}sh{len(mechanism)}s", _SASL_HANDSHAKE, 1, 1, len(client), client, len(mechanism), mechanism)
    try:
        with socket.create_connection((host, port), LOOK_SECONDS) as link:
            stream = _unchecked().wrap_socket(link, server_hostname=host) if is_tls else link
            with stream, stream.makefile("rb") as answer:
                stream.sendall(struct.pack(">i", len(body)) + body)
                _size, _correlation, _code, count = struct.unpack(">iihi", answer.read(14))
                return [answer.read(*struct.unpack(">h", answer.read(2))).decode() for _ in range(min(count, _MOST_MECHANISMS))]
    except (OSError, struct.error, ValueError):
        return []


def _certificate_fault(settings: Settings) -> str | None:
    """What OpenSSL holds against the certificate, which librdkafka does not pass on: `certificate has expired`."""
    location = settings.kafka_config.get("ssl.ca.location", "")
    try:
        if location in ("", "probe"):
            context = ssl.create_default_context(cadata=settings.kafka_config.get("ssl.ca.pem"))
        else:
            folder = Path(location).is_dir()
            context = ssl.create_default_context(cafile=None if folder else location, capath=location if folder else None)
        for host, port in _addresses(settings.bootstrap_servers):
            _shake_hands(context, host, port)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        return next((f"{why}: {help_}" for word, help_ in _REMEDIES.items() if word in why), why)
    except (OSError, ValueError):
        return None
    return None


def _shake_hands(context: ssl.SSLContext, host: str, port: int) -> None:
    with socket.create_connection((host, port), LOOK_SECONDS) as link, context.wrap_socket(link, server_hostname=host):
        pass
