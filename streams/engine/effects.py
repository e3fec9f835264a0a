"""What time alone brings: at which instant next, and one after the other.

A bar that waits ends, a window closes by the clock, a wait for `interval_complete` is over, a day rolls, trading ends for a silent symbol,
the deadline of a removal comes. `pass_time` goes through these instants in order and does at each what is due there, so that one leap
of the clock comes to the same state and the same bars as many small steps between the same inputs. What a leap emits is emitted at its
end, though: bars that are stale by then are held back (`SessionState.ahead_us`), and `interval_complete` passes over what nobody waits
for any more.

    next_us(state, until_us)     # the next of these instants; a replay's clock stops there
    pass_time(state, now_us)     # time has come to `now_us`

To know the next instant costs next to nothing while it lies beyond `until_us`: each rule keeps a bound before which it has nothing to do,
and looks at its symbols only once the bound is reached. Old answers to commands are forgotten without an instant of their own: nothing
shows it until a command comes, and time passes before each.
"""

from __future__ import annotations

from typing import Final

from streams.engine.rules import (
    bars,
    derived_bars,
    gate,
    interval_complete,
    lifecycle,
    rollover,
    waiting_bars,
)
from streams.engine.state.session import NEVER_DUE_US, SessionState
from streams.errors import EngineError
from streams.times import iso

MOST_ROUNDS: Final = 100_000
"""How often something may be due at one instant: a symbol may leave all days of a calendar at once. More is a rule that does not end."""


def next_us(state: SessionState, until_us: int, *, with_completes: bool = True) -> int:
    """The next instant up to `until_us` at which time alone changes something; `NEVER_DUE_US` when it is later or there is none.

    One at or before `now` is due at once: an input has made it so. Without `with_completes` what is said of windows alone is left out.
    """
    if not (state.silent or state.draining) and until_us < min(
        state.next_waiting_us, state.next_close_us, state.next_complete_us, state.next_roll_us
    ):
        return NEVER_DUE_US  # as before most inputs: no rule has come to its bound
    found = min(
        waiting_bars.ends_us(state, until_us),
        gate.silence_ends_us(state),
        derived_bars.closes_us(state, until_us),
        interval_complete.completes_us(state, until_us) if with_completes else NEVER_DUE_US,
        rollover.rolls_us(state, until_us),
        lifecycle.removal_us(state),
    )
    return found if found <= until_us else NEVER_DUE_US


def pass_time(state: SessionState, now_us: int, emitted_us: int) -> None:
    """Time has come to `now_us`: do what is due by then, each at its instant, in a transaction whose time is `emitted_us`."""
    now_us = max(now_us, state.now_us)
    rounds = 0
    while (due_us := next_us(state, now_us)) <= now_us:
        rounds = 0 if due_us > state.now_us else rounds + 1
        if rounds > MOST_ROUNDS:
            raise EngineError(f"what is due at {iso(due_us)} stays due: time does not pass {iso(state.now_us)}")
        state.now_us = max(due_us, state.now_us)
        state.ahead_us = max(0, emitted_us - state.now_us)
        _do_due(state)
    state.now_us, state.ahead_us = now_us, 0
    lifecycle.forget_old_commands(state)


def leap(state: SessionState, now_us: int) -> None:
    """As `pass_time` by the first rules: all that is due is done at `now_us`, and days are left for today's."""
    state.now_us = max(now_us, state.now_us)
    _do_due(state)
    lifecycle.forget_old_commands(state)


def _do_due(state: SessionState) -> None:
    for _, symbol in waiting_bars.due(state, state.now_us):
        bars.take_waiting(state, state.symbols[symbol])
    gate.end_silence(state)
    derived_bars.close_by_clock(state)
    interval_complete.tell_by_clock(state)
    rollover.roll_by_clock(state)
    for symbol in sorted(state.draining):
        lifecycle.remove_if_drained(state, state.symbols[symbol])
