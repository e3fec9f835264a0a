"""How a worker starts, ends and starts again: topics, configs, lost topics and state, fences, doubles, its supervisor."""

from __future__ import annotations

import os
import signal

from confluent_kafka import Producer

from streams.errors import ConfigConflictError, ControlLostError, DuplicateWorkerError, FencedError, RecoveryError, TopicSetupError
from streams.model.inputs import JournalRecord
from streams.model.rows import SessionRow, progress_key
from tests.support import create_topics, unique_symbol, wait_until
from tests.support.feeders import made_up_bars, now_us
from tests.support.kafka.reading import read_topic
from tests.support.oracle.audit_all import judge
from tests.support.oracle.evidence import CODEC
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import SUPERVISED, Worker, Workers


def session_row(desk: LiveDesk) -> SessionRow:
    row = desk.topics.rows()["session"]
    assert isinstance(row, SessionRow)
    return row


def test_a_topic_with_settings_that_would_lose_commands_is_refused_with_what_to_change(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    create_topics(bootstrap_servers, f"{session_name}.control", settings={"retention.ms": "60000"})
    create_topics(bootstrap_servers, f"{session_name}.analysis", partitions=3)
    create_topics(bootstrap_servers, f"{session_name}.dlq", settings={"max.message.bytes": "100000"})
    worker = workers.start(second_bars(session_name, []))
    assert worker.wait_ended() == TopicSetupError.exit_code
    assert f"{session_name}.control has retention.ms=60000 and must have -1: kafka-configs.sh --alter" in worker.tail()
    assert f"{session_name}.analysis has 3 partitions and must have 1" in worker.tail()
    assert f"{session_name}.dlq has max.message.bytes=100000 and must have at least 1000000: kafka-configs.sh --alter" in worker.tail()


def test_a_worker_that_may_not_create_topics_says_which_it_needs(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    worker = workers.start(second_bars(session_name, []), settings={"STREAMS_CREATE_TOPICS": "false"})
    assert worker.wait_ended() == TopicSetupError.exit_code
    for topic in (f"{session_name}.control", f"{session_name}.journal", f"{session_name}-state-changelog"):
        assert f"{topic}: 1 partition, cleanup.policy=" in worker.tail()


def test_a_start_after_changes_takes_each_as_it_is_and_goes_on_with_the_rest(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    kept, truncated, deleted, recreated, dropped, added = (unique_symbol(name) for name in ("KEP", "TRU", "DEL", "REC", "DRO", "ADD"))
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [kept, truncated, deleted, recreated, dropped]))
    bars = {symbol: made_up_bars(symbol, 20, end_us=now_us()) for symbol in (kept, truncated, deleted, recreated, dropped, added)}
    worker = workers.start(desk.config)
    worker.wait_until("active")
    for symbol in desk.config.symbols:
        desk.bars(bars[symbol][:5])
    for symbol in desk.config.symbols:
        desk.await_progress(symbol, lambda row: row.offset == 5, "five bars read")
    assert worker.stop() == 0

    desk.bars([*bars[kept][5:], *bars[truncated][5:]])
    desk.delete_records(desk.names.bars(truncated), 10)
    desk.delete_topic(desk.names.bars(deleted))
    desk.create_again(desk.names.bars(recreated))
    desk.bars(bars[recreated][5:])
    workers.write(second_bars(session_name, [kept, truncated, deleted, recreated, added]))
    worker.start()
    worker.wait_until("active")

    desk.await_progress(kept, lambda row: row.offset == 20, "all read")
    desk.await_progress(truncated, lambda row: row.offset == 20 and row.accepted < 30, "what is left read")
    assert "was truncated: offsets 5 to 9 are gone" in (desk.await_event("source_lost", truncated).reason or "")
    assert "was deleted" in (desk.await_event("symbol_failed", deleted).reason or "")
    desk.await_progress(recreated, lambda row: row.bar_count == 20, "the new topic read from its beginning")
    assert "was re-created" in (desk.await_event("source_lost", recreated).reason or "")
    assert desk.await_event("symbol_removed", dropped).reason == "no longer in the config"
    desk.bars(bars[added])
    desk.await_progress(added, lambda row: row.offset == 20, "the new symbol read")
    worker.stop()
    evidence = desk.topics.evidence(desk.config, [kept, added])
    findings = [finding for finding in judge(evidence) if kept in finding or added in finding or finding.startswith("sequence")]
    assert not findings


def test_another_exchange_is_refused_and_deleted_state_begins_another_epoch(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    initial, by_command = unique_symbol(), unique_symbol()
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [initial]))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    desk.add(by_command)
    desk.bars(made_up_bars(initial, 5, end_us=now_us()))
    desk.await_bars(initial, 5)
    assert worker.stop() == 0

    workers.write(second_bars(session_name, [initial], exchange="XNYS", hours="regular"))
    worker.start()
    assert worker.wait_ended() == ConfigConflictError.exit_code
    assert "exchange was '24/7' when this session began and is 'XNYS' in the config" in worker.tail()

    workers.write(desk.config)
    desk.delete_topic(desk.topics.changelog)
    worker.start()
    worker.wait_until("active")
    desk.await_progress(initial, lambda row: row.offset == 5, "the topic read again")
    assert session_row(desk).epoch == 2
    assert desk.symbol(by_command) is None, "commands of the former epoch are not run again"
    analysis = desk.topics.analysis()
    assert [event.sequence for event in analysis if event.epoch == 2] == list(range(1, sum(event.epoch == 2 for event in analysis) + 1))
    assert [event.epoch for event in analysis] == sorted(event.epoch for event in analysis)


def test_a_control_topic_that_lost_commands_ends_the_worker_with_advice(alone: tuple[LiveDesk, Worker]) -> None:
    desk, worker = alone
    worker.kill()
    desk.raw(desk.names.control, b"{}", b"{}", b"{}")
    desk.delete_records(desk.names.control, 3)
    worker.start()
    assert worker.wait_ended() == ControlLostError.exit_code
    assert "begins at offset 3" in worker.tail()
    assert "to begin anew delete" in worker.tail()


def test_a_changelog_that_somebody_else_wrote_to_is_not_gone_on_from(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    symbol = unique_symbol()
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [symbol]))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    desk.bars(made_up_bars(symbol, 5, end_us=now_us()))
    desk.await_bars(symbol, 5)
    assert worker.stop() == 0
    key = progress_key(symbol).encode()
    before = {record.key: record.value for record in read_topic(bootstrap_servers, desk.topics.changelog)}[key]

    desk.raw(desk.topics.changelog, None, key=key)
    worker.start()
    assert worker.wait_ended() == RecoveryError.exit_code
    assert "the rows that were recovered come to" in worker.tail()

    desk.raw(desk.topics.changelog, before, key=key)
    worker.start()
    worker.wait_until("active")
    desk.await_progress(symbol, lambda row: row.offset == 5, "the state as it was")


def test_a_worker_whose_place_is_taken_ends_and_so_does_a_second_one_of_its_name(workers: Workers, alone: tuple[LiveDesk, Worker]) -> None:
    desk, worker = alone
    double = workers.start(desk.config, instance=worker.instance)
    assert double.wait_ended() == DuplicateWorkerError.exit_code
    assert f"another process on this machine runs as {worker.instance}" in double.tail()
    assert worker.status() == "active"
    other = Producer({"bootstrap.servers": desk.servers, "transactional.id": desk.config.session_name})
    other.init_transactions(60)
    other.begin_transaction()
    record = JournalRecord(desk.config.session_name, 1, 1_000_000, now_us(), "the-other", 0, 0, ())
    other.produce(desk.names.journal, CODEC.journal_to(record), partition=0)
    other.commit_transaction(60)
    assert worker.wait_ended() == FencedError.exit_code
    assert "the-other has taken this session over" in worker.tail()


def test_a_killed_worker_that_comes_back_at_another_address_takes_its_place_again(alone: tuple[LiveDesk, Worker]) -> None:
    """The group gives it what it had before, and with it the address that it had."""
    _, worker = alone
    worker.kill()
    worker.move()
    worker.start()
    worker.wait_until("active")


def test_a_supervisor_starts_a_killed_worker_again_and_ends_with_sigterm(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbol = unique_symbol()
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [symbol]))
    bars = made_up_bars(symbol, 20, end_us=now_us())
    supervisor = workers.start(desk.config, options=SUPERVISED)
    supervisor.wait_until("active")
    desk.bars(bars[:10])
    desk.await_bars(symbol, 10)
    (child,) = supervisor.children()
    os.kill(child, signal.SIGKILL)
    desk.bars(bars[10:])
    desk.await_bars(symbol, 20)
    assert supervisor.children() != [child]
    assert supervisor.stop() == 0
    assert not judge(desk.topics.evidence(desk.config, [symbol]))


def test_health_and_the_log_show_how_a_worker_becomes_active(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    worker = workers.start(second_bars(session_name, []))
    seen: list[str] = []

    def is_active() -> bool:
        status = worker.status()
        if status is not None and (not seen or seen[-1] != status):
            seen.append(status)
        return status == "active"

    wait_until(is_active, "the worker to be active", 60.0)
    assert seen[0] in ("starting", "recovering")
    assert seen == sorted(seen, key=["starting", "recovering", "active"].index)
