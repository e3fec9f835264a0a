"""Quality and gaps are what a plain count over the bars and the calendar gives, at any moment, whatever has happened.

The count here walks over every slot of the day and looks whether there is a bar. It shares nothing with the engine but the bars.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streams.calendar.trading import TradingDay
from streams.engine.rules.gap_filling import due_gaps
from streams.engine.state.series import BarSeries
from streams.engine.state.symbol import SymbolSessionData
from streams.model.inputs import InputKind
from streams.model.records import Bar, SessionBar
from streams.model.rows import StretchRow
from streams.times import DAY_US, MINUTE_US, SECOND_US, interval_us
from tests.support.engine import Desk, bar, config
from tests.support.examples import examples

Slot = tuple[int, int]
Stretch = tuple[int, int]

FRIDAY_US = 16_000 * DAY_US
INTERVALS = ("5m", "15m", "1h", "1d")


def slots_of(day: TradingDay, interval: str, anchor: str) -> list[Slot]:
    """The slots of a base interval that have trading in them, cut at open and close."""
    width_us, open_us, close_us = interval_us(interval), day.segments[0][0], day.segments[-1][1]
    if width_us >= DAY_US:
        return [(open_us, close_us)]
    first_us = open_us - open_us % width_us if anchor == "clock" else open_us
    cut = [(max(start, open_us), min(start + width_us, close_us)) for start in range(first_us, close_us, width_us)]
    return [slot for slot in cut if any(start < slot[1] and slot[0] < end for start, end in day.segments)]


def windows_of(day: TradingDay, interval: str, base: list[Slot], anchor: str) -> list[Slot]:
    """The windows of a derived interval in which a base bar starts, the last one cut at the close."""
    width_us, open_us, close_us = interval_us(interval), day.segments[0][0], day.segments[-1][1]
    if width_us >= DAY_US:
        return [(open_us, close_us)] if base else []
    first_us = open_us - open_us % width_us if anchor == "clock" else open_us
    cut = [
        (max(start, min(day.starts_us, open_us), first_us), min(start + width_us, close_us))
        for start in range(first_us, close_us, width_us)
    ]
    return [window for window in cut if any(window[0] <= start < window[1] for start, _ in base)]


def holding(slots: list[Slot], starts: Iterable[int]) -> set[int]:
    """Which slots (by their start) have a bar: it starts in them."""
    found, ordered = set(), sorted(starts)
    for first, end in slots:
        found |= {first} if any(first <= start < end for start in ordered) else set()
    return found


def counted(slots: list[Slot], present: set[int], confirmed: set[int], now_us: int) -> tuple[int, int, list[tuple[int, int, int]]]:
    """Expected, present, and the gaps with start, end and number of bars."""
    ended = [slot for slot in slots if slot[1] <= now_us]
    expected = [slot for slot in ended if slot[0] in present or slot[0] not in confirmed]
    runs = [(there, list(run)) for there, run in groupby(expected, key=lambda slot: slot[0] in present)]
    gaps = [(run[0][0], run[-1][1], len(run)) for there, run in runs if not there]
    return len(expected), sum(slot[0] in present for slot in expected), gaps


def check(data: SymbolSessionData, empty: list[Stretch], now_us: int) -> None:
    """Compare each interval of the symbol with the plain count at an instant."""
    base = slots_of(data.day, data.base_interval, data.anchor)
    unavailable = {slot[0] for slot in base if any(start <= slot[0] < end for start, end in empty)}
    for interval in (data.base_interval, *data.derived_intervals):
        series = data.series(interval)
        assert series is not None
        starts = [bar.start_us for bar in series]
        if interval == data.base_interval:
            slots, confirmed = base, unavailable
        else:
            slots = windows_of(data.day, interval, base, data.anchor)
            confirmed = {slot[0] for slot in slots if all(one[0] in unavailable for one in base if slot[0] <= one[0] < slot[1])}
        expected, present, gaps = counted(slots, holding(slots, starts), confirmed, now_us)
        found = data.completeness(interval, now_us)
        assert found is not None
        assert (found.expected, found.present, found.gaps) == (expected, present, len(gaps)), interval
        assert found.missing == sum(gap[2] for gap in gaps)
        assert data.bar_quality(interval, now_us) == (100.0 * present / expected if expected else None)
        assert [(gap.start_us, gap.end_us, gap.bar_count) for gap in data.bar_gaps(interval, now_us)] == gaps


@st.composite
def days(draw: st.DrawFn) -> TradingDay:
    """Hours of one to three segments, of whole seconds, minutes or quarters, that may cross midnight."""
    unit_us = draw(st.sampled_from([SECOND_US, MINUTE_US, 15 * MINUTE_US]))
    at_us = FRIDAY_US + draw(st.integers(0, DAY_US // unit_us - 1)) * unit_us
    segments = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 7 * 60 * MINUTE_US // unit_us))
        segments.append((at_us, at_us + length * unit_us))
        at_us += (length + draw(st.integers(1, 120 * MINUTE_US // unit_us))) * unit_us
    return TradingDay(16_000, tuple(segments), segments[0][0] - draw(st.sampled_from([0, 7 * MINUTE_US, DAY_US])))


def session_bar(slot: Slot) -> SessionBar:
    return SessionBar(*slot, 1.0, 1.0, 1.0, 1.0, 1.0, None, None, 1, 1, 0, True, "feed")


def take(series: BarSeries, bar: SessionBar, *, is_base: bool) -> None:
    """As the engine takes a bar in: a new base bar goes straight into the tail."""
    newest = series.last()
    if is_base and (newest is None or bar.start_us > newest.start_us):
        if newest is None or bar.start_us != newest.end_us:
            series.passed(bar.start_us)
        series.tail.append(bar)
    else:
        series.put(bar)


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(day=days(), base=st.sampled_from(["1m", "5m", "1h", "1d"]), anchor=st.sampled_from(["session", "clock"]), chance=st.data())
def test_a_count_of_the_bars_gives_the_same_at_any_moment(day: TradingDay, base: str, anchor: str, chance: st.DataObject) -> None:
    derived = tuple(interval for interval in INTERVALS if interval_us(interval) > interval_us(base))
    data = SymbolSessionData("SPY", 1, base, derived, anchor)
    data.set_day(day)
    slots = slots_of(day, base, anchor)
    all_slots = {base: slots, **{interval: windows_of(day, interval, slots, anchor) for interval in derived}}
    empty: list[Stretch] = []
    for _ in range(chance.draw(st.integers(0, 12))):
        action = chance.draw(st.sampled_from(["bars", "bars", "bars", "bars", "empty", "seal", "look"]))
        match action:
            case "bars":
                interval = chance.draw(st.sampled_from(sorted(all_slots)))
                series, own = data.series(interval), all_slots[interval]
                assert series is not None
                if not own:
                    continue
                first = chance.draw(st.integers(0, len(own) - 1))
                for slot in own[first : first + chance.draw(st.sampled_from([1, 1, 2, 5, 30])) : chance.draw(st.integers(1, 3))]:
                    take(series, session_bar(slot), is_base=interval == base)
            case "empty" if slots:
                first = chance.draw(st.integers(0, len(slots) - 1))
                last = min(len(slots) - 1, first + chance.draw(st.integers(0, 40)))
                empty = joined(slots, [*empty, (slots[first][0], slots[last][1])])
                data.set_gaps((), tuple(StretchRow(*stretch) for stretch in empty))
            case "seal":
                for _, series in data.all_series():
                    series.seal(at_least=chance.draw(st.integers(1, 9)))
        moment = chance.draw(
            st.integers(day.open_us - MINUTE_US, day.close_us + MINUTE_US) | st.sampled_from([slot[1] for slot in slots[-3:]])
        )
        check(data, empty, moment)
    for _, series in data.all_series():
        series.holes = None  # as after a restart
    check(data, empty, day.close_us)


def joined(slots: list[Slot], stretches: list[Stretch]) -> list[Stretch]:
    """The stretches as the engine keeps them: in order, in one where no slot lies between."""
    inside = [any(start <= slot[0] < end for start, end in stretches) for slot in slots]
    runs = [(there, [slot for _, slot in run]) for there, run in groupby(zip(inside, slots, strict=True), key=lambda pair: pair[0])]
    return [(run[0][0], run[-1][1]) for there, run in runs if there]


DAYS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 15_985, "a day of regular hours"),
    ({}, 16_038, "an early close, the day after a holiday"),
    ({"exchange": "XHKG"}, 15_985, "a break at noon"),
    ({"hours": {"open": "18:00", "close": "17:00"}}, 15_985, "hours that cross midnight"),
    ({"exchange": "24/7"}, 15_985, "round the clock"),
    ({"window_anchor": "clock", "hours": {"open": "09:40", "close": "16:00"}}, 15_985, "windows of the clock, the first one cut"),
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["run", "run", "run", "jump", "late", "late", "correct", "empty", "failed", "wait", "restart", "ahead"]),
        st.floats(0, 1),
        st.integers(1, 40),
    ),
    max_size=14,
)


@pytest.mark.parametrize(("parts", "date", "why"), DAYS)
@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=STEPS)
@example(steps=[("run", 0, 5), ("jump", 0, 40), ("empty", 0, 40), ("late", 0.5, 3), ("wait", 0, 40)])
def test_quality_and_gaps_hold_through_bars_late_ones_corrections_answers_and_restarts(
    parts: dict[str, Any], date: int, why: str, steps: list[tuple[str, float, int]]
) -> None:
    values = config(
        "SPY", derived_intervals=["5m", "15m", "1h"], sparse_intervals=[], future_tolerance_seconds=90, grace_seconds=5, **parts
    )
    probe = Desk(values, date * DAY_US).session.state.calendar.day_on(date)
    assert probe is not None, why
    desk = Desk(values, probe.open_us)
    desk.load("SPY")
    slots = slots_of(probe, "1m", "session")
    empty: set[int] = set()
    place = 0
    for what, share, count in steps:
        match what:
            case "run":
                for slot in slots[place : place + count]:
                    desk.feed(minute_bar(slot), now_us=slot[1])
                place = min(place + count, len(slots))
            case "jump":
                place = min(place + count, len(slots) - 1)
            case "late" | "correct" if place:
                for slot in slots[int(share * (place - 1)) :][:count:2]:
                    desk.feed(minute_bar(slot, price=101.0 if what == "correct" else 100.0))
            case "empty" | "failed":
                first = int(share * (len(slots) - 1))
                chosen = slots[first : first + count]
                one = desk.about(
                    InputKind.GAP_ASKED, "SPY", start_us=chosen[0][0], end_us=chosen[-1][1], count=0,
                    reason="away" if what == "failed" else None,
                )  # fmt: skip
                desk.apply(one)
                empty |= {slot[0] for slot in chosen if what == "empty" and slot[1] <= desk.session.state.now_us}
            case "wait":
                desk.advance(min(desk.now_us + count * MINUTE_US, probe.close_us + MINUTE_US))
            case "restart":
                desk.restart()
                desk.caught_up("SPY")
            case "ahead" if place < len(slots):
                desk.feed(minute_bar(slots[place]), now_us=max(desk.now_us, slots[place][1] - 80 * SECOND_US))
                place += 1
        data = desk.data("SPY")
        for moment in (desk.now_us, desk.now_us - 5 * SECOND_US, desk.now_us + 7 * MINUTE_US, probe.close_us):
            check(data, [(start, start + 1) for start in empty], moment)
        due = list(due_gaps(data, desk.config, desk.now_us))
        missing = data.bar_gaps("1m", desk.now_us - 5 * SECOND_US)
        assert sum(gap.bar_count for gap in due) <= sum(gap.bar_count for gap in missing)
        assert all(any(gap.start_us <= one.start_us and one.end_us <= gap.end_us for gap in missing) for one in due)
    desk.check_redriven()


def minute_bar(slot: Slot, price: float = 100.0) -> Bar:
    return bar("SPY", slot[0], price=price)
