"""Records of a source topic as a range for the engine: the one way in which the worker and the audit decode them."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.transaction import RangeRead
from streams.errors import WireError
from streams.records import Bar, Quote, Tick, Undecodable
from streams.wire.codec import Codec
from streams.wire.deadletter import shortened


def range_read(
    codec: Codec,
    symbol: str,
    incarnation: int,
    first: int,
    following: int,
    offsets: Sequence[int],
    values: Sequence[bytes | None],
    stream: str | None = None,
) -> RangeRead:
    """The range `[first, following)` of a topic of a symbol (bars, or the stream's), whose records are `values` at `offsets`."""
    records: list[Bar | Quote | Tick | Undecodable] = [
        Undecodable(shortened(str(one))) if isinstance(one, WireError) else one for one in codec.decode_records(stream, values)
    ]
    return RangeRead(symbol, incarnation, first, following, offsets, records, stream)
