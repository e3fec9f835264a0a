"""How a worker ends when it can't go on: at once, with a reason on the log and an exit code of its own.

There is no clever repair. What was committed is recovered by the next start, and what was not was seen by nobody, so
nothing that a dying process could still do would help, and much of it could hang.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from loguru import logger

from streams.config.settings import Settings
from streams.errors import InternalError
from streams.worker.link import as_fatal


def die(error: BaseException, settings: Settings) -> NoReturn:
    """Log why, and end the process with the error's exit code, without any clean-up; a bug's traceback is logged too."""
    fatal = as_fatal(error, settings)
    logger.opt(exception=error if isinstance(fatal, InternalError) else None).bind(
        exit_code=fatal.exit_code, error=type(fatal).__name__
    ).critical("worker ends: {}", fatal)
    logger.complete()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(fatal.exit_code)
