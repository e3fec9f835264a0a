"""What is to be asked of a history source, and what becomes of a gap that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.rules import gap_filling
from streams.engine.rules.gap_filling import due_gaps
from streams.engine.state.completeness import GapInfo, completeness_of, gaps_of, quality_of
from streams.engine.state.symbol import SymbolSessionData
from streams.model.inputs import InputKind
from streams.model.records import EventKind, Marker, PublishedBar
from streams.model.rows import QualityRow
from streams.times import MINUTE_US, SECOND_US, iso
from tests.support.engine import Desk, at, clock, config, events, minutes

FILLER: dict[str, Any] = {"gap_filler": {"enabled": True, "max_retries": 3, "retry_interval_seconds": 60}, "grace_seconds": 5}
TUESDAY = "2013-10-08"


def desk_with_gap(**parts: Any) -> Desk:
    """SPY with the minutes 09:30 to 09:34 and 09:40 to 09:44, at 09:45."""
    desk = Desk(config("SPY", derived_intervals=["5m"], **{**FILLER, **parts}), at("09:30"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 5), *minutes("SPY", at("09:40"), 5))
    return desk


def asked(desk: Desk, first: str, end: str, count: int = 0, reason: str | None = None, now: str | None = None) -> None:
    one = desk.about(InputKind.GAP_ASKED, "SPY", start_us=at(first), end_us=at(end), count=count, reason=reason)
    desk.apply(one, now_us=None if now is None else at(now))


def due(desk: Desk, now: str) -> list[tuple[str, str, int, int]]:
    return [in_words(gap) for gap in due_gaps(desk.data("SPY"), desk.config, at(now))]


def in_words(gap: GapInfo) -> tuple[str, str, int, int]:
    return clock(gap.start_us), clock(gap.end_us), gap.bar_count, gap.retry_count


def gaps(desk: Desk, interval: str = "1m") -> list[tuple[str, str, int, int]]:
    return [in_words(gap) for gap in gaps_of(desk.data("SPY"), interval, desk.now_us)]


@pytest.mark.parametrize(
    ("now", "expected", "why"),
    [
        ("09:45", [("09:35", "09:40", 5, 0)], "the last minute that is missing has ended long ago"),
        ("09:46", [("09:35", "09:40", 5, 0)], "the bar of 09:45 may still come"),
        ("09:46:04", [("09:35", "09:40", 5, 0)], "it has five seconds to come"),
        ("09:46:05", [("09:35", "09:40", 5, 0), ("09:45", "09:46", 1, 0)], "now it has not come"),
    ],
)
def test_a_missing_bar_is_due_once_its_end_is_grace_past(now: str, expected: list[tuple[str, str, int, int]], why: str) -> None:
    assert due(desk_with_gap(), now) == expected, why


def test_what_was_asked_for_in_vain_is_due_again_after_the_retry_interval_and_not_for_ever() -> None:
    desk = desk_with_gap()
    for retry, (now, next_due) in enumerate([("09:45", "09:46"), ("09:46", "09:47"), ("09:47", None)], start=1):
        asked(desk, "09:35", "09:40", reason="the source is away", now=now)
        assert gaps(desk)[0] == ("09:35", "09:40", 5, retry)
        assert gaps(desk, "5m")[0] == ("09:35", "09:40", 1, retry), "the window of five minutes lacks the same bars"
        assert all(start != "09:35" for start, *_ in due(desk, f"{now}:59"))
        if next_due:
            assert due(desk, next_due)[0] == ("09:35", "09:40", 5, retry)
    assert ("09:35", "09:40") not in [gap[:2] for gap in due(desk, "15:59")]


def test_a_stretch_that_was_asked_for_in_parts_is_due_where_it_is_due() -> None:
    desk = desk_with_gap()
    asked(desk, "09:36", "09:38", reason="away")
    assert due(desk, "09:45") == [("09:35", "09:36", 1, 0), ("09:38", "09:40", 2, 0)]
    assert due(desk, "09:46")[0] == ("09:35", "09:40", 5, 1)


def test_bars_that_a_source_gives_come_late_and_shrink_the_gap() -> None:
    desk = desk_with_gap()
    asked(desk, "09:35", "09:40", count=3)
    assert gaps(desk) == [("09:35", "09:40", 5, 1)], "none of them has arrived"
    desk.feed(*minutes("SPY", at("09:35"), 3, provenance="gap_fill"))
    assert gaps(desk) == [("09:38", "09:40", 2, 1)]
    assert gaps(desk, "5m") == [], "the window has a bar of its own"
    assert due(desk, "09:46")[0] == ("09:38", "09:40", 2, 1)


def test_an_empty_answer_is_no_gap_any_more() -> None:
    desk = desk_with_gap()
    assert quality_of(desk.data("SPY"), "1m", desk.now_us) == pytest.approx(100 * 10 / 15)
    asked(desk, "09:35", "09:38")
    assert gaps(desk) == [("09:38", "09:40", 2, 0)]
    assert quality_of(desk.data("SPY"), "1m", desk.now_us) == pytest.approx(100 * 10 / 12)
    assert gaps(desk, "5m") == [("09:35", "09:40", 1, 0)], "two of its bars may still come"
    assert due(desk, "09:45") == [("09:38", "09:40", 2, 0)]
    asked(desk, "09:38", "09:40")
    assert (gaps(desk), gaps(desk, "5m"), due(desk, "09:45")) == ([], [], [])
    assert quality_of(desk.data("SPY"), "5m", desk.now_us) == 100.0
    row = desk.table["quality|SPY"]
    assert isinstance(row, QualityRow)
    assert [(clock(one.start_us), clock(one.end_us)) for one in row.empty] == [("09:35", "09:40")]


def test_a_bar_where_a_source_had_none_counts_as_any_other() -> None:
    desk = desk_with_gap()
    asked(desk, "09:35", "09:40")
    desk.feed(*minutes("SPY", at("09:36"), 1))
    found = completeness_of(desk.data("SPY"), "1m", desk.now_us)
    assert found is not None
    assert (found.expected, found.present, gaps(desk)) == (11, 11, [])


def test_nobody_can_have_what_has_not_ended() -> None:
    desk = desk_with_gap()
    asked(desk, "09:35", "09:50", now="09:46:30")
    desk.advance(at("09:50"))
    assert gaps(desk) == [("09:46", "09:50", 4, 0)]


@pytest.mark.parametrize(
    ("parts", "kind", "why"),
    [
        ({"sparse_intervals": ["1m"]}, None, "a missing bar is no gap"),
        ({}, InputKind.REWOUND, "what is missing may stand in the topic, unread"),
    ],
)
def test_nothing_is_due_of_a_symbol(parts: dict[str, Any], kind: InputKind | None, why: str) -> None:
    desk = desk_with_gap(**parts)
    if kind is InputKind.REWOUND:
        desk.begin().apply(desk.about(kind, "SPY"))
    assert due(desk, "09:50") == [], why


def test_an_answer_about_a_former_day_or_incarnation_is_dropped() -> None:
    desk = desk_with_gap()
    late = desk.about(InputKind.GAP_ASKED, "SPY", start_us=at("09:35"), end_us=at("09:40"), count=0)
    desk.flow(*minutes("SPY", at("09:30", TUESDAY), 1))
    assert not desk.begin().apply(late)
    desk.command("remove_symbol", "SPY", immediate=True)
    desk.add("SPY")
    assert not desk.begin().apply(late)


def test_a_day_takes_what_was_asked_with_it() -> None:
    desk = desk_with_gap()
    asked(desk, "09:35", "09:37")
    asked(desk, "09:37", "09:40", reason="away")
    assert "quality|SPY" in desk.table
    desk.flow(*minutes("SPY", at("09:30", TUESDAY), 1))
    after = desk.table.get("quality|SPY")
    assert after is None or (isinstance(after, QualityRow) and not after.attempts and not after.empty)
    desk.advance(at("16:30", TUESDAY))
    assert gaps(desk) == [("09:31", "16:00", 389, 0)]
    desk.check_redriven()


def test_a_removed_symbol_leaves_nothing_of_its_gaps() -> None:
    desk = desk_with_gap()
    asked(desk, "09:35", "09:37")
    desk.command("remove_symbol", "SPY", immediate=True)
    assert not [key for key in desk.table if key.endswith("|SPY")]


def test_what_was_asked_survives_a_restart() -> None:
    desk = desk_with_gap()
    asked(desk, "09:35", "09:37", now="09:45")
    asked(desk, "09:37", "09:39", reason="away")
    before = (gaps(desk), due(desk, "09:45"), due(desk, "09:46"))
    desk.restart()
    desk.caught_up("SPY")
    assert (gaps(desk), due(desk, "09:45"), due(desk, "09:46")) == before
    desk.check_redriven()


def test_each_answer_is_told() -> None:
    desk = desk_with_gap()
    asked(desk, "09:35", "09:37")
    asked(desk, "09:37", "09:40", count=3)
    asked(desk, "09:37", "09:40", reason="HTTP 503")
    told = [(one.reason, one.attributes) for one in events(desk.outcomes, EventKind.GAP_ASKED)]
    second = {"interval": "1m", "start_us": str(at("09:37")), "end_us": str(at("09:40"))}
    assert told == [
        (
            None,
            {
                "interval": "1m", "start_us": str(at("09:35")), "end_us": str(at("09:37")), "bars": "0", "outcome": "confirmed_empty",
                "retry_count": "0",
            },
        ),
        (None, {**second, "bars": "3", "outcome": "given", "retry_count": "1"}),
        ("HTTP 503", {**second, "bars": "0", "outcome": "failed", "retry_count": "2"}),
    ]  # fmt: skip


def test_what_was_tried_as_often_as_may_be_is_kept_in_one_piece() -> None:
    desk = desk_with_gap(gap_filler={"enabled": True, "max_retries": 1, "retry_interval_seconds": 60})
    for minute in range(35, 40):
        asked(desk, f"09:{minute}", f"09:{minute + 1}", reason="away", now=f"09:{minute + 11}")
    row = desk.table["quality|SPY"]
    assert isinstance(row, QualityRow)
    assert [(one.start_us, one.end_us, one.count, iso(one.asked_us)) for one in row.attempts] == [
        (at("09:35"), at("09:40"), 1, iso(at("09:50")))
    ]


def test_a_gap_over_a_break_is_asked_for_in_one() -> None:
    desk = Desk(config("0005", exchange="XHKG", **FILLER), at("21:30", "2013-10-06"))
    desk.load("0005")
    open_us = desk.data("0005").open_us
    desk.flow(*minutes("0005", open_us, 145), *minutes("0005", open_us + 215 * MINUTE_US, 1))
    found = list(due_gaps(desk.data("0005"), desk.config, desk.now_us + 5 * SECOND_US))
    assert found == [GapInfo(open_us + 145 * MINUTE_US, open_us + 215 * MINUTE_US, 10, 0)]


def test_old_bars_of_a_source_ahead_of_a_dead_feed_shut_no_gate_and_the_rest_is_asked_for() -> None:
    desk = Desk(config("SPY", "IBM", **FILLER), at("09:30"))
    desk.load("SPY", "IBM")
    desk.flow(*minutes("SPY", at("09:30"), 5), *minutes("IBM", at("09:30"), 30))
    came = desk.feed(*minutes("SPY", at("09:35"), 10, provenance="gap_fill"))
    data = desk.data("SPY")
    assert (clock(data.frontier_us), data.lagging, data.behind, desk.session.state.active) == ("09:45", False, False, True)
    assert due(desk, "10:00:05") == [("09:45", "10:00", 15, 0)]
    assert not [one for one in came if isinstance(one, Marker | PublishedBar)], "they are too old to be published"


def test_a_lagging_symbol_is_not_taken_for_fresh_by_old_bars_of_a_source() -> None:
    desk = Desk(config("SPY", **FILLER), at("09:30"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 5))
    desk.advance(at("10:00"))
    desk.feed(*minutes("SPY", at("09:35"), 1))
    assert desk.data("SPY").lagging
    desk.feed(*minutes("SPY", at("09:36"), 10, provenance="gap_fill"))
    assert desk.data("SPY").lagging
    desk.feed(*minutes("SPY", at("09:59"), 1, provenance="gap_fill"))
    assert not desk.data("SPY").lagging, "one that is fresh says that the symbol is up to date"


def test_beyond_so_many_stretches_nothing_more_is_asked_for_since_all_of_them_stand_in_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_filling, "MOST_STRETCHES", 3)
    desk = desk_with_gap()
    asked(desk, "09:35", "09:36", reason="failed")
    asked(desk, "09:37", "09:38")
    assert due(desk, "09:45") == [("09:36", "09:37", 1, 0), ("09:38", "09:40", 2, 0)]
    asked(desk, "09:39", "09:40", reason="failed")
    assert due(desk, "09:45") == []
    assert gaps(desk) == [("09:35", "09:40", 4, 1)]


def test_the_first_gap_that_is_due_is_found_without_a_look_at_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(config("SPY", **FILLER), at("09:30"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 60, step=2))
    for number in range(40):
        start_us = at("09:31") + number * 2 * MINUTE_US
        desk.apply(desk.about(InputKind.GAP_ASKED, "SPY", start_us=start_us, end_us=start_us + MINUTE_US, count=0, reason="failed"))
    looks: list[int] = []
    retries = SymbolSessionData.retries
    monkeypatch.setattr(SymbolSessionData, "retries", lambda data, *stretch: looks.append(1) or retries(data, *stretch))
    assert in_words(next(due_gaps(desk.data("SPY"), desk.config, desk.now_us + 5 * MINUTE_US))) == ("09:31", "09:32", 1, 1)
    assert len(looks) == 1
