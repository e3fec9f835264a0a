"""Avro's numbers and texts as bytes, for the prepared encoders and decoders.

An Avro long is zig-zag coded and cut into groups of seven bits, lowest first, each byte but the last with its high bit
set. In Python that is a loop, and a record has twenty of them. But the same numbers come again and again: the bars of a
hundred symbols share their starts and ends, counters are small, symbols and intervals are few. So each number is coded
once and remembered. The memories are dictionaries that fill on a miss and are emptied when full.
"""

from __future__ import annotations

from struct import Struct as Packing
from struct import unpack_from
from typing import Final

DOUBLE: Final = Packing("<d")
NULL: Final = b"\x00"
PRESENT: Final = b"\x02"

_FULL: Final = 1 << 14
_LONG: Final = 1 << 63
# Eight bytes read as one little-endian number: seven continuation bits set, the eighth clear.
_CONTINUED: Final = 0x8080808080808080
_EIGHT_BYTES: Final = 0x0080808080808080


class Unusual(Exception):
    """The bytes are not of the usual shape. Caught in this package only: the value then goes to fastavro."""


def long_bytes(value: int) -> bytes:
    """An Avro long.

    Raises:
        OverflowError: it does not fit into 64 bits.
    """
    if not -_LONG <= value < _LONG:
        raise OverflowError(f"{value} does not fit into an Avro long")
    rest = (value << 1) ^ (value >> 63)
    if rest < 0x80:
        return bytes((rest,))
    if rest < 0x4000:
        return bytes((rest & 0x7F | 0x80, rest >> 7))
    if rest < 0x200000:
        return bytes((rest & 0x7F | 0x80, rest >> 7 & 0x7F | 0x80, rest >> 14))
    if rest < 0x10000000:
        return bytes((rest & 0x7F | 0x80, rest >> 7 & 0x7F | 0x80, rest >> 14 & 0x7F | 0x80, rest >> 21))
    if 1 << 49 <= rest < 1 << 56:
        # Instants: spread 56 bits over eight bytes by halves, quarters and eighths.
        rest = rest & 0x000000000FFFFFFF | (rest & 0x00FFFFFFF0000000) << 4
        rest = rest & 0x00003FFF00003FFF | (rest & 0x0FFFC0000FFFC000) << 2
        rest = rest & 0x007F007F007F007F | (rest & 0x3F803F803F803F80) << 1
        return (rest | _EIGHT_BYTES).to_bytes(8, "little")
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


class Longs(dict[int, bytes]):
    """Avro longs by their value."""

    def __missing__(self, value: int) -> bytes:
        """Code the value and remember it."""
        if len(self) >= _FULL:
            self.clear()
        coded = self[value] = long_bytes(value)
        return coded


class Texts(dict[str, bytes]):
    """Avro strings by their value."""

    def __missing__(self, value: str) -> bytes:
        """Code the value and remember it."""
        if len(self) >= _FULL:
            self.clear()
        raw = value.encode()
        coded = self[value] = long_bytes(len(raw)) + raw
        return coded


class Instants(dict[int, int]):
    """Longs that take eight bytes, as every instant from 1987 to 2554 does, by those bytes read as one number.

    A number that is no such long gives `Unusual`.
    """

    def __missing__(self, raw: int) -> int:
        """Decode the number and remember it."""
        if raw & _CONTINUED != _EIGHT_BYTES or raw & 1:
            raise Unusual
        if len(self) >= _FULL:
            self.clear()
        groups = raw & ~_CONTINUED
        groups = groups & 0x007F007F007F007F | (groups & 0x7F007F007F007F00) >> 1
        groups = groups & 0x00003FFF00003FFF | (groups & 0x3FFF00003FFF0000) >> 2
        groups = groups & 0x000000000FFFFFFF | (groups & 0x0FFFFFFF00000000) >> 4
        value = self[raw] = groups >> 1
        return value


def read_long(data: bytes, position: int) -> tuple[int, int]:
    """The long at `position`, and the position after it.

    Raises:
        IndexError: the data ends before it does.
        Unusual: it is longer than a long may be.
    """
    byte = data[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    coded = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        coded |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 56:
            raise Unusual
    return (coded >> 1) ^ -(coded & 1), position


def read_text(data: bytes, position: int) -> tuple[str, int]:
    """The string at `position`, and the position after it.

    Raises:
        IndexError, UnicodeDecodeError, Unusual: there is none.
    """
    length, position = read_long(data, position)
    end = position + length
    if length < 0 or end > len(data):
        raise Unusual
    return data[position:end].decode(), end


def read_double(data: bytes, position: int) -> tuple[float, int]:
    """The double at `position`, and the position after it.

    Raises:
        struct.error: the data ends before it does.
    """
    (value,) = unpack_from("<d", data, position)
    return value, position + 8
