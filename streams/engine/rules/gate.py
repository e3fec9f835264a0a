"""The gate: while any symbol lags, nothing is published.

The theory, after which the code is short. Each symbol's frontier bars are measured: lag = now - reference(bar). A stale
one (lag > threshold) checks at once, unless it fills a gap, a fresh one when its strategy says so. A check puts the symbol
into the lagging set or takes it out, so one fresh symbol cannot open the gate for another that lags. Besides, a symbol leaves
the set when its captured backlog is read to the end, whatever its last bar's age, and when it has fallen silent. The gate is
open while every initial symbol is settled and the set is empty.

    interval     a fresh bar checks when counter % catchup_check_interval == 0, before the counter goes up
    every_bar    each bar checks
    adaptive     `interval` while the gate is open, `every_bar` while it is shut, so that opening again is never late

Two flags beside the set: `behind` says that the newest frontier bar was stale, or that the symbol is reading what it
missed, and holds for symbols with `gates: false` too; `backlog` that a captured end has not been reached yet. While
either holds, the clock closes no window and rolls no day of the symbol: time has not come that far for it.

Beside all symbols the worker's clock can shut the gate: while `clock_reason` says what is wrong with it, the gate stays shut. Lag is
measured by that clock, so once it is right each symbol lags until what came meanwhile is read.
"""

from __future__ import annotations

from streams.engine.rules import interval_complete
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.model.records import AnalysisKind, EventKind, GateChange, LaggingSymbol
from streams.model.validation import ABOVE_ZERO, LOWEST_PRICE
from streams.times import DAY_US, SECOND_US

LAGGING = "lagging"
RECOVERING = "recovering"
SILENT = "silent"
CLOCK = "clock"
NEW = "new"


def check_stale(state: SessionState, data: SymbolSessionData, lag_us: int) -> None:
    """A stale bar has advanced the frontier: the symbol lags, off any cadence."""
    if not data.behind:
        state.next_quiet_us = 0
    data.behind = True
    data.last_stale_us = state.now_us
    data.lag_us = lag_us
    _arrived(state, data)
    if data.gates and not data.lagging:
        _join(state, data)
        _shut(state, LAGGING)


def check_fresh(state: SessionState, data: SymbolSessionData, lag_us: int) -> None:
    """A fresh bar has advanced the frontier: the symbol leaves the set, when its strategy checks this bar."""
    data.behind = False
    data.lag_us = lag_us
    _arrived(state, data)
    if data.lagging and _is_due(state, data):
        _leave(state, data, "fresh")


def _is_due(state: SessionState, data: SymbolSessionData) -> bool:
    if state.strategy == "every_bar" or (state.strategy == "adaptive" and not state.active):
        return True
    return data.checks % data.check_interval == 0


def _arrived(state: SessionState, data: SymbolSessionData) -> None:
    if data.silent:
        data.silent = False
        state.silent.discard(data.symbol)
        state.next_quiet_us = 0


def beat(state: SessionState) -> None:
    """Say that the session lives. While the gate is shut nobody acts on what it says, and nothing is said."""
    if state.active:
        state.mark(AnalysisKind.HEARTBEAT)


def caught_up(state: SessionState, data: SymbolSessionData) -> None:
    """All that had been written before the capture is read: nothing is being missed, however old the last bar is."""
    data.backlog = data.behind = False
    data.dirty = True
    state.next_quiet_us = 0
    if data.lagging:
        _leave(state, data, "caught_up")


def fall_silent(state: SessionState, data: SymbolSessionData) -> None:
    """Nothing has come for the silence threshold and nothing is unread; outside hours that is not called silence."""
    data.behind = False
    data.dirty = True
    state.next_quiet_us = 0
    trading = _is_trading(data, state.now_us)
    if trading:
        data.silent = True
        state.silent.add(data.symbol)
        since_us = max(data.last_update_us, data.added_us, data.open_us)
        state.tell(EventKind.SYMBOL_SILENT, data, seconds=f"{(state.now_us - since_us) / SECOND_US:.3f}")
    if trading and state.config.session_data_config.streaming.silence_lags:
        if data.gates and not data.lagging:
            _join(state, data)
            _shut(state, SILENT)
    elif data.lagging:
        _leave(state, data, SILENT)


def end_silence(state: SessionState) -> None:
    """Trading is over for symbols that were silent: outside hours nothing is, and nobody waits for them."""
    for symbol in sorted(state.silent):
        data = state.symbols[symbol]
        if not _is_trading(data, state.now_us):
            _arrived(state, data)
            data.dirty = True
            if data.lagging and not data.behind:
                _leave(state, data, "closed")


def fall_behind(state: SessionState, symbols: list[SymbolSessionData], reason: str) -> None:
    """The session has been away: each of these lags until its backlog is read. One record says so."""
    state.next_quiet_us = 0
    for data in symbols:
        data.behind = True
        data.last_stale_us = state.now_us
        if data.frontier_us > 0:
            data.lag_us = max(data.lag_us, state.now_us - data.frontier_us)
        data.dirty = True
        if data.gates and not data.lagging:
            _join(state, data)
    _shut(state, reason)


def clock_wrong(state: SessionState, reason: str, behind_us: int) -> None:
    """The worker's clock is off by more than is tolerated: nothing is published until it is right, whatever the symbols do."""
    state.clock_reason, state.clock_behind_us = reason, behind_us
    state.tell(EventKind.CLOCK_WRONG, reason=reason, behind_seconds=f"{behind_us / SECOND_US:.3f}")
    if state.active:
        _close(state, CLOCK)
    state.gate_reason = CLOCK


def clock_right(state: SessionState, reading: list[SymbolSessionData]) -> None:
    """The worker's clock is right again. What was measured by it was not, so each symbol that is read lags until its backlog is read."""
    if state.clock_reason is None:
        return
    state.clock_reason, state.clock_behind_us = None, 0
    state.tell(EventKind.CLOCK_RIGHT)
    for data in reading:
        data.backlog = True
    fall_behind(state, reading, RECOVERING)
    state.gate_reason = RECOVERING if state.lagging else NEW
    open_if_clear(state, CLOCK)


def forget(state: SessionState, data: SymbolSessionData, reason: str) -> None:
    """The symbol is going or has failed: it keeps nobody waiting any more."""
    if data.lagging:
        data.lagging = False
        data.dirty = True
        state.lagging.discard(data.symbol)
    _arrived(state, data)
    open_if_clear(state, reason)


def apply_policy(state: SessionState, data: SymbolSessionData) -> None:
    """Take the symbol's threshold, cadence, `gates` and lowest price from the config; one that no longer gates leaves the set."""
    data.threshold_us = state.config.threshold_us(data.symbol)
    data.check_interval = state.config.check_interval(data.symbol)
    data.gates = state.config.gates(data.symbol)
    bound_prices(state, data)
    if data.lagging and not data.gates:
        _leave(state, data, "gates_off")


def bound_prices(state: SessionState, data: SymbolSessionData) -> None:
    """Take the symbol's lowest price from the config; the first rules took prices of zero everywhere."""
    allowed = state.config.allows_negative_prices(data.symbol)
    data.lowest_price = LOWEST_PRICE if allowed else ABOVE_ZERO if state.rules >= 2 else 0.0


def open_if_clear(state: SessionState, reason: str) -> None:
    """Open the gate when nothing keeps it shut: what was held back is accounted for first."""
    if state.active or state.lagging or state.clock_reason is not None or state.initial_pending():
        return
    for data in state.ordered():
        flush_held_back(state, data)
    state.active = state.ever_active = True
    state.gate_reason = reason
    change = GateChange(active=True, reason=reason)
    state.mark(AnalysisKind.ACTIVATED, gate=change)
    state.tell(EventKind.ACTIVATED, reason=reason)
    interval_complete.opened(state)


def flush_held_back(state: SessionState, data: SymbolSessionData, intervals: frozenset[str] | None = None) -> None:
    """End the symbol's open runs with one `held_back` record each."""
    if not data.runs:
        return
    was_dirty = data.dirty
    # First of all: what a bar of another symbol touches is known by it, should something raise half-way.
    data.dirty = True
    taken = data.runs.take(intervals)
    for interval, extent in taken:
        state.mark(AnalysisKind.HELD_BACK, data, interval=interval, extent=extent)
    data.dirty = was_dirty or bool(taken)


def quiet_symbols(state: SessionState, now_us: int) -> list[str]:
    """Symbols that fall silent if, as the shell must find out, nothing of theirs is unread."""
    if now_us < state.next_quiet_us:
        return []
    silence_us = state.config.silence_us
    return sorted(data.symbol for data in state.symbols.values() if is_quiet(data, now_us, silence_us))


def quiet_us(state: SessionState, until_us: int) -> int:
    """The first instant from `now` on at which there are quiet symbols; `NEVER_DUE_US` when none before `until_us`."""
    if until_us < state.next_quiet_us:
        return NEVER_DUE_US
    # A bar moves this on, and whatever else could bring it forward has it looked up again.
    now_us, silence_us = state.now_us, state.config.silence_us
    state.next_quiet_us = min((_quiet_from_us(data, now_us, silence_us) for data in state.symbols.values()), default=NEVER_DUE_US)
    return state.next_quiet_us


def _quiet_from_us(data: SymbolSessionData, now_us: int, silence_us: int) -> int:
    """The first instant from `now_us` on for which `is_quiet` holds if nothing comes."""
    if data.silent or data.backlog or data.status not in READING:
        return NEVER_DUE_US
    newest_us = _newest_us(data)
    keeps_waiting = data.behind or data.lagging
    segments = () if data.base_us >= DAY_US else data.day.segments
    if not keeps_waiting and data.base_us >= silence_us:
        silence_us += data.base_us
    closed_us = 0
    for open_us, close_us in (*segments, (NEVER_DUE_US, NEVER_DUE_US)):
        found_us = max(closed_us, newest_us + silence_us, now_us)
        if keeps_waiting and found_us < open_us:
            return found_us
        found_us = max(max(newest_us, open_us) + silence_us, now_us)
        if found_us < close_us:
            return found_us
        closed_us = close_us
    return NEVER_DUE_US


def silence_ends_us(state: SessionState) -> int:
    """When the stretch of trading is over that `now` lies in, in which symbols are silent; `NEVER_DUE_US` where none is."""
    if not state.silent:
        return NEVER_DUE_US
    return min(_closes_us(state.symbols[symbol], state.now_us) for symbol in state.silent)


def _closes_us(data: SymbolSessionData, now_us: int) -> int:
    return next((close_us for open_us, close_us in data.day.segments if open_us <= now_us < close_us), now_us)


def _newest_us(data: SymbolSessionData) -> int:
    """When that came of which the silence since then counts."""
    return max(data.last_stale_us if data.behind else data.last_update_us, data.added_us)


def is_quiet(data: SymbolSessionData, now_us: int, silence_us: int) -> bool:
    """Whether nothing has come for `silence_us` of trading, or, of a symbol that keeps others waiting, of any time.

    Bars that are further apart than that are waited for: silence then counts from when the next one was due.
    """
    if data.silent or data.backlog or data.status not in READING:
        return False
    newest_us = _newest_us(data)
    opened_us = _opened_us(data, now_us)
    keeps_waiting = data.behind or data.lagging
    if opened_us is None:
        return keeps_waiting and now_us - newest_us >= silence_us
    if data.base_us >= silence_us and not keeps_waiting:
        silence_us += data.base_us
    return now_us - max(newest_us, opened_us) >= silence_us


def _opened_us(data: SymbolSessionData, now_us: int) -> int | None:
    """When the stretch of trading that `now_us` lies in has begun; None outside hours, and for daily bars, none of which comes within."""
    if data.base_us >= DAY_US:
        return None
    for open_us, close_us in data.day.segments:
        if open_us <= now_us < close_us:
            return open_us
    return None


def _is_trading(data: SymbolSessionData, now_us: int) -> bool:
    return _opened_us(data, now_us) is not None


def _join(state: SessionState, data: SymbolSessionData) -> None:
    data.lagging = True
    data.dirty = True
    state.next_quiet_us = 0
    state.lagging.add(data.symbol)
    # Before its first bar a symbol has no lag: it waits for what it has not read.
    if state.rules >= 2 and not data.checks and not data.lag_us:
        state.tell(EventKind.SYMBOL_LAGGING, data, reason="no bar yet: it reads its backlog")
    else:
        state.tell(EventKind.SYMBOL_LAGGING, data, lag_seconds=f"{data.lag_us / SECOND_US:.3f}")


def _leave(state: SessionState, data: SymbolSessionData, reason: str) -> None:
    data.lagging = False
    data.dirty = True
    state.lagging.discard(data.symbol)
    lag = {"lag_seconds": f"{data.lag_us / SECOND_US:.3f}"} if data.checks or data.lag_us or state.rules < 2 else {}
    state.tell(EventKind.SYMBOL_CAUGHT_UP, data, reason=reason, **lag)
    open_if_clear(state, reason)


def _shut(state: SessionState, reason: str) -> None:
    if state.active and state.lagging:
        _close(state, reason)


def _close(state: SessionState, reason: str) -> None:
    state.active = False
    state.gate_reason = reason
    interval_complete.shut(state)
    lagging = tuple(LaggingSymbol(symbol, state.symbols[symbol].lag_us / SECOND_US) for symbol in sorted(state.lagging))
    state.mark(AnalysisKind.DEACTIVATED, gate=GateChange(active=False, reason=reason, lagging=lagging))
    state.tell(EventKind.DEACTIVATED, reason=reason, lagging=",".join(sorted(state.lagging)))
