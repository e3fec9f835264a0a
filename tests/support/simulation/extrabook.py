"""Quotes and ticks by the rules: all that were taken in are kept, and what a row should say is counted from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from streams.config.session import SessionConfig
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import EXTRA_STREAMS, QUOTES, Quote, Tick, Undecodable
from streams.model.rows import Row, StreamRow
from streams.model.transactions import RangeRead
from streams.times import DAY_US, SECOND_US
from tests.support.simulation.books import Day, Violation

if TYPE_CHECKING:
    from tests.support.simulation.books import Life
    from tests.support.simulation.model import Model
    from tests.support.simulation.world import Part, World


@dataclass
class Extra:
    """One stream of a life: `taken` are the trading days and records that came in hours, in their order."""

    topic_id: str = ""
    offset: int = 0
    reason: str | None = None
    taken: list[tuple[int, Quote | Tick]] = field(default_factory=list)
    out_of_hours: int = 0
    rejected: int = 0
    updated_us: int = -1

    @property
    def is_read(self) -> bool:
        return self.topic_id != "" and self.reason is None

    def days(self, day: Day) -> int:
        """The day that is counted: the symbol's, or that of the newest record."""
        return max([day.days, *(days for days, _ in self.taken)])


def begun(streams: Sequence[str]) -> dict[str, Extra]:
    """The streams of a new life."""
    return {stream: Extra() for stream in EXTRA_STREAMS if stream in streams}


def configured(life: Life, old: SessionConfig, config: SessionConfig) -> None:
    """A changed config adds streams and drops others."""
    if old.extra_streams != config.extra_streams:
        dropped = set(old.extra_streams) - set(config.extra_streams)
        wanted = ({*life.extras, *config.extra_streams}) - dropped
        life.extras = {stream: life.extras.get(stream, Extra()) for stream in EXTRA_STREAMS if stream in wanted}


def applies(life: Life, given: JournalInput) -> bool:
    """Whether what was found out about a stream is about one that is there, and news."""
    extra = life.extras.get(given.stream or "")
    if extra is None:
        return False
    if given.kind is InputKind.STREAM_LOCATED:
        return life.status == "pending" or (life.is_read and not extra.is_read)
    return life.is_read and (bool(given.topic_id) or extra.reason != given.reason)


def about(life: Life, given: JournalInput) -> None:
    """A stream's topic was found, or lost."""
    extra = life.extras[given.stream or ""]
    if given.topic_id:
        extra.topic_id, extra.offset, extra.reason = given.topic_id, given.first_offset or 0, None
    else:
        extra.reason = given.reason


def read(model: Model, range_read: RangeRead) -> None:
    """Receive a range; of a life that went with the bars before it none is."""
    life = model.lives.get(range_read.symbol)
    if life is None or life.incarnation != range_read.incarnation or not life.is_read:
        return
    extra = life.extras[range_read.stream or ""]
    for offset, record in zip(range_read.offsets, range_read.records, strict=True):
        code = _fault(model, life, range_read.stream or "", record)
        if code is not None:
            extra.rejected += 1
            model.letters.append((life.symbol, offset, code))
            continue
        assert isinstance(record, Quote | Tick)
        day = model.calendar.holding(record.time_us)
        if day is None:
            extra.out_of_hours += 1
            continue
        if day.days >= extra.days(life.day):
            extra.updated_us = model.now_us
        extra.taken.append((day.days, record))
    extra.offset = range_read.next_offset


def _fault(model: Model, life: Life, stream: str, record: object) -> str | None:
    if isinstance(record, Undecodable):
        return "undecodable"
    if type(record) is not (Quote if stream == QUOTES else Tick) or record.symbol != life.symbol:
        return "wrong_symbol"
    prices = [one for one in (record.bid, record.ask) if one is not None] if isinstance(record, Quote) else [record.price]
    lowest = -1e99 if model.may_be_negative(life.symbol) else 0
    if not prices or not all(lowest < price < 1e99 for price in prices):
        return "bad_prices"
    latest_us = model.now_us + round(model.config.session_data_config.future_tolerance_seconds * SECOND_US)
    return "future" if record.time_us > latest_us else None


def check(life: Life, rows: Mapping[str, Row]) -> None:
    """Hold the rows of a life's streams against what was taken in.

    Raises:
        Violation: they say something else.
    """
    for stream in EXTRA_STREAMS:
        row, extra = rows.get(f"{stream}|{life.symbol}"), life.extras.get(stream)
        if extra is None or not isinstance(row, StreamRow):
            if extra is not None or row is not None:
                raise Violation("a symbol has a row of each of its streams, and no other", f"{stream} of {life.symbol}: {row}")
            continue
        days = extra.days(life.day)
        today = [record for of, record in extra.taken if of == days]
        latest = max(enumerate(today), key=lambda one: (one[1].time_us, one[0]), default=(0, None))[1]
        kept = row.quote or row.tick
        found = (
            row.incarnation, row.topic_id, row.offset, row.reason, row.trading_days, row.count, row.total, row.out_of_hours,
            row.rejected, row.updated, row.last_update_us, None if kept is None else (kept.time_us, kept.provenance),
        )  # fmt: skip
        expected = (
            life.incarnation, extra.topic_id, extra.offset, extra.reason, days, len(today), len(extra.taken), extra.out_of_hours,
            extra.rejected, bool(today), extra.updated_us, None if latest is None else (latest.time_us, latest.provenance),
        )  # fmt: skip
        if found != expected:
            raise Violation(
                "the latest quote and tick are kept, and each is counted", f"{stream} of {life.symbol}: {found}, not {expected}"
            )


# What happens


def flow(world: World, chance: Random) -> None:
    """Some quotes and ticks are written: most of now, some late, of another day, bad, or none at all."""
    for symbol in world.scenario.symbols:
        for stream in EXTRA_STREAMS:
            for _ in range(chance.choice([0, 0, 0, 1, 2, 9])):
                late = chance.choice([0, 0, 0, 1, 60, 4000, DAY_US // SECOND_US, -1, -3600])
                time_us = world.now_us - late * SECOND_US
                price = chance.choice([100.0, 100.25, 99.5, 100.0, 0.0, float("nan")]) if chance.random() < 0.2 else 100.0
                name, mark = symbol if chance.random() < 0.97 else "ZZ", str(chance.randrange(1000))
                made: Quote | Tick | Undecodable = Quote(name, time_us, price, None, 1.0, None, mark)
                if (stream != QUOTES) != (chance.random() < 0.03):
                    made = Tick(name, time_us, price, 1.0, mark)
                world.extra_topics[symbol, stream].append(Undecodable("?") if chance.random() < 0.02 else made)


def locate(world: World, life: Life) -> list[Part]:
    """Where the streams of a life begin: those that are not read yet, or no longer."""
    found: list[Part] = []
    for stream, extra in life.extras.items():
        if life.status == "pending" or not extra.is_read:
            topic = world.extra_topics[life.symbol, stream]
            topic_id = f"extra-{topic.number}"
            first = extra.offset if extra.topic_id == topic_id else max(0, topic.end - 20)
            found.append(world.about(InputKind.STREAM_LOCATED, life, stream=stream, topic_id=topic_id, first_offset=first))
    return found


def lose(world: World, life: Life, chance: Random) -> list[Part]:
    """The topic of a stream may not be read for a while, or was created again."""
    if not life.extras or not life.is_read:
        return []
    stream = chance.choice(list(life.extras))
    if chance.random() < 0.5:
        return [world.about(InputKind.SOURCE_LOST, life, stream=stream, reason="it may not be read")]
    world.lose_extra_topic(life.symbol, stream)
    topic_id = f"extra-{world.extra_topics[life.symbol, stream].number}"
    return [world.about(InputKind.SOURCE_LOST, life, stream=stream, topic_id=topic_id, first_offset=0, reason="it was re-created")]
