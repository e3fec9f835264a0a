"""What comes onto the topics: bars of each symbol's timeline as time goes on, and what should not be there.

Prices and volumes are multiples of a quarter, so that sums are exact in whatever order they are made.
"""

from __future__ import annotations

from datetime import datetime, time, tzinfo
from random import Random

from msgspec.structs import replace

from streams.engine.loading import begin_input, in_words, judged, missing_input, stretches
from streams.engine.rules.past_days import wanted
from streams.model.inputs import JournalInput
from streams.model.records import Bar, Undecodable
from streams.times import DAY_US, SECOND_US, date_of_days, interval_us
from tests.support.simulation.books import BaseSlot, Day, Life, base_slots
from tests.support.simulation.model import POISON, SLOW_POISON
from tests.support.simulation.world import Feed, Topic, World

MOST_AT_ONCE = 25
"""So many bars come after a jump in time; those before were never there."""


def a_bar(symbol: str, interval: str, start_us: int, chance: Random) -> Bar:
    """A bar with some price and volume, and sometimes vwap and trades."""
    low = chance.randint(200, 400)
    high = low + chance.choice([0, 1, 1, 2, 3, 8])
    opened, closed = chance.randint(low, high) / 4, chance.randint(low, high) / 4
    known = chance.random()
    return Bar(
        symbol, interval, start_us, start_us + interval_us(interval), opened, high / 4, low / 4, closed,
        chance.choice([0.0, 0.25, 10.0, 10.0, 2500.75]),
        vwap=(low + high) / 8 if known < 0.8 else None, trades=chance.randint(0, 9) if known > 0.1 else None,
    )  # fmt: skip


def base_of(world: World, symbol: str) -> str:
    """The interval that comes on a symbol's topic."""
    life = world.model.lives.get(symbol)
    return world.scenario.base if life is None else life.base


def flow(world: World, symbol: str, chance: Random) -> None:
    """Write the bars that have come to be known by now."""
    feed, topic = world.feeds[symbol], world.topics[symbol]
    base = base_of(world, symbol)
    width_us = interval_us(base)
    until_us = world.now_us - feed.delay_us
    anchor = world.model.config.window_anchor
    if not world.days.is_even(width_us, anchor):
        for day, slot in world.days.slots_between(feed.next_start_us, until_us, width_us, anchor)[-MOST_AT_ONCE:]:
            feed.next_start_us = slot.end_us
            _send(feed, topic, _as_it_may_come(a_bar(symbol, base, slot.line_us, chance), day, slot, world.days.zone, chance), chance)
        return
    feed.next_start_us = max(feed.next_start_us, until_us - MOST_AT_ONCE * width_us)
    feed.next_start_us = -(-feed.next_start_us // width_us) * width_us
    while (start_us := feed.next_start_us) + width_us <= until_us:
        if world.days.holding(start_us) is None:
            feed.next_start_us = -(-world.days.next_open_us(start_us) // width_us) * width_us
            continue
        feed.next_start_us += width_us
        _send(feed, topic, a_bar(symbol, base, start_us, chance), chance)


def _send(feed: Feed, topic: Topic, bar: Bar, chance: Random) -> None:
    """A bar comes, twice, late or not at all."""
    fate = chance.random()
    if fate < 0.01:
        feed.outage = chance.randint(2, 6)
    if fate < 0.06 or feed.outage > 0:
        feed.outage -= 1
        feed.held_up = [*feed.held_up[-20:], bar]
        return
    if fate < 0.08:
        return
    topic.append(bar)
    feed.sent.append(bar)
    if fate > 0.97:
        topic.append(bar)
    if fate > 0.985:
        topic.end += chance.randint(1, 3)


def _as_it_may_come(bar: Bar, day: Day, slot: BaseSlot, zone: tzinfo, chance: Random) -> Bar:
    """A bar that its day cuts says so, or says what it would be without; a daily one may be stamped with its date's midnight."""
    start_us, width_us = slot.line_us, interval_us(bar.interval)
    if width_us >= DAY_US:
        midnight = datetime.combine(date_of_days(day.days), time(), zone)
        start_us = chance.choice([day.days * DAY_US, round(midnight.timestamp()) * SECOND_US, day.open_us])
    elif chance.random() < 0.3:
        return replace(bar, start_us=slot.start_us, end_us=slot.end_us)
    return replace(bar, start_us=start_us, end_us=chance.choice([start_us + width_us, slot.end_us]))


def oil_falls(world: World, symbol: str, chance: Random) -> None:
    """A bar comes whose prices are below zero, or whose low is zero, as a correction of one that came before or in its place."""
    sent = world.feeds[symbol].sent
    if sent:
        bar = sent[-1 - chance.randrange(min(len(sent), 3))]
        fall = bar.low if bar.low == int(bar.low) else 5000
        low, high = bar.low - fall, bar.high - fall
        below = replace(bar, open=bar.open - fall, high=high, low=low, close=bar.close - fall, vwap=None if bar.vwap is None else low)
        world.topics[symbol].append(below)


def early(world: World, symbol: str, chance: Random) -> None:
    """Versions of bars that have not ended yet come; now and then nothing else comes of a bar."""
    feed, base = world.feeds[symbol], base_of(world, symbol)
    width_us = interval_us(base)
    if world.days.is_even(width_us, world.model.config.window_anchor):
        first_us = world.now_us // width_us * width_us
        starts = [first_us + number * width_us for number in range(chance.choice([1, 1, 2]))]
    else:
        near = world.days.slots_between(world.now_us - 2 * DAY_US, world.now_us + DAY_US, width_us, world.model.config.window_anchor)
        starts = [slot.line_us for _, slot in near if slot.end_us > world.now_us][:1]
    for start_us in starts:
        for _ in range(chance.choice([1, 1, 2, 5])):
            provenance = chance.choice(["feed"] * 6 + ["gap_fill", SLOW_POISON])
            world.topics[symbol].append(replace(a_bar(symbol, base, start_us, chance), provenance=provenance))
        if chance.random() < 0.5:
            feed.next_start_us = max(feed.next_start_us, start_us + width_us)


def history(world: World, life: Life, chance: Random) -> list[JournalInput]:
    """What a shell hands over of the past days that a source has of a pending symbol: some bars of most days."""
    state, data = world.session.state, world.session.symbol(life.symbol)
    assert data is not None
    plan = wanted(state, data)
    inputs = [begin_input(plan)] if plan.intervals else []
    for interval in plan.intervals:
        for asked in stretches(plan, interval, state.calendar):
            answer = []
            for day in asked.days if chance.random() < 0.9 else ():
                slots = list(
                    base_slots(Day(day.days, day.segments, day.starts_us, world.days.zone), interval_us(interval), plan.anchor).values()
                )
                some = slots if len(slots) < 4 else chance.sample(slots, min(len(slots), chance.choice([0, 1, 7, 14])))
                answer += [a_bar(life.symbol, interval, slot.line_us, chance) for slot in some]
            found = judged(plan, asked, sorted(answer, key=lambda bar: bar.start_us), state.calendar, world.now_us)
            inputs += found.inputs
            if found.empty or found.faulty:
                reason = in_words(plan, interval, found.empty, found.faulty)
                inputs.append(missing_input(plan, interval, len(found.empty) + len(found.faulty), reason))
    return inputs


def late(world: World, symbol: str, chance: Random) -> None:
    """Bars that were held up come now."""
    feed = world.feeds[symbol]
    if chance.random() < 0.3:
        chance.shuffle(feed.held_up)
    some, feed.held_up = feed.held_up[-4:], feed.held_up[:-4]
    for bar in some:
        world.topics[symbol].append(replace(bar, provenance=chance.choice(["feed", "gap_fill"])))


def fill(world: World, life: Life, stretch: tuple[int, int], chance: Random) -> int:
    """Some of the bars of a stretch come from a source; how many."""
    if not world.days.is_even(life.base_us, life.anchor):
        return 0
    missing = [start for start in base_slots(life.day, life.base_us, life.anchor) if stretch[0] <= start < stretch[1]]
    some = [start for start in missing[:40] if chance.random() < 0.7]
    for start_us in some:
        world.topics[life.symbol].append(replace(a_bar(life.symbol, life.base, start_us, chance), provenance="gap_fill"))
    return len(some)


def correct(world: World, symbol: str, chance: Random) -> None:
    """Bars that came before come again, otherwise or not."""
    sent = world.feeds[symbol].sent
    if not sent:
        return
    for _ in range(chance.randint(1, 3)):
        newest = chance.random() < 0.6
        bar = sent[-1 - min(len(sent) - 1, int(chance.expovariate(0.3)))] if newest else chance.choice(sent)
        other = a_bar(symbol, bar.interval, bar.start_us, chance)
        provenance = chance.choice(["feed", "feed", "feed", "gap_fill", "vendor"])
        world.topics[symbol].append(replace(chance.choice([bar, other, other]), provenance=provenance))


def junk(world: World, symbol: str, chance: Random) -> None:
    """Records that are no bars of the session, and bars of other times."""
    base, topic = base_of(world, symbol), world.topics[symbol]
    width_us = interval_us(base)
    now_start_us = world.now_us // width_us * width_us
    bar = a_bar(symbol, base, now_start_us - width_us, chance)
    soon_us = now_start_us + chance.choice([0, 0, 0, 60, 86_400]) * SECOND_US // width_us * width_us
    long_ago_us = now_start_us - chance.randrange(1, 4 * DAY_US // width_us) * width_us
    kinds: list[Bar | Undecodable] = [
        Undecodable("no magic byte"),
        replace(bar, symbol="ZZ"),
        replace(bar, low=bar.high + 1),
        replace(bar, close=float("nan")),
        replace(bar, volume=-1.0, end_us=bar.end_us + 1),
        replace(bar, start_us=bar.start_us + SECOND_US, end_us=bar.end_us + SECOND_US),
        replace(bar, end_us=bar.end_us + width_us),
        a_bar(symbol, "45m", bar.start_us, chance),
        a_bar(symbol, base, soon_us, chance),
        a_bar(symbol, base, long_ago_us, chance),
    ]
    if chance.random() < 0.9:
        topic.append(chance.choice(kinds))
    else:
        for _ in range(chance.choice([1, 1, 2, 10])):
            topic.append(replace(bar, provenance=POISON))
