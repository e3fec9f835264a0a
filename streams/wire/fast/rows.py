"""The rows of every batch, the prepared way.

The session's row is written with every batch, a progress row for every symbol in it, a block whenever it is full or touched;
the last two carry bars as columns. A column of doubles in Avro is a count, the raw little-endian doubles and a closing zero:
the array's own bytes. The encoders write what fastavro writes. The decoder of blocks, of which a restart reads thousands,
takes arrays that are one piece, as all writers here make them; with anything else it gives up, and fastavro decides. Progress
rows have no decoder here: there is one a symbol, and their many small fields are read no faster than by fastavro.
"""

from __future__ import annotations

import sys
from array import array
from struct import Struct
from typing import Final

from streams.model.rows import BlockRow, Columns, ProgressRow, SessionRow
from streams.wire.fast.numbers import (
    DOUBLE,
    NULL,
    PRESENT,
    Longs,
    Texts,
    Unusual,
    long_bytes,
    read_long,
    read_text,
)
from streams.wire.framing import HEADER_BYTES

# `array.tobytes` gives the machine's own byte order, Avro has little endian.
AVAILABLE: Final = sys.byteorder == "little"
_BOOLEANS: Final = (b"\x00", b"\x01")
_DOUBLE_BYTES: Final = 8
_FIVE_DOUBLES: Final = Struct("<5d")


class RowBytes:
    """Writes progress rows and the session's row, writes and reads blocks, under one schema id each.

    Args:
        progress_header: the framing header of progress rows.
        block_header: the framing header of blocks.
        session_header: the framing header of the session's row.
    """

    def __init__(self, progress_header: bytes, block_header: bytes, session_header: bytes) -> None:
        self._progress_header = progress_header
        self._block_header = block_header
        self._session_header = session_header
        self._longs = Longs()
        self._texts = Texts()

    def write_progress(self, row: ProgressRow) -> bytes:
        """The framed bytes of a progress row."""
        longs, texts = self._longs, self._texts
        parts = [
            self._progress_header,
            texts[row.symbol],
            longs[row.incarnation],
            long_bytes(row.offset),
            longs[row.trading_days],
            longs[row.frontier_us],
            long_bytes(row.checks),
            _BOOLEANS[row.lagging],
            _BOOLEANS[row.behind],
            long_bytes(row.lag_us),
            _BOOLEANS[row.backlog],
            _BOOLEANS[row.silent],
            longs[row.last_stale_us],
            longs[row.last_update_us],
            _BOOLEANS[row.bars_updated],
            long_bytes(row.bar_count),
            DOUBLE.pack(row.session_volume),
            NULL if row.session_high is None else PRESENT + DOUBLE.pack(row.session_high),
            NULL if row.session_low is None else PRESENT + DOUBLE.pack(row.session_low),
            long_bytes(row.accepted),
            long_bytes(row.published),
            long_bytes(row.held_back),
            longs[row.late],
            longs[row.corrected],
            longs[row.duplicates],
            longs[row.out_of_hours],
            longs[row.other_interval],
            longs[row.other_day],
            longs[row.rejected],
            longs[row.engine_errors],
            longs[row.consecutive_errors],
        ]
        if row.runs:
            parts.append(longs[len(row.runs)])
            for run in row.runs:
                parts += (texts[run.interval], texts[run.cause], longs[run.first_start_us], longs[run.last_end_us], longs[run.count])
        parts.append(NULL)
        if row.windows:
            parts.append(longs[len(row.windows)])
            for window in row.windows:
                parts += (texts[window.interval], longs[window.open_since_us])
        parts += (NULL, longs[row.tail_index])
        self.write_columns(parts, row.tail)
        if row.waiting:
            parts.append(longs[len(row.waiting)])
            for bar in row.waiting:
                parts += (longs[bar.start_us], longs[bar.end_us], _FIVE_DOUBLES.pack(bar.open, bar.high, bar.low, bar.close, bar.volume))
                parts.append(NULL if bar.vwap is None else PRESENT + DOUBLE.pack(bar.vwap))
                parts.append(NULL if bar.trades is None else PRESENT + long_bytes(bar.trades))
                parts.append(texts[bar.provenance])
        parts += (NULL, longs[row.forming])
        if row.outdated:
            parts.append(longs[len(row.outdated)])
            for window in row.outdated:
                parts += (texts[window.interval], longs[window.open_since_us])
        parts += (NULL, _BOOLEANS[row.unfilled], longs[row.unknown_fields])
        if row.unknown_names:
            parts.append(longs[len(row.unknown_names)])
            parts += [texts[name] for name in row.unknown_names]
        parts.append(NULL)
        return b"".join(parts)

    def write_session(self, row: SessionRow) -> bytes:
        """The framed bytes of the session's row."""
        longs, texts = self._longs, self._texts
        parts = [
            self._session_header,
            texts[row.session],
            longs[row.epoch],
            long_bytes(row.transaction),
            long_bytes(row.sequence),
            long_bytes(row.now_us),
            _BOOLEANS[row.active],
            _BOOLEANS[row.ever_active],
            texts[row.gate_reason],
            longs[row.trading_days],
            longs[row.next_incarnation],
            long_bytes(row.control_offset),
            texts[row.control_topic_id],
            texts[row.owner],
            texts[row.owner_url],
            long_bytes(row.measured_us),
        ]
        if row.completed:
            parts.append(longs[len(row.completed)])
            for completed in row.completed:
                parts += (texts[completed.interval], long_bytes(completed.end_us))
        parts += (NULL, longs[row.rules], longs[row.opened_rules])
        parts.append(NULL if row.clock_reason is None else PRESENT + texts[row.clock_reason])
        parts += (long_bytes(row.clock_behind_us), long_bytes(row.unchecked_us), texts[row.unchecked_reason])
        return b"".join(parts)

    def write_block(self, row: BlockRow) -> bytes:
        """The framed bytes of a block."""
        longs, texts = self._longs, self._texts
        parts = [
            self._block_header,
            texts[row.symbol],
            longs[row.incarnation],
            texts[row.interval],
            longs[row.trading_days],
            longs[row.index],
        ]
        self.write_columns(parts, row.bars)
        return b"".join(parts)

    def read_block(self, value: bytes) -> BlockRow | None:
        """The block of framed bytes, or None when they are not of the usual shape."""
        if not value.startswith(self._block_header):
            return None
        cursor = _Cursor(value, HEADER_BYTES)
        try:
            row = _read_block(cursor)
        except (IndexError, ValueError, Unusual):
            return None
        return row if cursor.position == len(value) else None

    def write_columns(self, parts: list[bytes], columns: Columns) -> None:
        """Append the bytes of bars, column by column."""
        longs = self._longs
        parts.append(longs[columns.first_start_us])
        self._write_longs(parts, columns.slots)
        for doubles in (columns.open, columns.high, columns.low, columns.close, columns.volume, columns.vwap):
            if doubles:
                parts += (longs[len(doubles)], doubles.tobytes())
            parts.append(NULL)
        self._write_longs(parts, columns.trades)
        self._write_longs(parts, columns.base_counts)
        self._write_longs(parts, columns.revisions)
        if columns.provenances:
            parts.append(longs[len(columns.provenances)])
            parts += map(self._texts.__getitem__, columns.provenances)
        parts.append(NULL)

    def _write_longs(self, parts: list[bytes], values: array[int]) -> None:
        if values:
            parts.append(self._longs[len(values)])
            parts += map(self._longs.__getitem__, values)
        parts.append(NULL)


class _Cursor:
    """A place in a value that moves on with each thing read."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def long(self) -> int:
        value, self.position = read_long(self.data, self.position)
        return value

    def text(self) -> str:
        value, self.position = read_text(self.data, self.position)
        return value

    def texts(self) -> tuple[str, ...]:
        count = self._count()
        found = tuple([self.text() for _ in range(count)])
        if count:
            self._close()
        return found

    def doubles(self) -> array[float]:
        count = self._count()
        values = array("d")
        if count:
            end = self.position + count * _DOUBLE_BYTES
            values.frombytes(self.data[self.position : end])
            self.position = end
            self._close()
        return values

    def longs(self) -> array[int]:
        count = self._count()
        block = self.data[self.position : self.position + count]
        if not block.isascii():
            values = array("q", [self.long() for _ in range(count)])
        else:
            # Each number takes one byte.
            values = array("q", [(byte >> 1) ^ -(byte & 1) for byte in block])
            self.position += count
        if count:
            self._close()
        return values

    def _count(self) -> int:
        count = self.long()
        # An item takes a byte at least.
        if count < 0 or count > len(self.data) - self.position:
            raise Unusual
        return count

    def _close(self) -> None:
        if self.data[self.position]:
            raise Unusual
        self.position += 1


def _read_block(cursor: _Cursor) -> BlockRow:
    return BlockRow(cursor.text(), cursor.long(), cursor.text(), cursor.long(), cursor.long(), _read_columns(cursor))


def _read_columns(cursor: _Cursor) -> Columns:
    longs, doubles = cursor.longs, cursor.doubles
    return Columns(
        cursor.long(),
        longs(),
        doubles(),
        doubles(),
        doubles(),
        doubles(),
        doubles(),
        doubles(),
        longs(),
        longs(),
        longs(),
        cursor.texts(),
    )
