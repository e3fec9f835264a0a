"""Topics as a history source, on a real broker: which bars are given, and when an empty answer is one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
from confluent_kafka import Producer
from msgspec.structs import replace

from streams.broker.ports import free_port
from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.errors import HistoryError, NobodyThereError, SettingsError
from streams.history.sources.source import TopicPlace, parse_place
from streams.history.sources.topics import TopicHistory
from streams.model.records import Bar
from streams.times import DAY_US, MINUTE_US, from_us
from streams.wire.topics import TopicNames
from tests.support import create_topics, unique_symbol
from tests.support.feeders import produce_in_transaction
from tests.support.history import START_US, bar


@pytest.fixture
def symbol() -> str:
    return unique_symbol("PAST")


@pytest.fixture
def settings(bootstrap_servers: str) -> Settings:
    return Settings.load(bootstrap_servers=bootstrap_servers)


def minute(number: int) -> datetime:
    return from_us(START_US + number * MINUTE_US)


def put(settings: Settings, bars: Sequence[Bar]) -> None:
    with BarProducer(settings) as producer:
        for one in bars:
            producer.send(one)


def test_the_bars_that_start_in_the_stretch_are_given_in_order_and_late_and_corrected_ones_too(settings: Settings, symbol: str) -> None:
    bars = [bar(number, symbol=symbol) for number in range(8)]
    correction = replace(bars[4], close=11.5)
    late_fill = replace(bars[4], close=9.5, provenance="gap_fill")
    others = [replace(bars[3], interval="1s", end_us=bars[3].start_us + 1_000_000), replace(bars[3], symbol="ELSE")]
    with BarProducer(settings, TopicNames("none", overrides={"ELSE": f"bars.{symbol}"})) as producer:
        producer.send(others[1])
    put(settings, [bars[0], bars[1], others[0], bars[4], bars[6], bars[7], bars[2], bars[5], bars[3], correction, late_fill])
    source = TopicHistory(settings)
    assert source.get_bars(symbol, "1m", minute(2), minute(6)) == [bars[2], bars[3], correction, bars[5]]
    assert source.get_bars(symbol, "1m", minute(-5), minute(1)) == [bars[0]]


def test_what_was_not_committed_is_not_given(bootstrap_servers: str, settings: Settings, symbol: str) -> None:
    create_topics(bootstrap_servers, f"bars.{symbol}")
    bars = [bar(number, symbol=symbol) for number in range(3)]
    produce_in_transaction(bootstrap_servers, bars)
    assert TopicHistory(settings).get_bars(symbol, "1m", minute(0), minute(3)) == bars


@pytest.mark.parametrize(
    ("minutes", "knows", "reason"),
    [
        ([0, 1, 5, 6], True, "records on both sides"),
        ([0, 1], False, "it ends before the stretch"),
        ([5, 6], False, "it begins behind it"),
        ([], False, "it has none"),
    ],
)
def test_that_a_topic_has_none_is_believed_where_it_reaches_around_the_stretch(
    bootstrap_servers: str, settings: Settings, symbol: str, minutes: list[int], knows: bool, reason: str
) -> None:
    create_topics(bootstrap_servers, f"bars.{symbol}")
    put(settings, [bar(number, symbol=symbol) for number in minutes])
    source = TopicHistory(settings)
    if knows:
        assert list(source.get_bars(symbol, "1m", minute(2), minute(5))) == [], reason
    else:
        with pytest.raises(HistoryError, match="it may not hold all there was"):
            source.get_bars(symbol, "1m", minute(2), minute(5))


def test_what_no_bar_is_is_passed_over(bootstrap_servers: str, settings: Settings, symbol: str) -> None:
    put(settings, [bar(0, symbol=symbol)])
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    for value in (b"no bar", None, b"{"):
        producer.produce(f"bars.{symbol}", value, b"key", 0)
    producer.flush(60)
    put(settings, [bar(1, symbol=symbol)])
    assert TopicHistory(settings).get_bars(symbol, "1m", minute(0), minute(2)) == [bar(0, symbol=symbol), bar(1, symbol=symbol)]


def test_reading_ends_a_day_behind_the_stretch_and_is_bounded(settings: Settings, symbol: str) -> None:
    bars = [bar(number, symbol=symbol) for number in range(4)]
    days_later = bar(2 * DAY_US // MINUTE_US, symbol=symbol)
    put(settings, [*bars[:3], days_later, bars[3]])
    source = TopicHistory(settings)
    assert source.get_bars(symbol, "1m", minute(0), minute(4)) == bars[:3]
    with pytest.raises(HistoryError, match="has more than 2 records that may belong to one stretch: ask for a shorter one"):
        TopicHistory(settings, most_records=2).get_bars(symbol, "1m", minute(0), minute(4))


def test_another_cluster_has_names_of_its_own(bootstrap_servers: str, symbol: str) -> None:
    bars = [bar(number, symbol=symbol) for number in range(3)]
    put(Settings.load(bootstrap_servers=bootstrap_servers, bars_pattern="md.{symbol}.1m"), bars)
    here = Settings.load(bootstrap_servers="nowhere:1", topic_prefix="desk.", topic_overrides={symbol: "else"})
    place = parse_place(f"kafka://{bootstrap_servers}?pattern=md.{{symbol}}.1m&client.id=past")
    assert isinstance(place, TopicPlace)
    assert TopicHistory.at(place, here).get_bars(symbol, "1m", minute(0), minute(3)) == bars
    with pytest.raises(SettingsError, match=r"no\.such\.property"):
        TopicHistory.at(TopicPlace(bootstrap_servers, None, (("no.such.property", "1"),)), here)


def test_a_topic_that_is_not_there_and_a_broker_that_is_away_are_told(settings: Settings, symbol: str) -> None:
    with pytest.raises(HistoryError, match=f"there is no topic bars.{symbol} at "):
        TopicHistory(settings).get_bars(symbol, "1m", minute(0), minute(3))
    with pytest.raises(HistoryError, match="a symbol must not be empty"):
        TopicHistory(settings).get_bars("", "1m", minute(0), minute(3))
    away = settings.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}"})
    with pytest.raises(NobodyThereError, match="no broker answers at "):
        TopicHistory(away).get_bars(symbol, "1m", minute(0), minute(3))
