"""A symbol's life: pending -> loaded -> removing -> gone, or failed at any step, the rest of the session untouched.

Adding: the command is accepted and the symbol is pending, with an incarnation of its own; a shell finds where its topic
is to be read from and says `loaded`. Removing: at once, or when its position has reached the end that a shell captured,
or at the deadline. What goes, goes whole: rows, blocks, counters, windows, and its runs are accounted for.

Every command is answered, `accepted` and then `completed` or `failed` with the reason; a repeated id is answered again
with the last answer and does nothing.
"""

from __future__ import annotations

from streams.config.sections import check_interval, extra_streams_of, intervals_of
from streams.engine.rules import (
    derived_bars,
    exports,
    gate,
    indicators,
    interval_complete,
    past_days,
    rollover,
)
from streams.engine.state.quotes import ExtraStream
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.engine.state.symbol import SymbolSessionData, SymbolStatus
from streams.errors import InvalidSymbolError
from streams.model.records import (
    AnalysisKind,
    CommandKind,
    ControlCommand,
    EventKind,
    RemovalPlan,
    Reply,
    ReplyStatus,
    SourcePosition,
    check_symbol,
)
from streams.model.rows import Row, command_key
from streams.times import DAY_US, interval_us

KEEP_COMMANDS_US = 7 * DAY_US


def run_command(state: SessionState, command: ControlCommand, plan: RemovalPlan | None) -> None:
    """Answer a command and begin what it asks for."""
    known = state.commands.get(command.id)
    if known is not None:
        state.outcomes.append(Reply(known.id, known.kind, known.symbol, ReplyStatus(known.status), known.reason))
        return
    refusal = _refusal_of(state, command)
    if refusal is not None:
        state.reply(command.id, command.kind, command.symbol, ReplyStatus.FAILED, refusal)
        state.tell(EventKind.COMMAND_REJECTED, reason=refusal, command=command.kind, id=command.id, subject=command.symbol)
        return
    state.reply(command.id, command.kind, command.symbol, ReplyStatus.ACCEPTED)
    match command.kind:
        case CommandKind.ADD_SYMBOL:
            _add(state, command)
        case CommandKind.REMOVE_SYMBOL:
            _remove(state, state.symbols[command.symbol], command, plan)
        case _:
            exports.run(state, command)


def _refusal_of(state: SessionState, command: ControlCommand) -> str | None:
    match command.kind:
        case CommandKind.ADD_SYMBOL:
            return _refusal_of_addition(state, command)
        case CommandKind.REMOVE_SYMBOL:
            return _refusal_of_removal(state, command)
        case CommandKind.BEGIN_EXPORT | CommandKind.END_EXPORT:
            return exports.refusal(state, command)
        case _:
            kinds = ", ".join(CommandKind)
            return f"there is no command {command.kind!r}; there are {kinds}"


def _refusal_of_addition(state: SessionState, command: ControlCommand) -> str | None:
    try:
        check_symbol(command.symbol)
        _intervals_of(state, command)
    except (InvalidSymbolError, ValueError) as error:
        return str(error)
    present = state.symbols.get(command.symbol)
    if present is not None and present.status is SymbolStatus.REMOVING:
        return f"{command.symbol} is being removed: add it again when it is gone, or remove it with immediate"
    if present is not None and present.status is not SymbolStatus.FAILED:
        return f"{command.symbol} is in the session already ({present.status})"
    limits = state.config.session_data_config
    if len(state.symbols) - (present is not None) >= limits.max_symbols:
        return f"the session has {len(state.symbols)} symbols, max_symbols is {limits.max_symbols}: remove one, or raise the limit"
    pending = sum(data.status is SymbolStatus.PENDING for data in state.symbols.values())
    if pending >= limits.max_pending:
        return f"{pending} symbols are being loaded, max_pending is {limits.max_pending}: wait for one of them"
    return None


def _intervals_of(state: SessionState, command: ControlCommand) -> tuple[str, tuple[str, ...]]:
    """Base and derived intervals of a symbol that is added: its own streams, and the config's derived intervals."""
    streams = tuple(check_interval(stream) for stream in intervals_of(command.streams))
    if not streams:
        return state.config.base_interval, state.config.derived_intervals
    base = min(streams, key=interval_us)
    for stream in streams:
        if interval_us(stream) % interval_us(base):
            raise ValueError(f"stream {stream} is not a whole multiple of the finest one, {base}")
    fitting = [name for name in state.config.derived_intervals if interval_us(name) % interval_us(base) == 0]
    derived = {name for name in (*streams, *fitting) if interval_us(name) > interval_us(base)}
    return base, tuple(sorted(derived, key=interval_us))


def _add(state: SessionState, command: ControlCommand) -> None:
    failed = state.symbols.get(command.symbol)
    if failed is not None:
        # Its runs were told when it failed; another config may since have made derived bars of what it holds.
        gate.flush_held_back(state, failed)
        _discard(state, failed)
    base, derived = _intervals_of(state, command)
    # A command that names quotes or ticks alone has the bars of the config besides.
    extra = extra_streams_of(command.streams) if command.streams else state.config.extra_streams
    data = begin_symbol(state, command.symbol, base, derived, extra, initial=False)
    data.dynamic = True
    data.command_id = command.id
    data.start_us = command.start_us
    data.must_exist = command.must_exist


def begin_symbol(
    state: SessionState, symbol: str, base: str, derived: tuple[str, ...], extra: tuple[str, ...], *, initial: bool
) -> SymbolSessionData:
    """Take a symbol in as pending, under a new incarnation."""
    data = SymbolSessionData(symbol, state.next_incarnation, base, derived, state.window_anchor)
    data.is_uneven = not state.calendar.is_even(data.base_us, data.anchor)
    state.next_incarnation += 1
    data.initial = initial
    data.added_us = state.now_us
    data.set_day(state.day())
    data.extras = {stream: ExtraStream(stream, data.day.days) for stream in extra}
    state.symbols[symbol] = data
    gate.apply_policy(state, data)
    state.tell(EventKind.SYMBOL_PENDING, data)
    return data


def symbol_loaded(state: SessionState, data: SymbolSessionData, position: SourcePosition) -> None:
    """The start position is fixed: the symbol is loaded, and what lies before the captured end is its backlog."""
    data.set_day(past_days.first_day(state, data))
    state.next_roll_us = state.next_quiet_us = 0
    data.status = SymbolStatus.LOADED
    data.topic_id = position.topic_id
    data.offset = position.offset
    data.backlog = position.end_offset > position.offset
    data.dirty = data.identity_changed = True
    data.reason = position.note
    indicators.outdate(state, data)
    past_days.tell_loaded(state, data)
    state.tell(EventKind.SYMBOL_LOADED, data, reason=position.note, offset=position.offset, end_offset=position.end_offset)
    # What is special about the source is told in the event and the reply: analysis is the same from every source of the same bars.
    state.mark(AnalysisKind.SYMBOL_ADDED, data, reason=position.note if state.rules < 2 else None)
    _complete(state, data, CommandKind.ADD_SYMBOL, position.note)
    if data.initial and data.backlog and not state.ever_active:
        gate.fall_behind(state, [data], "loading")
    gate.open_if_clear(state, "loaded")
    interval_complete.renew(state)


def symbol_failed(state: SessionState, data: SymbolSessionData, reason: str) -> None:
    """The symbol can't go on. It keeps its data until it is removed; the others do not wait for it. One that drains just goes."""
    if data.status is SymbolStatus.REMOVING:
        remove_symbol(state, data, f"it failed while it drained: {reason}")
        return
    if data.status is SymbolStatus.PENDING:
        past_days.forget(data)
    derived_bars.end_backlog(state, data)
    data.status = SymbolStatus.FAILED
    data.reason = reason
    data.dirty = data.identity_changed = True
    data.backlog = data.behind = False
    data.waiting = []
    gate.flush_held_back(state, data)
    state.mark(AnalysisKind.SYMBOL_FAILED, data, reason=reason)
    state.tell(EventKind.SYMBOL_FAILED, data, reason=reason)
    _answer_addition(state, data, reason)
    state.next_roll_us = 0
    gate.forget(state, data, "failed")
    rollover.roll_session(state)
    interval_complete.renew(state)


def _refusal_of_removal(state: SessionState, command: ControlCommand) -> str | None:
    present = state.symbols.get(command.symbol)
    if present is None:
        return f"{command.symbol} is not in the session"
    if present.status is SymbolStatus.REMOVING and not command.immediate:
        return f"{command.symbol} is being removed already: with immediate it goes at once"
    return None


def _remove(state: SessionState, data: SymbolSessionData, command: ControlCommand, plan: RemovalPlan | None) -> None:
    if data.status is SymbolStatus.REMOVING:
        _complete(state, data, CommandKind.REMOVE_SYMBOL, "removed at once by a later command")
    else:
        _answer_addition(state, data, f"{data.symbol} was removed before it was loaded")
    data.command_id = command.id
    if command.immediate or plan is None or data.status is not SymbolStatus.LOADED:
        remove_symbol(state, data, "immediate" if command.immediate else "removed")
        return
    data.status = SymbolStatus.REMOVING
    state.draining.add(data.symbol)
    data.removal_end_offset = plan.end_offset
    data.removal_deadline_us = plan.deadline_us
    data.dirty = data.identity_changed = True
    state.tell(EventKind.SYMBOL_REMOVING, data, end_offset=plan.end_offset, offset=data.offset)
    interval_complete.renew(state)
    remove_if_drained(state, data)


def remove_if_drained(state: SessionState, data: SymbolSessionData) -> None:
    """Let a removing symbol go once its position has reached the captured end and no bar waits, or its deadline has come."""
    if data.status is not SymbolStatus.REMOVING:
        return
    if _is_drained(data):
        remove_symbol(state, data, "drained")
    elif data.removal_deadline_us is not None and state.now_us >= data.removal_deadline_us:
        short = f"{data.removal_end_offset} was not reached, reading stood at {data.offset}"
        remove_symbol(state, data, f"deadline: {'bars still waited for their end' if _is_read(data) else short}")


def removal_us(state: SessionState) -> int:
    """When time lets a symbol that drains go next, at once where it has drained; `NEVER_DUE_US` without any."""
    draining = [state.symbols[symbol] for symbol in state.draining]
    if any(_is_drained(data) for data in draining):
        return state.now_us
    return min((data.removal_deadline_us for data in draining if data.removal_deadline_us is not None), default=NEVER_DUE_US)


def _is_read(data: SymbolSessionData) -> bool:
    return data.removal_end_offset is not None and data.offset >= data.removal_end_offset


def _is_drained(data: SymbolSessionData) -> bool:
    return _is_read(data) and not data.waiting


def remove_symbol(state: SessionState, data: SymbolSessionData, reason: str) -> None:
    """Remove the whole of a symbol: rows, blocks, counters, windows; its runs are accounted for."""
    derived_bars.end_backlog(state, data)
    gate.flush_held_back(state, data)
    state.mark(AnalysisKind.SYMBOL_REMOVED, data, reason=reason)
    dropped = {"waiting": len(data.waiting)} if data.waiting else {}
    state.tell(EventKind.SYMBOL_REMOVED, data, reason=reason, **dropped)
    _complete(state, data, CommandKind.REMOVE_SYMBOL, reason)
    _discard(state, data)
    state.next_roll_us = 0
    gate.forget(state, data, "removed")
    rollover.roll_session(state)
    interval_complete.renew(state)


def _discard(state: SessionState, data: SymbolSessionData) -> None:
    exports.tell_of_removal(state, data)
    state.removed_keys.update(data.all_keys())
    state.removed_keys.update(data.pending_blocks)
    state.revised.discard(data.symbol)
    state.draining.discard(data.symbol)
    del state.symbols[data.symbol]


def _complete(state: SessionState, data: SymbolSessionData, kind: CommandKind, note: str | None) -> None:
    if data.command_id is not None:
        state.reply(data.command_id, kind, data.symbol, ReplyStatus.COMPLETED, note)
        data.command_id = None


def _answer_addition(state: SessionState, data: SymbolSessionData, reason: str) -> None:
    """Say to the command that added the symbol, where it still waits, that nothing comes of it."""
    if data.command_id is not None:
        state.reply(data.command_id, CommandKind.ADD_SYMBOL, data.symbol, ReplyStatus.FAILED, reason)
        data.command_id = None


def forget_old_commands(state: SessionState) -> None:
    """Let go of answers that are older than seven days."""
    while state.commands:
        # Answers are kept in order of their time, so the first that is young enough ends the search.
        row = next(iter(state.commands.values()))
        if row.time_us >= state.now_us - KEEP_COMMANDS_US:
            break
        del state.commands[row.id]
        state.changed_commands[command_key(row.id)] = None


def command_rows(state: SessionState) -> dict[str, Row | None]:
    """The command rows that changed, by key."""
    rows, state.changed_commands = state.changed_commands, {}
    return rows
