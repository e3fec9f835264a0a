"""A worker as a process: it runs until a signal ends it, within five seconds, or a fatal error does, at once.

`supervise` runs it as a child and starts it again after a fatal error, with growing pauses while it does not stay up. Exit
codes that a new start can't mend (a config, a topic's settings) end the supervisor too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

import faust
from loguru import logger

from streams.errors import (
    BrokerLostError,
    CalendarEndedError,
    ConfigConflictError,
    ControlLostError,
    DuplicateWorkerError,
    LoginError,
    StateError,
    TopicSetupError,
)
from streams.times import Clock, SystemClock
from streams.worker.app import SessionWorker

STOP_SECONDS: Final = 4.5
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_FOR_BROKER_SECONDS: Final = 1.0
"""A worker that finds no broker waits for one itself; a longer pause would only make it come back later."""
STEADY_SECONDS: Final = 30.0
USAGE: Final = 2

_HOPELESS: Final = frozenset(
    {
        1,
        USAGE,
        TopicSetupError.exit_code,
        ConfigConflictError.exit_code,
        DuplicateWorkerError.exit_code,
        ControlLostError.exit_code,
        StateError.exit_code,
        CalendarEndedError.exit_code,
        LoginError.exit_code,
    }
)


class _Worker(faust.Worker):
    """Faust's worker, whose signals also start the clock for an end that does not come, and whose crash is a fatal error.

    Faust's own end of a crash is exit code 1, as for a file at fault, whatever it was: a broker that was killed while the
    worker started, say.
    """

    owner: SessionWorker

    def on_worker_shutdown(self) -> None:
        """Called when Faust has ended, before its parts are stopped."""
        reason = self.crash_reason or sys.exception()
        if isinstance(reason, Exception):
            self.owner.die(reason)

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        logger.info("{}: stopping", number.name)
        _end_later(STOP_SECONDS)
        super()._schedule_shutdown(number)


def run(worker: SessionWorker) -> None:
    """Run a worker until a signal ends it. Raises SystemExit."""
    process = _Worker(worker.app, quiet=True, override_logging=False, redirect_stdouts=False)
    process.owner = worker
    process.spinner = None  # it writes terminal codes even where there is no terminal
    process.execute_from_commandline()


def _end_later(seconds: float) -> None:
    def end() -> None:
        logger.warning("the orderly stop took longer than {} s: ending; what was not committed is done again by the next start", seconds)
        logger.complete()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def supervise(command: Sequence[str], clock: Clock | None = None) -> int:
    """Run `command` as a child and start it again after each fatal error; returns the exit code to end with.

    SIGTERM and SIGINT are handed to the child, and its clean end ends this.
    """
    clock = SystemClock() if clock is None else clock
    stopping = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    pause = FIRST_PAUSE_SECONDS
    while True:
        began = clock.monotonic()
        child = subprocess.Popen(list(command))
        if stopping.is_set():  # the signal came before there was a child to hand it to
            child.send_signal(signal.SIGTERM)
        code = child.wait()
        if stopping.is_set() or code == 0:
            return 0 if code in (0, -signal.SIGTERM) else _positive(code)
        if code in _HOPELESS:
            logger.error("supervisor: the worker ended with exit code {}, which a new start would not mend", code)
            return code
        if clock.monotonic() - began >= STEADY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        if code == BrokerLostError.exit_code:
            pause = min(pause, LONGEST_PAUSE_FOR_BROKER_SECONDS)
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        logger.warning("supervisor: the worker ended with {}; starting it again in {:g} s", what, pause)
        if stopping.wait(pause):
            return 0
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _positive(code: int) -> int:
    return 128 - code if code < 0 else code
