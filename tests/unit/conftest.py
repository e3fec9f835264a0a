"""Trading hours that are worked out once for all unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from streams.calendar.trading import TradingCalendar
from streams.config.session import SessionConfig


@pytest.fixture(autouse=True, scope="session")
def _calendars_made_once() -> Iterator[None]:
    """Configs with the same hours share a calendar: a tenth of a second each, for tests that restore a session hundreds of times."""
    made: dict[str, TradingCalendar] = {}
    make = SessionConfig.calendar

    def calendar(config: SessionConfig, through: date | None = None) -> TradingCalendar:
        hours = f"{config.exchange} {config.hours} {config.hours_overrides} {config.calendar_days} {through}"
        if hours not in made:
            made[hours] = make(config, through)
        return made[hours]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionConfig, "calendar", calendar)
        yield
