"""The one parser of instants: every form, and what it says of a number that is none.

Expected instants are those of `date -u -d`: 2013-10-07T13:30:00Z is 1381152600.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.instants import LAST_US, parse_moment, place, read_instant
from streams.times import iso

NEW_YORK = ZoneInfo("America/New_York")
NOW_US = 1_381_152_600_000_000  # 2013-10-07T13:30:00Z


@pytest.mark.parametrize(
    ("text", "instant", "why"),
    [
        ("2013-10-07T13:30:00Z", "2013-10-07T13:30:00Z", "ISO 8601"),
        ("2013-10-07 09:30", "2013-10-07T13:30:00Z", "local"),
        ("2013.10.07 09:30", "2013-10-07T13:30:00Z", "dots"),
        ("2013/10/07", "2013-10-07T04:00:00Z", "slashes, the year first"),
        ("20131007", "2013-10-07T04:00:00Z", "8 digits: a date, from midnight on"),
        ("201310070930", "2013-10-07T13:30:00Z", "12 digits, which as milliseconds would be 1976"),
        ("20131007093000", "2013-10-07T13:30:00Z", "14 digits, which as nothing would be plausible"),
        ("20131007093000250", "2013-10-07T13:30:00.250000Z", "17 digits"),
        ("20131007093000.0", "2013-10-07T13:30:00Z", "a whole number that became a float on its way"),
        ("19700101", "1970-01-01T05:00:00Z", "the first date"),
        ("20991231", "2099-12-31T05:00:00Z", "the last one"),
        ("1381152600", "2013-10-07T13:30:00Z", "seconds"),
        ("1381152600.25", "2013-10-07T13:30:00.250000Z", "seconds with a fraction"),
        ("1.3811526e9", "2013-10-07T13:30:00Z", "seconds as a float is printed"),
        ("1381152600000", "2013-10-07T13:30:00Z", "milliseconds"),
        ("1381152600000000", "2013-10-07T13:30:00Z", "microseconds"),
        ("1381152600123456789", "2013-10-07T13:30:00.123456Z", "nanoseconds, cut off"),
        ("94694400", "1973-01-01T00:00:00Z", "the first count in seconds"),
        ("94694400000", "1973-01-01T00:00:00Z", "the same in milliseconds: the size of a count of seconds that would be 4970"),
        ("4102444800", "2100-01-01T00:00:00Z", "the last one, and a day of grace"),
        ("4102531200", "2100-01-02T00:00:00Z", "at the end of the grace"),
    ],
)
def test_an_instant_may_be_written_in_many_forms(text: str, instant: str, why: str) -> None:
    assert iso(read_instant(text, NEW_YORK)) == instant, why


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("093000", "as seconds since 1970 it is 1970-01-02T01:50:00Z, before 1973. It may be the time of day 09:30:00 without its date"),
        ("93000", "the time of day 09:30:00 without its date"),
        ("0930", "the time of day 09:30:00 without its date"),
        # 41554 is 2013-10-07 in every spreadsheet.
        ("41554.395833333336", "a spreadsheet's day number, 2013-10-07 09:30:00"),
        ("15985", "days since 1970, 2013-10-07"),
        ("23019210", "minutes since 1970, 2013-10-07T13:30:00Z"),
        ("34200000", "milliseconds of a day, 09:30:00"),
        ("735514.395833", "MATLAB's day number, 2013-10-07 09:30:00"),
        ("2456572.5", "a Julian day, 2013-10-07 00:00:00"),
        ("131007", "the date 2013-10-07 with a year of two digits"),
        ("20131007093000000000", "after 2100. It may be a date and time of more than 17 digits: write 2013-10-07T09:30:00.000000"),
        ("20131307", "8 digits are a date such as 20131007, and this one does not exist"),
        ("201309310930", "12 digits are a date such as 201310070930, and this one does not exist"),
        ("94694399", "as seconds since 1970 it is 1972-12-31T23:59:59Z, before 1973"),
        ("4102531201", "as seconds since 1970 it is 2100-01-02T00:00:01Z, after 2100"),
        ("-1381152600", "before 1973"),
        ("0", "1970-01-01T00:00:00Z, before 1973"),
        ("1e99", "after the range of dates"),
        ("10/07/2013 9:30 AM", "is not an instant: write the year first, such as 2013-10-07T13:30:00Z: otherwise day"),
        ("2013-10-07 13:30 PM", "'13:30 PM' is not a time of day: write one such as 09:30"),
        ("10/07/2013 09:30", "is not an instant: write the year first, such as 2013-10-07T13:30:00Z: otherwise day"),
        ("13.10.2013 09:30", "is not an instant: write the year first"),
        ("7-10-13", "is not an instant: write the year first"),
        ("12:30", "is not an instant: write one such as"),
        ("2013.10/07", "is not an instant"),
        ("yesterday", "'yesterday' is not an instant: write one such as 2013-10-07T13:30:00Z, or a count since 1970"),
        ("2013-10-07 09:30:61", "is not an instant: write one such as"),
    ],
)
def test_what_is_not_an_instant_is_refused_with_what_it_may_be(text: str, says: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is what counts
        read_instant(text, NEW_YORK)
    assert says in str(raised.value)


@pytest.mark.parametrize("text", ["20131007", "2013-10-07 09:30", "201310070930"])
def test_a_local_time_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' has no time zone, so it names no instant: write 2013-10-07T0.:.0:00Z or"):
        read_instant(text)
    with pytest.raises(ValueError, match=f"'{text}' has no time zone: write 2013-10-07T0.:.0:00Z, or name its zone with --zone"):
        place(parse_moment(text), None)


@pytest.mark.parametrize(
    ("text", "is_taken", "why"),
    [
        ("1381239000", True, "a day ahead"),
        ("1381239001", False, "a second more"),
        ("2013100709", False, "a date and an hour, as seconds of 2033"),
        ("20131008", True, "tomorrow"),
        ("20131010", False, "in three days"),
        ("2013-10-08T13:30:00Z", True, "text, a day ahead"),
        ("2050-01-01T00:00:00Z", False, "text is held to the same bound"),
        ("2013-10-09T03:30:00", True, "a local time, of the zone that is furthest ahead"),
        ("2013-10-09T03:31:00", False, "a minute more"),
    ],
)
def test_against_the_clock_a_number_may_be_a_day_ahead(text: str, is_taken: bool, why: str) -> None:
    if is_taken:
        parse_moment(text, now_us=NOW_US)
        return
    with pytest.raises(ValueError, match="more than a day ahead of the clock, 2013-10-07T13:30:00Z"):
        parse_moment(text, now_us=NOW_US)


def test_a_date_and_an_hour_are_named_as_such_where_the_clock_tells() -> None:
    with pytest.raises(ValueError, match="the date and hour 2013-10-07 09:00:00: write the minutes too, 201310070900"):
        parse_moment("2013100709", now_us=NOW_US)


@pytest.mark.parametrize(
    ("day", "time", "local", "nanoseconds"),
    [
        ("20131007", "093000.250", datetime(2013, 10, 7, 9, 30, 0, 250_000), 0),  # noqa: DTZ001
        ("2013-10-07", "93000", datetime(2013, 10, 7, 9, 30), 0),  # noqa: DTZ001 - a number loses its first zero
        ("2013.10.07", "09:30", datetime(2013, 10, 7, 9, 30), 0),  # noqa: DTZ001
        ("20131007.0", "0930", datetime(2013, 10, 7, 9, 30), 0),  # noqa: DTZ001
        ("2013-10-07", "9:30", datetime(2013, 10, 7, 9, 30), 0),  # noqa: DTZ001
        ("2013-10-07", "9:30:01 PM", datetime(2013, 10, 7, 21, 30, 1), 0),  # noqa: DTZ001
        ("2013-10-07", "12:00 am", datetime(2013, 10, 7), 0),  # noqa: DTZ001
        ("2013-10-07", "24:00", datetime(2013, 10, 8), 0),  # noqa: DTZ001
        ("2013-10-07", "093000250", datetime(2013, 10, 7, 9, 30, 0, 250_000), 0),  # noqa: DTZ001
        ("2013-10-07T00:00:00", "09:30:00.123456789", datetime(2013, 10, 7, 9, 30, 0, 123_456), 789),  # noqa: DTZ001
        ("20131007", "2013-10-07 09:30", datetime(2013, 10, 7, 9, 30), 0),  # noqa: DTZ001 - it has the date too
    ],
)
def test_a_time_of_day_goes_with_the_date_beside_it(day: str, time: str, local: datetime, nanoseconds: int) -> None:
    moment = parse_moment(time, day=day)
    assert (moment.us, moment.local, moment.nanoseconds) == (None, local, nanoseconds)


def test_a_time_with_an_offset_or_a_count_beside_a_date_is_an_instant() -> None:
    for time in ("13:30:00Z", "09:30-04:00", "1381152600", "2013-10-07T13:30:00Z"):
        assert parse_moment(time, day="2013-10-07").us == NOW_US


@pytest.mark.parametrize(
    ("day", "time", "says"),
    [
        ("20131007", "930", "'930' may be hours and minutes, or minutes and seconds: write it as 0930, 093000 or 09:30"),
        ("20131007", "2500", "'2500' is not a time of day"),
        ("20131007", "09:60", "'09:60' is not a time of day"),
        ("20131007", "13:00 PM", "is not a time of day"),
        ("20131007", "soon", "'soon' is neither a time of day nor an instant"),
        ("10/07/2013", "09:30", "the date '10/07/2013' is none: write one such as 2013-10-07 or 20131007"),
        ("20131307", "09:30", "the date '20131307' is none"),
        ("2013-10-07 09:30", "09:30", "the date '2013-10-07 09:30' is none"),
        ("20131008", "2013-10-07 09:30", "has a date of its own, and the date beside it is 20131008"),
    ],
)
def test_a_date_and_a_time_that_make_nothing_are_refused(day: str, time: str, says: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is what counts
        parse_moment(time, day=day)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("zone", "text", "instants", "why"),
    [
        ("America/New_York", "2024-11-03 01:30", ["2024-11-03T05:30:00Z", "2024-11-03T06:30:00Z"], "the hour that comes twice"),
        ("America/New_York", "2024-11-03 02:00", ["2024-11-03T07:00:00Z"], "behind it"),
        ("Australia/Lord_Howe", "2024-04-07 01:45", ["2024-04-06T14:45:00Z", "2024-04-06T15:15:00Z"], "half an hour"),
        ("Australia/Lord_Howe", "2024-04-07 01:15", ["2024-04-06T14:15:00Z"], "before that half hour"),
        ("Atlantic/Azores", "2024-10-27", ["2024-10-27T00:00:00Z"], "a date whose midnight comes twice begins with the first"),
        ("America/Sao_Paulo", "2018-11-04", ["2018-11-04T03:00:00Z"], "a date whose midnight is skipped begins at 01:00"),
    ],
)
def test_a_local_time_is_one_instant_or_two(zone: str, text: str, instants: list[str], why: str) -> None:
    assert [iso(instant) for instant in place(parse_moment(text), ZoneInfo(zone))] == instants, why


@pytest.mark.parametrize(
    ("zone", "text"),
    [("America/New_York", "2024-03-10 02:30"), ("Australia/Lord_Howe", "2024-10-06 02:15"), ("Pacific/Apia", "2011-12-30")],
)
def test_a_time_that_the_clocks_skip_is_refused(zone: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' does not exist in {zone}: its clocks skip that time"):
        place(parse_moment(text), ZoneInfo(zone))


def test_one_instant_alone_can_not_be_of_the_hour_that_comes_twice() -> None:
    right = "write 2024-11-03T01:30:00-04:00 or 2024-11-03T01:30:00-05:00"
    with pytest.raises(ValueError, match=f"'2024-11-03 01:30' is two instants in America/New_York.*{right}"):
        read_instant("2024-11-03 01:30", NEW_YORK)


@given(st.datetimes(datetime(1973, 1, 1), datetime(2099, 12, 31)), st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]))  # noqa: DTZ001
def test_a_count_of_any_unit_is_the_instant_that_it_counts(local: datetime, units_a_second: int) -> None:
    seconds = int((local.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    text = str(seconds * units_a_second)
    if len(text) == 12 and text[:2] in ("19", "20"):
        return  # 1976 in milliseconds: such a number is a date, or none
    assert read_instant(text) == seconds * 1_000_000


@given(st.integers(0, 10**21))
def test_a_number_is_refused_or_lies_in_the_plausible_range(number: int) -> None:
    try:
        found = read_instant(str(number), UTC)
    except ValueError:
        return
    assert 0 <= found <= LAST_US + 86_400_000_000


@pytest.mark.parametrize(
    ("text", "hour", "minute"),
    [("2013-10-07 9:30 AM", 9, 30), ("2013-10-07 09:30pm", 21, 30), ("2013.10.07 12:00 AM", 0, 0), ("20131007 12:15 PM", 12, 15)],
)
def test_a_date_and_a_time_of_the_twelve_hour_clock_may_stand_in_one_column(text: str, hour: int, minute: int) -> None:
    assert parse_moment(text).local == datetime(2013, 10, 7, hour, minute)  # noqa: DTZ001 - a local time
