"""Watches this worker's clock: has it measured, says what is wrong with it, and holds bars back that a wrong clock takes for the future's.

A bar that ends too long after now goes to the dead-letter topic, for good. Whether it is the bar that is wrong or the clock is what
`clock_judge` says, by a measurement that is made before such a bar is judged. While it is the clock, or while that is not known yet, the
bar's topic is not read on: nothing is lost, since the topic has it, and nothing is kept in memory. It is tried again every ten seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Final

from loguru import logger

from streams.engine.journal import InputKind, JournalInput
from streams.engine.placing import Place, place_of, placer
from streams.engine.session import Session
from streams.engine.state import SessionState
from streams.engine.symbol import SymbolSessionData
from streams.engine.transaction import RangeRead
from streams.engine.validation import fault_of, fault_of_quote, fault_of_tick, price_fault
from streams.errors import ClockError
from streams.records import Bar, Quote, Tick
from streams.times import SECOND_US, Clock, SteadyClock
from streams.wire.topics import TopicNames
from streams.worker.broker_clock import BrokerClocks
from streams.worker.clock_judge import FARTHEST_US, BrokerTime, ClockJudge, Standing, Verdict, check_plausible

MEASURE_SECONDS: Final = 5.0
"""How often the brokers' clocks are read."""
RECENT_SECONDS: Final = 1.0
"""How old a measurement may be by which a bar goes to the dead-letter topic."""
TRY_AGAIN_SECONDS: Final = 10.0
"""How often topics that are held back are read again."""
SAY_AGAIN_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 1.0

_WAYS_OUT: Final = "set the clock; if it is right, STREAMS_CLOCK_TOLERANCE_SECONDS at the next start says how far it may be off"


MakeClocks = Callable[[Callable[[], float]], BrokerClocks]


class ClockWatch:
    """One worker's clock under watch.

    Args:
        clock: what the worker goes by.
        tolerance_seconds: how far it may be off; 0: it is not compared.
        make_clocks: gives what reads the brokers' clocks, None where nobody is to be asked.
        names: the topics, for what is held back.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tolerance_seconds: float,
        names: TopicNames,
        make_clocks: MakeClocks | None = None,
    ) -> None:
        self._clock = clock
        self._names = names
        self._elapsed = clock.elapsed if isinstance(clock, SteadyClock) else clock.monotonic
        self._judge = ClockJudge(round(tolerance_seconds * SECOND_US))
        if isinstance(clock, SteadyClock):
            clock.contradicts = self._judge.contradicts
        self._clocks = make_clocks(self._elapsed) if make_clocks is not None and tolerance_seconds else None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked_at = float("-inf")
        self._said_at: float | None = None
        self._said_brokers: set[int] = set()
        self._held: dict[str, int] = {}
        self._tried_at = 0.0
        self._seen: dict[str, int] = {}

    # ------------------------------------------------------------------------------------------- measuring

    def prepare(self, wait: Callable[[], object] = lambda: None) -> None:
        """Measure for the first time, and wait, for as long as it takes, while the clock is ahead; `wait` is called when that begins.

        Raises:
            ClockError: the clock is off by more than an hour.
        """
        if self._clocks is None:
            return
        self._clocks.prepare()
        self._measure()
        check_plausible(self.verdict())
        if self.verdict().standing is Standing.AHEAD:
            wait()
        while self.verdict().standing is Standing.AHEAD and not self._stopping.is_set():
            self.say()
            self._stopping.wait(WAIT_SECONDS)
            self._measure()
            check_plausible(self.verdict())

    def start(self) -> None:
        """Measure every few seconds from now on, in a thread."""
        if self._clocks is not None:
            self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Measure no more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(MEASURE_SECONDS):
            try:
                self._measure()
                self.say()
            except Exception as error:  # a watch that ends would leave the clock unwatched
                logger.warning("the clock could not be compared: {!r}", error)

    def _measure(self) -> None:
        if self._clocks is not None:
            times: list[BrokerTime] = self._clocks.read()
            self._judge.measured(times, self._elapsed())

    async def measured(self) -> Verdict:
        """The verdict by a measurement that is not older than a second, if the brokers answer."""
        if self._clocks is not None and self._elapsed() - max(self._judge.measured_at, self._asked_at) > RECENT_SECONDS:
            await asyncio.get_running_loop().run_in_executor(None, self._measure)
            self._asked_at = self._elapsed()
        return self.verdict()

    def verdict(self) -> Verdict:
        """How the clock stands, by what is known now."""
        elapsed = self._elapsed()
        return self._judge.verdict(self._clock.now_us() - round(elapsed * SECOND_US), elapsed)

    def check_ahead(self, verdict: Verdict) -> None:
        """See that nothing is written by a clock that is ahead: a session's time never goes back.

        Raises:
            ClockError: it is ahead.
        """
        if verdict.standing is Standing.AHEAD:
            raise ClockError(f"{verdict.reason}: nothing is written by it, since a session's time never goes back; {_WAYS_OUT}")

    def news(self, state: SessionState, verdict: Verdict) -> JournalInput | None:
        """The input that tells a session what it does not know of the clock yet; None for nothing."""
        if verdict.is_wrong == (state.clock_reason is not None):
            return None
        if not verdict.is_wrong:
            return JournalInput(InputKind.CLOCK)
        now_us = self._clock.now_us()
        return JournalInput(InputKind.CLOCK, reason=verdict.reason, start_us=now_us, end_us=now_us - verdict.off_us)

    @property
    def off_seconds(self) -> float | None:
        """How far the machine's clock is ahead of the brokers', below zero when it is behind; None when that is not known."""
        wall_us = self._clock.now_us() - round(self._elapsed() * SECOND_US) + self._wall_ahead_us()
        off_us = self._judge.off_us(wall_us)
        return None if off_us is None else off_us / SECOND_US

    def reason(self) -> str | None:
        """What is wrong with the clock, None when nothing is: of the one that the worker goes by, else of the machine's."""
        reason = self.verdict().reason
        ahead_us = self._wall_ahead_us()
        if reason is None and ahead_us:
            way = "ahead of" if ahead_us > 0 else "behind"
            return (
                f"the machine's clock leapt to {abs(ahead_us) / SECOND_US:,.1f} s {way} the brokers' clocks; this worker goes on by the "
                "time that passes"
            )
        return reason

    def _wall_ahead_us(self) -> int:
        return self._clock.wall_ahead_us() if isinstance(self._clock, SteadyClock) else 0

    def say(self) -> None:
        """Log what is wrong, once every ten seconds, and brokers whose clocks are off once."""
        elapsed = self._elapsed()
        reason = self.reason()
        if reason is None:
            self._said_at = None
        elif self._said_at is None or elapsed - self._said_at >= SAY_AGAIN_SECONDS - 1:
            self._said_at = elapsed
            held = f"; {len(self._held)} topics are held back" if self._held else ""
            logger.error("{}{}: {}", reason, held, _WAYS_OUT)
        off = dict(self._judge.brokers_off(self._clock.now_us() - round(elapsed * SECOND_US)))
        for broker in off.keys() - self._said_brokers:
            way = "ahead of" if off[broker] > 0 else "behind"
            logger.warning("the clock of broker {} is {:,.1f} s {} those of the others", broker, abs(off[broker]) / SECOND_US, way)
        self._said_brokers = set(off)

    # --------------------------------------------------------------------------------------- holding back

    def holds(self, topic: str) -> bool:
        """Whether a topic is not read on for now."""
        return topic in self._held

    def release(self) -> bool:
        """Whether the topics that are held back are to be tried again; then they are not held any more."""
        if not self._held or self._elapsed() - self._tried_at < TRY_AGAIN_SECONDS:
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """All topics are read again."""
        self._held.clear()

    async def sift(self, session: Session, ranges: Sequence[RangeRead], now_us: int) -> list[RangeRead]:
        """The ranges, those with records from the future cut before the first of these where that is to be held back.

        Each record ahead is one that the engine would send to the dead-letter topic.
        """
        places = [self._first_ahead(session, read, now_us) for read in ranges]
        if all(place is None for place in places):
            return list(ranges)
        verdict = await self.measured()
        elapsed = self._elapsed()
        symbols = len(session.state.symbols)
        sifted = []
        for read, place in zip(ranges, places, strict=True):
            if place is None or not self._is_held(session, read, place, now_us, verdict, elapsed, symbols):
                sifted.append(read)
                continue
            topic = self._names.of(read.symbol, read.stream)
            if not self._held:
                self._tried_at = elapsed
            self._held[topic] = read.offsets[place]
            self._seen[topic] = max(self._seen.get(topic, -1), read.offsets[-1])
            if read.offsets[place] > read.first_offset:
                sifted.append(read.before(place))
        return sifted

    def _is_held(self, session: Session, read: RangeRead, place: int, now_us: int, verdict: Verdict, elapsed: float, symbols: int) -> bool:
        if verdict.standing is not Standing.BEHIND:
            return self._judge.considers(read.symbol, elapsed, symbols)
        if verdict.by_feeds:
            return True
        # By the right time it may be from the future all the same, as a bar of the year 2200 is.
        data = session.symbol(read.symbol)
        end_us = _end_us(session, data, read.records[place])
        return end_us is not None and end_us <= now_us - verdict.off_us + session.state.future_tolerance_us + SECOND_US

    def _first_ahead(self, session: Session, read: RangeRead, now_us: int) -> int | None:
        """Where the first record stands that ends too long after now; what the newest one says of the clock is noted."""
        data, tolerance_us = session.symbol(read.symbol), session.state.future_tolerance_us
        if data is None or not read.records:
            return None
        self._note_newest(session, data, read, now_us)
        for place, record in enumerate(read.records):
            end_us = _end_us(session, data, record)
            if end_us is not None and end_us - now_us > tolerance_us and _is_sound(session, data, record):
                return place
        return None

    def _note_newest(self, session: Session, data: SymbolSessionData, read: RangeRead, now_us: int) -> None:
        """Tell the judge what the newest sound record says. One from the future before it, as a broken record is, has been contradicted."""
        for record in reversed(read.records):
            end_us = _end_us(session, data, record)
            if end_us is None or not _is_sound(session, data, record):
                continue
            ahead_us = end_us - now_us
            if ahead_us > session.state.future_tolerance_us:
                if ahead_us <= FARTHEST_US:
                    self._judge.saw_ahead(read.symbol, ahead_us, self._elapsed(), read.stream)
                return
            self._judge.saw_past(read.symbol, read.stream)
            if read.stream is None and -data.threshold_us <= ahead_us and read.offsets[-1] > self._seen_of(read):
                self._judge.saw_fresh(self._elapsed())
            return

    def _seen_of(self, read: RangeRead) -> int:
        """Up to where a topic was held back: what waited there has come late by this worker's own doing."""
        return self._seen.get(self._names.of(read.symbol, read.stream), -1)


def _end_us(session: Session, data: SymbolSessionData | None, record: object) -> int | None:
    """When a record of a symbol's topic is known; None for one that is not of a stream of the symbol."""
    if isinstance(record, Bar):
        if data is None or record.symbol != data.symbol or record.interval != data.base_interval:
            return None
        if data.is_uneven:
            return placer(data.base_interval, data.anchor, session.state.calendar)(record).end_us
        return record.end_us
    return record.time_us if isinstance(record, Quote | Tick) else None


def _is_sound(session: Session, data: SymbolSessionData, record: object) -> bool:
    """Whether nothing but its time may be wrong with a record of the symbol. A broken one says nothing of the clock."""
    match record:
        case Bar() if data.is_uneven:
            placed = price_fault(record, data.lowest_price) or place_of(record, data.anchor, session.state.calendar)
            return isinstance(placed, Place)
        case Bar():
            return fault_of(record, data.base_us, record.end_us, 0, data.lowest_price) is None
        case Quote():
            return fault_of_quote(record, record.time_us, 0, min(data.lowest_price, 0.0)) is None
        case Tick():
            return fault_of_tick(record, record.time_us, 0, min(data.lowest_price, 0.0)) is None
    return False
