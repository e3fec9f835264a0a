"""Every calendar of the package, its sessions counted against a table that was made with other versions of the libraries.

`calendar_sessions.csv` comes from exchange_calendars 4.13.2 with pandas 2.3.3 alone, without this project: for each calendar
its sessions of 2012 to 2025 (or what it knows of them), those on Saturdays and Sundays, and the minutes of trading without
breaks. pandas 3.1 loses the weekend sessions of XBOM, XKRX, and XMOS, and can't build ASEX, XBEL, XBSE, XCYS, and XTAE.
"""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import exchange_calendars
import pandas
import pytest

from streams.calendar import library as module
from streams.calendar.trading import TradingCalendar
from streams.errors import SessionConfigError
from streams.times import days_of

TABLE = list(csv.DictReader((Path(__file__).parent / "calendar_sessions.csv").open(encoding="utf-8")))
MINUTE_US = 60_000_000


def counted(exchange: str) -> dict[str, str]:
    calendar = TradingCalendar(exchange)
    first, last = days_of(date(2012, 1, 1)), days_of(date(2025, 12, 31))
    days = [day for day in (calendar.day_on(days) for days in range(first, last + 1)) if day is not None]
    return {
        "calendar": exchange,
        "first_session": str(date.fromordinal(date(1970, 1, 1).toordinal() + days[0].days)),
        "last_session": str(date.fromordinal(date(1970, 1, 1).toordinal() + days[-1].days)),
        "sessions": str(len(days)),
        "on_weekends": str(sum((day.days + 3) % 7 >= 5 for day in days)),  # 1970-01-01 was a Thursday
        "with_break": str(sum(len(day.segments) > 1 for day in days)),
        "minutes": str(sum(closes - opens for day in days for opens, closes in day.segments) // MINUTE_US),
    }


@pytest.mark.parametrize("row", TABLE, ids=[row["calendar"] for row in TABLE])
def test_a_calendar_has_the_sessions_of_the_table(row: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY_FROM", date(2012, 1, 1))  # from 1990 it would take three times as long
    assert counted(row["calendar"]) == {key: value for key, value in row.items() if key != "early_closes"}


def test_the_table_has_every_calendar_of_the_package() -> None:
    assert [row["calendar"] for row in TABLE] == sorted(exchange_calendars.get_calendar_names(include_aliases=False))


@pytest.mark.parametrize(
    ("exchange", "session", "reason"),
    [
        ("XMOS", "2024-12-28", "a working Saturday before the holidays of the new year"),
        ("XBOM", "2025-02-01", "the budget was read on a Saturday"),
        ("XKRX", "1998-12-05", "the last Saturday on which Seoul traded"),
        ("XTAE", "2025-12-28", "Tel Aviv traded from Sunday to Thursday until 2026"),
    ],
)
def test_a_session_at_a_weekend_is_one(exchange: str, session: str, reason: str) -> None:
    assert TradingCalendar(exchange).day_on(days_of(date.fromisoformat(session))) is not None, reason


def test_a_calendar_that_cannot_be_built_is_an_error_of_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    # What exchange_calendars 4.13.2 raises for Athens with pandas 3.1.1.
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("implemented by subclasses")

    monkeypatch.setattr(exchange_calendars, "get_calendar", refuse)
    installed = f"exchange_calendars {exchange_calendars.__version__} and pandas {pandas.__version__}"
    with pytest.raises(SessionConfigError) as raised:
        TradingCalendar("ASEX")
    assert str(raised.value) == (
        f"with {installed}, the calendar ASEX can't be built (NotImplementedError: implemented by subclasses): "
        "use the tested pandas (`pip install 'pandas>=3.0,<3.1'`)"
    )


def test_a_calendar_that_has_lost_its_weekends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # What pandas 3.1 makes of Moscow: the sessions of weekdays alone, and no error.
    real = exchange_calendars.get_calendar("XMOS", start="2012-01-01", end="2012-12-31")
    weekdays = real.sessions[real.sessions.dayofweek < 5]
    lossy = SimpleNamespace(
        special_weekmasks=real.special_weekmasks, weekmask=real.weekmask, sessions=weekdays,
        first_session=weekdays[0], last_session=weekdays[-1],
    )  # fmt: skip
    monkeypatch.setattr(exchange_calendars, "get_calendar", lambda *_, **__: lossy)
    with pytest.raises(SessionConfigError, match="the calendar XMOS lacks its sessions at weekends: use the tested pandas"):
        TradingCalendar("XMOS")
