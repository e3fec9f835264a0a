"""The network between a worker and its broker is cut, in both ways that a network has: the worker comes back by itself, exactly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.outages import COMES_BACK_SECONDS, Story, assert_plain, await_one_active
from tests.support.proxy import CutBroker
from tests.support.waiting import wait_until
from tests.support.workers import Workers

LONG_CUT_SECONDS = 70.0


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


def cut(broker: CutBroker, how: str) -> None:
    if how == "drop":
        broker.network.drop()
    else:
        broker.network.refuse()


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["drop", pytest.param("refuse", marks=pytest.mark.slow)])
def test_a_worker_that_was_cut_off_until_it_gave_up_comes_back_by_itself(
    broker: CutBroker, far_workers: Workers, session_name: str, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=300)
    worker = story.start(far_workers, settings={"STREAMS_TRANSACTION_TIMEOUT_MS": "1000"})
    assert broker.network.connections > 0, "the worker goes another way"
    with story.feed():
        story.await_published(100)
        cut(broker, how)
        wait_until(lambda: "supervisor: the worker ended with" in worker.said(), "the worker to give up", 60.0)
        broker.network.resume()
        worker.wait_until("active", COMES_BACK_SECONDS)
        story.await_fed()
    assert_plain(worker, away=broker.through_proxy)
    story.prove(worker)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_a_cut_of_70_s_between_broker_and_two_workers_loses_and_repeats_nothing(
    broker: CutBroker, far_workers: Workers, session_name: str, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=3000)
    workers = story.start_two(far_workers)
    # More than is needed: it is left when the faults are over.
    with story.feed(per_second=40.0):
        for seconds in (4.0, LONG_CUT_SECONDS):
            story.await_published(100)
            cut(broker, how)
            threading.Event().wait(seconds)  # how long the cut lasts is the point of it
            broker.network.resume()
            await_one_active(workers)
        story.await_published(100)
    for worker in workers:
        assert_plain(worker)
    story.prove_two(workers)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_an_active_worker_that_is_cut_off_alone_is_replaced_and_comes_back_as_a_standby(
    broker: CutBroker, far_workers: Workers, session_name: str, tmp_path: Path, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name, each=3000)
    cut_off = story.start(far_workers)
    with Workers(broker.bootstrap_servers, tmp_path) as near_workers:
        near = story.start(near_workers, "standby", instance=f"{session_name}-near")
        # More than is needed: it is left when the faults are over.
        with story.feed(per_second=40.0):
            story.await_published(100)
            cut(broker, how)
            near.wait_until("active", COMES_BACK_SECONDS)
            story.await_published(100)
            broker.network.resume()
            cut_off.wait_until("standby", COMES_BACK_SECONDS)
            story.await_published(100)
        assert_plain(cut_off)
        assert cut_off.stop() == 0
        owners = story.prove(near)
    assert len([owner for place, owner in enumerate(owners) if place == 0 or owner != owners[place - 1]]) == 2, "the one, then the other"
