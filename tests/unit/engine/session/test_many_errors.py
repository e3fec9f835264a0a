"""Many records of one batch on which the engine raises: the work grows with their number, not with its square."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from streams.engine import session
from streams.engine.rollback import fork_state, fork_symbol
from streams.engine.rules import bars
from streams.engine.state.grid import Grid
from streams.engine.state.holes import Ranges
from streams.engine.state.slots import Slots
from streams.engine.transaction import Transaction
from streams.model.inputs import InputKind
from streams.model.records import Bar, Rejection
from streams.times import SECOND_US
from tests.support.engine import CODEC, Desk, at, bar, config, minutes
from tests.unit.engine.test_atomic import busy_desk

SYMBOLS = ("AIG", "IBM", "MSFT", "SPY")


def mostly_poison(symbol: str, count: int) -> list[Bar]:
    """Of ten records in a row nine are such that the engine raises on them, so that the symbol never fails."""
    starts = [at("10:00") + place * SECOND_US for place in range(count)]
    poison: dict[str, Any] = {"volume": "many"}
    return [bar(symbol, start_us, "1s", **({} if place % 10 == 9 else poison)) for place, start_us in enumerate(starts)]


def errors_and_work(each: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Desk, Counter[str]]:
    """A desk that has read one batch of `each` records of four symbols, and how often the engine did what."""
    desk = Desk(config(*SYMBOLS, streams=["1s"], derived_intervals=["5s"], catchup_threshold_seconds=3600), at("09:30"))
    desk.load(*SYMBOLS)
    work: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            work[name] += 1
            return function(*arguments)

        return call

    for module, name in ((bars, "receive"), (session, "restore_state"), (session, "fork_symbol")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    for symbol in SYMBOLS:
        desk.produce(*mostly_poison(symbol, each))
    desk.read(now_us=at("10:30"))
    return desk, work


def test_nine_errors_of_ten_records_cost_a_few_steps_each_and_are_driven_again_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    each = 300
    with monkeypatch.context() as watched:
        desk, work = errors_and_work(each, watched)
    records, errors = each * len(SYMBOLS), each * len(SYMBOLS) * 9 // 10
    letters = desk.results[-1].dead_letters
    assert (len(letters), {letter.code for letter in letters}) == (errors, {Rejection.ENGINE_ERROR})
    assert work["restore_state"] == 1, "the rows are gone back to once, by the first error"
    assert work["receive"] <= 2 * records, "each record is received, and at most once more"
    assert work["fork_symbol"] <= 3 * errors, "an error costs a copy of what was touched since the one before it"
    assert [len(desk.bars(symbol, "1s")) for symbol in SYMBOLS] == [each // 10] * len(SYMBOLS)
    desk.check_redriven()


def test_what_an_error_of_any_length_says_is_cut_so_that_the_journal_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(config("SPY"), at("10:00"))
    desk.load("SPY")

    def raising(*_: object) -> None:
        raise ValueError("x" * 1_000_000)

    monkeypatch.setattr(bars, "_take_new", raising)
    desk.produce(bar("SPY", at("10:00")))
    desk.read(now_us=at("10:01"))
    (skipped,) = [given for given in desk.journal[-1].inputs if given.kind is InputKind.SKIPPED]
    assert (skipped.reason or "").startswith("ValueError: xxx")
    assert len(skipped.reason or "") < 1000
    transaction = Transaction(desk.session, owner="w", now_us=desk.now_us)
    monkeypatch.setattr(session.gate, "caught_up", raising)
    transaction.apply(desk.about(InputKind.CAUGHT_UP, "SPY"))
    (failed,) = transaction.finish().journal.inputs
    assert len(failed.reason or "") < 1000


UNCHANGING = (Grid, Slots, Ranges)


def changing_parts(thing: Any, found: dict[int, Any]) -> dict[int, Any]:
    """Everything within reach that has a value which can be put in place: lists, dicts, sets and objects of the engine's own."""
    kind = type(thing)
    if id(thing) in found or kind in UNCHANGING:
        return found
    if kind in (list, set):
        found[id(thing)] = thing
        parts = list(thing)
    elif kind is dict:
        found[id(thing)] = thing
        parts = list(thing.values())
    elif kind.__module__.startswith("streams.engine") and "__slots__" in vars(kind) and not hasattr(kind, "__struct_fields__"):
        found[id(thing)] = thing
        parts = [getattr(thing, slot) for slot in kind.__slots__ if hasattr(thing, slot)]
    else:
        parts = []
    for part in parts:
        changing_parts(part, found)
    return found


def test_a_copy_of_the_state_shares_nothing_that_can_be_changed_in_place() -> None:
    state = busy_desk().session.state
    copy = fork_state(state, {symbol: fork_symbol(data) for symbol, data in state.symbols.items()})
    original = changing_parts(state, {})
    assert len(original) > 100
    assert not [thing for one, thing in changing_parts(copy, {}).items() if one in original]


def test_the_journal_holds_the_reasons_of_a_whole_batch_whatever_alphabet_they_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is larger than Kafka takes would end the worker, and again at each start."""
    symbol = "\u5e02" * 27  # as long as a topic's name lets it be
    desk = Desk(config(symbol, streams=["1s"], catchup_threshold_seconds=36000), at("09:30"))
    desk.load(symbol)
    sound = bars.receive

    def receive(state: Any, one: Bar) -> None:
        if isinstance(one.volume, str):
            raise ValueError(symbol * 20)
        sound(state, one)

    monkeypatch.setattr(bars, "receive", receive)
    desk.produce(*mostly_poison(symbol, 4000))
    desk.read(now_us=at("12:00"))
    journal = desk.results[-1].journal
    assert sum(given.kind is InputKind.SKIPPED for given in journal.inputs) == 3600
    assert len(CODEC.journal_to(journal)) < 1_000_000


def test_a_bug_that_all_records_of_the_largest_batch_meet_leaves_a_journal_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = [f"SYMBOL{number:04d}" for number in range(1000)]
    desk = Desk(config(*symbols), at("09:30"))
    desk.load(*symbols)

    def raising(*_: object) -> None:
        raise ValueError("\N{LATIN SMALL LETTER SHARP S}" * 200)

    monkeypatch.setattr(bars, "_take_new", raising)
    for symbol in symbols:
        desk.produce(*minutes(symbol, at("09:30"), 16))
    desk.read(now_us=at("10:30"))
    inputs = [given for given in desk.journal[-1].inputs if given.kind is InputKind.SKIPPED]
    assert len(inputs) == 10_000, "ten of each, after which it has failed"
    assert len(CODEC.journal_to(desk.journal[-1])) < 900_000
    assert {given.reason for given in inputs} == {inputs[0].reason, "as before"}
    desk.check_redriven()
