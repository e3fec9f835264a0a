"""A session whose calendar ends, and what it does with further days: they are inputs, and what it goes by is in its state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest

from streams.calendar.trading import GivenDay, TradingCalendar
from streams.config.session import SessionConfig
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import AnalysisKind, EventKind, Outcome
from tests.support.engine import Desk, bar, config, events, minutes, quote

YEAR_END = date(2026, 12, 31)
LAST, NEXT = "2026-12-31", "2027-01-04"
"""Trading days of Shanghai, a Thursday and a Monday, if the first weekdays of 2027 are as those of the years before."""


def at(clock: str, day: str) -> int:
    """The instant at which a clock in Shanghai shows `clock`: eight hours ahead of UTC all year."""
    return round(datetime.fromisoformat(f"{day}T{clock}+08:00").astimezone(UTC).timestamp()) * 1_000_000


def shanghai(given: Mapping[date, GivenDay] | None = None) -> str:
    return TradingCalendar("XSHG", given=given, through=YEAR_END).to_text()


def desk_on(now_us: int, *symbols: str, **parts: Any) -> Desk:
    """A session of Shanghai that was given the trading days up to the end of 2026."""
    desk = Desk(config(*(symbols or ("600519",)), exchange="XSHG", **parts), now_us, calendar=shanghai())
    desk.load(*(symbols or ("600519",)))
    return desk


def give(desk: Desk, calendar: str) -> list[Outcome]:
    """One transaction that gives the session trading days."""
    return desk.apply(JournalInput(InputKind.CALENDAR, calendar=calendar))


def published(desk: Desk) -> list[int]:
    return [one.bar.start_us for one in desk.published()]


def test_a_session_that_is_given_further_days_goes_on_with_them() -> None:
    desk = desk_on(at("14:58", LAST))
    desk.flow(*minutes("600519", at("14:58", LAST), 2))
    give(desk, shanghai({date(2027, 1, 4): "regular"}))
    desk.flow(*minutes("600519", at("09:30", NEXT), 2))
    assert published(desk) == [at("14:58", LAST), at("14:59", LAST), at("09:30", NEXT), at("09:31", NEXT)]
    assert [one.trading_days for one in desk.markers(AnalysisKind.SESSION_ROLLED)] == [desk.data("600519").day.days]
    desk.check_redriven()


def test_days_may_come_after_the_calendar_has_ended() -> None:
    desk = desk_on(at("14:58", LAST))
    desk.advance(at("09:00", NEXT))
    give(desk, shanghai({date(2027, 1, 4): "regular"}))
    desk.flow(*minutes("600519", at("09:30", NEXT), 1))
    assert published(desk) == [at("09:30", NEXT)]
    desk.check_redriven()


def test_a_session_with_stored_days_never_asks_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    first, further = shanghai(), shanghai({date(2027, 1, 4): "regular"})

    def asked(self: SessionConfig, through: date | None = None) -> TradingCalendar:
        raise AssertionError("the library may be another version, or none, when this session is restored or verified")

    monkeypatch.setattr(SessionConfig, "calendar", asked)
    desk = Desk(config("600519", exchange="XSHG"), at("14:58", LAST), restores=True, calendar=first)
    desk.load("600519")
    desk.flow(*minutes("600519", at("14:59", LAST), 1))
    give(desk, further)
    desk.flow(*minutes("600519", at("09:30", NEXT), 1))
    assert published(desk) == [at("14:59", LAST), at("09:30", NEXT)]
    assert desk.session.state.calendar.to_text() == further
    desk.check_redriven()


def test_a_restored_session_goes_on_as_the_one_that_its_rows_came_from() -> None:
    outcomes = []
    for restores in (False, True):
        desk = desk_on(at("14:58", LAST))
        desk.restores = restores
        give(desk, shanghai({date(2027, 1, 4): "regular"}))
        desk.flow(*minutes("600519", at("14:59", LAST), 1), *minutes("600519", at("09:30", NEXT), 3))
        outcomes.append(desk.outcomes)
    assert outcomes[0] == outcomes[1]


def test_the_day_that_a_symbol_stands_on_keeps_its_hours() -> None:
    desk = desk_on(at("10:00", LAST))
    give(desk, shanghai({date(2026, 12, 31): ("09:30", "11:00"), date(2027, 1, 4): ("09:30", "10:00")}))
    desk.flow(*minutes("600519", at("11:10", LAST), 1))
    desk.flow(*minutes("600519", at("09:30", NEXT), 1), *minutes("600519", at("10:00", NEXT), 1))
    assert published(desk) == [at("11:10", LAST), at("09:30", NEXT)], "the next day has the hours that were given for it"
    assert desk.data("600519").counts.out_of_hours == 1
    desk.check_redriven()


def test_a_symbol_that_stands_on_a_later_day_than_the_session_keeps_its_hours_too() -> None:
    desk = desk_on(at("14:59", "2026-12-30"), "600519", "601318")
    desk.feed(*minutes("600519", at("09:30", LAST), 1), now_us=at("09:31", LAST))
    give(desk, shanghai({date(2026, 12, 31): "closed"}))
    desk.feed(*minutes("600519", at("09:31", LAST), 1), now_us=at("09:32", LAST))
    assert [one.start_us for one in desk.bars("600519")] == [at("09:30", LAST), at("09:31", LAST)]
    desk.check_redriven()


def test_the_day_that_quotes_stand_on_keeps_its_hours_too() -> None:
    counts = []
    for restores in (False, True):
        desk = desk_on(at("15:00", "2026-12-30"), streams=["1m", "quotes"])
        desk.restores = restores
        desk.feed(quote("600519", at("09:30:01", LAST)), now_us=at("09:30:02", LAST))
        give(desk, shanghai({date(2026, 12, 31): "closed"}))
        desk.feed(quote("600519", at("09:30:03", LAST)), now_us=at("09:30:04", LAST))
        quotes = desk.data("600519").extras["quotes"]
        counts.append((quotes.count, quotes.out_of_hours))
        desk.check_redriven()
    assert counts == [(2, 0), (2, 0)], "a restored session counts as the one that its rows came from"


def test_a_daily_session_is_given_days_of_other_hours() -> None:
    desk = desk_on(at("15:00", LAST), streams=["1h"])
    give(desk, shanghai({date(2027, 1, 4): ("09:00", "11:00")}))
    desk.flow(bar("600519", at("09:00", NEXT), "1h"))
    assert published(desk) == [at("09:00", NEXT)]
    desk.check_redriven()


def test_the_end_is_told_thirty_days_ahead_and_each_day_until_it_is_moved() -> None:
    desk = desk_on(at("09:30", "2026-12-01"))
    for day in ("2026-12-02", "2026-12-03", "2026-12-04"):
        desk.flow(*minutes("600519", at("09:30", day), 1))
    told = events(desk.outcomes, EventKind.CALENDAR_ENDING)
    assert [one.attributes["days_left"] for one in told] == ["30", "29", "28"], "on the first of December 31 days are left"
    assert told[0].attributes["last_date"] == "2026-12-31"
    assert (told[0].reason or "").startswith("the calendar of XSHG ends on 2026-12-31, in 30 days: install a newer exchange_calendars")

    further = TradingCalendar("XSHG", given={date(2027, 6, 30): "regular"}, through=YEAR_END).to_text()
    (changed,) = events(give(desk, further), EventKind.CALENDAR_CHANGED)
    assert changed.attributes == {"last_date": "2027-06-30"}
    desk.flow(*minutes("600519", at("09:30", "2026-12-07"), 1))
    assert len(events(desk.outcomes, EventKind.CALENDAR_ENDING)) == 3


def test_a_session_that_begins_near_the_end_is_told_at_once_and_so_is_one_that_is_given_few_days() -> None:
    desk = desk_on(at("09:30", LAST))
    assert [one.attributes["days_left"] for one in events(desk.outcomes, EventKind.CALENDAR_ENDING)] == ["1"]
    told = events(give(desk, shanghai({date(2027, 1, 4): "regular"})), EventKind.CALENDAR_ENDING)
    assert [one.attributes["days_left"] for one in told] == ["5"]


def test_a_session_without_stored_days_is_told_nothing_of_their_end() -> None:
    desk = Desk(config("600519", exchange="XSHG"), at("09:30", LAST))
    assert not events(desk.outcomes, EventKind.CALENDAR_ENDING)


def test_beyond_the_end_bars_are_counted_and_not_kept() -> None:
    desk = desk_on(at("14:59", LAST))
    desk.flow(*minutes("600519", at("09:30", NEXT), 2))
    assert not published(desk)
    assert desk.data("600519").counts.out_of_hours == 2
    desk.check_redriven()
