"""What the worker leans on within faust-streaming, mode, aiokafka and confluent-kafka: one test for each, no broker needed.

A test that fails here says what a new version has moved, and which override or setting of ours leans on it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import aiokafka
import confluent_kafka
import faust
import mode
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import ServiceThread

from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.worker import process
from streams.worker.app import SessionWorker
from streams.worker.faust import overrides
from streams.worker.faust.group import ASSIGNOR
from streams.worker.instance import Instance

LEANS_ON = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}


def parameters(function: Callable[..., object]) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(thing: Callable[..., object] | type) -> str:
    # A task of a service is kept within an object.
    return inspect.getsource(getattr(thing, "fun", thing))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionWorker:
    """A worker that is put together and never started: it needs no broker for that."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    settings = Settings.load(bootstrap_servers="127.0.0.1:1", instance_id="contract", http_port=0)
    config = SessionConfig.from_dict({"session_name": "contract", "session_data_config": {"symbols": []}})
    return SessionWorker(config, settings, Instance.claim(settings, "contract"))


def test_the_versions_are_the_ones_whose_internals_were_read() -> None:
    found = {name: version(name) for name in LEANS_ON}
    assert found == LEANS_ON, (
        f"{found} is installed, the overrides were written against {LEANS_ON}: read streams/worker/faust/overrides.py "
        "beside the new sources, make the other tests here pass, run the chaos tests, then change pyproject.toml and this table together"
    )


# ------------------------------------------------------------------------------------------- the consumer and its thread


def test_the_apps_transport_can_be_set(worker: SessionWorker) -> None:
    assert type(worker.app.transport) is overrides.CommittedTransport, "App.transport no longer takes what it is set to"
    assert type(worker.app.consumer) is overrides.CommittedConsumer, "the app no longer makes its consumer by app.transport"


def test_the_consumer_makes_its_thread_by_a_method_of_its_own(worker: SessionWorker) -> None:
    assert isinstance(worker.app.consumer._thread, overrides.CommittedConsumerThread), (
        "the consumer no longer makes its thread by _new_consumer_thread: it would read uncommitted records"
    )


def test_the_thread_makes_aiokafkas_consumer_by_a_method_of_its_own() -> None:
    assert parameters(driver.AIOKafkaConsumerThread._create_worker_consumer) == ["self", "transport"], (
        "AIOKafkaConsumerThread._create_worker_consumer takes other arguments: isolation level and fetch wait are set in it"
    )
    assert "self._create_worker_consumer(transport)" in source(driver.AIOKafkaConsumerThread._create_consumer)


def test_aiokafka_takes_isolation_and_fetch_wait_when_it_starts() -> None:
    begins = source(aiokafka.AIOKafkaConsumer.start) + source(aiokafka.AIOKafkaConsumer)
    for attribute in ("_isolation_level", "_fetch_max_wait_ms"):
        assert f"self.{attribute} = " in source(aiokafka.AIOKafkaConsumer.__init__), f"AIOKafkaConsumer no longer keeps {attribute}"
        assert f"=self.{attribute}," in begins, f"AIOKafkaConsumer no longer makes its fetcher from {attribute}: it is set too late"


def test_the_thread_fetches_and_seeks_by_methods_of_its_own() -> None:
    thread = driver.AIOKafkaConsumerThread
    assert parameters(thread._fetch_records) == ["self", "consumer", "active_partitions", "timeout", "max_records"], (
        "_fetch_records takes other arguments: no fetch may go on across a seek"
    )
    assert parameters(thread._seek_wait) == ["self", "consumer", "partitions"], "_seek_wait takes other arguments"
    assert "self.call_thread(" in source(thread.getmany)
    assert "self._fetch_records," in source(thread.getmany), "getmany no longer fetches by _fetch_records: a seek may lose records"
    assert "self.call_thread(self._seek_wait" in source(thread.seek_wait), "seek_wait no longer seeks by _seek_wait"


def test_a_seek_waits_for_the_fetch_that_is_under_way_and_the_next_fetch_for_the_seek(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    brought = asyncio.Event()

    async def fetch(self: object, consumer: object, partitions: object, timeout: float, max_records: object) -> dict[str, str]:
        steps.append("fetch begins")
        await brought.wait()
        steps.append("fetch ends")
        return {}

    async def seek(self: object, consumer: object, partitions: object) -> None:
        steps.append("seek begins")
        await asyncio.sleep(0)
        steps.append("seek ends")

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_seek_wait", seek)

    async def run() -> None:
        thread = overrides.CommittedConsumerThread.__new__(overrides.CommittedConsumerThread)
        thread._reading = asyncio.Lock()
        fetching = asyncio.ensure_future(thread._fetch_records(None, set()))
        await asyncio.sleep(0)
        seeking = asyncio.ensure_future(thread._seek_wait(None, {}))
        await asyncio.sleep(0)
        again = asyncio.ensure_future(thread._fetch_records(None, set()))
        brought.set()
        await asyncio.gather(fetching, seeking, again)

    asyncio.run(run())
    assert steps == ["fetch begins", "fetch ends", "seek begins", "seek ends", "fetch begins", "fetch ends"]


# ------------------------------------------------------------------------------------------------------------ recovery


def test_what_ended_a_consumers_part_in_the_group_is_kept_where_we_look_for_it() -> None:
    kept = source(GroupCoordinator.check_errors)
    for place in ("self._coordination_task.result()", "self._pending_exception"):
        assert place in kept, "a worker that dropped out of its group would wait for ever: see overrides.group_error"
    assert "_coordinator" in source(aiokafka.AIOKafkaConsumer.start)


def test_a_consumer_joins_the_group_that_it_is_told_of_before_it_starts(worker: SessionWorker) -> None:
    assert "group_id=self._group_id" in source(aiokafka.AIOKafkaConsumer.start), "it would join the group of the app's id"
    assert "await self._consumer.start()" in source(driver.AIOKafkaConsumerThread.on_start)
    assert worker.group == "contract.workers"
    assert PartitionAssignor(worker.app).name == ASSIGNOR, "workers would be taken for others"
    assert worker.app.conf.broker_client_id == "streams-worker-contract"


def test_a_consumer_can_be_made_to_join_its_group_anew() -> None:
    assert "_rejoin_needed_fut" in source(GroupCoordinator.request_rejoin)
    assert parameters(AIOKafkaClient.force_metadata_update) == ["self"]
    assert "self._consumer" in source(driver.AIOKafkaConsumerThread._ensure_consumer)


def test_a_members_address_must_be_the_one_that_the_group_knows_and_ours_is_its_name(worker: SessionWorker) -> None:
    assert "assert metadata.url == str(self._url)" in source(PartitionAssignor.on_assignment), "canonical_url need not be set any more"
    assert str(worker.app.conf.canonical_url) == "http://session-streams/contract"


def test_a_thread_that_crashes_prints_its_traceback_by_on_crash() -> None:
    assert "traceback.print_exc" in source(ServiceThread.on_crash)
    assert "on_crash" in vars(overrides.CommittedConsumerThread)


def test_the_app_takes_its_table_manager_and_its_table_from_settings(worker: SessionWorker) -> None:
    assert type(worker.app.tables) is overrides.BarrierTableManager, "the App setting TableManager has no effect any more"
    assert type(worker.app.tables.recovery) is overrides.BarrierRecovery, "the table manager no longer gives its own recovery"
    table = worker.app.tables["state"]
    assert isinstance(table, overrides.TransactionalTable), "the App setting Table has no effect any more"


def test_recovery_asks_for_its_goal_by_build_highwaters() -> None:
    assert parameters(Recovery._build_highwaters) == ["self", "consumer", "tps", "destination", "title"], (
        "Recovery._build_highwaters takes other arguments: the take-over (fence and barrier) is done in it"
    )
    recovers = source(Recovery._restart_recovery)
    assert 'consumer, assigned_active_tps, active_highwaters, "active"' in recovers, "recovery no longer calls the actives' title 'active'"
    assert recovers.index("_build_highwaters") < recovers.index("_build_offsets"), "recovery reads before it has fenced former owners"


def test_recovery_says_that_it_is_complete_by_on_recovery_completed_which_resumes_the_flow() -> None:
    assert parameters(Recovery.on_recovery_completed) == ["self", "generation_id"]
    assert "flow_control.resume()" in source(Recovery.on_recovery_completed), (
        "Recovery.on_recovery_completed no longer resumes the flow: the feed may start before channels are cleared"
    )
    assert "self.on_recovery_completed)(generation_id)" in source(Recovery._restart_recovery)


def test_recovery_has_ended_by_a_signal_that_it_would_clear_too_early() -> None:
    assert isinstance(inspect.getattr_static(Recovery, "signal_recovery_end"), property), "signal_recovery_end is no property any more"
    slurp = source(Recovery._slurp_changelogs)
    assert "self.signal_recovery_end.clear()" in slurp
    assert "self.signal_recovery_end.set()" in slurp, "recovery no longer tells its end by signal_recovery_end"
    assert "self.signal_recovery_end.wait()" in source(Recovery._restart_recovery)
    assert source(Recovery._restart_recovery).count("self._set_recovery_started()") == 2, (
        "recovery begins in other places: the signal of its end is cleared in _set_recovery_started"
    )


def test_the_signal_that_recovery_has_ended_stays_until_the_next_one_begins(worker: SessionWorker) -> None:
    recovery = worker.app.tables.recovery
    recovery.signal_recovery_end.set()
    recovery.signal_recovery_end.clear()
    assert recovery.signal_recovery_end.is_set()
    recovery._set_recovery_started()
    assert not recovery.signal_recovery_end.is_set()


def test_a_changelog_record_that_is_there_already_is_passed_over_by_its_offset() -> None:
    assert "seen_offset is None or offset > seen_offset" in source(Recovery._slurp_changelogs), (
        "recovery no longer passes over records by their offset: the changelog queue is not cleared and may hold some twice"
    )


def test_the_queue_of_changelog_records_keeps_what_it_holds_when_the_flow_is_resumed(worker: SessionWorker) -> None:
    assert isinstance(inspect.getattr_static(TableManager, "changelog_queue"), property)

    async def run() -> int:
        queue = worker.app.tables.changelog_queue
        worker.app.flow_control.resume()
        queue.put_nowait("a record")
        worker.app.flow_control.suspend()
        worker.app.flow_control.resume()
        return int(queue.qsize())

    assert asyncio.run(run()) == 1, "a standby would have a hole in its table"


def test_the_table_manager_starts_without_a_pause_and_does_all_else_that_fausts_own_does() -> None:
    lines = [line.strip() for line in source(TableManager.on_start).splitlines()]
    assert lines[-4:] == [
        "await self.sleep(1.0)",
        "if not self.should_stop:",
        "await self._update_channels()",
        "await self.recovery.start()",
    ], "Faust's table manager starts in another way: bring BarrierTableManager.on_start in line, or drop it if the pause is gone"
    ours = [line.strip() for line in source(overrides.BarrierTableManager.on_start).splitlines()]
    assert ours[-3:] == lines[-3:]


def test_the_app_knows_whether_it_is_rebalancing_and_what_is_assigned(worker: SessionWorker) -> None:
    assert worker.app.rebalancing is False
    assert worker.app.assignor.assigned_actives() == set(), "the assignor no longer says which partitions are active"


@pytest.mark.parametrize("own", ["first", "second"])
def test_each_worker_is_told_by_the_group_whether_one_has_the_active_role(worker: SessionWorker, own: str) -> None:
    assignor = worker.app.assignor
    mine = assignor.metadata({worker.names.control, worker.ledger._changelog})
    assert worker.instance.name.encode() in mine.user_data
    other = ConsumerProtocolMemberMetadata(mine.version, mine.subscription, mine.user_data.replace(worker.instance.name.encode(), b"other"))
    members = {"first": other, "second": other, own: mine}
    for partitions, has_owner in (({0}, True), (set(), False)):
        # The leader of the group assigns by what it knows of the topics: nothing, while a broker that was killed comes back.
        cluster = SimpleNamespace(partitions_for_topic=lambda topic, known=partitions: known)
        assignor.on_assignment(assignor.assign(cluster, members)[own])
        assert worker._has_owner() is has_owner, "the assignment no longer says who has the control topic"


def test_the_worker_is_told_of_a_revocation_before_faust_goes_on_and_of_its_end_before_the_services_stop(
    worker: SessionWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def note(what: str) -> None:
        told.append(what)

    monkeypatch.setattr(worker.runner, "deactivate", lambda: note("deactivate"))
    monkeypatch.setattr(worker.runner, "close", lambda: note("close"))
    monkeypatch.setattr(worker.ledger, "close", lambda: note("ledger closed"))

    async def run() -> None:
        await worker.app.on_partitions_revoked.send({TP("control", 0)})
        assert told == ["deactivate"], "App.on_partitions_revoked does not wait for the worker: the feed would read across a rebalance"
        await worker.app.on_before_shutdown.send()

    asyncio.run(run())
    assert told == ["deactivate", "close", "ledger closed"]
    assert "self.on_partitions_revoked.send" in source(faust.App._on_partitions_revoked), "a rebalance no longer tells of revocations"
    assert "self.on_before_shutdown.send()" in source(faust.App._stop_consumer) + source(faust.App.on_stop), (
        "a stop no longer tells the worker before it stops the services"
    )


def test_the_channel_takes_what_the_feed_puts_without_a_limit(worker: SessionWorker) -> None:
    assert worker.app.conf.stream_buffer_maxsize < 20_000, "another number is needed here to tell"

    async def run() -> int:
        queue = worker._channel.queue
        for number in range(20_000):
            queue.put_nowait(number)
        return int(queue.qsize())

    assert asyncio.run(run()) == 20_000, "maxsize=0 bounds a channel now: clearing a bounded one cancels the put that waits"


# --------------------------------------------------------------------------------------------------------------- the table


def test_a_table_asks_for_the_partition_of_a_key_by_a_method_of_its_own(worker: SessionWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    table = worker.app.tables["state"]
    asked: list[bytes] = []
    table.on_change = lambda key, value: None
    monkeypatch.setattr(type(table), "partition_for_key", lambda self, key: asked.append(key) or 0)
    table[b"key"] = b"value"
    del table[b"key"]
    assert asked == [b"key", b"key"], "Table no longer asks partition_for_key: it would ask for an event that is being processed"


def test_a_table_writes_each_change_by_send_changelog(worker: SessionWorker) -> None:
    changes: list[tuple[bytes, bytes | None]] = []
    table = worker.app.tables["state"]
    table.on_change = lambda key, value: changes.append((key, value))
    table[b"key"] = b"value"
    del table[b"key"]
    assert changes == [(b"key", b"value"), (b"key", None)], "Table no longer hands its changes to send_changelog, once each and as they are"


def test_a_table_that_is_written_outside_of_a_transaction_says_so(worker: SessionWorker) -> None:
    table = worker.app.tables["state"]
    table.on_change = None
    with pytest.raises(RuntimeError, match="outside of a transaction"):
        table[b"key"] = b"value"


class _Message:
    def __init__(self, offset: int, key: bytes, value: bytes | None) -> None:
        self.offset, self.key, self.value = offset, key, value
        self.tp = self.topic_partition = TP("changelog", 0)
        self.topic, self.partition = self.tp
        self.key, self.headers = key, [("rows", value or b"")] if key == b"session" else []


class _Event:
    def __init__(self, offset: int, key: bytes, value: bytes | None) -> None:
        self.key, self.value = key, value
        self.message = _Message(offset, key, value)


def test_a_table_applies_changelog_records_and_remembers_how_far(worker: SessionWorker) -> None:
    table = worker.app.tables["state"]
    partition = TP(table.changelog_topic_name, 0)
    assert table.persisted_offset(partition) is None
    table.apply_changelog_batch([_Event(4, b"kept", b"1"), _Event(5, b"gone", b"2"), _Event(9, b"gone", None)])
    assert dict(table.items()) == {b"kept": b"1"}, "the memory store no longer takes a None for a deletion"
    assert table.persisted_offset(partition) == 9
    assert table.committed_digest is None
    table.apply_changelog_batch([_Event(10, b"session", b"1 of old"), _Event(11, b"session", b"1 of new"), _Event(12, b"kept", b"3")])
    assert table.committed_digest == b"1 of new", "what the rows come to is not known when they are taken over"


def test_a_standbys_rows_stay_when_its_recovery_is_completed(worker: SessionWorker) -> None:
    table = worker.app.tables["state"]
    table.apply_changelog_batch([_Event(1, b"kept", b"1")])
    asyncio.run(table.on_recovery_completed(set(), {TP(table.changelog_topic_name, 0)}))
    assert dict(table.items()) == {b"kept": b"1"}, "a standby would begin from an empty table"


def test_a_table_asks_for_its_persisted_offset_when_it_is_assigned() -> None:
    assert "table.persisted_offset(tp)" in source(Recovery._add), "a standby would read its whole changelog again when it takes over"


def test_the_changelog_is_named_as_the_client_reads_it(worker: SessionWorker) -> None:
    assert worker.app.tables["state"].changelog_topic_name == "contract-state-changelog", "`streams status` reads another topic"


# ------------------------------------------------------------------------------------------------------------ settings


def test_the_settings_that_exactly_once_leans_on_are_in_force(worker: SessionWorker) -> None:
    conf = worker.app.conf
    assert conf.topic_allow_declare is False, "Faust would create topics with settings of its own"
    assert conf.topic_disable_leader is True, "Faust would declare a leader topic"
    assert conf.table_standby_replicas == 1, "there would be no standby"
    assert conf.stream_wait_empty is False, "a rebalance would wait for agents"
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.consumer_group_instance_id == "contract", "a killed worker would have to wait for its own session to time out"
    assert conf.topic_partitions == 1
    assert str(conf.store).startswith("memory:"), "a local store may be ahead of the commit"
    assert conf.broker_session_timeout > conf.broker_heartbeat_interval * 3


def test_faust_would_not_write_the_changelog_itself(worker: SessionWorker) -> None:
    assert not worker.app.in_transaction, "Faust's own exactly-once recovers an empty table"


def test_a_worker_ends_by_its_signal_handlers() -> None:
    assert hasattr(faust.Worker, "_schedule_shutdown"), "signals no longer go through _schedule_shutdown: the stop has no time limit"
    assert len(parameters(mode.Worker._schedule_shutdown)) == 2, "_schedule_shutdown takes other arguments than the signal"
    assert "self._schedule_shutdown" in source(mode.Worker), "signals no longer go through _schedule_shutdown"
    assert issubclass(process._Worker, faust.Worker)


# ------------------------------------------------------------------------------------------------------ confluent-kafka


def test_what_is_used_of_librdkafka_is_there() -> None:
    assert confluent_kafka.libversion()[1] >= 0x020C0000, "describe_topics gives no topic ids before librdkafka 2.12"
    assert hasattr(confluent_kafka.TopicPartition, "offset")
    for method in ("incremental_assign", "incremental_unassign", "list_topics", "get_watermark_offsets"):
        assert hasattr(Consumer, method), f"Consumer.{method} is gone: the feed adds topics by it"
    for method in ("init_transactions", "begin_transaction", "commit_transaction"):
        assert hasattr(Producer, method), f"Producer.{method} is gone: the ledger commits by it"
    for method in ("describe_topics", "list_offsets"):
        assert hasattr(AdminClient, method), f"AdminClient.{method} is gone: sources ask by it"
    assert "isolation_level" in str(inspect.getsource(AdminClient.list_offsets)), "list_offsets no longer tells the committed end"


def test_producing_takes_its_arguments_by_position() -> None:
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    # topic, value, key, partition, on_delivery, on_delivery, timestamp, headers: the ledger saves the keywords.
    producer.produce("topic", b"value", b"key", 0, None, None, 1_000, [("name", b"value")])
    assert len(producer) >= 1
    producer.purge()
