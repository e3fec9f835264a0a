"""Where reading a topic starts so that nothing after an instant is missed: what the times of its messages say, held against its records.

Kafka finds an offset by the times of messages, and those are what a producer made of them: the end of the bar, as they should be, or
its start, seconds for milliseconds, local time for UTC, the time of sending, or nothing. A record carries its own time. So the records
around the offset that the times give, and the first of the topic, are looked at. The invariant: as long as they bear the times
out, the offset is taken as it is; where one of them contradicts it, the offset comes from the records alone.

    too late     the record before it, or the first of the topic, is of after the instant: it would be missed
    too early    it is the first of the topic, or a hundred records follow it, and they are of before the instant

Then blocks of records are looked at, evenly spread over the topic, and between two of them by bisection; at the end 4,000 offsets
at most are read one by one, 2,000 of them before the place that was found, since records may be a little out of order. A topic whose
blocks are not in order of time is read from its beginning, 100,000 offsets at most: what lies behind them is never passed over.

Nothing here asks a broker: `peek` gives the records between two offsets.

    found = position(Bounds(0, 1021), 300, from_us, peek)
    found.offset, found.doubt     # 0, what contradicts the offset 300; None where nothing does
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from streams.times import iso

NEAR: Final = 16
"""How many offsets on either side of a place are looked at."""
FAR: Final = 1_000
"""How many where those have no record that can be read: markers of transactions, gaps, other things."""
EARLY: Final = 100
"""How many records of before the instant may stand at the place, late ones among records of after it, without a doubt."""
OPENING: Final = 3
"""How many records at the topic's beginning have to contradict, since one alone may be a stray."""
BLOCKS: Final = 16
SCAN: Final = 2_000
MOST: Final = 100_000
_CHUNK: Final = 5_000


class Seen(Struct, frozen=True, gc=False):
    """A record that was looked at: where it stands, and the instant that it is of."""

    offset: int
    at_us: int


Peek = Callable[[int, int], Sequence[Seen]]
"""The records that can be read with offsets in `[first, stop)`, in order."""


class Bounds(Struct, frozen=True):
    """Where a topic begins and ends: the first offset, and the one after the last that is committed."""

    first: int
    end: int


class Doubt(Struct, frozen=True):
    """What contradicts the times of the messages.

    `by_time` is the offset that they give, `seen` the record that contradicts it, `where` it stands in words. `is_scanned` says that
    the records are not in order, so that the beginning of the topic was read; `is_limit` that this came to its limit.
    """

    by_time: int
    seen: Seen
    where: str
    is_scanned: bool = False
    is_limit: bool = False


class Position(Struct, frozen=True):
    """The offset to start at, and why it is not the one that the times of the messages give; None where it is."""

    offset: int
    doubt: Doubt | None = None


def position(bounds: Bounds, by_time: int | None, from_us: int, peek: Peek) -> Position:
    """Where to start so that no record of after `from_us` is missed.

    Args:
        bounds: of the topic.
        by_time: the first offset whose message is of after the instant; None where no message is.
        from_us: the instant.
        peek: looks at records.
    """
    at = bounds.end if by_time is None else min(max(by_time, bounds.first), bounds.end)
    doubt = _contradiction(bounds, at, from_us, peek)
    if doubt is None:
        return Position(at)
    return _found(bounds, from_us, peek, doubt)


def note_of(found: Position, bounds: Bounds, topic: str, from_us: int) -> str | None:
    """What is special about a position, in words for a reply and an event; None for one as it should be."""
    doubt = found.doubt
    if doubt is None:
        if 0 < found.offset == bounds.first < bounds.end:
            return f"reading begins at offset {found.offset} of {topic}: what came before is no longer there"
        return None
    is_late = doubt.seen.at_us > from_us
    side = "after" if is_late else "not after"
    how = ""
    if doubt.is_scanned:
        how = f"; its records are not in order, so that its first {MOST:,} offsets were read"
        how += " and all of them are older" if doubt.is_limit else " up to there"
    return (
        f"reading begins at offset {found.offset} of {topic}, found from its records{how}: the times of its messages give offset "
        f"{doubt.by_time}, but the record {doubt.where} (offset {doubt.seen.offset}) is of {iso(doubt.seen.at_us)}, {side} "
        f"{iso(from_us)}; stamp each message with the end of its bar, in milliseconds since 1970 UTC"
    )


def _contradiction(bounds: Bounds, at: int, from_us: int, peek: Peek) -> Doubt | None:
    first, end = bounds.first, bounds.end
    if first >= end:
        return None
    around = peek(max(first, at - NEAR), min(end, at + NEAR))
    before = [seen for seen in around if seen.offset < at] or _before(bounds, at, peek)
    if before and before[-1].at_us > from_us:
        return Doubt(at, before[-1], "before it")
    if before:
        opening = [seen for seen in peek(first, min(at, first + NEAR)) if seen.offset < at][:OPENING]
        if opening and all(seen.at_us > from_us for seen in opening):
            return Doubt(at, opening[0], "at the beginning")
    behind = [seen for seen in around if seen.offset >= at] or (peek(at, min(end, at + FAR)) if at < end else [])
    if not behind or behind[0].at_us > from_us:
        return None
    if not before or all(seen.at_us <= from_us for seen in peek(at, min(end, at + EARLY))):
        return Doubt(at, behind[0], "there")
    return None


def _before(bounds: Bounds, at: int, peek: Peek) -> Sequence[Seen]:
    return peek(max(bounds.first, at - FAR), at) if at > bounds.first else []


def _found(bounds: Bounds, from_us: int, peek: Peek, doubt: Doubt) -> Position:
    first, end = bounds.first, bounds.end
    if end - first <= SCAN:
        return Position(_first_after(peek(first, end), from_us, end), doubt)
    marks = [first + (end - first) * number // BLOCKS for number in range(BLOCKS)]
    blocks = [(mark, block) for mark in [*marks, max(marks[-1], end - NEAR)] if (block := _block(mark, end, peek))]
    newest = [max(seen.at_us for seen in block) for _, block in blocks]
    if any(later < earlier for earlier, later in pairwise(newest)):
        return _scanned(bounds, from_us, peek, doubt)
    low, high = first, end
    for mark, block in blocks:
        high = _first_after(block, from_us, end)
        if high < end:
            break
        low = mark
    while high - low > SCAN:
        middle = (low + high) // 2
        block = _block(middle, high, peek)
        if block and all(seen.at_us <= from_us for seen in block):
            low = middle
        else:
            # Where nothing can be read nothing is known either: to start before it misses nothing.
            high = _first_after(block, from_us, middle)
    return Position(_first_after(peek(max(first, low - SCAN), high), from_us, high), doubt)


def _scanned(bounds: Bounds, from_us: int, peek: Peek, doubt: Doubt) -> Position:
    limit = min(bounds.end, bounds.first + MOST)
    for begin in range(bounds.first, limit, _CHUNK):
        stop = min(begin + _CHUNK, limit)
        at = _first_after(peek(begin, stop), from_us, stop)
        if at < stop:
            return Position(at, _of_scan(doubt, is_limit=False))
    return Position(limit, _of_scan(doubt, is_limit=limit < bounds.end))


def _of_scan(doubt: Doubt, *, is_limit: bool) -> Doubt:
    return Doubt(doubt.by_time, doubt.seen, doubt.where, True, is_limit)


def _block(mark: int, stop: int, peek: Peek) -> Sequence[Seen]:
    return peek(mark, min(stop, mark + NEAR)) or peek(mark, min(stop, mark + FAR))


def _first_after(some: Sequence[Seen], from_us: int, otherwise: int) -> int:
    return next((seen.offset for seen in some if seen.at_us > from_us), otherwise)
