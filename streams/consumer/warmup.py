"""What a strategy can begin from: the protocol of a warm-up, and the snapshot that it gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from msgspec import Struct

from streams.config.settings import Settings
from streams.consumer.place import Position
from streams.times import Clock, interval_us
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent


class Wanted(Struct, frozen=True):
    """Which bars a strategy asks for; None stands for all. Markers of symbols that are not wanted are not handed over either."""

    symbols: frozenset[str] | None = None
    intervals: frozenset[str] | None = None

    @classmethod
    def of(cls, symbols: Collection[str] | None, intervals: Collection[str] | None) -> Wanted:
        """A choice from any collections of names.

        Raises:
            ValueError: an interval that is none, or one text where several names should be.
        """
        for name, given in (("symbols", symbols), ("intervals", intervals)):
            if isinstance(given, str):
                raise ValueError(f'{name} must be a collection such as ["{given}"], got the text {given!r}')
        for interval in intervals or ():
            interval_us(interval)
        return cls(None if symbols is None else frozenset(symbols), None if intervals is None else frozenset(intervals))

    def has(self, symbol: str | None, interval: str | None) -> bool:
        """Whether what is about a symbol and an interval is wanted; what is about neither always is."""
        return (symbol is None or self.symbols is None or symbol in self.symbols) and (
            interval is None or self.intervals is None or interval in self.intervals
        )


class Snapshot(Struct, frozen=True):
    """The bars of the day so far, each in its newest revision, as of a place on the analysis topic.

    `position` is the place from which reading goes on, and `active` the gate there. Where the bars were read one after another,
    `position` is that of the first, and `closes_at` the sequence that none of them is younger than.
    """

    position: Position
    bars: list[AnalysisEvent]
    active: bool
    closes_at: int = 0


class WarmUp(Protocol):
    """Where the bars of the day come from. `BarsTopic` and `HttpState` are two; a strategy may bring its own."""

    def snapshot(self, source: Source, wanted: Wanted) -> Snapshot:
        """The bars that are wanted, and where reading goes on.

        Raises:
            StreamsError: they can't be had; the message says why.
        """
        ...

    def stretch(self, source: Source, symbol: str, interval: str, start_us: int, end_us: int) -> list[AnalysisEvent]:
        """The bars of a symbol and interval within `[start_us, end_us)` as they are now; errors as for `snapshot`."""
        ...


class Source(Struct, frozen=True):
    """What a warm-up is told of the session that it is for."""

    settings: Settings
    codec: Codec
    clock: Clock


def in_order(bars: Iterable[AnalysisEvent]) -> list[AnalysisEvent]:
    """Bars in the order in which a session publishes them: by end, symbol and length of the interval."""
    return sorted(bars, key=_place)


def _place(event: AnalysisEvent) -> tuple[int, str, int]:
    return (event.bar.end_us if event.bar else 0, event.symbol or "", interval_us(event.interval or "1s"))
