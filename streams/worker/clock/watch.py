"""Watches this worker's clock: has it measured, says what is wrong with it, and holds bars back that a wrong clock takes for the future's.

A bar that ends too long after now goes to the dead-letter topic, for good. Whether it is the bar that is wrong or the clock is what
`clock_judge` says, by a measurement that is made before such a bar is judged. While it is the clock, or while that is not known yet, the
bar's topic is not read on: nothing is lost, since the topic has it, and nothing is kept in memory. It is tried again once the bar is no
longer ahead, every ten seconds at least. The worker's loop waits for a measurement for a moment only: bars of other topics come meanwhile.

Two times count here. What a bar is *ahead of* is the session's now, which never goes back: by it the engine judges. What a bar *says* of
this clock is said of the clock as it stands, which may be behind the session's now after another worker's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from loguru import logger
from msgspec import Struct

from streams.engine.rules.placement import Place, place_of, placer
from streams.engine.session import Session
from streams.engine.state.session import SessionState
from streams.engine.state.symbol import SymbolSessionData
from streams.errors import ClockError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar, Quote, Tick
from streams.model.transactions import RangeRead
from streams.model.validation import fault_of, fault_of_quote, fault_of_tick, price_fault
from streams.times import SECOND_US, Clock, SteadyClock
from streams.wire.topics import TopicNames
from streams.worker.clock.broker_clock import BrokerClocks
from streams.worker.clock.judge import FARTHEST_US, ClockJudge, Standing, Verdict, check_plausible

MEASURE_SECONDS: Final = 5.0
"""How often the brokers' clocks are read."""
RECENT_SECONDS: Final = 1.0
"""How old a measurement may be by which a bar goes to the dead-letter topic."""
KEPT_SECONDS: Final = 15.0
"""How old one may be by which a worker becomes the active one: three that were due since have failed."""
PATIENCE_SECONDS: Final = 0.5
"""How long the worker's loop waits for a measurement. A dead broker takes seconds."""
TRY_AGAIN_SECONDS: Final = 10.0
"""After how long topics that are held back are read again at the latest."""
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
            clock.believed = self._judge.believed
        self._clocks = make_clocks(self._elapsed) if make_clocks is not None and tolerance_seconds else None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked_at = float("-inf")
        self._looking: asyncio.Future[None] | None = None
        self._said_at: float | None = None
        self._said_brokers: set[int] = set()
        self._held: dict[str, float] = {}
        self._doubted: dict[str, float] = {}
        self._seen: dict[str, tuple[str, int]] = {}

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
            self._measure_again()
            self.say()

    def _measure_again(self) -> None:
        try:
            self._measure()
        except Exception as error:  # a watch that ends would leave the clock unwatched
            logger.warning("the clock could not be compared: {!r}", error)

    def _measure(self) -> None:
        if self._clocks is None:
            return
        began = self._elapsed()
        try:
            self._judge.measured(self._clocks.read(), began)
        finally:
            self._looked_at = max(self._looked_at, began)

    async def measured(self, recent_seconds: float = RECENT_SECONDS) -> Verdict:
        """The verdict by a measurement that is not older than so many seconds, if the brokers answer at once."""
        await self._look(self._elapsed() - recent_seconds)
        return self.verdict()

    async def _look(self, since: float) -> None:
        """Have the brokers asked, unless they have been since then. It waits for a moment, and not again while they still don't answer."""
        if self._clocks is None or self._looked_at >= since:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().run_in_executor(None, self._measure_again)
            await asyncio.wait([self._looking], timeout=PATIENCE_SECONDS)

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

    def release(self) -> None:
        """No longer hold back topics that are to be tried again: whose bar is no longer ahead, or whose clock has been measured."""
        elapsed = self._elapsed()
        is_looking = self._looking is not None and not self._looking.done()
        for topic, until in list(self._held.items()):
            if not is_looking if topic in self._doubted else elapsed >= until:
                del self._held[topic]

    def forget(self) -> None:
        """All topics are read again."""
        self._held.clear()
        self._doubted.clear()

    async def sift(self, session: Session, ranges: Sequence[RangeRead], clock_us: int) -> list[RangeRead]:
        """The ranges, each cut before its first record that is to be held back; `clock_us` is what this worker's clock says.

        Records that are ahead and not held back are those that the engine sends to the dead-letter topic.
        """
        now_us = max(clock_us, session.state.now_us)
        if self._held or self._doubted:
            for read in ranges:
                self._held.pop(self._names.of(read.symbol, read.stream), None)
        aheads = [self._ahead(session, read, now_us, clock_us) for read in ranges]
        if not any(aheads):
            return list(ranges)
        elapsed = self._elapsed()
        topics = [self._names.of(read.symbol, read.stream) for read in ranges]
        # A record that has waited for a measurement goes by any that began after it came.
        sinces = [self._doubted.pop(topic, elapsed - RECENT_SECONDS) for topic in topics]
        await self._look(max(since for since, ahead in zip(sinces, aheads, strict=True) if ahead))
        verdict = self.verdict()
        sifted = []
        for read, ahead, topic, since in zip(ranges, aheads, topics, sinces, strict=True):
            is_known = self._clocks is None or self._looked_at >= since
            held = next((one for one in ahead if not is_known or self._is_held(session, read, one, clock_us, verdict)), None)
            if held is None:
                sifted.append(read)
                continue
            if not is_known:
                self._doubted[topic] = since
            self._hold(session, read, topic, (held.end_us - now_us - session.state.future_tolerance_us) / SECOND_US)
            if read.offsets[held.place] > read.first_offset:
                sifted.append(read.before(held.place))
        return sifted

    def _hold(self, session: Session, read: RangeRead, topic: str, seconds: float) -> None:
        self._held[topic] = self._elapsed() + min(TRY_AGAIN_SECONDS, seconds)
        data = session.symbol(read.symbol)
        if read.stream is None and data is not None:
            self._seen[topic] = data.topic_id, max(self._seen_of(data, topic), read.offsets[-1])

    def _seen_of(self, data: SymbolSessionData, topic: str) -> int:
        """Up to where the topic was held back: what waited there has come late by this worker's own doing."""
        topic_id, offset = self._seen.get(topic, ("", -1))
        return offset if topic_id == data.topic_id else -1

    def _is_held(self, session: Session, read: RangeRead, ahead: _Ahead, clock_us: int, verdict: Verdict) -> bool:
        elapsed = self._elapsed()
        latest_us = self._judge.latest_us(elapsed)
        if latest_us is not None and verdict.standing in (Standing.RIGHT, Standing.BEHIND):
            # By the right time it may be from the future all the same, as a bar of the year 2200 is.
            if verdict.standing is Standing.BEHIND:
                latest_us += SECOND_US
            if ahead.end_us <= latest_us + session.state.future_tolerance_us:
                return True
        if verdict.standing is Standing.BEHIND and not verdict.by_feeds:
            return False
        ahead_us = ahead.end_us - clock_us
        if verdict.by_feeds:
            return ahead_us <= FARTHEST_US - verdict.off_us
        return ahead_us <= FARTHEST_US and self._judge.considers(read.symbol, elapsed, len(session.state.symbols))

    def _ahead(self, session: Session, read: RangeRead, now_us: int, clock_us: int) -> list[_Ahead]:
        """The sound records that end too long after the session's now; what the newest one says of this clock is noted."""
        data = session.symbol(read.symbol)
        if data is None:
            return []
        ends = list(_ends(session, data, read))
        self._note_newest(session, data, read, ends, clock_us)
        latest_us = now_us + session.state.future_tolerance_us
        return [_Ahead(place, end_us) for place, end_us in ends if end_us > latest_us and _is_sound(session, data, read.records[place])]

    def _note_newest(self, session: Session, data: SymbolSessionData, read: RangeRead, ends: list[tuple[int, int]], clock_us: int) -> None:
        """Tell the judge what the newest sound record says. One from the future before it, as a broken record is, has been contradicted."""
        for place, end_us in reversed(ends):
            ahead_us = end_us - clock_us
            if ahead_us > FARTHEST_US or not _is_sound(session, data, read.records[place]):
                continue
            is_witness = read.stream is None and ahead_us >= -data.threshold_us
            if is_witness and self._seen:
                is_witness = read.offsets[place] > self._seen_of(data, self._names.bars(read.symbol))
            self._judge.saw(read.symbol, ahead_us, self._elapsed(), is_witness=is_witness, stream=read.stream)
            return


class _Ahead(Struct, frozen=True):
    """A record of a range that ends too long after now: its place, and when it is known."""

    place: int
    end_us: int


def _ends(session: Session, data: SymbolSessionData, read: RangeRead) -> Iterator[tuple[int, int]]:
    """Place of each record of a range that is one of its stream, and when it is known."""
    placed = placer(data.base_interval, data.anchor, session.state.calendar) if data.is_uneven else None
    for place, record in enumerate(read.records):
        if isinstance(record, Bar):
            if record.symbol == data.symbol and record.interval == data.base_interval:
                yield place, record.end_us if placed is None else placed(record).end_us
        elif isinstance(record, Quote | Tick):
            yield place, record.time_us


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
