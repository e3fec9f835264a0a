"""The prepared ways write what fastavro writes and read what fastavro reads, on good bytes and on damaged ones."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.errors import WireError
from streams.model.inputs import JournalRecord
from streams.model.records import (
    AnalysisKind,
    Bar,
    Extent,
    GateChange,
    HeldBackBar,
    IntervalComplete,
    LaggingSymbol,
    Marker,
    PublishedBar,
    Quote,
    SessionBar,
    Tick,
)
from streams.model.rows import BlockRow, ProgressRow, Row, SessionRow
from streams.wire import forms
from streams.wire.analysis import AnalysisEncoder, analysis_event
from streams.wire.codec import Codec
from streams.wire.fast.numbers import Instants, Longs, Texts, Unusual, long_bytes, read_long, read_text
from streams.wire.messages import AnalysisBar, AnalysisEvent
from tests.support import wire_records as drawn

CODEC = Codec()
EVERY_WIDTH = [sign * 2**power + by for power in range(64) for by in (-1, 0, 1) for sign in (1, -1)]


def by_fastavro(schema: str, datum: object) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, datum)
    return out.getvalue()


@pytest.mark.parametrize("value", [value for value in EVERY_WIDTH if -(2**63) <= value < 2**63])
def test_a_long_of_every_width_is_what_fastavro_writes(value: int) -> None:
    coded = by_fastavro("long", value)
    assert long_bytes(value) == coded
    assert Longs()[value] == coded
    if len(coded) < 10:  # the widest are left to fastavro
        assert read_long(b"\xff" + coded + b"\xff", 1) == (value, 1 + len(coded))


@given(drawn.longs)
def test_a_long_is_what_fastavro_writes(value: int) -> None:
    assert long_bytes(value) == by_fastavro("long", value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_refused(value: int) -> None:
    with pytest.raises(OverflowError, match="does not fit into an Avro long"):
        long_bytes(value)


@given(st.text())
def test_a_text_is_what_fastavro_writes(value: str) -> None:
    coded = by_fastavro("string", value)
    assert Texts()[value] == coded
    assert read_text(coded, 0) == (value, len(coded))


@given(st.integers(2**48, 2**55 - 1))
def test_an_instant_is_read_from_its_eight_bytes(value: int) -> None:
    coded = by_fastavro("long", value)
    assert len(coded) == 8
    assert Instants()[int.from_bytes(coded, "little")] == value


@given(st.integers(0, 2**64 - 1))
def test_eight_bytes_that_are_no_instant_are_unusual(raw: int) -> None:
    data = raw.to_bytes(8, "little")
    usual = all(byte & 0x80 for byte in data[:7]) and data[7] < 0x80 and not data[0] & 1
    if usual:
        assert Instants()[raw] == fastavro.schemaless_reader(io.BytesIO(data), "long", None)
    else:
        with pytest.raises(Unusual):
            Instants()[raw]


def test_a_memory_that_is_full_begins_anew() -> None:
    longs = Longs()
    for value in range(20_000):
        assert longs[value] == long_bytes(value)
    assert len(longs) <= 2**14


@given(st.lists(drawn.bars, max_size=4))
def test_a_bar_is_written_as_fastavro_writes_it(bars: list[Bar]) -> None:
    codec = Codec(CODEC.ids)
    for bar in bars * 2:  # the second time from memory
        assert codec.bar_to_avro(bar) == CODEC.encode(forms.BAR, bar)


def outcome_of(read: object) -> object:
    """What reading gave: the repr, so that NaN equals itself, or the class of the error."""
    assert callable(read)
    try:
        return repr(read())
    except WireError as error:
        return type(error)


@given(st.lists(drawn.quotes | drawn.ticks, max_size=6))
def test_a_quote_or_a_tick_is_written_as_fastavro_writes_it(records: list[Quote | Tick]) -> None:
    codec = Codec(CODEC.ids)
    for one in records * 2:
        if isinstance(one, Quote):
            assert codec.quote_to_avro(one) == CODEC.encode(forms.QUOTE, one)
        else:
            assert codec.tick_to_avro(one) == CODEC.encode(forms.TICK, one)


QUOTE_VALUES = drawn.quotes.map(lambda one: (CODEC.quote_to_avro(one), forms.QUOTE))
TICK_VALUES = drawn.ticks.map(lambda one: (CODEC.tick_to_avro(one), forms.TICK))


@given(QUOTE_VALUES | TICK_VALUES, st.integers(0, 10_000), st.binary(min_size=1, max_size=10), st.integers(0, 3))
def test_a_damaged_quote_or_tick_is_read_as_fastavro_reads_it(
    written: tuple[bytes, forms.Form[Any]], at: int, damage: bytes, drop: int
) -> None:
    value, form = written
    at = 1 + at % (len(value) - 1)
    damaged = value[:at] + damage + value[at + len(damage) + drop :]
    codec = Codec(CODEC.ids)
    read: Callable[[bytes], object] = codec.quote_from if form is forms.QUOTE else codec.tick_from
    read(value)  # so that the damaged one meets a full memory
    assert outcome_of(lambda: read(damaged)) == outcome_of(lambda: CODEC.decode(form, damaged))


@given(QUOTE_VALUES | TICK_VALUES, st.integers(0, 7))
def test_each_bit_of_a_quote_or_tick_that_is_flipped_is_read_as_fastavro_reads_it(written: tuple[bytes, forms.Form[Any]], bit: int) -> None:
    value, form = written
    codec = Codec(CODEC.ids)
    read: Callable[[bytes], object] = codec.quote_from if form is forms.QUOTE else codec.tick_from
    for at in range(5, len(value)):
        damaged = bytearray(value)
        damaged[at] ^= 1 << bit
        framed = bytes(damaged)
        assert outcome_of(lambda framed=framed: read(framed)) == outcome_of(lambda framed=framed: CODEC.decode(form, framed))


BAR_VALUES = drawn.bars.map(CODEC.bar_to_avro)


@given(BAR_VALUES, st.integers(0, 10_000), st.binary(min_size=1, max_size=10), st.integers(0, 3))
@example(CODEC.bar_to_avro(Bar("A", "1m", 0, 1, 1, 1, 1, 1, 1)), 5, b"\x82\x00", 0)  # a length that is longer than it need be
def test_a_damaged_bar_is_read_as_fastavro_reads_it(value: bytes, at: int, damage: bytes, drop: int) -> None:
    at = 1 + at % (len(value) - 1)  # the magic byte is another test's
    damaged = value[:at] + damage + value[at + len(damage) + drop :]
    codec = Codec(CODEC.ids)
    codec.bar_from(value)  # so that the damaged one meets a full memory
    expected = outcome_of(lambda: CODEC.decode(forms.BAR, damaged))
    assert outcome_of(lambda: codec.bar_from(damaged)) == expected
    (found,) = codec.decode_bars([damaged])
    assert (type(found) if isinstance(found, WireError) else repr(found)) == expected


@given(BAR_VALUES, st.integers(0, 7))
def test_each_single_bit_that_is_flipped_is_read_as_fastavro_reads_it(value: bytes, bit: int) -> None:
    codec = Codec(CODEC.ids)
    codec.bar_from(value)
    for at in range(5, len(value)):
        damaged = bytearray(value)
        damaged[at] ^= 1 << bit
        framed = bytes(damaged)
        assert outcome_of(lambda framed=framed: codec.bar_from(framed)) == outcome_of(lambda framed=framed: CODEC.decode(forms.BAR, framed))


@given(drawn.progress_rows | drawn.block_rows | drawn.session_rows)
def test_a_row_of_every_batch_is_written_as_fastavro_writes_it(row: ProgressRow | BlockRow | SessionRow) -> None:
    assert CODEC.row_to(row) == CODEC.encode(forms.ROW_FORMS[type(row)], row)


@given(drawn.journal_records)
def test_a_journal_record_is_written_as_fastavro_writes_it(record: JournalRecord) -> None:
    assert CODEC.journal_to(record) == CODEC.encode(forms.JOURNAL, record)


@given(drawn.block_rows, st.integers(5, 10_000), st.binary(min_size=1, max_size=10), st.integers(0, 9))
def test_a_damaged_block_is_read_as_fastavro_reads_it(row: BlockRow, at: int, damage: bytes, drop: int) -> None:
    value = CODEC.row_to(row)
    at = 5 + at % (len(value) - 5)
    damaged = value[:at] + damage + value[at + len(damage) + drop :]
    assert outcome_of(lambda: CODEC.row_from(damaged)) == outcome_of(lambda: CODEC.decode(forms.BLOCK_ROW, damaged))


@given(drawn.block_rows)
def test_a_block_in_pieces_of_another_writer_is_read(row: BlockRow) -> None:
    """Avro allows an array in many blocks, with or without their sizes; other writers do so."""
    value = CODEC.row_to(row)
    slots = list(row.bars.slots)
    before = [row.incarnation, row.trading_days, row.index, row.bars.first_start_us]
    begin = 5 + sum(len(Texts()[text]) for text in (row.symbol, row.interval)) + sum(len(long_bytes(number)) for number in before)
    whole = (long_bytes(len(slots)) if slots else b"") + b"".join(map(long_bytes, slots)) + b"\x00"
    assert value[begin : begin + len(whole)] == whole
    one_by_one = b"".join(long_bytes(-1) + long_bytes(len(long_bytes(slot))) + long_bytes(slot) for slot in slots) + b"\x00"
    back: Row = CODEC.row_from(value[:begin] + one_by_one + value[begin + len(whole) :])
    assert back == row


@given(st.lists(drawn.published_bars, min_size=1, max_size=4), st.lists(drawn.instants, min_size=1, max_size=2), drawn.words, drawn.ints)
def test_a_published_bar_is_written_as_fastavro_writes_it(
    outcomes: list[PublishedBar], emitted: list[int], session: str, epoch: int
) -> None:
    encoder = AnalysisEncoder(CODEC, session=session, epoch=epoch)
    for emitted_us in emitted:
        for outcome in outcomes * 2:
            event = analysis_event(outcome, session=session, epoch=epoch, emitted_us=emitted_us)
            assert encoder.encode(outcome, emitted_us) == CODEC.analysis_to(event)


@given(drawn.published_bars, drawn.instants)
def test_a_bar_that_is_held_back_is_written_as_a_published_one_but_for_the_flag(outcome: PublishedBar, emitted_us: int) -> None:
    encoder = AnalysisEncoder(CODEC, session="main", epoch=3)
    held = HeldBackBar(*(getattr(outcome, name) for name in outcome.__struct_fields__))
    value, headers = encoder.held_back(held, emitted_us)
    assert value == CODEC.analysis_to(analysis_event(held, session="main", epoch=3, emitted_us=emitted_us))
    assert replace(CODEC.analysis_from(value), held_back=False) == CODEC.analysis_from(encoder.encode(outcome, emitted_us))
    assert headers == [*encoder.headers(outcome), ("held_back", b"true")]


@given(drawn.published_bars, drawn.ints, drawn.ints)
def test_another_incarnation_and_day_of_a_symbol_are_not_taken_from_memory(
    outcome: PublishedBar, incarnation: int, trading_days: int
) -> None:
    encoder = AnalysisEncoder(CODEC, session="main", epoch=1)
    encoder.encode(outcome, 0)
    other = PublishedBar(outcome.sequence, outcome.symbol, outcome.interval, incarnation, trading_days, outcome.bar, outcome.valid_until_us)
    event = CODEC.analysis_from(encoder.encode(other, 0))
    assert (event.incarnation, event.trading_days) == (incarnation, trading_days)


BAR_OUTCOME = PublishedBar(
    sequence=41,
    symbol="SPY",
    interval="5m",
    incarnation=2,
    trading_days=15_985,
    bar=SessionBar(1_381_152_600_000_000, 1_381_152_900_000_000, 168.0, 168.5, 167.5, 168.25, 1200.0, 168.1, 37, 4, 5, 1, False, "derived"),
    valid_until_us=1_381_152_960_000_000,
)


def test_a_published_bar_reaches_its_reader_field_by_field() -> None:
    encoder = AnalysisEncoder(CODEC, session="main", epoch=3)
    assert CODEC.analysis_from(encoder.encode(BAR_OUTCOME, 1_381_152_901_000_000)) == AnalysisEvent(
        sequence=41,
        epoch=3,
        session="main",
        emitted_us=1_381_152_901_000_000,
        kind="bar",
        symbol="SPY",
        interval="5m",
        incarnation=2,
        trading_days=15_985,
        bar=AnalysisBar(
            start_us=1_381_152_600_000_000,
            end_us=1_381_152_900_000_000,
            open=168.0,
            high=168.5,
            low=167.5,
            close=168.25,
            volume=1200.0,
            vwap=168.1,
            trades=37,
            base_count=4,
            expected_count=5,
            revision=1,
            complete=False,
            provenance="derived",
            valid_until_us=1_381_152_960_000_000,
        ),
    )


@given(drawn.markers, drawn.instants)
def test_a_marker_reaches_its_reader(marker: Marker, emitted_us: int) -> None:
    event = CODEC.analysis_from(AnalysisEncoder(CODEC, session="main", epoch=3).encode(marker, emitted_us))
    assert (event.sequence, event.epoch, event.session, event.emitted_us, event.kind) == (
        marker.sequence,
        3,
        "main",
        emitted_us,
        marker.kind.value,
    )
    assert event.bar is None
    for name in ("symbol", "interval", "incarnation", "trading_days", "gate", "extent", "interval_complete", "reason"):
        assert getattr(event, name) == getattr(marker, name), name


def test_the_headers_of_a_bar_let_a_consumer_filter_without_decoding() -> None:
    encoder = AnalysisEncoder(CODEC, session="main", epoch=3)
    for _ in range(2):  # the second time from memory
        assert encoder.headers(BAR_OUTCOME) == [
            ("kind", b"bar"),
            ("symbol", b"SPY"),
            ("interval", b"5m"),
            ("sequence", b"41"),
            ("epoch", b"3"),
            ("end_us", b"1381152900000000"),
            ("valid_until_us", b"1381152960000000"),
        ]


def test_a_marker_has_only_the_headers_that_apply() -> None:
    encoder = AnalysisEncoder(CODEC, session="main", epoch=3)
    shut = Marker(7, AnalysisKind.DEACTIVATED, gate=GateChange(False, "lagging", (LaggingSymbol("SPY", 61.5),)))
    held_back = Marker(8, AnalysisKind.HELD_BACK, "Ü/1", "1m", 2, 15_985, extent=Extent("gate_closed", 0, 60_000_000, 1))
    assert encoder.headers(shut) == [("kind", b"deactivated"), ("sequence", b"7"), ("epoch", b"3")]
    assert encoder.headers(held_back) == [
        ("kind", b"held_back"),
        ("symbol", "Ü/1".encode()),
        ("interval", b"1m"),
        ("sequence", b"8"),
        ("epoch", b"3"),
    ]
    complete = Marker(9, AnalysisKind.INTERVAL_COMPLETE, interval="1m", interval_complete=IntervalComplete(60_000_000, 3, 2, ("SPY",)))
    assert encoder.headers(complete) == [
        ("kind", b"interval_complete"), ("interval", b"1m"), ("sequence", b"9"), ("epoch", b"3"), ("end_us", b"60000000"),
    ]  # fmt: skip
