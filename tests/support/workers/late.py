"""The command line with a clock that begins at 2027-01-04, 09:40 in Shanghai, and goes on from there.

python -m tests.support.workers.late worker session.json
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from streams.cli import worker as command
from streams.cli.main import main
from streams.times import SystemClock, to_us
from streams.worker.app import SessionWorker

NOW = to_us(datetime.fromisoformat("2027-01-04T09:40:00+08:00"))


class LateClock(SystemClock):
    """The machine's clock, some weeks ahead."""

    def __init__(self) -> None:
        self._ahead_us = NOW - super().now_us()

    def now_us(self) -> int:
        return super().now_us() + self._ahead_us


class LateWorker(SessionWorker):
    """A worker whose clock is ahead."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, clock=LateClock(), **options)


if __name__ == "__main__":
    os.environ["STREAMS_CLOCK_TOLERANCE_SECONDS"] = "0"  # the broker's clock is not of that day
    command.SessionWorker = LateWorker  # type: ignore[misc]
    main()
