"""The seam between a warm-up and what comes live, and positions as texts: no topic, only numbers."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.consumer import HoleKind, Position
from streams.consumer.seam import Seam
from streams.wire.messages import AnalysisBar, AnalysisEvent
from tests.support.rows import blank


def test_a_sequence_that_counts_up_has_no_hole_wherever_it_begins() -> None:
    seam = Seam()
    assert [seam.follow(1, number, number) for number in (41, 42, 43)] == [None, None, None]
    assert seam.last == Position(1, 43, 44)


def test_the_record_behind_a_position_must_be_the_next_one() -> None:
    assert Seam(Position(1, 41, 9)).follow(1, 42, 10) is None
    assert Seam(Position(1, 0, 9)).follow(1, 1, 9) is None


@pytest.mark.parametrize(
    ("epoch", "sequence", "kind", "says"),
    [
        (1, 43, HoleKind.MISSING, "after epoch 1, sequence 41 comes epoch 1, sequence 43 (offset 9): records are missing or repeated"),
        (1, 41, HoleKind.MISSING, "comes epoch 1, sequence 41 (offset 9): records are missing or repeated"),
        (0, 42, HoleKind.MISSING, "comes epoch 0, sequence 42"),
        (2, 1, HoleKind.EPOCH, "the session was begun anew: after epoch 1, sequence 41 comes epoch 2, sequence 1"),
    ],
)
def test_any_other_record_is_a_hole_that_says_where_and_the_next_is_measured_by_it(
    epoch: int, sequence: int, kind: HoleKind, says: str
) -> None:
    seam = Seam(Position(1, 41, 8))
    hole = seam.follow(epoch, sequence, 9)
    assert hole is not None
    assert (hole.kind, hole.last) == (kind, Position(1, 41, 8))
    assert says in str(hole)
    assert seam.follow(epoch, sequence + 1, 10) is None


def test_a_position_is_kept_as_a_text() -> None:
    assert Position.parse(str(Position(2, 4711, 9023))) == Position(2, 4711, 9023)
    for text in ("", "1:2", "1:2:3:4", "a:b:c", "1:-2:3", "1:2:٣"):
        with pytest.raises(ValueError, match="is no position: it must be epoch:sequence:offset, such as 1:4711:9023"):
            Position.parse(text)


@st.composite
def records(draw: st.DrawFn) -> list[AnalysisEvent]:
    """Records 1 to n: bars of three symbols, now and then a later revision of one before, and markers about the session."""
    revisions: dict[tuple[str, int], int] = {}
    made = []
    for sequence in range(1, draw(st.integers(1, 40)) + 1):
        symbol = draw(st.sampled_from([None, "A", "B", "C"]))
        bar = None
        if symbol is not None:
            start_us = draw(st.integers(0, 5))
            revisions[symbol, start_us] = revision = revisions.get((symbol, start_us), -1) + 1
            bar = blank(AnalysisBar, start_us=start_us, revision=revision)
        kind = "activated" if symbol is None else "bar"
        made.append(AnalysisEvent(sequence, 1, "main", 0, kind, symbol, "1m" if symbol else None, 1 if symbol else None, bar=bar))
    return made


@given(
    told=records(),
    gaps=st.lists(st.integers(1, 3), min_size=40, max_size=40),
    moments=st.lists(st.integers(0, 40), min_size=4, max_size=4),
    restarts=st.sets(st.integers(0, 40)),
)
def test_each_bar_counts_once_whenever_the_parts_of_a_snapshot_were_taken_and_the_reader_restarts(
    told: list[AnalysisEvent], gaps: list[int], moments: list[int], restarts: set[int]
) -> None:
    """A snapshot has, of each symbol, the newest revisions as of a moment; a restart goes on from the position."""
    offsets = list(accumulate(gaps))  # where records are, past the markers of transactions
    begin, *later = sorted(min(moment, len(told)) for moment in moments)
    taken = dict(zip("ABC", later, strict=True))
    known: dict[tuple[str | None, int], AnalysisEvent] = {}
    for event in told:
        if event.bar is not None and event.sequence <= taken[event.symbol or ""]:
            known[event.symbol, event.bar.start_us] = event

    seam = Seam(Position(1, begin, offsets[begin - 1] + 1 if begin else 0), known.values(), closes_at=max(later))
    came = [key(event) for event in known.values()]
    newest = dict(known)
    for event in told[begin:]:
        offset = offsets[event.sequence - 1]
        assert seam.follow(1, event.sequence, offset) is None
        if event.bar is not None and not seam.has(event):
            came.append(key(event))
            before = newest.get((event.symbol, event.bar.start_us))
            assert before is None or before.bar is None or before.bar.revision < event.bar.revision, "an older revision came after a newer"
            newest[event.symbol, event.bar.start_us] = event
        if event.sequence in restarts and seam.is_closed:
            assert seam.last == Position(1, event.sequence, offset + 1)
            seam = Seam(seam.last)  # all that is known by then is in the strategy's own state
    assert len(set(came)) == len(came), "a bar came twice"
    assert newest == {(event.symbol, event.bar.start_us): event for event in told if event.bar is not None}
    after = [key(event) for event in told if event.bar is not None and event.sequence > taken[event.symbol or ""]]
    assert set(after) <= set(came), "each revision that is younger than the snapshot comes"


def key(event: AnalysisEvent) -> tuple[str | None, int, int]:
    assert event.bar is not None
    return event.symbol, event.bar.start_us, event.bar.revision


def test_what_became_of_a_former_incarnation_is_known_to_a_younger_snapshot() -> None:
    bar = AnalysisEvent(9, 1, "main", 0, "bar", "A", "1m", 2, bar=blank(AnalysisBar, start_us=5))
    removed = AnalysisEvent(4, 1, "main", 0, "symbol_removed", "A", None, 1)
    seam = Seam(Position(1, 3, 3), [bar], closes_at=9)
    assert seam.follow(1, 4, 3) is None
    assert seam.has(removed)
    assert not seam.has(replace(removed, symbol="B"))
    assert not seam.has(replace(removed, incarnation=2))
