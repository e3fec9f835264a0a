"""Time alone: at which instant it has an effect next, and that one leap of the clock comes to what many small steps come to."""

from __future__ import annotations

from collections import defaultdict
from math import isnan
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.engine.state.columns import NO_BARS
from streams.engine.state.slots import Slots
from streams.model.inputs import InputKind
from streams.model.records import Bar, HeldBackBar, Marker, Outcome, PublishedBar, SessionBar
from streams.model.rows import BlockRow, Columns, ProgressRow, Row, SessionRow, SymbolRow
from streams.times import DAY_US, MINUTE_US, SECOND_US, from_us, interval_us
from tests.support.engine import Desk, at, bar, config, minutes
from tests.support.examples import examples

FRIDAY, MONDAY, TUESDAY = "2013-10-04", "2013-10-07", "2013-10-08"
AHEAD = DAY_US


def desk_of(*symbols: str, now: int = at("09:30"), **parts: Any) -> Desk:
    desk = Desk(config(*symbols, **parts), now_us=now)
    desk.load(*symbols)
    return desk


def clock(us: int | None) -> str | None:
    return None if us is None else from_us(us).strftime("%d %H:%M:%S")


def next_effect(desk: Desk, ahead_us: int = AHEAD) -> str | None:
    """The next instant at which time has an effect, in UTC."""
    return clock(desk.session.next_effect_us(desk.now_us + ahead_us))


# When next


def test_a_window_that_lacks_bars_is_due_its_grace_after_its_end() -> None:
    desk = desk_of("A", derived_intervals=["5m"])
    desk.flow(*minutes("A", at("09:30"), 4))
    assert next_effect(desk) == "07 13:35:05"
    assert clock(desk.session.next_effect_us(at("09:35:04"))) is None, "it is beyond what was asked for"


def test_a_window_that_is_complete_is_not_due() -> None:
    desk = desk_of("A", derived_intervals=["5m"])
    desk.flow(*minutes("A", at("09:30"), 5))
    assert next_effect(desk) == "07 13:40:00", "silence, 300 seconds after the last bar"


def test_a_bar_that_waits_is_due_at_its_end_and_comes_before_what_a_leap_closes() -> None:
    desk = desk_of("A", derived_intervals=["5m"])
    desk.flow(*minutes("A", at("09:30"), 3))
    desk.feed(bar("A", at("09:34")), now_us=at("09:34:57"))
    assert next_effect(desk) == "07 13:35:00"
    told = [one for one in desk.advance(at("09:35:30")) if isinstance(one, PublishedBar)]
    assert [(one.interval, one.bar.base_count) for one in told] == [("1m", 1), ("5m", 4)], "the window lacks 09:33 and waits for its grace"
    assert desk.data("A").last_update_us == at("09:35"), "it was taken in at its end"


def test_a_symbol_is_quiet_after_the_threshold_and_silent_until_the_close() -> None:
    desk = desk_of("A", silence_threshold_seconds=90)
    desk.flow(bar("A", at("15:00")))
    assert next_effect(desk) == "07 19:02:30"
    assert desk.session.quiet_symbols(at("15:02:29")) == []
    assert desk.session.quiet_symbols(at("15:02:30")) == ["A"]
    desk.apply(desk.about(InputKind.SILENT, "A"), now_us=at("15:02:30"))
    assert next_effect(desk) == "07 20:00:00", "nothing is silent after the close"


def test_silence_ends_with_the_lunch_break_and_begins_anew_after_it() -> None:
    day = "2024-11-05"
    noon = at("23:00", "2024-11-04")  # 12:00 in Hong Kong
    desk = desk_of("0005", now=noon - 30 * MINUTE_US, exchange="XHKG", silence_threshold_seconds=600)
    desk.flow(bar("0005", noon - 20 * MINUTE_US))
    assert next_effect(desk) == "05 03:51:00", day
    desk.apply(desk.about(InputKind.SILENT, "0005"), now_us=noon - 9 * MINUTE_US)
    assert next_effect(desk) == "05 04:00:00", "the break"
    desk.advance(noon)
    assert not desk.data("0005").silent
    assert next_effect(desk) == "05 05:10:00", "ten minutes into the afternoon"


def test_a_symbol_that_lags_after_hours_is_waited_for_until_it_is_quiet() -> None:
    desk = desk_of("A", silence_threshold_seconds=300)
    desk.feed(bar("A", at("15:59")), now_us=at("16:03"))
    assert not desk.active
    assert next_effect(desk) == "07 20:08:00"


def test_interval_complete_is_due_its_grace_after_the_end() -> None:
    desk = desk_of("A", "B", interval_complete=None)
    desk.flow(bar("A", at("09:30")))
    assert next_effect(desk) == "07 13:31:05"
    assert clock(desk.session.next_effect_us(desk.now_us + AHEAD, with_completes=False)) == "07 13:35:00", "B is silent"


def test_interval_complete_waits_for_who_reads_what_it_missed() -> None:
    desk = Desk(config("A", interval_complete=None), now_us=at("09:30"))
    desk.load("A")
    desk.restart(at("09:30:01"))
    assert next_effect(desk) == "07 13:32:00", "the smallest threshold after 09:31"


def test_a_deadline_is_due() -> None:
    desk = desk_of("A")
    desk.command("remove_symbol", "A", plan=(5, at("09:32")))
    assert next_effect(desk) == "07 13:32:00"
    assert [one.kind for one in desk.advance(at("09:33")) if isinstance(one, Marker)] == ["symbol_removed"]


ROLLS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"exchange": "XNYS"}, "1m", "2013-10-08 04:00:00", "midnight in New York"),
    ({"exchange": "24/7"}, "1m", "2013-10-08 00:01:00", "as long as the last bar would be fresh"),
    ({"exchange": "24/7", "catchup_threshold_seconds": 3600}, "1m", "2013-10-08 00:05:00", "but at most five minutes"),
    ({"exchange": "24/7", "catchup_threshold_seconds": 3600}, "1d", "2013-10-08 01:00:00", "the day's only bar is waited for"),
]


@pytest.mark.parametrize(("parts", "base", "due", "why"), ROLLS)
def test_the_roll_of_a_day_is_due(parts: dict[str, Any], base: str, due: str, why: str) -> None:
    desk = desk_of("A", now=at("15:30"), streams=[base], silence_threshold_seconds=20 * 3600, **parts)
    found = desk.session.next_effect_us(desk.now_us + AHEAD)
    assert found is not None
    assert str(from_us(found))[:19] == due, why
    desk.advance(found - 1)
    assert desk.data("A").day.days == at("12:00") // DAY_US
    desk.advance(found)
    assert desk.data("A").day.days == at("12:00") // DAY_US + 1


def test_who_reads_what_it_missed_rolls_by_no_clock() -> None:
    desk = desk_of("A", exchange="24/7")
    desk.restart()
    assert next_effect(desk, 3 * DAY_US) is None
    desk.advance(desk.now_us + 3 * DAY_US)
    assert desk.data("A").day.days == at("12:00") // DAY_US
    desk.caught_up("A")
    assert desk.session.next_effect_us(desk.now_us) is not None, "two days are over, at once"
    desk.advance(desk.now_us)
    assert desk.data("A").day.days == at("12:00") // DAY_US + 3
    assert next_effect(desk) == clock(desk.now_us), "nothing has come for three days"
    assert desk.session.quiet_symbols(desk.now_us) == ["A"]


def test_a_session_without_symbols_rolls_day_by_day_too() -> None:
    desk = Desk(config(exchange="24/7"), now_us=at("12:00"))
    assert next_effect(desk) == "08 00:00:00"
    told = desk.advance(desk.now_us + 2 * DAY_US)
    assert [one.trading_days for one in told if isinstance(one, Marker)] == [at("12:00") // DAY_US + 1, at("12:00") // DAY_US + 2]


def test_at_the_end_of_the_calendar_time_has_no_effect() -> None:
    desk = desk_of("A", now=at("12:00"), exchange="24/7")
    last = desk.session.state.calendar
    days = desk.now_us
    while last.covers(days + DAY_US):
        days += DAY_US
    desk.advance(days)
    assert last.covers(days)
    assert next_effect(desk, 30 * DAY_US) in (None, next_effect(desk, 2 * DAY_US))
    desk.advance(days + 10 * DAY_US)
    assert next_effect(desk, 30 * DAY_US) is None


# A leap


def test_a_leap_rolls_day_by_day_and_closes_each_window_on_its_own_day() -> None:
    desk = desk_of("A", now=at("19:00"), exchange="24/7", derived_intervals=["5m"], historical={"trailing_days": 3, "apply_to": []})
    desk.flow(bar("A", at("19:31")))
    told = desk.advance(desk.now_us + 3 * DAY_US)
    rolled = [one.trading_days for one in told if isinstance(one, Marker) and one.kind == "session_rolled"]
    assert rolled == [at("12:00") // DAY_US + days for days in (1, 2, 3)]
    (made,) = desk.data("A").historical[at("12:00") // DAY_US]["5m"]
    assert (made.base_count, made.expected_count) == (1, 5)


def test_what_a_leap_makes_is_held_back_where_it_is_stale_by_then() -> None:
    desk = desk_of("A", derived_intervals=["5m"])
    desk.flow(*minutes("A", at("09:30"), 4))
    assert [one for one in desk.advance(at("09:37")) if isinstance(one, PublishedBar)] == []
    assert desk.data("A").counts.held_back == 1


def test_a_hundred_thousand_empty_windows_are_passed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of("A", now=at("12:00"), exchange="24/7", interval_complete=None)
    asked, real = [], Slots.end_of

    def end_of(slots: Slots, number: int) -> int:
        asked.append(number)
        return real(slots, number)

    monkeypatch.setattr(Slots, "end_of", end_of)
    told = desk.advance(desk.now_us + 70 * DAY_US)
    completes = [one.interval_complete.end_us for one in told if isinstance(one, Marker) and one.interval_complete is not None]
    assert completes == [desk.now_us - 2 * MINUTE_US, desk.now_us - MINUTE_US]
    assert len(asked) < 1000


# Any schedule


@st.composite
def lives(draw: st.DrawFn) -> tuple[dict[str, Any], int, list[tuple[int, list[Bar]]]]:
    """A config, its beginning, and batches of bars with the instants at which they come: on time, a little late, or a day on."""
    exchange, begin = draw(st.sampled_from([("24/7", at("19:30", FRIDAY)), ("XNYS", at("15:30", FRIDAY)), ("XHKG", at("23:30", FRIDAY))]))
    base = draw(st.sampled_from(["1m", "1m", "5m", "1d"]))
    parts = {
        "exchange": exchange,
        "streams": [base],
        "derived_intervals": {"1m": ["5m", "15m"], "5m": ["15m"], "1d": []}[base],
        "grace_seconds": draw(st.sampled_from([None, 0, 20])),
        "catchup_threshold_seconds": 100_000 if base == "1d" else draw(st.sampled_from([60, 400])),
        "interval_complete": draw(st.sampled_from([None, []])),
        "historical": {"trailing_days": 2, "apply_to": []},
    }
    widths = {"1m": MINUTE_US, "5m": 5 * MINUTE_US, "1d": DAY_US}
    now, batches = begin, []
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.sampled_from([1, 1, 2, 5, 30, 600, 1440, 3000])) * MINUTE_US
        now -= now % MINUTE_US
        width = widths[base]
        last = (now // width - 1) * width
        bars = [bar(symbol, last - back * width, base) for symbol in ("A", "B") for back in draw(st.sets(st.integers(0, 3), max_size=2))]
        now += draw(st.sampled_from([0, 0, 1, 7])) * SECOND_US
        batches.append((now, sorted(bars, key=lambda one: one.end_us)))
    return config("A", "B", **parts), begin, batches


def kept(outcomes: list[Outcome]) -> list[tuple[str, str, SessionBar]]:
    """The bars that came of a run, published or held back."""
    return [(one.symbol, one.interval, one.bar) for one in outcomes if isinstance(one, PublishedBar | HeldBackBar)]


Kept = tuple[float | str | None, ...]


def content(rows: dict[str, Row]) -> tuple[dict[str, Row], dict[tuple[str, str, int], list[Kept]]]:
    """Rows without what says how often there was a transaction, and what of it was published in time; and the bars that are kept.

    How bars are cut into blocks goes by transactions: each one ends with blocks being made of what is there.
    """
    found: dict[str, Row] = {}
    blocks: dict[tuple[str, str, int], list[Kept]] = defaultdict(list)
    tails: dict[tuple[str, str, int], list[Kept]] = {}
    bases = {row.symbol: row.base_interval for row in rows.values() if isinstance(row, SymbolRow)}
    for key, row in sorted(rows.items()):
        match row:
            case SessionRow():
                row = replace(row, transaction=0, sequence=0, measured_us=0)
            case BlockRow():
                usual = "feed" if row.interval == bases[row.symbol] else "derived"
                blocks[row.symbol, row.interval, row.trading_days] += bars_in(row.bars, row.interval, usual)
                continue
            case ProgressRow():
                base = bases[row.symbol]
                tails[row.symbol, base, row.trading_days] = bars_in(row.tail, base, "feed")
                row = replace(row, published=0, held_back=0, runs=(), tail_index=0, tail=NO_BARS)
        if not key.startswith("quality"):
            found[key] = row
    series = {key: blocks.get(key, []) + tails.get(key, []) for key in blocks.keys() | tails.keys()}
    return found, {key: bars for key, bars in series.items() if bars}


def bars_in(columns: Columns, interval: str, usual: str) -> list[Kept]:
    """The bars of a row, each with all its columns; `usual` is the provenance that is not written."""
    count = len(columns.slots)
    starts = [columns.first_start_us + slot * interval_us(interval) for slot in columns.slots]
    vwaps = [None if isnan(vwap) else vwap for vwap in columns.vwap] or [None] * count
    provenances = columns.provenances or (usual,)
    return list(
        zip(
            starts, columns.open, columns.high, columns.low, columns.close, columns.volume, vwaps,
            columns.trades or [-1] * count, columns.base_counts or [1] * count, columns.revisions or [0] * count,
            provenances if len(provenances) == count else provenances * count, strict=True,
        )
    )  # fmt: skip


def run_of(
    values: dict[str, Any], begin: int, batches: list[tuple[int, list[Bar]]], between: list[list[int]] | None, *, stops: bool
) -> Desk:
    """Drive a session: `between` gives instants to advance to before each batch, and `stops` has it stop where the session says."""
    values = {**values, "session_data_config": {**values["session_data_config"], "bars_topic": True}}
    desk = Desk(values, now_us=begin)
    desk.load("A", "B")
    for place, (now_us, bars) in enumerate(batches):
        steps = sorted(between[place]) if between is not None else []
        for until_us in [*(one for one in steps if desk.now_us < one < now_us), now_us]:
            while stops and (due_us := desk.session.next_effect_us(until_us)) is not None:
                desk.advance(max(due_us, desk.now_us))
                silent = [desk.about(InputKind.SILENT, symbol) for symbol in desk.session.quiet_symbols(desk.now_us)]
                if silent:
                    desk.apply(*silent)
            if until_us < now_us:
                desk.advance(until_us)
        desk.feed(*bars, now_us=now_us)
    return desk


ANY = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@ANY
@given(lives(), st.data())
def test_any_schedule_of_advances_gives_the_same_state_and_the_same_bars(
    life: tuple[dict[str, Any], int, list[tuple[int, list[Bar]]]], data: st.DataObject
) -> None:
    values, begin, batches = life
    instants = st.lists(st.integers(0, 60 * 1440).map(lambda part: part * SECOND_US), max_size=6)
    starts = [begin, *(now_us for now_us, _ in batches)]
    between = [[starts[place] + one for one in data.draw(instants)] for place in range(len(batches))]
    leaping = run_of(values, begin, batches, None, stops=False)
    stepping = run_of(values, begin, batches, between, stops=False)
    assert kept(stepping.outcomes) == kept(leaping.outcomes)
    assert content(stepping.table) == content(leaping.table)
    rolled = [[one.trading_days for one in desk.outcomes if getattr(one, "kind", None) == "session_rolled"] for desk in (leaping, stepping)]
    assert rolled[0] == rolled[1]


@ANY
@given(lives(), st.data())
def test_a_clock_that_stops_where_the_session_says_misses_nothing(
    life: tuple[dict[str, Any], int, list[tuple[int, list[Bar]]]], data: st.DataObject
) -> None:
    values, begin, batches = life
    instants = st.lists(st.integers(0, 3600).map(lambda part: part * SECOND_US), max_size=6)
    starts = [begin, *(now_us for now_us, _ in batches)]
    between = [[starts[place] + one for one in data.draw(instants)] for place in range(len(batches))]
    fewest = run_of(values, begin, batches, None, stops=True)
    more = run_of(values, begin, batches, between, stops=True)
    told = [[one for one in desk.outcomes if getattr(one, "kind", None) != "quality"] for desk in (fewest, more)]
    assert told[0] == told[1]
    tables = [{key: row for key, row in desk.table.items() if not isinstance(row, SymbolRow)} for desk in (fewest, more)]
    sessions = [replace(table.pop("session"), transaction=0, measured_us=0) for table in tables]
    assert sessions[0] == sessions[1]
    assert {key: row for key, row in tables[0].items() if not key.startswith("quality")} == {
        key: row for key, row in tables[1].items() if not key.startswith("quality")
    }
