"""Adding a symbol with a full day of one-minute bars behind it to a session that runs.

20 symbols stream, five bars a second each, and one symbol after another is added whose 390 bars are older than the threshold.
Delays go from the moment at which the command, or the others' bar, was handed to its producer, to the moment at which the
row that holds its effect reached a read_committed reader of the changelog. The gate is closed from `deactivated` to
`activated` on analysis, as a reader there meets them. What the others wait for is their slowest bar in the third of a second
after a command, beside their slowest in the next. Every bar that was sent must be in the state at the end.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Producer

from benchmarks.measure import Plan, Row, at_most
from benchmarks.stage import DAY_BARS, WAIT_SECONDS, Act, Reader, Stage, events_of, happens, played, stage, symbols_named
from streams.model.records import AnalysisKind, CommandKind, ControlCommand
from streams.model.rows import ProgressRow
from streams.times import SECOND_US, SystemClock
from streams.wire.codec import Codec

SYMBOLS = 20
PER_SECOND = 100.0
THRESHOLD_SECONDS = 10_000
FIRST_FRESH = 480
LAST = 640
ADDITIONS = 10
PAUSE_SECONDS = 0.7
WINDOW_US = SECOND_US // 3
WARM_SECONDS = 3.0

TO_STATE, CLOSED, OTHERS, OTHERS_ELSE = "command to its first bar in the state", "gate closed", "others' slowest bar", "the same else"


def rows(plan: Plan) -> list[Row]:
    """Milliseconds for the added symbol, for the gate, and for everybody else."""
    with stage(plan) as place:
        return played(
            "a symbol with a day of bars is added",
            plan,
            lambda: _add(place, 2 if plan.small else ADDITIONS),
            {TO_STATE: "ms", CLOSED: "ms", OTHERS: "ms", OTHERS_ELSE: "ms"},
            {TO_STATE: [at_most(50)], CLOSED: [at_most(150)]},
        )


def _add(place: Stage, additions: int) -> dict[str, float]:
    codec = Codec()
    others, added = symbols_named(SYMBOLS), symbols_named(additions, "NEW")
    with place.act(others, THRESHOLD_SECONDS) as act:
        act.make_topics(added)
        act.send(0, DAY_BARS, symbols=added)
        act.worker().wait_active()
        changelog, analysis = act.reader(act.changelog), act.reader(act.names.analysis)
        live = act.sender(FIRST_FRESH, LAST, per_second=PER_SECOND)
        live.begin()
        time.sleep(WARM_SECONDS)
        commands = _commands(act, added, codec)
        sent = live.stop()
        expected = {symbol: len(sent[place::SYMBOLS]) for place, symbol in enumerate(others)} | dict.fromkeys(added, DAY_BARS)
        if not happens(lambda: {symbol: steps[-1][1] for symbol, steps in _steps(changelog, codec).items()} == expected, pause_seconds=0.5):
            raise RuntimeError(f"not every bar came into the state within {WAIT_SECONDS:g} s")
        closed = _closed_ms(analysis, commands, codec)
        steps = _steps(changelog, codec)
    delays = _others(others, sent, steps)
    first_bars = [(next(at_us for at_us, offset in steps[symbol] if offset > 0) - at_us) / 1000 for symbol, at_us in commands.items()]
    return {
        TO_STATE: statistics.median(first_bars),
        CLOSED: statistics.median(closed),
        OTHERS: statistics.median(_slowest(delays, at_us, at_us + WINDOW_US) for at_us in commands.values()),
        OTHERS_ELSE: statistics.median(_slowest(delays, at_us + WINDOW_US, at_us + 2 * WINDOW_US) for at_us in commands.values()),
    }


def _commands(act: Act, symbols: Sequence[str], codec: Codec) -> dict[str, int]:
    """Add the symbols one after another; gives when each command was sent."""
    clock = SystemClock()
    producer = Producer({**act.settings.kafka(), "enable.idempotence": True, "linger.ms": 0})
    producer.list_topics(act.names.control, WAIT_SECONDS)
    commands = {}
    for symbol in symbols:
        commands[symbol] = clock.now_us()
        command = ControlCommand(id=symbol, kind=CommandKind.ADD_SYMBOL, symbol=symbol, sent_us=commands[symbol])
        producer.produce(act.names.control, codec.command_to_avro(command), symbol.encode(), 0)
        producer.flush(PAUSE_SECONDS)
        time.sleep(PAUSE_SECONDS)
    return commands


def _steps(changelog: Reader, codec: Codec) -> dict[str, list[tuple[int, int]]]:
    """For each symbol how far the state had read its topic, and when that was seen."""
    steps: dict[str, list[tuple[int, int]]] = {}
    for one in changelog.look():
        row = codec.row_from(one.value) if one.key.startswith(b"progress|") else None
        if isinstance(row, ProgressRow):
            steps.setdefault(row.symbol, []).append((one.at_us, row.offset))
    return steps


def _closed_ms(analysis: Reader, commands: Mapping[str, int], codec: Codec) -> list[float]:
    """For how long each addition closed the gate."""
    began = min(commands.values())
    marks = [
        (AnalysisKind(event.kind), one.at_us)
        for one, event in events_of(analysis.look(), codec)
        if event.kind in (AnalysisKind.ACTIVATED, AnalysisKind.DEACTIVATED) and one.at_us > began
    ]
    if [kind for kind, _ in marks] != [AnalysisKind.DEACTIVATED, AnalysisKind.ACTIVATED] * len(commands):
        raise RuntimeError(f"{len(commands)} additions closed and opened the gate thus: {[str(kind) for kind, _ in marks]}")
    return [(opened - closed) / 1000 for (_, closed), (_, opened) in zip(marks[::2], marks[1::2], strict=True)]


def _others(others: Sequence[str], sent: Sequence[int], steps: Mapping[str, Sequence[tuple[int, int]]]) -> list[tuple[int, float]]:
    """When each bar of the others was sent, and how long it took into the state."""
    delays = []
    for place, symbol in enumerate(others):
        left = iter(steps[symbol])
        at_us, offset = next(left)
        for number, sent_us in enumerate(sent[place :: len(others)]):
            while offset <= number:
                at_us, offset = next(left)
            delays.append((sent_us, (at_us - sent_us) / 1000))
    return delays


def _slowest(delays: Sequence[tuple[int, float]], from_us: int, to_us: int) -> float:
    return max(delay for sent_us, delay in delays if from_us <= sent_us < to_us)
