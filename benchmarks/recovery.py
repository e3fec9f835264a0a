"""From `kill -9` to the next output, with 100 symbols and a full day of one-minute bars in the state.

And how long a start takes with a full day of one-second bars of 100 symbols in it, 2.3 million: from the process's beginning
until it is active.

Alone, the worker runs under `streams worker --supervise`, which starts it again; with a standby, it stays dead and the standby
takes over. Bars stream on all the while; the next output is the first bar on analysis that was sent after the kill. Every
bar sent must be on analysis once in the end, and the sequence without a hole.
"""

from __future__ import annotations

import time

from benchmarks.latency import published_delays_ms
from benchmarks.measure import Plan, Row, at_most
from benchmarks.stage import (
    DAY_BARS,
    LIVE_BARS,
    WAIT_SECONDS,
    Act,
    Reader,
    Stage,
    Worker,
    events_of,
    happens,
    played,
    sent_us,
    stage,
    symbols_named,
)
from streams.wire.codec import Codec

SYMBOLS = 100
PER_SECOND = 50.0
WARM_SECONDS = 2.0
SESSION_TIMEOUT_SECONDS = 6.0
RESTART, TAKE_OVER = "restarted by its supervisor", "a hot standby takes over"
START = "with a day of one-second bars of 100 symbols"
SECONDS_OF_A_DAY = 23_400
MOST_AT_ONCE = 5_000


def rows(plan: Plan) -> list[Row]:
    """Seconds."""
    with stage(plan) as place:
        return played(
            "kill -9 to the next output",
            plan,
            lambda: {RESTART: _restarted(place), TAKE_OVER: _taken_over(place)},
            {RESTART: "s", TAKE_OVER: "s"},
            {RESTART: [at_most(4)], TAKE_OVER: [at_most(SESSION_TIMEOUT_SECONDS + 2)]},
        ) + played("a start until active", plan, lambda: {START: _started(place, plan)}, {START: "s"}, {START: [at_most(15)]})


def _started(place: Stage, plan: Plan) -> float:
    bars = SECONDS_OF_A_DAY // 50 if plan.small else SECONDS_OF_A_DAY
    with place.act(symbols_named(SYMBOLS), interval="1s", derived=("1m", "5m"), bars=bars) as act:
        worker = act.worker()
        worker.wait_active()
        for first in range(0, bars, MOST_AT_ONCE):
            last = min(bars, first + MOST_AT_ONCE)
            act.send(first, last)
            worker.wait_read(last * SYMBOLS)
        worker.kill()
        began = time.monotonic()
        act.worker().wait_active()
        return time.monotonic() - began


def _restarted(place: Stage) -> float:
    with place.act(symbols_named(SYMBOLS)) as act:
        worker = act.worker("--supervise")
        return _to_next_output(act, worker)


def _taken_over(place: Stage) -> float:
    with place.act(symbols_named(SYMBOLS)) as act:
        worker = act.worker()
        worker.wait_active()
        standby = act.worker()
        standby.wait_until(lambda one: one.health().get("status") == "standby", "becoming a standby")
        return _to_next_output(act, worker)


def _to_next_output(act: Act, worker: Worker) -> float:
    worker.wait_active()
    reader = act.reader(act.names.analysis)
    total = act.send(0, DAY_BARS)
    worker.wait_read(total)
    live = act.sender(DAY_BARS, DAY_BARS + LIVE_BARS, per_second=PER_SECOND)
    live.begin()
    time.sleep(WARM_SECONDS)
    killed_us = worker.kill()
    found: list[int] = []
    if not happens(lambda: bool(found.extend(_sent_after(reader, killed_us)) or found), pause_seconds=0.2):
        raise RuntimeError(f"nothing came after the kill within {WAIT_SECONDS:g} s")
    published_delays_ms(reader, total + len(live.stop()))
    return (found[0] - killed_us) / 1e6


def _sent_after(reader: Reader, instant_us: int) -> list[int]:
    """When the bars that were sent after an instant reached the reader."""
    late = [one for one in reader.look() if one.at_us > instant_us]
    # A derived bar's volume is a sum of moments, not one.
    events = [(one, event) for one, event in events_of(late, Codec()) if event.interval == "1m"]
    return [one.at_us for one, event in events if event.bar and sent_us(event.bar.volume) > instant_us]
