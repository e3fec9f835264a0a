"""Which make target runs which tests: so that none is marked in a way that no target selects."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """What a target hands to pytest: an expression over marks, and folders."""

    expression: str
    folders: tuple[str, ...]

    def runs(self, marks: Set[str], path: Path) -> bool:
        """Whether it runs a test with these marks in this file, which is relative to the project."""
        if not any(path.is_relative_to(folder) for folder in self.folders):
            return False
        return _holds(self.expression, frozenset(marks))


@cache
def _holds(expression: str, marks: frozenset[str]) -> bool:
    words = re.sub(r"\b(?!and\b|or\b|not\b)(\w+)\b", lambda word: str(word[1] in marks), expression)
    return bool(eval(words, {}))  # nothing is left in it but True, False, and, or, not


def targets() -> list[Target]:
    """The targets as pyproject.toml and the Makefile have them."""
    pytest_options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    default = pytest_options["addopts"][pytest_options["addopts"].index("-m") + 1]
    others = re.findall(r'-m pytest -m (?:"([^"]+)"|(\w+)) ((?:tests\S* )+)', (ROOT / "Makefile").read_text())
    own = [Target(expression or mark, tuple(folders.split())) for expression, mark, folders in others]
    return [Target(default, tuple(pytest_options["testpaths"])), *own]
