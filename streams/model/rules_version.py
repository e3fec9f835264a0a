"""The rules version: which generation of the engine's rules a session runs under.

A journal must verify with the software that reads it, also when another version wrote it. So where a rule gives other outcomes,
rows or state for the same inputs than it used to, the old rule stays for sessions that still run under it:

    if state.rules >= 2: ...      # else as in version 1

Each journal record carries the version that its transaction ran under. A worker runs its first transaction, and every one after it,
under the newest version it has; a re-drive runs each transaction under the version of its record. What must not change while a
session's state lives, such as where its windows lie, goes by `state.opened_rules`: the version under which the epoch was opened.

    version   since     what changed
    1         0.1.0     records and rows that name no version are of it
    2         0.2.0     bars wait until their end; windows count as missing after their grace;
                        a leap of the clock does what many small steps do, so days roll one by one;
                        an addition that takes no time skips no interval_complete;
                        quality counts a last bar that the close cuts;
                        clock windows follow the exchange's clock; indicators are seeded by math.fsum;
                        dead letters say where a schema id stands that is not before the value;
                        symbol_added says nothing of the source;
                        an ungated topic that is turned on gets the day's bars;
                        a backlog makes each derived bar that lacks base bars once, at its end;
                        unknown fields of bars, quotes, and ticks are ignored and counted, not refused (each name is reported once);
                        config_changed names each key; symbol_lagging gives no lag before a first bar;
                        prices of zero are refused where prices below zero are
"""

from __future__ import annotations

from typing import Final

from streams.errors import StateError

FIRST_RULES: Final = 1
RULES: Final = 2


def check_known(rules: int, where: str) -> int:
    """The version, if this software has its rules.

    Args:
        rules: a rules version.
        where: what carries it, for the message.

    Raises:
        StateError: it was written by a newer version of the software.
    """
    if not FIRST_RULES <= rules <= RULES:
        raise StateError(
            f"{where} runs under rules version {rules}, and this version of streams has rules {FIRST_RULES} to {RULES}: "
            "use the version of streams that wrote it, or a newer one"
        )
    return rules
