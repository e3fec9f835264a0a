"""Exports of what is new: the commands that begin and end them, and the days that are kept for them.

`begin_export` freezes what no export has yet under the next number and says what that is; begun again before it is ended, it
gives the same number. An exporter reads the bars of that number from the state, writes them down, and sends `end_export`, which
moves the position. So an exporter that is stopped anywhere begins again, and comes to the same number.

The first export of a symbol begins with its trading day. What is not exported of a day when it rolls is in the next export;
`exports.keep_days` such days are kept besides the trailing ones, and what is let go of unexported is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from streams.engine.state.export_marks import Exports, SeriesKey, by_day_and_length
from streams.engine.state.series import BarSeries
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import CommandKind, ControlCommand, EventKind, ReplyStatus, SessionBar
from streams.times import date_of_days, iso

MOST_SERIES_TOLD: Final = 1_000
"""How many series an answer tells of, about a hundred bytes each: after years without an export there may be ten thousand."""


def refusal(state: SessionState, command: ControlCommand) -> str | None:
    """Why an export can't be begun or ended; None when it can."""
    data = state.symbols.get(command.symbol)
    if data is None:
        return f"{command.symbol} is not in the session"
    if command.kind == CommandKind.BEGIN_EXPORT:
        return None
    number = command.export_number
    if number is None:
        return "end_export needs export_number: the number that begin_export gave"
    if command.epoch not in (None, state.epoch):
        return f"export {number} is of epoch {command.epoch}, the session has begun anew since (epoch {state.epoch}): begin an export again"
    if command.incarnation not in (None, data.incarnation):
        return f"export {number} is of an earlier {command.symbol}, which has been removed and added again since: begin an export again"
    last = 0 if data.exports is None else data.exports.number
    if number == last and last:
        return None
    if number < last:
        return f"export {number} of {command.symbol} is over: the last one that was begun is {last}"
    return f"no export {number} of {command.symbol} was begun: " + (f"the last one is {last}" if last else "there was none yet")


def run(state: SessionState, command: ControlCommand) -> None:
    """Begin or end an export that is not refused, and answer."""
    data = state.symbols[command.symbol]
    if command.kind == CommandKind.BEGIN_EXPORT:
        _begin(data)
    elif data.exports is not None and data.exports.is_pending:
        _end(data, data.exports)
    state.reply(command.id, command.kind, command.symbol, ReplyStatus.COMPLETED, text=answer(state, data))


def _begin(data: SymbolSessionData) -> None:
    exports = data.exports
    if exports is None:
        exports = Exports()
    if not exports.is_pending:
        exports.begin(covered(data, exports))
    if exports.is_pending:
        data.exports = exports
        data.dirty = True


def _end(data: SymbolSessionData, exports: Exports) -> None:
    exports.end()
    data.dirty = True
    for days in [days for days, kept in exports.days.items() if not exports.lacks(days, kept)]:
        _forget_day(data, exports, days, exports.days.pop(days))


def covered(data: SymbolSessionData, exports: Exports) -> list[tuple[SeriesKey, BarSeries]]:
    """The series that exports are made of: all of the day, and of former days those that are followed; in order."""
    found = {(data.day.days, interval): series for interval, series in data.all_series()}
    for days, by_interval in (*data.historical.items(), *exports.days.items()):
        found.update({(days, interval): series for interval, series in by_interval.items() if (days, interval) in exports.done})
    return [(key, found[key]) for key in sorted(found, key=by_day_and_length)]


def answer(state: SessionState, data: SymbolSessionData) -> str:
    """What a command about exports is answered with, as JSON: number, whether it is under way, and what it holds by series."""
    exports = data.exports or Exports()
    keys = sorted(exports.pending, key=by_day_and_length)
    told_keys = keys[max(0, len(keys) - MOST_SERIES_TOLD) :]
    series = [
        {
            "interval": interval,
            "trading_date": date_of_days(days).isoformat(),
            "after": iso(done_us) if done_us >= 0 else None,
            "to": iso(exports.pending[days, interval].exported_to_us),
            "changed": len(exports.pending[days, interval].stretches),
        }
        for days, interval in told_keys
        for done_us in (exports.done[days, interval].exported_to_us,)
    ]
    told: dict[str, object] = {
        "epoch": state.epoch,
        "incarnation": data.incarnation,
        "number": exports.number,
        "is_pending": exports.is_pending,
        "series": series,
    }
    if len(keys) > len(told_keys):
        told["older_series"] = len(keys) - len(told_keys)
    return msgspec.json.encode(told).decode()


def new_bars(data: SymbolSessionData) -> Iterator[tuple[SeriesKey, Iterator[SessionBar]]]:
    """What the export under way holds, series by series: a day, an interval, and the bars as they are made."""
    exports = data.exports
    if exports is not None:
        for key, series in covered(data, exports):
            if key in exports.pending:
                yield key, exports.bars(key, series)


# ------------------------------------------------------------------------------------------------------ days


def leave_day(state: SessionState, data: SymbolSessionData) -> None:
    """The symbol's day is over: what is new of it stays so, but for intervals that the config has dropped."""
    exports, days = data.exports, data.day.days
    if exports is None:
        return
    exports.follow(days, (data.base_interval, *data.derived_intervals))
    lost = sum(exports.count_new((days, interval), series) for interval, series in data.retired.items())
    for interval in data.retired:
        exports.forget(days, interval)
    if lost:
        tell_lost(state, data, days, lost, "the config has dropped their interval")


def bring_back_days(data: SymbolSessionData) -> None:
    """Put the days that are kept for exports among the historical ones: `keep_day` takes out again which are not of them."""
    if data.exports is not None and data.exports.days:
        data.historical.update(data.exports.days)
        data.exports.days = {}


def let_day_go(data: SymbolSessionData, days: int, by_interval: dict[str, BarSeries]) -> None:
    """A day is no longer among the trailing ones: it is kept when an export lacks bars of it, else it goes, rows and all."""
    exports = data.exports
    if exports is not None and exports.lacks(days, by_interval):
        for interval in [interval for interval in by_interval if (days, interval) not in exports.done]:
            data.forget_blocks(days, interval, by_interval.pop(interval))
        exports.days[days] = by_interval
    else:
        _forget_day(data, exports, days, by_interval)


def trim_days(state: SessionState, data: SymbolSessionData) -> None:
    """Let go of the days beyond the newest `keep_days` of those that are kept for exports, and tell of it."""
    exports = data.exports
    if exports is None:
        return
    for days in sorted(exports.days)[: max(0, len(exports.days) - state.config.session_data_config.exports.keep_days)]:
        by_interval = exports.days.pop(days)
        lost = sum(exports.count_new((days, interval), series) for interval, series in by_interval.items())
        _forget_day(data, exports, days, by_interval)
        tell_lost(state, data, days, lost, "the day is over, and exports.keep_days are kept")


def forget_interval(data: SymbolSessionData, interval: str) -> None:
    """The config has dropped an interval: of days that are over it goes."""
    exports = data.exports
    if exports is None:
        return
    for days in {key[0] for key in exports.done} - {data.day.days}:
        exports.forget(days, interval)
    for days, by_interval in exports.days.items():
        if interval in by_interval:
            data.forget_blocks(days, interval, by_interval.pop(interval))


def tell_of_removal(state: SessionState, data: SymbolSessionData) -> None:
    """The symbol goes: say what exports have not had of it, once there were any."""
    exports = data.exports
    if exports is not None:
        for days in sorted({key[0] for key, _ in covered(data, exports)}):
            lost = sum(exports.count_new(key, series) for key, series in covered(data, exports) if key[0] == days)
            if lost:
                tell_lost(state, data, days, lost, "the symbol was removed")


def tell_lost(state: SessionState, data: SymbolSessionData, days: int, count: int, reason: str) -> None:
    """Say that bars are gone which no export has had."""
    state.tell(EventKind.EXPORT_LOST, data, reason=reason, trading_date=date_of_days(days), bars=count)


def _forget_day(data: SymbolSessionData, exports: Exports | None, days: int, by_interval: dict[str, BarSeries]) -> None:
    for interval, series in by_interval.items():
        data.forget_blocks(days, interval, series)
    if exports is not None:
        exports.forget(days)
