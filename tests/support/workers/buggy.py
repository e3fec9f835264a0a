"""The command line with a bug in the engine: it raises on a bar whose volume is `CURSED`, after it has taken it in, and on
quotes with such a bid and ticks of such a size, before it has.

    python -m tests.support.workers.buggy worker session.json

So the bug meets a bar when all of the state has changed by it, and what it changed has to be taken back. The bug is put
into this process alone: the product has no place for one.
"""

from __future__ import annotations

from streams.cli.main import main
from streams.engine.rules import bars, quotes
from streams.engine.state.session import SessionState
from streams.model.records import Bar, Quote, Tick
from streams.model.validation import Fault, fault_of_quote, fault_of_tick

CURSED = 666.0

_receive = bars.receive


def receive(state: SessionState, bar: Bar) -> None:
    """Take in a bar, and raise on a cursed one."""
    _receive(state, bar)
    if bar.volume == CURSED:
        raise ZeroDivisionError(f"the bar of {bar.symbol} is cursed")


def judge_quote(quote: Quote, now_us: int, tolerance_us: int, lowest_price: float) -> Fault | None:
    """Judge a quote, and raise on a cursed one."""
    if quote.bid == CURSED:
        raise ZeroDivisionError(f"the quote of {quote.symbol} is cursed")
    return fault_of_quote(quote, now_us, tolerance_us, lowest_price)


def judge_tick(tick: Tick, now_us: int, tolerance_us: int, lowest_price: float) -> Fault | None:
    """Judge a tick, and raise on a cursed one."""
    if tick.size == CURSED:
        raise ZeroDivisionError(f"the tick of {tick.symbol} is cursed")
    return fault_of_tick(tick, now_us, tolerance_us, lowest_price)


if __name__ == "__main__":
    bars.receive = receive
    quotes.fault_of_quote, quotes.fault_of_tick = judge_quote, judge_tick
    main()
