"""`streams export` by a process that kills itself at a step.

python -m tests.support.kills.dying_exporter "in write" export --all --delta --output folder
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

from streams.cli.main import main as run_command_line
from streams.exports.increments import NewExporter
from streams.history.store import files

STEPS: Final = ("after begin", "in write", "after write", "after end")


def die(*_: object, **__: object) -> Any:
    """End at once, as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    step = sys.argv[1]
    if step == "in write":
        files.os.replace = die  # type: ignore[attr-defined]
    else:
        name = step.partition(" ")[2]
        original = getattr(NewExporter, name)

        def then_die(self: NewExporter, *arguments: Any) -> Any:
            original(self, *arguments)
            die()

        setattr(NewExporter, name, then_die)
    run_command_line(sys.argv[2:])


if __name__ == "__main__":
    main()
