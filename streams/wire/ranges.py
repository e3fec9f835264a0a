"""Records of a source topic as a range for the engine: the one way in which the worker and the audit decode them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from streams.errors import WireError
from streams.model.records import Bar, Quote, Tick, Undecodable
from streams.model.rules_version import RULES
from streams.model.transactions import RangeRead
from streams.wire.codec import Codec
from streams.wire.deadletter import shortened
from streams.wire.framing import hint_of

_DECODED: Final = {Bar, Quote, Tick}
"""What almost all ranges consist of: such a one is taken as it is."""


def range_read(
    codec: Codec,
    symbol: str,
    incarnation: int,
    first: int,
    following: int,
    offsets: Sequence[int],
    values: Sequence[bytes | None],
    stream: str | None = None,
    headers: Callable[[int], Sequence[str]] = lambda place: (),
    rules: int = RULES,
) -> RangeRead:
    """The range `[first, following)` of a topic of a symbol (bars, or the stream's), whose records are `values` at `offsets`.

    `headers` gives the names of the headers of one of them: they say more of one that can't be decoded. `rules` is the rules
    version that the transaction runs under: those of a worker are the newest, those of an audit the journal's.
    """
    unknown: dict[int, tuple[str, ...]] = {}
    decoded = codec.decode_records(stream, values, rules, unknown)
    records: Sequence[Bar | Quote | Tick | Undecodable]
    if set(map(type, decoded)) <= _DECODED:
        records = cast("Sequence[Bar | Quote | Tick]", decoded)
    else:
        records = [
            undecodable(one, values[place], headers(place)) if isinstance(one, WireError) else one for place, one in enumerate(decoded)
        ]
    return RangeRead(symbol, incarnation, first, following, offsets, records, stream, unknown or None)


def undecodable(error: WireError, value: bytes | None, headers: Sequence[str]) -> Undecodable:
    """What stands in place of a record that can't be decoded; `headers` are the names of those that it has."""
    return Undecodable(shortened(str(error)), hint_of(value, headers))
