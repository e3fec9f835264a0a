"""Where a reader of the analysis topic stands, and what it says when it can't go on from there.

A strategy that keeps its `Position` beside its own state, and hands it in when it starts again, goes on with the very next
record. Where that can't be, there is a `Hole`: what the strategy knows may lack something, and only reading anew helps.

    >>> str(Position(1, 4711, 9023)), Position.parse("1:4711:9023")
    ('1:4711:9023', Position(epoch=1, sequence=4711, offset=9023))
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Position(Struct, frozen=True):
    """All records up to `sequence` of `epoch` are done with; the next one is at `offset` or, past transaction markers, behind it."""

    epoch: int
    sequence: int
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.sequence}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that `str` made this of.

        Raises:
            ValueError: it made no such text.
        """
        parts = text.strip().split(":")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(f"{text!r} is no position: it must be epoch:sequence:offset, such as 1:4711:9023")
        return cls(*(int(part) for part in parts))


class HoleKind(StrEnum):
    """What keeps a reader from going on as if nothing had been."""

    MISSING = "missing"
    """Records lack between two that were read, or come again."""
    EPOCH = "epoch"
    """The session's state was begun anew under the same name."""
    TRUNCATED = "truncated"
    """The topic no longer has the place to go on from."""


class Hole(Struct, frozen=True):
    """Records that a reader can't have seen: `last` is where it stood, `words` say what came instead and what to do."""

    kind: HoleKind
    last: Position
    words: str

    def __str__(self) -> str:
        return self.words

    @classmethod
    def between(cls, last: Position, epoch: int, sequence: int, offset: int) -> Hole:
        """The hole between what was read last and the record that came."""
        came = f"after epoch {last.epoch}, sequence {last.sequence} comes epoch {epoch}, sequence {sequence} (offset {offset})"
        if epoch > last.epoch:
            words = f"the session was begun anew: {came}; what is known of its bars counts no more, read its state anew"
            return cls(HoleKind.EPOCH, last, words)
        return cls(HoleKind.MISSING, last, f"{came}: records are missing or repeated; read the session's state anew")

    @classmethod
    def truncated(cls, last: Position, why: str) -> Hole:
        """The hole where the topic no longer has the place to go on from; `why` says what it has."""
        return cls(HoleKind.TRUNCATED, last, f"after epoch {last.epoch}, sequence {last.sequence}: {why}; read the session's state anew")
