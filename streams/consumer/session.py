"""`SessionConsumer`: the analysis topic as a strategy wants it, and the state to begin from.

What comes out of the loop may be acted on: bars that are fresh at the moment they are handed over, each once and in order, and
markers. A bar that is true and too old goes to `history` instead: the bars of the warm-up, and those that were published while
the strategy was away or busy. A marker of kind `held_back` counts bars that came neither way; `bars_of` reads them.

A session that goes on says so at least once a second, while its gate is open. When for three seconds nothing has come, `active` is
False and a `deactivated` comes out of the loop, with the reason `no_heartbeat`: no worker commits, so nothing is fresh. An `activated`
takes it back when one is heard of again. The setting STREAMS_HEARTBEAT_TIMEOUT_SECONDS says after how long; 0 turns it off.

Position: a strategy that keeps `consumer.position` beside its own state, in one write, goes on after a crash exactly where that
state stands. Without a position it begins from the warm-up; without a warm-up, from now on.

    with SessionConsumer(settings, position=saved, warm_up=BarsTopic(), history=learn, on_hole=forget_all) as session:
        for event in session:
            ...
            save(state, str(session.position))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from threading import Event, Lock
from types import TracebackType
from typing import Final

from streams.config.settings import Settings
from streams.consumer.liveness import HEARTBEAT, NO_HEARTBEAT, Liveness
from streams.consumer.place import Hole, Position
from streams.consumer.seam import Seam
from streams.consumer.stamps import Stamp, decoded, stamp_of
from streams.consumer.warmup import Source, Wanted, WarmUp
from streams.errors import OffsetGoneError, SequenceGapError, SettingsError, StreamsError, WireError
from streams.kafka.clients import codec_of, session_of, topics_of
from streams.kafka.reader import END, Record, TopicReader
from streams.model.records import AnalysisKind, GateChange
from streams.times import Clock, SystemClock
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent

_KNOWN: Final = frozenset(AnalysisKind)
_ABOUT_GATE: Final = frozenset({AnalysisKind.ACTIVATED, AnalysisKind.DEACTIVATED})
_WAIT_SECONDS: Final = 0.2
_MOST_PENDING: Final = 10_000
# A transaction is answered for a moment before its end shows: an offset that was told of may lie behind the end until then.
_SHOWN_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.02


class SessionConsumer:
    """Reads a session's analysis topic; a context manager, and an iterator that never ends by itself.

    Args:
        settings: where the broker is, and which session.
        position: where to go on, as `position` gave it or as its text; None to begin.
        warm_up: where the bars of the day come from, when there is no position, or one that no longer holds.
        history: takes bars that are not to be acted on: those of the warm-up, and those that are no longer fresh. Without it they
            are dropped and counted in `stale`.
        on_hole: takes what breaks the promise of each bar once. Where there is a `warm_up`, the day's bars come anew after it, so
            what is known is to be forgotten; without one, reading goes on with what is there. Without `on_hole` it is raised.
        symbols: hand over only what is about these; None for all.
        intervals: hand over only bars and markers of these; None for all.
        start: where to begin without position and warm-up: an offset, `BEGINNING`, or `END`: only what comes from now on.
        fresh_only: False hands over bars whatever their age; `is_fresh` tells.
        codec: other schema ids than the project's.
        clock: what freshness is measured by.

    Raises:
        NobodyThereError: no broker answers, or no worker has ever run this session there.
        SettingsError: a warm-up with nobody to take its bars.
        ValueError: a position that is none.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        position: Position | str | None = None,
        warm_up: WarmUp | None = None,
        history: Callable[[AnalysisEvent], object] | None = None,
        on_hole: Callable[[Hole], object] | None = None,
        symbols: Collection[str] | None = None,
        intervals: Collection[str] | None = None,
        start: int = END,
        fresh_only: bool = True,
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        if warm_up is not None and history is None:
            raise SettingsError("a warm-up gives bars that are not to be acted on: say with history= who takes them")
        self.stale = 0
        self.unknown = 0
        self._settings = settings
        self._liveness = Liveness(settings.heartbeat_timeout_seconds)
        self._reading = Lock()
        self._failure: StreamsError | None = None
        self._is_closed = False
        self._source = Source(settings, codec or codec_of(settings), clock or SystemClock())
        self._warm_up = warm_up
        self._history = history
        self._on_hole = on_hole
        self._wanted = Wanted.of(symbols, intervals)
        self._fresh_only = fresh_only
        self._seam = Seam()
        self._pending: deque[Record] = deque()
        self._begin_at = Position.parse(position) if isinstance(position, str) else position
        self._has_begun = False
        self._needs_state = False
        missing = f"no worker has ever run session {session_of(settings)!r} here"
        self._topic = topics_of(settings).analysis
        self._reader = TopicReader(settings, self._topic, start=start, missing=missing, clock=self._source.clock)

    def __enter__(self) -> SessionConsumer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[AnalysisEvent]:
        while True:
            event = self.poll()
            if event is not None:
                yield event

    @property
    def position(self) -> Position | None:
        """All that was handed over, as a place to go on from; None as long as only a new warm-up would bring the same state.

        It includes the event that was handed over last, so keep it once that is dealt with.
        """
        return self._seam.last if self._seam.is_closed else None

    @property
    def active(self) -> bool | None:
        """Whether bars may be acted on: the gate is open, as of the event that was handed over last, and a worker lives.

        False too when no record has been written for `heartbeat_timeout_seconds`. None while it is not known: before anything has told of
        the gate, while what was there when reading began is read, and then until the first record comes, a second at most while the gate is
        open; the same after records that waited for a reader that can't know how old they are. Another thread may ask. A strategy that is
        busy for longer need not poll in between: what has come meanwhile is looked at.
        """
        return self._liveness.active(self._looked())

    @property
    def at_end(self) -> bool:
        """Whether everything that is committed has been handed over, as far as the last `poll` could see."""
        return self._has_begun and self._reader.at_end and not self._pending

    def is_fresh(self, event: AnalysisEvent) -> bool:
        """Whether a bar may be acted on at this moment; markers always may."""
        return event.bar is None or self._is_valid(event.bar.valid_until_us)

    def close(self) -> None:
        """Let the connection go."""
        self._is_closed = True
        with self._reading:
            self._reader.close()

    def poll(self, timeout_seconds: float = _WAIT_SECONDS) -> AnalysisEvent | None:
        """The next event, waiting up to `timeout_seconds` where none is there; None when none came, or none to be handed over.

        The first call warms up, however long that takes.

        Raises:
            SequenceGapError: a hole, and there is no `on_hole`.
            WireError: a record that can't be decoded; the message says where it is.
            StreamsError: the warm-up can't be had.

        The next call goes on behind the record that an error is about.
        """
        with self._reading:
            self._read_on(timeout_seconds)
        while self._pending:
            event = self._take(self._pending[0])
            if event is not None:
                return event
        return self._turn()

    def bars_of(self, marker: AnalysisEvent) -> list[AnalysisEvent]:
        """The bars of the stretch that a `held_back` or `revised` marker is about, as they are now: read from the warm-up's source.

        Raises:
            ValueError: the marker is about no stretch, or there is no `warm_up`.
            StreamsError: they can't be had.
        """
        extent = marker.extent
        if self._warm_up is None or extent is None or marker.symbol is None or marker.interval is None:
            raise ValueError("only the stretch of a held_back or revised marker can be read again, and only from a warm_up")
        return self._warm_up.stretch(self._source, marker.symbol, marker.interval, extent.first_start_us, extent.last_end_us)

    # ------------------------------------------------------------------------------------------------ signs of life

    def _read_on(self, timeout_seconds: float) -> None:
        if not self._has_begun:
            self._begin()
        if self._needs_state and self._warm_up is not None:
            self._read_state(self._warm_up)
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
            if not self._pending:
                self._fetch(timeout_seconds)
        except OffsetGoneError as error:
            self._lost(error)

    def _fetch(self, timeout_seconds: float) -> bool:
        found = self._reader.read(timeout_seconds)
        self._pending.extend(found)
        self._liveness.read(self._reader.position, self._source.clock.monotonic(), records=found, at_end=self._reader.at_end)
        return bool(found)

    def _looked(self) -> float:
        """The time, by which what has come while the strategy was busy has been seen, if silence would mean something.

        While another thread polls, that one sees for itself.
        """
        now = self._source.clock.monotonic()
        may_look = self._liveness.gate and self._failure is None and not self._is_closed
        if may_look and self._liveness.is_silent(now) and self._reading.acquire(blocking=False):
            try:
                # What comes first has waited longest: the last of it counts.
                while self._liveness.is_silent(now) and len(self._pending) < _MOST_PENDING and self._fetch(0.0):
                    pass
            except StreamsError as error:
                self._failure = error  # for the next poll
            finally:
                self._reading.release()
        return now

    def _turn(self, kind: str | None = None) -> AnalysisEvent | None:
        """The event that says what no record does: that an open gate is heard of no more, or again. `kind` is that of the next record."""
        is_open = self._liveness.turn(self._looked(), is_about_gate=kind in _ABOUT_GATE)
        if is_open is None:
            return None
        last = self._seam.last or Position(0, 0, 0)
        change = GateChange(active=is_open, reason=HEARTBEAT if is_open else NO_HEARTBEAT)
        return AnalysisEvent(
            last.sequence, last.epoch, session_of(self._settings), self._source.clock.now_us(),
            (AnalysisKind.ACTIVATED if is_open else AnalysisKind.DEACTIVATED).value, gate=change,
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------- where to begin

    def _begin(self) -> None:
        self._has_begun = True
        if self._begin_at is not None:
            self._go_on(Seam(self._begin_at))
        else:
            self._needs_state = self._warm_up is not None
            if not self._needs_state:
                asked_at = self._source.clock.monotonic()
                self._liveness.begin(self._reader.bounds()[1], asked_at)

    def _read_state(self, warm_up: WarmUp) -> None:
        snapshot = warm_up.snapshot(self._source, self._wanted)
        self._liveness.gate = snapshot.active
        self._seam = Seam()  # until all is handed over there is no place to go on from
        for bar in snapshot.bars:
            self._remember(bar)
        self._needs_state = False
        self._go_on(Seam(snapshot.position, snapshot.bars, snapshot.closes_at))

    def _go_on(self, seam: Seam) -> None:
        """Go on reading where a seam says, unless the topic no longer has that place."""
        self._pending.clear()
        self._seam = seam
        last = seam.last
        if last is None:
            return
        pause, deadline = Event(), self._source.clock.monotonic() + _SHOWN_SECONDS
        asked_at = self._source.clock.monotonic()
        low, high = self._reader.bounds()
        while high < last.offset and self._source.clock.monotonic() < deadline:
            pause.wait(_PAUSE_SECONDS)
            asked_at = self._source.clock.monotonic()
            low, high = self._reader.bounds()
        if low <= last.offset <= high:
            self._reader.move(last.offset)
            self._liveness.begin(high, asked_at)
        else:
            self._lost(OffsetGoneError(f"{self._topic} no longer has offset {last.offset}: it holds {low} to {high}"))

    def _lost(self, error: OffsetGoneError) -> None:
        """The place to go on from is gone."""
        asked_at = self._source.clock.monotonic()
        low, high = self._reader.bounds()
        last = self._seam.last or Position(0, 0, self._reader.position)
        self._seam = Seam()
        self._reader.move(low)
        self._liveness.begin(high, asked_at)
        self._tell(Hole.truncated(last, str(error)))

    def _tell(self, hole: Hole) -> None:
        """Tell of a hole, after which the state is read anew where that can be done."""
        if self._on_hole is None:
            raise SequenceGapError(str(hole))
        self._on_hole(hole)
        self._needs_state = self._warm_up is not None

    # ------------------------------------------------------------------------------------------------- each record

    def _take(self, record: Record) -> AnalysisEvent | None:
        """Deal with the first record that is pending, and hand it over where it is for the strategy to act on."""
        try:
            stamp = stamp_of(record, self._source.codec, self._topic)
        except WireError:
            self._pending.popleft()
            raise
        turn = self._turn(stamp.kind)
        if turn is not None:
            return turn
        hole = self._seam.follow(stamp.epoch, stamp.sequence, record.offset)
        if hole is not None:
            # Unless the state is read anew, the record behind the hole comes next, as the first one of what follows.
            self._seam = Seam()
            self._tell(hole)
            return None
        self._pending.popleft()
        if stamp.kind not in _KNOWN:
            self.unknown += 1
            return None
        self._liveness.gate = self._gate_after(stamp)
        if stamp.kind == AnalysisKind.HEARTBEAT:
            return None
        if not self._wanted.has(stamp.symbol, stamp.interval):
            return None
        is_fresh = stamp.valid_until_us is None or not self._fresh_only or self._is_valid(stamp.valid_until_us)
        if not is_fresh and self._history is None:
            self.stale += 1
            return None
        event = decoded(record, self._source.codec, self._topic)
        if self._seam.has(event):
            return None
        if is_fresh:
            return event
        self.stale += 1
        self._remember(event)
        return None

    def _gate_after(self, stamp: Stamp) -> bool | None:
        match stamp.kind:
            case AnalysisKind.BAR | AnalysisKind.ACTIVATED | AnalysisKind.HEARTBEAT:
                return True
            case AnalysisKind.DEACTIVATED:
                return False
            case _:
                return self._liveness.gate

    def _remember(self, bar: AnalysisEvent) -> None:
        if self._history is not None:
            self._history(bar)

    def _is_valid(self, valid_until_us: int) -> bool:
        return self._source.clock.now_us() <= valid_until_us
