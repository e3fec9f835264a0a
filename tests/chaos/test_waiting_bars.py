"""Workers die while bars wait for their end: each bar is still told once, in the last version that had come by then."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer

from streams.config.session import SessionConfig
from streams.model.records import Bar
from streams.times import SECOND_US, SystemClock
from streams.wire.codec import Codec
from tests.support import create_topics, unique_symbol, wait_until
from tests.support.feeders import around_the_clock
from tests.support.sessions.desk import READ_SECONDS, LiveDesk
from tests.support.workers.processes import Workers

CODEC = Codec()
CLOCK = SystemClock()
UPDATE_US = SECOND_US // 5
WIDTH_US = 2 * SECOND_US

pytestmark = pytest.mark.chaos


class FormingFeed:
    """Sends each candle of two seconds five times a second while it forms, in a thread; some of a candle's updates are missing."""

    def __init__(self, desk: LiveDesk, symbols: Sequence[str]) -> None:
        self.sent = dict.fromkeys(symbols, 0)
        self._producer = Producer({"bootstrap.servers": desk.servers, "linger.ms": 0, "log_level": 0})
        self._topics = {symbol: desk.names.bars(symbol) for symbol in symbols}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forming feed", daemon=True)

    def __enter__(self) -> FormingFeed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        assert not self._producer.flush(30)

    def _run(self) -> None:
        for number in range(10**9):
            now_us = CLOCK.now_us()
            if self._stopping.wait((UPDATE_US - now_us % UPDATE_US) / SECOND_US):
                return
            now_us = CLOCK.now_us()
            start_us = now_us - now_us % WIDTH_US
            for place, (symbol, topic) in enumerate(self._topics.items()):
                if (number + place) % 4:
                    volume = float(1 + (now_us - start_us) // 1000)
                    price = 100.0 + (number % 9) / 4
                    bar = Bar(symbol, "2s", start_us, start_us + WIDTH_US, 100.0, 110.0, 90.0, price, volume)
                    self._producer.produce(topic, CODEC.bar_to_avro(bar), symbol.encode(), 0)
                    self.sent[symbol] += 1
            self._producer.poll(0)


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_workers_that_die_while_bars_wait_lose_and_repeat_none(
    kills: int, bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol("F") for _ in range(3)]
    data = {"symbols": symbols, "streams": ["2s"], "derived_intervals": ["10s"], "bars_topic": True}
    config = SessionConfig.from_dict({"session_name": session_name, **around_the_clock(), "session_data_config": data})
    desk = LiveDesk(bootstrap_servers, config)
    create_topics(bootstrap_servers, *map(desk.names.bars, symbols))
    worker = workers.start(config)
    worker.wait_until("active")

    def waits() -> bool:
        rows = [desk.progress(symbol) for symbol in symbols]
        return worker.status() == "active" and any(row is not None and row.waiting for row in rows)

    def bars() -> int:
        return sum(event.bar is not None for event in desk.topics.analysis())

    with FormingFeed(desk, symbols) as feed:
        for _ in range(kills):
            before = bars()
            wait_until(lambda: bars() > before, "bars to be told")  # noqa: B023
            wait_until(waits, "bars to wait")
            worker.kill()
            worker.start()
            worker.wait_until("active")
        before = len(desk.of(symbols[0]))
        wait_until(lambda: len(desk.of(symbols[0])) > before + 2, "bars to be told after the last kill", READ_SECONDS)
    desk.await_read(feed.sent)
    wait_until(lambda: not waits(), "the last bars to end")
    assert worker.stop() == 0
    evidence = desk.check_left_behind(symbols)
    rows = [desk.progress(symbol) for symbol in symbols]
    assert all(row is not None and row.forming > 0 and row.waiting == () for row in rows)
    early = [event for event in evidence.analysis if event.bar is not None and event.emitted_us < event.bar.end_us]
    assert early == []
