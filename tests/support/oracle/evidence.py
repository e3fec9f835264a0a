"""Gathers what a session has left on the broker, for the oracle and for tests that look at rows."""

from __future__ import annotations

from collections.abc import Callable

from streams.config.session import SessionConfig
from streams.model.records import QUOTES, Quote, Tick
from streams.model.rows import Row
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent, CommandReply, SessionEvent
from streams.wire.topics import TopicNames
from tests.support.kafka.reading import read_topic
from tests.support.oracle.audit_all import Evidence
from tests.support.oracle.state import Day

CODEC = Codec()


class SessionTopics:
    """A session's topics, decoded."""

    def __init__(self, bootstrap_servers: str, session: str) -> None:
        self._servers = bootstrap_servers
        self.names = TopicNames(session)
        self.changelog = f"{session}-state-changelog"

    def analysis(self) -> list[AnalysisEvent]:
        """The analysis topic."""
        return [CODEC.analysis_from(record.value) for record in read_topic(self._servers, self.names.analysis)]

    def analysis_by_offset(self) -> dict[int, AnalysisEvent]:
        """The analysis topic, with its offsets."""
        return {record.offset: CODEC.analysis_from(record.value) for record in read_topic(self._servers, self.names.analysis)}

    def all_bars(self) -> list[AnalysisEvent]:
        """The ungated topic."""
        return [CODEC.analysis_from(record.value) for record in read_topic(self._servers, self.names.all_bars)]

    def replies(self) -> list[CommandReply]:
        """The replies topic."""
        return [CODEC.reply_from(record.value) for record in read_topic(self._servers, self.names.replies)]

    def events(self) -> list[SessionEvent]:
        """The events topic."""
        return [CODEC.event_from(record.value) for record in read_topic(self._servers, self.names.events)]

    def rows(self) -> dict[str, Row]:
        """The state: the newest row of each key."""
        newest = {record.key: record.value for record in read_topic(self._servers, self.changelog)}
        return {key.decode(): CODEC.row_from(value) for key, value in newest.items() if key is not None and value is not None}

    def _extras(self, symbol: str, stream: str) -> dict[int, Quote | Tick]:
        read = CODEC.quote_from if stream == QUOTES else CODEC.tick_from
        return {record.offset: read(record.value) for record in read_topic(self._servers, self.names.of(symbol, stream))}

    def evidence(
        self, config: SessionConfig, symbols: list[str], threshold_us: Callable[[str], int] | None = None, day: Day | None = None
    ) -> Evidence:
        """All that the oracle judges; `symbols` are those that were ever in the session."""
        return Evidence(
            analysis=self.analysis(),
            journal=[CODEC.journal_from(record.value) for record in read_topic(self._servers, self.names.journal)],
            rows=self.rows(),
            topics={
                symbol: {record.offset: CODEC.bar_from(record.value) for record in read_topic(self._servers, self.names.bars(symbol))}
                for symbol in symbols
            },
            extras={(symbol, stream): self._extras(symbol, stream) for symbol in symbols for stream in config.extra_streams},
            threshold_us=threshold_us or config.threshold_us,
            all_bars=self.all_bars() if config.session_data_config.bars_topic else None,
            events=self.events(),
            publish_us=config.quality_us,
            day=day,
            grace_us=config.grace_us,
            tolerance_us=config.future_tolerance_us,
        )
