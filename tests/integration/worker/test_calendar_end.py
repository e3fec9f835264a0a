"""A session on an exchange whose calendar ends on 2026-12-31, with the worker's clock at 2027-01-04.

That is where XSHG ends in exchange_calendars 4.13.2, the pinned version; what a later version knows is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime

from streams.config.session import SessionConfig
from streams.errors import CalendarEndedError
from streams.model.records import Bar
from streams.times import MINUTE_US
from tests.support import unique_symbol
from tests.support.kafka.topics import create_topics
from tests.support.sessions.desk import LiveDesk
from tests.support.workers.processes import Workers

LATER_MS = str(400 * 86_400_000)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1_000_000


def shanghai(name: str, symbol: str, **keys: object) -> SessionConfig:
    return SessionConfig.from_dict(
        {
            "session_name": name,
            "exchange": "XSHG",
            **keys,
            "session_data_config": {"symbols": [symbol], "streaming": {"catchup_threshold_seconds": 3600}},
        }
    )


def topics_of_later(desk: LiveDesk, symbol: str) -> None:
    """Topics that take records with the worker's times: a broker refuses such as are more than an hour ahead of its own clock."""
    names = desk.names
    outputs = [names.replies, names.analysis, names.events, names.dlq, names.journal]
    create_topics(desk.servers, *outputs, names.bars(symbol), settings={"message.timestamp.after.max.ms": LATER_MS})
    unlimited = {"message.timestamp.after.max.ms": LATER_MS, "retention.ms": "-1", "retention.bytes": "-1"}
    create_topics(desk.servers, names.control, settings=unlimited)
    create_topics(
        desk.servers, f"{names.session}-state-changelog",
        settings={"message.timestamp.after.max.ms": LATER_MS, "cleanup.policy": "compact"},
    )  # fmt: skip


def test_a_session_whose_calendar_has_ended_says_what_to_do_and_goes_on_with_days_of_its_config(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbol = unique_symbol()
    desk = LiveDesk(bootstrap_servers, shanghai(session_name, symbol))
    topics_of_later(desk, symbol)
    worker = workers.start(desk.config, module="tests.support.workers.late")
    assert worker.wait_ended(60) == CalendarEndedError.exit_code == 20
    assert (
        "the calendar of XSHG ended on 2026-12-31: install a newer exchange_calendars, or write the trading days after that date into "
        "calendar_days of the config, then start the worker again"
    ) in worker.said()
    assert "Traceback" not in worker.said()

    # 09:30 in Shanghai is 01:30 UTC; the worker's clock stands at 09:40 and goes on.
    desk = LiveDesk(bootstrap_servers, shanghai(session_name, symbol, calendar_days={"2027-01-04": "regular", "2027-01-05": "closed"}))
    workers.write(desk.config)
    worker.start()
    worker.wait_until("active")
    first = at("2027-01-04T09:30+08:00")
    desk.bars([Bar(symbol, "1m", first + n * MINUTE_US, first + (n + 1) * MINUTE_US, 10.0, 10.5, 9.5, 10.0, 100.0) for n in range(5)])
    published = desk.await_bars(symbol, 5, "1m")
    assert [event.bar.start_us for event in published if event.bar is not None] == [first + n * MINUTE_US for n in range(5)]
    assert {event.trading_days for event in published} == {(at("2027-01-04T00:00+00:00")) // 86_400_000_000}
    (told,) = [event for event in desk.topics.events() if event.kind == "calendar_ending"]
    assert told.attributes["last_date"] == "2027-01-05"
    page = worker.page("/metrics") or ""
    assert f'streams_calendar_days_left{{session="{session_name}"}} 2.0' in page
    assert worker.health()["calendar_last_date"] == "2027-01-05"
    assert worker.stop() == 0
    desk.check_audit()
