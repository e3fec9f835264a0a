"""The audit finds what was tampered with, names the place, and calls equal what is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from streams.audit.fields import first_difference
from streams.audit.report import Difference, VerifyReport
from streams.kafka.reader import Record
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import EventKind
from streams.model.rows import ProgressRow
from streams.times import MINUTE_US
from streams.wire.messages import AnalysisEvent, SessionEvent
from streams.wire.outputs import RawRecord
from tests.support.engine import MONDAY, Desk, at, bar, config, minutes
from tests.support.oracle.audit import CODEC, Left, junk


def played(epoch: int = 1, day: str = MONDAY, symbols: tuple[str, str, str] = ("SPY", "IBM", "QQQ"), *, bars_topic: bool = False) -> Desk:
    """A morning: two symbols live, junk and a wrong symbol among their bars, a third one added with a backlog, one removed, a crash."""
    spy, ibm, qqq = symbols
    desk = Desk(config(spy, ibm, derived_intervals=["5m"], bars_topic=bars_topic), now_us=at("09:30", day), epoch=epoch)
    desk.load(spy, ibm)
    for number in range(12):
        start_us = at("09:30", day) + number * MINUTE_US
        desk.flow(bar(spy, start_us, price=100.0 + number), bar(ibm, start_us, price=50.0 + number))
    desk.produce(junk(), topic=spy)
    desk.produce(bar("OTHER", at("09:42", day)), topic=ibm)
    desk.read(now_us=at("09:42:01", day))
    desk.produce(*minutes(qqq, at("09:30", day), 12, price=200.0))
    desk.add(qqq, backlog=12)
    desk.read(qqq)
    desk.caught_up(qqq)
    desk.restart()
    desk.command("remove_symbol", "NOBODY")
    desk.flow(*minutes(spy, at("09:42", day), 3), *minutes(qqq, at("09:45", day), 3))
    desk.command("remove_symbol", ibm, immediate=True)
    return desk


@pytest.fixture
def left() -> Left:
    return Left(played())


def only(report: VerifyReport) -> Difference:
    assert [str(one) for one in report.differences[1:]] == []
    assert report.difference_count == 1
    return report.differences[0]


def place_of(left: Left, topic: str, condition: Callable[[Record], bool]) -> int:
    return next(place for place, record in enumerate(left.topics[topic]) if condition(record))


def is_bar(record: Record) -> bool:
    return CODEC.analysis_from(record.value).bar is not None


def journal_place(left: Left, kind: InputKind, symbol: str | None = None) -> int:
    def has(record: Record) -> bool:
        return any(given.kind is kind and symbol in (None, given.symbol) for given in CODEC.journal_from(record.value).inputs)

    return place_of(left, left.names.journal, has)


def test_what_a_session_has_left_behind_is_equal_and_all_of_it_was_compared(left: Left) -> None:
    report = left.audit()
    assert report.is_equal, [str(one) for one in report.differences]
    assert report.compared == {topic: len(records) for topic, records in left.topics.items()}
    assert report.compared[left.names.dlq] == 2
    assert (report.rows, report.rows_at) == (len(left.rows), left.transaction)
    assert report.transactions == len(left.topics[left.names.journal])
    assert report.bars == sum(len(records) for topic, records in left.sources.items() if topic.startswith("bars."))


def test_the_ungated_topic_is_compared_where_the_session_writes_one() -> None:
    left = Left(played(bars_topic=True))
    records = left.topics[left.names.all_bars]
    report = left.audit()
    assert report.is_equal, [str(one) for one in report.differences]
    assert report.compared[left.names.all_bars] == len(records)
    held = [CODEC.analysis_from(record.value).held_back for record in records]
    assert held.count(True) == 11 + 2, "the third symbol's backlog but for its last bar, and two windows of it"
    published = [record.value for record in left.topics[left.names.analysis] if is_bar(record)]
    assert [record.value for record, is_held in zip(records, held, strict=True) if not is_held] == published

    del records[held.index(True) + 3]
    found = only(left.audit())
    assert (found.kind, found.topic, found.what) == ("missing", left.names.all_bars, "bar QQQ 1m 2013-10-07T13:33:00Z")

    del left.topics[left.names.all_bars]
    assert left.audit().unchecked == ["main.bars is no longer there: what was written to it can't be compared"]


def test_a_changed_bar_is_found_where_it_was_published_first(left: Left) -> None:
    source = left.sources["bars.SPY"]
    source[3].value = CODEC.bar_to_avro(replace(CODEC.bar_from(source[3].value), close=103.1))
    report = left.audit()
    first = report.differences[0]
    place = place_of(left, left.names.analysis, lambda record: is_bar(record) and CODEC.analysis_from(record.value).bar.open == 103.0)  # type: ignore[union-attr]
    sequence = CODEC.analysis_from(left.topics[left.names.analysis][place].value).sequence
    assert (first.kind, first.topic, first.offset, first.sequence) == ("changed", left.names.analysis, place, sequence)
    assert (first.field, first.expected, first.found) == ("bar.close", "103.1", "103.0")


def test_a_changed_bar_that_was_held_back_is_found_in_the_rows(left: Left) -> None:
    source = left.sources["bars.QQQ"]
    source[3].value = CODEC.bar_to_avro(replace(CODEC.bar_from(source[3].value), volume=11.0))
    report = left.audit()
    assert {(one.what, one.field) for one in report.differences if one.topic.endswith("changelog")} >= {
        ("row progress|QQQ", "session_volume")
    }


@pytest.mark.parametrize("topic", ["analysis", "events", "replies", "dlq"])
@pytest.mark.parametrize("place", [0, -1])
def test_a_dropped_record_is_missing(left: Left, topic: str, place: int) -> None:
    records = left.topics[getattr(left.names, topic)]
    gone = records.pop(place)
    found = only(left.audit())
    assert (found.kind, found.topic) == ("missing", getattr(left.names, topic))
    if topic == "analysis":
        assert found.sequence == CODEC.analysis_from(gone.value).sequence
    assert found.offset == (1 if place == 0 else None)


@pytest.mark.parametrize("topic", ["analysis", "events", "replies", "dlq"])
def test_a_repeated_record_is_there_again(left: Left, topic: str) -> None:
    records = left.topics[getattr(left.names, topic)]
    again = len(records) // 2
    records.insert(again + 1, replace(records[again], offset=1000))
    found = only(left.audit())
    assert (found.kind, found.topic, found.offset) == ("repeated", getattr(left.names, topic), 1000)


def test_a_record_that_nobody_has_written_should_not_be_there(left: Left) -> None:
    forged = replace(CODEC.analysis_from(left.topics[left.names.analysis][-1].value), sequence=99, symbol="FORGED")
    left.topics[left.names.analysis].append(Record(77, 0, b"FORGED", CODEC.analysis_to(forged), ()))
    found = only(left.audit())
    assert (found.kind, found.topic, found.offset, found.sequence) == ("extra", left.names.analysis, 77, 99)
    assert "FORGED" in found.what


@pytest.mark.parametrize("value", [b"", None, b"\x00\x00\x00\x00\x07junk"])
def test_a_record_that_is_none_should_not_be_there(left: Left, value: bytes | None) -> None:
    left.topics[left.names.events].insert(2, Record(77, 0, b"", value, ()))
    found = only(left.audit())
    assert (found.kind, found.topic, found.offset) == ("extra", left.names.events, 77)


def test_a_forged_record_of_another_epoch_is_found_too(left: Left) -> None:
    real = CODEC.event_from(left.topics[left.names.events][4].value)
    for epoch, offset in ((0, 78), (9, 79)):
        left.topics[left.names.events].insert(4, Record(offset, 0, b"", CODEC.event_to(replace(real, epoch=epoch)), ()))
    report = left.audit()
    assert [(one.kind, one.offset) for one in report.differences] == [("extra", 79), ("extra", 78)]


def test_two_records_in_the_wrong_order_are_one_difference(left: Left) -> None:
    records = left.topics[left.names.analysis]
    place = place_of(left, left.names.analysis, is_bar)
    records[place], records[place + 1] = replace(records[place + 1], offset=place), replace(records[place], offset=place + 1)
    found = only(left.audit())
    assert (found.kind, found.topic, found.offset) == ("reordered", left.names.analysis, place + 1)


def test_a_changed_field_of_an_analysis_record_is_named(left: Left) -> None:
    place = place_of(left, left.names.analysis, is_bar)

    def later(event: AnalysisEvent) -> AnalysisEvent:
        return replace(event, emitted_us=event.emitted_us + 1)

    record = left.topics[left.names.analysis][place]
    left.topics[left.names.analysis][place] = replace(record, value=CODEC.analysis_to(later(CODEC.analysis_from(record.value))))
    found = only(left.audit())
    assert (found.kind, found.offset, found.field) == ("changed", place, "emitted_us")
    assert found.expected == "2013-10-07T13:31:00Z"
    assert found.found == "2013-10-07T13:31:00.000001Z"


def test_a_changed_header_and_a_changed_key_are_named(left: Left) -> None:
    records = left.topics[left.names.analysis]
    records[5] = replace(records[5], headers=[(name, b"17" if name == "sequence" else value) for name, value in records[5].headers])
    records[8] = replace(records[8], key=b"ELSE")
    report = left.audit()
    assert [(one.offset, one.field) for one in report.differences] == [(5, "header sequence"), (8, "key")]


def test_a_changed_event_is_named(left: Left) -> None:
    events = left.topics[left.names.events]
    place = place_of(left, left.names.events, lambda record: CODEC.event_from(record.value).kind == EventKind.SYMBOL_LOADED)

    def elsewhere(event: SessionEvent) -> SessionEvent:
        return replace(event, attributes={**event.attributes, "offset": "4"})

    events[place] = replace(events[place], value=CODEC.event_to(elsewhere(CODEC.event_from(events[place].value))))
    found = only(left.audit())
    assert (found.kind, found.offset, found.field, found.found, found.expected) == ("changed", place, "attributes.offset", "4", "0")


def test_a_dead_letter_with_another_code_is_named(left: Left) -> None:
    letters = left.topics[left.names.dlq]
    headers = [(name, b"future" if name.endswith("code") else value) for name, value in letters[0].headers]
    letters[0] = replace(letters[0], headers=headers)
    found = only(left.audit())
    assert (found.topic, found.offset, found.field) == (left.names.dlq, 0, "header __streams.errors.code")
    assert (found.expected, found.found) == ("undecodable", "future")
    assert "dead letter of bars.SPY offset 12" in found.what


def test_a_dead_letter_that_is_not_as_received_is_named(left: Left) -> None:
    letters = left.topics[left.names.dlq]
    letters[0] = replace(letters[0], value=b"mended")
    assert only(left.audit()).field == "value"


def test_a_changed_row_is_named_with_its_field(left: Left) -> None:
    row = left.row("progress|SPY")
    assert isinstance(row, ProgressRow)
    left.rows["progress|SPY"] = CODEC.row_to(replace(row, accepted=row.accepted + 1))
    found = only(left.audit())
    assert (found.kind, found.topic, found.what, found.field) == (
        "changed",
        f"{left.session}-state-changelog",
        "row progress|SPY",
        "accepted",
    )
    assert (found.expected, found.found) == (str(row.accepted), str(row.accepted + 1))


def test_a_changed_price_within_a_row_is_named_with_its_place(left: Left) -> None:
    row = left.row("progress|SPY")
    assert isinstance(row, ProgressRow)
    row.tail.close[2] += 0.5
    left.rows["progress|SPY"] = CODEC.row_to(row)
    assert only(left.audit()).field == "tail.close[2]"


def test_a_missing_row_and_one_too_many_are_named(left: Left) -> None:
    left.rows["progress|GONE"] = left.rows.pop("progress|SPY")
    report = left.audit()
    assert [(one.kind, one.what) for one in report.differences] == [("extra", "row progress|GONE"), ("missing", "row progress|SPY")]


def changed_journal(left: Left, place: int, **fields: object) -> None:
    """Change fields of the first range of a journal record."""
    record = left.topics[left.names.journal][place]
    journal = CODEC.journal_from(record.value)
    inputs = list(journal.inputs)
    number = next(number for number, given in enumerate(inputs) if given.kind is InputKind.RANGE)
    inputs[number] = replace(inputs[number], **fields)
    left.topics[left.names.journal][place] = replace(record, value=CODEC.journal_to(replace(journal, inputs=tuple(inputs))))


def test_a_range_that_ends_earlier_in_the_journal_is_found(left: Left) -> None:
    place = journal_place(left, InputKind.RANGE, "SPY")
    changed_journal(left, place, next_offset=0)
    report = left.audit()
    first = report.differences[0]
    transaction = CODEC.journal_from(left.topics[left.names.journal][place].value).transaction
    assert (first.kind, first.topic, first.offset, first.transaction, first.field) == (
        "changed", left.names.journal, place, transaction, "last_sequence",
    )  # fmt: skip
    assert not report.is_equal


def test_a_range_that_begins_elsewhere_in_the_journal_can_not_be_driven(left: Left) -> None:
    place = journal_place(left, InputKind.RANGE, "SPY") + 2
    changed_journal(left, place, first_offset=0)
    report = left.audit()
    found = next(one for one in report.differences if one.kind == "undrivable")
    assert (found.topic, found.offset) == (left.names.journal, place)
    assert "from offset 0 were handed over while the state stands at 1" in str(found)
    assert not report.is_equal


def rewritten(left: Left, place: int, to: Callable[[JournalRecord], JournalRecord]) -> None:
    record = left.topics[left.names.journal][place]
    left.topics[left.names.journal][place] = replace(record, value=CODEC.journal_to(to(CODEC.journal_from(record.value))))


def test_another_now_in_the_journal_is_found_in_what_was_emitted_then(left: Left) -> None:
    place = journal_place(left, InputKind.RANGE, "SPY")
    rewritten(left, place, lambda record: replace(record, now_us=record.now_us + 1))
    report = left.audit()
    assert report.differences[0].field == "emitted_us"


def test_another_command_in_the_journal_is_found(left: Left) -> None:
    place = journal_place(left, InputKind.COMMAND)

    def other(record: JournalRecord) -> JournalRecord:
        text = (record.inputs[0].text or "").replace("QQQ", "DIA")
        return replace(record, inputs=(replace(record.inputs[0], text=text),))

    rewritten(left, place, other)
    report = left.audit()
    assert {one.topic for one in report.differences} >= {left.names.events, left.names.replies, left.names.journal}


@pytest.fixture
def with_hole() -> Left:
    """A session whose control topic has an offset without a record, as a transaction's marker has one, and then a command."""
    desk = played()
    desk.commands += 1
    desk.command("remove_symbol", "NOBODY")
    return Left(desk)


def test_a_hole_between_commands_is_no_difference(with_hole: Left) -> None:
    assert [one.offset for one in with_hole.sources[with_hole.control_of(1)]] == [0, 1, 2, 4]
    assert with_hole.audit().is_equal


def test_a_command_that_was_passed_over_is_found(with_hole: Left) -> None:
    """Nothing else tells: it has had no effect, and has none in a re-drive."""
    value = b'{"command": "remove_symbol", "symbol": "SPY"}'
    with_hole.sources[with_hole.control_of(1)].insert(3, RawRecord(with_hole.names.control, 3, None, value, []))
    found = only(with_hole.audit())
    assert (found.kind, found.topic, found.transaction) == ("missing", with_hole.names.journal, with_hole.transaction)
    assert found.what == "what became of main.control offset 3"


def test_a_command_that_nobody_sent_and_one_that_was_sent_otherwise_are_found(left: Left) -> None:
    control = left.sources[left.control_of(1)]
    del control[0]
    control[0].value = b'{"command": "remove_symbol", "symbol": "NOONE", "id": "command-2"}'
    control[1].value = b"{}"
    unsent, other, none = left.audit().differences
    assert (unsent.kind, unsent.what) == ("extra", "what became of main.control offset 0")
    assert (other.kind, other.field, other.expected, other.found) == ("changed", "command.symbol", "NOONE", "NOBODY")
    assert (none.kind, none.field) == ("changed", "command")


def test_a_record_that_was_taken_for_no_command_and_is_one_is_found() -> None:
    desk = played()
    desk.apply(JournalInput(InputKind.CONTROL_SKIPPED, first_offset=3, next_offset=4, reason="no JSON", text="x7"))
    left = Left(desk)
    value = b'{"command": "remove_symbol", "symbol": "SPY"}'
    left.sources[left.control_of(1)].append(RawRecord(left.names.control, 3, None, value, []))
    found = only(left.audit())
    assert (found.kind, found.what, found.found) == ("changed", "what became of main.control offset 3", "none: no JSON")


def test_commands_that_are_no_longer_there_are_said_and_the_rest_is_compared(left: Left) -> None:
    left.lost.add(left.names.control)
    report = left.audit()
    assert report.differences == []
    assert report.unchecked == [
        "the commands in the journal can't be held against those that were sent: topic main.control is no longer there"
    ]
    assert report.rows == len(left.rows)


def test_a_hole_in_the_journal_is_named_and_ends_the_audit(left: Left) -> None:
    del left.topics[left.names.journal][7]
    report = left.audit()
    found = only(report)
    assert (found.kind, found.topic, found.offset, found.transaction) == ("missing", left.names.journal, 8, 8)
    assert "hole before transaction 9" in report.unchecked[0]
    assert report.transactions == 7


def test_a_repeated_journal_record_is_named_and_passed_over(left: Left) -> None:
    records = left.topics[left.names.journal]
    records.insert(8, replace(records[7], offset=800))
    found = only(left.audit())
    assert (found.kind, found.offset, found.transaction) == ("repeated", 800, 8)


def test_a_journal_that_ends_before_the_tables_is_found(left: Left) -> None:
    del left.topics[left.names.journal][-1]
    report = left.audit()
    assert any(one.kind == "missing" and one.transaction == left.transaction for one in report.differences)


def test_a_record_that_is_no_journal_record_is_named_and_passed_over(left: Left) -> None:
    left.topics[left.names.journal].insert(3, Record(300, 0, b"", b"junk", ()))
    found = only(left.audit())
    assert (found.kind, found.offset) == ("extra", 300)


def test_bars_that_are_no_longer_there_are_said_and_are_no_difference(left: Left) -> None:
    left.lost.add("bars.SPY")
    report = left.audit()
    assert report.differences == []
    assert not report.is_equal
    assert report.unchecked == ["transaction 3 of epoch 1 can't be driven again: topic bars.SPY is no longer there"]
    assert report.transactions == 2


def test_a_journal_without_its_beginning_is_said(left: Left) -> None:
    del left.topics[left.names.journal][:5]
    report = left.audit()
    assert report.differences == []
    assert len(report.unchecked) == 1
    assert "epoch 1 can't be verified from its beginning" in report.unchecked[0]
    assert "transaction 6 (offset 5)" in report.unchecked[0]


def test_outputs_without_their_beginning_are_said_and_the_rest_is_compared(left: Left) -> None:
    analysis = left.topics[left.names.analysis]
    total = len(analysis)
    del analysis[:5]
    left.begin_late.add(left.names.analysis)
    report = left.audit()
    assert report.differences == []
    assert report.compared[left.names.analysis] == total - 5
    assert report.unchecked == [f"{left.names.analysis} has lost its beginning: 5 records that were there once can't be compared any more"]


def test_what_a_running_worker_writes_meanwhile_is_no_difference(left: Left) -> None:
    """The tables were read 3 transactions ago, the topics' ends were captured at moments in between."""
    whole = played()
    younger, older = Left(whole), len(whole.results) - 3
    tables: dict[str, bytes] = {}
    for result in whole.results[:older]:
        for key, row in result.rows.items():
            tables.pop(key, None) if row is None else tables.__setitem__(key, CODEC.row_to(row))
    younger.rows, younger.transaction = tables, older
    younger.ends = {younger.names.analysis: len(younger.topics[younger.names.analysis]) - 1, younger.names.journal: older}
    report = younger.audit()
    assert report.is_equal, [str(one) for one in report.differences]
    assert (report.rows, report.rows_at) == (len(tables), older)
    # A forged record is found all the same, though the worker goes on.
    younger.topics[younger.names.replies].append(
        Record(99, 0, b"", CODEC.reply_to(CODEC.reply_from(younger.topics[younger.names.replies][0].value)), ())
    )
    assert [one.offset for one in younger.audit().differences] == [99]


@pytest.fixture
def begun_anew() -> Left:
    """A session whose state was deleted and begun anew: the topics hold both epochs, the tables the second."""
    both = Left(played())
    both.begin_anew(played(epoch=2, day="2013-10-08", symbols=("DIA", "GLD", "XLE")))
    return both


def test_the_newest_epoch_is_audited_and_all_where_that_is_asked_for(begun_anew: Left) -> None:
    newest = begun_anew.audit()
    assert (newest.epochs, newest.rows) == ([2], len(begun_anew.rows))
    first = begun_anew.audit(1)
    assert (first.epochs, first.rows_at) == ([1], None)
    every = begun_anew.audit("all")
    assert every.epochs == [1, 2]
    assert every.compared == {topic: len(records) for topic, records in begun_anew.topics.items()}
    assert every.records == newest.records + first.records
    for report in (newest, first, every):
        assert report.is_equal, [str(one) for one in report.differences]


def test_a_fault_in_one_epoch_is_none_of_the_other(begun_anew: Left) -> None:
    for topic in (begun_anew.names.analysis, begun_anew.names.events, begun_anew.names.replies, begun_anew.names.dlq):
        del begun_anew.topics[topic][0]
    assert begun_anew.audit().is_equal
    for epoch in (1, "all"):
        assert [(one.kind, one.epoch) for one in begun_anew.audit(epoch).differences] == [("missing", 1)] * 4


def test_an_epoch_that_can_not_be_driven_to_its_end_keeps_none_of_the_next_from_it(begun_anew: Left) -> None:
    begun_anew.lost.add("bars.SPY")
    report = begun_anew.audit("all")
    assert (report.epochs, report.differences, report.rows) == ([1, 2], [], len(begun_anew.rows))
    assert [reason.partition(" can't be driven again")[2] for reason in report.unchecked] == [": topic bars.SPY is no longer there"]
    assert report.transactions > begun_anew.audit().transactions


def test_what_somebody_else_has_written_in_a_former_epoch_is_none_of_the_next(begun_anew: Left) -> None:
    names = begun_anew.names
    for topic in (names.analysis, names.events, names.replies, names.dlq, names.journal):
        before = begun_anew.topics[topic][0]
        begun_anew.topics[topic].insert(1, Record(99, before.timestamp_ms, b"", b"junk", ()))
    assert begun_anew.audit().is_equal, [str(one) for one in begun_anew.audit().differences]
    for epoch in (1, "all"):
        assert [(one.kind, one.epoch) for one in begun_anew.audit(epoch).differences] == [("extra", 1)] * 5


def test_an_epoch_whose_beginning_is_gone_is_left_out_of_all(begun_anew: Left) -> None:
    del begun_anew.topics[begun_anew.names.journal][:3]
    report = begun_anew.audit("all")
    assert report.is_equal, [str(one) for one in report.differences]
    assert report.epochs == [2]
    assert "epoch 1 can't be verified from its beginning" in report.notes[0]


def test_an_epoch_that_is_not_there_is_said(left: Left) -> None:
    report = left.audit(7)
    assert report.unchecked == [f"the journal {left.names.journal} holds no epoch 7 to begin from"]


def test_after_a_thousand_differences_a_topic_is_given_up(left: Left) -> None:
    event = left.topics[left.names.events][0]
    left.topics[left.names.events] += [replace(event, offset=10_000 + number) for number in range(1500)]
    report = left.audit()
    assert report.difference_count == 1000
    assert report.unchecked == [f"{left.names.events} has 1000 differences: it was not compared any further"]


def test_not_a_number_is_equal_to_itself_and_to_nothing_else() -> None:
    assert first_difference([1.0, float("nan")], [1.0, float("nan")]) is None
    assert first_difference([float("nan")], [0.0]) is not None


def test_a_difference_is_a_sentence_with_its_place() -> None:
    assert str(msgspec.convert(
        {"kind": "changed", "topic": "main.analysis", "transaction": 17, "epoch": 1, "what": "bar SPY 1m", "offset": 41, "sequence": 39,
         "field": "bar.close", "expected": "1.5", "found": "2.5"}, Difference,
    )) == "main.analysis offset 41 (epoch 1, transaction 17, sequence 39): bar SPY 1m differs: bar.close is 2.5, should be 1.5"  # fmt: skip
