"""The analysis topic's records from the engine's outcomes.

    encoder = AnalysisEncoder(codec, session="main", epoch=1)
    value, headers = encoder.record(outcome, clock.now_us())

Bars are nearly all of the topic, so they have a prepared way: what is the same for all bars of a symbol and interval, or
of a batch, is coded once, the rest with one `struct` call. The bytes are those that fastavro writes; a property test
holds the two against each other. Markers are rare and go through fastavro.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import asdict

from streams.model.records import AnalysisKind, HeldBackBar, Marker, PublishedBar, SessionBar
from streams.wire.codec import Codec
from streams.wire.fast.bars import figures
from streams.wire.fast.numbers import NULL, PRESENT, Longs, Texts, long_bytes
from streams.wire.framing import header
from streams.wire.messages import AnalysisBar, AnalysisEvent

_FULL: Final = 1 << 14
# gate, extent, interval_complete, reason: a bar has none of them; and it was not held back.
_NO_MORE: Final = NULL * 4 + b"\x00"
_TRUE: Final = b"\x01"

Header = tuple[str, bytes]

_HELD_BACK: Final[Header] = ("held_back", b"true")


class _Stream:
    """What all bars of a symbol's interval have in common, as long as its incarnation and trading day last.

    `ending` is that of its latest bar which was complete and never replaced: the next one most likely has the same.
    """

    __slots__ = ("ending", "expected", "headers", "incarnation", "lead", "provenance", "trading_days")

    def __init__(self, incarnation: int, trading_days: int, lead: bytes, headers: tuple[Header, Header, Header]) -> None:
        self.incarnation = incarnation
        self.trading_days = trading_days
        self.lead = lead
        self.headers = headers
        self.expected = -1
        self.provenance = ""
        self.ending = b""


class _Instants(dict[int, tuple[bytes, Header]]):
    """Instants as Avro longs, with what always stands behind them, and as headers.

    Those of a batch are few, since the bars of all symbols share them.
    """

    def __init__(self, header_name: str, behind: bytes = b"") -> None:
        super().__init__()
        self._name = header_name
        self._behind = behind

    def __missing__(self, instant_us: int) -> tuple[bytes, Header]:
        if len(self) >= _FULL:
            self.clear()
        found = self[instant_us] = long_bytes(instant_us) + self._behind, (self._name, b"%d" % instant_us)
        return found


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
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._bar_ends = _Instants("end_us")
        self._validities = _Instants("valid_until_us", _NO_MORE)
        self._epoch_header = ("epoch", str(epoch).encode())

    def record(self, outcome: PublishedBar | HeldBackBar | Marker, emitted_us: int) -> tuple[bytes, list[Header]]:
        """The framed value of an outcome that the worker emits at `emitted_us`, and its headers.

        Headers are what a consumer can filter on without decoding, as UTF-8 text; only what the outcome has.
        """
        if isinstance(outcome, Marker):
            event = analysis_event(outcome, session=self._session, epoch=self._epoch, emitted_us=emitted_us)
            return self._codec.analysis_to(event), self._marker_headers(outcome)
        if emitted_us != self._emitted_us:
            self._stamp = self._origin + long_bytes(emitted_us)
            self._emitted_us = emitted_us
        stream = self._streams.get((outcome.symbol, outcome.interval))
        if stream is None or stream.incarnation != outcome.incarnation or stream.trading_days != outcome.trading_days:
            stream = self._learn_stream(outcome)
        bar, sequence = outcome.bar, outcome.sequence
        expected, provenance = bar.expected_count, bar.provenance
        if bar.complete and not bar.revision and expected == stream.expected and provenance == stream.provenance:
            ending = stream.ending
        else:
            ending = self._ending(stream, bar)
        end, end_header = self._bar_ends[bar.end_us]
        valid_until, validity_header = self._validities[outcome.valid_until_us]
        value = b"".join(
            (
                self._header,
                long_bytes(sequence),
                self._stamp,
                stream.lead,
                self._longs[bar.start_us],
                end,
                figures(bar),
                ending,
                valid_until,
            )
        )
        kind, symbol, interval = stream.headers
        return value, [kind, symbol, interval, ("sequence", b"%d" % sequence), self._epoch_header, end_header, validity_header]

    def held_back(self, outcome: HeldBackBar, emitted_us: int) -> tuple[bytes, list[Header]]:
        """The record of a bar for the ungated topic: as it would be on analysis, but for the flag, the last field of all."""
        value, headers = self.record(outcome, emitted_us)
        return value[:-1] + _TRUE, [*headers, _HELD_BACK]

    def encode(self, outcome: PublishedBar | Marker, emitted_us: int) -> bytes:
        """The framed value alone."""
        return self.record(outcome, emitted_us)[0]

    def headers(self, outcome: PublishedBar | Marker) -> list[Header]:
        """The headers alone."""
        return self.record(outcome, 0)[1]

    def _marker_headers(self, marker: Marker) -> list[Header]:
        found = [("kind", marker.kind.encode())]
        if marker.symbol is not None:
            found.append(("symbol", marker.symbol.encode()))
        if marker.interval is not None:
            found.append(("interval", marker.interval.encode()))
        found += [("sequence", b"%d" % marker.sequence), self._epoch_header]
        if marker.interval_complete is not None:
            found.append(("end_us", b"%d" % marker.interval_complete.end_us))
        return found

    def _learn_stream(self, outcome: PublishedBar | HeldBackBar) -> _Stream:
        texts, longs = self._texts, self._longs
        lead = b"".join(
            (
                texts[AnalysisKind.BAR.value],
                PRESENT + texts[outcome.symbol],
                PRESENT + texts[outcome.interval],
                PRESENT + longs[outcome.incarnation],
                PRESENT + longs[outcome.trading_days],
                PRESENT,
            )
        )
        headers = (("kind", b"bar"), ("symbol", outcome.symbol.encode()), ("interval", outcome.interval.encode()))
        if len(self._streams) >= _FULL:
            self._streams.clear()
        stream = self._streams[outcome.symbol, outcome.interval] = _Stream(outcome.incarnation, outcome.trading_days, lead, headers)
        return stream

    def _ending(self, stream: _Stream, bar: SessionBar) -> bytes:
        longs = self._longs
        ending = b"".join(
            (
                longs[bar.base_count],
                longs[bar.expected_count],
                longs[bar.revision],
                b"\x01" if bar.complete else b"\x00",
                self._texts[bar.provenance],
            )
        )
        if bar.complete and bar.base_count == bar.expected_count and not bar.revision:
            stream.expected, stream.provenance, stream.ending = bar.expected_count, bar.provenance, ending
        return ending


def analysis_event(outcome: PublishedBar | HeldBackBar | Marker, *, session: str, epoch: int, emitted_us: int) -> AnalysisEvent:
    """What a reader of the analysis topic, or of the ungated one, gets for an outcome."""
    if not isinstance(outcome, Marker):
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
            held_back=isinstance(outcome, HeldBackBar),
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
