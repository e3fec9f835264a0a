"""The command line with a bug in the engine: it raises on a bar whose volume is `CURSED`, after it has taken it in, and on such a quote.

    python -m tests.support.buggy_worker worker session.json

So the bug meets a record when all of the state has changed by it, and what it changed has to be taken back. The bug is put
into this process alone: the product has no place for one.
"""

from __future__ import annotations

from streams.cli.main import main
from streams.engine import extras, intake
from streams.engine.state import SessionState
from streams.engine.validation import Fault
from streams.records import Bar, Quote

CURSED = 666.0

_receive = intake.receive
_fault_of_quote = extras.fault_of_quote


def receive(state: SessionState, bar: Bar) -> None:
    """Take in a bar, and raise on a cursed one."""
    _receive(state, bar)
    if bar.volume == CURSED:
        raise ZeroDivisionError(f"the bar of {bar.symbol} is cursed")


def fault_of_quote(quote: Quote, now_us: int, future_tolerance_us: int) -> Fault | None:
    """Judge a quote, and raise on a cursed one."""
    if quote.bid_size == CURSED:
        raise ZeroDivisionError(f"the quote of {quote.symbol} is cursed")
    return _fault_of_quote(quote, now_us, future_tolerance_us)


if __name__ == "__main__":
    intake.receive = receive
    extras.fault_of_quote = fault_of_quote
    main()
