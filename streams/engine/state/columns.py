"""Bars column by column: what is done with a block of them as a whole, without making its bars.

A column is never written into: whoever changes a block makes columns of his own, as the former ones stand in rows. Optional columns
are empty where every bar has the default, so that the same bars are the same columns, however they came together.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from math import isnan, nan
from typing import Final, TypeVar

from streams.model.records import SessionBar
from streams.model.rows import Columns

T = TypeVar("T", float, int)

NO_NUMBERS: Final = array("q")
NO_DOUBLES: Final = array("d")
USUAL_COLUMNS: Final[tuple[array[float], array[int], array[int], tuple[str, ...]]] = (NO_DOUBLES, NO_NUMBERS, NO_NUMBERS, ())
NO_BARS: Final = Columns(
    0, NO_NUMBERS, NO_DOUBLES, NO_DOUBLES, NO_DOUBLES, NO_DOUBLES, NO_DOUBLES, NO_DOUBLES, NO_NUMBERS, NO_NUMBERS, NO_NUMBERS, ()
)


def with_bar(columns: Columns, line_us: int, bar: SessionBar, width_us: int, usual_provenance: str) -> Columns:
    """The columns with one bar more, or with another one in its place.

    Args:
        columns: at least one bar.
        line_us: the multiple of the interval that the bar belongs to.
        bar: the bar.
        width_us: the interval's length.
        usual_provenance: what an empty column of provenances stands for.
    """
    first_us, slots = columns.first_start_us, columns.slots
    if line_us < first_us:
        shift = (first_us - line_us) // width_us
        first_us, slots = line_us, array("q", [slot + shift for slot in slots])
    slot = (line_us - first_us) // width_us
    place, count = bisect_left(slots, slot), len(slots)
    replaces = place < count and slots[place] == slot

    def put(column: array[T], value: T) -> array[T]:
        column = column[:]
        if replaces:
            column[place] = value
        else:
            column.insert(place, value)
        return column

    def put_perhaps(column: array[T], value: T, default: T) -> array[T]:
        if not column:
            if value == default:
                return column
            column = array(column.typecode, [default]) * count
        return put(column, value)

    provenances = list(_each(columns, usual_provenance))
    provenances[place : place + replaces] = [bar.provenance]
    changed = Columns(
        first_us,
        slots if replaces else put(slots, slot),
        put(columns.open, bar.open),
        put(columns.high, bar.high),
        put(columns.low, bar.low),
        put(columns.close, bar.close),
        put(columns.volume, bar.volume),
        # A price that is none is not equal to itself, so it can't be told from others by comparing.
        columns.vwap if bar.vwap is None and not columns.vwap else put(_filled(columns.vwap, count), nan if bar.vwap is None else bar.vwap),
        put_perhaps(columns.trades, -1 if bar.trades is None else bar.trades, -1),
        put_perhaps(columns.base_counts, bar.base_count, 1),
        put_perhaps(columns.revisions, bar.revision, 0),
        tuple(provenances),
    )
    return _without_the_usual(changed, usual_provenance)


def _filled(vwaps: array[float], count: int) -> array[float]:
    return vwaps or array("d", [nan]) * count


def _without_the_usual(columns: Columns, usual_provenance: str) -> Columns:
    """The same bars, with every optional column empty that has nothing to say."""
    return Columns(
        columns.first_start_us, columns.slots, columns.open, columns.high, columns.low, columns.close, columns.volume,
        NO_DOUBLES if all(map(isnan, columns.vwap)) else columns.vwap,
        NO_NUMBERS if not columns.trades or max(columns.trades) < 0 else columns.trades,
        NO_NUMBERS if columns.base_counts.count(1) == len(columns.base_counts) else columns.base_counts,
        columns.revisions if any(columns.revisions) else NO_NUMBERS,
        for_all(list(columns.provenances), usual_provenance) if columns.provenances else (),
    )  # fmt: skip


def halves(columns: Columns, width_us: int, usual_provenance: str) -> tuple[Columns, Columns]:
    """A block in two."""
    middle = len(columns.slots) // 2
    first, second = sliced(columns, 0, middle, width_us), sliced(columns, middle, len(columns.slots), width_us)
    return _without_the_usual(first, usual_provenance), _without_the_usual(second, usual_provenance)


def united(blocks: list[Columns], width_us: int, usual_provenance: str) -> Columns:
    """The bars of several blocks in one."""
    first_us = blocks[0].first_start_us
    slots = array("q")
    opens, highs, lows, closes, volumes = (array("d") for _ in range(5))
    for block in blocks:
        shift = (block.first_start_us - first_us) // width_us
        slots.extend([slot + shift for slot in block.slots])
        opens.extend(block.open)
        highs.extend(block.high)
        lows.extend(block.low)
        closes.extend(block.close)
        volumes.extend(block.volume)
    vwaps, trades, counts, revisions = array("d"), array("q"), array("q"), array("q")
    if any(block.vwap for block in blocks):
        for block in blocks:
            vwaps.extend(block.vwap or array("d", [nan]) * len(block.slots))
    for united, name, default in ((trades, "trades", -1), (counts, "base_counts", 1), (revisions, "revisions", 0)):
        if any(getattr(block, name) for block in blocks):
            for block in blocks:
                united.extend(getattr(block, name) or array("q", [default]) * len(block.slots))
    provenances: tuple[str, ...] = ()
    if any(block.provenances for block in blocks):
        provenances = for_all([one for block in blocks for one in _each(block, usual_provenance)], usual_provenance)
    return Columns(first_us, slots, opens, highs, lows, closes, volumes, vwaps, trades, counts, revisions, provenances)


def _each(block: Columns, usual_provenance: str) -> tuple[str, ...]:
    """The provenance of each bar of a block."""
    given = block.provenances or (usual_provenance,)
    return given if len(given) > 1 else given * len(block.slots)


def for_all(provenances: list[str], usual: str) -> tuple[str, ...]:
    """The column of provenances: none where all are the usual one, a single one where all are the same."""
    first = provenances[0]
    if provenances.count(first) < len(provenances):
        return tuple(provenances)
    return () if first == usual else (first,)


def sliced(columns: Columns, first: int, last: int, width_us: int) -> Columns:
    """The bars from one place to before another, counted from their own first start."""
    first_slot = columns.slots[first]
    provenances = columns.provenances
    return Columns(
        columns.first_start_us + first_slot * width_us,
        array("q", [slot - first_slot for slot in columns.slots[first:last]]),
        columns.open[first:last], columns.high[first:last], columns.low[first:last], columns.close[first:last], columns.volume[first:last],
        columns.vwap[first:last], columns.trades[first:last], columns.base_counts[first:last], columns.revisions[first:last],
        provenances[first:last] if len(provenances) > 1 else provenances,
    )  # fmt: skip
