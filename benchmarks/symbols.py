"""What ten times the symbols cost: the worker's processor time for each bar, 100 symbols beside 1,000, with as many bars.

Live, bars come interleaved, 1,000 a second, so that a batch holds about as many symbols in both cases and what lies between them is
work for each symbol of the session at each batch. The time is that of the worker's process, all threads, from the first bar until
every bar is on analysis, with the idle time that this takes. As a backlog, a worker comes back to bars in runs, topic after topic,
as in `drain`: the time is that between its first commit and its last.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.desk import DAY_MINUTES, SYMBOLS, Work
from benchmarks.kafka import broker
from benchmarks.latency import published_delays_ms
from benchmarks.measure import Better, Plan, Row, first_better_by_no_more_than, in_turn
from benchmarks.ours import drain
from benchmarks.stage import Stage, symbols_named

FEW, MANY = SYMBOLS, 10 * SYMBOLS
PER_SECOND = 1_000.0
BARS = 20_000
WARM_BARS = 2
SHARE = 1.15


def rows(plan: Plan) -> list[Row]:
    """Microseconds of processor time a bar."""
    live, backlog = (MANY * 2, MANY * 20) if plan.small else (BARS, FEW * DAY_MINUTES)
    counts = {f"{FEW} symbols": FEW, f"{MANY:,} symbols": MANY}
    _, many = counts
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as name, broker(plan) as servers:
        folder = Path(name)
        place = Stage(servers, folder)
        for mode, costs in (
            ("live, 1,000 bars/s", {who: partial(_live, place, count, live) for who, count in counts.items()}),
            ("a backlog", {who: partial(_backlog, servers, folder, count, backlog) for who, count in counts.items()}),
        ):
            found += in_turn(
                f"processor time, {mode}",
                "us/bar",
                costs,
                plan.rounds,
                better=Better.LOWER,
                targets={many: [first_better_by_no_more_than(SHARE)]},
                warm_up=False,
            )
    return found


def _live(place: Stage, symbols: int, bars: int) -> float:
    with place.act(symbols_named(symbols)) as act:
        worker = act.worker()
        worker.wait_active()
        reader = act.reader(act.names.analysis)
        # Afterwards the sources of all symbols are found, and every path has been taken once.
        warm = act.send(0, WARM_BARS)
        published_delays_ms(reader, warm)
        sender = act.sender(WARM_BARS, WARM_BARS + bars // symbols, per_second=PER_SECOND)
        before = worker.cpu_seconds()
        sender.begin()
        sent = len(sender.finish())
        # The worker is not asked meanwhile: to answer costs it more the more symbols it has.
        published_delays_ms(reader, warm + sent)
        return (worker.cpu_seconds() - before) / sent * 1e6


def _backlog(servers: str, folder: Path, symbols: int, bars: int) -> float:
    return drain(folder, servers, Work("S", symbols, bars // symbols), published=True, interleaved=False).pace.cpu_us_each
