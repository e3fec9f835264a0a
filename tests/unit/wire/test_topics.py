"""Topic names come from symbols and lead back to them, and are names that Kafka takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import InvalidSymbolError, SettingsError
from streams.wire.topics import TopicNames, escape, unescape
from tests.support import wire_records as drawn


@pytest.mark.parametrize(
    ("symbol", "topic"),
    [
        ("SPY", "bars.SPY"),
        ("BTC/USD", "bars.BTC_2FUSD"),
        ("BRK.B", "bars.BRK.B"),
        ("ES-Z5", "bars.ES-Z5"),
        ("A_B", "bars.A_5FB"),  # the escape itself is escaped
        ("_2F", "bars._5F2F"),
        ("Ü", "bars._C3_9C"),  # two bytes in UTF-8
        ("^GSPC", "bars._5EGSPC"),
    ],
)
def test_a_symbol_gives_a_topic_and_the_topic_gives_it_back(symbol: str, topic: str) -> None:
    names = TopicNames("main")
    assert names.bars(symbol) == topic
    assert names.symbol_of(topic) == symbol


@given(drawn.symbols)
def test_every_symbol_comes_back_from_a_name_that_kafka_takes(symbol: str) -> None:
    escaped = escape(symbol)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", escaped)
    assert unescape(escaped) == symbol
    names = TopicNames("main", prefix="lab.", bars_pattern="md-{symbol}-bars")
    if len(escaped) <= 200:
        assert names.symbol_of(names.bars(symbol)) == symbol


@given(st.text("AZ09az_.-", max_size=12))
def test_a_text_that_no_symbol_gives_is_the_topic_of_none(text: str) -> None:
    symbol = unescape(text)
    assert symbol is None or escape(symbol) == text


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("main.analysis", "a topic of the session"),
        ("bars.", "no symbol"),
        ("quotes.SPY", "another pattern"),
        ("bars.A_B", "an underscore that begins no escape"),
        ("bars.A_2fB", "escapes are in upper case"),
        ("bars._41", "a letter is not escaped"),
        ("bars._FF", "not UTF-8"),
        ("bars._20", "a blank is in no symbol"),
    ],
)
def test_another_topic_is_of_no_symbol(topic: str, reason: str) -> None:
    assert TopicNames("main").symbol_of(topic) is None, reason


def test_a_session_has_its_topics_under_prefix_and_name() -> None:
    names = TopicNames("main", prefix="lab.")
    assert names.all_session_topics() == (
        "lab.main.control",
        "lab.main.replies",
        "lab.main.analysis",
        "lab.main.events",
        "lab.main.dlq",
        "lab.main.journal",
    )
    assert (names.control, names.journal, names.bars("SPY")) == ("lab.main.control", "lab.main.journal", "lab.bars.SPY")


def test_an_override_is_the_whole_name_and_leads_back() -> None:
    names = TopicNames("main", prefix="lab.", overrides={"SPY": "vendor_spy"})
    assert names.bars("SPY") == "vendor_spy"
    assert names.symbol_of("vendor_spy") == "SPY"
    assert names.symbol_of("lab.bars.SPY") is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"session": ""}, "the session's name must not be empty"),
        ({"session": "a b"}, "session 'a b': 'a b.control' is no topic name"),
        ({"session": "x" * 245}, "characters, Kafka allows 249"),
        ({"session": "main", "prefix": "{symbol}"}, "is no topic name"),
        ({"session": "main", "bars_pattern": "bars"}, "must have {symbol} once, as in bars.{symbol}, got 'bars'"),
        ({"session": "main", "bars_pattern": "{symbol}{symbol}"}, "must have {symbol} once"),
        ({"session": "main", "quotes_pattern": "quotes"}, "the pattern of quote topics must have {symbol} once, as in quotes.{symbol}"),
        ({"session": "main", "ticks_pattern": "bars.{symbol}"}, "bars and ticks must not have the same pattern, 'bars.{symbol}'"),
        ({"session": "main", "bars_pattern": "bars/{symbol}"}, "the pattern of bar topics: 'bars/X' is no topic name"),
        ({"session": "main", "overrides": {"A": "t", "B": "t"}}, "the override for B: topic t already belongs to A"),
        ({"session": "main", "overrides": {"A": "main.dlq"}}, "the override for A: topic main.dlq is one of the session's own"),
        ({"session": "main", "overrides": {"A": "a b"}}, "the override for A: 'a b' is no topic name"),
    ],
)
def test_settings_that_give_no_topic_names_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TopicNames(**settings)  # type: ignore[arg-type]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("names", "symbol", "says"),
    [
        (TopicNames("main"), "", "a symbol must not be empty"),
        (TopicNames("main"), "\u20ac" * 64, "would have a topic name of 581 characters, Kafka allows 249: give it an override"),
        (TopicNames("main", overrides={"A": "bars.B"}), "B", "would have the topic bars.B, which an override gives to A"),
        (TopicNames("main", bars_pattern="{symbol}"), "main.control", "which is not free for bars"),
        (
            TopicNames("main", bars_pattern="{symbol}"),
            "quotes.SPY",
            "the topic quotes.SPY for its bars, which is that of the quotes of SPY",
        ),
        (TopicNames("main", bars_pattern="{symbol}"), "..", "which is not free for bars"),
    ],
)
def test_a_symbol_without_a_topic_of_its_own_is_refused(names: TopicNames, symbol: str, says: str) -> None:
    with pytest.raises(InvalidSymbolError) as caught:
        names.bars(symbol)
    assert says in str(caught.value)


OWN_PATTERNS = TopicNames("main", prefix="lab.", quotes_pattern="{symbol}-q", ticks_pattern="{symbol}-t")


@pytest.mark.parametrize("symbol", ["SPY", "BTC/USD", "a_b", "\u20ac"])
@pytest.mark.parametrize("stream", [None, "quotes", "ticks"])
@pytest.mark.parametrize("names", [TopicNames("main"), OWN_PATTERNS])
def test_each_stream_of_a_symbol_has_a_topic_of_its_own_and_the_way_back_is_exact(
    symbol: str, stream: str | None, names: TopicNames
) -> None:
    topic = names.of(symbol, stream)
    assert names.source_of(topic) == (symbol, stream)
    assert names.symbol_of(topic) == (symbol if stream is None else None)
    assert len({names.bars(symbol), names.quotes(symbol), names.ticks(symbol)}) == 3


def test_quotes_and_ticks_have_the_names_that_the_patterns_give() -> None:
    names = TopicNames("main", prefix="lab.", ticks_pattern="trades_{symbol}", overrides={"SPY": "vendor"})
    assert (names.bars("SPY"), names.quotes("SPY"), names.ticks("BTC/USD")) == ("vendor", "lab.quotes.SPY", "lab.trades_BTC_2FUSD")


def test_an_override_that_is_the_topic_of_quotes_lets_nobody_have_both() -> None:
    names = TopicNames("main", overrides={"IBM": "quotes.SPY"})
    with pytest.raises(InvalidSymbolError, match=r"would have the topic quotes\.SPY, which an override gives to IBM"):
        names.quotes("SPY")
