"""A request that ends a transaction (EndTxn) arrives two transactions late: the broker refuses it, and no transaction is torn."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.worker.ledger.ledger import second_id
from tests.support.kafka.outages import Story
from tests.support.kafka.proxy import CutBroker
from tests.support.kafka.reading import read_topic
from tests.support.kills.late_ends import FENCED, LateEnds
from tests.support.workers.processes import Workers

SEED = 20261130
BARS_A_SECOND = 120.0
ANSWER_MS = 1000
# As long as a client waits for an answer: the shorter, the sooner it sends again.
SETTINGS = {"STREAMS_KAFKA_CONFIG": json.dumps({"socket.timeout.ms": ANSWER_MS})}


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[CutBroker, LateEnds]]:
    """A broker, and the network in front of it."""
    with CutBroker(tmp_path / "broker", LateEnds) as broker:
        assert isinstance(broker.network, LateEnds)
        yield broker, broker.network


def tear(
    network: tuple[CutBroker, LateEnds], folder: Path, session: str, *, times: int, stalls: int, each: int
) -> Counter[tuple[str, str]]:
    """Deliver so many late requests to end a transaction, and prove that nothing came of it; counts what was delivered.

    One in `stalls` is held back without a word: the client waits for its answer until its own timeout. `each` are more bars of each
    symbol than are needed: the feed is left when the faults are over.
    """
    broker, late = network
    rng = random.Random(SEED)
    story = Story(broker.bootstrap_servers, session, each=each, threshold_seconds=each)
    answers: Counter[tuple[str, str]] = Counter()
    with Workers(broker.through_proxy, folder) as workers:
        worker = story.start(workers, settings=SETTINGS)
        ids = {"first id": session, "second id": second_id(session)}
        with story.feed(per_second=BARS_A_SECOND):
            story.await_published(10)
            for number in range(times):
                name, commit = ("first id", "second id")[number % 2], number // 2 % 2 == 0
                held = late.hold(ids[name], commit=commit, stall=number % stalls == stalls - 1, after_produces=rng.randint(1, 2))
                error, what = held.await_delivered(), "commit" if commit else "abort"
                assert error in FENCED, f"late request {number + 1}, to {what} under the {name}: the broker answered {error}"
                answers[name, what] += 1
                assert late.fault is None, late.fault
            story.await_published(10)
        assert worker.said().count("new producer epochs are taken") >= times, worker.tail()
        assert "the worker ended" not in worker.said(), worker.tail()
        story.prove(worker)
    events = [read.headers for read in read_topic(broker.bootstrap_servers, story.desk.names.analysis)]
    numbers = [(int(headers["epoch"]), int(headers["sequence"])) for headers in events]
    assert numbers == [(1, number + 1) for number in range(len(numbers))], "what a consumer of committed records is given"
    return answers


def assert_all_kinds(answers: Counter[tuple[str, str]], times: int) -> None:
    """So many requests came late, to commit and to abort, under both ids."""
    assert answers.total() == times
    assert set(answers) == {(name, what) for name in ("first id", "second id") for what in ("commit", "abort")}


@pytest.mark.chaos
def test_an_end_that_comes_two_transactions_late_is_refused(network: tuple[CutBroker, LateEnds], tmp_path: Path, session_name: str) -> None:
    assert_all_kinds(tear(network, tmp_path, session_name, times=24, stalls=24, each=3_000), 24)


@pytest.mark.chaos
@pytest.mark.slow
def test_a_thousand_ends_that_come_two_transactions_late_are_refused(
    network: tuple[CutBroker, LateEnds], tmp_path: Path, session_name: str
) -> None:
    assert_all_kinds(tear(network, tmp_path, session_name, times=1000, stalls=50, each=40_000), 1000)
