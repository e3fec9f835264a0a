"""A changed config at a start: symbols come and go as by command, policies hold at once, derived intervals are made again.

What would contradict bars that are already in the state is refused, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streams.config.session import SessionConfig
from streams.engine.rules import (
    bars_topic,
    exports,
    gate,
    indicators,
    interval_complete,
    lifecycle,
    past_days,
    quotes,
    rollover,
)
from streams.engine.rules.publish import RECONFIGURED, hold
from streams.engine.state.grid import Window, aggregate
from streams.engine.state.series import BarSeries
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import READING, SymbolSessionData, SymbolStatus
from streams.errors import ConfigConflictError
from streams.model.records import EXTRA_STREAMS, EventKind
from streams.times import interval_us

_FIXED = ("session_name", "mode", "exchange", "hours", "hours_overrides", "window_anchor")


def configure(state: SessionState, config: SessionConfig, config_json: str) -> None:
    """Go on under `config`, which is stored as `config_json`.

    Raises:
        ConfigConflictError: what can't change under a session that has state.
    """
    old = state.config
    for key in _FIXED:
        if getattr(old, key) != getattr(config, key):
            raise ConfigConflictError(
                f"{key} was {getattr(old, key)!r} when this session began and is {getattr(config, key)!r} in the config: it can't change "
                "under bars that are in the state. Put it back, or begin another session with a session_name of its own"
            )
    if config.base_interval != old.base_interval:
        raise ConfigConflictError(
            f"the base interval was {old.base_interval} when this session began and is {config.base_interval} in the config: put it back, "
            "add single symbols with streams of their own, or begin another session with a session_name of its own"
        )
    state.use(config, config_json)
    state.config_changed = True
    # Grace and intervals may differ: the next moment at which a window is due is looked up anew.
    state.next_close_us = state.next_roll_us = state.next_quiet_us = 0
    attributes: dict[str, object] = {"symbols": ",".join(config.symbols)}
    if state.rules >= 2:
        attributes["keys"] = ", ".join(changed_keys(old, config))
    state.tell(EventKind.CONFIG_CHANGED, None, reason=None, **attributes)
    _apply_symbols(state, old, config)
    for data in list(state.ordered()):
        gate.apply_policy(state, data)
        data.dirty = True
        rollover.trim_history(state, data)
        if old.derived_intervals != config.derived_intervals:
            _rederive(state, data, old, config)
        if old.extra_streams != config.extra_streams:
            dropped = set(old.extra_streams) - set(config.extra_streams)
            wanted = {*data.extras, *config.extra_streams} - dropped
            quotes.use(state, data, [stream for stream in EXTRA_STREAMS if stream in wanted])
        past_days.drop_others(data, past_days.kept_intervals(config, data))
        indicators.outdate(state, data)
    bars_topic.begin(state, was_on=old.session_data_config.bars_topic)
    gate.open_if_clear(state, "configured")
    interval_complete.renew(state)


def changed_keys(old: SessionConfig, new: SessionConfig) -> list[str]:
    """The keys of the config whose values differ, by their paths, in order."""
    return sorted(_differing("", msgspec.json.decode(old.to_json()), msgspec.json.decode(new.to_json())))


def _differing(path: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old.keys() | new.keys():
            yield from _differing(f"{path}.{name}" if path else name, old.get(name), new.get(name))
    elif old != new:
        yield path


def _apply_symbols(state: SessionState, old: SessionConfig, config: SessionConfig) -> None:
    for symbol in old.symbols:
        data = state.symbols.get(symbol)
        if symbol not in config.symbols and data is not None and not data.dynamic:
            # What its backlog has left to make is judged by the config that removes it.
            data.threshold_us = config.threshold_us(symbol)
            lifecycle.remove_symbol(state, data, "no longer in the config")
    for symbol in config.symbols:
        if symbol not in old.symbols and symbol not in state.symbols:
            lifecycle.begin_symbol(state, symbol, config.base_interval, config.derived_intervals, config.extra_streams, initial=False)


def _rederive(state: SessionState, data: SymbolSessionData, old: SessionConfig, config: SessionConfig) -> None:
    """Drop the intervals that the config no longer has, and compute new ones from the day's base bars."""
    dropped = frozenset(old.derived_intervals) - frozenset(config.derived_intervals)
    fitting = {name for name in config.derived_intervals if interval_us(name) > data.base_us and interval_us(name) % data.base_us == 0}
    wanted = tuple(sorted((set(data.derived_intervals) - dropped) | fitting, key=interval_us))
    if wanted == data.derived_intervals:
        return
    gone = [interval for interval in data.derived_intervals if interval not in wanted]
    gate.flush_held_back(state, data, frozenset(gone))
    for interval in gone:
        _retire(data, interval)
    kept_windows = {window.interval: window for window in data.windows}
    data.derived_intervals = wanted
    data.identity_changed = True
    data.derived = {interval: data.derived[interval] if interval in data.derived else _revived(data, interval) for interval in wanted}
    data.windows = [kept_windows[interval] if interval in kept_windows else data.new_window(interval) for interval in wanted]
    if data.status in READING or data.status is SymbolStatus.FAILED:
        for window in data.windows:
            if window.interval not in kept_windows:
                _make(state, data, window)


def _retire(data: SymbolSessionData, interval: str) -> None:
    """Take an interval out. Its bars of the day stay in the rows: each of them is accounted for, and may not be again as a first one."""
    data.retired[interval] = data.derived.pop(interval)
    exports.forget_interval(data, interval)


def _revived(data: SymbolSessionData, interval: str) -> BarSeries:
    retired = data.retired.pop(interval, None)
    return data.new_series(interval) if retired is None else retired


def _make(state: SessionState, data: SymbolSessionData, window: Window) -> None:
    """Bring the series of an interval that is new, or is back, up to the day's base bars; the frontier's window may stay open."""
    series = data.derived[window.interval]
    starts = sorted({window.grid.start_of(bar.start_us) for bar in data.bars})
    for start_us in starts:
        made = aggregate(window.grid, start_us, data.bars.between(start_us, window.grid.end_of(start_us)))
        before = series.find(start_us)
        if start_us == starts[-1]:
            window.begin(start_us)
            for base in data.bars.between(start_us, window.end_us):
                window.add(base)
            if before is None and made.count < made.expected:
                break
            window.closed = True
        if before is None or made.bar(before.revision) != before:
            bar = made.bar(0 if before is None else before.revision + 1)
            series.put(bar)
            if data.exports is not None:
                data.exports.note(data.day.days, window.interval, bar)
            hold(state, data, window.interval, bar, RECONFIGURED)
