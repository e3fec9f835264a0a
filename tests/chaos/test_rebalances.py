"""The group is rebalanced, channels lose what they hold: the output goes on exactly."""

from __future__ import annotations

import signal

import pytest

from streams.model.inputs import InputKind
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, endless_timeline
from tests.support.sessions.desk import READ_SECONDS, LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

JOINS = 3
BARS_A_LOSS = 200

pytestmark = pytest.mark.chaos


def inputs_of(desk: LiveDesk, kind: InputKind) -> int:
    """How often an input of this kind stands in the journal."""
    return sum(given.kind is kind for record in desk.topics.evidence(desk.config, []).journal for given in record.inputs)


def last_sequence(desk: LiveDesk) -> int:
    """The newest published bar's number, 0 when there is none."""
    return max((event.sequence for event in desk.topics.analysis() if event.bar is not None), default=0)


@pytest.mark.slow
def test_a_standby_that_comes_and_goes_costs_no_bar_and_an_added_symbol_not_even_a_rebalance(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol("R") for _ in range(6)]
    initial, added = symbols[:-2], symbols[-2:]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, initial, threshold_seconds=3600))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    feed = SteadyFeed(desk.settings, endless_timeline(symbols, 300, 100.0), 100.0, at_least=1800)
    with feed:
        resumed = inputs_of(desk, InputKind.RESUMED)
        for symbol in added:
            desk.add(symbol)
        assert inputs_of(desk, InputKind.RESUMED) == resumed, "an added symbol made the worker begin again"
        standby = workers.start(desk.config)
        for _ in range(JOINS):
            standby.wait_until("standby")
            worker.wait_until("active")
            # What is being read and written when the group is rebalanced is the point of it.
            sequence = last_sequence(desk)
            wait_until(lambda: last_sequence(desk) > sequence + 20, "bars to be published")  # noqa: B023
            assert standby.stop() == 0
            standby.start()
        feed.finish()
        wait_until(lambda: feed.is_done, "the feed to end", READ_SECONDS)
    desk.await_read(feed.sent_of)
    assert inputs_of(desk, InputKind.RESUMED) > resumed, "the group was to be rebalanced"
    assert worker.is_running
    standby.wait_until("standby")
    assert standby.stop() == 0
    assert worker.stop() == 0
    desk.check_left_behind(symbols)


@pytest.mark.parametrize("losses", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_channel_that_loses_what_it_holds_is_noticed_and_read_again(
    losses: int, bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol("L") for _ in range(6)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, threshold_seconds=3600))
    worker = workers.start(desk.config, module="tests.support.workers.leaky")
    worker.wait_until("active")
    each = BARS_A_LOSS * losses
    feed = SteadyFeed(desk.settings, endless_timeline(symbols, each, 300.0), 300.0, at_least=each * len(symbols))
    with feed:
        for lost in range(1, losses + 1):
            sequence = last_sequence(desk)
            worker.signal(signal.SIGHUP)
            wait_until(lambda: inputs_of(desk, InputKind.REWOUND) >= lost, "the loss to be noticed", READ_SECONDS)  # noqa: B023
            wait_until(lambda: last_sequence(desk) > sequence, "bars to be published again", READ_SECONDS)  # noqa: B023
        feed.finish()
        wait_until(lambda: feed.is_done, "the feed to end", READ_SECONDS)
    desk.await_read(feed.sent_of)
    assert worker.stop() == 0
    desk.check_left_behind(symbols)
