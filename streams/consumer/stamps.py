"""What a record says in its headers: enough to pass it over without decoding it, which most records of a topic are.

A record without our headers is not ours; it is decoded, and what it says of itself is taken.
"""

from __future__ import annotations

from msgspec import Struct

from streams.errors import WireError
from streams.kafka.reader import Record
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent


class Stamp(Struct, frozen=True, gc=False):
    """A record's place in the sequence, and what it is about; `end_us` is 0 and `valid_until_us` None for all but bars."""

    epoch: int
    sequence: int
    kind: str
    symbol: str | None
    interval: str | None
    end_us: int
    valid_until_us: int | None


def stamp_of(record: Record, codec: Codec, topic: str) -> Stamp:
    """The stamp of a record of an analysis topic, or of the ungated one.

    Raises:
        WireError: it has none, and can't be decoded either; the message says where it is.
    """
    texts = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    try:
        validity = texts.get("valid_until_us")
        return Stamp(
            int(texts["epoch"]), int(texts["sequence"]), texts["kind"], texts.get("symbol"), texts.get("interval"),
            int(texts.get("end_us", "0")), None if validity is None else int(validity),
        )  # fmt: skip
    except (KeyError, ValueError):
        event = decoded(record, codec, topic)
    bar = event.bar
    end_us, valid_until_us = (0, None) if bar is None else (bar.end_us, bar.valid_until_us)
    return Stamp(event.epoch, event.sequence, event.kind, event.symbol, event.interval, end_us, valid_until_us)


def decoded(record: Record, codec: Codec, topic: str) -> AnalysisEvent:
    """The record itself.

    Raises:
        WireError: it can't be decoded; the message says where it is.
    """
    try:
        return codec.analysis_from(record.value)
    except WireError as damage:
        raise type(damage)(f"{topic} offset {record.offset}: {damage}") from None
