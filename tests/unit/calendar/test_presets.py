"""Named hours of futures and currencies in 2026, against what the exchanges publish and what the two calendar libraries say.

The early closes of CME are those of its holiday calendar of 2026 (equity, rates and currencies: halt 12:00, or close 12:15 in
Chicago; energy and metals: 12:00, 12:45, 13:30, 13:45).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import exchange_calendars
import pandas_market_calendars
import pytest

from streams.calendar.presets import EVENING_EXCHANGES, PRESETS, PresetName
from streams.calendar.trading import TradingCalendar, TradingDay
from streams.config.session import SessionConfig
from streams.errors import SessionConfigError
from streams.times import MINUTE_US, date_of_days, days_of, from_us, to_us

CHICAGO, NEW_YORK = "America/Chicago", "America/New_York"
YEAR = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
WEEKDAYS = [day for day in YEAR if day.weekday() < 5]

HOLIDAYS_AT_NOON = {"01-19": "12:00", "02-16": "12:00", "05-25": "12:00", "06-19": "12:00", "07-03": "12:00", "09-07": "12:00"}
ENERGY = {
    "01-19": "13:30", "02-16": "13:30", "05-25": "13:30", "06-19": "12:00", "07-03": "12:00", "09-07": "13:30",
    "11-26": "13:30", "11-27": "13:45", "12-24": "12:45",
}  # fmt: skip
ICE = {"01-19": "13:00", "02-16": "13:00", "05-25": "13:00", "07-03": "13:00", "09-07": "13:00", "11-26": "13:00"}
GRAIN_HOLIDAYS = {"01-01", "01-19", "02-16", "04-03", "05-25", "06-19", "07-03", "09-07", "11-26", "12-25"}

# Name: its zone, the usual windows, the closes of other dates, the weekdays without trading.
IN_2026: dict[str, tuple[str, list[tuple[str, str]], dict[str, str], set[str]]] = {
    "us_equity_futures": (
        CHICAGO, [("-17:00", "16:00")],
        {**HOLIDAYS_AT_NOON, "04-03": "08:15", "11-26": "12:00", "11-27": "12:15", "12-24": "12:15"}, {"01-01", "12-25"},
    ),
    "us_rate_futures": (
        CHICAGO, [("-17:00", "16:00")],
        {**HOLIDAYS_AT_NOON, "04-03": "10:15", "11-26": "12:00", "11-27": "12:15", "12-24": "12:15"}, {"01-01", "12-25"},
    ),
    "us_fx_futures": (CHICAGO, [("-17:00", "16:00")], {"04-03": "10:15", "11-27": "12:15", "12-24": "12:15"}, {"01-01", "12-25"}),
    "us_energy_futures": (CHICAGO, [("-17:00", "16:00")], ENERGY, {"01-01", "04-03", "12-25"}),
    "us_metal_futures": (CHICAGO, [("-17:00", "16:00")], ENERGY, {"01-01", "04-03", "12-25"}),
    "us_grain_futures": (
        CHICAGO, [("-19:00", "07:45"), ("08:30", "13:20")], {"11-27": "12:00", "12-24": "12:00"}, GRAIN_HOLIDAYS,
    ),
    "ice_energy_futures": (NEW_YORK, [("-20:00", "18:00")], ICE, {"01-01", "04-03", "12-25"}),
    "fx": (NEW_YORK, [("-17:00", "17:00")], {}, {"01-01", "12-25"}),
}  # fmt: skip


def made(name: str) -> TradingCalendar:
    return TradingCalendar(PRESETS[name].exchange, name)


def on(calendar: TradingCalendar, text: str) -> TradingDay:
    day = calendar.day_on(days_of(date.fromisoformat(text)))
    assert day is not None
    return day


def instant(zone: str, day: date, clock: str) -> int:
    """The instant of a clock in a zone; with a minus, on the day before."""
    on_day = day - timedelta(days=1) if clock.startswith("-") else day
    return to_us(datetime.fromisoformat(f"{on_day}T{clock.removeprefix('-')}").replace(tzinfo=ZoneInfo(zone)))


def utc(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize("name", IN_2026)
def test_a_preset_has_these_days_and_hours_in_2026(name: str) -> None:
    zone, usual, closes, holidays = IN_2026[name]
    calendar = made(name)
    assert str(calendar.timezone) == zone
    expected: dict[date, list[tuple[int, int]]] = {}
    for day in WEEKDAYS:
        key = f"{day:%m-%d}"
        if key in holidays:
            continue
        windows = [(instant(zone, day, opens), instant(zone, day, shuts)) for opens, shuts in usual]
        if name == "ice_energy_futures" and day.weekday() == 0:
            windows = [(instant(zone, day, "-18:00"), windows[0][1])]
        if key in closes:
            windows[-1] = (windows[-1][0], instant(zone, day, closes[key]))
        expected[day] = windows
    found = {day: calendar.day_on(days_of(day)) for day in YEAR}
    assert {day: list(one.segments) for day, one in found.items() if one is not None} == expected


def test_every_preset_is_in_the_table() -> None:
    assert tuple(IN_2026) == tuple(PRESETS) == get_args(PresetName)


@pytest.mark.parametrize("name", PRESETS)
def test_days_of_a_preset_never_overlap(name: str) -> None:
    calendar = made(name)
    days = []
    current = calendar.next_day(days_of(date(2000, 1, 3)))
    while current.days < days_of(date(2026, 11, 1)):
        days.append(current)
        current = calendar.next_day(current.days)
    for before, after in pairwise(days):
        assert before.close_us <= after.starts_us <= after.open_us, (date_of_days(before.days), date_of_days(after.days))
    for day in days:
        for (_, closes), (opens, _) in pairwise(day.segments):
            assert closes < opens


def test_around_thanksgiving_index_futures_halt_at_noon_and_reopen_in_the_evening() -> None:
    # CME, Thanksgiving 2026: Thursday halts 12:00 in Chicago, opens again 17:00; Friday closes 12:15.
    calendar = made("us_equity_futures")
    assert on(calendar, "2026-11-25").segments == ((utc("2026-11-24T23:00"), utc("2026-11-25T22:00")),)
    assert on(calendar, "2026-11-26").segments == ((utc("2026-11-25T23:00"), utc("2026-11-26T18:00")),)
    assert on(calendar, "2026-11-27").segments == ((utc("2026-11-26T23:00"), utc("2026-11-27T18:15")),)
    assert on(calendar, "2026-11-30").segments == ((utc("2026-11-29T23:00"), utc("2026-11-30T22:00")),)
    assert not calendar.is_open(utc("2026-11-26T20:00")), "Thursday afternoon"
    assert calendar.day_of(utc("2026-11-29T23:30")) == on(calendar, "2026-11-30"), "Sunday evening is Monday's"
    assert calendar.day_of(utc("2026-11-27T23:30")) is None, "and Friday evening is nobody's"


def test_a_day_of_index_futures_has_1380_minutes_also_when_the_clocks_change() -> None:
    calendar = made("us_equity_futures")
    for trading_date in ("2026-11-24", "2026-03-09", "2026-11-02"):  # the clocks change on the Sundays before the last two, at 02:00
        day = on(calendar, trading_date)
        assert day.expected(MINUTE_US, day.open_us, day.close_us) == 1380, trading_date
    assert from_us(on(calendar, "2026-03-09").open_us).isoformat() == "2026-03-08T22:00:00+00:00", "17:00 in summer time"
    assert from_us(on(calendar, "2026-03-06").open_us).isoformat() == "2026-03-05T23:00:00+00:00", "17:00 in winter time"


def test_index_futures_paused_for_a_quarter_of_an_hour_until_2021() -> None:
    calendar = made("us_equity_futures")
    before, after = on(calendar, "2021-06-25"), on(calendar, "2021-06-28")
    assert [(from_us(o).hour, from_us(c).hour, from_us(c).minute) for o, c in before.segments] == [(22, 20, 15), (20, 21, 0)]
    assert len(after.segments) == 1


@pytest.mark.parametrize(
    ("name", "trading_date", "segments", "why"),
    [
        # The minutes in which LEAN's bars of ES and GC of that week trade: to 20:14 and from 20:30 to 21:14Z; GC without the halt.
        ("us_equity_futures", "2013-10-08", [("07T22:00", "08T20:15"), ("08T20:30", "08T21:15")], "to 16:15 until 2015"),
        ("us_metal_futures", "2013-10-08", [("07T22:00", "08T21:15")], "likewise"),
        ("us_energy_futures", "2013-10-08", [("07T22:00", "08T21:15")], "likewise"),
        ("us_rate_futures", "2013-10-08", [("07T22:00", "08T21:00")], "rates closed at 16:00 then too"),
        ("us_equity_futures", "2015-09-18", [("17T22:00", "18T20:15"), ("18T20:30", "18T21:15")], "the last day"),
        ("us_equity_futures", "2015-09-21", [("20T22:00", "21T20:15"), ("21T20:30", "21T21:00")], "16:00 from here on"),
        ("us_equity_futures", "2013-11-29", [("28T23:00", "29T18:15")], "an early close is what it is"),
    ],
)
def test_until_2015_index_energy_and_metal_futures_closed_a_quarter_later(
    name: str, trading_date: str, segments: list[tuple[str, str]], why: str
) -> None:
    month = trading_date[:8]
    assert on(made(name), trading_date).segments == tuple((utc(month + opens), utc(month + closes)) for opens, closes in segments), why


@pytest.mark.parametrize(
    ("theirs", "disagreements"),
    [
        ("us_equity_futures", {"2026-04-03", "2026-06-19", "2026-11-27", "2026-12-24"}),
        ("us_rate_futures", {"2026-04-03", "2026-06-19", "2026-11-27", "2026-12-24"}),
    ],
)
def test_exchange_calendars_differs_on_exactly_these_dates(theirs: str, disagreements: set[str]) -> None:
    # Its CMES closes at 17:00, after the daily pause, has no session on Good Friday nor an early close on 19 June, and closes at
    # 12:00 where CME does at 12:15. Where both have the regular day, the pause is the difference.
    cmes = exchange_calendars.get_calendar("CMES", start="2025-12-01", end="2026-12-31")
    calendar = made(theirs)
    found = set()
    for day in WEEKDAYS:
        ours = calendar.day_on(days_of(day))
        has_session = cmes.is_session(day.isoformat())
        if has_session != (ours is not None):
            found.add(str(day))
        elif ours is not None:
            closes = to_us(cmes.session_close(day.isoformat()).to_pydatetime())
            is_regular = closes == instant(CHICAGO, day, "17:00")
            if ours.close_us != (instant(CHICAGO, day, "16:00") if is_regular else closes):
                found.add(str(day))
    assert found == disagreements


def test_pandas_market_calendars_differs_from_itself_on_the_friday_after_thanksgiving() -> None:
    closes = {
        name: pandas_market_calendars.get_calendar(name).schedule("2026-11-27", "2026-11-27").market_close.iloc[0]
        for name in ("CME_Equity", "CME Globex Equity")
    }
    assert {name: f"{close:%H:%M}" for name, close in closes.items()} == {"CME_Equity": "18:00", "CME Globex Equity": "18:15"}


def values(**keys: Any) -> dict[str, Any]:
    return {"session_data_config": {"symbols": ["ES"]}, **keys}


def test_a_preset_is_named_in_a_config_and_written_back() -> None:
    config = SessionConfig.from_dict(values(exchange="CMES", hours="us_equity_futures"))
    assert SessionConfig.from_json(config.to_json()) == config
    assert on(config.calendar(), "2026-11-27").close_us == utc("2026-11-27T18:15")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"exchange": "XNYS", "hours": "us_equity_futures"},
            "hours must be of the same exchange: 'us_equity_futures' needs exchange 'CMES', got 'XNYS'",
        ),
        ({"exchange": "CMES", "hours": "us_equity"}, r'must be "regular", a preset \(us_equity_futures, .*fx\), .* got "us_equity"'),
        ({"hours_overrides": {"2026-11-27": "fx"}}, 'must be "closed", a window'),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SessionConfigError, match=message):
        SessionConfig.from_dict(values(**keys))


def test_a_calendar_refuses_a_preset_of_another_exchange() -> None:
    with pytest.raises(SessionConfigError, match="hours must be of the same exchange: 'fx' needs exchange '24/5', got 'CMES'"):
        TradingCalendar("CMES", "fx")


@pytest.mark.parametrize(
    ("keys", "is_doubtful", "why"),
    [
        ({"exchange": "CMES", "hours": {"open": "18:00", "close": "17:00"}}, True, "Sunday evening is missing, Friday evening too much"),
        ({"exchange": "CMES", "hours": {"open": "18:00 previous day", "close": "17:00"}}, False, "as it trades"),
        ({"exchange": "CMES", "hours": {"open": "08:30", "close": "15:00"}}, False, "only the day"),
        ({"exchange": "CMES", "hours": "us_equity_futures"}, False, "a preset"),
        ({"exchange": "CMES"}, False, "regular"),
        ({"exchange": "XNYS", "hours": {"open": "18:00", "close": "17:00"}}, False, "no sessions from the evening before"),
    ],
)
def test_hours_that_leave_sunday_evening_out_are_remarked_on(keys: dict[str, Any], is_doubtful: bool, why: str) -> None:
    remark = SessionConfig.from_dict(values(**keys)).hours_remark
    assert (remark is not None) is is_doubtful, why
    if remark is not None:
        assert "leaves Sunday evening out of CMES" in remark
        assert "us_equity_futures or us_rate_futures" in remark


def test_the_exchanges_that_open_on_the_evening_before_are_these() -> None:
    page = (Path(__file__).parents[3] / "docs" / "exchanges.md").read_text(encoding="utf-8")  # made from the calendars
    names = set(re.findall(r"^\| `([^`]+)` \| [^|]+ \| -", page, flags=re.MULTILINE))
    assert names == {"CMES", "IEPA", "us_futures"}
    assert names | {alias for alias, name in re.findall(r"`(\w+)` \((\w+)\)", page) if name in names} == EVENING_EXCHANGES
