"""Why no connection comes about although a broker is there: a wrong password, a certificate, another protocol.

librdkafka tries again whatever the reason, and says of a question only that it got no answer. What it tells of the connection
meanwhile is noted; where it tells nothing, as of a TLS port that is talked to without TLS, the port is looked at.

    fault = connection_fault(settings, note.fault)
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError

from streams.client.rights import principal
from streams.errors import BrokerConnectionError
from streams.settings import Settings

LOOK_SECONDS: Final = 1.0
_PLAINTEXT_THERE: Final = "connecting to a PLAINTEXT"
_UNVERIFIED: Final = "certificate verify failed"
_PASSWORD: Final = ("Authentication failed", "invalid credentials")


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
        if protocol == "PLAINTEXT" and any(_speaks_tls(host, port) for host, port in _addresses(servers)):
            return _fault(servers, "it is a TLS port, and security.protocol is PLAINTEXT: set SSL or SASL_SSL in STREAMS_KAFKA_CONFIG")
        return None
    said = error.str().partition(" (after ")[0].rpartition("bootstrap: ")[2]
    if error.code() == KafkaError._AUTHENTICATION:
        if any(word in said for word in _PASSWORD):
            return _fault(servers, f"it does not accept {principal(settings)}: wrong password or unknown user ({said})", is_login=True)
        return _fault(servers, f"it does not accept this way to log in, {protocol} with the mechanism in STREAMS_KAFKA_CONFIG ({said})")
    if _PLAINTEXT_THERE in said:
        return _fault(servers, f"it does not speak TLS, and security.protocol is {protocol} ({said})")
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


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _shake_hands(context, host, port)
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error)
    except OSError:
        return False
    return True


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
        return error.verify_message.rstrip(".")
    except (OSError, ValueError):
        return None
    return None


def _shake_hands(context: ssl.SSLContext, host: str, port: int) -> None:
    with socket.create_connection((host, port), LOOK_SECONDS) as link, context.wrap_socket(link, server_hostname=host):
        pass
