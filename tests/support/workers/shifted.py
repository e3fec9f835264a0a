"""The command line on a machine whose clock is off by as many seconds as the file says that TEST_CLOCK_OFF names, at each moment.

    TEST_CLOCK_OFF=/tmp/off python -m tests.support.workers.shifted worker session.json

The whole process goes by that clock, libraries in Python included; the seconds that pass (`monotonic`, `CLOCK_BOOTTIME`) are right, as on
a machine whose clock is set.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from streams.cli.main import main

_FILE = Path(os.environ["TEST_CLOCK_OFF"])
_time, _time_ns = time.time, time.time_ns


def off_seconds() -> float:
    """How far the clock is off now: ahead, or below zero behind."""
    return float(_FILE.read_text() or 0)


if __name__ == "__main__":
    time.time = lambda: _time() + off_seconds()
    time.time_ns = lambda: _time_ns() + round(off_seconds() * 1_000_000_000)
    main()
