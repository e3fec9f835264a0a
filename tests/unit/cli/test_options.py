"""Who draws on a terminal: a process in its foreground, and no job in its background."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rich.console import Console

from streams.cli.options import is_watched

# Run in a session of its own whose terminal is standard error: asked in the foreground, then as a job in the background.
CHILD = """
import fcntl, os, termios
from rich.console import Console
from streams.cli.options import is_watched
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
print(is_watched(Console(stderr=True)), flush=True)
if (child := os.fork()) == 0:
    os.setpgid(0, 0)
    print(is_watched(Console(stderr=True)), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_job_in_the_background_of_a_terminal_does_not_draw_on_it() -> None:
    ours, theirs = os.openpty()
    try:
        child = subprocess.run(
            [sys.executable, "-c", CHILD], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm"}, text=True, timeout=60, check=True,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert child.stdout.split() == ["True", "False"]


def test_nobody_watches_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_watched(Console(stderr=True))
