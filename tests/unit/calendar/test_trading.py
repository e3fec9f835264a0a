"""Trading days and hours against facts that the exchanges publish, worked out by hand into UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from streams.calendar.hours import parse_windows
from streams.calendar.trading import TradingCalendar, TradingDay
from streams.errors import SessionConfigError

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def days(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def on(calendar: TradingCalendar, text: str) -> TradingDay:
    day = calendar.day_on(days(text))
    assert day is not None
    return day


@pytest.fixture(scope="module")
def new_york() -> TradingCalendar:
    return TradingCalendar("XNYS")


@pytest.fixture(scope="module")
def hong_kong() -> TradingCalendar:
    return TradingCalendar("XHKG")


@pytest.fixture(scope="module")
def always() -> TradingCalendar:
    return TradingCalendar("24/7")


@pytest.mark.parametrize(
    ("trading_date", "opens", "closes", "reason"),
    [
        ("2013-10-07", "2013-10-07T13:30", "2013-10-07T20:00", "09:30 to 16:00 in summer time, four hours behind UTC"),
        ("2024-11-29", "2024-11-29T14:30", "2024-11-29T18:00", "the day after Thanksgiving closes at 13:00"),
        ("2024-03-08", "2024-03-08T14:30", "2024-03-08T21:00", "the last Friday of winter time"),
        ("2024-03-11", "2024-03-11T13:30", "2024-03-11T20:00", "the first Monday of summer time"),
        ("2024-11-01", "2024-11-01T13:30", "2024-11-01T20:00", "the last Friday of summer time"),
        ("2024-11-04", "2024-11-04T14:30", "2024-11-04T21:00", "the first Monday of winter time"),
        ("1990-01-02", "1990-01-02T14:30", "1990-01-02T21:00", "the first day that is covered"),
    ],
)
def test_a_new_york_day_opens_and_closes_when_the_exchange_says(
    new_york: TradingCalendar, trading_date: str, opens: str, closes: str, reason: str
) -> None:
    day = on(new_york, trading_date)
    assert (day.open_us, day.close_us) == (at(opens), at(closes)), reason
    assert day.segments == ((at(opens), at(closes)),)


@pytest.mark.parametrize(("trading_date", "reason"), [("2024-11-28", "Thanksgiving"), ("2024-11-30", "a Saturday")])
def test_a_date_without_trading_has_no_day(new_york: TradingCalendar, trading_date: str, reason: str) -> None:
    assert new_york.day_on(days(trading_date)) is None, reason
    assert not new_york.is_open(at(f"{trading_date}T16:00")), reason


@pytest.mark.parametrize(
    ("instant", "is_open", "reason"),
    [
        ("2013-10-07T13:29:59", False, "a second before the open"),
        ("2013-10-07T13:30:00", True, "the open belongs to the day"),
        ("2013-10-07T19:59:59", True, "the last second"),
        ("2013-10-07T20:00:00", False, "a bar that starts at the close is after it"),
        ("2013-10-06T16:00:00", False, "a Sunday"),
    ],
)
def test_hours_hold_their_open_and_not_their_close(new_york: TradingCalendar, instant: str, is_open: bool, reason: str) -> None:
    assert new_york.is_open(at(instant)) is is_open, reason
    assert (new_york.day_of(at(instant)) is not None) is is_open, reason


@pytest.mark.parametrize(
    ("now", "trading_date", "reason"),
    [
        ("2024-11-22T23:00:00", "2024-11-22", "after Friday's close Friday goes on"),
        ("2024-11-24T16:00:00", "2024-11-22", "all weekend long"),
        ("2024-11-25T04:59:59", "2024-11-22", "to the last second of Sunday in New York"),
        ("2024-11-25T05:00:00", "2024-11-25", "Monday begins at midnight in New York"),
        ("2024-11-25T14:30:00", "2024-11-25", "and is still the day at its open"),
        ("2024-11-28T16:00:00", "2024-11-27", "a holiday leaves the day before it current"),
    ],
)
def test_a_day_is_current_from_its_local_midnight(new_york: TradingCalendar, now: str, trading_date: str, reason: str) -> None:
    assert new_york.current_day(at(now)).days == days(trading_date), reason


def test_days_follow_each_other_over_weekends_and_holidays(new_york: TradingCalendar) -> None:
    assert new_york.next_day(days("2024-11-27")).days == days("2024-11-29")
    assert new_york.next_day(days("2024-11-28")).days == days("2024-11-29")
    assert new_york.next_day(days("2024-11-29")).days == days("2024-12-02")
    assert new_york.previous_day(days("2024-12-02")).days == days("2024-11-29")
    assert new_york.previous_day(days("2024-11-30")).days == days("2024-11-29")
    assert new_york.previous_day(days("2024-11-29")).days == days("2024-11-27")


@pytest.mark.parametrize(
    ("instant", "trading_date", "reason"),
    [
        ("2024-11-29T12:00:00", "2024-11-29", "before the open: today"),
        ("2024-11-29T17:59:59", "2024-11-29", "open: today"),
        ("2024-11-29T18:00:00", "2024-12-02", "at the close today is over"),
    ],
)
def test_the_day_at_or_after_is_the_first_that_is_not_over(new_york: TradingCalendar, instant: str, trading_date: str, reason: str) -> None:
    assert new_york.day_at_or_after(at(instant)).days == days(trading_date), reason


@pytest.mark.parametrize(
    ("instant", "words", "reason"),
    [
        ("2024-11-29T18:00:00", "Mon 09:30 New York", "the weekend begins"),
        ("2024-12-02T14:29:00", "Mon 09:30 New York", "a minute before the open"),
        ("2024-12-02T14:31:00", "Tue 09:30 New York", "while it is open, the next one"),
        ("2001-09-11T12:00:00", "Mon 09:30 New York", "six days later, so the weekday is enough"),
    ],
)
def test_the_next_open_is_told_in_words(new_york: TradingCalendar, instant: str, words: str, reason: str) -> None:
    assert new_york.format_next_open(at(instant)) == words, reason


def test_a_next_open_a_week_away_is_told_with_its_date() -> None:
    closed = {date(2024, 12, day): "closed" for day in range(2, 7)}
    calendar = TradingCalendar("XNYS", overrides=closed)
    assert calendar.format_next_open(at("2024-11-30T12:00:00")) == "Mon 2024-12-09 09:30 New York"


def test_around_the_clock_each_utc_day_follows_without_a_break(always: TradingCalendar) -> None:
    sunday = on(always, "2024-11-24")
    assert sunday.segments == ((at("2024-11-24T00:00"), at("2024-11-25T00:00")),)
    assert sunday.starts_us == sunday.open_us
    assert always.current_day(at("2024-11-24T23:59:59")) == sunday
    assert always.current_day(at("2024-11-25T00:00:00")).open_us == sunday.close_us
    assert always.is_open(at("2024-11-25T00:00:00"))
    assert sunday.expected(MINUTE, sunday.open_us, sunday.close_us) == 1440
    assert always.format_next_open(at("2024-11-24T12:00:00")) == "Mon 00:00 UTC"


def test_the_lunch_break_of_hong_kong_is_closed(hong_kong: TradingCalendar) -> None:
    day = on(hong_kong, "2024-11-27")
    assert day.segments == ((at("2024-11-27T01:30"), at("2024-11-27T04:00")), (at("2024-11-27T05:00"), at("2024-11-27T08:00")))
    assert not day.contains(at("2024-11-27T04:00"))
    assert day.contains(at("2024-11-27T05:00"))
    assert day.expected(MINUTE, day.open_us, day.close_us) == 150 + 180
    assert day.expected(HOUR, day.open_us, day.close_us) == 6, "09:30 10:30 11:30, then 13:30 14:30 15:30: 12:30 is in the break"
    assert hong_kong.format_next_open(at("2024-11-27T04:30")) == "Wed 13:00 Hong Kong"
    assert day.starts_us == at("2024-11-26T16:00"), "midnight in Hong Kong"


def test_an_early_close_before_the_break_leaves_one_segment(hong_kong: TradingCalendar) -> None:
    assert on(hong_kong, "2024-12-24").segments == ((at("2024-12-24T01:30"), at("2024-12-24T04:00")),), "Christmas Eve is a half day"


def test_a_day_that_opens_on_the_evening_before_is_current_from_its_open() -> None:
    futures = TradingCalendar("CMES")
    monday = on(futures, "2024-11-25")
    assert monday.open_us == at("2024-11-24T23:00"), "Sunday 17:00 in Chicago"
    assert monday.starts_us == monday.open_us
    assert futures.current_day(at("2024-11-24T22:59:59")).days == days("2024-11-22")
    assert futures.current_day(at("2024-11-24T23:00:00")) == monday


@pytest.mark.parametrize(
    ("trading_date", "interval", "count", "reason"),
    [
        ("2013-10-07", MINUTE, 390, "six and a half hours of minutes"),
        ("2013-10-07", SECOND, 23_400, "the same in seconds"),
        ("2013-10-07", 5 * MINUTE, 78, "in five minutes"),
        ("2013-10-07", HOUR, 7, "the seventh hour begins 15:30 and ends at the close"),
        ("2013-10-07", 4 * HOUR, 2, "09:30 and 13:30"),
        ("2013-10-07", DAY, 1, "one day"),
        ("2024-11-29", MINUTE, 210, "three and a half hours before an early close"),
        ("2024-11-29", HOUR, 4, "the last one begins 12:30"),
    ],
)
def test_a_whole_day_expects_each_bar_that_starts_in_it(
    new_york: TradingCalendar, trading_date: str, interval: int, count: int, reason: str
) -> None:
    day = on(new_york, trading_date)
    assert day.expected(interval, day.open_us, day.close_us) == count, reason
    assert day.expected(interval, day.open_us - DAY, day.close_us + DAY) == count, "what lies outside the hours adds none"


@pytest.mark.parametrize(
    ("interval", "since", "until", "count", "reason"),
    [
        (MINUTE, "13:30:00", "13:30:00", 0, "nothing lies in an empty stretch"),
        (MINUTE, "13:30:00", "13:30:01", 1, "the first bar starts with the open"),
        (MINUTE, "13:30:00", "13:31:00", 1, "the end is not part of the stretch"),
        (MINUTE, "13:30:01", "13:31:00", 0, "the first start is over, the second not reached"),
        (MINUTE, "13:30:01", "13:31:01", 1, "the second alone"),
        (MINUTE, "19:59:00", "23:00:00", 1, "the last bar starts a minute before the close"),
        (MINUTE, "12:00:00", "13:00:00", 0, "before the open"),
        (MINUTE, "20:00:00", "21:00:00", 0, "after the close"),
        (MINUTE, "15:00:00", "14:00:00", 0, "a stretch the wrong way round"),
        (HOUR, "14:00:00", "15:00:00", 1, "hours are counted from the open: 14:30"),
        (DAY, "13:30:00", "13:30:01", 1, "the day's bar starts with the open"),
        (DAY, "13:30:01", "20:00:00", 0, "and only there"),
    ],
)
def test_a_stretch_expects_the_bars_that_start_in_it(
    new_york: TradingCalendar, interval: int, since: str, until: str, count: int, reason: str
) -> None:
    day = on(new_york, "2013-10-07")
    assert day.expected(interval, at(f"2013-10-07T{since}"), at(f"2013-10-07T{until}")) == count, reason


def test_a_day_of_25_hours_has_one_daily_bar() -> None:
    calendar = TradingCalendar("XNYS", overrides={date(2024, 11, 3): ("00:00", "24:00")})
    day = on(calendar, "2024-11-03")
    assert day.segments == ((at("2024-11-03T04:00"), at("2024-11-04T05:00")),), "midnight of summer time to midnight of winter time"
    assert day.expected(HOUR, day.open_us, day.close_us) == 25
    assert day.expected(DAY, day.open_us, day.close_us) == 1


def test_own_hours_hold_on_the_dates_of_the_calendar() -> None:
    extended = TradingCalendar("XNYS", ("04:00", "20:00"))
    assert on(extended, "2024-11-27").segments == ((at("2024-11-27T09:00"), at("2024-11-28T01:00")),)
    assert extended.day_on(days("2024-11-28")) is None, "Thanksgiving stays closed"
    assert on(extended, "2024-11-29").segments == ((at("2024-11-29T09:00"), at("2024-11-29T18:00")),), "the early close ends the day"


def test_several_own_windows_are_one_day() -> None:
    split = TradingCalendar("XNYS", [("09:30", "12:00"), ("12:30", "16:00")])
    assert on(split, "2013-10-07").segments == (
        (at("2013-10-07T13:30"), at("2013-10-07T16:00")),
        (at("2013-10-07T16:30"), at("2013-10-07T20:00")),
    )
    early = on(split, "2024-11-29")
    assert early.close_us == at("2024-11-29T18:00"), "13:00 lies within the second window"
    assert len(early.segments) == 2


def test_an_early_close_between_windows_leaves_out_the_later_one() -> None:
    split = TradingCalendar("XNYS", [("09:30", "12:30"), ("13:30", "16:00")])
    assert on(split, "2024-11-29").segments == ((at("2024-11-29T14:30"), at("2024-11-29T17:30")),)


def test_hours_that_cross_midnight_belong_to_the_date_of_their_open() -> None:
    night = TradingCalendar("XNYS", ("18:00", "17:00"))
    monday = on(night, "2013-10-07")
    assert monday.segments == ((at("2013-10-07T22:00"), at("2013-10-08T21:00")),)
    after_midnight = night.day_of(at("2013-10-08T05:00"))
    assert after_midnight == monday
    assert night.day_of(at("2013-10-08T21:30")) is None
    tuesday = on(night, "2013-10-08")
    assert tuesday.starts_us == monday.close_us, "local midnight of Tuesday comes while Monday still trades"
    assert night.current_day(at("2013-10-08T20:59:59")) == monday
    assert night.current_day(at("2013-10-08T21:00:00")) == tuesday


def test_hours_that_open_on_the_evening_before_belong_to_the_next_date() -> None:
    futures = TradingCalendar("CMES", ("17:00 previous day", "16:00"))
    monday = on(futures, "2024-11-25")
    assert monday.segments == ((at("2024-11-24T23:00"), at("2024-11-25T22:00")),), "from Sunday 17:00 in Chicago"
    assert futures.day_of(at("2024-11-24T23:00")) == monday
    assert futures.day_of(at("2024-11-22T23:30")) is None, "nobody trades on Friday evening"
    assert futures.day_of(at("2024-11-25T22:30")) is None, "the daily pause"
    assert monday.expected(MINUTE, monday.open_us, monday.close_us) == 1380
    assert futures.current_day(at("2024-11-25T22:30")) == monday, "in the pause, the day before goes on"
    assert futures.current_day(at("2024-11-25T23:00")).days == days("2024-11-26")
    assert on(futures, "2024-11-28").segments == ((at("2024-11-27T23:00"), at("2024-11-28T18:00")),), "Thanksgiving halts at noon"
    assert on(futures, "2024-11-29").open_us == at("2024-11-28T23:00"), "and goes on in the evening for Friday"


def test_hours_of_the_evening_before_can_pause_within_the_day() -> None:
    grains = TradingCalendar("CMES", [("19:00 previous day", "07:45"), ("08:30", "13:20")])
    assert on(grains, "2024-11-25").segments == (
        (at("2024-11-25T01:00"), at("2024-11-25T13:45")),
        (at("2024-11-25T14:30"), at("2024-11-25T19:20")),
    )
    assert on(grains, "2024-11-29").segments[-1] == (at("2024-11-29T14:30"), at("2024-11-29T18:00")), "the early close ends the day"


def test_an_evening_before_over_a_clock_change_keeps_its_clock_times() -> None:
    futures = TradingCalendar("CMES", ("17:00 previous day", "16:00"))
    assert on(futures, "2024-03-08").open_us == at("2024-03-07T23:00")
    monday = on(futures, "2024-03-11")
    assert monday.segments == ((at("2024-03-10T22:00"), at("2024-03-11T21:00")),), "the clocks changed on Sunday morning"
    night = TradingCalendar("XNYS", overrides={date(2024, 3, 10): ("20:00 previous day", "04:00")})
    assert on(night, "2024-03-10").segments == ((at("2024-03-10T01:00"), at("2024-03-10T08:00")),), "seven hours: the clocks go on"


def test_hours_in_an_hour_that_a_clock_change_leaves_out_move_forward_with_the_clock() -> None:
    spring = TradingCalendar("XNYS", overrides={date(2024, 3, 10): ("02:30", "04:00")})
    assert on(spring, "2024-03-10").segments == ((at("2024-03-10T07:30"), at("2024-03-10T08:00")),), "03:30 to 04:00 in summer time"
    nothing_left = TradingCalendar("XNYS", overrides={date(2024, 3, 10): ("02:30", "03:00")})
    assert nothing_left.day_on(days("2024-03-10")) is None


def test_of_an_hour_that_comes_twice_the_first_counts() -> None:
    autumn = TradingCalendar("XNYS", overrides={date(2024, 11, 3): ("01:00", "02:00")})
    assert on(autumn, "2024-11-03").segments == ((at("2024-11-03T05:00"), at("2024-11-03T07:00")),), "01:00 summer to 02:00 winter time"


def test_a_date_can_be_closed_or_opened_or_have_hours_of_its_own() -> None:
    calendar = TradingCalendar(
        "XNYS",
        overrides={
            date(2024, 11, 27): "closed",
            date(2024, 11, 29): ("09:30", "14:00"),
            date(2024, 11, 30): [("10:00", "11:00"), ("12:00", "13:00")],
        },
    )
    assert calendar.day_on(days("2024-11-27")) is None
    assert on(calendar, "2024-11-29").close_us == at("2024-11-29T19:00"), "what is written wins over the early close"
    assert on(calendar, "2024-11-30").expected(MINUTE, at("2024-11-30T00:00"), at("2024-12-01T00:00")) == 120, "a Saturday of trading"
    assert calendar.next_day(days("2024-11-26")).days == days("2024-11-29")
    assert calendar.current_day(at("2024-11-27T16:00")).days == days("2024-11-26")


def test_an_override_beyond_the_calendar_changes_nothing(new_york: TradingCalendar) -> None:
    calendar = TradingCalendar("XNYS", overrides={date(1960, 1, 4): ("09:30", "16:00"), date(2100, 1, 4): "closed"})
    assert calendar.covers(at("1960-01-04T16:00")) is False
    assert on(calendar, "2013-10-07") == on(new_york, "2013-10-07")


@pytest.mark.parametrize("lookup", ["day_of", "current_day", "day_at_or_after", "is_open", "format_next_open"])
@pytest.mark.parametrize("instant", ["1970-01-01T00:00", "1990-01-02T14:29", "2150-01-01T00:00"])
def test_an_instant_beyond_the_calendar_is_told_with_what_it_covers(new_york: TradingCalendar, lookup: str, instant: str) -> None:
    assert not new_york.covers(at(instant))
    with pytest.raises(ValueError, match=rf"{instant}:00Z is beyond the calendar of XNYS, which goes from 1990-01-02T14:30:00Z to 20"):
        getattr(new_york, lookup)(at(instant))


def test_there_is_no_day_before_the_first_one(new_york: TradingCalendar) -> None:
    assert new_york.previous_day(days("1990-01-03")).days == days("1990-01-02")
    with pytest.raises(ValueError, match="the trading day before 1990-01-02 is beyond the calendar of XNYS"):
        new_york.previous_day(days("1990-01-02"))
    with pytest.raises(ValueError, match="the trading day after 2150-01-01 is beyond"):
        new_york.next_day(days("2150-01-01"))


def test_a_calendar_that_begins_later_is_covered_from_its_beginning() -> None:
    tokyo = TradingCalendar("XTKS")
    assert tokyo.covers(at("1997-06-02T01:00"))
    assert not tokyo.covers(at("1996-06-03T01:00"))


@pytest.mark.parametrize(
    ("exchange", "message"),
    [
        ("nyse", "exchange must be a calendar of exchange_calendars, got 'nyse': did you mean NYSE"),
        ("XNYZ", "did you mean .*XNYS"),
        ("", "write a name such as XNYS"),
    ],
)
def test_an_unknown_exchange_is_refused_with_the_nearest_names(exchange: str, message: str) -> None:
    with pytest.raises(SessionConfigError, match=message):
        TradingCalendar(exchange)


def test_an_override_that_runs_into_the_next_day_is_refused() -> None:
    with pytest.raises(
        SessionConfigError, match=r"XNYS on 2024-11-25 close at 2024-11-26T15:00:00Z, after those of 2024-11-26 have opened"
    ):
        TradingCalendar("XNYS", overrides={date(2024, 11, 25): ("18:00", "10:00")})


def test_wrong_hours_are_refused_with_their_place() -> None:
    with pytest.raises(SessionConfigError, match="hours of XNYS: '9:30' is no time of day"):
        TradingCalendar("XNYS", ("9:30", "16:00"))
    with pytest.raises(SessionConfigError, match="hours on 2024-11-25: a list of windows must not be empty"):
        TradingCalendar("XNYS", overrides={date(2024, 11, 25): []})


@pytest.mark.parametrize(
    ("windows", "message", "reason"),
    [
        (("25:00", "26:00"), "'25:00' is no time of day", "a day has 24 hours"),
        (("24:01", "16:00"), "'24:01' is no time of day", "and not a minute more"),
        (("09:30", "16:60"), "'16:60' is no time of day", "an hour has 60 minutes"),
        (("09:30", " 16:00"), "' 16:00' is no time of day", "blanks are no part of a time"),
        (("24:00", "16:00"), "can't open at 24:00", "that is 00:00 of the next date"),
        ([("09:30", "12:00"), ("11:59", "16:00")], "opens 11:59 begins before the one that closes 12:00 is over", "overlapping"),
        ([("13:00", "16:00"), ("09:30", "12:00")], "opens 09:30 begins before", "out of order"),
        ([("18:00", "02:00"), ("03:00", "04:00")], "opens 03:00 begins before", "only the last may cross midnight"),
        ([("09:30", "16:00"), ("18:00", "10:00")], "after the first one has opened again at 09:30", "into its own next day"),
        (("18:00 previous days", "17:00"), "'18:00 previous days' is no time of day", "the words are exact"),
        (("-18:00", "17:00"), "'-18:00' is no time of day", "a minus could mean several things"),
        (("24:00 previous day", "17:00"), "can't open at 24:00", "that is 00:00 of the date"),
        (("09:30", "16:00 previous day"), "opens 09:30 can't close 16:00 previous day", "before it opens"),
        (("18:00 previous day", "17:00 previous day"), "can't close 17:00 previous day: that is before it opens", "likewise"),
        ([("18:00 previous day", "17:00"), ("17:00", "19:00")], "after the first one has opened again at 18:00 previous day", "25 hours"),
        ([("09:30", "16:00"), ("18:00 previous day", "02:00")], "opens 18:00 previous day begins before", "out of order"),
    ],
)
def test_windows_that_can_not_be_are_refused(windows: object, message: str, reason: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_windows(windows)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("windows", "expected", "reason"),
    [
        (("09:30", "16:00"), [(34_200, 57_600)], "seconds after midnight"),
        (("00:00", "24:00"), [(0, 86_400)], "the whole day"),
        (("00:00", "00:00"), [(0, 86_400)], "the same, written otherwise"),
        (("18:00", "17:00"), [(64_800, 147_600)], "23 hours over midnight"),
        (("09:30:15", "16:00"), [(34_215, 57_600)], "with seconds"),
        (("18:00 previous day", "17:00"), [(-21_600, 61_200)], "23 hours up to 17:00 of the date"),
        (("18:00 previous day", "24:00"), [(-21_600, 0)], "up to its midnight"),
        (("18:00 previous day", "20:00"), [(-21_600, -14_400)], "a close is the first such time after the open"),
        (("18:00 previous day", "20:00 previous day"), [(-21_600, -14_400)], "the same, written out"),
        (("00:00 previous day", "00:00"), [(-86_400, 0)], "all of the day before"),
        ([("17:00 previous day", "15:15"), ("15:30", "16:00")], [(-25_200, 54_900), (55_800, 57_600)], "a pause within"),
        ([("09:30", "12:00"), ("12:00", "16:00")], [(34_200, 43_200), (43_200, 57_600)], "windows may touch"),
        ([("09:30", "16:00"), ("18:00", "09:30")], [(34_200, 57_600), (64_800, 120_600)], "the last may end as the first opens again"),
    ],
)
def test_windows_are_read_as_seconds_of_their_date(windows: object, expected: list[tuple[int, int]], reason: str) -> None:
    parsed = parse_windows(windows)  # type: ignore[arg-type]
    assert [(window.open_seconds, window.close_seconds) for window in parsed] == expected, reason
