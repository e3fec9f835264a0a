"""A verb that raises leaves the state as it was: an error is set off at line after line of the engine, and a twin compared.

What is raised stands for a bug that one record meets. A record that meets it is passed over, journaled and a dead letter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import streams.engine
from streams.config.session import SessionConfig
from streams.engine.session import Session
from streams.engine.state.symbol import SymbolStatus
from streams.errors import EngineError
from streams.model.inputs import InputKind
from streams.model.records import (
    Bar,
    ControlCommand,
    Outcome,
    Rejection,
    RemovalPlan,
    ReplyStatus,
    SourcePosition,
)
from streams.times import MINUTE_US
from tests.support.engine import Desk, at, bar, config, encoded, minutes, rejections, replies, shown

ENGINE = str(Path(streams.engine.__file__).parent)
SESSION = f"{ENGINE}/session.py"
TUESDAY = "2013-10-08"
PLACES = 12
"""How many lines of each verb are broken; with 400 all are, which takes minutes."""

Verb = Callable[[Session], list[Outcome]]


class Broken(Exception):
    """Set off by the test."""


class Breaker:
    """Raises once, at the `at_line`-th line that runs in the engine's rules; counts lines when it never does.

    The rules are the engine without `session`, which is what catches.
    """

    def __init__(self, at_line: int | None = None) -> None:
        self.at_line = at_line
        self.lines = 0

    def __enter__(self) -> Breaker:
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        return self._step if name.startswith(ENGINE) and name != SESSION else None

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line" and (self.at_line is None or self.lines <= self.at_line):
            self.lines += 1
            if self.at_line is not None and self.lines > self.at_line:
                sys.settrace(None)
                raise Broken
        return self._step


def busy_desk() -> Desk:
    """SPY live with open windows, IBM lagging with runs, AIG draining, BAD failed, NEW pending, and a day behind them."""
    values = config(
        "SPY", "IBM", "AIG", "BAD", derived_intervals=["5m", "15m"], historical={"trailing_days": 3}, future_tolerance_seconds=60
    )
    desk = Desk(values, at("09:30"))
    desk.load("SPY", "IBM", "AIG", "BAD")
    desk.produce(*[one for symbol in ("SPY", "IBM", "AIG") for one in minutes(symbol, at("15:40"), 20)])
    desk.read(now_us=at("16:00"))
    desk.advance(at("00:30", TUESDAY))
    desk.apply(desk.about(InputKind.LOAD_FAILED, "BAD", reason="a test"))
    desk.command("add_symbol", "NEW")
    desk.flow(*minutes("SPY", at("09:30", TUESDAY), 13))
    desk.produce(*minutes("AIG", at("09:30", TUESDAY), 7))
    desk.read(now_us=at("09:43:30", TUESDAY))
    desk.command("remove_symbol", "AIG", plan=(40, at("09:50", TUESDAY)))
    desk.produce(*minutes("IBM", at("09:30", TUESDAY), 9))
    desk.read()
    assert not desk.active
    return desk


NOW = at("09:44", TUESDAY)
WEDNESDAY_OPEN = at("09:30", "2013-10-09")


def received(one: Bar, now_us: int = NOW) -> Verb:
    return lambda session: session.receive(one, now_us)


def commanded(kind: str, symbol: str, plan: RemovalPlan | None = None, **fields: Any) -> Verb:
    command = ControlCommand(id=f"{kind}-{symbol}", kind=kind, symbol=symbol, sent_us=NOW, **fields)
    return lambda session: session.command(command, NOW, plan=plan)


OTHER = SessionConfig.from_dict(
    config("SPY", "IBM", "NEXT", derived_intervals=["3m", "15m"], historical={"trailing_days": 3}, per_symbol={"IBM": {"gates": False}})
)

VERBS: dict[str, Verb] = {
    "a bar that completes windows": received(bar("SPY", at("09:44", TUESDAY)), at("09:45", TUESDAY)),
    "a fresh bar that opens the gate": received(bar("IBM", at("09:43", TUESDAY)), NOW),
    "a bar that has waited for its end": lambda session: session.take_waiting("SPY", NOW),
    "time that ends a wait": lambda session: session.advance(NOW),
    "a stale bar": received(bar("IBM", at("09:40", TUESDAY)), NOW),
    "a late bar": received(bar("AIG", at("09:38", TUESDAY)), NOW),
    "a correction": received(bar("SPY", at("09:31", TUESDAY), price=7), NOW),
    "a late bar of a day that is over": received(bar("SPY", at("15:00")), NOW),
    "a bar of the next day": received(bar("SPY", WEDNESDAY_OPEN), WEDNESDAY_OPEN + MINUTE_US),
    "an invalid bar": received(bar("SPY", at("09:44", TUESDAY), low=500.0), NOW),
    "a record that is no bar": lambda session: session.reject("SPY", Rejection.UNDECODABLE, "no magic byte", NOW),
    "an addition": commanded("add_symbol", "MSFT"),
    "an addition of a failed symbol": commanded("add_symbol", "BAD"),
    "a refused addition": commanded("add_symbol", "SPY"),
    "an immediate removal": commanded("remove_symbol", "IBM", immediate=True),
    "a graceful removal": commanded("remove_symbol", "SPY", RemovalPlan(99, NOW + MINUTE_US)),
    "a position that drains": lambda session: session.moved("AIG", 40, NOW),
    "caught up": lambda session: session.caught_up("IBM", NOW),
    "silence": lambda session: session.silent("IBM", NOW),
    "loaded": lambda session: session.loaded("NEW", SourcePosition("NEW-1", 3, 9), NOW),
    "failed": lambda session: session.failed("IBM", "a test", NOW),
    "a lost source": lambda session: session.source_lost("SPY", "SPY-2", 0, "re-created", NOW),
    "time that closes windows and ends a removal": lambda session: session.advance(at("09:51", TUESDAY)),
    "time that rolls the day": lambda session: session.advance(at("00:30", "2013-10-09")),
    "a resumption": lambda session: session.resume("other", at("10:30", TUESDAY)),
    "a rewind": lambda session: session.rewound(NOW),
    "another config": lambda session: session.configure(OTHER, NOW),
}


def prelude(session: Session) -> None:
    """Verbs of the same transaction, before the one that is broken: they have to survive it."""
    session.advance(at("09:43:40", TUESDAY))
    session.receive(bar("SPY", at("09:43", TUESDAY), price=101.5), at("09:43:40", TUESDAY))
    session.receive(bar("SPY", at("09:42", TUESDAY), price=99.5), at("09:43:40", TUESDAY))
    session.reject("IBM", Rejection.UNDECODABLE, "no magic byte", at("09:43:40", TUESDAY))


def aftermath(session: Session, verb: Verb | None) -> list[Any]:
    """What comes of the session from here on: the verb once more, time, and all rows."""
    told: list[Any] = [] if verb is None else [verb(session)]
    first = session.finish(NOW)
    told += [first.outcomes, encoded(first.rows), encoded(session.rows)]
    told.append(session.advance(at("10:20", "2013-10-10")))
    last = session.finish(NOW)
    return [*told, last.outcomes, encoded(last.rows), encoded(session.rows)]


@pytest.fixture(scope="module")
def desk() -> Desk:
    return busy_desk()


def earlier_errors(session: Session) -> None:
    """Errors of the same transaction, at the beginning of a bar, within it and at its end, with sound verbs in between."""
    for at_line in (1, 30, 60):
        one = bar("IBM", at("09:43", TUESDAY), price=90.0 + at_line)
        with pytest.raises(Broken), Breaker(at_line):
            session.receive(one, NOW)
        session.reject("AIG", Rejection.UNDECODABLE, "no magic byte", NOW)


def sound_part_of_earlier_errors(session: Session) -> None:
    for _ in range(3):
        session.reject("AIG", Rejection.UNDECODABLE, "no magic byte", NOW)


@pytest.mark.parametrize("is_first", [True, False], ids=["the first error", "an error after others"])
@pytest.mark.parametrize("name", VERBS)
def test_an_error_at_any_line_of_the_rules_leaves_the_state_untouched(name: str, is_first: bool, desk: Desk) -> None:
    verb = VERBS[name]

    def prepared(before: Callable[[Session], None] = sound_part_of_earlier_errors) -> Session:
        session = Session.restore(desk.table)
        prelude(session)
        if not is_first:
            before(session)
        return session

    counted = prepared()
    with Breaker() as counter:
        verb(counted)
    assert counter.lines > 5
    expected = {retried: aftermath(prepared(), verb if retried else None) for retried in (True, False)}
    # Places spread over all of the verb's lines, in turn with and without a second try.
    step = max(1, counter.lines // PLACES)
    for number, line in enumerate(range(0, counter.lines, step)):
        session = prepared(earlier_errors)
        with pytest.raises(Broken), Breaker(line):
            verb(session)
        retried = number % 2 == 0
        assert aftermath(session, verb if retried else None) == expected[retried], f"broken at line {line} of {counter.lines}"


def test_an_error_before_anything_was_written_finds_the_beginning_again() -> None:
    values = SessionConfig.from_dict(config("SPY", derived_intervals=["5m"], sparse_intervals=["1m", "5m"]))

    def begun() -> Session:
        session, _ = Session.open(values, epoch=3, control_topic_id="c", control_offset=4, owner="w", now_us=at("10:00"))
        session.loaded("SPY", SourcePosition("SPY-1", 0, 0), at("10:00"))
        return session

    twin, broken = begun(), begun()
    with pytest.raises(Broken), Breaker(40):
        broken.receive(bar("SPY", at("10:00")), at("10:01"))
    assert broken.receive(bar("SPY", at("10:00")), at("10:01")) == twin.receive(bar("SPY", at("10:00")), at("10:01"))
    one, other = broken.finish(at("10:01")), twin.finish(at("10:01"))
    assert (one.outcomes, encoded(one.rows)) == (other.outcomes, encoded(other.rows))
    assert set(one.rows) == {"session", "config", "symbol|SPY", "progress|SPY"}


def poison(symbol: str, start_us: int) -> Bar:
    """A bar on which the engine raises: its volume is no number, which no check of the wire let through."""
    return bar(symbol, start_us, volume="many")


def test_a_record_that_meets_a_bug_is_passed_over_journaled_and_driven_again() -> None:
    desk = Desk(config("SPY", "IBM", derived_intervals=["5m"], catchup_threshold_seconds=600), at("10:00"))
    desk.load("SPY", "IBM")
    desk.produce(
        *minutes("SPY", at("10:00"), 2), poison("SPY", at("10:02")), *minutes("SPY", at("10:03"), 3), *minutes("IBM", at("10:00"), 6)
    )
    told = desk.read(now_us=at("10:06"))
    (dead,) = desk.results[-1].dead_letters
    assert (dead.symbol, dead.offset, dead.code) == ("SPY", 2, Rejection.ENGINE_ERROR)
    assert "TypeError" in dead.message
    assert [(one.kind, one.symbol, one.first_offset) for one in desk.journal[-1].inputs if one.kind is InputKind.SKIPPED] == [
        (InputKind.SKIPPED, "SPY", 2)
    ]
    assert (len(desk.bars("SPY")), len(desk.bars("IBM")), desk.data("SPY").offset) == (5, 6, 6)
    assert [word for word in shown(told) if "5m" in word] == ["bar IBM 5m 10:00", "bar SPY 5m 10:00"]
    desk.check_redriven()


@pytest.mark.parametrize(
    ("poisoned", "fails", "why"),
    [(9, False, "nine in a row are not ten"), (10, True, "ten are"), (12, True, "what comes after is not tried any more")],
)
def test_ten_errors_in_a_row_fail_the_symbol_alone(poisoned: int, fails: bool, why: str) -> None:
    desk = Desk(config("SPY", "IBM"), at("10:00"))
    desk.load("SPY", "IBM")
    desk.produce(*[poison("SPY", at("10:00") + index * MINUTE_US) for index in range(poisoned)], bar("SPY", at("10:20")))
    desk.produce(*minutes("IBM", at("10:00"), 21))
    desk.read(now_us=at("10:21"))
    assert (desk.data("SPY").status is SymbolStatus.FAILED) is fails, why
    assert len(rejections(desk.outcomes)) == min(poisoned, 10)
    assert desk.data("SPY").offset == (10 if fails else poisoned + 1), "a failed symbol stands after the last record that was tried"
    assert len(desk.bars("IBM")) == 21
    desk.check_redriven()


def test_errors_that_a_good_record_parts_are_not_in_a_row() -> None:
    desk = Desk(config("SPY"), at("10:00"))
    desk.load("SPY")
    for index in range(4):
        start = at("10:00") + index * 10 * MINUTE_US
        desk.produce(*[poison("SPY", start + minute * MINUTE_US) for minute in range(9)], bar("SPY", start + 9 * MINUTE_US))
    desk.read(now_us=at("10:40"))
    assert desk.data("SPY").status is SymbolStatus.LOADED
    assert desk.data("SPY").counts.engine_errors == 36


def test_errors_while_a_symbol_drains_end_its_removal() -> None:
    desk = Desk(config("SPY", "IBM"), at("10:00"))
    desk.load("SPY", "IBM")
    desk.produce(*[poison("SPY", at("10:00") + index * MINUTE_US) for index in range(12)])
    desk.command("remove_symbol", "SPY", plan=(12, at("11:00")))
    told = desk.read(now_us=at("10:12"))
    assert [one.status for one in replies(told)] == [ReplyStatus.COMPLETED]
    assert desk.session.symbol("SPY") is None
    desk.check_redriven()


def test_a_verb_about_a_symbol_that_is_not_there_is_a_shells_error() -> None:
    desk = Desk(config("SPY"), at("10:00"))
    with pytest.raises(EngineError, match="XYZ is not in the session"):
        desk.session.caught_up("XYZ", at("10:00"))
    with pytest.raises(EngineError, match="SPY is not being read"):
        desk.session.receive(bar("SPY", at("10:00")), at("10:01"))
