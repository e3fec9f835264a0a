"""Commands to the session: add a symbol, remove one, and what became of a command."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.responses import Response

from streams.api.answers import CommandAnswer
from streams.api.document import COMMAND, answers
from streams.api.parameters import Instant, Stream
from streams.api.service import PREFIX, OfPath, Service, answer, known_only, service_of
from streams.engine.state.session import SessionState
from streams.errors import ApiError, InvalidSymbolError
from streams.model.records import MAX_SYMBOL_LENGTH, CommandKind, ControlCommand, check_symbol
from streams.times import from_us, to_us

LONGEST_WAIT_SECONDS = 60.0
WAIT_SECONDS = 10.0
ID_PATTERN = "^[A-Za-z0-9._:-]{1,128}$"

router = APIRouter(prefix=PREFIX, tags=["commands"])

CommandId = Annotated[
    str | None,
    Field(pattern=ID_PATTERN, description="An id of your own: a command that is sent again under it is answered again, not run again."),
]
Wait = Annotated[
    float,
    Field(ge=0, le=LONGEST_WAIT_SECONDS, description="How long to wait for the final reply, in seconds; after that the answer is 202."),
]
Symbol = Annotated[
    str,
    AfterValidator(check_symbol),
    WithJsonSchema(
        {
            "type": "string",
            "format": "symbol",
            "minLength": 1,
            "maxLength": MAX_SYMBOL_LENGTH,
            "description": "The symbol: printable characters without blanks or `|`.",
            "examples": ["IBM"],
        }
    ),
]


async def commanding(request: Request) -> Service:
    """The app's service, for a request that may command."""
    known_only(request)
    service = service_of(request)
    await service.reader.check()
    service.commands.pass_with(request.headers.get("Authorization"))
    return service


Commanding = Annotated[Service, Depends(commanding)]


class AddSymbol(BaseModel):
    """A symbol to add to the session, with its history."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    symbol: Symbol
    streams: Annotated[list[Stream], Field(max_length=32)] = Field(
        default=[], description="Intervals to stream, and quotes or ticks; empty for the config's.", examples=[["1m", "5m"]]
    )
    start: Annotated[Instant | None, Field(description="Read from this instant instead of the trading day's open.")] = None
    must_exist: Annotated[bool, Field(description="Refuse a symbol whose topic does not exist, instead of making the topic.")] = False
    command_id: CommandId = None
    wait_seconds: Wait = WAIT_SECONDS


@router.post("/symbols", summary="Add a symbol", response_class=Response, responses=answers(CommandAnswer, *COMMAND, _202=CommandAnswer))
async def add_symbol(request: Request, service: Commanding, body: AddSymbol) -> Response:
    """Add a symbol while the session runs. 200 when it is loaded, 202 when that takes longer than one waits."""
    command = ControlCommand(
        id=body.command_id or str(uuid.uuid4()), kind=CommandKind.ADD_SYMBOL, symbol=body.symbol, sent_us=service.clock.now_us(),
        streams=tuple(body.streams), start_us=None if body.start is None else to_us(body.start), must_exist=body.must_exist,
        sender=_sender(request),
    )  # fmt: skip
    return await _send(service, command, body.wait_seconds)


@router.delete(
    "/symbols/{symbol}",
    summary="Remove a symbol",
    response_class=Response,
    responses=answers(CommandAnswer, *COMMAND, 404, _202=CommandAnswer),
)
async def remove_symbol(
    request: Request,
    service: Commanding,
    symbol: OfPath,
    immediate: Annotated[bool, Query(description="Remove it at once, without reading what its topic holds at this moment.")] = False,
    command_id: Annotated[CommandId, Query()] = None,
    wait_seconds: Annotated[Wait, Query()] = WAIT_SECONDS,
) -> Response:
    """Remove a symbol and everything that is kept about it. 200 when it is gone, 202 when that takes longer than one waits."""
    command = ControlCommand(
        id=command_id or str(uuid.uuid4()), kind=CommandKind.REMOVE_SYMBOL, symbol=_possible(symbol), sent_us=service.clock.now_us(),
        immediate=immediate, sender=_sender(request),
    )  # fmt: skip
    return await _send(service, command, wait_seconds)


@router.get(
    "/commands/{command_id}",
    summary="What became of a command",
    response_class=Response,
    responses=answers(CommandAnswer, *(one for one in COMMAND if one not in (409, 413)), 404),
)
async def command(service: Commanding, command_id: Annotated[str, Path(pattern=ID_PATTERN)]) -> Response:
    """The newest reply to a command of the last seven days."""
    _, row = await service.reader.take(lambda state: _row(state, command_id))
    if row is None:
        raise ApiError(404, "unknown_command", f"no command {command_id} has come to the session in the last seven days")
    return answer(row)


def _row(state: SessionState, command_id: str) -> CommandAnswer | None:
    row = state.commands.get(command_id)
    if row is None:
        return None
    return CommandAnswer(
        command_id=row.id, command=row.kind, symbol=row.symbol, status=row.status, reason=row.reason, time=from_us(row.time_us)
    )


async def _send(service: Service, command: ControlCommand, wait_seconds: float) -> Response:
    reply = await service.commander.send(command, wait_seconds)
    if reply is None:
        sent = CommandAnswer(
            command_id=command.id, command=command.kind, symbol=command.symbol, status="sent", reason=None, time=from_us(command.sent_us)
        )
        return answer(sent, 202)
    status = 200 if reply.status == "completed" else 202
    return answer(
        CommandAnswer(
            command_id=reply.command_id, command=reply.kind, symbol=reply.symbol, status=reply.status, reason=reply.reason,
            time=from_us(reply.time_us),
        ),
        status,
    )  # fmt: skip


def _possible(symbol: str) -> str:
    try:
        return check_symbol(symbol)
    except InvalidSymbolError as error:
        raise ApiError(404, "unknown_symbol", f"there is no such symbol in any session: {error}") from None


def _sender(request: Request) -> str:
    return "http" if request.client is None else f"http {request.client.host}"
