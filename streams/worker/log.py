"""The worker's log: loguru for everything, Faust's and aiokafka's lines included; each transition of the gate and of a symbol once."""

from __future__ import annotations

import logging
import sys
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
    """Log the events of a transaction, one a line, and its dead letters."""
    for outcome in result.outcomes:
        if isinstance(outcome, Event):
            fields = {name: value for name, value in outcome.attributes.items() if value}
            bound = logger.bind(**({"symbol": outcome.symbol} if outcome.symbol else {}), **fields)
            reason = f": {outcome.reason}" if outcome.reason else ""
            bound.log(_LEVELS.get(outcome.kind, "INFO"), "{}{}", outcome.kind.value, reason)
    for letter in result.dead_letters:
        logger.bind(symbol=letter.symbol, offset=letter.offset, code=letter.code.value).warning("dead letter: {}", letter.message)
