"""The rows that a transaction writes: what changed, and what is deleted of that which was let go of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from streams.engine.rules import lifecycle
from streams.engine.state.session import SessionState, by_symbol
from streams.model.rows import CONFIG_KEY, SESSION_KEY, ConfigRow, Row, is_block_key

MOST_DELETIONS: Final = 10_000
"""How many blocks of bars one transaction deletes. A day that is over leaves hundreds for each symbol, of one-second bars ten
thousand, and all symbols may leave it in one transaction, which has a time to keep to and a queue to fit into."""


def changed_rows(state: SessionState, written: Mapping[str, Row]) -> dict[str, Row | None]:
    """The rows that differ from those written before, None for a deleted one; the state's marks of change are taken off."""
    rows = lifecycle.command_rows(state)
    touched = [data for data in state.symbols.values() if data.dirty or data.pending_blocks]
    for data in sorted(touched, key=by_symbol):
        if data.pending_blocks:
            state.removed_keys.update(data.take_forgotten())
        rows.update(data.changed_rows(written))
    if state.streamed:
        for symbol in sorted(state.streamed & state.symbols.keys()):
            rows.update(state.symbols[symbol].changed_extras())
        state.streamed = set()
    if state.removed_keys or state.doomed:
        _delete(state, written, rows)
    if state.config_changed:
        rows[CONFIG_KEY] = ConfigRow(state.config_json, state.calendar_text)
        state.config_changed = False
    rows[SESSION_KEY] = state.session_row()
    return rows


def _delete(state: SessionState, written: Mapping[str, Row], rows: dict[str, Row | None]) -> None:
    """Delete what was let go of: a symbol's identity at once, its blocks and those of former days in the order of their keys.

    What is left for later transactions is known by the rows alone, so that a restored session goes on with it.
    """
    gone = {key for key in state.removed_keys if key in written and key not in rows}
    state.removed_keys = set()
    blocks = {key for key in gone if is_block_key(key)}
    if blocks:
        state.doomed = sorted({*state.doomed, *blocks})
    doomed = state.doomed
    for key in rows if doomed else ():  # a symbol that was added again has written some of them anew
        place = bisect_left(doomed, key)
        if place < len(doomed) and doomed[place] == key:
            del doomed[place]
    # Under another config other days and intervals belong to the session: what is left then would be taken for such.
    count = len(doomed) if state.config_changed else MOST_DELETIONS
    rows.update(dict.fromkeys((*sorted(gone - blocks), *doomed[:count])))
    state.doomed = doomed[count:]
