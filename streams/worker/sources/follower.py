"""Following the state: the feed reads what it says, what is pending is looked up, and what became of the topics is found out.

A symbol has a topic of bars, and may have one of quotes and one of ticks. It is loaded when all of them are found, and its past
days are in. Later a loss of its bars may fail it, a loss of the others costs it those alone: they are looked for again at each
look around.

The state decides which topics are read, for which incarnation and from where; after each transaction the feed is told the
difference. What has to be asked of Kafka (where a pending symbol's topic begins, whether a topic is still the one that the
state knows) is asked by tasks, and comes back as a notice: an input like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

from loguru import logger

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.engine.loading import size_of
from streams.engine.rules.past_days import Wanted, wanted
from streams.engine.rules.placement import known_when
from streams.engine.session import Session
from streams.engine.state.symbol import READING, SymbolSessionData, SymbolStatus
from streams.errors import BrokerLostError, ControlLostError, FatalError, StreamsError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import SourcePosition, known_us
from streams.times import Clock
from streams.wire.topics import TopicNames
from streams.worker.feed.batches import Loads, Notice, position_of
from streams.worker.feed.feed import Assignment, Feed, Trouble
from streams.worker.sources.history import PORTION_BYTES, HistoryLoader
from streams.worker.sources.settings import needs_of, warning, with_warning
from streams.worker.sources.topics import SourceRefusedError, Sources, TopicLook
from streams.worker.sources.unchecked import Unchecked, again, longest

CHECK_SOURCES_SECONDS: Final = 10.0
CHECK_AGAIN_SECONDS: Final = 2.0
"""How soon after a check that nobody answered the next one begins. The check itself has asked again and again before."""
T = TypeVar("T")

_ENDS_OF_LOADING: Final = frozenset({InputKind.LOADED, InputKind.LOAD_FAILED})


class Follower:
    """Has the feed and the topics follow one session's state.

    Args:
        feed, sources, names, clock: collaborators.
        send: puts an item on the merge agent's channel.
        die: ends the process.
        history: loads past days.
        user: who this worker is to the broker, for messages about rights.
        is_held: says whether a topic is not to be read for now.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        sources: Sources,
        history: HistoryLoader,
        names: TopicNames,
        clock: Clock,
        send: Callable[[Notice | Loads], None],
        die: Callable[[BaseException], object],
        user: str,
        is_held: Callable[[str], bool] = lambda topic: False,
    ) -> None:
        self._feed = feed
        self._sources = sources
        self._history = history
        self._names = names
        self._clock = clock
        self._send = send
        self._die = die
        self._user = user
        self._is_held = is_held
        self._tasks: set[asyncio.Task[None]] = set()
        self._loading: set[tuple[str, int]] = set()
        self._locating: set[tuple[str, int, str]] = set()
        self._load_tasks: set[asyncio.Task[None]] = set()
        self._loads: list[JournalInput] = []
        self._room = asyncio.Event()
        self._checked_at = clock.monotonic()
        self._is_checking = False
        self._troubles: dict[str, Trouble] = {}
        self._said: set[str | None] = set()
        self._unchecked: Unchecked | None = None

    @property
    def unchecked(self) -> Unchecked | None:
        """Since when, by the monotonic clock, questions about topics are refused or not answered; None when they are answered."""
        return longest(self._unchecked, self._sources.unanswered)

    def begin(self, session: Session) -> None:
        """Read everything anew from the state's positions, and look up again what is pending."""
        # What tasks of a former life find out is dropped, so nothing is on its way.
        for task in self._load_tasks:
            task.cancel()
        self._loading.clear()
        self._locating.clear()
        self._loads.clear()
        self._feed.rewind(self._wanted(session))
        self._start_loads(session)
        self._spawn(self._check_settings(session))

    def stop(self) -> None:
        """End the tasks."""
        for task in list(self._tasks):
            task.cancel()

    def is_of_now(self, session: Session, notice: Notice) -> bool:
        """Whether a notice is about the reading that goes on now."""
        symbol = notice.given.symbol or ""
        if notice.generation != self._feed.generation:
            return False
        data, stream = session.symbol(symbol), notice.given.stream
        position = None if data is None else position_of(data, stream)
        if notice.is_truncation and position is not None and position >= (notice.given.first_offset or 0):
            # It had been fetched before it was truncated: to begin there now would take in again what came behind it.
            return False
        # A loss that was found twice must not send reading back twice.
        return notice.assignment is None or self._feed.assigned.get(self._names.of(symbol, stream)) is notice.assignment

    def take_loads(self) -> list[JournalInput]:
        """What has been found out about pending symbols: inputs in the order in which it was, as many as one transaction can hold."""
        size = count = 0
        for count, given in enumerate(self._loads):
            size += size_of(given)
            if size > PORTION_BYTES and count:
                break
        else:
            count = len(self._loads)
        loads, self._loads = self._loads[:count], self._loads[count:]
        self._loading.difference_update((given.symbol or "", given.incarnation or 0) for given in loads if given.kind in _ENDS_OF_LOADING)
        self._room.set()
        if self._loads:
            self._send(Loads())
        return loads

    def _wanted(self, session: Session) -> dict[str, Assignment]:
        state = session.state
        wanted = {self._names.control: Assignment(state.control_offset, topic_id=state.control_topic_id)}
        for data in state.symbols.values():
            if data.status in READING:
                wanted |= {self._names.of(data.symbol, stream): _assignment(data, stream) for stream in _read_streams(data)}
        return wanted

    def follow(self, session: Session) -> None:
        """Have the feed read what the state now says, and look for the start of what is pending."""
        assigned = self._feed.assigned
        reading = 0
        for data in session.state.symbols.values():
            if data.status not in READING:
                continue
            for stream in _read_streams(data):
                topic, wanted = self._names.of(data.symbol, stream), _assignment(data, stream)
                if self._is_held(topic):
                    continue
                reading += 1
                known = assigned.get(topic)
                if known is None or known.incarnation != wanted.incarnation or known.topic_id != wanted.topic_id:
                    self._feed.add(topic, wanted)
        if len(assigned) > reading + 1:
            for topic, known in list(assigned.items()):
                if known.symbol is not None and not _is_wanted(session.symbol(known.symbol), known):
                    self._feed.remove(topic)
        self._start_loads(session)

    def read_anew(self, session: Session, symbol: str, stream: str | None = None) -> None:
        """Read a symbol's topic from its position, wherever reading stands."""
        data = session.symbol(symbol)
        if data is not None and data.status in READING and position_of(data, stream) is not None:
            self._feed.add(self._names.of(symbol, stream), _assignment(data, stream))

    def _start_loads(self, session: Session) -> None:
        for data in session.state.symbols.values():
            if data.status is SymbolStatus.PENDING:
                if (data.symbol, data.incarnation) not in self._loading:
                    self._loading.add((data.symbol, data.incarnation))
                    task = self._spawn(self._load(session, data))
                    self._load_tasks.add(task)
                    task.add_done_callback(self._load_tasks.discard)
            elif data.extras and data.status in READING:
                # A changed config has named them when the symbol was there already.
                for stream in [extra.stream for extra in data.extras.values() if not extra.topic_id]:
                    if (data.symbol, data.incarnation, stream) not in self._locating:
                        self._locating.add((data.symbol, data.incarnation, stream))
                        self._spawn(self._locate_later(data, stream, session.state.calendar))

    async def _load(self, session: Session, data: SymbolSessionData) -> None:
        """Load a pending symbol's past days, find where its topics are to be read from, and tell the engine."""
        symbol, incarnation, generation = data.symbol, data.incarnation, self._feed.generation
        plan, calendar = wanted(session.state, data), session.state.calendar
        try:
            bars, *extras = await self._asked(partial(self._locate_all, data, plan, calendar), f"loading {symbol}")
            missing = await self._history.load(plan, calendar, self._clock.now_us(), partial(self._hand_over, generation))
            if plan.intervals:
                # Found anew, since the topic has gone on: what stands there now is the backlog.
                bars, *extras = await self._asked(partial(self._locate_all, data, plan, calendar), f"loading {symbol}")
            warned = (await self._asked(partial(self._warnings, [data]), f"loading {symbol}"))[symbol]
        except FatalError as error:
            self._die(error)
            return
        except StreamsError as error:
            found = [JournalInput(InputKind.LOAD_FAILED, symbol, incarnation, reason=error.reason)]
        else:
            found = [_located(data, stream, position) for stream, position in zip(data.extras, extras, strict=True)]
            notes = [position.note for position in (bars, *extras) if position.note is not None]
            if missing is not None:
                notes.append(f"history: {missing}")
            note = with_warning("; ".join(notes), warned)
            found.append(
                JournalInput(
                    InputKind.LOADED, symbol, incarnation, topic_id=bars.topic_id, first_offset=bars.offset, end_offset=bars.end_offset,
                    reason=note, trading_days=plan.day.days if plan.intervals else None,
                )
            )  # fmt: skip
            if warned is not None:
                found.append(JournalInput(InputKind.SOURCE_WARNED, symbol, incarnation, reason=note, text=warned))
        self._hand_in(generation, found)

    async def _warnings(self, symbols: Iterable[SymbolSessionData]) -> dict[str, str | None]:
        """What is to be warned of about the settings of the symbols' topics, by symbol."""
        topics = {
            data.symbol: [(self._names.of(data.symbol, stream), needs_of(data, stream)) for stream in (None, *data.extras)]
            for data in symbols
        }
        found = await self._sources.settings([topic for pairs in topics.values() for topic, _ in pairs])
        warned = {symbol: [warning(topic, found.get(topic, {}), needs) for topic, needs in pairs] for symbol, pairs in topics.items()}
        return {symbol: ". ".join(text for text in texts if text is not None) or None for symbol, texts in warned.items()}

    async def _check_settings(self, session: Session) -> None:
        """Look at the settings of all topics that are read, as the worker begins to read: they may have changed meanwhile."""
        generation = self._feed.generation
        reading = [data for data in session.state.symbols.values() if data.status in READING]
        try:
            warned = await self._asked(partial(self._warnings, reading), "looking at the settings of topics")
        except FatalError as error:
            self._die(error)
            return
        except StreamsError as error:
            logger.warning("the settings of the topics could not be looked at: {}", error)
            return
        for data in reading:
            text = warned[data.symbol]
            note = with_warning(data.reason, text)
            if note != data.reason:
                given = JournalInput(InputKind.SOURCE_WARNED, data.symbol, data.incarnation, reason=note, text=text)
                self._send(Notice(generation, given))
            elif text is not None and text not in self._said:
                logger.bind(symbol=data.symbol).warning("{}", text)
            self._said.add(text)

    async def _locate_all(self, data: SymbolSessionData, plan: Wanted, calendar: TradingCalendar) -> list[SourcePosition]:
        """Where the topics of bars, and of quotes and ticks, are to be read from; what is wrong with several is said of the first."""
        asked = [self._locate(data, stream, plan.day, calendar) for stream in (None, *data.extras)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        wrong = [one for one in found if isinstance(one, BaseException)]
        for error in sorted(wrong, key=lambda one: not isinstance(one, FatalError)):
            raise error
        return [one for one in found if isinstance(one, SourcePosition)]

    async def _hand_over(self, generation: int, portion: list[JournalInput]) -> None:
        """Hand in inputs of a load, and come back when there is room for more of them."""
        self._hand_in(generation, portion)
        while self._loads and generation == self._feed.generation:
            self._room.clear()
            await self._room.wait()

    async def _locate_later(self, data: SymbolSessionData, stream: str, calendar: TradingCalendar) -> None:
        """Find where a stream is to be read from that a symbol has got since it was loaded."""
        generation = self._feed.generation
        try:
            position = await self._asked(partial(self._locate, data, stream, data.day, calendar), f"looking for {stream} of {data.symbol}")
            if position.note is not None:
                logger.bind(symbol=data.symbol).warning("{}", position.note)
            found = _located(data, stream, position)
        except FatalError as error:
            self._die(error)
            return
        except StreamsError as error:
            found = JournalInput(InputKind.SOURCE_LOST, data.symbol, data.incarnation, stream=stream, reason=error.reason)
        self._hand_in(generation, [found])

    async def _locate(self, data: SymbolSessionData, stream: str | None, day: TradingDay, calendar: TradingCalendar) -> SourcePosition:
        topic = self._names.of(data.symbol, stream)
        self._feed.learn(topic, stream)
        from_us = data.start_us if data.start_us is not None else day.open_us
        # A bar is known at its end, so none that ends at the open matters. A quote of the open does.
        create = not data.must_exist
        if stream is not None:
            return await self._sources.locate(topic, stream=stream, from_us=from_us - 1, at_us=known_us, create=create)
        at_us = known_when(data.symbol, data.base_interval, data.anchor, calendar)
        return await self._sources.locate(topic, stream=None, from_us=from_us, at_us=at_us, create=create)

    async def _asked(self, ask: Callable[[], Coroutine[object, object, T]], doing: str) -> T:
        """What `ask` gives, however long no broker answers: that is no reason to give a symbol up, nor the worker while it commits."""
        while True:
            try:
                return await ask()
            except BrokerLostError as error:
                logger.warning("{}: {}; it is asked again", doing, error)
                await asyncio.sleep(CHECK_AGAIN_SECONDS)

    def _hand_in(self, generation: int, found: list[JournalInput]) -> None:
        if generation == self._feed.generation:
            is_first = not self._loads
            self._loads += found
            if is_first:
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
            self._locating.clear()  # those that were not found are looked for again
            self._spawn(self._check(session))

    async def _check(self, session: Session) -> None:
        self._is_checking = True
        began = self._clock.monotonic()
        try:
            await self._check_once(session)
            while self._troubles:  # they came while Kafka was asked, perhaps after it had answered
                await self._check_once(session)
            self._unchecked = None
        except BrokerLostError as error:
            # Nothing is known of the topics then, neither good nor bad. Whether the worker can go on shows when it commits.
            self._unchecked = unchecked = again(self._unchecked, began, error.reason)
            now = self._clock.monotonic()
            self._checked_at = now - CHECK_SOURCES_SECONDS + CHECK_AGAIN_SECONDS
            logger.warning(
                "the session's topics could not be checked for {:.0f} s, and are asked about again: {}", now - unchecked.since, error
            )
        except FatalError as error:
            self._die(error)
        except StreamsError as error:
            self._unchecked = again(self._unchecked, began, error.reason)
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
            topic = self._names.of(given.symbol or "", given.stream)
            troubles.pop(topic, None)
            data = session.symbol(given.symbol or "")
            source = None if data is None else data if given.stream is None else data.extras.get(given.stream)
            is_truncation = source is not None and given.topic_id == source.topic_id and source.offset < (given.first_offset or 0)
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
            self.read_anew(session, trouble.assignment.symbol, trouble.assignment.stream)

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
        """Inputs for the topics that are not those that the state knows, no longer have its position, may not be read, or are back.

        `refused` are topics that could not be fetched from, with the reason: to look at one takes lesser rights than to read it.

        Raises:
            SourceRefusedError: none of several bar topics may be read: that is about this worker's rights, not about a symbol.
        """
        reading = [data for data in session.state.symbols.values() if data.status in READING]
        topics = {self._names.of(data.symbol, stream): (data, stream) for data in reading for stream in _known_streams(data)}
        # Reading goes on while Kafka is asked: the ends are compared with where it stood before.
        stood_at = {topic: position_of(data, stream) for topic, (data, stream) in topics.items()}
        looks = await self._sources.look(topics)
        # What could not be fetched a while ago may be read by now: an answer of the broker's counts for more.
        reasons = {topic: looks[topic].refused or (None if looks[topic].may_read else refused.get(topic)) for topic in topics}
        of_bars = [reasons[self._names.bars(data.symbol)] for data in reading]
        if len(of_bars) > 1 and all(of_bars):
            first = self._names.bars(reading[0].symbol)
            raise SourceRefusedError(
                f"none of the {len(of_bars)} bar topics may be read, {first} for one ({reasons[first]}): allow {self._user} Read on them"
            )
        inputs = [_change(topic, *topics[topic], stood_at[topic], looks[topic], reasons[topic], self._user) for topic in topics]
        return [given for given in inputs if given is not None]

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._die(error)


def _assignment(data: SymbolSessionData, stream: str | None) -> Assignment:
    source = data if stream is None else data.extras[stream]
    return Assignment(source.offset, data.symbol, data.incarnation, source.topic_id, stream)


def _read_streams(data: SymbolSessionData) -> list[str | None]:
    """What is read of a symbol that is being read: its bars, and the streams besides that have a topic."""
    return [None, *(extra.stream for extra in data.extras.values() if extra.is_read)] if data.extras else [None]


def _known_streams(data: SymbolSessionData) -> list[str | None]:
    """What is read of a symbol, or was until its topic went."""
    return [None, *(extra.stream for extra in data.extras.values() if extra.topic_id)]


def _is_wanted(data: SymbolSessionData | None, known: Assignment) -> bool:
    return data is not None and data.status in READING and position_of(data, known.stream) is not None


def _located(data: SymbolSessionData, stream: str, position: SourcePosition) -> JournalInput:
    return JournalInput(
        InputKind.STREAM_LOCATED, data.symbol, data.incarnation, topic_id=position.topic_id, first_offset=position.offset, stream=stream
    )


def _change(
    topic: str, data: SymbolSessionData, stream: str | None, stood_at: int | None, look: TopicLook, refused: str | None, user: str
) -> JournalInput | None:
    """The input that says what became of a topic, which `user` reads; None when it is as the state knows it."""
    failed = None
    if refused is not None:
        way_out = f"allow {user} Read on it" + (", then add the symbol again" if stream is None else "")
        failed = f"topic {topic} may not be read ({refused}): {way_out}"
    elif look.topic_id is None:
        failed = f"topic {topic} was deleted"
    elif look.partitions > 1:
        failed = f"topic {topic} was given {look.partitions} partitions: {stream or 'bars'} in all but the first are missed"
    if failed is not None:
        kind = InputKind.LOAD_FAILED if stream is None else InputKind.SOURCE_LOST
        return JournalInput(kind, data.symbol, data.incarnation, reason=failed, stream=stream)
    source = data if stream is None else data.extras[stream]
    if stream is not None and stood_at is None:
        goes_on = look.topic_id == source.topic_id and look.first <= source.offset <= look.end
        return _located(data, stream, SourcePosition(look.topic_id or "", source.offset if goes_on else look.first, look.end))
    if look.topic_id != source.topic_id:
        reason = f"topic {topic} was re-created"
    elif source.offset < look.first:
        reason = f"topic {topic} was truncated: offsets {source.offset} to {look.first - 1} are gone"
    elif (stood_at or 0) > look.end:
        reason = f"topic {topic} ends at offset {look.end}, before the position {stood_at}"
    else:
        return None
    return JournalInput(
        InputKind.SOURCE_LOST, data.symbol, data.incarnation, topic_id=look.topic_id, first_offset=look.first, reason=reason, stream=stream
    )
