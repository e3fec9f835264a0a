"""How complete the bars should be found, what is to be told of it and asked for: counted slot by slot, from the bars."""

from __future__ import annotations

from itertools import groupby
from math import floor
from typing import NamedTuple
from zlib import crc32

from streams.model.inputs import JournalInput
from streams.model.rows import QualityRow
from streams.times import SECOND_US, interval_us
from tests.support.simulation.barbook import Barbook
from tests.support.simulation.books import NEVER, Life, base_slots, slots_of


class Gap(NamedTuple):
    """A run of missing bars; `asked` is how often a source was asked for what it was asked for most."""

    start_us: int
    end_us: int
    count: int
    asked: int


class Found(NamedTuple):
    """What there should be of an interval, and is."""

    expected: int
    present: int
    gaps: list[Gap]

    @property
    def missing(self) -> int:
        return self.expected - self.present


def ends(life: Life, interval: str) -> dict[int, int]:
    """End of each slot of an interval in which a bar is to be expected, by start."""
    if interval == life.base:
        return {start: slot.end_us for start, slot in base_slots(life.day, life.base_us, life.anchor).items()}
    windows = slots_of(life.day, life.base_us, interval_us(interval), life.anchor)
    return {start: slot.end_us for start, slot in windows.items() if slot.expected}


def completeness(life: Life, interval: str, until_us: int) -> Found:
    """What of an interval's slots that have ended should be there, and is."""
    present = life.bars if interval == life.base else life.made[interval]
    slots = {start: end for start, end in ends(life, interval).items() if end <= until_us}
    expected = [start for start in slots if start in present or not _is_empty(life, interval, start, slots[start])]
    gaps = []
    for there, run in groupby(expected, key=lambda start: start in present):
        if not there:
            starts = list(run)
            end_us = slots[starts[-1]]
            asked = max((count for start, (count, _) in life.asked.items() if starts[0] <= start < end_us), default=0)
            gaps.append(Gap(starts[0], end_us, len(starts), asked))
    return Found(len(expected), sum(start in present for start in expected), gaps)


def _is_empty(life: Life, interval: str, start_us: int, end_us: int) -> bool:
    if interval == life.base:
        return start_us in life.empty
    return bool(life.empty) and all(base in life.empty for base in ends(life, life.base) if start_us <= base < end_us)


def content(row: QualityRow | None, life: Life, most: int) -> dict[str, object]:
    """What a row says of each slot. When something was asked for last says nothing any more once that was as often as may be."""
    if row is None:
        return {"told": {}, "told_us": NEVER, "asked": {}, "empty": set()}
    starts = ends(life, life.base)
    asked = {start: one for one in row.attempts for start in starts if one.start_us <= start < one.end_us}
    return {
        "told": {one.interval: (one.missing, one.gaps) for one in row.told},
        "told_us": row.told_us,
        "asked": {start: (one.count, one.asked_us if one.count < most else NEVER) for start, one in asked.items()},
        "empty": {start for start in starts if any(one.start_us <= start < one.end_us for one in row.empty)},
    }


class Qualitybook(Barbook):
    """The part of the model that measures."""

    measured_us = NEVER

    def known_of(self, life: Life) -> dict[str, object]:
        """What the row of a life should say, as `content` gives it."""
        most = self.config.session_data_config.gap_filler.max_retries
        asked = {start: (count, at_us if count < most else NEVER) for start, (count, at_us) in life.asked.items()}
        return {"told": life.told, "told_us": life.told_us, "asked": asked, "empty": life.empty}

    def look(self) -> None:
        """At the end of a transaction: tell of the symbols whose moment has come since the last one."""
        period_us = round(self.config.session_data_config.quality.publish_seconds * SECOND_US)
        for symbol in sorted(self.lives):
            life = self.lives[symbol]
            moment_us = life.told_us if life.told_us != NEVER else crc32(symbol.encode()) % period_us
            since_us = max(self.measured_us, life.added_us)
            has_come = floor((self.now_us - moment_us) / period_us) > floor((since_us - moment_us) / period_us)
            if has_come and life.is_read and not life.backlog:
                self._tell_changes(life)
        self.measured_us = self.now_us

    def _tell_changes(self, life: Life) -> None:
        for interval in (life.base, *life.derived):
            if self.config.sparse(life.symbol, interval):
                continue
            found = completeness(life, interval, self.now_us - self.grace_us)
            if (found.missing, len(found.gaps)) != life.told.get(interval, (0, 0)):
                life.told[interval], life.told_us = (found.missing, len(found.gaps)), self.now_us
                self.tell("quality", life)
                self.qualities.append((life.symbol, interval, found.expected, found.present, found.missing, len(found.gaps)))

    def answered(self, life: Life, given: JournalInput) -> None:
        """A source was asked for a stretch."""
        start_us, end_us = given.start_us or 0, given.end_us or 0
        slots = [start for start, end in ends(life, life.base).items() if start_us <= start < end_us and end <= self.now_us]
        if not slots:
            return
        for start in slots:
            if not given.count and given.reason is None:
                life.empty.add(start)
                life.asked.pop(start, None)
            else:
                life.asked[start] = (life.asked.get(start, (0, 0))[0] + 1, self.now_us)
        self.tell("gap_asked", life)

    def due(self, life: Life) -> list[Gap]:
        """What a source is to be asked for now."""
        if not life.is_read or life.backlog or life.behind or self.config.sparse(life.symbol, life.base):
            return []
        filler = self.config.session_data_config.gap_filler
        wait_us = round(filler.retry_interval_seconds * SECOND_US)

        def is_due(start_us: int) -> bool:
            count, at_us = life.asked.get(start_us, (0, NEVER))
            return start_us not in life.empty and count < filler.max_retries and (not count or at_us + wait_us <= self.now_us)

        slots = {start: end for start, end in ends(life, life.base).items() if end <= self.now_us - self.grace_us}
        runs = [list(run) for fits, run in groupby(slots, key=lambda start: start not in life.bars and is_due(start)) if fits]
        return [Gap(run[0], slots[run[-1]], len(run), max(life.asked.get(start, (0, 0))[0] for start in run)) for run in runs]
