"""Where a request is sent, and where again: the workers of a session are several, and one of them has the state.

A standby sends a request on to the active worker; while one takes over from another, or is not there, the request is sent again, to
the next worker in turn, until somebody answers or patience is over. Requests may be repeated: reads change nothing, and a command has
an id under which it is run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urljoin, urlsplit

from streams.client.calls import Ask, Door
from streams.errors import NobodyThereError, SettingsError
from streams.times import Clock

PAUSE_SECONDS: Final = 0.25
MOST_REDIRECTS: Final = 3
_AWAY: Final = frozenset({502, 503, 504})


class Attempts:
    """The attempts at one request. `url` is where to send it now, `pause_seconds` how long to wait before that.

    Args:
        ask: the request.
        bases: the workers' URLs, the one that answered last first.
        patience_seconds: how long to go on.
        clock: what that is measured by.
    """

    def __init__(self, ask: Ask, bases: Sequence[str], patience_seconds: float, clock: Clock) -> None:
        self._ask = ask
        self._bases = bases
        self._clock = clock
        self._patience = patience_seconds
        self._deadline = clock.monotonic() + patience_seconds
        self._turn = 0
        self._redirects = 0
        self.url = bases[0] + ask.target
        self.pause_seconds = 0.0
        self._was_broken = False
        self.sent_at = clock.monotonic()

    def send(self) -> None:
        """The request is sent now: what answers it is of no earlier moment."""
        self.sent_at = self._clock.monotonic()

    @property
    def base(self) -> str:
        """The worker that the request goes to now."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def answered(self, status: int, location: str | None) -> bool:
        """Take an answer: whether it is one. Otherwise the request is to be sent to `url`, after `pause_seconds`.

        Raises:
            NobodyThereError: patience is over.
        """
        if status in (307, 308) and location and self._redirects < MOST_REDIRECTS:
            self._redirects += 1
            # The whole request goes there, token included: the worker that sends it there is of the same session.
            self.url, self.pause_seconds = urljoin(self.url, location), 0.0
            return False
        if status in _AWAY or status in (307, 308):
            self.failed(f"no worker has the session's state at present (status {status})")
            return False
        return True

    def broke(self, why: str) -> None:
        """The connection ended before an answer came. It may have been a kept one that its worker let go: ask there again, once.

        Raises:
            NobodyThereError: patience is over.
        """
        if self._was_broken:
            self.failed(why)
        else:
            self._was_broken, self.pause_seconds = True, 0.0

    def failed(self, why: str) -> None:
        """Nobody answered at `url`: go on with the next worker.

        Raises:
            NobodyThereError: patience is over.
        """
        self._turn += 1
        self._redirects = 0
        self._was_broken = False
        self.pause_seconds = PAUSE_SECONDS if self._turn % len(self._bases) == 0 else 0.0
        if self._clock.monotonic() + self.pause_seconds >= self._deadline:
            raise NobodyThereError(f"nobody answered for the session within {self._patience:g} s at {', '.join(self._bases)}: {why}")
        self.url = self._bases[self._turn % len(self._bases)] + self._ask.target


def bases_of(url: str | Sequence[str]) -> list[str]:
    """The workers' URLs.

    Raises:
        SettingsError: one that is none.
    """
    given = url.split(",") if isinstance(url, str) else list(url)
    bases = [one.strip().rstrip("/") for one in given if one.strip()]
    for one in bases:
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
            raise SettingsError(f"a worker's URL must be such as http://127.0.0.1:6066, got {one!r}")
    if not bases:
        raise SettingsError("the URL of a worker is needed, such as http://127.0.0.1:6066")
    return bases


def headers_for(door: Door | None, *, read_token: str | None, command_token: str | None) -> dict[str, str]:
    """The headers of a request.

    Raises:
        SettingsError: it needs a token that is not there.
    """
    if door is None:
        return {}
    token = read_token if door == "read" else command_token
    if not token:
        what, variable = ("an internal read", "STREAMS_READ_TOKEN") if door == "read" else ("a command", "STREAMS_COMMAND_TOKEN")
        raise SettingsError(f"{what} needs the session's {door} token: set {variable}, or give {door}_token")
    return {"Authorization": f"Bearer {token}"}
