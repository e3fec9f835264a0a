"""The window of an interval that `punctuation` tells next, as the state holds it."""

from __future__ import annotations

from streams.engine.state.slots import Slots
from streams.engine.state.symbol import SymbolSessionData
from streams.times import interval_us


class Wait:
    """The window of an interval that is told next. Nothing of it is stored: it follows from the end of the one before.

    `symbols` are those that should have its bar, from the last to the first. For as many of them as were looked at, and then passed,
    it is over: `present` of those have its bar, and `others` have to be asked.
    """

    __slots__ = ("awaited", "close_us", "end_us", "interval", "others", "present", "slots", "symbols", "width_us")

    def __init__(self, interval: str, symbols: list[SymbolSessionData]) -> None:
        self.interval = interval
        self.width_us = interval_us(interval)
        self.symbols = symbols
        self.awaited: SymbolSessionData | None = None
        self.slots: Slots | None = None
        self.close_us = self.end_us = self.present = 0
        self.others: list[SymbolSessionData] = []

    def not_passed(self) -> list[SymbolSessionData]:
        """The symbols that were not passed yet."""
        return self.symbols[self.present + len(self.others) :]
