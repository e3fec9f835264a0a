"""Where a replay's bars come from, and quotes and ticks where it has them: one stream of records each, opened at an instant.

A source answers one question, `open(symbol, interval, from_us)`, and the stream that it gives is lazy, in the order of the
symbol's topic or files, and the same however it is fetched or cut into files. Offsets rise and need not be contiguous. What
a source lacks is a `HistoryError`, which fails that symbol alone; what ends the replay (no broker) is any other error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from streams.errors import HistoryError
from streams.model.records import Bar, Quote, Tick, Undecodable, known_us


class Read(NamedTuple):
    """A record with its offset, when its message says that it was sent (None where nothing says so), and names of unknown fields."""

    offset: int
    record: Bar | Quote | Tick | Undecodable
    sent_us: int | None = None
    unknown: tuple[str, ...] = ()


KnownWhen = Callable[[Bar | Quote | Tick], int | None]
"""The instant at which a record is known; None for one that does not matter."""


def _nothing() -> None:
    """Closes what needs no closing."""


class OpenedTopic(Struct, frozen=True):
    """A symbol's records from a place on.

    `offset` is the place: no record before it is given, and the first may lie behind it. `note` says in words what was
    special about it. `close` lets go of what reading needs; it may be called before the end, and twice.
    """

    topic_id: str
    offset: int
    records: Iterator[Read]
    note: str | None = None
    close: Callable[[], None] = _nothing


class BarSource(Protocol):
    """Gives symbols' records."""

    def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
        """The symbol's records, beginning with the first that ends after `from_us`; all that follow it, in their order.

        Args:
            symbol: whose.
            interval: the symbol's base interval, for a source that keeps several apart.
            from_us: an instant.

        Raises:
            HistoryError: the source has nothing of this symbol; its iterator raises it where reading can't go on.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@runtime_checkable
class ExtraSource(Protocol):
    """Gives quotes and ticks besides."""

    def open_extra(self, symbol: str, stream: str, from_us: int) -> OpenedTopic:
        """The symbol's `quotes` or `ticks`, beginning with the first whose time is after `from_us`; errors as for bars."""
        ...


@runtime_checkable
class JudgedSource(Protocol):
    """Judges the place at which a symbol's bars begin by the bars that stand around it."""

    def judge_by(self, symbol: str, interval: str, known: KnownWhen) -> None:
        """Take `known` for when a bar of the symbol and interval is known: on its day it may end before its own end says so."""
        ...


class MemorySource:
    """Bars that are in memory already, by symbol, in the order in which a topic would hold them; `extras` by symbol and stream."""

    def __init__(
        self,
        records: Mapping[str, Sequence[Bar | Undecodable]],
        extras: Mapping[tuple[str, str], Sequence[Quote | Tick | Undecodable]] | None = None,
    ) -> None:
        self._records = records
        self._extras = extras or {}

    def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
        """As `BarSource.open`; the offset is the place in the sequence.

        Raises:
            HistoryError: there is no such symbol.
        """
        records = self._records.get(symbol)
        if records is None:
            present = ", ".join(sorted(self._records)) or "no symbol"
            raise HistoryError(f"there are no bars of {symbol}: there are those of {present}", reason=no_bars(symbol, interval))
        return _opened(records, from_us)

    def open_extra(self, symbol: str, stream: str, from_us: int) -> OpenedTopic:
        """As `ExtraSource.open_extra`.

        Raises:
            HistoryError: the symbol has no such stream.
        """
        records = self._extras.get((symbol, stream))
        if records is None:
            raise HistoryError(no_extras(symbol, stream))
        return _opened(records, from_us)

    def close(self) -> None:
        """Nothing is held."""


def ends_us_of(record: Bar | Quote | Tick | Undecodable) -> int:
    """When a record is known; 0 for what is none."""
    return 0 if isinstance(record, Undecodable) else known_us(record)


def no_bars(symbol: str, interval: str) -> str:
    """What records say where a source has no such bars: the same for every source, whatever else it has."""
    return f"there are no {interval} bars of {symbol}"


def no_extras(symbol: str, stream: str) -> str:
    """What records say where a source has no quotes or ticks of a symbol."""
    return f"there are no {stream} of {symbol}"


def _opened(records: Sequence[Bar | Quote | Tick | Undecodable], from_us: int) -> OpenedTopic:
    first = next((place for place, one in enumerate(records) if ends_us_of(one) > from_us), len(records))
    return OpenedTopic("memory", first, iter([Read(place, records[place]) for place in range(first, len(records))]))
