"""The worker's log: loguru for everything, Faust's and aiokafka's lines included; each transition of the gate and of a symbol once."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

from loguru import logger

from streams.engine.transaction import TransactionResult
from streams.records import Event, EventKind
from streams.settings import Settings

if TYPE_CHECKING:
    from loguru import Record

_LEVELS: Final = {
    EventKind.DEACTIVATED: "WARNING",
    EventKind.SYMBOL_FAILED: "ERROR",
    EventKind.SOURCE_LOST: "ERROR",
    EventKind.COMMAND_REJECTED: "WARNING",
    EventKind.SYMBOL_SILENT: "WARNING",
    EventKind.BAR_LATE: "DEBUG",
    EventKind.BAR_CORRECTED: "DEBUG",
}
_LIBRARIES: Final = ("faust", "mode", "aiokafka", "asyncio", "aiohttp")
MOST_LINES: Final = 5
_LINE: Final = "<green>{time:YYYY-MM-DDTHH:mm:ss.SSS[Z]!UTC}</green> <level>{level: <8}</level> {message}"


def _format(record: Record) -> str:
    fields = " <dim>{extra}</dim>" if record["extra"] else ""
    return f"{_LINE}{fields}\n{{exception}}"


class _ToLoguru(logging.Handler):
    """Hands lines of the standard library's logging on."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in logging.getLevelNamesMapping() else "INFO"
        logger.opt(exception=record.exc_info).bind(library=record.name).log(level, "{}", record.getMessage())


def set_up(settings: Settings) -> None:
    """Log to stderr as the settings say; libraries speak from warnings up, and at any level when ours is DEBUG or finer."""
    logger.remove()
    logger.add(sys.stderr, level=settings.log_level, format=_format, serialize=settings.log_json, backtrace=False, diagnose=False)
    verbose = settings.log_level in ("TRACE", "DEBUG")
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    # It calls each wait for the group's coordinator an error, at every start on a fresh broker.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.INFO if verbose else logging.CRITICAL)


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
