"""What became of each request that ends a transaction (EndTxn), as librdkafka's log says it.

Kafka ends whatever transaction a producer has open when an EndTxn arrives. A copy that the network delivers late, after
librdkafka has sent the request again and gone on, ends a later transaction of the same producer epoch half-way. librdkafka
sends again by itself, and says so nowhere in its results. Neither its error callback, which leaves out repeated errors, nor
its statistics, which come at intervals, show it each time.

Its log does: with `debug=eos` the one function that handles the end of an EndTxn, answered or not, writes one line before it
does anything else. A copy can be under way only when an EndTxn was sent and not answered. So a transaction is known to have
ended cleanly if exactly one line came for it, and that line says that the broker agreed. Anything else counts as unanswered,
the absence of the line too: a version of librdkafka that words it otherwise costs time, never a transaction.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final

CONTEXT: Final = "eos"
"""The context of librdkafka's debug log that has these lines."""
DEBUG_LEVEL: Final = 7
_AGREED: Final = "NO_ERROR"
_LINE: Final = re.compile(r"EndTxn returned (\w+) ")


class EndAnswers(logging.Logger):
    """A logger for one producer: keeps how its EndTxn requests ended, and drops every other line.

    The producer hands its lines over while it is polled.
    """

    def __init__(self) -> None:
        super().__init__("ledger", logging.DEBUG)
        self._answers: list[str] = []

    def log(self, level: int, msg: object, *args: object, **_: object) -> None:
        """Take a line: its facility, the producer's name, its text."""
        if len(args) == 3 and args[0] == "ENDTXN" and (found := _LINE.search(str(args[2]))) is not None:
            self._answers.append(found[1])

    def begin(self) -> None:
        """Forget the transaction before: another one begins."""
        self._answers.clear()

    @property
    def are_final(self) -> bool:
        """Whether no copy of the request that ended the transaction can be under way."""
        return self._answers == [_AGREED]

    def __str__(self) -> str:
        return ", ".join(self._answers) or "no answer"

    def properties(self, own: Mapping[str, object]) -> dict[str, object]:
        """A producer's properties `own`, with those that make librdkafka write its lines here."""
        return {**own, "logger": self, "log_level": DEBUG_LEVEL, "debug": CONTEXT}
