"""Warm up from `<session>.bars`: every bar of the session, whether it was published or held back. Nothing but Kafka is needed.

The worker writes a bar to both topics in one transaction. On `<session>.bars` it carries the sequence of its analysis record;
one that was held back carries the sequence given out last. So what has been read of that topic is the state as of the
greatest sequence in it, S: every bar up to S is there, and every one behind S is not. Reading goes on where analysis passes S.

The times of records say where in both topics the day begins, so that a week of them need not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from streams.consumer.place import Position
from streams.consumer.stamps import Stamp, decoded, stamp_of
from streams.consumer.warmup import Snapshot, Source, Wanted, in_order
from streams.errors import NobodyThereError
from streams.kafka.clients import session_of, topics_of
from streams.kafka.reader import END, Record, TopicReader
from streams.model.records import AnalysisKind
from streams.times import DAY_US, HOUR_US
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent

READ_SECONDS: Final = 120.0
_BEFORE_THE_DAY_US: Final = 36 * HOUR_US
"""A trading day may begin on the evening before its date, in a zone far ahead of UTC; a symbol may be one day behind the others."""
_OF_LATE_MS: Final = 60_000
_TAIL: Final = 1000
GATE: Final = frozenset({AnalysisKind.BAR, AnalysisKind.ACTIVATED, AnalysisKind.DEACTIVATED, AnalysisKind.HEARTBEAT})


class BarsTopic:
    """Bars of the day from the session's ungated topic, which the config key `bars_topic` asks the worker for.

    Args:
        timeout_seconds: how long reading to the topics' ends may take.
    """

    def __init__(self, *, timeout_seconds: float = READ_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds

    def snapshot(self, source: Source, wanted: Wanted) -> Snapshot:
        """The bars of each symbol's newest trading day.

        Raises:
            NoSessionError: no worker has run the session here, or none that writes the topic.
            NobodyThereError: an end was not reached in time.
            WireError: a record can't be decoded.
        """
        with self._bars(source) as bars, self._analysis(source) as analysis:
            newest = self._last(bars, lambda record: True)
            if newest is None:
                return self._nothing_yet(source, analysis)
            last = decoded(newest, source.codec, bars.topic)
            since_ms = ((last.trading_days or 0) * DAY_US - _BEFORE_THE_DAY_US) // 1000
            fold = BarsFold(source.codec, wanted, last.epoch)
            _, end = bars.bounds()
            begin = bars.offset_at(since_ms)
            bars.move(newest.offset if begin is None else begin)
            for record in bars.up_to(end, self._timeout_seconds):
                fold.take(record, stamp_of(record, source.codec, bars.topic))
            markers = self._markers(source, analysis, fold.reached, since_ms)
            if markers.next_epoch > fold.reached[0]:  # the session was begun anew, and no bar has come since
                return Snapshot(Position(markers.next_epoch, 0, markers.offset), [], active=False)
            position = Position(*fold.reached, markers.offset)
            return Snapshot(position, fold.bars(markers.gone, markers.days), active=bool(markers.active))

    def stretch(self, source: Source, symbol: str, interval: str, start_us: int, end_us: int) -> list[AnalysisEvent]:
        """The bars of a symbol and interval within `[start_us, end_us)` as they are now; errors as for `snapshot`."""
        wanted = Wanted(frozenset({symbol}), frozenset({interval}))
        with self._bars(source) as bars:
            newest = self._last(bars, lambda record: True)
            begin = None if newest is None else bars.offset_at(start_us // 1000)  # no bar is known before it has ended
            if newest is None or begin is None:
                return []
            fold = BarsFold(source.codec, wanted, stamp_of(newest, source.codec, bars.topic).epoch)
            _, end = bars.bounds()
            bars.move(begin)
            for record in bars.up_to(end, self._timeout_seconds):
                stamp = stamp_of(record, source.codec, bars.topic)
                if start_us < stamp.end_us <= end_us:
                    fold.take(record, stamp)
            return fold.bars({}, 0)

    def _bars(self, source: Source) -> TopicReader:
        topic = topics_of(source.settings).all_bars
        missing = (
            f"session {session_of(source.settings)!r} has no ungated bars to warm up from: set session_data_config.bars_topic to true "
            "in its config, or warm up over HTTP"
        )
        return TopicReader(source.settings, topic, start=END, missing=missing, clock=source.clock)

    def _analysis(self, source: Source) -> TopicReader:
        missing = f"no worker has ever run session {session_of(source.settings)!r} here"
        return TopicReader(source.settings, topics_of(source.settings).analysis, start=END, missing=missing, clock=source.clock)

    def _nothing_yet(self, source: Source, analysis: TopicReader) -> Snapshot:
        """No bar is there: all that was published of late is still to come, for this topic may show it a moment after the other."""
        newest = self._last(analysis, lambda record: True)
        if newest is None:
            return Snapshot(Position(0, 0, analysis.bounds()[0]), [], active=False)
        begin = analysis.offset_at(newest.timestamp_ms - _OF_LATE_MS)
        analysis.move(newest.offset if begin is None else begin)
        first = next(analysis.up_to(newest.offset + 1, self._timeout_seconds))
        stamp = stamp_of(first, source.codec, analysis.topic)
        before = stamp.epoch, stamp.sequence - 1
        return Snapshot(Position(*before, first.offset), [], active=self._is_active(source, analysis, before))

    def _markers(self, source: Source, analysis: TopicReader, reached: tuple[int, int], since_ms: int) -> Markers:
        """What analysis says from an instant on, and where it goes on behind a sequence."""
        newest = self._await(source, analysis, reached)
        markers = Markers(reached, analysis.bounds()[1] if newest is None else newest.offset + 1)
        begin = analysis.offset_at(since_ms)
        if newest is not None and begin is not None:
            analysis.move(begin)
            for record in analysis.up_to(newest.offset + 1, self._timeout_seconds):
                stamp = stamp_of(record, source.codec, analysis.topic)
                if record.offset > newest.offset or stamp.epoch > reached[0]:
                    markers.go_on_at(record.offset, stamp.epoch)
                    break
                if stamp.epoch == reached[0]:
                    markers.take(record, stamp, source.codec, analysis.topic)
        if markers.active is None:
            markers.active = self._is_active(source, analysis, reached)
        return markers

    def _await(self, source: Source, analysis: TopicReader, reached: tuple[int, int]) -> Record | None:
        """The newest record, once the topic shows what another of the same transaction has shown; None of an empty topic."""
        deadline = source.clock.monotonic() + self._timeout_seconds
        while True:
            newest = self._last(analysis, lambda record: True)
            if newest is None:
                return None
            stamp = stamp_of(newest, source.codec, analysis.topic)
            if (stamp.epoch, stamp.sequence) >= reached:
                return newest
            if source.clock.monotonic() > deadline:
                raise NobodyThereError(
                    f"{analysis.topic} ends at epoch {stamp.epoch}, sequence {stamp.sequence}, and the session's bars at epoch "
                    f"{reached[0]}, sequence {reached[1]}: are both topics of one session?"
                )
            analysis.read()  # until the broker shows more

    def _is_active(self, source: Source, analysis: TopicReader, reached: tuple[int, int]) -> bool:
        """Whether the gate is open as of a record: what was published last tells."""

        def tells(record: Record) -> bool:
            stamp = stamp_of(record, source.codec, analysis.topic)
            return stamp.kind in GATE and (stamp.epoch, stamp.sequence) <= reached

        last = self._last(analysis, tells)
        return last is not None and stamp_of(last, source.codec, analysis.topic).kind != AnalysisKind.DEACTIVATED

    def _last(self, reader: TopicReader, accept: Callable[[Record], bool]) -> Record | None:
        """The last record that is accepted, looked for from the end backwards, further each time."""
        low, upper = reader.bounds()
        reach = _TAIL
        while upper > low:
            lower = max(low, upper - reach)
            reader.move(lower)
            found = [record for record in reader.up_to(upper, self._timeout_seconds) if record.offset < upper and accept(record)]
            if found:
                return found[-1]
            upper, reach = lower, reach * 10
        return None


class BarsFold:
    """Folds the records of `<session>.bars`, in their order, to the newest revision of each bar; pure.

    Args:
        codec: decodes what is left in the end, and nothing else.
        wanted: which bars to keep.
        epoch: of which the bars are to be; a later one begins anew.
    """

    def __init__(self, codec: Codec, wanted: Wanted, epoch: int) -> None:
        self._codec = codec
        self._wanted = wanted
        self._newest: dict[tuple[str | None, str | None, int], Record] = {}
        self.reached = (epoch, 0)

    def take(self, record: Record, stamp: Stamp) -> None:
        """The next record."""
        if stamp.epoch > self.reached[0]:
            self._newest.clear()
        elif stamp.epoch < self.reached[0]:
            return
        self.reached = max(self.reached, (stamp.epoch, stamp.sequence))
        if self._wanted.has(stamp.symbol, stamp.interval):
            self._newest[stamp.symbol, stamp.interval, stamp.end_us] = record

    def bars(self, gone: Mapping[str, int], days: int) -> list[AnalysisEvent]:
        """The bars of each symbol's newest incarnation and day.

        `gone` has the incarnations of symbols that were removed; no bar of a day before `days` is left.
        """
        events = [self._codec.analysis_from(record.value) for record in self._newest.values()]
        newest: dict[str | None, tuple[int, int]] = {}
        for event in events:
            newest[event.symbol] = max(newest.get(event.symbol, (0, 0)), _turn_of(event))
        kept = []
        for event in events:
            incarnation, day = turn = _turn_of(event)
            if turn == newest[event.symbol] and day >= days and incarnation > gone.get(event.symbol or "", 0):
                kept.append(event)
        return in_order(kept)


def _turn_of(event: AnalysisEvent) -> tuple[int, int]:
    return event.incarnation or 0, event.trading_days or 0


class Markers:
    """What markers say of the bars of an epoch, and at which offset reading goes on behind the sequence that was reached.

    Days that are over and symbols that are gone count even where that is told behind the sequence: their bars are not asked for
    any more. The gate is that of the sequence.
    """

    def __init__(self, reached: tuple[int, int], end: int) -> None:
        self._reached = reached
        self._has_passed = False
        self.offset = end
        self.next_epoch = 0
        self.active: bool | None = None
        self.gone: dict[str, int] = {}
        self.days = 0

    def go_on_at(self, offset: int, epoch: int) -> None:
        """A record behind the sequence: reading goes on at the first of them."""
        if not self._has_passed:
            self._has_passed = True
            self.offset, self.next_epoch = offset, epoch

    def take(self, record: Record, stamp: Stamp, codec: Codec, topic: str) -> None:
        """The next record of the epoch; bars, which are most of them, are not decoded."""
        if stamp.sequence > self._reached[1]:
            self.go_on_at(record.offset, stamp.epoch)
        elif stamp.kind in GATE:
            self.active = stamp.kind != AnalysisKind.DEACTIVATED
        if stamp.kind == AnalysisKind.SYMBOL_REMOVED:
            event = decoded(record, codec, topic)
            self.gone[event.symbol or ""] = event.incarnation or 0
        elif stamp.kind == AnalysisKind.SESSION_ROLLED:
            self.days = decoded(record, codec, topic).trading_days or 0
