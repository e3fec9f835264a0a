"""Two workers of one session: one is active, the other follows and takes over; a former owner can write nothing."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from streams.config import SessionConfig
from streams.errors import DemotedError, FencedError
from tests.support import unique_symbol, wait_until
from tests.support.desk import Desk
from tests.support.feeders import SteadyFeed, around_the_clock, live_timeline
from tests.support.oracle import judge
from tests.support.workers import Worker, Workers

SYMBOLS = 4
EACH = 400
BARS_A_SECOND = 150.0
TAKES_OVER_SECONDS = 30.0
"""A limit for waiting: the group's session timeout, and some seconds on a busy machine."""


def session_config(name: str, symbols: Sequence[str]) -> SessionConfig:
    return SessionConfig.from_dict(
        {
            "session_name": name,
            **around_the_clock(),
            "session_data_config": {
                "symbols": list(symbols),
                "streams": ["1s"],
                "derived_intervals": ["5s"],
                "streaming": {"catchup_threshold_seconds": 3600},
            },
        }
    )


def await_the_end(desk: Desk, symbols: Sequence[str]) -> None:
    """Wait until every symbol's topic is read."""

    def all_read() -> bool:
        rows = [desk.progress(symbol) for symbol in symbols]
        return all(row is not None and row.offset >= EACH for row in rows)

    wait_until(all_read, "all bars to be read", 30.0)


def judged(desk: Desk, symbols: list[str], worker: Worker) -> None:
    """Stop the worker, and have the oracle look at everything."""
    assert worker.stop() == 0
    assert not judge(desk.topics.evidence(desk.config, symbols))


def test_a_standby_takes_over_from_a_killed_worker_and_goes_on_exactly(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    symbols = [unique_symbol() for _ in range(SYMBOLS)]
    desk = Desk(bootstrap_servers, session_config(session_name, symbols))
    first = workers.start(desk.config)
    first.wait_until("active")
    with SteadyFeed(desk.settings, live_timeline(symbols, EACH, BARS_A_SECOND), BARS_A_SECOND) as feed:
        # It joins while the state is written, and the active worker pauses for it.
        second = workers.start(desk.config)
        second.wait_until("standby")
        first.wait_until("active")
        sequence = desk.topics.analysis()[-1].sequence
        wait_until(lambda: desk.topics.analysis()[-1].sequence > sequence + 100, "bars to be published")
        first.kill()
        second.wait_until("active", TAKES_OVER_SECONDS)
        wait_until(lambda: feed.is_done, "the feed to end", 60.0)
    await_the_end(desk, symbols)
    judged(desk, symbols, second)
    owners = {record.owner for record in desk.topics.evidence(desk.config, []).journal}
    assert len(owners) == 2, "both workers have written"


def test_a_paused_worker_that_is_continued_writes_nothing_and_ends_with_a_code_of_its_own(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol() for _ in range(SYMBOLS)]
    desk = Desk(bootstrap_servers, session_config(session_name, symbols))
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
    await_the_end(desk, symbols)
    journal = desk.topics.evidence(desk.config, []).journal
    by_successor = next(place for place, record in enumerate(journal) if record.owner == getattr(taken_over, "owner", None))
    assert {record.owner for record in journal[by_successor:]} == {journal[by_successor].owner}
    assert journal[0].owner != journal[by_successor].owner
    judged(desk, symbols, successor)
