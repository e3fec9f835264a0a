"""A live run in memory, and the replay of what it has read: the two must not differ but by what the wall clock held back.

    live = LiveRun(values, at("09:30"))
    live.run({"SPY": arrivals(bars, delay_us=200_000)}, until_us=at("16:01"))
    differences(live.desk.outcomes, replayed(live))        # sentences, empty when all is well

The live side is the worker's own way of driving the engine: a transaction when records arrive, and one each second, in which a symbol is
silent of which nothing is unread. Only the clock is a fake. Where nothing is awaited for long, the seconds between are passed over: the
engine's own tests hold that one leap of the clock is as good as many steps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from heapq import merge
from typing import Any

from streams.model.inputs import InputKind
from streams.model.records import AnalysisKind, Bar, HeldBackBar, Marker, Outcome, PublishedBar, SessionBar
from streams.replay.runner import replay
from streams.replay.source import MemorySource
from streams.times import SECOND_US, date_of_days, iso
from tests.support.engine import Desk

Series = tuple[str, str]
"""A symbol and an interval."""
Arrival = tuple[int, Bar]
"""When a bar is read, and the bar."""

_IDLE_STEP_US = 20 * SECOND_US


def arrivals(bars: Iterable[Bar], delay_us: int = 300_000) -> list[Arrival]:
    """Bars that come one by one, so long after their end."""
    return [(bar.end_us + delay_us, bar) for bar in bars]


def bursts(bars: Iterable[Bar], every_us: int) -> list[Arrival]:
    """Bars that are sent together, at multiples of `every_us`."""
    return [(-(-bar.end_us // every_us) * every_us, bar) for bar in bars]


class _QuickDesk(Desk):
    """A desk whose tables are not compared with the state after each of some ten thousand seconds; `differences` counts what they count."""

    def _check_tables(self) -> None:
        pass


class LiveRun:
    """A worker's session with a fake clock. `desk.topics` has what it read, in the order in which it came."""

    def __init__(self, values: dict[str, Any], begin_us: int) -> None:
        self.desk: Desk = _QuickDesk(values, begin_us)
        self.desk.load(*self.desk.config.symbols)

    def run(self, arriving: Mapping[str, Sequence[Arrival]], *, until_us: int, idle_after_us: int = 10 * SECOND_US) -> None:
        """Let time go on to `until_us`, a second at a time while a bar has come within `idle_after_us`, and twenty else."""
        newest_us = next_tick_us = self.desk.now_us
        coming = merge(*arriving.values(), key=lambda arrival: arrival[0])
        pending = next(coming, None)
        while next_tick_us <= until_us:
            if pending is not None and pending[0] <= next_tick_us:
                now_us = newest_us = pending[0]
                together: list[Bar] = []
                while pending is not None and pending[0] == now_us:
                    together.append(pending[1])
                    pending = next(coming, None)
                self.desk.produce(*together)
                self.desk.read(now_us=now_us)
            else:
                self._tick(next_tick_us)
                step_us = SECOND_US if next_tick_us - newest_us <= idle_after_us else _IDLE_STEP_US
                next_tick_us += min(step_us, max(SECOND_US, pending[0] - next_tick_us) if pending is not None else step_us)
        assert pending is None, f"{iso(pending[0])} is beyond the run"

    def _tick(self, now_us: int) -> None:
        quiet = self.desk.session.quiet_symbols(now_us)
        self.desk.apply(*(self.desk.about(InputKind.SILENT, symbol) for symbol in quiet), now_us=now_us)


def replayed(live: LiveRun, first: str, last: str | None = None) -> list[Outcome]:
    """What a replay of the days makes of the topics that the live run has read."""
    start, end = date.fromisoformat(first), date.fromisoformat(last or first)
    topics = {symbol: [one for one in live.desk.topics.get(symbol, []) if isinstance(one, Bar)] for symbol in live.desk.config.symbols}
    steps = replay(live.desk.config, source=MemorySource(topics), start=start, end=end)
    return [outcome for step in steps for outcome in step.outcomes]


class _Side:
    """What one of the two has told: every version of every bar, published or not, and what was counted besides."""

    def __init__(self, name: str, outcomes: Iterable[Outcome], open_runs: Mapping[Series, int]) -> None:
        self.name = name
        self.published: dict[Series, dict[int, list[SessionBar]]] = defaultdict(lambda: defaultdict(list))
        self.held: dict[Series, dict[int, list[SessionBar]]] = defaultdict(lambda: defaultdict(list))
        self.order: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        self.completes: dict[tuple[str, int], tuple[int, int, tuple[str, ...]]] = {}
        self.rolled: list[date] = []
        self.counted: Counter[Series] = Counter(open_runs)
        for outcome in outcomes:
            match outcome:
                case PublishedBar():
                    self.published[outcome.symbol, outcome.interval][outcome.bar.start_us].append(outcome.bar)
                    self.order[outcome.symbol].append((outcome.interval, outcome.bar.start_us, outcome.bar.revision))
                case HeldBackBar():
                    self.held[outcome.symbol, outcome.interval][outcome.bar.start_us].append(outcome.bar)
                case Marker():
                    self._mark(outcome)

    def _mark(self, marker: Marker) -> None:
        if marker.kind is AnalysisKind.HELD_BACK and marker.extent is not None:
            self.counted[marker.symbol or "", marker.interval or ""] += marker.extent.count
        elif marker.kind is AnalysisKind.INTERVAL_COMPLETE and marker.interval_complete is not None:
            one = marker.interval_complete
            self.completes[marker.interval or "", one.end_us] = (one.expected, one.present, tuple(one.absent))
        elif marker.kind is AnalysisKind.SESSION_ROLLED and marker.trading_days is not None:
            self.rolled.append(date_of_days(marker.trading_days))

    def series(self) -> set[Series]:
        return {*self.published, *self.held}

    def newest(self, series: Series) -> dict[int, SessionBar]:
        """The newest version of each bar."""
        found: dict[int, SessionBar] = {}
        for side in (self.published, self.held):
            for start_us, versions in side.get(series, {}).items():
                newest = max(versions, key=lambda bar: bar.revision)
                if start_us not in found or found[start_us].revision < newest.revision:
                    found[start_us] = newest
        return found

    def has_published(self, series: Series, start_us: int) -> bool:
        return start_us in self.published.get(series, {})

    def has_held(self, series: Series, start_us: int) -> bool:
        return start_us in self.held.get(series, {})

    def held_versions(self) -> list[tuple[Series, int, int]]:
        return sorted((key, bar.start_us, bar.revision) for key, ones in self.held.items() for bars in ones.values() for bar in bars)


def open_runs(live: LiveRun) -> Counter[Series]:
    """How many bars are in runs that have no record as yet."""
    found: Counter[Series] = Counter()
    for data in live.desk.session.state.symbols.values():
        for run in data.runs.rows():
            found[data.symbol, run.interval] += run.count
    return found


def values_of(bar: SessionBar) -> tuple[object, ...]:
    """What a bar is, but for how many versions of it there were before."""
    return (
        bar.start_us, bar.end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades, bar.base_count,
        bar.expected_count, bar.complete, bar.provenance,
    )  # fmt: skip


def differences(live: LiveRun, again: Sequence[Outcome], *, is_prompt: bool, unordered: Sequence[str] = ()) -> list[str]:
    """What the live run and its replay tell otherwise, a sentence each.

    Args:
        live: the run.
        again: the outcomes of its replay.
        is_prompt: every bar came within the grace, so that the wall clock held nothing back: then all must be equal, versions,
            order, what was held back as incomplete, complete intervals and days. Else the newest version of each bar must be,
            and one that only one of them has published must have been held back in the other.
        unordered: symbols whose bars come so late within the grace that the clock has closed a window of theirs before them, which in
            a replay it closes after them: their intervals are each compared alone.
    """
    one, other = _Side("live", live.desk.outcomes, open_runs(live)), _Side("the replay", again, {})
    found = [*_unaccounted(one), *_unaccounted(other)]
    for series in sorted(one.series() | other.series()):
        found += _differences_of(series, one, other)
    if is_prompt:
        if one.held_versions() != other.held_versions():
            found.append(f"held back: {_first_other(one.held_versions(), other.held_versions())}")
        for symbol in sorted({*one.order, *other.order}):
            here, there = one.order[symbol], other.order[symbol]
            if symbol in unordered:
                here, there = sorted(here), sorted(there)
            if here != there:
                found.append(f"{symbol}: published in another order or in other versions: {_first_other(here, there)}")
        has_bars = _days_with_bars(live)
        for key in sorted(one.completes.keys() | other.completes.keys()):
            if one.completes.get(key) != other.completes.get(key) and (has_bars(key[1]) or key in other.completes):
                what = f"interval_complete of {key[0]} to {iso(key[1])}"
                found.append(f"{what}: live {one.completes.get(key)}, the replay {other.completes.get(key)}")
        if one.rolled != other.rolled:
            found.append(f"days rolled: live {one.rolled}, the replay {other.rolled}")
    return found


def _days_with_bars(live: LiveRun) -> Callable[[int], bool]:
    """Whether an instant, the end of a window, lies on a day with bars: of any other a replay does not tell that its windows are empty."""
    calendar = live.desk.config.calendar()
    found = {calendar.current_day(one.start_us).days for ones in live.desk.topics.values() for one in ones if isinstance(one, Bar)}
    return lambda end_us: calendar.current_day(end_us - 1).days in found


def _unaccounted(side: _Side) -> list[str]:
    return [
        f"{side.name}: {told} bars of {series} were held back, its records count {side.counted[series]}"
        for series in sorted({*side.held, *side.counted})
        if (told := sum(map(len, side.held.get(series, {}).values()))) != side.counted[series]
    ]


def _differences_of(series: Series, one: _Side, other: _Side) -> list[str]:
    found, newest, newest_other = [], one.newest(series), other.newest(series)
    for start_us in sorted(newest.keys() | newest_other.keys()):
        what = f"{series[0]} {series[1]} {iso(start_us)}"
        bar, again = newest.get(start_us), newest_other.get(start_us)
        if bar is None or again is None:
            found.append(f"{what}: {(one if bar is None else other).name} does not have it")
        elif values_of(bar) != values_of(again):
            found.append(f"{what}: live {values_of(bar)[2:]}, the replay {values_of(again)[2:]}")
        else:
            for here, there in ((one, other), (other, one)):
                if here.has_published(series, start_us) and not (there.has_published(series, start_us) or there.has_held(series, start_us)):
                    found.append(f"{what}: {here.name} published it, and {there.name} neither published it nor held it back")
    return found


def _first_other(left: Sequence[object], right: Sequence[object]) -> str:
    place = next((place for place, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), min(len(left), len(right)))
    return f"at {place} live {left[place : place + 1]}, the replay {right[place : place + 1]}"


def days_after(day: str, count: int) -> str:
    """The date so many days later."""
    return (date.fromisoformat(day) + timedelta(days=count)).isoformat()
