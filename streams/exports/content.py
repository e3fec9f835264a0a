"""One export, to be written in any format: of symbols as a state has them, or of what is new of one.

state = fork_state(...)                      # or what `CommittedState` gives: nobody may go on changing it
Content.full(state, ["SPY"]).write(Format.CSV, stream)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from types import MappingProxyType
from typing import BinaryIO, Final, cast

from streams.engine.state.session import SessionState
from streams.exports.document import document, new_document
from streams.exports.rows import Format, Row, all_rows, new_rows
from streams.exports.tables import csv_pieces, write_parquet

MEDIA_TYPES: Final[Mapping[Format, str]] = MappingProxyType(
    {Format.JSON: "application/json", Format.CSV: "text/csv; charset=utf-8", Format.PARQUET: "application/vnd.apache.parquet"}
)

_PIECE_BYTES: Final = 65_536
_MOST_IN_MEMORY: Final = 8_000_000


class Content:
    """What an export holds."""

    def __init__(self, document: Callable[[], Iterator[bytes]], rows: Callable[[], Iterator[Row]], metadata: Mapping[str, str]) -> None:
        self._document = document
        self._rows = rows
        self._metadata = metadata

    @classmethod
    def full(cls, state: SessionState, symbols: Sequence[str], *, is_gated: bool = False) -> Content:
        """All that the state has of these symbols; of one that is not there nothing. One who `is_gated` may not look past the gate."""
        found = [state.symbols[symbol] for symbol in symbols if symbol in state.symbols]
        return cls(lambda: document(state, found, is_gated=is_gated), lambda: all_rows(found), _metadata(state))

    @classmethod
    def new(cls, state: SessionState, symbol: str) -> Content:
        """What the export under way of a symbol of the state holds."""
        data = state.symbols[symbol]
        number = 0 if data.exports is None else data.exports.number
        own = {"streams.symbol": symbol, "streams.incarnation": str(data.incarnation), "streams.number": str(number)}
        return cls(lambda: new_document(state, data), lambda: new_rows(data), {**_metadata(state), **own})

    def write(self, form: Format, stream: BinaryIO) -> None:
        """Write it.

        Raises:
            ExportError: pyarrow, which Parquet needs, is not installed.
            OSError: the stream does not take it.
        """
        if form is Format.PARQUET:
            write_parquet(self._rows(), stream, self._metadata)
            return
        for piece in self._document() if form is Format.JSON else csv_pieces(self._rows()):
            stream.write(piece)

    def pieces(self, form: Format) -> Iterator[bytes]:
        """The same in pieces; Parquet is in a file of its own until then, since its index stands at the end.

        Raises:
            ExportError: as `write`, before the first piece.
        """
        if form is not Format.PARQUET:
            yield from self._document() if form is Format.JSON else csv_pieces(self._rows())
            return
        with SpooledTemporaryFile(_MOST_IN_MEMORY) as spool:
            write_parquet(self._rows(), cast(BinaryIO, spool), self._metadata)
            spool.seek(0)
            while piece := spool.read(_PIECE_BYTES):
                yield piece

    def count(self) -> int:
        """How many bars it holds."""
        return sum(1 for _ in self._rows())


def _metadata(state: SessionState) -> dict[str, str]:
    return {"streams.session": state.config.session_name, "streams.epoch": str(state.epoch), "streams.transaction": str(state.transaction)}
