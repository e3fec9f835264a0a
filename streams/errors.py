"""Every exception of the project, in one tree.

    StreamsError
    ├── SessionConfigError (ValueError)      a session config that can't be accepted: key, bound, value
    ├── SettingsError (ValueError)           an environment setting that can't be accepted
    ├── InvalidSymbolError (ValueError)      a symbol that can't be one
    ├── BarFileError (ValueError)            a line of a file of bars that can't be read: file, line, column
    ├── WireError (ValueError)               bytes that can't be decoded
    │   ├── FramingError                     no magic byte, truncated header
    │   ├── UnknownSchemaError               a schema id that nobody here knows
    │   └── BodyError                        a body that is not of its schema
    ├── EngineError                          the engine was driven in a way that it forbids: a bug in a shell
    │   └── RedriveError                     the state could not be rebuilt after a failed record
    ├── BrokerError                          the embedded broker could not be installed, started or stopped
    ├── NobodyThereError                     no broker, or no worker, answered in time (exit code 3)
    │   ├── NoSessionError                   a broker answers, and no worker has ever run the session there
    │   └── UnansweredError                  a command was sent, and its final reply did not come in time
    ├── BrokerRefusedError                   the broker answered, and did not do what was asked (exit code 1)
    │   ├── OffsetGoneError                  a topic no longer has the place at which reading was to go on
    │   ├── MissingRightError                the user lacks a right; the message names operation, resource and user (exit code 21)
    │   └── BrokerConnectionError            a broker is there, and refuses the connection: password, certificate, protocol
    ├── SequenceGapError                     records of the analysis topic are missing: a reader must read the state anew
    ├── WarmUpError                          the bars of the day could not be had for a strategy to begin from
    ├── CommandRefusedError                  a control command failed, with the worker's reason (exit code 1)
    ├── RequestRefusedError                  a request over HTTP was refused by a worker: status, code, reason (exit code 1)
    ├── NotActiveError                       this worker does not have the session's state: another one may
    ├── ApiError                             a request over HTTP that is answered with an error: status, code, what would be right
    ├── HistoryError                         the Parquet store could not give or take bars
    ├── ExportError                          an export that could not be read or written, or that must not be (exit code 1)
    ├── ReplayError (ValueError)             a replay that can't be run as asked: its days, its commands, its output topic
    └── FatalError                           ends the worker; `exit_code` tells the supervisor why
        ├── TopicSetupError          (10)    a topic is missing or has settings that would lose data
        ├── FencedError              (11)    another worker took the session over
        ├── DemotedError             (12)    the group gave the active role to another worker
        ├── LedgerError              (13)    a transaction failed in a way that only a restart mends
        ├── BrokerLostError          (14)    the broker did not come back in time
        ├── ControlLostError         (15)    the control topic was truncated or re-created
        ├── StateError               (16)    the tables hold something that can't be restored
        ├── ConfigConflictError      (17)    the config contradicts the state: exchange, base interval
        ├── DuplicateWorkerError     (18)    the worker's instance id is in use
        ├── RecoveryError            (19)    the recovered table is not the one that was committed
        ├── CalendarEndedError       (20)    no trading days are known from now on
        ├── ForbiddenError           (21)    the worker's user lacks a right on the broker
        ├── LoginError               (22)    the broker does not accept the worker's user or password
        ├── ClockError               (23)    the worker's clock is ahead of the brokers', or can't be right
        └── InternalError            (70)    a bug: anything that was not expected

Messages say what was wrong, where, and what would be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class StreamsError(Exception):
    """The root of every exception that this project raises on purpose.

    Args:
        args: the message, for people: it may name paths and hosts.
        reason: the same for records, without paths and hosts, since a record must not depend on where it was made. By default
            the message, for errors that name neither.
    """

    def __init__(self, *args: object, reason: str | None = None) -> None:
        super().__init__(*args)
        self._reason = reason

    @property
    def reason(self) -> str:
        """What a record says of the error: no path and no host name stands in it."""
        return str(self) if self._reason is None else self._reason


class SessionConfigError(StreamsError, ValueError):
    """A session config that can't be accepted; the message names the key, the bound and the value."""


class SettingsError(StreamsError, ValueError):
    """An environment setting that can't be accepted."""


class InvalidSymbolError(StreamsError, ValueError):
    """A symbol that can't be one: empty, too long, blank or unprintable characters."""


class BarFileError(StreamsError, ValueError):
    """A place in a file of bars that can't be read; the message names file, line and column."""


class WireError(StreamsError, ValueError):
    """Bytes from a topic that can't be decoded."""


class FramingError(WireError):
    """The value has neither the Confluent header nor the shape of JSON."""


class UnknownSchemaError(WireError):
    """The value's schema id is in no id file or registry that this process reads."""


class BodyError(WireError):
    """The value's body is not of its schema: truncated, trailing bytes, a wrong type."""


class EngineError(StreamsError):
    """The engine was driven in a way that it forbids. Always a bug in a shell, never in the data."""


class RedriveError(EngineError):
    """After a failed record the inputs before it could not be applied again: the state is unusable."""


class BrokerError(StreamsError):
    """The embedded broker could not be installed, started or stopped; the message says what to do."""


class NobodyThereError(StreamsError):
    """No broker, or no worker of the session, answered in time."""


class NoSessionError(NobodyThereError):
    """A broker answers, but it has none of the session's topics, or nothing in them yet: no worker has ever run it there."""


class UnansweredError(NobodyThereError):
    """A command is on its topic, and its final reply did not come in time."""


class BrokerRefusedError(StreamsError):
    """The broker answered, and did not do what was asked: no right to, no such topic, a record too large."""


class OffsetGoneError(BrokerRefusedError):
    """A topic has no records at the place at which reading was to go on: it was truncated, or made anew."""


class MissingRightError(BrokerRefusedError):
    """The client's user lacks a right on the broker; the message names the operation, the resource, and the user."""


class BrokerConnectionError(BrokerRefusedError):
    """A broker is there, and refuses the connection: a wrong password, a certificate, another protocol; the message says which.

    `is_login` when the broker did not accept the user or the password: to try again may lock the account.
    """

    def __init__(self, message: str, *, reason: str | None = None, is_login: bool = False) -> None:
        super().__init__(message, reason=reason)
        self.is_login = is_login


class SequenceGapError(StreamsError):
    """Records of the analysis topic are missing between two that were read."""


class WarmUpError(StreamsError):
    """The bars of the day could not be had for a strategy to begin from; the message says why, and what helps."""


class CommandRefusedError(StreamsError):
    """A control command failed; the message is the worker's reason."""


class RequestRefusedError(StreamsError):
    """A worker refused a request over HTTP: `status` is HTTP's, `code` the worker's word for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotActiveError(StreamsError):
    """This worker can't answer for the session; `owner_url` is where the active one answers over HTTP, when that is known."""

    def __init__(self, message: str, owner_url: str | None = None) -> None:
        super().__init__(message)
        self.owner_url = owner_url


class ApiError(StreamsError):
    """A request over HTTP that is answered with an error: a status, a word for programs, and what would be right."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


class HistoryError(StreamsError):
    """The store of past bars could not give or take what was asked."""


class ExportError(StreamsError):
    """An export could not be read or written; the message says why, and what would be right."""


class ReplayError(StreamsError, ValueError):
    """A replay that can't be run as asked; the message says what is wrong: its days, a line of its commands, its output."""


class FatalError(StreamsError):
    """Ends the worker process. The next start recovers what was committed."""

    exit_code: ClassVar[int] = 70


class TopicSetupError(FatalError):
    """A topic is missing, or has settings that would lose data; the message says what to change."""

    exit_code = 10


class FencedError(FatalError):
    """Another worker has taken the session over; this one can write nothing any more."""

    exit_code = 11


class DemotedError(FatalError):
    """The consumer group gave the active role to another worker; this one comes back as a standby."""

    exit_code = 12


class LedgerError(FatalError):
    """A transaction failed in a way that only a new start mends."""

    exit_code = 13


class BrokerLostError(FatalError):
    """The broker did not come back in time."""

    exit_code = 14


class ControlLostError(FatalError):
    """The control topic no longer holds the position that the state stands at."""

    exit_code = 15


class StateError(FatalError):
    """The tables hold something that can't be restored."""

    exit_code = 16


class ConfigConflictError(FatalError):
    """The config contradicts the recovered state; the message says how to resolve it."""

    exit_code = 17


class DuplicateWorkerError(FatalError):
    """Another process holds this worker's instance id."""

    exit_code = 18


class RecoveryError(FatalError):
    """The table that was recovered is not the one that was committed; the next start reads the changelog anew."""

    exit_code = 19


class CalendarEndedError(FatalError):
    """The session's calendar knows no further trading days; the message says what to do."""

    exit_code = 20


class ForbiddenError(FatalError):
    """The worker's user lacks a right on the broker; the message names the operation, the resource, and the user."""

    exit_code = 21


class LoginError(FatalError):
    """The broker does not accept the worker's user or password. To try again may lock the account."""

    exit_code = 22


class ClockError(FatalError):
    """The worker's clock is ahead of the brokers' clocks, or says a time that can't be right; the message says what it is off by."""

    exit_code = 23


class InternalError(FatalError):
    """Something that was not expected: a bug. The log has the traceback."""

    exit_code = 70
