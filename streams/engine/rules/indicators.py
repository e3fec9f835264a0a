"""Indicators over a symbol's past days, as the config declares them: computed anew when those days change.

They are of the days before the symbol's own, so they hold for all of it, from before its open on. What they are:

    prior_close, prior_high, prior_low   of the trading day before; None where no bar of that day is kept
    average_daily_volume                 the mean of the last n days' volumes
    sma                                  the mean of the last n closes
    ema                                  the mean of the first n closes, then close * 2/(n+1) + before * (1 - 2/(n+1))
    atr                                  Wilder's: the mean of the first n true ranges, then (before * (n-1) + range) / n; the oldest
                                         bar's is high - low, since there is no close before it
    vwap                                 the price of the last n bars, weighted by volume

`1d` is a bar a day: the kept one, or what the day's bars come to where none is. Bars of another interval that is not kept
are made of base bars. An average price is a bar's vwap, where it has one, or else (high + low + close) / 3. EMA and ATR begin
20 periods before the last n bars at most: what lies further back weighs less than a hundred-millionth. With fewer than n bars
there is no value. Averages are those of `averages`, the same on every Python. Under the first rules they were talipp's, which takes their
first values by the built-in `sum`; VWAP, a running sum, still is. It is loaded with the first of them: readers of rows do without.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from math import fsum
from typing import Final

from msgspec import Struct

from streams.config.sections import IndicatorConfig
from streams.engine import averages
from streams.engine.rules import past_days
from streams.engine.state.grid import Grid
from streams.engine.state.series import BarSeries
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import READING, SymbolSessionData
from streams.model.rows import Columns, IndicatorRow, IndicatorsRow, indicators_key
from streams.times import DAY_US, interval_us

WARM_UP_PERIODS: Final = 20


class _PastBar(Struct, frozen=True):
    """What indicators need of a bar; `price` is its average."""

    high: float
    low: float
    close: float
    volume: float
    price: float


def outdate(state: SessionState, data: SymbolSessionData) -> None:
    """The symbol's past days have changed, or what is to be computed of them: its indicators are computed at the transaction's end."""
    if data.indicators is not None or state.config.session_data_config.historical.indicators:
        state.stale_indicators.add(data.symbol)


def settle(state: SessionState) -> None:
    """At the end of a transaction: compute what is out of date."""
    if not state.stale_indicators:
        return
    for symbol in sorted(state.stale_indicators):
        data = state.symbols.get(symbol)
        if data is None or data.status not in READING:
            continue
        row = _row(state, data)
        if row != data.indicators:
            data.indicators = row
            data.pending_blocks[indicators_key(symbol)] = row
            data.dirty = True
    state.stale_indicators.clear()


def _row(state: SessionState, data: SymbolSessionData) -> IndicatorsRow | None:
    declared = state.config.session_data_config.historical.indicators
    if not declared or not state.config.has_history(data.symbol):
        return None
    past = _Past(data, _day_before(state, data), with_prices=any(one.kind == "vwap" and one.is_daily for one in declared))
    values = tuple(IndicatorRow(one.name, _value(one, past, state.rules)) for one in declared)
    return IndicatorsRow(data.symbol, data.incarnation, data.day.days, values)


def _day_before(state: SessionState, data: SymbolSessionData) -> int:
    try:
        return state.calendar.previous_day(data.day.days).days
    except ValueError:
        return -1  # the first day that the calendar knows


def _value(indicator: IndicatorConfig, past: _Past, rules: int) -> float | None:
    period = indicator.period
    sma, ema, atr = (averages.sma, averages.ema, averages.atr) if rules >= 2 else (_talipp_sma, _talipp_ema, _talipp_atr)
    match indicator.kind:
        case "prior_close" | "prior_high" | "prior_low":
            prior = past.prior()
            return None if prior is None else _price_of(indicator.kind, prior)
        case "average_daily_volume":
            return sma(period, [bar.volume for bar in past.last(indicator.interval, period)])
        case "sma":
            return sma(period, [bar.close for bar in past.last(indicator.interval, period)])
        case "ema":
            return ema(period, [bar.close for bar in past.last(indicator.interval, period * (WARM_UP_PERIODS + 1))])
        case "atr":
            return atr(period, past.last(indicator.interval, period * (WARM_UP_PERIODS + 1)))
        case "vwap":
            return _vwap(period, past.last(indicator.interval, period))


def _price_of(kind: str, bar: _PastBar) -> float:
    return {"prior_close": bar.close, "prior_high": bar.high, "prior_low": bar.low}[kind]


class _Past:
    """The bars of a symbol's past days; `day_before` is the trading day before its own.

    With prices a day that is made of bars has the average price of them all, which takes as long as all the rest.
    """

    def __init__(self, data: SymbolSessionData, day_before: int, *, with_prices: bool) -> None:
        self._data = data
        self._day_before = day_before
        self._with_prices = with_prices
        self._of_days: dict[int, _PastBar | None] = {}

    def prior(self) -> _PastBar | None:
        """The trading day before, as one bar."""
        return self._of_day(self._day_before)

    def last(self, interval: str, count: int) -> list[_PastBar]:
        """The newest `count` bars, or as many as there are, oldest first."""
        newest: list[_PastBar] = []
        for days in sorted(self._data.historical, reverse=True):
            if len(newest) >= count:
                break
            newest += reversed(self._bars_of(days, interval))
        return newest[:count][::-1]

    def _bars_of(self, days: int, interval: str) -> list[_PastBar]:
        if interval_us(interval) >= DAY_US:
            bar = self._of_day(days)
            return [] if bar is None else [bar]
        data, of_day = self._data, self._data.historical[days]
        kept, base = of_day.get(interval), of_day.get(data.base_interval)
        if kept is not None:
            return [bar for columns in kept.columns() for bar in _bars_in(columns)]
        if base is None or interval_us(interval) % data.base_us:
            return []
        grid = Grid(base.grid.day, interval, data.base_interval, data.anchor)
        return [
            _PastBar(bar.high, bar.low, bar.close, bar.volume, _average(bar.vwap, bar.high, bar.low, bar.close))
            for bar in past_days.windows_of(grid, base)
        ]

    def _of_day(self, days: int) -> _PastBar | None:
        if days not in self._of_days:
            self._of_days[days] = _as_one(self._finest(days), with_price=self._with_prices)
        return self._of_days[days]

    def _finest(self, days: int) -> BarSeries | None:
        """The daily series where one is kept, else that of the base bars, else the finest."""
        by_interval = self._data.historical.get(days, {})
        daily = next((series for name, series in by_interval.items() if interval_us(name) == DAY_US), None)
        base = by_interval.get(self._data.base_interval)
        return daily or base or min(by_interval.values(), key=lambda series: series.grid.width_us, default=None)


def _bars_in(columns: Columns) -> Iterator[_PastBar]:
    vwaps = columns.vwap or [None] * len(columns.slots)
    for high, low, close, volume, vwap in zip(columns.high, columns.low, columns.close, columns.volume, vwaps, strict=True):
        yield _PastBar(high, low, close, volume, _average(vwap, high, low, close))


def _average(vwap: float | None, high: float, low: float, close: float) -> float:
    # A column of them has not-a-number where a bar has none.
    return vwap if vwap is not None and vwap == vwap else (high + low + close) / 3.0


def _as_one(series: BarSeries | None, *, with_price: bool) -> _PastBar | None:
    """All bars of a day as one."""
    columns = [] if series is None else series.columns()
    if not columns:
        return None
    high, low = max(max(one.high) for one in columns), min(min(one.low) for one in columns)
    close, volume = columns[-1].close[-1], fsum(chain.from_iterable(one.volume for one in columns))
    price = _average(None, high, low, close)
    if with_price and volume > 0:
        price = fsum(bar.price * bar.volume for one in columns for bar in _bars_in(one)) / volume
    return _PastBar(high, low, close, volume, price)


def _talipp_sma(period: int, values: list[float]) -> float | None:
    from talipp.indicators.SMA import SMA

    return _last(SMA(period, values))


def _talipp_ema(period: int, values: list[float]) -> float | None:
    from talipp.indicators.EMA import EMA

    return _last(EMA(period, values))


def _talipp_atr(period: int, bars: list[_PastBar]) -> float | None:
    from talipp.indicators.ATR import ATR
    from talipp.ohlcv import OHLCV

    return _last(ATR(period, [OHLCV(bar.close, bar.high, bar.low, bar.close, bar.volume) for bar in bars]))


def _vwap(period: int, bars: list[_PastBar]) -> float | None:
    from talipp.indicators.VWAP import VWAP
    from talipp.ohlcv import OHLCV

    if len(bars) < period:
        return None
    # For a bar's price it takes a third of the sum of high, low and close.
    return _last(VWAP([OHLCV(bar.price, bar.price, bar.price, bar.price, bar.volume) for bar in bars]))


def _last(values: object) -> float | None:
    found = values[-1] if len(values) else None  # type: ignore[index,arg-type]
    return None if found is None else float(found)
