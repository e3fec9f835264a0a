"""The work that all subjects are given: one-minute bars of many symbols, and what must come out for them.

The bars are made by a formula of symbol and minute whose prices and volumes are quarters and whole numbers, so sums are exact
in any order. Expected 5m and 15m bars are worked out here from the formula by slicing, not by any code that is measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.model.records import Bar
from streams.times import DAY_US, MINUTE_US, parse_instant

SYMBOLS: Final = 100
DAY_START_US: Final = parse_instant("2013-10-07T00:00:00Z")
# 22 hours: the rest of the day is left for the clock to run on without a new trading day.
DAY_MINUTES: Final = 1320
DERIVED: Final = {"5m": 5, "15m": 15}


class Output(NamedTuple):
    """A bar as a subject published it."""

    symbol: str
    interval: str
    start_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class WrongOutputError(Exception):
    """A subject's output is not what the work asks for, so its figure means nothing."""


class Work(NamedTuple):
    """Bars of `symbols` symbols (up to 1,000) whose names begin with `prefix`, `minutes` a day on `days` days."""

    prefix: str
    symbols: int
    minutes: int
    days: int = 1

    @property
    def names(self) -> list[str]:
        """The symbols."""
        return [f"{self.prefix}{number:03d}" for number in range(self.symbols)]

    @property
    def bars(self) -> int:
        """How many bars there are in all."""
        return self.symbols * self.minutes * self.days

    @property
    def last_day_us(self) -> int:
        """Midnight at which the last day begins."""
        return DAY_START_US + (self.days - 1) * DAY_US

    @property
    def end_us(self) -> int:
        """The end of the last bar."""
        return self.last_day_us + self.minutes * MINUTE_US

    def starts(self) -> Iterator[int]:
        """The start of each of a symbol's bars."""
        for day in range(self.days):
            first = DAY_START_US + day * DAY_US
            yield from range(first, first + self.minutes * MINUTE_US, MINUTE_US)


def base_bar(symbol: str, start_us: int) -> Bar:
    """The bar of a symbol and a minute."""
    number, minute = int(symbol[-3:]), start_us // MINUTE_US
    first = 100.0 + number + minute * 7 % 11 / 4
    last = 100.0 + number + minute * 5 % 13 / 4
    high, low = max(first, last) + minute % 3 / 4, min(first, last) - minute % 4 / 4
    return Bar(symbol, "1m", start_us, start_us + MINUTE_US, first, high, low, last, 100.0 + (number + minute) % 17)


# Live bars come one at a time, so no more than a few of a topic are written at once.
SMALL_BATCHES: Final = {"batch.num.messages": "4", "compression.type": "none"}


def produce(settings: Settings, work: Work, *, interleaved: bool) -> None:
    """Put the bars into their topics: topic after topic, or minute after minute over all of them in small batches."""
    with BarProducer(settings.model_copy(update={"kafka_config": SMALL_BATCHES}) if interleaved else settings) as producer:
        producer.prepare(work.names)
        if interleaved:
            for start_us in work.starts():
                for symbol in work.names:
                    producer.send(base_bar(symbol, start_us))
        else:
            for symbol in work.names:
                for start_us in work.starts():
                    producer.send(base_bar(symbol, start_us))


def check(outputs: Iterable[Output], work: Work, *, first_us: int | None = None, whole: bool) -> int:
    """Hold the outputs against the work; gives how many base bars are among them.

    Each symbol's base bars follow one another from the first on (at `first_us`), each once; each derived bar comes once, whose
    window they fill; every value is the expected one. With `whole` nothing may be missing at the end.

    Raises:
        WrongOutputError: they don't.
    """
    starts = [start for start in work.starts() if first_us is None or start >= first_us]
    by_symbol: dict[str, dict[str, list[Output]]] = defaultdict(lambda: defaultdict(list))
    for output in outputs:
        by_symbol[output.symbol][output.interval].append(output)
    if whole and set(by_symbol) != set(work.names):
        raise WrongOutputError(f"{len(by_symbol)} of {work.symbols} symbols have outputs")
    count = 0
    for symbol, intervals in by_symbol.items():
        present = len(intervals["1m"])
        if whole and present != len(starts):
            raise WrongOutputError(f"{symbol} has {present} of {len(starts)} bars")
        count += present
        _compare(intervals["1m"], [_expected(symbol, "1m", [start]) for start in starts[:present]])
        for name, length in DERIVED.items():
            windows = [starts[first : first + length] for first in range(0, present - length + 1, length)]
            expected = [_expected(symbol, name, window) for window in windows]
            # Where a subject was stopped, the bar of the last window may be on its way.
            got = intervals[name]
            _compare(got, expected if whole or len(got) >= len(expected) else expected[:-1])
    return count


def _compare(got: list[Output], expected: list[Output]) -> None:
    if got != expected:
        number = next((place for place, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]), None)
        what = f"{len(got)} records where {len(expected)} were expected" if number is None else f"{got[number]}, not {expected[number]}"
        raise WrongOutputError(f"wrong output: {what}")


def _expected(symbol: str, interval: str, starts: list[int]) -> Output:
    bars = [base_bar(symbol, start) for start in starts]
    return Output(
        symbol,
        interval,
        starts[0],
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
    )
