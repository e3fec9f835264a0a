"""Holes in a live feed, filled from a store and from topics, by a real worker on a real broker; and sources that misbehave."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.engine.session import Session
from streams.engine.state.completeness import gaps_of, quality_of
from streams.history.store.store import HistoryStore
from streams.model.records import PROVENANCE_GAP_FILL
from streams.model.rows import QualityRow, quality_key
from streams.replay.runner import Replay
from streams.replay.topic_source import KafkaSource
from streams.times import SECOND_US, SystemClock
from streams.wire.messages import SessionEvent
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed
from tests.support.holes import RETRIES, Holed, between, gappy_config, opened_us
from tests.support.sessions.desk import LiveDesk
from tests.support.workers.processes import Worker, Workers

FILLED_SECONDS = 60.0


@contextmanager
def feeding(desk: LiveDesk, *symbols: Holed) -> Iterator[None]:
    """Produce what there is at once, and go on as it comes."""
    past = [symbol.known_of_feed() for symbol in symbols]
    desk.bars([one for ones in past for one in ones])
    rest = [one for symbol, ones in zip(symbols, past, strict=True) for one in symbol.fed[len(ones) :]]
    coming = sorted(rest, key=lambda one: (one.end_us, one.symbol))
    with SteadyFeed(desk.settings, coming, 1000.0):
        yield


def asked(desk: LiveDesk, holed: Holed) -> list[SessionEvent]:
    """What was asked about the symbol's holes. On a busy machine the feed's newest bars may be so late that they are asked for too."""
    until_us = holed.missing[-1].end_us
    events = [event for event in desk.topics.events() if event.kind == "gap_asked" and event.symbol == holed.symbol]
    return [event for event in events if int(event.attributes["end_us"]) <= until_us]


def await_filled(desk: LiveDesk, holed: Holed, count: int) -> None:
    desk.await_progress(holed.symbol, lambda row: row.late >= count, f"{count} bars to fill its gaps")


def restored(desk: LiveDesk) -> Session:
    """The session as its tables have it."""
    return Session.restore(desk.topics.rows())


def metric(worker: Worker, name: str) -> float:
    """A figure of the worker."""
    lines = (worker.page("/metrics") or "").splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")), -1.0)


def check_filled(desk: LiveDesk, holed: Holed, filled: tuple[int, int], empty: tuple[int, int] | None = None) -> None:
    """A gap is gone, of which the feed had nothing; what was made of it is whole, and readers are told that it was revised."""
    open_us = holed.bars[0].start_us
    session = restored(desk)
    data = session.symbol(holed.symbol)
    assert data is not None
    early_us = open_us + 110 * SECOND_US
    assert gaps_of(data, "1s", early_us) == []
    assert (quality_of(data, "1s", early_us), quality_of(data, "5s", early_us)) == (100.0, 100.0)
    in_gap = [one for one in data.bars if one.provenance == PROVENANCE_GAP_FILL]
    wanted = between(holed.bars, *filled)
    assert [(one.start_us, one.close, one.volume) for one in in_gap] == [(one.start_us, one.close, one.volume) for one in wanted]
    first_us, end_us = wanted[0].start_us, wanted[-1].end_us
    derived = [one for one in data.derived["5s"] if first_us <= one.start_us < end_us]
    assert [one.complete for one in derived] == [True] * ((end_us - first_us) // (5 * SECOND_US))
    if empty is not None:
        row = desk.topics.rows()[quality_key(holed.symbol)]
        assert isinstance(row, QualityRow)
        assert [(one.start_us, one.end_us) for one in row.empty] == [(open_us + empty[0] * SECOND_US, open_us + empty[1] * SECOND_US)]
    revised = [event for event in desk.of(holed.symbol) if event.kind == "revised" and event.extent is not None]
    for interval in ("1s", "5s"):
        spans = [event.extent for event in revised if event.interval == interval]
        assert min(one.first_start_us for one in spans) <= first_us
        assert max(one.last_end_us for one in spans) >= end_us


def check_replayed(desk: LiveDesk, holed: Holed) -> None:
    """A replay of the same topics has the filled bars too, and makes the same of them."""
    live = restored(desk).symbol(holed.symbol)
    assert live is not None
    until_us = holed.bars[0].start_us + 110 * SECOND_US
    day = datetime.fromtimestamp(holed.bars[0].start_us / SECOND_US, UTC).date()
    source = KafkaSource(desk.settings, [holed.symbol])
    try:
        again = Replay(desk.config, source=source, start=day, end=day)
        for step in again.steps():
            if step.now_us >= live.frontier_us:
                break
        data = again.session.symbol(holed.symbol)
        assert data is not None
        for interval in ("1s", "5s"):
            series = (live.series(interval), data.series(interval))
            ours, theirs = ([(bar.start_us, bar.close, bar.volume, bar.base_count) for bar in one or ()] for one in series)
            assert [one for one in theirs if one[0] < until_us] == [one for one in ours if one[0] < until_us]
    finally:
        source.close()


def test_a_hole_is_filled_from_a_store_and_what_the_store_has_not_either_is_no_hole(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    open_us = opened_us()
    holed = Holed.of(unique_symbol("HOLE"), open_us, (20, 40), (60, 65))
    HistoryStore.create(tmp_path / "bars").write_bars(holed.known((60, 65)))
    desk = LiveDesk(bootstrap_servers, gappy_config(session_name, [holed.symbol], open_us))
    with feeding(desk, holed):
        worker = workers.start(desk.config, settings={"STREAMS_HISTORY": str(tmp_path / "bars")})
        worker.wait_until("active")
        await_filled(desk, holed, 20)
        wait_until(lambda: metric(worker, "streams_gaps_empty_total") == 1, "the answer that there is nothing more")
        assert metric(worker, "streams_gap_bars_total") == 20
        assert metric(worker, "streams_gaps_failed_total") == 0
        newest = max(event.bar.end_us for event in desk.await_bars(holed.symbol, 1) if event.bar is not None)
        desk.await_analysis(
            lambda events: any(event.bar is not None and event.bar.end_us > newest + 3 * SECOND_US for event in events), "bars to go on"
        )
        wait_until(lambda: [one for one in desk.of(holed.symbol) if one.kind == "revised"], "readers to be told")
    assert worker.stop() == 0
    check_filled(desk, holed, (20, 40), (60, 65))
    outcomes = [event.attributes["outcome"] for event in asked(desk, holed)]
    assert sorted(outcomes) == ["confirmed_empty", "given"], "neither is asked for again"
    check_replayed(desk, holed)
    desk.check_audit()


def test_a_hole_is_filled_from_topics_of_another_name(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    open_us = opened_us()
    holed = Holed.of(unique_symbol("HOLE"), open_us, (20, 40), (60, 65))
    there = Settings.load(bootstrap_servers=bootstrap_servers, bars_pattern="vendor.{symbol}")
    with BarProducer(there) as producer:
        for bar in holed.known((60, 65)):
            producer.send(bar)
    desk = LiveDesk(bootstrap_servers, gappy_config(session_name, [holed.symbol], open_us))
    with feeding(desk, holed):
        worker = workers.start(desk.config, settings={"STREAMS_HISTORY": f"kafka://{bootstrap_servers}?pattern=vendor.{{symbol}}"})
        worker.wait_until("active")
        await_filled(desk, holed, 20)
        wait_until(lambda: metric(worker, "streams_gaps_empty_total") == 1, "the answer that there is nothing more")
        wait_until(lambda: [one for one in desk.of(holed.symbol) if one.kind == "revised"], "readers to be told")
    assert worker.stop() == 0
    check_filled(desk, holed, (20, 40), (60, 65))
    desk.check_audit()


def test_a_source_that_hangs_fails_or_gives_nonsense_costs_the_session_nothing(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    open_us = opened_us()
    symbols = [Holed.of(unique_symbol(prefix), open_us, (20, 40)) for prefix in ("HANG", "RAISE", "NONSENSE", "EMPTY")]
    hanging, raising, nonsense, empty = symbols
    desk = LiveDesk(bootstrap_servers, gappy_config(session_name, [one.symbol for one in symbols], open_us))
    with feeding(desk, *symbols):
        worker = workers.start(desk.config, settings={"STREAMS_HISTORY": "tests.support.odd_sources:by_symbol"})
        worker.wait_until("active")
        for one in (raising, nonsense):
            events = wait_until(lambda one=one: asked(desk, one)[RETRIES - 1 :] and asked(desk, one), "all attempts")  # type: ignore[misc]
            assert {event.attributes["outcome"] for event in events} == {"failed"}
        wait_until(lambda: asked(desk, empty), "the empty answer")
        newest = {one.symbol: max(bar.end_us for bar in one.fed if bar.end_us <= SystemClock().now_us()) for one in symbols}
        for one in symbols:
            desk.await_analysis(
                lambda events, one=one: any(  # type: ignore[misc]
                    event.symbol == one.symbol and event.bar is not None and event.bar.end_us > newest[one.symbol] for event in events
                ),
                f"bars of {one.symbol} to go on",
            )
        assert worker.health()["session_active"] is True
    assert worker.stop() == 0, "neither a question nor an end that hangs keeps the process"
    assert "stop took longer" not in worker.said()
    for one, words in ((raising, "PermissionError: the licence has run out"), (nonsense, "it gave a bar that can't be one")):
        events = asked(desk, one)
        assert len(events) == RETRIES, "it is asked a limited number of times"
        assert all((event.reason or "").startswith(words) for event in events)
    assert all((event.reason or "").startswith("it gave no answer within") for event in asked(desk, hanging))
    assert [event.attributes["outcome"] for event in asked(desk, empty)] == ["confirmed_empty"]
    session = restored(desk)
    for one in (hanging, raising, nonsense):
        data = session.symbol(one.symbol)
        assert data is not None
        assert [gap.bar_count for gap in gaps_of(data, "1s", open_us + 110 * SECOND_US)] == [20]
    desk.check_audit()


def test_a_worker_that_is_killed_while_it_fills_gaps_loses_and_repeats_nothing(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    open_us = opened_us()
    holes = [(first, first + 3) for first in range(5, 105, 5)]
    symbols = [Holed.of(unique_symbol("KILL"), open_us, *holes) for _ in range(2)]
    store = HistoryStore.create(tmp_path / "bars")
    for one in symbols:
        store.write_bars(one.known())
    desk = LiveDesk(bootstrap_servers, gappy_config(session_name, [one.symbol for one in symbols], open_us))
    with feeding(desk, *symbols):
        worker = workers.start(desk.config, settings={"STREAMS_HISTORY": str(tmp_path / "bars")})
        worker.wait_until("active")
        for _ in range(3):
            filled = sum(row.late for one in symbols if (row := desk.progress(one.symbol)) is not None)
            wanted = min(filled + chance.randint(0, 20), 110)
            wait_until(
                lambda wanted=wanted: sum(row.late for one in symbols if (row := desk.progress(one.symbol)) is not None) >= wanted,  # type: ignore[misc]
                f"{wanted} bars to be filled in",
                FILLED_SECONDS,
            )
            worker.kill()
            worker.start()
            worker.wait_until("active")
        for one in symbols:
            await_filled(desk, one, len(one.missing))
    assert worker.stop() == 0
    session = restored(desk)
    for one in symbols:
        data = session.symbol(one.symbol)
        assert data is not None
        assert data.counts.late == len(one.missing)
        assert data.counts.corrected == 0
        filled_in = [(bar.start_us, bar.close) for bar in data.bars if bar.provenance == PROVENANCE_GAP_FILL]
        assert filled_in == [(bar.start_us, bar.close) for bar in one.missing]
    desk.check_audit()
