"""A symbol's day: metrics, what is no bar of it, and how one trading day gives way to the next."""

from __future__ import annotations

from datetime import date
from math import inf, nan
from typing import Any

import pytest

from streams.model.inputs import InputKind
from streams.model.records import AnalysisKind, Bar, EventKind, Rejection, Undecodable
from streams.model.rows import ProgressRow
from streams.times import MINUTE_US, SECOND_US, date_of_days, parse_instant
from tests.support.engine import Desk, at, bar, clock, config, events, markers, minutes, rejections, shown

MONDAY, TUESDAY = "2013-10-07", "2013-10-08"
TEN = at("10:00")
YEAR_10000_US = 253_402_300_800 * SECOND_US


def desk_of(*symbols: str, begin_us: int = TEN, **parts: Any) -> Desk:
    desk = Desk(config(*symbols, **parts), begin_us)
    desk.load(*symbols)
    return desk


def day_of(desk: Desk, symbol: str) -> date:
    return date_of_days(desk.data(symbol).day.days)


# Metrics


def test_volume_high_low_and_the_latest_bar_follow_the_bars() -> None:
    desk = desk_of("SPY")
    spy = desk.data("SPY")
    assert (spy.session_volume, spy.session_high, spy.session_low, spy.latest_bar, spy.last_update_us) == (0.0, None, None, None, -1)
    assert not spy.bars_updated
    desk.flow(
        bar("SPY", TEN, price=100, volume=10), bar("SPY", at("10:01"), price=103, volume=2.5), bar("SPY", at("10:02"), price=99, volume=0)
    )
    assert (spy.session_volume, spy.session_high, spy.session_low) == (12.5, 103.25, 98.75)
    assert spy.latest_bar is not None
    assert (spy.latest_bar.start_us, spy.last_update_us, spy.bars_updated) == (at("10:02"), at("10:03"), True)


def test_a_correction_takes_its_old_volume_and_extremes_back() -> None:
    desk = desk_of("SPY", catchup_threshold_seconds=600)
    desk.flow(
        bar("SPY", TEN, price=100, volume=10),
        bar("SPY", at("10:01"), price=300, volume=1000),
        bar("SPY", at("10:02"), price=101, volume=20),
    )
    desk.feed(bar("SPY", at("10:01"), price=100.5, volume=15), now_us=at("10:03:30"))
    row = desk.table["progress|SPY"]
    assert isinstance(row, ProgressRow)
    assert (row.session_volume, row.session_high, row.session_low) == (45.0, 101.25, 99.75)
    assert desk.data("SPY").frontier_us == at("10:03"), "a correction does not move the frontier"


def test_what_is_dropped_updates_nothing() -> None:
    desk = desk_of("SPY")
    desk.flow(bar("SPY", TEN))
    desk.feed(bar("SPY", TEN), bar("SPY", TEN, "5m"), bar("SPY", at("09:00")), bar("SPY", TEN, low=-1.0), now_us=at("10:02"))
    spy = desk.data("SPY")
    assert (spy.session_volume, spy.last_update_us, len(spy.bars)) == (10.0, at("10:01"), 1)
    counts = spy.counts
    assert (counts.duplicates, counts.other_interval, counts.out_of_hours, counts.rejected, counts.accepted) == (1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("start_us", "why"),
    [
        (at("09:29"), "a minute before the open"),
        (at("16:00"), "the minute of the close"),
        (at("03:00"), "the night"),
        (at("12:00", "2013-10-05"), "a Saturday"),
        (at("12:00", "2013-09-02"), "Labor Day"),
        (parse_instant("1980-01-02T15:00:00Z"), "before the calendar begins"),
    ],
)
def test_bars_outside_the_hours_are_counted_and_dropped(start_us: int, why: str) -> None:
    desk = desk_of("SPY", begin_us=at("17:00"))
    assert shown(desk.feed(bar("SPY", start_us))) == []
    assert (desk.data("SPY").counts.out_of_hours, len(desk.bars("SPY"))) == (1, 0), why
    assert desk.active, "it is not measured either"


# What is no bar


def messages(desk: Desk, *bars: Bar | Undecodable) -> list[tuple[Rejection, str]]:
    desk.produce(*bars, topic="SPY")
    return [(one.code, one.message) for one in rejections(desk.read(now_us=at("10:01")))]


@pytest.mark.parametrize(
    ("fields", "code", "words", "why"),
    [
        ({"low": 101.0, "high": 100.0, "open": 100.5, "close": 100.5}, "bad_prices", "low 101.0 is above high 100.0", "low > high"),
        ({"open": 102.0}, "bad_prices", "open 102.0 lies outside low 99.75 and high 100.25", "open above high"),
        ({"close": 99.0}, "bad_prices", "close 99.0 lies outside low 99.75 and high 100.25", "close below low"),
        ({"open": nan}, "bad_prices", "open must be a number above 0 and up to 1e+100, got nan", "not a number"),
        ({"high": nan}, "bad_prices", "high must be a number above 0 and up to 1e+100", "not a number in an extreme"),
        ({"low": nan}, "bad_prices", "low must be a number above 0 and up to 1e+100", "not a number in an extreme"),
        ({"high": inf}, "bad_prices", "high must be a number above 0 and up to 1e+100, got inf", "infinite"),
        ({"low": -0.5}, "bad_prices", "low must be a number above 0 and up to 1e+100, got -0.5", "negative price"),
        ({"volume": -1.0}, "bad_prices", "volume must be a number from 0 to 1e+100, got -1.0", "negative volume"),
        ({"volume": nan}, "bad_prices", "volume must be a number from 0 to 1e+100", "no volume"),
        ({"vwap": -1.0}, "bad_prices", "vwap must be a number above 0 and up to 1e+100", "negative average"),
        ({"trades": -3}, "bad_prices", "trades must be a whole number from 0 to 1000000000000, got -3", "negative count"),
        ({"trades": 2**62}, "bad_prices", "trades must be a whole number from 0 to 1000000000000", "two of them are beyond the wire"),
        ({"high": 2e100}, "bad_prices", "high must be a number above 0 and up to 1e+100, got 2e+100", "its turnover may overflow"),
        (
            {"start_us": YEAR_10000_US - MINUTE_US, "end_us": YEAR_10000_US}, "future",
            "ends at 253402300800000000 us since 1970, which no calendar has", "beyond what can be written as a date",
        ),
        ({"start_us": TEN + SECOND_US, "end_us": TEN + 61 * SECOND_US}, "misaligned", "14:00:01Z is not a multiple of 1m", "off the grid"),
        (
            {"end_us": TEN + 59 * SECOND_US}, "misaligned",
            "a 1m bar that starts at 2013-10-07T14:00:00Z ends at 2013-10-07T14:01:00Z, not at 2013-10-07T14:00:59Z", "they disagree",
        ),
        (
            {"start_us": TEN + MINUTE_US, "end_us": TEN + 2 * MINUTE_US}, "future",
            "the bar ends at 2013-10-07T14:02:00Z, 60.000 s after now (2013-10-07T14:01:00Z); at most 5 s are tolerated", "forming",
        ),
    ],
)  # fmt: skip
def test_an_invalid_bar_is_a_dead_letter_with_the_reason(fields: dict[str, Any], code: str, words: str, why: str) -> None:
    desk = desk_of("SPY")
    values = {"start_us": TEN, "end_us": TEN + MINUTE_US, "open": 100.0, "high": 100.25, "low": 99.75, "close": 100.0, "volume": 10.0}
    ((got, message),) = messages(desk, Bar("SPY", "1m", **{**values, **fields}))
    assert got == Rejection(code), why
    assert words in message, why
    (dead,) = desk.results[-1].dead_letters
    assert (dead.symbol, dead.offset, dead.code, dead.message) == ("SPY", 0, got, message)
    assert (desk.data("SPY").offset, desk.data("SPY").counts.rejected) == (1, 1)


def test_a_future_bar_is_told_what_it_may_be() -> None:
    ((_, message),) = messages(desk_of("SPY"), bar("SPY", at("10:05")))
    for guess in ("a candle that is still forming", "stamped with the close", "a clock that is off"):
        assert guess in message


@pytest.mark.parametrize(
    ("tolerance", "ahead_seconds", "accepted", "why"),
    [(5, 5, True, "just tolerated"), (5, 6, False, "beyond"), (0, 0, True, "ends now"), (0, 1, False, "no tolerance")],
)
def test_the_future_tolerance_is_inclusive(tolerance: float, ahead_seconds: int, accepted: bool, why: str) -> None:
    desk = desk_of("SPY", future_tolerance_seconds=tolerance)
    desk.feed(bar("SPY", TEN), now_us=at("10:01") - ahead_seconds * SECOND_US)
    assert len(desk.bars("SPY")) == (ahead_seconds == 0), "nothing uses a bar before its end"
    desk.advance(at("10:01"))
    assert len(desk.bars("SPY")) == accepted, why


def test_records_that_are_no_bars_of_the_symbol_are_dead_letters_in_their_place() -> None:
    desk = desk_of("SPY")
    told = messages(desk, Undecodable("no magic byte"), bar("IBM", TEN), bar("SPY", TEN))
    assert told == [(Rejection.UNDECODABLE, "no magic byte"), (Rejection.WRONG_SYMBOL, "a bar of IBM on the topic of SPY")]
    assert [one.offset for one in desk.results[-1].dead_letters] == [0, 1]
    assert len(desk.bars("SPY")) == 1
    desk.check_redriven()


def test_a_dead_letter_says_what_the_headers_of_a_record_tell() -> None:
    desk = desk_of("SPY")
    told = messages(desk, Undecodable("no magic byte", "its schema id is in a header"))
    assert told == [(Rejection.UNDECODABLE, "no magic byte; its schema id is in a header")]
    desk.check_redriven()


def test_every_reason_of_a_dead_letter_has_a_test() -> None:
    tested = {"bad_prices", "misaligned", "future", "undecodable", "wrong_symbol", "engine_error"}
    assert tested == set(Rejection)


def test_a_bar_with_equal_open_high_low_and_close_and_no_volume_is_one() -> None:
    desk = desk_of("SPY")
    assert messages(desk, bar("SPY", TEN, high=100.0, low=100.0, volume=0.0)) == []
    assert messages(desk_of("SPY"), bar("SPY", TEN, price=0.01, low=0.01)) == []


# Days


def test_a_day_rolls_on_the_first_bar_of_a_later_day() -> None:
    desk = desk_of("SPY", derived_intervals=["5m"], historical={"trailing_days": 3})
    desk.flow(*minutes("SPY", at("15:50"), 8))
    desk.restart(at("09:31", TUESDAY))
    told = desk.feed(bar("SPY", at("09:30", TUESDAY), price=7, volume=1))
    # The window of 15:55 is closed with what it had, out of sight: the gate is shut until the new bar is measured.
    assert shown(told) == ["held_back SPY 5m 1", "session_rolled", "activated fresh", "bar SPY 1m 09:30"]
    (rolled,) = events(told, EventKind.SYMBOL_ROLLED)
    assert rolled.attributes == {"trading_date": "2013-10-08", "left": "2013-10-07", "bars": "8", "volume": "80"}
    spy = desk.data("SPY")
    assert (day_of(desk, "SPY"), len(spy.bars), spy.session_volume, spy.session_high, len(desk.bars("SPY", "5m"))) == (
        date(2013, 10, 8),
        1,
        1.0,
        7.25,
        0,
    )
    ((_, kept),) = spy.historical.items()
    assert [(one.start_us, one.base_count) for one in kept["5m"]] == [(at("15:50"), 5), (at("15:55"), 3)]
    assert len(kept["1m"]) == 8
    desk.check_redriven()


def test_runs_are_told_before_the_day_rolls() -> None:
    desk = desk_of("SPY", "IBM", derived_intervals=["5m"])
    desk.feed(bar("IBM", at("15:50")), now_us=at("15:55"))
    desk.flow(*minutes("SPY", at("15:55"), 5))
    desk.caught_up("SPY")
    told = desk.feed(bar("SPY", at("09:30", TUESDAY)), now_us=at("09:31", TUESDAY))
    assert shown(told) == ["held_back SPY 1m 5", "held_back SPY 5m 1"], "SPY has rolled, IBM lags on Monday still"
    told = desk.feed(bar("IBM", at("09:31", TUESDAY)), now_us=at("09:32", TUESDAY))
    assert shown(told) == [
        "held_back IBM 1m 1", "held_back IBM 5m 1", "session_rolled", "held_back SPY 1m 1", "activated fresh", "bar IBM 1m 09:31",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("begin", "now", "rolled_to", "why"),
    [
        ("2013-10-07", "2013-10-07T23:59:59", "2013-10-07", "until midnight in New York the day is the one that has closed"),
        ("2013-10-07", "2013-10-08T00:00:00", "2013-10-08", "then it is the next"),
        ("2013-10-04", "2013-10-06T23:59:59", "2013-10-04", "over the weekend Friday stays"),
        ("2013-10-04", "2013-10-07T00:00:00", "2013-10-07", "until Monday"),
        ("2024-08-30", "2024-09-03T00:00:00", "2024-09-03", "Labor Day is no trading day: from Friday to Tuesday"),
        ("2024-08-30", "2024-09-02T12:00:00", "2024-08-30", "on the holiday Friday stays"),
    ],
)
def test_a_symbol_that_is_up_to_date_rolls_by_the_clock(begin: str, now: str, rolled_to: str, why: str) -> None:
    desk = Desk(config("SPY"), at("15:00", begin))
    desk.load("SPY")
    desk.flow(bar("SPY", at("15:00", begin)))
    day, time = now.split("T")
    desk.advance(at(time, day))
    assert day_of(desk, "SPY") == date.fromisoformat(rolled_to), why
    assert len(markers(desk.outcomes, AnalysisKind.SESSION_ROLLED)) == (begin != rolled_to)


def test_a_first_bar_after_a_holiday_weekend_rolls_over_all_of_it() -> None:
    desk = Desk(config("SPY", historical={"trailing_days": 2}), at("15:00", "2024-08-30"))
    desk.load("SPY")
    desk.flow(bar("SPY", at("15:59", "2024-08-30")))
    desk.restart(at("09:31", "2024-09-03"))
    desk.feed(bar("SPY", at("09:30", "2024-09-03")))
    assert (day_of(desk, "SPY"), len(desk.data("SPY").historical)) == (date(2024, 9, 3), 1)


@pytest.mark.parametrize("keeps", ["behind", "backlog"])
def test_a_symbol_that_has_not_come_so_far_is_not_rolled_by_the_clock(keeps: str) -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", at("15:50")), now_us=at("15:51") if keeps == "backlog" else at("15:55"))
    if keeps == "backlog":
        desk.restart(at("15:51:30"))
    desk.advance(at("08:00", TUESDAY))
    assert day_of(desk, "SPY") == date(2013, 10, 7)
    desk.caught_up("SPY")
    desk.advance(at("08:00:01", TUESDAY))
    assert day_of(desk, "SPY") == date(2013, 10, 8)


def test_the_session_has_rolled_when_its_last_symbol_has() -> None:
    desk = desk_of("SPY", "IBM", "BAD")
    for symbol in ("SPY", "IBM", "BAD"):
        desk.flow(bar(symbol, at("15:59")))
    desk.apply(desk.about(InputKind.LOAD_FAILED, "BAD", reason="a test"))
    desk.apply(*[desk.about(InputKind.SOURCE_LOST, "IBM", topic_id="IBM-2", first_offset=1, reason="a test")])
    told = desk.advance(at("00:00", TUESDAY))
    assert [one.symbol for one in events(told, EventKind.SYMBOL_ROLLED)] == ["SPY"], "IBM has a backlog, BAD has failed"
    assert markers(told, AnalysisKind.SESSION_ROLLED) == []
    desk.caught_up("IBM")
    told = desk.advance(at("00:00:01", TUESDAY))
    (rolled,) = markers(told, AnalysisKind.SESSION_ROLLED)
    assert rolled.trading_days is not None
    assert date_of_days(rolled.trading_days) == date(2013, 10, 8)


def test_a_symbol_that_goes_does_not_keep_the_session_on_its_day() -> None:
    desk = desk_of("SPY", "IBM")
    desk.flow(bar("SPY", at("15:58")), bar("IBM", at("15:59")))
    desk.apply(desk.about(InputKind.SOURCE_LOST, "IBM", topic_id="IBM-2", first_offset=1, reason="a test"))
    desk.advance(at("00:00", TUESDAY))
    assert shown(desk.command("remove_symbol", "IBM", immediate=True)) == ["symbol_removed IBM", "session_rolled"]


def test_where_days_follow_on_one_another_the_last_bar_of_a_day_is_still_taken() -> None:
    midnight = parse_instant("2013-10-08T00:00:00Z")
    desk = Desk(config("BTC", exchange="24/7", derived_intervals=["5m"]), midnight - 5 * MINUTE_US)
    desk.load("BTC")
    desk.flow(*minutes("BTC", midnight - 5 * MINUTE_US, 4))
    desk.advance(midnight + SECOND_US)
    told = desk.feed(bar("BTC", midnight - MINUTE_US), now_us=midnight + 2 * SECOND_US)
    assert [word[:10] for word in shown(told)] == ["bar BTC 1m", "bar BTC 5m"]
    assert day_of(desk, "BTC") == date(2013, 10, 7)
    desk.advance(midnight + 59 * SECOND_US)
    assert day_of(desk, "BTC") == date(2013, 10, 7)
    desk.advance(midnight + 60 * SECOND_US)
    assert day_of(desk, "BTC") == date(2013, 10, 8), "whatever of Monday comes from here on would be stale"


@pytest.mark.parametrize(
    ("trailing_days", "price", "told", "late", "other_day", "why"),
    [
        (1, 50.0, ["held_back SPY 1m 1", "held_back SPY 5m 1", "revised SPY 1m 1", "revised SPY 5m 1"], 1, 0, "that day is kept"),
        (0, 50.0, [], 0, 1, "no day is kept"),
    ],
)  # fmt: skip
def test_a_bar_of_a_day_that_has_rolled_goes_to_its_historical_bars(
    trailing_days: int, price: float, told: list[str], late: int, other_day: int, why: str
) -> None:
    desk = desk_of("SPY", derived_intervals=["5m"], historical={"trailing_days": trailing_days})
    desk.flow(*minutes("SPY", at("15:50"), 3), *minutes("SPY", at("15:54"), 6))
    desk.advance(at("08:00", TUESDAY))
    assert shown(desk.feed(bar("SPY", at("15:53"), price=price), now_us=at("09:00", TUESDAY))) == told, why
    counts = desk.data("SPY").counts
    assert (counts.late, counts.other_day) == (late, other_day), why
    if trailing_days:
        ((_, kept),) = desk.data("SPY").historical.items()
        assert [clock(one.start_us) for one in kept["1m"]] == [f"15:{minute}" for minute in range(50, 60)]
        assert [(one.low, one.base_count, one.revision) for one in kept["5m"]] == [(49.75, 5, 1), (99.75, 5, 0)]
    assert (desk.data("SPY").session_volume, desk.bars("SPY")) == (0.0, []), "nothing of today has changed"
    desk.check_redriven()


def test_only_the_days_that_the_config_keeps_are_kept_rows_and_all() -> None:
    desk = Desk(config("SPY", derived_intervals=["5m"], historical={"trailing_days": 2}), at("15:00"))
    desk.load("SPY")
    for day in ("2013-10-07", "2013-10-08", "2013-10-09", "2013-10-10"):
        desk.flow(*minutes("SPY", at("15:40", day), 20))
    kept = sorted({int(key.split("|")[2]) for key in desk.table if key.startswith("bars|")})
    assert [date_of_days(days) for days in kept] == [date(2013, 10, 8), date(2013, 10, 9), date(2013, 10, 10)]
