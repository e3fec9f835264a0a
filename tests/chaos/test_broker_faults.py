"""The broker is killed, away, paused, or has no room left: the worker says so plainly, goes on by itself, and nothing is lost.

Each test has a broker of its own to break. A short version of each kind is part of the ordinary run; `make chaos` runs all.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streams.broker import LocalBroker
from streams.errors import BrokerLostError
from tests.support.outages import Story
from tests.support.waiting import wait_until
from tests.support.workers import Worker, Workers

COMES_BACK_SECONDS = 60.0
"""A limit for waiting, on a machine with much else to do: from a broker that answers to a worker that is active."""
SUPERVISED = ("--supervise",)
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


def said(worker: Worker) -> str:
    return worker.log.read_text(errors="replace")


def assert_plain(worker: Worker, broker: LocalBroker) -> None:
    """The log says what is wrong in words, and not over and over."""
    log = said(worker)
    assert f"no broker answers at {broker.bootstrap_servers}" in log
    for riddle in ("Traceback", "_INCONSISTENT", "InternalError", "exit code 70", "exit code 1;", "would not mend"):
        assert riddle not in log, f"{riddle} in\n{worker.tail()}"


def lines_about_the_broker(worker: Worker) -> int:
    return said(worker).count("no broker answers")


def pause(seconds: float) -> None:
    """Let time pass: how long the fault lasts is the point of it."""
    threading.Event().wait(seconds)


@pytest.mark.chaos
def test_a_broker_that_is_killed_under_load_is_waited_for(broker: LocalBroker, workers_there: Workers, session_name: str) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=300)
    # Short of patience, so that the worker ends and the supervisor has to bring it back.
    worker = workers_there.start(story.config, options=SUPERVISED, settings={"STREAMS_TRANSACTION_TIMEOUT_MS": "1000"})
    worker.wait_until("active")
    with story.feed(patient_seconds=300):
        story.await_published(100)
        broker.kill()
        wait_until(lambda: f"the worker ended with {LOST}" in said(worker), "the worker to give up and say why", 60.0)
        wait_until(lambda: lines_about_the_broker(worker) >= 3, "the next one to say that it waits", 60.0)
        broker.up()
        worker.wait_until("active", COMES_BACK_SECONDS)
        story.await_fed()
    story.await_read()
    assert_plain(worker, broker)
    story.prove(worker)


@pytest.mark.chaos
@pytest.mark.slow
def test_a_broker_that_dies_while_a_worker_starts_is_no_reason_for_its_supervisor_to_end(
    broker: LocalBroker, workers_there: Workers, session_name: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=20)
    worker = workers_there.start(story.config, options=SUPERVISED)
    worker.wait_until("active")
    moments: dict[str, Callable[[str], bool]] = {
        "the worker to ask for topics": lambda log: "asking for the session's topics" in log,
        "the worker to recover": lambda log: worker.status() in ("starting", "recovering"),
        "the worker to be at work": lambda log: worker.status() == "active",
    }
    for what, has_come in moments.items():
        (child,) = worker.children()
        heard = len(said(worker))
        psutil.Process(child).kill()
        wait_until(lambda begin=heard, has_come=has_come: has_come(said(worker)[begin:]), what, 60.0)
        broker.kill()
        wait_until(lambda begin=heard: "no broker answers" in said(worker)[begin:], "the worker to say that no broker answers", 90.0)
        broker.up()
        worker.wait_until("active", COMES_BACK_SECONDS)
    with story.feed():
        story.await_fed()
    story.await_read()
    assert_plain(worker, broker)
    story.prove(worker)


@pytest.mark.chaos
@pytest.mark.slow
def test_five_kills_of_the_broker_under_load_and_an_outage_of_70_s_lose_and_repeat_nothing(
    broker: LocalBroker, workers_there: Workers, session_name: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=3000)
    workers = [workers_there.start(story.config, options=SUPERVISED)]
    workers[0].wait_until("active")
    workers.append(workers_there.start(story.config, options=SUPERVISED))
    workers[1].wait_until("standby")
    # More than is needed: it is left when the faults are over.
    with story.feed(per_second=40.0, patient_seconds=600):
        for number in range(6):
            wait_until(lambda: any(worker.status() == "active" for worker in workers), "a worker to be active", COMES_BACK_SECONDS)
            story.await_published(100)
            broker.kill()
            pause(70.0 if number == 5 else 3.0 * number)
            broker.up()
        wait_until(lambda: any(worker.status() == "active" for worker in workers), "a worker to be active", COMES_BACK_SECONDS)
        story.await_published(100)
    story.await_read()
    for worker in workers:
        assert_plain(worker, broker)
        assert lines_about_the_broker(worker) < 60, "it was said over and over"
    wait_until(lambda: {worker.status() for worker in workers} == {"active", "standby"}, "both workers to have their roles", 60.0)
    assert next(worker for worker in workers if worker.status() == "standby").stop() == 0
    story.prove(next(worker for worker in workers if worker.is_running))


@pytest.mark.chaos
@pytest.mark.slow
def test_a_broker_that_stands_still_for_15_s_is_waited_for(broker: LocalBroker, workers_there: Workers, session_name: str) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=1200)
    worker = workers_there.start(story.config, options=SUPERVISED)
    worker.wait_until("active")
    with story.feed(patient_seconds=300):
        for _ in range(3):
            worker.wait_until("active", COMES_BACK_SECONDS)
            story.await_published(200)
            process = psutil.Process(broker.pid)
            process.suspend()
            try:
                pause(15.0)
            finally:
                process.resume()
        worker.wait_until("active", COMES_BACK_SECONDS)
        story.await_fed()
    story.await_read()
    story.prove(worker)


@pytest.mark.chaos
@pytest.mark.slow
def test_a_broker_without_room_ends_and_once_there_is_room_the_session_goes_on(
    broker: LocalBroker, workers_there: Workers, session_name: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=1200)
    worker = workers_there.start(story.config, options=SUPERVISED)
    worker.wait_until("active")
    with story.feed(patient_seconds=300):
        story.await_published(200)
        # No file may grow: to whoever writes it is as if the disk were full, and it needs no disk of the test's own.
        pid = broker.pid
        assert pid is not None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        wait_until(lambda: broker.pid is None, "the broker to end, since it can't write", 120.0)
        wait_until(lambda: "no broker answers" in said(worker), "the worker to say that no broker answers", 120.0)
        broker.up()
        worker.wait_until("active", COMES_BACK_SECONDS)
        story.await_fed()
    story.await_read()
    assert_plain(worker, broker)
    story.prove(worker)
