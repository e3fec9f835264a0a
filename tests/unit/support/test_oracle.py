"""The oracle of the chaos tests finds what it is there to find: each kind of damage to a session that adds up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from streams.engine.transaction import command_text
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import (
    AnalysisKind,
    Bar,
    ControlCommand,
    EventKind,
    Extent,
    GateChange,
    IntervalComplete,
)
from streams.model.rows import (
    AttemptRow,
    ExportRow,
    MarkRow,
    ProgressRow,
    QualityRow,
    Row,
    RunRow,
    SessionRow,
    StretchRow,
    ToldRow,
    WindowRow,
)
from streams.times import SECOND_US
from streams.wire.messages import AnalysisBar, AnalysisEvent, SessionEvent
from tests.support.engine import Desk, config
from tests.support.engine import at as at_clock
from tests.support.kills.lives import Lives
from tests.support.oracle.audit_all import Evidence, judge
from tests.support.rows import blank

T0 = 1_381_152_600 * SECOND_US
THRESHOLD_US = 60 * SECOND_US
NOW_US = T0 + 30 * SECOND_US
AAA, BBB = ("AAA", 1), ("BBB", 2)


def second_bar(symbol: str, number: int) -> Bar:
    start_us = T0 + number * SECOND_US
    price = 100.0 + number
    return Bar(symbol, "1s", start_us, start_us + SECOND_US, price, price + 2, price - 1, price + 1, 10.0)


def published(
    life: tuple[str, int], bar: Bar, *, interval: str = "1s", count: int = 1, expected: int = 1, revision: int = 0
) -> AnalysisEvent:
    return AnalysisEvent(
        sequence=0,
        epoch=1,
        session="s",
        emitted_us=NOW_US,
        kind=AnalysisKind.BAR,
        symbol=life[0],
        incarnation=life[1],
        interval=interval,
        bar=AnalysisBar(
            bar.start_us, bar.end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, None, None,
            count, expected, revision, count == expected, "feed", bar.end_us + THRESHOLD_US,
        ),
    )  # fmt: skip


def marker(kind: AnalysisKind, life: tuple[str, int] = ("", 0), extent: Extent | None = None, *, interval: str = "1s") -> AnalysisEvent:
    gate = GateChange(kind == AnalysisKind.ACTIVATED, "because") if kind in (AnalysisKind.ACTIVATED, AnalysisKind.DEACTIVATED) else None
    return AnalysisEvent(
        sequence=0, epoch=1, session="s", emitted_us=NOW_US, kind=kind, symbol=life[0] or None, incarnation=life[1] or None,
        interval=interval if extent else None, gate=gate, extent=extent,
    )  # fmt: skip


def numbered(analysis: list[AnalysisEvent]) -> list[AnalysisEvent]:
    return [msgspec.structs.replace(event, sequence=number) for number, event in enumerate(analysis, start=1)]


def journal() -> list[JournalRecord]:
    """Bars 0 to 4 of both symbols were read, AAA's in two goes; BBB was removed and came again, and read 3 bars more."""

    def record(number: int, before: int, last: int, *inputs: JournalInput) -> JournalRecord:
        return JournalRecord("s", 1, number, NOW_US, "w", before, last, inputs)

    def loaded(symbol: str, incarnation: int, first: int) -> JournalInput:
        return JournalInput(InputKind.LOADED, symbol, incarnation, first_offset=first, end_offset=first)

    def read(symbol: str, incarnation: int, first: int, following: int) -> JournalInput:
        return JournalInput(InputKind.RANGE, symbol, incarnation, first_offset=first, next_offset=following)

    return [
        record(1, 0, 0, loaded("AAA", 1, 0), loaded("BBB", 2, 0)),
        record(2, 0, 6, read("AAA", 1, 0, 3), read("BBB", 2, 0, 5)),
        record(3, 6, 14, read("AAA", 1, 3, 5)),
        record(4, 14, 16, loaded("BBB", 3, 5), read("BBB", 3, 5, 8)),
    ]


def sound() -> Evidence:
    """A session that adds up.

    AAA: two bars held back, then three published, and the first window of two seconds that is whole in the open. BBB: five
    bars held back in its first life, three in an open run of its second.
    """
    aaa = [second_bar("AAA", number) for number in range(5)]
    bbb = [second_bar("BBB", number) for number in range(8)]
    window = Bar("AAA", "2s", T0 + 2 * SECOND_US, T0 + 4 * SECOND_US, 102.0, 105.0, 101.0, 104.0, 20.0)
    analysis = numbered(
        [
            marker(AnalysisKind.SYMBOL_ADDED, AAA),
            marker(AnalysisKind.SYMBOL_ADDED, BBB),
            marker(AnalysisKind.HELD_BACK, AAA, Extent("inactive", aaa[0].start_us, aaa[1].end_us, 2)),
            marker(AnalysisKind.HELD_BACK, BBB, Extent("inactive", bbb[0].start_us, bbb[4].end_us, 5)),
            marker(AnalysisKind.ACTIVATED),
            published(AAA, aaa[2]),
            published(AAA, aaa[3]),
            published(AAA, window, interval="2s", count=2, expected=2),
            published(AAA, aaa[4]),
            marker(AnalysisKind.HELD_BACK, AAA, Extent("inactive", aaa[0].start_us, aaa[1].end_us, 1), interval="2s"),
            marker(AnalysisKind.HELD_BACK, BBB, Extent("inactive", bbb[0].start_us, bbb[3].end_us, 2), interval="2s"),
            marker(AnalysisKind.SYMBOL_REMOVED, BBB),
            marker(AnalysisKind.DEACTIVATED),
            marker(AnalysisKind.ACTIVATED),
            marker(AnalysisKind.DEACTIVATED),
            marker(AnalysisKind.SYMBOL_ADDED, ("BBB", 3)),
        ]
    )
    runs = (
        RunRow("1s", "inactive", bbb[5].start_us, bbb[7].end_us, 3),
        RunRow("2s", "inactive", bbb[4].start_us, bbb[7].end_us, 2),
    )
    rows: dict[str, Row] = {
        "session": blank(SessionRow, session="s", epoch=1, sequence=len(analysis), transaction=4, active=False),
        "progress|AAA": blank(ProgressRow, symbol="AAA", incarnation=1, offset=5, accepted=7, published=4, held_back=3, runs=()),
        "progress|BBB": blank(ProgressRow, symbol="BBB", incarnation=3, offset=8, accepted=5, published=0, held_back=5, runs=runs),
    }
    topics = {"AAA": dict(enumerate(aaa)), "BBB": dict(enumerate(bbb))}
    return Evidence(analysis, journal(), rows, topics, lambda symbol: THRESHOLD_US)


def with_analysis(change: Callable[[list[AnalysisEvent]], list[AnalysisEvent]]) -> Evidence:
    evidence = sound()
    return replace(evidence, analysis=change(list(evidence.analysis)))


def with_bar(place: int, **fields: object) -> Evidence:
    def change(analysis: list[AnalysisEvent]) -> list[AnalysisEvent]:
        bar = analysis[place].bar
        assert bar is not None
        analysis[place] = msgspec.structs.replace(analysis[place], bar=msgspec.structs.replace(bar, **fields))
        return analysis

    return with_analysis(change)


def with_row(key: str, **fields: object) -> Evidence:
    evidence = sound()
    return replace(evidence, rows={**evidence.rows, key: msgspec.structs.replace(evidence.rows[key], **fields)})


def held_back(event: AnalysisEvent, sequence: int) -> AnalysisEvent:
    return msgspec.structs.replace(event, sequence=sequence, held_back=True)


def window(life: tuple[str, int], bars: list[Bar], expected: int = 2) -> AnalysisEvent:
    """The window of two seconds that these bars make."""
    start_us = bars[0].start_us - (bars[0].start_us - T0) % (2 * SECOND_US)
    made = Bar(
        life[0], "2s", start_us, start_us + 2 * SECOND_US, bars[0].open, max(bar.high for bar in bars), min(bar.low for bar in bars),
        bars[-1].close, sum(bar.volume for bar in bars),
    )  # fmt: skip
    return published(life, made, interval="2s", count=len(bars), expected=expected)


def with_all_bars(change: Callable[[list[AnalysisEvent]], list[AnalysisEvent]] = list) -> Evidence:
    """With the ungated topic: the published bars, and before and behind them those that were held back while the gate was shut."""
    evidence = sound()
    aaa, bbb = (list(evidence.topics[symbol].values()) for symbol in ("AAA", "BBB"))
    before = [published(AAA, bar) for bar in aaa[:2]] + [window(AAA, aaa[:2])]
    before += [published(BBB, bar) for bar in bbb[:5]] + [window(BBB, bbb[:2]), window(BBB, bbb[2:4])]
    again = ("BBB", 3)
    behind = [published(again, bar) for bar in bbb[5:]] + [window(again, bbb[5:6]), window(again, bbb[6:])]
    open_bars = [event for event in evidence.analysis if event.bar is not None]
    all_bars = [*(held_back(event, 2) for event in before), *open_bars, *(held_back(event, 16) for event in behind)]
    return replace(evidence, all_bars=change(all_bars))


def with_all_bar(place: int, **fields: object) -> Evidence:
    """With another content of a bar of the ungated topic that was held back."""

    def change(bars: list[AnalysisEvent]) -> list[AnalysisEvent]:
        bar = bars[place].bar
        assert bar is not None
        bars[place] = msgspec.structs.replace(bars[place], bar=msgspec.structs.replace(bar, **fields))
        return bars

    return with_all_bars(change)


def test_a_session_that_adds_up_gives_no_findings() -> None:
    assert judge(sound()) == []
    assert judge(with_all_bars()) == []


def a_bar_that_is_not_on_the_ungated_topic() -> Evidence:
    return with_all_bars(lambda bars: bars[1:])


def a_bar_that_is_on_the_ungated_topic_twice() -> Evidence:
    return with_all_bars(lambda bars: [bars[0], *bars])


def a_published_bar_that_is_not_on_the_ungated_topic() -> Evidence:
    return with_all_bars(lambda bars: [bar for bar in bars if bar.held_back])


def two_bars_of_the_ungated_topic_in_the_wrong_order() -> Evidence:
    return with_all_bars(lambda bars: [bars[1], bars[0], *bars[2:]])


def a_window_that_is_not_on_the_ungated_topic() -> Evidence:
    return with_all_bars(lambda bars: [bar for bar in bars if bar.interval != "2s" or bar.symbol != "AAA" or not bar.held_back])


def a_bar_that_is_held_back_while_it_is_fresh() -> Evidence:
    return with_all_bars(lambda bars: [msgspec.structs.replace(bar, sequence=14) if bar.incarnation == 3 else bar for bar in bars])


def in_a_backlog(evidence: Evidence) -> Evidence:
    """All bars of AAA are backlog."""
    first, *rest = evidence.journal
    loaded = msgspec.structs.replace(first.inputs[0], end_offset=9)
    first = msgspec.structs.replace(first, inputs=(loaded, *first.inputs[1:]))
    return replace(evidence, journal=[msgspec.structs.replace(one, rules=2) for one in (first, *rest)])


def test_a_window_that_is_whole_is_told_in_a_backlog() -> None:
    assert judge(in_a_backlog(with_all_bars())) == []


def a_window_of_a_backlog_before_it_is_whole() -> Evidence:
    evidence = in_a_backlog(with_all_bars())
    place = next(place for place, one in enumerate(evidence.all_bars or ()) if one.symbol == "AAA" and one.interval == "2s")
    event = (evidence.all_bars or [])[place]
    assert event.bar is not None
    partial = msgspec.structs.replace(event, bar=msgspec.structs.replace(event.bar, base_count=1, complete=False, expected_count=2))
    all_bars = [partial if at == place else one for at, one in enumerate(evidence.all_bars or ())]
    return replace(evidence, all_bars=all_bars)


def a_stretch_of_other_bars() -> Evidence:
    """What the topic has is right, and the record counts one that comes behind it."""
    evidence = with_all_bars()
    analysis = list(evidence.analysis)
    analysis[1], analysis[2] = (msgspec.structs.replace(analysis[place], sequence=sequence) for place, sequence in ((2, 2), (1, 3)))
    return replace(evidence, analysis=analysis)


def a_dropped_record() -> Evidence:
    return with_analysis(lambda analysis: numbered(analysis[:5] + analysis[6:]))


def a_dropped_record_and_its_number() -> Evidence:
    return with_analysis(lambda analysis: analysis[:5] + analysis[6:])


def a_repeated_record() -> Evidence:
    return with_analysis(lambda analysis: numbered([*analysis[:7], analysis[5], *analysis[7:]]))


def two_records_in_the_wrong_order() -> Evidence:
    return with_analysis(lambda analysis: numbered([*analysis[:5], analysis[6], analysis[5], *analysis[7:]]))


def test_a_window_that_lacks_bars_may_come_behind_others_at_the_end_of_a_backlog_only() -> None:
    evidence = two_records_in_the_wrong_order()
    late = evidence.analysis[6]
    assert late.bar is not None
    partial = msgspec.structs.replace(late, bar=msgspec.structs.replace(late.bar, complete=False))
    evidence = replace(evidence, analysis=[*evidence.analysis[:6], partial, *evidence.analysis[7:]])
    assert any(finding.startswith("order") for finding in judge(evidence))
    end = JournalInput(InputKind.CAUGHT_UP, symbol=late.symbol, incarnation=late.incarnation)
    journal = [
        msgspec.structs.replace(record, rules=2, inputs=(*record.inputs, end)) if record.now_us == late.emitted_us else record
        for record in evidence.journal
    ]
    assert journal != evidence.journal
    assert not any(finding.startswith("order") for finding in judge(replace(evidence, journal=journal)))


def a_bar_while_the_gate_is_shut() -> Evidence:
    return with_analysis(lambda analysis: numbered([*analysis[:4], analysis[5], analysis[4], *analysis[6:]]))


def a_wrong_held_back_count() -> Evidence:
    def change(analysis: list[AnalysisEvent]) -> list[AnalysisEvent]:
        extent = analysis[2].extent
        assert extent is not None
        analysis[2] = msgspec.structs.replace(analysis[2], extent=msgspec.structs.replace(extent, count=3))
        return analysis

    return with_analysis(change)


def an_extent_that_misses_its_bars() -> Evidence:
    def change(analysis: list[AnalysisEvent]) -> list[AnalysisEvent]:
        extent = analysis[3].extent
        assert extent is not None
        later = msgspec.structs.replace(extent, first_start_us=extent.first_start_us + SECOND_US)
        analysis[3] = msgspec.structs.replace(analysis[3], extent=later)
        return analysis

    return with_analysis(change)


def a_range_that_was_read_twice() -> Evidence:
    evidence = sound()
    again = JournalInput(InputKind.RANGE, "AAA", 1, first_offset=3, next_offset=5)
    last = evidence.journal[-1]
    return replace(evidence, journal=[*evidence.journal[:-1], msgspec.structs.replace(last, inputs=(*last.inputs, again))])


def a_transaction_that_is_missing() -> Evidence:
    evidence = sound()
    return replace(evidence, journal=[evidence.journal[0], *evidence.journal[2:]])


def a_bar_that_waits_and_is_in_no_row() -> Evidence:
    """Bar 5 of AAA was read a second before its end, and the state knows nothing of it."""
    evidence = a_bar_that_was_never_handled()
    records = [msgspec.structs.replace(record, rules=2, now_us=second_bar("AAA", 5).end_us - 1) for record in evidence.journal]
    return replace(evidence, journal=records)


def a_bar_that_was_never_handled() -> Evidence:
    evidence = sound()
    topics = {**evidence.topics, "AAA": {**evidence.topics["AAA"], 5: second_bar("AAA", 5)}}
    last = evidence.journal[-1]
    more = JournalInput(InputKind.RANGE, "AAA", 1, first_offset=5, next_offset=6)
    rows = {**evidence.rows, "progress|AAA": msgspec.structs.replace(evidence.rows["progress|AAA"], offset=6)}
    return replace(
        evidence, topics=topics, rows=rows, journal=[*evidence.journal[:-1], msgspec.structs.replace(last, inputs=(*last.inputs, more))]
    )


def with_export(number: int = 1, to: int = 4, incarnation: int = 1, frozen_to: int | None = None) -> Evidence:
    """AAA's first export, begun by command and done up to its bar of this number; or frozen up to another one."""
    evidence = sound()
    command = ControlCommand(id="c", kind="begin_export", symbol="AAA", sent_us=0)
    last = evidence.journal[-1]
    asked = msgspec.structs.replace(last, inputs=(*last.inputs, JournalInput(InputKind.COMMAND, text=command_text(command))))

    def marks(end: int) -> tuple[MarkRow, ...]:
        return (MarkRow("1s", 0, T0 + end * SECOND_US),)

    frozen = () if frozen_to is None else marks(frozen_to)
    row = ExportRow("AAA", incarnation, number, bool(frozen), marks(to), frozen)
    return replace(evidence, journal=[*evidence.journal[:-1], asked], rows={**evidence.rows, "export|AAA": row})


def with_a_window_that_waits(since_us: int = T0 + 2 * SECOND_US) -> Evidence:
    """AAA's bar 2 never came, so of its second window there is one bar of two; its row says from where on windows wait."""
    evidence = sound()
    analysis = [event for place, event in enumerate(evidence.analysis) if place not in (5, 7)]
    aaa = {offset: bar for offset, bar in evidence.topics["AAA"].items() if offset != 2}
    row = msgspec.structs.replace(
        evidence.rows["progress|AAA"], windows=(WindowRow("2s", since_us),), accepted=5, published=2
    )  # fmt: skip
    session = msgspec.structs.replace(evidence.rows["session"], sequence=len(analysis))
    rows = {**evidence.rows, "progress|AAA": row, "session": session}
    places = [(0, 0), (0, 6), (6, 12), (12, 12)]
    journal = [
        msgspec.structs.replace(record, before_sequence=before, last_sequence=last)
        for record, (before, last) in zip(evidence.journal, places, strict=True)
    ]
    return replace(evidence, analysis=numbered(analysis), topics={**evidence.topics, "AAA": aaa}, rows=rows, journal=journal)


def test_a_window_that_waits_for_bars_is_not_complained_of_until_it_should_be_closed() -> None:
    assert judge(with_a_window_that_waits()) == []
    lost = "account: ('AAA', 1, '2s') 2013-10-07T13:30:02Z was read to its end, and is neither published nor held back"
    assert judge(with_a_window_that_waits(since_us=T0 + 4 * SECOND_US)) == [lost]
    assert judge(with_a_window_that_waits(since_us=-1)) == [lost]


def test_a_window_that_waited_when_its_symbol_was_removed_is_nowhere_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = sound()
    analysis = list(evidence.analysis)
    for place, extent in ((3, Extent("inactive", T0, T0 + 5 * SECOND_US, 4)), (10, Extent("inactive", T0, T0 + 2 * SECOND_US, 1))):
        analysis[place] = msgspec.structs.replace(analysis[place], extent=extent)
    bbb = {offset: bar for offset, bar in evidence.topics["BBB"].items() if offset != 2}
    removed = replace(evidence, analysis=analysis, topics={**evidence.topics, "BBB": bbb})
    assert judge(removed) == [], "of BBB's second window in its first life there was one bar of two, and of its third one"
    # The newest bar, which ends at second 5, would have closed the window that ends at second 4.
    monkeypatch.setattr("tests.support.oracle.audit_all._LONGEST_GRACE_US", SECOND_US)
    lost = "account: ('BBB', 2, '2s') 2013-10-07T13:30:02Z was read to its end, and is neither published nor held back"
    assert judge(removed) == [lost]


def test_an_export_that_follows_on_what_was_exported_is_none_to_complain_of() -> None:
    assert judge(with_export()) == []
    assert judge(with_export(to=2, frozen_to=4)) == []


def a_window_that_is_nowhere() -> Evidence:
    return with_analysis(lambda analysis: numbered(analysis[:7] + analysis[8:]))


def complete(number: int, expected: int = 2, present: int = 1, absent: tuple[str, ...] = ("BBB",)) -> AnalysisEvent:
    told = IntervalComplete(T0 + number * SECOND_US, expected, present, absent)
    return msgspec.structs.replace(marker(AnalysisKind.INTERVAL_COMPLETE), interval="1s", interval_complete=told)


def with_windows(change: Callable[[list[AnalysisEvent]], list[AnalysisEvent]] = list) -> Evidence:
    """With each window told behind its bars, BBB being absent from all of them: at places 6, 8 and 11."""
    evidence = sound()
    bars = list(evidence.analysis)
    analysis = numbered(change([*bars[:6], complete(3), bars[6], complete(4), bars[7], bars[8], complete(5), *bars[9:]]))
    return replace(evidence, analysis=analysis, rows=evidence.rows | {"session": blank_session(len(analysis))})


def blank_session(sequence: int) -> SessionRow:
    return blank(SessionRow, session="s", epoch=1, sequence=sequence, transaction=4, active=False)


def instead(place: int, event: AnalysisEvent) -> Evidence:
    return with_windows(lambda analysis: [*analysis[:place], event, *analysis[place + 1 :]])


def test_windows_that_are_told_in_turn_give_no_findings() -> None:
    assert judge(with_windows()) == []


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (lambda: with_windows(lambda analysis: [*analysis[:4], complete(1), *analysis[4:]]), "while the gate was shut"),
        (lambda: instead(8, complete(3)), "1s to 2013-10-07T13:30:03Z was told after 2013-10-07T13:30:03Z"),
        (lambda: instead(6, complete(4)), "comes after it was told to be there"),
        (lambda: instead(6, complete(3, present=2)), "does not add up"),
        (lambda: instead(6, complete(3, 3, 1, ("BBB", "AAA"))), "is not in order"),
        (lambda: instead(6, complete(3, 3, 2)), "expects more than"),
        (lambda: instead(6, complete(3, absent=("CCC",))), "expects more than"),
    ],
)
def test_a_window_that_is_told_wrongly_is_found(damaged: Callable[[], Evidence], words: str) -> None:
    assert any(finding.startswith("windows") and words in finding for finding in judge(damaged())), judge(damaged())


def quality(second: int, expected: int, present: int, gaps: int, **attributes: str) -> SessionEvent:
    missing = expected - present
    counts = {"expected": str(expected), "present": str(present), "missing": str(missing), "gaps": str(gaps)}
    told = {"interval": "1s", "quality": f"{100 * present / expected:.2f}", **counts, **attributes}
    return SessionEvent(1, "s", T0 + second * SECOND_US, EventKind.QUALITY, "AAA", 1, None, told)


def with_quality(*events: SessionEvent, told: tuple[int, int] = (1, 1), **fields: Any) -> Evidence:
    """AAA's seconds: two missing after a minute, one after two; a source was asked twice for one of them and had none for the other."""
    evidence = sound()
    chosen = events or (quality(60, 50, 48, 2), quality(120, 90, 89, 1))
    first_us, second_us = T0 + 7 * SECOND_US, T0 + 9 * SECOND_US
    asked = [
        JournalInput(InputKind.GAP_ASKED, "AAA", 1, start_us=start_us, end_us=start_us + SECOND_US, count=0, reason=reason)
        for start_us, reason in ((first_us, "away"), (first_us, "away"), (second_us, None))
    ]
    last = evidence.journal[-1]
    row = QualityRow(
        "AAA", 1, 0, (ToldRow("1s", *told),), (AttemptRow(first_us, first_us + SECOND_US, 2, NOW_US),),
        (StretchRow(second_us, second_us + SECOND_US),),
    )  # fmt: skip
    return replace(
        evidence, events=chosen, publish_us=60 * SECOND_US, rows={**evidence.rows, "quality|AAA": msgspec.structs.replace(row, **fields)},
        journal=[*evidence.journal[:-1], msgspec.structs.replace(last, inputs=(*last.inputs, *asked))],
    )  # fmt: skip


def test_quality_that_is_told_in_turn_gives_no_findings() -> None:
    rolled = SessionEvent(1, "s", T0 + 90 * SECOND_US, EventKind.SYMBOL_ROLLED, "AAA", 1)
    assert judge(with_quality()) == []
    assert judge(with_quality(quality(60, 50, 49, 1), rolled, quality(120, 20, 19, 1))) == [], "the next day begins with nothing told"


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (lambda: with_quality(quality(60, 50, 48, 2), quality(119, 90, 89, 1)), "is told 59 s after"),
        (lambda: with_quality(quality(60, 90, 89, 1), quality(120, 91, 90, 1)), "with nothing changed"),
        (lambda: with_quality(quality(60, 90, 90, 0), told=(0, 0)), "with nothing changed"),
        (lambda: with_quality(quality(60, 90, 89, 1, missing="2")), "2 are missing where 89 of 90 are there"),
        (lambda: with_quality(quality(60, 90, 89, 1, quality="99.00")), "99.00 percent for 89 of 90"),
        (lambda: with_quality(quality(60, 90, 89, 2)), "2 gaps for 1 missing"),
        (lambda: with_quality(told=(2, 2)), "the row says that"),
        (lambda: with_quality(trading_days=5), "is of day 5"),
        (lambda: with_quality(empty=(StretchRow(T0, T0 + SECOND_US),)), "which no source said"),
        (lambda: with_quality(attempts=(AttemptRow(T0 + 7 * SECOND_US, T0 + 8 * SECOND_US, 3, NOW_US),)), "was asked for 2 times"),
    ],
)
def test_quality_that_is_told_or_kept_wrongly_is_found(damaged: Callable[[], Evidence], words: str) -> None:
    assert any(finding.startswith("quality") and words in finding for finding in judge(damaged())), judge(damaged())


@pytest.mark.parametrize(
    ("damaged", "kind"),
    [
        (a_dropped_record, "account"),
        (a_dropped_record_and_its_number, "sequence"),
        (a_repeated_record, "repeated"),
        (two_records_in_the_wrong_order, "order"),
        (a_bar_while_the_gate_is_shut, "gate"),
        (a_wrong_held_back_count, "account"),
        (a_window_that_is_nowhere, "account: ('AAA', 1, '2s') 2013-10-07T13:30:02"),
        (an_extent_that_misses_its_bars, "account"),
        (a_range_that_was_read_twice, "position"),
        (a_transaction_that_is_missing, "journal"),
        (a_bar_that_was_never_handled, "account"),
        (a_bar_that_waits_and_is_in_no_row, "waiting"),
        (lambda: with_bar(5, close=100.25), "value"),
        (lambda: with_bar(7, high=105.25), "value"),
        (lambda: with_bar(7, volume=19.0), "value"),
        (lambda: with_bar(7, base_count=1), "value"),
        (lambda: with_bar(5, valid_until_us=NOW_US - 1), "stale"),
        (lambda: with_bar(5, valid_until_us=NOW_US + 1), "stale"),
        (lambda: with_row("progress|AAA", published=5), "counts"),
        (lambda: with_row("progress|AAA", accepted=8), "counts"),
        (lambda: with_row("progress|BBB", runs=()), "counts"),
        (lambda: with_row("progress|AAA", offset=6), "position"),
        (lambda: with_row("session", sequence=15), "sequence"),
        (lambda: with_row("session", active=True), "gate"),
        (lambda: with_export(number=2), "exports"),
        (lambda: with_export(to=5), "exports"),
        (lambda: with_export(incarnation=9), "exports"),
        (lambda: with_export(to=3, frozen_to=2), "exports"),
        (a_bar_that_is_not_on_the_ungated_topic, "versions"),
        (a_bar_that_is_on_the_ungated_topic_twice, "versions"),
        (two_bars_of_the_ungated_topic_in_the_wrong_order, "versions"),
        (a_window_that_is_not_on_the_ungated_topic, "versions"),
        (lambda: with_all_bar(0, close=100.25), "versions"),
        (lambda: with_all_bar(0, revision=1), "versions"),
        (lambda: with_all_bar(2, volume=19.0), "versions"),
        (lambda: with_all_bar(2, base_count=1), "versions"),
        (lambda: with_all_bar(2, revision=1), "versions"),
        (a_bar_that_is_held_back_while_it_is_fresh, "versions"),
        (a_window_of_a_backlog_before_it_is_whole, "versions: ('AAA', 1) 2s 2013-10-07T13:30:00Z revision 0 is told from 1 of 2 bars"),
        (a_stretch_of_other_bars, "extents"),
        (a_published_bar_that_is_not_on_the_ungated_topic, "ungated"),
    ],
)
def test_each_kind_of_damage_is_found(damaged: Callable[[], Evidence], kind: str) -> None:
    assert any(finding.startswith(kind) for finding in judge(damaged())), judge(damaged())


def test_what_a_wrong_clock_held_back_is_a_backlog_once_it_is_right_and_not_before() -> None:
    desk = Desk(config("SPY"), at_clock("10:00"))
    desk.load("SPY")
    desk.apply(JournalInput(InputKind.CLOCK, reason="off", start_us=at_clock("10:00"), end_us=at_clock("10:02")))
    assert not Lives(desk.journal, {}).of["SPY", 1].is_behind
    desk.apply(JournalInput(InputKind.CLOCK), now_us=at_clock("10:05"))
    assert Lives(desk.journal, {}).of["SPY", 1].is_behind
    desk.caught_up("SPY", now_us=at_clock("10:06"))
    assert not Lives(desk.journal, {}).of["SPY", 1].is_behind
