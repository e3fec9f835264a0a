"""Questions about topics that are refused or not answered: since when and why, and when the session's state is to say so.

The worker goes on meanwhile: nothing is known of the topics then, neither good nor bad. `/health` and the metrics say it at once; the
state, and `streams status` with it, once it lasts.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from streams.engine.state.session import SessionState
from streams.model.inputs import InputKind, JournalInput
from streams.times import SECOND_US, Clock

TOLD_AFTER_SECONDS: Final = 5.0
"""How long questions go unanswered before the state says so: a broker that is busy for a moment is no news."""


class Unchecked(Struct, frozen=True):
    """Since when, by the monotonic clock, questions about topics are refused or not answered, and why."""

    since: float
    reason: str


def again(before: Unchecked | None, began: float, reason: str) -> Unchecked:
    """What there is to say after a check that began then and has failed: the first one of several says since when."""
    return Unchecked(began if before is None else before.since, reason)


def longest(found: Unchecked | None, asked: Unchecked | None) -> Unchecked | None:
    """What there is to say of a check that has failed, and of a question that is being asked again."""
    if found is None or asked is None:
        return found or asked
    return Unchecked(min(found.since, asked.since), found.reason)


def news(unchecked: Unchecked | None, state: SessionState, clock: Clock) -> list[JournalInput]:
    """The input that puts into the state what is so; none where the state says it already, or it may pass at once."""
    is_told = state.unchecked_us >= 0
    if unchecked is None:
        return [JournalInput(InputKind.TOPICS_CHECKED)] if is_told else []
    seconds = clock.monotonic() - unchecked.since
    if state.unchecked_reason == unchecked.reason if is_told else seconds < TOLD_AFTER_SECONDS:
        return []
    since_us = state.unchecked_us if is_told else clock.now_us() - round(seconds * SECOND_US)
    return [JournalInput(InputKind.TOPICS_CHECKED, start_us=since_us, reason=unchecked.reason)]
