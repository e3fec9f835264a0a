"""`python -m benchmarks [GROUP ...]`: measure all groups, or those that are named, and print one table."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.groups import GROUPS, ON_DEMAND
from benchmarks.measure import Plan, machine
from streams.times import SystemClock, iso


def main(arguments: list[str]) -> int:
    """Measure and print; exit code 2 for a group that is not there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, in alternation, and print one table of medians.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; by default all but {', '.join(ON_DEMAND)}")
    parser.add_argument("--rounds", type=int, default=Plan().rounds, help="how often each subject counts (default %(default)s)")
    parser.add_argument("--small", action="store_true", help="sizes at which figures mean nothing: to see that it runs")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the tables into their places in this document, docs/performance.md")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.groups if name not in GROUPS]
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    # SIGTERM ends it as Ctrl-C does, so that broker, worker and peers are ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(rounds=chosen.rounds, small=chosen.small)
    now_us = SystemClock().now_us()
    title = f"{iso(now_us - now_us % 1_000_000)}, {machine()}, median of {plan.rounds} rounds" + (
        ", SMALL: no figures" if plan.small else ""
    )
    rows = {}
    for name in chosen.groups or [name for name in GROUPS if name not in ON_DEMAND]:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows[name] = GROUPS[name](plan)
        if chosen.save:  # what is measured is kept, whatever becomes of the next group
            report.save(chosen.save, title, {name: rows[name]})
    every = [row for some in rows.values() for row in some]
    if chosen.markdown:
        print(report.markdown(title, every))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(report.table(title, every))
        print("\n".join(report.notes(every)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
