"""A warm-up from an ungated topic that was turned on for a session which had bars: it gives what the state has."""

from __future__ import annotations

import pytest
from msgspec.structs import astuple

from streams.consumer import BarsTopic, HttpState
from streams.wire.messages import AnalysisEvent
from tests.support.engine import Desk, at, bar, config, minutes
from tests.unit.consumer.test_consumer import StateReads, everything, in_memory, version_of


def content(event: AnalysisEvent) -> tuple[object, ...]:
    """All that a bar says but for `valid_until`, which HTTP does not give."""
    assert event.bar is not None
    return astuple(event.bar)[:-1]


def test_a_topic_that_is_turned_on_gives_all_bars_of_the_day_as_http_does(monkeypatch: pytest.MonkeyPatch) -> None:
    values = config("AA", "BB", derived_intervals=["5m"], session_name="main")
    world = in_memory(monkeypatch, Desk(values, at("09:30")))
    desk = world.desk
    desk.load("AA", "BB")
    desk.feed(*minutes("AA", at("09:30"), 10), bar("AA", at("09:31"), price=101.0), *minutes("BB", at("09:30"), 10), now_us=at("09:40"))
    values["session_data_config"]["bars_topic"] = True
    desk.configure(values, at("09:40:10"))
    desk.flow(*minutes("AA", at("09:40"), 5), *minutes("BB", at("09:44"), 1))
    world.publish()
    by_topic: list[AnalysisEvent] = []
    with world.consume(warm_up=BarsTopic(), history=by_topic.append) as consumer:
        assert list(everything(consumer)) == []
    by_http: list[AnalysisEvent] = []
    with world.consume(warm_up=HttpState(connect=lambda: StateReads(world)), history=by_http.append) as consumer:
        assert list(everything(consumer)) == []
    assert len([event for event in by_topic if event.symbol == "AA"]) == 18, "15 minutes, 3 windows"
    assert [version_of(event) for event in by_topic] == [version_of(event) for event in by_http]
    assert [content(event) for event in by_topic] == [content(event) for event in by_http]
