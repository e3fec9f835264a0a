"""Which settings of bar topics are warned of, and what would be right."""

from __future__ import annotations

import pytest

from streams.worker.sources.settings import Needs, needs_of, warning, with_warning
from tests.support.engine import Desk, at, config

HOUR_US = 3_600_000_000
SAFE = {
    "cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "message.timestamp.type": "CreateTime",
    "max.message.bytes": "1048588",
}  # fmt: skip
DAY = Needs(day_us=int(6.5 * HOUR_US), records=390)
"""A day of one-minute bars in New York: 6.5 hours are 23,400,000 ms, 390 bars of 80 bytes are 31,200."""


@pytest.mark.parametrize(
    ("key", "value", "said", "right", "why"),
    [
        (
            "cleanup.policy",
            "compact",
            "cleanup.policy=compact keeps only the newest record of each key",
            "delete",
            "a bar's key is its symbol",
        ),
        (
            "cleanup.policy",
            "compact,delete",
            "cleanup.policy=compact,delete keeps only",
            "delete",
            "beside deletion it loses as much",
        ),
        ("cleanup.policy", "delete,compact", "cleanup.policy=delete,compact keeps only", "delete", "in any order"),
        (
            "retention.ms",
            "23399999",
            "retention.ms=23399999 is less than a trading day",
            "604800000",
            "a millisecond too short",
        ),
        ("retention.ms", "0", "retention.ms=0 is less", "604800000", "nothing is kept"),
        (
            "retention.bytes",
            "31199",
            "retention.bytes=31199 is less than a trading day of 390 bars",
            "-1",
            "a byte less",
        ),
        ("message.timestamp.type", "LogAppendTime", "message.timestamp.type=LogAppendTime stamps", "CreateTime", "times of arrival"),
        ("max.message.bytes", "999999", "max.message.bytes=999999 is less than a producer sends", "1048588", "a byte less"),
    ],
)
def test_a_setting_that_loses_bars_is_warned_of(key: str, value: str, said: str, right: str, why: str) -> None:
    text = warning("bars.SPY", {**SAFE, key: value}, DAY)
    assert text is not None, why
    assert text.startswith(f"settings of topic bars.SPY: {said}"), why
    assert text.endswith(f"kafka-configs.sh --alter --entity-type topics --entity-name bars.SPY --add-config {key}={right}")


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("cleanup.policy", "delete", "the usual"),
        ("retention.ms", "-1", "for ever"),
        ("retention.ms", "23400000", "just a trading day"),
        ("retention.bytes", "31200", "just enough"),
        ("max.message.bytes", "1000000", "just what a producer sends"),
    ],
)
def test_a_setting_that_keeps_all_bars_of_a_day_is_not(key: str, value: str, why: str) -> None:
    assert warning("bars.SPY", {**SAFE, key: value}, DAY) is None, why


def test_all_that_is_wrong_is_said_in_one_sentence_each_and_one_command() -> None:
    text = warning("bars.SPY", {**SAFE, "cleanup.policy": "compact", "retention.ms": "1000"}, DAY)
    assert text is not None
    assert text.count("; ") == 1
    assert text.endswith("--add-config cleanup.policy=delete,retention.ms=604800000")


def test_what_the_broker_does_not_say_is_not_warned_of() -> None:
    assert warning("bars.SPY", {}, DAY) is None


def test_a_topic_of_quotes_is_measured_by_time_alone() -> None:
    desk = Desk(config("SPY", streams=["1m", "quotes"]), at("09:30"))
    data = desk.data("SPY")
    assert needs_of(data, None) == DAY
    assert needs_of(data, "quotes") == Needs(day_us=DAY.day_us)
    assert warning("quotes.SPY", {**SAFE, "retention.bytes": "1"}, needs_of(data, "quotes")) is None


def test_a_note_has_the_warning_that_holds_now() -> None:
    text = "settings of topic bars.SPY: cleanup.policy=compact keeps only the newest record"
    assert with_warning(None, text) == text
    assert with_warning("reading begins at offset 7", text) == f"reading begins at offset 7; {text}"
    assert with_warning(f"reading begins at offset 7; {text}", None) == "reading begins at offset 7"
    assert with_warning(f"reading begins at offset 7; {text}", text) == f"reading begins at offset 7; {text}"
    assert with_warning(text, None) is None
