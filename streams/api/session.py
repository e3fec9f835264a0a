"""Reads about the session as a whole, and its symbols."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from msgspec import Struct
from starlette.responses import Response

from streams.api.answers import ExportView, LaggingView, SessionAnswer, SymbolAnswer, SymbolsAnswer, symbol_view
from streams.api.document import OF_SYMBOL, READ, answers
from streams.api.parameters import LARGEST_SYMBOLS_PAGE, SYMBOLS_PAGE
from streams.api.service import PREFIX, OfPath, Reading, answer
from streams.engine.reads import SessionData
from streams.engine.rollback import fork_state, fork_symbol
from streams.engine.state.session import SessionState
from streams.times import SECOND_US, date_of_days

router = APIRouter(prefix=PREFIX, tags=["session"])


class _Overview(Struct, frozen=True):
    """A session without its bars."""

    trading_date: date | None
    gate_reason: str | None
    lagging: list[LaggingView]
    active_symbols: Collection[str]
    loaded_symbols: Collection[str]
    pending_symbols: Collection[str]
    symbols_with_derived: Collection[str]


@router.get("/session", summary="The session", response_class=Response, responses=answers(SessionAnswer, *READ))
async def session(reads: Reading) -> Response:
    """The gate, and the symbols by how far they are."""
    internal = reads.internal

    def take(state: SessionState) -> _Overview:
        data = SessionData(state)
        may_say = internal or state.active
        lagging = [LaggingView(symbol=one, lag_seconds=state.symbols[one].lag_us / SECOND_US) for one in sorted(state.lagging)]
        return _Overview(
            date_of_days(state.days) if may_say else None, state.gate_reason if may_say else None, lagging if may_say else [],
            data.get_active_symbols(internal=internal), data.get_loaded_symbols(internal=internal),
            data.get_pending_symbols(internal=internal), data.get_symbols_with_derived(internal=internal),
        )  # fmt: skip

    where, found = await reads.take(take)
    return answer(
        SessionAnswer(
            as_of=where,
            session_active=where.active,
            trading_date=found.trading_date,
            gate_reason=found.gate_reason,
            lagging=found.lagging,
            active_symbols=sorted(found.active_symbols),
            loaded_symbols=sorted(found.loaded_symbols),
            pending_symbols=sorted(found.pending_symbols),
            symbols_with_derived=sorted(found.symbols_with_derived),
        )
    )


@router.get("/symbols", summary="All symbols", response_class=Response, responses=answers(SymbolsAnswer, *READ))
async def symbols(
    reads: Reading,
    after: Annotated[str, Query(description="Only those that come after this one by name.")] = "",
    limit: Annotated[int, Query(ge=1, le=LARGEST_SYMBOLS_PAGE, description="The most that one page has.")] = SYMBOLS_PAGE,
) -> Response:
    """The symbols of the session by name, each as it stands."""
    internal = reads.internal

    def take(state: SessionState) -> tuple[int, SessionState]:
        names = SessionData(state).get_active_symbols(internal=internal)
        wanted = sorted(name for name in names if name > after)[: limit + 1]
        return len(names), fork_state(state, {name: fork_symbol(state.symbols[name]) for name in wanted})

    where, (count, state) = await reads.take(take)
    data = SessionData(state)
    found = [data.get_symbol_data(name, internal=True) for name in sorted(state.symbols)]
    views = [symbol_view(one) for one in found[:limit] if one is not None]
    more = reads.page(["symbols"], after=views[-1].symbol, limit=limit) if len(found) > limit else None
    return answer(SymbolsAnswer(as_of=where, session_active=where.active, symbols=views, count=count, next=more))


@router.get("/symbols/{symbol}", summary="One symbol", response_class=Response, responses=answers(SymbolAnswer, *READ, *OF_SYMBOL))
async def symbol(symbol: OfPath, reads: Reading) -> Response:
    """A symbol as it stands."""
    view = await reads.view(symbol)
    position = view.data.get_export_position(symbol, internal=reads.internal)
    exported = None if position is None else ExportView(number=position.number, is_pending=position.is_pending)
    return answer(SymbolAnswer(**view.head, symbol=None if view.snapshot is None else symbol_view(view.snapshot), export=exported))
