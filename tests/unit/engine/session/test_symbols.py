"""A symbol's life: added, loaded, removed, failed, and the answers to the commands that ask for it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streams.config.session import SessionConfig
from streams.engine.state.symbol import SymbolStatus
from streams.errors import ConfigConflictError, EngineError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import AnalysisKind, EventKind, Outcome, ReplyStatus
from streams.model.rows import ProgressRow, SymbolRow
from streams.model.transactions import RangeRead
from streams.times import DAY_US, MINUTE_US, SECOND_US
from tests.support.engine import Desk, at, bar, config, events, markers, minutes, replies, shown

TEN = at("10:00")


def desk_at_ten(*symbols: str, **parts: Any) -> Desk:
    desk = Desk(config(*symbols, **parts), TEN)
    desk.load(*symbols)
    return desk


def answers(outcomes: list[Outcome]) -> list[str]:
    return [f"{one.kind} {one.symbol} {one.status}" for one in replies(outcomes)]


def test_adding_goes_from_pending_to_loaded_and_is_answered_twice() -> None:
    desk = desk_at_ten("SPY", sparse_intervals=["1m"])
    accepted = desk.command("add_symbol", "IBM", now_us=at("10:01"))
    assert answers(accepted) == ["add_symbol IBM accepted"]
    assert [one.kind for one in events(accepted)] == [EventKind.SYMBOL_PENDING]
    ibm = desk.data("IBM")
    assert (ibm.status, ibm.incarnation, ibm.is_loaded, ibm.dynamic, ibm.initial) == (SymbolStatus.PENDING, 2, False, True, False)

    loaded = desk.load("IBM", backlog=31, offset=7, note="topic created")
    assert answers(loaded) == ["add_symbol IBM completed"]
    assert replies(loaded)[0].reason == "topic created"
    assert shown(loaded) == ["symbol_added IBM"]
    assert (ibm.status, ibm.is_loaded, ibm.offset, ibm.topic_id, ibm.backlog) == (SymbolStatus.LOADED, True, 7, "IBM-1", True)
    identity = desk.table["symbol|IBM"]
    assert isinstance(identity, SymbolRow)
    assert (identity.topic_id, identity.added_us) == ("IBM-1", at("10:01"))


@pytest.mark.parametrize(
    ("kind", "symbol", "fields", "reason", "why"),
    [
        ("add_symbol", "", {}, "a symbol must not be empty", "no name"),
        ("add_symbol", "A B", {}, "a blank", "a blank in it"),
        ("add_symbol", "A|B", {}, r"a '\|'", "the separator of row keys"),
        ("add_symbol", "X" * 65, {}, "has 65 characters, at most 64", "too long"),
        ("add_symbol", "SPY", {}, r"SPY is in the session already \(loaded\)", "a duplicate"),
        ("add_symbol", "PEND", {}, r"PEND is in the session already \(pending\)", "a duplicate that is not loaded yet"),
        ("add_symbol", "GOING", {}, "GOING is being removed: add it again when it is gone", "on its way out"),
        ("add_symbol", "IBM", {"streams": ("5x",)}, "'5x' is no interval", "no interval"),
        ("add_symbol", "IBM", {"streams": ("2m", "5m")}, "5m is not a whole multiple of the finest one, 2m", "do not fit"),
        ("remove_symbol", "IBM", {}, "IBM is not in the session", "nothing to remove"),
        ("remove_symbol", "GOING", {}, "GOING is being removed already: with immediate it goes at once", "twice"),
        ("pause_symbol", "SPY", {}, "there is no command 'pause_symbol'; there are add_symbol, remove_symbol", "an unknown command"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_refused_with_the_reason(kind: str, symbol: str, fields: dict[str, Any], reason: str, why: str) -> None:
    desk = desk_at_ten("SPY", "GOING")
    desk.command("add_symbol", "PEND")
    desk.command("remove_symbol", "GOING", plan=(10, TEN + MINUTE_US))
    before = dict(desk.session.state.symbols)
    refused = desk.command(kind, symbol, **fields)
    (reply,) = replies(refused)
    assert reply.status is ReplyStatus.FAILED, why
    assert reply.reason is not None
    assert re.search(reason, reply.reason)
    assert [one.kind for one in events(refused)] == [EventKind.COMMAND_REJECTED]
    assert desk.session.state.symbols == before
    assert shown(refused) == []


def test_limits_refuse_with_the_number_and_what_to_do() -> None:
    desk = desk_at_ten("SPY", max_symbols=4, max_pending=2)
    for symbol in ("A", "B"):
        desk.command("add_symbol", symbol)
    assert replies(desk.command("add_symbol", "C"))[0].reason == "2 symbols are being loaded, max_pending is 2: wait for one of them"
    desk.load("A", "B")
    desk.command("add_symbol", "C")
    reason = replies(desk.command("add_symbol", "D"))[0].reason
    assert reason == "the session has 4 symbols, max_symbols is 4: remove one, or raise the limit"


def test_what_frees_a_place_within_the_limits() -> None:
    desk = desk_at_ten("SPY", max_symbols=2, max_pending=1)
    desk.command("add_symbol", "A")
    desk.apply(desk.about(InputKind.LOAD_FAILED, "A", reason="a test"))
    refused = replies(desk.command("add_symbol", "B"))[0]
    assert (refused.status, "the session has 2 symbols" in (refused.reason or "")) == ("failed", True), "a failed symbol has its place"
    assert replies(desk.add("A"))[0].status == "accepted", "and is added again in it"
    plan = (5, at("10:30"))
    desk.command("remove_symbol", "A", plan=plan)
    assert replies(desk.command("add_symbol", "B"))[0].status == "failed", "one that drains is there still"
    desk.advance(plan[1])
    assert replies(desk.command("add_symbol", "B"))[0].status == "accepted", "one that is gone is not"
    desk.command("remove_symbol", "B")
    assert replies(desk.command("add_symbol", "C"))[0].status == "accepted", "nor does one that is gone wait to be loaded"


def test_a_repeated_command_is_answered_again_and_not_run_again() -> None:
    desk = desk_at_ten("SPY")
    desk.command("add_symbol", "IBM", id="x1")
    assert answers(desk.command("add_symbol", "IBM", id="x1")) == ["add_symbol IBM accepted"]
    desk.load("IBM")
    assert answers(desk.command("add_symbol", "IBM", id="x1")) == ["add_symbol IBM completed"]
    assert answers(desk.command("remove_symbol", "SPY", id="x1")) == ["add_symbol IBM completed"], "the id counts, not what is asked"
    desk.restart()
    assert answers(desk.command("add_symbol", "IBM", id="x1")) == ["add_symbol IBM completed"]
    assert desk.data("IBM").incarnation == 2
    assert desk.data("SPY").status is SymbolStatus.LOADED


def test_answers_are_kept_for_seven_days() -> None:
    desk = Desk(config(exchange="24/7"), TEN)
    desk.command("add_symbol", "IBM", id="x1")
    desk.load("IBM")
    desk.command("remove_symbol", "IBM", immediate=True, id="x2", now_us=TEN + DAY_US)
    desk.advance(TEN + 7 * DAY_US)
    assert "command|x1" in desk.table
    desk.advance(TEN + 7 * DAY_US + 1)
    assert "command|x1" not in desk.table
    assert "command|x2" in desk.table


@pytest.mark.parametrize("immediate", [True, False])
def test_removing_a_symbol_removes_all_of_it(immediate: bool) -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["5m"], historical={"trailing_days": 2})
    desk.flow(*minutes("IBM", TEN, 40), bar("IBM", at("10:00", "2013-10-08")))
    # Identity, progress, quality, ten blocks of four one-minute bars and two of four five-minute bars.
    assert len([key for key in desk.table if key.endswith("|IBM")]) == 15
    gone = desk.command("remove_symbol", "IBM", immediate=immediate)
    assert answers(gone) == ["remove_symbol IBM accepted", "remove_symbol IBM completed"]
    assert [key for key in desk.table if key.endswith("|IBM")] == []
    assert desk.session.symbol("IBM") is None
    desk.restart()
    assert desk.session.symbol("IBM") is None


@pytest.mark.parametrize("trailing_days", [0, 1])
def test_a_removal_right_after_a_roll_over_removes_the_rows_of_the_day_before(trailing_days: int) -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["5m"], historical={"trailing_days": trailing_days})
    desk.flow(*minutes("IBM", TEN, 40))
    desk.produce(bar("IBM", at("10:00", "2013-10-08")))
    transaction = desk.begin(at("10:01", "2013-10-08"))
    read = desk.range_of("IBM")
    assert read is not None
    transaction.read([read])
    transaction.apply(desk.command_input("remove_symbol", "IBM", immediate=True))
    desk.end(transaction)
    assert [key for key in desk.table if key.endswith("|IBM")] == []


def test_a_graceful_removal_ends_when_the_position_reaches_the_captured_end() -> None:
    desk = desk_at_ten("SPY", "IBM", sparse_intervals=["1m"])
    desk.produce(*minutes("IBM", TEN, 3))
    # Two transaction markers follow the last record, so the end is 5 and no record has offset 4.
    accepted = desk.command("remove_symbol", "IBM", plan=(5, at("10:30")), now_us=at("10:03"))
    assert answers(accepted) == ["remove_symbol IBM accepted"]
    assert [one.kind for one in events(accepted)] == [EventKind.SYMBOL_REMOVING]
    desk.read("IBM", count=1)
    desk.read("IBM")
    assert desk.data("IBM").status is SymbolStatus.REMOVING, "the last record is read, the end is not reached"
    transaction = desk.begin()
    transaction.read([RangeRead("IBM", 2, 3, 5, [], [])])
    gone = desk.end(transaction)
    assert answers(gone) == ["remove_symbol IBM completed"]
    assert replies(gone)[0].reason == "drained"


def test_a_removal_whose_end_is_reached_already_goes_at_once() -> None:
    desk = desk_at_ten("SPY", "IBM")
    assert answers(desk.command("remove_symbol", "IBM", plan=(0, at("10:30")))) == [
        "remove_symbol IBM accepted",
        "remove_symbol IBM completed",
    ]


def test_a_removal_that_does_not_drain_ends_at_its_deadline() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.command("remove_symbol", "IBM", plan=(9, at("10:05")))
    assert answers(desk.advance(at("10:04:59"))) == []
    (reply,) = replies(desk.advance(at("10:05")))
    assert (reply.status, reply.reason) == (ReplyStatus.COMPLETED, "deadline: 9 was not reached, reading stood at 0")


def test_an_immediate_removal_overtakes_a_graceful_one() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.command("remove_symbol", "IBM", plan=(9, at("10:05")), id="slow")
    gone = desk.command("remove_symbol", "IBM", immediate=True, id="fast")
    assert [(one.command_id, one.status) for one in replies(gone)] == [
        ("fast", ReplyStatus.ACCEPTED), ("slow", ReplyStatus.COMPLETED), ("fast", ReplyStatus.COMPLETED),
    ]  # fmt: skip


def test_removing_a_pending_symbol_answers_its_addition_as_failed() -> None:
    desk = desk_at_ten("SPY")
    desk.command("add_symbol", "IBM", id="add")
    gone = desk.command("remove_symbol", "IBM", plan=(9, at("10:05")), id="remove")
    assert [(one.command_id, one.kind, one.status) for one in replies(gone)] == [
        ("remove", "remove_symbol", ReplyStatus.ACCEPTED),
        ("add", "add_symbol", ReplyStatus.FAILED),
        ("remove", "remove_symbol", ReplyStatus.COMPLETED),
    ]
    assert not desk.apply(desk_loaded_of_a_former_incarnation())


def desk_loaded_of_a_former_incarnation() -> JournalInput:
    return JournalInput(InputKind.LOADED, symbol="IBM", incarnation=2, topic_id="IBM-1", first_offset=0, end_offset=0)


def test_remove_and_add_again_in_one_transaction_begins_from_the_start() -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["5m"])
    desk.flow(*minutes("IBM", TEN, 100))
    old = {key for key in desk.table if key.endswith("|IBM")}
    remove = desk.command_input("remove_symbol", "IBM", immediate=True)
    add = desk.command_input("add_symbol", "IBM")
    desk.apply(remove, add)
    assert {key for key in desk.table if key.endswith("|IBM")} == {"symbol|IBM", "progress|IBM"}
    assert old > {"symbol|IBM", "progress|IBM"}
    assert (desk.data("IBM").incarnation, desk.data("IBM").offset) == (3, 0)

    # What is still under way for the former incarnation is dropped, position and all.
    stale = RangeRead("IBM", 2, 100, 101, [100], [bar("IBM", at("11:40"))])
    transaction = desk.begin()
    transaction.read([stale])
    assert not transaction.apply(desk_loaded_of_a_former_incarnation())
    desk.end(transaction)
    assert desk.journal[-1].inputs == ()

    desk.load("IBM", backlog=100)
    desk.read("IBM")
    assert len(desk.bars("IBM")) == 100
    assert {one.incarnation for one in markers(desk.outcomes, AnalysisKind.HELD_BACK)} <= {2, 3}
    desk.check_redriven()


def test_rows_of_a_former_incarnation_are_dropped_on_restore_and_deleted() -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["5m"])
    desk.flow(*minutes("IBM", TEN, 30))
    left_over = {key: row for key, row in desk.table.items() if key.startswith("bars|") and key.endswith("IBM")}
    desk.apply(desk.command_input("remove_symbol", "IBM", immediate=True), desk.command_input("add_symbol", "IBM"))
    desk.table |= left_over
    desk.session = type(desk.session).restore(desk.table)
    assert desk.session.has_changes
    desk.apply()
    assert not left_over.keys() & desk.table.keys()
    assert len(desk.bars("IBM")) == 0


def test_a_range_that_begins_after_the_position_is_refused_because_records_would_be_lost() -> None:
    desk = desk_at_ten("SPY")
    transaction = desk.begin()
    with pytest.raises(EngineError, match="from offset 5 were handed over while the state stands at 0"):
        transaction.read([RangeRead("SPY", 1, 5, 6, [5], [bar("SPY", TEN)])])


def test_a_load_that_fails_fails_its_symbol_alone_and_it_can_be_added_again() -> None:
    desk = desk_at_ten("SPY")
    desk.flow(bar("SPY", TEN))
    untouched = desk.table["progress|SPY"]
    desk.command("add_symbol", "IBM", id="first")
    failed = desk.apply(desk.about(InputKind.LOAD_FAILED, "IBM", reason="topic bars.IBM does not exist"))
    assert [(one.command_id, one.status, one.reason) for one in replies(failed)] == [
        ("first", ReplyStatus.FAILED, "topic bars.IBM does not exist")
    ]
    assert shown(failed) == ["symbol_failed IBM"]
    assert desk.active
    assert desk.table["progress|SPY"] == untouched
    assert desk.apply(desk.about(InputKind.LOAD_FAILED, "IBM", reason="again")) == [], "it has failed already"
    assert answers(desk.add("IBM")) == ["add_symbol IBM accepted", "add_symbol IBM completed"]
    assert (desk.data("IBM").incarnation, desk.data("IBM").status) == (3, SymbolStatus.LOADED)


def test_a_symbol_that_fails_while_it_drains_is_gone() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.command("remove_symbol", "IBM", plan=(9, at("10:05")))
    gone = desk.apply(desk.about(InputKind.LOAD_FAILED, "IBM", reason="its topic was deleted"))
    assert answers(gone) == ["remove_symbol IBM completed"]
    assert desk.session.symbol("IBM") is None


def test_a_failed_symbol_takes_no_bars_and_closes_no_windows() -> None:
    desk = desk_at_ten("SPY", "IBM", derived_intervals=["5m"])
    desk.flow(*minutes("IBM", TEN, 3))
    desk.apply(desk.about(InputKind.LOAD_FAILED, "IBM", reason="gone"))
    told = desk.feed(bar("IBM", at("10:03")), now_us=at("10:06"))
    assert shown(told) == []
    assert len(desk.bars("IBM")) == 3, "it keeps what it had"


def test_the_streams_of_an_addition_are_its_own() -> None:
    desk = desk_at_ten("SPY", derived_intervals=["5m", "15m"])
    desk.add("FAST", streams=("1s", "1m"))
    desk.add("HALF", streams=("2m",))
    assert (desk.data("FAST").base_interval, desk.data("FAST").derived_intervals) == ("1s", ("1m", "5m", "15m"))
    assert (desk.data("HALF").base_interval, desk.data("HALF").derived_intervals) == ("2m", ()), "neither 5m nor 15m is made of 2m bars"


def test_a_start_of_an_addition_begins_on_its_day_and_never_after_the_sessions() -> None:
    desk = Desk(config("SPY", historical={"trailing_days": 5}), at("10:00", "2013-10-09"))
    desk.load("SPY")
    desk.add("IBM", start_us=at("12:00", "2013-10-08"), backlog=2)
    desk.feed(bar("IBM", at("12:00", "2013-10-08")), bar("IBM", at("09:30", "2013-10-09")))
    ibm = desk.data("IBM")
    assert ([len(kept["1m"]) for kept in ibm.historical.values()], len(ibm.bars)) == ([1], 1)
    assert markers(desk.outcomes, AnalysisKind.SESSION_ROLLED) == [], "the session was there already"

    saturday = Desk(config(), at("12:00", "2013-10-12"))
    saturday.add("IBM", start_us=at("11:00", "2013-10-12"))
    assert saturday.data("IBM").day == saturday.session.state.day(), "Friday's, until Monday comes"


def test_a_symbol_that_was_pending_over_a_roll_over_is_loaded_into_the_new_day() -> None:
    desk = desk_at_ten("SPY")
    desk.command("add_symbol", "IBM")
    desk.advance(at("08:00", "2013-10-08"))
    desk.load("IBM")
    assert desk.data("IBM").day.days == desk.data("SPY").day.days == desk.session.state.days


def test_a_lost_source_goes_on_where_reading_resumes_with_the_hole_told() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.flow(*minutes("IBM", TEN, 3))
    lost = desk.apply(
        desk.about(InputKind.SOURCE_LOST, "IBM", topic_id="IBM-2", first_offset=0, reason="the topic was re-created")
    )  # fmt: skip
    (event,) = events(lost, EventKind.SOURCE_LOST)
    assert (event.reason, event.attributes) == ("the topic was re-created", {"lost_from": "3", "resumes_at": "0"})
    ibm = desk.data("IBM")
    assert (ibm.topic_id, ibm.offset, ibm.backlog, ibm.status) == ("IBM-2", 0, True, SymbolStatus.LOADED)
    assert desk.active, "one symbol's loss is not the others'"


def test_commands_move_the_control_position_and_garbage_is_passed_over() -> None:
    desk = desk_at_ten("SPY")
    desk.command("add_symbol", "IBM")
    assert desk.session.state.control_offset == 1
    told = desk.apply(JournalInput(InputKind.CONTROL_SKIPPED, first_offset=1, next_offset=2, reason="no JSON", text="x7"))
    assert desk.session.state.control_offset == 2
    assert [one.kind for one in events(told)] == [EventKind.COMMAND_REJECTED]
    assert [(one.command_id, one.status, one.reason) for one in replies(told)] == [("x7", ReplyStatus.FAILED, "no JSON")]


# Changes of the config across restarts


def test_symbols_that_the_config_gains_and_loses_come_and_go() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.add("DYN")
    told = desk.configure(config("SPY", "AIG"))
    assert shown(told) == ["symbol_removed IBM"]
    assert [one.symbol for one in events(told, EventKind.SYMBOL_PENDING)] == ["AIG"]
    assert sorted(desk.session.state.symbols) == ["AIG", "DYN", "SPY"], "what was added by command stays"
    assert desk.active, "a symbol that joins later shuts nothing"
    desk.check_redriven()


def test_a_symbol_of_the_config_that_was_removed_by_command_stays_away() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.command("remove_symbol", "IBM", immediate=True)
    desk.configure(config("SPY", "IBM", catchup_threshold_seconds=30))
    assert sorted(desk.session.state.symbols) == ["SPY"]


def test_a_changed_threshold_holds_at_once() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.feed(bar("IBM", at("10:01")), now_us=at("10:04"))
    assert not desk.active
    told = desk.configure(config("SPY", "IBM", per_symbol={"IBM": {"gates": False}}))
    assert shown(told)[-1] == "activated gates_off"
    desk.configure(config("SPY", "IBM", catchup_threshold_seconds=600))
    assert shown(desk.feed(bar("IBM", at("10:02")), now_us=at("10:08"))) == ["bar IBM 1m 10:02"]
    desk.check_redriven()


def test_new_derived_intervals_are_made_from_the_days_bars_and_old_ones_go() -> None:
    desk = desk_at_ten("SPY", derived_intervals=["5m"])
    desk.flow(*minutes("SPY", TEN, 37))
    desk.configure(config("SPY", derived_intervals=["15m", "30m"]))
    assert desk.data("SPY").series("5m") is None
    assert [(one.start_us, one.base_count) for one in desk.bars("SPY", "15m")] == [(TEN, 15), (at("10:15"), 15)]
    assert [(one.start_us, one.base_count) for one in desk.bars("SPY", "30m")] == [(TEN, 30)]
    desk.caught_up("SPY")
    told = desk.flow(*minutes("SPY", at("10:37"), 8))
    assert [one for one in shown(told) if "15m" in one] == ["bar SPY 15m 10:30"]
    assert desk.bars("SPY", "15m")[-1].base_count == 15
    desk.check_redriven()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"exchange": "24/7"}, "exchange was 'XNYS'"),
        ({"session_name": "other"}, "session_name was 'main'"),
        ({"mode": "backtest"}, "mode was 'live'"),
        ({"hours": {"open": "09:30", "close": "12:00"}}, "hours was 'regular'"),
        ({"window_anchor": "clock"}, "window_anchor was 'session'"),
        ({"streams": ["1s"]}, "the base interval was 1m"),
    ],
)
def test_a_change_that_contradicts_the_state_is_refused_with_what_to_do(change: dict[str, Any], key: str) -> None:
    desk = desk_at_ten("SPY")
    desk.flow(bar("SPY", TEN))
    before = desk.data("SPY").progress_row()
    with pytest.raises(ConfigConflictError, match=key) as refused:
        desk.session.configure(SessionConfig.from_dict(config("SPY", **change)), desk.now_us)
    assert "begin another session with a session_name of its own" in str(refused.value)
    assert desk.data("SPY").progress_row() == before


def test_a_restart_under_a_shorter_grace_closes_windows_by_it() -> None:
    values = config("SPY", derived_intervals=["5m"], grace_seconds=50)
    desk = Desk(values, TEN)
    desk.load("SPY")
    desk.flow(*minutes("SPY", TEN, 3))
    desk.advance(at("10:05:10"))
    assert desk.bars("SPY", "5m") == []
    shorter = config("SPY", derived_intervals=["5m"], grace_seconds=10)
    desk.config = SessionConfig.from_dict(shorter)
    # Without a restart in between, as a re-drive meets it.
    desk.apply(JournalInput(InputKind.CONFIGURED, text=desk.config.to_json()))
    assert shown(desk.advance(desk.now_us + SECOND_US)) == ["bar SPY 5m 10:00"]


def test_every_count_of_a_symbol_starts_anew_with_its_incarnation() -> None:
    desk = desk_at_ten("SPY", "IBM")
    desk.flow(*minutes("IBM", TEN, 5))
    desk.apply(desk.command_input("remove_symbol", "IBM", immediate=True), desk.command_input("add_symbol", "IBM"))
    row = desk.table["progress|IBM"]
    assert isinstance(row, ProgressRow)
    assert (row.accepted, row.published, row.checks, row.bar_count, row.frontier_us) == (0, 0, 0, 0, -1)
