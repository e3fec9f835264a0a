"""What becomes of a session whose topics are deleted, created again, truncated or locked while it runs. One symbol fails or
begins anew, alone; without its commands the session ends and says how to go on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.errors import ControlLostError
from tests.support import create_topics, unique_name, unique_symbol, wait_until
from tests.support.feeders import made_up_bars, now_us
from tests.support.kafka.reading import await_no_fetch
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers


@pytest.fixture(scope="module")
def running(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveDesk, Worker]]:
    desk = LiveDesk(bootstrap_servers, second_bars(unique_name("topics"), [unique_symbol("ANCHOR")]))
    with Workers(bootstrap_servers, tmp_path_factory.mktemp("topics")) as workers:
        worker = workers.start(desk.config)
        worker.wait_until("active")
        yield desk, worker


@pytest.fixture
def desk(running: tuple[LiveDesk, Worker]) -> LiveDesk:
    return running[0]


@pytest.fixture
def worker(running: tuple[LiveDesk, Worker]) -> Worker:
    return running[1]


@pytest.fixture
def symbol(desk: LiveDesk) -> str:
    """A symbol in the session."""
    name = unique_symbol()
    desk.add(name)
    return name


def the_anchor_goes_on(desk: LiveDesk) -> None:
    (anchor,) = desk.config.symbols
    before = sum(event.bar is not None and event.interval == "1s" for event in desk.of(anchor))
    desk.bars(made_up_bars(anchor, 1, end_us=now_us()))
    desk.await_bars(anchor, before + 1)


def test_a_topic_created_again_with_more_records_than_were_read_is_read_from_its_first_one(desk: LiveDesk, symbol: str) -> None:
    topic = desk.names.bars(symbol)
    bars = made_up_bars(symbol, 60, end_us=now_us())
    desk.bars(bars[:10])
    desk.await_progress(symbol, lambda row: row.offset == 10, "ten bars read")
    before = desk.symbol(symbol)
    desk.create_again(topic)
    desk.bars(bars[10:])  # the position 10 lies within them
    desk.await_source_lost(symbol)
    progress = desk.await_progress(symbol, lambda row: row.offset == 50, "fifty bars read")
    assert (progress.late, progress.duplicates) == (0, 0), "bars were read from the middle, and again from the beginning"
    published = [event.bar.start_us for event in desk.await_bars(symbol, 50) if event.bar is not None]
    assert published == [bar.start_us for bar in bars]
    after = desk.symbol(symbol)
    assert before is not None
    assert after is not None
    assert before.topic_id != after.topic_id
    the_anchor_goes_on(desk)


def test_a_topic_truncated_behind_the_position_is_read_on_as_if_nothing_were(desk: LiveDesk, symbol: str) -> None:
    bars = made_up_bars(symbol, 20, end_us=now_us())
    desk.bars(bars[:10])
    desk.await_progress(symbol, lambda row: row.offset == 10, "ten bars read")
    desk.delete_records(desk.names.bars(symbol), 10)
    desk.bars(bars[10:])
    assert len(desk.await_bars(symbol, 20)) == 20
    assert not [event for event in desk.topics.events() if event.symbol == symbol and event.kind == "source_lost"]


def test_a_topic_truncated_beyond_the_position_of_a_running_worker_is_read_on_with_an_event(
    desk: LiveDesk, symbol: str, worker: Worker
) -> None:
    topic = desk.names.bars(symbol)
    bars = made_up_bars(symbol, 20, end_us=now_us())
    desk.bars(bars[:5])
    desk.await_progress(symbol, lambda row: row.offset == 5, "five bars read")
    with worker.paused():
        await_no_fetch(desk.servers, topic)
        desk.bars(bars[5:15])
        desk.delete_records(topic, 12)
    lost = desk.await_event("source_lost", symbol)
    assert lost.reason == f"topic {topic} was truncated: offsets 5 to 11 are gone"
    assert (lost.attributes["lost_from"], lost.attributes["resumes_at"]) == ("5", "12")
    desk.bars(bars[15:])
    progress = desk.await_progress(symbol, lambda row: row.offset == 20, "what is left read")
    assert progress.bar_count == 5 + 8
    the_anchor_goes_on(desk)


def test_an_empty_topic_in_place_of_one_with_records_is_found_and_read(desk: LiveDesk, symbol: str) -> None:
    topic = desk.names.bars(symbol)
    bars = made_up_bars(symbol, 8, end_us=now_us())
    desk.bars(bars[:5])
    desk.await_progress(symbol, lambda row: row.offset == 5, "five bars read")
    desk.create_again(topic)
    desk.await_source_lost(symbol)
    desk.bars(bars[5:])
    published = desk.await_bars(symbol, 8)
    assert [event.bar.start_us for event in published if event.bar is not None] == [bar.start_us for bar in bars]


def test_an_initial_symbol_without_a_topic_fails_alone_where_topics_may_not_be_created(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    present, missing = unique_symbol("PRE"), unique_symbol("MIS")
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, [present, missing]))
    names = desk.names
    create_topics(bootstrap_servers, names.bars(present))
    create_topics(bootstrap_servers, names.control, settings={"retention.ms": "-1"})
    create_topics(bootstrap_servers, *(name for name in names.all_session_topics() if name != names.control))
    create_topics(bootstrap_servers, desk.topics.changelog, settings={"cleanup.policy": "compact"})
    worker = workers.start(desk.config, settings={"STREAMS_CREATE_TOPICS": "false"})
    worker.wait_until("active")
    failed = desk.await_event("symbol_failed", missing)
    assert f"there is no topic {names.bars(missing)}" in (failed.reason or "")
    desk.bars(made_up_bars(present, 3, end_us=now_us()))
    desk.await_bars(present, 3)


def test_a_control_topic_that_is_deleted_under_a_worker_ends_it_with_advice_and_so_does_the_next_start(
    alone: tuple[LiveDesk, Worker], workers: Workers
) -> None:
    desk, worker = alone
    desk.delete_topic(desk.names.control)
    assert worker.wait_ended() == ControlLostError.exit_code
    assert "was deleted" in worker.tail()
    assert "to begin anew delete" in worker.tail()
    for _ in range(2):  # to create what is missing would hide that it was lost, at the second start too
        worker.start()
        assert worker.wait_ended() == ControlLostError.exit_code
    assert "holds the state of a session that read it" in worker.tail()
    desk.delete_topic(desk.topics.changelog)
    # Under a name of its own, since the group would give the former one back what it had without the topic, for 15 s.
    workers.start(desk.config).wait_until("active")
    desk.add(unique_symbol())


def test_a_control_topic_truncated_beyond_the_position_of_a_running_worker_ends_it_with_advice(alone: tuple[LiveDesk, Worker]) -> None:
    desk, worker = alone
    with worker.paused():
        await_no_fetch(desk.servers, desk.names.control)
        desk.raw(desk.names.control, *[b"{}"] * 6)
        desk.delete_records(desk.names.control, 5)
    assert worker.wait_ended() == ControlLostError.exit_code
    assert "begins at offset 5, and the state stands at offset 0 " in worker.tail()


def test_a_control_topic_truncated_behind_the_position_is_read_on(alone: tuple[LiveDesk, Worker]) -> None:
    desk, worker = alone
    desk.raw(desk.names.control, *[b"{}"] * 5)
    desk.await_dead_letters(desk.names.control, 5)
    desk.delete_records(desk.names.control, 5)
    assert worker.stop() == 0
    worker.start()
    worker.wait_until("active")
    desk.add(unique_symbol())


def test_thousands_of_long_control_records_in_one_go_are_more_than_one_journal_record_and_each_is_answered_for(
    alone: tuple[LiveDesk, Worker],
) -> None:
    desk, worker = alone
    # What is wrong with each is told by quoting the unknown field: two million characters in all, where Kafka takes one.
    values = [json.dumps({"command": "add_symbol", f"{number:04}" + "f" * 1500: 1}).encode() for number in range(1200)]
    commands = [json.dumps({"id": f"{number:04}" + "c" * 180, "command": "remove_symbol", "symbol": "S" * 60, "sender": "s" * 190}).encode()
                for number in range(1500)]  # fmt: skip
    with worker.paused():
        desk.raw_at_once(desk.names.control, [*values, *commands])
    letters = desk.await_dead_letters(desk.names.control, len(values))
    assert [letter.value for letter in letters] == values
    wait_until(lambda: len(desk.topics.replies()) >= len(commands), "an answer to each command")
    assert [reply.command_id[:4] for reply in desk.topics.replies()] == [f"{number:04}" for number in range(len(commands))]
    assert worker.stop() == 0
    desk.check_audit()


def test_a_compacted_bar_topic_is_warned_of_when_its_symbol_is_added_and_until_it_is_put_right(alone: tuple[LiveDesk, Worker]) -> None:
    desk, worker = alone
    symbol = unique_symbol()
    topic = desk.names.bars(symbol)
    create_topics(desk.servers, topic, settings={"cleanup.policy": "compact"})
    reply = desk.add(symbol)
    warned = (
        f"settings of topic {topic}: cleanup.policy=compact keeps only the newest record of each key, so that others are lost. To change "
        f"them: kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy=delete"
    )
    assert reply is not None
    assert (reply.status, reply.reason) == ("completed", warned)
    assert desk.await_event("source_warned", symbol).reason == warned
    row = desk.symbol(symbol)
    assert row is not None
    assert row.reason == warned
    desk.bars(made_up_bars(symbol, 3, end_us=now_us()))
    desk.await_read({symbol: 3})

    assert worker.stop() == 0
    setting = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[setting])
    desk.admin.incremental_alter_configs([resource])[resource].result(60)
    worker.start()
    worker.wait_until("active")

    def is_put_right() -> bool:
        row = desk.symbol(symbol)
        return row is not None and row.reason is None

    wait_until(is_put_right, "the note to say nothing of settings any more")
    assert worker.stop() == 0
    desk.check_audit()
