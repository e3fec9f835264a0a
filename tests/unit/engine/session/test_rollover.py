"""How one trading day gives way to the next, by hand: holidays, early closes, clock changes, midnight, breaks, hours of one's own.

Every instant of the table is UTC and worked out by hand: New York is five hours behind UTC, four in summer (until 3 November
2013, from 9 March 2014), Chicago one more; London is on UTC, an hour ahead in summer (until 27 October 2013, from 30 March
2014); Hong Kong is eight hours ahead, Tokyo nine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from streams.engine.reads import SessionData
from streams.engine.rules import derived_bars
from streams.engine.state.completeness import completeness_of, gaps_of, quality_of
from streams.model.inputs import InputKind
from streams.model.records import AnalysisKind, EventKind
from streams.times import MINUTE_US, SECOND_US, date_of_days, days_of, from_us, parse_instant
from tests.support.engine import Desk, at, bar, config, events, markers, minutes, shown

TWO_WINDOWS = [{"open": "09:30", "close": "11:00"}, {"open": "13:00", "close": "14:00"}]
EVENING = {"open": "18:00", "close": "17:00"}
FUTURES = {"exchange": "CMES", "hours": "us_equity_futures"}
GRAINS = [{"open": "19:00 previous day", "close": "07:45"}, {"open": "08:30", "close": "13:20"}]
WHOLE = {"open": "00:00", "close": "24:00"}


class OneDay(NamedTuple):
    """A trading date and its stretches of trading: opens and closes in UTC, and how many minutes they have."""

    date: str
    stretches: list[tuple[str, str]]
    minutes: list[int]


class Turn(NamedTuple):
    """A day, the one after it, and the instant at which the clock alone brings it on."""

    why: str
    calendar: dict[str, Any]
    left: OneDay
    reached: OneDay
    rolls_at: str


TURNS = [
    Turn(
        "over a holiday, into a day that closes early", {"exchange": "XNYS"},
        OneDay("2013-11-27", [("2013-11-27T14:30", "2013-11-27T21:00")], [390]),
        OneDay("2013-11-29", [("2013-11-29T14:30", "2013-11-29T18:00")], [210]),
        "2013-11-29T05:00:00",
    ),
    Turn(
        "from an early close over the weekend", {"exchange": "XNYS"},
        OneDay("2013-11-29", [("2013-11-29T14:30", "2013-11-29T18:00")], [210]),
        OneDay("2013-12-02", [("2013-12-02T14:30", "2013-12-02T21:00")], [390]),
        "2013-12-02T05:00:00",
    ),
    Turn(
        "New York's clocks go back", {"exchange": "XNYS"},
        OneDay("2013-11-01", [("2013-11-01T13:30", "2013-11-01T20:00")], [390]),
        OneDay("2013-11-04", [("2013-11-04T14:30", "2013-11-04T21:00")], [390]),
        "2013-11-04T05:00:00",
    ),
    Turn(
        "New York's clocks go forward", {"exchange": "XNYS"},
        OneDay("2014-03-07", [("2014-03-07T14:30", "2014-03-07T21:00")], [390]),
        OneDay("2014-03-10", [("2014-03-10T13:30", "2014-03-10T20:00")], [390]),
        "2014-03-10T04:00:00",
    ),
    Turn(
        "London's clocks go back", {"exchange": "XLON"},
        OneDay("2013-10-25", [("2013-10-25T07:00", "2013-10-25T15:30")], [510]),
        OneDay("2013-10-28", [("2013-10-28T08:00", "2013-10-28T16:30")], [510]),
        "2013-10-28T00:00:00",
    ),
    Turn(
        "London's clocks go forward", {"exchange": "XLON"},
        OneDay("2014-03-28", [("2014-03-28T08:00", "2014-03-28T16:30")], [510]),
        OneDay("2014-03-31", [("2014-03-31T07:00", "2014-03-31T15:30")], [510]),
        "2014-03-30T23:00:00",
    ),
    Turn(
        "always open, into another year: the last bars of a day come when the next has begun", {"exchange": "24/7"},
        OneDay("2013-12-31", [("2013-12-31T00:00", "2014-01-01T00:00")], [1440]),
        OneDay("2014-01-01", [("2014-01-01T00:00", "2014-01-02T00:00")], [1440]),
        "2014-01-01T00:01:00",
    ),
    Turn(
        "hours that cross midnight", {"exchange": "XNYS", "hours": EVENING},
        OneDay("2013-10-07", [("2013-10-07T22:00", "2013-10-08T21:00")], [1380]),
        OneDay("2013-10-08", [("2013-10-08T22:00", "2013-10-09T21:00")], [1380]),
        "2013-10-08T21:01:00",
    ),
    Turn(
        "hours that cross midnight, over a weekend on which clocks go forward", {"exchange": "XNYS", "hours": EVENING},
        OneDay("2014-03-07", [("2014-03-07T23:00", "2014-03-08T22:00")], [1380]),
        OneDay("2014-03-10", [("2014-03-10T22:00", "2014-03-11T21:00")], [1380]),
        "2014-03-10T04:00:00",
    ),
    Turn(
        "a day that opens on the evening before, Sunday's, when clocks have gone forward", {"exchange": "CMES"},
        OneDay("2014-03-07", [("2014-03-06T23:00", "2014-03-07T23:00")], [1440]),
        OneDay("2014-03-10", [("2014-03-09T22:00", "2014-03-10T22:00")], [1440]),
        "2014-03-09T22:00:00",
    ),
    Turn(
        "index futures, over their daily pause", FUTURES,
        OneDay("2026-11-24", [("2026-11-23T23:00", "2026-11-24T22:00")], [1380]),
        OneDay("2026-11-25", [("2026-11-24T23:00", "2026-11-25T22:00")], [1380]),
        "2026-11-24T23:00:00",
    ),
    Turn(
        "index futures, to Sunday evening, when clocks have gone forward", FUTURES,
        OneDay("2026-03-06", [("2026-03-05T23:00", "2026-03-06T22:00")], [1380]),
        OneDay("2026-03-09", [("2026-03-08T22:00", "2026-03-09T21:00")], [1380]),
        "2026-03-08T22:00:00",
    ),
    Turn(
        "index futures, from the halt on Thanksgiving to the early close on the day after", FUTURES,
        OneDay("2026-11-26", [("2026-11-25T23:00", "2026-11-26T18:00")], [1140]),
        OneDay("2026-11-27", [("2026-11-26T23:00", "2026-11-27T18:15")], [1155]),
        "2026-11-26T23:00:00",
    ),
    Turn(
        "windows of one's own from the evening before, with a pause in the morning", {"exchange": "CMES", "hours": GRAINS},
        OneDay("2013-10-11", [("2013-10-11T00:00", "2013-10-11T12:45"), ("2013-10-11T13:30", "2013-10-11T18:20")], [765, 290]),
        OneDay("2013-10-14", [("2013-10-14T00:00", "2013-10-14T12:45"), ("2013-10-14T13:30", "2013-10-14T18:20")], [765, 290]),
        "2013-10-14T00:00:00",
    ),
    Turn(
        "a break at noon, over a holiday on Monday", {"exchange": "XHKG"},
        OneDay("2013-10-11", [("2013-10-11T01:30", "2013-10-11T04:00"), ("2013-10-11T05:00", "2013-10-11T08:00")], [150, 180]),
        OneDay("2013-10-15", [("2013-10-15T01:30", "2013-10-15T04:00"), ("2013-10-15T05:00", "2013-10-15T08:00")], [150, 180]),
        "2013-10-14T16:00:00",
    ),
    Turn(
        "a morning without an afternoon", {"exchange": "XHKG"},
        OneDay("2013-12-24", [("2013-12-24T01:30", "2013-12-24T04:00")], [150]),
        OneDay("2013-12-27", [("2013-12-27T01:30", "2013-12-27T04:00"), ("2013-12-27T05:00", "2013-12-27T08:00")], [150, 180]),
        "2013-12-26T16:00:00",
    ),
    Turn(
        "a break, and an open at midnight UTC", {"exchange": "XTKS"},
        OneDay("2013-10-11", [("2013-10-11T00:00", "2013-10-11T02:30"), ("2013-10-11T03:30", "2013-10-11T06:00")], [150, 150]),
        OneDay("2013-10-15", [("2013-10-15T00:00", "2013-10-15T02:30"), ("2013-10-15T03:30", "2013-10-15T06:00")], [150, 150]),
        "2013-10-14T15:00:00",
    ),
    Turn(
        "windows of one's own, a date that is closed, and one with a window of its own",
        {
            "exchange": "XNYS", "hours": TWO_WINDOWS,
            "hours_overrides": {"2013-10-08": "closed", "2013-10-09": {"open": "12:00", "close": "12:45"}},
        },
        OneDay("2013-10-07", [("2013-10-07T13:30", "2013-10-07T15:00"), ("2013-10-07T17:00", "2013-10-07T18:00")], [90, 60]),
        OneDay("2013-10-09", [("2013-10-09T16:00", "2013-10-09T16:45")], [45]),
        "2013-10-09T04:00:00",
    ),
    Turn(
        "hours of one's own that an early close cuts", {"exchange": "XNYS", "hours": {"open": "09:00", "close": "17:00"}},
        OneDay("2013-11-29", [("2013-11-29T14:00", "2013-11-29T18:00")], [240]),
        OneDay("2013-12-02", [("2013-12-02T14:00", "2013-12-02T22:00")], [480]),
        "2013-12-02T05:00:00",
    ),
    Turn(
        "trading on a holiday, by way of an exception",
        {"exchange": "XNYS", "hours_overrides": {"2013-11-28": {"open": "10:00", "close": "12:00"}}},
        OneDay("2013-11-27", [("2013-11-27T14:30", "2013-11-27T21:00")], [390]),
        OneDay("2013-11-28", [("2013-11-28T15:00", "2013-11-28T17:00")], [120]),
        "2013-11-28T05:00:00",
    ),
    Turn(
        "a day of 25 hours", {"exchange": "XNYS", "hours": WHOLE, "hours_overrides": {"2013-11-03": WHOLE}},
        OneDay("2013-11-03", [("2013-11-03T04:00", "2013-11-04T05:00")], [1500]),
        OneDay("2013-11-04", [("2013-11-04T05:00", "2013-11-05T05:00")], [1440]),
        "2013-11-04T05:01:00",
    ),
    Turn(
        "a day of 23 hours", {"exchange": "XNYS", "hours": WHOLE, "hours_overrides": {"2014-03-09": WHOLE}},
        OneDay("2014-03-09", [("2014-03-09T05:00", "2014-03-10T04:00")], [1380]),
        OneDay("2014-03-10", [("2014-03-10T04:00", "2014-03-11T04:00")], [1440]),
        "2014-03-10T04:01:00",
    ),
]  # fmt: skip


def utc(text: str) -> int:
    return parse_instant(f"{text}Z")


def day_of(desk: Desk, symbol: str = "SPY") -> str:
    return str(date_of_days(desk.data(symbol).day.days))


def counted(desk: Desk, now_us: int, interval: str = "1m") -> tuple[int, int]:
    found = completeness_of(desk.data("SPY"), interval, now_us)
    assert found is not None
    return found.present, found.expected


@pytest.mark.parametrize("restores", [False, True])
@pytest.mark.parametrize("turn", TURNS, ids=[turn.why for turn in TURNS])
def test_a_day_gives_way_to_the_next(turn: Turn, restores: bool) -> None:
    opens = [utc(first) for first, _ in turn.left.stretches]
    close_us = utc(turn.left.stretches[-1][1])
    values = config("SPY", derived_intervals=["5m", "1d"], historical={"trailing_days": 1}, **turn.calendar)
    desk = Desk(values, opens[0], restores=restores)
    desk.load("SPY")
    assert day_of(desk) == turn.left.date

    # The first minute of each stretch and the last one of the day come; what lies outside is dropped.
    starts = [*opens, close_us - MINUTE_US]
    desk.flow(*[bar("SPY", start, volume=2.5) for start in starts])
    others = [opens[0] - MINUTE_US, *[utc(end) for _, end in turn.left.stretches[:-1]]]
    desk.feed(*[bar("SPY", start) for start in others])
    desk.advance(close_us + 5 * SECOND_US)
    spy = desk.data("SPY")
    not_of_today = (spy.counts.out_of_hours, spy.counts.late)
    assert sum(not_of_today) == len(others), "before the open and in the break; where there is no pause a bar of the day before is late"
    assert [one.start_us for one in desk.bars("SPY")] == starts

    # Quality and gaps by the calendar.
    total = sum(turn.left.minutes)
    assert counted(desk, close_us) == (len(starts), total)
    *middle, last = turn.left.minutes
    assert [gap.bar_count for gap in gaps_of(spy, "1m", close_us)] == [*(count - 1 for count in middle), last - 2]
    assert quality_of(spy, "1m", close_us) == pytest.approx(100 * len(starts) / total)
    assert counted(desk, close_us, "5m") == (len(starts), total // 5)
    (whole,) = desk.bars("SPY", "1d")
    assert (whole.start_us, whole.end_us, whole.base_count, whole.expected_count) == (opens[0], close_us, len(starts), total)

    # The clock brings the next day on, not a second sooner.
    rolls_us, marked = utc(turn.rolls_at), len(markers(desk.outcomes, AnalysisKind.SESSION_ROLLED))
    desk.advance(rolls_us - SECOND_US)
    assert (day_of(desk), len(markers(desk.outcomes, AnalysisKind.SESSION_ROLLED))) == (turn.left.date, marked)
    told = desk.advance(rolls_us)
    (rolled,) = markers(told, AnalysisKind.SESSION_ROLLED)
    assert (str(date_of_days(rolled.trading_days or 0)), day_of(desk)) == (turn.reached.date, turn.reached.date)
    (event,) = events(told, EventKind.SYMBOL_ROLLED)
    assert (event.attributes["left"], event.attributes["bars"], event.attributes["volume"]) == (
        turn.left.date, str(len(starts)), f"{2.5 * len(starts):g}",
    )  # fmt: skip

    # All begins anew, and the day that is over is history.
    spy = desk.data("SPY")
    assert (desk.bars("SPY"), desk.bars("SPY", "5m"), spy.session_volume, spy.session_high, spy.session_low) == ([], [], 0.0, None, None)
    assert [derived_bars.open_windows(spy, window) for window in spy.windows] == [[], []]
    assert [str(date_of_days(days)) for days in spy.historical] == [turn.left.date]
    assert [one.start_us for one in SessionData(desk.session.state).get_historical_bars("SPY")] == starts

    # The next day is measured by its own hours.
    opens_us, closes_us = utc(turn.reached.stretches[0][0]), utc(turn.reached.stretches[-1][1])
    assert (spy.open_us, spy.close_us) == (opens_us, closes_us)
    assert spy.day.segments == tuple((utc(first), utc(end)) for first, end in turn.reached.stretches)
    assert (quality_of(spy, "1m", opens_us), gaps_of(spy, "1m", opens_us)) == (None, [])
    desk.flow(bar("SPY", opens_us + MINUTE_US, price=7.0, volume=1.0))
    spy = desk.data("SPY")
    assert counted(desk, opens_us + 2 * MINUTE_US) == (1, 2)
    assert counted(desk, closes_us) == (1, sum(turn.reached.minutes))
    assert [window.start_us for window in spy.windows] == [opens_us, opens_us]
    assert (spy.session_volume, spy.session_high) == (1.0, 7.25)
    desk.check_redriven()


@pytest.mark.parametrize("turn", TURNS, ids=[turn.why for turn in TURNS])
def test_the_first_bar_of_a_later_day_brings_it_on_before_the_clock_may(turn: Turn) -> None:
    opens_us, close_us = utc(turn.left.stretches[0][0]), utc(turn.left.stretches[-1][1])
    desk = Desk(config("SPY", derived_intervals=["5m"], historical={"trailing_days": 1}, **turn.calendar), opens_us)
    desk.load("SPY", backlog=6)
    next_us = utc(turn.reached.stretches[0][0])
    # All of it is read at once, the next day: until its backlog is read the clock rolls nothing.
    desk.advance(next_us + 2 * MINUTE_US)
    assert day_of(desk) == turn.left.date
    told = desk.feed(*minutes("SPY", opens_us, 3), bar("SPY", close_us - MINUTE_US), *minutes("SPY", next_us, 2))
    assert day_of(desk) == turn.reached.date
    assert [word for word in shown(told) if word.startswith("session")] == ["session_rolled"]
    ((left, kept),) = desk.data("SPY").historical.items()
    assert (str(date_of_days(left)), len(kept["1m"]), [one.base_count for one in kept["5m"]]) == (turn.left.date, 4, [3, 1])
    assert [one.start_us for one in desk.bars("SPY")] == [next_us, next_us + MINUTE_US]
    desk.caught_up("SPY")
    desk.check_redriven()


# A symbol that is a day behind


def test_a_symbol_that_is_a_day_behind_stands_on_its_own_day() -> None:
    friday, monday = "2013-11-01", "2013-11-04"
    values = config("SPY", "IBM", derived_intervals=["5m", "1d"], historical={"trailing_days": 2})
    desk = Desk(values, at("15:00", friday))
    desk.load("SPY", "IBM")
    for one, other in zip(minutes("IBM", at("15:00", friday), 10), minutes("SPY", at("15:00", friday), 10), strict=True):
        desk.flow(one, other)
    desk.produce(*minutes("IBM", at("15:10", friday), 50), *minutes("IBM", at("09:30", monday), 60))
    desk.apply(desk.about(InputKind.SOURCE_LOST, "IBM", topic_id="IBM-1", first_offset=10, reason="read from there again"))

    told = desk.advance(at("00:00", monday))
    assert [one.symbol for one in events(told, EventKind.SYMBOL_ROLLED)] == ["SPY"]
    assert (day_of(desk, "SPY"), day_of(desk, "IBM"), markers(told, AnalysisKind.SESSION_ROLLED)) == (monday, friday, [])

    # SPY goes on on Monday; IBM's quality is that of its Friday, all of which is over.
    desk.produce(*minutes("SPY", at("09:30", monday), 60))
    desk.read("SPY", now_us=at("10:30", monday))
    ibm = desk.data("IBM")
    found = completeness_of(ibm, "1m", desk.now_us)
    assert found is not None
    assert (found.present, found.expected) == (10, 390)
    assert [(gap.start_us, gap.bar_count) for gap in gaps_of(ibm, "1m", desk.now_us)] == [
        (at("09:30", friday), 330), (at("15:10", friday), 50),
    ]  # fmt: skip

    # Its Friday flows in, out of sight, and closes as Friday did; only its Monday rolls the session.
    told = desk.read("IBM", count=50)
    assert (day_of(desk, "IBM"), desk.active, ibm.lagging) == (friday, False, True)
    assert desk.bars("IBM", "1d") == [], "nobody knows yet that no more bars of Friday come"
    told = desk.read("IBM", count=1)
    assert "session_rolled" in shown(told)
    assert (day_of(desk, "IBM"), day_of(desk, "SPY")) == (monday, monday)
    assert [
        word for word in shown(told) if word.startswith("held_back IBM")
    ] == ["held_back IBM 1m 50", "held_back IBM 5m 10", "held_back IBM 1d 1"]  # fmt: skip
    desk.read("IBM")
    desk.caught_up("IBM")
    assert desk.active
    assert [len(series) for series in (desk.bars("IBM"), desk.bars("SPY"))] == [60, 60]
    for symbol in ("IBM", "SPY"):
        ((left, kept),) = desk.data(symbol).historical.items()
        count = 60 if symbol == "IBM" else 10
        assert (str(date_of_days(left)), len(kept["1m"])) == (friday, count)
        assert [(one.base_count, one.expected_count) for one in kept["1d"]] == [(count, 390)]
    assert quality_of(desk.data("IBM"), "1m", at("10:30", monday)) == 100.0
    desk.check_redriven()


def test_a_bar_for_a_day_that_had_none_begins_its_historical_bars() -> None:
    desk = Desk(config("SPY", derived_intervals=["5m"], historical={"trailing_days": 2}), at("15:00", "2013-11-26"))
    desk.load("SPY")
    desk.flow(bar("SPY", at("15:00", "2013-11-26")))
    desk.advance(at("08:00", "2013-11-29"))
    assert [str(date_of_days(days)) for days in desk.data("SPY").historical] == ["2013-11-26"], "nothing came on the 27th; then a holiday"
    told = desk.feed(*minutes("SPY", at("15:00", "2013-11-27"), 5), now_us=at("08:01", "2013-11-29"))
    assert shown(told) == ["held_back SPY 1m 5", "held_back SPY 5m 5", "revised SPY 1m 5", "revised SPY 5m 5"]
    kept = desk.data("SPY").historical
    assert [str(date_of_days(days)) for days in sorted(kept)] == ["2013-11-26", "2013-11-27"]
    ((five,), counts) = kept[days_of(from_us(at("15:00", "2013-11-27")).date())]["5m"], desk.data("SPY").counts
    assert (five.base_count, five.revision, five.complete, counts.late, counts.other_day) == (5, 4, True, 5, 0)
    desk.feed(bar("SPY", at("15:00", "2013-11-25")))
    assert counts.other_day == 1, "the 25th is a third day back"
    rows = {key for key in desk.table if key.startswith("bars|")}
    desk.restart()
    assert {key for key in desk.table if key.startswith("bars|")} == rows
    assert sorted(desk.data("SPY").historical) == sorted(kept)
    desk.check_redriven()


def test_days_beyond_the_configured_number_go_with_their_rows() -> None:
    desk = Desk(config("SPY", derived_intervals=["5m"], historical={"trailing_days": 2}), at("15:00", "2013-11-26"))
    desk.load("SPY")
    for date in ("2013-11-26", "2013-11-27", "2013-11-29", "2013-12-02"):
        close = "13:00" if date == "2013-11-29" else "16:00"
        desk.flow(*minutes("SPY", at(close, date) - 20 * MINUTE_US, 20))
    kept = sorted({int(key.split("|")[2]) for key in desk.table if key.startswith("bars|")})
    assert [str(date_of_days(days)) for days in kept] == ["2013-11-27", "2013-11-29", "2013-12-02"]
    assert len(markers(desk.outcomes, AnalysisKind.SESSION_ROLLED)) == 3


@pytest.mark.parametrize("restores", [False, True])
def test_bars_count_as_updated_from_the_days_first_one_on(restores: bool) -> None:
    desk = Desk(config("SPY"), at("09:30", "2013-10-07"), restores=restores)
    desk.load("SPY")
    assert not desk.data("SPY").bars_updated
    desk.flow(*minutes("SPY", at("09:30", "2013-10-07"), 2))
    assert desk.data("SPY").bars_updated
    desk.advance(at("00:30", "2013-10-08"))
    assert not desk.data("SPY").bars_updated
    desk.flow(*minutes("SPY", at("09:30", "2013-10-08"), 1))
    assert desk.data("SPY").bars_updated
    desk.check_redriven()
