"""The barrier that each owner of a session writes to the changelog as it takes over, before anything else."""

from __future__ import annotations

from typing import Final

from streams.client.reader import TopicReader
from streams.errors import LedgerError
from streams.settings import Settings
from streams.times import Clock

BARRIER_KEY: Final = b"barrier"
READ_SECONDS: Final = 30.0


def has_barrier(settings: Settings, changelog: str, clock: Clock, *, first: int, end: int) -> bool:
    """Whether an owner took the session over between two offsets of the changelog: `first` and the one before `end`.

    Raises:
        LedgerError: the offset `end` is not reached in time.
        StreamsError: no broker answers, or it does not let this client read.
    """
    deadline = clock.monotonic() + READ_SECONDS
    with TopicReader(settings, changelog, start=first, missing="the changelog is not there", clock=clock) as reader:
        while reader.position < end:
            if any(found.key == BARRIER_KEY and found.offset < end for found in reader.read()):
                return True
            if clock.monotonic() > deadline:
                raise LedgerError(
                    f"offset {end} of {changelog} was not reached within {READ_SECONDS:g} s, reading stands at {reader.position}"
                )
    return False
