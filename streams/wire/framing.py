"""The first bytes of a value: Confluent's framing, or JSON.

    byte 0       0, the magic byte
    bytes 1-4    id of the schema, big endian
    bytes 5-     the Avro body

A value whose first byte that is not blank is `{` is JSON of the same fields, so that a bar or a command can be sent by
any console producer. Anything else is refused with what was found; serializers that put the schema's id elsewhere leave traces by
which they, and the setting to change, can be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.errors import FramingError

MAGIC: Final = 0
HEADER_BYTES: Final = 5
_JSON_BEGIN: Final = ord("{")

APICURIO_HEADERS: Final = "apicurio.value."
CONFLUENT_HEADER: Final = "__value_schema_id"

_APICURIO_ID_BYTES: Final = 8
_APICURIO: Final = "apicurio.registry.headers.enabled=false and apicurio.registry.as-confluent=true"
_OR_JSON: Final = "or send JSON"


def header(schema_id: int) -> bytes:
    """The five bytes that go before an Avro body."""
    return b"\x00" + schema_id.to_bytes(4, "big")


def is_json(value: bytes) -> bool:
    """Whether a value is meant as JSON."""
    if not value or value[0] == MAGIC:
        return False
    return value[0] == _JSON_BEGIN or value.lstrip()[:1] == b"{"


def schema_id_of(value: bytes | None) -> int:
    """The schema id of a framed value; its body begins at `HEADER_BYTES`.

    Raises:
        FramingError: no value, no magic byte, or a header that is cut off.
    """
    if not value:
        raise FramingError("the value is empty, where a framed Avro record or a JSON object should be")
    if value[0] != MAGIC:
        raise FramingError(
            f"the value begins with byte 0x{value[0]:02x} ({value[:12]!r}), neither with 0 (Avro in Confluent framing) nor with '{{' (JSON)"
        )
    if len(value) < HEADER_BYTES:
        raise FramingError(f"the value has {len(value)} bytes ({value!r}), but the header of framed Avro alone has {HEADER_BYTES}")
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def hint_of(value: bytes | None, headers: Sequence[str]) -> str | None:
    """Where the schema id of a value stands that can't be decoded, and what to set at its producer; None where nothing tells.

    Args:
        value: as received.
        headers: the names of the message's headers, which Apicurio Registry 2's serializers, by default, and Confluent's
            `HeaderSchemaIdSerializer` put the id into.
    """
    if not value or is_json(value):
        return None
    found = next((name for name in headers if name.startswith(APICURIO_HEADERS) or name == CONFLUENT_HEADER), None)
    if found is not None and value[0] != MAGIC:
        setting = f"{_APICURIO} for its Apicurio serializer"
        if found == CONFLUENT_HEADER:
            setting = "its Confluent serializer's value.schema.id.serializer to PrefixSchemaIdSerializer, which is the default,"
        return f"its schema id is in the message's header {found}, not before the value: set {setting} at the producer, {_OR_JSON}"
    if value[:HEADER_BYTES] == header(0) and len(value) > 1 + _APICURIO_ID_BYTES:
        return f"it begins with an id of eight bytes, as Apicurio's serializers write it: set {_APICURIO} at the producer, {_OR_JSON}"
    return None
