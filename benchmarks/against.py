"""This version beside another one of a git worktree: processor time of both, in alternation, as one table.

    git worktree add /tmp/before 746c4a9 && make -C /tmp/before .venv/.runs
    .venv/bin/python -m benchmarks.against /tmp/before --rounds 10 [--save docs/performance.md]

Each figure is of a process of its own (`benchmarks.cases`), which runs with its version's own environment. Processor time, since what
else the machine does shows least in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.measure import Better, Row, first_better_by, in_turn, machine
from streams.times import SystemClock, iso

HERE: Final = Path(__file__).resolve().parent
NAMES: Final = {
    "replay-minutes": ("replay, 100 symbols, one-minute bars", "us/bar"),
    "replay-seconds": ("replay, 5 symbols, one-second bars", "us/bar"),
    "fresh": ("decode, engine, encode: 20 bars of each symbol a transaction", "us/bar"),
    "stale": ("decode, engine, encode: as above, a stale backlog", "us/bar"),
    "live": ("decode, engine, encode: a bar of each symbol a transaction", "us/bar"),
    "start": ("start of a replay, up to its first step", "ms"),
}
SHARE: Final = 1 / 1.05
"""This version may take a twentieth more."""


def rows(other: Path, rounds: int, cases: list[str]) -> list[Row]:
    """Both versions, this one first."""
    made: list[Row] = []
    for case in cases:
        group, unit = NAMES[case]
        name = f"at {_commit(other)}"
        subjects = {"this version": partial(measured, HERE.parent, case), name: partial(measured, other, case)}
        made += in_turn(group, unit, subjects, rounds, better=Better.LOWER, targets={name: [first_better_by(SHARE)]})
    return made


def measured(tree: Path, case: str, *, python: Path | None = None) -> float:
    """The figure of one process, of the tree's own environment unless `python` says which; raises CalledProcessError when it fails."""
    # As installed: bytecode is kept, and sets of texts have the same order each time.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONHASHSEED": "0"}
    command = [str(python or tree / ".venv/bin/python"), str(HERE / "cases.py"), case]
    return float(subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _commit(tree: Path) -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=tree, check=True, stdout=subprocess.PIPE, text=True)
    return found.stdout.strip()


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description="Measure this version beside another one.")
    parser.add_argument("tree", type=Path, help="a worktree of the other version, with its .venv")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(NAMES)}; by default all")
    parser.add_argument("--rounds", type=int, default=10, help="how often each version counts (default %(default)s)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the table into its place in this document, docs/performance.md")
    chosen = parser.parse_args(arguments)
    if unknown := [case for case in chosen.cases if case not in NAMES]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    now_us = SystemClock().now_us()
    title = f"{iso(now_us - now_us % 1_000_000)}, {machine()}, median of {chosen.rounds} rounds, processor time"
    found = rows(chosen.tree.resolve(), chosen.rounds, chosen.cases or list(NAMES))
    if chosen.save:
        report.save(chosen.save, title, {"against": found})
    print(report.markdown(title, found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
