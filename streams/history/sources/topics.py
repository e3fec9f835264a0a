"""Bar topics, on this cluster or another one, as a history source.

    TopicHistory(settings).get_bars("SPY", "1m", start, end)

Bars are found by the times of their messages, and by the bars themselves where those contradict them (`positions`). A late bar
stands behind younger ones, so reading goes on up to a bar that is a day younger than the stretch. Only committed records are read,
without a group, by a consumer of each question's own: questions may be asked in several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation

from streams.config.settings import Settings
from streams.errors import HistoryError, InvalidSymbolError, NobodyThereError, WireError
from streams.history.sources.source import TopicPlace
from streams.kafka.asking import until_answered
from streams.kafka.clients import (
    BROKER_TIMEOUT_SECONDS,
    ErrorNote,
    bar_topics_of,
    codec_of,
    explain,
    make_admin,
    reading_group,
    topics_on,
)
from streams.kafka.hidden import require_visible
from streams.kafka.offsets import earliest, latest
from streams.kafka.probing import TopicProbe
from streams.kafka.reader import TopicReader
from streams.model.records import PROVENANCE_GAP_FILL, Bar, Quote, Tick
from streams.times import DAY_US, Clock, SystemClock, iso, to_us

MOST_RECORDS: Final = 2_000_000
READ_SECONDS: Final = 60.0
LATE_US: Final = DAY_US


class TopicHistory:
    """Bars of topics.

    That a topic has none of a stretch is believed only where it has records before and behind it: one that a feed has not come
    that far in, or that retention has cut, says nothing about the market.

    Args:
        settings: where the broker is, and how topics are named.
        most_records: how many records may be read to answer one question.
        clock: for deadlines.
    """

    def __init__(self, settings: Settings, *, most_records: int = MOST_RECORDS, clock: Clock | None = None) -> None:
        self._settings = settings
        self._most_records = most_records
        self._clock = clock or SystemClock()
        self._names = bar_topics_of(settings)
        self._codec = codec_of(settings)

    @classmethod
    def at(cls, place: TopicPlace, settings: Settings) -> Self:
        """The topics of another cluster. Without a pattern they are named as here; properties are those of here, and the place's own.

        Raises:
            SettingsError: names that Kafka would refuse, or a property that librdkafka does not know.
        """
        changed: dict[str, object] = {
            "bootstrap_servers": place.servers,
            "kafka_config": {**settings.kafka_config, **dict(place.properties)},
        }
        if place.pattern is not None:
            changed |= {"bars_pattern": place.pattern, "topic_prefix": "", "topic_overrides": {}}
        there = settings.model_copy(update=changed)
        make_admin(there, ErrorNote())  # for its complaints about properties: at once, not at the first gap
        return cls(there)

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """As `HistorySource.get_bars`.

        Raises:
            HistoryError: there is no such topic, it does not reach around a stretch of which it has nothing, or it holds too much.
            NobodyThereError: no broker answers in time.
            BrokerRefusedError: the broker does not let this client read.
        """
        start_us, end_us = to_us(start), to_us(end)
        topic = self._topic(symbol)
        first, offset, last = self._bounds(symbol, interval, topic, start_us)
        found: dict[int, Bar] = {}
        reaches_beyond = False
        for bar in self._read(topic, offset, last, end_us):
            if bar.symbol != symbol or bar.interval != interval:
                continue
            if bar.start_us >= end_us:
                reaches_beyond = True
            elif bar.start_us >= start_us and not (bar.provenance == PROVENANCE_GAP_FILL and bar.start_us in found):
                found[bar.start_us] = bar  # a later one for the same start is its correction
        if not found and (offset == first or not reaches_beyond):
            what = "nothing before" if offset == first else "no bar behind"
            raise HistoryError(
                f"{topic} at {self._settings.bootstrap_servers} has no {interval} bars from {iso(start_us)} to {iso(end_us)}, and {what} "
                "that either: it may not hold all there was"
            )
        return [found[bar_start_us] for bar_start_us in sorted(found)]

    def _topic(self, symbol: str) -> str:
        try:
            return self._names.bars(symbol)
        except InvalidSymbolError as error:
            raise HistoryError(str(error)) from None

    def _bounds(self, symbol: str, interval: str, topic: str, start_us: int) -> tuple[int, int, int]:
        """The first offset of a topic, the one from which on no bar of the stretch is missed, and the committed end."""
        note = ErrorNote()
        admin = make_admin(self._settings, note)
        if topic not in topics_on(admin, self._settings, note):
            require_visible(self._settings, {topic: [AclOperation.READ]}, f"reading {topic}")
            raise HistoryError(f"there is no topic {topic} at {self._settings.bootstrap_servers}")

        def at_us(record: Bar | Quote | Tick) -> int | None:
            # What counts here is a bar's start, and that of the very instant is of the stretch.
            return record.start_us + 1 if isinstance(record, Bar) and (record.symbol, record.interval) == (symbol, interval) else None

        def ask() -> tuple[int, int, int]:
            admin = make_admin(self._settings, note)
            last, group = latest(admin, [topic], timeout_seconds=BROKER_TIMEOUT_SECONDS)[topic], reading_group(self._settings, "history")
            with TopicProbe(self._settings, admin, self._codec, group_id=group, clock=self._clock) as probe:
                start = probe.start(topic, None, start_us, end=last, at_us=at_us)
            first = earliest(admin, [topic], timeout_seconds=BROKER_TIMEOUT_SECONDS)[topic]
            admin.poll(0)  # hands the connection's errors to the note
            return first, start.offset, last

        try:
            return until_answered(ask, clock=self._clock)
        except KafkaException as error:
            group = reading_group(self._settings, "history")
            what = f"asking for offsets of {topic}"
            raise explain(error.args[0], self._settings, note, what, needs=f"Read on topic {topic}", group=group) from None

    def _read(self, topic: str, offset: int, last: int, end_us: int) -> Iterator[Bar]:
        """The bars from an offset on, up to the end, or to the first that is a day younger than the stretch."""
        if offset >= last:
            return
        most = min(last, offset + self._most_records)
        deadline = self._clock.monotonic() + READ_SECONDS
        with TopicReader(self._settings, topic, start=offset, missing="bars were asked for", clock=self._clock) as reader:
            while reader.position < most:
                for record in reader.read():
                    if record.offset >= most:
                        break
                    bar = self._bar(record.value)
                    if bar is None:
                        continue
                    yield bar
                    if bar.start_us >= end_us + LATE_US:
                        return
                if self._clock.monotonic() > deadline:
                    raise NobodyThereError(
                        f"{topic} at {self._settings.bootstrap_servers} could not be read within {READ_SECONDS:g} s: reading stands at "
                        f"offset {reader.position} of {last}"
                    )
        if most < last:
            raise HistoryError(
                f"{topic} at {self._settings.bootstrap_servers} has more than {self._most_records:,} records that may belong to one "
                "stretch: ask for a shorter one"
            )

    def _bar(self, value: bytes | None) -> Bar | None:
        try:
            return self._codec.bar_from(value)
        except WireError:
            return None  # a dead letter wherever it is read; here it is nothing
