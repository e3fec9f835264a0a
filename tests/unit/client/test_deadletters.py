"""Dead letters as they are read, and what would become of them if they were sent again."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from streams.client import deadletters as deadletters_module
from streams.client.deadletters import DeadLetter, Resend, letter_of, prepared, value_text
from streams.config.settings import Settings
from streams.kafka.reader import Record
from streams.model.records import Bar
from streams.wire import deadletter
from streams.wire.codec import Codec
from streams.wire.topics import TopicNames

CODEC, NAMES = Codec(), TopicNames("main")
START_US = 1_381_152_600_000_000
MINUTE_US = 60_000_000
NOW_US = START_US + 2 * MINUTE_US
GOOD = Bar("SPY", "1m", START_US, START_US + MINUTE_US, 167.4, 167.5, 167.3, 167.45, 1200.0)


def letter(topic: str, value: bytes | None, *, headers: tuple[tuple[str, bytes], ...] = (), code: str = "misaligned") -> DeadLetter:
    """A dead letter as a worker writes it."""
    own = deadletter.headers(topic=topic, partition=0, offset=7, code=code, message="start is odd", stage="engine")
    return letter_of(Record(12, NOW_US // 1000, b"SPY", value, (*headers, *own)), NAMES)


def json_of(**fields: object) -> bytes:
    bar = {"symbol": "SPY", "interval": "1m", "start": START_US, "end": START_US + MINUTE_US}
    prices = {"open": 167.4, "high": 167.5, "low": 167.3, "close": 167.45, "volume": 1200.0}
    return json.dumps({**bar, **prices, **fields}).encode()


def test_a_letter_tells_where_it_came_from_and_keeps_the_headers_that_were_received() -> None:
    read = letter("bars.BTC_2FUSD", b"x", headers=(("trace", b"abc"), ("streams.resent_from", b"main.dlq:3")))
    assert (read.offset, read.topic, read.source_offset, read.stream, read.symbol) == (12, "bars.BTC_2FUSD", 7, "bars", "BTC/USD")
    assert (read.code, read.stage, read.message) == ("misaligned", "engine", "start is odd")
    assert read.headers == (("trace", b"abc"), ("streams.resent_from", b"main.dlq:3"))
    assert read.resent_from == "main.dlq:3"


@pytest.mark.parametrize(
    ("topic", "stream", "symbol"),
    [
        ("quotes.SPY", "quotes", "SPY"),
        ("ticks.SPY", "ticks", "SPY"),
        ("main.control", "commands", ""),
        ("orders", None, ""),
        ("", None, ""),
    ],
)
def test_the_stream_of_a_letter_is_that_of_its_topic(topic: str, stream: str | None, symbol: str) -> None:
    read = letter(topic, b"{}")
    assert (read.stream, read.symbol) == (stream, symbol)


@pytest.mark.parametrize(
    ("topic", "value", "fault", "why"),
    [
        ("bars.SPY", json_of(), None, "its cause was elsewhere: a clock, a bug, a config"),
        ("bars.SPY", CODEC.bar_to_avro(GOOD), None, "Avro too"),
        ("bars.SPY", json_of(low=-1.0), None, "a session may allow it"),
        ("bars.SPY", json_of(high=1.0), "low 167.3 is above high 1.0", "it was wrong, and is"),
        ("bars.SPY", json_of(start=START_US + 1, end=START_US + MINUTE_US + 1), "is not a multiple of 1m", "as is an odd start"),
        ("bars.SPY", json_of(start=NOW_US, end=NOW_US + MINUTE_US), "after now", "still ahead"),
        ("bars.SPY", json_of(symbol="IBM"), "a bar of IBM on the topic of SPY", "on another's topic"),
        ("bars.SPY", b"{", "", "no JSON"),
        ("bars.SPY", None, "", "no value"),
        ("ticks.SPY", b'{"symbol": "SPY", "time": 1381152600250000, "price": 167.42, "size": -1}', "size must be", "a tick"),
        ("quotes.SPY", b'{"symbol": "SPY", "time": 1381152600250000}', "a bid or an ask", "a quote"),
        ("main.control", b'{"command": "add_symbol", "symbol": "IBM"}', None, "a command"),
        ("orders", json_of(), "holds no bars", "a topic of someone else's"),
    ],
)
def test_what_would_be_rejected_again_is_known_before_it_is_sent(topic: str, value: bytes | None, fault: str | None, why: str) -> None:
    found = prepared(letter(topic, value), CODEC, NOW_US).fault
    assert (found is None) == (fault is None), (why, found)
    assert (fault or "") in (found or "")


def test_a_bar_that_was_ahead_is_good_once_its_time_has_come() -> None:
    early = letter("bars.SPY", json_of(start=NOW_US, end=NOW_US + MINUTE_US), code="future")
    assert prepared(early, CODEC, NOW_US).fault is not None
    assert prepared(early, CODEC, NOW_US + MINUTE_US).fault is None


def test_a_corrected_value_is_what_counts_and_what_is_sent() -> None:
    plan = prepared(letter("bars.SPY", json_of(high=1.0)), CODEC, NOW_US, value=json_of())
    assert (plan.fault, plan.value) == (None, json_of())


def test_a_record_that_was_cut_off_is_sent_only_with_another_value() -> None:
    key, value, headers = deadletter.fitted(
        b"SPY",
        b"{" * 1_000_000,
        [],
        deadletter.headers(topic="bars.SPY", partition=0, offset=7, code="undecodable", message="m", stage="decode"),
    )
    cut = letter_of(Record(12, 0, key, value, headers), NAMES)
    assert "too long to be kept whole" in (prepared(cut, CODEC, NOW_US).fault or "")
    assert prepared(cut, CODEC, NOW_US, value=json_of()).fault is None


def test_values_are_shown_as_json() -> None:
    assert value_text(letter("bars.SPY", b'{"a": 1'), b'{"a": 1', CODEC) == '{"a": 1', "JSON as it came, broken or not"
    shown = value_text(letter("bars.SPY", b""), CODEC.bar_to_avro(GOOD), CODEC)
    assert shown is not None
    assert json.loads(shown)["close"] == 167.45
    assert value_text(letter("bars.SPY", b"\x00\x01"), b"\x00\x01", CODEC) is None


def test_a_topic_that_may_not_be_seen_is_not_taken_for_one_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters_module, "existing_topics", lambda settings: frozenset[str]())
    monkeypatch.setattr(deadletters_module, "missing_rights", lambda settings, topics, what: ["Write on topic bars.SPY"])
    letters = [letter("bars.SPY", b"{}"), replace(letter("bars.GONE", b"{}"), offset=99)]
    settings = Settings.load(bootstrap_servers="localhost:1", session="main")
    hidden, gone = deadletters_module.send_again(settings, [Resend(one, b"{}", None) for one in letters])
    assert hidden.error is not None
    assert hidden.error.startswith("User:ANONYMOUS lacks Write on topic bars.SPY: allow it")
    assert gone.error == "topic bars.GONE does not exist at localhost:1"
