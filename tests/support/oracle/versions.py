"""What must hold of every version of every bar, where the session has an ungated topic: pure code over decoded records.

A base bar that comes late or is corrected makes versions, and so do the derived bars that it is part of. The ungated topic has
each of them once: base bars as they were read, in that order; derived bars as the base bars made them at some moment of their
transaction. One that was held back is counted by one `held_back` record, or by the run that is still open: by the one behind it
in the sequence, whose extent is the bars' own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from streams.model.inputs import JournalRecord
from streams.model.records import AnalysisKind, Extent
from streams.model.rows import ProgressRow, Row
from streams.times import interval_us, iso
from streams.wire.messages import AnalysisBar, AnalysisEvent
from tests.support.kills.lives import Content, Life, LifeKey, Lives, Version, aggregated

Place = tuple[int, int]
"""Epoch and sequence."""
Series = tuple[str, int, str]


def wrong_versions(
    lives: Lives,
    journal: Sequence[JournalRecord],
    analysis: Sequence[AnalysisEvent],
    all_bars: Sequence[AnalysisEvent],
    *,
    origin_us: int,
    grace_us: int,
) -> Iterator[str]:
    """A sentence for each version that is missing, too many, untrue or out of order; windows are counted from `origin_us`."""
    told: dict[Series, list[AnalysisEvent]] = defaultdict(list)
    for event in all_bars:
        told[_series(event)].append(event)
    intervals = {series[2] for series in told}
    transactions = _Transactions(journal)
    ends = _ends(analysis, transactions)
    for key, life in lives.of.items():
        if not life.interval:
            continue
        yield from _wrong_base(life, told.pop((*key, life.interval), []))
        for interval in sorted(intervals - {life.interval}, key=interval_us):
            windows = _Windows(life, interval, origin_us)
            yield from windows.wrong(told.get((*key, interval), []), transactions, grace_us)
            yield from windows.wrong_in_backlog(told.get((*key, interval), []), transactions, ends.get(key))
            told.pop((*key, interval), None)
    for series in told:
        yield f"{series} is there, and no bar of it was read"
    yield from _wrongly_held_back(analysis, all_bars)


def wrong_extents(analysis: Sequence[AnalysisEvent], all_bars: Sequence[AnalysisEvent], rows: Mapping[str, Row]) -> Iterator[str]:
    """A sentence for each stretch that does not count just the bars that were held back since the one before it."""
    held: dict[Series, list[AnalysisEvent]] = defaultdict(list)
    for event in all_bars:
        if event.held_back:
            held[_series(event)].append(event)
    for event in analysis:
        if event.kind == AnalysisKind.HELD_BACK and event.extent is not None:
            since = held[_series(event)]
            count = bisect_left(since, _place(event), key=_place)
            yield from _wrong_extent(_series(event), event.extent, since[:count])
            del since[:count]
    for row in rows.values():
        if isinstance(row, ProgressRow):
            for run in row.runs:
                series = (row.symbol, row.incarnation, run.interval)
                yield from _wrong_extent(series, Extent(run.cause, run.first_start_us, run.last_end_us, run.count), held.pop(series, []))
    for series, left in held.items():
        if left:
            yield f"{series}: {len(left)} bars are held back, and no record or run counts them"


def _wrong_extent(series: Series, extent: Extent, events: Sequence[AnalysisEvent]) -> Iterator[str]:
    bars = [event.bar for event in events if event.bar is not None]
    found = (len(bars), min((bar.start_us for bar in bars), default=0), max((bar.end_us for bar in bars), default=0))
    if found != (extent.count, extent.first_start_us, extent.last_end_us):
        yield f"{series}: {extent} is told of {found[0]} bars from {iso(found[1])} to {iso(found[2])}"


def _wrong_base(life: Life, events: Sequence[AnalysisEvent]) -> Iterator[str]:
    for version, event in zip_longest(life.versions, events):
        read = None if version is None else _of_version(version)
        found = None if event is None or event.bar is None else _of_bar(event.bar)
        if read != found:
            yield f"{life.key} {life.interval}: {read} was read, and {found} is told"
            return  # all that follows is shifted


def _of_version(version: Version) -> tuple[object, ...]:
    bar = version.bar
    return iso(bar.start_us), version.revision, Content(bar.open, bar.high, bar.low, bar.close, bar.volume, 1), bar.provenance


def _of_bar(bar: AnalysisBar) -> tuple[object, ...]:
    return iso(bar.start_us), bar.revision, content_of(bar), bar.provenance


def content_of(bar: AnalysisBar) -> Content:
    """What a bar of a topic says."""
    return Content(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.base_count)


class _Windows:
    """The windows of one interval of a life."""

    def __init__(self, life: Life, interval: str, origin_us: int) -> None:
        self._life = life
        self._interval = interval
        self._width_us = interval_us(interval)
        self._versions = life.windows(self._width_us, origin_us)

    def wrong(self, events: Sequence[AnalysisEvent], transactions: _Transactions, grace_us: int) -> Iterator[str]:
        revisions: dict[int, int] = {}
        for event in events:
            bar = event.bar
            assert bar is not None
            what = f"{self._life.key} {self._interval} {iso(bar.start_us)} revision {bar.revision}"
            if bar.revision != revisions.get(bar.start_us, -1) + 1:
                yield f"{what} follows revision {revisions.get(bar.start_us)}"
            revisions[bar.start_us] = bar.revision
            if content_of(bar) not in self._contents(bar.start_us, transactions.of(event)):
                yield f"{what} is {content_of(bar)}, and what was read made nothing like it in its transaction"
        full = self._width_us // interval_us(self._life.interval)
        life_waits = self._life.is_behind
        for start_us in self._versions.keys() - revisions.keys():
            made = aggregated(self._versions[start_us])
            is_over = start_us + self._width_us + grace_us <= self._life.frontier_us
            if life_waits and made is not None and made.count < full:
                continue  # its bar comes at the end of the backlog
            if is_over or (made is not None and made.count == full):
                yield f"{self._life.key} {self._interval} {iso(start_us)} was read to its end, and is not told"

    def wrong_in_backlog(self, events: Sequence[AnalysisEvent], transactions: _Transactions, ends_at: int | None) -> Iterator[str]:
        """Of windows while a backlog is read: only the bar with which one is whole is told, and that once."""
        whole: set[int] = set()
        for event in events:
            bar = event.bar
            assert bar is not None
            places = transactions.of(event)
            number = self._life.backlog_around(places[0]) if len(places) == 1 and places[0] != ends_at else None
            what = f"{self._life.key} {self._interval} {iso(bar.start_us)} revision {bar.revision}"
            if number is not None and not bar.complete:
                yield f"{what} is told from {bar.base_count} of {bar.expected_count} bars while a backlog is read"
            elif number is not None and bar.start_us in whole:
                yield f"{what} is told again while a backlog is read, and was whole before"
            if bar.complete:
                whole.add(bar.start_us)

    def _contents(self, start_us: int, places: Sequence[int]) -> list[Content | None]:
        """What the window was at any moment of these transactions."""
        versions = self._versions.get(start_us, [])
        found = []
        for place in places:
            before = bisect_left(versions, place, key=lambda one: one.place)
            after = bisect_right(versions, place, key=lambda one: one.place)
            found += [aggregated(versions[:end]) for end in range(before, after + 1)]
        return found


def _ends(analysis: Sequence[AnalysisEvent], transactions: _Transactions) -> dict[LifeKey, int]:
    """In which transaction each life went or failed: what its backlog had left to make was made then."""
    gone = [event for event in analysis if event.kind in (AnalysisKind.SYMBOL_REMOVED, AnalysisKind.SYMBOL_FAILED)]
    return {(event.symbol or "", event.incarnation or 0): place for event in gone for place in transactions.of(event)[:1]}


class _Transactions:
    """The transactions of a journal by their time."""

    def __init__(self, journal: Sequence[JournalRecord]) -> None:
        self._journal = journal
        self._by_time: dict[int, list[int]] = defaultdict(list)
        for place, record in enumerate(journal):
            self._by_time[record.now_us].append(place)

    def of(self, event: AnalysisEvent) -> list[int]:
        """Those that may have written a record: one, unless time stood still."""
        places = self._by_time[event.emitted_us]
        records = ((place, self._journal[place]) for place in places)
        return [place for place, one in records if one.before_sequence <= event.sequence <= one.last_sequence]


def _wrongly_held_back(analysis: Sequence[AnalysisEvent], all_bars: Sequence[AnalysisEvent]) -> Iterator[str]:
    """Bars that were fresh while the gate was open, and were held back."""
    changes = [(0, 0, False)]
    changes += [
        (event.epoch, event.sequence, event.kind == AnalysisKind.ACTIVATED)
        for event in analysis
        if event.kind in (AnalysisKind.ACTIVATED, AnalysisKind.DEACTIVATED)
    ]
    for event in all_bars:
        if event.held_back and event.bar is not None and event.emitted_us <= event.bar.valid_until_us:
            change = changes[bisect_right(changes, (event.epoch, event.sequence, True)) - 1]
            # Behind a change of the gate in one transaction the sequence is that of the change.
            if change[2] and change[0] == event.epoch:
                yield f"{_series(event)} {iso(event.bar.start_us)} was fresh while the gate was open, and is held back"


def _series(event: AnalysisEvent) -> Series:
    return event.symbol or "", event.incarnation or 0, event.interval or ""


def _place(event: AnalysisEvent) -> Place:
    return event.epoch, event.sequence
