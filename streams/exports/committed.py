"""The state of a session as its worker last committed it, from the changelog: no worker is needed, and no token.

A transaction writes its rows in one go and the session's row last, so the rows up to a session row are those of a state. The
changelog is read until nothing more is there, so compaction can't have taken a row whose successor was not read.

    with CommittedState(Settings.load(session="main")) as committed:
        committed.read()
        state = committed.state()
"""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Final

from streams.config.settings import Settings
from streams.engine.restore import restore_state
from streams.engine.state.session import SessionState
from streams.errors import NobodyThereError, StateError
from streams.kafka.clients import codec_of, session_of, state_changelog
from streams.kafka.reader import BEGINNING, TopicReader
from streams.model.rows import CONFIG_KEY, SESSION_KEY, Row, SessionRow, is_symbol_key
from streams.times import Clock
from streams.wire.codec import Codec

TIMEOUT_SECONDS: Final = 60.0

_OF_SESSION: Final = frozenset({SESSION_KEY, CONFIG_KEY})


class CommittedState:
    """Reads a session's state, of all symbols or of some; a context manager.

    Args:
        settings: where the broker is, and which session.
        symbols: whose state; of all when left out.
        codec: other schema ids than the project's.
        clock: for deadlines.

    Raises:
        NobodyThereError: no broker answers, or no worker has ever run this session there.
    """

    def __init__(
        self, settings: Settings, *, symbols: Collection[str] | None = None, codec: Codec | None = None, clock: Clock | None = None
    ) -> None:
        self._symbols = None if symbols is None else frozenset(symbols)
        self._codec = codec or codec_of(settings)
        self._missing = f"no worker has ever run session {session_of(settings)!r} here"
        self._reader = TopicReader(settings, state_changelog(settings), start=BEGINNING, missing=self._missing, clock=clock)
        self._rows: dict[str, bytes] = {}
        self._unfinished: dict[str, bytes | None] = {}

    def __enter__(self) -> CommittedState:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.close()

    def read(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Read what is committed, and what has been committed since.

        Raises:
            NobodyThereError: the end was not reached in time, or there is no session in the state yet.
        """
        # Not up to the end that reading has seen last: what has been committed since may lie behind it.
        for record in self._reader.up_to(self._reader.bounds()[1], timeout_seconds):
            self._take((record.key or b"").decode("utf-8", "replace"), record.value)
        if SESSION_KEY not in self._rows:
            raise NobodyThereError(f"{self._missing}: {self._reader.topic} holds no session yet")

    @property
    def session(self) -> SessionRow:
        """The session's own row.

        Raises:
            StateError: nothing was read, or it is no session.
        """
        row = self.row(SESSION_KEY)
        if not isinstance(row, SessionRow):
            raise StateError(f"{self._reader.topic} holds no session")
        return row

    def row(self, key: str) -> Row | None:
        """A row as it was read last."""
        value = self._rows.get(key)
        return None if value is None else self._codec.row_from(value)

    def symbols(self) -> list[str]:
        """The symbols that there are, by name."""
        return sorted(key.partition("|")[2] for key in self._rows if is_symbol_key(key))

    def state(self) -> SessionState:
        """The state that was read, with the symbols that were asked for.

        Raises:
            StateError: the rows are not those of a session.
        """
        return restore_state({key: self._codec.row_from(value) for key, value in self._rows.items()})

    def _take(self, key: str, value: bytes | None) -> None:
        if not self._wants(key):
            return
        self._unfinished[key] = value
        if key != SESSION_KEY:
            return
        for changed, row in self._unfinished.items():
            if row is None:
                self._rows.pop(changed, None)
            else:
                self._rows[changed] = row
        self._unfinished.clear()

    def _wants(self, key: str) -> bool:
        kind, _, rest = key.partition("|")
        if not rest:
            return key in _OF_SESSION
        return kind != "command" and (self._symbols is None or key.rpartition("|")[2] in self._symbols)
