"""`interval_complete`: tell consumers of analysis that nobody's bar of a window is awaited any more.

A window of an interval is over for a symbol when it has its bar, when its frontier has gone beyond it, or when it stands on a
later day; of a derived interval when the frontier is `grace` beyond. It is told once it is over for every loaded symbol that has
the interval, or once the clock is `grace` past its end. A symbol that is reading what it missed is waited for longer, up to the
smallest threshold, since what it reads may be fresh. A day's windows are told before the first symbol leaves it.

Told is in order, each window once, and only of windows that end while the gate is open. One that ended longer ago than twice
the smallest threshold is passed over: nobody waits for it any more.

Of all symbols that a window is not over for, one is `awaited`: a bar of any other costs a look at that flag. Symbols are
looked at from the last to the first, each once a window, so with the bars of one end in order of symbol the last one comes last.
"""

from __future__ import annotations

from streams.calendar.trading import TradingDay
from streams.engine.state.grid import Grid
from streams.engine.state.open_windows import Wait
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.slots import Slots
from streams.engine.state.symbol import SymbolSessionData, SymbolStatus
from streams.model.records import AnalysisKind, IntervalComplete
from streams.times import interval_us


def opened(state: SessionState) -> None:
    """The gate has opened: windows that end from now on are told."""
    # Where it was shut by an addition that took no time, bars that end now are still to come, and nobody has been told of them.
    state.completed = {interval: max(end_us, state.now_us - 1) for interval, end_us in state.completed_before.items()}
    renew(state)


def shut(state: SessionState) -> None:
    """The gate has shut: nothing is told."""
    if state.rules >= 2:
        state.completed_before = state.completed
    state.completed = {}
    _forget(state)


def go_on(state: SessionState) -> None:
    """Wait behind the windows that were told, in a state that was restored. Without any the gate was shut, or a former version told none.

    A state that is only read need not: with some of the symbols it would take windows of all for complete.
    """
    if state.completed:
        renew(state)


def renew(state: SessionState) -> None:
    """Wait for the symbols and intervals that there are now; windows that are over with them are told."""
    _forget(state)
    intervals = state.config.completed_intervals if state.active else ()
    state.completed = {interval: state.completed.get(interval, state.now_us) for interval in intervals}
    if intervals:
        loaded = [data for data in state.ordered() if data.status is SymbolStatus.LOADED]
        loaded.reverse()
        for interval in intervals:
            wait = Wait(interval, [data for data in loaded if interval == data.base_interval or interval in data.derived])
            state.waits.append(wait)
            _begin(state, wait)
        for wait in state.waits:
            _go_on(state, wait)
        _set_alarm(state)


def _forget(state: SessionState) -> None:
    for wait in state.waits:
        if wait.awaited is not None:
            wait.awaited.awaited = False
    state.waits = []
    state.next_complete_us = NEVER_DUE_US


def arrived(state: SessionState, data: SymbolSessionData) -> None:
    """The awaited symbol has taken in a bar."""
    data.awaited = False
    for wait in state.waits:
        if wait.awaited is data:
            _go_on(state, wait)
    _set_alarm(state)


def completes_us(state: SessionState, until_us: int) -> int:
    """When the clock tells a window next; `NEVER_DUE_US` when none before `until_us`."""
    if until_us < state.next_complete_us:
        return NEVER_DUE_US
    patience_us = max(state.grace_us, state.config.smallest_threshold_us)
    return min(
        (wait.end_us + (patience_us if _waits_for_backlog(state, wait) else state.grace_us) for wait in state.waits), default=NEVER_DUE_US
    )


def tell_by_clock(state: SessionState) -> None:
    """Tell the windows that have been waited for long enough, by end, shortest first."""
    if state.now_us < state.next_complete_us:
        return
    while due := [wait for wait in state.waits if wait.end_us + state.grace_us <= state.now_us and not _is_patient(state, wait)]:
        wait = min(due, key=lambda wait: wait.end_us)
        _wait_no_longer(state, wait)
        _go_on(state, wait)
    for wait in state.waits:  # the clock may just have closed the window of the one that is awaited, while another is waited for
        if wait.awaited is not None and _is_over(state, wait.awaited, wait):
            wait.awaited.awaited = False
            _go_on(state, wait)
    _mark_awaited(state)
    _set_alarm(state)


def end_day(state: SessionState, next_open_us: int) -> None:
    """A symbol leaves its day for one that opens then: the windows before that are told while its bars are there."""
    for wait in state.waits:
        while wait.end_us <= next_open_us:
            _wait_no_longer(state, wait)
        _go_on(state, wait)
    _set_alarm(state)


def _set_alarm(state: SessionState) -> None:
    state.next_complete_us = min((wait.end_us + state.grace_us for wait in state.waits), default=NEVER_DUE_US)


def _is_patient(state: SessionState, wait: Wait) -> bool:
    """Whether a symbol without the bar is reading what it missed, and may still have it in time."""
    return state.now_us < wait.end_us + state.config.smallest_threshold_us and _waits_for_backlog(state, wait)


def _waits_for_backlog(state: SessionState, wait: Wait) -> bool:
    return any(data.backlog and data.gates and not _is_over(state, data, wait) for data in wait.not_passed())


def _begin(state: SessionState, wait: Wait) -> None:
    """Stand before the next window, with nobody looked at yet."""
    after_us = state.completed[wait.interval]
    if wait.slots is None or after_us >= wait.close_us:
        if not state.calendar.covers(after_us):
            wait.end_us = NEVER_DUE_US
            return
        day = state.calendar.day_at_or_after(after_us)
        wait.slots, wait.close_us = _slots(state, wait, day), day.close_us
    wait.end_us = wait.slots.end_of(wait.slots.ended(after_us))
    wait.present, wait.others = 0, []


def _wait_no_longer(state: SessionState, wait: Wait) -> None:
    """Tell the window as it is, and stand before the next one."""
    if wait.end_us < _passed_us(state):
        _pass_over(state, wait)
    _tell(state, wait)
    _begin(state, wait)


def _passed_us(state: SessionState) -> int:
    """The windows that have ended before this instant are passed over."""
    return state.now_us + state.ahead_us - 2 * state.config.smallest_threshold_us


def _pass_over(state: SessionState, wait: Wait) -> None:
    """Stand at the last window that is passed over, at once: there may be a hundred thousand of them."""
    last_us, calendar = _passed_us(state) - 1, state.calendar
    if not calendar.covers(last_us):
        return
    day = calendar.day_at_or_after(last_us)
    slots = _slots(state, wait, day)
    ended = slots.ended(last_us)
    wait.end_us = max(wait.end_us, slots.end_of(ended - 1) if ended else calendar.previous_day(day.days).close_us)


def _slots(state: SessionState, wait: Wait, day: TradingDay) -> Slots:
    base = min(state.config.base_interval, wait.interval, key=interval_us)
    return Slots(Grid(day, wait.interval, base, state.window_anchor))


def _go_on(state: SessionState, wait: Wait) -> None:
    """Find the next symbol that the window is not over for; without one it is told, and the next one is looked at."""
    wait.awaited = None
    while wait.symbols and wait.end_us < NEVER_DUE_US:
        end_us, width_us, present = wait.end_us, wait.width_us, wait.present
        for data in wait.not_passed():
            if data.frontier_us == end_us and data.base_us == width_us:
                present += 1
            elif _is_over(state, data, wait):
                wait.others.append(data)
            else:
                data.awaited = True
                wait.awaited, wait.present = data, present
                return
        wait.present = present
        _tell(state, wait)
        _begin(state, wait)


def _is_over(state: SessionState, data: SymbolSessionData, wait: Wait) -> bool:
    end_us = wait.end_us
    if data.open_us >= end_us:
        return True
    if data.base_us == wait.width_us:
        return data.frontier_us >= end_us
    if state.defers(data) and data.is_left_open(wait.interval, end_us):
        return False  # its bar comes at the end of the backlog
    newest = data.derived[wait.interval].last()
    return data.frontier_us >= end_us + state.grace_us or (newest is not None and newest.end_us >= end_us)


def _mark_awaited(state: SessionState) -> None:
    """One that no wait is for any more may be awaited by another."""
    for wait in state.waits:
        if wait.awaited is not None:
            wait.awaited.awaited = True


def _has(data: SymbolSessionData, wait: Wait) -> bool:
    """Whether the bar that ends with the window is there."""
    series = data.series(wait.interval)
    if series is None or not data.open_us < wait.end_us <= data.close_us or data.frontier_us < wait.end_us - wait.width_us:
        return False
    return series.find(series.grid.start_of(wait.end_us - 1)) is not None


def _tell(state: SessionState, wait: Wait) -> None:
    end_us, interval = wait.end_us, wait.interval
    state.completed[interval] = end_us
    if wait.awaited is not None:
        wait.awaited.awaited = False
        wait.awaited = None
        _mark_awaited(state)
    if not wait.symbols or _passed_us(state) > end_us:
        return
    absent = sorted(data.symbol for data in (*wait.others, *wait.not_passed()) if not _has(data, wait))
    expected = len(wait.symbols)
    complete = IntervalComplete(end_us, expected, expected - len(absent), tuple(absent))
    state.mark(AnalysisKind.INTERVAL_COMPLETE, interval=interval, interval_complete=complete)
