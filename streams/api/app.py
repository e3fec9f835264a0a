"""The API as one ASGI app: its pages and routes, and what stands before them."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from streams import __version__
from streams.api.guard import Guard, Limits
from streams.api.problems import JSON, refusal
from streams.api.reader import SessionReader
from streams.errors import ApiError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def create_app(reader: SessionReader, *, limits: Limits | None = None) -> ASGIApp:
    """The app of one session.

    Args:
        reader: where answers come from.
        limits: on what a request may cost.
    """
    app = FastAPI(
        title="Session streams", version=__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False
    )
    app.state.reader = reader
    app.add_api_route("/health", _health, methods=["GET"], response_class=Response)
    app.add_api_route("/metrics", _metrics, methods=["GET"], response_class=Response)
    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(Exception, _refuse)
    return Guard(app, limits)


async def _health(request: Request) -> Response:
    condition = await _reader(request).condition()
    return Response(msgspec.json.encode(condition.report), status_code=200 if condition.is_well else 503, media_type=JSON)


async def _metrics(request: Request) -> Response:
    return Response(await _reader(request).metrics(), headers={"content-type": METRICS_TYPE})


def _reader(request: Request) -> SessionReader:
    reader: SessionReader = request.app.state.reader
    return reader


async def _refuse(request: Request, error: Exception) -> Response:
    match error:
        case ApiError():
            return refusal(error)
        case HTTPException(status_code=404):
            return refusal(ApiError(404, "no_such_path", f"there is no {request.url.path} here: /openapi.json lists what is"))
        case HTTPException(status_code=405):
            allowed = dict(error.headers or {})
            message = f"{request.method} is not for {request.url.path}: {allowed.get('Allow', 'GET')} is"
            return refusal(ApiError(405, "not_for_this", message, allowed))
        case HTTPException():
            return refusal(ApiError(error.status_code, "refused", str(error.detail), error.headers))
        case _:
            return refusal(ApiError(500, "internal", "the worker failed to answer: its log says why"))
