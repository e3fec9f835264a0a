"""Records of a bar topic as a range for the engine: the one way in which the worker and the audit decode bars."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.transaction import RangeRead
from streams.errors import WireError
from streams.records import Bar, Undecodable
from streams.wire.codec import Codec
from streams.wire.deadletter import shortened


def range_read(
    codec: Codec, symbol: str, incarnation: int, first: int, following: int, offsets: Sequence[int], values: Sequence[bytes | None]
) -> RangeRead:
    """The range `[first, following)` of a symbol's topic, whose records are `values` at `offsets`."""
    decoded = codec.decode_bars(values)
    records: list[Bar | Undecodable] = [Undecodable(shortened(str(bar))) if isinstance(bar, WireError) else bar for bar in decoded]
    return RangeRead(symbol, incarnation, first, following, offsets, records)
