"""The consumer on topics in memory that a real engine has written: each bar once, whenever it warms up, ends and begins again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.client.answers import Place
from streams.client.calls import Overview
from streams.client.calls import Snapshot as SeriesSnapshot
from streams.config.settings import Settings
from streams.consumer import BarsTopic, Hole, HoleKind, HttpState, Position, SessionConsumer, WarmUp, bars_topic, session
from streams.engine.reads import SessionData
from streams.errors import NoSessionError, SequenceGapError, SettingsError, WarmUpError
from streams.kafka.reader import BEGINNING
from streams.model.records import HeldBackBar, PublishedBar
from streams.model.views import SymbolSnapshot
from streams.times import DAY_US, MINUTE_US, SECOND_US, ManualClock, from_us
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent
from streams.wire.outputs import Encoder, RawRecord
from streams.wire.topics import TopicNames
from tests.support.engine import Desk, at, bar, config, minutes
from tests.support.examples import examples
from tests.support.sessions.topics_in_memory import Topics

CODEC = Codec()
NAMES = TopicNames("main")
# Here no time passes but in looks; what silence means stands in test_liveness.py.
SETTINGS = Settings.load(session="main", heartbeat_timeout_seconds=0)
SYMBOLS = ("AA", "BB", "CC")

Version = tuple[str, int, str, int, int]
"""Symbol, incarnation, interval, start and revision of a bar."""


@dataclass
class World:
    """A session whose outputs become topics, transaction by transaction."""

    desk: Desk
    topics: Topics = field(default_factory=Topics)
    clock: ManualClock = field(default_factory=lambda: TickingClock())
    written: int = 0

    def __post_init__(self) -> None:
        for name in (NAMES.analysis, NAMES.all_bars):
            self.topics.setdefault(name, self.topics.new())

    def publish(self) -> None:
        """Write what the engine has told since."""
        encoder = Encoder(CODEC, NAMES, session="main", epoch=self.desk.journal[-1].epoch)
        for result in self.desk.results[self.written :]:
            touched = set()
            for record in encoder.records(result, no_letters):
                if record.topic in self.topics:
                    self.topics[record.topic].append(record.timestamp_ms, record.key, record.value, record.headers)
                    touched.add(record.topic)
            for name in touched:
                self.topics[name].commit()
        self.written = len(self.desk.results)
        self.clock.set_us(max(self.clock.now_us(), self.desk.now_us))

    def begin_anew(self, desk: Desk) -> None:
        self.desk, self.written = desk, 0

    def consume(self, **options: object) -> SessionConsumer:
        return SessionConsumer(SETTINGS, clock=self.clock, codec=CODEC, **options)  # type: ignore[arg-type]


def no_letters(symbol: str, offset: int) -> RawRecord:
    return RawRecord(NAMES.bars(symbol), offset, None, None, [])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return in_memory(monkeypatch, Desk(config("AA", "BB", derived_intervals=["5m"], bars_topic=True, session_name="main"), at("09:30")))


def in_memory(patch: pytest.MonkeyPatch, desk: Desk) -> World:
    made = World(desk)
    patch.setattr(session, "TopicReader", made.topics.reader)
    patch.setattr(bars_topic, "TopicReader", made.topics.reader)
    return made


def everything(consumer: SessionConsumer) -> Iterator[AnalysisEvent]:
    """What comes until the end is reached."""
    while True:
        event = consumer.poll()
        if event is not None:
            yield event
        elif consumer.at_end:
            return


class StateReads(SessionData):
    """The state over a wire without length: what `SessionClient` gives, with the state moving on between any two reads."""

    def __init__(self, world: World, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(world.desk.session.state)
        self._world = world
        self._meanwhile = meanwhile
        self._note()

    def __enter__(self) -> StateReads:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _note(self) -> None:
        state = self._state = self._world.desk.session.state
        offset = self._world.topics[NAMES.analysis].end
        self.place = Place("main", state.epoch, state.sequence, offset, from_us(state.now_us), state.active)

    def get_overview(self, *, internal: bool = False) -> Overview:
        self._begin()
        names = self.get_active_symbols(internal=internal)
        return Overview(self.place, None, None, {}, frozenset(names), frozenset(), frozenset(), frozenset())

    def get_symbol_data(self, symbol: str, *, internal: bool = False) -> SymbolSnapshot | None:
        self._begin()
        return super().get_symbol_data(symbol, internal=internal)

    def get_snapshot(self, symbol: str, interval: str | None = None, *, internal: bool = False) -> SeriesSnapshot | None:
        self._begin()
        return SeriesSnapshot(self.place, list(super().get_bars(symbol, interval, internal=internal)))

    def _begin(self) -> None:
        self._meanwhile()
        self._note()


class TickingClock(ManualClock):
    """Time to wait passes with each look; the hour stands until it is set."""

    looks = 0.0

    def monotonic(self) -> float:
        self.looks += 1
        return self.looks


def version_of(event: AnalysisEvent) -> Version:
    assert event.bar is not None
    return (event.symbol or "", event.incarnation or 0, event.interval or "", event.bar.start_us, event.bar.revision)


def outcome_of(outcome: PublishedBar | HeldBackBar) -> Version:
    return (outcome.symbol, outcome.incarnation, outcome.interval, outcome.bar.start_us, outcome.bar.revision)


def starts(events: list[AnalysisEvent], symbol: str = "AA", interval: str = "1m") -> list[int]:
    return [event.bar.start_us for event in events if event.bar and (event.symbol, event.interval) == (symbol, interval)]


def test_a_strategy_begins_with_the_bars_of_the_day_and_goes_on_with_the_next_one(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.feed(*minutes("AA", at("09:30"), 10), *minutes("BB", at("09:30"), 10), now_us=at("09:40"))
    world.publish()
    known: list[AnalysisEvent] = []
    with world.consume(warm_up=BarsTopic(), history=known.append) as consumer:
        assert list(everything(consumer)) == []
        assert starts(known) == [at("09:30") + number * MINUTE_US for number in range(10)]
        assert [event.interval for event in known if event.symbol == "BB"] == ["1m"] * 5 + ["5m"] + ["1m"] * 5 + ["5m"]
        assert consumer.active is True
        desk.flow(*minutes("AA", at("09:40"), 2))
        world.publish()
        assert starts(list(everything(consumer))) == [at("09:40"), at("09:41")]
        assert len(known) == 24, "nothing came twice"


def test_only_what_is_wanted_comes_live_and_from_the_warm_up(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.feed(*minutes("AA", at("09:30"), 9), *minutes("BB", at("09:30"), 9), now_us=at("09:39"))
    world.publish()
    known: list[AnalysisEvent] = []
    with world.consume(warm_up=BarsTopic(), history=known.append, symbols=["BB"], intervals=["5m"]) as consumer:
        consumer.poll()
        desk.flow(*[one for pair in zip(minutes("AA", at("09:39"), 1), minutes("BB", at("09:39"), 1), strict=True) for one in pair])
        world.publish()
        live = list(everything(consumer))
    assert [(event.symbol, event.interval) for event in (*known, *live)] == [("BB", "5m"), ("BB", "5m")]
    with pytest.raises(ValueError, match="symbols must be a collection"):
        world.consume(symbols="BB")


def test_a_bar_that_is_no_longer_fresh_when_its_turn_comes_is_history_or_dropped(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.flow(*minutes("AA", at("09:30"), 3))
    world.publish()
    old: list[AnalysisEvent] = []
    with world.consume(start=BEGINNING, history=old.append) as consumer:
        fresh = starts(list(everything(consumer)))
    with world.consume(start=BEGINNING) as careless:
        assert starts(list(everything(careless))) == fresh
        assert careless.stale == len(old)
    with world.consume(start=BEGINNING, fresh_only=False) as curious:
        assert starts(list(everything(curious))) == [*starts(old), *fresh]
    assert fresh == [at("09:31"), at("09:32")], "09:30 ended two minutes ago, and the threshold is one"

    with world.consume(start=BEGINNING, history=old.append) as slow:
        events = everything(slow)
        assert next(event for event in events if event.bar) is not None
        world.clock.advance_seconds(61)
        assert starts(list(events)) == [], "it went stale while the strategy was busy with the one before"
        assert starts(old)[-1] == at("09:32")


def test_markers_are_handed_over_and_the_gate_is_known(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.flow(*minutes("AA", at("09:30"), 2))
    world.publish()
    with world.consume(warm_up=BarsTopic(), history=lambda event: None) as consumer:
        consumer.poll()
        assert consumer.active is True
        desk.feed(bar("AA", at("09:32")), now_us=at("09:40"))
        world.publish()
        (shut,) = everything(consumer)
        assert (shut.kind, consumer.active) == ("deactivated", False)
        desk.feed(*minutes("AA", at("09:33"), 7), now_us=at("09:40"))
        world.publish()
        kinds = [event.kind for event in everything(consumer)]
        assert kinds[:3] == ["held_back", "held_back", "activated"]
        assert consumer.active is True


def test_a_stretch_that_was_held_back_can_be_read_again(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.flow(*minutes("AA", at("09:30"), 2))
    world.publish()
    with world.consume(warm_up=BarsTopic(), history=lambda event: None) as consumer:
        consumer.poll()
        desk.feed(*minutes("AA", at("09:32"), 8), now_us=at("09:40"))
        world.publish()
        held = next(event for event in everything(consumer) if event.kind == "held_back" and event.interval == "1m")
        assert held.extent is not None
        again = consumer.bars_of(held)
        assert starts(again) == [at("09:32") + number * MINUTE_US for number in range(held.extent.count)]
        assert all(event.held_back for event in again)
        with pytest.raises(ValueError, match="only the stretch of a held_back or revised marker"):
            consumer.bars_of(again[0])


def test_a_warm_up_gives_the_newest_revision_of_each_bar_and_nothing_of_a_symbol_that_is_gone(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.flow(*minutes("AA", at("09:30"), 3), *minutes("BB", at("09:33"), 1))
    desk.feed(bar("AA", at("09:31"), price=101.0))
    desk.command("remove_symbol", "BB", immediate=True)
    world.publish()
    known: list[AnalysisEvent] = []
    with world.consume(warm_up=BarsTopic(), history=known.append) as consumer:
        consumer.poll()
    found = {(event.symbol, event.bar.start_us): event.bar for event in known if event.bar and event.interval == "1m"}
    assert {symbol for symbol, _ in found} == {"AA"}
    assert (found["AA", at("09:31")].close, found["AA", at("09:31")].revision) == (101.0, 1)


def test_a_warm_up_is_of_the_newest_day_and_empty_when_that_has_just_begun(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.flow(*minutes("AA", at("09:30"), 2))
    tuesday = at("09:30") + DAY_US
    desk.flow(bar("AA", tuesday))
    world.publish()
    known: list[AnalysisEvent] = []
    with world.consume(warm_up=BarsTopic(), history=known.append) as consumer:
        consumer.poll()
    assert starts(known) == [tuesday]
    desk.advance(tuesday + DAY_US + MINUTE_US)
    world.publish()
    known.clear()
    with world.consume(warm_up=BarsTopic(), history=known.append) as consumer:
        consumer.poll()
    assert known == []


def test_before_the_first_bar_a_strategy_begins_with_none_and_misses_none(world: World) -> None:
    world.desk.load("AA", "BB")
    world.publish()
    known: list[AnalysisEvent] = []
    with world.consume(warm_up=BarsTopic(), history=known.append) as consumer:
        assert {event.kind for event in everything(consumer)} <= {"activated", "symbol_added", "session_rolled"}
        assert consumer.active is True
        world.desk.flow(*minutes("AA", at("09:30"), 1))
        world.publish()
        assert starts(list(everything(consumer))) == [at("09:30")]
    assert known == []


def test_without_the_topic_it_is_said_what_to_set(world: World) -> None:
    del world.topics[NAMES.all_bars]
    with (
        world.consume(warm_up=BarsTopic(), history=print) as consumer,
        pytest.raises(NoSessionError, match=r"set session_data_config\.bars_topic to true"),
    ):
        consumer.poll()
    with pytest.raises(SettingsError, match="say with history= who takes them"):
        world.consume(warm_up=BarsTopic())


def test_a_session_that_was_begun_anew_is_told_and_read_anew(world: World) -> None:
    world.desk.load("AA", "BB")
    world.desk.flow(*minutes("AA", at("09:30"), 3))
    world.publish()
    known: list[AnalysisEvent] = []
    holes: list[Hole] = []

    def forget(hole: Hole) -> None:
        holes.append(hole)
        known.clear()

    with world.consume(warm_up=BarsTopic(), history=known.append, on_hole=forget) as consumer:
        consumer.poll()
        world.begin_anew(Desk(config("AA", bars_topic=True, session_name="main"), at("09:40"), epoch=2))
        world.desk.load("AA")
        world.publish()
        list(everything(consumer))
        assert [hole.kind for hole in holes] == [HoleKind.EPOCH]
        assert known == [], "of the new epoch there is none yet"
        world.desk.flow(*minutes("AA", at("09:40"), 2))
        world.publish()
        live = list(everything(consumer))
        assert [*starts(known), *starts(live)] == [at("09:40"), at("09:41")]
        assert len(holes) == 1
        assert consumer.position is not None
        assert consumer.position.epoch == 2


def test_a_position_that_the_topic_no_longer_has_is_told_in_words_and_the_day_is_read_anew(world: World) -> None:
    world.desk.load("AA", "BB")
    world.desk.flow(*minutes("AA", at("09:30"), 3))
    world.publish()
    with world.consume(start=BEGINNING) as first:
        event = next(everything(first))
        position = first.position
    assert position is not None
    assert position.sequence == event.sequence
    world.topics[NAMES.analysis].truncate(position.offset + 2)

    with (
        world.consume(position=position) as strict,
        pytest.raises(SequenceGapError, match=r"main.analysis no longer has offset \d+: it holds"),
    ):
        strict.poll()
    known: list[AnalysisEvent] = []
    holes: list[Hole] = []
    with world.consume(position=str(position), warm_up=BarsTopic(), history=known.append, on_hole=holes.append) as consumer:
        live = list(everything(consumer))
    assert [(hole.kind, hole.last) for hole in holes] == [(HoleKind.TRUNCATED, position)]
    assert sorted([*starts(known), *starts(live)]) == [at("09:30") + number * MINUTE_US for number in range(3)]


def test_records_that_are_deleted_before_their_turn_are_a_hole_and_reading_goes_on_behind_them(world: World) -> None:
    world.desk.load("AA", "BB")
    world.desk.flow(*minutes("AA", at("09:30"), 3))
    world.publish()
    holes: list[Hole] = []
    with world.consume(position=Position(1, 0, 0), fresh_only=False, on_hole=holes.append) as consumer:
        first = consumer.poll()
        assert first is not None
        world.topics[NAMES.analysis].truncate(world.topics[NAMES.analysis].records[4].offset)
        rest = list(everything(consumer))
    assert [hole.kind for hole in holes] == [HoleKind.TRUNCATED]
    assert [event.sequence for event in rest][-1] == world.desk.session.state.sequence


def test_a_topic_that_was_made_anew_under_the_position_is_a_hole(world: World) -> None:
    world.desk.load("AA", "BB")
    world.desk.flow(*minutes("AA", at("09:30"), 3))
    world.publish()
    last = world.topics[NAMES.analysis].records[-1]
    sequence = CODEC.analysis_from(last.value).sequence
    for position, says in (
        (Position(1, sequence, last.offset + 400), r"no longer has offset \d+: it holds 0 to \d+"),
        (Position(1, sequence + 7, last.offset), f"after epoch 1, sequence {sequence + 7} comes epoch 1, sequence {sequence}"),
    ):
        with world.consume(position=position) as consumer, pytest.raises(SequenceGapError, match=says):
            consumer.poll()


def test_a_position_told_before_the_topic_shows_it_is_waited_for(world: World) -> None:
    world.desk.load("AA", "BB")
    world.desk.flow(*minutes("AA", at("09:30"), 3))
    world.publish()
    topic = world.topics[NAMES.analysis]
    last = topic.records[-1]
    topic.hidden = 1
    position = Position(1, CODEC.analysis_from(last.value).sequence, topic.end)
    topic.bounds_until_shown = 3
    with world.consume(position=position) as consumer:
        assert list(everything(consumer)) == []
        assert consumer.position == position


def test_kinds_of_later_versions_are_passed_over_and_count_in_the_sequence(world: World) -> None:
    world.desk.load("AA", "BB")
    world.desk.flow(*minutes("AA", at("09:30"), 2))
    world.publish()
    topic = world.topics[NAMES.analysis]
    event = CODEC.analysis_from(topic.records[-1].value)
    strange = replace(event, sequence=event.sequence + 1, kind="of_a_later_version", bar=None)
    topic.append(topic.records[-1].timestamp_ms, b"AA", CODEC.analysis_to(strange), [])
    with world.consume(start=BEGINNING, fresh_only=False) as consumer:
        found = list(everything(consumer))
        assert "of_a_later_version" not in {one.kind for one in found}
        assert consumer.unknown == 1
        assert consumer.position == Position(1, event.sequence + 1, topic.end)


def test_over_http_a_strategy_begins_with_the_state_and_goes_on_behind_it(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.feed(*minutes("AA", at("09:30"), 10), *minutes("BB", at("09:30"), 10), now_us=at("09:40"))
    world.publish()
    later = iter(minutes("AA", at("09:40"), 3))

    def meanwhile() -> None:
        for one in (*[next(later, None)],):
            if one is not None:
                desk.flow(one)
                world.publish()

    known: list[AnalysisEvent] = []
    with world.consume(warm_up=HttpState(connect=lambda: StateReads(world, meanwhile)), history=known.append) as consumer:
        live = list(everything(consumer))
        assert consumer.position is not None
    every = [at("09:30") + number * MINUTE_US for number in range(13)]
    assert [*starts(known), *starts(live)] == every, "three bars came while the state was being read"
    assert [event.bar.end_us for event in known if event.bar] == sorted(event.bar.end_us for event in known if event.bar)


def test_over_http_the_gate_is_waited_for_unless_the_read_is_an_internal_one(world: World) -> None:
    desk = world.desk
    desk.load("AA", "BB")
    desk.feed(*minutes("AA", at("09:30"), 5), now_us=at("09:40"))
    world.publish()
    known: list[AnalysisEvent] = []

    def connect() -> StateReads:
        return StateReads(world)

    with world.consume(warm_up=HttpState(connect=connect, wait_seconds=1), history=known.append) as consumer:
        with pytest.raises(WarmUpError, match="the gate of session 'main' was shut for 1 s"):
            consumer.poll()
        assert known == []
        desk.caught_up("AA")
        world.publish()
        list(everything(consumer))
        assert len(starts(known)) == 5, "the next call tries again"
    known.clear()
    desk.feed(*minutes("AA", at("09:35"), 1), now_us=at("09:41"))
    world.publish()
    with world.consume(warm_up=HttpState(connect=connect, internal=True), history=known.append) as consumer:
        consumer.poll()
        assert (len(starts(known)), consumer.active) == (6, False)


# ----------------------------------------------------------------------------------------------- any story, any moment


@dataclass
class Strategy:
    """A strategy that keeps its position beside what it knows, in one write, and may be killed between any two events."""

    world: World
    chance: Random
    warm_up: WarmUp
    warm: list[Version] = field(default_factory=list)
    live: list[Version] = field(default_factory=list)
    markers: list[AnalysisEvent] = field(default_factory=list)
    saved: tuple[str | None, list[Version], list[Version], list[AnalysisEvent]] = (None, [], [], [])
    consumer: SessionConsumer | None = None
    has_begun: bool = False

    def take(self, event: AnalysisEvent) -> None:
        if event.bar is None:
            self.markers.append(event)
        elif self.has_begun:
            self.live.append(version_of(event))
        else:
            self.warm.append(version_of(event))

    def run(self) -> None:
        """Read to the end; it is killed now and then, and what it had not saved is lost."""
        if self.consumer is None:
            position, *known = self.saved
            self.warm, self.live, self.markers = (list(one) for one in known)
            self.has_begun = position is not None
            self.consumer = self.world.consume(position=position, warm_up=self.warm_up, history=self.take)
        while True:
            event = self.consumer.poll()
            self.has_begun = True
            if event is not None:
                self.take(event)
            elif self.consumer.at_end:
                return
            if self.chance.random() < 0.5 and self.consumer.position is not None:
                self.saved = (str(self.consumer.position), list(self.warm), list(self.live), list(self.markers))
            if self.chance.random() < 0.1:
                self.consumer = None
                return

    def finish(self) -> None:
        self.run()
        while self.consumer is None:
            self.run()


def story(world: World, chance: Random) -> Iterator[None]:
    """A morning of three symbols: live bars, holes, late ones, corrections, outages with a backlog, additions and removals."""
    desk = world.desk
    desk.load("AA", "BB")
    minute = 0
    for _ in range(20):
        fate = chance.random()
        present = [symbol for symbol in SYMBOLS if desk.session.symbol(symbol) is not None]
        if fate < 0.1 and len(present) < 3:
            absent = next(symbol for symbol in SYMBOLS if symbol not in present)
            position = len(desk.topics.get(absent, []))
            desk.command("add_symbol", absent)
            desk.load(absent, offset=position)
        elif fate < 0.18 and len(present) > 1:
            desk.command("remove_symbol", chance.choice(present), immediate=True)
        else:
            count = chance.choice([1, 1, 2, 7])
            for symbol in present:
                made = [one for one in minutes(symbol, at("09:30") + minute * MINUTE_US, count) if chance.random() < 0.9]
                if made and chance.random() < 0.2:
                    made.append(bar(symbol, made[-1].start_us - chance.randint(0, 5) * MINUTE_US, price=100.0 + chance.randint(1, 9)))
                desk.produce(*made)
            minute += count
            now_us = at("09:30") + minute * MINUTE_US + chance.choice([0, 0, 3, 70]) * SECOND_US
            desk.read(now_us=max(desk.now_us, now_us))
        world.publish()
        for topic in world.topics.values():
            topic.hide(chance.choice([0, 0, 1, 2]))
        yield


@settings(max_examples=examples(150))
@given(st.integers(0, 2**32), st.booleans())
def test_each_bar_of_the_day_comes_once_or_is_told_as_held_back(seed: int, over_http: bool) -> None:
    chance = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        values = config("AA", "BB", derived_intervals=["5m"], bars_topic=True, session_name="main")
        world = in_memory(patch, Desk(values, at("09:30")))
        steps = story(world, chance)

        def meanwhile() -> None:
            if chance.random() < 0.1:
                next(steps, None)

        http = HttpState(internal=True, connect=lambda: StateReads(world, meanwhile))
        strategy = Strategy(world, chance, http if over_http else BarsTopic())
        began = chance.randint(0, 12)
        for number, _ in enumerate(steps):
            if number >= began and chance.random() < 0.6:
                strategy.run()
        for topic in world.topics.values():
            topic.hide(0)
        strategy.finish()

    told = Counter(strategy.warm) + Counter(strategy.live)
    assert [version for version, count in told.items() if count > 1] == [], "a bar came twice"
    published = [outcome_of(one) for one in world.desk.outcomes if isinstance(one, PublishedBar)]
    assert [version for version in strategy.live if version not in published] == []

    newest: dict[tuple[str, int, str, int], int] = {}
    for one in world.desk.outcomes:
        if isinstance(one, PublishedBar | HeldBackBar):
            *key, revision = outcome_of(one)
            newest[tuple(key)] = revision  # type: ignore[index]
    there = {symbol: data.incarnation for symbol in SYMBOLS if (data := world.desk.session.symbol(symbol)) is not None}
    runs = {
        (data.symbol, run.interval): (run.first_start_us, run.last_end_us)
        for data in world.desk.session.state.symbols.values()
        for run in data.runs.rows()
    }
    for (symbol, incarnation, interval, start_us), revision in newest.items():
        if there.get(symbol) != incarnation or (symbol, incarnation, interval, start_us, revision) in told:
            continue
        extents = [
            (marker.extent.first_start_us, marker.extent.last_end_us)
            for marker in strategy.markers
            if marker.kind == "held_back" and (marker.symbol, marker.interval) == (symbol, interval) and marker.extent
        ]
        extents += [runs[symbol, interval]] if (symbol, interval) in runs else []
        assert any(first <= start_us < last for first, last in extents), f"{symbol} {interval} {start_us} revision {revision} got lost"
