"""`SessionClient`: the reads of `SessionData`, and commands, over HTTP.

    with SessionClient("http://127.0.0.1:6066") as session:
        bars = session.get_bars("SPY", "1m")                    # [] while the gate is shut
        all_of_them = session.get_bars("SPY", internal=True)    # needs the read token

The methods are those of `streams.engine.reads.SessionData`, with the same answers, so that what is written for a session in
process runs over HTTP. Several workers may be given, `"http://a:6066,http://b:6066"`: whichever has the state answers, also after
the other was killed. `place` says which committed state the last answer was of.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import date, datetime
from types import TracebackType
from typing import TypeVar

import httpx

from streams.client import calls
from streams.client.answers import Place
from streams.client.calls import Ask, Call, CommandResult, Got, Overview, Snapshot
from streams.client.connection import BROKEN, KEPT, PATIENCE_SECONDS, URL, WAIT_SECONDS, Connection, seconds_for
from streams.config.settings import HEARTBEAT_TIMEOUT_SECONDS
from streams.model.records import SessionBar
from streams.model.views import (
    ExportPosition,
    GapInfo,
    QuotesSnapshot,
    SessionMetrics,
    SymbolSnapshot,
    TicksSnapshot,
)
from streams.times import Clock

__all__ = ["CommandResult", "Overview", "Place", "SessionClient", "Snapshot"]

T = TypeVar("T")


class SessionClient(Connection):
    """Reads and commands a session over HTTP; a context manager.

    Args:
        url: the worker's, or several of them with commas between, or a list.
        read_token: for internal reads; by default what STREAMS_READ_TOKEN says.
        command_token: for commands; by default what STREAMS_COMMAND_TOKEN says.
        patience_seconds: how long to go on asking while nobody has the state, as while a standby takes over.
        heartbeat_timeout_seconds: for how long after an answer `active` holds; 0: for ever.
        transport: what httpx sends through instead of the network, for tests.
        clock: what patience is measured by.

    Raises:
        SettingsError: no URL, or one that is none.
    """

    def __init__(
        self,
        url: str | Sequence[str] = URL,
        *,
        read_token: str | None = None,
        command_token: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        heartbeat_timeout_seconds: float = HEARTBEAT_TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            url, read_token=read_token, command_token=command_token, patience_seconds=patience_seconds,
            heartbeat_timeout_seconds=heartbeat_timeout_seconds, clock=clock,
        )  # fmt: skip
        self._http = httpx.Client(transport=transport, limits=KEPT)

    def __enter__(self) -> SessionClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def get_active_symbols(self, *, internal: bool = False) -> frozenset[str]:
        """All symbols of the session, however far they are."""
        return self._run(calls.symbols(lambda found: found.active_symbols, internal=internal))

    def get_loaded_symbols(self, *, internal: bool = False) -> frozenset[str]:
        """The symbols whose bars are being read."""
        return self._run(calls.symbols(lambda found: found.loaded_symbols, internal=internal))

    def get_pending_symbols(self, *, internal: bool = False) -> frozenset[str]:
        """The symbols that are being loaded."""
        return self._run(calls.symbols(lambda found: found.pending_symbols, internal=internal))

    def get_symbols_with_derived(self, *, internal: bool = False) -> frozenset[str]:
        """The symbols that have derived intervals."""
        return self._run(calls.symbols(lambda found: found.symbols_with_derived, internal=internal))

    def get_streamed_data(self, symbol: str, *, internal: bool = False) -> list[str]:
        """What is streamed for a symbol: its base interval, quotes, ticks."""
        return self._run(calls.streamed_data(symbol, internal=internal))

    def get_generated_data(self, symbol: str, *, internal: bool = False) -> list[str]:
        """The intervals that are computed for a symbol, shortest first."""
        return self._run(calls.generated_data(symbol, internal=internal))

    def get_symbol_data(self, symbol: str, *, internal: bool = False) -> SymbolSnapshot | None:
        """A symbol as it stands."""
        return self._run(calls.symbol_data(symbol, internal=internal))

    def get_bars(
        self,
        symbol: str,
        interval: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        internal: bool = False,
    ) -> list[SessionBar]:
        """The session's bars with `start <= bar.start < end`, in order; without bounds all."""
        return self._run(calls.bars(symbol, interval, start=start, end=end, internal=internal))

    def get_bars_ref(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> tuple[SessionBar, ...]:
        """The session's bars, not to be changed. Over HTTP it is a copy all the same."""
        return self._run(calls.bars_ref(symbol, interval, internal=internal))

    def get_latest_bar(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> SessionBar | None:
        """The newest bar of the session."""
        return self._run(calls.latest_bar(symbol, interval, internal=internal))

    def get_last_n_bars(self, symbol: str, count: int, interval: str | None = None, *, internal: bool = False) -> list[SessionBar]:
        """The newest `count` bars of the session, oldest first."""
        return self._run(calls.last_bars(symbol, count, interval, internal=internal))

    def get_bars_since(self, symbol: str, since: datetime, interval: str | None = None, *, internal: bool = False) -> list[SessionBar]:
        """The session's bars that start at `since` or later, in order."""
        return self._run(calls.bars(symbol, interval, start=since, internal=internal))

    def get_bar_count(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> int:
        """How many bars the session has."""
        return self._run(calls.bar_count(symbol, interval, internal=internal))

    def get_quality(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> float | None:
        """Bars present of bars expected between the open and now, in percent; None where a missing bar is no gap."""
        return self._run(calls.quality(symbol, interval, internal=internal))

    def get_qualities(self, symbol: str, *, internal: bool = False) -> dict[str, float | None]:
        """The quality of all intervals of a symbol, the base interval first."""
        return self._run(calls.qualities(symbol, None, internal=internal))

    def get_gaps(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> list[GapInfo]:
        """Runs of missing bars between the open and now, in order; none where a missing bar is no gap."""
        return self._run(calls.gaps(symbol, interval, internal=internal))

    def get_session_metrics(self, symbol: str, *, internal: bool = False) -> SessionMetrics | None:
        """Volume, high and low of the session."""
        return self._run(calls.metrics(symbol, internal=internal))

    def get_historical_bars(
        self, symbol: str, interval: str | None = None, *, on: date | None = None, internal: bool = False
    ) -> list[SessionBar]:
        """The bars of the trading days before the session's that are kept, oldest first; `on` picks one day."""
        return self._run(calls.bars(symbol, interval, what="history", on=on, internal=internal))

    def get_indicator(self, symbol: str, name: str, *, internal: bool = False) -> float | None:
        """An indicator over past days by its name in the config; None with too few bars, or where there is none."""
        return self._run(calls.indicator(symbol, name, internal=internal))

    def get_indicators(self, symbol: str, *, internal: bool = False) -> dict[str, float | None]:
        """All indicators over past days that the config declares, by name."""
        return self._run(calls.indicators(symbol, internal=internal))

    def get_export_position(self, symbol: str, *, internal: bool = False) -> ExportPosition | None:
        """How far exports of what is new have come."""
        return self._run(calls.export_position(symbol, internal=internal))

    def get_quotes(self, symbol: str, *, internal: bool = False) -> QuotesSnapshot | None:
        """The latest quote and how many there were; None for a symbol that streams none."""
        return self._run(calls.quotes(symbol, internal=internal))

    def get_ticks(self, symbol: str, *, internal: bool = False) -> TicksSnapshot | None:
        """The latest tick and how many there were; None for a symbol that streams none."""
        return self._run(calls.ticks(symbol, internal=internal))

    def get_snapshot(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> Snapshot | None:
        """The session's bars, and where on the analysis topic one goes on after them. None for a symbol that is not there."""
        return self._run(calls.snapshot(symbol, interval, internal=internal))

    def get_overview(self, *, internal: bool = False) -> Overview:
        """The session as a whole: the gate, and the symbols by how far they are."""
        return self._run(calls.overview(internal=internal))

    def add_symbol(
        self,
        symbol: str,
        *,
        streams: Sequence[str] = (),
        start: datetime | None = None,
        must_exist: bool = False,
        wait_seconds: float = WAIT_SECONDS,
        command_id: str | None = None,
    ) -> CommandResult:
        """Add a symbol to the session, with its history.

        Args:
            symbol: the symbol.
            streams: intervals to stream, quotes or ticks; empty for the config's.
            start: read from this instant instead of the trading day's open.
            must_exist: refuse a symbol whose topic does not exist, instead of making the topic.
            wait_seconds: how long to wait until it is loaded, at most 60; after that the status is `sent` or `accepted`.
            command_id: an id of your own; a repeated one is answered again and not run again.

        Raises:
            CommandRefusedError: it failed; the message is the worker's reason.
            NobodyThereError: nobody answered in time.
        """
        return self._run(
            calls.add_symbol(
                symbol,
                streams=streams,
                start=start,
                must_exist=must_exist,
                command_id=command_id or str(uuid.uuid4()),
                wait_seconds=wait_seconds,
            )
        )

    def remove_symbol(
        self, symbol: str, *, immediate: bool = False, wait_seconds: float = WAIT_SECONDS, command_id: str | None = None
    ) -> CommandResult:
        """Remove a symbol and everything that is kept about it; parameters and errors as for `add_symbol`.

        `immediate` removes it at once; otherwise what its topic holds at this moment is read first.
        """
        return self._run(
            calls.remove_symbol(symbol, immediate=immediate, command_id=command_id or str(uuid.uuid4()), wait_seconds=wait_seconds)
        )

    def _run(self, call: Call[T]) -> T:
        got: Got | None = None
        try:
            ask = next(call)
            while True:
                answer = self._send(ask)
                if got is None:
                    self._note(answer)
                got = answer
                ask = call.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, ask: Ask) -> Got:
        attempts, headers = self._begin(ask)
        while True:
            if attempts.pause_seconds:
                time.sleep(attempts.pause_seconds)
            attempts.send()
            try:
                response = self._http.request(ask.method, attempts.url, headers=headers, json=ask.body, timeout=seconds_for(ask))
            except BROKEN as error:
                attempts.broke(str(error) or type(error).__name__)
                continue
            except httpx.TransportError as error:
                attempts.failed(str(error) or type(error).__name__)
                continue
            if attempts.answered(response.status_code, response.headers.get("Location")):
                return self._end(attempts, response)
