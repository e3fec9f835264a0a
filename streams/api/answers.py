"""What the API answers with. The OpenAPI document is made from these: each field says what it is, and in what unit.

Instants are ISO 8601 in UTC, prices in currency, volumes and sizes in units of the instrument. Each answer says what it is as
of; while the session is inactive an answer to anybody without the read token has nothing else in it.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from streams.api.problems import Refusal
from streams.api.reader import AsOf
from streams.model.records import SessionBar
from streams.model.views import GapInfo, QuotesSnapshot, SessionMetrics, SymbolSnapshot, TicksSnapshot
from streams.times import from_us


class Answer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The root of all that is sent."""


class Place(Answer, frozen=True):
    """The committed state that an answer is of, and where a consumer of the analysis topic goes on after it."""

    session: Annotated[str, Meta(description="Name of the session.", examples=["main"])]
    epoch: Annotated[int, Meta(description="How often the session's state was begun anew under this name, from 1.", ge=1)]
    sequence: Annotated[int, Meta(description="Number of the last analysis record that the answer knows of, in this epoch.", ge=0)]
    analysis_offset: Annotated[
        int, Meta(description="Offset on the analysis topic from which to read on: what comes there the answer does not know of.", ge=0)
    ]
    now: Annotated[datetime, Meta(description="The session's time.", examples=["2013-10-07T14:45:00Z"])]
    active: Annotated[bool, Meta(description="Whether the gate was open.")]
    committed_seconds: Annotated[
        float,
        Meta(description="Seconds since the worker's last commit: one at most while the gate is open and all is well.", ge=0),
    ]


class Read(Answer, frozen=True):
    """An answer to a read."""

    as_of: Place
    session_active: Annotated[
        bool, Meta(description="Whether the gate was open. While it is not, only a read with `internal=true` says more than this.")
    ]


class BarView(Answer, frozen=True):
    """One bar, base or derived; it covers `[start, end)` and is known at its end."""

    start: Annotated[datetime, Meta(description="Its first instant.", examples=["2013-10-07T14:30:00Z"])]
    end: Annotated[datetime, Meta(description="The first instant after it.", examples=["2013-10-07T14:31:00Z"])]
    open: Annotated[float, Meta(description="First price, in currency.", examples=[167.42])]
    high: Annotated[float, Meta(description="Highest price, in currency.", examples=[167.5])]
    low: Annotated[float, Meta(description="Lowest price, in currency.", examples=[167.4])]
    close: Annotated[float, Meta(description="Last price, in currency.", examples=[167.45])]
    volume: Annotated[float, Meta(description="Traded, in units of the instrument.", examples=[1200.0])]
    vwap: Annotated[float | None, Meta(description="Volume-weighted average price, in currency, where the source has one.")]
    trades: Annotated[int | None, Meta(description="Number of trades, where the source has it.")]
    base_count: Annotated[int, Meta(description="How many base bars went into it; 1 for a base bar.", ge=0)]
    expected_count: Annotated[int, Meta(description="How many base bars there should be.", ge=0)]
    revision: Annotated[int, Meta(description="How often its content was replaced.", ge=0)]
    complete: Annotated[bool, Meta(description="Whether it has all of its base bars.")]
    provenance: Annotated[str, Meta(description="`feed`, `gap_fill`, `derived`, `history`, or a source's own word.", examples=["feed"])]


class MetricsView(Answer, frozen=True):
    """What the session's base bars of a symbol come to."""

    volume: Annotated[float, Meta(description="Sum of their volumes, in units of the instrument.", examples=[48_210.0])]
    high: Annotated[float | None, Meta(description="Highest price, in currency; null before the first bar.", examples=[168.1])]
    low: Annotated[float | None, Meta(description="Lowest price, in currency; null before the first bar.", examples=[166.9])]
    bar_count: Annotated[int, Meta(description="How many there are.", ge=0)]
    last_update: Annotated[datetime | None, Meta(description="When one was taken in last, in the session's time.")]


class LaggingView(Answer, frozen=True):
    """A symbol that keeps the gate shut."""

    symbol: Annotated[str, Meta(examples=["IBM"])]
    lag_seconds: Annotated[
        float, Meta(description="How far its bars were behind at the last check, in seconds; 0 before its first bar.", examples=[184.0])
    ]


class SessionAnswer(Read, frozen=True):
    """The session: its gate and its symbols."""

    trading_date: Annotated[date | None, Meta(description="The trading day that every symbol has reached.", examples=["2013-10-07"])]
    gate_reason: Annotated[str | None, Meta(description="Why the gate is as it is.", examples=["caught_up"])]
    lagging: Annotated[list[LaggingView], Meta(description="The symbols that keep it shut.")]
    active_symbols: Annotated[list[str], Meta(description="All symbols of the session, however far they are.", examples=[["IBM", "SPY"]])]
    loaded_symbols: Annotated[list[str], Meta(description="Those whose bars are being read.", examples=[["SPY"]])]
    pending_symbols: Annotated[list[str], Meta(description="Those that are being loaded.", examples=[["IBM"]])]
    symbols_with_derived: Annotated[list[str], Meta(description="Those that have derived intervals.", examples=[["IBM", "SPY"]])]


class SymbolView(Answer, frozen=True):
    """One symbol as it stands."""

    symbol: Annotated[str, Meta(examples=["SPY"])]
    incarnation: Annotated[int, Meta(description="Which addition of the symbol this is: another number has nothing in common with it.")]
    status: Annotated[str, Meta(description="`pending`, `loaded`, `removing` or `failed`.", examples=["loaded"])]
    is_loaded: Annotated[bool, Meta(description="Whether its bars are being read.")]
    reason: Annotated[str | None, Meta(description="Why it failed, or what was special about its loading.")]
    base_interval: Annotated[str, Meta(description="The interval that is streamed.", examples=["1m"])]
    derived_intervals: Annotated[list[str], Meta(description="The intervals that are computed from it, shortest first.", examples=[["5m"]])]
    trading_date: Annotated[date, Meta(description="The trading day that it stands in.", examples=["2013-10-07"])]
    topic_id: Annotated[str, Meta(description="Kafka's id of the topic that its bars are read from.")]
    offset: Annotated[int, Meta(description="The next record of that topic to read.", ge=0)]
    lagging: Annotated[bool, Meta(description="Whether it keeps the gate shut.")]
    lag_seconds: Annotated[float, Meta(description="How far its bars were behind at the last check, in seconds; 0 before its first bar.")]
    silent: Annotated[bool, Meta(description="Whether nothing has come for longer than the silence threshold, during trading hours.")]
    latest_bar: Annotated[BarView | None, Meta(description="The newest base bar of the session.")]
    metrics: MetricsView
    bars_updated: Annotated[bool, Meta(description="Whether bars have come in since its trading day began.")]
    held_back: Annotated[int, Meta(description="Bars that are in the state, not on analysis, and not yet accounted for there.", ge=0)]
    quotes_updated: Annotated[bool, Meta(description="Whether quotes have come in since its trading day began.")]
    ticks_updated: Annotated[bool, Meta(description="Whether ticks have come in since its trading day began.")]
    streams: Annotated[list[str], Meta(description="What is streamed besides bars: `quotes`, `ticks`.", examples=[["quotes"]])]


NEXT = Meta(
    description="Path of the next page; null on the last one. It may be as of a later state: what came between the pages is on "
    "analysis, from the first page's `analysis_offset` on.",
    examples=["/v1/symbols/SPY/bars?interval=1m&start=2013-10-07T14%3A31%3A00Z&limit=1"],
)


PREVIOUS = Meta(
    description="Path of the page before, whose records are older; null when there are none, or when the request has `start`, `since`, "
    "`last`, or `limit`.",
    examples=["/v1/symbols/SPY/bars?interval=1m&end=2013-10-07T14%3A31%3A00Z"],
)


class SymbolsAnswer(Read, frozen=True):
    """Symbols of the session by name, a page of them."""

    symbols: list[SymbolView]
    count: Annotated[int, Meta(description="How many there are on all pages.", ge=0)]
    next: Annotated[str | None, NEXT]


class ExportView(Answer, frozen=True):
    """How far exports of what is new have come."""

    number: Annotated[int, Meta(description="Of the one that was begun last; 0 for none.", ge=0)]
    is_pending: Annotated[bool, Meta(description="Whether it is under way.")]


class SymbolAnswer(Read, frozen=True):
    """One symbol."""

    symbol: Annotated[SymbolView | None, Meta(description="The symbol; null while the session is inactive.")]
    export: Annotated[ExportView | None, Meta(description="Its exports of what is new; null while the session is inactive.")]


class OfSymbol(Read, frozen=True):
    """An answer about a symbol."""

    symbol: Annotated[str, Meta(examples=["SPY"])]


INTERVAL = Meta(
    description="The interval: the one asked for, or the symbol's base interval; null when neither may be said.", examples=["1m"]
)


class BarsAnswer(OfSymbol, frozen=True):
    """Bars of the session in order of start, a page of them: the newest, unless the request says otherwise."""

    interval: Annotated[str | None, INTERVAL]
    bars: list[BarView]
    bar_count: Annotated[int, Meta(description="How many bars of the interval the session has, on this page or not.", ge=0)]
    next: Annotated[str | None, NEXT]
    previous: Annotated[str | None, PREVIOUS] = None


class LatestAnswer(OfSymbol, frozen=True):
    """The newest bar of an interval."""

    interval: Annotated[str | None, INTERVAL]
    bar: Annotated[BarView | None, Meta(description="The bar; null when there is none yet.")]


class IntervalQuality(Answer, frozen=True):
    """How complete the bars of an interval are."""

    interval: Annotated[str, Meta(examples=["1m"])]
    quality: Annotated[
        float | None,
        Meta(
            description="Bars present of bars expected from the open until now, in percent; null before any is expected, and where a "
            "missing bar is no gap (`sparse`).",
            examples=[98.5],
        ),
    ]
    expected: Annotated[int | None, Meta(description="How many bars there should be by now; null where a missing bar is no gap.")]
    present: Annotated[int | None, Meta(description="How many of those are there.")]
    missing: Annotated[int | None, Meta(description="How many are not.")]


class QualityAnswer(OfSymbol, frozen=True):
    """How complete a symbol's bars are, by the calendar."""

    intervals: Annotated[list[IntervalQuality], Meta(description="The base interval, then the derived ones, or the one asked for.")]


class GapView(Answer, frozen=True):
    """A maximal run of missing bars within `[start, end)`."""

    start: Annotated[datetime, Meta(examples=["2013-10-07T14:33:00Z"])]
    end: Annotated[datetime, Meta(examples=["2013-10-07T14:35:00Z"])]
    bar_count: Annotated[int, Meta(description="How many are missing.", ge=1, examples=[2])]
    retry_count: Annotated[int, Meta(description="How often a source was asked to fill it.", ge=0)]


class GapsAnswer(OfSymbol, frozen=True):
    """Runs of missing bars from the open until now, in order, a page of them; none where a missing bar is no gap."""

    interval: Annotated[str | None, INTERVAL]
    gap_count: Annotated[int, Meta(description="How many gaps there are, on this page or not.", ge=0)]
    missing_bars: Annotated[int, Meta(description="How many bars are missing in all of them.", ge=0)]
    gaps: list[GapView]
    next: Annotated[str | None, NEXT]
    previous: Annotated[str | None, PREVIOUS] = None


class MetricsAnswer(OfSymbol, frozen=True):
    """Volume, high and low of the session."""

    metrics: MetricsView | None


class HistoryAnswer(OfSymbol, frozen=True):
    """Bars of the trading days before the session's that are kept, oldest first, a page of them."""

    interval: Annotated[str | None, INTERVAL]
    dates: Annotated[list[date], Meta(description="The trading days that are kept, oldest first.", examples=[["2013-10-04"]])]
    bars: list[BarView]
    next: Annotated[str | None, NEXT]
    previous: Annotated[str | None, PREVIOUS] = None


class IndicatorsAnswer(OfSymbol, frozen=True):
    """What the config's indicators over past days come to."""

    trading_date: Annotated[date | None, Meta(description="The trading day that they hold for.", examples=["2013-10-07"])]
    indicators: Annotated[
        dict[str, float | None],
        Meta(description="By their names in the config; null with too few bars.", examples=[{"prior_close": 167.2, "atr_14": None}]),
    ]


class QuoteView(Answer, frozen=True):
    """The best bid and ask at an instant; one side may be missing."""

    time: Annotated[datetime, Meta(examples=["2013-10-07T14:44:59.5Z"])]
    bid: Annotated[float | None, Meta(description="Price in currency.", examples=[167.42])]
    ask: Annotated[float | None, Meta(description="Price in currency.", examples=[167.43])]
    bid_size: Annotated[float | None, Meta(description="In units of the instrument.")]
    ask_size: Annotated[float | None, Meta(description="In units of the instrument.")]
    provenance: Annotated[str, Meta(description="`feed`, or a source's own word.", examples=["feed"])]


class TickView(Answer, frozen=True):
    """One trade."""

    time: Annotated[datetime, Meta(examples=["2013-10-07T14:44:59.5Z"])]
    price: Annotated[float, Meta(description="In currency.", examples=[167.42])]
    size: Annotated[float, Meta(description="In units of the instrument.", examples=[100.0])]
    provenance: Annotated[str, Meta(description="`feed`, or a source's own word.", examples=["feed"])]


class StreamFigures(Answer, frozen=True):
    """How many came."""

    count: Annotated[int, Meta(description="How many of the trading day.", ge=0)]
    total: Annotated[int, Meta(description="How many since the symbol was added.", ge=0)]
    last_update: Annotated[datetime | None, Meta(description="When one was taken in last, in the session's time.")]
    trading_date: Annotated[date, Meta(description="The trading day that is counted.", examples=["2013-10-07"])]
    out_of_hours: Annotated[int, Meta(description="How many were dropped because they are of no trading hours.", ge=0)]
    rejected: Annotated[int, Meta(description="How many went to the dead-letter topic.", ge=0)]
    reason: Annotated[str | None, Meta(description="Why none is read at present, where that is so.")]


class QuotesView(StreamFigures, frozen=True):
    """A symbol's quotes as they stand."""

    latest: QuoteView | None


class TicksView(StreamFigures, frozen=True):
    """A symbol's ticks as they stand."""

    latest: TickView | None


class QuotesAnswer(OfSymbol, frozen=True):
    """The latest quote, and how many there were."""

    quotes: Annotated[QuotesView | None, Meta(description="Null for a symbol that streams none.")]


class TicksAnswer(OfSymbol, frozen=True):
    """The latest tick, and how many there were."""

    ticks: Annotated[TicksView | None, Meta(description="Null for a symbol that streams none.")]


class CommandAnswer(Answer, frozen=True):
    """What became of a command."""

    command_id: Annotated[str, Meta(description="Its id: `/v1/commands/{command_id}` tells what becomes of it.")]
    command: Annotated[str, Meta(description="What it asks for.", examples=["add_symbol"])]
    symbol: Annotated[str, Meta(examples=["IBM"])]
    status: Annotated[
        str,
        Meta(
            description="`sent`: it is on the control topic, and not answered yet; `accepted`: it is under way; `completed`; `failed`.",
            examples=["completed"],
        ),
    ]
    reason: Annotated[str | None, Meta(description="Why it failed, or what was special about it.")]
    time: Annotated[datetime, Meta(description="When the status was reached, in the session's time.")]


def place(as_of: AsOf) -> Place:
    """The place as it is sent."""
    return Place(
        session=as_of.session, epoch=as_of.epoch, sequence=as_of.sequence, analysis_offset=as_of.analysis_offset,
        now=from_us(as_of.now_us), active=as_of.active,
        committed_seconds=round(max(0.0, as_of.committed_seconds), 3),
    )  # fmt: skip


def bar_view(bar: SessionBar) -> BarView:
    """A bar as it is sent."""
    return BarView(
        start=from_us(bar.start_us), end=from_us(bar.end_us), open=bar.open, high=bar.high, low=bar.low, close=bar.close,
        volume=bar.volume, vwap=bar.vwap, trades=bar.trades, base_count=bar.base_count, expected_count=bar.expected_count,
        revision=bar.revision, complete=bar.complete, provenance=bar.provenance,
    )  # fmt: skip


def gap_view(gap: GapInfo) -> GapView:
    """A gap as it is sent."""
    return GapView(start=from_us(gap.start_us), end=from_us(gap.end_us), bar_count=gap.bar_count, retry_count=gap.retry_count)


def metrics_view(metrics: SessionMetrics) -> MetricsView:
    """Metrics as they are sent."""
    return MetricsView(
        volume=metrics.volume, high=metrics.high, low=metrics.low, bar_count=metrics.bar_count, last_update=metrics.last_update
    )


def symbol_view(symbol: SymbolSnapshot) -> SymbolView:
    """A symbol as it is sent."""
    latest = symbol.latest_bar
    return SymbolView(
        symbol=symbol.symbol, incarnation=symbol.incarnation, status=symbol.status.value, is_loaded=symbol.is_loaded,
        reason=symbol.reason, base_interval=symbol.base_interval, derived_intervals=list(symbol.derived_intervals),
        trading_date=symbol.trading_date, topic_id=symbol.topic_id, offset=symbol.offset, lagging=symbol.lagging,
        lag_seconds=symbol.lag_seconds, silent=symbol.silent, latest_bar=None if latest is None else bar_view(latest),
        metrics=metrics_view(symbol.metrics), bars_updated=symbol.bars_updated, held_back=symbol.held_back,
        quotes_updated=symbol.quotes_updated, ticks_updated=symbol.ticks_updated, streams=list(symbol.streams),
    )  # fmt: skip


def quotes_view(quotes: QuotesSnapshot) -> QuotesView:
    """Quotes as they are sent."""
    one = quotes.latest
    latest = None if one is None else QuoteView(
        time=from_us(one.time_us), bid=one.bid, ask=one.ask, bid_size=one.bid_size, ask_size=one.ask_size, provenance=one.provenance
    )  # fmt: skip
    return QuotesView(latest=latest, **_figures(quotes))


def ticks_view(ticks: TicksSnapshot) -> TicksView:
    """Ticks as they are sent."""
    one = ticks.latest
    latest = None if one is None else TickView(time=from_us(one.time_us), price=one.price, size=one.size, provenance=one.provenance)
    return TicksView(latest=latest, **_figures(ticks))


def _figures(stream: QuotesSnapshot | TicksSnapshot) -> dict[str, Any]:
    return {
        "count": stream.count, "total": stream.total, "last_update": stream.as_of, "trading_date": stream.trading_date,
        "out_of_hours": stream.out_of_hours, "rejected": stream.rejected, "reason": stream.reason,
    }  # fmt: skip


ANSWERS: Final[tuple[type[Struct], ...]] = (
    Refusal, SessionAnswer, SymbolsAnswer, SymbolAnswer, BarsAnswer, LatestAnswer, QualityAnswer, GapsAnswer, MetricsAnswer, HistoryAnswer,
    IndicatorsAnswer, QuotesAnswer, TicksAnswer, CommandAnswer,
)  # fmt: skip


def schemas() -> dict[str, Any]:
    """The JSON schemas of all answers by name, as an OpenAPI document has them."""
    _, components = msgspec.json.schema_components(ANSWERS, ref_template="#/components/schemas/{name}")
    return components
