"""Rows as people read them: a table in the terminal, tables in Markdown, and a document that keeps the newest of each group.

A document marks each group's place with a comment, `<!-- figures: NAME -->` to `<!-- end of NAME -->`; saving replaces what
stands between them and nothing else. A group that has no place yet gets one at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.measure import Better, Row, Target

HEADINGS = ("what", "subject", "median", "low to high", "first is better by", "target")


def table(title: str, rows: Sequence[Row]) -> Table:
    """All rows in one table for the terminal."""
    made = Table(*HEADINGS, title=title)
    for row in rows:
        made.add_row(*_cells(row))
    return made


def markdown(title: str, rows: Sequence[Row]) -> str:
    """Rows as a table in Markdown, with the notes below."""
    lines = [title, "", f"| {' | '.join(HEADINGS)} |", "|---|---|---:|---:|---:|---|"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in _cells(row))} |" for row in rows]
    told = notes(rows)
    return "\n".join([*lines, *([""] if told else []), *told])


def notes(rows: Sequence[Row]) -> list[str]:
    """What there is to say of some rows, a line each."""
    return [f"- {row.group}, {row.subject}: {row.note}" for row in rows if row.note]


def save(document: Path, title: str, rows: Mapping[str, Sequence[Row]]) -> None:
    """Put the groups' tables into their places in a document."""
    text = document.read_text(encoding="utf-8") if document.exists() else ""
    for group, some in rows.items():
        begin, end = f"<!-- figures: {group} -->", f"<!-- end of {group} -->"
        block = f"{begin}\n{markdown(title, some)}\n{end}"
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = (
            place.sub(lambda _, block=block: block, text) if place.search(text) else f"{text.rstrip()}\n\n## {group}\n\n{block}\n".lstrip()
        )
    document.write_text(text, encoding="utf-8")


def _cells(row: Row) -> tuple[str, ...]:
    factor = "" if row.factor is None else f"{row.factor:.2f}x"
    targets = "; ".join(f"{_target(row, target)}: {'met' if row.meets(target) else 'NOT MET'}" for target in row.targets)
    return row.group, row.subject, f"{_number(row.value)} {row.unit}", f"{_number(row.low)} to {_number(row.high)}", factor, targets


def _target(row: Row, target: Target) -> str:
    sign = "at least" if target.better is Better.HIGHER else "at most"
    return f"first {sign} {target.bound:,.4g}x" if target.of_factor else f"{sign} {_number(target.bound)} {row.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"
