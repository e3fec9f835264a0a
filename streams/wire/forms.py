"""How each record of the project and its Avro record map onto each other: names and nested parts.

The names differ where the type says the unit: `now_us` here is `now` with `timestamp-micros` there, `trading_days` is
`trading_date`. A `Form` knows the names and turns a record into the mapping that fastavro writes and back. It is the
plain, complete way; the prepared ways in `bars.py`, `analysis.py` and `prepared_rows.py` are held against it by tests.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct

from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import (
    Bar,
    ControlCommand,
    Extent,
    GateChange,
    IntervalComplete,
    LaggingSymbol,
    Quote,
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
    Row,
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
_Convert = Callable[[Any], Any]

_WIRE_NAMES = {
    "start_us": "start",
    "end_us": "end",
    "valid_until_us": "valid_until",
    "emitted_us": "emitted_at",
    "sent_us": "sent_at",
    "added_us": "added_at",
    "time_us": "time",
    "now_us": "now",
    "deadline_us": "deadline",
    "removal_deadline_us": "removal_deadline",
    "first_start_us": "first_start",
    "last_end_us": "last_end",
    "open_since_us": "open_since",
    "frontier_us": "frontier",
    "last_stale_us": "last_stale",
    "last_update_us": "last_update",
    "trading_days": "trading_date",
    "measured_us": "measured",
    "unchecked_us": "unchecked_since",
    "asked_us": "asked",
    "told_us": "told_at",
    "exported_to_us": "exported_to",
}


class Form(Generic[T]):
    """The mapping between one record type and its Avro record.

    Args:
        record: the record type.
        schema: name of the Avro record.
        names: wire names of this type's own, by attribute, besides those common to all.
        parts: by attribute, how a value becomes what fastavro writes, and how it comes back.
    """

    def __init__(
        self,
        record: type[T],
        schema: str,
        *,
        names: Mapping[str, str] | None = None,
        parts: Mapping[str, tuple[_Convert, _Convert]] | None = None,
    ) -> None:
        self.record = record
        self.schema = schema
        own = names or {}
        same = (_same, _same)
        self._fields = [
            (attribute, own.get(attribute) or _WIRE_NAMES.get(attribute, attribute), *(parts or {}).get(attribute, same))
            for attribute in record.__struct_fields__
        ]

    @property
    def wire_names(self) -> tuple[str, ...]:
        """The Avro fields, in the order of the record's attributes."""
        return tuple(field[1] for field in self._fields)

    def to_wire(self, record: T) -> dict[str, object]:
        """What fastavro writes for a record."""
        return {name: write(getattr(record, attribute)) for attribute, name, write, _ in self._fields}

    def from_wire(self, datum: Mapping[str, object]) -> T:
        """The record of what fastavro read.

        Raises:
            ValueError: a value that this type does not know, such as an input's kind.
        """
        return self.record(*[read(datum[name]) for _, name, _, read in self._fields])


def _same(value: object) -> object:
    return value


def _one(form: Form[T]) -> tuple[_Convert, _Convert]:
    return form.to_wire, form.from_wire


def _perhaps(form: Form[T]) -> tuple[_Convert, _Convert]:
    return (lambda part: None if part is None else form.to_wire(part)), (lambda datum: None if datum is None else form.from_wire(datum))


def _many(form: Form[T]) -> tuple[_Convert, _Convert]:
    return (lambda parts: [form.to_wire(part) for part in parts]), (lambda data: tuple(form.from_wire(datum) for datum in data))


def _doubles(values: list[float]) -> array[float]:
    return array("d", values)


def _longs(values: list[int]) -> array[int]:
    return array("q", values)


_TEXTS = (list, tuple)
_DOUBLES = (_same, _doubles)
_LONGS = (_same, _longs)

BAR = Form(Bar, "Bar")
QUOTE = Form(Quote, "Quote")
TICK = Form(Tick, "Tick")
ANALYSIS = Form(
    AnalysisEvent,
    "AnalysisEvent",
    parts={
        "bar": _perhaps(Form(AnalysisBar, "AnalysisBar")),
        "gate": _perhaps(Form(GateChange, "Gate", parts={"lagging": _many(Form(LaggingSymbol, "LaggingSymbol"))})),
        "extent": _perhaps(Form(Extent, "Extent")),
        "interval_complete": _perhaps(Form(IntervalComplete, "IntervalComplete", parts={"absent": _TEXTS})),
    },
)
EVENT = Form(SessionEvent, "SessionEvent")
COMMAND = Form(ControlCommand, "ControlCommand", names={"kind": "command"}, parts={"streams": _TEXTS})
REPLY = Form(CommandReply, "CommandReply")
COLUMNS = Form(
    Columns,
    "Columns",
    parts={
        **dict.fromkeys(("slots", "trades", "base_counts", "revisions"), _LONGS),
        **dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), _DOUBLES),
        "provenances": _TEXTS,
    },
)
JOURNAL = Form(
    JournalRecord,
    "JournalRecord",
    parts={"inputs": _many(Form(JournalInput, "JournalInput", parts={"kind": (str, InputKind), "bars": _perhaps(COLUMNS)}))},
)
SESSION_ROW = Form(SessionRow, "SessionRow", parts={"completed": _many(Form(CompletedRow, "Completed"))})
CONFIG_ROW = Form(ConfigRow, "ConfigRow")
COMMAND_ROW = Form(CommandRow, "CommandRow")
SYMBOL_ROW = Form(SymbolRow, "SymbolRow", parts={"derived_intervals": _TEXTS, "streams": _TEXTS})
PROGRESS_ROW = Form(
    ProgressRow,
    "ProgressRow",
    parts={
        "runs": _many(Form(RunRow, "Run")),
        "windows": _many(Form(WindowRow, "Window")),
        "tail": _one(COLUMNS),
        "waiting": _many(Form(WaitingRow, "Waiting")),
        "outdated": _many(Form(WindowRow, "Window")),
        "unknown_names": _TEXTS,
    },
)
BLOCK_ROW = Form(BlockRow, "BlockRow", parts={"bars": _one(COLUMNS)})
STREAM_ROW = Form(
    StreamRow,
    "StreamRow",
    parts={
        "quote": _perhaps(Form(LatestQuote, "LatestQuote")),
        "tick": _perhaps(Form(LatestTick, "LatestTick")),
        "unknown_names": _TEXTS,
    },
)
QUALITY_ROW = Form(
    QualityRow,
    "QualityRow",
    parts={
        "told": _many(Form(ToldRow, "Told")),
        "attempts": _many(Form(AttemptRow, "Attempt")),
        "empty": _many(Form(StretchRow, "Empty")),
    },
)
INDICATORS_ROW = Form(IndicatorsRow, "IndicatorsRow", parts={"values": _many(Form(IndicatorRow, "Indicator"))})
_MARKS = _many(Form(MarkRow, "Mark", parts={"changed": _many(Form(StretchRow, "Changed"))}))
EXPORT_ROW = Form(ExportRow, "ExportRow", parts={"done": _MARKS, "pending": _MARKS})

ROW_FORMS: Mapping[type[Row], Form[Any]] = {
    form.record: form
    for form in (
        SESSION_ROW,
        CONFIG_ROW,
        COMMAND_ROW,
        SYMBOL_ROW,
        PROGRESS_ROW,
        BLOCK_ROW,
        STREAM_ROW,
        QUALITY_ROW,
        INDICATORS_ROW,
        EXPORT_ROW,
    )
}
