"""How tests are dealt to the processes of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.dealing import ON_BROKERS, SECONDS, dealt

TESTS = Path(__file__).parents[2]


@dataclass(frozen=True)
class One:
    path: Path
    number: int


def some() -> list[One]:
    """Fifty files of six tests that need a broker, and twenty of fifty that do not."""
    files = {f"integration/test_{number:02}.py": 6 for number in range(50)} | {f"unit/test_{number:02}.py": 50 for number in range(20)}
    return [One(Path("tests") / file, number) for file, count in files.items() for number in range(count)]


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
def test_each_process_begins_with_its_share_of_what_needs_a_broker_and_ends_with_what_does_not(processes: int) -> None:
    tests = some()
    order = dealt(tests, processes)
    assert sorted(order, key=tests.index) == tests, "each test once"
    assert dealt(tests, processes) == order, "in all processes alike, as xdist demands"
    begin = 0
    for place in range(processes):
        part = order[begin : begin + (len(order) - begin) // (processes - place)]
        begin += len(part)
        needs = [test.path.parent.name == "integration" for test in part]
        assert needs == sorted(needs, reverse=True)
        assert abs(sum(needs) - 300 / processes) <= 6, "shares differ by a file at most"
        assert False in needs, "something is left that others may take"


def test_a_file_stays_in_one_piece() -> None:
    order = [test.path for test in dealt(some(), 4) if test.path.parent.name == "integration"]
    assert len(dict.fromkeys(order)) == sum(order[place] != order[place - 1] for place in range(1, len(order))) + 1


def test_the_long_files_are_there_and_need_a_broker() -> None:
    assert [file for file in SECONDS if not (TESTS / file).is_file()] == []
    assert {file.partition("/")[0] for file in SECONDS} <= set(ON_BROKERS)
