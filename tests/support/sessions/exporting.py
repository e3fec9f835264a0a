"""An exporter at a desk: begins exports of what is new, takes what they hold, and can be stopped between any two steps."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from streams.engine.rules import exports
from streams.model.records import Outcome, SessionBar
from tests.support.engine import Desk, replies

Version = tuple[int, str, int]
"""Trading day, interval and start of a bar."""


def answer_of(outcomes: list[Outcome]) -> dict[str, Any]:
    """What the last reply gave."""
    text = replies(outcomes)[-1].text
    assert text is not None, replies(outcomes)
    decoded: dict[str, Any] = msgspec.json.decode(text)
    return decoded


def new_bars(desk: Desk, symbol: str) -> dict[Version, SessionBar]:
    """What the export under way holds."""
    found = {}
    for (days, interval), bars in exports.new_bars(desk.data(symbol)):
        for bar in bars:
            assert (days, interval, bar.start_us) not in found, "a bar stands twice in one export"
            found[days, interval, bar.start_us] = bar
    return found


class Exporter:
    """One who exports a symbol. `files` are what was written, by number: one that is there is left as it is."""

    def __init__(self, desk: Desk, symbol: str) -> None:
        self.desk = desk
        self.symbol = symbol
        self.files: dict[int, dict[Version, SessionBar]] = {}
        self.number: int | None = None

    def begin(self) -> None:
        """The first step."""
        told = answer_of(self.desk.command("begin_export", self.symbol))
        self.number = told["number"] if told["is_pending"] else None

    def write(self) -> None:
        """The second step, from what is there by now."""
        if self.number is not None:
            self.files.setdefault(self.number, new_bars(self.desk, self.symbol))

    def end(self) -> None:
        """The last step."""
        if self.number is not None:
            incarnation = self.desk.data(self.symbol).incarnation
            self.desk.command("end_export", self.symbol, export_number=self.number, incarnation=incarnation, epoch=1)

    def export(self) -> dict[Version, SessionBar]:
        """All of it; what is new, or nothing."""
        self.begin()
        self.write()
        self.end()
        return {} if self.number is None else self.files[self.number]

    def newest(self) -> dict[Version, SessionBar]:
        """All files one after another: the last version of each bar, which is newer than those before it."""
        found: dict[Version, SessionBar] = {}
        for number in sorted(self.files):
            for version, bar in self.files[number].items():
                before = found.get(version)
                assert before is None or bar.revision > before.revision, f"export {number} repeats {bar}"
                found[version] = bar
        return found

    def intervals(self) -> Counter[str]:
        """How many bars of each interval are in the files."""
        return Counter(interval for file in self.files.values() for _, interval, _ in file)
