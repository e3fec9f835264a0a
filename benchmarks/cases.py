"""One case, measured in a process of its own with the version of the folder that it runs in: processor time, printed as one number.

    cd TREE && TREE/.venv/bin/python .../benchmarks/cases.py replay-minutes

`benchmarks.against` runs each of two versions this way, so only what both have is used here: the interfaces since 746c4a9.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

DAY: Final = "2013-10-07"
OPEN: Final = f"{DAY}T13:30:00Z"


def find(name: str, *modules: str) -> Any:
    """What has this name in the first of the modules that the version has."""
    for module in modules:
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"{name} is in none of {', '.join(modules)}")


def bars_of(symbols: list[str], interval: str, count: int) -> dict[str, list[Any]]:
    """Bars without a hole, random walks of cents: the same for each version."""
    Bar = find("Bar", "streams.model.records", "streams.records")
    from streams.times import interval_us, parse_instant

    width_us, open_us = interval_us(interval), parse_instant(OPEN)
    bars: dict[str, list[Any]] = {}
    for number, symbol in enumerate(symbols):
        numbers, close = random.Random(number), 100.0
        bars[symbol] = []
        for start_us in range(open_us, open_us + count * width_us, width_us):
            begin, close = close, round(close + numbers.uniform(-0.1, 0.1), 2)
            high, low, volume = max(begin, close) + 0.01, min(begin, close) - 0.01, float(numbers.randrange(100, 5000))
            bars[symbol].append(Bar(symbol, interval, start_us, start_us + width_us, begin, high, low, close, volume))
    return bars


def replay(count_symbols: int, interval: str, minutes: int) -> float:
    """Microseconds a bar of a replay from memory, its start left out, 5m and 15m derived; hours end with the bars."""
    SessionConfig = find("SessionConfig", "streams.config.session", "streams.config")
    from streams.replay.runner import replay
    from streams.replay.source import MemorySource

    symbols = [f"S{number:03d}" for number in range(count_symbols)]
    closes = 9 * 60 + 30 + minutes
    config = SessionConfig.from_dict(
        {
            "mode": "backtest",
            "hours": {"open": "09:30", "close": f"{closes // 60:02d}:{closes % 60:02d}"},
            "backtest_config": {"start_date": DAY, "end_date": DAY},
            "session_data_config": {"symbols": symbols, "streams": [interval], "derived_intervals": ["5m", "15m"]},
        }
    )
    count = minutes if interval == "1m" else minutes * 60
    steps = replay(config, source=MemorySource(bars_of(symbols, interval, count)))
    next(steps)
    gc.collect()
    began = time.process_time()
    taken = sum(step.bars for step in steps)
    seconds = time.process_time() - began
    if taken != count * count_symbols:
        raise SystemExit(f"the replay took {taken} bars of {count * count_symbols}")
    return seconds / taken * 1e6


def transactions(count: int, *, is_stale: bool = False) -> float:
    """Microseconds a bar of what a worker does between its consumer and its producer, with `count` bars of each of 100 symbols at once."""
    SessionConfig = find("SessionConfig", "streams.config.session", "streams.config")
    InputKind = find("InputKind", "streams.model.inputs", "streams.engine.journal")
    JournalInput = find("JournalInput", "streams.model.inputs", "streams.engine.journal")
    from streams.engine.transaction import Transaction
    from streams.times import MINUTE_US, parse_instant
    from streams.wire.codec import Codec
    from streams.wire.outputs import Encoder
    from streams.wire.ranges import range_read
    from streams.wire.topics import TopicNames

    minutes, open_us, codec = 240, parse_instant(OPEN), Codec()
    symbols = [f"S{number:03d}" for number in range(100)]
    streaming = {"catchup_threshold_seconds": 1800}
    config = SessionConfig.from_dict(
        {"session_data_config": {"symbols": symbols, "derived_intervals": ["5m", "15m"], "streaming": streaming}}
    )
    session, opening = Transaction.of_new_session(config, epoch=1, control_topic_id="", control_offset=0, owner="bench", now_us=open_us)
    for number, symbol in enumerate(symbols):
        opening.apply(JournalInput(InputKind.LOADED, symbol, number + 1, topic_id="", first_offset=0, end_offset=0))
    opening.finish()
    encoder = Encoder(codec, TopicNames("bench"), session="bench", epoch=1)
    values = {symbol: [codec.bar_to_avro(bar) for bar in bars] for symbol, bars in bars_of(symbols, "1m", minutes).items()}

    def run(first: int, until: int) -> None:
        ranges = [
            range_read(codec, symbol, number + 1, first, until, range(first, until), values[symbol][first:until])
            for number, symbol in enumerate(symbols)
        ]
        now_us = open_us + (600 if is_stale else until) * MINUTE_US
        transaction = Transaction(session, owner="bench", now_us=now_us)
        transaction.read(ranges)
        result = transaction.finish()
        encoder.records(result, lambda letter: _no_raw())
        for row in result.rows.values():
            if row is not None:
                codec.row_to(row)

    run(0, count)  # what is learned once
    gc.collect()
    began = time.process_time()
    for first in range(count, minutes, count):
        run(first, first + count)
    return (time.process_time() - began) / (len(symbols) * (minutes - count)) * 1e6


def start() -> float:
    """Milliseconds from the start of the process to a replay's first step, imports and the calendar included."""
    SessionConfig = find("SessionConfig", "streams.config.session", "streams.config")
    from streams.replay.runner import replay
    from streams.replay.source import MemorySource

    dates = {"start_date": DAY, "end_date": DAY}
    config = SessionConfig.from_dict({"mode": "backtest", "backtest_config": dates, "session_data_config": {"symbols": ["SPY"]}})
    next(replay(config, source=MemorySource({"SPY": []})))
    return time.process_time() * 1e3


def _no_raw() -> Any:
    raise LookupError("no bar of a benchmark is a dead letter")


CASES: Final[dict[str, Callable[[], float]]] = {
    "replay-minutes": lambda: replay(100, "1m", 120),
    "replay-seconds": lambda: replay(5, "1s", 40),
    "fresh": lambda: transactions(20),
    "stale": lambda: transactions(20, is_stale=True),
    "live": lambda: transactions(1),
    "start": start,
}

if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())  # not this script's own folder, but the version that is measured
    print(CASES[sys.argv[1]]())
