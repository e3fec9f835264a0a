"""The command line with a bug in the engine: it raises on a bar whose volume is `CURSED`, after it has taken it in.

    python -m tests.support.buggy_worker worker session.json

So the bug meets a record when all of the state has changed by it, and what it changed has to be taken back. The bug is put
into this process alone: the product has no place for one.
"""

from __future__ import annotations

from streams.cli.main import main
from streams.engine import intake
from streams.engine.state import SessionState
from streams.records import Bar

CURSED = 666.0

_receive = intake.receive


def receive(state: SessionState, bar: Bar) -> None:
    """Take in a bar, and raise on a cursed one."""
    _receive(state, bar)
    if bar.volume == CURSED:
        raise ZeroDivisionError(f"the bar of {bar.symbol} is cursed")


if __name__ == "__main__":
    intake.receive = receive
    main()
