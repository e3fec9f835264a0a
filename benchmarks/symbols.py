"""What ten times the symbols cost: the worker's processor time for each bar, 100 symbols beside 1,000, with as many bars.

Bars come interleaved, 1,000 a second, so that a batch holds about as many symbols in both cases and what lies between them is
work for each symbol of the session at each batch; and in one burst, as fast as one producer is, where a batch holds 20 bars of
a symbol in the one case and 2 in the other. The time is that of the worker's process, all threads, from the first bar until
every bar is on analysis, with the idle time that this takes.
"""

from __future__ import annotations

from benchmarks.latency import published_delays_ms
from benchmarks.measure import Better, Plan, Row, first_better_by_no_more_than, in_turn
from benchmarks.stage import Stage, stage, symbols_named

FEW, MANY = 100, 1_000
BARS = 20_000
WARM_BARS = 2
SHARE = 1.15


def rows(plan: Plan) -> list[Row]:
    """Microseconds of processor time a bar."""
    bars = MANY * 2 if plan.small else BARS
    found: list[Row] = []
    with stage(plan) as place:
        for mode, per_second in (("1,000 bars/s", 1_000.0), ("one burst", 1e9)):
            few, many = f"{FEW} symbols", f"{MANY:,} symbols"
            found += in_turn(
                f"processor time, {mode}",
                "us/bar",
                {
                    few: lambda per_second=per_second: _cost(place, FEW, bars, per_second),  # type: ignore[misc]
                    many: lambda per_second=per_second: _cost(place, MANY, bars, per_second),  # type: ignore[misc]
                },
                plan.rounds,
                better=Better.LOWER,
                targets={many: [first_better_by_no_more_than(SHARE)]},
                warm_up=False,
            )
    return found


def _cost(place: Stage, symbols: int, bars: int, per_second: float) -> float:
    with place.act(symbols_named(symbols)) as act:
        worker = act.worker()
        worker.wait_active()
        reader = act.reader(act.names.analysis)
        # Afterwards the sources of all symbols are found, and every path has been taken once.
        warm = act.send(0, WARM_BARS)
        published_delays_ms(reader, warm)
        sender = act.sender(WARM_BARS, WARM_BARS + bars // symbols, per_second=per_second)
        before = worker.cpu_seconds()
        sender.begin()
        sent = len(sender.finish())
        # The worker is not asked meanwhile: to answer costs it more the more symbols it has.
        published_delays_ms(reader, warm + sent)
        return (worker.cpu_seconds() - before) / sent * 1e6
