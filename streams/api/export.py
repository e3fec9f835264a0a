"""Exports over HTTP: a symbol, several or the session, whole, as JSON, CSV or Parquet; or what is new of one. They change nothing.

The copy is taken like that of any read; the answer is made of it piece by piece in threads, so a long one is never in memory at
once and holds nobody up. A few are under way at a time, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from streams.api.answers import Place
from streams.api.document import OF_SYMBOL, READ, export_answers
from streams.api.service import PREFIX, OfPath, Reading, Service, service_of
from streams.engine.rollback import fork_state, fork_symbol
from streams.engine.state.session import SessionState
from streams.errors import ApiError, ExportError
from streams.exports.content import MEDIA_TYPES, Content
from streams.exports.rows import Format
from streams.times import iso, to_us
from streams.wire.topics import escape

AT_ONCE: Final = 2

router = APIRouter(prefix=PREFIX, tags=["exports"])

Form = Annotated[Format, Query(alias="format", description="How it is written.")]


@router.get(
    "/symbols/{symbol}/export", summary="Export a symbol", response_class=Response, responses=export_answers(*READ, *OF_SYMBOL, 409, 501)
)
async def export_symbol(
    request: Request,
    symbol: OfPath,
    reads: Reading,
    form: Form = Format.JSON,
    number: Annotated[
        int | None, Query(ge=1, description="Only what the export of this number holds: the one that `begin_export` has begun last.")
    ] = None,
) -> Response:
    """All that the session holds of a symbol: its bars, those of former days, quality, gaps, counts; or what is new of it."""
    view = await reads.view(symbol)
    state, name = view.state, f"{view.state.config.session_name}-{escape(symbol)}"
    if number is None:
        return await _exported(request, view.place, Content.full(state, list(state.symbols), is_gated=not reads.internal), name, form)
    _check_under_way(state, symbol, number)
    return await _exported(request, view.place, Content.new(state, symbol), f"{name}-{number}", form)


@router.get("/export", summary="Export the session", response_class=Response, responses=export_answers(*READ, 501))
async def export_session(
    request: Request,
    reads: Reading,
    form: Form = Format.JSON,
    symbols: Annotated[
        list[str] | None,
        Query(alias="symbol", max_length=200, description="Only these; of one that is not in the session nothing. May be given again."),
    ] = None,
) -> Response:
    """All that the session holds, of all its symbols or of some."""
    internal = reads.internal

    def take(state: SessionState) -> SessionState:
        wanted = state.symbols if symbols is None else [one for one in dict.fromkeys(symbols) if one in state.symbols]
        return fork_state(state, {one: fork_symbol(state.symbols[one]) for one in sorted(wanted)} if internal or state.active else {})

    where, state = await reads.take(take)
    content = Content.full(state, list(state.symbols), is_gated=not internal)
    return await _exported(request, where, content, state.config.session_name, form)


def _check_under_way(state: SessionState, symbol: str, number: int) -> None:
    """See that an export is under way: an empty one would be taken for all that is new.

    Raises:
        ApiError: it is not, or the session is inactive.
    """
    data = state.symbols.get(symbol)
    if data is None:
        message = f"the session is inactive: export {number} stays under way, so ask for it later, or with internal=true"
        raise ApiError(409, "inactive", message)
    exports = data.exports
    if exports is None or not exports.is_pending or exports.number != number:
        what = f"export {exports.number} is" if exports is not None and exports.is_pending else "none is"
        raise ApiError(409, "not_under_way", f"export {number} of {symbol} is not under way, {what}: begin_export begins one")


async def _exported(request: Request, where: Place, content: Content, name: str, form: Format) -> Response:
    service = service_of(request)
    if service.exporting >= AT_ONCE:
        raise ApiError(503, "busy", f"{AT_ONCE} exports are under way, which is the most: ask again in a moment", {"Retry-After": "5"})
    service.exporting += 1
    try:
        pieces = content.pieces(form)
        first = await run_in_threadpool(next, pieces, b"")
    except ExportError as error:
        service.exporting -= 1
        raise ApiError(501, "not_installed", str(error)) from None
    except BaseException:
        service.exporting -= 1
        raise
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form.value}"',
        "X-Session-Active": str(where.active).lower(),
        "X-As-Of-Epoch": str(where.epoch),
        "X-As-Of-Sequence": str(where.sequence),
        "X-As-Of-Analysis-Offset": str(where.analysis_offset),
        "X-As-Of-Now": iso(to_us(where.now)),
    }
    return _Export(chain([first], pieces), headers, MEDIA_TYPES[form], _one_less(service))


def _one_less(service: Service) -> Callable[[], None]:
    def done() -> None:
        service.exporting -= 1

    return done


class _Export(StreamingResponse):
    """An answer in pieces, which says when it has ended, however it ends."""

    def __init__(self, pieces: Iterator[bytes], headers: dict[str, str], media_type: str, done: Callable[[], None]) -> None:
        super().__init__(pieces, headers=headers, media_type=media_type)
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()
