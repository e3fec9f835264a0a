"""Each test belongs to a make target; the collection of tests sees to it (tests/conftest.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.targets import targets


@pytest.mark.parametrize(
    ("marks", "path", "is_run"),
    [
        pytest.param(set(), "tests/integration/test_a.py", True, id="make test"),
        pytest.param({"chaos"}, "tests/chaos/test_a.py", True, id="both"),
        pytest.param({"chaos", "slow"}, "tests/chaos/test_a.py", True, id="make chaos"),
        pytest.param({"slow"}, "tests/unit/test_a.py", True, id="slow alone, as the test of the wheel"),
        pytest.param({"slow"}, "tests/integration/test_a.py", False, id="make chaos does not look there"),
        pytest.param({"compose"}, "tests/compose/test_a.py", True, id="make compose-test"),
    ],
)
def test_a_test_is_run_by_a_target_or_by_none(marks: set[str], path: str, is_run: bool) -> None:
    assert len(targets()) == 3
    assert any(target.runs(marks, Path(path)) for target in targets()) is is_run
