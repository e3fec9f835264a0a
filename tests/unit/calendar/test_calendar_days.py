"""Calendars that end: further days from the config, days as text, and days that are taken over. Instants were worked out by hand."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, date, datetime

import pytest

from streams.calendar.ending import days_left, end_in_words
from streams.calendar.trading import TradingCalendar, TradingDay
from streams.config.session import SessionConfig
from streams.errors import SessionConfigError

SECOND = 1_000_000
YEAR_END = date(2026, 12, 31)
"""Where exchange_calendars 4.13.2 ends for XSHG, XBOM and XSES. It is asked for here, so that a newer version gives the same."""


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def days(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def on(calendar: TradingCalendar, text: str) -> TradingDay:
    day = calendar.day_on(days(text))
    assert day is not None
    return day


def test_a_calendar_ends_where_its_last_date_is_over_at_the_exchange() -> None:
    calendar = TradingCalendar("XSHG", through=YEAR_END)
    assert calendar.last_date == YEAR_END
    assert calendar.ends_us == at("2026-12-31T16:00"), "midnight in Shanghai, eight hours ahead of UTC"
    assert calendar.current_day(at("2026-12-31T15:59")).days == days("2026-12-31"), "the last day stays the current one until then"
    with pytest.raises(ValueError, match="is beyond the calendar of XSHG"):
        calendar.current_day(at("2026-12-31T16:00"))


def test_a_calendar_that_closes_at_its_last_midnight_leaves_its_last_bars_ten_minutes() -> None:
    assert TradingCalendar("24/7", through=YEAR_END).ends_us == at("2027-01-01T00:10")


def test_a_calendar_goes_as_far_as_it_is_asked_for_and_the_library_knows() -> None:
    assert TradingCalendar("XNYS", through=date(2033, 12, 31)).last_date == date(2033, 12, 31)
    assert TradingCalendar("XHKG", through=date(2060, 12, 31)).last_date == date(2049, 12, 31), "the lunar new year is known up to then"


def test_days_that_the_library_does_not_know_come_from_the_config() -> None:
    config = SessionConfig.from_dict(
        {
            "exchange": "XSHG",
            "calendar_days": {
                "2027-01-04": "regular",
                "2027-01-05": [{"open": "09:30", "close": "11:30"}],
                "2027-01-06": "closed",
            },
            "session_data_config": {"symbols": []},
        }
    )
    calendar = config.calendar(YEAR_END)
    morning, afternoon = (at("2027-01-04T01:30"), at("2027-01-04T03:30")), (at("2027-01-04T05:00"), at("2027-01-04T07:00"))
    assert on(calendar, "2027-01-04").segments == (morning, afternoon), "09:30 to 11:30 and 13:00 to 15:00 in Shanghai"
    assert on(calendar, "2027-01-05").segments == ((at("2027-01-05T01:30"), at("2027-01-05T03:30")),)
    assert calendar.day_on(days("2027-01-01")) is None, "a Friday that is not in the list"
    assert calendar.last_date == date(2027, 1, 6), "a date that is closed is known too"
    assert calendar.next_day(days("2026-12-31")).days == days("2027-01-04")


def test_a_regular_day_has_the_hours_of_the_config_where_those_are_its_own() -> None:
    calendar = TradingCalendar("XSHG", ("10:00", "12:00"), given={date(2027, 1, 4): "regular"}, through=YEAR_END)
    assert on(calendar, "2027-01-04").segments == ((at("2027-01-04T02:00"), at("2027-01-04T04:00")),)


def test_a_regular_day_is_not_as_short_as_the_last_one_that_is_known() -> None:
    calendar = TradingCalendar("XNYS", given={date(2026, 12, 28): "regular"}, through=date(2026, 12, 24))
    assert on(calendar, "2026-12-24").close_us == at("2026-12-24T18:00"), "13:00 in New York on Christmas Eve"
    assert on(calendar, "2026-12-28").close_us == at("2026-12-28T21:00"), "16:00"


def test_a_given_day_counts_where_the_library_says_otherwise() -> None:
    calendar = TradingCalendar("XSHG", given={date(2026, 10, 8): "closed"}, through=YEAR_END)
    assert calendar.day_on(days("2026-10-08")) is None
    assert calendar.last_date == YEAR_END


def test_given_hours_that_are_none_are_refused_with_their_date() -> None:
    with pytest.raises(SessionConfigError, match="calendar_days on 2027-01-04: '9:30' is no"):
        TradingCalendar("XSHG", given={date(2027, 1, 4): ("9:30", "11:30")}, through=YEAR_END)


@pytest.mark.parametrize("exchange", ["XNYS", "XHKG", "CMES", "24/7", "XSHG", "XTKS"])
def test_a_calendar_is_the_same_when_it_comes_back_from_its_text(exchange: str) -> None:
    calendar = TradingCalendar(exchange, through=YEAR_END)
    text = calendar.to_text()
    again = TradingCalendar.from_text(text)
    assert again.to_text() == text
    assert (again.last_date, again.ends_us, again.timezone) == (calendar.last_date, calendar.ends_us, calendar.timezone)
    day = calendar.next_day(days("1998-01-01"))
    while day.days < days("2026-12-30"):
        assert again.day_on(day.days) == day
        day = calendar.next_day(day.days)
    assert len(text) < 8000, "it stands in a journal record and a row"


def test_the_text_says_dates_as_a_bitmap_and_hours_as_seconds_from_midnight_utc() -> None:
    values = json.loads(TradingCalendar("XSHG", given={date(2027, 1, 4): "regular"}, through=YEAR_END).to_text())
    assert (values["exchange"], values["zone"], values["through"]) == ("XSHG", "Asia/Shanghai", days("2027-01-04"))
    bitmap = b64decode(values["days"])
    last = days("2027-01-04") - values["first"]
    assert bitmap[last // 8] >> last % 8 & 1, "Monday 4 January"
    assert not any(bitmap[number // 8] >> number % 8 & 1 for number in (last - 1, last - 2, last - 3)), "the days before it"
    assert [-28800, 5400, 12600, 18000, 25200] in values["hours"], "00:00, 09:30 to 11:30 and 13:00 to 15:00 in Shanghai"


def test_a_text_that_is_no_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="a stored calendar is a JSON object with the keys exchange, zone, first"):
        TradingCalendar.from_text('{"exchange": "XSHG"}')


def test_newer_days_hold_from_the_day_after_the_one_that_is_reached() -> None:
    old = TradingCalendar("XSHG", through=YEAR_END)
    newer = TradingCalendar(
        "XSHG",
        given={date(2026, 12, 29): "closed", date(2026, 12, 30): ("10:00", "11:00"), date(2027, 1, 4): "regular"},
        through=YEAR_END,
    )
    calendar = old.extended(newer, days("2026-12-29"))
    assert on(calendar, "2026-12-29") == on(old, "2026-12-29"), "the day that is reached stays as it is"
    assert on(calendar, "2026-12-30").segments == ((at("2026-12-30T02:00"), at("2026-12-30T03:00")),)
    assert on(calendar, "2027-01-04").open_us == at("2027-01-04T01:30")
    assert calendar.last_date == date(2027, 1, 4)


def test_days_that_the_newer_calendar_does_not_know_any_more_stay() -> None:
    known = TradingCalendar("XSHG", given={date(2027, 1, 4): "regular"}, through=YEAR_END)
    calendar = known.extended(TradingCalendar("XSHG", through=YEAR_END), days("2026-12-01"))
    assert calendar.to_text() == known.to_text(), "an older library, or a config without them"


def test_a_newer_day_that_opens_before_the_reached_one_is_over_begins_when_that_is() -> None:
    old = TradingCalendar("XNYS", ("09:30", "23:59"), through=YEAR_END)
    newer = TradingCalendar("XNYS", ("00:00", "23:00"), through=YEAR_END)
    late = TradingCalendar("XNYS", ("18:00", "17:00"), through=YEAR_END)
    calendar = late.extended(newer, days("2026-12-29"))
    assert on(calendar, "2026-12-29").close_us == at("2026-12-30T22:00")
    assert on(calendar, "2026-12-30").open_us == at("2026-12-30T22:00"), "midnight in New York was at 05:00"
    assert on(old.extended(newer, days("2026-12-29")), "2026-12-30").open_us == at("2026-12-30T05:00")


@pytest.mark.parametrize(
    ("now", "left", "why"),
    [
        ("2026-12-01T15:59", 31, "a minute before thirty days are left"),
        ("2026-12-01T16:00", 30, "thirty days to the second"),
        ("2026-12-31T15:59", 1, "the last minute"),
        ("2026-12-31T16:00", 0, "it is over"),
        ("2027-03-01T00:00", 0, "long over"),
    ],
)
def test_days_that_are_left_count_the_one_that_has_begun(now: str, left: int, why: str) -> None:
    assert days_left(TradingCalendar("XSHG", through=YEAR_END), at(now)) == left, why


def test_the_end_is_told_with_what_to_do() -> None:
    calendar = TradingCalendar("XSHG", through=YEAR_END)
    advice = (
        "install a newer exchange_calendars, or write the trading days after that date into calendar_days of the config, "
        "then start the worker again"
    )
    assert end_in_words(calendar, at("2026-12-29T16:00")) == f"the calendar of XSHG ends on 2026-12-31, in 2 days: {advice}"
    assert end_in_words(calendar, at("2026-12-31T01:00")) == f"the calendar of XSHG ends on 2026-12-31, in 1 day: {advice}"
    assert end_in_words(calendar, at("2027-01-04T00:00")) == f"the calendar of XSHG ended on 2026-12-31: {advice}"
