"""A random session to simulate: exchange, hours, dates with something about them, intervals, thresholds and symbols."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from random import Random
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

from streams.calendar.trading import TradingCalendar
from streams.config.session import SessionConfig
from streams.times import DAY_US, SECOND_US, interval_us, to_us
from tests.support.simulation.books import Days

WHOLE = {"open": "00:00", "close": "24:00"}
UNIVERSE = ("AA", "BB", "CC", "DD", "EE")
DAYS_AHEAD = 400

MARKETS: list[tuple[dict[str, Any], str, list[str]]] = [
    # A market's part of the config, its zone, and instants to begin at, each just before something.
    ({"exchange": "XNYS"}, "America/New_York", ["2013-10-07T09:00", "2013-11-27T14:30", "2014-03-07T15:00", "2013-12-24T12:20"]),
    (
        {"exchange": "XNYS", "hours": {"open": "09:30", "close": "10:20"}},
        "America/New_York",
        ["2013-10-07T09:29", "2013-11-01T09:45", "2014-02-14T10:00"],
    ),
    (
        {
            "exchange": "XNYS",
            "hours": [{"open": "09:30", "close": "10:10"}, {"open": "11:00", "close": "11:37"}],
            "hours_overrides": {"2013-10-08": "closed", "2013-10-09": [{"open": "12:00", "close": "12:45"}]},
        },
        "America/New_York",
        ["2013-10-07T09:20"],
    ),
    ({"exchange": "XNYS", "hours": {"open": "23:10", "close": "00:25"}}, "America/New_York", ["2013-10-31T22:50", "2013-10-07T23:59"]),
    ({"exchange": "XNYS", "hours": {"open": "00:00", "close": "24:00"}}, "America/New_York", ["2013-11-01T22:30", "2014-03-06T23:00"]),
    ({"exchange": "XNYS", "hours": {"open": "18:00", "close": "17:00"}}, "America/New_York", ["2013-10-07T16:20", "2013-10-31T16:50"]),
    ({"exchange": "24/7"}, "UTC", ["2013-10-06T22:00", "2013-12-31T23:30"]),
    ({"exchange": "XHKG"}, "Asia/Hong_Kong", ["2013-10-07T11:30", "2014-01-30T11:20"]),
]

CLOCK_MARKETS: list[tuple[dict[str, Any], str, list[str]]] = [
    # Days within which the clock is changed, a zone that is half an hour off, and days from the evening before.
    (
        {"exchange": "XNYS", "hours": WHOLE, "hours_overrides": {"2013-11-03": WHOLE, "2014-03-09": WHOLE}},
        "America/New_York",
        ["2013-11-02T23:20", "2013-11-03T00:40", "2014-03-09T00:20", "2014-03-09T01:30"],
    ),
    ({"exchange": "XBOM"}, "Asia/Kolkata", ["2013-10-07T09:05", "2013-10-07T14:50"]),
    ({"exchange": "CMES", "hours": "us_equity_futures"}, "America/Chicago", ["2013-11-03T16:50", "2013-11-28T11:40"]),
    (
        {"exchange": "CMES", "hours": [{"open": "19:00 previous day", "close": "07:45"}, {"open": "08:30", "close": "13:20"}]},
        "America/Chicago",
        ["2013-10-07T07:20", "2014-03-09T18:30"],
    ),
]

INTERVALS: list[tuple[str, list[list[str]]]] = [
    ("1m", [["5m"], ["2m", "5m"], ["3m", "15m"], [], ["5m", "30m", "1h"], ["5m", "1d"], ["7m", "4h"]]),
    ("5m", [["15m"], ["10m", "1h"], ["1d"]]),
    ("30s", [["1m", "5m"], ["2m"]]),
    ("1h", [["4h"], ["2h", "1d"], []]),
    ("1d", [[]]),
]


@dataclass(frozen=True)
class Scenario:
    """What a seed stands for before its first step."""

    config: dict[str, Any]
    begin_us: int
    base: str
    symbols: tuple[str, ...]


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = Random(f"scenario {seed}")
    market, zone, begins = chance.choice(CLOCK_MARKETS if seed % 6 == 5 else MARKETS)
    base, _ = chance.choices(INTERVALS, [6, 2, 1, 1, 1])[0]
    if "2013-10-09" in str(market) or ("00:25" in str(market) and base not in ("1h", "1d")):
        base = "1m"
    count = chance.randint(2, len(UNIVERSE))
    begin = datetime.fromisoformat(chance.choice(begins)).replace(tzinfo=ZoneInfo(zone))
    data = {"streams": [base], "gap_filler": {"max_retries": 2 + seed % 3, "retry_interval_seconds": (30, 60, 300)[seed % 3]}}
    values: dict[str, Any] = {**market, "window_anchor": chance.choice(["session", "clock"]), "session_data_config": data}
    return Scenario(reconfigured(values, UNIVERSE[:count], chance), to_us(begin), base, UNIVERSE[:count])


def reconfigured(values: dict[str, Any], symbols: tuple[str, ...], chance: Random) -> dict[str, Any]:
    """The config with all that may change at a restart chosen anew."""
    changed = deepcopy(values)
    data = changed["session_data_config"]
    base = data["streams"][0]
    reference = chance.choice(["close", "close", "close", "open"])
    # A bar is as old as it is long already when it is measured from its open.
    patience = [400, 30_000, 90_000] if base == "1d" else [30, 60, 60, 90, 400, 400]
    threshold = chance.choice(patience) + (interval_us(base) // SECOND_US if reference == "open" else 0)
    own: dict[str, Any] = {}
    for symbol in symbols:
        if chance.random() < 0.35:
            own[symbol] = {
                "catchup_threshold_seconds": chance.choice([None, None, 20, 45, 300]),
                "catchup_check_interval": chance.choice([None, 1, 4]),
                "gates": chance.random() < 0.7,
            }
    smallest = min([threshold, *(one["catchup_threshold_seconds"] or threshold for one in own.values())])
    # The longest that is allowed lets windows wait while the next ones fill.
    graces = [seconds for seconds in (None, 0, 2, 15, 40, 150, 300) if seconds is None or seconds < smallest]
    initial = [symbol for symbol in symbols if chance.random() < 0.75]
    data |= {
        "symbols": initial,
        "derived_intervals": chance.choice(dict(INTERVALS)[base]),
        "streaming": {
            "catchup_threshold_seconds": threshold,
            "catchup_check_interval": chance.choice([1, 3, 10]),
            "check": chance.choice(["adaptive", "interval", "every_bar"]),
            "reference": reference,
            "silence_threshold_seconds": chance.choice([90, 300, 300, 900]),
            "silence_lags": chance.random() < 0.3,
            "symbols": own,
        },
        "historical": _historical(base, symbols, chance),
        "exports": {"keep_days": chance.choice([0, 1, 2])},
        "grace_seconds": graces[-1] if chance.random() < 0.4 else chance.choice(graces),
        "min_completeness": chance.choice([0, 0, 0.5, 1]),
        "future_tolerance_seconds": chance.choice([0, 5, 60]),
        "max_symbols": max(chance.choice([3, 4, 1000]), len(initial)),
        "max_pending": chance.choice([1, 100]),
    }
    # Chosen aside, so that what else a seed stands for is as it was.
    aside = Random(repr(data))
    data["bars_topic"] = aside.random() < 0.5
    longer = data["derived_intervals"][:1]
    data["interval_complete"] = aside.choice([None, [], [base, *longer], longer or [base]])
    data["allow_negative_prices"] = Random(f"negative {data!r}").choice([False, False, True, list(symbols[:1])])
    data["streams"] = [base, *aside.choice([[], ["quotes"], ["ticks"], ["quotes", "ticks"]])]
    data["quality"] = {"publish_seconds": aside.choice([20, 60, 60, 300])}
    data["sparse_intervals"] = aside.choice([["1s"], ["1s"], ["5m"], []])
    return changed


def _historical(base: str, symbols: tuple[str, ...], chance: Random) -> dict[str, Any]:
    """Past days of the base interval and of others, for all symbols or some, and indicators over them."""
    days = chance.choice([0, 1, 1, 3])
    others = [name for name in ("1d", "20m") if name != base]
    intervals = chance.choice([[], [], [base], [base, others[0]], [chance.choice(others)]])
    kinds = ["prior_close", "prior_high", "prior_low", "average_daily_volume", "sma", "ema", "atr", "vwap"]
    indicators = [{"name": kind, "kind": kind} for kind in chance.sample(kinds, chance.randint(0, 4) if days else 0)]
    for one in indicators:
        if not one["kind"].startswith("prior"):
            one |= {"period": chance.randint(1, days)}
        if one["kind"] in kinds[4:] and base in (intervals or [base]) and chance.random() < 0.4:
            one |= {"interval": base, "period": chance.randint(1, 3 if base == "1d" and days > 2 else 1 if base == "1d" else 9)}
    chosen = "all" if chance.random() < 0.8 else [symbol for symbol in symbols if chance.random() < 0.5]
    return {"trailing_days": days, "intervals": intervals, "apply_to": chosen, "indicators": indicators}


class _Keyed:
    """A config that counts as equal to every other: what tells calendars apart stands beside it."""

    def __init__(self, config: SessionConfig) -> None:
        self.config = config

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed)


@lru_cache(maxsize=64)
def _kept(hours: str, through: date | None, keyed: _Keyed) -> TradingCalendar:
    return keyed.config._make_calendar(through)


def kept_calendars() -> Any:
    """Patch: configs of the same hours share one calendar, which takes long to make and never changes."""

    def calendar(config: SessionConfig, through: date | None = None) -> TradingCalendar:
        return _kept(f"{config.exchange} {config.hours} {config.hours_overrides} {config.calendar_days}", through, _Keyed(config))

    return mock.patch.object(SessionConfig, "calendar", calendar)


def days_of(config: SessionConfig, begin_us: int) -> Days:
    """The days that a run from `begin_us` on can come to."""
    first = begin_us // DAY_US - 20
    return Days(config.calendar(), first, first + DAYS_AHEAD * (1 if interval_us(config.base_interval) < DAY_US else 8))
