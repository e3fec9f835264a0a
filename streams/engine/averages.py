"""Averages of prices and volumes: the same bits on every Python.

Each begins with the mean of its first values. The built-in `sum` of floats carries lost bits along since Python 3.12 and did not before,
so a mean made with it depends on the interpreter: of ten times 0.1 it is 0.1 or 0.09999999999999999. `math.fsum` rounds once, at the end,
everywhere. All that follows is plain arithmetic on doubles, in the order in which it stands here. This module imports nothing else, so that
any interpreter can run it.

    mean([0.1] * 10)        # 0.1

The invariant: no `sum`, no `statistics`, no `pow` and nothing else of libm, whose last bits differ between versions or platforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Protocol


class Ranged(Protocol):
    """A bar, as far as its range goes."""

    @property
    def high(self) -> float:
        """The highest price."""
        ...

    @property
    def low(self) -> float:
        """The lowest."""
        ...

    @property
    def close(self) -> float:
        """The last."""
        ...


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value; the sum is rounded once."""
    return fsum(values) / len(values)


def sma(period: int, values: Sequence[float]) -> float | None:
    """The mean of the last `period` values; None when there are fewer."""
    return mean(values[-period:]) if len(values) >= period else None


def ema(period: int, values: Sequence[float]) -> float | None:
    """The mean of the first `period` values, then `value * 2/(period+1) + before * (1 - 2/(period+1))`; None when there are fewer."""
    if len(values) < period:
        return None
    weight = 2.0 / (period + 1.0)
    average = mean(values[:period])
    for value in values[period:]:
        average = weight * value + (1.0 - weight) * average
    return average


def atr(period: int, bars: Sequence[Ranged]) -> float | None:
    """Wilder's average true range; None when there are fewer than `period` bars.

    It begins with the mean of the first `period` true ranges and is then `(before * (period-1) + range) / period`. The oldest bar has no
    close before it: its true range is high - low, as in Wilder's book. TA-Lib leaves that bar out instead.

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978).
    """
    if len(bars) < period:
        return None
    ranges = true_ranges(bars)
    average = mean(ranges[:period])
    for one in ranges[period:]:
        average = (average * (period - 1) + one) / period
    return average


def true_ranges(bars: Sequence[Ranged]) -> list[float]:
    """The true range of each bar: the greatest of high - low, |high - close before| and |low - close before|."""
    ranges = [bar.high - bar.low for bar in bars[:1]]
    for place in range(1, len(bars)):
        bar, close_before = bars[place], bars[place - 1].close
        ranges.append(max(bar.high - bar.low, abs(bar.high - close_before), abs(bar.low - close_before)))
    return ranges
