"""Heartbeats: a record of their own on analysis, in the sequence, only while the gate is open, and driven again from the journal."""

from __future__ import annotations

from streams.model.inputs import InputKind, JournalInput
from streams.model.records import AnalysisKind, Marker
from streams.times import SECOND_US
from tests.support.engine import Desk, at, bar, config, markers, minutes

BEAT = JournalInput(InputKind.HEARTBEAT)


def open_desk() -> Desk:
    desk = Desk(config("SPY", "IBM"), at("09:30"))
    desk.load("SPY", "IBM")
    desk.flow(bar("SPY", at("09:30")), bar("IBM", at("09:30")))
    return desk


def beat(desk: Desk, seconds: float = 1.0) -> list[Marker]:
    transaction = desk.begin(desk.now_us + round(seconds * SECOND_US))
    transaction.beat()
    return markers(desk.end(transaction), AnalysisKind.HEARTBEAT)


def test_a_heartbeat_takes_the_next_number_and_says_nothing_else() -> None:
    desk = open_desk()
    before = desk.session.state.sequence
    assert beat(desk) == [Marker(before + 1, AnalysisKind.HEARTBEAT, trading_days=desk.session.state.days)]
    assert [one.sequence for one in beat(desk)] == [before + 2]
    (published,) = desk.flow(bar("SPY", at("09:31")))
    assert getattr(published, "sequence", None) == before + 3


def test_while_the_gate_is_shut_there_is_no_sign_of_life_and_nothing_in_the_journal() -> None:
    desk = open_desk()
    desk.feed(bar("SPY", at("09:32")), now_us=at("09:40"))
    assert not desk.active
    assert beat(desk) == []
    assert desk.journal[-1].inputs == ()


def test_a_gate_that_time_or_a_bar_of_the_same_transaction_shuts_gives_no_sign_of_life_after_it() -> None:
    desk = open_desk()
    transaction = desk.begin(at("09:40"))
    desk.produce(bar("SPY", at("09:31")))
    read = desk.range_of("SPY")
    assert read is not None
    transaction.read([read])
    transaction.beat()
    outcomes = desk.end(transaction)
    assert markers(outcomes, AnalysisKind.DEACTIVATED)
    assert not markers(outcomes, AnalysisKind.HEARTBEAT)
    assert markers(desk.apply(BEAT), AnalysisKind.HEARTBEAT) == [], "whatever a shell hands over"


def test_a_transaction_that_tells_something_else_needs_none() -> None:
    desk = open_desk()
    transaction = desk.begin(at("09:32"))
    desk.produce(*minutes("SPY", at("09:31"), 1))
    read = desk.range_of("SPY")
    assert read is not None
    transaction.read([read])
    transaction.beat()
    assert not markers(desk.end(transaction), AnalysisKind.HEARTBEAT)


def test_heartbeats_come_again_from_the_journal_and_after_a_restart_the_sequence_goes_on() -> None:
    desk = open_desk()
    beat(desk)
    desk.flow(bar("IBM", at("09:31")))
    beat(desk)
    desk.restart()
    (one,) = beat(desk)
    assert one.sequence == desk.session.state.sequence
    desk.check_redriven()
