"""The network between a worker and its broker is cut, in both ways that a network has: the worker comes back by itself, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.kafka.outages import (
    BARS_A_SECOND,
    COMES_BACK_SECONDS,
    Story,
    await_one_active,
    outage,
    pause,
)
from tests.support.kafka.proxy import CutBroker
from tests.support.waiting import wait_until
from tests.support.workers.processes import Workers

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
    story = Story(broker.bootstrap_servers, session_name)
    worker = story.start(far_workers, settings={"STREAMS_TRANSACTION_TIMEOUT_MS": "1000"})
    assert broker.network.connections > 0, "the worker goes another way"
    with outage(story, [worker], per_second=BARS_A_SECOND, away=broker.through_proxy):
        cut(broker, how)
        wait_until(lambda: "supervisor: the worker ended with" in worker.said(), "the worker to give up")
        broker.network.resume()


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_a_cut_of_70_s_between_broker_and_two_workers_loses_and_repeats_nothing(
    broker: CutBroker, far_workers: Workers, session_name: str, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name)
    workers = story.start_two(far_workers)
    with outage(story, workers):
        for seconds in (4.0, LONG_CUT_SECONDS):
            await_one_active(workers)
            story.await_published(100)
            cut(broker, how)
            pause(seconds)
            broker.network.resume()


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_an_active_worker_that_is_cut_off_alone_is_replaced_and_comes_back_as_a_standby(
    broker: CutBroker, far_workers: Workers, session_name: str, tmp_path: Path, how: str
) -> None:
    story = Story(broker.bootstrap_servers, session_name)
    cut_off = story.start(far_workers)
    with Workers(broker.bootstrap_servers, tmp_path) as near_workers:
        near = story.start(near_workers, "standby", instance=f"{session_name}-near")
        with outage(story, [cut_off, near]) as owners:
            cut(broker, how)
            near.wait_until("active", COMES_BACK_SECONDS)
            story.await_published(100)
            broker.network.resume()
            cut_off.wait_until("standby", COMES_BACK_SECONDS)
    assert len([owner for owner, _ in groupby(owners)]) == 2, "the one, then the other"
