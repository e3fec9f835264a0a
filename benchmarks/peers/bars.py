"""What the peers share, so that they do the same work: the bars' Avro, their own, and the fold into 5m and 15m bars.

It runs in the peers' environment, without this project. fastavro reads the values behind the five bytes of framing.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import fastavro

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def _plain(schema: dict) -> dict:
    """The schema with numbers for instants: datetimes would cost the peers time that the work does not ask for."""
    for field in schema["fields"]:
        if isinstance(field["type"], dict) and field["type"].get("logicalType") == "timestamp-micros":
            field["type"] = "long"
    return fastavro.parse_schema(schema)


BAR = _plain(json.loads((SCHEMAS / "Bar.avsc").read_text(encoding="utf-8")))
OUTPUT = fastavro.parse_schema(json.loads(Path(__file__).with_name("Output.avsc").read_text(encoding="utf-8")))
FRAMING_BYTES = 5
DERIVED = (("5m", 300_000_000), ("15m", 900_000_000))


def decode(value: bytes) -> dict:
    """The bar of a record's value."""
    return fastavro.schemaless_reader(io.BytesIO(value[FRAMING_BYTES:]), BAR, None)


def encode(bar: dict) -> bytes:
    """The value of an output record."""
    to = io.BytesIO()
    fastavro.schemaless_writer(to, OUTPUT, bar)
    return to.getvalue()


def fold(windows: dict, value: bytes) -> list[bytes]:
    """Take a record into a symbol's open windows, in place; gives the outputs: the bar, and derived bars that it completes."""
    bar = decode(value)
    start, end = bar["start"], bar["end"]
    outputs = [encode(bar)]
    for name, length in DERIVED:
        window_start = start - start % length
        window = windows.get(name)
        if window is None or window["start"] != window_start:
            window = windows[name] = {
                "symbol": bar["symbol"], "interval": name, "start": window_start, "end": window_start + length,
                "open": bar["open"], "high": bar["high"], "low": bar["low"], "close": bar["close"], "volume": bar["volume"],
            }  # fmt: skip
        else:
            window["high"] = max(window["high"], bar["high"])
            window["low"] = min(window["low"], bar["low"])
            window["close"] = bar["close"]
            window["volume"] += bar["volume"]
        if end == window["end"]:
            outputs.append(encode(window))
    return outputs
