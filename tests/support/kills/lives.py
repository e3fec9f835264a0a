"""What each life of a symbol was given, read again bar by bar: the plain reading that the oracle holds everything against.

    lives = Lives(journal, topics)
    life = lives.of["SPY", 1]
    life.versions             # each base bar that was to be accepted, in order, with its revision and its transaction
    life.duplicates           # how many were not

It knows the rules of intake and none of the engine's code. It presumes bars that are good, of the base interval, and of the day
that the session stands in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import PROVENANCE_GAP_FILL, Bar, CommandKind, ControlCommand
from streams.times import SECOND_US, interval_us

LifeKey = tuple[str, int]
"""A symbol and its incarnation."""


class Content(NamedTuple):
    """What a bar says, base or derived; `count` base bars are in it."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    count: int


class Version(NamedTuple):
    """An accepted base bar: `place` says in which transaction of the journal, by its index."""

    place: int
    start_us: int
    revision: int
    bar: Bar
    is_late: bool


class Asked(NamedTuple):
    """A stretch that a history source was asked for."""

    place: int
    start_us: int
    end_us: int
    is_empty: bool


class Life:
    """One addition of a symbol, from `loaded` on."""

    def __init__(self, key: LifeKey, place: int, offset: int) -> None:
        self.key = key
        self.loaded_at = place
        self.offset = offset
        self.interval = ""
        self.versions: list[Version] = []
        self.duplicates = 0
        self.asked: list[Asked] = []
        self.newest: dict[int, Version] = {}
        # Between which transactions it read a captured backlog; without an end while it still does, or has gone meanwhile.
        self.backlogs: list[list[int]] = []
        self._last_start_us = -1

    def take(self, place: int, bar: Bar) -> None:
        """The next record of its topic."""
        self.interval = self.interval or bar.interval
        before = self.newest.get(bar.start_us)
        if before is not None and (bar.provenance == PROVENANCE_GAP_FILL or _content(bar) == _content(before.bar)):
            self.duplicates += 1
            return
        revision = 0 if before is None else before.revision + 1
        version = Version(place, bar.start_us, revision, bar, before is None and bar.start_us < self._last_start_us)
        self._last_start_us = max(self._last_start_us, bar.start_us)
        self.newest[bar.start_us] = version
        self.versions.append(version)

    def begin_backlog(self, place: int) -> None:
        """What is read from here on had been written before."""
        if not self.is_behind:
            self.backlogs.append([place])

    def end_backlog(self, place: int) -> None:
        """All that had been written before is read."""
        if self.is_behind:
            self.backlogs[-1].append(place)

    @property
    def is_behind(self) -> bool:
        """Whether its last backlog was never read to the end."""
        return bool(self.backlogs) and len(self.backlogs[-1]) == 1

    def backlog_around(self, place: int) -> int | None:
        """The number of the backlog that began before a transaction and ends after it."""
        return next((number for number, (first, *end) in enumerate(self.backlogs) if first < place and (not end or place < end[0])), None)

    @property
    def frontier_us(self) -> int:
        """The end of its newest bar."""
        return self._last_start_us + interval_us(self.interval) if self.interval else -1

    def bars(self) -> list[Version]:
        """What it has in the end, in order."""
        return [self.newest[start_us] for start_us in sorted(self.newest)]

    def windows(self, width_us: int, origin_us: int) -> dict[int, list[Version]]:
        """Its versions by the window that they fall into; windows are counted from an origin."""
        found: dict[int, list[Version]] = {}
        for version in self.versions:
            found.setdefault(version.start_us - (version.start_us - origin_us) % width_us, []).append(version)
        return found


def _content(bar: Bar) -> tuple[object, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades


def aggregated(versions: Sequence[Version]) -> Content | None:
    """What a window has once these versions have come, in their order; None of none."""
    newest = {version.start_us: version.bar for version in versions}
    bars = [newest[start_us] for start_us in sorted(newest)]
    if not bars:
        return None
    volume = 0.0
    for bar in bars:
        volume += bar.volume
    return Content(bars[0].open, max(bar.high for bar in bars), min(bar.low for bar in bars), bars[-1].close, volume, len(bars))


class EarlyBars:
    """Bars that were read before their end: of each the last version is taken in by the first transaction after it.

    One that ends more than the tolerance after its transaction is a dead letter. A symbol that is removed at once takes what waits with
    it. Under the first rules a bar is taken in when it is read, however early.
    """

    def __init__(self, tolerance_us: int) -> None:
        self._tolerance_us = tolerance_us
        self.waiting: dict[LifeKey, dict[int, Bar]] = {}
        self.replaced: Counter[LifeKey] = Counter()

    def ended(self, now_us: int) -> Iterator[tuple[LifeKey, Bar]]:
        """What has ended by the time of a transaction, and waits no more."""
        due = sorted((bar.end_us, *key, start_us) for key, bars in self.waiting.items() for start_us, bar in bars.items())
        for end_us, symbol, incarnation, start_us in due:
            if end_us <= now_us:
                yield (symbol, incarnation), self.waiting[symbol, incarnation].pop(start_us)

    def is_early(self, key: LifeKey, bar: Bar, record: JournalRecord) -> bool:
        """Whether a bar that is read in a transaction is not to be taken in now; then it waits, if it may."""
        if record.rules < 2 or bar.end_us <= record.now_us:
            return False
        if bar.end_us - record.now_us <= self._tolerance_us:
            waiting = self.waiting.setdefault(key, {})
            self.replaced[key] += bar.start_us in waiting
            waiting[bar.start_us] = bar
        return True

    def remove(self, given: JournalInput) -> None:
        """Let go of what waits of a symbol that a command removes at once."""
        command = msgspec.json.decode(given.text or "", type=ControlCommand)
        if command.kind == CommandKind.REMOVE_SYMBOL and command.immediate:
            for key in [key for key in self.waiting if key[0] == command.symbol]:
                del self.waiting[key]


class Lives:
    """All lives of a session by the journal's inputs; `wrong` has a sentence for each range that does not follow on the one before."""

    def __init__(
        self, journal: Sequence[JournalRecord], topics: Mapping[str, Mapping[int, Bar]], *, tolerance_us: int = 5 * SECOND_US
    ) -> None:
        self.of: dict[LifeKey, Life] = {}
        self.early = EarlyBars(tolerance_us)
        self.wrong: list[str] = []
        self._topics = {symbol: sorted(bars.items()) for symbol, bars in topics.items()}
        for place, record in enumerate(journal):
            for key, bar in self.early.ended(record.now_us):
                self.of[key].take(place, bar)
            for given in record.inputs:
                self._apply(place, record, given)

    def _apply(self, place: int, record: JournalRecord, given: JournalInput) -> None:
        key = (given.symbol or "", given.incarnation or 0)
        match given.kind:
            case InputKind.LOADED:
                self.of[key] = Life(key, place, given.first_offset or 0)
                if record.rules >= 2 and (given.end_offset or 0) > (given.first_offset or 0):
                    self.of[key].begin_backlog(place)
            case InputKind.RESUMED | InputKind.REWOUND | InputKind.CLOCK if record.rules >= 2 and not self._is_wrong_clock(given):
                for life in self.of.values():
                    life.begin_backlog(place)
            case InputKind.SOURCE_LOST if given.stream is None and key in self.of and record.rules >= 2:
                self.of[key].begin_backlog(place)
            case InputKind.CAUGHT_UP if key in self.of:
                self.of[key].end_backlog(place)
            case InputKind.RANGE if given.stream is None and key in self.of:
                self._read(place, record, self.of[key], given.first_offset or 0, given.next_offset or 0)
            case InputKind.COMMAND:
                self.early.remove(given)
            case InputKind.GAP_ASKED if key in self.of:
                end_us = min(given.end_us or 0, record.now_us)  # what has not ended yet nobody can have
                is_empty = not given.count and given.reason is None
                self.of[key].asked.append(Asked(place, given.start_us or 0, end_us, is_empty))
            case _:
                pass

    @staticmethod
    def _is_wrong_clock(given: JournalInput) -> bool:
        """A clock that is right again begins a backlog: what it held back. One that is found to be wrong does not."""
        return given.kind is InputKind.CLOCK and given.reason is not None

    def _read(self, place: int, record: JournalRecord, life: Life, first: int, following: int) -> None:
        if life.offset != first:
            self.wrong.append(f"{life.key} was read from {first} while it stood at {life.offset}")
        life.offset = following
        bars = self._topics.get(life.key[0], [])
        at = bisect_left(bars, first, key=lambda one: one[0])
        while at < len(bars) and bars[at][0] < following:
            if not self.early.is_early(life.key, bars[at][1], record):
                life.take(place, bars[at][1])
            at += 1
