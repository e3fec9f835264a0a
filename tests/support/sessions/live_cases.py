"""Markets for a live run and its replay: chosen ones, and any number of random ones.

case = random_case(17)
live = case.live()
found = differences(live, replayed(live, *case.days), is_prompt=case.is_prompt, unordered=case.unordered)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from streams.calendar.trading import TradingDay
from streams.config.session import SessionConfig
from streams.model.records import Bar
from streams.times import DAY_US, MINUTE_US, SECOND_US, date_of_days, days_of, interval_us, parse_instant
from tests.support.engine import bar, config
from tests.support.sessions.live_run import Arrival, LiveRun, arrivals, bursts, differences, replayed


def instant(text: str) -> int:
    """An instant in UTC."""
    return parse_instant(f"{text}Z")


def series(symbol: str, first_us: int, width_us: int, places: Sequence[int], interval: str = "1m", seed: int = 1) -> list[Bar]:
    """Bars at these places, with prices and volumes that no two have in common."""
    random = Random(seed)
    return [
        bar(symbol, first_us + place * width_us, interval, price=round(random.uniform(90, 110), 2), volume=round(random.uniform(1, 99), 3))
        for place in places
    ]


def thin(count: int, share: float, seed: int) -> list[int]:
    """A part of so many places."""
    random = Random(seed)
    return [place for place in range(count) if random.random() < share]


@dataclass(frozen=True)
class Case:
    """A day or two of a market: what arrives, and until when time goes on."""

    name: str
    values: dict[str, Any]
    begin_us: int
    until_us: int
    days: tuple[str, str]
    arriving: dict[str, list[Arrival]]
    is_prompt: bool = True
    unordered: tuple[str, ...] = ()

    def live(self) -> LiveRun:
        """Run it live."""
        run = LiveRun(self.values, self.begin_us)
        run.run(self.arriving, until_us=self.until_us)
        return run

    def differences(self) -> list[str]:
        """What the live run and its replay tell otherwise."""
        live = self.live()
        return differences(live, replayed(live, *self.days), is_prompt=self.is_prompt, unordered=self.unordered)


def _new_york() -> Case:
    """A thin symbol, whose windows end without a bar; a normal one; one that comes at the last moment of the grace."""
    first_us, count = instant("2024-11-04T14:30"), 90
    bars = {
        # The minutes of the issue: nothing from 09:34 to 09:39, and then two in five.
        "THIN": series("THIN", first_us, MINUTE_US, [0, 1, 2, 3, 10, *(place for place in thin(count, 0.4, 7) if place > 10)], seed=1),
        "NORMAL": series("NORMAL", first_us, MINUTE_US, range(count), seed=2),
        "SLOW": series("SLOW", first_us, MINUTE_US, thin(count, 0.8, 8), seed=3),
    }
    arriving = {symbol: arrivals(ones, {"SLOW": 4_900_000}.get(symbol, 300_000)) for symbol, ones in bars.items()}
    return Case(
        "New York, minutes", config(
            "THIN", "NORMAL", "SLOW", exchange="XNYS", hours={"open": "09:30", "close": "11:00"}, derived_intervals=["5m", "15m", "1h"],
            bars_topic=True,
        ), first_us, instant("2024-11-04T16:30"), ("2024-11-04", "2024-11-04"), arriving,
    )  # fmt: skip


def _alone() -> Case:
    """The thin symbol of the issue, alone: its windows close by the clock, whoever else is in the session."""
    first_us = instant("2024-11-04T14:30")
    bars = series("THIN", first_us, MINUTE_US, [0, 1, 2, 3, 10, *(place for place in thin(185, 0.4, 9) if place > 10)])
    return Case(
        "a thin symbol alone", config(
            "THIN", exchange="XNYS", hours={"open": "09:30", "close": "12:35"}, derived_intervals=["5m", "30m"], bars_topic=True,
            interval_complete=["1m", "5m"],
        ), first_us, instant("2024-11-04T18:00"), ("2024-11-04", "2024-11-04"), {"THIN": arrivals(bars)},
    )  # fmt: skip


def _seconds() -> Case:
    """Seconds: a thin, a normal, and a bursty symbol whose bars come four at a time, within the grace."""
    first_us, count = instant("2024-11-04T14:30"), 600
    bars = {
        "THIN": series("THIN", first_us, SECOND_US, thin(count, 0.1, 3), "1s", seed=1),
        "NORMAL": series("NORMAL", first_us, SECOND_US, thin(count, 0.97, 4), "1s", seed=2),
        "BURSTY": series("BURSTY", first_us, SECOND_US, thin(count, 0.9, 5), "1s", seed=3),
    }
    arriving = {symbol: arrivals(ones, 150_000) for symbol, ones in bars.items()} | {"BURSTY": bursts(bars["BURSTY"], 4 * SECOND_US)}
    return Case(
        "seconds, and bursts within the grace", config(
            "THIN", "NORMAL", "BURSTY", exchange="XNYS", hours={"open": "09:30", "close": "09:40"}, streams=["1s"],
            derived_intervals=["10s", "1m", "5m"], bars_topic=True,
        ), first_us, instant("2024-11-04T15:00"), ("2024-11-04", "2024-11-04"), arriving, unordered=("BURSTY",),
    )  # fmt: skip


def _late_bursts() -> Case:
    """Minutes that come seven at a time: stale live, and shutting the gate for all; in a replay each comes when it ends."""
    first_us, count = instant("2024-11-04T14:30"), 90
    bars = {
        "THIN": series("THIN", first_us, MINUTE_US, thin(count, 0.3, 3), seed=1),
        "NORMAL": series("NORMAL", first_us, MINUTE_US, range(count), seed=2),
        "BURSTY": series("BURSTY", first_us, MINUTE_US, range(count), seed=3),
    }
    arriving = {symbol: arrivals(ones) for symbol, ones in bars.items()} | {"BURSTY": bursts(bars["BURSTY"], 7 * MINUTE_US)}
    return Case(
        "bursts of seven minutes", config(
            "THIN", "NORMAL", "BURSTY", exchange="XNYS", hours={"open": "09:30", "close": "11:00"}, derived_intervals=["5m", "15m"],
            bars_topic=True,
        ), first_us, instant("2024-11-04T16:30"), ("2024-11-04", "2024-11-04"), arriving, is_prompt=False,
    )  # fmt: skip


def _lunch() -> Case:
    """Hong Kong, closed from 12:00 to 13:00: windows end at the break, and nobody is silent in it."""
    first_us = instant("2024-11-04T01:30")
    morning, afternoon = 150, 180
    places = [*range(morning), *range(210, 210 + afternoon)]
    chosen = Random(5)
    bars = {
        # Its last bar before the break leaves a window open, and the first after it comes late in another.
        "THIN": series("THIN", first_us, MINUTE_US, [place for place in places if chosen.random() < 0.25], seed=1),
        "NORMAL": series("NORMAL", first_us, MINUTE_US, places, seed=2),
    }
    return Case(
        "Hong Kong, over lunch", config(
            "THIN", "NORMAL", exchange="XHKG", hours={"open": "09:30", "close": "16:00"}, derived_intervals=["5m", "1h"], bars_topic=True,
            silence_threshold_seconds=600,
        ), first_us, instant("2024-11-04T08:30"), ("2024-11-04", "2024-11-04"), {symbol: arrivals(ones) for symbol, ones in bars.items()},
    )  # fmt: skip


def _midnight() -> Case:
    """Round the clock: the day changes while bars come, and one symbol's only bar of the day is the day's last."""
    first_us = instant("2024-11-04T00:00")
    late = 22 * 60
    bars = {
        "THIN": series("THIN", first_us, MINUTE_US, [600, 24 * 60 - 1, 24 * 60 + 600], seed=1),
        "NORMAL": series("NORMAL", first_us, MINUTE_US, range(late, late + 180), seed=2),
    }
    return Case(
        "round the clock", config(
            "THIN", "NORMAL", exchange="24/7", derived_intervals=["5m", "1h", "4h"], bars_topic=True, silence_threshold_seconds=300,
        ), first_us, instant("2024-11-06T00:00:30"), ("2024-11-04", "2024-11-05"),
        {symbol: arrivals(ones) for symbol, ones in bars.items()},
    )  # fmt: skip


def _daily() -> Case:
    """Daily bars round the clock: three days, three bars."""
    first_us = instant("2024-11-04T00:00")
    bars = series("BTC", first_us, DAY_US, range(3), "1d")
    return Case(
        "daily bars", config("BTC", exchange="24/7", streams=["1d"], derived_intervals=[], bars_topic=True),
        first_us, instant("2024-11-07T00:00:30"), ("2024-11-04", "2024-11-06"), {"BTC": arrivals(bars)},
    )  # fmt: skip


def _forming() -> Case:
    """A feed that sends each update of a bar, from four seconds before its end on: one version of it counts, the last."""
    first_us, count = instant("2024-11-04T14:30"), 60
    final = series("FORMING", first_us, MINUTE_US, range(count), seed=1)
    updates: list[Arrival] = []
    for one in final:
        for lead_us in (4 * SECOND_US, 3 * SECOND_US, 2 * SECOND_US, SECOND_US):
            forming = bar("FORMING", one.start_us, price=one.close + lead_us / 10 / SECOND_US, volume=one.volume / 2)
            updates.append((one.end_us - lead_us, forming))
        updates.append((one.end_us - 100_000, one))
    normal = series("NORMAL", first_us, MINUTE_US, range(count), seed=2)
    return Case(
        "candles that form", config(
            "FORMING", "NORMAL", exchange="XNYS", hours={"open": "09:30", "close": "10:30"}, derived_intervals=["5m", "15m"],
            bars_topic=True, interval_complete=["1m", "5m"],
        ), first_us, instant("2024-11-04T16:00"), ("2024-11-04", "2024-11-04"), {"FORMING": updates, "NORMAL": arrivals(normal)},
    )  # fmt: skip


def random_case(seed: int) -> Case:
    """Some days of some market, with symbols that are thin, normal, slow, or late by minutes."""
    random = Random(seed)
    exchange = random.choice(["XNYS", "XHKG", "XTKS", "24/7", "24/5", "CMES"])
    base, derived = random.choice([("1m", ["5m", "15m", "1h"]), ("1m", ["3m", "1d"]), ("5m", ["15m", "4h"]), ("15m", ["1h"]), ("1d", [])])
    symbols = [f"S{number}" for number in range(random.randint(1, 3))]
    values = config(
        *symbols, exchange=exchange, streams=[base], derived_intervals=derived, bars_topic=True, interval_complete=[base, *derived[:1]],
        window_anchor=random.choice(["session", "clock"]), silence_threshold_seconds=random.choice([120, 300, 900]),
        min_completeness=random.choice([0, 0, 0.5, 1]), grace_seconds=random.choice([1, 5, 5]),
        check=random.choice(["adaptive", "every_bar"]),
    )  # fmt: skip
    calendar = SessionConfig.from_dict(values).calendar()
    # From a Thursday, a Friday or a Monday on: with a night, a weekend, or a change of clocks in between.
    days = [calendar.next_day(days_of(date.fromisoformat(random.choice(["2024-10-30", "2024-10-31", "2024-11-03", "2024-03-07"]))))]
    for _ in range(random.randint(0, 1 if base != "1d" else 4)):
        days.append(calendar.next_day(days[-1].days))
    late = random.random() < 0.3
    arriving: dict[str, list[Arrival]] = {}
    unordered = []
    for number, symbol in enumerate(symbols):
        share = random.choice([0.003, 0.03, 0.3, 0.9, 1.0])
        bars = [one for day in days for one in _bars_of_day(symbol, day, base, share if base != "1d" else max(share, 0.3), random)]
        if late and number == 0:
            sent = bursts(bars, random.choice([3, 7, 20]) * MINUTE_US)
            # Where days follow each other without a pause, what comes after its day is over is none of the session's any more.
            closes = {day.close_us for day in days if exchange.startswith("24")}
            arriving[symbol] = [(min([at_us, *(close_us for close_us in closes if close_us >= one.end_us)]), one) for at_us, one in sent]
        else:
            delay_us = random.choice([0, 100_000, 300_000, 900_000])
            arriving[symbol] = arrivals(bars, delay_us)
            if delay_us > 800_000:
                unordered.append(symbol)
    first, last = (date_of_days(day.days).isoformat() for day in (days[0], days[-1]))
    ends_us = max([days[-1].close_us, *(arrived_us for ones in arriving.values() for arrived_us, _ in ones)])
    if late:  # a symbol that is behind keeps its windows open until it is silent
        ends_us += 900 * SECOND_US
    name = f"seed {seed}: {exchange} {base} {derived}, {'late' if late else 'prompt'}"
    return Case(
        name, values, days[0].open_us, ends_us + 15 * SECOND_US, (first, last), arriving, not late, tuple(unordered)
    )  # fmt: skip


def _bars_of_day(symbol: str, day: TradingDay, interval: str, share: float, random: Random) -> list[Bar]:
    """A day's bars: each slot within its hours has one with this probability; one that the close cuts ends there."""
    width_us = interval_us(interval)
    if width_us >= DAY_US:
        starts = [(day.open_us, day.close_us)] if random.random() < share else []
    else:
        starts = [
            (start_us, min(start_us + width_us, day.close_us))
            for start_us in range(day.open_us, day.close_us, width_us)
            if day.expected(MINUTE_US, start_us, min(start_us + width_us, day.close_us)) and random.random() < share
        ]
    return [
        bar(
            symbol, start_us, interval, end_us=end_us, price=round(random.uniform(90, 110), 2), volume=round(random.uniform(1, 99), 3)
        )
        for start_us, end_us in starts
    ]  # fmt: skip


CASES = [_new_york(), _alone(), _seconds(), _late_bursts(), _lunch(), _midnight(), _daily(), _forming()]
"""Those that `make test` runs."""
