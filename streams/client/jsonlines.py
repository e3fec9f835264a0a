"""Analysis records as JSON: the field names of `schemas/AnalysisEvent.avsc`, instants and dates as ISO 8601.

What is not set is left out, so that a line shows what it is about. For `watch --json` and for sinks of replays; on the
topic itself the records are Avro.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.times import date_of_days, iso
from streams.wire.messages import AnalysisBar, AnalysisEvent

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


def analysis_json(event: AnalysisEvent) -> dict[str, JsonValue]:
    """The record as an object for `json.dumps`, in the schema's order of fields."""
    fields: dict[str, JsonValue] = {
        "sequence": event.sequence,
        "epoch": event.epoch,
        "session": event.session,
        "emitted_at": iso(event.emitted_us),
        "kind": event.kind,
        "symbol": event.symbol,
        "interval": event.interval,
        "incarnation": event.incarnation,
        "trading_date": None if event.trading_days is None else date_of_days(event.trading_days).isoformat(),
        "bar": None if event.bar is None else _bar_json(event.bar),
        "reason": event.reason,
        "held_back": event.held_back or None,
    }
    if event.gate is not None:
        lagging: list[JsonValue] = [{"symbol": symbol.symbol, "lag_seconds": symbol.lag_seconds} for symbol in event.gate.lagging]
        fields["gate"] = {"active": event.gate.active, "reason": event.gate.reason, "lagging": lagging}
    if event.extent is not None:
        extent = event.extent
        first, last = iso(extent.first_start_us), iso(extent.last_end_us)
        fields["extent"] = {"cause": extent.cause, "first_start": first, "last_end": last, "count": extent.count}
    if event.interval_complete is not None:
        complete = event.interval_complete
        fields["interval_complete"] = {
            "end": iso(complete.end_us),
            "expected": complete.expected,
            "present": complete.present,
            "absent": list(complete.absent),
        }
    return {name: value for name, value in fields.items() if value is not None}


def _bar_json(bar: AnalysisBar) -> dict[str, JsonValue]:
    return {
        "start": iso(bar.start_us),
        "end": iso(bar.end_us),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "vwap": bar.vwap,
        "trades": bar.trades,
        "base_count": bar.base_count,
        "expected_count": bar.expected_count,
        "revision": bar.revision,
        "complete": bar.complete,
        "provenance": bar.provenance,
        "valid_until": iso(bar.valid_until_us),
    }
