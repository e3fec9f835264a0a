"""Counts columns of files that hold nothing a record has, so that a misspelled `vwapp` does not vanish without a word.

A session counts unknown fields of messages (`streams.engine.rules.source_position`); this is the same for
files, where the reader meets them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

MOST_NAMES: Final = 100
"""So many names are kept: lines of JSON may each have fields of their own."""


class UnknownColumns:
    """Names of columns that are not read, each with the number of records that have it.

    Args:
        on_first: called once, with the names in the first record that has any.

    Attributes:
        records: how many records have such a column.
        counts: records by name of the column, for the first hundred names.
    """

    def __init__(self, on_first: Callable[[Sequence[str]], object] | None = None) -> None:
        self.records = 0
        self.counts: dict[str, int] = {}
        self._on_first = on_first

    def add(self, names: Sequence[str]) -> None:
        """Count a record that has these columns; without any, nothing is counted."""
        if not names:
            return
        if not self.records and self._on_first is not None:
            self._on_first(names)
        self.records += 1
        for name in names:
            if name in self.counts or len(self.counts) < MOST_NAMES:
                self.counts[name] = self.counts.get(name, 0) + 1
