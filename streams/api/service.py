"""What the routes work with: a read of the session behind its gate, as of one committed state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from fastapi import Depends, Query, Request
from msgspec import Struct
from starlette.responses import Response

from streams.api.access import Door
from streams.api.answers import Place, place
from streams.api.commander import Commander
from streams.api.guard import part_of
from streams.api.problems import JSON, refusal
from streams.api.reader import SessionReader
from streams.engine.reads import SessionData
from streams.engine.rollback import fork_state, fork_symbol
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.errors import ApiError, NotActiveError
from streams.model.views import SymbolSnapshot
from streams.times import Clock

T = TypeVar("T")

PREFIX = "/v1"


class Service:
    """What all routes share; the app's state has one."""

    def __init__(self, reader: SessionReader, commander: Commander, clock: Clock, *, reads: Door, commands: Door) -> None:
        self.reader = reader
        self.commander = commander
        self.clock = clock
        self.exporting = 0
        self.reads = reads
        self.commands = commands


class View(Struct, frozen=True):
    """A copy of one symbol, if the gate was open or one may look past it: `stored` as it is kept, `snapshot` as it is told."""

    place: Place
    state: SessionState
    data: SessionData
    stored: SymbolSessionData | None
    snapshot: SymbolSnapshot | None

    def interval(self, asked: str | None, *others: str) -> str | None:
        """The interval that a read is about: the one asked for, or the base interval. None when it may not be said.

        Args:
            others: intervals that there are besides the symbol's own.

        Raises:
            ApiError: the symbol has no such interval.
        """
        if self.snapshot is None:
            return asked
        has = dict.fromkeys((self.snapshot.base_interval, *self.snapshot.derived_intervals, *others))
        if asked is not None and asked not in has:
            raise ApiError(404, "unknown_interval", f"{self.snapshot.symbol} has no bars of {asked}: it has {', '.join(has)}")
        return asked or self.snapshot.base_interval

    @property
    def head(self) -> dict[str, Any]:
        """The fields that each answer begins with."""
        return {"as_of": self.place, "session_active": self.place.active}


class Reads:
    """One request's reads: whether it looks past the gate, and where it came from."""

    def __init__(self, request: Request, *, internal: bool) -> None:
        self._request = request
        self._internal = internal

    @property
    def internal(self) -> bool:
        """For the methods of `SessionData`."""
        return self._internal

    async def take(self, take: Callable[[SessionState], T]) -> tuple[Place, T]:
        """What `take` copies of the state.

        Raises:
            ApiError: the request may not look past the gate, and wants to.
            NotActiveError: this worker does not have the state.
        """
        service = service_of(self._request)
        await service.reader.check()  # a standby sends the request on, whatever its token
        if self._internal:
            service.reads.pass_with(self._request.headers.get("Authorization"))
        as_of, taken = await service.reader.take(take)
        return place(as_of), taken

    async def view(self, symbol: str) -> View:
        """A view of one symbol.

        Raises:
            ApiError: there is no such symbol, and the request may know that.
            NotActiveError: this worker does not have the state.
        """

        def take(state: SessionState) -> SessionState:
            data = state.symbols.get(symbol) if self._internal or state.active else None
            return fork_state(state, {} if data is None else {symbol: fork_symbol(data)})

        where, state = await self.take(take)
        data = SessionData(state)
        snapshot = data.get_symbol_data(symbol, internal=self._internal)
        if snapshot is None and (self._internal or where.active):
            raise ApiError(404, "unknown_symbol", f"{symbol} is not in the session: {PREFIX}/symbols lists what is")
        return View(where, state, data, state.symbols.get(symbol), snapshot)

    def page(self, path: Sequence[str], **query: object) -> str:
        """The path of another page: the parts of its path, and what its query says that is not None."""
        said = {name: str(value) for name, value in query.items() if value is not None}
        if self._internal:
            said["internal"] = "true"
        return "/".join((PREFIX, *(quote(part, safe="") for part in path))) + (f"?{urlencode(said)}" if said else "")


def service_of(request: Request) -> Service:
    """The app's service."""
    service: Service = request.app.state.service
    return service


def known_only(request: Request) -> None:
    """See that the query has only what the route knows: a typing error would be passed over, and another question answered.

    Raises:
        ApiError: it has not.
    """
    if not request.query_params:
        return
    operation = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            raise ApiError(422, "invalid", f"{name} is no parameter here: {', '.join(known) or 'there are none'}")


async def reads(
    request: Request,
    internal: Annotated[bool, Query(description="Look past the gate, which needs the read token.")] = False,
) -> Reads:
    """The request's reads, for a route to depend on."""
    known_only(request)
    return Reads(request, internal=internal)


async def symbol_of(symbol: str) -> str:
    """The symbol of a path, whose slash was sent as %2F."""
    return part_of(symbol)


def answer(body: Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A body as JSON."""
    return Response(msgspec.json.encode(body), status_code=status, headers=dict(headers or {}), media_type=JSON)


def send_on(request: Request, error: NotActiveError) -> Response:
    """What a worker answers that does not have the state: where to ask instead, or to ask again."""
    if error.owner_url:
        query = request.url.query
        path = request.scope.get("raw_path", b"").decode("latin-1").partition("?")[0] or quote(request.url.path)
        where = f"{error.owner_url}{path}" + (f"?{query}" if query else "")
        return refusal(ApiError(307, "elsewhere", f"this worker is a standby: ask {error.owner_url}", {"Location": where}))
    return refusal(ApiError(503, "not_active", f"{error}: ask again in a second", {"Retry-After": "1"}))


Reading = Annotated[Reads, Depends(reads)]
OfPath = Annotated[str, Depends(symbol_of)]
