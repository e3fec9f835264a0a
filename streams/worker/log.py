"""The worker's log: loguru for everything, Faust's and aiokafka's lines included; each transition of the gate and of a symbol once."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

from loguru import logger

from streams.config.settings import Settings
from streams.model.records import Event, EventKind
from streams.model.transactions import TransactionResult
from streams.times import DOUBT_SECONDS, Clock, Leap, SystemClock
from streams.worker.link import CUT_NAMES, is_cut, missing_right, silence

if TYPE_CHECKING:
    from loguru import Record

_LEVELS: Final = {
    EventKind.DEACTIVATED: "WARNING",
    EventKind.CLOCK_WRONG: "ERROR",
    EventKind.SYMBOL_FAILED: "ERROR",
    EventKind.SOURCE_LOST: "ERROR",
    EventKind.SOURCE_WARNED: "WARNING",
    EventKind.UNKNOWN_FIELDS: "WARNING",
    EventKind.COMMAND_REJECTED: "WARNING",
    EventKind.EXPORT_LOST: "WARNING",
    EventKind.SYMBOL_SILENT: "WARNING",
    EventKind.CALENDAR_ENDING: "WARNING",
    EventKind.HISTORY_MISSING: "WARNING",
    EventKind.BAR_LATE: "DEBUG",
    EventKind.GAP_ASKED: "DEBUG",
    EventKind.BAR_CORRECTED: "DEBUG",
}
_LIBRARIES: Final = ("faust", "mode", "aiokafka", "asyncio", "aiohttp", "uvicorn")
MOST_LINES: Final = 5
_OF_A_CUT_LINK: Final = (
    "Unable connect to",
    "Unable to update metadata",
    "Unable to request metadata",
    "Failed fetch messages",
    "Failed to get offsets",
    "Could not send",
    "Timed out",
)
"""How aiokafka's lines begin that mean that a broker does not answer."""
_VERBOSE: Final = ("TRACE", "DEBUG")
SAY_AGAIN_SECONDS: Final = 10.0
"""How often it is said that a broker is away."""
_LINE: Final = "<green>{time:YYYY-MM-DDTHH:mm:ss.SSS[Z]!UTC}</green> <level>{level: <8}</level> {message}"


def _format(record: Record) -> str:
    fields = " <dim>{extra}</dim>" if record["extra"] else ""
    return f"{_LINE}{fields}\n{{exception}}"


class LibraryLines(logging.Handler):
    """Hands lines of the standard library's logging on; those about a broker that does not answer become one line now and then.

    aiokafka logs several of them at each attempt to connect, ten times a second, and Faust a traceback.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        super().__init__()
        self._servers = settings.bootstrap_servers
        self._is_verbose = settings.log_level in _VERBOSE
        self._clock = SystemClock() if clock is None else clock
        self._said_at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on."""
        if not self._is_verbose and self._is_about_the_link(record):
            now = self._clock.monotonic()
            if self._said_at is None or now - self._said_at >= SAY_AGAIN_SECONDS:
                self._said_at = now
                logger.warning("{}, trying again", silence(self._servers))
            return
        level = record.levelname if record.levelname in logging.getLevelNamesMapping() else "INFO"
        # A right that is missing ends the worker, which names it: where a library met it is of no use to anybody.
        is_right = record.exc_info is not None and record.exc_info[1] is not None and missing_right(record.exc_info[1]) is not None
        shown = None if is_right and not self._is_verbose else record.exc_info
        logger.opt(exception=shown).bind(library=record.name).log(level, "{}", record.getMessage())

    def _is_about_the_link(self, record: logging.LogRecord) -> bool:
        if record.exc_info is not None and is_cut(record.exc_info[1]):
            return True
        if record.name.startswith("aiokafka") and str(record.msg).startswith(_OF_A_CUT_LINK):
            return True
        # Whatever the line is about: one that names such an error comes again with each attempt.
        return record.name.partition(".")[0] in _LIBRARIES and any(name in record.getMessage() for name in CUT_NAMES)


def set_up(settings: Settings) -> None:
    """Log to stderr as the settings say; libraries speak from warnings up, and at any level when ours is DEBUG or finer."""
    logger.remove()
    logger.add(sys.stderr, level=settings.log_level, format=_format, serialize=settings.log_json, backtrace=False, diagnose=False)
    verbose = settings.log_level in _VERBOSE
    logging.basicConfig(handlers=[LibraryLines(settings)], level=logging.WARNING, force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    # It calls each wait for the group's coordinator an error, at every start on a fresh broker.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.INFO if verbose else logging.CRITICAL)


def log_leap(leap: Leap) -> None:
    """Log a leap of the wall clock, and what became of it."""
    where = f"{'ahead' if leap.seconds > 0 else 'back'} by {abs(leap.seconds):.1f} s"
    if leap.is_believed is None:
        logger.warning("the wall clock leapt {}: reading waits until it has stayed so for {:g} s, or has come back", where, DOUBT_SECONDS)
    elif leap.is_contradicted:
        logger.error(
            "the wall clock leapt {} and stayed there, and the brokers' clocks say otherwise: this worker goes on by the time that passes. "
            "Set the clock before the worker is started again",
            where,
        )
    elif leap.is_believed:
        logger.warning("the wall clock leapt {} and stayed there: it is believed", where)
    else:
        logger.info("the wall clock has come back from a leap {}: nothing was judged by it", where)


def log_outcomes(result: TransactionResult) -> None:
    """Log the events of a transaction, one a line, and its dead letters: of many alike the first few, and how many there were.

    A topic full of garbage would otherwise cost more in lines than in records; all of them stand in their topics.
    """
    rejected = 0
    for outcome in result.outcomes:
        if isinstance(outcome, Event):
            if outcome.kind is EventKind.COMMAND_REJECTED:
                rejected += 1
                if rejected > MOST_LINES:
                    continue
            fields = {name: value for name, value in outcome.attributes.items() if value}
            bound = logger.bind(**({"symbol": outcome.symbol} if outcome.symbol else {}), **fields)
            reason = f": {outcome.reason}" if outcome.reason else ""
            bound.log(_LEVELS.get(outcome.kind, "INFO"), "{}{}", outcome.kind.value, reason)
    if rejected > MOST_LINES:
        logger.warning("{}: and {} more in this transaction", EventKind.COMMAND_REJECTED.value, rejected - MOST_LINES)
    for letter in result.dead_letters[:MOST_LINES]:
        logger.bind(symbol=letter.symbol, offset=letter.offset, code=letter.code.value).warning("dead letter: {}", letter.message)
    if len(result.dead_letters) > MOST_LINES:
        counts = Counter(f"{letter.symbol} {letter.code.value}" for letter in result.dead_letters[MOST_LINES:])
        logger.bind(**counts).warning("dead letters: {} more in this transaction", counts.total())
