"""The hour that clocks show twice: the order of a symbol's lines tells the two passes apart, or the lines are refused.

The expected values are of `zdump -v America/New_York`: on 2024-11-03 at 06:00Z, 02:00 becomes 01:00. The property compares with
an enumeration of all ways in which the lines can be in order.
"""

from __future__ import annotations

from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import BarFileError
from streams.history.formats.checks import FileCheck
from streams.history.formats.extras import read_extras
from streams.history.formats.fields import Form, Repeated
from streams.history.formats.repeated import RepeatedHours
from streams.history.formats.text import read_csv, read_jsonl
from streams.instants import read_instant
from streams.model.records import Bar, Tick
from streams.times import HOUR_US, MINUTE_US, iso

NEW_YORK = ZoneInfo("America/New_York")
HEADER = "time,symbol,open,high,low,close,volume\n"
FORM = Form("BTC", "30m", NEW_YORK)
ASKED = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
ANSWER = ["04:30", "05:00", "05:30", "06:00", "06:30", "07:00"]


def lines(times: list[str], symbol: str = "", *, equal: bool = True) -> list[str]:
    return [f"2024-11-03 {time},{symbol},1,{2 if equal else 2 + place},1,2,5\n" for place, time in enumerate(times)]


def starts(bars: list[Bar]) -> list[str]:
    return [iso(bar.start_us).removeprefix("2024-11-03T").removesuffix(":00Z") for bar in bars]


def read(rows: list[str], form: Form = FORM) -> tuple[list[Bar], list[str]]:
    errors: list[BarFileError] = []
    return list(read_csv([HEADER, *rows], form, name="f", on_error=errors.append, check=FileCheck())), [str(error) for error in errors]


@pytest.mark.parametrize("equal", [True, False])
def test_the_two_passes_are_told_by_the_order_of_the_lines(equal: bool) -> None:
    bars, errors = read(lines(ASKED, equal=equal))
    assert (starts(bars), errors) == (ANSWER, [])


def test_a_file_with_the_newest_first_is_told_as_well() -> None:
    bars, errors = read(lines(ASKED[::-1], equal=False))
    assert (starts(bars), errors) == (ANSWER[::-1], [])


def test_hourly_bars_with_the_newest_first_are_told() -> None:
    bars, errors = read(lines(["03:00", "02:00", "01:00", "01:00", "00:00"], equal=False), Form("BTC", "1h", NEW_YORK))
    assert (starts(bars), errors) == (["08:00", "07:00", "06:00", "05:00", "04:00"], [])


@settings(max_examples=200)
@given(st.lists(st.sampled_from([f"01:{minute}" for minute in range(10, 60, 10)]), min_size=1, max_size=8))
def test_what_pandas_infers_of_a_series_with_lines_around_it_is_what_is_told(inside: list[str]) -> None:
    times = ["00:30", *inside, "02:00"]
    index = pd.DatetimeIndex([f"2024-11-03 {time}" for time in times])
    try:
        expected = [f"{one:%H:%M}" for one in index.tz_localize("America/New_York", ambiguous="infer").tz_convert("UTC")]
    except ValueError:
        return
    bars, errors = read(lines(times), Form("BTC", "10m", NEW_YORK))
    assert (starts(bars), errors) == (expected, [])


def test_json_lines_are_told_as_a_csv_is() -> None:
    rows = [f'{{"time": "2024-11-03 {time}", "open": 1, "high": 2, "low": 1, "close": 2, "volume": 5}}\n' for time in ASKED]
    assert starts(list(read_jsonl(rows, FORM))) == ANSWER


def test_symbols_are_told_each_by_its_own_order() -> None:
    rows = [row for pair in zip(lines(ASKED, "A"), lines(ASKED, "B"), strict=True) for row in pair]
    bars, errors = read(rows)
    assert errors == []
    for symbol in "AB":
        assert starts([bar for bar in bars if bar.symbol == symbol]) == ANSWER
    # One after the other, which for the second symbol begins an hour earlier again.
    bars, errors = read([*lines(ASKED, "A"), *lines(ASKED, "B")])
    assert (starts(bars), errors) == (ANSWER * 2, [])


def test_lines_keep_their_order_across_symbols_where_a_pace_needs_it() -> None:
    rows = [row for pair in zip(lines(ASKED, "A"), lines(ASKED, "B"), strict=True) for row in pair]
    form = Form(None, "30m", NEW_YORK, in_order=True)
    bars, errors = read(rows, form)
    assert errors == []
    assert [(bar.symbol, *starts([bar])) for bar in bars] == [(symbol, time) for time in ANSWER for symbol in "AB"]


@pytest.mark.parametrize(
    ("times", "kept", "refused", "why"),
    [
        (["00:30", "01:30", "02:00"], ["04:30", "07:00"], [3], "one 01:30 alone may be either"),
        (["00:30", "01:00", "01:30", "02:00"], ["04:30", "07:00"], [3, 4], "one pass, and nothing says which"),
        (["00:30", "01:30", "01:00", "02:00"], ["04:30", "05:30", "06:00", "07:00"], [], "one of each pass, with holes around"),
        (["00:30", "01:00", "01:00", "02:00"], ["04:30", "05:00", "06:00", "07:00"], [], "the same time of both"),
        (["01:00", "01:30", "01:00", "01:30"], ["05:00", "05:30", "06:00", "06:30"], [], "nothing around: newest first it fits nothing"),
        (["01:00", "01:30"], [], [2, 3], "nothing around, and either direction fits"),
        (["00:30", "01:00", "01:30"], ["04:30"], [3, 4], "the file ends in the hour"),
        (["01:00", "01:30", "01:00", "02:00"], ["05:00", "05:30", "06:00", "07:00"], [], "the file begins in the hour"),
        (["00:30", "01:00", "01:30", "01:00", "01:30", "01:00", "02:00"], ["04:30", "07:00"], [3, 4, 5, 6, 7],
         "a third pass"),
        (["00:30", "02:00", "00:30", "01:00", "01:30", "01:00", "02:00"], ["04:30", "07:00", "04:30", "07:00"], [5, 6, 7],
         "lines in no order"),
        (["00:30", "00:30", "01:00", "01:00", "01:30", "01:30", "01:00", "01:00", "02:00"],
         ["04:30", "04:30", "05:00", "05:00", "05:30", "05:30", "06:00", "06:00", "07:00"], [],
         "where each line comes twice, the same time again is no second pass"),
    ],
)  # fmt: skip
def test_what_the_order_does_not_tell_is_refused_by_its_line(times: list[str], kept: list[str], refused: list[int], why: str) -> None:
    bars, errors = read(lines(times))
    assert starts(bars) == kept, why
    assert [error.split(":")[1] for error in errors] == [f" line {number}, column 1" for number in refused], why


def test_a_refusal_says_which_two_instants_and_what_to_write_instead() -> None:
    _, errors = read(lines(["00:30", "01:30", "02:00"]))
    (error,) = errors
    assert error == (
        "f: line 3, column 1: '2024-11-03 01:30' is two instants in America/New_York, where the clocks go back, 2024-11-03T05:30:00Z "
        "and 2024-11-03T06:30:00Z, and the order of the lines does not tell which: write 2024-11-03T01:30:00-04:00 or "
        "2024-11-03T01:30:00-05:00"
    )


def test_an_end_tells_the_pass_where_the_order_does_not() -> None:
    header = "start,end,open,high,low,close,volume\n"
    row = "2024-11-03 01:30,2024-11-03 02:00,1,2,1,2,5\n"
    assert starts(list(read_csv([header, row], FORM))) == ["06:30"]
    assert starts(list(read_csv([header, row], Form("BTC", None, NEW_YORK)))) == ["06:30"], "the shorter one, 30m and not 90m"


def test_half_an_hour_that_comes_twice_on_lord_howe_is_told() -> None:
    # At 15:00Z on 2024-04-06, 02:00 becomes 01:30.
    rows = [f"2024-04-07 {time},,1,2,1,2,5\n" for time in ("01:15", "01:30", "01:45", "01:30", "01:45", "02:00")]
    bars, errors = read(rows, Form("BTC", "15m", ZoneInfo("Australia/Lord_Howe")))
    assert errors == []
    assert [iso(bar.start_us)[11:16] for bar in bars] == ["14:15", "14:30", "14:45", "15:00", "15:15", "15:30"]


def test_days_whose_midnight_comes_twice_or_not_at_all_are_read() -> None:
    rows = [f"{day},,1,2,1,2,5\n" for day in ("2024-10-26", "2024-10-27", "2024-10-28")]
    bars, errors = read(rows, Form("X", "1d", ZoneInfo("Atlantic/Azores")))
    assert errors == []
    # Summer time is UTC, winter time an hour behind.
    assert [iso(bar.start_us) for bar in bars] == ["2024-10-26T00:00:00Z", "2024-10-27T00:00:00Z", "2024-10-28T01:00:00Z"]
    rows = [f"2018-11-{day:02d} 00:00:00,,1,2,1,2,5\n" for day in (3, 5)] + ["2018-11-04,,1,2,1,2,5\n"]
    assert read(rows, Form("X", "1d", ZoneInfo("America/Sao_Paulo")))[1] == []


def test_ticks_of_the_hour_are_told_and_a_swap_of_two_is_no_second_pass() -> None:
    times = ["00:59:59.5", "01:10:00.2", "01:10:00.1", "01:59:59.9", "01:00:00.1", "01:30:00", "02:00:00"]
    rows = ["time,price,size\n", *(f"2024-11-03 {time},1,1\n" for time in times)]
    ticks = [tick for tick in read_extras(rows, "ticks", "csv", Form("SPY", zone=NEW_YORK)) if isinstance(tick, Tick)]
    assert [iso(tick.time_us)[11:19] for tick in ticks] == [
        "04:59:59", "05:10:00", "05:10:00", "05:59:59", "06:00:00", "06:30:00", "07:00:00",
    ]  # fmt: skip


def test_from_a_pipe_a_bar_that_is_not_over_in_the_second_pass_is_out_at_once() -> None:
    now = [read_instant("2024-11-03T05:30:01Z")]
    form = Form("BTC", "30m", NEW_YORK, now_us=lambda: now[0])
    out = read_csv(iter([HEADER, *lines(["01:00", "01:30", "01:00"])]), form)
    assert starts([next(out)]) == ["05:00"]
    now[0] += HOUR_US // 2
    assert starts([next(out)]) == ["05:30"]
    now[0] += HOUR_US // 2
    assert starts([next(out)]) == ["06:00"], "by its order"


@settings(max_examples=300)
@given(before=st.booleans(), times=st.lists(st.integers(0, 3), min_size=1, max_size=6), after=st.booleans(), newest_first=st.booleans())
def test_lines_are_told_exactly_where_one_way_alone_is_in_order(before: bool, times: list[int], after: bool, newest_first: bool) -> None:
    # Quarters of an hour that come twice, 0 to 3, between a line before them and one behind.
    series = [*([(-1, None)] if before else []), *((time, time + 4) for time in times), *([(8, None)] if after else [])]
    series = series[::-1] if newest_first else series
    choices = [(first,) if second is None else (first, second) for first, second in series]

    def ways(sign: int, least: int) -> set[tuple[int, ...]]:
        return {way for way in product(*choices) if all(sign * (two - one) >= least for one, two in pairwise(way))}

    directions = [-1 if newest_first else 1] if before or after else [1, -1]
    # In a direction in which no way is in order, a line may stand there twice.
    fitting = [found for sign in directions if (found := ways(sign, 1) or ways(sign, 0))]
    hours = RepeatedHours[int, Bar](lambda bar: bar.symbol, lambda bar: bar.start_us)
    settled = []
    for place, (first, second) in enumerate(series):
        made = _bar(first) if second is None else Repeated(_bar(first), _bar(second), "start", "", "")
        settled += list(hours.take(place, made))
    settled += list(hours.rest())
    assert [place for place, _ in settled] == list(range(len(series)))
    told = {place: record.start_us // MINUTE_US // 15 for place, record in settled if isinstance(record, Bar)}
    if len(fitting) == 1:
        # Told is what all ways agree on, and nothing else.
        agreed = {place: {way[place] for way in fitting[0]} for place in range(len(series))}
        assert told == {place: quarters.pop() for place, quarters in agreed.items() if len(quarters) == 1}
    else:
        assert set(told) == {place for place, one in enumerate(choices) if len(one) == 1}


def _bar(quarter: int) -> Bar:
    start_us = quarter * 15 * MINUTE_US
    return Bar("X", "15m", start_us, start_us + 15 * MINUTE_US, 1.0, 2.0, 1.0, 2.0, 5.0)
