"""The link to the brokers: whether an error says that it is cut, and the one sentence for it.

Each of the two Kafka clients has a dozen errors for a broker that does not answer, and tells them over and over. To whoever
runs a worker they are all one: no broker answers, at this address, and the worker tries again.
"""

from __future__ import annotations

import re
from typing import Final

from aiokafka import errors as aiokafka_errors
from confluent_kafka import KafkaError, KafkaException

from streams.errors import BrokerLostError, FatalError, InternalError

UNANSWERED: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
    }
)
"""Codes of librdkafka's that mean that no broker answered, or not in time."""

_UNANSWERED: Final = (
    aiokafka_errors.KafkaConnectionError,
    aiokafka_errors.KafkaTimeoutError,
    aiokafka_errors.NoBrokersAvailable,
    aiokafka_errors.NodeNotReadyError,
    aiokafka_errors.RequestTimedOutError,
)

_THREAD: Final = re.compile(r"^\S+/\w+: ")
_STATE: Final = re.compile(r" ?\(after \d+ms in state \w+\)")
_TWICE: Final = re.compile(r"Connect to ipv[46]#\S+ failed: (.*)")


def is_cut(error: BaseException | None) -> bool:
    """Whether the error means that no broker answered."""
    if isinstance(error, KafkaException):
        return error.args[0].code() in UNANSWERED
    return isinstance(error, _UNANSWERED)


def broker_lost(servers: str, why: str, doing: str | None = None) -> BrokerLostError:
    """The error for a worker that gives up waiting; `doing` is what could not be done."""
    return BrokerLostError(f"no broker answers at {servers} ({plain(why)}){f', {doing}' if doing else ''}")


def plain(why: str) -> str:
    """What librdkafka says of a connection, without the names that it has for its threads and states."""
    told = _THREAD.sub("", _STATE.sub("", why)).strip()
    return _TWICE.sub(r"\1", told)


def _words(error: BaseException) -> str:
    if isinstance(error, KafkaException):
        return str(error.args[0].str())
    # aiokafka's words for it are lists of address families.
    return "no connection could be made" if isinstance(error, aiokafka_errors.KafkaConnectionError) else str(error)


def as_fatal(error: BaseException, servers: str) -> FatalError:
    """What an error means for the worker; its cause is the error where nobody expected it."""
    if isinstance(error, FatalError):
        return error
    if is_cut(error):
        return broker_lost(servers, _words(error))
    fatal = InternalError(f"{type(error).__name__}: {error}")
    fatal.__cause__ = error
    return fatal
