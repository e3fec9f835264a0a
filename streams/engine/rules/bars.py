"""Take in one bar: judge it, keep it, measure it, derive from it.

A bar of a loaded symbol is one of: invalid (dead letter), of another interval or outside hours (counted and dropped), early (it
waits for its end, `waiting`), new (it advances the frontier), late (it fills a hole behind the frontier), a duplicate, or a
correction. One of a day that the symbol has left is late there, as long as that day is kept.
Only a new one is measured at the gate, and of those that fill a gap only one that is fresh. The order of what goes out: the
gate's change, derived bars that this bar's arrival closes with some base bars missing, the bar itself, the derived bars that it
completes, shortest first, and what it was the last bar of (`punctuation`).
"""

from __future__ import annotations

from streams.calendar.trading import TradingDay
from streams.engine.rules import derived_bars, gate, indicators, interval_complete, rollover, waiting_bars
from streams.engine.rules.placement import Place, place_of
from streams.engine.rules.publish import offer, offer_rolled
from streams.engine.state.series import BarSeries
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.errors import EngineError
from streams.model.records import PROVENANCE_FEED, PROVENANCE_GAP_FILL, Bar, EventKind, Rejected, SessionBar
from streams.model.validation import NEGATIVE_HINT, Fault, fault_of, future_fault, price_fault
from streams.times import SECOND_US, interval_us


def receive(state: SessionState, bar: Bar) -> None:
    """Take in one bar of a loaded symbol at `state.now_us`; what comes of it is in `state.outcomes`.

    Raises:
        EngineError: the symbol is not being read.
    """
    data = state.symbols.get(bar.symbol)
    if data is None or data.status not in READING:
        raise EngineError(f"{bar.symbol} is not being read, so no bar of it can be received")
    data.dirty = True
    data.consecutive_errors = 0
    if bar.interval != data.base_interval:
        data.counts.other_interval += 1
        return
    if data.is_uneven:
        _receive_uneven(state, data, bar)
        return
    fault = fault_of(bar, data.base_us, state.now_us, state.future_tolerance_us, data.lowest_price)
    if fault is not None:
        _reject(state, data, fault)
        return
    if bar.end_us > state.now_us and state.rules >= 2:
        _keep_waiting(state, data, bar)
        return
    start_us = bar.start_us
    if start_us < data.open_us or start_us >= data.close_us or len(data.day.segments) > 1:
        day = state.calendar.day_of(start_us) if state.calendar.covers(start_us) else None
        if not _is_on_its_day(state, data, day, bar):
            return
    if start_us > data.last_start_us:
        _take_new(state, data, bar)
    else:
        _take_old(state, data, bar)


def _receive_uneven(state: SessionState, data: SymbolSessionData, bar: Bar) -> None:
    """Take in a bar of an interval that the hours are no whole number of, once it is known where it lies on its day."""
    place = price_fault(bar, data.lowest_price) or place_of(bar, data.anchor, state.calendar)
    if isinstance(place, Place):
        bar = place.bar
        fault = future_fault(bar, state.now_us, state.future_tolerance_us)
        if fault is not None:
            _reject(state, data, fault)
        elif bar.end_us > state.now_us and state.rules >= 2:
            _keep_waiting(state, data, bar)
        elif not _is_on_its_day(state, data, place.day, bar):
            return
        elif bar.start_us > data.last_start_us:
            _take_new(state, data, bar)
        else:
            _take_old(state, data, bar)
    elif place is None:
        data.counts.out_of_hours += 1
    else:
        _reject(state, data, place)


def take_waiting(state: SessionState, data: SymbolSessionData) -> None:
    """Take in the first of the symbol's bars that wait, which has ended by `state.now_us`, as if it arrived now."""
    receive(state, data.waiting.pop(0))


def _keep_waiting(state: SessionState, data: SymbolSessionData, bar: Bar) -> None:
    fault = waiting_bars.keep(state, data, bar)
    if fault is not None:
        _reject(state, data, fault)


def _reject(state: SessionState, data: SymbolSessionData, fault: Fault) -> None:
    data.counts.rejected += 1
    code, message = fault
    if state.rules < 2:
        message = message.removesuffix(NEGATIVE_HINT)
    state.outcomes.append(Rejected(data.symbol, code, message))


def _is_on_its_day(state: SessionState, data: SymbolSessionData, day: TradingDay | None, bar: Bar) -> bool:
    """Whether the bar, which is of `day`, belongs to the symbol's day; a later one becomes the symbol's."""
    if day is None:
        data.counts.out_of_hours += 1
        return False
    if day.days < data.day.days:
        _take_rolled(state, data, day, bar)
        return False
    if day.days > data.day.days:
        rollover.roll_symbol(state, data, day)
        rollover.roll_session(state)
    return True


def _kept(bar: Bar, revision: int) -> SessionBar:
    return SessionBar(
        bar.start_us, bar.end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades,
        1, 1, revision, True, bar.provenance,
    )  # fmt: skip


def _take_new(state: SessionState, data: SymbolSessionData, bar: Bar) -> None:
    start_us, end_us, now_us = bar.start_us, bar.end_us, state.now_us
    reference_us = start_us if state.by_open else end_us
    lag_us = now_us - reference_us
    if lag_us > data.threshold_us:
        # An old bar that fills a gap says nothing about the feed, and no gap is asked about while its symbol lags: it would lag on.
        if bar.provenance != PROVENANCE_GAP_FILL:
            gate.check_stale(state, data, lag_us)
    elif data.behind or data.lagging or data.silent:
        gate.check_fresh(state, data, lag_us)
    else:
        data.lag_us = lag_us
    data.checks += 1
    kept = SessionBar(
        start_us, end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades,
        1, 1, 0, True, bar.provenance,
    )  # fmt: skip
    bars = data.bars
    if start_us != data.frontier_us:
        bars.passed(start_us)
    bars.tail.append(kept)
    if bar.vwap is not None or bar.trades is not None or bar.provenance != PROVENANCE_FEED:
        bars.is_plain = False
    data.last_start_us = start_us
    data.frontier_us = end_us
    data.last_update_us = now_us
    data.bars_updated = True
    data.session_volume += bar.volume
    if data.session_high is None or bar.high > data.session_high:
        data.session_high = bar.high
    if data.session_low is None or bar.low < data.session_low:
        data.session_low = bar.low
    for window in data.windows:
        if start_us >= window.end_us or (window.waiting and not state.defers(data)):
            derived_bars.close_by_frontier(state, data, kept)
            break
    offer(state, data, data.base_interval, kept, reference_us + data.threshold_us)
    derived_bars.fill(state, data, kept)
    if data.awaited:
        interval_complete.arrived(state, data)


def _take_old(state: SessionState, data: SymbolSessionData, bar: Bar) -> None:
    kept = _put_old(state, data, data.bars, bar)
    if kept is None:
        return
    data.metrics_stale = data.bars_updated = True
    data.last_update_us = state.now_us
    reference_us = bar.start_us if state.by_open else bar.end_us
    offer(state, data, data.base_interval, kept, reference_us + data.threshold_us, rewrites=True)
    for window in data.windows:
        derived_bars.rework(state, data, window, kept)
    if data.awaited:
        interval_complete.arrived(state, data)


def _put_old(state: SessionState, data: SymbolSessionData, series: BarSeries, bar: Bar) -> SessionBar | None:
    """Keep a bar that fills a hole or replaces another; None for one that does neither."""
    existing = series.find(bar.start_us)
    if existing is not None and (_same(existing, bar) or bar.provenance == PROVENANCE_GAP_FILL):
        data.counts.duplicates += 1
        return None
    kept = _kept(bar, 0 if existing is None else existing.revision + 1)
    series.put(kept)
    if data.exports is not None:
        data.exports.note(series.grid.day.days, data.base_interval, kept)
    behind_seconds = f"{(max(data.frontier_us, data.open_us) - bar.end_us) / SECOND_US:g}"
    if existing is None:
        data.counts.late += 1
        state.tell(EventKind.BAR_LATE, data, start_us=bar.start_us, behind_seconds=behind_seconds)
    else:
        data.counts.corrected += 1
        state.tell(EventKind.BAR_CORRECTED, data, start_us=bar.start_us, revision=kept.revision, behind_seconds=behind_seconds)
    return kept


def _take_rolled(state: SessionState, data: SymbolSessionData, day: TradingDay, bar: Bar) -> None:
    """A bar of a day that the symbol has left goes to that day's historical bars, where they are kept."""
    of_day = rollover.kept_day(state, data, day)
    series = None if of_day is None else of_day.get(data.base_interval)
    if of_day is None or series is None:
        data.counts.other_day += 1
        return
    kept = _put_old(state, data, series, bar)
    if kept is None:
        return
    offer_rolled(state, data, day.days, data.base_interval, kept)
    for interval in sorted(of_day.keys() - {data.base_interval}, key=interval_us):
        if of_day[interval].is_given:
            continue
        made = derived_bars.remake(of_day[interval], series, bar.start_us)
        if interval in data.derived_intervals:
            if data.exports is not None:
                data.exports.note(day.days, interval, made)
            offer_rolled(state, data, day.days, interval, made)
    indicators.outdate(state, data)
    data.queue_blocks(day.days, of_day)


def _same(kept: SessionBar, bar: Bar) -> bool:
    return (
        kept.close == bar.close
        and kept.volume == bar.volume
        and kept.open == bar.open
        and kept.high == bar.high
        and kept.low == bar.low
        and kept.vwap == bar.vwap
        and kept.trades == bar.trades
    )
