"""The page on quality says what is so: its event is the engine's, and the kinds that it names are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from streams.config.sections import QualityConfig, StreamingConfig
from streams.model.records import EventKind
from tests.support.engine import Desk, at, config, events, minutes

PAGE = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")


def test_the_event_on_the_page_is_what_the_engine_tells() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown = json.loads(block)
    desk = Desk(config("SPY", quality={"publish_seconds": 60}), at("09:30"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 7))
    desk.feed(*minutes("SPY", at("09:40"), 5), now_us=at("09:45:10"))
    told = [*events(desk.outcomes, EventKind.QUALITY)]
    assert shown == {"kind": told[-1].kind, "symbol": told[-1].symbol, "attributes": told[-1].attributes}


def test_the_page_names_the_defaults_and_the_kinds_that_there_are() -> None:
    assert f"({QualityConfig().publish_seconds:g} by default)" in PAGE
    assert f"({StreamingConfig().silence_threshold_seconds:g} by default)" in PAGE
    for kind in ("gap_asked", "bar_late", "bar_corrected", "symbol_silent", "symbol_rolled"):
        assert kind in {str(one) for one in EventKind}
        assert f"`{kind}`" in PAGE
