"""How a worker ends when it can't go on: at once, with a reason on the log and an exit code of its own.

There is no clever repair. What was committed is recovered by the next start, and what was not was seen by nobody, so
nothing that a dying process could still do would help, and much of it could hang.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from loguru import logger

from streams.errors import FatalError, InternalError


def die(error: BaseException) -> NoReturn:
    """Log why, and end the process with the error's exit code, without any clean-up."""
    fatal = error if isinstance(error, FatalError) else InternalError(f"{type(error).__name__}: {error}")
    cause = error if fatal is not error else None
    logger.opt(exception=cause).bind(exit_code=fatal.exit_code, error=type(fatal).__name__).critical("worker ends: {}", fatal)
    logger.complete()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(fatal.exit_code)
