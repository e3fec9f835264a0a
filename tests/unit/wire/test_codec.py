"""Every record comes back from its bytes as it went in, and bytes that are no record say what is wrong with them."""

from __future__ import annotations

import contextlib
import struct
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BodyError, FramingError, UnknownSchemaError, WireError
from streams.model.inputs import JournalRecord
from streams.model.records import Bar, ControlCommand, Quote, Tick
from streams.model.rows import BlockRow, Columns, Row
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent, CommandReply, SessionEvent
from tests.support import wire_records as drawn

CODEC = Codec()
BAR = Bar("A", "1m", 0, 60_000_000, 1.0, 2.0, 0.5, 1.5, 100.0, None, 7)
# By the Avro specification: zig-zag of 60,000,000 is 120,000,000 = 0, 28, 28, 57 in groups of seven bits, lowest first.
BAR_BODY = bytes.fromhex(
    "0241 04316d 00 809c9c39 000000000000f03f 0000000000000040 000000000000e03f 000000000000f83f 0000000000005940 00 020e 0866656564"
)
BAR_VALUE = b"\x00\x40\x00\x00\x00" + BAR_BODY


def test_a_bar_is_the_bytes_that_the_specification_asks_for() -> None:
    assert CODEC.bar_to_avro(BAR) == BAR_VALUE
    assert CODEC.bar_from(BAR_VALUE) == BAR


@given(drawn.bars)
def test_a_bar_comes_back_from_avro(bar: Bar) -> None:
    assert CODEC.bar_from(CODEC.bar_to_avro(bar)) == bar


@given(drawn.quotes)
def test_a_quote_comes_back_from_avro(quote: Quote) -> None:
    assert CODEC.quote_from(CODEC.quote_to_avro(quote)) == quote


@given(drawn.ticks)
def test_a_tick_comes_back_from_avro(tick: Tick) -> None:
    assert CODEC.tick_from(CODEC.tick_to_avro(tick)) == tick


@given(drawn.commands_at(drawn.instants))
def test_a_command_comes_back_from_avro(command: ControlCommand) -> None:
    assert CODEC.command_from(CODEC.command_to_avro(command), "unused", 0) == command


@given(drawn.replies)
def test_a_reply_comes_back(reply: CommandReply) -> None:
    assert CODEC.reply_from(CODEC.reply_to(reply)) == reply


@given(drawn.session_events)
def test_an_event_comes_back(event: SessionEvent) -> None:
    assert CODEC.event_from(CODEC.event_to(event)) == event


@given(drawn.analysis_events)
def test_an_analysis_record_comes_back(event: AnalysisEvent) -> None:
    assert CODEC.analysis_from(CODEC.analysis_to(event)) == event


@given(drawn.journal_records)
def test_a_journal_record_comes_back(record: JournalRecord) -> None:
    assert CODEC.journal_from(CODEC.journal_to(record)) == record


@given(drawn.rows)
def test_a_row_comes_back_as_the_row_that_it_was(row: Row) -> None:
    back = CODEC.row_from(CODEC.row_to(row))
    assert type(back) is type(row)
    assert back == row


def test_a_missing_vwap_in_a_column_stays_not_a_number() -> None:
    none = array("d")
    columns = Columns(0, array("q"), none, none, none, none, none, array("d", [1.5, float("nan")]), array("q"), array("q"), array("q"), ())
    back = CODEC.row_from(CODEC.row_to(BlockRow("A", 1, "1m", 1, 0, columns)))
    assert isinstance(back, BlockRow)
    assert back.bars.vwap.tobytes() == struct.pack("<dd", 1.5, float("nan"))


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (None, FramingError, "the value is empty"),  # a tombstone
        (b"", FramingError, "the value is empty"),
        (b"SPY,1m,168.0", FramingError, "begins with byte 0x53 (b'SPY,1m,168.0'), neither with 0 (Avro in Confluent framing) nor with '{'"),
        (b"\x01" + BAR_VALUE[1:], FramingError, "begins with byte 0x01"),  # wrong magic
        (b"\x00\x40\x00", FramingError, "the value has 3 bytes (b'\\x00@\\x00'), but the header of framed Avro alone has 5"),
        (b"\x00\x00\x00\x00\x07" + BAR_BODY, UnknownSchemaError, "schema id 7 is not in ids.json: "),
        (BAR_VALUE[:-1], BodyError, f"the body of a Bar (schema id 1073741824, {len(BAR_BODY) - 1} bytes) is cut off"),
        (BAR_VALUE[:5], BodyError, "the body of a Bar (schema id 1073741824, 0 bytes) is cut off"),
        (BAR_VALUE + b"\x00\x00", BodyError, "ends 2 bytes before the value does"),
        (b"\x00\x40\x00\x00\x00\x03" + BAR_BODY, BodyError, "is cut off or not of its schema"),  # a text of negative length
        (b"\x00\x40\x00\x00\x03\x00", BodyError, "the value is a ControlCommand (schema id 1073741827), where a Bar should be"),
        (b"\x00\x40\x00\x00\x00\x02\xff" + BAR_BODY[2:], BodyError, "UnicodeDecodeError"),
    ],
)
def test_bytes_that_are_no_bar_say_what_was_found(value: bytes | None, error: type[WireError], says: str) -> None:
    with pytest.raises(error) as caught:
        CODEC.bar_from(value)
    assert says in str(caught.value)


def test_a_row_of_another_record_says_which_records_are_rows() -> None:
    with pytest.raises(BodyError, match=r"the value is a Bar, where a table row should be \(SessionRow, "):
        CODEC.row_from(BAR_VALUE)


READERS: list[Callable[[bytes], object]] = [
    CODEC.bar_from,
    CODEC.quote_from,
    CODEC.tick_from,
    lambda value: CODEC.command_from(value, "id", 0),
    CODEC.reply_from,
    CODEC.event_from,
    CODEC.analysis_from,
    CODEC.journal_from,
    CODEC.row_from,
]
WRITTEN = st.one_of(
    drawn.bars.map(CODEC.bar_to_avro),
    drawn.quotes.map(CODEC.quote_to_avro),
    drawn.ticks.map(CODEC.tick_to_avro),
    drawn.commands_at(drawn.instants).map(CODEC.command_to_avro),
    drawn.replies.map(CODEC.reply_to),
    drawn.session_events.map(CODEC.event_to),
    drawn.analysis_events.map(CODEC.analysis_to),
    drawn.journal_records.map(CODEC.journal_to),
    drawn.rows.map(CODEC.row_to),
)


@given(WRITTEN, st.data())
def test_a_value_cut_off_anywhere_is_a_wire_error_for_every_reader(value: bytes, data: st.DataObject) -> None:
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    for read in READERS:
        with pytest.raises(WireError):
            read(cut)


@given(WRITTEN, st.data())
def test_a_value_with_more_behind_it_is_a_wire_error_for_every_reader(value: bytes, data: st.DataObject) -> None:
    longer = value + data.draw(st.binary(min_size=1, max_size=4))
    for read in READERS:
        with pytest.raises(WireError):
            read(longer)


@given(WRITTEN, st.integers(5, 10_000), st.binary(min_size=1, max_size=12))
def test_damaged_bytes_raise_nothing_but_wire_errors(value: bytes, at: int, damage: bytes) -> None:
    at %= len(value)
    damaged = value[:at] + damage + value[at + len(damage) :]
    for read in READERS:
        with contextlib.suppress(WireError):
            read(damaged)


@given(st.integers(2**30, 2**30 + 11), st.binary(max_size=60))
def test_arbitrary_bodies_raise_nothing_but_wire_errors(schema_id: int, body: bytes) -> None:
    for read in READERS:
        with contextlib.suppress(WireError):
            read(b"\x00" + schema_id.to_bytes(4, "big") + body)


def test_a_batch_gives_each_bar_or_its_error_in_place() -> None:
    json_bar = CODEC.bar_to_json(BAR)
    first, second, third, fourth = CODEC.decode_bars([BAR_VALUE, b"?", json_bar, None])
    assert (first, third) == (BAR, BAR)
    assert isinstance(second, FramingError)
    assert isinstance(fourth, FramingError)


def test_a_batch_of_quotes_or_ticks_gives_each_or_its_error_in_place() -> None:
    quote, tick = Quote("A", 1_381_152_600_000_000, 1.0, None, 3.0), Tick("A", 1_381_152_600_000_000, 1.0, 2.0)
    values = [CODEC.quote_to_avro(quote), CODEC.quote_to_json(quote), CODEC.tick_to_avro(tick), None]
    first, second, third, fourth = CODEC.decode_records("quotes", values)
    assert (first, second) == (quote, quote)
    assert isinstance(third, BodyError)
    assert "the value is a Tick (schema id" in str(third)
    assert isinstance(fourth, FramingError)
    assert CODEC.decode_records("ticks", [CODEC.tick_to_json(tick), CODEC.tick_to_avro(tick)]) == [tick, tick]
    assert CODEC.decode_records(None, [BAR_VALUE]) == [BAR]


@pytest.mark.parametrize(
    ("value", "command_id", "reason"),
    [
        (b'{"id": "c-7", "command": "explode", "symbol": "SPY"}', "c-7", "an unknown command can still be answered"),
        (b'{"id": "c-7"}', "c-7", "one with fields missing, too"),
        (b'{"id": 7}', None, "an id is a text"),
        (b'{"id": ""}', None, "and not empty"),
        (b"garbage", None, "nobody to answer"),
        (None, None, "a tombstone"),
    ],
)
def test_the_id_of_a_bad_command_is_found_where_there_is_one(value: bytes | None, command_id: str | None, reason: str) -> None:
    assert CODEC.command_id_in(value) == command_id, reason


def test_the_id_of_a_bad_avro_command_is_found() -> None:
    command = ControlCommand("c-8", "explode", "SPY", 0)
    value = CODEC.command_to_avro(command)
    with pytest.raises(BodyError, match="command must be add_symbol or remove_symbol or begin_export or end_export, got 'explode'"):
        CODEC.command_from(value, "unused", 0)
    assert CODEC.command_id_in(value) == "c-8"


@pytest.mark.parametrize("length", range(5, 60, 5))
def test_what_is_said_of_a_value_that_is_cut_off_is_the_same_each_time(length: int) -> None:
    value = CODEC.bar_to_avro(Bar("SPY", "1m", 1_381_152_600_000_000, 1_381_152_660_000_000, 1.0, 2.0, 0.5, 1.5, 10.0))[:length]
    told = []
    for others in range(3):
        with pytest.raises(BodyError) as raised:
            CODEC.bar_from(value)
        told.append((str(raised.value), [bytearray(64) for _ in range(others)]))  # what is kept moves the next object in memory
    assert len({text for text, _ in told}) == 1
    assert " at 0x" not in told[0][0]
