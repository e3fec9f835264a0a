"""How long a standby waits for the owner of the session to write, before it asks the group to decide again.

An active worker writes a heartbeat each second. When nobody does, the group may have given the active role to nobody: it decides by
what its leader knows of the topics, which is nothing while a broker that was killed comes back, and no later news makes it decide
again. But it may also have given the role to a worker that takes over just now, or that waits for Kafka to choose new leaders: to
decide again would throw that one out. So a worker that has the role is waited for as long as it may need.
"""

from __future__ import annotations

from typing import Final

from streams.config.settings import Settings

OWNERLESS_SECONDS: Final = 15.0
TAKING_OVER_SECONDS: Final = 30.0
"""How long a worker may take to become active, once it has the role: each step of it is given up after that."""


class OwnerWatch:
    """Notes when a standby saw the owner write last.

    Args:
        settings: the timeouts that an owner may use up: its transaction's, and its place's in the group.
    """

    def __init__(self, settings: Settings) -> None:
        self._patience_seconds = settings.transaction_timeout_ms / 1000 + settings.session_timeout_seconds + TAKING_OVER_SECONDS
        self._seen: tuple[int | None, float] | None = None

    def has_fallen_silent(self, reach: int | None, now_seconds: float, *, is_standby: bool, has_owner: bool) -> float | None:
        """For how long nobody has written, once that is too long; it is then counted anew.

        Args:
            reach: the offset of the changelog up to which this worker has read.
            now_seconds: the monotonic clock.
            is_standby: whether this worker follows the changelog at all.
            has_owner: whether the group has given the active role to a worker, when it last decided.
        """
        if not is_standby or self._seen is None or self._seen[0] != reach:
            self._seen = (reach, now_seconds)
            return None
        silent_seconds = now_seconds - self._seen[1]
        if silent_seconds < (self._patience_seconds if has_owner else OWNERLESS_SECONDS):
            return None
        self._seen = (reach, now_seconds)
        return silent_seconds
