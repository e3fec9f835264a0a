"""Indicators over past days: their values worked out by hand, and when they are computed anew."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from talipp.indicators import ATR, EMA, SMA
from talipp.ohlcv import OHLCV

from streams.engine import averages
from streams.engine.reads import SessionData
from streams.engine.session import Session
from streams.engine.transaction import Transaction
from streams.model.records import Bar
from streams.model.rows import SESSION_KEY, IndicatorRow, IndicatorsRow, SessionRow
from streams.model.transactions import RangeRead
from streams.times import DAY_US
from tests.support.engine import Desk, at, bar, config, encoded, minutes
from tests.support.examples import examples

# Each row as a spreadsheet has it: the true range is the greatest of high - low, |high - close before| and |low - close before|;
# the EMA has a weight of 2/(3+1), and begins with the mean of three closes; the ATR begins with the mean of three ranges, and is then
# (2 * before + range) / 3; VWAP: the sum of (high + low + close) / 3 * volume over three days, by the sum of volume.
#    date          high   low    close  volume   range  mean of 3  EMA of 3   ATR of 3   volume of 3  VWAP of 3
TABLE = [
    ("2013-09-30", 48.70, 47.79, 48.16, 1000.0, 0.91, None,      None,      None,     None,   None),
    ("2013-10-01", 48.72, 48.14, 48.61, 1200.0, 0.58, None,      None,      None,     None,   None),
    ("2013-10-02", 48.90, 48.39, 48.75,  900.0, 0.51, 48.506667, 48.506667, 0.666667, 1033.333333, 48.456989),
    ("2013-10-03", 48.87, 48.37, 48.63, 1100.0, 0.50, 48.663333, 48.568333, 0.611111, 1066.666667, 48.589271),
    ("2013-10-04", 48.82, 48.24, 48.74, 1300.0, 0.58, 48.706667, 48.654167, 0.600741, 1100.0, 48.629596),
    ("2013-10-07", 49.05, 48.64, 49.03, 1500.0, 0.41, 48.800000, 48.842083, 0.537160, 1300.0, 48.724530),
]  # fmt: skip
NEXT = ["2013-10-01", "2013-10-02", "2013-10-03", "2013-10-04", "2013-10-07", "2013-10-08"]

OF_DAYS = [
    {"name": "close", "kind": "prior_close"},
    {"name": "high", "kind": "prior_high"},
    {"name": "low", "kind": "prior_low"},
    {"name": "sma3", "kind": "sma", "period": 3},
    {"name": "ema3", "kind": "ema", "period": 3},
    {"name": "atr3", "kind": "atr", "period": 3},
    {"name": "adv3", "kind": "average_daily_volume", "period": 3},
    {"name": "vwap3", "kind": "vwap", "period": 3},
]
FRIDAY, MONDAY, TUESDAY = "2013-10-04", "2013-10-07", "2013-10-08"


def daily(day: str, high: float, low: float, close: float, volume: float) -> Bar:
    start_us = at("09:30", day)
    return Bar("SPY", "1d", start_us, start_us + DAY_US, close, high, low, close, volume)


def desk_of(indicators: list[dict[str, Any]], begin_us: int, *, restores: bool = False, **parts: Any) -> Desk:
    historical = {"trailing_days": 6, "indicators": indicators, **parts.pop("historical", {})}
    return Desk(config("SPY", historical=historical, **parts), begin_us, restores=restores)


def values(desk: Desk) -> dict[str, float | None]:
    return SessionData(desk.session.state).get_indicators("SPY", internal=True)


@pytest.mark.parametrize("place", range(len(TABLE)))
def test_indicators_over_days_are_those_of_the_table(place: int) -> None:
    date, high, low, close, _, _, sma, ema, atr, adv, vwap = TABLE[place]
    desk = desk_of(OF_DAYS, at("08:00", NEXT[place]), historical={"intervals": ["1d"]})
    desk.history("SPY", *[daily(*row[:5]) for row in TABLE[: place + 1]], interval="1d")
    assert values(desk) == {}, "they are computed when all is in"
    desk.load("SPY")
    expected = {"close": close, "high": high, "low": low, "sma3": sma, "ema3": ema, "atr3": atr, "adv3": adv, "vwap3": vwap}
    assert values(desk) == {name: None if value is None else pytest.approx(value, abs=1e-6) for name, value in expected.items()}, date
    row = desk.table["indicators|SPY"]
    assert isinstance(row, IndicatorsRow)
    assert row.trading_days == at("00:00", NEXT[place]) // DAY_US


#   time   high   low    close  volume  vwap
MINUTES = [
    ("09:30", 10.50, 10.00, 10.40, 100.0, None),
    ("09:31", 10.90, 10.30, 10.60, 300.0, None),
    ("09:32", 10.70, 10.10, 10.20,   0.0, None),
    ("09:35", 10.60, 10.20, 10.45, 100.0, 10.25),
]  # fmt: skip


def of_minutes(day: str) -> list[Bar]:
    made = []
    for time, high, low, close, volume, vwap in MINUTES:
        start_us = at(time, day)
        made.append(Bar("SPY", "1m", start_us, start_us + 60_000_000, close, high, low, close, volume, vwap))
    return made


OF_BARS: list[tuple[dict[str, Any], float | None, str]] = [
    ({"kind": "prior_high"}, 10.90, "the highest of the day"),
    ({"kind": "prior_low"}, 10.00, "the lowest"),
    ({"kind": "prior_close"}, 10.45, "the last close"),
    ({"kind": "average_daily_volume"}, 500.0, "100 + 300 + 0 + 100"),
    ({"kind": "average_daily_volume", "period": 2}, None, "one day is there"),
    # Average prices: 30.90/3 = 10.30, 31.80/3 = 10.60, 31.00/3, and 10.25 by the source. (1030 + 3180 + 0 + 1025) / 500.
    ({"kind": "vwap"}, 10.47, "of the day's bars, not of a bar of the day"),
    ({"kind": "vwap", "interval": "1m", "period": 2}, 10.25, "of the last two, one of which has no volume"),
    ({"kind": "sma", "interval": "1m", "period": 2}, 10.325, "(10.20 + 10.45) / 2"),
    ({"kind": "sma", "interval": "5m", "period": 2}, 10.325, "windows that end with 10.20 and 10.45"),
    ({"kind": "sma", "interval": "3m", "period": 1}, 10.45, "an interval that nobody keeps, made of base bars"),
    ({"kind": "sma", "interval": "1m", "period": 5}, None, "four bars are there"),
    # Ranges of 5m: 10.90 - 10.00 = 0.90, then max(0.40, 10.60 - 10.20, 10.20 - 10.20) = 0.40; (0.90 + 0.40) / 2.
    ({"kind": "atr", "interval": "5m", "period": 2}, 0.65, "of bars that are made"),
    # 10.40 and 10.60: 10.50; then 2/3 of 10.20: 10.30; then 2/3 of 10.45: 10.40.
    ({"kind": "ema", "interval": "1m", "period": 2}, 10.40, "a weight of 2/3"),
]


@pytest.mark.parametrize(("indicator", "expected", "why"), OF_BARS)
def test_indicators_over_bars_and_over_days_that_they_make_up(indicator: dict[str, Any], expected: float | None, why: str) -> None:
    desk = desk_of([{"name": "x", **indicator}], at("08:00"), derived_intervals=["5m"])
    desk.history("SPY", *of_minutes(FRIDAY))
    desk.load("SPY")
    assert values(desk) == {"x": None if expected is None else pytest.approx(expected, abs=1e-9)}, why


def test_without_volume_there_is_no_average_price_of_bars() -> None:
    desk = desk_of([{"name": "x", "kind": "vwap", "interval": "1m", "period": 2}], at("08:00"))
    desk.history("SPY", *minutes("SPY", at("09:30", FRIDAY), 3, volume=0.0))
    desk.load("SPY")
    assert values(desk) == {"x": None}


def test_what_lies_far_back_does_not_count() -> None:
    indicators = [{"name": kind, "kind": kind, "interval": "1m", "period": 2} for kind in ("ema", "atr", "sma")]
    desk = desk_of(indicators, at("08:00"))
    desk.history("SPY", bar("SPY", at("09:30", FRIDAY), price=1e90), *minutes("SPY", at("09:31", FRIDAY), 50, price=100.0))
    desk.load("SPY")
    assert values(desk) == {"ema": 100.0, "atr": 0.5, "sma": 100.0}


PRIOR = [{"name": "close", "kind": "prior_close"}, {"name": "sma2", "kind": "sma", "period": 2}]


@pytest.mark.parametrize("restores", [False, True])
def test_the_first_bar_of_a_day_finds_the_day_before(restores: bool) -> None:
    desk = desk_of(PRIOR, at("15:57"), restores=restores, catchup_threshold_seconds=600)
    desk.history("SPY", *minutes("SPY", at("09:30", FRIDAY), 5, price=90.0))
    desk.load("SPY")
    assert values(desk) == {"close": 90.0, "sma2": None}
    desk.flow(*minutes("SPY", at("15:57"), 3, price=100.0))
    assert values(desk) == {"close": 90.0, "sma2": None}, "the running day counts when it is over"
    desk.feed(bar("SPY", at("09:30", TUESDAY), price=200.0), now_us=at("09:31", TUESDAY))
    assert values(desk) == {"close": 100.0, "sma2": 95.0}
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_a_day_rolls_over_a_holiday_and_an_early_close(restores: bool) -> None:
    # Thanksgiving, and the short day after it: from Wednesday the 27th to Friday the 29th, and to Monday the 2nd.
    desk = desk_of(PRIOR, at("15:58", "2013-11-27"), restores=restores, catchup_threshold_seconds=600)
    desk.load("SPY")
    assert values(desk) == {"close": None, "sma2": None}
    desk.flow(*minutes("SPY", at("15:58", "2013-11-27"), 2, price=70.0))
    desk.advance(at("08:00", "2013-11-28"))
    assert values(desk) == {"close": None, "sma2": None}
    desk.advance(at("08:00", "2013-11-29"))
    assert values(desk) == {"close": 70.0, "sma2": None}
    desk.flow(*minutes("SPY", at("12:59", "2013-11-29"), 1, price=80.0))
    desk.advance(at("08:00", "2013-12-02"))
    assert values(desk) == {"close": 80.0, "sma2": 75.0}
    desk.advance(at("08:00", "2013-12-03"))
    assert values(desk) == {"close": None, "sma2": 75.0}, "nothing was traded on the day before: its close is not that of another day"
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_a_late_bar_of_a_past_day_changes_them(restores: bool) -> None:
    desk = desk_of(PRIOR, at("12:00"), restores=restores)
    desk.history("SPY", *minutes("SPY", at("09:30", FRIDAY), 5, price=90.0))
    desk.load("SPY")
    before = encoded(desk.table)["indicators|SPY"]
    desk.feed(bar("SPY", at("09:31", FRIDAY), price=91.0))
    assert encoded(desk.table)["indicators|SPY"] == before
    desk.feed(bar("SPY", at("15:59", FRIDAY), price=93.0))
    assert values(desk) == {"close": 93.0, "sma2": None}
    desk.check_redriven()


def test_what_does_not_change_is_not_written_again() -> None:
    desk = desk_of(PRIOR, at("12:00"))
    desk.history("SPY", *minutes("SPY", at("09:30", FRIDAY), 5, price=90.0))
    desk.load("SPY")
    assert "indicators|SPY" in desk.results[-1].rows
    desk.flow(*minutes("SPY", at("12:00"), 3))
    desk.feed(bar("SPY", at("09:31", FRIDAY), price=91.0))
    assert all("indicators|SPY" not in result.rows for result in desk.results[-4:])


@pytest.mark.parametrize("restores", [False, True])
def test_another_config_has_other_indicators(restores: bool) -> None:
    desk = desk_of(PRIOR, at("12:00"), restores=restores)
    desk.history("SPY", *minutes("SPY", at("09:30", FRIDAY), 5, price=90.0, volume=3.0))
    desk.load("SPY")
    volume = {"name": "volume", "kind": "average_daily_volume"}
    desk.configure(config("SPY", historical={"trailing_days": 6, "indicators": [volume]}))
    assert values(desk) == {"volume": 15.0}
    desk.configure(config("SPY", historical={"trailing_days": 6, "indicators": [volume], "apply_to": ["IBM"]}))
    assert values(desk) == {}
    assert "indicators|SPY" not in desk.table
    desk.configure(config("SPY", historical={"trailing_days": 6, "indicators": PRIOR}))
    assert values(desk) == {"close": 90.0, "sma2": None}
    desk.configure(config("SPY"))
    assert values(desk) == {}
    assert "indicators|SPY" not in desk.table
    desk.check_redriven()


def test_a_bug_in_a_command_after_a_roll_leaves_them_as_they_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of(PRIOR, at("15:58"), catchup_threshold_seconds=600)
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("15:58"), 2, price=70.0))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    transaction = desk.begin(at("09:00", TUESDAY))
    with monkeypatch.context() as patched:
        patched.setattr("streams.engine.rules.lifecycle._add", broken)
        transaction.apply(desk.command_input("add_symbol", "IBM"))
    desk.end(transaction)
    assert values(desk) == {"close": 70.0, "sma2": None}


# Ten times 0.1 make 1.0, and added one by one 0.9999999999999999: Python's `sum` does the latter up to 3.11, and `math.fsum` never.
TENTHS = [
    ({"kind": "sma", "interval": "1m"}, 0.1),
    ({"kind": "ema", "interval": "1m"}, 0.1),
    ({"kind": "atr", "interval": "1m"}, 0.1),  # 0.2 - 0.1 each, and never further from the close before
    ({"kind": "average_daily_volume", "interval": "1d"}, 0.1),
]


def tenths(day: str) -> list[Bar]:
    """Ten bars with a close, a range and a volume of a tenth."""
    starts = [at("09:30", day) + minute * 60_000_000 for minute in range(10)]
    return [Bar("SPY", "1m", start, start + 60_000_000, 0.15, 0.2, 0.1, 0.1, 0.1) for start in starts]


@pytest.mark.parametrize(("indicator", "expected"), TENTHS, ids=[str(one["kind"]) for one, _ in TENTHS])
def test_an_average_begins_with_the_sum_that_is_rounded_once(indicator: dict[str, Any], expected: float) -> None:
    desk = desk_of([{"name": "x", **indicator, "period": 10}], at("08:00", "2013-10-15"), historical={"trailing_days": 10})
    # The ten trading days before the 15th; the Columbus Day of the 14th is one.
    days = ["2013-10-01", "2013-10-02", "2013-10-03", "2013-10-04", *(f"2013-10-{day:02}" for day in (7, 8, 9, 10, 11, 14))]
    desk.history("SPY", *[one for day in days for one in tenths(day)[: 1 if indicator["interval"] == "1d" else 10]])
    desk.load("SPY")
    assert values(desk) == {"x": expected}


def test_a_day_of_bars_adds_up_with_sums_that_are_rounded_once() -> None:
    indicators = [{"name": "volume", "kind": "average_daily_volume", "period": 1}, {"name": "price", "kind": "vwap", "period": 1}]
    desk = desk_of(indicators, at("08:00"), historical={"trailing_days": 1})
    desk.history("SPY", *tenths(FRIDAY))
    desk.load("SPY")
    # Each bar has an average price of (0.2 + 0.1 + 0.1) / 3.
    assert values(desk) == {"volume": 1.0, "price": pytest.approx(0.4 / 3)}
    desk = desk_of(indicators, at("08:00"), historical={"trailing_days": 1})
    desk.history("SPY", *[replace(one, volume=1.0, vwap=0.3) for one in tenths(FRIDAY)])
    desk.load("SPY")
    assert values(desk) == {"volume": 10.0, "price": 0.3}, "and not 0.29999999999999993"


def test_a_session_of_the_first_rules_keeps_its_values_until_the_next_day() -> None:
    indicators = [{"name": "x", "kind": "sma", "interval": "1m", "period": 10}]
    desk = desk_of(indicators, at("09:30"), historical={"trailing_days": 1})
    desk.history("SPY", *tenths(FRIDAY))
    desk.load("SPY")
    (row,) = [desk.table["indicators|SPY"]]
    assert isinstance(row, IndicatorsRow)
    # What a worker of the first rules had stored, on Python 3.11.
    stored = replace(row, values=(IndicatorRow("x", 0.09999999999999999),))
    session_row = desk.table[SESSION_KEY]
    assert isinstance(session_row, SessionRow)
    session = Session.restore({**desk.table, "indicators|SPY": stored, SESSION_KEY: replace(session_row, rules=1, opened_rules=1)})

    def value_after(now_us: int, *bars: Bar) -> float | None:
        transaction = Transaction(session, owner="w", now_us=now_us)
        data = session.state.symbols["SPY"]
        first, offsets = data.offset, range(data.offset, data.offset + len(bars))
        transaction.read([RangeRead("SPY", data.incarnation, first, offsets.stop, offsets, bars)])
        assert transaction.finish().journal.rules >= 2
        return SessionData(session.state).get_indicators("SPY", internal=True)["x"]

    monday, tuesday = tenths(MONDAY), tenths(TUESDAY)
    assert value_after(at("09:40"), *monday) == 0.09999999999999999
    assert value_after(at("09:31", TUESDAY), tuesday[0]) == 0.1


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.integers(1, 10_000_000).map(lambda cents: cents / 100), min_size=1, max_size=60), st.integers(1, 20))
def test_averages_are_those_of_another_library_but_for_the_last_bits(closes: list[float], period: int) -> None:
    bars = [OHLCV(close, close + 0.5, close - 0.25, close, 1.0) for close in closes]
    pairs = [
        (averages.sma(period, closes), SMA(period, closes)),
        (averages.ema(period, closes), EMA(period, closes)),
        (averages.atr(period, bars), ATR(period, bars)),
    ]
    for ours, theirs in pairs:
        other = theirs[-1]
        assert ours == (None if other is None else pytest.approx(other, rel=1e-9))


def test_the_first_mean_is_the_exact_one_rounded() -> None:
    closes = [round(100 + (n * 7919 % 1000) / 100, 2) for n in range(500)]
    for first in range(480):
        window = closes[first : first + 20]
        assert averages.sma(20, window) == averages.ema(20, window) == float(sum(map(Fraction, window))) / 20


def test_the_oldest_bar_s_true_range_is_high_less_low() -> None:
    # Ranges of 2 and 1, and of the second bar 4 from the close before: (2 + 4) / 2. Without the first bar, as TA-Lib has it, none yet.
    bars = [OHLCV(10.0, 11.0, 9.0, 10.0), OHLCV(14.0, 14.0, 13.0, 13.5)]
    assert averages.true_ranges(bars) == [2.0, 4.0]
    assert averages.atr(2, bars) == 3.0
    assert averages.atr(3, bars) is None
