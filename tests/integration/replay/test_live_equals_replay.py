"""A real worker on a real broker, and the replay of its topics: the same bars with the same values.

A thin, a normal and a bursty symbol of one-second bars, as they come. The machine may be slow at any moment, so what the wall clock
held back is allowed for, and nothing else: a bar that one of the two has published is in the other the same, published or held back.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from streams.model.records import AnalysisKind, Bar, HeldBackBar, Marker, PublishedBar
from streams.replay.runner import Replay
from streams.replay.topic_source import KafkaSource
from streams.times import SECOND_US, SystemClock, date_of_days
from streams.wire.messages import AnalysisBar, AnalysisEvent
from tests.support import unique_name, unique_symbol, wait_until
from tests.support.feeders import walk
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

_BARS = 45
_BURST = 4
_GRACE_US = 5 * SECOND_US

Key = tuple[str, str, int]
"""Symbol, interval and start."""


def values_of(bar: object) -> tuple[object, ...]:
    """What a bar is, whatever form it has: but for its revision, and until when it is fresh."""
    names = ("end_us", "open", "high", "low", "close", "volume", "base_count", "expected_count", "complete", "provenance")
    return tuple(str(getattr(bar, name)) if name == "provenance" else getattr(bar, name) for name in names)


def feed(desk: LiveDesk, thin: str, normal: str, bursty: str) -> None:
    """Send each bar when it has ended: of the thin symbol a few, of the bursty one four at a time."""
    clock, chance = SystemClock(), random.Random(5)
    first_us = clock.now_us() // SECOND_US * SECOND_US
    bars = {symbol: walk(symbol, first_us) for symbol in (thin, normal, bursty)}
    kept: list[Bar] = []
    for number in range(_BARS):
        thin_bar, normal_bar, bursty_bar = (next(bars[symbol]) for symbol in (thin, normal, bursty))
        wait_until(lambda: clock.now_us() >= normal_bar.end_us, f"bar {number} to end")  # noqa: B023
        kept.append(bursty_bar)
        due = [normal_bar, *([thin_bar] if chance.random() < 0.2 or number == 0 else [])]
        if len(kept) == _BURST or number == _BARS - 1:
            due += kept
            kept = []
        desk.bars(due)


def live_side(events: list[AnalysisEvent]) -> dict[Key, dict[bool, list[AnalysisBar]]]:
    """The versions of each bar on the ungated topic, by whether they were held back."""
    found: dict[Key, dict[bool, list[AnalysisBar]]] = {}
    for event in events:
        assert event.bar is not None
        by_held = found.setdefault((event.symbol or "", event.interval or "", event.bar.start_us), {False: [], True: []})
        by_held[bool(event.held_back)].append(event.bar)
    return found


def test_a_worker_s_run_and_the_replay_of_its_topics_are_the_same(bootstrap_servers: str, tmp_path: Path) -> None:
    thin, normal, bursty = symbols = [unique_symbol(name) for name in ("THIN", "NORMAL", "BURSTY")]
    config = second_bars(unique_name("live-replay"), symbols, derived=("5s", "15s"), threshold_seconds=60, bars_topic=True)
    desk = LiveDesk(bootstrap_servers, config)
    with Workers(bootstrap_servers, tmp_path) as workers:
        worker = workers.start(config)
        worker.wait_until("active")
        wait_until(lambda: worker.health().get("session_active") is True, "the gate to be open")
        feed(desk, thin, normal, bursty)
        desk.await_read({normal: _BARS, bursty: _BARS})
        ended_us = SystemClock().now_us()
        wait_until(lambda: SystemClock().now_us() >= ended_us + _GRACE_US + 17 * SECOND_US, "the last windows to be closed", 60)
        assert worker.stop() == 0
    evidence = desk.check_left_behind(symbols)
    assert evidence.all_bars is not None
    live = live_side(list(evidence.all_bars))

    day = date_of_days(config.calendar().current_day(ended_us).days)
    source = KafkaSource(desk.settings, symbols)
    try:
        run = Replay(config, source=source, start=day, end=day)
        outcomes = [outcome for step in run.steps() for outcome in step.outcomes]
    finally:
        source.close()
    published = {(one.symbol, one.interval, one.bar.start_us): one.bar for one in outcomes if isinstance(one, PublishedBar)}
    held = {(one.symbol, one.interval, one.bar.start_us): one.bar for one in outcomes if isinstance(one, HeldBackBar)}
    told = Counter[str]()
    for one in outcomes:
        if isinstance(one, Marker) and one.kind is AnalysisKind.HELD_BACK and one.extent is not None:
            told["held"] += one.extent.count
    summary = run.summary()
    assert (summary.still_held, summary.accepted) == (0, summary.published + told["held"])

    assert live.keys() == published.keys() | held.keys()
    assert len([key for key in live if key[:2] == (normal, "1s")]) == _BARS
    assert len([key for key in live if key[0] == thin and key[1] != "1s"]) > 3, "windows of the thin symbol, closed by the clock"
    for key, by_held in live.items():
        newest = max([*by_held[False], *by_held[True]], key=lambda bar: bar.revision)
        again = max([one[key] for one in (published, held) if key in one], key=lambda bar: bar.revision)
        assert values_of(newest) == values_of(again), key
        if by_held[False] and key not in published:
            assert key in held, key
