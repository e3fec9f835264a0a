"""docs/own-feed.md: its bar is accepted, each of its rejections is one, and it has every reason that the code has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streams.errors import WireError
from streams.model.records import Dropped, Rejection
from streams.model.validation import fault_of
from streams.times import interval_us, parse_instant
from streams.wire.codec import Codec
from streams.wire.schemas import schema_folder
from streams.wire.topics import TopicNames

PAGE = (Path(__file__).parents[3] / "docs" / "own-feed.md").read_text(encoding="utf-8")
(GOOD,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ROWS = [[cell.strip() for cell in line.split(" | ")] for line in PAGE.splitlines() if line.startswith("| `")]
REJECTIONS = [(row[0].strip("|` "), row[1].strip("`"), row[2]) for row in ROWS if row[0].strip("|` ") in {*Rejection}]
NOW_US = parse_instant("2013-10-07T13:31:00Z")
CODEC = Codec()


def fault(text: str) -> tuple[str, str] | None:
    """What becomes of a bar on the topic of SPY, as it ends."""
    try:
        bar = CODEC.bar_from(text.encode())
    except WireError as error:
        return Rejection.UNDECODABLE, str(error)
    if bar.symbol != "SPY":
        return Rejection.WRONG_SYMBOL, f"a bar of {bar.symbol} on the topic of SPY"
    return fault_of(bar, interval_us(bar.interval), NOW_US, 5_000_000)


def test_the_bar_of_the_page_is_accepted() -> None:
    assert fault(GOOD) is None


@pytest.mark.parametrize(("reason", "change", "said"), [row for row in REJECTIONS if row[1].startswith('"')], ids=lambda text: text[:40])
def test_each_example_of_a_rejection_is_rejected_for_that_reason(reason: str, change: str, said: str) -> None:
    found = fault(json.dumps({**json.loads(GOOD), **json.loads(f"{{{change}}}")}))
    assert found is not None
    assert found[0] == reason
    assert said in found[1]


def test_the_page_has_every_reason_of_the_code_and_no_other() -> None:
    section = PAGE.partition("\n## Rejections\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE))
    assert named == {*Rejection} | {*Dropped}


def test_the_topics_of_the_page_are_those_of_its_symbols() -> None:
    listed = re.findall(r"^\| `([^`]+)` \| `(bars\.[^`]+)` \|$", PAGE, re.MULTILINE)
    assert len(listed) >= 5
    for symbol, topic in listed:
        assert TopicNames("main").bars(symbol) == topic
        assert TopicNames("main").symbol_of(topic) == symbol


def test_the_page_describes_every_field_of_the_schema_and_its_id() -> None:
    section = PAGE.partition("## What a bar looks like")[2].partition("### Topics")[0]
    described = set(re.findall(r"`([a-z]+)`", "".join(line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `"))))
    assert described == {field["name"] for field in json.loads((schema_folder() / "Bar.avsc").read_text(encoding="utf-8"))["fields"]}
    assert f"ID, {CODEC.ids.id_of('Bar')}," in PAGE
