"""The analysis topic's records from the engine's outcomes.

    encoder = AnalysisEncoder(codec, session="main", epoch=1)
    value = encoder.encode(outcome, clock.now_us())
    headers = encoder.headers(outcome)

Bars are nearly all of the topic, so they have a prepared way: what is the same for all bars of a symbol and interval, or
of a batch, is coded once, the rest with one `struct` call. The bytes are those that fastavro writes; a property test
holds the two against each other. Markers are rare and go through fastavro.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import asdict

from streams.records import AnalysisKind, Marker, PublishedBar, SessionBar
from streams.wire.bars import stretch
from streams.wire.codec import Codec
from streams.wire.framing import header
from streams.wire.messages import AnalysisBar, AnalysisEvent
from streams.wire.numbers import NULL, PRESENT, Longs, Texts, long_bytes

_FULL: Final = 1 << 14
# gate, extent, interval_complete, reason: a bar has none of them.
_NO_MORE: Final = NULL * 4


class AnalysisEncoder:
    """Encodes one session's outcomes.

    Args:
        codec: knows the schema ids, and encodes markers.
        session: the session's name.
        epoch: the session's epoch.
    """

    def __init__(self, codec: Codec, *, session: str, epoch: int) -> None:
        self._codec = codec
        self._session = session
        self._epoch = epoch
        self._header = header(codec.ids.id_of("AnalysisEvent"))
        self._longs = Longs()
        self._texts = Texts()
        self._origin = self._longs[epoch] + self._texts[session]
        self._emitted_us = -1
        self._stamp = b""
        self._leads: dict[tuple[str, str], tuple[int, int, bytes]] = {}
        self._ends: dict[tuple[int, int, int, bool, str], bytes] = {}
        self._fixed_headers: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        self._epoch_header = ("epoch", str(epoch).encode())

    def encode(self, outcome: PublishedBar | Marker, emitted_us: int) -> bytes:
        """The framed record of an outcome that the worker emits at `emitted_us`."""
        if type(outcome) is not PublishedBar:
            return self._codec.analysis_to(analysis_event(outcome, session=self._session, epoch=self._epoch, emitted_us=emitted_us))
        if emitted_us != self._emitted_us:
            self._stamp = self._origin + long_bytes(emitted_us)
            self._emitted_us = emitted_us
        lead = self._leads.get((outcome.symbol, outcome.interval))
        if lead is None or lead[0] != outcome.incarnation or lead[1] != outcome.trading_days:
            lead = self._learn_lead(outcome)
        bar = outcome.bar
        end = self._ends.get((bar.base_count, bar.expected_count, bar.revision, bar.complete, bar.provenance))
        if end is None:
            end = self._learn_end(bar)
        longs = self._longs
        return b"".join(
            (
                self._header,
                long_bytes(outcome.sequence),
                self._stamp,
                lead[2],
                stretch(bar, longs),
                end,
                longs[outcome.valid_until_us],
                _NO_MORE,
            )
        )

    def headers(self, outcome: PublishedBar | Marker) -> list[tuple[str, bytes]]:
        """What a consumer can filter on without decoding, as UTF-8 text; only what the outcome has."""
        if type(outcome) is PublishedBar:
            fixed = self._fixed_headers.get((outcome.symbol, outcome.interval))
            if fixed is None:
                fixed = self._learn_headers(outcome)
            return [
                *fixed,
                ("sequence", b"%d" % outcome.sequence),
                self._epoch_header,
                ("end_us", b"%d" % outcome.bar.end_us),
                ("valid_until_us", b"%d" % outcome.valid_until_us),
            ]
        kind = AnalysisKind.BAR if isinstance(outcome, PublishedBar) else outcome.kind
        found = [("kind", kind.encode())]
        if outcome.symbol is not None:
            found.append(("symbol", outcome.symbol.encode()))
        if outcome.interval is not None:
            found.append(("interval", outcome.interval.encode()))
        return [*found, ("sequence", b"%d" % outcome.sequence), self._epoch_header]

    def _learn_lead(self, outcome: PublishedBar) -> tuple[int, int, bytes]:
        texts, longs = self._texts, self._longs
        coded = b"".join(
            (
                texts[AnalysisKind.BAR.value],
                PRESENT + texts[outcome.symbol],
                PRESENT + texts[outcome.interval],
                PRESENT + longs[outcome.incarnation],
                PRESENT + longs[outcome.trading_days],
                PRESENT,
            )
        )
        if len(self._leads) >= _FULL:
            self._leads.clear()
        lead = self._leads[(outcome.symbol, outcome.interval)] = (outcome.incarnation, outcome.trading_days, coded)
        return lead

    def _learn_end(self, bar: SessionBar) -> bytes:
        longs = self._longs
        coded = b"".join(
            (
                longs[bar.base_count],
                longs[bar.expected_count],
                longs[bar.revision],
                b"\x01" if bar.complete else b"\x00",
                self._texts[bar.provenance],
            )
        )
        if len(self._ends) >= _FULL:
            self._ends.clear()
        self._ends[(bar.base_count, bar.expected_count, bar.revision, bar.complete, bar.provenance)] = coded
        return coded

    def _learn_headers(self, outcome: PublishedBar) -> list[tuple[str, bytes]]:
        if len(self._fixed_headers) >= _FULL:
            self._fixed_headers.clear()
        fixed = [("kind", b"bar"), ("symbol", outcome.symbol.encode()), ("interval", outcome.interval.encode())]
        self._fixed_headers[(outcome.symbol, outcome.interval)] = fixed
        return fixed


def analysis_event(outcome: PublishedBar | Marker, *, session: str, epoch: int, emitted_us: int) -> AnalysisEvent:
    """What a reader of the analysis topic gets for an outcome."""
    if isinstance(outcome, PublishedBar):
        return AnalysisEvent(
            sequence=outcome.sequence,
            epoch=epoch,
            session=session,
            emitted_us=emitted_us,
            kind=AnalysisKind.BAR.value,
            symbol=outcome.symbol,
            interval=outcome.interval,
            incarnation=outcome.incarnation,
            trading_days=outcome.trading_days,
            bar=AnalysisBar(**asdict(outcome.bar), valid_until_us=outcome.valid_until_us),
        )
    return AnalysisEvent(
        sequence=outcome.sequence,
        epoch=epoch,
        session=session,
        emitted_us=emitted_us,
        kind=outcome.kind.value,
        symbol=outcome.symbol,
        interval=outcome.interval,
        incarnation=outcome.incarnation,
        trading_days=outcome.trading_days,
        gate=outcome.gate,
        extent=outcome.extent,
        interval_complete=outcome.interval_complete,
        reason=outcome.reason,
    )
