"""Quotes and ticks in Avro, the prepared way: they come by the thousands a second.

A quote's bytes begin with the symbol, which stays the same on its topic, and end with a word that hardly changes; between them
stand eight bytes of time and four optional numbers. Where all four are there one `struct` call reads them, and one writes
them. A tick has two numbers that are always there. What is not of the shape is not an error here: `read` gives None, and
fastavro decides.
"""

from __future__ import annotations

import struct
from typing import Final

from streams.model.records import Quote, Tick
from streams.wire.fast.numbers import (
    DOUBLE,
    NULL,
    PRESENT,
    Instants,
    Longs,
    Texts,
    Unusual,
    read_double,
    read_text,
)
from streams.wire.framing import HEADER_BYTES
from streams.wire.json import MAX_PROVENANCE_LENGTH

# Each number of a quote comes after the branch of its union: 0 for null, 2 for a value.
_QUOTE: Final = struct.Struct("<QBdBdBdBd")
_NUMBERS: Final = struct.Struct("<BdBdBdBd")
_TICK: Final = struct.Struct("<Qdd")
_PRICE_AND_SIZE: Final = struct.Struct("<dd")
_TIME: Final = struct.Struct("<Q")
_FULL: Final = 1 << 14


class _Ends:
    """How records of one kind begin and end: with the header and a symbol, and with a provenance. Each is decoded once."""

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._symbols: dict[bytes, str] = {}
        self._tails: dict[bytes, str] = {}

    def symbol(self, begin: bytes) -> str:
        """The symbol of a value's first bytes."""
        return self._symbols.get(begin) or self._learn_symbol(begin)

    def provenance(self, tail: bytes) -> str:
        """The provenance of a value's last bytes."""
        known = self._tails.get(tail)
        return self._learn_tail(tail) if known is None else known

    def _learn_symbol(self, begin: bytes) -> str:
        if not begin.startswith(self._header):
            raise Unusual
        symbol, position = read_text(begin, HEADER_BYTES)
        if position != len(begin):
            raise Unusual
        if len(self._symbols) >= _FULL:
            self._symbols.clear()
        self._symbols[begin] = symbol
        return symbol

    def _learn_tail(self, tail: bytes) -> str:
        provenance, position = read_text(tail, 0)
        if position != len(tail) or len(provenance) > MAX_PROVENANCE_LENGTH:
            raise Unusual
        if len(self._tails) >= _FULL:
            self._tails.clear()
        self._tails[tail] = provenance
        return provenance


class QuoteBytes:
    """Writes and reads quotes under one schema id.

    Args:
        header: the framing header of the schema that is written, and the only one that is read.
    """

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._longs = Longs()
        self._texts = Texts()
        self._instants = Instants()
        self._ends = _Ends(header)

    def write(self, quote: Quote) -> bytes:
        """The framed bytes of a quote."""
        bid, ask, bid_size, ask_size = quote.bid, quote.ask, quote.bid_size, quote.ask_size
        if bid is not None and ask is not None and bid_size is not None and ask_size is not None:
            numbers = _NUMBERS.pack(2, bid, 2, ask, 2, bid_size, 2, ask_size)
        else:
            numbers = b"".join([NULL if one is None else PRESENT + DOUBLE.pack(one) for one in (bid, ask, bid_size, ask_size)])
        texts = self._texts
        return b"".join((self._header, texts[quote.symbol], self._longs[quote.time_us], numbers, texts[quote.provenance]))

    def read(self, value: bytes) -> Quote | None:
        """The quote of framed bytes, or None when they are not of the usual shape."""
        try:
            begin = 6 + (value[HEADER_BYTES] >> 1)
            symbol = self._ends.symbol(value[:begin])
            end = begin + 44
            if value[begin + 8 : end : 9] != b"\x02\x02\x02\x02":
                return self._read_gaps(symbol, value, begin)
            time, _, bid, _, ask, _, bid_size, _, ask_size = _QUOTE.unpack_from(value, begin)
            return Quote(symbol, self._instants[time], bid, ask, bid_size, ask_size, self._ends.provenance(value[end:]))
        except (IndexError, struct.error, UnicodeDecodeError, Unusual):
            return None

    def _read_gaps(self, symbol: str, value: bytes, begin: int) -> Quote | None:
        """One of which not all numbers are there."""
        (time,) = _TIME.unpack_from(value, begin)
        position = begin + 8
        numbers: list[float | None] = []
        for _ in range(4):
            branch, number = value[position], None
            position += 1
            if branch == 2:
                number, position = read_double(value, position)
            elif branch:
                return None
            numbers.append(number)
        return Quote(symbol, self._instants[time], numbers[0], numbers[1], numbers[2], numbers[3], self._ends.provenance(value[position:]))


class TickBytes:
    """Writes and reads ticks under one schema id; the header is as for `QuoteBytes`."""

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._longs = Longs()
        self._texts = Texts()
        self._instants = Instants()
        self._ends = _Ends(header)

    def write(self, tick: Tick) -> bytes:
        """The framed bytes of a tick."""
        texts, numbers = self._texts, _PRICE_AND_SIZE.pack(tick.price, tick.size)
        return b"".join((self._header, texts[tick.symbol], self._longs[tick.time_us], numbers, texts[tick.provenance]))

    def read(self, value: bytes) -> Tick | None:
        """The tick of framed bytes, or None when they are not of the usual shape."""
        try:
            begin = 6 + (value[HEADER_BYTES] >> 1)
            symbol = self._ends.symbol(value[:begin])
            time, price, size = _TICK.unpack_from(value, begin)
            return Tick(symbol, self._instants[time], price, size, self._ends.provenance(value[begin + 24 :]))
        except (IndexError, struct.error, UnicodeDecodeError, Unusual):
            return None
