"""`python -m benchmarks [engine] [wire] [drain]`: all groups, or those that are named, in one table."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from benchmarks import drain, engine, wire
from benchmarks.measure import machine

GROUPS = {"engine": engine.rows, "wire": wire.rows, "drain": drain.rows}


def main(names: list[str]) -> int:
    """Measure and print; exit code 2 for a group that is not there."""
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    table = Table("what", "subject", "median", "low to high", "ratio", title=machine())
    for name in names or GROUPS:
        for row in GROUPS[name]():
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            table.add_row(row.group, row.subject, f"{row.value:,.2f} {row.unit}", f"{row.low:,.2f} to {row.high:,.2f}", ratio)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
