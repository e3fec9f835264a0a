"""The time that a message gets: when its record is known, or the time of sending if that is earlier."""

from __future__ import annotations

from typing import Any

import pytest

from streams.client import producer as produce
from streams.client.producer import BarProducer, message_ms
from streams.config.settings import Settings
from streams.model.records import Bar, Quote, Tick
from streams.times import ManualClock, interval_us, parse_instant


def bar(interval: str, start: str, end: str | None = None) -> Bar:
    start_us = parse_instant(start)
    end_us = start_us + interval_us(interval) if end is None else parse_instant(end)
    return Bar("SPY", interval, start_us, end_us, 1.0, 2.0, 1.0, 2.0, 5.0)


@pytest.mark.parametrize(
    ("record", "sent", "stamped", "reason"),
    [
        (
            bar("1d", "2026-11-30T00:00:00Z"),
            "2026-11-30T21:00:01Z",
            "2026-11-30T21:00:01Z",
            "New York closes three hours before midnight UTC",
        ),
        (bar("1d", "2026-11-30T05:00:00Z"), "2026-11-30T21:00:01Z", "2026-11-30T21:00:01Z", "and eight before midnight there"),
        (bar("1d", "2026-11-29T13:00:00Z"), "2026-11-30T05:10:00Z", "2026-11-30T05:10:00Z", "Sydney"),
        (bar("1d", "2026-11-30T00:00:00Z", "2026-11-30T21:00:00Z"), "2026-11-30T21:00:01Z", "2026-11-30T21:00:00Z", "it ends at the close"),
        (bar("4h", "2026-11-30T18:30:00Z"), "2026-11-30T21:00:02Z", "2026-11-30T21:00:02Z", "cut by the close"),
        (bar("1m", "2026-11-30T14:30:00Z"), "2026-11-30T14:31:00.250Z", "2026-11-30T14:31:00Z", "as any bar that is over"),
        (bar("1m", "2013-10-07T13:30:00Z"), "2026-11-30T14:31:00Z", "2013-10-07T13:31:00Z", "a backfill"),
        (Quote("SPY", parse_instant("2026-11-30T14:30:05Z"), 1.0, 2.0), "2026-11-30T14:30:04Z", "2026-11-30T14:30:04Z", "a clock behind"),
        (Tick("SPY", parse_instant("2026-11-30T14:30:05Z"), 1.0, 2.0), "2026-11-30T14:30:06Z", "2026-11-30T14:30:05Z", "its own time"),
    ],
)
def test_a_message_is_of_the_end_of_its_bar_or_of_the_time_of_sending(
    record: Bar | Quote | Tick, sent: str, stamped: str, reason: str
) -> None:
    clock = ManualClock(parse_instant(sent))
    assert message_ms(record, clock.now_us()) == parse_instant(stamped) // 1000, reason


class Queue:
    """A producer of the client library that delivers when a test says so."""

    def __init__(self) -> None:
        self.waiting = 0

    def __len__(self) -> int:
        return self.waiting

    def produce(self, *_: object, **__: object) -> None:
        self.waiting += 1

    def poll(self, seconds: float) -> int:
        return 0


def test_a_broker_is_slow_from_the_first_record_that_waits_and_not_while_a_feed_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, clock = Queue(), ManualClock(parse_instant("2026-11-30T14:31:00Z"))
    monkeypatch.setattr(produce, "make_producer", lambda *_: queue)
    monkeypatch.setattr(produce, "topics_on", lambda *_: frozenset({"bars.SPY"}))
    producer: Any = BarProducer(Settings.load(bootstrap_servers="kafka.example:9092", session="main"), clock=clock)
    for start in ("14:30:00", "14:31:00", "14:32:00"):
        clock.advance_seconds(60)  # nothing to send
        producer.send(bar("1m", f"2026-11-30T{start}Z"))
        assert producer.stalled_seconds() == 0.0
        queue.waiting = 0
    producer.send(bar("1m", "2026-11-30T14:33:00Z"))
    clock.advance_seconds(4)
    producer.send(bar("1m", "2026-11-30T14:34:00Z"))
    clock.advance_seconds(3)
    assert producer.stalled_seconds() == 7.0, "since the first of the two was sent"
    queue.waiting = 1
    assert producer.stalled_seconds() == 0.0, "the broker took one"
    clock.advance_seconds(2)
    assert producer.stalled_seconds() == 2.0
