"""The OpenAPI document: what routes say of their answers, and the schemas of those."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import Struct

from streams.api.answers import schemas
from streams.api.problems import JSON

DESCRIPTION: Final = """What a session of market bars holds, behind its gate, and commands to it.

Answers are of the last committed state and say which: `as_of`. A consumer takes a snapshot here and reads the analysis topic on
from `as_of.analysis_offset`: each record once, without a hole.

Reads need no token, and while the session is inactive they say nothing but that: `session_active: false`. With `internal=true`
and the read token they are answered always. Commands need the command token.

Instants are ISO 8601 with a zone, `2013-10-07T13:30:00Z`. A symbol with a slash is sent with `%2F`. A standby sends requests on to
the active worker (307); a client drops the `Authorization` header on the way to another host unless it is told to keep it.
"""

_MEANINGS: Final = {
    400: "The request can be read in two ways, or in none; the connection is closed.",
    307: "This worker is a standby: `Location` is the same request at the active one.",
    401: "The token is missing, or another.",
    403: "No token is set on this worker for what was asked, so nobody may.",
    404: "There is no such symbol, or it has no such interval.",
    409: "As the session stands it can't be done; the message is the reason.",
    413: "The body is too large.",
    422: "A parameter is none that can be; the message says what would be right.",
    421: "`Host` names a host that this worker does not answer to.",
    501: "This install can't write that format.",
    503: "This worker can't tell now: it is starting, busy, or without its broker. `Retry-After` says in how many seconds to ask again.",
}

READ: Final = (307, 400, 401, 403, 421, 422, 503)
OF_SYMBOL: Final = (404,)
COMMAND: Final = (307, 400, 401, 403, 409, 413, 421, 422, 503)


def answers(model: type[Struct], *statuses: int, **others: type[Struct]) -> dict[int | str, dict[str, Any]]:
    """What a route answers with: the model for 200 (and `others`, such as `_202`), and errors."""
    said: dict[int | str, dict[str, Any]] = {200: _answer(model)}
    said |= {int(status.removeprefix("_")): _answer(one) for status, one in others.items()}
    return said | _errors(statuses)


def _errors(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    said: dict[int | str, dict[str, Any]] = {}
    for status in sorted(statuses):
        said[status] = {"description": _MEANINGS[status]}
        said[status]["content"] = {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}}
        if status == 307:
            said[status]["headers"] = {"Location": {"description": "Where to ask.", "schema": {"type": "string", "format": "uri"}}}
        if status == 401:
            said[status]["headers"] = {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}}
        if status == 503:
            said[status]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return said


def methods_of(app: FastAPI, path: str) -> list[str]:
    """The methods that a path is for, on whichever routes."""
    templates: dict[str, dict[str, object]] = app.openapi()["paths"]
    found = [methods for template, methods in templates.items() if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)]
    return sorted({method.upper() for methods in found for method in methods}) or ["GET"]


def export_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an export answers with: a file, what it is as of in headers, and errors."""
    kinds: dict[str, Any] = {
        JSON: {"schema": {"type": "object"}},
        "text/csv": {"schema": {"type": "string"}},
        "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    }
    meanings = {
        "X-Session-Active": "Whether the gate was open; if not, only an export with `internal=true` has symbols in it.",
        "X-As-Of-Epoch": "Epoch of the state that it is of.",
        "X-As-Of-Sequence": "Number of the last analysis record that it knows of.",
        "X-As-Of-Analysis-Offset": "Offset on the analysis topic from which to read on.",
        "X-As-Of-Now": "The session's time.",
    }
    headers = {name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in meanings.items()}
    return {
        200: {"description": "The export.", "content": kinds, "headers": headers},
        **_errors(statuses),
    }


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that may be left out can't be sent as null."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])


def page_answers(media_type: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a page answers with, which is not the API's own form."""
    schema = {"type": "object"} if media_type == JSON else {"type": "string"}
    said = {"content": {media_type: {"schema": schema}}}
    not_now: dict[int | str, dict[str, Any]] = {status: {"description": "Not now.", **said} for status in statuses}
    return {200: {"description": "All is well.", **said}, **not_now, **_errors((400, 421))}


def _answer(model: type[Struct]) -> dict[str, Any]:
    return {
        "description": (model.__doc__ or "").split("\n\n")[0],
        "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an app, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=app.openapi_tags)
        components = made.setdefault("components", {})
        components["schemas"] = {**components.get("schemas", {}), **schemas()}
        components["securitySchemes"] = {
            "readToken": {"type": "http", "scheme": "bearer", "description": "`STREAMS_READ_TOKEN` of the worker, for `internal=true`."},
            "commandToken": {"type": "http", "scheme": "bearer", "description": "`STREAMS_COMMAND_TOKEN` of the worker."},
        }
        for path, methods in made["paths"].items():
            for method, operation in methods.items():
                for parameter in operation.get("parameters", ()):
                    _without_null(parameter["schema"])
                if path.startswith("/v1"):
                    needs_command = method != "get" or "commands" in operation.get("tags", [])
                    operation["security"] = [{"commandToken": []}] if needs_command else [{}, {"readToken": []}]
        app.openapi_schema = made
    return app.openapi_schema
