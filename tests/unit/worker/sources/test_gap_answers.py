"""What a history source says about a gap: which answers are good ones, and what is said of the others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from streams.engine.state.completeness import GapInfo
from streams.model.records import Bar
from streams.times import DAY_US, MINUTE_US
from streams.worker.sources.gap_answers import (
    LONGEST_REASON,
    MOST_SLOTS,
    NonsenseError,
    Question,
    in_words,
    judged,
    question_of,
)
from tests.support.engine import Desk, at, bar, config, minutes

NOW = at("10:00")


def question(first: str = "09:40", end: str = "09:45", *, now_us: int = NOW, slots: int = 5, **parts: Any) -> Question:
    """SPY's minutes from 09:40 to 09:45, asked for at 10:00."""
    desk = Desk(config("SPY", **parts), at("09:30"))
    desk.load("SPY")
    return question_of(desk.data("SPY"), GapInfo(at(first), at(end), slots), desk.session.state.calendar, now_us)


def complaint(answer: object, **parts: Any) -> str:
    with pytest.raises(NonsenseError) as caught:
        judged(question(**parts), answer)
    return str(caught.value)


GOOD = minutes("SPY", at("09:40"), 5)


def test_good_bars_come_in_order_with_the_provenance_of_filled_gaps() -> None:
    filled = [replace(one, provenance="gap_fill") for one in GOOD]
    assert judged(question(), [GOOD[3], GOOD[0], GOOD[4]]) == [filled[0], filled[3], filled[4]]
    assert judged(question(), (replace(one, provenance="vendor") for one in GOOD)) == filled


def test_nothing_is_an_answer_too() -> None:
    assert judged(question(), []) == []
    assert judged(question(), ()) == []


def test_numbers_of_numpy_become_those_of_python() -> None:
    given = replace(
        GOOD[0], start_us=np.int64(GOOD[0].start_us), open=np.float32(100.0), volume=7, vwap=np.float64(100.0), trades=np.int32(3)
    )
    (found,) = judged(question(), [given])
    assert [type(value) for value in (found.start_us, found.open, found.volume, found.vwap, found.trades)] == [
        int,
        float,
        float,
        float,
        int,
    ]
    assert found == replace(GOOD[0], volume=7.0, vwap=100.0, trades=3, provenance="gap_fill")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "it gave a NoneType instead of bars"),
        (5, "it gave a int instead of bars"),
        ("bars", "it gave a str among the bars"),
        ([None], "it gave a NoneType among the bars"),
        ([{"symbol": "SPY"}], "it gave a dict among the bars"),
        ([replace(GOOD[0], symbol="QQQ")], "it gave a 1m bar of QQQ"),
        ([replace(GOOD[0], interval="5m")], "it gave a 5m bar of SPY"),
        ([GOOD[0], GOOD[0]], "it gave two bars that start at 2013-10-07T13:40:00Z"),
        ([*GOOD, bar("SPY", at("09:45"))], "it gave more than 5 bars where no more fit"),
        ([bar("SPY", at("09:45"))], "it gave a bar that starts at 2013-10-07T13:45:00Z, outside the stretch"),
        ([bar("SPY", at("09:39"))], "it gave a bar that starts at 2013-10-07T13:39:00Z, outside the stretch"),
        ([bar("SPY", at("09:40") - DAY_US)], "it gave a bar that starts at 2013-10-06T13:40:00Z, outside the stretch"),
        ([replace(GOOD[0], start_us=10**30)], f"it gave a bar that starts at {10**30} us since 1970, which no calendar has, outside"),
        ([replace(GOOD[0], start_us=GOOD[0].start_us + 1, end_us=GOOD[0].end_us + 1)], "it gave a bar that can't be one: start"),
        ([replace(GOOD[0], end_us=GOOD[0].end_us + MINUTE_US)], "it gave a bar that can't be one: a 1m bar that starts at"),
        (
            [replace(GOOD[0], close=float("nan"))],
            "it gave a bar that can't be one: close must be a number above 0 and up to 1e+100, got nan",
        ),
        ([replace(GOOD[0], high=float("inf"))], "it gave a bar that can't be one: high must be a number above 0 and up to 1e+100, got inf"),
        ([replace(GOOD[0], volume=-1.0)], "it gave a bar that can't be one: volume must be a number from 0 to 1e+100, got -1.0"),
        ([replace(GOOD[0], low=101.0)], "it gave a bar that can't be one: low 101.0 is above high 100.25"),
        ([replace(GOOD[0], open="90")], "it gave a bar that can't be one: open 90.0 lies outside low 99.75 and high 100.25"),
        ([replace(GOOD[0], open="much")], "it gave a bar of other things than numbers: could not convert"),
        ([replace(GOOD[0], start_us=1.5)], "it gave a bar of other things than numbers: 'float' object"),
        ([replace(GOOD[0], trades="3")], "it gave a bar of other things than numbers: 'str' object"),
    ],
)
def test_nonsense_is_refused_whole_with_what_is_wrong(answer: object, words: str) -> None:
    assert complaint(answer).startswith(words)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    def endless() -> Iterator[Bar]:
        return (bar("SPY", at("09:40") + number * MINUTE_US) for number in count())

    assert complaint(endless()) == "it gave more than 5 bars where no more fit"


def test_a_bar_from_the_future_is_nonsense_though_the_engine_would_tolerate_it() -> None:
    assert "s after now" in complaint([GOOD[4]], now_us=at("09:44:59"))


def test_what_was_traded_in_a_break_fills_nothing() -> None:
    parts: dict[str, Any] = {"hours": [{"open": "09:30", "close": "09:42"}, {"open": "09:44", "close": "16:00"}]}
    assert [one.start_us for one in judged(question(slots=3, **parts), GOOD)] == [at("09:40"), at("09:41"), at("09:44")]


@pytest.mark.parametrize(
    ("start_us", "end_us", "reason"),
    [
        (at("09:30"), at("16:00"), "as the session keeps it"),
        (at("00:00"), at("00:00") + DAY_US, "midnight in New York"),
        (at("00:00") - 4 * 60 * MINUTE_US, at("00:00") - 4 * 60 * MINUTE_US + DAY_US, "midnight in UTC"),
    ],
)
def test_a_day_is_asked_for_from_its_earliest_midnight_and_taken_as_it_lies(start_us: int, end_us: int, reason: str) -> None:
    asked = question("09:30", "16:00", now_us=at("16:01"), slots=1, streams=["1d"])
    assert asked.from_us <= start_us
    (found,) = judged(asked, [replace(bar("SPY", start_us, "1d"), end_us=end_us)])
    assert (found.start_us, found.end_us) == (at("09:30"), at("16:00")), reason


def test_hours_that_the_open_cuts_are_taken_at_their_clock_multiple() -> None:
    asked = question("09:30", "11:00", now_us=at("12:00"), slots=2, streams=["1h"], window_anchor="clock")
    assert asked.from_us == at("09:00")
    found = judged(asked, [bar("SPY", at("09:00"), "1h"), bar("SPY", at("10:00"), "1h")])
    assert [(one.start_us, one.end_us) for one in found] == [(at("09:30"), at("10:00")), (at("10:00"), at("11:00"))]


def test_a_daily_bar_of_another_day_is_nonsense() -> None:
    with pytest.raises(NonsenseError, match="outside the stretch that was asked for"):
        judged(question("09:30", "16:00", now_us=at("16:01"), slots=1, streams=["1d"]), [bar("SPY", at("09:30") - DAY_US, "1d")])


def test_a_long_gap_is_asked_for_in_parts() -> None:
    asked = question("09:30", "16:00", slots=23_400, streams=["1s"])
    assert asked.end_us == at("09:30") + MOST_SLOTS * 1_000_000


def test_reasons_are_short() -> None:
    assert in_words(ValueError("no licence")) == "ValueError: no licence"
    assert in_words(NonsenseError("it gave nothing")) == "it gave nothing"
    assert len(in_words(ValueError("x" * 10_000))) == LONGEST_REASON
