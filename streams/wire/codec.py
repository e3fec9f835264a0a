"""The codec: every record of the project to the bytes of a Kafka value, and back.

    codec = Codec()
    value = codec.bar_to_avro(bar)          # framed Avro, for bars.<SYMBOL>
    bar = codec.bar_from(message.value())   # framed Avro or JSON

Quotes and ticks go the same ways as bars.

Writing uses the current version of a schema; reading takes every version that the ids know, resolved to the current
one. Bytes that can't be decoded are a `WireError` with a sentence; no bytes whatever raise anything else. fastavro
does what is rare; bars, quotes, ticks and the rows of every batch have prepared ways, which give up on the unusual and leave it to
fastavro.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import fastavro
from fastavro.read import SchemaResolutionError
from msgspec import Struct

from streams.errors import BodyError, WireError
from streams.model.inputs import JournalRecord
from streams.model.records import QUOTES, Bar, ControlCommand, Quote, Tick
from streams.model.rows import BlockRow, ProgressRow, Row, SessionRow
from streams.model.rules_version import RULES
from streams.wire import forms
from streams.wire import json as texts
from streams.wire.fast.bars import BarBytes
from streams.wire.fast.journal import JournalBytes
from streams.wire.fast.quotes import QuoteBytes, TickBytes
from streams.wire.fast.rows import AVAILABLE, RowBytes
from streams.wire.forms import Form
from streams.wire.framing import HEADER_BYTES, header, is_json, schema_id_of
from streams.wire.ids import IdFile, SchemaIds
from streams.wire.json_fields import object_of
from streams.wire.messages import AnalysisEvent, CommandReply, SessionEvent

T = TypeVar("T", bound=Struct)
R = TypeVar("R", covariant=True)


class _Read(Protocol[R]):
    """One of `bar_from`, `quote_from`, and `tick_from`."""

    def __call__(self, value: bytes | None, rules: int = ..., unknown: list[str] | None = ...) -> R: ...


# What fastavro was seen to raise on bytes that are not of the schema.
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-fA-F]+>")
_NOT_OF_THE_SCHEMA = (
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    SchemaResolutionError,
)


class Codec:
    """Encodes and decodes values.

    Args:
        ids: where schema ids come from; by default the project's id file.
    """

    def __init__(self, ids: SchemaIds | None = None) -> None:
        self._ids: SchemaIds = IdFile() if ids is None else ids
        self._bars = BarBytes(header(self._ids.id_of("Bar")))
        self._quotes = QuoteBytes(header(self._ids.id_of("Quote")))
        self._ticks = TickBytes(header(self._ids.id_of("Tick")))
        self._rows = RowBytes(*(header(self._ids.id_of(name)) for name in ("ProgressRow", "BlockRow", "SessionRow")))
        self._journal = JournalBytes(header(self._ids.id_of("JournalRecord")), self._rows.write_columns)
        self._row_forms: dict[str, Form[Any]] = {form.schema: form for form in forms.ROW_FORMS.values()}

    @property
    def ids(self) -> SchemaIds:
        """Where schema ids come from."""
        return self._ids

    def bar_to_avro(self, bar: Bar) -> bytes:
        """A bar as framed Avro."""
        return self._bars.write(bar)

    def bar_to_json(self, bar: Bar) -> bytes:
        """A bar as a JSON object.

        Raises:
            BodyError: it has a number that JSON has no word for.
        """
        return texts.bar_text(bar)

    def bar_from(self, value: bytes | None, rules: int = RULES, unknown: list[str] | None = None) -> Bar:
        """The bar of a value, framed Avro or JSON. Whether it is a good one, the engine decides.

        Args:
            value: the Kafka value.
            rules: the rules version of the session that reads it, which decides what is refused, and in which words.
            unknown: takes the names of fields that a bar does not have; they are ignored.

        Raises:
            WireError: it is none.
        """
        if value:
            bar = self._bars.read(value)
            if bar is not None:
                return bar
            if is_json(value):
                return texts.checked_bar(texts.bar_of(value, rules, unknown))
        return texts.checked_bar(self.decode(forms.BAR, value, rules, unknown))

    def decode_bars(
        self, values: Sequence[bytes | None], rules: int = RULES, unknown: dict[int, tuple[str, ...]] | None = None
    ) -> list[Bar | WireError]:
        """The bars of a batch of values; in place of each that is none, the error.

        Args:
            values: the Kafka values.
            rules: as for `bar_from`.
            unknown: takes the names of unknown fields, by the place of the value that has them.
        """
        bars: list[Bar | WireError] = []
        read = self._bars.read
        for place, value in enumerate(values):
            bar = read(value) if value else None
            bars.append(_decoded(self.bar_from, place, value, rules, unknown) if bar is None else bar)
        return bars

    def quote_to_avro(self, quote: Quote) -> bytes:
        """A quote as framed Avro."""
        return self._quotes.write(quote)

    def quote_to_json(self, quote: Quote) -> bytes:
        """A quote as a JSON object; errors as for `bar_to_json`."""
        return texts.quote_text(quote)

    def quote_from(self, value: bytes | None, rules: int = RULES, unknown: list[str] | None = None) -> Quote:
        """The quote of a value, framed Avro or JSON. Whether it is a good one, the engine decides; arguments as for `bar_from`.

        Raises:
            WireError: it is none.
        """
        if value:
            quote = self._quotes.read(value)
            if quote is not None:
                return quote
            if is_json(value):
                return texts.checked_quote(texts.quote_of(value, rules, unknown))
        return texts.checked_quote(self.decode(forms.QUOTE, value, rules, unknown))

    def tick_to_avro(self, tick: Tick) -> bytes:
        """A tick as framed Avro."""
        return self._ticks.write(tick)

    def tick_to_json(self, tick: Tick) -> bytes:
        """A tick as a JSON object; errors as for `bar_to_json`."""
        return texts.tick_text(tick)

    def tick_from(self, value: bytes | None, rules: int = RULES, unknown: list[str] | None = None) -> Tick:
        """The tick of a value; errors as for `quote_from`."""
        if value:
            tick = self._ticks.read(value)
            if tick is not None:
                return tick
            if is_json(value):
                return texts.checked_tick(texts.tick_of(value, rules, unknown))
        return texts.checked_tick(self.decode(forms.TICK, value, rules, unknown))

    def decode_records(
        self,
        stream: str | None,
        values: Sequence[bytes | None],
        rules: int = RULES,
        unknown: dict[int, tuple[str, ...]] | None = None,
    ) -> Sequence[Bar | Quote | Tick | WireError]:
        """The records of a batch of values of one topic: bars, or of the stream `quotes` or `ticks`; else as `decode_bars`."""
        if stream is None:
            return self.decode_bars(values, rules, unknown)
        read: _Read[Quote | Tick] = self.quote_from if stream == QUOTES else self.tick_from
        return [_decoded(read, place, value, rules, unknown) for place, value in enumerate(values)]

    def command_to_avro(self, command: ControlCommand) -> bytes:
        """A command as framed Avro."""
        return self.encode(forms.COMMAND, command)

    def command_to_json(self, command: ControlCommand) -> bytes:
        """A command as a JSON object."""
        return texts.command_text(command)

    def command_from(self, value: bytes | None, default_id: str, default_sent_us: int, rules: int = RULES) -> ControlCommand:
        """The command of a value, framed Avro or JSON.

        Args:
            value: the Kafka value.
            default_id: the command's id when JSON has none.
            default_sent_us: when it was sent, when JSON does not say.
            rules: the rules version of the session, for the words of an error.

        Raises:
            WireError: it is none. `command_id_in` may still tell whom to answer.
        """
        if value and is_json(value):
            return texts.checked_command(texts.command_of(value, default_id, default_sent_us, rules))
        return texts.checked_command(self.decode(forms.COMMAND, value))

    def command_id_in(self, value: bytes | None) -> str | None:
        """The id in a value that is meant as a command, as far as one can be made out, so that a bad one can be answered."""
        try:
            json = value is not None and is_json(value)
            found = object_of(value or b"", "command").get("id") if json else self.decode(forms.COMMAND, value).id
        except WireError:
            return None
        return found if isinstance(found, str) and 0 < len(found) <= texts.MAX_ID_LENGTH else None

    def reply_to(self, reply: CommandReply) -> bytes:
        """A reply as framed Avro."""
        return self.encode(forms.REPLY, reply)

    def reply_from(self, value: bytes | None) -> CommandReply:
        """The reply of a value.

        Raises:
            WireError: it is none.
        """
        return self.decode(forms.REPLY, value)

    def event_to(self, event: SessionEvent) -> bytes:
        """A session event as framed Avro."""
        return self.encode(forms.EVENT, event)

    def event_from(self, value: bytes | None) -> SessionEvent:
        """The session event of a value.

        Raises:
            WireError: it is none.
        """
        return self.decode(forms.EVENT, value)

    def analysis_to(self, event: AnalysisEvent) -> bytes:
        """An analysis record as framed Avro, the plain way; a worker uses `AnalysisEncoder`."""
        return self.encode(forms.ANALYSIS, event)

    def analysis_from(self, value: bytes | None) -> AnalysisEvent:
        """The analysis record of a value. Its kind may be one that this version does not know: skip it.

        Raises:
            WireError: it is none.
        """
        return self.decode(forms.ANALYSIS, value)

    def journal_to(self, record: JournalRecord) -> bytes:
        """A journal record as framed Avro."""
        if not AVAILABLE:
            return self.encode(forms.JOURNAL, record)
        return self._journal.write(record)

    def journal_from(self, value: bytes | None) -> JournalRecord:
        """The journal record of a value.

        Raises:
            WireError: it is none.
        """
        return self.decode(forms.JOURNAL, value)

    def row_to(self, row: Row) -> bytes:
        """A table row as framed Avro."""
        if AVAILABLE:
            if type(row) is ProgressRow:
                return self._rows.write_progress(row)
            if type(row) is BlockRow:
                return self._rows.write_block(row)
            if type(row) is SessionRow:
                return self._rows.write_session(row)
        return self.encode(forms.ROW_FORMS[type(row)], row)

    def row_from(self, value: bytes | None) -> Row:
        """The table row of a value, of whichever kind it is.

        Raises:
            WireError: it is none.
        """
        if value and AVAILABLE:
            block = self._rows.read_block(value)
            if block is not None:
                return block
        name = self._ids.schema_of(schema_id_of(value)).name
        form = self._row_forms.get(name)
        if form is None:
            raise BodyError(f"the value is a {name}, where a table row should be ({', '.join(self._row_forms)})")
        row: Row = self.decode(form, value)
        return row

    def encode(self, form: Form[T], record: T) -> bytes:
        """Any record as framed Avro, by fastavro."""
        schema = self._ids.schema_of(self._ids.id_of(form.schema))
        out = io.BytesIO()
        out.write(header(schema.id))
        fastavro.schemaless_writer(out, schema.parsed, form.to_wire(record))
        return out.getvalue()

    def decode(self, form: Form[T], value: bytes | None, rules: int = RULES, unknown: list[str] | None = None) -> T:
        """The record of framed Avro, by fastavro; arguments as for `bar_from`.

        Raises:
            FramingError: no header.
            UnknownSchemaError: the header's schema id is unknown.
            BodyError: another record than the one wanted, a body that is cut off or not of its schema, bytes after it.
        """
        writer = self._ids.schema_of(schema_id_of(value))
        if writer.name != form.schema or value is None:
            raise BodyError(f"the value is a {writer.name} (schema id {writer.id}), where a {form.schema} should be")
        current_id = self._ids.id_of(form.schema)
        reader = None if writer.id == current_id else self._ids.schema_of(current_id).parsed
        body = io.BytesIO(value)
        body.seek(HEADER_BYTES)
        what = f"the body of a {form.schema} (schema id {writer.id}, {len(value) - HEADER_BYTES} bytes)"
        try:
            datum = fastavro.schemaless_reader(body, writer.parsed, reader)
            record = form.from_wire(datum)  # type: ignore[arg-type]
        except _NOT_OF_THE_SCHEMA as error:
            # fastavro names the object that it reads from by its place in memory: dead letters of a replay would differ by it.
            fault = _OBJECT.sub("the body", str(error))
            null = None if reader is None or rules < 2 else _null_in(value, writer.parsed, reader)
            if null is not None:
                raise BodyError(f"{what}: {null} is null: a {form.schema} must have a value there") from error
            raise BodyError(f"{what} is cut off or not of its schema: {type(error).__name__}: {fault}") from error
        if body.tell() != len(value):
            raise BodyError(f"{what} ends {len(value) - body.tell()} bytes before the value does")
        if reader is not None and unknown is not None and rules >= 2:
            known = _field_names(reader)
            unknown += [name for name in _field_names(writer.parsed) if name not in known]
        return record


def _field_names(schema: Any) -> list[str]:
    return [field["name"] for field in schema["fields"]]


def _null_in(value: bytes, writer: Any, reader: Any) -> str | None:
    """The field that is null in what its writer wrote, and that must not be."""
    body = io.BytesIO(value)
    body.seek(HEADER_BYTES)
    try:
        datum = fastavro.schemaless_reader(body, writer, None)
    except _NOT_OF_THE_SCHEMA:
        return None
    required = (field["name"] for field in reader["fields"] if not isinstance(field["type"], list) or "null" not in field["type"])
    return next((name for name in required if isinstance(datum, dict) and name in datum and datum[name] is None), None)


def _decoded(read: _Read[R], place: int, value: bytes | None, rules: int, unknown: dict[int, tuple[str, ...]] | None) -> R | WireError:
    names: list[str] = []
    try:
        record = read(value, rules, names)
    except WireError as error:
        return error
    if names and unknown is not None:
        unknown[place] = tuple(names)
    return record
