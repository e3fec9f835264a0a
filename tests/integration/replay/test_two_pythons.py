"""The same session on two versions of Python has the same records, rows and indicators, to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.interpreters import ROOT, other_environment

_SECONDS = 120.0


def told_by(interpreter: str | Path) -> dict[str, Any]:
    # By its path: the other environment has no pytest, which the package of the test's helpers imports.
    words = [str(interpreter), "-P", "tests/support/sessions/values.py", "examples/data/lean/equity/usa/minute"]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_session_is_the_same_on_two_versions_of_python() -> None:
    other, own = told_by(other_environment()), told_by(sys.executable)
    assert other.pop("python") != own.pop("python")
    values = [value for of_symbol in own["indicators"].values() for value in of_symbol.values()]
    assert len(values) == 4 * 42
    assert sum(value is not None for value in values) > 150
    assert other == own
