"""What a flood of quotes of one symbol does to the bars of the others: from a bar's sending to its record on analysis.

Twenty symbols with one bar a second each, and 20,000 quotes a second of one of them; in turn with the same without the quotes.
Sender, flood, reader and worker are processes of their own. Each bar must be on analysis once, and all quotes taken in.
"""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Final

from confluent_kafka import Producer

from benchmarks.latency import published_delays_ms
from benchmarks.measure import Better, Plan, Row, rounds_of, row_of
from benchmarks.stage import WAIT_SECONDS, Apart, Stage, percentile, stage, symbols_named
from streams.config.settings import Settings
from streams.model.records import Quote
from streams.times import SystemClock
from streams.wire.codec import Codec
from streams.wire.topics import TopicNames

SYMBOLS: Final = 20
BARS_PER_SECOND: Final = 20
QUOTES_PER_SECOND: Final = 20_000
SECONDS: Final = 15.0
WARM_SECONDS: Final = 3.0


def rows(plan: Plan) -> list[Row]:
    """Milliseconds of the bars at p50 and p99, with the flood and without."""
    seconds = 2.0 if plan.small else SECONDS
    with stage(plan) as place:
        results = rounds_of(
            {"with quotes": lambda: _delays(place, seconds, QUOTES_PER_SECOND), "without": lambda: _delays(place, seconds, 0)}, plan.rounds
        )
    group = f"bar to analysis, {QUOTES_PER_SECOND:,} quotes/s beside"
    return [
        row_of(group, f"{name}, {figure}", "ms", [one[figure] for one in found], better=Better.LOWER)
        for name, found in results.items()
        for figure in ("p50", "p99")
    ]


def _delays(place: Stage, seconds: float, quotes_per_second: int) -> dict[str, float]:
    each = round(BARS_PER_SECOND * (seconds + WARM_SECONDS) / SYMBOLS)
    with place.act(symbols_named(SYMBOLS), extra=("quotes",)) as act:
        worker = act.worker()
        worker.wait_active()
        flood = Apart(_flood, act.settings, act.symbols[0], quotes_per_second)
        reader, sender = act.reader(act.names.analysis), act.sender(0, each, per_second=BARS_PER_SECOND)
        sender.begin()
        flood.request("go")
        delays = published_delays_ms(reader, len(sender.finish()))[round(BARS_PER_SECOND * WARM_SECONDS) :]
        flood.request("stop")
        sent = int(flood.answer())
        worker.wait_until(lambda one: one.figure("streams_quotes_read_total") >= sent, f"reading {sent} quotes")
        flood.end()
    return {"p50": percentile(delays, 0.5), "p99": percentile(delays, 0.99)}


def _flood(pipe: Connection, settings: Settings, symbol: str, per_second: int) -> None:
    """Send quotes at a steady rate until told to stop; says how many."""
    codec, clock = Codec(), SystemClock()
    topic, key = TopicNames("none", prefix=settings.topic_prefix).quotes(symbol), symbol.encode()
    producer = Producer({**settings.kafka(), "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    producer.list_topics(topic, WAIT_SECONDS)
    pipe.send("ready")
    pipe.recv()
    began, sent = time.monotonic(), 0
    while not pipe.poll(0.005):
        for _ in range(min(10_000, int((time.monotonic() - began) * per_second) - sent)):
            now_us = clock.now_us()
            producer.produce(topic, codec.quote_to_avro(Quote(symbol, now_us, 167.4, 167.5, 3.0, 4.0)), key, 0, None, now_us // 1000)
            sent += 1
        producer.poll(0)
    producer.flush(WAIT_SECONDS)
    pipe.send(sent)
