"""`SessionData`: what a session's symbols hold, for readers, behind the gate.

    data = SessionData(session.state)
    data.get_bars("SPY", "5m")                   # [] while the gate is shut
    data.get_bars("SPY", "5m", internal=True)    # whatever the gate says

Every read takes `internal`. An external one while the session is inactive gives nothing: `None`, `[]`, `0` or an empty
set, the same as for a symbol or an interval that is not there. The invariant: an answer is a copy or can't be changed, so
no reader can change the state. Instants are aware `datetime`s; a naive one is a `ValueError`. `interval=None` is the
symbol's base interval.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Reversible
from datetime import date, datetime
from itertools import islice

from streams.engine.state.completeness import gaps_of, quality_of
from streams.engine.state.quotes import ExtraStream
from streams.engine.state.series import BarSeries
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import QUOTES, TICKS, Quote, SessionBar, Tick
from streams.model.status import SymbolStatus
from streams.model.views import (
    ExportPosition,
    GapInfo,
    QuotesSnapshot,
    SessionMetrics,
    SymbolSnapshot,
    TicksSnapshot,
)
from streams.times import SECOND_US, date_of_days, days_of, from_us, to_us

__all__ = ["BarsView", "ExportPosition", "GapInfo", "QuotesSnapshot", "SessionData", "SessionMetrics", "SymbolSnapshot", "TicksSnapshot"]


class BarsView(Collection[SessionBar], Reversible[SessionBar]):
    """The bars of an interval in order, not to be changed: bars are made as they are asked for, none is copied before.

    It follows the session: bars that come in later are in it too.
    """

    def __init__(self, series: BarSeries) -> None:
        self._series = series

    def __len__(self) -> int:
        return len(self._series)

    def __iter__(self) -> Iterator[SessionBar]:
        return iter(self._series)

    def __reversed__(self) -> Iterator[SessionBar]:
        return reversed(self._series)

    def __contains__(self, bar: object) -> bool:
        return isinstance(bar, SessionBar) and self._series.find(bar.start_us) == bar


class SessionData:
    """Reads over a session's state. See the module for what `internal` means."""

    def __init__(self, state: SessionState) -> None:
        self._state = state

    @property
    def is_active(self) -> bool:
        """Whether the gate is open, so that external reads are answered."""
        return self._state.active

    @property
    def epoch(self) -> int:
        """Which beginning of the session this is: with `sequence` it places the reads among the records of analysis."""
        return self._state.epoch

    @property
    def sequence(self) -> int:
        """The last record of analysis that the reads are as of; a consumer goes on with the one after it."""
        return self._state.sequence

    def get_active_symbols(self, *, internal: bool = False) -> frozenset[str]:
        """All symbols of the session, however far they are."""
        return frozenset(self._state.symbols) if self._may_read(internal) else frozenset()

    def get_loaded_symbols(self, *, internal: bool = False) -> frozenset[str]:
        """The symbols whose bars are being read."""
        return self._symbols_where(internal, lambda data: data.is_loaded)

    def get_pending_symbols(self, *, internal: bool = False) -> frozenset[str]:
        """The symbols that are being loaded."""
        return self._symbols_where(internal, lambda data: data.status is SymbolStatus.PENDING)

    def get_symbols_with_derived(self, *, internal: bool = False) -> frozenset[str]:
        """The symbols that have derived intervals."""
        return self._symbols_where(internal, lambda data: bool(data.derived_intervals))

    def get_streamed_data(self, symbol: str, *, internal: bool = False) -> list[str]:
        """What is streamed for a symbol: its base interval, and quotes or ticks where it has them."""
        data = self._readable(symbol, internal)
        return [] if data is None else [data.base_interval, *data.extras]

    def get_generated_data(self, symbol: str, *, internal: bool = False) -> list[str]:
        """The intervals that are computed for a symbol, shortest first."""
        data = self._readable(symbol, internal)
        return [] if data is None else list(data.derived_intervals)

    def get_symbol_data(self, symbol: str, *, internal: bool = False) -> SymbolSnapshot | None:
        """A symbol as it stands."""
        data = self._readable(symbol, internal)
        return None if data is None else _snapshot(data)

    def get_bars(
        self,
        symbol: str,
        interval: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        internal: bool = False,
    ) -> list[SessionBar]:
        """The session's bars with `start <= bar.start < end`, in order; without bounds all, of more than `limit` the first ones.

        Raises:
            ValueError: a bound without a time zone, or a negative limit.
        """
        start_us, end_us = None if start is None else to_us(start), None if end is None else to_us(end)
        series = self._series(symbol, interval, internal)
        if series is None:
            return []
        if start_us is None and end_us is None:
            return list(islice(series, limit))
        day = series.grid.day
        # A window that the clock anchors may start before the open.
        first_us = series.grid.first_us if start_us is None else start_us
        return list(islice(series.between(first_us, day.close_us if end_us is None else end_us), limit))

    def get_bars_ref(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> Collection[SessionBar]:
        """The session's bars without a copy: a view that can't be changed and follows the session."""
        series = self._series(symbol, interval, internal)
        return [] if series is None else BarsView(series)

    def get_latest_bar(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> SessionBar | None:
        """The newest bar of the session."""
        series = self._series(symbol, interval, internal)
        return None if series is None else series.last()

    def get_last_n_bars(self, symbol: str, count: int, interval: str | None = None, *, internal: bool = False) -> list[SessionBar]:
        """The newest `count` bars of the session, oldest first.

        Raises:
            ValueError: a negative count.
        """
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count}")
        series = self._series(symbol, interval, internal)
        if series is None:
            return []
        newest: deque[SessionBar] = deque()
        newest.extendleft(islice(reversed(series), count))
        return list(newest)

    def get_bars_since(self, symbol: str, since: datetime, interval: str | None = None, *, internal: bool = False) -> list[SessionBar]:
        """The session's bars that start at `since` or later, in order.

        Raises:
            ValueError: `since` has no time zone.
        """
        return self.get_bars(symbol, interval, start=since, internal=internal)

    def get_bar_count(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> int:
        """How many bars the session has."""
        series = self._series(symbol, interval, internal)
        return 0 if series is None else len(series)

    def get_quality(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> float | None:
        """Bars present of bars expected between the open and now, in percent; None where a missing bar is no gap."""
        data = self._readable(symbol, internal)
        name = None if data is None else self._measured(data, interval)
        return None if data is None or name is None else quality_of(data, name, self._state.now_us, grace_us=self._state.grace_us)

    def get_gaps(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> list[GapInfo]:
        """Runs of missing bars between the open and now, in order; none where a missing bar is no gap."""
        data = self._readable(symbol, internal)
        name = None if data is None else self._measured(data, interval)
        return [] if data is None or name is None else gaps_of(data, name, self._state.now_us, grace_us=self._state.grace_us)

    def get_session_metrics(self, symbol: str, *, internal: bool = False) -> SessionMetrics | None:
        """Volume, high and low of the session."""
        data = self._readable(symbol, internal)
        return None if data is None else _metrics(data)

    def get_quotes(self, symbol: str, *, internal: bool = False) -> QuotesSnapshot | None:
        """The latest quote and how many there were; None for a symbol that streams none."""
        extra = self._extra(symbol, QUOTES, internal)
        if extra is None:
            return None
        return QuotesSnapshot(extra.latest if isinstance(extra.latest, Quote) else None, *_figures(extra))

    def get_ticks(self, symbol: str, *, internal: bool = False) -> TicksSnapshot | None:
        """The latest tick and how many there were; None for a symbol that streams none."""
        extra = self._extra(symbol, TICKS, internal)
        if extra is None:
            return None
        return TicksSnapshot(extra.latest if isinstance(extra.latest, Tick) else None, *_figures(extra))

    def get_historical_bars(
        self, symbol: str, interval: str | None = None, *, on: date | None = None, internal: bool = False
    ) -> list[SessionBar]:
        """The bars of the trading days before the session's that are kept, oldest first; `on` picks one day."""
        data = self._readable(symbol, internal)
        if data is None:
            return []
        wanted = sorted(data.historical) if on is None else [days_of(on)]
        name = data.base_interval if interval is None else interval
        kept = [data.historical[days] for days in wanted if days in data.historical]
        return [bar for by_interval in kept if name in by_interval for bar in by_interval[name]]

    def get_export_position(self, symbol: str, *, internal: bool = False) -> ExportPosition | None:
        """How far exports of what is new have come."""
        data = self._readable(symbol, internal)
        if data is None:
            return None
        return ExportPosition(0, is_pending=False) if data.exports is None else ExportPosition(data.exports.number, data.exports.is_pending)

    def get_indicator(self, symbol: str, name: str, *, internal: bool = False) -> float | None:
        """An indicator over past days by its name in the config; None with too few bars, or where there is none of that name."""
        return self.get_indicators(symbol, internal=internal).get(name)

    def get_indicators(self, symbol: str, *, internal: bool = False) -> dict[str, float | None]:
        """All indicators over past days that the config declares, by name; they hold for the symbol's trading day."""
        data = self._readable(symbol, internal)
        row = None if data is None else data.indicators
        return {} if row is None else {one.name: one.value for one in row.values}

    def _may_read(self, internal: bool) -> bool:
        return internal or self._state.active

    def _readable(self, symbol: str, internal: bool) -> SymbolSessionData | None:
        return self._state.symbols.get(symbol) if self._may_read(internal) else None

    def _series(self, symbol: str, interval: str | None, internal: bool) -> BarSeries | None:
        data = self._readable(symbol, internal)
        return None if data is None else data.series(data.base_interval if interval is None else interval)

    def _extra(self, symbol: str, stream: str, internal: bool) -> ExtraStream | None:
        data = self._readable(symbol, internal)
        return None if data is None else data.extras.get(stream)

    def _measured(self, data: SymbolSessionData, interval: str | None) -> str | None:
        name = data.base_interval if interval is None else interval
        return None if not data.is_loaded or self._state.config.sparse(data.symbol, name) else name

    def _symbols_where(self, internal: bool, holds: Callable[[SymbolSessionData], bool]) -> frozenset[str]:
        if not self._may_read(internal):
            return frozenset()
        return frozenset(symbol for symbol, data in self._state.symbols.items() if holds(data))


def _figures(extra: ExtraStream) -> tuple[int, int, datetime | None, date, int, int, str | None]:
    as_of = from_us(extra.last_update_us) if extra.last_update_us >= 0 else None
    return extra.count, extra.total, as_of, date_of_days(extra.days), extra.out_of_hours, extra.rejected, extra.reason


def _metrics(data: SymbolSessionData) -> SessionMetrics:
    data.settle_metrics()
    last_update = from_us(data.last_update_us) if data.last_update_us >= 0 else None
    return SessionMetrics(data.session_volume, data.session_high, data.session_low, len(data.bars), last_update)


def _snapshot(data: SymbolSessionData) -> SymbolSnapshot:
    return SymbolSnapshot(
        symbol=data.symbol, incarnation=data.incarnation, status=data.status, is_loaded=data.is_loaded, reason=data.reason,
        base_interval=data.base_interval, derived_intervals=data.derived_intervals, trading_date=date_of_days(data.day.days),
        topic_id=data.topic_id, offset=data.offset, lagging=data.lagging, lag_seconds=data.lag_us / SECOND_US, silent=data.silent,
        latest_bar=data.latest_bar, metrics=_metrics(data), bars_updated=data.bars_updated, held_back=data.runs.count(),
        quotes_updated=data.quotes_updated, ticks_updated=data.ticks_updated, streams=tuple(data.extras),
    )  # fmt: skip
