"""Errors as clients see them: JSON of one form, `{"error": {"code": ..., "message": ...}}`, whose message says what would be right."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from streams.errors import ApiError

JSON = "application/json"


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """What was wrong."""

    code: Annotated[str, Meta(description="What was wrong, as one word for programs.", examples=["unknown_symbol"])]
    message: Annotated[
        str,
        Meta(
            description="What was wrong and what would be right, for people.",
            examples=["SPX is not in the session: /v1/symbols lists what is"],
        ),
    ]


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """An error."""

    error: Fault


def refusal(error: ApiError) -> Response:
    """The answer that an error is."""
    body = msgspec.json.encode(Refusal(Fault(error.code, str(error))))
    return Response(body, status_code=error.status, headers=dict(error.headers), media_type=JSON)
