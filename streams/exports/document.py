"""An export as JSON: one layout for a symbol, several or the session, and one for what is new. docs/export.md lists the fields.

The layout has a number, `format`. It goes up when a field changes its meaning or goes; a reader of this one skips fields that
it does not know. Numbers come back as they were to the last bit, instants are ISO 8601 in UTC. The text comes in pieces, so that
a day of one-second bars of a thousand symbols is never in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from streams.engine.reads import SessionData
from streams.engine.rules import exports
from streams.engine.state.export_marks import Exports
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import Quote, SessionBar, Tick
from streams.model.views import GapInfo, QuotesSnapshot, TicksSnapshot
from streams.times import SECOND_US, date_of_days, interval_us, iso

FORMAT: Final = 1
"""The number of the layout."""

_BARS_A_PIECE: Final = 500
_encode: Final = msgspec.json.encode


def document(state: SessionState, symbols: Iterable[SymbolSessionData], *, is_gated: bool = False) -> Iterator[bytes]:
    """All that a state has of these symbols; while the gate is shut one who `is_gated` learns of the session where it stands, no more."""
    own = _session(state)
    if is_gated and not state.active:
        own |= dict.fromkeys(("gate_reason", "trading_date"))
    yield _open({"format": FORMAT, "kind": "full", **own}) + b',\n"symbols":['
    reads = SessionData(state)
    separator = b"\n"
    for data in symbols:
        yield separator
        yield from _symbol(reads, data)
        separator = b",\n"
    yield b"]}\n"


def new_document(state: SessionState, data: SymbolSessionData) -> Iterator[bytes]:
    """The export under way of a symbol."""
    number = 0 if data.exports is None else data.exports.number
    own = {"symbol": data.symbol, "incarnation": data.incarnation, "number": number}
    yield _open({"format": FORMAT, "kind": "new", **_session(state), **own}) + b',\n"series":['
    separator = b"\n"
    for (days, interval), bars in exports.new_bars(data):
        yield separator + _open({"interval": interval, "trading_date": _date(days)}) + b',"bars":'
        yield from _bars(bars)
        yield b"}"
        separator = b",\n"
    yield b"]}\n"


def bar_fields(bar: SessionBar) -> dict[str, Any]:
    """A bar as it stands in the document."""
    return {
        "start": iso(bar.start_us), "end": iso(bar.end_us),
        "open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close, "volume": bar.volume, "vwap": bar.vwap,
        "trades": bar.trades, "base_count": bar.base_count, "expected_count": bar.expected_count, "revision": bar.revision,
        "complete": bar.complete, "provenance": bar.provenance,
    }  # fmt: skip


def gaps_fields(gaps: list[GapInfo]) -> dict[str, Any]:
    """The gaps of an interval, nested as they stand under it."""
    return {
        "gap_count": len(gaps),
        "missing_bars": sum(gap.bar_count for gap in gaps),
        "ranges": [{"start_time": iso(gap.start_us), "end_time": iso(gap.end_us), "bar_count": gap.bar_count} for gap in gaps],
    }


def _session(state: SessionState) -> dict[str, Any]:
    return {
        "session": state.config.session_name, "epoch": state.epoch, "transaction": state.transaction, "sequence": state.sequence,
        "as_of": iso(state.now_us), "active": state.active, "gate_reason": state.gate_reason, "trading_date": _date(state.days),
    }  # fmt: skip


def _symbol(reads: SessionData, data: SymbolSessionData) -> Iterator[bytes]:
    yield _open(_identity(reads, data)) + b',\n"bars":{'
    separator = b"\n"
    for interval in (data.base_interval, *data.derived_intervals):
        series = data.series(interval)
        if series is not None:
            quality = reads.get_quality(data.symbol, interval, internal=True)
            gaps = None if quality is None else gaps_fields(reads.get_gaps(data.symbol, interval, internal=True))
            facts = {"quality": quality, "gaps": gaps, "bar_count": len(series)}
            yield separator + _encode(interval) + b":" + _open(facts) + b',"bars":'
            yield from _bars(series)
            yield b"}"
            separator = b",\n"
    yield b'},\n"historical":{'
    separator = b"\n"
    for days, by_interval in sorted(data.historical.items()):
        yield separator + _encode(_date(days)) + b":{"
        inner = b""
        for interval in sorted(by_interval, key=interval_us):
            yield inner + _encode(interval) + b":"
            yield from _bars(by_interval[interval])
            inner = b",\n"
        yield b"}"
        separator = b",\n"
    yield b"}}"


def _identity(reads: SessionData, data: SymbolSessionData) -> dict[str, Any]:
    data.settle_metrics()
    counts, exported = data.counts, data.exports or Exports()
    return {
        "symbol": data.symbol, "incarnation": data.incarnation, "status": data.status.value, "is_loaded": data.is_loaded,
        "reason": data.reason, "base_interval": data.base_interval, "derived_intervals": data.derived_intervals,
        "streams": list(data.extras), "trading_date": _date(data.day.days), "topic_id": data.topic_id, "offset": data.offset,
        "lagging": data.lagging, "lag_seconds": data.lag_us / SECOND_US, "silent": data.silent,
        "metrics": {
            "volume": data.session_volume, "high": data.session_high, "low": data.session_low, "bar_count": len(data.bars),
            "last_update": iso(data.last_update_us) if data.last_update_us >= 0 else None,
        },
        "counts": {name: getattr(counts, name) for name in sorted(counts.__slots__)},
        "quotes": _extra(reads.get_quotes(data.symbol, internal=True)),
        "ticks": _extra(reads.get_ticks(data.symbol, internal=True)),
        "indicators": reads.get_indicators(data.symbol, internal=True),
        "export": {"number": exported.number, "is_pending": exported.is_pending},
    }  # fmt: skip


def _extra(found: QuotesSnapshot | TicksSnapshot | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "trading_date": found.trading_date.isoformat(), "count": found.count, "total": found.total,
        "out_of_hours": found.out_of_hours, "rejected": found.rejected, "latest": _latest(found.latest),
    }  # fmt: skip


def _latest(found: Quote | Tick | None) -> dict[str, Any] | None:
    if found is None:
        return None
    fields: dict[str, Any] = msgspec.structs.asdict(found)
    del fields["symbol"]
    return {"time": iso(fields.pop("time_us")), **fields}


def _bars(bars: Iterable[SessionBar]) -> Iterator[bytes]:
    remaining = iter(bars)
    separator = b"[\n"
    while chunk := list(islice(remaining, _BARS_A_PIECE)):
        yield separator + b",\n".join([_encode(bar_fields(bar)) for bar in chunk])
        separator = b",\n"
    yield b"]" if separator == b",\n" else b"[]"


def _open(fields: dict[str, Any]) -> bytes:
    """An object to which more is to be added."""
    return _encode(fields)[:-1]


def _date(days: int) -> str | None:
    return date_of_days(days).isoformat() if days else None
