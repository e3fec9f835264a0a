"""The broker is killed, away, paused, or has no room left: the worker says so plainly, goes on by itself, and nothing is lost.

Each test has a broker of its own to break. A short version of each kind is part of the ordinary run; `make chaos` runs all.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streams.broker import LocalBroker
from streams.errors import BrokerLostError
from tests.support.kafka.outages import (
    BARS_A_SECOND,
    COMES_BACK_SECONDS,
    Story,
    await_one_active,
    outage,
    pause,
)
from tests.support.waiting import wait_until
from tests.support.workers.processes import Workers

LOST = f"exit code {BrokerLostError.exit_code}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker of the test's own, for it to break."""
    broker = LocalBroker(tmp_path / "broker")
    try:
        broker.up()
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def workers_there(broker: LocalBroker, tmp_path: Path) -> Iterator[Workers]:
    """Workers on that broker."""
    with Workers(broker.bootstrap_servers, tmp_path) as started:
        yield started


@pytest.mark.chaos
def test_a_broker_that_is_killed_under_load_is_waited_for(broker: LocalBroker, workers_there: Workers, session_name: str) -> None:
    story = Story(broker.bootstrap_servers, session_name)
    # Short of patience, so that the worker ends and the supervisor has to bring it back.
    worker = story.start(workers_there, settings={"STREAMS_TRANSACTION_TIMEOUT_MS": "1000"})
    with outage(story, [worker], per_second=BARS_A_SECOND, away=broker.bootstrap_servers):
        broker.kill()
        wait_until(lambda: f"the worker ended with {LOST}" in worker.said(), "the worker to give up and say why")
        wait_until(lambda: worker.said().count("asking for the session's topics") == 2, "the next one to look for the broker")
        broker.up()


@pytest.mark.chaos
@pytest.mark.slow
def test_a_broker_that_dies_while_a_worker_starts_is_no_reason_for_its_supervisor_to_end(
    broker: LocalBroker, workers_there: Workers, session_name: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name)
    worker = story.start(workers_there)
    moments: dict[str, Callable[[str], bool]] = {
        "the worker to ask for topics": lambda log: "asking for the session's topics" in log,
        "the worker to recover": lambda log: worker.status() in ("starting", "recovering"),
        "the worker to be at work": lambda log: worker.status() == "active",
    }
    with outage(story, [worker], away=broker.bootstrap_servers):
        for what, has_come in moments.items():
            (child,) = worker.children()
            heard = len(worker.said())
            psutil.Process(child).kill()
            wait_until(lambda begin=heard, has_come=has_come: has_come(worker.said()[begin:]), what)
            broker.kill()
            wait_until(lambda begin=heard: "no broker answers" in worker.said()[begin:], "the worker to say that no broker answers", 90.0)
            broker.up()
            worker.wait_until("active", COMES_BACK_SECONDS)


@pytest.mark.chaos
@pytest.mark.slow
def test_five_kills_of_the_broker_under_load_and_an_outage_of_70_s_lose_and_repeat_nothing(
    broker: LocalBroker, workers_there: Workers, session_name: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name)
    workers = story.start_two(workers_there)
    with outage(story, workers, away=broker.bootstrap_servers):
        for number in range(6):
            await_one_active(workers)
            story.await_published(100)
            broker.kill()
            pause(70.0 if number == 5 else 3.0 * number)
            broker.up()
    for worker in workers:
        assert worker.said().count("no broker answers") < 60, "it was said over and over"


@pytest.mark.chaos
@pytest.mark.slow
def test_a_broker_that_stands_still_for_15_s_is_waited_for(broker: LocalBroker, workers_there: Workers, session_name: str) -> None:
    story = Story(broker.bootstrap_servers, session_name)
    worker = story.start(workers_there)
    with outage(story, [worker], per_second=BARS_A_SECOND):
        for _ in range(3):
            worker.wait_until("active", COMES_BACK_SECONDS)
            story.await_published(200)
            process = psutil.Process(broker.pid)
            process.suspend()
            try:
                pause(15.0)
            finally:
                process.resume()


@pytest.mark.chaos
@pytest.mark.slow
def test_a_broker_without_room_ends_and_once_there_is_room_the_session_goes_on(
    broker: LocalBroker, workers_there: Workers, session_name: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name)
    worker = story.start(workers_there)
    with outage(story, [worker], per_second=BARS_A_SECOND, away=broker.bootstrap_servers):
        # No file may grow: to whoever writes it is as if the disk were full, and it needs no disk of the test's own.
        pid = broker.pid
        assert pid is not None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        wait_until(lambda: broker.pid is None, "the broker to end, since it can't write", 120.0)
        wait_until(lambda: "no broker answers" in worker.said(), "the worker to say that no broker answers", 120.0)
        broker.up()
