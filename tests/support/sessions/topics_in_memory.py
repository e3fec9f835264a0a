"""Topics in memory behind the reader's own interface, so that what a consumer does with them can be tried without a broker.

Each topic shows its records up to an end of its own. What one topic shows of a transaction another may show a moment later, as
on a broker: `lag` hides the newest records of a topic until somebody reads at its end.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.config.settings import Settings
from streams.errors import NoSessionError, OffsetGoneError
from streams.kafka.reader import BEGINNING, END, Record
from streams.times import Clock


class Topic:
    """A topic: records, of which the last `hidden` do not show yet, and those before `first` are gone."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.first = 0
        self.end = 0
        self.hidden = 0
        self.bounds_until_shown = 0
        self._once_shown = 0

    def append(self, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        self.records.append(Record(self.end, timestamp_ms, key, value, headers))
        self.end += 1

    def commit(self) -> None:
        """A transaction's marker takes an offset too."""
        self.end += 1

    def hide(self, count: int) -> None:
        """Do not show the newest records for the moment, but for what was shown already."""
        self.hidden = max(0, min(count, len(self.records) - self._once_shown))
        self.bounds_until_shown = 3 if self.hidden else 0

    @property
    def shown(self) -> list[Record]:
        self._once_shown = len(self.records) - self.hidden
        return [record for record in self.records[: len(self.records) - self.hidden] if record.offset >= self.first]

    @property
    def shown_end(self) -> int:
        self._once_shown = len(self.records) - self.hidden
        return self.records[len(self.records) - self.hidden].offset if self.hidden else self.end

    def truncate(self, first: int) -> None:
        self.first = first


class Topics(dict[str, Topic]):
    """Topics by name."""

    def new(self) -> Topic:
        """A topic without records."""
        return Topic()

    def reader(
        self, settings: Settings, topic: str, *, start: int, missing: str, clock: Clock | None = None, role: str = "reader"
    ) -> Reader:
        """In place of `TopicReader`."""
        if topic not in self:
            raise NoSessionError(f"{missing}: topic {topic} does not exist")
        return Reader(self[topic], topic, start)


class Reader:
    """Reads a topic as `TopicReader` does, a few records at a time."""

    def __init__(self, topic: Topic, name: str, start: int) -> None:
        self.topic = name
        self.at_end = False
        self._topic = topic
        self.position = {BEGINNING: topic.first, END: topic.shown_end}.get(start, start)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def bounds(self) -> tuple[int, int]:
        if self._topic.bounds_until_shown:
            self._topic.bounds_until_shown -= 1
            if not self._topic.bounds_until_shown:
                self._topic.hidden = 0
        return self._topic.first, self._topic.shown_end

    def move(self, offset: int) -> None:
        self.position = offset

    def offset_at(self, timestamp_ms: int) -> int | None:
        return next((record.offset for record in self._topic.shown if record.timestamp_ms >= timestamp_ms), None)

    def read(self, timeout_seconds: float = 0.2) -> list[Record]:
        if self.position < self._topic.first:
            raise OffsetGoneError(f"{self.topic} no longer has offset {self.position}: offset out of range")
        found = [record for record in self._topic.shown if record.offset >= self.position][:3]
        self.at_end = not found
        self.position = found[-1].offset + 1 if found else max(self.position, self._topic.shown_end)
        if not found:
            self._topic.hidden = 0
        return found

    def up_to(self, end: int, timeout_seconds: float) -> Iterator[Record]:
        while self.position < end:
            yield from self.read()
