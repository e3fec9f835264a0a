"""Bars of one symbol, interval and trading day, in order of start: full blocks, and a tail that still grows.

A full block is a `Columns`: immutable, eight bytes a value, and exactly what its row holds, so that a restart takes it
over without decoding. The tail of a base series stands in the symbol's progress row, which every batch writes anyway; the
tail of a derived series is a block like the others, written when it was touched. A bar that arrives late is put into the
block it belongs to, and only that block is written again; one that has grown too large for that is split in two. Bars are
made from columns when somebody reads them.

A tail is written again with each bar, so it is short, and so are the blocks that it becomes where bars come one by one. A day of
them would be many rows for a restart to read: small blocks at the end are united when there are so many. Each bar is then
written once more, and a day has as few rows as one that was read at once.

The invariant: starts rise strictly through the blocks and then the tail; no block is empty. A block keeps the number that
it was given, the next one free, so numbers say nothing of the order once a block has been split; the tail's is the last.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import reduce
from itertools import takewhile
from math import isnan, nan
from operator import add

from streams.engine.state.columns import (
    NO_BARS,
    NO_DOUBLES,
    NO_NUMBERS,
    USUAL_COLUMNS,
    for_all,
    halves,
    sliced,
    united,
    with_bar,
)
from streams.engine.state.grid import Grid
from streams.engine.state.holes import Holes
from streams.engine.state.slots import Slots
from streams.model.records import PROVENANCE_DERIVED, PROVENANCE_FEED, SessionBar
from streams.model.rows import Columns

SEAL_AT = 4
# A block with fewer bars than this is small: one that was made of bars that came one by one.
SMALL_BLOCK = 16
UNITE_AT = 24
UNITE_SPREAD = 16
# A bar that comes late has its block copied and written again, however many bars of a backlog were read at once.
LARGEST_BLOCK = 256


class BarSeries:
    """The bars of one grid. `changed` holds the numbers of the blocks that were touched, `dropped` of those that are no more.

    `is_plain` says that no bar of the tail has a vwap, trades, a revision or a provenance of its own: then those columns
    need not be looked at. Whoever appends to the tail keeps it true, or says that it is not; and calls `passed` before it
    where the bar does not begin at the end of the newest one. `holes` are None until somebody asks for them.
    """

    __slots__ = (
        "_blocks", "_first_starts", "_in_blocks", "_is_base", "_numbers", "_reached_us", "_small", "_usual_provenance", "changed",
        "dropped", "grid", "holes", "is_plain", "tail",
    )  # fmt: skip

    def __init__(self, grid: Grid, *, is_base: bool) -> None:
        self.grid = grid
        self._is_base = is_base
        self._usual_provenance = PROVENANCE_FEED if is_base else PROVENANCE_DERIVED
        self._blocks: list[Columns] = []
        self._first_starts: list[int] = []
        self._numbers: list[int] = []
        self._in_blocks = 0
        self._small = 0
        """How many blocks at the end are small, with numbers that are their places."""
        self.tail: list[SessionBar] = []
        self.is_plain = True
        self.changed: set[int] = set()
        self.dropped: set[int] = set()
        self.holes: Holes | None = None
        self._reached_us = -1
        """The end of the newest bar of a derived series, where that is known."""

    @property
    def is_given(self) -> bool:
        """Whether its bars came as they are; those of another one are made of base bars."""
        return self._is_base

    def __len__(self) -> int:
        return self._in_blocks + len(self.tail)

    def __iter__(self) -> Iterator[SessionBar]:
        for block in self._blocks:
            yield from self._unpack(block)
        yield from self.tail

    def __reversed__(self) -> Iterator[SessionBar]:
        yield from reversed(self.tail)
        for block in reversed(self._blocks):
            yield from reversed(self._unpack(block))

    def block(self, number: int) -> Columns:
        """A block by its number; that of the tail comes after those of the full ones."""
        return self._blocks[self._numbers.index(number)] if number < len(self._blocks) else self.tail_columns()

    @property
    def full_blocks(self) -> int:
        """How many blocks are full; the tail will be the next."""
        return len(self._blocks)

    def block_count(self) -> int:
        """How many blocks there are, the tail included."""
        return len(self._blocks) + bool(self.tail)

    def last(self) -> SessionBar | None:
        """The bar with the latest start."""
        if self.tail:
            return self.tail[-1]
        if self._blocks:
            block = self._blocks[-1]
            return self._unpack_one(block, len(block.slots) - 1)
        return None

    @property
    def newest_us(self) -> int | None:
        """The start of the newest bar."""
        if self.tail:
            return self.tail[-1].start_us
        return self._start_in(self._blocks[-1], -1) if self._blocks else None

    def _start_in(self, block: Columns, place: int) -> int:
        return self.grid.start_at(block.first_start_us + block.slots[place] * self.grid.width_us)

    def find(self, start_us: int) -> SessionBar | None:
        """The bar that starts at `start_us`, or None."""
        if self.tail and start_us >= self.tail[0].start_us:
            place = bisect_left(self.tail, start_us, key=_start)
            return self.tail[place] if place < len(self.tail) and self.tail[place].start_us == start_us else None
        at = bisect_right(self._first_starts, start_us) - 1
        if at < 0:
            return None
        block = self._blocks[at]
        slot, rest = divmod(self.grid.line_of(start_us) - block.first_start_us, self.grid.width_us)
        place = bisect_left(block.slots, slot)
        if rest or place == len(block.slots) or block.slots[place] != slot:
            return None
        return self._unpack_one(block, place)

    def between(self, from_us: int, to_us: int) -> Iterator[SessionBar]:
        """The bars with start in `[from_us, to_us)`, in order."""
        first, last = max(0, bisect_right(self._first_starts, from_us) - 1), bisect_left(self._first_starts, to_us)
        for block in self._blocks[first:last]:
            for place in range(self._place(block, from_us), self._place(block, to_us)):
                yield self._unpack_one(block, place)
        tail = self.tail
        for place in range(bisect_left(tail, from_us, key=_start), bisect_left(tail, to_us, key=_start)):
            yield tail[place]

    def count(self, from_us: int, to_us: int) -> int:
        """How many bars start in `[from_us, to_us)`."""
        first, last = max(0, bisect_right(self._first_starts, from_us) - 1), bisect_left(self._first_starts, to_us)
        in_blocks = sum(self._place(block, to_us) - self._place(block, from_us) for block in self._blocks[first:last])
        return in_blocks + bisect_left(self.tail, to_us, key=_start) - bisect_left(self.tail, from_us, key=_start)

    def _place(self, block: Columns, start_us: int) -> int:
        """How many bars of the block start before `start_us`."""
        return bisect_left(block.slots, start_us, key=lambda slot: self.grid.start_at(block.first_start_us + slot * self.grid.width_us))

    def columns(self) -> list[Columns]:
        """All bars as columns, in order: the blocks, and the tail as one more."""
        return [*self._blocks, self.tail_columns()] if self.tail else list(self._blocks)

    def starts(self) -> Iterator[int]:
        """The starts of all bars, in order, without making the bars."""
        for block in self._blocks:
            for place in range(len(block.slots)):
                yield self._start_in(block, place)
        for bar in self.tail:
            yield bar.start_us

    def totals(self) -> tuple[float, float | None, float | None]:
        """Volume, added up in order, high and low of all bars, without making the bars; high and low are None without any."""
        volume = 0.0
        highs: list[float] = []
        lows: list[float] = []
        for block in self._blocks:
            volume = reduce(add, block.volume, volume)
            highs.append(max(block.high))
            lows.append(min(block.low))
        for bar in self.tail:
            volume += bar.volume
            highs.append(bar.high)
            lows.append(bar.low)
        return volume, max(highs, default=None), min(lows, default=None)

    def known_holes(self) -> Holes:
        """Where bars are missing: found by a walk over the blocks when it is asked for first, and kept up from then on."""
        if self.holes is None:
            self.holes = Holes(Slots(self.grid))
            newest_us: int | None = None
            for first_us, last_us in self._stretches():
                self.holes.passed(newest_us, first_us)
                newest_us = last_us
        return self.holes

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """First and last start of neighbouring bars, in order: whole blocks where none is missing within."""
        for block in self._blocks:
            if block.slots[-1] - block.slots[0] == len(block.slots) - 1:
                yield self._start_in(block, 0), self._start_in(block, -1)
            else:
                for place in range(len(block.slots)):
                    yield (start_us := self._start_in(block, place)), start_us
        for bar in self.tail:
            yield bar.start_us, bar.start_us

    def passed(self, start_us: int) -> None:
        """A bar is about to be appended that does not begin at the end of the newest one."""
        if self.holes is not None:
            self.holes.passed(self.newest_us, start_us)

    def put(self, bar: SessionBar) -> None:
        """Insert a bar in order of start, or replace the one with the same start."""
        if bar.start_us == self._reached_us:  # as most derived bars do
            self._reached_us = bar.end_us
            self.tail.append(bar)
        else:
            self._note(bar)
            if self._blocks and (not self.tail or bar.start_us < self.tail[0].start_us) and not self._after_blocks(bar.start_us):
                self._put_into_block(bar)
                return
            _put(self.tail, bar)
        if bar.vwap is not None or bar.trades is not None or bar.revision or bar.provenance != self._usual_provenance:
            self.is_plain = False
        if not self._is_base:
            self.changed.add(len(self._blocks))

    def _note(self, bar: SessionBar) -> None:
        """Keep account of what is missing before a bar that goes in, unless it begins where the newest one ends."""
        newest_us = self.newest_us
        if newest_us is None or bar.start_us > newest_us:
            self.passed(bar.start_us)
            if not self._is_base:
                self._reached_us = bar.end_us
        elif self.holes is not None:
            self.holes.filled(bar.start_us)

    def _put_into_block(self, bar: SessionBar) -> None:
        at = max(0, bisect_right(self._first_starts, bar.start_us) - 1)
        before = self._blocks[at]
        block = with_bar(before, self.grid.line_of(bar.start_us), bar, self.grid.width_us, self._usual_provenance)
        self._in_blocks += len(block.slots) - len(before.slots)
        if len(block.slots) > LARGEST_BLOCK:
            self._split(at, block)
        else:
            self._replace(at, block)
        self._small = self._count_small()

    def extend(self, columns: Columns) -> None:
        """Take over bars that follow on all that are there, as blocks; there must be no tail.

        Raises:
            ValueError: they don't.
        """
        slots, first_us, width_us = columns.slots, columns.first_start_us, self.grid.width_us
        rises = all(slots[place] < slots[place + 1] for place in range(len(slots) - 1))
        if (
            self.tail
            or not slots
            or not rises
            or (self._blocks and not self._after_blocks(self.grid.start_at(first_us + slots[0] * width_us)))
        ):
            raise ValueError(f"bars from {first_us} us on don't follow on the {len(self)} that are there")
        for place in range(0, len(slots), LARGEST_BLOCK):
            block = sliced(columns, place, place + LARGEST_BLOCK, width_us)
            self.changed.add(len(self._blocks))
            self.dropped.discard(len(self._blocks))
            self._numbers.append(len(self._blocks))
            self._small = self._small + 1 if len(block.slots) < SMALL_BLOCK else 0
            self._blocks.append(block)
            self._first_starts.append(self.grid.start_at(block.first_start_us))
            self._in_blocks += len(block.slots)

    def _replace(self, at: int, block: Columns) -> None:
        self._blocks[at] = block
        self._first_starts[at] = self.grid.start_at(block.first_start_us)
        self.changed.add(self._numbers[at])

    def _split(self, at: int, block: Columns) -> None:
        """Part a block that has grown too large: late bars by the thousand would make each of them copy all, and a row too large."""
        first, second = halves(block, self.grid.width_us, self._usual_provenance)
        self._replace(at, first)
        number = len(self._blocks)
        self._blocks.insert(at + 1, second)
        self._first_starts.insert(at + 1, 0)
        self._numbers.insert(at + 1, number)
        self._replace(at + 1, second)
        if self.tail and not self._is_base:
            self.changed.add(number + 1)  # the tail's number has gone to the new block

    def seal(self, at_least: int = SEAL_AT) -> None:
        """Turn the tail into blocks, as long as it holds `at_least` bars (and any)."""
        sealed = False
        while self.tail and len(self.tail) >= at_least:
            sealed = True
            block = self._pack(self.tail[:LARGEST_BLOCK], is_plain=self.is_plain)
            self.tail = self.tail[LARGEST_BLOCK:]
            self.changed.add(len(self._blocks))
            self.dropped.discard(len(self._blocks))
            self._numbers.append(len(self._blocks))
            self._small = self._small + 1 if len(block.slots) < SMALL_BLOCK else 0
            self._blocks.append(block)
            self._first_starts.append(self.grid.start_at(block.first_start_us))
            self._in_blocks += len(block.slots)
        if sealed and not self.tail:
            self.is_plain = True
        elif sealed and not self._is_base:
            self.changed.add(len(self._blocks))

    def unite(self, number: int) -> None:
        """Make one block of the small ones at the end, where there are `number` of them.

        `number` may differ from symbol to symbol, so that those whose bars come together don't do it all at once.
        """
        # The tail of a derived series has a row, whose number comes after those of all blocks.
        if self._small < number or (self.tail and not self._is_base):
            return
        first, bars = len(self._blocks), 0
        while first > len(self._blocks) - self._small and bars + len(self._blocks[first - 1].slots) <= LARGEST_BLOCK:
            first -= 1
            bars += len(self._blocks[first].slots)
        gone = range(first + 1, len(self._blocks))
        self._blocks[first:] = [united(self._blocks[first:], self.grid.width_us, self._usual_provenance)]
        del self._first_starts[first + 1 :], self._numbers[first + 1 :]
        self._small = self._count_small()
        self.changed.difference_update(gone)
        self.changed.add(first)
        self.dropped.update(gone)

    def tail_columns(self) -> Columns:
        """The tail as columns, for its row."""
        return self._pack(self.tail, is_plain=self.is_plain)

    def restore_blocks(self, blocks: list[Columns], *, is_over: bool = False) -> None:
        """Take over the blocks from their rows, by rising number.

        A last one of a derived series that is not full is the tail, unless the day `is_over`: then all are blocks.
        """
        if blocks and not is_over and not self._is_base and len(blocks[-1].slots) < SEAL_AT:
            self.restore_tail(blocks[-1])
            blocks = blocks[:-1]
        self._numbers = sorted(range(len(blocks)), key=lambda number: blocks[number].first_start_us)
        self._blocks = [blocks[number] for number in self._numbers]
        self._first_starts = [self.grid.start_at(block.first_start_us) for block in self._blocks]
        self._in_blocks = sum(len(block.slots) for block in blocks)
        self._small = self._count_small()

    def _count_small(self) -> int:
        places = range(len(self._blocks) - 1, -1, -1)
        small = takewhile(lambda place: self._numbers[place] == place and len(self._blocks[place].slots) < SMALL_BLOCK, places)
        return sum(1 for _ in small)

    def restore_tail(self, columns: Columns) -> None:
        """Take over the tail from its row."""
        self.tail = self._unpack(columns)
        self.is_plain = not (columns.vwap or columns.trades or columns.revisions or columns.provenances)

    def _after_blocks(self, start_us: int) -> bool:
        block = self._blocks[-1]
        return self.grid.line_of(start_us) > block.first_start_us + block.slots[-1] * self.grid.width_us

    def _pack(self, bars: list[SessionBar], *, is_plain: bool = False) -> Columns:
        if not bars:
            return NO_BARS
        grid = self.grid
        first_us, width_us = grid.line_of(bars[0].start_us), grid.width_us
        if grid.is_uniform:
            slots = [(bar.start_us - first_us) // width_us for bar in bars]
        else:
            slots = grid.slots_from(first_us, [bar.start_us for bar in bars])
        vwaps, trades, revisions, provenances = USUAL_COLUMNS if is_plain else self._unusual_columns(bars)
        counts = NO_NUMBERS
        if not self._is_base:
            base_counts = [bar.base_count for bar in bars]
            if base_counts.count(1) < len(bars):
                counts = array("q", base_counts)
        return Columns(
            first_us,
            array("q", slots),
            array("d", [bar.open for bar in bars]),
            array("d", [bar.high for bar in bars]),
            array("d", [bar.low for bar in bars]),
            array("d", [bar.close for bar in bars]),
            array("d", [bar.volume for bar in bars]),
            vwaps,
            trades,
            counts,
            revisions,
            provenances,
        )

    def _unusual_columns(self, bars: list[SessionBar]) -> tuple[array[float], array[int], array[int], tuple[str, ...]]:
        """The columns that most bars leave empty: vwap, trades, revisions, provenances."""
        vwaps = [nan if bar.vwap is None else bar.vwap for bar in bars]
        trades = [-1 if bar.trades is None else bar.trades for bar in bars]
        revisions = [bar.revision for bar in bars]
        provenances = for_all([bar.provenance for bar in bars], self._usual_provenance)
        return (
            array("d", vwaps) if any(bar.vwap is not None for bar in bars) else NO_DOUBLES,
            array("q", trades) if max(trades) >= 0 else NO_NUMBERS,
            array("q", revisions) if any(revisions) else NO_NUMBERS,
            provenances,
        )

    def _unpack(self, block: Columns) -> list[SessionBar]:
        return [self._unpack_one(block, place) for place in range(len(block.slots))]

    def _unpack_one(self, block: Columns, place: int) -> SessionBar:
        start_us = self._start_in(block, place)
        vwap = block.vwap[place] if block.vwap else nan
        trades = block.trades[place] if block.trades else -1
        base_count = block.base_counts[place] if block.base_counts else 1
        provenances = block.provenances
        expected = 1 if self._is_base else self.grid.expected(start_us)
        return SessionBar(
            start_us, self.grid.end_of(start_us),
            block.open[place], block.high[place], block.low[place], block.close[place], block.volume[place],
            None if isnan(vwap) else vwap, None if trades < 0 else trades,
            base_count, expected, block.revisions[place] if block.revisions else 0, base_count == expected,
            provenances[place if len(provenances) > 1 else 0] if provenances else self._usual_provenance,
        )  # fmt: skip


def _start(bar: SessionBar) -> int:
    return bar.start_us


def _put(bars: list[SessionBar], bar: SessionBar) -> None:
    place = bisect_left(bars, bar.start_us, key=_start)
    if place < len(bars) and bars[place].start_us == bar.start_us:
        bars[place] = bar
    else:
        bars.insert(place, bar)
