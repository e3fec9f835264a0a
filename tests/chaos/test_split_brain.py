"""Two workers that both take themselves for the owner: only one of them writes, and the other ends with a code that says why."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.errors import DemotedError, DuplicateWorkerError, FencedError
from tests.support.kafka.outages import Story
from tests.support.waiting import wait_until
from tests.support.workers.processes import SUPERVISED, Worker, Workers

ROUNDS = 10
TAKES_OVER_SECONDS = 60.0
"""A limit for waiting: the group's session timeout, and a start on a busy machine."""


@pytest.mark.chaos
@pytest.mark.slow
def test_ten_times_paused_ten_times_replaced_and_never_two_that_write(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    story = Story(bootstrap_servers, session_name, each=3000)
    active = story.start(workers, options=())
    standby = story.start(workers, "standby", options=())
    turns = [active.instance]
    with story.feed(per_second=40.0):
        for number in range(ROUNDS):
            active.wait_until("active")
            story.await_published(50)
            active.signal(signal.SIGSTOP)
            standby.wait_until("active", TAKES_OVER_SECONDS)
            story.await_published(20)
            active.signal(signal.SIGCONT)
            code = active.wait_ended()
            assert code in (FencedError.exit_code, DemotedError.exit_code), f"round {number}: exit code {code}\n{active.tail()}"
            active.start()
            active.wait_until("standby")
            active, standby = standby, active
            turns.append(active.instance)
    active.wait_until("active")
    assert standby.stop() == 0
    owners = story.prove(active)
    # Each owner's transactions stand together: once another has taken over, none of the former one's follows.
    assert [owner for owner, _ in groupby(owners)] == turns


@pytest.mark.chaos
def test_a_worker_that_stands_still_in_a_transaction_for_too_long_starts_anew_and_repeats_nothing(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    story = Story(bootstrap_servers, session_name, each=200)
    settings = {"STREAMS_TRANSACTION_TIMEOUT_MS": "3000"}
    worker = story.start(workers, options=(), module="tests.support.workers.stalling", settings=settings)

    def is_over() -> bool:
        """Whether no transaction is open: then committed reading ends where a topic does."""
        written = [*story.desk.names.all_session_topics(), story.desk.topics.changelog]
        asked = {TopicPartition(topic, 0): OffsetSpec.latest() for topic in written}
        committed, all_there = (
            {partition.topic: end.result().offset for partition, end in story.desk.admin.list_offsets(asked, isolation_level=level).items()}
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        return committed == all_there

    with story.feed():
        story.await_published(100)
        worker.signal(signal.SIGHUP)
        wait_until(lambda: worker.stands_still, "the worker to stand still in a transaction")
        wait_until(is_over, "the broker to abort the transaction", 60.0)
        worker.signal(signal.SIGCONT)
        assert worker.wait_ended() == FencedError.exit_code
        worker.start()
        worker.wait_until("active")
        story.await_fed()
    assert "the transaction was open for more than 3 s" in worker.said()
    story.prove(worker)


def start_twin(story: Story, workers: Workers, machine: Path) -> Worker:
    """Start a supervised worker of the one name on a machine of its own."""
    machine.mkdir()
    # A slot is a locked file: another folder is as another machine.
    return workers.start(story.config, instance="twin", options=SUPERVISED, settings={"TMPDIR": str(machine)})


def await_end_of_one(twins: Sequence[Worker]) -> Worker:
    """Wait until one has ended for good and said why; gives the other."""
    wait_until(lambda: not all(one.is_running for one in twins), "one of the two to end", 120.0)
    (left,) = [one for one in twins if one.is_running]
    (ended,) = [one for one in twins if not one.is_running]
    assert ended.wait_ended() == DuplicateWorkerError.exit_code
    assert "STREAMS_INSTANCE_ID" in ended.said()
    return left


@pytest.mark.chaos
@pytest.mark.slow
def test_of_two_workers_with_one_instance_id_on_two_machines_one_ends_for_good(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    story = Story(bootstrap_servers, session_name, each=300)
    first = start_twin(story, workers, tmp_path / "here")
    first.wait_until("active")
    with story.feed():
        story.await_published(50)
        left = await_end_of_one([first, start_twin(story, workers, tmp_path / "there")])
        left.wait_until("active")
        story.await_fed()
    story.prove(left)


@pytest.mark.chaos
@pytest.mark.slow
def test_of_two_standbys_with_one_instance_id_one_ends_and_the_owner_goes_on(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    story = Story(bootstrap_servers, session_name, each=100)
    active = story.start(workers, options=())
    first = start_twin(story, workers, tmp_path / "here")
    first.wait_until("standby")
    second = start_twin(story, workers, tmp_path / "there")
    with story.feed():
        left = await_end_of_one([first, second])
        story.await_fed()
    left.wait_until("standby")
    active.wait_until("active")
    assert set(story.prove(active)) == {active.instance}, "the owner was not disturbed"
