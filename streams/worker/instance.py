"""A worker's place among the workers of its session: a name that survives restarts and that no other process has.

The group tells its members apart by `group.instance.id`. Kept over a restart it spares a worker that was killed the wait for
its session to time out; held by two processes at once it makes both of them fence each other without end. So a name belongs
to a slot, which is a locked file: the first free one, or the one that the settings name (a pod's name in Kubernetes).
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import IO, Final, Self

from streams.config.settings import Settings
from streams.errors import DuplicateWorkerError

SLOTS: Final = 64


class Instance:
    """A claimed slot; the claim ends with the process. `folder` is for files of this worker alone."""

    def __init__(self, name: str, folder: Path, lock: IO[str]) -> None:
        self.name = name
        self.folder = folder
        self._lock = lock

    @classmethod
    def claim(cls, settings: Settings, session: str) -> Self:
        """Claim the slot that the settings name, or else the first free one of this machine.

        Raises:
            DuplicateWorkerError: another process holds it, or there is none free.
        """
        base = Path(tempfile.gettempdir()) / f"session-streams-{os.getuid()}" / f"{settings.topic_prefix}{session}"
        if settings.instance_id is not None:
            claimed = cls._try(base, settings.instance_id)
            if claimed is None:
                raise DuplicateWorkerError(
                    f"another process on this machine runs as {settings.instance_id}: give each worker a STREAMS_INSTANCE_ID of its own"
                )
            return claimed
        host = socket.gethostname()
        for slot in range(SLOTS):
            claimed = cls._try(base, f"{host}-{slot}")
            if claimed is not None:
                return claimed
        raise DuplicateWorkerError(f"all {SLOTS} slots for workers of {session} on this machine are taken")

    @classmethod
    def _try(cls, base: Path, name: str) -> Self | None:
        folder = base / name
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return cls(name, folder, lock)

    def release(self) -> None:
        """Give the slot up before the process ends."""
        self._lock.close()
