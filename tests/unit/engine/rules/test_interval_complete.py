"""`interval_complete`: when nobody's bar of a window is awaited any more, who is absent, and when nothing is said of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from streams.engine.restore import restore_state
from streams.engine.rules import interval_complete
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import AnalysisKind, Bar, Outcome
from streams.model.rows import SessionRow
from streams.times import DAY_US, MINUTE_US, SECOND_US, parse_instant
from tests.support.engine import OWNER, Desk, at, bar, clock, config, markers, minutes, shown

TEN = at("10:00")
Told = tuple[str, str, int, int, tuple[str, ...]]


def desk_of(*symbols: str, begin_us: int = TEN, restores: bool = False, **parts: Any) -> Desk:
    desk = Desk(config(*symbols, **{"interval_complete": None, **parts}), begin_us, restores=restores)
    desk.load(*symbols)
    return desk


def told(outcomes: Iterable[Outcome]) -> list[Told]:
    """Interval, end, expected, present and absent of each."""
    found = []
    for one in markers(outcomes, AnalysisKind.INTERVAL_COMPLETE):
        complete = one.interval_complete
        assert complete is not None
        assert one.interval is not None
        assert (one.symbol, one.incarnation) == (None, None)
        found.append((one.interval, clock(complete.end_us), complete.expected, complete.present, complete.absent))
    return found


def at_the_close_of(minute: str, *symbols: str, interval: str = "1m") -> list[Bar]:
    return [bar(symbol, at(minute), interval) for symbol in symbols]


# By bars


@pytest.mark.parametrize("order", [("A", "B", "C"), ("C", "B", "A"), ("B", "C", "A")])
@pytest.mark.parametrize("restores", [False, True])
def test_a_window_is_told_with_the_last_bar_of_it_whatever_their_order(order: tuple[str, ...], restores: bool) -> None:
    desk = desk_of("A", "B", "C", restores=restores)
    for minute in ("10:00", "10:01"):
        first, second, third = [bar(symbol, at(minute)) for symbol in order]
        end_us = first.end_us
        assert told(desk.feed(first, now_us=end_us)) == []
        assert told(desk.feed(second, now_us=end_us + SECOND_US)) == []
        last = desk.feed(third, now_us=end_us + 2 * SECOND_US)
        assert shown(last) == [f"bar {order[2]} 1m {minute}", "interval_complete 1m"]
        assert told(last) == [("1m", clock(end_us), 3, 3, ())]
    desk.check_redriven()


def test_bars_that_are_read_together_are_told_window_by_window() -> None:
    desk = desk_of("A", "B", derived_intervals=["2m"], grace_seconds=100, catchup_threshold_seconds=120)
    desk.produce(*minutes("A", TEN, 2), *minutes("B", TEN, 2))
    assert shown(desk.read(now_us=at("10:02"))) == [
        "bar A 1m 10:00", "bar B 1m 10:00", "interval_complete 1m",
        "bar A 1m 10:01", "bar A 2m 10:00", "bar B 1m 10:01", "bar B 2m 10:00", "interval_complete 1m",
    ]  # fmt: skip


def test_a_symbol_whose_frontier_has_gone_beyond_a_window_is_not_waited_for() -> None:
    desk = desk_of("A", "B", grace_seconds=100, catchup_threshold_seconds=120)
    desk.feed(bar("A", TEN), bar("B", TEN), bar("B", at("10:01")), now_us=at("10:02"))
    assert told(desk.outcomes) == [("1m", "10:01", 2, 2, ())]
    got = desk.feed(bar("A", at("10:02")), now_us=at("10:03"))
    assert told(got) == [("1m", "10:02", 2, 1, ("A",))], "A's minute of 10:01 is lost, its next one says so before the wait is over"


def test_a_late_bar_is_present_as_long_as_its_window_was_not_told_and_changes_nothing_after_it() -> None:
    desk = desk_of("A", "B", grace_seconds=100, catchup_threshold_seconds=120)
    desk.feed(bar("A", TEN), bar("A", at("10:01")), now_us=at("10:02"))
    desk.feed(bar("B", at("10:01")), now_us=at("10:02:10"))
    assert told(desk.outcomes) == [("1m", "10:01", 2, 1, ("B",)), ("1m", "10:02", 2, 2, ())]
    assert told(desk.feed(bar("B", TEN), now_us=at("10:02:20"))) == []


# By the clock


@pytest.mark.parametrize("restores", [False, True])
def test_a_window_is_told_when_the_clock_is_grace_past_its_end_with_who_is_absent(restores: bool) -> None:
    desk = desk_of("D", "B", "C", "A", restores=restores)
    desk.feed(bar("B", TEN), now_us=at("10:01"))
    assert told(desk.advance(at("10:01:04"))) == []
    assert told(desk.advance(at("10:01:05"))) == [("1m", "10:01", 4, 1, ("A", "C", "D"))]
    assert told(desk.advance(at("10:01:30"))) == [], "once"
    assert told(desk.feed(bar("A", TEN), now_us=at("10:01:31"))) == [], "what comes later is published, and no window is told twice"
    assert told(desk.advance(at("10:02:05"))) == [("1m", "10:02", 4, 0, ("A", "B", "C", "D"))], "a window in which nothing came is one too"
    desk.check_redriven()


def test_a_bar_that_comes_with_the_clock_is_too_late_by_the_rule_and_derived_bars_come_first() -> None:
    desk = desk_of("A", derived_intervals=["5m"], interval_complete=["1m", "5m"])
    desk.flow(*minutes("A", TEN, 4))
    got = desk.feed(bar("A", at("10:04")), now_us=at("10:05:05"))
    assert shown(got) == ["bar A 5m 10:00", "interval_complete 1m", "interval_complete 5m", "bar A 1m 10:04", "bar A 5m 10:00 r1"]
    assert told(got) == [("1m", "10:05", 1, 0, ("A",)), ("5m", "10:05", 1, 1, ())]


def test_windows_that_nobody_waits_for_any_more_are_passed_over() -> None:
    desk = desk_of("A", "B")
    desk.flow(bar("A", TEN), bar("B", TEN))
    got = told(desk.advance(at("10:31:05")))
    assert [one[1] for one in got] == ["10:30", "10:31"], "of those that ended more than two minutes ago nothing is told"


# Which symbols


def test_symbols_are_expected_while_they_are_loaded() -> None:
    desk = desk_of("A", "B")
    desk.command("add_symbol", "C")
    desk.flow(bar("A", TEN), bar("B", TEN))
    assert told(desk.outcomes)[-1] == ("1m", "10:01", 2, 2, ()), "pending"
    desk.load("C")
    desk.flow(bar("A", at("10:01")), bar("B", at("10:01")))
    assert told(desk.advance(at("10:02:05"))) == [("1m", "10:02", 3, 2, ("C",))], "loaded"
    desk.flow(bar("A", at("10:02")), bar("C", at("10:02")))
    got = desk.command("remove_symbol", "B", plan=(9, at("10:20")))
    assert told(got) == [("1m", "10:03", 2, 2, ())], "one that drains is not waited for: its bar was the last that was missing"
    desk.flow(bar("A", at("10:03")))
    got = desk.apply(desk.about(InputKind.LOAD_FAILED, "C", reason="a test"))
    assert shown(got)[-2:] == ["symbol_failed C", "interval_complete 1m"]
    assert told(got) == [("1m", "10:04", 1, 1, ())]
    desk.command("remove_symbol", "A", immediate=True)
    assert told(desk.advance(at("10:06"))) == [], "without a symbol there is nothing to wait for"
    desk.check_redriven()


def test_only_symbols_that_have_the_interval_are_expected() -> None:
    desk = desk_of("A", derived_intervals=["5m"], interval_complete=["1m", "5m", "1d"])
    desk.add("E", streams=("5m",))
    desk.add("D", streams=("1d",))
    desk.flow(*minutes("A", TEN, 4))
    assert told(desk.outcomes) == [("1m", f"10:0{minute}", 1, 1, ()) for minute in range(1, 5)]
    got = desk.feed(bar("A", at("10:04")), now_us=at("10:05"))
    assert told(got) == [("1m", "10:05", 1, 1, ())]
    assert told(desk.feed(bar("E", TEN, "5m"), now_us=at("10:05:01"))) == [("5m", "10:05", 2, 2, ())]
    desk.advance(at("15:59:30"))
    assert told(desk.feed(bar("D", TEN - TEN % DAY_US, "1d"), now_us=at("16:00"))) == [("1d", "16:00", 1, 1, ())]


def test_a_symbol_that_does_not_gate_is_expected_and_keeps_nobody_waiting() -> None:
    desk = desk_of("A", "THIN", per_symbol={"THIN": {"gates": False}})
    desk.restart(at("10:00:30"))
    desk.caught_up("A")
    desk.flow(bar("A", TEN))
    assert told(desk.advance(at("10:01:05"))) == [("1m", "10:01", 2, 1, ("THIN",))]


# The gate


def test_nothing_is_told_of_windows_that_ended_before_the_gate_opened() -> None:
    desk = desk_of("A", "B")
    desk.flow(bar("A", TEN), bar("B", TEN))
    desk.feed(bar("A", at("10:01")), now_us=at("10:03:30"))
    assert not desk.active
    before = len(told(desk.outcomes))
    desk.feed(bar("B", at("10:01")), bar("B", at("10:02")), now_us=at("10:03:40"))
    desk.advance(at("10:03:50"))
    assert len(told(desk.outcomes)) == before, "the gate is shut"
    desk.feed(bar("A", at("10:02")), bar("A", at("10:03")), bar("B", at("10:03")), now_us=at("10:04"))
    assert desk.active
    assert len(told(desk.outcomes)) == before, "the minute that opened it ended with its opening, and was held back in part"
    desk.flow(bar("A", at("10:04")), bar("B", at("10:04")))
    assert told(desk.outcomes)[before:] == [("1m", "10:05", 2, 2, ())]
    desk.check_redriven()


def test_a_bar_that_shuts_the_gate_completes_nothing() -> None:
    desk = desk_of("A", "B")
    desk.flow(bar("A", at("10:00")))
    got = desk.feed(bar("B", at("09:50")), now_us=at("10:01:01"))
    assert shown(got) == ["deactivated lagging"]
    row = desk.table["session"]
    assert isinstance(row, SessionRow)
    assert row.completed == ()


def test_what_is_unread_after_a_short_absence_is_waited_for() -> None:
    desk = desk_of("A", "B")
    desk.flow(bar("A", TEN), bar("B", TEN))
    desk.produce(bar("A", at("10:01")), bar("B", at("10:01")))
    desk.restart(at("10:01:40"))
    assert told(desk.advance(at("10:02:20"))) == [], "twenty seconds past the end, but nobody has looked yet"
    assert told(desk.read("A")) == []
    got = desk.read("B")
    assert told(got) == [("1m", "10:02", 2, 2, ())]
    desk.caught_up("A", "B")
    assert told(desk.advance(at("10:03:05"))) == [("1m", "10:03", 2, 0, ("A", "B"))], "with nothing unread the clock counts again"
    desk.check_redriven()


def test_a_topic_that_can_not_be_read_keeps_nobody_waiting_for_longer_than_the_threshold() -> None:
    desk = desk_of("A", "B")
    desk.flow(bar("A", TEN), bar("B", TEN))
    desk.restart(at("10:01:30"))
    desk.caught_up("A")
    desk.flow(bar("A", at("10:01")))
    assert told(desk.advance(at("10:02:59"))) == []
    assert told(desk.advance(at("10:03"))) == [("1m", "10:02", 2, 1, ("B",))]


@pytest.mark.parametrize("restores", [False, True])
def test_a_window_that_the_clock_closes_for_one_is_told_with_the_bar_of_another_that_reads_what_it_missed(restores: bool) -> None:
    desk = desk_of("A", "Z", restores=restores, derived_intervals=["5m"], interval_complete=["5m"])
    desk.flow(*minutes("A", TEN, 4), *minutes("Z", TEN, 4))
    desk.apply(desk.about(InputKind.SOURCE_LOST, "A", topic_id="A-2", first_offset=4, reason="re-created"), now_us=at("10:04:30"))
    assert shown(desk.advance(at("10:05:06"))) == ["bar Z 5m 10:00"]
    last = desk.feed(bar("A", at("10:04")), now_us=at("10:05:08"))
    assert shown(last) == ["bar A 1m 10:04", "bar A 5m 10:00", "interval_complete 5m"]
    assert told(last) == [("5m", "10:05", 2, 2, ())]
    desk.check_redriven()


def test_a_rewind_is_waited_for_as_well() -> None:
    desk = desk_of("A")
    desk.apply(JournalInput(InputKind.REWOUND), now_us=at("10:00:30"))
    assert told(desk.advance(at("10:01:05"))) == []
    assert told(desk.feed(bar("A", TEN), now_us=at("10:01:06"))) == [("1m", "10:01", 1, 1, ())]


# Which intervals


@pytest.mark.parametrize(
    ("named", "expected", "why"),
    [
        (None, ["1m"], "by default the base interval"),
        ([], [], "none"),
        (["5m"], ["5m"], "a derived one"),
        (["5m", "1m"], ["1m", "5m"], "two, the shorter first"),
        (["15m"], [], "one that nobody has"),
    ],
)
def test_the_config_names_the_intervals(named: list[str] | None, expected: list[str], why: str) -> None:
    desk = desk_of("A", "B", derived_intervals=["5m"], interval_complete=named)
    for start in range(TEN, TEN + 5 * MINUTE_US, MINUTE_US):
        desk.flow(bar("A", start), bar("B", start))
    assert [one[0] for one in told(desk.results[-1].outcomes)] == expected, why
    assert len(told(desk.outcomes)) == (4 if "1m" in expected else 0) + len(expected)


def test_a_derived_window_waits_for_its_derived_bar() -> None:
    desk = desk_of("A", "B", derived_intervals=["5m"], interval_complete=["5m"], catchup_threshold_seconds=90)
    for minute in (0, 1, 2, 4):
        desk.flow(bar("A", TEN + minute * MINUTE_US), bar("B", TEN + minute * MINUTE_US))
    assert told(desk.outcomes) == [], "the minute of 10:03 is missing, so both windows wait"
    got = desk.feed(bar("A", at("10:03")), now_us=at("10:05:02"))
    assert (shown(got), told(got)) == (["bar A 1m 10:03", "bar A 5m 10:00"], [])
    got = desk.feed(bar("B", at("10:03")), now_us=at("10:05:03"))
    assert told(got) == [("5m", "10:05", 2, 2, ())]


def test_a_derived_bar_that_is_held_back_for_what_it_lacks_is_present() -> None:
    desk = desk_of("A", derived_intervals=["5m"], interval_complete=["5m"], min_completeness=1)
    desk.flow(*minutes("A", TEN, 3))
    got = desk.advance(at("10:05:05"))
    assert (shown(got), told(got)) == (["interval_complete 5m"], [("5m", "10:05", 1, 1, ())])


def test_a_changed_config_goes_on_with_its_own_intervals_and_symbols() -> None:
    parts: dict[str, Any] = {"derived_intervals": ["5m"]}
    desk = desk_of("A", "B", **parts)
    desk.flow(bar("A", TEN), bar("B", TEN))
    desk.configure(config("A", interval_complete=["1m", "5m"], **parts), now_us=at("10:01:01"))
    desk.caught_up("A")
    desk.flow(*minutes("A", at("10:01"), 4))
    assert told(desk.outcomes) == [
        ("1m", "10:01", 2, 2, ()), *[("1m", f"10:0{minute}", 1, 1, ()) for minute in (2, 3, 4, 5)], ("5m", "10:05", 1, 1, ()),
    ]  # fmt: skip
    desk.configure(config("A", interval_complete=[], **parts), now_us=at("10:05:01"))
    desk.caught_up("A")
    desk.flow(bar("A", at("10:05")))
    assert len(told(desk.outcomes)) == 6
    desk.check_redriven()


# Days


def test_the_last_window_ends_with_an_early_close_and_the_next_one_begins_with_the_next_open() -> None:
    friday, monday = "2024-11-29", "2024-12-02"
    desk = desk_of("A", "B", begin_us=at("12:58", friday), derived_intervals=["1h"], interval_complete=["1m", "1h"])
    for start in (at("12:58", friday), at("12:59", friday)):
        desk.flow(bar("A", start), bar("B", start))
    desk.advance(at("13:00:05", friday))
    assert told(desk.outcomes) == [("1m", "12:59", 2, 2, ()), ("1m", "13:00", 2, 2, ()), ("1h", "13:00", 2, 2, ())]
    before = len(told(desk.outcomes))
    for now in ("20:00", "23:59"):
        desk.advance(at(now, friday))
    desk.advance(at("09:30", monday))
    assert len(told(desk.outcomes)) == before, "over the weekend nobody waits"
    desk.flow(bar("A", at("09:30", monday)), bar("B", at("09:30", monday)))
    assert told(desk.outcomes)[before:] == [("1m", "09:31", 2, 2, ())]


def test_there_is_no_window_in_a_break() -> None:
    noon, one = parse_instant("2013-10-07T04:00:00Z"), parse_instant("2013-10-07T05:00:00Z")
    desk = desk_of("700", begin_us=noon - MINUTE_US, exchange="XHKG")
    desk.flow(bar("700", noon - MINUTE_US))
    desk.advance(one)
    desk.flow(bar("700", one))
    ends = [one.interval_complete.end_us for one in markers(desk.outcomes) if one.interval_complete is not None]
    assert ends == [noon, one + MINUTE_US]


@pytest.mark.parametrize("restores", [False, True])
def test_what_is_left_of_a_day_is_told_before_the_first_symbol_leaves_it(restores: bool) -> None:
    midnight = parse_instant("2013-10-08T00:00:00Z")
    desk = desk_of("A", "B", begin_us=midnight - 90 * SECOND_US, exchange="24/7", streams=["1s"], restores=restores)
    desk.advance(midnight - 2 * SECOND_US)
    desk.flow(bar("A", midnight - SECOND_US, "1s"))
    got = desk.feed(bar("A", midnight, "1s"), now_us=midnight + SECOND_US)
    words = [word.split()[0] for word in shown(got)]
    assert words == ["interval_complete"] * (len(words) - 1) + ["bar"], "the session rolls with B"
    last = [one.interval_complete for one in markers(got) if one.interval_complete is not None][-1]
    assert (last.end_us, last.expected, last.present, last.absent) == (midnight, 2, 1, ("B",))
    got = desk.feed(bar("B", midnight, "1s"), now_us=midnight + 2 * SECOND_US)
    assert [word.split()[0] for word in shown(got)] == ["session_rolled", "bar", "interval_complete"]
    desk.check_redriven()


def test_daily_bars_are_told_at_the_close() -> None:
    desk = desk_of("A", "B", begin_us=at("09:30"), streams=["1d"], grace_seconds=600, catchup_threshold_seconds=900)
    midnight = TEN - TEN % DAY_US
    desk.feed(bar("A", midnight, "1d"), now_us=at("16:00"))
    assert told(desk.feed(bar("B", midnight, "1d"), now_us=at("16:02"))) == [("1d", "16:00", 2, 2, ())]


# What it costs


def test_a_bar_of_a_symbol_that_is_not_awaited_costs_a_look_at_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = interval_complete.arrived

    def arrived(state: SessionState, data: SymbolSessionData) -> None:
        calls.append(data.symbol)
        real(state, data)

    monkeypatch.setattr(interval_complete, "arrived", arrived)
    symbols = [f"S{number}" for number in range(9)]
    desk = desk_of(*symbols)
    for minute in range(5):
        desk.feed(*[bar(symbol, TEN + minute * MINUTE_US) for symbol in symbols], now_us=TEN + (minute + 1) * MINUTE_US)
    assert calls == ["S8"] * 5, "the last one by name comes last of those that are merged"
    assert [one[2:4] for one in told(desk.outcomes)] == [(9, 9)] * 5
    desk.feed(bar("S8", at("10:05")), now_us=at("10:08"))
    assert not desk.active
    calls.clear()
    desk.feed(*[bar(symbol, at("10:05")) for symbol in symbols], now_us=at("10:08:01"))
    assert calls == [], "nothing is awaited while the gate is shut"


def test_a_verb_that_raises_leaves_the_wait_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of("A", "B")
    desk.flow(bar("A", TEN))
    real = interval_complete._tell

    def tell(state: SessionState, wait: interval_complete.Wait) -> None:
        real(state, wait)
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(interval_complete, "_tell", tell)
        desk.feed(bar("B", TEN), now_us=at("10:01:01"))
    assert told(desk.outcomes) == []
    assert [one.symbol for one in desk.results[-1].dead_letters] == ["B"]
    assert told(desk.advance(at("10:01:05"))) == [("1m", "10:01", 2, 1, ("B",))]
    got = desk.feed(bar("B", at("10:01")), bar("A", at("10:01")), now_us=at("10:02"))
    assert told(got) == [("1m", "10:02", 2, 2, ())]


def test_a_state_of_some_symbols_that_is_only_read_tells_nothing_of_the_windows_of_all() -> None:
    desk = desk_of("A", "B")
    desk.flow(bar("A", TEN))
    of_a = {key: row for key, row in desk.table.items() if not key.endswith("|B")}
    read = restore_state(of_a)
    row = desk.table["session"]
    assert isinstance(row, SessionRow)
    assert (list(read.symbols), read.sequence, read.session_row().completed, read.outcomes) == (["A"], row.sequence, row.completed, [])


def test_rows_of_a_version_that_told_none_are_taken_over() -> None:
    desk = desk_of("A", interval_complete=[])
    desk.flow(bar("A", TEN))
    values = config("A", interval_complete=None)
    desk.configure(values, now_us=at("10:01:30"))
    desk.caught_up("A")
    assert desk.session.state.owner == OWNER
    desk.flow(bar("A", at("10:01")))
    assert told(desk.outcomes) == [("1m", "10:02", 1, 1, ())]
