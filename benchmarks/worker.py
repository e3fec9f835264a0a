"""`python -m benchmarks.worker CONFIG OFFSET_US`: a worker as a process, whose clock is off by so much.

Only the clock differs from `streams worker`: a backlog of a fixed day is then as old as the measurement wants it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.times import SystemClock
from streams.worker.app import SessionWorker
from streams.worker.instance import Instance
from streams.worker.log import set_up
from streams.worker.process import run
from streams.worker.shutdown import die


class ShiftedClock(SystemClock):
    """The machine's clock, as if it were another day."""

    def __init__(self, offset_us: int) -> None:
        self._offset_us = offset_us

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch, and the offset."""
        return super().now_us() + self._offset_us


def main(config: Path, offset_us: int) -> None:
    settings = Settings.load()
    set_up(settings)
    wanted = SessionConfig.load(config)
    try:
        settings = settings.model_copy(update={"clock_tolerance_seconds": 0.0})  # the broker's clock is not of that day
        worker = SessionWorker(wanted, settings, Instance.claim(settings, wanted.session_name), clock=ShiftedClock(offset_us))
        worker.prepare(settings)
    except Exception as error:
        die(error, settings)
    run(worker)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
