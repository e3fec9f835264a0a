"""The state from its rows: what was stored is taken over, what can be computed from it is computed again.

Rows of a former incarnation and of days that are no longer kept, which a transaction has left for later ones to delete, are
dropped and queued for deletion. Blocks stay as columns: only the open windows' base bars are made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from streams.calendar.trading import TradingCalendar
from streams.config.session import SessionConfig
from streams.engine.rules import gate, past_days, waiting_bars
from streams.engine.state.export_marks import Exports
from streams.engine.state.grid import Grid
from streams.engine.state.quotes import ExtraStream
from streams.engine.state.series import BarSeries
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import NEVER_US, SymbolSessionData, SymbolStatus
from streams.errors import StateError
from streams.model.records import Bar
from streams.model.rows import (
    CONFIG_KEY,
    SESSION_KEY,
    BlockRow,
    CommandRow,
    ConfigRow,
    ExportRow,
    IndicatorsRow,
    ProgressRow,
    QualityRow,
    Row,
    SessionRow,
    StreamRow,
    SymbolRow,
    WaitingRow,
    block_key,
    export_key,
    indicators_key,
    progress_key,
    quality_key,
)
from streams.model.rules_version import check_known


def restore_state(rows: Mapping[str, Row], like: SessionState | None = None) -> SessionState:
    """The state that the rows were taken from; the calendar of `like` serves again where the config is the same.

    Raises:
        StateError: the rows are not those of one session.
    """
    session, config_row = rows.get(SESSION_KEY), rows.get(CONFIG_KEY)
    if not isinstance(session, SessionRow) or not isinstance(config_row, ConfigRow):
        raise StateError(f"the tables hold {len(rows)} rows but no session row with a config: they are not those of a session")
    config = SessionConfig.from_json(config_row.config_json)
    state = SessionState(
        config, _calendar_of(config, config_row.calendar, like), config_json=config_row.config_json, calendar_text=config_row.calendar
    )
    state.epoch, state.transaction, state.sequence = session.epoch, session.transaction, session.sequence
    state.now_us, state.days, state.owner, state.owner_url = session.now_us, session.trading_days, session.owner, session.owner_url
    state.active, state.ever_active, state.gate_reason = session.active, session.ever_active, session.gate_reason
    state.next_incarnation = session.next_incarnation
    state.control_offset, state.control_topic_id = session.control_offset, session.control_topic_id
    state.measured_us = session.measured_us
    state.clock_reason, state.clock_behind_us = session.clock_reason, session.clock_behind_us
    state.unchecked_us, state.unchecked_reason = session.unchecked_us, session.unchecked_reason
    state.rules = check_known(session.rules, f"the state of session {session.session}")
    state.opened_rules = check_known(session.opened_rules, f"the epoch of session {session.session}")

    commands = [row for row in rows.values() if isinstance(row, CommandRow)]
    state.commands = {row.id: row for row in sorted(commands, key=lambda row: (row.time_us, row.id))}
    blocks: dict[str, list[BlockRow]] = defaultdict(list)
    for key, row in rows.items():
        if isinstance(row, BlockRow):
            owner = rows.get(f"symbol|{row.symbol}")
            if isinstance(owner, SymbolRow) and owner.incarnation == row.incarnation:
                blocks[row.symbol].append(row)
            else:
                state.removed_keys.add(key)
    for row in rows.values():
        if isinstance(row, SymbolRow):
            progress = rows.get(progress_key(row.symbol))
            if not isinstance(progress, ProgressRow) or progress.incarnation != row.incarnation:
                raise StateError(f"{row.symbol} (incarnation {row.incarnation}) has no progress row of its incarnation")
            exports = _restored_exports(state, row, rows.get(export_key(row.symbol)))
            data = _restore_symbol(state, row, progress, blocks[row.symbol], exports)
            data.extras = {stream: _restore_extra(data, stream, rows) for stream in row.streams}
            data.indicators = _restored_indicators(row, rows.get(indicators_key(row.symbol)))
            state.symbols[row.symbol] = data
            quality = rows.get(quality_key(row.symbol))
            if isinstance(quality, QualityRow):
                _restore_quality(state, data, quality)
            if data.lagging:
                state.lagging.add(row.symbol)
            if data.silent:
                state.silent.add(row.symbol)
            if data.status is SymbolStatus.REMOVING:
                state.draining.add(row.symbol)
    state.completed = {row.interval: row.end_us for row in session.completed}
    state.unfilled = {symbol for symbol, data in state.symbols.items() if data.unfilled}
    waiting_bars.set_alarm(state)
    return state


def _calendar_of(config: SessionConfig, stored: str, like: SessionState | None) -> TradingCalendar:
    if like is not None and like.calendar_text == stored and (stored or like.config == config):
        return like.calendar
    return TradingCalendar.from_text(stored) if stored else config.calendar()


def _restored_indicators(symbol: SymbolRow, row: Row | None) -> IndicatorsRow | None:
    return row if isinstance(row, IndicatorsRow) and row.incarnation == symbol.incarnation else None


def _restored_exports(state: SessionState, symbol: SymbolRow, row: Row | None) -> Exports | None:
    if not isinstance(row, ExportRow):
        return None
    if row.incarnation == symbol.incarnation:
        return Exports.restored(row)
    state.removed_keys.add(export_key(row.symbol))
    return None


def _restore_symbol(
    state: SessionState, row: SymbolRow, progress: ProgressRow, blocks: list[BlockRow], exports: Exports | None
) -> SymbolSessionData:
    data = SymbolSessionData(row.symbol, row.incarnation, row.base_interval, row.derived_intervals, state.window_anchor)
    data.is_uneven = not state.calendar.is_even(data.base_us, data.anchor)
    data.exports = exports
    data.status = SymbolStatus(row.status)
    data.initial, data.dynamic, data.must_exist = row.initial, row.dynamic, row.must_exist
    data.reason, data.command_id, data.start_us, data.added_us = row.reason, row.command_id, row.start_us, row.added_us
    data.topic_id = row.topic_id
    data.removal_end_offset, data.removal_deadline_us = row.removal_end_offset, row.removal_deadline_us

    day = state.calendar.day_on(progress.trading_days)
    if day is None:
        raise StateError(f"{row.symbol} stands at day {progress.trading_days} since 1970, on which {state.config.exchange} does not trade")
    data.set_day(day)
    _restore_progress(data, progress)
    gate.apply_policy(state, data)
    _restore_bars(state, data, progress, blocks)
    _restore_windows(data, progress)
    data.dirty = data.identity_changed = data.quality_changed = False
    return data


def _restore_extra(data: SymbolSessionData, stream: str, rows: Mapping[str, Row]) -> ExtraStream:
    row = rows.get(data.extra_key(stream))
    if not isinstance(row, StreamRow) or row.incarnation != data.incarnation:
        raise StateError(f"{data.symbol} (incarnation {data.incarnation}) has no row of its {stream}")
    return ExtraStream.restored(row)


def _restore_progress(data: SymbolSessionData, row: ProgressRow) -> None:
    data.offset, data.checks = row.offset, row.checks
    data.lagging, data.behind, data.backlog, data.silent = row.lagging, row.behind, row.backlog, row.silent
    data.lag_us, data.last_stale_us, data.last_update_us = row.lag_us, row.last_stale_us, row.last_update_us
    data.frontier_us, data.bars_updated = row.frontier_us, row.bars_updated
    data.session_volume, data.session_high, data.session_low = row.session_volume, row.session_high, row.session_low
    data.consecutive_errors = row.consecutive_errors
    counts = data.counts
    counts.accepted, counts.published, counts.held_back = row.accepted, row.published, row.held_back
    counts.late, counts.corrected, counts.duplicates = row.late, row.corrected, row.duplicates
    counts.out_of_hours, counts.other_interval, counts.other_day = row.out_of_hours, row.other_interval, row.other_day
    counts.rejected, counts.engine_errors, counts.forming = row.rejected, row.engine_errors, row.forming
    data.unfilled = row.unfilled
    counts.unknown_fields, counts.unknown_names = row.unknown_fields, row.unknown_names
    data.waiting = [_restored_bar(data, bar) for bar in row.waiting]
    data.runs.restore(row.runs)


def _restored_bar(data: SymbolSessionData, row: WaitingRow) -> Bar:
    return Bar(
        data.symbol, data.base_interval, row.start_us, row.end_us, row.open, row.high, row.low, row.close, row.volume,
        row.vwap, row.trades, row.provenance,
    )  # fmt: skip


def _restore_quality(state: SessionState, data: SymbolSessionData, row: QualityRow) -> None:
    if row.incarnation != data.incarnation or row.trading_days != data.day.days:
        state.removed_keys.add(quality_key(data.symbol))
        return
    data.told = {told.interval: told for told in row.told}
    data.told_us, data.attempts, data.empty = row.told_us, row.attempts, row.empty


def _restore_bars(state: SessionState, data: SymbolSessionData, progress: ProgressRow, blocks: list[BlockRow]) -> None:
    by_series: dict[tuple[int, str], list[BlockRow]] = defaultdict(list)
    # One that is pending has no day of its own yet: all that it holds are past days.
    today = NEVER_US if data.status is SymbolStatus.PENDING else data.day.days
    intervals = past_days.kept_intervals(state.config, data)
    former = sorted({row.trading_days for row in blocks if row.interval in intervals} - {today})
    kept = former[max(0, len(former) - state.config.session_data_config.historical.trailing_days) :]
    for row in blocks:
        is_followed = data.exports is not None and (row.trading_days, row.interval) in data.exports.done
        if row.trading_days == today or (row.interval in intervals and (row.trading_days in kept or is_followed)):
            by_series[row.trading_days, row.interval].append(row)
        else:
            state.removed_keys.add(block_key(row.symbol, row.interval, row.trading_days, row.index))
    for (days, interval), rows in by_series.items():
        ordered = [row.bars for row in sorted(rows, key=lambda row: row.index)]
        if days != today:
            day = state.calendar.day_on(days)
            if day is not None:
                of_days = data.historical if days in kept or data.exports is None else data.exports.days
                of_days.setdefault(days, {})[interval] = past_days.restored_series(data, day, interval, ordered)
            continue
        series = data.series(interval)
        if series is None:
            series = data.retired[interval] = BarSeries(Grid(data.day, interval, data.base_interval, data.anchor), is_base=False)
        series.restore_blocks(ordered)
    data.bars.restore_tail(progress.tail)
    last = data.bars.last()
    data.last_start_us = NEVER_US if last is None else last.start_us


def _restore_windows(data: SymbolSessionData, progress: ProgressRow) -> None:
    """The window of the newest base bar, and those before it that still lack bars."""
    if data.last_start_us == NEVER_US:
        return
    outdated: dict[str, list[int]] = defaultdict(list)
    for row in progress.outdated:
        outdated[row.interval].append(row.open_since_us)
    open_since = {row.interval: row.open_since_us for row in progress.windows}
    for window in data.windows:
        window.begin(window.grid.start_of(data.last_start_us))
        for bar in data.bars.between(window.start_us, window.end_us):
            window.add(bar)
        derived = data.derived[window.interval]
        window.closed = derived.find(window.start_us) is not None
        window.outdated = outdated[window.interval]
        since_us = open_since.get(window.interval, NEVER_US)
        if since_us == NEVER_US:
            continue
        starts = {window.grid.start_of(bar.start_us) for bar in data.bars.between(since_us, window.start_us)}
        window.waiting = sorted(start for start in starts if derived.find(start) is None)
