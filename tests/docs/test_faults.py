"""The page on faults names tests, and each of them is there."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")


def test_every_row_names_a_test_and_every_test_that_is_named_exists() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    assert len(rows) > 10
    files: dict[str, str] = defaultdict(str)  # files of several folders may have one name
    for path in TESTS.rglob("test_*.py"):
        files[path.name] += path.read_text(encoding="utf-8")
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, f"no test is named in: {row}"
        missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in files[file]]
        assert not missing, f"{missing} in: {row}"
