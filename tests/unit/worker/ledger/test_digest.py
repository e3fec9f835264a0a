"""What rows come to: the same whatever the order and the way, another for any other rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import RecoveryError
from streams.worker.ledger.digest import CARRIER, RowDigest, check

KEYS = st.binary(min_size=1, max_size=3)
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=4)), max_size=30)

ROWS = {b"progress|SPY": b"at 100", b"progress|IBM": b"at 90", b"symbol|SPY": b"loaded"}


@given(CHANGES)
def test_rows_that_were_changed_one_by_one_come_to_what_is_left_of_them(changes: list[tuple[bytes, bytes | None]]) -> None:
    digest, rows = RowDigest(), dict[bytes, bytes]()
    for key, value in changes:
        digest.change(key, value)
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    assert digest.text() == RowDigest(sorted(rows.items(), reverse=True)).text()


@pytest.mark.parametrize(
    ("recovered", "reason"),
    [
        ({**ROWS, b"progress|SPY": b"at 99"}, "an older version of a row"),
        ({key: value for key, value in ROWS.items() if key != b"progress|IBM"}, "a row is missing"),
        ({**ROWS, b"symbol|AIG": b"loaded"}, "a row that was deleted"),
        ({**ROWS, b"progress|SPY": b"at 90", b"progress|IBM": b"at 100"}, "two values changed places"),
        ({}, "nothing"),
    ],
)
def test_rows_that_are_not_those_that_were_committed_end_the_worker(recovered: dict[bytes, bytes], reason: str) -> None:
    committed = RowDigest(ROWS.items()).text()
    assert check(ROWS.items(), committed).text() == committed
    with pytest.raises(RecoveryError, match=r"3 [0-9a-f]{16}: a changelog record was lost on the way"):
        check(recovered.items(), committed)


def test_the_row_that_carries_the_digest_is_not_part_of_it() -> None:
    assert RowDigest({**ROWS, CARRIER: b"anything"}.items()).text() == RowDigest(ROWS.items()).text()


def test_state_without_a_digest_is_taken_as_it_is() -> None:
    assert check(ROWS.items(), None).text() == RowDigest(ROWS.items()).text()
