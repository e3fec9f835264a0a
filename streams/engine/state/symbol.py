"""`SymbolSessionData`: everything that is known about one symbol, and the only place where it is kept.

It is plain state: the rules that change it live in `intake`, `gate`, `lifecycle` and `rollover`. What is written to the
tables is `identity_row`, `progress_row` and the blocks of its series; what can be computed from those (open windows,
the grids of the day) is not stored.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterator, Mapping

from streams.calendar.trading import TradingDay
from streams.engine.state.export_marks import Exports
from streams.engine.state.grid import Grid, Window, holds
from streams.engine.state.held_back import Runs
from streams.engine.state.holes import Completeness, Holes, Ranges, windows_within
from streams.engine.state.quotes import ExtraStream
from streams.engine.state.series import SEAL_AT, UNITE_AT, UNITE_SPREAD, BarSeries
from streams.engine.state.slots import Slots
from streams.model.records import EXTRA_STREAMS, QUOTES, TICKS, Bar, SessionBar
from streams.model.rows import (
    AttemptRow,
    BlockRow,
    IndicatorsRow,
    ProgressRow,
    QualityRow,
    Row,
    StretchRow,
    SymbolRow,
    ToldRow,
    WaitingRow,
    WindowRow,
    block_key,
    export_key,
    indicators_key,
    progress_key,
    quality_key,
    stream_key,
    symbol_key,
)
from streams.model.status import READING, SymbolStatus
from streams.model.validation import ABOVE_ZERO
from streams.model.views import GapInfo
from streams.times import interval_us

__all__ = ["NEVER_US", "READING", "Counts", "SymbolSessionData", "SymbolStatus"]

NEVER_US = -1


def _start_of(attempt: AttemptRow) -> int:
    return attempt.start_us


def _end_of(attempt: AttemptRow) -> int:
    return attempt.end_us


def _waiting_row(bar: Bar) -> WaitingRow:
    return WaitingRow(bar.start_us, bar.end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades, bar.provenance)


class Counts:
    """What became of the bars of a symbol, since it was added."""

    __slots__ = (
        "accepted", "corrected", "duplicates", "engine_errors", "forming", "held_back", "late", "other_day", "other_interval",
        "out_of_hours", "published", "rejected", "unknown_fields", "unknown_names",
    )  # fmt: skip

    def __init__(self) -> None:
        self.accepted = self.published = self.held_back = 0
        self.late = self.corrected = self.duplicates = 0
        self.out_of_hours = self.other_interval = self.other_day = 0
        self.rejected = self.engine_errors = self.forming = self.unknown_fields = 0
        self.unknown_names: tuple[str, ...] = ()


class SymbolSessionData:
    """One symbol of the session: identity, position, the day's bars and what follows from them.

    Instants are microseconds since the epoch, `NEVER_US` where nothing has happened yet.
    """

    __slots__ = (
        "added_us", "anchor", "attempts", "awaited", "backlog", "bars", "bars_updated", "base_interval", "base_us", "behind",
        "check_interval", "checks", "close_us", "command_id", "consecutive_errors", "counts", "day", "derived",
        "derived_intervals", "dirty", "dynamic", "empty", "exports", "extras", "frontier_us", "gates", "historical",
        "identity_changed", "incarnation", "indicators", "initial", "is_uneven", "lag_us", "lagging", "last_stale_us",
        "last_start_us", "last_update_us", "lowest_price", "metrics_stale", "must_exist", "offset", "open_us", "pending_blocks",
        "quality_changed", "reason", "removal_deadline_us", "removal_end_offset", "retired", "revised", "runs", "session_high",
        "session_low",
        "session_volume", "silent", "start_us", "status", "symbol", "threshold_us", "told", "told_us", "topic_id", "unfilled", "waiting",
        "windows",
    )  # fmt: skip

    def __init__(self, symbol: str, incarnation: int, base_interval: str, derived_intervals: tuple[str, ...], anchor: str) -> None:
        self.symbol = symbol
        self.incarnation = incarnation
        self.base_interval = base_interval
        self.base_us = interval_us(base_interval)
        self.derived_intervals = derived_intervals
        self.anchor = anchor
        # Whether its bars have to be placed on their day, because the hours are no whole number of them.
        self.is_uneven = False
        # Whether a window of some interval is told to be complete with a bar of this symbol at the earliest.
        self.awaited = False
        self.status = SymbolStatus.PENDING
        self.initial = self.dynamic = self.must_exist = False
        self.reason: str | None = None
        self.command_id: str | None = None
        self.start_us: int | None = None
        self.added_us = NEVER_US
        self.topic_id = ""
        self.removal_end_offset: int | None = None
        self.removal_deadline_us: int | None = None

        self.offset = 0
        self.checks = 0
        self.gates = True
        self.threshold_us = self.check_interval = 0
        self.lowest_price = ABOVE_ZERO
        self.lagging = self.behind = self.backlog = self.silent = False
        self.lag_us = 0
        self.last_stale_us = self.last_update_us = NEVER_US
        self.bars_updated = False
        self.counts = Counts()
        self.consecutive_errors = 0
        self.runs = Runs()
        self.revised = Runs()
        self.extras: dict[str, ExtraStream] = {}
        # Bars that came before their end (`engine.waiting`).
        self.waiting: list[Bar] = []

        self.historical: dict[int, dict[str, BarSeries]] = {}
        # As long as nobody has begun an export there is nothing to note.
        self.exports: Exports | None = None
        self.indicators: IndicatorsRow | None = None
        self.pending_blocks: dict[str, Row | None] = {}
        self.told_us = NEVER_US
        # Whether its bars of the day are still to be sent to the ungated topic (`engine.ungated`).
        self.unfilled = False
        self.dirty = self.identity_changed = True

    def set_day(self, day: TradingDay) -> None:
        """Stand at the beginning of `day`, without a bar."""
        self.day = day
        self.open_us, self.close_us = day.open_us, day.close_us
        self.last_start_us = self.frontier_us = NEVER_US
        self.session_volume = 0.0
        self.session_high: float | None = None
        self.session_low: float | None = None
        self.metrics_stale = self.bars_updated = self.unfilled = False
        self.quality_changed = True
        # Of the day's gaps: what was told of them, what a source was asked for, and where it has no bars either.
        self.told: dict[str, ToldRow] = {}
        self.attempts: tuple[AttemptRow, ...] = ()
        self.empty: tuple[StretchRow, ...] = ()
        self.bars = BarSeries(self._grid(self.base_interval), is_base=True)
        self.derived = {interval: self.new_series(interval) for interval in self.derived_intervals}
        self.windows = [self.new_window(interval) for interval in self.derived_intervals]
        # Intervals that the config has dropped since the day began: should they come back, what was told of them is known.
        self.retired: dict[str, BarSeries] = {}
        for extra in self.extras.values():
            extra.enter(day)

    def new_series(self, interval: str) -> BarSeries:
        """An empty series of a derived interval, on the symbol's day."""
        return BarSeries(self._grid(interval), is_base=False)

    def new_window(self, interval: str) -> Window:
        """An empty window of a derived interval, on the symbol's day."""
        return Window(self.derived[interval].grid, NEVER_US)

    def _grid(self, interval: str) -> Grid:
        return Grid(self.day, interval, self.base_interval, self.anchor)

    @property
    def is_loaded(self) -> bool:
        """Whether its history is in and its source position is stored."""
        return self.status in READING

    @property
    def latest_bar(self) -> SessionBar | None:
        """The newest base bar of the session."""
        return self.bars.last()

    @property
    def quotes_updated(self) -> bool:
        """Whether a quote of the day has come."""
        return QUOTES in self.extras and self.extras[QUOTES].updated

    @property
    def ticks_updated(self) -> bool:
        """Whether a tick of the day has come."""
        return TICKS in self.extras and self.extras[TICKS].updated

    def series(self, interval: str) -> BarSeries | None:
        """The session's bars of an interval, base or derived; None for one that the symbol has not."""
        return self.bars if interval == self.base_interval else self.derived.get(interval)

    def is_left_open(self, interval: str, end_us: int) -> bool:
        """Whether the window of a derived interval that ends then has base bars and no derived bar yet."""
        for window in self.windows:
            if window.interval == interval:
                start_us = window.grid.start_of(end_us - 1)
                is_current = start_us == window.start_us and window.count > 0 and not window.closed
                return is_current or holds(window.waiting, start_us)
        return False

    def set_quality(self, told: ToldRow, now_us: int) -> None:
        """Record what has just been told of an interval's completeness."""
        self.told[told.interval] = told
        self.told_us = now_us
        self.dirty = self.quality_changed = True

    def set_gaps(self, attempts: tuple[AttemptRow, ...], empty: tuple[StretchRow, ...]) -> None:
        """Record what a source was asked for, and where it has no bars either: both in order, without overlaps."""
        is_new = empty != self.empty
        self.attempts, self.empty = attempts, empty
        self.dirty = self.quality_changed = True
        for _, series in self.all_series() if is_new else ():
            if series.holes is not None:
                series.holes.confirm(self._confirmed(series.holes.slots, series))

    def completeness(self, interval: str, now_us: int, *, grace_us: int = 0) -> Completeness | None:
        """What of an interval's bars of the day should be there at an instant, and is; None for one that the symbol has not.

        Expected are the slots that have ended by then and have trading in them, but those without a bar that are confirmed empty. A
        window of a derived interval that has no bar is not expected before it has waited for `grace_us` after its end.
        """
        series = self.series(interval)
        if series is None:
            return None
        holes = self._holes(series)
        found = holes.completeness(series.newest_us, now_us)
        if series is self.bars or not grace_us:
            return found
        waited = holes.completeness(series.newest_us, now_us - grace_us)
        return Completeness(found.present + waited.missing, found.present, waited.gaps)

    def bar_quality(self, interval: str, now_us: int, *, grace_us: int = 0) -> float | None:
        """Bars present of bars expected between the open and an instant, in percent; None before anything is expected."""
        found = self.completeness(interval, now_us, grace_us=grace_us)
        return None if found is None else found.quality

    def bar_gaps(self, interval: str, now_us: int, *, grace_us: int = 0) -> list[GapInfo]:
        """The gaps of an interval at an instant, in order: maximal runs of missing bars; one that spans a break is one gap.

        For `grace_us` see `completeness`.
        """
        gaps = self.missing(interval, now_us if interval == self.base_interval else now_us - grace_us)
        return [GapInfo(start_us, end_us, count, self.retries(start_us, end_us)) for start_us, end_us, count in gaps]

    def missing(self, interval: str, now_us: int) -> Iterator[tuple[int, int, int]]:
        """Start, end and number of missing bars of each gap of an interval at an instant, in order."""
        series = self.series(interval)
        return iter(()) if series is None else self._holes(series).gaps(series.newest_us, now_us)

    def retries(self, start_us: int, end_us: int) -> int:
        """How often a source was asked for what it was asked for most, of a stretch."""
        attempts = self.attempts
        first, after = bisect_right(attempts, start_us, key=_end_of), bisect_left(attempts, end_us, key=_start_of)
        return max((one.count for one in attempts[first:after]), default=0)

    def _holes(self, series: BarSeries) -> Holes:
        holes = series.holes
        if holes is None:
            holes = series.known_holes()
            if self.empty:
                holes.confirm(self._confirmed(holes.slots, series))
        return holes

    def _confirmed(self, slots: Slots, series: BarSeries) -> Ranges:
        """The slots of a series that are confirmed empty: those of a derived interval of which all base bars are."""
        base = slots if series is self.bars else Slots(self.bars.grid)
        runs = Ranges([(base.starting_before(one.start_us), base.starting_before(one.end_us)) for one in self.empty])
        return runs if series is self.bars else windows_within(runs, base, slots)

    def settle_metrics(self) -> None:
        """Volume, high and low from the bars in order, after one of them was put in late or replaced."""
        if not self.metrics_stale:
            return
        self.session_volume, self.session_high, self.session_low = self.bars.totals()
        self.metrics_stale = False

    def changed_rows(self, written: Container[str]) -> dict[str, Row | None]:
        """The rows that differ from what is `written`, by key, None for one that goes; what they say is then taken as written."""
        if self.metrics_stale:
            self.settle_metrics()
        rows: dict[str, Row | None] = {}
        if self.pending_blocks:
            rows.update(self.pending_blocks)
            self.pending_blocks = {}
        if self.identity_changed:
            rows[symbol_key(self.symbol)] = self.identity_row()
        if self.quality_changed:
            key, row = quality_key(self.symbol), self.quality_row()
            if row is not None or key in written:
                rows[key] = row
            self.quality_changed = False
        days = self.day.days
        if self.exports is not None and self.exports.changed:
            rows[export_key(self.symbol)] = self.exports.row(self.symbol, self.incarnation)
            self.exports.changed = False
        for interval, series in self.all_series():
            if len(series.tail) >= SEAL_AT:
                series.seal()
                series.unite(UNITE_AT + self.incarnation % UNITE_SPREAD)
                if series.dropped:
                    keys = [block_key(self.symbol, interval, days, number) for number in sorted(series.dropped)]
                    rows.update({key: None for key in keys if key in written})
                    series.dropped.clear()
            if series.changed:
                rows.update(self._block_rows(interval, days, series))
        rows[progress_key(self.symbol)] = self.progress_row()
        if self.extras:
            rows.update(self.changed_extras())
        self.dirty = self.identity_changed = False
        return rows

    def changed_extras(self) -> dict[str, Row | None]:
        """The rows of quotes and ticks that differ from what was written last; all that most batches change of them."""
        changed = [extra for extra in self.extras.values() if extra.changed]
        return {self.extra_key(extra.stream): extra.row(self.symbol, self.incarnation) for extra in changed}

    def extra_key(self, stream: str) -> str:
        """The key of the row of its quotes or ticks."""
        return stream_key(stream, self.symbol)

    def take_forgotten(self) -> list[str]:
        """The keys of rows that are to be deleted, among the queued ones; they are queued no more."""
        forgotten = [key for key, row in self.pending_blocks.items() if row is None]
        for key in forgotten:
            del self.pending_blocks[key]
        return forgotten

    def all_keys(self) -> list[str]:
        """The keys of every row that this symbol may have in the tables."""
        of_symbol = (symbol_key, progress_key, quality_key, indicators_key, export_key)
        keys = [key_of(self.symbol) for key_of in of_symbol]
        keys += map(self.extra_key, EXTRA_STREAMS)
        days_of_series = [(self.day.days, dict(self.all_series())), *self.historical.items()]
        if self.exports is not None:
            days_of_series += self.exports.days.items()
        for days, by_interval in days_of_series:
            for interval, series in by_interval.items():
                keys += [block_key(self.symbol, interval, days, number) for number in range(series.block_count())]
        return keys

    def all_series(self) -> list[tuple[str, BarSeries]]:
        """The session's bars by interval, the base first, those of intervals that the config has dropped since included."""
        return [(self.base_interval, self.bars), *self.derived.items(), *self.retired.items()]

    def _block_rows(self, interval: str, days: int, series: BarSeries) -> dict[str, Row | None]:
        rows: dict[str, Row | None] = {}
        for number in sorted(series.changed):
            rows[block_key(self.symbol, interval, days, number)] = BlockRow(
                self.symbol, self.incarnation, interval, days, number, series.block(number)
            )
        series.changed.clear()
        return rows

    def seal_day(self) -> None:
        """Turn every tail of the day into blocks and queue their rows: the day is about to be left."""
        self.settle_metrics()
        self.queue_blocks(self.day.days, dict(self.all_series()))
        for _, series in self.all_series():
            series.holes = None

    def queue_blocks(self, days: int, by_interval: Mapping[str, BarSeries]) -> None:
        """Turn the tails of a day that is over into blocks, and queue the rows of all blocks that changed."""
        for interval, series in by_interval.items():
            series.seal(at_least=1)
            self.pending_blocks.update(self._block_rows(interval, days, series))

    def forget_blocks(self, days: int, interval: str, series: BarSeries) -> None:
        """Queue the deletion of a series' rows."""
        for number in range(series.block_count()):
            self.pending_blocks[block_key(self.symbol, interval, days, number)] = None

    def identity_row(self) -> SymbolRow:
        """Who it is and how far its life has come."""
        return SymbolRow(
            symbol=self.symbol, incarnation=self.incarnation, status=self.status, initial=self.initial, dynamic=self.dynamic,
            base_interval=self.base_interval, derived_intervals=self.derived_intervals, topic_id=self.topic_id, reason=self.reason,
            command_id=self.command_id, start_us=self.start_us, must_exist=self.must_exist, added_us=self.added_us,
            removal_end_offset=self.removal_end_offset, removal_deadline_us=self.removal_deadline_us, streams=tuple(self.extras),
        )  # fmt: skip

    def quality_row(self) -> QualityRow | None:
        """What was told of the day's gaps and done about them; None while that is nothing."""
        if self.told_us == NEVER_US and not self.attempts and not self.empty:
            return None
        told = tuple(self.told[interval] for interval in sorted(self.told, key=interval_us))
        return QualityRow(self.symbol, self.incarnation, self.day.days, told, self.attempts, self.empty, self.told_us)

    def progress_row(self) -> ProgressRow:
        """What changes with every batch."""
        counts, bars = self.counts, self.bars
        # By position, which is faster: a batch makes one of these for each symbol that it touches.
        return ProgressRow(
            self.symbol, self.incarnation, self.offset, self.day.days,
            self.frontier_us, self.checks, self.lagging, self.behind, self.lag_us,
            self.backlog, self.silent, self.last_stale_us, self.last_update_us,
            self.bars_updated, len(bars), self.session_volume,
            self.session_high, self.session_low, counts.accepted, counts.published,
            counts.held_back, counts.late, counts.corrected, counts.duplicates,
            counts.out_of_hours, counts.other_interval, counts.other_day,
            counts.rejected, counts.engine_errors, self.consecutive_errors,
            self.runs.rows() if self.runs else (),
            tuple([self._window_row(window) for window in self.windows]), bars.full_blocks, bars.tail_columns(),
            tuple([_waiting_row(bar) for bar in self.waiting]) if self.waiting else (), counts.forming,
            self._outdated_rows() if self.backlog else (), self.unfilled, counts.unknown_fields,
            counts.unknown_names,
        )  # fmt: skip

    def _outdated_rows(self) -> tuple[WindowRow, ...]:
        return tuple([WindowRow(window.interval, start_us) for window in self.windows for start_us in window.outdated])

    def _window_row(self, window: Window) -> WindowRow:
        if window.waiting:
            return WindowRow(window.interval, window.waiting[0])
        return WindowRow(window.interval, window.start_us if window.count and not window.closed else NEVER_US)
