"""What a symbol should have of past days: what was loaded, kept or made, and what indicators come to over it, the plain way."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import isclose, isnan

from streams.config.sections import IndicatorConfig
from streams.config.session import SessionConfig
from streams.model.inputs import JournalInput
from streams.model.rows import Columns, IndicatorsRow
from streams.times import DAY_US, interval_us
from tests.support.simulation.books import Day, Days, Kept, Life, Series, base_slots, inside, slots_of, start_in_row, summed


def first_day(life: Life, calendar: Days, today: Day) -> Day:
    """The day that a pending symbol begins with."""
    return today if life.start_us is None else min(today, calendar.unfinished(life.start_us))


def is_chosen(config: SessionConfig, symbol: str) -> bool:
    """Whether past days belong to the symbol."""
    historical = config.session_data_config.historical
    return historical.trailing_days > 0 and (historical.apply_to == "all" or symbol in historical.apply_to)


def applies(config: SessionConfig, life: Life, calendar: Days, today: Day, given: JournalInput) -> bool:
    """Whether a `history` input is about what the pending symbol should have."""
    if life.status != "pending":
        return False
    if given.interval is None:
        return True
    historical = config.session_data_config.historical
    listed = set(historical.intervals) or {life.base}
    if life.base in listed:
        listed -= set(life.derived)
    days = [day.days for day in calendar.before(first_day(life, calendar, today).days, historical.trailing_days)]
    is_wanted = is_chosen(config, life.symbol) and given.interval in listed
    return is_wanted and (given.bars is None or given.trading_days in days)


def take(life: Life, calendar: Days, given: JournalInput) -> None:
    """Bars of a day come in, or loading begins."""
    if given.interval is None:
        life.past.clear()
    if given.interval is None or given.bars is None:
        return
    day = calendar.on(given.trading_days or 0)
    assert day is not None
    of_day = life.past.setdefault(day.days, {})
    series = of_day.setdefault(given.interval, {})
    series.update(_given(given.interval, day, life.anchor, given.bars))
    if given.interval == life.base and len(series) == given.count:
        for interval in life.derived:
            of_day[interval] = made(life, day, interval, series)


def _given(interval: str, day: Day, anchor: str, columns: Columns) -> Iterable[tuple[int, Kept]]:
    slots = base_slots(day, interval_us(interval), anchor)
    for place, number in enumerate(columns.slots):
        slot = slots[max(start_in_row(day, columns.first_start_us, number, interval_us(interval), anchor), day.open_us)]
        vwap = columns.vwap[place] if columns.vwap else float("nan")
        trades = columns.trades[place] if columns.trades else -1
        yield slot.start_us, Kept(
            slot.start_us, slot.end_us, columns.open[place], columns.high[place], columns.low[place], columns.close[place],
            columns.volume[place], None if isnan(vwap) else vwap, None if trades == -1 else trades, 1, 1, 0, True, "history",
        )  # fmt: skip


def made(life: Life, day: Day, interval: str, bars: Series) -> Series:
    """The bars of an interval that base bars make."""
    slots = slots_of(day, life.base_us, interval_us(interval), life.anchor).values()
    return {slot.start_us: summed(parts, slot, 0) for slot in slots if (parts := inside(bars, slot, life.base_us))}


def past_only(config: SessionConfig, life: Life) -> set[str]:
    """The intervals that are kept of past days and are none of the running day."""
    return set(config.session_data_config.historical.intervals) - {life.base, *life.derived}


def leave_day(config: SessionConfig, life: Life) -> dict[str, Series]:
    """What a day that rolls becomes."""
    others = {name for name in past_only(config, life) if interval_us(name) > life.base_us and interval_us(name) % life.base_us == 0}
    return life.series() | {name: made(life, life.day, name, life.bars) for name in others}


def drop_others(config: SessionConfig, life: Life) -> None:
    """What the config no longer names goes."""
    kept = {life.base, *life.derived, *config.session_data_config.historical.intervals}
    life.past = {days: left for days, past in life.past.items() if (left := {name: bars for name, bars in past.items() if name in kept})}


def is_given(series: Series) -> bool:
    """Whether bars came as they are; of an interval other than the base's."""
    return any(bar.provenance == "history" for bar in series.values())


# Indicators


def wrong_indicators(config: SessionConfig, life: Life, calendar: Days, row: object) -> str | None:
    """What is wrong with a symbol's row of indicators; None when they are what they should be."""
    declared = config.session_data_config.historical.indicators
    if not declared or not is_chosen(config, life.symbol):
        return None if row is None else f"{row} is left"
    if not isinstance(row, IndicatorsRow) or (row.incarnation, row.trading_days) != (life.incarnation, life.day.days):
        return f"{row} is none of the symbol's day, {life.day.days}"
    found = {one.name: one.value for one in row.values}
    expected = {one.name: _value(one, life, calendar) for one in declared}
    kinds = {one.name: one.kind for one in declared}
    for name, value in expected.items():
        other = found.get(name)
        # Means are exact. The recurrences are written in another form here, and VWAP's running sum is rounded at each bar.
        within = 0.0 if kinds[name] in ("sma", "average_daily_volume") else 1e-7
        if (value is None) != (other is None) or (value is not None and other is not None and not isclose(value, other, rel_tol=within)):
            return f"{name} is {other}, should be {value}"
    return None


def _exact_sum(numbers: Iterable[float]) -> float:
    """The sum of the numbers as they are, rounded once."""
    return float(sum(map(Fraction, numbers)))


def _value(indicator: IndicatorConfig, life: Life, calendar: Days) -> float | None:
    n = indicator.period
    days = [_as_one(life, days) for days in sorted(life.past)]
    bars = days
    if interval_us(indicator.interval) < DAY_US:
        bars = [bar for days in sorted(life.past) for _, bar in sorted(life.past[days].get(indicator.interval, {}).items())]
    before = calendar.before(life.day.days, 1)[0].days
    match indicator.kind:
        case "prior_close" | "prior_high" | "prior_low":
            return getattr(_as_one(life, before), indicator.kind.removeprefix("prior_")) if before in life.past else None
        case "vwap":
            volume = sum(bar.volume for bar in bars[-n:])
            return sum(_price(bar) * bar.volume for bar in bars[-n:]) / volume if len(bars) >= n and volume else None
        case "ema":
            return _running([bar.close for bar in bars], n, 2 / (n + 1))
        case "atr":
            closes = [None, *(bar.close for bar in bars)]
            ranges = [
                max(bar.high - bar.low, *([] if close is None else [abs(bar.high - close), abs(bar.low - close)]), 0.0)
                for bar, close in zip(bars, closes, strict=False)
            ]
            return _running(ranges, n, 1 / n)
    numbers = [bar.volume if indicator.kind == "average_daily_volume" else bar.close for bar in bars]
    return _exact_sum(numbers[-n:]) / n if len(numbers) >= n else None


def _running(numbers: list[float], n: int, weight: float) -> float | None:
    if len(numbers) < n:
        return None
    value = _exact_sum(numbers[:n]) / n
    for number in numbers[n:]:
        value = weight * number + (1 - weight) * value
    return value


def _price(bar: Kept) -> float:
    return bar.vwap if bar.vwap is not None else (bar.high + bar.low + bar.close) / 3


def _as_one(life: Life, days: int) -> Kept:
    """A day as one bar: of the daily ones where they are kept, of the base bars, or of the finest."""
    past = life.past[days]
    daily = [name for name in past if interval_us(name) == DAY_US]
    name = daily[0] if daily else life.base if life.base in past else min(past, key=interval_us)
    bars = [past[name][start] for start in sorted(past[name])]
    volume = _exact_sum(bar.volume for bar in bars)
    high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
    price = sum(_price(bar) * bar.volume for bar in bars) / volume if volume else None
    return bars[-1]._replace(high=high, low=low, volume=volume, vwap=price if len(bars) > 1 else bars[0].vwap)
