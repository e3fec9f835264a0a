"""A digest of all rows of the state, committed with each transaction and compared when a worker takes the state over.

Recovery goes through a consumer, queues and a cache that are not ours; a changelog record lost on the way would go unseen and
be acted on. So the session row's changelog record carries, as a header, what the rows come to; a worker whose recovered
table comes to something else ends, and its next start reads the changelog anew.

The digest is the sum of a 64-bit hash of each row, modulo 2^64, beside their count: it changes with each row in a moment,
whatever the order. The session's own row is left out, since it is the one that carries it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from streams.errors import RecoveryError
from streams.model.rows import SESSION_KEY

HEADER: Final = "rows"
CARRIER: Final = SESSION_KEY.encode()

_BYTES: Final = 8
_ALL: Final = (1 << 8 * _BYTES) - 1


class RowDigest:
    """What the rows come to, kept up to date with each change."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._hashes: dict[bytes, int] = {}
        self._sum = 0
        for key, value in rows:
            self.change(key, value)

    def change(self, key: bytes, value: bytes | None) -> None:
        """A row is written, or deleted (None)."""
        if key == CARRIER:
            return
        before = self._hashes.pop(key, 0)
        after = 0
        if value is not None:
            after = self._hashes[key] = _hash(key, value)
        self._sum = (self._sum + after - before) & _ALL

    def text(self) -> bytes:
        """The digest as it stands in the header: count and sum."""
        return b"%d %016x" % (len(self._hashes), self._sum)


def check(rows: Iterable[tuple[bytes, bytes]], committed: bytes | None) -> RowDigest:
    """The digest of recovered rows, held against the one that was committed with them; None when that is not known.

    Raises:
        RecoveryError: they are not the rows that were committed.
    """
    digest = RowDigest(rows)
    if committed is not None and digest.text() != committed:
        raise RecoveryError(
            f"the rows that were recovered come to {digest.text().decode()}, those that were committed to {committed.decode()}: a "
            "changelog record was lost on the way, or somebody else has written to the changelog. The next start reads it anew; if it "
            "ends so too, `streams verify` names the rows that should not be there"
        )
    return digest


def _hash(key: bytes, value: bytes) -> int:
    # The key's length keeps a byte that moves from the key to the value from going unseen.
    return int.from_bytes(blake2b(b"%d %b%b" % (len(key), key, value), digest_size=_BYTES).digest(), "big")
