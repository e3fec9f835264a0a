"""The link to the brokers: whether an error says that it is cut, and the one sentence for it.

Each of the two Kafka clients has a dozen errors for a broker that does not answer, and tells them over and over. To whoever
runs a worker they are all one: no broker answers, at this address, and the worker tries again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from aiokafka import errors as aiokafka_errors
from confluent_kafka import KafkaException

from streams.config.settings import Settings
from streams.errors import (
    BrokerConnectionError,
    BrokerLostError,
    FatalError,
    ForbiddenError,
    InternalError,
    LoginError,
    MissingRightError,
    NobodyThereError,
    NoSessionError,
    StreamsError,
)
from streams.kafka.clients import UNANSWERED
from streams.kafka.rights import FORBIDDEN, principal, refusal

_UNANSWERED: Final = (
    aiokafka_errors.KafkaConnectionError,
    aiokafka_errors.KafkaTimeoutError,
    aiokafka_errors.NoBrokersAvailable,
    aiokafka_errors.NodeNotReadyError,
    aiokafka_errors.RequestTimedOutError,
)

CUT_NAMES: Final = tuple(error.__name__ for error in _UNANSWERED)
"""How aiokafka names them in its lines, and Faust in its own."""

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
    more = f" ({plain(why)}){f', {doing}' if doing else ''}"
    return BrokerLostError(f"{silence(servers)}{more}", reason=f"no broker answers in time{more}")


def silence(servers: str) -> str:
    """What is known of brokers when an answer did not come: of several it may be one alone that is away, and was needed."""
    return f"no answer in time from the brokers at {servers}" if "," in servers else f"no broker answers at {servers}"


def plain(why: str) -> str:
    """What librdkafka says of a connection, without the names that it has for its threads and states."""
    told = _THREAD.sub("", _STATE.sub("", why)).strip()
    return _TWICE.sub(r"\1", told)


def missing_right(error: BaseException) -> str | None:
    """The right that an error says is missing, as far as it says so; None for any other error.

    aiokafka raises what its consumer of the control topic and the changelog meets, with the topics or the group.
    """
    if isinstance(error, KafkaException):
        what = error.args[0]
        return f"a right ({what.name()}: {what.str()})" if what.code() in FORBIDDEN else None
    names = ", ".join(sorted(str(one) for one in _named(error.args)))
    match error:
        case aiokafka_errors.TopicAuthorizationFailedError():
            return f"Read on topic {names}"
        case aiokafka_errors.GroupAuthorizationFailedError():
            return f"Read on group {names}"
        case aiokafka_errors.ClusterAuthorizationFailedError() | aiokafka_errors.TransactionalIdAuthorizationFailed():
            return f"a right ({type(error).__name__} {names})"
    return None


def _named(arguments: Iterable[object]) -> set[object]:
    """The names in an error's arguments: one, or sets of several."""
    found: set[object] = set()
    for one in arguments:
        found.update(one if isinstance(one, set | frozenset | list | tuple) else [one])
    return found


def _words(error: BaseException) -> str:
    if isinstance(error, KafkaException):
        return str(error.args[0].str())
    # aiokafka's words for it are lists of address families.
    return "no connection could be made" if isinstance(error, aiokafka_errors.KafkaConnectionError) else str(error)


def unread(error: StreamsError) -> FatalError | None:
    """What it means for the worker that a topic could not be read; None where a broker answered, and it is about the topic itself."""
    match error:
        case NobodyThereError() if not isinstance(error, NoSessionError):
            return BrokerLostError(str(error), reason=error.reason)
        case BrokerConnectionError():
            kind = LoginError if error.is_login else BrokerLostError
            return kind(str(error), reason=error.reason)
        case MissingRightError():
            return ForbiddenError(str(error), reason=error.reason)
        case _:
            return None


def as_fatal(error: BaseException, settings: Settings) -> FatalError:
    """What an error means for the worker; its cause is the error where nobody expected it."""
    if isinstance(error, FatalError):
        return error
    if is_cut(error):
        return broker_lost(settings.bootstrap_servers, _words(error))
    if isinstance(error, StreamsError) and (fatal := unread(error)) is not None:
        return fatal
    missing = missing_right(error)
    if missing is not None:
        return ForbiddenError(refusal(settings, [missing]))
    if isinstance(error, aiokafka_errors.AuthenticationFailedError | aiokafka_errors.SaslAuthenticationFailed):
        return LoginError(f"the broker does not accept {principal(settings)}: {error}")
    bug = InternalError(f"{type(error).__name__}: {error}")
    bug.__cause__ = error
    return bug
