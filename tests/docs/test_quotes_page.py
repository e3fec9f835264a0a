"""What the page on quotes and ticks shows is taken as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from streams.config.session import SessionConfig
from streams.model.records import Quote, Tick
from streams.wire.codec import Codec

PAGE = (Path(__file__).parents[2] / "docs" / "quotes.md").read_text(encoding="utf-8")
# 2013-10-07 13:30:00.25 UTC, by `date -u -d ... +%s`.
TIME_US = 1_381_152_600_250_000


def test_the_records_of_the_page_are_a_quote_and_a_tick() -> None:
    quote, tick = re.findall(r"```json\n(.*?)\n```", PAGE, re.S)
    assert Codec().quote_from(quote.encode()) == Quote("SPY", TIME_US, 167.41, 167.42, 300.0, 1200.0)
    assert Codec().tick_from(tick.encode()) == Tick("SPY", TIME_US, 167.42, 100.0)


def test_the_config_of_the_page_streams_both() -> None:
    found = re.search(r'("session_data_config": \{.*\})', PAGE)
    assert found is not None
    assert SessionConfig.from_json(f"{{{found[1]}}}").extra_streams == ("quotes", "ticks")
