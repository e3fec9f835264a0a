"""Following the state: the feed reads what it says, what is pending is looked up, and what became of the topics is found out.

The state decides which topics are read, for which incarnation and from where; after each transaction the feed is told the
difference. What has to be asked of Kafka (where a pending symbol's topic begins, whether a topic is still the one that the
state knows) is asked by tasks, and comes back as a notice: an input like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Final

from loguru import logger

from streams.engine.journal import InputKind, JournalInput
from streams.engine.session import Session
from streams.engine.symbol import READING, SymbolSessionData, SymbolStatus
from streams.errors import ControlLostError, FatalError, StreamsError
from streams.times import Clock
from streams.wire.topics import TopicNames
from streams.worker.feed import Assignment, Feed, Trouble
from streams.worker.inbox import Loads, Notice
from streams.worker.sources import SourceRefusedError, Sources, TopicLook

CHECK_SOURCES_SECONDS: Final = 10.0


class Follower:
    """Has the feed and the topics follow one session's state.

    Args:
        feed, sources, names, clock: collaborators.
        send: puts an item on the merge agent's channel.
        die: ends the process.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        sources: Sources,
        names: TopicNames,
        clock: Clock,
        send: Callable[[Notice | Loads], None],
        die: Callable[[BaseException], object],
    ) -> None:
        self._feed = feed
        self._sources = sources
        self._names = names
        self._clock = clock
        self._send = send
        self._die = die
        self._tasks: set[asyncio.Task[None]] = set()
        self._loading: set[tuple[str, int]] = set()
        self._loads: list[JournalInput] = []
        self._checked_at = clock.monotonic()
        self._is_checking = False
        self._troubles: dict[str, Trouble] = {}

    def begin(self, session: Session) -> None:
        """Read everything anew from the state's positions, and look up again what is pending."""
        # What tasks of a former life find out is dropped, so nothing is on its way.
        self._loading.clear()
        self._loads.clear()
        self._feed.rewind(self._wanted(session))
        self._start_loads(session)

    def stop(self) -> None:
        """End the tasks."""
        for task in list(self._tasks):
            task.cancel()

    def is_of_now(self, session: Session, notice: Notice) -> bool:
        """Whether a notice is about the reading that goes on now."""
        symbol = notice.given.symbol or ""
        if notice.generation != self._feed.generation:
            return False
        data = session.symbol(symbol)
        if notice.is_truncation and data is not None and data.offset >= (notice.given.first_offset or 0):
            # It had been fetched before it was truncated: to begin there now would take in again what came behind it.
            return False
        # A loss that was found twice must not send reading back twice.
        return notice.assignment is None or self._feed.assigned.get(self._names.bars(symbol)) is notice.assignment

    def take_loads(self) -> list[JournalInput]:
        """What has been found out about pending symbols since this was asked last: inputs, in the order in which it was."""
        loads, self._loads = self._loads, []
        self._loading.difference_update((given.symbol or "", given.incarnation or 0) for given in loads)
        return loads

    def _wanted(self, session: Session) -> dict[str, Assignment]:
        state = session.state
        wanted = {self._names.control: Assignment(state.control_offset, topic_id=state.control_topic_id)}
        for data in state.symbols.values():
            if data.status in READING:
                wanted[self._names.bars(data.symbol)] = _assignment(data)
        return wanted

    def follow(self, session: Session) -> None:
        """Have the feed read what the state now says, and look for the start of what is pending."""
        assigned = self._feed.assigned
        reading = 0
        for data in session.state.symbols.values():
            if data.status not in READING:
                continue
            reading += 1
            topic = self._names.bars(data.symbol)
            known = assigned.get(topic)
            if known is None or known.incarnation != data.incarnation or known.topic_id != data.topic_id:
                self._feed.add(topic, _assignment(data))
        if len(assigned) > reading + 1:
            for topic, known in list(assigned.items()):
                one = session.symbol(known.symbol) if known.symbol is not None else None
                if known.symbol is not None and (one is None or one.status not in READING):
                    self._feed.remove(topic)
        self._start_loads(session)

    def read_anew(self, session: Session, symbol: str) -> None:
        """Read a symbol's topic from its position, wherever reading stands."""
        data = session.symbol(symbol)
        if data is not None and data.status in READING:
            self._feed.add(self._names.bars(symbol), _assignment(data))

    def _start_loads(self, session: Session) -> None:
        for data in session.state.symbols.values():
            if data.status is SymbolStatus.PENDING and (data.symbol, data.incarnation) not in self._loading:
                self._loading.add((data.symbol, data.incarnation))
                self._spawn(self._load(data))

    async def _load(self, data: SymbolSessionData) -> None:
        """Find where a pending symbol's topic is to be read from, and tell the engine."""
        symbol, incarnation, generation = data.symbol, data.incarnation, self._feed.generation
        from_us = data.start_us if data.start_us is not None else data.day.open_us
        self._feed.learn(self._names.bars(symbol))
        try:
            found = await self._sources.locate(self._names.bars(symbol), from_us=from_us, create=not data.must_exist)
        except FatalError as error:
            self._die(error)
            return
        except StreamsError as error:
            given = JournalInput(InputKind.LOAD_FAILED, symbol, incarnation, reason=str(error))
        else:
            given = JournalInput(
                InputKind.LOADED, symbol, incarnation, topic_id=found.topic_id, first_offset=found.offset, end_offset=found.end_offset,
                reason=found.note,
            )  # fmt: skip
        if generation == self._feed.generation:
            self._loads.append(given)
            if len(self._loads) == 1:
                self._send(Loads())

    def look_into(self, session: Session, trouble: Trouble) -> None:
        """A topic could not be read: find out what became of the topics."""
        if trouble.generation != self._feed.generation:
            return
        self._troubles[trouble.topic] = trouble
        if not self._is_checking:
            self._spawn(self._check(session))

    def look_around(self, session: Session) -> None:
        """Find out what became of the topics, when that was not done for a while."""
        if self._clock.monotonic() - self._checked_at >= CHECK_SOURCES_SECONDS and not self._is_checking:
            self._checked_at = self._clock.monotonic()
            self._spawn(self._check(session))

    async def _check(self, session: Session) -> None:
        self._is_checking = True
        try:
            await self._check_once(session)
            while self._troubles:  # they came while Kafka was asked, perhaps after it had answered
                await self._check_once(session)
        except FatalError as error:
            self._die(error)
        except StreamsError as error:
            logger.warning("the session's topics could not be checked: {}", error)
        finally:
            self._is_checking = False

    async def _check_once(self, session: Session) -> None:
        generation, assigned = self._feed.generation, dict(self._feed.assigned)
        troubles, self._troubles = self._troubles, {}
        try:
            await self.check_control(session)
            refused = {topic: trouble.reason for topic, trouble in troubles.items() if trouble.refused}
            lost = await self.lost_sources(session, refused)
        except StreamsError:
            # Nothing of a topic in trouble is read until it was looked at: the next look is to see to them too.
            self._troubles = {**troubles, **self._troubles}
            raise
        for given in lost:
            topic = self._names.bars(given.symbol or "")
            troubles.pop(topic, None)
            data = session.symbol(given.symbol or "")
            is_truncation = data is not None and given.topic_id == data.topic_id and data.offset < (given.first_offset or 0)
            self._send(Notice(generation, given, assigned.get(topic), is_truncation))
        for topic, trouble in troubles.items():
            if trouble.generation == self._feed.generation and self._feed.assigned.get(topic) is trouble.assignment:
                self._read_on(session, topic, trouble)

    def _read_on(self, session: Session, topic: str, trouble: Trouble) -> None:
        """Read a topic again that is in order after all, from the state's position: the feed may have stopped with it."""
        logger.bind(topic=topic).warning("reading goes on after trouble that has passed: {}", trouble.reason)
        if trouble.assignment.symbol is None:
            self._feed.add(topic, Assignment(session.state.control_offset, topic_id=session.state.control_topic_id))
        else:
            self.read_anew(session, trouble.assignment.symbol)

    async def check_control(self, session: Session) -> None:
        """See that the control topic still holds the state's position.

        Raises:
            ControlLostError: it does not.
        """
        control, state = self._names.control, session.state
        topic_id = (await self._sources.topic_ids([control]))[control]
        is_same = topic_id == state.control_topic_id
        # One that is gone has no beginning, and to ask for it would be refused.
        first = (await self._sources.beginnings([control]))[control] if is_same else 0
        if not is_same or first > state.control_offset:
            what = f"begins at offset {first}" if is_same else "was deleted" if topic_id is None else "was re-created"
            raise ControlLostError(
                f"topic {control} {what}, and the state stands at offset {state.control_offset} of the one it knew: commands may be lost. "
                f"Keep its retention unlimited; to begin anew delete {self._names.session}-state-changelog and start the worker again"
            )

    async def lost_sources(self, session: Session, refused: Mapping[str, str] = MappingProxyType({})) -> list[JournalInput]:
        """Inputs for the symbols whose topic is not the one that the state knows, no longer has its position, or may not be read.

        `refused` are topics that could not be fetched from, with the reason: to look at one takes lesser rights than to read it.

        Raises:
            SourceRefusedError: none of several topics may be read: that is about this worker's rights, not about a symbol.
        """
        reading = {self._names.bars(data.symbol): data for data in session.state.symbols.values() if data.status in READING}
        # Reading goes on while Kafka is asked: the ends are compared with where it stood before.
        stood_at = {topic: data.offset for topic, data in reading.items()}
        looks = await self._sources.look(reading)
        reasons = {topic: looks[topic].refused or refused.get(topic) for topic in reading}
        if len(reading) > 1 and all(reasons.values()):
            first = next(iter(reasons))
            raise SourceRefusedError(f"none of the {len(reading)} bar topics may be read, {first} for one: {reasons[first]}")
        inputs = [_lost(topic, data, stood_at[topic], looks[topic], reasons[topic]) for topic, data in reading.items()]
        return [given for given in inputs if given is not None]

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._die(error)


def _assignment(data: SymbolSessionData) -> Assignment:
    return Assignment(data.offset, data.symbol, data.incarnation, data.topic_id)


def _lost(topic: str, data: SymbolSessionData, stood_at: int, look: TopicLook, refused: str | None) -> JournalInput | None:
    """The input that says what became of a symbol's topic; None when it is as the state knows it."""
    failed = None
    if refused is not None:
        failed = f"topic {topic} may not be read ({refused}): allow it, then add the symbol again"
    elif look.topic_id is None:
        failed = f"topic {topic} was deleted"
    elif look.partitions > 1:
        failed = f"topic {topic} was given {look.partitions} partitions: bars in all but the first are missed"
    if failed is not None:
        return JournalInput(InputKind.LOAD_FAILED, data.symbol, data.incarnation, reason=failed)
    if look.topic_id != data.topic_id:
        reason = f"topic {topic} was re-created"
    elif data.offset < look.first:
        reason = f"topic {topic} was truncated: offsets {data.offset} to {look.first - 1} are gone"
    elif stood_at > look.end:
        reason = f"topic {topic} ends at offset {look.end}, before the position {stood_at}"
    else:
        return None
    return JournalInput(
        InputKind.SOURCE_LOST, data.symbol, data.incarnation, topic_id=look.topic_id, first_offset=look.first, reason=reason
    )
