"""Waiting for a session's first worker, which may start a moment after the command that needs it."""

from __future__ import annotations

import pytest

from streams.cli.waiting import once_there
from streams.errors import NobodyThereError, NoSessionError
from streams.times import SystemClock


def test_a_session_that_comes_while_one_waits_is_had_and_the_wait_is_said_once() -> None:
    answers = iter([NoSessionError("no worker has ever run session 'main' here"), NoSessionError("still none"), None])
    said: list[str] = []

    def make() -> str:
        answer = next(answers)
        if answer is not None:
            raise answer
        return "there"

    assert once_there(make, 30, SystemClock(), tell=said.append) == "there"
    assert said == ["no worker has ever run session 'main' here; waiting up to 30 s for its first worker"]


@pytest.mark.parametrize("error", [NoSessionError("none"), NobodyThereError("no broker answers")])
def test_without_time_to_wait_and_without_a_broker_the_error_comes_at_once(error: NobodyThereError) -> None:
    def make() -> str:
        raise error

    with pytest.raises(NobodyThereError, match=str(error)):
        once_there(make, 0 if isinstance(error, NoSessionError) else 60, SystemClock())
