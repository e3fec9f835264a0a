"""Instants of local times, against the arithmetic of the standard library."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.calendar.hours import local_us
from streams.config.session import SessionConfig
from streams.times import days_of

ZONES = [
    UTC,
    ZoneInfo("UTC"),
    ZoneInfo("Etc/GMT+5"),
    timezone(timedelta(hours=5, minutes=45)),
    ZoneInfo("America/New_York"),
    ZoneInfo("Asia/Tokyo"),
]


@given(st.sampled_from(ZONES), st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(-86_400, 2 * 86_400))
def test_a_local_time_is_the_instant_at_which_a_clock_in_the_zone_shows_it(zone: tzinfo, day: date, seconds: int) -> None:
    wall = datetime.combine(day, datetime.min.time()) + timedelta(seconds=seconds)
    expected = wall.replace(tzinfo=zone).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert local_us(zone, days_of(day), seconds) == expected // timedelta(microseconds=1)


@pytest.mark.parametrize("through", [None, date(2027, 12, 31)])
def test_a_config_makes_its_calendar_once_for_each_date_that_is_asked_for(through: date | None) -> None:
    config = SessionConfig.from_dict(
        {"session_name": "s", "exchange": "24/7", "session_data_config": {"symbols": ["SPY"], "streams": ["1m"]}}
    )
    assert config.calendar(through) is config.calendar(through)
    assert config.calendar(date(2026, 12, 31)).to_text() != config.calendar(date(2027, 12, 31)).to_text()
