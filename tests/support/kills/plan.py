"""What a kill run will do, all of it worked out of a seed before anything starts.

    plan = made_plan(SHORT, seed)       # the same scale and seed make the same plan
    print(plan)

A plan holds choices only. What a strike then hits is up to the machine, so the run counts it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Target(StrEnum):
    """Which worker a strike is meant for."""

    ACTIVE = "the active worker"
    STANDBY = "the standby"
    BOTH = "both workers"


class Moment(StrEnum):
    """When a strike comes: its delay counts from here."""

    WORKING = "working"
    """The active worker commits, and the standby, where it is meant, follows."""
    STARTING = "starting"
    """What the strike before has ended was just started again, or is still down."""
    RECOVERING = "recovering"
    """Some worker says that it recovers."""


@dataclass(frozen=True)
class Strike:
    """One signal to one worker, or to two at once; `down_seconds` later they are started again."""

    signal: str
    target: Target
    moment: Moment
    delay_seconds: float
    down_seconds: float


@dataclass(frozen=True)
class Change:
    """A removal of a symbol when the feed has sent `at_bar` bars; `again` adds it in the same breath."""

    at_bar: int
    symbol: int
    immediate: bool
    again: bool
    over_http: bool


class Bystander(StrEnum):
    """Who is killed besides workers."""

    EXPORTER = "the exporter"
    CONSUMER = "the consumer"


@dataclass(frozen=True)
class Fall:
    """A kill of a bystander when the feed has sent `at_bar` bars; it is started again at once."""

    at_bar: int
    who: Bystander


class Flaw(StrEnum):
    """What is wrong with the feed of a symbol that has holes."""

    KNOWN = "bars that the feed lacks and the history source has"
    UNKNOWN = "bars that nobody has"
    LATE = "bars that come later than others"
    CORRECTED = "bars that come again with another content"


@dataclass(frozen=True)
class Stretch:
    """`seconds` bars of a symbol with holes, from second `first` of its feed on; `delay_seconds` is for those that come late or again."""

    symbol: int
    first: int
    seconds: int
    flaw: Flaw
    delay_seconds: int


@dataclass(frozen=True)
class Scale:
    """How much a kill run does. `moments` and `targets` say how many strikes in ten are of each kind; the rest is the first.

    `holed` symbols come on top of `symbols`: their feed runs for `holed_seconds` at most. `dynamic` symbols are removed and added,
    one of them has holes.
    """

    symbols: int
    holed: int
    holed_seconds: int
    dynamic: int
    bars_each: int
    bars_per_second: float
    threshold_seconds: int
    workers: int
    sigkills: int
    sigterms: int
    changes: int
    falls: int
    moments: tuple[tuple[Moment, int], ...]
    targets: tuple[tuple[Target, int], ...]

    @property
    def bars(self) -> int:
        """How many bars are fed at least."""
        return self.symbols * self.bars_each


SHORT = Scale(
    symbols=20,
    holed=3,
    holed_seconds=400,
    dynamic=5,
    bars_each=400,
    bars_per_second=450.0,
    threshold_seconds=300,
    workers=1,
    sigkills=3,
    sigterms=1,
    changes=40,
    falls=3,
    moments=((Moment.WORKING, 8), (Moment.STARTING, 1), (Moment.RECOVERING, 1)),
    targets=((Target.ACTIVE, 10),),
)
LONG = Scale(
    symbols=50,
    holed=6,
    holed_seconds=1800,
    dynamic=10,
    bars_each=2000,
    bars_per_second=300.0,
    threshold_seconds=1200,
    workers=2,
    sigkills=32,
    sigterms=21,
    changes=120,
    falls=20,
    moments=((Moment.WORKING, 8), (Moment.STARTING, 1), (Moment.RECOVERING, 1)),
    targets=((Target.ACTIVE, 6), (Target.STANDBY, 2), (Target.BOTH, 2)),
)

_LONGEST_DELAY = {Moment.WORKING: 2.0, Moment.STARTING: 2.5, Moment.RECOVERING: 0.3}
_STAYS_DOWN = 0.3
"""The share of strikes after which a worker stays down for longer than the group waits for it, so that a standby takes over."""


@dataclass(frozen=True)
class Plan:
    """All choices of a kill run."""

    seed: int
    scale: Scale
    strikes: tuple[Strike, ...]
    changes: tuple[Change, ...]
    falls: tuple[Fall, ...]
    stretches: tuple[Stretch, ...]

    @property
    def aimed(self) -> int:
        """How many strikes are meant for a worker at work."""
        return sum(strike.moment is Moment.WORKING and strike.target is not Target.STANDBY for strike in self.strikes)

    def __str__(self) -> str:
        strikes = [
            f"  {number}. {one.signal} to {one.target}, {one.moment} + {one.delay_seconds:.2f} s, down {one.down_seconds:.1f} s"
            for number, one in enumerate(self.strikes, start=1)
        ]
        changes = [
            f"{one.at_bar}: -{one.symbol}{'!' if one.immediate else ''}{f' +{one.symbol}' if one.again else ''}{'~' * one.over_http}"
            for one in self.changes
        ]
        falls = [f"{one.at_bar}: {one.who}" for one in self.falls]
        stretches = [f"{one.symbol}: {one.first}+{one.seconds} {one.flaw.name.lower()} {one.delay_seconds}" for one in self.stretches]
        return "\n".join(
            [
                f"plan of seed {self.seed}, {len(strikes)} strikes:",
                *strikes,
                f"{len(changes)} removals by bars sent (! at once, + again, ~ over HTTP):",
                *_in_lines(changes, 8),
                f"{len(falls)} kills of others by bars sent:",
                *_in_lines(falls, 6),
                f"{len(stretches)} flaws of feeds by symbol and seconds, the first of them:",
                *_in_lines(stretches[:24], 6),
            ]
        )


def made_plan(scale: Scale, seed: int) -> Plan:
    """The plan of a seed: kinds in fixed numbers, their order and everything else by chance."""
    chance = random.Random(f"{seed} {scale}")
    count = scale.sigkills + scale.sigterms
    signals = _shuffled(chance, ["SIGKILL"] * scale.sigkills + ["SIGTERM"] * scale.sigterms)
    moments = _shuffled(chance, _deck(scale.moments, count))
    targets = _shuffled(chance, _deck(scale.targets, count))
    strikes = []
    for signal, moment, target in zip(signals, moments, targets, strict=True):
        delay = chance.uniform(0.05, _LONGEST_DELAY[moment])
        down = chance.uniform(6.0, 9.0) if scale.workers > 1 and chance.random() < _STAYS_DOWN else 0.0
        strikes.append(Strike(signal, target, moment, round(delay, 3), round(down, 3)))
    changes = [
        Change(
            at_bar, chance.randrange(scale.dynamic), immediate=chance.random() < 0.5, again=chance.random() < 0.6,
            over_http=chance.random() < 0.3,
        )
        for at_bar in sorted(chance.sample(range(scale.bars // 50, scale.bars), scale.changes))
    ]  # fmt: skip
    places = sorted(chance.sample(range(scale.bars // 20, scale.bars), scale.falls * len(Bystander)))
    falls = [Fall(at_bar, who) for at_bar, who in zip(places, _shuffled(chance, [*Bystander] * scale.falls), strict=True)]
    stretches = [one for symbol in range(scale.holed) for one in _stretches(chance, symbol, scale.holed_seconds)]
    return Plan(seed, scale, tuple(strikes), tuple(changes), tuple(falls), tuple(stretches))


def _stretches(chance: random.Random, symbol: int, seconds: int) -> Iterator[Stretch]:
    """What is wrong with one feed, in order: never two of it at once, and each kind once before one comes again."""
    first, kinds = chance.randint(3, 8), list[Flaw]()
    while first < seconds:
        kinds = kinds or _shuffled(chance, list(Flaw))
        stretch = Stretch(symbol, first, chance.randint(1, 8), kinds.pop(), chance.randint(3, 30))
        yield stretch
        first += stretch.seconds + chance.randint(2, 8)


def _in_lines(words: Sequence[str], each: int) -> list[str]:
    return ["  " + "   ".join(words[place : place + each]) for place in range(0, len(words), each)]


def _deck(kinds: Sequence[tuple[T, int]], count: int) -> list[T]:
    """`count` cards, of each kind so many in ten, at least one."""
    rest = [kind for kind, in_ten in kinds[1:] for _ in range(max(1, count * in_ten // 10))]
    return [kinds[0][0]] * (count - len(rest)) + rest


def _shuffled(chance: random.Random, cards: list[T]) -> list[T]:
    chance.shuffle(cards)
    return cards
