"""Exports of what is new: each version of a bar is in one of them, however often the exporter is stopped and whatever comes meanwhile."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streams.engine.reads import SessionData
from streams.engine.rules import exports as engine_exports
from streams.engine.state import export_marks
from streams.engine.state.export_marks import Mark
from streams.model.records import EventKind, ReplyStatus
from streams.model.rows import ExportRow, StretchRow
from streams.times import DAY_US, MINUTE_US, date_of_days
from tests.support.engine import Desk, at, bar, clock, config, events, minutes, replies
from tests.support.sessions.exporting import Exporter, Version, answer_of, new_bars

TEN = at("10:00")
TUESDAY, WEDNESDAY, THURSDAY = "2013-10-08", "2013-10-09", "2013-10-10"


def desk_of(*, derived: tuple[str, ...] = ("5m",), now_us: int = TEN, restores: bool = False, **keys: Any) -> Desk:
    desk = Desk(config("SPY", derived_intervals=list(derived), **keys), now_us, restores=restores)
    desk.load("SPY")
    return desk


def words(found: dict[Version, Any]) -> list[str]:
    """`1m 10:00`, with the revision where there is one; sorted by interval and time."""
    told = [(interval, clock(start_us), f" r{one.revision}" if one.revision else "") for (_, interval, start_us), one in found.items()]
    return [f"{interval} {time}{revision}" for interval, time, revision in sorted(told)]


def reason_of(desk: Desk, kind: str, **fields: Any) -> str:
    (reply,) = replies(desk.command(kind, "SPY", **fields))
    assert reply.status is ReplyStatus.FAILED
    assert reply.reason is not None
    return reply.reason


# What an export holds


def test_the_first_export_has_the_whole_day_and_the_next_only_what_came_since() -> None:
    desk = desk_of()
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 6))
    assert words(exporter.export()) == ["1m 10:00", "1m 10:01", "1m 10:02", "1m 10:03", "1m 10:04", "1m 10:05", "5m 10:00"]
    desk.flow(*minutes("SPY", at("10:06"), 4))
    assert words(exporter.export()) == ["1m 10:06", "1m 10:07", "1m 10:08", "1m 10:09", "5m 10:05"]
    assert exporter.export() == {}
    assert sorted(exporter.files) == [1, 2]
    desk.check_redriven()


def test_a_late_bar_and_a_corrected_one_are_in_the_next_export_with_what_is_made_of_them() -> None:
    desk = desk_of()
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 3), *minutes("SPY", at("10:04"), 8))
    exporter.export()
    desk.feed(bar("SPY", at("10:03")), bar("SPY", at("10:07"), price=50.0))
    assert words(exporter.export()) == ["1m 10:03", "1m 10:07 r1", "5m 10:00 r1", "5m 10:05 r1"]
    assert exporter.newest().keys() == {
        (desk.data("SPY").day.days, name, one.start_us) for name in ("1m", "5m") for one in desk.bars("SPY", name)
    }


def test_a_window_that_is_closed_after_the_ones_behind_it_is_new_all_the_same() -> None:
    desk = desk_of(grace_seconds=150, catchup_threshold_seconds=400)
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 4), *minutes("SPY", at("10:05"), 2))
    exporter.export()
    assert exporter.intervals()["5m"] == 0, "10:00 waits for its last bar"
    desk.flow(*minutes("SPY", at("10:07"), 5))
    assert words(exporter.export())[-2:] == ["5m 10:00", "5m 10:05"]


def test_what_changes_after_an_export_was_begun_is_in_the_next_one_and_not_in_both() -> None:
    desk = desk_of(derived=())
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 2), *minutes("SPY", at("10:03"), 2))
    exporter.begin()
    desk.feed(bar("SPY", at("10:01"), price=50.0), bar("SPY", at("10:02")), bar("SPY", at("10:05")), now_us=at("10:06"))
    exporter.write()
    assert words(exporter.files[1]) == ["1m 10:00", "1m 10:03", "1m 10:04"]
    exporter.end()
    assert words(exporter.export()) == ["1m 10:01 r1", "1m 10:02", "1m 10:05"]
    exporter.newest()


def test_a_bar_that_changes_again_after_it_was_written_down_comes_with_its_later_revision() -> None:
    desk = desk_of(derived=())
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 2))
    exporter.begin()
    exporter.write()
    desk.feed(bar("SPY", TEN, price=50.0))
    exporter.end()
    assert words(exporter.export()) == ["1m 10:00 r1"]
    desk.feed(bar("SPY", TEN, price=51.0))
    desk.feed(bar("SPY", TEN, price=52.0))
    assert words(exporter.export()) == ["1m 10:00 r3"]
    assert exporter.newest()[desk.data("SPY").day.days, "1m", TEN].close == 52.0


@pytest.mark.parametrize("restores", [False, True])
def test_an_exporter_that_is_stopped_anywhere_comes_to_the_same_number_again(restores: bool) -> None:
    desk = desk_of(restores=restores)
    exporter = Exporter(desk, "SPY")
    for steps in ((exporter.begin,), (exporter.begin, exporter.write), (exporter.begin, exporter.write, exporter.end)):
        desk.flow(*minutes("SPY", desk.now_us, 7))
        desk.feed(bar("SPY", at("10:03"), price=100.0 + desk.now_us % 7))
        for step in steps:
            step()
        assert exporter.number == 1
    assert exporter.export()
    assert exporter.number == 2
    assert exporter.newest().keys() == {
        (desk.data("SPY").day.days, name, one.start_us) for name in ("1m", "5m") for one in desk.bars("SPY", name)
    }
    desk.check_redriven()


# Answers


def test_a_begun_export_is_answered_with_its_number_and_what_it_holds() -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 6))
    told = desk.command("begin_export", "SPY")
    assert [one.status for one in replies(told)] == [ReplyStatus.ACCEPTED, ReplyStatus.COMPLETED]
    one = {"trading_date": "2013-10-07", "after": None, "changed": 0}
    assert answer_of(told) == {
        "epoch": 1,
        "incarnation": 1,
        "number": 1,
        "is_pending": True,
        "series": [{"interval": "1m", **one, "to": "2013-10-07T14:05:00Z"}, {"interval": "5m", **one, "to": "2013-10-07T14:00:00Z"}],
    }
    assert answer_of(desk.command("begin_export", "SPY")) == answer_of(told), "it is the same one"
    assert answer_of(desk.command("end_export", "SPY", export_number=1))["is_pending"] is False
    assert answer_of(desk.command("end_export", "SPY", export_number=1)) == answer_of(desk.command("begin_export", "SPY")), "nothing is new"


def test_what_can_not_be_ended_is_refused_with_the_reason() -> None:
    desk = desk_of()
    assert reason_of(desk, "end_export", export_number=1) == "no export 1 of SPY was begun: there was none yet"
    assert "end_export needs export_number" in reason_of(desk, "end_export")
    desk.flow(*minutes("SPY", TEN, 1))
    Exporter(desk, "SPY").export()
    desk.flow(*minutes("SPY", at("10:01"), 1))
    desk.command("begin_export", "SPY")
    assert reason_of(desk, "end_export", export_number=1) == "export 1 of SPY is over: the last one that was begun is 2"
    assert reason_of(desk, "end_export", export_number=3) == "no export 3 of SPY was begun: the last one is 2"
    assert "the session has begun anew since" in reason_of(desk, "end_export", export_number=2, epoch=7)
    assert "of an earlier SPY" in reason_of(desk, "end_export", export_number=2, incarnation=7)
    assert len(new_bars(desk, "SPY")) == 1, "it is under way still"
    (reply,) = replies(desk.command("begin_export", "IBM"))
    assert reply.reason == "IBM is not in the session"


def test_of_a_symbol_without_bars_nothing_is_begun_and_nothing_kept() -> None:
    desk = desk_of()
    assert answer_of(desk.command("begin_export", "SPY")) == {"epoch": 1, "incarnation": 1, "number": 0, "is_pending": False, "series": []}
    assert desk.data("SPY").exports is None
    assert "export|SPY" not in desk.table


def test_the_position_can_be_read() -> None:
    desk = desk_of()
    reads = SessionData(desk.session.state)
    assert reads.get_export_position("SPY", internal=True) == (0, False)
    desk.flow(*minutes("SPY", TEN, 1))
    desk.command("begin_export", "SPY")
    assert reads.get_export_position("SPY") == (1, True)
    assert reads.get_export_position("IBM") is None
    desk.restart(desk.now_us + 30 * MINUTE_US)
    assert SessionData(desk.session.state).get_export_position("SPY") is None, "the gate is shut"


# Days


@pytest.mark.parametrize("trailing_days", [0, 1])
@pytest.mark.parametrize("restores", [False, True])
def test_the_last_bars_of_a_day_are_in_the_export_after_it_and_the_day_goes_then(trailing_days: int, restores: bool) -> None:
    desk = desk_of(now_us=at("15:50"), restores=restores, historical={"trailing_days": trailing_days})
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", at("15:50"), 3))
    exporter.export()
    desk.flow(*minutes("SPY", at("15:53"), 7))
    desk.flow(bar("SPY", at("09:30", TUESDAY)))
    assert len(desk.data("SPY").historical) == trailing_days
    assert words(exporter.export()) == ["1m 09:30", *(f"1m 15:{minute}" for minute in range(53, 60)), "5m 15:50", "5m 15:55"]
    kept = {key.split("|")[2] for key in desk.table if key.startswith("bars|")} - {str(desk.data("SPY").day.days)}
    assert len(kept) == trailing_days
    row = desk.table["export|SPY"]
    assert isinstance(row, ExportRow)
    assert len({mark.trading_days for mark in row.done}) == 1 + trailing_days
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_days_that_no_export_has_are_let_go_of_beyond_the_limit_and_it_is_told(restores: bool) -> None:
    desk = desk_of(derived=(), now_us=at("15:50"), restores=restores, exports={"keep_days": 1})
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", at("15:50"), 2))
    exporter.export()
    desk.flow(*minutes("SPY", at("15:52"), 3))
    for day, count in ((TUESDAY, 4), (WEDNESDAY, 5), (THURSDAY, 6)):
        desk.flow(*minutes("SPY", at("15:50", day), count))
    lost = events(desk.outcomes, EventKind.EXPORT_LOST)
    assert [one.attributes for one in lost] == [{"trading_date": "2013-10-07", "bars": "3"}, {"trading_date": TUESDAY, "bars": "4"}]
    found = exporter.export()
    assert sorted({date_of_days(days).isoformat() for days, _, _ in found}) == [WEDNESDAY, THURSDAY]
    assert len(found) == 5 + 6
    desk.check_redriven()


def test_exports_begin_with_the_day_on_which_the_first_is_begun() -> None:
    desk = desk_of(derived=(), now_us=at("15:50"), historical={"trailing_days": 1})
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", at("15:50"), 10), *minutes("SPY", at("09:30", TUESDAY), 2))
    assert words(exporter.export()) == ["1m 09:30", "1m 09:31"]


def test_a_session_that_was_never_exported_keeps_no_day_and_writes_no_row() -> None:
    desk = desk_of(now_us=at("15:50"))
    desk.flow(*minutes("SPY", at("15:50"), 10), bar("SPY", at("09:30", TUESDAY)))
    assert not [key for key in desk.table if key.startswith("export|")]
    assert {key.split("|")[2] for key in desk.table if key.startswith("bars|")} <= {str(desk.data("SPY").day.days)}


def test_a_bar_that_comes_late_for_a_day_that_is_over_is_in_the_next_export() -> None:
    desk = desk_of(now_us=at("15:50"), historical={"trailing_days": 1})
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", at("15:50"), 3), *minutes("SPY", at("15:54"), 6))
    exporter.export()
    desk.advance(at("08:00", TUESDAY))
    desk.feed(bar("SPY", at("15:53"), price=50.0), now_us=at("09:00", TUESDAY))
    assert words(exporter.export()) == ["1m 15:53", "5m 15:50 r1"]


@pytest.mark.parametrize("restores", [False, True])
def test_a_config_that_keeps_more_days_takes_those_that_were_kept_for_exports_among_them(restores: bool) -> None:
    desk = desk_of(now_us=at("15:50"), restores=restores)
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", at("15:50"), 1))
    exporter.export()
    desk.flow(*minutes("SPY", at("15:51"), 9), bar("SPY", at("09:30", TUESDAY)))
    desk.configure(config("SPY", derived_intervals=["5m"], historical={"trailing_days": 2}))
    assert len(desk.data("SPY").historical) == 1
    desk.configure(config("SPY"))
    assert desk.data("SPY").historical == {}
    assert words(exporter.export()) == ["1m 09:30", *(f"1m 15:{minute}" for minute in range(51, 60))], "5m is no longer in the config"
    desk.check_redriven()


def test_bars_of_an_interval_that_the_config_drops_are_exported_until_the_day_is_over() -> None:
    desk = desk_of()
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 5))
    exporter.export()
    desk.flow(*minutes("SPY", at("10:05"), 5))
    desk.configure(config("SPY"))
    assert words(exporter.export())[-1] == "5m 10:05"
    desk.configure(config("SPY", derived_intervals=["5m"]))
    desk.caught_up("SPY")
    desk.flow(*minutes("SPY", at("10:10"), 5))
    assert [word for word in words(exporter.export()) if word.startswith("5m")] == ["5m 10:10"]
    desk.flow(*minutes("SPY", at("10:15"), 5))
    desk.configure(config("SPY"))
    desk.flow(bar("SPY", at("09:30", TUESDAY)))
    (lost,) = events(desk.outcomes, EventKind.EXPORT_LOST)
    assert (lost.reason, lost.attributes["bars"]) == ("the config has dropped their interval", "1")
    desk.check_redriven()


# Removal


@pytest.mark.parametrize("restores", [False, True])
def test_a_symbol_that_is_removed_leaves_nothing_and_begins_anew_when_it_is_added_again(restores: bool) -> None:
    desk = desk_of(restores=restores, exports={"keep_days": 3})
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 5))
    exporter.export()
    desk.flow(*minutes("SPY", at("10:05"), 3), *minutes("SPY", at("09:30", TUESDAY), 2))
    desk.command("begin_export", "SPY")
    desk.command("remove_symbol", "SPY", immediate=True)
    assert [one.attributes for one in events(desk.outcomes, EventKind.EXPORT_LOST)] == [
        {"trading_date": "2013-10-07", "bars": "4"},
        {"trading_date": TUESDAY, "bars": "2"},
    ]
    assert not [key for key in desk.table if key.endswith("|SPY")]
    desk.add("SPY")
    desk.flow(*minutes("SPY", at("09:32", TUESDAY), 1))
    again = answer_of(desk.command("begin_export", "SPY"))
    assert (again["number"], again["incarnation"]) == (1, 2)
    assert "of an earlier SPY" in reason_of(desk, "end_export", export_number=1, incarnation=1)
    desk.check_redriven()


# Rows


def test_the_sessions_row_is_the_last_of_each_transaction() -> None:
    """Those who read the changelog from outside take it for the end of one."""
    desk = desk_of(now_us=at("15:50"), exports={"keep_days": 1})
    desk.flow(*minutes("SPY", at("15:50"), 9))
    Exporter(desk, "SPY").export()
    desk.flow(*minutes("SPY", at("09:30", TUESDAY), 9))
    desk.command("remove_symbol", "SPY", immediate=True)
    desk.configure(config("IBM"))
    assert all(list(result.rows)[-1] == "session" for result in desk.results)


# Marks


def test_stretches_that_touch_become_one() -> None:
    mark = Mark(1000)
    for start in (10, 30, 20, 50, 0, 10):
        mark.note(start, start + 10)
    assert mark.stretches == (StretchRow(0, 40), StretchRow(50, 60))
    assert [start for start in range(0, 70, 10) if mark.holds(start)] == [0, 10, 20, 30, 50]


def test_too_many_stretches_are_joined_where_they_lie_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_marks, "MOST_STRETCHES", 3)
    mark = Mark(1000)
    for start in (0, 100, 150, 300):
        mark.note(start, start + 10)
    assert mark.stretches == (StretchRow(0, 10), StretchRow(100, 160), StretchRow(300, 310))


def test_however_many_bars_come_late_the_row_stays_small_and_none_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_marks, "MOST_STRETCHES", 5)
    desk = desk_of(derived=(), restores=True)
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 30, step=2))
    exporter.export()
    late = minutes("SPY", at("10:01"), 20, step=2)
    for one in late:
        desk.feed(one)
    row = desk.table["export|SPY"]
    assert isinstance(row, ExportRow)
    assert len(row.done[0].changed) <= 5
    found = exporter.export()
    assert {one.start_us for one in late} <= {start for _, _, start in found}
    assert re.match("1m", words(found)[0])
    assert max(start for _, _, start in found) < TEN + DAY_US


def test_the_more_series_are_followed_the_fewer_stretches_each_of_them_has_since_all_stand_in_one_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_marks, "MOST_OF_ALL", 6)
    desk = desk_of(derived=("2m", "4m"), restores=True)
    exporter = Exporter(desk, "SPY")
    desk.flow(*minutes("SPY", TEN, 40, step=2))
    exporter.export()
    late = minutes("SPY", at("10:01"), 9, step=8)
    for one in late:
        desk.feed(one)
    row = desk.table["export|SPY"]
    assert isinstance(row, ExportRow)
    assert [len(mark.changed) for mark in row.done] == [2, 2, 2]
    assert {one.start_us for one in late} <= {start for _, interval, start in exporter.export() if interval == "1m"}
    desk.check_redriven()


def test_an_answer_about_an_export_tells_of_the_newest_series_where_there_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_exports, "MOST_SERIES_TOLD", 3)
    desk = desk_of(historical={"trailing_days": 3})
    desk.flow(*minutes("SPY", TEN, 5))
    assert "older_series" not in answer_of(desk.command("begin_export", "SPY"))
    desk.command("end_export", "SPY", export_number=1)
    for day in (TUESDAY, WEDNESDAY):
        desk.flow(*minutes("SPY", at("10:00", day), 5))
    told = answer_of(desk.command("begin_export", "SPY"))
    assert [(one["trading_date"], one["interval"]) for one in told["series"]] == [(TUESDAY, "5m"), (WEDNESDAY, "1m"), (WEDNESDAY, "5m")]
    assert told["older_series"] == 1
