"""While a symbol reads a captured backlog, each derived bar that lacks base bars, or whose base bars change, is made once: at its end."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine.transaction import Transaction
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import AnalysisKind, Bar, HeldBackBar, Outcome, PublishedBar, SessionBar
from streams.replay.runner import Replay
from streams.replay.source import MemorySource
from streams.times import MINUTE_US, SECOND_US
from tests.support.engine import Desk, at, bar, clock, config, markers
from tests.support.sessions.replay import session_of

TEN = at("10:00")


def seconds(*numbers: int, **fields: Any) -> list[Bar]:
    """One-second bars of SPY, by their place after ten o'clock; each has the volume 1."""
    return [bar("SPY", TEN + number * SECOND_US, "1s", volume=1.0, **fields) for number in numbers]


def desk_of(begin: str = "09:59", **parts: Any) -> Desk:
    desk = Desk(config("SPY", streams=["1s"], derived_intervals=["1m"], **parts), at(begin))
    desk.load("SPY")
    return desk


def spans(outcomes: list[Outcome], interval: str = "1m") -> list[str]:
    """Each version of each bar of an interval: its start, its base bars, and its revision."""
    bars = [one for one in outcomes if isinstance(one, PublishedBar | HeldBackBar) and one.interval == interval]
    return [f"{clock(one.bar.start_us)} {one.bar.base_count}/{one.bar.expected_count} r{one.bar.revision}" for one in bars]


def test_twenty_seconds_that_a_worker_missed_make_one_bar_of_their_minute() -> None:
    desk = desk_of()
    desk.flow(*seconds(59))
    # The feed reconnects while the worker is away: it goes on live, and sends the twenty seconds before after that.
    desk.produce(*seconds(60, 61, 62, 63, 64, 65, 66), *seconds(*range(39, 59)))
    desk.restart(at("10:01:19"))
    assert spans(desk.read()) == [], "nothing is told of the minute while there is more to read"
    told = desk.caught_up("SPY")
    assert spans(told) == ["10:00 21/60 r0"]
    assert [one.bar.volume for one in desk.published("SPY", "1m")] == [21.0], "it is fresh, and the gate is open"
    assert spans(desk.advance(at("10:02:06"))) == ["10:01 7/60 r0"], "the next minute waits for its own end"


def test_a_minute_that_was_published_before_is_published_once_more() -> None:
    desk = desk_of()
    desk.flow(*seconds(59))
    assert spans(desk.advance(at("10:01:05"))) == ["10:00 1/60 r0"]
    desk.produce(*seconds(*range(30, 50)), *seconds(60))
    desk.restart(at("10:01:20"))
    assert spans(desk.read()) == []
    assert spans(desk.caught_up("SPY")) == ["10:00 21/60 r1"]


def test_a_minute_is_published_as_soon_as_it_is_whole() -> None:
    desk = desk_of()
    desk.flow(*seconds(59))
    desk.advance(at("10:01:05"))
    desk.produce(*seconds(60), *seconds(*range(59)), *seconds(61))
    desk.restart(at("10:01:20"))
    assert spans(desk.read()) == ["10:00 60/60 r1"]
    assert spans(desk.caught_up("SPY")) == []


def test_the_minute_that_the_clock_closed_grows_without_a_word_until_the_end_of_the_backlog() -> None:
    desk = desk_of()
    desk.flow(*seconds(*range(10)))
    assert spans(desk.advance(at("10:01:05"))) == ["10:00 10/60 r0"]
    desk.produce(*seconds(*range(10, 30)))
    desk.restart(at("10:01:20"))
    assert spans(desk.read()) == []
    assert spans(desk.caught_up("SPY")) == ["10:00 30/60 r1"]


@pytest.mark.parametrize(
    ("prices", "told", "why"),
    [
        ([101.0, 102.0, 103.0], ["10:00 60/60 r1"], "three corrections, one revision"),
        ([101.0, 100.0], [], "the second one takes the first one back: nothing is otherwise"),
    ],
)
def test_corrections_in_a_backlog_make_one_revision(prices: list[float], told: list[str], why: str) -> None:
    desk = desk_of()
    desk.flow(*seconds(*range(60)))
    desk.produce(*[one for price in prices for one in seconds(30, price=price)])
    desk.restart(at("10:01:10"))
    assert spans(desk.read()) == []
    assert spans(desk.caught_up("SPY")) == told, why
    assert len(desk.published("SPY", "1s")) == 60 + len(prices), "each base bar goes out as it comes"


def test_stale_bars_of_a_backlog_are_told_as_one_stretch_each() -> None:
    desk = desk_of(per_symbol={"SPY": {"gates": False}})
    desk.produce(*seconds(*range(0, 600, 2)))
    desk.restart(at("11:00"))
    desk.read()
    told = desk.caught_up("SPY")
    revised = [(one.interval, one.extent.count) for one in markers(told, AnalysisKind.REVISED) if one.extent is not None]
    assert revised == [("1m", 9)], "of ten minutes the last one may still get bars"
    assert spans(desk.advance(at("11:00:01")), "1m") == []


def test_what_a_backlog_made_is_held_back_before_the_gate_opens() -> None:
    desk = desk_of(bars_topic=True)
    desk.produce(*seconds(*range(0, 180, 2)))
    desk.restart(at("10:05"))
    desk.read()
    told = desk.caught_up("SPY")
    kinds = [one.kind if hasattr(one, "kind") else type(one).__name__ for one in told if not isinstance(one, PublishedBar)]
    assert spans(told) == ["10:00 30/60 r0", "10:01 30/60 r0"]
    assert kinds.index("HeldBackBar") < kinds.index(AnalysisKind.HELD_BACK) < kinds.index(AnalysisKind.ACTIVATED)


def test_a_window_is_not_told_complete_before_the_backlog_has_made_its_bar() -> None:
    desk = desk_of(interval_complete=["1m"])
    desk.flow(*seconds(*range(0, 50, 7)))
    desk.produce(*seconds(50), *seconds(*range(60, 70)))
    desk.restart(at("10:01:10"))
    assert markers(desk.read(), AnalysisKind.INTERVAL_COMPLETE) == []
    told = desk.caught_up("SPY")
    assert spans(told) == ["10:00 9/60 r0"]
    (complete,) = markers(told, AnalysisKind.INTERVAL_COMPLETE)
    assert complete.interval_complete is not None
    assert (complete.interval_complete.present, complete.interval_complete.absent) == (1, ())


@pytest.mark.parametrize("how", ["remove", "fail"])
def test_a_symbol_that_goes_within_its_backlog_is_accounted_for_as_far_as_it_was_read(how: str) -> None:
    desk = desk_of()
    desk.produce(*seconds(*range(0, 150, 3)))
    desk.restart(at("11:00"))
    desk.read()
    if how == "remove":
        told = desk.command("remove_symbol", "SPY", immediate=True)
    else:
        told = desk.apply(desk.about(InputKind.LOAD_FAILED, "SPY", reason="a test"))
    held = [(one.interval, one.extent.count) for one in markers(told, AnalysisKind.HELD_BACK) if one.extent is not None]
    assert held == [("1s", 50), ("1m", 2)]


def test_a_day_that_is_left_within_a_backlog_makes_its_windows() -> None:
    desk = desk_of(bars_topic=True)
    desk.flow(*seconds(0, 1))
    desk.advance(at("10:01:05"))
    desk.produce(*seconds(2, 3), bar("SPY", at("09:30", "2013-10-08"), "1s"))
    desk.restart(at("09:30:02", "2013-10-08"))
    assert spans(desk.read()) == ["10:00 4/60 r1"]


def test_under_the_first_rules_each_base_bar_makes_its_minute_again() -> None:
    desk = desk_of()
    desk.flow(*seconds(59))
    desk.produce(*seconds(66), *seconds(39, 40))
    desk.now_us = at("10:01:10")
    transaction = Transaction(desk.session, owner="w", now_us=desk.now_us, rules=1)
    transaction.apply(JournalInput(InputKind.RESUMED, reason="w"))
    read = desk.range_of("SPY")
    assert read is not None
    transaction.read([read])
    assert spans(transaction.finish().outcomes) == ["10:00 1/60 r0", "10:00 2/60 r1", "10:00 3/60 r2"]


@st.composite
def topics(draw: st.DrawFn) -> list[Bar]:
    """Ten minutes of a feed in no good order: holes, late bars, repeats and corrections."""
    order = draw(st.lists(st.integers(0, 29), min_size=5, max_size=60))
    price = st.sampled_from([100.0, 100.0, 101.5])
    volume = st.sampled_from([1.0, 0.1])
    return [bar("AA", TEN + number * 20 * SECOND_US, "20s", price=draw(price), volume=draw(volume)) for number in order]


def read_as_backlog(topic: list[Bar], sizes: list[int], *, restores: bool, **parts: Any) -> Desk:
    values = config("AA", streams=["20s"], derived_intervals=["1m", "5m"], bars_topic=True, **parts)
    desk = Desk(values, at("09:59"), restores=restores)
    desk.load("AA")
    desk.apply(JournalInput(InputKind.REWOUND))
    desk.now_us = TEN + 11 * MINUTE_US
    desk.produce(*topic)
    for size in sizes:
        desk.read(count=size)
    desk.read()
    desk.caught_up("AA")
    return desk


def bars_of(desk: Desk) -> list[tuple[str, SessionBar]]:
    return [(one.interval, one.bar) for one in desk.outcomes if isinstance(one, PublishedBar | HeldBackBar)]


RUNS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@RUNS
@given(
    topic=topics(),
    sizes=st.lists(st.integers(1, 9), max_size=15),
    grace=st.sampled_from([0, 5, 50]),
    threshold=st.sampled_from([60, 9999]),
)
def test_the_batches_of_a_backlog_change_no_version_of_any_bar(topic: list[Bar], sizes: list[int], grace: int, threshold: int) -> None:
    keys = {"grace_seconds": grace, "catchup_threshold_seconds": threshold}
    whole = read_as_backlog(topic, [], restores=False, **keys)
    parted = read_as_backlog(topic, sizes, restores=True, **keys)
    assert bars_of(parted) == bars_of(whole)
    made = [one for one in bars_of(whole) if one[0] != "20s"]
    partial = [(interval, one.start_us) for interval, one in made if not one.complete]
    assert len(partial) == len(set(partial)), "a window that lacks bars is told once"
    parted.check_redriven()


@RUNS
@given(topic=topics(), sizes=st.lists(st.integers(1, 9), max_size=8), anchor=st.sampled_from(["session", "clock"]))
def test_a_replay_of_what_was_a_backlog_comes_to_the_same_bars(topic: list[Bar], sizes: list[int], anchor: str) -> None:
    """But for `revision`, which counts the versions that each has made: in a replay late bars are no backlog."""
    desk = read_as_backlog(topic, sizes, restores=False, window_anchor=anchor)
    desk.advance(at("16:05"))
    session = session_of("AA", streams=["20s"], derived_intervals=["1m", "5m"], window_anchor=anchor)
    replay = Replay(session, source=MemorySource({"AA": topic}), start=date(2013, 10, 7), end=date(2013, 10, 7))
    for _ in replay.steps():
        pass
    data = replay.session.symbol("AA")
    assert data is not None
    for interval in ("20s", "1m", "5m"):
        series = data.series(interval)
        assert series is not None
        theirs, ours = list(series), desk.bars("AA", interval)
        if all(one.start_us < other.start_us for one, other in pairwise(topic)):
            assert theirs == ours, "of a feed in order the revisions are the same, too"
        content = [tuple(getattr(one, name) for name in one.__struct_fields__ if name != "revision") for one in theirs]
        assert content == [tuple(getattr(one, name) for name in one.__struct_fields__ if name != "revision") for one in ours]
