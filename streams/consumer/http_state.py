"""Warm up over HTTP: the bars as the worker's state has them, whatever was published of them.

Each answer says as of which record it is. The answers for many symbols are of many moments: reading goes on behind the oldest,
and the seam passes over what a younger one has already. Without a read token the state can be read only while the gate is open;
with one always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from threading import Event
from types import TracebackType
from typing import Final, Protocol

from streams.client.answers import Place
from streams.client.calls import Overview
from streams.client.calls import Snapshot as SeriesSnapshot
from streams.client.connection import URL
from streams.client.session import SessionClient
from streams.consumer.place import Position
from streams.consumer.warmup import Snapshot, Source, Wanted, in_order
from streams.errors import RequestRefusedError, WarmUpError
from streams.kafka.clients import session_of
from streams.model.records import AnalysisKind, SessionBar
from streams.model.views import SymbolSnapshot
from streams.times import days_of, from_us, to_us
from streams.wire.messages import AnalysisBar, AnalysisEvent

WAIT_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.2
_ATTEMPTS: Final = 20


class Reads(Protocol):
    """What is needed of `SessionClient`."""

    place: Place | None

    def __enter__(self) -> Reads:
        """Itself."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let the connections go."""
        ...

    def get_overview(self, *, internal: bool = False) -> Overview:
        """The session as a whole."""
        ...

    def get_symbol_data(self, symbol: str, *, internal: bool = False) -> SymbolSnapshot | None:
        """A symbol as it stands."""
        ...

    def get_snapshot(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> SeriesSnapshot | None:
        """The session's bars of an interval, and what they are as of."""
        ...

    def get_bars(
        self,
        symbol: str,
        interval: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        internal: bool = False,
    ) -> list[SessionBar]:
        """Some of them."""
        ...


class _MovedError(Exception):
    """What has been read is not of one piece: the gate was shut, the session begun anew, or a symbol came again."""


class HttpState:
    """Bars of the day from the workers of the session.

    Args:
        url: a worker's, or several of them.
        internal: read through the shut gate too, which needs a read token.
        read_token: that token; by default what STREAMS_READ_TOKEN says.
        wait_seconds: how long to wait for the gate, where the read is not an internal one.
        connect: makes the client.
    """

    def __init__(
        self,
        url: str | Sequence[str] = URL,
        *,
        internal: bool = False,
        read_token: str | None = None,
        wait_seconds: float = WAIT_SECONDS,
        connect: Callable[[], Reads] | None = None,
    ) -> None:
        self._internal = internal
        self._wait_seconds = wait_seconds
        self._connect: Callable[[], Reads] = connect or (lambda: SessionClient(url, read_token=read_token))

    def snapshot(self, source: Source, wanted: Wanted) -> Snapshot:
        """The bars of each symbol's trading day.

        Raises:
            WarmUpError: the gate was not open for long enough, or the session does not stand still for long enough.
            NobodyThereError: no worker answers.
            RequestRefusedError: the token is not the right one.
        """
        with self._connect() as reads:
            for _ in range(_ATTEMPTS):
                begun = self._open_session(source, reads)
                try:
                    events = [
                        event for symbol in sorted(begun.active_symbols) for event in self._symbol(reads, symbol, wanted, begun.place)
                    ]
                    end = self._checked(reads.get_overview(internal=self._internal).place, begun.place)
                except _MovedError:
                    continue
                position = Position(begun.place.epoch, begun.place.sequence, begun.place.analysis_offset)
                return Snapshot(position, in_order(events), begun.place.active, closes_at=end.sequence)
        raise WarmUpError(
            f"the state could not be read in one piece in {_ATTEMPTS} attempts: the gate opens and shuts, or symbols come and go"
        )

    def stretch(self, source: Source, symbol: str, interval: str, start_us: int, end_us: int) -> list[AnalysisEvent]:
        """The bars of a symbol and interval within `[start_us, end_us)` as they are now; errors as for `snapshot`."""
        with self._connect() as reads:
            self._open_session(source, reads)
            data = reads.get_symbol_data(symbol, internal=self._internal)
            if data is None:
                return []
            try:
                bars = reads.get_bars(symbol, interval, start=from_us(start_us), end=from_us(end_us), internal=self._internal)
            except RequestRefusedError as error:
                if error.status == 404:  # the symbol went meanwhile, or came back with other intervals
                    return []
                raise
            return [] if reads.place is None else list(_events(data, interval, bars, reads.place))

    def _open_session(self, source: Source, reads: Reads) -> Overview:
        """The session as it stands, once it may be read."""
        pause, deadline = Event(), source.clock.monotonic() + self._wait_seconds
        while True:
            found = reads.get_overview(internal=self._internal)
            if found.place.session != session_of(source.settings):
                raise WarmUpError(f"the worker runs session {found.place.session!r}, and {source.settings.session!r} is asked for")
            if self._internal or found.place.active:
                return found
            if source.clock.monotonic() > deadline:
                raise WarmUpError(
                    f"the gate of session {found.place.session!r} was shut for {self._wait_seconds:g} s, and while it is, its state is "
                    "given to internal reads only: wait for it, or set internal=True, which needs the worker's read token"
                )
            pause.wait(_PAUSE_SECONDS)

    def _symbol(self, reads: Reads, symbol: str, wanted: Wanted, begun: Place) -> list[AnalysisEvent]:
        """The bars of a symbol, all of one incarnation and day."""
        if wanted.symbols is not None and symbol not in wanted.symbols:
            return []
        data = reads.get_symbol_data(symbol, internal=self._internal)
        self._checked(reads.place, begun)
        if data is None:
            return []
        events: list[AnalysisEvent] = []
        for interval in (data.base_interval, *data.derived_intervals):
            if wanted.has(symbol, interval):
                try:
                    found = reads.get_snapshot(symbol, interval, internal=self._internal)
                except RequestRefusedError as error:
                    if error.status == 404:  # the interval went with a change of the config
                        raise _MovedError from None
                    raise
                self._checked(reads.place, begun)
                if found is not None:
                    events += _events(data, interval, found.bars, found.place)
        again = reads.get_symbol_data(symbol, internal=self._internal)
        self._checked(reads.place, begun)
        if again is None or (again.incarnation, again.trading_date) != (data.incarnation, data.trading_date):
            raise _MovedError
        return events

    def _checked(self, place: Place | None, begun: Place) -> Place:
        if place is None or place.epoch != begun.epoch or not (self._internal or place.active):
            raise _MovedError
        return place


def _events(data: SymbolSnapshot, interval: str, bars: Iterable[SessionBar], place: Place) -> Iterable[AnalysisEvent]:
    """Bars of the state in the form of records; they are history, so none of them is fresh any longer than it lasts."""
    emitted_us, days = to_us(place.now), days_of(data.trading_date)
    for bar in bars:
        values = {name: getattr(bar, name) for name in SessionBar.__struct_fields__}
        yield AnalysisEvent(
            place.sequence, place.epoch, place.session, emitted_us, AnalysisKind.BAR.value, data.symbol, interval, data.incarnation, days,
            bar=AnalysisBar(**values, valid_until_us=bar.end_us),
        )  # fmt: skip
