"""How Faust's own Kafka client proves who it is, read from the properties that every other client is given.

All clients of this project but one are librdkafka's and take `STREAMS_KAFKA_CONFIG` as it is. Faust's is aiokafka, which takes
an SSL context and a user's name instead. The invariant: it connects to the brokers just as the others do, or the worker does
not start. A property that bears on security and has no counterpart here is refused; none is passed over in silence.

| property | here |
|---|---|
| `security.protocol` | `plaintext` (default), `ssl`, `sasl_plaintext`, `sasl_ssl` |
| `sasl.mechanism`, `sasl.mechanisms` | `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` |
| `sasl.username`, `sasl.password` | needed with each of them |
| `ssl.ca.location`, `ssl.ca.pem` | who is trusted: a file or a folder, or the certificates themselves; by default the system's |
| `ssl.certificate.location`, `ssl.key.location`, `ssl.key.password` | this client's certificate |
| `ssl.endpoint.identification.algorithm` | `https` (default), or `none`: any host name will do |
| `enable.ssl.certificate.verification` | `false`: any certificate will do |
| `ssl.cipher.suites` | in OpenSSL's notation |
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import faust
from faust.types.auth import CredentialsT

from streams.errors import SettingsError

PROTOCOLS: Final = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_MAPPED: Final = frozenset(
    {
        "enable.ssl.certificate.verification",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.cipher.suites",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
    }
)
_INSTEAD: Final = {
    "ssl.certificate.pem": "write the certificate to a file and name it in ssl.certificate.location",
    "ssl.key.pem": "write the key to a file and name it in ssl.key.location",
    "ssl.keystore.location": "convert the keystore to PEM (openssl pkcs12) and name it in ssl.certificate.location and ssl.key.location",
    "ssl.keystore.password": "convert the keystore to PEM (openssl pkcs12) and give the key's password in ssl.key.password",
}
_BOOLEANS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def broker_credentials(properties: Mapping[str, str]) -> CredentialsT | None:
    """What Faust takes as `broker_credentials`; `None` where nothing is to be proved.

    Args:
        properties: librdkafka's, as in `Settings.kafka_config`; those that are not about security don't matter here.

    Raises:
        SettingsError: one can't be carried over, one is missing, or a file that one names can't be used. Passwords are not shown.
    """
    protocol = properties.get("security.protocol", "plaintext").lower()
    if protocol not in PROTOCOLS:
        raise _refused("security.protocol", f"must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    context = _ssl_context(properties) if protocol.endswith("ssl") else None
    if protocol.startswith("sasl"):
        return _sasl(properties, context)
    return None if context is None else faust.SSLCredentials(context)


def _sasl(properties: Mapping[str, str], context: ssl.SSLContext | None) -> CredentialsT:
    # Two names of one property; with neither, librdkafka means Kerberos.
    name = "sasl.mechanism" if "sasl.mechanism" in properties else "sasl.mechanisms"
    mechanism = properties.get(name, "GSSAPI")
    if mechanism not in MECHANISMS:
        found = f"got {mechanism}" if name in properties else f"and none is set, which means {mechanism}"
        raise _refused(name, f"must be one of {', '.join(MECHANISMS)} for a worker, {found}")
    for needed in ("sasl.username", "sasl.password"):
        if not properties.get(needed):
            raise _refused(needed, f"must be set, since the mechanism is {mechanism}")
    return faust.SASLCredentials(
        username=properties["sasl.username"], password=properties["sasl.password"], ssl_context=context, mechanism=mechanism
    )


def _ssl_context(properties: Mapping[str, str]) -> ssl.SSLContext:
    for name in sorted(properties):
        if name.startswith(("ssl.", "enable.ssl.")) and name not in _MAPPED:
            raise _refused(name, f"can't be carried over to the worker's consumer group: {_INSTEAD.get(name, 'leave it out')}")
    context = _trusting(properties.get("ssl.ca.location", ""), properties.get("ssl.ca.pem", ""))
    # Python 3.13 has become stricter than librdkafka: a company's own authority often lacks an extension that it now demands.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    _identify(context, properties)
    _relax(context, properties)
    if "ssl.cipher.suites" in properties:
        try:
            context.set_ciphers(properties["ssl.cipher.suites"])
        except ssl.SSLError:
            raise _refused("ssl.cipher.suites", f"has no cipher that OpenSSL knows: {properties['ssl.cipher.suites']!r}") from None
    return context


def _trusting(location: str, pem: str) -> ssl.SSLContext:
    """A context that trusts these authorities, or the system's when none is named."""
    try:
        if location in ("", "probe"):
            return ssl.create_default_context(cadata=pem or None)
        is_folder = Path(location).is_dir()
        file, folder = (None, location) if is_folder else (location, None)
        return ssl.create_default_context(cafile=file, capath=folder, cadata=pem or None)
    except (OSError, ValueError) as error:
        if location in ("", "probe"):
            raise _refused("ssl.ca.pem", f"must be certificates in PEM: {error}") from None
        raise _refused("ssl.ca.location", f"must be a file or a folder of certificates in PEM, {location} is none: {error}") from None


def _identify(context: ssl.SSLContext, properties: Mapping[str, str]) -> None:
    """Give the context this client's own certificate."""
    certificate, key = properties.get("ssl.certificate.location"), properties.get("ssl.key.location")
    if certificate is None and key is None:
        return
    if certificate is None:
        raise _refused("ssl.certificate.location", "must be set, since ssl.key.location is")
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=properties.get("ssl.key.password", ""))
    except OSError as error:
        files = certificate if key is None else f"{certificate} with the key {key}"
        raise _refused("ssl.certificate.location", f"can't be used, {files}: {error}; is ssl.key.password right?") from None


def _relax(context: ssl.SSLContext, properties: Mapping[str, str]) -> None:
    """Check less where that was asked for."""
    algorithm = properties.get("ssl.endpoint.identification.algorithm", "https").lower()
    if algorithm not in ("https", "none"):
        raise _refused("ssl.endpoint.identification.algorithm", f"must be https or none, got {algorithm!r}")
    verify = _BOOLEANS.get(properties.get("enable.ssl.certificate.verification", "true").lower())
    if verify is None:
        raise _refused("enable.ssl.certificate.verification", "must be true or false")
    context.check_hostname = verify and algorithm == "https"
    if not verify:
        context.verify_mode = ssl.CERT_NONE


def _refused(name: str, what: str) -> SettingsError:
    return SettingsError(f"STREAMS_KAFKA_CONFIG: {name} {what}")
