"""When a bar is known that its day cuts off: what the place at which reading starts is judged by."""

from __future__ import annotations

import pytest

from streams.calendar.trading import TradingCalendar
from streams.engine.rules.placement import known_when
from streams.kafka.positions import Bounds, Position, Seen, position
from streams.model.records import Bar, Quote
from streams.times import interval_us, iso, parse_instant


def bar(interval: str, start: str, symbol: str = "ES") -> Bar:
    start_us = parse_instant(start)
    return Bar(symbol, interval, start_us, start_us + interval_us(interval), 1.0, 2.0, 1.0, 2.0, 5.0)


@pytest.mark.parametrize(
    ("exchange", "interval", "start", "known", "reason"),
    [
        ("XNYS", "1d", "2024-11-05T00:00:00Z", "2024-11-05T21:00:00Z", "the close, not midnight"),
        ("XNYS", "1d", "2024-11-29T00:00:00Z", "2024-11-29T18:00:00Z", "an early close"),
        ("XNYS", "4h", "2024-11-05T18:30:00Z", "2024-11-05T21:00:00Z", "cut by the close"),
        ("XNYS", "1m", "2024-11-05T14:30:00Z", "2024-11-05T14:31:00Z", "whole"),
        ("24/7", "1d", "2024-11-05T00:00:00Z", "2024-11-06T00:00:00Z", "the close is midnight"),
    ],
)
def test_a_bar_is_known_at_its_end_on_its_day(exchange: str, interval: str, start: str, known: str, reason: str) -> None:
    at_us = known_when("ES", interval, "session", TradingCalendar(exchange))(bar(interval, start))
    assert at_us is not None
    assert iso(at_us) == known, reason


def test_what_a_symbol_does_not_take_says_nothing_about_its_place() -> None:
    known = known_when("ES", "1m", "session", TradingCalendar("24/7"))
    assert known(bar("5m", "2024-11-05T00:00:00Z")) is None
    assert known(bar("1m", "2024-11-05T00:00:00Z", "NQ")) is None
    assert known(Quote("ES", 0, 1.0, 2.0)) is None


def test_daily_bars_of_futures_that_were_sent_at_the_close_raise_no_doubt() -> None:
    """The next day opens at 23:00Z, before the midnight that the bar of the day before names as its end."""
    calendar = TradingCalendar("CMES")
    known = known_when("ES", "1d", "session", calendar)
    bars = [bar("1d", f"2024-11-{day:02}T00:00:00Z") for day in (4, 5, 6, 7, 8)]
    sent_us = [parse_instant(f"2024-11-{day:02}T23:00:00Z") - 3_600_000_000 for day in (4, 5, 6, 7, 8)]
    day = calendar.day_on(20_033)  # 2024-11-06
    assert day is not None
    by_time = next(place for place, us in enumerate(sent_us) if us > day.open_us)

    def peek(first: int, stop: int) -> list[Seen]:
        return [Seen(place, known(bars[place]) or 0) for place in range(first, stop)]

    assert position(Bounds(0, 5), by_time, day.open_us, peek) == Position(2)
