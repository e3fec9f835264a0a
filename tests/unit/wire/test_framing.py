"""Where other serializers put the schema's id, by what they really write: a bar of SPY under the project's schema.

The bytes are those of io.apicurio:apicurio-registry-serdes-avro-serde 2.6.8.Final, of the settings that are named beside them, and of
confluent-kafka 2.16.1 with `header_schema_id_serializer`, against registries that answered with global id 7.
"""

from __future__ import annotations

import pytest

from streams.model.records import Undecodable
from streams.model.rules_version import FIRST_RULES, RULES
from streams.model.validation import undecodable_reason
from streams.times import parse_instant
from streams.wire.codec import Codec
from streams.wire.framing import header, hint_of
from streams.wire.ranges import range_read

BODY = bytes.fromhex(
    "0653505904316d8098d4e1d489f40480b4f09ad589f4040000000000ec64400000000000f064400000000000e864400000000000ec64400000000000c092"
    "4000000866656564"
)
APICURIO_EIGHT = b"\x00" + (7).to_bytes(8, "big") + BODY
APICURIO_CONFLUENT = header(7) + BODY
APICURIO_HEADERS = ["apicurio.value.globalId", "apicurio.value.encoding"]
CODEC = Codec()

BEGINS = r"the value begins with byte 0x06 (b'\x06SPY\x041m\x80\x98\xd4\xe1\xd4')"
ONE_BYTE = f"{BEGINS}, neither with 0 (Avro in Confluent framing) nor with '{{' (JSON)"


def read(value: bytes, *names: str, stream: str | None = None) -> Undecodable:
    (record,) = range_read(CODEC, "SPY", 1, 0, 1, [0], [value], stream, lambda place: names).records
    assert isinstance(record, Undecodable)
    return record


@pytest.mark.parametrize("stream", [None, "quotes", "ticks"])
def test_an_id_in_apicurio_s_header_is_named_with_the_settings_to_change(stream: str | None) -> None:
    assert undecodable_reason(read(BODY, *APICURIO_HEADERS, stream=stream), RULES) == (
        f"{ONE_BYTE}; its schema id is in the message's header apicurio.value.globalId, not before the value: set "
        "apicurio.registry.headers.enabled=false and apicurio.registry.as-confluent=true for its Apicurio serializer at the producer, or "
        "send JSON"
    )


def test_an_id_in_confluent_s_header_is_named_with_the_setting_to_change() -> None:
    assert undecodable_reason(read(BODY, "__value_schema_id"), RULES) == (
        f"{ONE_BYTE}; its schema id is in the message's header __value_schema_id, not before the value: set its Confluent serializer's "
        "value.schema.id.serializer to PrefixSchemaIdSerializer, which is the default, at the producer, or send JSON"
    )


def test_an_id_of_eight_bytes_is_named_too() -> None:
    """With headers.enabled=false alone, Apicurio's serializer writes its own id of eight bytes."""
    found = read(APICURIO_EIGHT)
    assert found.message.startswith("schema id 0 is not in ids.json")
    assert (found.hint or "").startswith("it begins with an id of eight bytes, as Apicurio's serializers write it: set ")


def test_the_settings_that_are_named_give_the_framing_that_is_read() -> None:
    """With both, only the number is another than ours: what stands behind it is the body."""
    assert read(APICURIO_CONFLUENT) == Undecodable(
        "schema id 7 is not in ids.json: the writer may be newer than this reader, or use a Schema Registry"
    )
    schema_id = CODEC.ids.id_of("Bar")
    bar = CODEC.bar_from(header(schema_id) + APICURIO_CONFLUENT[5:])
    assert (bar.symbol, bar.start_us, bar.close) == ("SPY", parse_instant("2013-10-07T13:30:00Z"), 167.375)


@pytest.mark.parametrize(
    ("value", "names", "reason"),
    [
        (BODY, [], "bare Avro: nothing tells who wrote it"),
        (BODY, ["traceparent", "apicurio.key.globalId"], "headers about other things, or about the key"),
        (b'{"symbol": 5}', APICURIO_HEADERS, "JSON that is wrong"),
        (b"", APICURIO_HEADERS, "nothing"),
        (header(7) + BODY, ["__value_schema_id"], "the id is before the value as well"),
        (header(0), [], "cut off"),
    ],
)
def test_where_nothing_is_known_nothing_is_claimed(value: bytes, names: list[str], reason: str) -> None:
    assert hint_of(value, names) is None, reason


def test_a_dead_letter_of_the_first_rules_says_what_it_said() -> None:
    assert undecodable_reason(read(BODY, *APICURIO_HEADERS), FIRST_RULES) == ONE_BYTE
