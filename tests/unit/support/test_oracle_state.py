"""The oracle of the chaos tests finds rows, answers, files and notes that are not what the topics make them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.config.session import SessionConfig
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import AnalysisKind, Bar, IntervalComplete
from streams.model.rows import (
    BlockRow,
    Columns,
    ExportRow,
    IndicatorRow,
    IndicatorsRow,
    MarkRow,
    ProgressRow,
    QualityRow,
    Row,
    StretchRow,
    SymbolRow,
)
from streams.times import DAY_US, MINUTE_US, SECOND_US, iso
from streams.wire.messages import AnalysisBar, AnalysisEvent, SessionEvent
from tests.support.feeders import walk
from tests.support.http_readers import Answer
from tests.support.kills.feeds import everything_on
from tests.support.kills.lives import Lives
from tests.support.oracle.reads import (
    told_bars,
    wrong_answers,
    wrong_files,
    wrong_news,
    wrong_notes,
    wrong_qualities,
)
from tests.support.oracle.state import Day, Gap, missing, wrong_indicators, wrong_state
from tests.support.oracle.windows import wrong_presence
from tests.support.rows import blank

OPEN_US = 1_381_152_600 * SECOND_US
NOW_US = OPEN_US + 20 * SECOND_US
KEY = ("AAA", 1)
TODAY = OPEN_US // DAY_US
BARS = list(islice(walk("AAA", OPEN_US), 16))
FILLED = [msgspec.structs.replace(bar, provenance="gap_fill") for bar in BARS[4:6]]
CORRECTED = msgspec.structs.replace(BARS[1], high=BARS[1].high + 1, volume=7.0)
# Seconds 4 and 5 are filled in, with a repetition; 8 and 9 nobody has; second 1 is corrected.
FED = [*BARS[:4], BARS[6], BARS[7], *BARS[10:], *FILLED, FILLED[0], CORRECTED]
LAST = {bar.start_us: bar for bar in (*BARS[:8], *BARS[10:])} | {CORRECTED.start_us: CORRECTED}
PAST = [bar for back in (2, 1) for bar in islice(walk("AAA", OPEN_US - back * DAY_US, seed=back), 60)]


def config() -> SessionConfig:
    return everything_on("s", ["AAA", "BBB", "CCC"], ["AAA"], OPEN_US, 60)


def day() -> Day:
    return Day(config(), OPEN_US, {"AAA": PAST})


def journal() -> list[JournalRecord]:
    def given(kind: InputKind, **fields: Any) -> JournalInput:
        return JournalInput(kind, *KEY, **fields)

    inputs = [
        (given(InputKind.LOADED, first_offset=0),),
        (given(InputKind.RANGE, first_offset=0, next_offset=12),),
        (given(InputKind.GAP_ASKED, start_us=OPEN_US + 4 * SECOND_US, end_us=OPEN_US + 6 * SECOND_US, count=2),),
        (given(InputKind.GAP_ASKED, start_us=OPEN_US + 8 * SECOND_US, end_us=OPEN_US + 10 * SECOND_US, count=0),),
        (given(InputKind.RANGE, first_offset=12, next_offset=len(FED)),),
    ]
    times = range(NOW_US - len(inputs), NOW_US)
    return [JournalRecord("s", 1, at + 1, times[at], "w", 0, 99, one) for at, one in enumerate(inputs)]


def lives() -> Lives:
    return Lives(journal(), {"AAA": dict(enumerate(FED))})


def columns(bars: Sequence[Bar], width_us: int, *, counts: Sequence[int] = (), revisions: Sequence[int] = ()) -> Columns:
    first_us = bars[0].start_us
    return Columns(
        first_us, array("q", [(bar.start_us - first_us) // width_us for bar in bars]),
        *(array("d", [getattr(bar, name) for bar in bars]) for name in ("open", "high", "low", "close", "volume")),
        array("d"), array("q"), array("q", counts), array("q", revisions), (),
    )  # fmt: skip


def windows(bars: Sequence[Bar], seconds: int, first_us: int) -> tuple[list[Bar], list[int]]:
    """What base bars make, and of how many of them."""
    found, counts = [], []
    for start_us in range(first_us, bars[-1].end_us, seconds * SECOND_US):
        parts = [bar for bar in bars if start_us <= bar.start_us < start_us + seconds * SECOND_US]
        if parts:
            high, low = max(bar.high for bar in parts), min(bar.low for bar in parts)
            volume = sum(bar.volume for bar in parts)
            end_us = start_us + seconds * SECOND_US
            found.append(Bar("AAA", f"{seconds}s", start_us, end_us, parts[0].open, high, low, parts[-1].close, volume))
            counts.append(len(parts))
    return found, counts


def rows() -> dict[str, Row]:
    bars = [LAST[start_us] for start_us in sorted(LAST)]
    fives, counts = windows(bars, 5, OPEN_US)
    revisions = [int(bar is CORRECTED) for bar in bars]
    found: dict[str, Row] = {
        "symbol|AAA": blank(SymbolRow, symbol="AAA", incarnation=1, base_interval="1s"),
        "progress|AAA": blank(
            ProgressRow, symbol="AAA", incarnation=1, trading_days=TODAY, late=2, corrected=1, duplicates=1, bar_count=len(bars),
            session_volume=sum(bar.volume for bar in bars), session_high=max(bar.high for bar in bars),
            session_low=min(bar.low for bar in bars), tail=columns(bars, SECOND_US, revisions=revisions),
        ),
        "five": BlockRow("AAA", 1, "5s", TODAY, 0, columns(fives, 5 * SECOND_US, counts=counts)),
        "quality|AAA": blank(
            QualityRow, symbol="AAA", incarnation=1, empty=(StretchRow(OPEN_US + 8 * SECOND_US, OPEN_US + 10 * SECOND_US),)
        ),
    }  # fmt: skip
    for back in (1, 2):
        past = [bar for bar in PAST if OPEN_US - back * DAY_US <= bar.start_us < OPEN_US - (back - 1) * DAY_US]
        for seconds, name in ((1, "1s"), (5, "5s"), (60, "1m")):
            made, of = windows(past, seconds, OPEN_US - back * DAY_US)
            block = columns(made, seconds * SECOND_US, counts=() if seconds == 1 else of)
            found[f"{name}|{back}"] = BlockRow("AAA", 1, name, TODAY - back, 0, block)
    newest = PAST[60:]
    fives = windows(newest, 5, OPEN_US - DAY_US)[0]
    values = {
        "prior_close": newest[-1].close,
        "prior_high": max(bar.high for bar in newest),
        "volume2": sum(bar.volume for bar in PAST) / 2,
        "mean10": sum(bar.close for bar in fives[-10:]) / 10,
    }
    found["indicators|AAA"] = IndicatorsRow("AAA", 1, TODAY, tuple(IndicatorRow(name, value) for name, value in values.items()))
    return found


def findings(found: dict[str, Row]) -> list[str]:
    return [*wrong_state(lives(), found, day()), *wrong_indicators(found, day())]


def test_rows_that_are_what_was_read_give_no_findings() -> None:
    assert lives().wrong == []
    assert findings(rows()) == []


def changed(key: str, **fields: object) -> dict[str, Row]:
    found = rows()
    return {**found, key: msgspec.structs.replace(found[key], **fields)}


def with_block(key: str, name: str, value: float) -> dict[str, Row]:
    """With another number in the first place of a column."""
    found = rows()
    row = found[key]
    assert isinstance(row, BlockRow)
    column = array(getattr(row.bars, name).typecode, getattr(row.bars, name))
    column[0] = value  # type: ignore[call-overload]
    return {**found, key: msgspec.structs.replace(row, bars=msgspec.structs.replace(row.bars, **{name: column}))}


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (lambda: changed("progress|AAA", late=1), "late, corrected and duplicates"),
        (lambda: changed("progress|AAA", corrected=0), "late, corrected and duplicates"),
        (lambda: changed("progress|AAA", duplicates=0), "late, corrected and duplicates"),
        (lambda: changed("progress|AAA", session_volume=1.0), "count, volume, high and low"),
        (lambda: changed("progress|AAA", session_low=None), "count, volume, high and low"),
        (lambda: changed("progress|AAA", bar_count=13), "count, volume, high and low"),
        (lambda: changed("progress|AAA", tail=columns(BARS[:4], SECOND_US)), "in the state"),
        (lambda: changed("quality|AAA", empty=()), "confirmed to be empty"),
        (lambda: changed("symbol|AAA", incarnation=2), "never loaded"),
        (lambda: with_block("five", "close", 1.0), "5s"),
        (lambda: with_block("five", "base_counts", 1), "5s"),
        (lambda: with_block("1s|1", "open", 1.0), "1 days ago"),
        (lambda: with_block("1m|2", "volume", 1.0), "2 days ago"),
        (lambda: {key: row for key, row in rows().items() if key != "5s|2"}, "0 5s bars of 2 days ago"),
        (lambda: changed("1s|2", trading_days=TODAY - 3), "bars of the days"),
        (lambda: changed("indicators|AAA", values=(IndicatorRow("prior_close", 1.0),)), "prior_close is 1.0"),
        (lambda: changed("indicators|AAA", values=()), "mean10 is None"),
    ],
)
def test_each_kind_of_damage_to_rows_is_found(damaged: Callable[[], dict[str, Row]], words: str) -> None:
    assert any(words in finding for finding in findings(damaged())), findings(damaged())


def test_what_is_missing_is_counted_by_hand() -> None:
    life = lives().of[KEY]
    starts = set(LAST)
    second = [OPEN_US + number * SECOND_US for number in range(30)]
    # Until the last transaction: 16 and 17 lack at the end, 8 and 9 are known to be nowhere.
    assert missing(life, starts, SECOND_US, day(), 4, second[18]) == (16, [Gap(second[16], second[18], 2, 0)])
    # Before the source was asked: 4 and 5 lack too, asked for none times; after the first question once.
    early = starts - {second[4], second[5]}
    assert missing(life, early, SECOND_US, day(), 1, second[10]) == (
        10, [Gap(second[4], second[6], 2, 0), Gap(second[8], second[10], 2, 0)],
    )  # fmt: skip
    assert missing(life, early, SECOND_US, day(), 2, second[10])[1][0] == Gap(second[4], second[6], 2, 1)
    # A gap goes on behind what is known to be nowhere.
    assert missing(life, starts - {second[7], second[10]}, SECOND_US, day(), 4, second[12])[1] == [Gap(second[7], second[11], 2, 0)]
    # Of a longer interval a slot is nowhere if all of its base bars are.
    assert missing(life, set(), 2 * SECOND_US, day(), 4, second[12]) == (5, [Gap(second[0], second[12], 5, 1)])


# ------------------------------------------------------------------------------------------------------- readers


def told() -> list[AnalysisEvent]:
    """The ungated topic's base bars, as they were told: the first by the second transaction, the rest by the last."""
    found = []
    for place, records in ((1, FED[:12]), (4, [*FILLED, CORRECTED])):
        for bar in records:
            kept = AnalysisBar(
                bar.start_us, bar.end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, None, None, 1, 1, int(bar is CORRECTED),
                True, bar.provenance, bar.end_us + MINUTE_US,
            )  # fmt: skip
            found.append(AnalysisEvent(len(found) + 1, 1, "s", journal()[place].now_us, "bar", "AAA", "1s", 1, TODAY, kept))
    return found


def answer(what: str, place: int, **body: object) -> Answer:
    return Answer("AAA", what, "1s", 1, (0, 12, 12, 12, 15)[place], (0, 12, 12, 12, 15)[place], journal()[place].now_us, dict(body))


def bars_answer(place: int, bars: Sequence[Bar]) -> Answer:
    said = [{"start": iso(bar.start_us), "revision": int(bar is CORRECTED), "close": bar.close, "volume": bar.volume} for bar in bars]
    return answer("bars", place, bars=said, bar_count=len(bars))


def wrong(*answers: Answer) -> list[str]:
    events = told()
    by_offset = dict(enumerate(events))
    return [
        *wrong_answers(answers, lives(), journal(), by_offset, events, day()),
        *wrong_qualities(answers, lives(), journal(), told_bars(events), day()),
    ]


def test_answers_are_held_against_what_was_told_by_then() -> None:
    early, late = sorted(FED[:12], key=lambda bar: bar.start_us), [LAST[start_us] for start_us in sorted(LAST)]
    gap = {"start": iso(OPEN_US + 4 * SECOND_US), "end": iso(OPEN_US + 6 * SECOND_US), "bar_count": 2, "retry_count": 1}
    others = [
        {**gap, "start": iso(OPEN_US + 8 * SECOND_US), "end": iso(OPEN_US + 10 * SECOND_US), "retry_count": 0},
        {**gap, "start": iso(OPEN_US + 16 * SECOND_US), "end": iso(OPEN_US + 19 * SECOND_US), "bar_count": 3, "retry_count": 0},
    ]
    assert wrong(bars_answer(1, early), bars_answer(4, late), answer("gaps", 2, gaps=[gap, *others], gap_count=3)) == []
    quality = [{"interval": "1s", "quality": 100.0 * 14 / 17}]
    assert wrong(replace(answer("quality", 4, intervals=quality), interval=None)) == []
    assert wrong(bars_answer(2, late))
    assert wrong(bars_answer(4, early))
    assert wrong(answer("gaps", 4, gaps=[gap, *others], gap_count=3))
    assert wrong(replace(bars_answer(4, late), analysis_offset=13))
    assert wrong(replace(answer("quality", 3, intervals=quality), interval=None))


def test_what_is_told_of_quality_is_held_against_a_count() -> None:
    def news(place: int, expected: int, missing: int, gaps: int) -> list[str]:
        now_us = journal()[place].now_us
        attributes = {"interval": "1s", "expected": str(expected), "missing": str(missing), "gaps": str(gaps)}
        event = SessionEvent(1, "s", now_us, "quality", "AAA", 1, None, attributes)
        return list(wrong_news([event], lives(), journal(), told_bars(told()), day()))

    # What ended five seconds before: seconds 0 to 13, of which 4, 5, 8 and 9 lack; then the source has none of 8 and 9.
    assert news(2, 14, 4, 2) == []
    assert news(3, 12, 2, 1) == []
    assert news(4, 12, 0, 0) == []
    assert news(3, 14, 4, 2)
    assert news(4, 12, 2, 1)


def test_notes_are_all_of_analysis_once_and_in_order() -> None:
    events = told()[:3]
    notes: list[tuple[object, ...]] = [
        (1, event.sequence, "bar", "AAA", "1s", 1, event.bar.start_us, event.bar.revision, event.emitted_us)
        for event in events
        if event.bar is not None
    ]
    assert list(wrong_notes(notes, events)) == []
    assert list(wrong_notes([(*notes[0][:-1], 0), *notes[1:]], events)) == [], "too old by then, and not acted on"
    assert list(wrong_notes(notes[1:], events))
    assert list(wrong_notes([notes[0], *notes], events))
    assert list(wrong_notes([(*notes[0][:-1], OPEN_US + DAY_US), *notes[1:]], events)), "acted on a day later"


HEAD = (
    "symbol,interval,trading_date,start,end,open,high,low,close,volume,vwap,trades,base_count,expected_count,revision,complete,provenance"
)


def write_files(folder: Path, *files: Sequence[AnalysisEvent]) -> None:
    for number, events in enumerate(files, start=1):
        lines = [HEAD]
        for event in events:
            bar = event.bar
            assert bar is not None
            lines.append(f"AAA,1s,,{iso(bar.start_us)},,,,,{bar.close},{bar.volume},,,,,{bar.revision},,")
        (folder / f"AAA-001-00001-{number:06d}.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("files", "is_wrong"),
    [
        ((slice(0, 8), slice(8, 15)), False),
        ((slice(0, 8), slice(7, 15)), True),
        ((slice(0, 8), slice(9, 15)), True),
        ((slice(0, 15),), False),
        ((slice(0, 14),), True),
    ],
)
def test_files_have_each_version_once(tmp_path: Path, files: Sequence[slice], is_wrong: bool) -> None:
    events = told()
    write_files(tmp_path, *(events[part] for part in files))
    row = ExportRow("AAA", 1, len(files), False, (MarkRow("1s", TODAY, BARS[-1].start_us),), ())
    found = list(wrong_files(tmp_path, events, {**rows(), "export|AAA": row}))
    assert bool(found) is is_wrong, found


def test_what_is_told_of_a_window_is_held_against_the_bars() -> None:
    events = told()
    added = AnalysisEvent(0, 1, "s", OPEN_US, AnalysisKind.SYMBOL_ADDED, "AAA", incarnation=1)

    def complete(second: int, *absent: str, sequence: int = 13, place: int = 2) -> AnalysisEvent:
        windows = IntervalComplete(OPEN_US + second * SECOND_US, 1, 1 - len(absent), absent)
        return AnalysisEvent(
            sequence, 1, "s", journal()[place].now_us, AnalysisKind.INTERVAL_COMPLETE, interval="1s", interval_complete=windows
        )

    def found(*marks: AnalysisEvent) -> list[str]:
        return list(wrong_presence([added, *marks], events, MINUTE_US, lambda symbol: True))

    assert found(complete(4), complete(5, "AAA"), complete(6, "AAA"), complete(7)) == []
    assert found(complete(5)), "its bar comes two transactions later"
    assert found(complete(4, "AAA")), "its bar was there"
    assert found(complete(4), complete(6, "AAA")), "the one between them is passed over"
