"""Two workers of one session: one is active, the other follows and takes over; a former owner can write nothing."""

from __future__ import annotations

import signal

from streams.errors import DemotedError, FencedError
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

SYMBOLS = 4
EACH = 400
BARS_A_SECOND = 150.0
TAKES_OVER_SECONDS = 30.0
"""A limit for waiting: the group's session timeout, and some seconds on a busy machine."""


def test_a_standby_takes_over_from_a_killed_worker_and_goes_on_exactly(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    symbols = [unique_symbol() for _ in range(SYMBOLS)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, threshold_seconds=3600))
    first = workers.start(desk.config)
    first.wait_until("active")
    with SteadyFeed(desk.settings, live_timeline(symbols, EACH, BARS_A_SECOND), BARS_A_SECOND) as feed:
        # It joins while the state is written, and the active worker pauses for it.
        second = workers.start(desk.config)
        second.wait_until("standby")
        first.wait_until("active")
        sequence = desk.topics.analysis()[-1].sequence
        # On a machine so busy that all bars were sent before it joined, there is nothing more to wait for.
        wait_until(lambda: feed.is_done or desk.topics.analysis()[-1].sequence > sequence + 100, "bars to be published")
        first.kill()
        second.wait_until("active", TAKES_OVER_SECONDS)
        wait_until(lambda: feed.is_done, "the feed to end", 60.0)
    desk.await_read(dict.fromkeys(symbols, EACH))
    assert second.stop() == 0
    desk.check_left_behind(symbols)
    owners = {record.owner for record in desk.topics.evidence(desk.config, []).journal}
    assert len(owners) == 2, "both workers have written"


def test_a_paused_worker_that_is_continued_writes_nothing_and_ends_with_a_code_of_its_own(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol() for _ in range(SYMBOLS)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, threshold_seconds=3600))
    former = workers.start(desk.config)
    former.wait_until("active")
    successor = workers.start(desk.config)
    successor.wait_until("standby")
    former.wait_until("active")
    with SteadyFeed(desk.settings, live_timeline(symbols, EACH, BARS_A_SECOND), BARS_A_SECOND) as feed:
        wait_until(lambda: desk.topics.analysis()[-1].sequence > 200, "bars to be published")
        former.signal(signal.SIGSTOP)
        successor.wait_until("active", TAKES_OVER_SECONDS)
        taken_over = desk.topics.rows()["session"]
        former.signal(signal.SIGCONT)
        code = former.wait_ended()
        wait_until(lambda: feed.is_done, "the feed to end", 60.0)
    assert code in (FencedError.exit_code, DemotedError.exit_code)
    assert "rdkafka#" not in former.tail(), "what ends a worker is said in the log's form only"
    desk.await_read(dict.fromkeys(symbols, EACH))
    journal = desk.topics.evidence(desk.config, []).journal
    by_successor = next(place for place, record in enumerate(journal) if record.owner == getattr(taken_over, "owner", None))
    assert {record.owner for record in journal[by_successor:]} == {journal[by_successor].owner}
    assert journal[0].owner != journal[by_successor].owner
    assert successor.stop() == 0
    desk.check_left_behind(symbols)


def test_a_standby_with_another_config_says_at_once_that_it_would_not_take_over(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    config = second_bars(session_name, [unique_symbol()])
    workers.start(config).wait_until("active")
    other = workers.start(second_bars(session_name, [unique_symbol()]))
    warning = "this standby's config differs from the one that the session runs under, so it would not take over"
    wait_until(lambda: warning in other.tail(), "the standby to see that its config is another")
