"""A replay up to the last day that a calendar knows, and beyond it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from streams.calendar.trading import TradingCalendar
from streams.errors import ReplayError
from streams.replay.days import ReplayDays

YEAR_END = date(2026, 12, 31)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def test_the_last_day_of_a_calendar_can_be_replayed_and_ends_at_its_midnight() -> None:
    days = ReplayDays(TradingCalendar("XSHG", through=YEAR_END), date(2026, 12, 30), YEAR_END, grace_us=5_000_000)
    assert len(days.days) == 2
    assert days.ends_us == at("2026-12-31T16:00"), "midnight in Shanghai"
    assert days.end_of_day(at("2026-12-30T02:00")) == at("2026-12-30T16:00")
    assert days.end_of_day(at("2026-12-31T02:00")) == at("2026-12-31T16:00")
    assert days.end_of_day(at("2026-12-31T12:00")) == at("2026-12-31T16:00"), "after the close"


def test_days_beyond_a_calendar_are_refused_with_what_to_write() -> None:
    said = "its last date is 2026-12-31, write later trading days into calendar_days of the config"
    with pytest.raises(ReplayError, match=said):
        ReplayDays(TradingCalendar("XSHG", through=YEAR_END), date(2026, 12, 30), date(2027, 1, 4), grace_us=5_000_000)
    with pytest.raises(ReplayError, match=said):
        ReplayDays(TradingCalendar("XSHG", through=YEAR_END), date(2027, 1, 4), date(2027, 1, 4), grace_us=5_000_000)


def test_days_of_the_config_are_replayed() -> None:
    given = {date(2027, 1, 4): "regular", date(2027, 1, 5): "closed"}
    calendar = TradingCalendar("XSHG", given=given, through=YEAR_END)  # type: ignore[arg-type]
    days = ReplayDays(calendar, YEAR_END, date(2027, 1, 5), grace_us=5_000_000)
    assert [day.days for day in days.days] == [20818, 20822], "31 December and 4 January, days since 1970"


def test_days_before_a_calendar_begins_are_refused_without_a_word_on_later_ones() -> None:
    with pytest.raises(ReplayError, match=r"which goes from 1990-12-.*Z to 2026-12-31T07:00:00Z$"):
        ReplayDays(TradingCalendar("XSHG", through=YEAR_END), date(1980, 1, 2), date(1980, 1, 4), grace_us=5_000_000)
