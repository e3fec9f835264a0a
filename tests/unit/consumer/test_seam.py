"""The seam between a warm-up and what comes live, and positions as texts: no topic, only numbers."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.consumer import HoleKind, Position
from streams.consumer.seam import Seam


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


@given(
    symbols=st.lists(st.sampled_from([None, "A", "B", "C"]), min_size=1, max_size=40),
    gaps=st.lists(st.integers(1, 3), min_size=40, max_size=40),
    moments=st.lists(st.integers(0, 40), min_size=3, max_size=3),
    restarts=st.sets(st.integers(0, 40)),
)
def test_each_record_counts_once_whenever_the_parts_of_a_snapshot_were_taken_and_the_reader_restarts(
    symbols: list[str | None], gaps: list[int], moments: list[int], restarts: set[int]
) -> None:
    """Records 1 to n of a session; a snapshot has, of each symbol, those up to a moment; a restart goes on from the position."""
    offsets = list(accumulate(gaps))  # where records are, past the markers of transactions
    taken = {symbol: min(moment, len(symbols)) for symbol, moment in zip("ABC", moments, strict=True)}
    begin = min(taken.values())
    known = [number for number, symbol in enumerate(symbols, 1) if symbol is not None and number <= taken[symbol]]
    known += [number for number, symbol in enumerate(symbols, 1) if symbol is None and number <= begin]

    position = Position(1, begin, offsets[begin - 1] + 1 if begin else 0)
    seam, given_out = Seam(position, taken), list(known)
    for number, symbol in enumerate(symbols, 1):
        if number <= begin:
            continue
        assert seam.follow(1, number, offsets[number - 1]) is None
        if not seam.includes(symbol, number):
            given_out.append(number)
        if number in restarts and seam.is_closed:
            assert seam.last == Position(1, number, offsets[number - 1] + 1)
            seam = Seam(seam.last)  # all that is known by then is in the strategy's own state
    assert sorted(given_out) == list(range(1, len(symbols) + 1))
