"""Bars made up for tests, and a thread that produces them at a steady rate.

Timelines end about now, so that their last bars are fresh when they arrive; the trading day is put so that its end is half
a day away, at whatever hour the tests run.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count as numbers
from itertools import islice

from confluent_kafka import Producer

from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.model.records import Bar, Quote, Tick, known_us
from streams.times import SECOND_US, SystemClock, interval_us
from streams.wire.codec import Codec
from streams.wire.topics import TopicNames

_CODEC = Codec()


def around_the_clock() -> dict[str, object]:
    """Keys of a session config: trading never stops, and one day follows on another about twelve hours from now."""
    turn = _turn()
    return {"exchange": "24/7", "hours": {"open": turn, "close": turn}}


@cache
def _turn() -> str:
    """Asked for once: a session that a test begins at 00:59 and goes on with at 01:00 keeps its hours."""
    return f"{(datetime.now(UTC) + timedelta(hours=12)).hour:02d}:00"


def now_us(interval: str = "1s") -> int:
    """The newest instant at which a bar of this interval has ended."""
    now = SystemClock().now_us()
    return now - now % interval_us(interval)


def made_up_bars(symbol: str, count: int, *, end_us: int, interval: str = "1s", seed: int = 0) -> list[Bar]:
    """`count` bars in a row, the last of which ends at `end_us`; prices in quarters, so that sums are exact."""
    return list(islice(walk(symbol, end_us - count * interval_us(interval), interval=interval, seed=seed), count))


def walk(symbol: str, first_us: int, *, interval: str = "1s", seed: int = 0) -> Iterator[Bar]:
    """Bars in a row without end, the first of which starts at `first_us`."""
    chance = random.Random(f"{symbol}-{seed}")
    width_us = interval_us(interval)
    price = 400
    for number in numbers():
        opened = price
        price = max(40, price + chance.randint(-4, 4))
        high, low = max(opened, price) + chance.randint(0, 3), min(opened, price) - chance.randint(0, 3)
        start_us = first_us + number * width_us
        volume = float(chance.randint(1, 500))
        yield Bar(symbol, interval, start_us, start_us + width_us, opened / 4, high / 4, low / 4, price / 4, volume)


def interleaved(series: Sequence[Sequence[Bar]]) -> Iterator[Bar]:
    """Bars of several symbols in order of their end."""
    for together in zip(*series, strict=True):
        yield from together


def produce(settings: Settings, records: Iterable[Bar | Quote | Tick]) -> None:
    """Produce bars, quotes or ticks at once."""
    with BarProducer(settings) as producer:
        for record in records:
            producer.send(record)


def made_up_quotes(symbol: str, count: int, *, end_us: int, apart_us: int = 1_000, seed: int = 0) -> list[Quote]:
    """`count` quotes so far apart, the last of which is of `end_us`."""
    chance = random.Random(f"{symbol}-{seed}")
    quotes = []
    for place in range(count):
        bid = chance.randint(390, 410) / 4
        quotes.append(Quote(symbol, end_us - (count - 1 - place) * apart_us, bid, bid + 0.25, float(place % 9 + 1), 100.0))
    return quotes


def made_up_ticks(symbol: str, count: int, *, end_us: int, apart_us: int = 1_000, seed: int = 0) -> list[Tick]:
    """The same of ticks."""
    chance = random.Random(f"{symbol}-{seed}")
    return [Tick(symbol, end_us - (count - 1 - place) * apart_us, chance.randint(390, 410) / 4, 10.0) for place in range(count)]


def produce_in_transaction(bootstrap_servers: str, bars: Sequence[Bar]) -> None:
    """Produce bars of one symbol in one transaction, so that its topic ends with a marker."""
    symbol = bars[0].symbol
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": f"feed-{symbol}"})
    producer.init_transactions(60)
    producer.begin_transaction()
    for bar in bars:
        producer.produce(TopicNames("none").bars(symbol), _CODEC.bar_to_avro(bar), symbol.encode(), 0, timestamp=bar.end_us // 1000)
    producer.commit_transaction(60)


def quotes_of_now(symbols: Sequence[str]) -> Iterator[Quote]:
    """Quotes without end, of each symbol in turn, each of the moment at which it is taken."""
    clock = SystemClock()
    for number in numbers():
        yield Quote(symbols[number % len(symbols)], clock.now_us(), 100.0 + number % 7 / 4, 102.0, 1.0, 2.0)


def ticks_of_now(symbols: Sequence[str]) -> Iterator[Tick]:
    """The same of ticks."""
    clock = SystemClock()
    for number in numbers():
        yield Tick(symbols[number % len(symbols)], clock.now_us(), 100.0 + number % 7 / 4, float(number))


class SteadyFeed:
    """Produces bars, quotes or ticks at a steady rate in a thread of its own, no bar before its end; a context manager that stops it.

    Args:
        settings: where the broker is.
        bars: what to produce, in this order.
        per_second: the rate; lateness is made up for.
        at_least: records without end are produced until `finish` was called and so many are sent.
        patient_seconds: how long it waits for a broker that is away; None: as long as any producer does.
    """

    def __init__(
        self,
        settings: Settings,
        bars: Iterable[Bar | Quote | Tick],
        per_second: float,
        *,
        at_least: int | None = None,
        patient_seconds: float | None = None,
    ) -> None:
        self.sent = 0
        self.sent_of: Counter[str] = Counter()
        self._options = {} if patient_seconds is None else {"delivery_timeout_seconds": patient_seconds}
        self._settings = settings
        self._bars = bars
        self._per_second = per_second
        self._at_least = at_least
        self._finishing = threading.Event()
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="steady feed", daemon=True)

    def __enter__(self) -> SteadyFeed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def is_done(self) -> bool:
        """Whether all bars are in their topics; raises what the thread met."""
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def finish(self) -> None:
        """No more bars are needed than were to be sent at least."""
        self._finishing.set()

    def _run(self) -> None:
        try:
            with BarProducer(self._settings, **self._options) as producer:
                began = time.monotonic()
                for number, bar in enumerate(self._bars):
                    if self._at_least is not None and number >= self._at_least and self._finishing.is_set():
                        return
                    due = number / self._per_second - (time.monotonic() - began)
                    ahead = max(due, (known_us(bar) - SystemClock().now_us()) / SECOND_US)
                    if ahead > 0 and self._stopping.wait(ahead):
                        return
                    producer.send(bar)
                    self.sent += 1
                    self.sent_of[bar.symbol] += 1
        except BaseException as error:
            self._error = error


def live_timeline(symbols: Sequence[str], each: int, per_second: float, *, seed: int = 0) -> list[Bar]:
    """`each` one-second bars of each symbol for a feed of this rate: the first are old, the last end as they are sent."""
    return list(islice(endless_timeline(symbols, each, per_second, seed=seed), each * len(symbols)))


def endless_timeline(symbols: Sequence[str], each: int, per_second: float, *, seed: int = 0) -> Iterator[Bar]:
    """As `live_timeline`, and then on and on: the feed has caught up, and is due one bar of each symbol a second."""
    first_us = now_us() + round(len(symbols) * each / per_second) * SECOND_US - each * SECOND_US
    walks = [walk(symbol, first_us, seed=seed) for symbol in symbols]
    return (bar for together in zip(*walks, strict=True) for bar in together)
