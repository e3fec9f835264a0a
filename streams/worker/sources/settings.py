"""Settings of source topics that lose bars, quotes, or ticks, or that hide them: looked at when a symbol is added and when a worker starts.

The topics of a session are refused with such settings (`worker.setup`). A source topic belongs to whoever produces to it, so the
session reads it all the same and warns: in the symbol's note, which the reply to its addition and `streams status` show, by an event,
and on the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from streams.engine.state.symbol import SymbolSessionData
from streams.worker.setup import LARGEST_BYTES, SENT_BYTES

RECORD_BYTES: Final = 80
"""The least that a bar takes in a topic: eight numbers and what Kafka adds."""
WARNED: Final = "settings of topic "
"""How a warning about settings begins."""


class Needs(Struct, frozen=True):
    """What a topic has to hold: a trading day of `day_us` microseconds, with at least `records` of it (0: not known)."""

    day_us: int
    records: int = 0


def needs_of(data: SymbolSessionData, stream: str | None) -> Needs:
    """What a symbol's topic has to hold of its day: bars for an addition, or a start anew, before the close."""
    day = data.day
    length_us = day.close_us - day.open_us
    return Needs(length_us, day.expected(data.base_us, day.open_us, day.close_us) if stream is None else 0)


def with_warning(note: str | None, warned: str | None) -> str | None:
    """A symbol's note with this warning in it, and no other about settings."""
    others = (note or "").partition(WARNED)[0].removesuffix("; ")
    return "; ".join(text for text in (others, warned) if text) or None


def warning(topic: str, found: Mapping[str, str | None], needs: Needs) -> str | None:
    """What is wrong with a topic's settings and what would be right; None where nothing is.

    Args:
        topic: its name.
        found: the broker's answer, by key.
        needs: what the topic has to hold.
    """
    wrong = [*_cleanup(found), *_retention(found, needs), *_stamps(found), *_largest(found)]
    if not wrong:
        return None
    changes = ",".join(f"{key}={value}" for key, value, _ in wrong)
    return (
        f"{WARNED}{topic}: {'; '.join(text for _, _, text in wrong)}. "
        f"To change them: kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {changes}"
    )


_Wrong = tuple[str, str, str]
"""A key, what it should be, and what is wrong with what it is."""


def _cleanup(found: Mapping[str, str | None]) -> list[_Wrong]:
    policy = found.get("cleanup.policy") or "delete"
    if "compact" not in [one.strip() for one in policy.split(",")]:
        return []
    return [("cleanup.policy", "delete", f"cleanup.policy={policy} keeps only the newest record of each key, so that others are lost")]


def _retention(found: Mapping[str, str | None], needs: Needs) -> list[_Wrong]:
    wrong = []
    kept_ms, needed_ms = int(found.get("retention.ms") or -1), needs.day_us // 1000
    if 0 <= kept_ms < needed_ms:
        wrong.append(("retention.ms", str(7 * 86_400_000), f"retention.ms={kept_ms} is less than a trading day, {needed_ms} ms"))
    kept_bytes, needed_bytes = int(found.get("retention.bytes") or -1), needs.records * RECORD_BYTES
    if 0 <= kept_bytes < needed_bytes:
        text = f"retention.bytes={kept_bytes} is less than a trading day of {needs.records} bars takes, at least {needed_bytes} bytes"
        wrong.append(("retention.bytes", "-1", text))
    return wrong


def _stamps(found: Mapping[str, str | None]) -> list[_Wrong]:
    if found.get("message.timestamp.type") != "LogAppendTime":
        return []
    text = "message.timestamp.type=LogAppendTime stamps records with their arrival, so that bars produced later are not found by their time"
    return [("message.timestamp.type", "CreateTime", text)]


def _largest(found: Mapping[str, str | None]) -> list[_Wrong]:
    limit = int(found.get("max.message.bytes") or LARGEST_BYTES)
    if limit >= SENT_BYTES:
        return []
    text = f"max.message.bytes={limit} is less than a producer sends at once, up to {SENT_BYTES}, so that whole batches are refused"
    return [("max.message.bytes", str(LARGEST_BYTES), text)]
