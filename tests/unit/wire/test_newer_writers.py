"""Avro of a producer whose schema has gained fields, as a registry gives it: read, and the fields named."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from streams.errors import BodyError
from streams.model.records import Bar
from streams.wire.codec import Codec
from streams.wire.framing import header
from streams.wire.ids import IdFile
from streams.wire.schemas import Schema

NEWER_ID = 77
BAR: dict[str, Any] = {
    "symbol": "SPY", "interval": "1m", "start": 1_381_152_600_000_000, "end": 1_381_152_660_000_000, "open": 168.0, "high": 168.1,
    "low": 167.9, "close": 168.05, "volume": 1200.0, "vwap": None, "trades": None, "provenance": "feed",
}  # fmt: skip


class Newer(IdFile):
    """The project's ids, and a bar whose volume may be null and that has an exchange and a count of quotes besides."""

    def __init__(self) -> None:
        super().__init__()
        types = {"symbol": "string", "interval": "string", "start": "long", "end": "long", "vwap": ["null", "double"],
                 "trades": ["null", "long"], "provenance": "string", "volume": ["null", "double"]}  # fmt: skip
        fields = [{"name": name, "type": types.get(name, "double")} for name in BAR]
        fields[3:3] = [{"name": "exchange", "type": "string"}]
        fields.append({"name": "quotes", "type": ["null", "long"], "default": None})
        self.newer = fastavro.parse_schema({"type": "record", "name": "Bar", "namespace": "streams", "fields": fields})

    def schema_of(self, schema_id: int) -> Schema:
        return Schema("Bar", NEWER_ID, self.newer) if schema_id == NEWER_ID else super().schema_of(schema_id)

    def without(self, name: str) -> bytes:
        fields = [field for field in self.newer["fields"] if field["name"] != name]  # type: ignore[index, call-overload]
        self.newer = fastavro.parse_schema({"type": "record", "name": "Bar", "namespace": "streams", "fields": fields})
        return self.write()

    def write(self, **changes: object) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self.newer, {**BAR, "exchange": "ARCX", "quotes": 3, **changes})
        return header(NEWER_ID) + out.getvalue()


def test_a_bar_of_a_newer_writer_is_read_and_its_further_fields_are_named() -> None:
    ids = Newer()
    unknown: dict[int, tuple[str, ...]] = {}
    read = Codec(ids).decode_bars([ids.write(), Codec().bar_to_avro(Bar(*BAR.values()))], unknown=unknown)
    assert read == [Bar(*BAR.values())] * 2
    assert unknown == {0: ("exchange", "quotes")}


def test_a_null_or_a_lack_of_a_required_field_is_a_dead_letter_that_names_it() -> None:
    ids = Newer()
    with pytest.raises(BodyError, match="volume is null: a Bar must have a value there"):
        Codec(ids).bar_from(ids.write(volume=None))
    with pytest.raises(BodyError, match=r"No default value for field volume in streams\.Bar"):
        Codec(ids).bar_from(ids.without("volume"))
