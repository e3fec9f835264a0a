"""A feed that sends a candle each time it changes: live it is published once, at its end and as it was then, and so in a replay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Producer

from streams.config.session import SessionConfig
from streams.model.records import Bar, PublishedBar
from streams.replay.runner import Replay
from streams.replay.topic_source import KafkaSource
from streams.times import SECOND_US, SystemClock, date_of_days
from streams.wire.codec import Codec
from tests.support import unique_name, unique_symbol
from tests.support.feeders import around_the_clock
from tests.support.kafka.topics import create_topics
from tests.support.sessions.desk import LiveDesk
from tests.support.workers.processes import Workers

CODEC = Codec()
CLOCK = SystemClock()
CANDLES = 2
FINAL_VOLUME = 600.0


def updates(symbol: str, first_us: int) -> Iterator[Bar]:
    """Each candle of ten seconds, twenty times, the last a second before its end, so that it is in time on a busy machine too.

    Its volume grows by thirty up to 600, its price goes up and comes back.
    """
    for number in range(CANDLES):
        start_us = first_us + number * 10 * SECOND_US
        for half in range(1, 21):
            due_us = start_us + half * 9 * SECOND_US // 20
            time.sleep(max(0, due_us - CLOCK.now_us()) / SECOND_US)
            high = 100.0 + min(half, 12) / 4
            close = high if half < 12 else high - (half - 12) / 4
            yield Bar(symbol, "10s", start_us, start_us + 10 * SECOND_US, 100.0, high, 100.0, close, 30.0 * half)


def test_a_candle_of_which_every_update_is_sent_is_published_once_with_its_last_values_live_and_in_a_replay(
    bootstrap_servers: str, tmp_path: Path
) -> None:
    symbol = unique_symbol()
    parts = {"symbols": [symbol], "streams": ["10s"], "derived_intervals": ["20s"]}
    config = SessionConfig.from_dict({"session_name": unique_name("forming"), **around_the_clock(), "session_data_config": parts})
    desk = LiveDesk(bootstrap_servers, config)
    topic = desk.names.bars(symbol)
    create_topics(bootstrap_servers, topic)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "log_level": 0})
    with Workers(bootstrap_servers, tmp_path) as workers:
        worker = workers.start(config)
        worker.wait_until("active")
        first_us = CLOCK.now_us() // (20 * SECOND_US) * 20 * SECOND_US + 20 * SECOND_US
        for update in updates(symbol, first_us):
            producer.produce(topic, CODEC.bar_to_avro(update), symbol.encode(), 0)  # as any producer stamps it: when it is sent
            producer.flush(60)
        desk.await_bars(symbol, 1, "20s")
        told = [event for event in desk.of(symbol) if event.bar is not None]
        assert worker.stop() == 0

    live = [(one.interval, one.bar.start_us, one.bar.volume, one.bar.close, one.bar.revision, one.bar.complete) for one in told if one.bar]
    assert live == [
        ("10s", first_us, FINAL_VOLUME, 101.0, 0, True),
        ("10s", first_us + 10 * SECOND_US, FINAL_VOLUME, 101.0, 0, True),
        ("20s", first_us, 2 * FINAL_VOLUME, 101.0, 0, True),
    ]
    assert all(event.bar is not None and event.emitted_us >= event.bar.end_us for event in told), "nothing is told before it has ended"
    progress = desk.progress(symbol)
    assert progress is not None
    early = len(desk.dead_letters(topic))
    assert (progress.forming + early, progress.corrected, progress.waiting) == (CANDLES * 19, 0, ())
    assert 0 < early < CANDLES * 12, "only what comes more than five seconds before the end is a dead letter"
    desk.check_audit()

    source = KafkaSource(desk.settings, [symbol])
    day = told[0].trading_days
    assert day is not None
    try:
        replay = Replay(config, source=source, start=date_of_days(day), end=date_of_days(day))
        published = [one for step in replay.steps() for one in step.outcomes if isinstance(one, PublishedBar)]
    finally:
        source.close()
    replayed = [(one.interval, one.bar.start_us, one.bar.volume, one.bar.close, one.bar.revision, one.bar.complete) for one in published]
    assert replayed == live
    assert replay.summary().dropped == {"forming": CANDLES * 19}
