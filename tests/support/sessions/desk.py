"""A user's desk in front of one session: sends bars and commands, and waits for what comes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.audit.verify import verify
from streams.client.control import SessionControl
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.model.records import Bar, Quote, Tick
from streams.model.rows import ProgressRow, StreamRow, SymbolRow, progress_key, stream_key, symbol_key
from streams.wire.messages import AnalysisEvent, CommandReply, SessionEvent
from tests.support.feeders import produce
from tests.support.kafka.reading import Read, read_topic
from tests.support.kafka.topics import create_topics
from tests.support.oracle.audit_all import Evidence, judge
from tests.support.oracle.evidence import SessionTopics
from tests.support.waiting import wait_until

Found = TypeVar("Found")

READ_SECONDS = 120.0
"""A limit for waiting: a take-over on a busy machine, and reading what has come meanwhile."""


PROGRESS_SECONDS = 60.0
"""A limit for waiting on a machine with much else to do: forty gaps are filled one by one, a kill in between."""


class LiveDesk:
    """Talks to the session of `config` as its users do."""

    def __init__(self, bootstrap_servers: str, config: SessionConfig) -> None:
        self.config = config
        self.servers = bootstrap_servers
        self.settings = Settings.load(bootstrap_servers=bootstrap_servers, session=config.session_name)
        self.topics = SessionTopics(bootstrap_servers, config.session_name)
        self.names = self.topics.names
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "log_level": 0})

    def raw(self, topic: str, *values: bytes | None, key: bytes | None = None) -> None:
        """Produce values as any console producer would."""
        for value in values:
            self._producer.produce(topic, value, key, 0)
        if self._producer.flush(60):
            raise TimeoutError(f"not all of {len(values)} records went to {topic}")

    def raw_at_once(self, topic: str, values: Sequence[bytes | None]) -> None:
        """Produce many values with as few requests as may be."""
        producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
        for value in values:
            producer.produce(topic, value, b"key", 0)
        if producer.flush(60):
            raise TimeoutError(f"not all of {len(values)} records went to {topic}")

    def bars(self, bars: Sequence[Bar]) -> None:
        """Produce bars at once."""
        produce(self.settings, bars)

    def records(self, *records: Bar | Quote | Tick) -> None:
        """Produce bars, quotes and ticks at once, each to its own topic."""
        produce(self.settings, records)

    def stream(self, symbol: str, stream: str) -> StreamRow | None:
        """The row of a symbol's quotes or ticks."""
        row = self.topics.rows().get(stream_key(stream, symbol))
        return row if isinstance(row, StreamRow) else None

    def await_stream(self, symbol: str, stream: str, condition: Callable[[StreamRow], bool], what: str) -> StreamRow:
        """The row of a symbol's quotes or ticks, once it is as it should be."""

        def found() -> StreamRow | None:
            row = self.stream(symbol, stream)
            return row if row is not None and condition(row) else None

        row = wait_until(found, f"{stream} of {symbol}: {what}")
        assert row is not None
        return row

    def type_command(self, **fields: object) -> None:
        """Produce a command as JSON typed by hand."""
        self.raw(self.names.control, json.dumps(fields).encode())

    def add(self, symbol: str, **options: object) -> CommandReply | None:
        """Add a symbol and wait until it is loaded."""
        with SessionControl(self.settings) as control:
            return control.add_symbol(symbol, **options)  # type: ignore[arg-type]

    def remove(self, symbol: str, **options: object) -> CommandReply | None:
        """Remove a symbol and wait until it is gone."""
        with SessionControl(self.settings) as control:
            return control.remove_symbol(symbol, **options)  # type: ignore[arg-type]

    def await_replies(self, command_id: str, count: int) -> list[CommandReply]:
        """The replies to a command, once there are `count`."""

        def replies() -> list[CommandReply]:
            found = [reply for reply in self.topics.replies() if reply.command_id == command_id]
            return found if len(found) >= count else []

        return wait_until(replies, f"{count} replies to {command_id}")

    def of(self, symbol: str) -> list[AnalysisEvent]:
        """What analysis says about a symbol."""
        return [event for event in self.topics.analysis() if event.symbol == symbol]

    def await_bars(self, symbol: str, count: int, interval: str = "1s") -> list[AnalysisEvent]:
        """The published bars of a symbol, once there are `count`."""

        def published() -> list[AnalysisEvent]:
            found = [event for event in self.of(symbol) if event.bar is not None and event.interval == interval]
            return found if len(found) >= count else []

        return wait_until(published, f"{count} bars of {symbol} on analysis")

    def await_analysis(self, condition: Callable[[list[AnalysisEvent]], Found], what: str) -> Found:
        """What `condition` finds on analysis."""
        return wait_until(lambda: condition(self.topics.analysis()), what)

    def await_event(self, kind: str, symbol: str) -> SessionEvent:
        """The first event of a kind about a symbol."""

        def event() -> SessionEvent | None:
            return next((event for event in self.topics.events() if event.kind == kind and event.symbol == symbol), None)

        found = wait_until(event, f"the event {kind} of {symbol}")
        assert found is not None
        return found

    def dead_letters(self, topic: str) -> list[Read]:
        """The dead letters that came from a topic."""
        return [record for record in read_topic(self.servers, self.names.dlq) if record.headers["__streams.errors.topic"] == topic]

    def await_dead_letters(self, topic: str, count: int) -> list[Read]:
        """The dead letters that came from a topic, once there are `count`."""

        def letters() -> list[Read]:
            found = self.dead_letters(topic)
            return found if len(found) >= count else []

        return wait_until(letters, f"{count} dead letters of {topic}")

    def symbol(self, symbol: str) -> SymbolRow | None:
        """A symbol's row in the state."""
        row = self.topics.rows().get(symbol_key(symbol))
        return row if isinstance(row, SymbolRow) else None

    def progress(self, symbol: str) -> ProgressRow | None:
        """A symbol's progress in the state."""
        row = self.topics.rows().get(progress_key(symbol))
        return row if isinstance(row, ProgressRow) else None

    def await_progress(self, symbol: str, condition: Callable[[ProgressRow], bool], what: str) -> ProgressRow:
        """A symbol's progress, once it is as it should be."""

        def found() -> ProgressRow | None:
            row = self.progress(symbol)
            return row if row is not None and condition(row) else None

        row = wait_until(found, f"{symbol}: {what}", PROGRESS_SECONDS)
        assert row is not None
        return row

    def await_read(self, counts: Mapping[str, int]) -> None:
        """Wait until so many records of each symbol's topic are read."""

        def all_read() -> bool:
            rows = self.topics.rows()
            found = [(rows.get(progress_key(symbol)), count) for symbol, count in counts.items()]
            return all(isinstance(row, ProgressRow) and row.offset >= count for row, count in found)

        wait_until(all_read, f"{len(counts)} symbols to be read to their end", READ_SECONDS)

    def check_left_behind(self, symbols: Sequence[str]) -> Evidence:
        """Assert that the oracle and the audit have nothing to say about a session whose workers have ended; gives what they saw.

        `symbols` are all that were ever in it.
        """
        evidence = self.topics.evidence(self.config, list(symbols))
        findings = judge(evidence)
        assert not findings, "\n".join(findings)
        self.check_audit()
        return evidence

    def check_audit(self) -> None:
        """Assert that the audit finds the tables and the outputs equal to what its own engine makes."""
        audit = verify(self.settings)
        assert audit.is_equal, "\n".join([*map(str, audit.differences), *audit.unchecked])

    def delete_records(self, topic: str, before: int) -> None:
        """Take the records before an offset away, as retention does."""
        partition = TopicPartition(topic, 0, before)
        self.admin.delete_records([partition])[partition].result(60)

    def create_again(self, topic: str) -> None:
        """Delete a topic and create it: the same name, and another topic."""
        self.delete_topic(topic)
        create_topics(self.servers, topic)

    def await_source_lost(self, symbol: str) -> None:
        """Wait until the loss of a symbol's topic is noticed, and add the symbol again where it failed by it.

        Which of both depends on whether the topic was looked at when it was not there.
        """

        def told() -> list[SessionEvent]:
            return [event for event in self.topics.events() if event.symbol == symbol and event.kind in ("source_lost", "symbol_failed")]

        last = wait_until(told, "the loss to be noticed")[-1]
        if last.kind == "symbol_failed":
            assert "was deleted" in (last.reason or "")
            self.add(symbol)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and wait until the broker no longer has it."""
        delete_topic(self.admin, topic)


def delete_topic(admin: AdminClient, topic: str) -> None:
    """Delete a topic and wait until the broker no longer has it."""
    admin.delete_topics([topic], operation_timeout=20)[topic].result(60)
    wait_until(lambda: topic not in admin.list_topics(timeout=60).topics, f"topic {topic} to be gone")
