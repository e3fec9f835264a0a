"""What is asked of a session over HTTP and what the answers mean, without any I/O: the two clients drive it.

Each read is a generator: it yields an `Ask`, is sent the `Got` that came of it, and returns what the method of `SessionData`
of the same name returns. An answer may have more fields than are read here: a later worker may say more.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import date, datetime
from typing import Final, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from streams.client import answers
from streams.client.answers import Place
from streams.errors import CommandRefusedError, NobodyThereError, RequestRefusedError
from streams.model.records import SessionBar
from streams.model.views import (
    ExportPosition,
    GapInfo,
    QuotesSnapshot,
    SessionMetrics,
    SymbolSnapshot,
    TicksSnapshot,
)
from streams.times import to_us

PREFIX: Final = "/v1"
PAGE: Final = 5000

A = TypeVar("A", bound=Struct)
T = TypeVar("T")

Door = Literal["read", "command"]


class Ask(Struct, frozen=True):
    """A request: its path, what its query and its body say, and which token it needs."""

    path: str
    method: str = "GET"
    query: dict[str, str] = {}
    body: dict[str, object] | None = None
    door: Door | None = None

    @property
    def target(self) -> str:
        """Path and query."""
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")


class Got(Struct, frozen=True):
    """An answer: its status, its body, and when it was asked for, in seconds of a clock that never goes back."""

    status: int
    body: bytes
    asked_at: float = 0.0


Call = Generator[Ask, Got, T]


class Overview(Struct, frozen=True):
    """The session as a whole. All but `place` is empty while it is inactive, unless the read was an internal one."""

    place: Place
    trading_date: date | None
    gate_reason: str | None
    lagging: dict[str, float]
    """Symbols that keep the gate shut, and by how many seconds they are behind."""
    active_symbols: frozenset[str]
    loaded_symbols: frozenset[str]
    pending_symbols: frozenset[str]
    symbols_with_derived: frozenset[str]


class Snapshot(Struct, frozen=True):
    """Bars of one symbol and interval, and where on the analysis topic one goes on after them."""

    place: Place
    bars: list[SessionBar]


class CommandResult(Struct, frozen=True):
    """What became of a command: `sent`, `accepted` or `completed`."""

    command_id: str
    command: str
    symbol: str
    status: str
    reason: str | None
    time: datetime


# ------------------------------------------------------------------------------------------------------------- reading


def told(got: Got, kind: type[A]) -> A:
    """The answer in a body.

    Raises:
        RequestRefusedError: the request was refused.
        NobodyThereError: what answered is not a session's worker.
    """
    if got.status >= 400:
        raise refusal(got)
    try:
        return msgspec.json.decode(got.body, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise NobodyThereError(f"what answered is not a session's worker, or not of a version that this client knows: {error}") from error


def place_of(got: Got) -> Place | None:
    """The place that an answer names, if it does."""
    try:
        return msgspec.json.decode(got.body, type=answers.PlacedFields).as_of if got.status == 200 else None
    except (msgspec.DecodeError, ValueError):
        return None


def refusal(got: Got) -> RequestRefusedError:
    """The error that an answer stands for."""
    try:
        fault = msgspec.json.decode(got.body, type=answers.RefusalFields).error
    except (msgspec.DecodeError, ValueError):
        return RequestRefusedError(got.status, "unknown", f"status {got.status}: {got.body[:200].decode(errors='replace')}")
    return RequestRefusedError(got.status, fault.code, fault.message)


def _read(path: Sequence[str], kind: type[A], *, internal: bool, **query: object) -> Call[A]:
    """The answer to a read.

    Raises:
        RequestRefusedError: the worker refuses it, with status 404 where there is no such symbol or interval.
    """
    return told((yield _ask(path, internal=internal, **query)), kind)


def _perhaps(read: Call[T]) -> Call[T | None]:
    """The answer to a read that asks whether there is such a symbol: None where there is not."""
    try:
        return (yield from read)
    except RequestRefusedError as error:
        if (error.status, error.code) == (404, "unknown_symbol"):
            return None
        raise


def _ask(path: Sequence[str], *, internal: bool, **query: object) -> Ask:
    said = {name: _text(value) for name, value in query.items() if value is not None}
    return Ask(_path(path), query=said | ({"internal": "true"} if internal else {}), door="read" if internal else None)


def _path(parts: Iterable[str]) -> str:
    return "/".join((PREFIX, *(quote(part, safe="") for part in parts)))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        to_us(value)  # a naive one names no instant
        return value.isoformat()
    return str(value)


def overview(*, internal: bool) -> Call[Overview]:
    """The session as a whole."""
    found = told((yield _ask(["session"], internal=internal)), answers.SessionFields)
    return Overview(
        found.as_of, found.trading_date, found.gate_reason, {one.symbol: one.lag_seconds for one in found.lagging},
        frozenset(found.active_symbols), frozenset(found.loaded_symbols), frozenset(found.pending_symbols),
        frozenset(found.symbols_with_derived),
    )  # fmt: skip


def symbols(which: Callable[[Overview], frozenset[str]], *, internal: bool) -> Call[frozenset[str]]:
    """A set of symbols of the session."""
    return which((yield from overview(internal=internal)))


def symbol_data(symbol: str, *, internal: bool) -> Call[SymbolSnapshot | None]:
    """A symbol as it stands; None where there is no such symbol."""
    return (yield from _perhaps(_symbol_data(symbol, internal=internal)))


def _symbol_data(symbol: str, *, internal: bool) -> Call[SymbolSnapshot | None]:
    found = yield from _read(["symbols", symbol], answers.OneSymbolFields, internal=internal)
    return None if found.symbol is None else found.symbol.snapshot()


def streamed_data(symbol: str, *, internal: bool) -> Call[list[str]]:
    """What is streamed for a symbol."""
    found = yield from _symbol_data(symbol, internal=internal)
    return [] if found is None else [found.base_interval, *found.streams]


def generated_data(symbol: str, *, internal: bool) -> Call[list[str]]:
    """The intervals that are computed for a symbol."""
    found = yield from _symbol_data(symbol, internal=internal)
    return [] if found is None else list(found.derived_intervals)


def snapshot(
    symbol: str, interval: str | None, *, start: datetime | None = None, end: datetime | None = None, what: str = "bars",
    on: date | None = None, internal: bool,
) -> Call[Snapshot | None]:  # fmt: skip
    """All pages of bars, as of the first one's place: what came between the pages is on analysis from there on; None as `symbol_data`."""
    return (yield from _perhaps(_pages(symbol, interval, start=start, end=end, what=what, on=on, internal=internal)))


def _pages(
    symbol: str, interval: str | None, *, start: datetime | None, end: datetime | None, what: str, on: date | None, internal: bool
) -> Call[Snapshot]:
    page = yield from _read(
        ["symbols", symbol, what], answers.BarsFields, internal=internal, interval=interval, start=start, end=end, on=on, limit=PAGE
    )  # fmt: skip
    place, bars = page.as_of, [one.record() for one in page.bars]
    while page.next is not None:
        page = told((yield Ask(page.next, door="read" if internal else None)), answers.BarsFields)
        bars += [one.record() for one in page.bars]
    return Snapshot(place, bars)


def bars(
    symbol: str, interval: str | None, *, start: datetime | None = None, end: datetime | None = None, what: str = "bars",
    on: date | None = None, internal: bool,
) -> Call[list[SessionBar]]:  # fmt: skip
    """Bars of the session, or of former days, in order."""
    return (yield from _pages(symbol, interval, start=start, end=end, what=what, on=on, internal=internal)).bars


def bars_ref(symbol: str, interval: str | None, *, internal: bool) -> Call[tuple[SessionBar, ...]]:
    """Bars of the session, not to be changed."""
    return tuple((yield from bars(symbol, interval, internal=internal)))


def last_bars(symbol: str, count: int, interval: str | None, *, internal: bool) -> Call[list[SessionBar]]:
    """The newest bars, oldest first."""
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    if count > PAGE:
        found = yield from bars(symbol, interval, internal=internal)
        return found[-count:]
    page = yield from _read(["symbols", symbol, "bars"], answers.BarsFields, internal=internal, interval=interval, last=count)
    return [one.record() for one in page.bars]


def bar_count(symbol: str, interval: str | None, *, internal: bool) -> Call[int]:
    """How many bars the session has."""
    page = yield from _read(["symbols", symbol, "bars"], answers.BarsFields, internal=internal, interval=interval, last=0)
    return page.bar_count


def latest_bar(symbol: str, interval: str | None, *, internal: bool) -> Call[SessionBar | None]:
    """The newest bar."""
    found = yield from _read(["symbols", symbol, "latest"], answers.LatestFields, internal=internal, interval=interval)
    return None if found.bar is None else found.bar.record()


def qualities(symbol: str, interval: str | None, *, internal: bool) -> Call[dict[str, float | None]]:
    """How complete the bars are, by interval: the base interval first."""
    found = yield from _read(["symbols", symbol, "quality"], answers.QualityFields, internal=internal, interval=interval)
    return {one.interval: one.quality for one in found.intervals}


def quality(symbol: str, interval: str | None, *, internal: bool) -> Call[float | None]:
    """How complete the bars of one interval are."""
    return next(iter((yield from qualities(symbol, interval, internal=internal)).values()), None)


def gaps(symbol: str, interval: str | None, *, internal: bool) -> Call[list[GapInfo]]:
    """Runs of missing bars."""
    page = yield from _read(["symbols", symbol, "gaps"], answers.GapsFields, internal=internal, interval=interval, limit=PAGE)
    found = list(page.gaps)
    while page.next is not None:
        page = told((yield Ask(page.next, door="read" if internal else None)), answers.GapsFields)
        found += page.gaps
    return [GapInfo(to_us(one.start), to_us(one.end), one.bar_count, one.retry_count) for one in found]


def export_position(symbol: str, *, internal: bool) -> Call[ExportPosition | None]:
    """How far exports of what is new have come."""
    found = yield from _read(["symbols", symbol], answers.OneSymbolFields, internal=internal)
    return None if found.export is None else ExportPosition(found.export.number, found.export.is_pending)


def metrics(symbol: str, *, internal: bool) -> Call[SessionMetrics | None]:
    """Volume, high and low of the session."""
    found = yield from _read(["symbols", symbol, "metrics"], answers.MetricsFields, internal=internal)
    return found.metrics


def quotes(symbol: str, *, internal: bool) -> Call[QuotesSnapshot | None]:
    """The latest quote, and how many there were."""
    found = yield from _read(["symbols", symbol, "quotes"], answers.OfQuotesFields, internal=internal)
    return found.snapshot()


def ticks(symbol: str, *, internal: bool) -> Call[TicksSnapshot | None]:
    """The latest tick, and how many there were."""
    found = yield from _read(["symbols", symbol, "ticks"], answers.OfTicksFields, internal=internal)
    return found.snapshot()


def indicators(symbol: str, *, internal: bool) -> Call[dict[str, float | None]]:
    """All indicators, by name."""
    found = yield from _read(["symbols", symbol, "indicators"], answers.IndicatorsFields, internal=internal)
    return found.indicators


def indicator(symbol: str, name: str, *, internal: bool) -> Call[float | None]:
    """One indicator."""
    return (yield from indicators(symbol, internal=internal)).get(name)


# ---------------------------------------------------------------------------------------------------------- commanding


def command(ask: Ask) -> Call[CommandResult]:
    """Send a command, and say what became of it.

    Raises:
        CommandRefusedError: it failed, with the worker's reason.
    """
    got = yield ask
    if got.status == 409:
        raise CommandRefusedError(str(refusal(got)))
    return told(got, CommandResult)


def add_symbol(
    symbol: str, *, streams: Sequence[str], start: datetime | None, must_exist: bool, command_id: str, wait_seconds: float
) -> Call[CommandResult]:
    """Add a symbol."""
    body: dict[str, object] = {"symbol": symbol, "streams": list(streams), "must_exist": must_exist, "command_id": command_id}
    if start is not None:
        body["start"] = _text(start)
    return command(Ask(_path(["symbols"]), "POST", body=body | {"wait_seconds": wait_seconds}, door="command"))


def remove_symbol(symbol: str, *, immediate: bool, command_id: str, wait_seconds: float) -> Call[CommandResult]:
    """Remove a symbol."""
    query = {"immediate": str(immediate).lower(), "command_id": command_id, "wait_seconds": str(wait_seconds)}
    return command(Ask(_path(["symbols", symbol]), "DELETE", query=query, door="command"))
