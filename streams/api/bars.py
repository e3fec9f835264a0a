"""Reads about one symbol: its bars, and what is known of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict, TypeVar

from fastapi import APIRouter, Query
from starlette.responses import Response

from streams.api.answers import (
    BarsAnswer,
    GapsAnswer,
    HistoryAnswer,
    IndicatorsAnswer,
    IntervalQuality,
    LatestAnswer,
    MetricsAnswer,
    QualityAnswer,
    QuotesAnswer,
    TicksAnswer,
    bar_view,
    gap_view,
    metrics_view,
    quotes_view,
    ticks_view,
)
from streams.api.document import OF_SYMBOL, READ, answers
from streams.api.parameters import LARGEST_PAGE, PAGE, Day, End, Instant, Interval, Limit, Start
from streams.api.service import PREFIX, OfPath, Reading, Reads, View, answer
from streams.engine.state.completeness import completeness_of
from streams.model.records import SessionBar
from streams.model.views import GapInfo
from streams.times import date_of_days, iso, to_us

R = TypeVar("R", SessionBar, GapInfo)

router = APIRouter(prefix=f"{PREFIX}/symbols/{{symbol}}", tags=["one symbol"])


@router.get("/bars", summary="Bars of the session", response_class=Response, responses=answers(BarsAnswer, *READ, *OF_SYMBOL))
async def bars(
    symbol: OfPath,
    reads: Reading,
    interval: Interval = None,
    last: Annotated[int | None, Query(ge=0, le=LARGEST_PAGE, description="Only the newest so many, of those that are meant.")] = None,
    since: Annotated[Instant | None, Query(description="As `start`; of both the later one counts.")] = None,
    start: Start = None,
    end: End = None,
    limit: Limit = None,
) -> Response:
    """Bars of the session's trading day in order of start: the newest thousand, those of a range, or the newest so many.

    With `start`, `since`, or `limit` pages go from the oldest bar on, by `next`; without them from the newest back, by `previous`.
    """
    view = await reads.view(symbol)
    name, internal = view.interval(interval), reads.internal
    first = max((one for one in (since, start) if one is not None), default=None)
    from_newest = last is None and first is None and limit is None
    if from_newest and end is None:
        found = view.data.get_last_n_bars(symbol, PAGE + 1, name, internal=internal)
    elif last is None:
        most = None if from_newest else (limit or PAGE) + 1
        found = view.data.get_bars(symbol, name, start=first, end=end, limit=most, internal=internal)
    elif first is None and end is None:
        found = view.data.get_last_n_bars(symbol, last, name, internal=internal)
    else:
        found = view.data.get_bars(symbol, name, start=first, end=end, internal=internal)
        found = found[max(0, len(found) - last) :]
    shown, pages = _paged(reads, symbol, "bars", found, name, end, limit, from_newest=from_newest)
    count = view.data.get_bar_count(symbol, name, internal=internal)
    return answer(BarsAnswer(**view.head, symbol=symbol, interval=name, bars=[bar_view(one) for one in shown], bar_count=count, **pages))


@router.get("/latest", summary="The newest bar", response_class=Response, responses=answers(LatestAnswer, *READ, *OF_SYMBOL))
async def latest(symbol: OfPath, reads: Reading, interval: Interval = None) -> Response:
    """The newest bar of an interval."""
    view = await reads.view(symbol)
    name = view.interval(interval)
    bar = view.data.get_latest_bar(symbol, name, internal=reads.internal)
    return answer(LatestAnswer(**view.head, symbol=symbol, interval=name, bar=None if bar is None else bar_view(bar)))


@router.get("/quality", summary="How complete the bars are", response_class=Response, responses=answers(QualityAnswer, *READ, *OF_SYMBOL))
async def quality(symbol: OfPath, reads: Reading, interval: Interval = None) -> Response:
    """Bars present of bars expected, in percent, of all intervals or of one."""
    view = await reads.view(symbol)
    asked = view.interval(interval)
    if view.snapshot is None:
        names: list[str] = []
    elif interval is None:
        names = [view.snapshot.base_interval, *view.snapshot.derived_intervals]
    else:
        names = [asked or ""]
    found = [_quality(view, name, view.data.get_quality(symbol, name, internal=reads.internal)) for name in names]
    return answer(QualityAnswer(**view.head, symbol=symbol, intervals=found))


def _quality(view: View, interval: str, quality: float | None) -> IntervalQuality:
    stored = view.stored
    is_measured = stored is not None and stored.is_loaded and not view.state.config.sparse(stored.symbol, interval)
    figures = None
    if stored is not None and is_measured:
        figures = completeness_of(stored, interval, view.state.now_us, grace_us=view.state.grace_us)
    if figures is None:
        return IntervalQuality(interval=interval, quality=quality, expected=None, present=None, missing=None)
    return IntervalQuality(interval=interval, quality=quality, expected=figures.expected, present=figures.present, missing=figures.missing)


@router.get("/gaps", summary="Missing bars", response_class=Response, responses=answers(GapsAnswer, *READ, *OF_SYMBOL))
async def gaps(
    symbol: OfPath, reads: Reading, interval: Interval = None, start: Start = None, end: End = None, limit: Limit = None
) -> Response:
    """Runs of missing bars from the open until now; pages as those of bars."""
    view = await reads.view(symbol)
    name = view.interval(interval)
    found = view.data.get_gaps(symbol, name, internal=reads.internal)
    first_us = None if start is None else to_us(start)
    end_us = None if end is None else to_us(end)
    meant = [one for one in found if (first_us is None or one.start_us >= first_us) and (end_us is None or one.start_us < end_us)]
    shown, pages = _paged(reads, symbol, "gaps", meant, name, end, limit, from_newest=start is None and limit is None)
    return answer(
        GapsAnswer(
            **view.head,
            symbol=symbol,
            interval=name,
            gap_count=len(found),
            missing_bars=sum(one.bar_count for one in found),
            gaps=[gap_view(one) for one in shown],
            **pages,
        )
    )


@router.get("/metrics", summary="Volume, high and low", response_class=Response, responses=answers(MetricsAnswer, *READ, *OF_SYMBOL))
async def metrics(symbol: OfPath, reads: Reading) -> Response:
    """What the session's base bars come to."""
    view = await reads.view(symbol)
    found = view.data.get_session_metrics(symbol, internal=reads.internal)
    return answer(MetricsAnswer(**view.head, symbol=symbol, metrics=None if found is None else metrics_view(found)))


@router.get("/history", summary="Bars of former days", response_class=Response, responses=answers(HistoryAnswer, *READ, *OF_SYMBOL))
async def history(
    symbol: OfPath,
    reads: Reading,
    interval: Interval = None,
    on: Annotated[Day | None, Query(description="Only those of this trading day.")] = None,
    start: Start = None,
    end: End = None,
    limit: Limit = None,
) -> Response:
    """Bars of the trading days before the session's that are kept, oldest first; pages as those of bars."""
    view = await reads.view(symbol)
    former = {} if view.stored is None else view.stored.historical
    name = view.interval(interval, *(one for day in former.values() for one in day))
    first_us = None if start is None else to_us(start)
    end_us = None if end is None else to_us(end)
    kept = view.data.get_historical_bars(symbol, name, on=on, internal=reads.internal)
    meant = [one for one in kept if (first_us is None or one.start_us >= first_us) and (end_us is None or one.start_us < end_us)]
    shown, pages = _paged(reads, symbol, "history", meant, name, end, limit, from_newest=start is None and limit is None, on=on)
    dates = [date_of_days(days) for days in sorted(former)]
    views = [bar_view(one) for one in shown]
    return answer(HistoryAnswer(**view.head, symbol=symbol, interval=name, dates=dates, bars=views, **pages))


@router.get("/indicators", summary="Indicators", response_class=Response, responses=answers(IndicatorsAnswer, *READ, *OF_SYMBOL))
async def indicators(symbol: OfPath, reads: Reading) -> Response:
    """What the config's indicators over past days come to."""
    view = await reads.view(symbol)
    found = view.data.get_indicators(symbol, internal=reads.internal)
    day = None if view.snapshot is None else view.snapshot.trading_date
    return answer(IndicatorsAnswer(**view.head, symbol=symbol, trading_date=day, indicators=found))


@router.get("/quotes", summary="Quotes", response_class=Response, responses=answers(QuotesAnswer, *READ, *OF_SYMBOL))
async def quotes(symbol: OfPath, reads: Reading) -> Response:
    """The latest quote, and how many there were."""
    view = await reads.view(symbol)
    found = view.data.get_quotes(symbol, internal=reads.internal)
    return answer(QuotesAnswer(**view.head, symbol=symbol, quotes=None if found is None else quotes_view(found)))


@router.get("/ticks", summary="Ticks", response_class=Response, responses=answers(TicksAnswer, *READ, *OF_SYMBOL))
async def ticks(symbol: OfPath, reads: Reading) -> Response:
    """The latest tick, and how many there were."""
    view = await reads.view(symbol)
    found = view.data.get_ticks(symbol, internal=reads.internal)
    return answer(TicksAnswer(**view.head, symbol=symbol, ticks=None if found is None else ticks_view(found)))


class _Pages(TypedDict):
    next: str | None
    previous: str | None


def _paged(
    reads: Reads,
    symbol: str,
    what: str,
    found: list[R],
    interval: str | None,
    end: datetime | None,
    limit: int | None,
    *,
    from_newest: bool,
    **more: object,
) -> tuple[list[R], _Pages]:
    """A page of some bars or gaps, and the paths of its neighbors: the oldest with the next one, or the newest with the one before."""
    most = limit or PAGE
    path = ["symbols", symbol, what]
    if len(found) <= most:
        return found, {"next": None, "previous": None}
    if from_newest:
        shown = found[-most:]
        return shown, {"next": None, "previous": reads.page(path, interval=interval, **more, end=iso(shown[0].start_us))}
    until = None if end is None else iso(to_us(end))
    following = reads.page(path, interval=interval, **more, start=iso(found[most].start_us), end=until, limit=most)
    return found[:most], {"next": following, "previous": None}
