"""Answers over HTTP as a client reads them; a later worker may say more, which is passed over."""

from __future__ import annotations

from datetime import date, datetime

from msgspec import Struct

from streams.model.records import Quote, SessionBar, Tick
from streams.model.status import SymbolStatus
from streams.model.views import QuotesSnapshot, SessionMetrics, SymbolSnapshot, TicksSnapshot
from streams.times import to_us


class Place(Struct, frozen=True):
    """The committed state that an answer is of.

    A consumer of the analysis topic goes on at `analysis_offset`: what comes there, the answer does not know of. `committed_seconds` is
    how long before the answer the worker's last transaction was committed, by the worker's clock; 0 from workers of former versions.
    """

    session: str
    epoch: int
    sequence: int
    analysis_offset: int
    now: datetime
    active: bool
    committed_seconds: float = 0.0


class BarFields(Struct):
    """A bar."""

    start: datetime
    end: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    trades: int | None
    base_count: int
    expected_count: int
    revision: int
    complete: bool
    provenance: str

    def record(self) -> SessionBar:
        """The bar as a read in process gives it."""
        return SessionBar(
            to_us(self.start), to_us(self.end), self.open, self.high, self.low, self.close, self.volume, self.vwap, self.trades,
            self.base_count, self.expected_count, self.revision, self.complete, self.provenance,
        )  # fmt: skip


class PlacedFields(Struct):
    """Any answer of a committed state."""

    as_of: Place | None = None


class LaggingFields(Struct):
    """A symbol that keeps the gate shut."""

    symbol: str
    lag_seconds: float


class SessionFields(Struct):
    """The session."""

    as_of: Place
    trading_date: date | None
    gate_reason: str | None
    lagging: list[LaggingFields]
    active_symbols: list[str]
    loaded_symbols: list[str]
    pending_symbols: list[str]
    symbols_with_derived: list[str]


class SymbolFields(Struct):
    """A symbol."""

    symbol: str
    incarnation: int
    status: str
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
    latest_bar: BarFields | None
    metrics: SessionMetrics
    bars_updated: bool
    held_back: int
    quotes_updated: bool = False
    ticks_updated: bool = False
    streams: tuple[str, ...] = ()

    def snapshot(self) -> SymbolSnapshot:
        """The symbol as a read in process gives it."""
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        latest = None if self.latest_bar is None else self.latest_bar.record()
        return SymbolSnapshot(**own | {"status": SymbolStatus(self.status), "latest_bar": latest})


class ExportFields(Struct):
    """How far exports have come."""

    number: int
    is_pending: bool


class OneSymbolFields(Struct):
    """An answer about a symbol."""

    as_of: Place
    symbol: SymbolFields | None
    export: ExportFields | None = None


class BarsFields(Struct):
    """A page of bars."""

    as_of: Place
    bars: list[BarFields]
    next: str | None
    bar_count: int = 0


class LatestFields(Struct):
    """The newest bar."""

    as_of: Place
    bar: BarFields | None


class IntervalQualityFields(Struct):
    """How complete one interval is."""

    interval: str
    quality: float | None


class QualityFields(Struct):
    """How complete a symbol is."""

    as_of: Place
    intervals: list[IntervalQualityFields]


class GapFields(Struct):
    """A gap."""

    start: datetime
    end: datetime
    bar_count: int
    retry_count: int


class GapsFields(Struct):
    """A page of gaps."""

    as_of: Place
    gaps: list[GapFields]
    next: str | None


class MetricsFields(Struct):
    """What the day comes to."""

    as_of: Place
    metrics: SessionMetrics | None


class FaultFields(Struct):
    """What was wrong."""

    code: str
    message: str


class RefusalFields(Struct):
    """An error."""

    error: FaultFields


class QuoteFields(Struct):
    """A quote."""

    time: datetime
    bid: float | None
    ask: float | None
    bid_size: float | None
    ask_size: float | None
    provenance: str


class TickFields(Struct):
    """A tick."""

    time: datetime
    price: float
    size: float
    provenance: str


class StreamFields(Struct):
    """What quotes and ticks come to, each."""

    count: int
    total: int
    last_update: datetime | None
    trading_date: date
    out_of_hours: int
    rejected: int
    reason: str | None


class QuotesFields(StreamFields, kw_only=True):
    """A symbol's quotes."""

    latest: QuoteFields | None


class TicksFields(StreamFields, kw_only=True):
    """A symbol's ticks."""

    latest: TickFields | None


class OfQuotesFields(Struct):
    """An answer about quotes."""

    symbol: str
    quotes: QuotesFields | None

    def snapshot(self) -> QuotesSnapshot | None:
        """The quotes as a read in process gives them."""
        found = self.quotes
        if found is None:
            return None
        one = found.latest
        if one is None:
            return QuotesSnapshot(None, *_figures(found))
        latest = Quote(self.symbol, to_us(one.time), one.bid, one.ask, one.bid_size, one.ask_size, one.provenance)
        return QuotesSnapshot(latest, *_figures(found))


class OfTicksFields(Struct):
    """An answer about ticks."""

    symbol: str
    ticks: TicksFields | None

    def snapshot(self) -> TicksSnapshot | None:
        """The ticks as a read in process gives them."""
        found = self.ticks
        if found is None:
            return None
        one = found.latest
        latest = None if one is None else Tick(self.symbol, to_us(one.time), one.price, one.size, one.provenance)
        return TicksSnapshot(latest, *_figures(found))


class IndicatorsFields(Struct):
    """An answer about indicators."""

    indicators: dict[str, float | None]


def _figures(found: StreamFields) -> tuple[int, int, datetime | None, date, int, int, str | None]:
    return found.count, found.total, found.last_update, found.trading_date, found.out_of_hours, found.rejected, found.reason
