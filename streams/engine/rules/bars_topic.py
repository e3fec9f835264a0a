"""Fill the ungated topic from the state, once the config turns it on for a session that has bars.

Whoever warms up from `<session>.bars` takes what is there for the whole day. So when `bars_topic` is turned on, each symbol's bars of the
day, base and derived, go there as they are, as held-back bars, and all later ones follow as they come. That takes several
transactions where there are many bars: a transaction has a time limit. Which symbols are left is in their rows, so a restart goes on.
"""

from __future__ import annotations

from typing import Final

from streams.engine.rules.publish import held_back_bar
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import NEVER_US, SymbolSessionData
from streams.model.records import EventKind

MOST_BARS: Final = 30_000
"""How many bars a transaction may have sent before it leaves further symbols to the next one: less than a second of work."""


def begin(state: SessionState, *, was_on: bool) -> None:
    """The config has been put in place: leave all bars of the day to be sent, if it has turned the topic on."""
    if state.rules < 2:
        return
    is_on = state.tells_held_back
    if is_on and was_on:
        return
    for data in state.symbols.values():
        data.unfilled = is_on and data.last_start_us != NEVER_US
    state.unfilled = {data.symbol for data in state.symbols.values() if data.unfilled}


def fill(state: SessionState) -> None:
    """At the end of a transaction: send the bars of the next symbols, by name, at least of one."""
    sent = 0
    for symbol in sorted(state.unfilled):
        if sent >= MOST_BARS:
            break
        state.unfilled.discard(symbol)
        data = state.symbols.get(symbol)
        if data is not None and data.unfilled:
            sent += _send(state, data)


def _send(state: SessionState, data: SymbolSessionData) -> int:
    """Send a symbol's bars of the day, the base first; returns how many."""
    data.unfilled = False
    data.dirty = True
    sent = 0
    for interval in (data.base_interval, *data.derived_intervals):
        for bar in data.series(interval) or ():
            state.outcomes.append(held_back_bar(state, data, interval, bar))
            sent += 1
    state.tell(EventKind.BARS_TOPIC_FILLED, data, bars=sent)
    return sent
