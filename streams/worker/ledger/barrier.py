"""The barrier that each owner of a session writes to the changelog as it takes over, before anything else."""

from __future__ import annotations

from typing import Final

from streams.config.settings import Settings
from streams.errors import LedgerError
from streams.kafka.asking import until_read
from streams.kafka.reader import END, TopicReader
from streams.times import Clock

BARRIER_KEY: Final = b"barrier"
READ_SECONDS: Final = 30.0


def has_barrier(settings: Settings, changelog: str, clock: Clock, *, first: int, end: int | None = None) -> bool:
    """Whether an owner took the session over between two offsets of the changelog: `first`, and the one before `end`.

    Asked again while no broker answers, for as long as Kafka takes to give a dead broker's partitions to others.

    Args:
        settings, clock: where Kafka is, and for deadlines.
        changelog: the topic.
        first: the first offset that is looked at; it may lie behind what is committed.
        end: the first one that is not; None for what is committed at this moment.

    Raises:
        LedgerError: the offset `end` is not reached in time.
        StreamsError: no broker answers, or it does not let this client read.
    """
    return until_read(lambda: _has_barrier(settings, changelog, clock, first, end), clock=clock)


def _has_barrier(settings: Settings, changelog: str, clock: Clock, first: int, end: int | None) -> bool:
    deadline = clock.monotonic() + READ_SECONDS
    start = END if end is None else first
    with TopicReader(settings, changelog, start=start, missing="the changelog is not there", clock=clock) as reader:
        if end is None:
            # It may lie before `first`: a commit is answered before its marker is written. No other owner writes before that.
            end = reader.position
            reader.move(min(first, end))
        while reader.position < end:
            if any(found.key == BARRIER_KEY and found.offset < end for found in reader.read()):
                return True
            if clock.monotonic() > deadline:
                raise LedgerError(
                    f"offset {end} of {changelog} was not reached within {READ_SECONDS:g} s, reading stands at {reader.position}"
                )
    return False
