"""`quality` events: when, how often, and what they say."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import streams
from streams.engine.reads import SessionData
from streams.engine.transaction import Transaction
from streams.model.inputs import InputKind
from streams.model.records import CommandKind, EventKind, Outcome
from streams.model.rows import QualityRow, SessionRow
from streams.times import MINUTE_US, SECOND_US
from tests.support.engine import Desk, at, bar, config, encoded, events, minutes, replies

TUESDAY = "2013-10-08"
PERIOD_US = 20 * SECOND_US


def desk_of(*symbols: str, begin: str = "09:30", **parts: Any) -> Desk:
    values = {"quality": {"publish_seconds": 20}, "grace_seconds": 5, **parts}
    desk = Desk(config(*symbols, **values), at(begin))
    desk.load(*symbols)
    return desk


def told(outcomes: list[Outcome]) -> list[tuple[str, str, str, str]]:
    """Symbol, interval, missing and gaps of each event."""
    return [
        (one.symbol or "", one.attributes["interval"], one.attributes["missing"], one.attributes["gaps"])
        for one in events(outcomes, EventKind.QUALITY)
    ]


def tick(desk: Desk, until: str, day: str = "2013-10-07") -> list[tuple[int, Outcome]]:
    """A transaction each second, as the worker makes them."""
    found = []
    while desk.now_us < at(until, day):
        found += [(desk.now_us + SECOND_US, one) for one in events(desk.advance(desk.now_us + SECOND_US), EventKind.QUALITY)]
    return found


def test_what_is_missing_is_told_with_all_that_is_known_of_it() -> None:
    desk = desk_of("SPY", derived_intervals=["5m"])
    desk.flow(*minutes("SPY", at("09:30"), 7))
    desk.outcomes.clear()
    desk.feed(*minutes("SPY", at("09:40"), 5), now_us=at("09:45:10"))
    tick(desk, "09:45:30")
    (one,) = events(desk.outcomes, EventKind.QUALITY)
    assert (one.symbol, one.incarnation, one.reason) == ("SPY", 1, None)
    assert one.attributes == {"interval": "1m", "quality": "80.00", "expected": "15", "present": "12", "missing": "3", "gaps": "1"}
    tick(desk, "09:51:30")
    assert told(desk.outcomes)[-3:] == [("SPY", "1m", "8", "2"), ("SPY", "5m", "1", "1"), ("SPY", "1m", "9", "2")]


def test_nothing_is_told_while_nothing_is_missing() -> None:
    desk = desk_of("SPY", derived_intervals=["5m"])
    for one in minutes("SPY", at("09:30"), 20):
        desk.feed(one, now_us=one.end_us + SECOND_US)
        for second in range(2, 60, 7):
            desk.advance(one.end_us + second * SECOND_US)
    assert told(desk.outcomes) == []
    assert "quality|SPY" not in desk.table


def test_a_bar_has_the_grace_to_come() -> None:
    desk = desk_of("SPY", grace_seconds=30)
    desk.flow(*minutes("SPY", at("09:30"), 5))
    tick(desk, "09:36:29")
    assert told(desk.outcomes) == [], "that of 09:35 ended 29 seconds ago"
    tick(desk, "09:36:50")
    assert told(desk.outcomes) == [("SPY", "1m", "1", "1")]


@pytest.mark.parametrize(
    ("rules", "until", "why"), [(2, "16:00:30", "its end is the close"), (1, "16:30:30", "the first rules wait an hour")]
)
def test_a_last_bar_that_the_close_cuts_is_missed_when_its_grace_is_over(rules: int, until: str, why: str) -> None:
    desk = desk_of("SPY", streams=["1h"], sparse_intervals=["1s"])
    desk.flow(*[bar("SPY", at(f"{hour:02}:30"), "1h") for hour in range(9, 15)])
    desk.session.state.rules = rules
    found = []
    for second in range(0, 3600, 10):
        transaction = Transaction(desk.session, owner="w", now_us=at("15:59:50") + second * SECOND_US, rules=rules)
        result = transaction.finish()
        found += [result.now_us for one in events(result.outcomes, EventKind.QUALITY)]
    assert len(found) == 1
    assert at(until) - 30 * SECOND_US < found[0] <= at(until), why


def test_a_daily_bar_of_a_day_with_25_hours_is_missed_after_its_close() -> None:
    whole = {"open": "00:00", "close": "24:00"}
    parts = {"streams": ["1d"], "hours_overrides": {"2013-11-03": whole}, "catchup_threshold_seconds": 7200}
    desk = Desk(config("SPY", quality={"publish_seconds": 20}, grace_seconds=5, **parts), at("00:00", "2013-11-03"))
    desk.load("SPY")
    # The clocks go back: 24 hours after the open it is 23:00.
    desk.now_us = at("22:59:30", "2013-11-03")
    assert tick(desk, "23:10", "2013-11-03") == []
    desk.now_us = at("00:00", "2013-11-04")
    assert [found for found, _ in tick(desk, "00:00:30", "2013-11-04")][:1] != []


def test_what_is_filled_is_told_as_well() -> None:
    desk = desk_of("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 2), *minutes("SPY", at("09:33"), 2))
    tick(desk, "09:35:21")
    desk.feed(*minutes("SPY", at("09:32"), 1))
    tick(desk, "09:35:50")
    assert told(desk.outcomes) == [("SPY", "1m", "1", "1"), ("SPY", "1m", "0", "0")]


@pytest.mark.parametrize("restores", [False, True])
def test_no_two_events_of_an_interval_are_closer_than_asked_for_and_every_change_is_told(restores: bool) -> None:
    symbols = [f"S{number}" for number in range(12)]
    values = config(*symbols, derived_intervals=["5m"], quality={"publish_seconds": 20}, grace_seconds=5)
    desk = Desk(values, at("09:30"), restores=restores)
    desk.load(*symbols)
    found = tick(desk, "09:42")
    moments = defaultdict(list)
    for now_us, one in found:
        moments[one.symbol, one.attributes["interval"]].append(now_us)
    for key, times in moments.items():
        assert min(later - earlier for earlier, later in pairwise(times)) >= PERIOD_US, key
        assert len(times) == (11 if key[1] == "1m" else 2), f"{key}: what ended at 09:42 has its grace"
    last = {(one.symbol, one.attributes["interval"]): one.attributes["missing"] for _, one in found}
    assert last == {(symbol, interval): missing for symbol in symbols for interval, missing in (("1m", "11"), ("5m", "2"))}
    desk.check_redriven()


def test_a_restored_session_tells_the_same() -> None:
    lived, restored = desk_of("SPY", "IBM"), desk_of("SPY", "IBM")
    for desk in (lived, restored):
        desk.flow(*minutes("SPY", at("09:30"), 3))
    for second in range(300):
        now_us = at("09:35") + second * SECOND_US
        if second % 7 == 0:
            restored.restart(resumes=False)
        assert restored.advance(now_us) == lived.advance(now_us)
        assert encoded(restored.results[-1].rows) == encoded(lived.results[-1].rows)
    assert len(told(lived.outcomes)) > 8


def test_the_work_of_many_symbols_is_spread() -> None:
    symbols = [f"S{number:03}" for number in range(300)]
    desk = desk_of(*symbols)
    found = tick(desk, "09:31:10")
    per_transaction = Counter(now_us for now_us, _ in found)
    assert sum(per_transaction.values()) == 0 or max(per_transaction.values()) < 60
    found = tick(desk, "09:31:30")
    per_transaction = Counter(now_us for now_us, _ in found)
    assert len({one.symbol for _, one in found}) > 200
    assert max(per_transaction.values()) < 60, "not all at the minute"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"sparse_intervals": ["1m", "5m"]}, "a missing bar is no gap"),
        ({"per_symbol": {"SPY": {"sparse": True}}}, "not of this symbol"),
    ],
)
def test_nothing_is_told_where_a_missing_bar_is_no_gap(parts: dict[str, Any], why: str) -> None:
    desk = desk_of("SPY", derived_intervals=["5m"], **parts)
    tick(desk, "09:40")
    assert told(desk.outcomes) == [], why


def test_nothing_is_told_of_a_symbol_that_reads_what_it_missed() -> None:
    desk = Desk(config("SPY", quality={"publish_seconds": 20}), at("12:00"))
    desk.load("SPY", backlog=150)
    tick(desk, "12:02")
    assert told(desk.outcomes) == []
    desk.feed(*minutes("SPY", at("09:30"), 150))
    desk.caught_up("SPY")
    tick(desk, "12:03")
    assert [one[2] for one in told(desk.outcomes)] == ["2"], "of what is missing up to now"


def test_a_day_begins_with_nothing_told_and_keeps_to_the_period() -> None:
    desk = desk_of("SPY", begin="15:55")
    tick(desk, "16:01")
    row = desk.table["quality|SPY"]
    assert isinstance(row, QualityRow)
    assert row.told[0].missing == 390
    desk.flow(*minutes("SPY", at("09:30", TUESDAY), 1))
    after = desk.table["quality|SPY"]
    assert isinstance(after, QualityRow)
    assert (after.told, after.told_us, after.trading_days) == ((), row.told_us, row.trading_days + 1)
    desk.outcomes.clear()
    tick(desk, "09:33", TUESDAY)
    assert told(desk.outcomes) == [("SPY", "1m", "1", "1")]


def test_the_session_keeps_when_it_looked_last() -> None:
    desk = desk_of("SPY")
    desk.advance(at("09:30:07"))
    row = desk.table["session"]
    assert isinstance(row, SessionRow)
    assert row.measured_us == at("09:30:07")


def test_nobody_outside_the_engine_can_set_quality_or_gaps() -> None:
    """They follow from the bars. What is recorded of them is what was told and asked, by the engine itself."""
    assert not [name for name in dir(SessionData) if name.startswith("set")]
    assert not [kind for kind in (*CommandKind, *InputKind) if kind.startswith("set")]
    desk = desk_of("SPY")
    (reply,) = replies(desk.command("set_quality", "SPY"))
    assert (reply.status, "there is no command 'set_quality'" in (reply.reason or "")) == ("failed", True)
    package = Path(streams.__file__).parent
    callers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "set_quality(" in (text := path.read_text()) or "set_gaps(" in text
    }
    assert callers == {"engine/state/symbol.py", "engine/rules/quality_events.py", "engine/rules/gap_filling.py"}


def test_minutes_of_an_outage_are_told_once_each() -> None:
    desk = desk_of("SPY")
    desk.flow(*minutes("SPY", at("09:30"), 1))
    found = [(one.attributes["missing"], one.attributes["gaps"]) for _, one in tick(desk, "09:36")]
    assert found == [(str(missing), "1") for missing in range(1, 5)]
    assert desk.now_us - at("09:36") < MINUTE_US
