"""Certificates of a broker, good and bad, as Kafka and its clients take them: PEM files, and who is to be trusted.

certificates = Certificates(tmp_path)
certificates.broker("good")          # a keystore of type PEM
certificates.authority               # for ssl.ca.location
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

HOST = "127.0.0.1"


class Certificates:
    """An authority, one that nobody trusts, and what the first has issued, in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.authority = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.authority)
        self.other_authority = folder / "other-authority.pem"
        trustme.CA().cert_pem.write_to_path(self.other_authority)

    def broker(self, name: str, *, host: str = HOST, until: datetime | None = None) -> Path:
        """A certificate with its key; `until` a time that may have passed."""
        dates = {} if until is None else {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": until}
        issued = self._authority.issue_cert(host, key_type=trustme.KeyType.ECDSA, **dates)
        # Kafka takes a key in PKCS 8 alone.
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = self._folder / f"{name}.pem"
        file.write_bytes(text + b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return file
