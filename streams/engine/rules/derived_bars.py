"""Derived bars: close the windows that a bar completes, that the frontier leaves behind, or that the clock has passed.

A window is closed when its derived bar is in the series. One with missing base bars waits until the frontier, or the clock
where the symbol is up to date, is `grace` past its end; a base bar that lands in a closed one makes a revision of it.

While a symbol reads a captured backlog, its base bars are no news one by one: late ones and corrections come by the thousand. So
only a window that gets its last base bar is closed at once. The others, with missing bars or with bars that have changed, wait for
the end of the backlog, and then each gets one bar (`end_backlog`). What comes of a window does not depend on how the backlog was
cut into batches.
"""

from __future__ import annotations

from bisect import insort

from streams.engine.rules.publish import offer_derived
from streams.engine.state.grid import Window, aggregate, holds
from streams.engine.state.series import BarSeries
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.model.records import SessionBar


def close_by_frontier(state: SessionState, data: SymbolSessionData, bar: SessionBar) -> None:
    """A new bar moves the frontier: a window that it lies beyond now waits if it lacks bars; what has waited enough is closed."""
    due: list[tuple[int, int, Window, int]] = []
    is_deferred = state.defers(data)
    for window in data.windows:
        waiting = window.waiting
        beyond = bar.start_us >= window.end_us
        if beyond and window.count and not window.closed:
            waiting.append(window.start_us)
        for start_us in () if is_deferred else waiting:
            end_us = window.grid.end_of(start_us)
            if end_us + state.grace_us <= bar.end_us:
                due.append((end_us, window.grid.width_us, window, start_us))
        if beyond:
            window.begin(window.grid.start_of(bar.start_us))
            state.next_close_us = min(state.next_close_us, window.end_us + state.grace_us)
    for _, _, window, start_us in sorted(due, key=lambda entry: entry[:2]):
        close_window(state, data, window, start_us)


def fill(state: SessionState, data: SymbolSessionData, bar: SessionBar) -> None:
    """Add a new bar to the windows that it lies in, and close those that it completes, shortest first."""
    for window in data.windows:
        window.add(bar)
        if window.closed:
            if state.defers(data):
                _defer(state, data, window, window.start_us)
            else:
                _close(state, data, window.interval, window.bar(_revision_of(data, window) + 1), rewrites=True)
        elif window.count == window.expected:
            window.closed = True
            if window.is_stale:
                _refill(data, window)
            _close(state, data, window.interval, window.bar())


def _close(state: SessionState, data: SymbolSessionData, interval: str, derived: SessionBar, *, rewrites: bool = False) -> None:
    data.derived[interval].put(derived)
    if data.exports is not None:
        data.exports.note(data.day.days, interval, derived)
    offer_derived(state, data, interval, derived, rewrites=rewrites)


def _revision_of(data: SymbolSessionData, window: Window) -> int:
    closed = data.derived[window.interval].find(window.start_us)
    return closed.revision if closed is not None else -1


def _aggregated(data: SymbolSessionData, window: Window, start_us: int) -> Window:
    return aggregate(window.grid, start_us, data.bars.between(start_us, window.grid.end_of(start_us)))


def _refill(data: SymbolSessionData, window: Window) -> None:
    window.refill(data.bars.between(window.start_us, window.end_us))


def rework(state: SessionState, data: SymbolSessionData, window: Window, base: SessionBar) -> None:
    """A base bar behind the frontier has come or changed: make the derived bar that it is part of again."""
    interval, waiting = window.interval, window.waiting
    start_us = window.grid.start_of(base.start_us)
    if state.defers(data):
        if start_us == window.start_us:
            window.count += base.revision == 0
            window.is_stale = True
        _defer(state, data, window, start_us)
        return
    if start_us == window.start_us:
        made = window
        _refill(data, window)
    else:
        made = _aggregated(data, window, start_us)
    closed = data.derived[interval].find(start_us)
    if closed is None and made.count < made.expected and not _is_over(state, data, made.end_us):
        if start_us != window.start_us and start_us not in waiting:
            _wait(state, data, window, start_us)
        return
    if start_us in waiting:
        waiting.remove(start_us)
    if start_us == window.start_us:
        window.closed = True
    _close(state, data, interval, made.bar(0 if closed is None else closed.revision + 1), rewrites=True)


def _defer(state: SessionState, data: SymbolSessionData, window: Window, start_us: int) -> None:
    """A base bar of a backlog has changed what a window holds: make its bar now if that was the last one missing, else at the end."""
    grid = window.grid
    is_current = start_us == window.start_us
    count = window.count if is_current else data.bars.count(start_us, grid.end_of(start_us))
    closed = data.derived[window.interval].find(start_us)
    if count == grid.expected(start_us) and (closed is None or closed.base_count < count):
        _drop(window.waiting, start_us)
        _drop(window.outdated, start_us)
        window.closed = window.closed or is_current
        made = _aggregated(data, window, start_us)
        _close(state, data, window.interval, made.bar(0 if closed is None else closed.revision + 1), rewrites=True)
    elif closed is not None:
        _insert(window.outdated, start_us)
    elif not is_current:
        _insert(window.waiting, start_us)


def end_backlog(state: SessionState, data: SymbolSessionData) -> None:
    """The end of a symbol's backlog: make each derived bar that has waited for it, by (end, length).

    Windows that the frontier has not passed by `grace` go on waiting for their last bars.
    """
    if not state.defers(data):
        return
    for window in data.windows:
        if window.is_stale:
            _refill(data, window)
    passed_us = data.frontier_us - state.grace_us
    for end_us, _, window, start_us in _left_to_make(data):
        if end_us <= passed_us or start_us in window.outdated:
            _make_late(state, data, window, start_us, rewrites=True)
    state.next_close_us = 0


def end_day(state: SessionState, data: SymbolSessionData) -> None:
    """A symbol leaves its day: make every derived bar that has waited, with what is there."""
    for _, _, window, start_us in _left_to_make(data):
        _make_late(state, data, window, start_us)


def _left_to_make(data: SymbolSessionData) -> list[tuple[int, int, Window, int]]:
    left = [
        (window.grid.end_of(start_us), window.grid.width_us, window, start_us)
        for window in data.windows
        for start_us in (*open_windows(data, window), *window.outdated)
    ]
    return sorted(left, key=lambda entry: entry[:2])


def _make_late(state: SessionState, data: SymbolSessionData, window: Window, start_us: int, *, rewrites: bool = False) -> None:
    """Make a bar that has waited; one that was made before is made again if it has come out otherwise."""
    before = data.derived[window.interval].find(start_us)
    if before is None:
        close_window(state, data, window, start_us, rewrites=rewrites)
        return
    _drop(window.outdated, start_us)
    made = _aggregated(data, window, start_us)
    if made.bar(before.revision) != before:
        _close(state, data, window.interval, made.bar(before.revision + 1), rewrites=True)


def remake(derived: BarSeries, bars: BarSeries, base_start_us: int) -> SessionBar:
    """Make a derived bar of a day that is over again, after a base bar of it has come or changed."""
    start_us = derived.grid.start_of(base_start_us)
    before = derived.find(start_us)
    made = aggregate(derived.grid, start_us, bars.between(start_us, derived.grid.end_of(start_us)))
    bar = made.bar(0 if before is None else before.revision + 1)
    derived.put(bar)
    return bar


def _wait(state: SessionState, data: SymbolSessionData, window: Window, start_us: int) -> None:
    _insert(window.waiting, start_us)
    state.next_close_us = min(state.next_close_us, window.grid.end_of(start_us) + state.grace_us)


def _is_over(state: SessionState, data: SymbolSessionData, end_us: int) -> bool:
    """Whether a window with missing bars that ends at `end_us` has waited long enough."""
    due_us = end_us + state.grace_us
    return due_us <= data.frontier_us or (due_us <= state.now_us and not data.behind and not data.backlog)


def closes_us(state: SessionState, until_us: int) -> int:
    """When the clock closes a window next; `NEVER_DUE_US` when none before `until_us`."""
    if until_us < state.next_close_us:
        return NEVER_DUE_US
    found_us = state.next_close_us = NEVER_DUE_US
    for data in state.symbols.values():
        if data.status not in READING or state.defers(data):  # which are looked at again when their backlog is read
            continue
        for window in data.windows:
            for start_us in open_windows(data, window):
                due_us = window.grid.end_of(start_us) + state.grace_us
                state.next_close_us = min(state.next_close_us, due_us)
                if not data.behind and not data.backlog:
                    found_us = min(found_us, due_us)
    return found_us


def close_by_clock(state: SessionState) -> None:
    """Close the windows whose end is `grace` past by the clock, of symbols that are up to date: by (end, symbol, length)."""
    if state.now_us < state.next_close_us:
        return
    due: list[tuple[int, str, int, SymbolSessionData, Window, int]] = []
    state.next_close_us = NEVER_DUE_US
    for data in state.symbols.values():
        if data.status not in READING or state.defers(data):
            continue
        # One that is behind may catch up at any moment, so its windows are looked at again every time.
        blocked = data.behind or data.backlog
        for window in data.windows:
            for start_us in open_windows(data, window):
                due_us = window.grid.end_of(start_us) + state.grace_us
                if due_us <= state.now_us and not blocked:
                    due.append((window.grid.end_of(start_us), data.symbol, window.grid.width_us, data, window, start_us))
                else:
                    state.next_close_us = min(state.next_close_us, due_us)
    for _, _, _, data, window, start_us in sorted(due, key=lambda entry: entry[:3]):
        close_window(state, data, window, start_us)


def open_windows(data: SymbolSessionData, window: Window) -> list[int]:
    """Starts of the interval's windows that have base bars and no derived bar yet."""
    starts = list(window.waiting)
    if window.count and not window.closed:
        starts.append(window.start_us)
    return starts


def close_window(state: SessionState, data: SymbolSessionData, window: Window, start_us: int, *, rewrites: bool = False) -> None:
    """Close a window with what is there; `rewrites` says that its bar comes out of order."""
    if start_us == window.start_us:
        window.closed = True
    else:
        _drop(window.waiting, start_us)
    data.dirty = True
    _close(state, data, window.interval, _aggregated(data, window, start_us).bar(), rewrites=rewrites)


def _insert(starts: list[int], start_us: int) -> None:
    if not holds(starts, start_us):
        insort(starts, start_us)


def _drop(starts: list[int], start_us: int) -> None:
    if holds(starts, start_us):
        starts.remove(start_us)
