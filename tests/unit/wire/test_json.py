"""Bars and commands as JSON, typed by hand: what is taken, and what each refusal says."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BodyError, WireError
from streams.model.records import Bar, ControlCommand, Quote, Tick, Undecodable
from streams.wire.codec import Codec
from streams.wire.ranges import range_read
from tests.support import wire_records as drawn

CODEC = Codec()
# 2013-10-07 13:30 and 13:31 UTC, by `date -u -d ... +%s`.
START_US = 1_381_152_600_000_000
END_US = 1_381_152_660_000_000
BAR = Bar("SPY", "1m", START_US, END_US, 168.0, 168.1, 167.9, 168.05, 1200.0)
TYPED: dict[str, object] = {
    "symbol": "SPY",
    "interval": "1m",
    "start": "2013-10-07T13:30:00Z",
    "open": 168.0,
    "high": 168.1,
    "low": 167.9,
    "close": 168.05,
    "volume": 1200,
}


def typed(**changes: object) -> bytes:
    return json.dumps({**TYPED, **changes}).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (typed(), "end, vwap, trades and provenance may be left out"),
        (typed(end="2013-10-07T13:31:00Z"), "end may be given"),
        (typed(start="2013-10-07T09:30:00-04:00"), "any zone"),
        (typed(start=START_US, end=END_US), "whole microseconds"),
        (typed(vwap=None, trades=None, provenance=None, end=None), "null is left out"),
        (b" \r\n\t" + typed(), "blanks before it"),
    ],
)
def test_a_bar_that_is_typed_by_hand_is_taken(value: bytes, reason: str) -> None:
    assert CODEC.bar_from(value) == BAR, reason


def test_every_field_of_a_bar_can_be_typed() -> None:
    bar = CODEC.bar_from(typed(vwap=168.02, trades=17, provenance="mine"))
    assert (bar.vwap, bar.trades, bar.provenance) == (168.02, 17, "mine")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"{not json", "bar: not JSON"),
        (b"{}", "bar: symbol is missing"),
        (
            b'{"symbol": "SPY", "interval": "1m", "t": 1767625140000, "o": 1, "h": 2, "l": 1, "c": 2, "v": 5}',
            "bar: start is missing; fields that are not known: t, o, h, l, c, v",
        ),
        (b'{"symbol": "\xff"}', "bar: not JSON"),
        (
            json.dumps({**{name: one for name, one in TYPED.items() if name != "close"}, "colse": 168.05}).encode(),
            "bar: close is missing; is the field 'colse' meant for it?",
        ),
        (typed(open=float("nan")), "bar: open is NaN, which JSON has no word for: send a number, or leave an optional field out"),
        (typed(low=float("-inf")), "bar: low is -Infinity, which JSON has no word for"),
        (typed(vwap=float("nan"), high=float("inf")), "bar: high is Infinity, which JSON has no word for"),
        (typed().replace(b"1200", b"1e400"), "bar: volume is beyond what a double can hold, which JSON has no word for"),
        (typed(extra={"a": float("nan")}), "bar: it holds NaN, which JSON has no word for"),
        (typed(open="168.0"), 'bar: open must be a number without quotes, got "168.0"'),
        *[(typed(**{name: None}), f"bar: {name} is null: a bar must have a value there") for name in TYPED],
        (typed(volume=True), "bar: volume must be a number without quotes, got true"),
        (typed(volume=[1]), "bar: volume must be a number without quotes, got [1]"),
        (typed(trades=1.5), "bar: trades must be a whole number without quotes, got 1.5"),
        (typed(trades="3"), 'bar: trades must be a whole number without quotes, got "3"'),
        (typed(symbol=7), "bar: symbol must be a text, got 7"),
        (typed(symbol="A B"), "bar: symbol: symbol 'A B' has a blank"),
        (typed(symbol=""), "bar: symbol: a symbol must not be empty"),
        (typed(interval="1 minute"), "bar: interval: '1 minute' is no interval: write a number and s, m, h or d"),
        (typed(start="2013-10-07T13:30:00"), "bar: start: 2013-10-07T13:30:00 has no time zone"),
        (typed(start="yesterday"), "bar: start: 'yesterday' is no instant"),
        *[
            (
                typed(start=count),
                (
                    f"bar: start must be an instant such as 2013-10-07T13:30:00Z, or whole microseconds since 1970 (from 1973 on), "
                    f"got {shown}: "
                    f"as {unit} since 1970 it is 2013-10-07T13:30:00Z, so write 1381152600000000 or that text"
                ),
            )
            for count, shown, unit in (
                (1_381_152_600, "1381152600", "seconds"),
                (1_381_152_600_000, "1381152600000", "milliseconds"),
                (START_US * 1000, "1381152600000000000", "nanoseconds"),
                (1_381_152_600.0, "1381152600.0", "seconds"),
                (1381152600000000.0, "1381152600000000.0", "microseconds"),
            )
        ],
        (typed(start="1381152600000"), "as milliseconds since 1970 it is 2013-10-07T13:30:00Z, so write 1381152600000000 or that text"),
        (typed(start=12), "(from 1973 on), got 12"),
        (
            typed(end="2013-10-07T13:30:59Z"),
            "bar: end must be start + 1m, 2013-10-07T13:31:00Z, got 2013-10-07T13:30:59Z: correct it or leave it out",
        ),
        (typed(start="9999-12-31T23:59:30Z", end="9999-12-31T23:59:59Z"), "is before year 1 or after year 9999"),
    ],
)
def test_a_bar_that_is_typed_wrongly_says_which_field_and_what_would_be_right(value: bytes, says: str) -> None:
    with pytest.raises(BodyError) as caught:
        CODEC.bar_from(value)
    assert says in str(caught.value)


@given(drawn.made(
    Bar,
    symbol=drawn.symbols,
    interval=st.just("1m"),
    start_us=drawn.datable_instants.filter(lambda instant: instant < 253_402_300_740_000_000),
    end_us=st.just(0),
    **dict.fromkeys(("open", "high", "low", "close", "volume"), drawn.finite),
    vwap=st.none() | drawn.finite,
    trades=st.none() | drawn.longs,
    provenance=drawn.words,
))  # fmt: skip
def test_a_bar_comes_back_from_json(drawn_bar: Bar) -> None:
    fields = {name: getattr(drawn_bar, name) for name in Bar.__struct_fields__}
    bar = Bar(**{**fields, "end_us": drawn_bar.start_us + 60_000_000})
    assert CODEC.bar_from(CODEC.bar_to_json(bar)) == bar


def test_fields_that_are_not_known_are_ignored_and_named() -> None:
    unknown: list[str] = []
    assert CODEC.bar_from(typed(colour="red", symbl=[1]), unknown=unknown) == BAR
    assert unknown == ["colour", "symbl"]
    quote, tick = json.dumps({**QUOTE_TYPED, "bidsize": 1}).encode(), json.dumps({**TICK_TYPED, "volume": 3}).encode()
    names: dict[int, tuple[str, ...]] = {}
    assert CODEC.decode_records("quotes", [quote], unknown=names) == [Quote("SPY", START_US, 168.0, 168.1, 3.0, 4.0)]
    assert CODEC.decode_records("ticks", [CODEC.tick_to_avro(Tick("SPY", START_US, 1.0, 1.0)), tick], unknown=names)[1:] == [
        Tick("SPY", START_US, 168.0, 100.0)
    ]
    assert names == {0: ("bidsize",), 1: ("volume",)}


# The texts of version 0.1.0, as its own tests have them.
FIRST = [
    (typed(symbl="SPY"), ("bar: unknown field 'symbl', did you mean 'symbol'?; the fields are symbol, interval, start, end, open, "
     "high, low, close, volume, vwap, trades, provenance")),
    (typed(open=None), "bar: open is missing"),
    (typed(start=1_381_152_600_000), ("bar: start must be an instant such as 2013-10-07T13:30:00Z, or whole microseconds since 1970 "
     "(from 1973 on), got 1381152600000")),
    (b'{"open": NaN}', "bar: not JSON: JSON is malformed: invalid character (byte 9)"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), FIRST)
def test_what_the_first_rules_said_is_said_again_of_their_journals(value: bytes, message: str) -> None:
    (record,) = range_read(CODEC, "SPY", 1, 0, 1, [0], [value], rules=1).records
    assert record == Undecodable(message)
    (record,) = range_read(CODEC, "SPY", 1, 0, 1, [0], [value]).records
    assert record != Undecodable(message)


def test_a_bar_as_json_is_readable() -> None:
    assert json.loads(CODEC.bar_to_json(BAR)) == {**TYPED, "end": "2013-10-07T13:31:00Z", "provenance": "feed"}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_price_that_json_has_no_word_for_is_refused(number: float) -> None:
    bar = Bar("SPY", "1m", START_US, END_US, number, 168.1, 167.9, 168.05, 1200.0)
    with pytest.raises(BodyError, match=r"bar of SPY: open is (nan|inf), which JSON has no word for"):
        CODEC.bar_to_json(bar)


@pytest.mark.parametrize(
    ("value", "command"),
    [
        (
            b'{"command": "add_symbol", "symbol": "IBM"}',
            ControlCommand("given", "add_symbol", "IBM", START_US),
        ),
        (
            b'{"id": "c-1", "command": "remove_symbol", "symbol": "IBM", "sent_at": "2013-10-07T13:31:00Z", "immediate": true}',
            ControlCommand("c-1", "remove_symbol", "IBM", END_US, immediate=True),
        ),
        (
            b'{"command": "add_symbol", "symbol": "A/B", "streams": ["1s"], "start": 1381152660000000, "must_exist": true, "sender": "me"}',
            ControlCommand("given", "add_symbol", "A/B", START_US, ("1s",), END_US, False, True, "me"),
        ),
    ],
)
def test_a_command_that_is_typed_by_hand_is_taken(value: bytes, command: ControlCommand) -> None:
    assert CODEC.command_from(value, "given", START_US) == command


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b'{"command": "add_symbol"}', "command: symbol is missing"),
        (b'{"symbol": "IBM"}', "command: command is missing"),
        (
            b'{"command": "add", "symbol": "IBM"}',
            "command: command must be add_symbol or remove_symbol or begin_export or end_export, got 'add'",
        ),
        (b'{"command": "add_symbl", "symbol": "IBM"}', "got 'add_symbl', did you mean 'add_symbol'?"),
        (b'{"kind": "add_symbol", "symbol": "IBM"}', "command: unknown field 'kind'"),
        (b'{"command": "add_symbol", "symbol": "I|M"}', "command: symbol: symbol 'I|M' has a blank, a control character or a '|' in it"),
        (
            b'{"command": "add_symbol", "symbol": "IBM", "streams": "1m"}',
            'command: streams must be a list of texts such as ["1m"], got "1m"',
        ),
        (b'{"command": "add_symbol", "symbol": "IBM", "streams": ["x"]}', "command: streams: 'x' is no interval"),
        (b'{"command": "add_symbol", "symbol": "IBM", "immediate": "yes"}', 'command: immediate must be true or false, got "yes"'),
        (b'{"command": "add_symbol", "symbol": "IBM", "id": ""}', "command: id must have 1 to 200 characters, got 0"),
        (b'{"command": "add_symbol", "symbol": "IBM", "id": 5}', "command: id must be a text, got 5"),
        (b'{"command": "add_symbol", "symbol": "IBM", "start": "09:30"}', "command: start: '09:30' is no instant"),
    ],
)
def test_a_command_that_is_typed_wrongly_says_what_would_be_right(value: bytes, says: str) -> None:
    with pytest.raises(BodyError) as caught:
        CODEC.command_from(value, "given", START_US)
    assert says in str(caught.value)


@given(drawn.commands_at(drawn.datable_instants))
def test_a_command_comes_back_from_json(command: ControlCommand) -> None:
    assert CODEC.command_from(CODEC.command_to_json(command), "unused", 0) == command


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)


@given(st.dictionaries(st.sampled_from([*TYPED, "end", "vwap", "trades", "provenance"]), JSON))
def test_any_json_is_a_bar_or_a_wire_error(changes: dict[str, object]) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(CODEC.bar_from(typed(**changes)), Bar)


@given(st.dictionaries(st.sampled_from(["id", "command", "symbol", "sent_at", "streams", "start", "immediate", "sender"]), JSON))
def test_any_json_is_a_command_or_a_wire_error(changes: dict[str, object]) -> None:
    value = json.dumps({"command": "add_symbol", "symbol": "SPY", **changes}).encode()
    with contextlib.suppress(WireError):
        command = CODEC.command_from(value, "given", 0)
        assert CODEC.command_from(CODEC.command_to_avro(command), "unused", 0) == command


@given(st.binary(max_size=40))
def test_anything_that_begins_like_json_is_a_bar_or_a_wire_error(rest: bytes) -> None:
    with contextlib.suppress(WireError):
        CODEC.bar_from(b"{" + rest)


@pytest.mark.parametrize(
    "value", [b'{"symbol":' + b"[" * 100_000, b'{"symbol": "\\ud800"}', b'{"open": 1e999}', b'{"start": ' + b"9" * 5000 + b"}"]
)
def test_json_at_the_limits_is_a_wire_error(value: bytes) -> None:
    with pytest.raises(WireError):
        CODEC.bar_from(value)
    assert CODEC.command_id_in(value) is None


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"sender": "s" * 201}, "command: sender must have at most 200 characters, got 201"),
        ({"streams": ["1m"] * 33}, "command: streams must be at most 32, got 33"),
    ],
)
def test_a_command_that_is_too_long_to_be_repeated_in_the_journal_is_refused(changes: dict[str, object], refusal: str) -> None:
    with pytest.raises(BodyError, match=refusal):
        CODEC.command_from(json.dumps({"command": "add_symbol", "symbol": "SPY", **changes}).encode(), "given", 0)


def test_a_provenance_that_is_too_long_to_be_kept_with_each_bar_is_refused_in_either_form() -> None:
    long = msgspec.structs.replace(BAR, provenance="p" * 65)
    just = msgspec.structs.replace(BAR, provenance="p" * 64)
    for write in (CODEC.bar_to_json, CODEC.bar_to_avro):
        assert CODEC.bar_from(write(just)) == just
        with pytest.raises(BodyError, match="provenance must have at most 64 characters, got 65"):
            CODEC.bar_from(write(long))


QUOTE_TYPED: dict[str, object] = {"symbol": "SPY", "time": "2013-10-07T13:30:00Z", "bid": 168.0, "ask": 168.1, "bid_size": 3, "ask_size": 4}
TICK_TYPED: dict[str, object] = {"symbol": "SPY", "time": "2013-10-07T13:30:00Z", "price": 168.0, "size": 100}


@pytest.mark.parametrize(
    ("value", "quote", "reason"),
    [
        (QUOTE_TYPED, Quote("SPY", START_US, 168.0, 168.1, 3.0, 4.0), "all of it"),
        ({"symbol": "SPY", "time": START_US, "ask": 168.1}, Quote("SPY", START_US, None, 168.1), "one side, and microseconds"),
        ({**QUOTE_TYPED, "provenance": "mine"}, Quote("SPY", START_US, 168.0, 168.1, 3.0, 4.0, "mine"), "a word of one's own"),
    ],
)
def test_a_quote_that_is_typed_by_hand_is_taken(value: dict[str, object], quote: Quote, reason: str) -> None:
    assert CODEC.quote_from(json.dumps(value).encode()) == quote, reason


def test_a_tick_that_is_typed_by_hand_is_taken() -> None:
    assert CODEC.tick_from(json.dumps(TICK_TYPED).encode()) == Tick("SPY", START_US, 168.0, 100.0)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"{not json", "quote: not JSON"),
        (json.dumps({**QUOTE_TYPED, "symbol": None}).encode(), "quote: symbol is null: a quote must have a value there"),
        (json.dumps({**QUOTE_TYPED, "time": None}).encode(), "quote: time is null: a quote must have a value there"),
        (b'{"symbol": "SPY"}', "quote: time is missing"),
        (json.dumps({**QUOTE_TYPED, "bid": "168"}).encode(), 'quote: bid must be a number without quotes, got "168"'),
        (json.dumps({**QUOTE_TYPED, "bid": float("nan")}).encode(), "quote: bid is NaN, which JSON has no word for"),
        (json.dumps({**QUOTE_TYPED, "time": 1_381_152_600}).encode(), "quote: time must be an instant such as"),
        (json.dumps({**QUOTE_TYPED, "provenance": "x" * 65}).encode(), "quote: provenance must have at most 64 characters, got 65"),
    ],
)
def test_a_quote_that_is_typed_wrongly_says_which_field_and_what_would_be_right(value: bytes, says: str) -> None:
    with pytest.raises(BodyError) as caught:
        CODEC.quote_from(value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({**TICK_TYPED, "price": None}, "tick: price is null: a tick must have a value there"),
        ({**TICK_TYPED, "price": float("inf")}, "tick: price is Infinity, which JSON has no word for"),
        ({**TICK_TYPED, "time": 1_381_152_600_000}, "as milliseconds since 1970 it is 2013-10-07T13:30:00Z"),
        ({**TICK_TYPED, "size": True}, "tick: size must be a number without quotes, got true"),
    ],
)
def test_a_tick_that_is_typed_wrongly_says_which_field_and_what_would_be_right(value: dict[str, object], says: str) -> None:
    with pytest.raises(BodyError) as caught:
        CODEC.tick_from(json.dumps(value).encode())
    assert says in str(caught.value)


def test_a_quote_and_a_tick_as_json_are_readable_and_come_back() -> None:
    quote, tick = Quote("SPY", START_US, 168.0, None, 3.0), Tick("SPY", START_US, 168.0, 100.0)
    assert json.loads(CODEC.quote_to_json(quote)) == {
        "symbol": "SPY", "time": "2013-10-07T13:30:00Z", "bid": 168.0, "bid_size": 3.0, "provenance": "feed",
    }  # fmt: skip
    assert CODEC.quote_from(CODEC.quote_to_json(quote)) == quote
    assert CODEC.tick_from(CODEC.tick_to_json(tick)) == tick
    with pytest.raises(BodyError, match="quote of SPY: bid is nan, which JSON has no word for"):
        CODEC.quote_to_json(Quote("SPY", START_US, float("nan")))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("price", None, "is null: a {} must have a value there"),
        ("price", float("nan"), "is NaN, which JSON has no word for: send a number, or leave an optional field out"),
        ("price", float("-inf"), "is -Infinity, which JSON has no word for"),
        ("price", "168.0", 'must be a number without quotes, got "168.0"'),
        ("price", True, "must be a number without quotes, got true"),
        ("time", 1_381_152_600_000, "as milliseconds since 1970 it is 2013-10-07T13:30:00Z, so write 1381152600000000 or that text"),
        ("time", 1_381_152_600.5, "as seconds since 1970 it is 2013-10-07T13:30:00.500000Z, so write 1381152600500000 or that text"),
        ("time", "2013-10-07T13:30:00", "2013-10-07T13:30:00 has no time zone, so it names no instant"),
        ("time", None, "is null: a {} must have a value there"),
    ],
)
def test_bars_quotes_and_ticks_say_the_same_of_the_same_fault(field: str, value: object, says: str) -> None:
    kinds = {
        "bar": (CODEC.bar_from, TYPED, {"price": "close", "time": "start"}),
        "quote": (CODEC.quote_from, QUOTE_TYPED, {"price": "bid", "time": "time"}),
        "tick": (CODEC.tick_from, TICK_TYPED, {"price": "price", "time": "time"}),
    }
    for kind, (read, typed_by_hand, names) in kinds.items():
        wrong = json.dumps({**typed_by_hand, names[field]: value}).encode()
        if (kind, field, value) == ("quote", "price", None):
            assert CODEC.quote_from(wrong).bid is None, "a quote may have one side"
            continue
        with pytest.raises(BodyError) as caught:
            read(wrong)
        assert str(caught.value).startswith(f"{kind}: {names[field]}")
        assert says.format(kind) in str(caught.value)
