"""The whole worker on a real broker of this machine: a backlog of bars of 100 symbols, exactly once, in bars a second.

The worker's clock is set to the day of the bars. Published: the gate is open and the threshold is a day, since of a backlog of
one-minute bars a clock alone can make but one bar of each symbol fresh; so each bar goes to analysis, with its 5m and 15m
bars. Gated: the usual threshold, so that all is held back. Bars come in runs (topic after topic, as a backlog does) or interleaved over
the symbols (as they come live).
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.desk import DAY_MINUTES, SYMBOLS, Work
from benchmarks.kafka import broker
from benchmarks.measure import Better, Plan, Row, Target, at_least, compared, first_better_by_no_more_than, rounds_of, row_of
from benchmarks.ours import Drain, drain
from benchmarks.peer import cpu_note

PUBLISHED_TARGET: Final = 70_000
GATED_TARGET: Final = 90_000
INTERLEAVED_SHARE: Final = 0.75
SMALL_MINUTES: Final = 90


def rows(plan: Plan) -> list[Row]:
    """Bars a second through the whole worker."""
    minutes = SMALL_MINUTES if plan.small else DAY_MINUTES
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as name, broker(plan) as servers:
        subjects = {
            (published, interleaved): partial(
                drain, Path(name), servers, Work("S", SYMBOLS, minutes), published=published, interleaved=interleaved
            )
            for published in (True, False)
            for interleaved in (False, True)
        }  # fmt: skip
        drains = rounds_of(subjects, plan.rounds, warm_up=False)
    made = []
    for published, target in ((True, PUBLISHED_TARGET), (False, GATED_TARGET)):
        group = f"worker drains {SYMBOLS} topics, " + ("bar, 5m and 15m published" if published else "gated, all held back")
        made += compared(
            [
                _row(group, "bars in runs", drains[published, False], target=at_least(target)),
                _row(
                    group,
                    "bars interleaved over symbols",
                    drains[published, True],
                    target=first_better_by_no_more_than(1 / INTERLEAVED_SHARE),
                ),
            ]
        )
    return made


def _row(group: str, subject: str, drains: list[Drain], *, target: Target) -> Row:
    symbols = statistics.median(one.symbols_per_transaction for one in drains)
    return row_of(
        group,
        subject,
        "bars/s",
        [one.pace.per_second for one in drains],
        better=Better.HIGHER,
        targets=[target],
        note=f"{symbols:.0f} symbols in a transaction, {cpu_note([one.pace for one in drains])}",
    )
