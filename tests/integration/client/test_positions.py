"""Bars under messages whose times are wrong, on a real broker: replays, workers and history from topics miss none of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from streams.cli.main import run
from streams.config.settings import Settings
from streams.history.lean.files import read_lean
from streams.history.sources.topics import TopicHistory
from streams.model.records import Bar, Quote, Tick
from streams.replay.topic_source import KafkaSource
from streams.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US, from_us, to_us
from streams.wire.codec import Codec
from tests.support import create_topics, unique_symbol
from tests.support.feeders import made_up_bars, made_up_quotes, now_us
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.replay import MINUTES, run_replay, session_of
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

CODEC = Codec()
OPEN_US = to_us(datetime(2013, 10, 7, 13, 30, tzinfo=UTC))

Stamp = Callable[[Bar], int | None]
STAMPS: dict[str, Stamp] = {
    "seconds for milliseconds": lambda bar: bar.end_us // SECOND_US,
    "local time for UTC": lambda bar: (bar.end_us - 4 * HOUR_US) // 1000,
    "start of the bar": lambda bar: bar.start_us // 1000,
    "time of sending": lambda bar: None,
    "end of the bar": lambda bar: bar.end_us // 1000,
}


@pytest.fixture
def symbol() -> str:
    return unique_symbol("WHEN")


@pytest.fixture
def settings(bootstrap_servers: str, session_name: str) -> Settings:
    return Settings.load(bootstrap_servers=bootstrap_servers, session=session_name)


def topic_of(settings: Settings, name: str, **properties: str) -> str:
    create_topics(settings.bootstrap_servers, name, settings={"retention.ms": "-1", **properties})
    return name


def put(
    settings: Settings, topic: str, bars: Sequence[Bar | bytes], stamp: Stamp, *, as_json: bool = False, transactional: bool = False
) -> None:
    """Produce bars, or other bytes among them, with times of one's own; in transactions of 97, each after one that is aborted."""
    properties = {"bootstrap.servers": settings.bootstrap_servers, "linger.ms": 5}
    producer = Producer({**properties, "transactional.id": topic} if transactional else properties)
    if transactional:
        producer.init_transactions(60)
    for place, bar in enumerate(bars):
        if transactional and place % 97 == 0:
            if place:
                producer.commit_transaction(60)
            producer.begin_transaction()
            producer.produce(topic, b"aborted", partition=0, timestamp=OPEN_US // 1000)
            producer.flush(60)
            producer.abort_transaction(20)
            producer.begin_transaction()
        if isinstance(bar, bytes):
            producer.produce(topic, bar, partition=0)
            continue
        when = stamp(bar)
        value = CODEC.bar_to_json(bar) if as_json else CODEC.bar_to_avro(bar)
        producer.produce(topic, value, partition=0, **({} if when is None else {"timestamp": when}))
    if transactional:
        producer.commit_transaction(60)
    assert producer.flush(30) == 0


def days_of(symbol: str) -> list[Bar]:
    """Two days of SPY: 390 bars between the open and the close of each, and those around them."""
    found = [bar for day in ("20131007", "20131008") for bar in read_lean(MINUTES / "spy" / f"{day}_trade.zip")]
    return [Bar(symbol, "1m", one.start_us, one.end_us, one.open, one.high, one.low, one.close, one.volume) for one in found]


@pytest.mark.parametrize("form", ["avro", "json", "transactions"])
@pytest.mark.parametrize("stamp", STAMPS)
def test_a_replay_reads_each_day_whole_whatever_the_messages_say(settings: Settings, symbol: str, stamp: str, form: str) -> None:
    topic = topic_of(settings, f"bars.{symbol}")
    put(settings, topic, days_of(symbol), STAMPS[stamp], as_json=form == "json", transactional=form == "transactions")
    for day in ("2013-10-07", "2013-10-08"):
        source = KafkaSource(settings, [symbol])
        try:
            result = run_replay(session_of(symbol), source, days=(day, day))
        finally:
            source.close()
        assert result.summary.base_accepted == 390
        (loaded,) = result.events("symbol_loaded")
        # Kafka takes the markers of transactions, which are of today, for messages when it is asked for a time.
        is_doubted = stamp != "end of the bar" or form == "transactions"
        assert ("found from its records" in (loaded.reason or "")) == is_doubted


def test_a_topic_that_the_broker_stamps_is_read_from_the_day_on(settings: Settings, symbol: str) -> None:
    topic = topic_of(settings, f"bars.{symbol}", **{"message.timestamp.type": "LogAppendTime"})
    put(settings, topic, days_of(symbol), STAMPS["end of the bar"])
    source = KafkaSource(settings, [symbol])
    try:
        opened = source.open(symbol, "1m", OPEN_US + DAY_US)
        assert [read.record.end_us for read in [next(opened.records)] if isinstance(read.record, Bar)] == [OPEN_US + DAY_US + MINUTE_US]
    finally:
        source.close()


def test_what_can_t_be_decoded_is_no_obstacle_and_an_empty_topic_is_empty(settings: Settings, symbol: str) -> None:
    empty = unique_symbol("EMPTY")
    topic_of(settings, f"bars.{empty}")
    topic = topic_of(settings, f"bars.{symbol}")
    bars: list[Bar | bytes] = []
    for bar in days_of(symbol):
        bars += [bar, b"no bar", b'{"symbol": 5}']
    put(settings, topic, bars, STAMPS["start of the bar"])
    source = KafkaSource(settings, [symbol, empty])
    try:
        assert source.open(empty, "1m", OPEN_US).offset == 0
        first = next(source.open(symbol, "1m", OPEN_US).records)
    finally:
        source.close()
    assert isinstance(first.record, Bar)
    assert first.record.start_us == OPEN_US


@pytest.mark.parametrize("stamp", STAMPS)
def test_history_from_a_topic_is_whole_whatever_the_messages_say(settings: Settings, symbol: str, stamp: str) -> None:
    put(settings, topic_of(settings, f"bars.{symbol}"), days_of(symbol), STAMPS[stamp])
    bars = TopicHistory(settings).get_bars(symbol, "1m", from_us(OPEN_US + DAY_US), from_us(OPEN_US + DAY_US + 390 * MINUTE_US))
    assert len(bars) == 390


@pytest.mark.parametrize("stamp", ["seconds for milliseconds", "start of the bar"])
def test_quotes_are_found_by_their_own_time(settings: Settings, symbol: str, stamp: str) -> None:
    topic = topic_of(settings, f"quotes.{symbol}")
    quotes = made_up_quotes(symbol, 200, end_us=OPEN_US + 100 * SECOND_US, apart_us=SECOND_US)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for quote in quotes:
        moment = quote.time_us // SECOND_US if stamp.startswith("seconds") else (quote.time_us - MINUTE_US) // 1000
        producer.produce(topic, CODEC.quote_to_avro(quote), partition=0, timestamp=moment)
    assert producer.flush(60) == 0
    source = KafkaSource(settings)
    try:
        opened = source.open_extra(symbol, "quotes", OPEN_US - 1)
        times = [read.record.time_us for read in opened.records if isinstance(read.record, Quote | Tick)]
    finally:
        source.close()
    assert times == [quote.time_us for quote in quotes if quote.time_us >= OPEN_US]
    assert "found from its records" in (opened.note or "")


def test_the_command_line_tells_of_it(
    settings: Settings, symbol: str, session_name: str, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    put(settings, topic_of(settings, f"bars.{symbol}"), days_of(symbol), STAMPS["local time for UTC"])
    config = f"{tmp_path}/session.json"
    with open(config, "w") as file:
        json.dump(
            {"session_name": session_name, "mode": "backtest", "exchange": "XNYS", "session_data_config": {"symbols": [symbol]}}, file
        )
    days = ["--start", "2013-10-07", "--end", "2013-10-07"]
    code = run(["replay", config, *days, "--to", "none", "--bootstrap", settings.bootstrap_servers])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "found from its records" in said.err + said.out


@pytest.mark.parametrize(("stamp", "by_time"), [("seconds for milliseconds", 100), ("start of the bar", 1)], ids=["seconds", "start"])
def test_a_symbol_that_is_added_to_a_live_session_loses_none_of_its_bars(
    bootstrap_servers: str, settings: Settings, session_name: str, workers: Workers, symbol: str, stamp: str, by_time: int
) -> None:
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [], threshold_seconds=3600))
    workers.start(desk.config).wait_until("active")
    bars = made_up_bars(symbol, 100, end_us=now_us())
    put(settings, topic_of(settings, f"bars.{symbol}"), bars, STAMPS[stamp])
    reply = desk.add(symbol, start=from_us(bars[0].start_us))
    assert reply is not None
    assert f"the times of its messages give offset {by_time}" in (reply.reason or "")
    published = desk.await_bars(symbol, 100)
    assert [event.bar.start_us for event in published if event.bar is not None] == [bar.start_us for bar in bars]
    (loaded,) = [event for event in desk.topics.events() if event.symbol == symbol and event.kind == "symbol_loaded"]
    assert loaded.reason == reply.reason
    (added,) = [event for event in desk.of(symbol) if event.kind == "symbol_added"]
    assert added.reason is None, "analysis does not depend on the source"


def test_wrong_times_change_no_record_of_a_replay(settings: Settings) -> None:
    hashes = set()
    symbol = unique_symbol("SAME")
    for prefix, stamp in (("right.", "end of the bar"), ("wrong.", "start of the bar")):
        there = settings.model_copy(update={"topic_prefix": prefix})
        put(there, topic_of(there, f"{prefix}bars.{symbol}"), days_of(symbol), STAMPS[stamp])
        source = KafkaSource(there, [symbol])
        try:
            hashes.add(run_replay(session_of(symbol), source).sha256)
        finally:
            source.close()
    assert len(hashes) == 1
