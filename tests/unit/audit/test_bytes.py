"""Every byte that a session writes is audited: of each kind of row, record and input one is changed, and found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from copy import copy
from typing import Final

import pytest
from msgspec.structs import replace

from streams.kafka.reader import Record
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import AnalysisKind, EventKind
from streams.times import MINUTE_US
from tests.support.engine import Desk, at, bar, config, minutes, quote, tick
from tests.support.oracle.audit import CODEC, Left

FRIDAY: Final = "2013-10-04"
OUTPUTS: Final = ("analysis", "events", "replies", "all_bars")


def played() -> Desk:
    """A symbol with past days, quotes, ticks, a gap that is asked for and an export, in a session that tells complete windows."""
    desk = Desk(
        config(
            "SPY", streams=["1m", "quotes", "ticks"], derived_intervals=["5m"], bars_topic=True, interval_complete=["1m", "5m"],
            quality={"publish_seconds": 1}, historical={"trailing_days": 1, "indicators": [{"name": "close", "kind": "prior_close"}]},
        ),
        now_us=at("09:30"),
    )  # fmt: skip
    desk.history("SPY", *minutes("SPY", at("09:30", FRIDAY), 390))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 4))
    desk.feed(quote("SPY", at("09:33")), tick("SPY", at("09:33")))
    desk.flow(*minutes("SPY", at("09:36"), 4))
    for first, end, count, reason in (("09:34", "09:35", 0, None), ("09:35", "09:36", 0, "TimeoutError: too slow")):
        given = {"interval": "1m", "start_us": at(first), "end_us": at(end), "count": count, "reason": reason}
        desk.apply(desk.about(InputKind.GAP_ASKED, "SPY", **given), now_us=at("09:40:30"))
    desk.command("begin_export", "SPY")
    desk.apply(desk.about(InputKind.SOURCE_LOST, "SPY", stream="quotes", topic_id="SPY-quotes-2", first_offset=0, reason="re-created"))
    desk.feed(bar("SPY", at("09:35"), price=90.0), now_us=at("09:42"))
    desk.feed(bar("SPY", at("09:40")), now_us=at("09:40") + 3 * MINUTE_US)
    desk.restart(now_us=at("09:44"))
    return desk


@pytest.fixture(scope="module")
def left() -> Left:
    return Left(played())


def with_last_byte_changed(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def rows_by_kind(left: Left) -> dict[str, str]:
    return {key.split("|")[0]: key for key in left.rows}


def records_by_kind(left: Left) -> Iterator[tuple[str, int]]:
    for name in OUTPUTS:
        topic = getattr(left.names, name)
        seen = set()
        for place, record in enumerate(left.topics[topic]):
            kind = dict(record.headers).get("kind", b"")
            if kind not in seen:
                seen.add(kind)
                yield topic, place


def test_the_story_has_all_of_it(left: Left) -> None:
    assert left.audit().is_equal
    kinds = {"session", "config", "command", "symbol", "progress", "bars", "quotes", "ticks", "quality", "indicators", "export"}
    assert set(rows_by_kind(left)) == kinds
    found: dict[str, set[str]] = defaultdict(set)
    for topic, place in records_by_kind(left):
        found[topic].add(dict(left.topics[topic][place].headers).get("kind", b"").decode())
    assert {AnalysisKind.INTERVAL_COMPLETE, AnalysisKind.REVISED, AnalysisKind.HELD_BACK} <= found[left.names.analysis]
    events = {EventKind.QUALITY, EventKind.GAP_ASKED, EventKind.HISTORY_LOADED, EventKind.STREAM_LOCATED, EventKind.SOURCE_LOST}
    assert events <= {CODEC.event_from(record.value).kind for record in left.topics[left.names.events]}


def test_a_byte_of_any_row_is_found(left: Left) -> None:
    for key in left.rows:
        tampered = copy(left)
        tampered.rows = {**left.rows, key: with_last_byte_changed(left.rows[key])}
        assert not tampered.audit().is_equal, key


def changed(left: Left, topic: str, place: int, record: Record) -> Left:
    tampered = copy(left)
    records = left.topics[topic]
    tampered.topics = {**left.topics, topic: [*records[:place], record, *records[place + 1 :]]}
    return tampered


def test_a_byte_of_any_record_is_found(left: Left) -> None:
    for topic, records in left.topics.items():
        if topic == left.names.journal:
            continue
        for place, record in enumerate(records):
            tampered = changed(left, topic, place, replace(record, value=with_last_byte_changed(record.value)))
            assert not tampered.audit().is_equal, (topic, place)


def said(given: JournalInput) -> set[str]:
    """The fields that are set."""
    return {name for name in given.__struct_fields__ if getattr(given, name) is not None}


INPUTS: Final = [
    (InputKind.GAP_ASKED, {"count": 1}),
    (InputKind.GAP_ASKED, {"start_us": at("09:33")}),
    (InputKind.HISTORY, {"bars": None}),
    (InputKind.STREAM_LOCATED, {"first_offset": 1}),
    (InputKind.STREAM_LOCATED, {"topic_id": "another"}),
    (InputKind.SOURCE_LOST, {"first_offset": 1}),
]


@pytest.mark.parametrize(("kind", "fields"), INPUTS)
def test_another_input_in_the_journal_is_found(left: Left, kind: InputKind, fields: dict[str, object]) -> None:
    topic = left.names.journal
    for place, record in enumerate(left.topics[topic]):
        journal = CODEC.journal_from(record.value)
        of_kind = [number for number, given in enumerate(journal.inputs) if given.kind is kind and fields.keys() & said(given)]
        if of_kind:
            inputs = list(journal.inputs)
            inputs[of_kind[-1]] = replace(inputs[of_kind[-1]], **fields)
            forged = replace(record, value=CODEC.journal_to(replace(journal, inputs=tuple(inputs))))
            assert not changed(left, topic, place, forged).audit().is_equal
            return
    raise AssertionError(f"there is no {kind} in the journal")
