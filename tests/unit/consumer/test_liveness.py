"""Whether workers live, as a reader sees it by its own clock: against simulated sessions, and through a consumer on topics in memory."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from streams.config.settings import Settings
from streams.consumer import HEARTBEAT, NO_HEARTBEAT, BarsTopic, Position, SessionConsumer
from streams.consumer.liveness import Liveness
from streams.errors import OffsetGoneError
from streams.kafka.reader import BEGINNING, Record
from streams.times import ManualClock
from streams.wire.messages import AnalysisEvent
from tests.support.engine import Desk, at, bar, config, minutes
from tests.unit.consumer.test_consumer import CODEC, NAMES, World, in_memory

SETTINGS = Settings.load(session="main")
ALIVE, DEAD = True, False


# ------------------------------------------------------------------------------------------------------------ the rule


def record(offset: int, timestamp_ms: int) -> Record:
    return Record(offset, timestamp_ms, None, None)


@dataclass
class Session:
    """A topic that is written to once in a while, by a worker whose clock shows `skew` seconds more than the reader's."""

    written: list[float] = field(default_factory=list)
    skew: float = 0.0

    def read(self, liveness: Liveness, place: int, now: float, at_most: int = 1000) -> int:
        """Look at the topic, as far as it has been written by `now`; gives the place behind."""
        there = [number for number, when in enumerate(self.written) if when <= now and number >= place]
        taken = there[:at_most]
        after = taken[-1] + 1 if taken else place
        records = [record(number, round((self.written[number] + self.skew) * 1000)) for number in taken]
        liveness.read(after, now, records=records, at_end=len(taken) == len(there))
        return after


def test_three_seconds_after_the_last_record_an_open_gate_counts_as_shut() -> None:
    liveness = Liveness(3.0)
    liveness.begin(100, 9.8)
    liveness.gate = True
    liveness.read(101, 10.0, records=[record(100, 0)], at_end=True)
    for now, active in ((10.0, True), (13.0, True), (13.001, False), (500.0, False)):
        assert liveness.active(now) is active
    liveness.read(101, 500.0, records=[], at_end=True)
    assert liveness.active(500.0) is False, "looking is no sign of life"
    liveness.read(102, 501.0, records=[record(101, 491_000)], at_end=True)
    assert liveness.active(501.0) is True


def test_what_was_there_when_reading_began_is_no_sign_of_life() -> None:
    liveness = Liveness(3.0)
    liveness.begin(100, 0.0)
    liveness.gate = True
    liveness.read(60, 0.0, records=[record(59, 0)], at_end=False)
    assert liveness.active(0.0) is None
    assert liveness.active(60.0) is None, "a backlog takes as long as it takes"
    liveness.read(100, 60.0, records=[record(99, 0)], at_end=True)
    assert liveness.active(63.0) is None, "a worker that lives has a moment to say so"
    assert liveness.active(63.1) is False
    liveness.read(100, 63.8, records=[], at_end=True)
    liveness.read(101, 64.0, records=[record(100, 0)], at_end=True)
    assert liveness.active(64.0) is True


def test_a_shut_gate_is_shut_and_one_that_nobody_has_told_of_is_not_open() -> None:
    liveness = Liveness(3.0)
    liveness.begin(0, 0.0)
    liveness.read(0, 0.0, records=[], at_end=True)
    assert liveness.active(0.0) is None
    assert liveness.active(3.1) is False, "no heartbeat comes: it is shut, or nobody lives"
    liveness.gate = False
    liveness.read(1, 4.0, records=[record(0, 0)], at_end=True)
    assert liveness.active(4.0) is False
    assert liveness.turn(4.0) is None


def test_turned_off_the_gate_s_last_word_holds() -> None:
    liveness = Liveness(0.0)
    liveness.begin(0, 0.0)
    assert liveness.active(0.0) is None
    liveness.gate = True
    assert liveness.active(1e9) is True
    assert liveness.turn(1e9) is None


def test_records_that_waited_while_the_strategy_was_busy_are_as_old_as_they_are() -> None:
    worker = Session([float(second) for second in range(11)])  # it dies after the record of second 10
    liveness = Liveness(3.0)
    liveness.begin(0, 0.0)
    liveness.gate = True
    place = worker.read(liveness, 0, 0.0)
    # Busy for 60 s: ten records have waited, and the last of them is 50 s old.
    worker.read(liveness, place, 60.0)
    assert liveness.active(60.0) is False
    # Busy for 60 s with a session that lives: the last one is of now.
    other = Session([float(second) for second in range(61)])
    liveness = Liveness(3.0)
    liveness.begin(0, 0.0)
    liveness.gate = True
    place = other.read(liveness, 0, 0.0)
    other.read(liveness, place, 60.0)
    assert liveness.active(60.5) is True


def test_a_worker_with_another_clock_that_takes_over_is_heard_like_the_one_before() -> None:
    for skew in (-3600.0, -2.0, 2.0, 3600.0):
        liveness = Liveness(3.0)
        liveness.begin(0, 0.0)
        liveness.gate = True
        first, place = Session([0.0, 1.0, 2.0]), 0
        for tenth in range(30):
            place = first.read(liveness, place, tenth / 10)
        second = Session([*first.written, *(8.0 + beat for beat in range(60))], skew)
        states = []
        for tenth in range(30, 600):
            place = second.read(liveness, place, tenth / 10)
            states.append(liveness.active(tenth / 10))
        assert turns_of(states) == [True, False, True], f"a clock that is {skew} s off"


def turns_of(states: list[bool | None]) -> list[bool | None]:
    return [state for place, state in enumerate(states) if place == 0 or state is not states[place - 1]]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[float, float]], float]:
    """Spans in which workers live, with some in which they don't, and a clock's error."""
    spans, now = [], 0.0
    for _ in range(draw(st.integers(1, 4))):
        length = draw(st.floats(0.0, 20.0))
        spans.append((now, now + length))
        now += length + draw(st.floats(0.1, 20.0))
    return spans, draw(st.sampled_from([0.0, -3600.0, 7200.0]))


@given(history=histories(), gaps=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=7), looks=st.floats(0.05, 0.9))
@options(deadline=None, max_examples=150)
def test_a_reader_that_looks_is_right_whatever_dies_and_comes_back(
    history: tuple[list[tuple[float, float]], float], gaps: list[float], looks: float
) -> None:
    spans, skew = history
    written: list[float] = []
    for begin, end in spans:
        now, number = begin, 0
        while now <= end:
            written.append(now)
            now, number = now + gaps[number % len(gaps)], number + 1
    worker, liveness, place, now = Session(written, skew), Liveness(3.0), 0, 0.0
    liveness.begin(0, 0.0)
    liveness.gate = True
    turns: list[bool] = []
    while now < spans[-1][1] + 10:
        place = worker.read(liveness, place, now)
        last = max((when for when in written if when <= now), default=None)
        turn = liveness.turn(now)
        turns += [] if turn is None else [turn]
        if last is not None and now - last <= 3.0 - looks:
            assert liveness.active(now) is True, "nobody who lives is given up"
        if last is None or now - last > 3.0 + looks:
            assert liveness.active(now) is not True, "nobody who is dead is believed"
        assert (turns[-1] if turns else True) is (liveness.active(now) is not False), "what is told is what holds"
        now += looks
    assert turns == [place % 2 == 1 for place in range(len(turns))], "hands off and back on come by turns"


class Story(NamedTuple):
    """What happens: when each record was written and what its own time is, when each life of a worker began, and when a reader polls."""

    written: list[float]
    stamps: list[float]
    lives: list[float]
    polls: list[float]
    differ: float


@st.composite
def stories(draw: st.DrawFn, tolerance: float) -> Story:
    """Workers that commit at least once a second, die, and come back, and a reader that polls or is away. Their clocks differ.

    One worker after the other has a clock that is up to `tolerance` off; the reader's starts anywhere.
    """
    written, stamps, lives, now = list[float](), list[float](), list[float](), draw(st.floats(0.0, 5.0))
    skews = list[float]()
    for _ in range(draw(st.integers(1, 4))):
        skews.append(draw(st.floats(-tolerance, tolerance)))
        lives.append(now)
        gaps = draw(st.lists(st.floats(0.2, 1.0), min_size=1, max_size=5))
        ends = now + draw(st.floats(0.0, 15.0))
        while now <= ends:
            written.append(now)
            stamps.append(max([*stamps[-1:], now + skews[-1] + 1e6]))  # an engine's time never goes back
            now += gaps[len(written) % len(gaps)]
        now += draw(st.one_of(st.floats(0.0, 4.0), st.floats(0.0, 40.0)))
    polls, at = list[float](), 0.0
    while at < now + 6.0:
        pauses = st.one_of(st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.floats(1.0, 20.0))
        length, pause = draw(st.integers(1, 40)), draw(pauses)
        for _ in range(length if pause < 1.0 else 1):
            at += pause
            polls.append(at)
    return Story(written, stamps, lives, polls, max(skews) - min(skews))


def told(story: Story, at_most: int = 1000) -> Iterator[tuple[float, bool | None, bool]]:
    """After each poll, and as time passes until the next one: the time, what the reader says, and whether it is right after a poll."""
    liveness, place = Liveness(3.0), 0
    liveness.begin(0, 0.0)
    liveness.gate = True
    for now, until in pairwise([*story.polls, story.polls[-1] + 10.0]):
        while True:
            there = range(place, bisect_right(story.written, now))
            taken = there[:at_most]
            place += len(taken)
            records = [record(number, round(story.stamps[number] * 1000)) for number in taken]
            liveness.read(place, now, records=records, at_end=len(taken) == len(there))
            if len(taken) == len(there):
                break
        yield now, liveness.active(now), True
        for share in (0.3, 0.6, 0.99):
            yield now + (until - now) * share, liveness.active(now + (until - now) * share), False


@pytest.mark.parametrize("tolerance", [0.0, 5.0])
@given(data=st.data(), at_most=st.sampled_from([2, 1000]))
@options(deadline=None, max_examples=150)
def test_no_reader_believes_a_record_for_longer_than_the_timeout_however_late_it_finds_it(
    tolerance: float, data: st.DataObject, at_most: int
) -> None:
    story = data.draw(stories(tolerance))
    for now, active, _ in told(story, at_most):
        before = bisect_right(story.written, now)
        last = story.written[before - 1] if before else None
        # A poll of a reader that is not away is less than a second. Two workers' clocks only count where one took over from the other.
        if last is None or now - last > 3.0 + 1.0 + story.differ:
            assert active is not True, f"{last} at {now}"


@pytest.mark.parametrize("tolerance", [0.0, 5.0])
@given(data=st.data())
@options(deadline=None, max_examples=150)
def test_a_fresh_record_is_believed_at_the_poll_that_finds_it_and_after_a_takeover_with_another_clock_soon(
    tolerance: float, data: st.DataObject
) -> None:
    story = data.draw(stories(tolerance))
    before, found, life = 0.0, 0, 0.0
    for now, active, is_poll in told(story):
        if not is_poll:
            continue
        fresh = story.written[bisect_right(story.written, before) : bisect_right(story.written, now)]
        begun = max((begun for begun in story.lives if begun <= now), default=0.0)
        if now - before >= 1.0 or begun != life:
            found, life = 0, begun
        found += bool(fresh)
        before = now
        # Polls one after the other that found records of the worker that lives, since the reader was away or another one lived.
        if fresh and now - fresh[-1] <= 2.0 and found >= (3 if story.differ else 2):
            assert active is True, f"{fresh[-1]} at {now}"


def cut_off(liveness: Liveness, written: list[float], cut: tuple[float, float], until: float) -> list[tuple[float, bool | None]]:
    """What a reader says that polls all the time, while for a time nothing of the topic gets to it: its library shows the old end."""
    place, said = 0, list[tuple[float, bool | None]]()
    for tick in range(round(until * 10)):
        now = tick / 10
        there = [] if cut[0] <= now < cut[1] else [number for number, when in enumerate(written) if when <= now and number >= place]
        place = there[-1] + 1 if there else place
        liveness.read(place, now, records=[record(number, round(written[number] * 1000)) for number in there], at_end=True)
        said.append((now, liveness.active(now)))
    return said


def test_records_that_come_late_through_a_network_that_was_cut_off_are_as_old_as_they_are() -> None:
    for dies in (12.0, 20.0, 39.0, 100.0):
        liveness = Liveness(3.0)
        liveness.begin(0, 0.0)
        liveness.gate = True
        written = [0.05 + beat * 0.9 for beat in range(200) if beat * 0.9 < dies]
        for now, active in cut_off(liveness, written, (10.0, 40.0), 60.0):
            if now - max(when for when in [0.0, *written] if when <= now) > 3.2:
                assert active is not True, f"dead since {dies}, at {now}"
            if now >= 40.0 and dies == 100.0:
                assert active is True, f"at {now}"


def test_a_process_that_was_stopped_is_not_taken_in_by_the_end_that_its_library_had_seen_before() -> None:
    liveness = Liveness(3.0)
    liveness.begin(0, 0.0)
    liveness.gate = True
    written = [0.05 + beat * 0.9 for beat in range(23)]  # the last one at 19.85
    place = 0
    for tick in range(100):
        place = Session(written).read(liveness, place, tick / 10)
    # It stands still from 9.9 on. What its library had fetched by then comes first at 40, with the end of then, and the rest after it.
    liveness.read(place + 1, 40.0, records=[record(place, round(written[place] * 1000))], at_end=True)
    assert liveness.active(40.0) is False
    place = Session(written).read(liveness, place + 1, 40.1)
    assert place == 23
    assert liveness.active(40.1) is False
    for tick in range(402, 500):
        Session(written).read(liveness, place, tick / 10)
        assert liveness.active(tick / 10) is not True


def test_a_strategy_that_is_busy_for_seconds_with_each_event_sees_a_living_session_from_the_first_records_on() -> None:
    for busy in (1.5, 2.5, 5.0, 60.0):
        liveness = Liveness(3.0)
        liveness.begin(0, 0.0)
        liveness.gate = True
        written = [0.4 + beat * 0.9 for beat in range(1000)]
        worker, place, states = Session(written), 0, []
        for number in range(1, 10):
            place = worker.read(liveness, place, number * busy)
            states.append(liveness.active(number * busy))
        assert states == [True] * 9, f"busy for {busy} s"


def test_a_busy_strategy_sees_a_worker_that_took_over_with_another_clock_at_its_second_look() -> None:
    for skew in (-5.0, -3600.0, 5.0, 3600.0):
        liveness = Liveness(3.0)
        liveness.begin(0, 0.0)
        liveness.gate = True
        first, place = Session([0.4 + beat * 0.9 for beat in range(20)]), 0
        for number in range(1, 4):
            place = first.read(liveness, place, number * 6.0)
        second = Session([*first.written, *(24.5 + beat * 0.9 for beat in range(100))], skew)
        states = []
        for number in range(4, 12):
            place = second.read(liveness, place, number * 6.0)
            states.append(liveness.active(number * 6.0))
        assert states[0] is False, "nothing has come from the second yet"
        assert states[2:] == [True] * 6, f"a clock that is {skew} s off"


# -------------------------------------------------------------------------------------------------------- the consumer


class Room(World):
    """A session in memory, read by a consumer whose clock the test moves."""

    def consume(self, **more: object) -> SessionConsumer:
        return SessionConsumer(SETTINGS, clock=self.clock, codec=CODEC, **more)  # type: ignore[arg-type]

    def beat(self) -> None:
        """The worker sends a heartbeat."""
        transaction = self.desk.begin(self.desk.now_us)
        transaction.beat()
        self.desk.end(transaction)
        self.publish()

    def pass_time(self, consumer: SessionConsumer, seconds: float, *, alive: bool) -> list[AnalysisEvent]:
        """Time passes, with a heartbeat each second while the worker lives; what the consumer hands over meanwhile."""
        events: list[AnalysisEvent] = []
        for _ in range(round(seconds * 2)):
            self.clock.advance_seconds(0.5)
            self.desk.now_us += 500_000
            if alive and self.desk.now_us % 1_000_000 == 0:
                self.beat()
            events += drained(consumer)
        return events


def drained(consumer: SessionConsumer) -> Iterator[AnalysisEvent]:
    while True:
        event = consumer.poll()
        if event is not None:
            yield event
        elif consumer.at_end:
            return


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    made = Room(in_memory(monkeypatch, Desk(config("AA", bars_topic=True, session_name="main"), at("09:30"))).desk, clock=ManualClock())
    monkeypatch.setattr("streams.consumer.session.TopicReader", made.topics.reader)
    monkeypatch.setattr("streams.consumer.bars_topic.TopicReader", made.topics.reader)
    made.desk.load("AA")
    made.desk.flow(bar("AA", at("09:30")))
    made.publish()
    return made


def gates(events: list[AnalysisEvent]) -> list[tuple[str, str]]:
    return [(event.kind, event.gate.reason) for event in events if event.gate is not None]


def test_a_strategy_is_told_once_that_nobody_lives_and_once_that_somebody_does_again(room: Room) -> None:
    with room.consume() as consumer:
        assert room.pass_time(consumer, 5, alive=ALIVE) == [], "heartbeats are for the reader"
        assert (consumer.active, consumer.unknown) == (True, 0)
        position = consumer.position
        assert position is not None
        assert position.sequence == room.desk.session.state.sequence, "they count in the position"
        assert gates(room.pass_time(consumer, 60, alive=DEAD)) == [("deactivated", NO_HEARTBEAT)]
        assert consumer.active is False
        assert consumer.position == position, "what the reader says of itself is no record"
        assert gates(room.pass_time(consumer, 60, alive=ALIVE)) == [("activated", HEARTBEAT)]
        assert consumer.active is True


def test_the_event_says_what_a_record_would_and_is_json_as_one(room: Room) -> None:
    with room.consume() as consumer:
        room.pass_time(consumer, 2, alive=ALIVE)
        (event,) = room.pass_time(consumer, 5, alive=DEAD)
    assert event.gate is not None
    assert (event.epoch, event.sequence, event.session, event.gate.active) == (1, room.desk.session.state.sequence, "main", False)
    assert CODEC.analysis_from(CODEC.analysis_to(event)) == event


def test_a_standby_that_takes_over_within_the_time_is_not_noticed_and_one_that_needs_longer_once(room: Room) -> None:
    with room.consume() as consumer:
        room.pass_time(consumer, 3, alive=ALIVE)
        assert room.pass_time(consumer, 1.5, alive=DEAD) + room.pass_time(consumer, 3, alive=ALIVE) == []
        away = room.pass_time(consumer, 7, alive=DEAD)
        room.desk.restart(room.desk.now_us)
        room.publish()
        assert gates([*away, *room.pass_time(consumer, 5, alive=ALIVE)]) == [("deactivated", NO_HEARTBEAT), ("activated", HEARTBEAT)]


def test_a_record_about_the_gate_itself_needs_no_word_before_it(room: Room) -> None:
    with room.consume() as consumer:
        room.pass_time(consumer, 2, alive=ALIVE)
        room.pass_time(consumer, 5, alive=DEAD)
        room.desk.feed(bar("AA", at("09:32")), now_us=at("09:45"))
        room.publish()
        assert gates(list(drained(consumer))) == [("deactivated", "lagging")]
        assert gates(room.pass_time(consumer, 30, alive=ALIVE)) == [], "while the gate is shut no sign of life is awaited"
        room.desk.feed(*minutes("AA", at("09:33"), 12), now_us=at("09:45"))
        room.publish()
        kinds = [kind for kind, _ in gates(list(drained(consumer)))]
        assert kinds == ["activated"]
        assert consumer.active is True


def test_a_reader_that_starts_on_a_topic_of_dead_workers_never_says_that_they_are_active(room: Room) -> None:
    known: list[AnalysisEvent] = []
    starts: list[dict[str, object]] = [
        {"start": BEGINNING}, {"position": Position(1, 0, 0)}, {"warm_up": BarsTopic(), "history": known.append}, {},
    ]  # fmt: skip
    for start in starts:
        with room.consume(**start) as consumer:
            seen = [consumer.active]
            for _ in range(20):
                consumer.poll()
                seen.append(consumer.active)
                room.clock.advance_seconds(0.5)
            assert True not in seen
            assert seen[-1] is False


def test_a_strategy_that_is_busy_for_long_asks_in_between_and_is_told_the_truth(room: Room) -> None:
    with room.consume(fresh_only=False) as consumer:
        room.pass_time(consumer, 2, alive=ALIVE)
        room.desk.flow(*minutes("AA", at("09:31"), 3))
        room.publish()
        assert consumer.poll() is not None
        for _ in range(10):  # at work on that bar, for ten seconds
            room.clock.advance_seconds(1.0)
            room.desk.now_us += 1_000_000
            room.beat()
            assert consumer.active is True
        room.clock.advance_seconds(3.5)
        assert consumer.active is False
        kinds = [event.kind for event in drained(consumer)]
    assert kinds == ["deactivated", "bar", "bar"], "nothing was lost by asking, and the strategy knows before it acts"


def test_a_strategy_that_takes_long_for_each_event_is_not_told_of_silence_while_the_session_lives(room: Room) -> None:
    with room.consume(fresh_only=False) as consumer:
        room.pass_time(consumer, 2, alive=ALIVE)
        room.desk.flow(*minutes("AA", at("09:31"), 12))
        room.publish()
        kinds = []
        for _ in range(12):
            event = consumer.poll()
            assert event is not None
            kinds.append(event.kind)
            for _ in range(5):  # five seconds for each bar
                room.clock.advance_seconds(1.0)
                room.desk.now_us += 1_000_000
                room.beat()
        assert set(kinds) == {"bar"}


def test_another_thread_may_ask_while_the_strategy_waits(room: Room) -> None:
    with room.consume() as consumer:
        room.pass_time(consumer, 2, alive=ALIVE)
        room.clock.advance_seconds(10)
        seen: list[bool | None] = []
        with consumer._reading:  # as in a poll that waits for records
            thread = threading.Thread(target=lambda: seen.append(consumer.active))
            thread.start()
            thread.join(10)
        assert seen == [False]


def test_what_goes_wrong_when_a_thread_asks_is_raised_by_the_next_poll(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with room.consume() as consumer:
        room.pass_time(consumer, 2, alive=ALIVE)
        room.clock.advance_seconds(10)

        def gone(timeout_seconds: float) -> list[object]:
            raise OffsetGoneError("it is gone")

        with monkeypatch.context() as patch:
            patch.setattr(consumer._reader, "read", gone)
            assert consumer.active is False
        with pytest.raises(Exception, match="it is gone"):
            consumer.poll()


def test_a_gate_that_only_a_heartbeat_tells_of_is_open(room: Room) -> None:
    with room.consume() as consumer:
        assert (consumer.poll(), consumer.active) == (None, None), "nothing has told"
        room.beat()
        assert (consumer.poll(), consumer.active) == (None, True)
    with room.consume(warm_up=BarsTopic(), history=lambda event: None) as consumer:
        consumer.poll()
        room.beat()
        consumer.poll()
        assert consumer.active is True
    assert CODEC.analysis_from(room.topics[NAMES.analysis].records[-1].value).kind == "heartbeat"
