"""The analysis topic: what a strategy may act on, and whether a record of it is missing.

Records carry `(epoch, sequence)`, contiguous for a reader of committed records. So a reader can tell that it has seen
everything, and this one does: a hole is a `SequenceGapError`, or goes to `on_gap`. Kinds that this version does not know
are skipped, bars that are no longer fresh are too where `fresh_only` is set; both count in the sequence.

    with AnalysisConsumer(Settings.load(session="main"), start=END, fresh_only=True) as consumer:
        for event in consumer:
            ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final

from msgspec import Struct

from streams.client.kafka import codec_of, session_of, topics_of
from streams.client.reader import BEGINNING, END, Record, TopicReader
from streams.errors import SequenceGapError, StreamsError, WireError
from streams.records import AnalysisKind
from streams.settings import Settings
from streams.times import Clock, SystemClock
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent

__all__ = ["BEGINNING", "END", "AnalysisConsumer", "SequenceCheck", "SequenceGap"]

_KNOWN: Final = frozenset(AnalysisKind)


class SequenceGap(Struct, frozen=True):
    """Records are missing between two that were read: where the sequence stood, and what came instead."""

    epoch: int
    last_sequence: int
    found_epoch: int
    found_sequence: int
    offset: int

    def __str__(self) -> str:
        return (
            f"after epoch {self.epoch}, sequence {self.last_sequence} comes epoch {self.found_epoch}, sequence {self.found_sequence} "
            f"(offset {self.offset}): records are missing or repeated; read the session's state anew"
        )


class SequenceCheck:
    """Whether records follow each other: the sequence counts up by one, and a new epoch counts on from any number.

    The first record of all may have any number: a reader may begin anywhere.
    """

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def take(self, event: AnalysisEvent, offset: int) -> SequenceGap | None:
        """Take the next record; a gap when it does not follow the one before."""
        last, self._last = self._last, (event.epoch, event.sequence)
        if last is None or event.epoch > last[0] or self._last == (last[0], last[1] + 1):
            return None
        return SequenceGap(*last, event.epoch, event.sequence, offset)


class AnalysisConsumer:
    """Reads a session's analysis topic; a context manager, and an iterator that never ends by itself.

    Args:
        settings: where the broker is, and which session.
        start: an offset, `BEGINNING`, or `END`: only what comes from now on.
        fresh_only: skip bars whose `valid_until` has passed.
        on_gap: takes a hole in the sequence; without it, it is raised.
        codec: other schema ids than the project's.
        clock: what freshness is measured by.

    Raises:
        NobodyThereError: no broker answers, or no worker has ever run this session there.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        start: int = END,
        fresh_only: bool = False,
        on_gap: Callable[[SequenceGap], None] | None = None,
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.stale = 0
        self.unknown = 0
        self._codec = codec or codec_of(settings)
        self._clock = clock or SystemClock()
        self._fresh_only = fresh_only
        self._on_gap = on_gap
        self._check = SequenceCheck()
        self._pending: deque[Record] = deque()
        self._error: StreamsError | None = None
        missing = f"no worker has ever run session {session_of(settings)!r} here"
        self._reader = TopicReader(settings, topics_of(settings).analysis, start=start, missing=missing, clock=self._clock)

    def __enter__(self) -> AnalysisConsumer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.close()

    def __iter__(self) -> Iterator[AnalysisEvent]:
        while True:
            yield from self.read()

    @property
    def position(self) -> int:
        """The offset to go on from: all records before it have been read."""
        return self._pending[0].offset if self._pending else self._reader.position

    @property
    def at_end(self) -> bool:
        """Whether the last `read` came to the end of what is committed."""
        return self._reader.at_end and not self._pending and self._error is None

    def read(self, timeout_seconds: float = 0.2) -> list[AnalysisEvent]:
        """What is there, waiting up to `timeout_seconds` for the first record.

        Raises:
            SequenceGapError: a record is missing, and there is no `on_gap`.
            WireError: a record that can't be decoded; the message says where it is.

        Either is raised when all records before it have been given, and the next call goes on behind it.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error
        if not self._pending:
            self._pending.extend(self._reader.read(timeout_seconds))
        events: list[AnalysisEvent] = []
        while self._pending:
            record = self._pending.popleft()
            try:
                event = self._take(record)
            except SequenceGapError as gap:
                self._check = SequenceCheck()
                self._pending.appendleft(record)  # the one behind the hole is as good as any: it comes next
                return self._put_off(gap, events)
            except WireError as damage:
                return self._put_off(type(damage)(f"{self._reader.topic} offset {record.offset}: {damage}"), events)
            if event is not None:
                events.append(event)
        return events

    def _put_off(self, error: StreamsError, events: list[AnalysisEvent]) -> list[AnalysisEvent]:
        """Raise the error, or first give what came before it."""
        if not events:
            raise error
        self._error = error
        return events

    def _take(self, record: Record) -> AnalysisEvent | None:
        event = self._codec.analysis_from(record.value or b"")
        gap = self._check.take(event, record.offset)
        if gap is not None:
            if self._on_gap is None:
                raise SequenceGapError(str(gap))
            self._on_gap(gap)
        if event.kind not in _KNOWN:
            self.unknown += 1
            return None
        if self._fresh_only and event.bar is not None and event.bar.valid_until_us < self._clock.now_us():
            self.stale += 1
            return None
        return event
