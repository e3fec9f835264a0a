"""What the API needs of the process that has the session: a worker, or a test's own.

A read is a function over the state that takes a cheap copy of what is asked for. It is called where the state lives, between
two transactions, when the one before is committed; the answer is made of the copy later, in another thread. So an answer is
of the last committed state, and a long one holds up no bar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from msgspec import Struct

from streams.engine.state.session import SessionState

T = TypeVar("T")


class AsOf(Struct, frozen=True):
    """The place among the session's transactions that a copy was taken at.

    `analysis_offset` is that of the first record of analysis that the copy knows nothing of, or of a transaction's marker before it.
    `committed_seconds` is how long ago the last transaction was committed when the copy was taken.
    """

    session: str
    epoch: int
    sequence: int
    analysis_offset: int
    now_us: int
    active: bool
    committed_seconds: float = 0.0


class Condition(Struct, frozen=True):
    """How a worker is: what it says about itself, and whether that is well."""

    report: dict[str, object]
    is_well: bool


class SessionReader(Protocol):
    """One session, read from another thread's event loop."""

    async def check(self) -> None:
        """See whether this worker has the state.

        Raises:
            NotActiveError: it has not.
        """
        ...

    async def take(self, take: Callable[[SessionState], T]) -> tuple[AsOf, T]:
        """What `take` copies of the committed state, and the place that it is as of.

        Raises:
            NotActiveError: this worker does not have the state, or can't tell whether it still has.
        """
        ...

    async def condition(self) -> Condition:
        """What `/health` says."""
        ...

    async def metrics(self) -> bytes:
        """What `/metrics` says: Prometheus' text form."""
        ...
