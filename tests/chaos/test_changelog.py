"""Recovery from a changelog that is large, and from one that is compacted while it is read; and what compaction leaves of a symbol."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.engine.session import Session
from streams.history.store.store import HistoryStore
from streams.model.rows import QualityRow, quality_key
from streams.times import SECOND_US
from tests.support import create_topics, unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, endless_timeline, made_up_bars, made_up_quotes, made_up_ticks, now_us, walk
from tests.support.kafka.reading import read_topic
from tests.support.kills.feeds import DERIVED, PAST_DAYS, everything_on, open_before, past_bars
from tests.support.kills.run import commits
from tests.support.sessions.desk import READ_SECONDS, LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

BROKER = ConfigResource(ResourceType.BROKER, "1")
TINY_SEGMENTS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(1024 * 1024),
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "200",
    "delete.retention.ms": "0",
}
NEVER_COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1.0", "min.compaction.lag.ms": str(24 * 3600 * 1000)}
ROUNDS_AT_LEAST = 6
COMPACTED_ROUNDS = 2
COMPACTED_SECONDS = 60.0
OF_A_SYMBOL = {"symbol", "progress", "bars", "quotes", "ticks", "quality", "indicators", "export"}
"""What rows of a symbol's there are, by the first word of their keys."""


@contextmanager
def a_restless_cleaner(admin: AdminClient) -> Iterator[None]:
    """The broker looks for something to compact ten times a second, and not every 15 s."""

    def alter(operation: AlterConfigOpType, value: str | None) -> None:
        entry = ConfigEntry("log.cleaner.backoff.ms", value, incremental_operation=operation)
        changed = ConfigResource(ResourceType.BROKER, BROKER.name, incremental_configs=[entry])
        for done in admin.incremental_alter_configs([changed], request_timeout=20).values():
            done.result()

    alter(AlterConfigOpType.SET, "100")
    try:
        yield
    finally:
        alter(AlterConfigOpType.DELETE, None)


def offsets_before(desk: LiveDesk, end: int) -> set[int]:
    """The offsets of the changelog before `end` that still hold a record."""
    return {record.offset for record in read_topic(desk.servers, desk.topics.changelog) if record.offset < end}


def end_of(desk: LiveDesk) -> int:
    """The offset behind the changelog's last record."""
    return read_topic(desk.servers, desk.topics.changelog)[-1].offset + 1


@pytest.mark.chaos
@pytest.mark.slow
def test_compaction_that_runs_while_a_worker_recovers_costs_nothing(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    symbols = [unique_symbol("C") for _ in range(10)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, derived=["5s", "1m"]))
    create_topics(bootstrap_servers, desk.topics.changelog, settings=TINY_SEGMENTS)
    feed = SteadyFeed(desk.settings, endless_timeline(symbols, 1000, 200.0), 200.0, at_least=10_000)
    compacted = rounds = 0
    with a_restless_cleaner(desk.admin), feed:
        worker = workers.start(desk.config)
        while rounds < ROUNDS_AT_LEAST or compacted < COMPACTED_ROUNDS:
            rounds += 1
            assert rounds <= 30, f"in {rounds - 1} rounds compaction ran only {compacted} times during a recovery"
            worker.wait_until("active")
            wait_until(lambda: commits(worker) >= 40, "40 transactions")
            worker.kill()
            end = end_of(desk)
            before = offsets_before(desk, end)
            worker.start()
            worker.wait_until("active")
            after = offsets_before(desk, end)
            assert after <= before
            compacted += len(after) < len(before)
            print(f"round {rounds}: {end} offsets, {len(before)} held a record before the recovery, {len(after)} after it")
        feed.finish()
        wait_until(lambda: feed.is_done, "the feed to end", READ_SECONDS)
        desk.await_read(feed.sent_of)
        assert worker.stop() == 0
    desk.check_left_behind(symbols)


def lengthened(desk: LiveDesk, versions: int) -> int:
    """Give the changelog a long past: former versions of each row, then the rows as they are; gives its number of records."""
    newest = {record.key: record.value for record in read_topic(desk.servers, desk.topics.changelog)}
    rows = {key: value for key, value in newest.items() if value is not None}
    producer = Producer({"bootstrap.servers": desk.servers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for version in range(versions):
        for key, value in rows.items():
            # A row that was there and is gone comes between; what is written last are the rows as they are.
            producer.produce(desk.topics.changelog, None if version % 7 == 3 else value, key, 0)
        for gone in range(len(rows)):
            producer.produce(desk.topics.changelog, b"a row of a symbol that was removed", b"gone-%d" % gone, 0)
        producer.poll(0)
    for gone in range(len(rows)):
        producer.produce(desk.topics.changelog, None, b"gone-%d" % gone, 0)
    for key, value in rows.items():
        producer.produce(desk.topics.changelog, value, key, 0)
    assert producer.flush(READ_SECONDS) == 0
    return (2 * versions + 2) * len(rows)


@pytest.mark.chaos
@pytest.mark.slow
def test_a_large_changelog_is_recovered_by_a_worker_that_is_killed_on_its_way_and_by_its_standby(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol("L") for _ in range(20)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols))
    create_topics(bootstrap_servers, desk.topics.changelog, settings=NEVER_COMPACTED)
    worker = workers.start(desk.config)
    worker.wait_until("active")
    bars = {symbol: made_up_bars(symbol, 2000, end_us=now_us()) for symbol in symbols}
    for symbol in symbols:
        desk.bars(bars[symbol][:1000])
    desk.await_read(dict.fromkeys(symbols, 1000))
    assert worker.stop() == 0
    records = lengthened(desk, versions=800)
    print(f"{records} records were added to the changelog")
    assert records > 100_000

    for end in (worker.kill, worker.stop):
        worker.start()
        worker.wait_until("recovering")
        threading.Event().wait(0.2)  # into it
        assert worker.status() == "recovering", "the changelog was to be large"
        end()
    worker.start()
    worker.wait_until("active", READ_SECONDS)
    standby = workers.start(desk.config)
    standby.wait_until("standby", READ_SECONDS)
    worker.wait_until("active")
    for symbol in symbols:
        desk.bars(bars[symbol][1000:1500])
    desk.await_read(dict.fromkeys(symbols, 1500))
    worker.kill()
    standby.wait_until("active", READ_SECONDS)
    for symbol in symbols:
        desk.bars(bars[symbol][1500:])
    desk.await_read(dict.fromkeys(symbols, 2000))
    assert standby.stop() == 0
    desk.check_left_behind(symbols)


def keys_of(desk: LiveDesk, symbol: str) -> set[str]:
    """The keys about a symbol that records of the changelog have, whatever their values."""
    keys = {(record.key or b"").decode() for record in read_topic(desk.servers, desk.topics.changelog)}
    return {key for key in keys if symbol in key}


@pytest.mark.chaos
def test_a_removed_symbol_that_had_everything_is_in_no_row_and_after_compaction_in_no_record(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    gone, stays = unique_symbol("GONE"), unique_symbol("STAYS")
    open_us = open_before(now_us())
    desk = LiveDesk(bootstrap_servers, everything_on(session_name, [stays, gone, unique_symbol()], [gone], open_us, 300))
    create_topics(bootstrap_servers, desk.topics.changelog, settings=TINY_SEGMENTS)
    bars = list(islice(walk(gone, open_us), (now_us() - open_us) // SECOND_US))
    store = HistoryStore.create(tmp_path / "history")
    store.write_bars([*past_bars(gone, open_us), *bars[5:10], *bars[20:]])  # nobody has what lies between
    desk.records(*bars[:5], *bars[20:], *made_up_quotes(gone, 20, end_us=now_us()), *made_up_ticks(gone, 20, end_us=now_us()))

    worker = workers.start(desk.config, settings={"STREAMS_HISTORY": str(tmp_path / "history")})
    worker.wait_until("active")
    desk.await_progress(gone, lambda row: row.late == 5, "gaps that the store has to be filled")
    desk.await_stream(gone, "ticks", lambda row: row.count == 20, "all ticks read")
    desk.type_command(id="begun", command="begin_export", symbol=gone)
    desk.await_replies("begun", 1)

    def kinds() -> set[str]:
        rows = desk.topics.rows()
        quality = rows.get(quality_key(gone))
        is_known = isinstance(quality, QualityRow) and quality.empty
        return {key.partition("|")[0] for key in rows if gone in key} if is_known else set()

    assert wait_until(kinds, "a stretch that is confirmed to be empty") == OF_A_SYMBOL
    blocks = {tuple(key.split("|")[1:3]) for key in keys_of(desk, gone) if key.startswith("bars|")}
    assert {interval for interval, _ in blocks} == {"1s", *DERIVED}
    assert len({days for _, days in blocks}) == 1 + PAST_DAYS

    desk.remove(gone)
    assert not [key for key in desk.topics.rows() if gone in key], "the table has nothing of it"
    assert keys_of(desk, gone), "the changelog has, until it is compacted"
    with a_restless_cleaner(desk.admin), SteadyFeed(desk.settings, walk(stays, now_us()), 20.0):
        # The newest segment is not compacted: it takes bars of another symbol for the next one to begin.
        wait_until(lambda: not keys_of(desk, gone), "the changelog to be compacted", COMPACTED_SECONDS)
    assert worker.stop() == 0
    worker.start()
    worker.wait_until("active")
    assert Session.restore(desk.topics.rows()).symbol(gone) is None
    assert worker.stop() == 0
    desk.check_audit()
