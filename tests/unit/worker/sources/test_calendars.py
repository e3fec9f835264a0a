"""The worker's trading days: read ahead of the clock, given to the session as an input, and missed before they are gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import pytest

from streams.calendar.trading import TradingCalendar
from streams.config.session import SessionConfig
from streams.errors import CalendarEndedError
from streams.model.rows import ConfigRow
from streams.worker import process
from streams.worker.feed.batches import Tick
from streams.worker.sources.calendars import CalendarKeeper, wanted_through
from tests.support.engine import config, minutes
from tests.unit.worker.test_runner import CODEC, Bench, run

YEAR_END = date(2013, 12, 31)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def new_york(through: date = YEAR_END) -> str:
    return TradingCalendar("XNYS", through=through).to_text()


def stored(bench: Bench) -> TradingCalendar:
    row = CODEC.row_from(bench.table[b"config"])
    assert isinstance(row, ConfigRow)
    return TradingCalendar.from_text(row.calendar)


@pytest.fixture
def library_of_2013(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that knows nothing of the days after 2013."""

    def calendar(self: SessionConfig, through: date | None = None) -> TradingCalendar:
        return TradingCalendar("XNYS", through=min(through or YEAR_END, YEAR_END))

    monkeypatch.setattr(SessionConfig, "calendar", calendar)


@pytest.mark.parametrize(
    ("now", "through", "why"),
    [
        ("2026-11-26T00:00", date(2027, 12, 31), "400 days on it is 31 December 2027"),
        ("2026-11-27T00:00", date(2028, 12, 31), "400 days on it is 1 January 2028"),
        ("2027-01-01T00:00", date(2028, 12, 31), "a year is asked for once"),
    ],
)
def test_days_are_asked_for_to_the_end_of_the_year_that_is_400_days_ahead(now: str, through: date, why: str) -> None:
    assert wanted_through(at(now)) == through, why


def test_a_worker_that_runs_past_what_was_read_at_its_start_goes_on_with_further_days() -> None:
    async def scenario() -> None:
        bench = Bench(read=5, calendar=new_york())
        await bench.runner.activate()
        assert stored(bench).last_date == date(2014, 12, 31), "the session stands in October 2013"
        bench.clock.set_us(at("2014-11-27T12:00"))  # 400 days on it is New Year's Day of 2016
        await bench.runner.process(Tick(0))
        await until(lambda: bench.runner._calendars._has_news)
        await bench.runner.process(Tick(1))
        assert stored(bench).last_date == date(2016, 12, 31)
        bench.clock.set_us(at("2015-01-02T14:31"))
        await bench.runner.process(bench.batch(1, minutes("SPY", at("2015-01-02T14:30"), 1), first=5))
        assert bench.progress().out_of_hours == 0
        assert bench.progress().frontier_us == at("2015-01-02T14:31")
        assert not bench.ends

    run(scenario())


def test_a_session_of_before_days_were_stored_is_given_them_at_the_next_start_and_only_then() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        first = stored(bench)
        assert first.last_date >= date(2014, 12, 31)
        written = len(bench.ledger.written)
        await bench.runner.deactivate()
        await bench.runner.activate()
        again = [record for record in bench.ledger.written[written:] if record.key == b"config"]
        assert not again, "nothing has changed"
        assert not bench.ends

    run(scenario())


@pytest.mark.usefixtures("library_of_2013")
def test_a_session_whose_calendar_ends_while_it_runs_ends_with_a_sentence() -> None:
    async def scenario() -> None:
        bench = Bench(read=5, calendar=new_york())
        await bench.runner.activate()
        bench.clock.set_us(at("2014-01-01T04:59"))
        await bench.runner.process(Tick(0))
        assert not bench.ends, "a minute before midnight in New York"
        bench.clock.set_us(at("2014-01-01T05:00"))
        await bench.runner.process(Tick(1))
        (error,) = bench.ends
        assert isinstance(error, CalendarEndedError)
        assert str(error).startswith("the calendar of XNYS ended on 2013-12-31: install a newer exchange_calendars, or write the ")

    run(scenario())


@pytest.mark.usefixtures("library_of_2013")
def test_a_session_that_knows_more_days_than_the_library_goes_on_with_its_own() -> None:
    async def scenario() -> None:
        bench = Bench(read=5, calendar=new_york(date(2014, 12, 31)))
        bench.clock.set_us(at("2014-06-02T14:00"))
        await bench.runner.activate()
        assert stored(bench).last_date == date(2014, 12, 31)
        await bench.runner.process(Tick(0))
        assert not bench.ends

    run(scenario())


@pytest.mark.usefixtures("library_of_2013")
def test_a_stored_session_whose_calendar_has_ended_does_not_start() -> None:
    async def scenario() -> None:
        bench = Bench(read=5, calendar=new_york())
        bench.clock.set_us(at("2014-01-02T14:00"))
        before = dict(bench.table)
        with pytest.raises(CalendarEndedError, match="the calendar of XNYS ended on 2013-12-31"):
            await bench.runner.activate()
        assert bench.table == before

    run(scenario())


def test_a_stored_session_whose_calendar_has_ended_goes_on_with_a_newer_library() -> None:
    async def scenario() -> None:
        bench = Bench(read=5, calendar=new_york())
        bench.clock.set_us(at("2014-01-02T14:00"))
        await bench.runner.activate()
        assert stored(bench).last_date == date(2015, 12, 31)
        assert not bench.ends

    run(scenario())


@pytest.mark.usefixtures("library_of_2013")
def test_a_new_session_whose_calendar_has_ended_does_not_begin() -> None:
    keeper = CalendarKeeper(SessionConfig.from_dict(config("SPY")))
    assert keeper.opening(at("2013-12-31T12:00")).last_date == YEAR_END
    with pytest.raises(CalendarEndedError, match="the calendar of XNYS ended on 2013-12-31"):
        keeper.opening(at("2014-01-02T14:00"))


def test_the_end_of_a_calendar_has_an_exit_code_that_a_supervisor_does_not_try_again() -> None:
    assert CalendarEndedError.exit_code == 20
    assert CalendarEndedError.exit_code in process._HOPELESS


async def until(condition: object) -> None:
    """Wait for what a thread does."""
    assert callable(condition)
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("waited 10 s in vain for the trading days to be read")
