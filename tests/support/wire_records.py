"""Hypothesis strategies for every record that goes over the wire."""

from __future__ import annotations

from array import array
from typing import TypeVar

from hypothesis import strategies as st
from msgspec import Struct

from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import (
    AnalysisKind,
    Bar,
    CommandKind,
    ControlCommand,
    Extent,
    GateChange,
    IntervalComplete,
    LaggingSymbol,
    Marker,
    PublishedBar,
    Quote,
    SessionBar,
    Tick,
)
from streams.model.rows import (
    AttemptRow,
    BlockRow,
    Columns,
    CommandRow,
    CompletedRow,
    ConfigRow,
    ExportRow,
    IndicatorRow,
    IndicatorsRow,
    LatestQuote,
    LatestTick,
    MarkRow,
    ProgressRow,
    QualityRow,
    RunRow,
    SessionRow,
    StreamRow,
    StretchRow,
    SymbolRow,
    ToldRow,
    WaitingRow,
    WindowRow,
)
from streams.wire.messages import AnalysisBar, AnalysisEvent, CommandReply, SessionEvent

T = TypeVar("T", bound=Struct)

JULY_2013_US = 1_372_636_800_000_000

words = st.text(max_size=12)
symbols = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="|"), min_size=1, max_size=64)
intervals = st.sampled_from(["1s", "1m", "5m", "15m", "1h", "1d"])
longs = st.integers(-(2**63), 2**63 - 1)
ints = st.integers(-(2**31), 2**31 - 1)
counts = st.integers(0, 300) | st.integers(0, 2**63 - 1)
# Both what is met (eight bytes in Avro) and what can be.
instants = st.integers(JULY_2013_US, JULY_2013_US + 10**15) | longs
datable_instants = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
numbers = st.floats(allow_nan=False)
finite = st.floats(allow_nan=False, allow_infinity=False)
maybe_text = st.none() | words


def made(record: type[T], **fields: st.SearchStrategy[object]) -> st.SearchStrategy[T]:
    """Records with every field drawn; a field left out by mistake is an error."""
    assert set(fields) == set(record.__struct_fields__), set(fields) ^ set(record.__struct_fields__)
    return st.builds(record, **fields)


def _bar_fields(prices: st.SearchStrategy[float]) -> dict[str, st.SearchStrategy[object]]:
    return {
        **dict.fromkeys(("open", "high", "low", "close", "volume"), prices),
        "start_us": instants,
        "end_us": instants,
        "vwap": st.none() | prices,
        "trades": st.none() | counts | longs,
        "provenance": st.sampled_from(["feed", "gap_fill", "derived"]) | words,
    }


quotes = made(
    Quote, symbol=symbols, time_us=instants, provenance=words, **dict.fromkeys(("bid", "ask", "bid_size", "ask_size"), st.none() | numbers)
)
ticks = made(Tick, symbol=symbols, time_us=instants, price=numbers, size=numbers, provenance=words)
bars = made(Bar, symbol=symbols, interval=intervals | words, **_bar_fields(numbers))
_session_bar_fields = {
    **_bar_fields(numbers),
    "base_count": ints,
    "expected_count": ints,
    "revision": ints,
    "complete": st.booleans(),
}
session_bars = made(SessionBar, **_session_bar_fields)
published_bars = made(
    PublishedBar,
    sequence=counts,
    symbol=symbols,
    interval=intervals,
    incarnation=ints,
    trading_days=ints,
    bar=session_bars,
    valid_until_us=instants,
)
gates = made(
    GateChange,
    active=st.booleans(),
    reason=words,
    lagging=st.lists(made(LaggingSymbol, symbol=symbols, lag_seconds=numbers), max_size=3).map(tuple),
)
extents = made(Extent, cause=words, first_start_us=instants, last_end_us=instants, count=ints)
completions = made(IntervalComplete, end_us=instants, expected=ints, present=ints, absent=st.lists(symbols, max_size=3).map(tuple))
_marker_fields: dict[str, st.SearchStrategy[object]] = {
    "sequence": counts,
    "symbol": st.none() | symbols,
    "interval": st.none() | intervals,
    "incarnation": st.none() | ints,
    "trading_days": st.none() | ints,
    "gate": st.none() | gates,
    "extent": st.none() | extents,
    "interval_complete": st.none() | completions,
    "reason": maybe_text,
}
markers = made(Marker, kind=st.sampled_from([kind for kind in AnalysisKind if kind is not AnalysisKind.BAR]), **_marker_fields)
analysis_events = made(
    AnalysisEvent,
    epoch=ints,
    session=words,
    emitted_us=instants,
    kind=words,
    held_back=st.booleans(),
    bar=st.none() | made(AnalysisBar, valid_until_us=instants, **_session_bar_fields),
    **_marker_fields,
)
session_events = made(
    SessionEvent,
    epoch=ints,
    session=words,
    emitted_us=instants,
    kind=words,
    symbol=st.none() | symbols,
    incarnation=st.none() | ints,
    reason=maybe_text,
    attributes=st.dictionaries(words, words, max_size=3),
)


def commands_at(when: st.SearchStrategy[int]) -> st.SearchStrategy[ControlCommand]:
    """Commands whose instants come from `when`."""
    return made(
        ControlCommand,
        id=st.text(min_size=1, max_size=40),
        kind=st.sampled_from([kind.value for kind in CommandKind]),
        symbol=symbols,
        sent_us=when,
        streams=st.lists(intervals, max_size=3).map(tuple),
        start_us=st.none() | when,
        immediate=st.booleans(),
        must_exist=st.booleans(),
        sender=maybe_text,
        export_number=st.none() | longs,
        epoch=st.none() | ints,
        incarnation=st.none() | ints,
    )


replies = made(
    CommandReply,
    command_id=words,
    kind=words,
    symbol=symbols,
    status=words,
    reason=maybe_text,
    time_us=instants,
    epoch=ints,
    session=words,
    text=maybe_text,
)

_doubles = st.lists(numbers, max_size=5).map(lambda values: array("d", values))
_longs = st.lists(counts | longs, max_size=5).map(lambda values: array("q", values)) | st.lists(st.integers(0, 63), max_size=40).map(
    lambda values: array("q", values)
)
columns = made(
    Columns,
    first_start_us=instants,
    **dict.fromkeys(("slots", "trades", "base_counts", "revisions"), _longs),
    **dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), _doubles),
    provenances=st.lists(words, max_size=3).map(tuple),
)
journal_inputs = made(
    JournalInput,
    kind=st.sampled_from(InputKind),
    incarnation=st.none() | ints,
    trading_days=st.none() | ints,
    bars=st.none() | columns,
    **dict.fromkeys(("first_offset", "next_offset", "end_offset", "deadline_us", "start_us", "end_us", "count"), st.none() | longs),
    **dict.fromkeys(("symbol", "topic_id", "reason", "text", "stream", "interval", "calendar"), maybe_text),
)
journal_records = made(
    JournalRecord,
    session=words,
    owner=words,
    epoch=ints,
    now_us=instants,
    transaction=longs,
    before_sequence=longs,
    last_sequence=longs,
    inputs=st.lists(journal_inputs, max_size=4).map(tuple),
    rules=ints,
)
session_rows = made(
    SessionRow,
    **dict.fromkeys(("session", "gate_reason", "control_topic_id", "owner"), words),
    **dict.fromkeys(("epoch", "trading_days", "next_incarnation", "rules", "opened_rules"), ints),
    **dict.fromkeys(("transaction", "sequence", "now_us", "control_offset"), longs),
    owner_url=words,
    **dict.fromkeys(("measured_us", "clock_behind_us", "unchecked_us"), longs),
    clock_reason=maybe_text,
    unchecked_reason=words,
    completed=st.lists(made(CompletedRow, interval=intervals, end_us=longs), max_size=3).map(tuple),
    active=st.booleans(),
    ever_active=st.booleans(),
)
config_rows = made(ConfigRow, config_json=words, calendar=words)
command_rows = made(CommandRow, **dict.fromkeys(("id", "kind", "symbol", "status"), words), reason=maybe_text, time_us=instants)
symbol_rows = made(
    SymbolRow,
    **dict.fromkeys(("symbol", "status", "base_interval", "topic_id"), words),
    **dict.fromkeys(("initial", "dynamic", "must_exist"), st.booleans()),
    **dict.fromkeys(("reason", "command_id"), maybe_text),
    **dict.fromkeys(("start_us", "removal_end_offset", "removal_deadline_us"), st.none() | longs),
    incarnation=ints,
    derived_intervals=st.lists(intervals, max_size=3).map(tuple),
    streams=st.lists(words, max_size=3).map(tuple),
    added_us=instants,
)
_progress_longs = (
    "offset",
    "checks",
    "lag_us",
    "last_stale_us",
    "last_update_us",
    "frontier_us",
    "bar_count",
    "accepted",
    "published",
    "held_back",
    "late",
    "corrected",
    "duplicates",
    "out_of_hours",
    "other_interval",
    "other_day",
    "rejected",
    "engine_errors",
    "consecutive_errors",
    "forming",
    "unknown_fields",
)
progress_rows = made(
    ProgressRow,
    symbol=symbols,
    **dict.fromkeys(("incarnation", "trading_days", "tail_index"), ints),
    **dict.fromkeys(_progress_longs, counts | longs),
    **dict.fromkeys(("lagging", "behind", "backlog", "silent", "bars_updated", "unfilled"), st.booleans()),
    session_volume=numbers,
    session_high=st.none() | numbers,
    session_low=st.none() | numbers,
    runs=st.lists(
        made(RunRow, interval=intervals, cause=words, first_start_us=instants, last_end_us=instants, count=counts), max_size=3
    ).map(tuple),
    windows=st.lists(made(WindowRow, interval=intervals, open_since_us=instants), max_size=3).map(tuple),
    outdated=st.lists(made(WindowRow, interval=intervals, open_since_us=instants), max_size=3).map(tuple),
    unknown_names=st.lists(words, max_size=3).map(tuple),
    tail=columns,
    waiting=st.lists(
        made(
            WaitingRow,
            **dict.fromkeys(("start_us", "end_us"), instants),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), numbers),
            vwap=st.none() | numbers,
            trades=st.none() | longs,
            provenance=words,
        ),
        max_size=3,
    ).map(tuple),
)
block_rows = made(BlockRow, symbol=symbols, incarnation=ints, interval=intervals, trading_days=ints, index=ints, bars=columns)
stream_rows = made(
    StreamRow,
    symbol=symbols,
    **dict.fromkeys(("stream", "topic_id"), words),
    **dict.fromkeys(("incarnation", "trading_days", "consecutive_errors"), ints),
    **dict.fromkeys(("offset", "count", "total", "out_of_hours", "rejected", "last_update_us", "engine_errors", "unknown_fields"), longs),
    updated=st.booleans(),
    unknown_names=st.lists(words, max_size=3).map(tuple),
    reason=st.none() | words,
    quote=st.none()
    | made(LatestQuote, time_us=instants, provenance=words, **dict.fromkeys(("bid", "ask", "bid_size", "ask_size"), st.none() | numbers)),
    tick=st.none() | made(LatestTick, time_us=instants, price=numbers, size=numbers, provenance=words),
)
_stretches = st.lists(made(StretchRow, start_us=instants, end_us=instants), max_size=3).map(tuple)
quality_rows = made(
    QualityRow,
    symbol=symbols,
    **dict.fromkeys(("incarnation", "trading_days"), ints),
    told=st.lists(made(ToldRow, interval=intervals, missing=longs, gaps=longs), max_size=3).map(tuple),
    attempts=st.lists(made(AttemptRow, start_us=instants, end_us=instants, count=ints, asked_us=instants), max_size=3).map(tuple),
    empty=_stretches,
    told_us=instants,
)
indicators_rows = made(
    IndicatorsRow,
    symbol=symbols,
    **dict.fromkeys(("incarnation", "trading_days"), ints),
    values=st.lists(made(IndicatorRow, name=words, value=st.none() | numbers), max_size=3).map(tuple),
)
_marks = st.lists(made(MarkRow, interval=intervals, trading_days=ints, exported_to_us=longs, changed=_stretches), max_size=3).map(tuple)
export_rows = made(ExportRow, symbol=symbols, incarnation=ints, number=longs, is_pending=st.booleans(), done=_marks, pending=_marks)
rows = st.one_of(
    session_rows,
    config_rows,
    command_rows,
    symbol_rows,
    progress_rows,
    block_rows,
    stream_rows,
    quality_rows,
    indicators_rows,
    export_rows,
)
