"""What both clients have in common: whom to ask, with which tokens, and what was answered last."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import httpx

from streams.client import calls
from streams.client.answers import Place
from streams.client.attempts import Attempts, bases_of, headers_for
from streams.client.calls import Ask, Got
from streams.times import Clock, SystemClock

URL: Final = "http://127.0.0.1:6066"
PATIENCE_SECONDS: Final = 15.0
REQUEST_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 30.0
KEPT: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)
"""How long a connection is kept without a request: less than a worker keeps it, so that no request meets the close."""
BROKEN: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
"""What becomes of a request on a connection that the other side closes."""


class Connection:
    """The root of the clients.

    `place` is the committed state that the last answer was of; of several pages, the first one's. It stays as it was; what holds now
    says `active`.
    """

    def __init__(
        self, url: str | Sequence[str], *, read_token: str | None, command_token: str | None, patience_seconds: float,
        heartbeat_timeout_seconds: float, clock: Clock | None,
    ) -> None:  # fmt: skip
        self._bases = bases_of(url)
        self._read_token = os.environ.get("STREAMS_READ_TOKEN") if read_token is None else read_token
        self._command_token = os.environ.get("STREAMS_COMMAND_TOKEN") if command_token is None else command_token
        self._patience_seconds = patience_seconds
        self._clock = clock or SystemClock()
        self.place: Place | None = None
        self._heartbeat_timeout_seconds = heartbeat_timeout_seconds
        self._committed_at = 0.0  # when the state of the last answer was committed, or before that

    @property
    def active(self) -> bool | None:
        """Whether the gate is open, as far as the last answer tells; False once that is older than `heartbeat_timeout_seconds`.

        An answer is as old as the last commit that the worker knew of: it says how long ago that was when it answered, which counts from
        when it was asked. This property asks for no new answer. None before the first one. With a timeout of 0 the last one holds for ever.
        """
        if self.place is None:
            return None
        timeout = self._heartbeat_timeout_seconds
        return self.place.active and (not timeout or self._clock.monotonic() - self._committed_at <= timeout)

    def _begin(self, ask: Ask) -> tuple[Attempts, dict[str, str]]:
        headers = headers_for(ask.door, read_token=self._read_token, command_token=self._command_token)
        return Attempts(ask, self._bases, self._patience_seconds, self._clock), headers

    def _end(self, attempts: Attempts, response: httpx.Response) -> Got:
        # The one that has the state is asked first from now on.
        self._bases.sort(key=lambda base: base != attempts.base)
        return Got(response.status_code, response.content, attempts.sent_at)

    def _note(self, got: Got) -> None:
        place = calls.place_of(got)
        if place is not None:
            self.place, self._committed_at = place, got.asked_at - place.committed_seconds


def seconds_for(ask: Ask) -> float:
    """How long an answer may take: a command is waited for."""
    body = ask.body or {}
    wait = body.get("wait_seconds", ask.query.get("wait_seconds", 0))
    return REQUEST_SECONDS + float(str(wait))
