"""What reads of a session give: frozen, and all that a reader elsewhere needs of the engine."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from msgspec import Struct

from streams.model.records import Quote, SessionBar, Tick
from streams.model.status import SymbolStatus
from streams.times import from_us


class GapInfo(Struct, frozen=True):
    """A maximal run of `bar_count` missing bars within `[start_us, end_us)`; `retry_count` counts attempts to fill it."""

    start_us: int
    end_us: int
    bar_count: int
    retry_count: int = 0

    @property
    def start(self) -> datetime:
        """When the first missing bar opens; aware, UTC."""
        return from_us(self.start_us)

    @property
    def end(self) -> datetime:
        """When the last missing bar ends; aware, UTC."""
        return from_us(self.end_us)


class SessionMetrics(Struct, frozen=True):
    """The session's volume, high and low of a symbol over its base bars, and when it was changed last."""

    volume: float
    high: float | None
    low: float | None
    bar_count: int
    last_update: datetime | None


class QuotesSnapshot(Struct, frozen=True):
    """A symbol's quotes as they stand: the latest of `trading_date`, how many of it came, and how many since it was added.

    `as_of` is when the last one was taken in. `reason` says why none is read at present, where that is so.
    """

    latest: Quote | None
    count: int
    total: int
    as_of: datetime | None
    trading_date: date
    out_of_hours: int
    rejected: int
    reason: str | None


class TicksSnapshot(Struct, frozen=True):
    """A symbol's ticks as they stand; the fields are those of `QuotesSnapshot`."""

    latest: Tick | None
    count: int
    total: int
    as_of: datetime | None
    trading_date: date
    out_of_hours: int
    rejected: int
    reason: str | None


class SymbolSnapshot(Struct, frozen=True):
    """One symbol as it stands: who it is, how far it is, and what its bars come to.

    `lag_seconds` is that of its last check; `offset` the next record of its topic to read; `streams` what it streams besides bars.
    """

    symbol: str
    incarnation: int
    status: SymbolStatus
    is_loaded: bool
    reason: str | None
    base_interval: str
    derived_intervals: tuple[str, ...]
    trading_date: date
    topic_id: str
    offset: int
    lagging: bool
    lag_seconds: float
    silent: bool
    latest_bar: SessionBar | None
    metrics: SessionMetrics
    bars_updated: bool
    held_back: int
    quotes_updated: bool = False
    ticks_updated: bool = False
    streams: tuple[str, ...] = ()


class ExportPosition(NamedTuple):
    """The number of the export that was begun last, 0 for none, and whether it is under way."""

    number: int
    is_pending: bool
