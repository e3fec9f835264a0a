"""The API as one ASGI app: its pages and routes, and what stands before them."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import SecretStr
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from streams import __version__
from streams.api import bars, commands, export, session
from streams.api.access import Door
from streams.api.commander import Commander
from streams.api.commands import AddSymbol
from streams.api.document import document, methods_of, page_answers
from streams.api.guard import Guard, Limits
from streams.api.hosts import Hosts
from streams.api.problems import JSON, refusal
from streams.api.reader import SessionReader
from streams.api.service import PREFIX, Service, send_on, service_of
from streams.config.explain import explain_parameter
from streams.errors import (
    ApiError,
    BrokerRefusedError,
    CommandRefusedError,
    NobodyThereError,
    NotActiveError,
    StreamsError,
)
from streams.times import Clock, SystemClock

TEXT = "text/plain"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ROUTERS = (session.router, bars.router, export.router, commands.router)
_WITH_BODY = [one for router in _ROUTERS for one in router.routes if isinstance(one, APIRoute) and one.body_field is not None]


def create_app(
    reader: SessionReader,
    commander: Commander,
    *,
    read_token: SecretStr | None = None,
    command_token: SecretStr | None = None,
    hosts: Hosts | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> ASGIApp:
    """The app of one session.

    Args:
        reader: where answers come from.
        commander: where commands go.
        read_token: lets reads look past the gate; None: nobody may.
        command_token: lets commands be given; None: nobody may.
        hosts: the hosts that requests may name; None: localhost alone.
        limits: on what a request may cost.
        clock: for the time of commands.
    """
    app = _app()
    app.state.service = Service(
        reader,
        commander,
        SystemClock() if clock is None else clock,
        reads=Door(read_token, "STREAMS_READ_TOKEN", "reading past the gate"),
        commands=Door(command_token, "STREAMS_COMMAND_TOKEN", "commanding over HTTP"),
    )
    return Guard(app, hosts=hosts or Hosts(), takes_body=_takes_body, limits=limits)


def openapi() -> dict[str, Any]:
    """The OpenAPI document, as `/openapi.json` has it."""
    return document(_app())


def _app() -> FastAPI:
    app = FastAPI(
        title="Session streams", version=__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False
    )
    app.add_api_route("/health", _health, response_class=Response, tags=["pages"], summary="Health", responses=page_answers(JSON, 503))
    app.add_api_route(
        "/metrics", _metrics, response_class=Response, tags=["pages"], summary="Metrics", responses=page_answers("text/plain")
    )
    for router in _ROUTERS:
        app.include_router(router)
    for kind in (StreamsError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _refuse)
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    return app


def _takes_body(method: str, path: str) -> bool:
    return any(method in (one.methods or ()) and one.path_regex.match(path) for one in _WITH_BODY)


async def _health(request: Request) -> Response:
    """How the worker is: 200 while it is standby or active, 503 while it starts, recovers or fails."""
    condition = await service_of(request).reader.condition()
    return Response(msgspec.json.encode(condition.report), status_code=200 if condition.is_well else 503, media_type=JSON)


async def _metrics(request: Request) -> Response:
    """The worker's figures in Prometheus' text form."""
    return Response(await service_of(request).reader.metrics(), headers={"content-type": METRICS_TYPE})


async def _refuse(request: Request, error: Exception) -> Response:
    match error:
        case ApiError():
            return refusal(error)
        case NotActiveError():
            return send_on(request, error)
        case CommandRefusedError():
            return refusal(ApiError(409, "refused", str(error)))
        case NobodyThereError() | BrokerRefusedError():
            return refusal(ApiError(503, "no_broker", f"the command was not sent: {error}", {"Retry-After": "1"}))
        case RequestValidationError() if request.method == "POST" and not request.headers.get("Content-Type", "").startswith(JSON):
            return refusal(ApiError(422, "invalid", f"the body must be JSON, sent with the header Content-Type: {JSON}"))
        case RequestValidationError():
            return refusal(ApiError(422, "invalid", "; ".join(_in_words(one) for one in error.errors())))
        case HTTPException(status_code=404):
            advice = "; a slash in a symbol is sent as %2F" if request.url.path.startswith(f"{PREFIX}/symbols/") else ""
            return refusal(ApiError(404, "no_such_path", f"there is no {request.url.path} here: /openapi.json lists what is{advice}"))
        case HTTPException(status_code=405):
            allowed = ", ".join(methods_of(request.app, request.scope["path"]))
            message = f"{request.method} is not for {request.url.path}: {allowed} is"
            return refusal(ApiError(405, "not_for_this", message, {"Allow": allowed}))
        case HTTPException(status_code=400):
            return refusal(ApiError(422, "invalid", "the body must be JSON in UTF-8"))
        case HTTPException():
            return refusal(ApiError(error.status_code, "refused", str(error.detail), error.headers))
        case _:
            return refusal(ApiError(500, "internal", "the worker failed to answer: its log says why"))


def _in_words(details: ErrorDetails) -> str:
    """One complaint of a validation: where, and what would be right."""
    where = ".".join(str(part) for part in details["loc"][1:]) or "the body"
    return explain_parameter(details, where, tuple(AddSymbol.model_fields))
