"""Sessions that former versions left behind: their topics, source topics and table rows, as bytes.

A file of `tests/data/rules-N` is an xz-compressed MessagePack map: `session`, `epoch`, `transaction`, `topics` (by name, records as
[offset, timestamp in milliseconds, key, value, headers]), `sources` (by name and topic ID, records as [topic, offset, key, value,
headers]) and `rows` (by key). Each was written by the version of its rules, from what simulated sessions left, and is never
written again.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import msgspec

from streams.kafka.reader import Record
from streams.wire.outputs import RawRecord
from streams.wire.topics import TopicNames
from tests.support.oracle.audit import Left

FOLDER = Path(__file__).parents[2] / "data"


def past_sessions(rules: int) -> list[Path]:
    """The files of a rules version."""
    return sorted((FOLDER / f"rules-{rules}").glob("*.msgpack.xz"))


def read_past(path: Path) -> Left:
    """What a session left behind."""
    found: dict[str, Any] = msgspec.msgpack.decode(lzma.decompress(path.read_bytes()))
    left = Left.__new__(Left)
    left.session, left.epoch, left.transaction, left.rows = (found[name] for name in ("session", "epoch", "transaction", "rows"))
    left.names = TopicNames(left.session)
    left.topics = {topic: [Record(*record[:4], _headers(record)) for record in records] for topic, records in found["topics"].items()}
    left.sources = {topic: [RawRecord(*raw[:4], _headers(raw)) for raw in raws] for topic, raws in found["sources"].items()}
    left.lost, left.begin_late, left.ends = set(), set(), {}
    return left


def _headers(record: list[Any]) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in record[4]]
