"""What happens at a step: chosen from the seed and the step's number alone, and done as far as things allow it.

So a run is repeated by its seed, and a run with some steps or symbols left out still makes sense, which is how a failure is
made smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from streams.config.session import SessionConfig
from streams.model.inputs import InputKind, JournalInput
from streams.times import DAY_US, HOUR_US, MINUTE_US, SECOND_US, interval_us
from tests.support.simulation import bars, extrabook
from tests.support.simulation.books import Life
from tests.support.simulation.calendarbook import changed_days
from tests.support.simulation.scenario import reconfigured
from tests.support.simulation.world import OWNER, Part, World

Act = Callable[[World, Random], list[Part]]


def live(world: World, chance: Random) -> list[Part]:
    """Time goes on, bars come and are read, as on most days."""
    width_us = interval_us(world.scenario.base)
    fate = chance.random()
    if width_us >= DAY_US:
        # On to the next close, mostly: that is when the day's bar is known.
        world.now_us = world.days.unfinished(world.now_us).close_us if fate < 0.8 else world.now_us + chance.randint(1, 12) * HOUR_US
        world.now_us += chance.choice([0, 0, 1, 5, 500]) * SECOND_US
    elif fate < 0.3 and world.days.holding(world.now_us) is None and world.days.holding(world.now_us - 10 * MINUTE_US) is None:
        world.now_us = max(world.now_us, world.days.next_open_us(world.now_us) - width_us)
    if width_us >= DAY_US:
        pass
    elif fate < 0.04:
        world.now_us += width_us * chance.choice([2, 5])
    elif fate < 0.1:
        world.now_us += width_us // 3
    else:
        # Just after the next bars have ended, as far as they are on time.
        world.now_us += width_us - world.now_us % width_us + chance.choice([0, 0, 0, 1, 2, 5]) * SECOND_US // 2
    for symbol in world.scenario.symbols:
        bars.flow(world, symbol, Random(f"{chance.random()} {symbol}"))
    extrabook.flow(world, Random(f"{chance.random()} extras"))
    return read(world, chance)


def read(world: World, chance: Random) -> list[Part]:
    """What is unread is read, as much of it as comes in a batch."""
    lives = [life for life in world.model.lives.values() if life.is_read]
    if chance.random() < 0.05:
        lives = [life for life in lives if chance.random() < 0.5]
    count = chance.choice([1, 4]) if chance.random() < 0.04 else 60
    ranges = [found for life in lives if (found := world.range_of(life, count)) is not None]
    ranges_of_all = [*ranges, *(one for life in lives for one in world.extra_ranges(life, count))]
    parts: list[Part] = [ranges_of_all] if ranges_of_all else []
    if chance.random() < 0.9:
        ends = {read.symbol: read.next_offset for read in ranges}
        for life in lives:
            reached = ends.get(life.symbol, life.offset) >= world.captured.get((life.symbol, life.incarnation), 0)
            if life.backlog and reached:
                parts.append(world.about(InputKind.CAUGHT_UP, life))
    return parts


def early(world: World, chance: Random) -> list[Part]:
    """Bars come a little before their end, from a feed whose clock is ahead or which sends what is still forming."""
    width_us = interval_us(world.scenario.base)
    end_us = world.now_us - world.now_us % width_us + width_us
    anchor = world.model.config.window_anchor
    if not world.days.is_even(width_us, anchor):
        near = world.days.slots_between(world.now_us - 2 * DAY_US, world.now_us + 4 * DAY_US, width_us, anchor)
        end_us = min((slot.end_us for _, slot in near if slot.end_us > world.now_us), default=end_us)
    world.now_us = max(world.now_us, end_us - chance.choice([1, 1, 8, 10, 11, 70]) * SECOND_US // 2)
    for symbol in world.scenario.symbols:
        if chance.random() < 0.6:
            bars.early(world, symbol, chance)
        if chance.random() < 0.15:
            bars.oil_falls(world, symbol, chance)
    return read(world, chance)


def noise(what: Callable[[World, str, Random], None]) -> Act:
    """Something else comes on a topic, and is read with the rest."""

    def act(world: World, chance: Random) -> list[Part]:
        what(world, chance.choice(world.scenario.symbols), chance)
        world.now_us += chance.choice([0, 1, 5, 20]) * SECOND_US
        return read(world, chance)

    return act


def delay(world: World, chance: Random) -> list[Part]:
    """A feed becomes slower, or as fast as it was."""
    feed = world.feeds[chance.choice(world.scenario.symbols)]
    feed.delay_us = 0 if feed.delay_us else chance.choice([1, 10, 25, 59, 61, 95, 600]) * SECOND_US
    return []


def wait(world: World, chance: Random) -> list[Part]:
    """Time passes, and nothing comes."""
    world.now_us += chance.choice([1, 5, 29, 60, 61, 91, 301, 901, 1500]) * SECOND_US
    return []


def back(world: World, chance: Random) -> list[Part]:
    """The clock is set back: the engine's time stands still."""
    world.now_us -= chance.choice([1, 30]) * SECOND_US
    return []


def night(world: World, chance: Random) -> list[Part]:
    """On to the next open or close of the market, or a day on, and a little before or after."""
    close_us = world.days.unfinished(world.now_us).close_us
    target_us = chance.choice([world.days.next_open_us(world.now_us), close_us, close_us, world.now_us + DAY_US // 2])
    if target_us - world.now_us > 40 * MINUTE_US or chance.random() < 0.2:
        world.now_us = max(world.now_us, target_us + chance.choice([-60, -1, 0, 1, 30, 61, 400]) * SECOND_US)
    return read(world, chance)


def quiet(world: World, chance: Random) -> list[Part]:
    """The shell has found symbols without anything unread to be quiet, or thinks so too late."""
    found = [life for life in world.model.lives.values() if world.model.is_quiet(life, world.now_us) or chance.random() < 0.1]
    return [world.about(InputKind.SILENT, life) for life in found]


def caught_up(world: World, chance: Random) -> list[Part]:
    """The shell says that a captured end is reached."""
    return [world.about(InputKind.CAUGHT_UP, life) for life in _some(world, chance)]


def load(world: World, chance: Random) -> list[Part]:
    """What is pending gets its start, or a reason why not."""
    pending = [life for life in world.model.lives.values() if life.status == "pending"]
    parts = history(world, chance) if chance.random() < 0.5 else []
    for life in pending:
        if chance.random() < 0.06:
            parts.append(world.about(InputKind.LOAD_FAILED, life, reason="its topic can't be read"))
            continue
        topic = world.topics[life.symbol]
        recent = len(topic.offsets) - chance.choice([0, 0, 3, 20, 60])
        first = topic.offsets[max(0, recent)] if topic.offsets and recent < len(topic.offsets) else topic.end
        world.captured[life.symbol, life.incarnation] = topic.end
        parts += extrabook.locate(world, life)
        parts.append(
            world.about(
                InputKind.LOADED, life, topic_id=f"topic-{topic.number}", first_offset=first, end_offset=topic.end,
                trading_days=chance.choice([None, None, None, world.model.days, world.model.days - 1]),
            )
        )  # fmt: skip
    return parts


def history(world: World, chance: Random) -> list[Part]:
    """Past days of what is pending come in, all at once or in portions; now and then from the beginning."""
    parts: list[Part] = []
    for life in [life for life in world.model.lives.values() if life.status == "pending"]:
        key = (life.symbol, life.incarnation)
        left = world.histories.get(key)
        if not left or chance.random() < 0.2:
            left = bars.history(world, life, chance)
        count = len(left) if chance.random() < 0.6 else chance.randint(0, len(left))
        parts += left[:count]
        world.histories[key] = left[count:]
    return parts


def add(world: World, chance: Random) -> list[Part]:
    """A symbol is added, with streams of its own now and then."""
    absent = [symbol for symbol in world.scenario.symbols if symbol not in world.model.lives]
    symbol = chance.choice(absent if absent and chance.random() < 0.9 else world.scenario.symbols)
    base = world.scenario.base
    longer = chance.choice([name for name in ("5m", "10m", "15m", "1h", "4h") if interval_us(name) > interval_us(base)] or [base])
    streams = chance.choice([(), (), (), (base, longer), (longer, base)] if longer != base else [(), (base,)])
    streams += Random(f"{symbol} {world.now_us}").choice([(), (), ("quotes",), ("quotes", "ticks")])
    start_us = chance.choice([None, None, None, world.now_us - 2 * DAY_US, world.now_us])
    return [world.command(chance, "add_symbol", symbol, streams=streams, start_us=start_us), *(load(world, chance))]


def remove(world: World, chance: Random) -> list[Part]:
    """A symbol is removed: at once, or when it is drained; some are added again at once."""
    symbol = chance.choice(world.scenario.symbols)
    plan = (world.topics[symbol].end, world.now_us + chance.choice([1, 30, 120]) * SECOND_US)
    immediate = chance.random() < 0.4
    parts: list[Part] = [world.command(chance, "remove_symbol", symbol, None if immediate else plan, immediate=immediate)]
    if chance.random() < 0.3:
        world.model.control_offset += 1
        parts.append(world.command(chance, "add_symbol", symbol))
        world.model.control_offset -= 1
    return parts


def export(world: World, chance: Random) -> list[Part]:
    """An export is begun, or ended, or both; now and then one that is over, or was never begun."""
    symbol = chance.choice(world.scenario.symbols)
    life = world.model.lives.get(symbol)
    number = 1 if life is None or life.exported is None else life.exported.number
    parts: list[Part] = []
    fate = chance.random()
    if fate < 0.7:
        parts.append(world.command(chance, "begin_export", symbol))
    if fate > 0.3:
        world.model.control_offset += len(parts)
        parts.append(world.command(chance, "end_export", symbol, export_number=number + chance.choice([0, 0, 0, len(parts), 1, -1])))
        world.model.control_offset -= len(parts) - 1
    return parts


def ask(world: World, chance: Random) -> list[Part]:
    """A history source was asked for what is missing, or for some stretch, and gave all, some, nothing, or failed."""
    parts: list[Part] = []
    for life in _some(world, chance):
        due = world.model.due(life)
        day = life.day
        start_us = day.open_us + chance.randrange(-HOUR_US, max(HOUR_US, day.close_us - day.open_us), 15 * SECOND_US)
        end_us = start_us + chance.choice([1, 5, 60]) * MINUTE_US
        if due and chance.random() < 0.85:
            start_us, end_us = chance.choice(due)[:2]
        count, reason = chance.choice([(0, None), (0, None), (0, "HTTP 503"), (1, None), (7, None)])
        given = bars.fill(world, life, (start_us, end_us), chance) if count else 0
        parts.append(world.about(InputKind.GAP_ASKED, life, start_us=start_us, end_us=end_us, count=given or count, reason=reason))
    return parts


def odd_command(world: World, chance: Random) -> list[Part]:
    """A command that was sent before, one that nobody knows, one for an impossible symbol, or no command at all."""
    match chance.randrange(4):
        case 0 if world.commands:
            return [world.sent(chance.choice(world.commands[-30:]))]
        case 1:
            return [world.command(chance, "explode", "AA")]
        case 2:
            return [world.command(chance, "add_symbol", chance.choice(["", "A B", "A|B", "x" * 65]))]
    offset = world.model.control_offset
    answer_to = chance.choice([None, f"broken-{offset}"])
    return [JournalInput(InputKind.CONTROL_SKIPPED, first_offset=offset, next_offset=offset + 1, reason="no JSON", text=answer_to)]


def fail(world: World, chance: Random) -> list[Part]:
    """A symbol can't go on."""
    return [world.about(InputKind.LOAD_FAILED, life, reason="its topic was deleted") for life in _some(world, chance)]


def lose(world: World, chance: Random) -> list[Part]:
    """A topic is made anew: what was on it is not there any more."""
    parts: list[Part] = []
    for life in _some(world, chance):
        if life.is_read:
            world.lose_topic(life.symbol)
            world.captured[life.symbol, life.incarnation] = 0
            topic = world.topics[life.symbol]
            parts.append(
                world.about(InputKind.SOURCE_LOST, life, topic_id=f"topic-{topic.number}", first_offset=0, reason="it was re-created")
            )  # fmt: skip
    return parts


def locate_streams(world: World, chance: Random) -> list[Part]:
    """Topics of quotes and ticks that are not read are found."""
    return [part for life in _some(world, chance) for part in extrabook.locate(world, life)]


def lose_stream(world: World, chance: Random) -> list[Part]:
    """A topic of quotes or ticks is lost."""
    return [part for life in _some(world, chance) for part in extrabook.lose(world, life, chance)]


def rewind(world: World, chance: Random) -> list[Part]:
    """A batch was lost on its way: reading begins anew from the positions."""
    world.capture_ends()
    return [JournalInput(InputKind.REWOUND)]


def judge_clock(world: World, chance: Random) -> list[Part]:
    """The worker's clock is found to be wrong, or right again: then reading begins anew from the positions."""
    if world.model.clock_reason is None:
        behind_us = chance.choice([120, -400, 6]) * SECOND_US
        return [JournalInput(InputKind.CLOCK, reason="off", start_us=world.now_us, end_us=world.now_us + behind_us)]
    world.now_us += chance.choice([0, 0, 120, 400, 3600]) * SECOND_US  # it is set over the time that it was behind
    world.capture_ends()
    return [JournalInput(InputKind.CLOCK)]


def restart(world: World, chance: Random) -> list[Part]:
    """The worker ends; another one goes on from the rows, soon or not."""
    world.restart()
    world.now_us += chance.choice([0, 2, 7, 7, 61, 400, 3600]) * SECOND_US
    world.capture_ends()
    return [JournalInput(InputKind.RESUMED, reason=OWNER)]


def configure(world: World, chance: Random) -> list[Part]:
    """The worker is started again with another config, or with the one from before."""
    other = reconfigured(world.values, world.scenario.symbols, chance)
    world.values = other
    return [*restart(world, chance), JournalInput(InputKind.CONFIGURED, text=SessionConfig.from_dict(other).to_json())]


def other_intervals(world: World, chance: Random) -> list[Part]:
    """The worker is started again with other derived intervals, often those from before, and nothing else changed."""
    data = world.values["session_data_config"]
    others = reconfigured(world.values, world.scenario.symbols, chance)["session_data_config"]["derived_intervals"]
    others, world.other_intervals = world.other_intervals if chance.random() < 0.6 else others, data["derived_intervals"]
    world.values = {**world.values, "session_data_config": {**data, "derived_intervals": others}}
    return [*restart(world, chance), JournalInput(InputKind.CONFIGURED, text=SessionConfig.from_dict(world.values).to_json())]


def twin(world: World, chance: Random) -> list[Part]:
    """A twin is restored from the rows beside the session, or let go."""
    world.twin = world.restored() if world.twin is None or chance.random() < 0.5 else None
    return read(world, chance)


def _some(world: World, chance: Random) -> list[Life]:
    lives = list(world.model.lives.values())
    return [chance.choice(lives)] if lives else []


ACTIONS: dict[str, tuple[Act, float]] = {
    "live": (live, 64), "read": (read, 3), "late": (noise(bars.late), 4), "correct": (noise(bars.correct), 5),
    "junk": (noise(bars.junk), 5), "delay": (delay, 2), "wait": (wait, 2), "back": (back, 0.5), "night": (night, 4),
    "quiet": (quiet, 6), "caught_up": (caught_up, 1.5), "load": (load, 12), "add": (add, 2.5),
    "remove": (remove, 1.2), "history": (history, 6),
    "export": (export, 4),
    "locate_streams": (locate_streams, 2), "lose_stream": (lose_stream, 0.6),
    "odd_command": (odd_command, 1), "fail": (fail, 0.3), "lose": (lose, 0.4), "rewind": (rewind, 0.7), "restart": (restart, 1.6),
    "configure": (configure, 0.5), "other_intervals": (other_intervals, 1.2), "twin": (twin, 1.2),
}  # fmt: skip
FIRST_OF_TRANSACTION = {"restart", "configure", "other_intervals"}
_NAMES = list(ACTIONS)
_WEIGHTS = [weight for _, weight in ACTIONS.values()]
_CALM_WEIGHTS = [
    weight * {"live": 1, "late": 0.7, "other_intervals": 0.7, "restart": 0.7}.get(name, 0.25) for name, (_, weight) in ACTIONS.items()
]


def step(world: World, seed: int, number: int) -> str:
    """Do one step; its name is given back."""
    beside = Random(f"early {seed} {number}")
    if beside.random() < 0.15 and number:
        # Beside what is chosen, in transactions of their own, so that what else a seed stands for is as it was.
        for _ in range(beside.choice([1, 1, 2])):
            world.transact(early(world, beside))
    chance = Random(seed * 1_000_003 + number)
    name = "load" if number == 0 else chance.choices(_NAMES, _CALM_WEIGHTS if seed % 3 else _WEIGHTS)[0]
    parts = ACTIONS[name][0](world, chance)
    if chance.random() < 0.08:
        also = chance.choice([one for one in _NAMES if one not in FIRST_OF_TRANSACTION and one != "twin" and "command" not in one])
        if also not in ("add", "remove", "export"):
            parts += ACTIONS[also][0](world, chance)
            name += "+" + also
    aside = Random(f"ask {seed} {number}")
    if aside.random() < 0.1:
        # Beside what is chosen, so that what else a seed stands for is as it was.
        parts += ask(world, aside)
        name += "+ask"
    aside = Random(f"warn {seed} {number}")
    if aside.random() < 0.005:
        parts += [world.about(InputKind.SOURCE_WARNED, life, reason="compact", text="compact") for life in _some(world, aside)]
        name += "+warn"
    aside = Random(f"check {seed} {number}")
    if aside.random() < 0.01:
        since_us = aside.choice([None, world.now_us - aside.randint(0, 90) * SECOND_US])
        parts.append(JournalInput(InputKind.TOPICS_CHECKED, start_us=since_us, reason=None if since_us is None else "nobody answers"))
        name += "+check"
    aside = Random(f"days {seed} {number}")
    if aside.random() < 0.003:
        parts.append(changed_days(world.model.config, world.now_us, aside))
        name += "+days"
    aside = Random(f"clock {seed} {number}")
    if aside.random() < (0.004 if world.model.clock_reason is None else 0.15):
        # A clock that is right again is known before time goes on, as a worker that takes over is.
        place = 1 if parts and isinstance(parts[0], JournalInput) and parts[0].kind is InputKind.RESUMED else 0
        parts[place:place] = judge_clock(world, aside)
        name += "+clock"
    if Random(f"beat {seed} {number}").random() < 0.15:
        parts.append(JournalInput(InputKind.HEARTBEAT))  # whatever else the transaction told, and whether the gate is open or not
        name += "+beat"
    world.transact(parts)
    world.days = world.model.calendar
    return name
