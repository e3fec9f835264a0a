"""Bars in Avro, the prepared way.

A bar's bytes are always of one shape: symbol and interval, start and end in eight bytes each, five doubles, two optional
numbers, a word. `BarBytes` writes that shape with one `struct` call and reads it with one, checking every byte that the
shape fixes. What is not of the shape is not an error here: `read` gives None, and fastavro decides.

`stretch` writes the fields from start to trades. They stand together in `Bar` and in `AnalysisEvent.bar`, in the same
order and types.
"""

from __future__ import annotations

import struct
from typing import Final

from streams.model.records import Bar, SessionBar
from streams.wire.fast.numbers import (
    Instants,
    Longs,
    Texts,
    Unusual,
    long_bytes,
    read_double,
    read_long,
    read_text,
)
from streams.wire.framing import HEADER_BYTES
from streams.wire.json import MAX_PROVENANCE_LENGTH

# The two last bytes are the branches of vwap and trades: 0 for null, 2 for a value.
_PRICES: Final = struct.Struct("<5dBB")
_PRICES_AND_VWAP: Final = struct.Struct("<5dBdB")
_FIXED: Final = struct.Struct("<QQ5dB")
_FULL: Final = 1 << 14


class BarBytes:
    """Writes and reads bars under one schema id.

    Args:
        header: the framing header of the schema that is written, and the only one that is read.
    """

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._longs = Longs()
        self._texts = Texts()
        self._instants = Instants()
        self._names: dict[bytes, tuple[str, str]] = {}
        self._tails: dict[bytes, str] = {}

    def write(self, bar: Bar) -> bytes:
        """The framed bytes of a bar."""
        texts = self._texts
        return b"".join((self._header, texts[bar.symbol], texts[bar.interval], stretch(bar, self._longs), texts[bar.provenance]))

    def read(self, value: bytes) -> Bar | None:
        """The bar of framed bytes, or None when they are not of the usual shape."""
        try:
            names_end = 6 + (value[HEADER_BYTES] >> 1)
            names_end += 1 + (value[names_end] >> 1)
            names = self._names.get(value[:names_end]) or self._learn_names(value[:names_end])
            start, end, open_, high, low, close, volume, vwap_branch = _FIXED.unpack_from(value, names_end)
            position = names_end + _FIXED.size
            vwap = trades = None
            if vwap_branch:
                if vwap_branch != 2:
                    return None
                vwap, position = read_double(value, position)
            if value[position] == 2:
                trades, position = read_long(value, position + 1)
            elif value[position]:
                return None
            else:
                position += 1
            tail = value[position:]
            provenance = self._tails.get(tail)
            if provenance is None:
                provenance = self._learn_tail(tail)
            instants = self._instants
            return Bar(names[0], names[1], instants[start], instants[end], open_, high, low, close, volume, vwap, trades, provenance)
        except (IndexError, struct.error, UnicodeDecodeError, Unusual):
            return None

    def _learn_names(self, begin: bytes) -> tuple[str, str]:
        if not begin.startswith(self._header):
            raise Unusual
        symbol, position = read_text(begin, HEADER_BYTES)
        interval, position = read_text(begin, position)
        if position != len(begin):
            raise Unusual
        if len(self._names) >= _FULL:
            self._names.clear()
        names = self._names[begin] = (symbol, interval)
        return names

    def _learn_tail(self, tail: bytes) -> str:
        provenance, position = read_text(tail, 0)
        if position != len(tail) or len(provenance) > MAX_PROVENANCE_LENGTH:
            raise Unusual
        if len(self._tails) >= _FULL:
            self._tails.clear()
        self._tails[tail] = provenance
        return provenance


def stretch(bar: Bar | SessionBar, longs: Longs) -> bytes:
    """The fields from start to trades."""
    return longs[bar.start_us] + longs[bar.end_us] + figures(bar)


def figures(bar: Bar | SessionBar) -> bytes:
    """The fields from open to trades."""
    if bar.vwap is None and bar.trades is None:
        return _PRICES.pack(bar.open, bar.high, bar.low, bar.close, bar.volume, 0, 0)
    if bar.vwap is None:
        prices = _PRICES.pack(bar.open, bar.high, bar.low, bar.close, bar.volume, 0, 0 if bar.trades is None else 2)
    else:
        prices = _PRICES_AND_VWAP.pack(bar.open, bar.high, bar.low, bar.close, bar.volume, 2, bar.vwap, 0 if bar.trades is None else 2)
    return prices if bar.trades is None else prices + long_bytes(bar.trades)
