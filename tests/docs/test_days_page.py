"""What the page on days shows is what there is: the hours are a config's, and the record is the one that a replay gives."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from streams.calendar.presets import PRESETS
from streams.config.session import SessionConfig
from streams.times import DAY_US, HOUR_US, days_of
from tests.support.engine import bar
from tests.support.sessions.replay import at, run_replay, session_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "days.md").read_text(encoding="utf-8")
HOURS = re.findall(r'^\| `("hours[^`]*)` \|', PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("written", HOURS)
def test_the_hours_of_the_page_are_those_of_a_config(written: str) -> None:
    values = json.loads("{" + written + "}")
    if isinstance(values.get("hours"), str) and values["hours"] in PRESETS:
        values["exchange"] = PRESETS[values["hours"]].exchange
    SessionConfig.from_dict({**values, "session_data_config": {"symbols": ["SPY"]}}).calendar()


def test_there_are_hours_on_the_page() -> None:
    assert len(HOURS) == 5


def test_the_presets_of_the_page_are_those_there_are() -> None:
    listed = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| ([^|]+) \|", PAGE, flags=re.MULTILINE)
    assert listed[1:] == [(name, preset.exchange, preset.what) for name, preset in PRESETS.items()]


def test_the_record_of_the_page_is_what_a_replay_gives() -> None:
    (shown,) = re.findall(r'^(\{"kind": "interval_complete".*\})$', PAGE, flags=re.MULTILINE)
    ten = at("10:00")
    bars = {symbol: [bar(symbol, ten), bar(symbol, ten + 60_000_000)] for symbol in ("AAPL", "SPY")} | {
        "IBM": [bar("IBM", ten + 60_000_000)]
    }
    result = run_replay(session_of("AAPL", "IBM", "SPY", interval_complete=None, grace_seconds=50), bars)
    expected = json.loads(shown)
    lines = [{key: line[key] for key in expected} for line in result.markers("interval_complete")]
    assert expected in lines


def test_the_breaks_that_the_page_says_are_missing_are_missing() -> None:
    table = (DOCS / "exchanges.md").read_text(encoding="utf-8")
    breaks = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| [^|]+ \| ([^|]*) \|", table, flags=re.MULTILINE))
    del breaks["exchange"]  # the header
    (without,) = re.findall(r"^\| ([^|]+) \| the break at noon: only ([^|]+) have theirs", PAGE, flags=re.MULTILINE)
    assert {name for name, shown in breaks.items() if shown.strip()} == set(re.findall(r"`(\w+)`", without[1]))
    assert {breaks[name].strip() for name in re.findall(r"`(\w+)`", without[0])} == {""}


def test_the_override_of_the_page_opens_seoul_an_hour_later() -> None:
    (written,) = re.findall(r"^(\{\"exchange\": \"XKRX\".*\})$", PAGE, flags=re.MULTILINE)
    config = SessionConfig.from_dict({**json.loads(written), "session_data_config": {"symbols": ["005930"]}})
    usual, exam = (config.calendar().day_on(days_of(date(2026, 11, day))) for day in (18, 19))
    assert usual is not None
    assert exam is not None
    shifted = tuple((opens + DAY_US + HOUR_US, closes + DAY_US + HOUR_US) for opens, closes in usual.segments)
    assert exam.segments == shifted
