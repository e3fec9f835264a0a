"""What becomes of a replay's analysis records: JSON lines, a topic, or nothing; and the hash that tells runs apart.

The hash is the SHA-256 of the JSON lines, whatever the sink: `streams replay ... --to jsonl | sha256sum` gives the same.
"""

from __future__ import annotations

import hashlib
import json
from typing import IO, Protocol

from streams.client.jsonlines import analysis_json
from streams.model.records import HeldBackBar, Marker, PublishedBar
from streams.replay.runner import ReplayStep
from streams.wire.analysis import analysis_event


class Sink(Protocol):
    """Takes analysis records in order; `line` is the record as JSON, `now_us` when it is emitted."""

    def write(self, outcome: PublishedBar | Marker, line: str, now_us: int) -> None:
        """Take one."""
        ...

    def hold(self, outcome: HeldBackBar, now_us: int) -> None:
        """Take a bar that is on no gated record: only where the config asks for the ungated topic."""
        ...

    def close(self) -> None:
        """Wait until all that was taken is where it should be."""
        ...


class NoSink:
    """Takes records and keeps none."""

    def write(self, outcome: PublishedBar | Marker, line: str, now_us: int) -> None:
        """Take one."""

    def hold(self, outcome: HeldBackBar, now_us: int) -> None:
        """Take one."""

    def close(self) -> None:
        """Nothing is kept."""


class JsonLines:
    """Writes JSON lines to a stream.

    Args:
        stream: where to.
        at_once: hand each line on when it is written, for whoever watches a replay that takes its time.
    """

    def __init__(self, stream: IO[str], *, at_once: bool = False) -> None:
        self._stream = stream
        self._at_once = at_once

    def write(self, outcome: PublishedBar | Marker, line: str, now_us: int) -> None:
        """Write one line."""
        self._stream.write(line + "\n")
        if self._at_once:
            self._stream.flush()

    def hold(self, outcome: HeldBackBar, now_us: int) -> None:
        """The lines are the gated records."""

    def close(self) -> None:
        """Hand on what is buffered."""
        self._stream.flush()


class Outputs:
    """Hands the analysis records of steps to a sink, and hashes them.

    Args:
        session: the session's name.
        epoch: the session's epoch.
        sink: takes them.
    """

    def __init__(self, session: str, epoch: int, sink: Sink) -> None:
        self._session = session
        self._epoch = epoch
        self._sink = sink
        self._hash = hashlib.sha256()

    def take(self, step: ReplayStep) -> None:
        """Take the records of one step."""
        now_us = step.now_us
        for outcome in step.outcomes:
            if isinstance(outcome, PublishedBar | Marker):
                event = analysis_event(outcome, session=self._session, epoch=self._epoch, emitted_us=now_us)
                line = json.dumps(analysis_json(event), ensure_ascii=False)
                self._hash.update(line.encode() + b"\n")
                self._sink.write(outcome, line, now_us)
            elif isinstance(outcome, HeldBackBar):
                self._sink.hold(outcome, now_us)

    @property
    def sha256(self) -> str:
        """The hash of all records so far, in hex."""
        return self._hash.hexdigest()
