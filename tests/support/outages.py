"""What the tests of faults between worker and broker have in common: a session under load, and the proof that nothing came of it.

story = Story(servers, config, symbols, each=600)
with story.feed(patient_seconds=240):
    ...                              # the fault
    story.await_fed()
story.await_read()
story.prove(worker)                  # stops it; the oracle and `verify` look at everything
"""

from __future__ import annotations

from streams.engine.rows import ProgressRow, progress_key
from streams.replay.verify import verify
from tests.support.desk import LiveDesk
from tests.support.feeders import SteadyFeed, live_timeline
from tests.support.oracle import judge
from tests.support.sessions import second_bars
from tests.support.topics import unique_symbol
from tests.support.waiting import wait_until
from tests.support.workers import Worker

BARS_A_SECOND = 120.0
READ_SECONDS = 120.0
"""A limit for waiting, on a machine with much else to do."""


class Story:
    """A session of a few symbols with a steady feed, on the broker at `servers`."""

    def __init__(self, servers: str, session: str, *, symbols: int = 4, each: int) -> None:
        self.symbols = [unique_symbol() for _ in range(symbols)]
        self.each = each
        # An hour, so that each bar is published however long a fault lasts.
        self.desk = LiveDesk(servers, second_bars(session, self.symbols, threshold_seconds=3600))
        self.config = self.desk.config
        self._feed: SteadyFeed | None = None

    def feed(self, *, per_second: float = BARS_A_SECOND, patient_seconds: float | None = None) -> SteadyFeed:
        """The feed, a context manager: it outlasts a broker that is away for `patient_seconds`, and may be left before its end."""
        bars = live_timeline(self.symbols, self.each, per_second)
        self._feed = SteadyFeed(self.desk.settings, bars, per_second, patient_seconds=patient_seconds)
        return self._feed

    def fed(self) -> dict[str, int]:
        """How many bars of each symbol were sent."""
        assert self._feed is not None, "no feed was started"
        return {symbol: self._feed.sent_of[symbol] for symbol in self.symbols}

    def published(self) -> int:
        """The number of the newest analysis record."""
        analysis = self.desk.topics.analysis()
        return analysis[-1].sequence if analysis else 0

    def await_published(self, more: int, timeout_seconds: float = READ_SECONDS) -> None:
        """Wait until `more` records than now are on analysis: the session is at work."""
        wanted = self.published() + more
        wait_until(lambda: self.published() >= wanted, f"{more} more records on analysis", timeout_seconds)

    def await_fed(self) -> None:
        """Wait until all bars are in their topics."""
        feed = self._feed
        assert feed is not None, "no feed was started"
        wait_until(lambda: feed.is_done, "the feed to end", 2 * READ_SECONDS)

    def await_read(self, timeout_seconds: float = READ_SECONDS) -> None:
        """Wait until every symbol's topic is read to its end."""
        fed = self.fed()

        def all_read() -> bool:
            rows = self.desk.topics.rows()
            found = {symbol: rows.get(progress_key(symbol)) for symbol in self.symbols}
            return all(isinstance(row, ProgressRow) and row.offset >= fed[symbol] for symbol, row in found.items())

        wait_until(all_read, "all bars to be read", timeout_seconds)

    def prove(self, worker: Worker) -> list[str]:
        """Stop the worker; nothing is lost, repeated, stale or out of order, and `verify` finds all equal. Gives the owners in turn."""
        assert worker.stop() == 0, worker.tail()
        evidence = self.desk.topics.evidence(self.config, self.symbols)
        findings = judge(evidence)
        assert not findings, "\n".join(findings)
        assert {symbol: len(bars) for symbol, bars in evidence.topics.items()} == self.fed()
        # Which bars are held back depends on when a symbol was loaded; the oracle accounts for each. Some must be there to judge.
        assert any(event.bar is not None for event in evidence.analysis)
        audit = verify(self.desk.settings)
        assert audit.is_equal, "\n".join([*map(str, audit.differences), *audit.unchecked])
        return [record.owner for record in evidence.journal]
