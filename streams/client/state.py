"""A session as its worker last committed it, read from the changelog of its state.

The state is a table of small rows, and its changelog holds the newest of each. Read to the end, with committed records
only, it is the state as of some transaction: the same that a restarted worker would begin from. Bars are not decoded; this
is for looking at a session, not for trading on it.

    view = read_state(Settings.load(session="main"))
    view.session.active, [row.symbol for row in view.symbols.values()]
"""

from __future__ import annotations

from types import TracebackType
from typing import Final

from streams.config.settings import Settings
from streams.errors import NoSessionError
from streams.kafka.clients import codec_of, session_of, state_changelog
from streams.kafka.reader import BEGINNING, Record, TopicReader
from streams.model.records import EXTRA_STREAMS
from streams.model.rows import (
    CONFIG_KEY,
    SESSION_KEY,
    ConfigRow,
    ProgressRow,
    Row,
    SessionRow,
    StreamRow,
    SymbolRow,
    progress_key,
    stream_key,
    symbol_key,
)
from streams.times import Clock
from streams.wire.codec import Codec

STATE_TIMEOUT_SECONDS: Final = 30.0

_SYMBOL: Final = symbol_key("")
_PROGRESS: Final = progress_key("")
_EXTRAS: Final = tuple(stream_key(stream, "") for stream in EXTRA_STREAMS)


class StateView:
    """The rows of a session but its bars and commands: what `status` shows.

    `session` and `config_json` are `None` as long as no worker has committed any; `calendar` is empty where none is stored.
    """

    def __init__(self) -> None:
        self.session: SessionRow | None = None
        self.config_json: str | None = None
        self.calendar = ""
        self.symbols: dict[str, SymbolRow] = {}
        self._progress: dict[str, ProgressRow] = {}
        self._extras: dict[str, StreamRow] = {}

    @staticmethod
    def wants(key: str) -> bool:
        """Whether a row with this key is part of the view."""
        return key in (SESSION_KEY, CONFIG_KEY) or key.startswith((_SYMBOL, _PROGRESS, *_EXTRAS))

    def apply(self, key: str, row: Row | None) -> None:
        """Put a row in place of the one before it under this key; `None` deletes it."""
        if row is None:
            self._delete(key)
            return
        match row:
            case SessionRow():
                self.session = row
            case ConfigRow():
                self.config_json, self.calendar = row.config_json, row.calendar
            case SymbolRow():
                self.symbols[row.symbol] = row
            case ProgressRow():
                self._progress[row.symbol] = row
            case StreamRow():
                self._extras[key] = row
            case _:
                return

    def progress_of(self, symbol: str) -> ProgressRow | None:
        """How far a symbol has come; `None` while it has not begun, or when the row belongs to a former incarnation."""
        row, progress = self.symbols.get(symbol), self._progress.get(symbol)
        if row is None or progress is None or progress.incarnation != row.incarnation:
            return None
        return progress

    def extra_of(self, symbol: str, stream: str) -> StreamRow | None:
        """How far a symbol's `quotes` or `ticks` have come; `None` where it streams none."""
        row, extra = self.symbols.get(symbol), self._extras.get(stream_key(stream, symbol))
        return None if row is None or extra is None or extra.incarnation != row.incarnation else extra

    def _delete(self, key: str) -> None:
        if key == SESSION_KEY:
            self.session = None
        elif key == CONFIG_KEY:
            self.config_json, self.calendar = None, ""
        elif key.startswith(_SYMBOL):
            self.symbols.pop(key.removeprefix(_SYMBOL), None)
        elif key.startswith(_PROGRESS):
            self._progress.pop(key.removeprefix(_PROGRESS), None)
        else:
            self._extras.pop(key, None)


class StateReader:
    """Keeps a `StateView` current; a context manager.

    Raises:
        NobodyThereError: no broker answers, or no worker has ever run this session there.
    """

    def __init__(self, settings: Settings, *, codec: Codec | None = None, clock: Clock | None = None) -> None:
        self.view = StateView()
        self._codec = codec or codec_of(settings)
        self._missing = f"no worker has ever run session {session_of(settings)!r} here"
        self._reader = TopicReader(settings, state_changelog(settings), start=BEGINNING, missing=self._missing, clock=clock)

    def __enter__(self) -> StateReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.close()

    def catch_up(self, timeout_seconds: float = STATE_TIMEOUT_SECONDS) -> StateView:
        """Read everything that is committed.

        Raises:
            NobodyThereError: the end was not reached in time.
            NoSessionError: there is no session in the state yet.
        """
        self._apply(self._reader.read_to_end(timeout_seconds))
        if self.view.session is None:
            raise NoSessionError(f"{self._missing}: {self._reader.topic} holds no session yet")
        return self.view

    def follow(self, timeout_seconds: float = 0.2) -> bool:
        """Take in what was committed since; waits up to `timeout_seconds` for it. Returns whether anything came."""
        records = self._reader.read(timeout_seconds)
        self._apply(records)
        return bool(records)

    def _apply(self, records: list[Record]) -> None:
        # Of many rows under one key only the newest counts, and decoding is what takes the time.
        newest = {record.key: record.value for record in records if record.key is not None}
        for key, value in newest.items():
            name = key.decode("utf-8", "replace")
            if self.view.wants(name):
                self.view.apply(name, None if value is None else self._codec.row_from(value))


def read_state(settings: Settings, *, timeout_seconds: float = STATE_TIMEOUT_SECONDS, codec: Codec | None = None) -> StateView:
    """The session as it was last committed; errors as for `StateReader` and its `catch_up`."""
    with StateReader(settings, codec=codec) as reader:
        return reader.catch_up(timeout_seconds)
