"""Bars, quotes, ticks and commands as JSON: the same field names as in Avro, for console producers and for eyes.

    {"symbol": "SPY", "interval": "1m", "start": "2013-10-07T13:30:00Z",
     "open": 168.0, "high": 168.1, "low": 167.9, "close": 168.05, "volume": 1200}

An instant is ISO 8601 text with a zone, or whole microseconds since 1970. A bar's `end` may be left out, since it is
start + interval. Fields of a bar, quote, or tick that are not known are ignored and reported: a producer that gains a field must
not stop a feed. A command with such a field is refused, because it might not do what its sender means. How fields are read stands in
`jsonfields`.

Readers take the rules version of their session, since a re-driven journal must give the dead letters that were written then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from streams.errors import BodyError, InvalidSymbolError
from streams.model.records import (
    EXTRA_STREAMS,
    PROVENANCE_FEED,
    Bar,
    CommandKind,
    ControlCommand,
    Quote,
    Tick,
    check_symbol,
)
from streams.model.rules_version import RULES
from streams.times import interval_us, iso
from streams.wire.json_fields import JsonFields, nearest

BAR_FIELDS: Final = ("symbol", "interval", "start", "end", "open", "high", "low", "close", "volume", "vwap", "trades", "provenance")
QUOTE_FIELDS: Final = ("symbol", "time", "bid", "ask", "bid_size", "ask_size", "provenance")
TICK_FIELDS: Final = ("symbol", "time", "price", "size", "provenance")
COMMAND_FIELDS: Final = (
    "id",
    "command",
    "symbol",
    "sent_at",
    "streams",
    "start",
    "immediate",
    "must_exist",
    "sender",
    "export_number",
    "epoch",
    "incarnation",
)
MAX_ID_LENGTH: Final = 200
MAX_SENDER_LENGTH: Final = 200
MAX_STREAMS: Final = 32
MAX_PROVENANCE_LENGTH: Final = 64


def bar_of(value: bytes, rules: int = RULES, unknown: list[str] | None = None) -> Bar:
    """The bar of a JSON object; `unknown` takes the names of fields that a bar does not have.

    Args:
        value: the text.
        rules: the rules version of the session; the first one refuses unknown fields.
        unknown: a list to fill.

    Raises:
        BodyError: not a JSON object, or one that is no bar.
    """
    fields = JsonFields("bar", value, BAR_FIELDS, rules, [] if unknown is None else unknown)
    symbol = fields.symbol()
    interval = fields.required_text("interval")
    try:
        length_us = interval_us(interval)
    except ValueError as error:
        raise BodyError(f"bar: interval: {error}") from None
    start_us = fields.required_instant("start")
    end_us = fields.instant("end")
    if end_us is not None and end_us != start_us + length_us:
        right = _instant_text("bar", "start + interval", start_us + length_us)
        raise BodyError(
            f"bar: end must be start + {interval}, {right}, got {_instant_text('bar', 'end', end_us)}: correct it or leave it out"
        )
    provenance = fields.text("provenance")
    return Bar(
        symbol,
        interval,
        start_us,
        start_us + length_us,
        fields.required_number("open"),
        fields.required_number("high"),
        fields.required_number("low"),
        fields.required_number("close"),
        fields.required_number("volume"),
        fields.number("vwap"),
        fields.whole("trades"),
        PROVENANCE_FEED if provenance is None else provenance,
    )


def bar_text(bar: Bar) -> bytes:
    """A bar as a JSON object.

    Raises:
        BodyError: a price or volume that JSON has no word for (NaN, infinite), an instant after the year 9999.
    """
    fields: dict[str, object] = {
        "symbol": bar.symbol,
        "interval": bar.interval,
        "start": _instant_text("bar", "start", bar.start_us),
        "end": _instant_text("bar", "end", bar.end_us),
    }
    fields |= _numbers("bar", bar, ("open", "high", "low", "close", "volume", "vwap"))
    if bar.trades is not None:
        fields["trades"] = bar.trades
    fields["provenance"] = bar.provenance
    return msgspec.json.encode(fields)


def quote_of(value: bytes, rules: int = RULES, unknown: list[str] | None = None) -> Quote:
    """The quote of a JSON object; arguments as for `bar_of`.

    Raises:
        BodyError: not a JSON object, or one that is no quote.
    """
    fields = JsonFields("quote", value, QUOTE_FIELDS, rules, [] if unknown is None else unknown)
    return Quote(
        fields.symbol(),
        fields.required_instant("time"),
        fields.number("bid"),
        fields.number("ask"),
        fields.number("bid_size"),
        fields.number("ask_size"),
        fields.text("provenance") or PROVENANCE_FEED,
    )


def quote_text(quote: Quote) -> bytes:
    """A quote as a JSON object; what it lacks is left out. Errors as for `bar_text`."""
    fields: dict[str, object] = {"symbol": quote.symbol, "time": _instant_text("quote", "time", quote.time_us)}
    fields |= _numbers("quote", quote, ("bid", "ask", "bid_size", "ask_size"))
    return msgspec.json.encode({**fields, "provenance": quote.provenance})


def tick_of(value: bytes, rules: int = RULES, unknown: list[str] | None = None) -> Tick:
    """The tick of a JSON object; arguments as for `bar_of`.

    Raises:
        BodyError: not a JSON object, or one that is no tick.
    """
    fields = JsonFields("tick", value, TICK_FIELDS, rules, [] if unknown is None else unknown)
    return Tick(
        fields.symbol(),
        fields.required_instant("time"),
        fields.required_number("price"),
        fields.required_number("size"),
        fields.text("provenance") or PROVENANCE_FEED,
    )


def tick_text(tick: Tick) -> bytes:
    """A tick as a JSON object. Errors as for `bar_text`."""
    fields: dict[str, object] = {"symbol": tick.symbol, "time": _instant_text("tick", "time", tick.time_us)}
    fields |= _numbers("tick", tick, ("price", "size"))
    return msgspec.json.encode({**fields, "provenance": tick.provenance})


def _numbers(what: str, record: Bar | Quote | Tick, names: Iterable[str]) -> dict[str, object]:
    numbers: dict[str, object] = {}
    for name in names:
        number = getattr(record, name)
        if number is None:
            continue
        if not math.isfinite(number):
            raise BodyError(f"{what} of {record.symbol}: {name} is {number}, which JSON has no word for")
        numbers[name] = number
    return numbers


def command_of(value: bytes, default_id: str, default_sent_us: int, rules: int = RULES) -> ControlCommand:
    """The command of a JSON object; `id` and `sent_at` may be missing.

    Raises:
        BodyError: not a JSON object, or one that is no command.
    """
    fields = JsonFields("command", value, COMMAND_FIELDS, rules)
    command_id = fields.text("id")
    sent_us = fields.instant("sent_at")
    return ControlCommand(
        id=default_id if command_id is None else command_id,
        kind=fields.required_text("command"),
        symbol=fields.required_text("symbol"),
        sent_us=default_sent_us if sent_us is None else sent_us,
        streams=fields.texts("streams"),
        start_us=fields.instant("start"),
        immediate=fields.flag("immediate"),
        must_exist=fields.flag("must_exist"),
        sender=fields.text("sender"),
        export_number=fields.whole("export_number"),
        epoch=fields.whole("epoch"),
        incarnation=fields.whole("incarnation"),
    )


def command_text(command: ControlCommand) -> bytes:
    """A command as a JSON object; what has its default is left out.

    Raises:
        BodyError: an instant after the year 9999.
    """
    fields: dict[str, object] = {
        "id": command.id,
        "command": command.kind,
        "symbol": command.symbol,
        "sent_at": _instant_text("command", "sent_at", command.sent_us),
    }
    if command.streams:
        fields["streams"] = command.streams
    if command.start_us is not None:
        fields["start"] = _instant_text("command", "start", command.start_us)
    if command.immediate:
        fields["immediate"] = True
    if command.must_exist:
        fields["must_exist"] = True
    if command.sender is not None:
        fields["sender"] = command.sender
    for name in ("export_number", "epoch", "incarnation"):
        if (number := getattr(command, name)) is not None:
            fields[name] = number
    return msgspec.json.encode(fields)


def checked_command(command: ControlCommand) -> ControlCommand:
    """The command itself, when it can be one.

    Raises:
        BodyError: an unknown kind, a symbol that can't be one, an interval that is none, an id that is empty, or an id, a
            sender or a list of streams that is too long to be kept and repeated.
    """
    if not 0 < len(command.id) <= MAX_ID_LENGTH:
        raise BodyError(f"command: id must have 1 to {MAX_ID_LENGTH} characters, got {len(command.id)}")
    if command.kind not in tuple(CommandKind):
        raise BodyError(f"command: command must be {' or '.join(CommandKind)}, got {command.kind!r}{nearest(command.kind, CommandKind)}")
    if command.sender is not None and len(command.sender) > MAX_SENDER_LENGTH:
        raise BodyError(f"command: sender must have at most {MAX_SENDER_LENGTH} characters, got {len(command.sender)}")
    if len(command.streams) > MAX_STREAMS:
        raise BodyError(f"command: streams must be at most {MAX_STREAMS}, got {len(command.streams)}")
    try:
        check_symbol(command.symbol)
        for stream in command.streams:
            if stream not in EXTRA_STREAMS:
                interval_us(stream)
    except InvalidSymbolError as error:
        raise BodyError(f"command: symbol: {error}") from None
    except ValueError as error:
        raise BodyError(f"command: streams: {error}") from None
    return command


def checked_bar(bar: Bar) -> Bar:
    """The bar itself, when what it carries along can be kept with every bar; whether it is a good one, the engine decides.

    Raises:
        BodyError: its provenance is too long for that.
    """
    _check_provenance("bar", bar.provenance)
    return bar


def checked_quote(quote: Quote) -> Quote:
    """As `checked_bar`."""
    _check_provenance("quote", quote.provenance)
    return quote


def checked_tick(tick: Tick) -> Tick:
    """As `checked_bar`."""
    _check_provenance("tick", tick.provenance)
    return tick


def _check_provenance(what: str, provenance: str) -> None:
    if len(provenance) > MAX_PROVENANCE_LENGTH:
        raise BodyError(f"{what}: provenance must have at most {MAX_PROVENANCE_LENGTH} characters, got {len(provenance)}")


def _instant_text(what: str, name: str, instant_us: int) -> str:
    try:
        return iso(instant_us)
    except OverflowError:
        raise BodyError(f"{what}: {name} {instant_us} us is before year 1 or after year 9999") from None
