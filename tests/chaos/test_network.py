"""The network between a worker and its broker is cut, in both ways that a network has: the worker comes back by itself, exactly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.outages import Story
from tests.support.proxy import CutBroker
from tests.support.waiting import wait_until
from tests.support.workers import Worker, Workers

COMES_BACK_SECONDS = 90.0
"""A limit for waiting, on a machine with much else to do: from a network that is whole to a worker that is active."""
LONG_CUT_SECONDS = 70.0
SUPERVISED = ("--supervise",)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[CutBroker]:
    """A broker with a network in front of it."""
    with CutBroker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def far_workers(broker: CutBroker, tmp_path: Path) -> Iterator[Workers]:
    """Workers that reach the broker through that network only."""
    with Workers(broker.through_proxy, tmp_path) as started:
        yield started


def said(worker: Worker) -> str:
    return worker.log.read_text(errors="replace")


def assert_plain(worker: Worker) -> None:
    for riddle in ("Traceback", "_INCONSISTENT", "InternalError", "exit code 70", "exit code 1;", "would not mend"):
        assert riddle not in said(worker), f"{riddle} in\n{worker.tail()}"


def cut(broker: CutBroker, how: str) -> None:
    if how == "drop":
        broker.network.drop()
    else:
        broker.network.refuse()


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_a_worker_that_was_cut_off_until_it_gave_up_comes_back_by_itself(
    broker: CutBroker, far_workers: Workers, session_name: str, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=300)
    worker = far_workers.start(story.config, options=SUPERVISED, settings={"STREAMS_TRANSACTION_TIMEOUT_MS": "1000"})
    worker.wait_until("active")
    assert broker.network.connections > 0, "the worker goes another way"
    with story.feed():
        story.await_published(100)
        cut(broker, how)
        wait_until(lambda: "supervisor: the worker ended with" in said(worker), "the worker to give up", 60.0)
        broker.network.resume()
        worker.wait_until("active", COMES_BACK_SECONDS)
        story.await_fed()
    story.await_read()
    assert f"no broker answers at {broker.through_proxy}" in said(worker)
    assert_plain(worker)
    story.prove(worker)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_a_cut_of_70_s_between_broker_and_two_workers_loses_and_repeats_nothing(
    broker: CutBroker, far_workers: Workers, session_name: str, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=3000)
    workers = [far_workers.start(story.config, options=SUPERVISED)]
    workers[0].wait_until("active")
    workers.append(far_workers.start(story.config, options=SUPERVISED))
    workers[1].wait_until("standby")
    # More than is needed: it is left when the faults are over.
    with story.feed(per_second=40.0):
        for seconds in (4.0, LONG_CUT_SECONDS):
            story.await_published(100)
            cut(broker, how)
            threading.Event().wait(seconds)  # how long the cut lasts is the point of it
            broker.network.resume()
            wait_until(lambda: any(worker.status() == "active" for worker in workers), "a worker to be active", COMES_BACK_SECONDS)
        story.await_published(100)
    story.await_read()
    for worker in workers:
        assert_plain(worker)
    wait_until(lambda: {worker.status() for worker in workers} == {"active", "standby"}, "both workers to have their roles", 90.0)
    assert next(worker for worker in workers if worker.status() == "standby").stop() == 0
    story.prove(next(worker for worker in workers if worker.is_running))


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_an_active_worker_that_is_cut_off_alone_is_replaced_and_comes_back_as_a_standby(
    broker: CutBroker, far_workers: Workers, session_name: str, tmp_path: Path, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=3000)
    cut_off = far_workers.start(story.config, options=SUPERVISED)
    cut_off.wait_until("active")
    with Workers(broker.bootstrap_servers, tmp_path) as near_workers:
        near = near_workers.start(story.config, instance=f"{session_name}-near")
        near.wait_until("standby")
        # More than is needed: it is left when the faults are over.
        with story.feed(per_second=40.0):
            story.await_published(100)
            cut(broker, how)
            near.wait_until("active", COMES_BACK_SECONDS)
            story.await_published(100)
            broker.network.resume()
            cut_off.wait_until("standby", COMES_BACK_SECONDS)
            story.await_published(100)
        story.await_read()
        assert_plain(cut_off)
        assert cut_off.stop() == 0
        owners = story.prove(near)
    assert len([owner for place, owner in enumerate(owners) if place == 0 or owner != owners[place - 1]]) == 2, "the one, then the other"
