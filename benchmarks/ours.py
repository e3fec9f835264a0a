"""One drain by our worker: started on a backlog, watched through its journal, its output held against the work.

The journal says in each record which offsets of which topics went into the transaction, so bars are counted as they are
committed, without asking the worker.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from benchmarks.desk import Output, Work, WrongOutputError, check, produce
from benchmarks.watching import REQUEST_SECONDS, Pace, Seen, Subject, pace, read, running
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.model.inputs import InputKind
from streams.times import DAY_US, MINUTE_US, SECOND_US, SystemClock
from streams.wire.codec import Codec

# The day's clock stands behind the last bar: with a threshold of a day all of it is fresh, with the usual one nothing is.
FRESH_THRESHOLD_SECONDS: Final = DAY_US // SECOND_US
STALE_MINUTES: Final = 10
# A fetch brings no more of a topic than this, about 20 bars, so that a batch holds a few bars of each symbol, as live ones do.
SMALL_FETCHES: Final = {"fetch.message.max.bytes": "2000"}

_numbers = itertools.count()


class Drain(NamedTuple):
    """What a drain gave: its pace in bars, and how many symbols a transaction had bars of."""

    pace: Pace
    symbols_per_transaction: float


def drain(folder: Path, servers: str, work: Work, *, published: bool, interleaved: bool) -> Drain:
    """A worker whose gate was open comes back to the bars of a day that were written while it was away.

    With `published` all of them are fresh, otherwise none is, and nothing may be published. The gate of a new session opens when
    all symbols are loaded, so the session is opened on empty topics first, by a worker that is then stopped.
    """
    one = _Session(folder, servers, work, published=published, interleaved=interleaved)
    try:
        one.open()
        produce(one.settings, work, interleaved=interleaved)
        drained = one.drain()
        outputs = one.published()
        if published:
            check(outputs, work, first_us=work.last_day_us, whole=True)
        elif stale := list(outputs):
            raise WrongOutputError(f"{len(stale)} stale bars were published, such as {stale[0]}")
    finally:
        one.delete()
    return drained


class _Session:
    """A session with a name and topics of its own."""

    def __init__(self, folder: Path, servers: str, work: Work, *, published: bool, interleaved: bool) -> None:
        self.name = f"bench-{os.getpid()}-{next(_numbers)}"
        self.settings = Settings.load(bootstrap_servers=servers, bars_pattern=f"{self.name}.{{symbol}}")
        self._behind_us = SECOND_US if published else STALE_MINUTES * MINUTE_US
        self._folder = folder
        self._work = work
        self._codec = Codec()
        self._config = folder / f"{self.name}.json"
        self._config.write_text(_config(self.name, work, FRESH_THRESHOLD_SECONDS if published else None).to_json(), encoding="utf-8")
        self._environment = {
            "STREAMS_BOOTSTRAP_SERVERS": servers,
            "STREAMS_BARS_PATTERN": self.settings.bars_pattern,
            "STREAMS_HTTP_PORT": "0",
            "STREAMS_LOG_LEVEL": "WARNING",
            "STREAMS_KAFKA_CONFIG": json.dumps(SMALL_FETCHES if interleaved else {}),
        }

    def open(self) -> None:
        """Have a worker open the gate at the beginning of the day, and stop it."""
        with self._running(self._work.last_day_us + SECOND_US) as subject:
            for _ in read(self.settings.bootstrap_servers, f"{self.name}.analysis", subject=subject, ended=_is_activated):
                pass
            subject.stop()

    def _running(self, now_us: int) -> AbstractContextManager[Subject]:
        offset_us = now_us - SystemClock().now_us()
        command = [sys.executable, "-m", "benchmarks.worker", str(self._config), str(offset_us)]
        return running(command, self._folder / f"{self.name}.log", self._environment)

    def drain(self) -> Drain:
        """Run a worker until the journal says that all bars of the last day are committed."""
        expected = self._work.symbols * self._work.minutes
        seen: list[Seen] = []
        touched: list[int] = []
        count = 0
        before: Seen | None = None

        def all_read(message: Message) -> bool:
            nonlocal count, before
            ranges = [given for given in self._codec.journal_from(message.value()).inputs if given.kind is InputKind.RANGE]
            bars = sum((given.next_offset or 0) - (given.first_offset or 0) for given in ranges)
            if bars:
                count += bars
                seen.append(subject.seen(count))
                touched.append(len(ranges))
            elif not count:
                before = subject.seen(0)
            return count >= expected

        with self._running(self._work.end_us + self._behind_us) as subject:
            for _ in read(self.settings.bootstrap_servers, f"{self.name}.journal", subject=subject, ended=all_read):
                pass
        # A few bars may all be in one transaction: then it counts from the one before, the session's resumption.
        return Drain(pace(seen if before is None or len(seen) > 1 else [before, *seen]), sum(touched) / len(touched))

    def published(self) -> Iterator[Output]:
        """The bars on the analysis topic."""
        for message in read(self.settings.bootstrap_servers, f"{self.name}.analysis"):
            event = self._codec.analysis_from(message.value())
            bar = event.bar
            if event.kind == "bar" and bar is not None:
                yield Output(event.symbol or "", event.interval or "", bar.start_us, bar.open, bar.high, bar.low, bar.close, bar.volume)

    def delete(self) -> None:
        """Delete the session's topics, so that the broker is as it was for who comes next."""
        admin = AdminClient({**self.settings.kafka(), "log_level": 0})
        topics = [
            topic for topic in admin.list_topics(timeout=REQUEST_SECONDS).topics if topic.startswith((f"{self.name}.", f"{self.name}-"))
        ]
        for done in admin.delete_topics(topics, operation_timeout=REQUEST_SECONDS).values() if topics else ():
            done.result()


def _is_activated(message: Message) -> bool:
    return ("kind", b"activated") in (message.headers() or [])


def _config(name: str, work: Work, threshold_seconds: int | None) -> SessionConfig:
    return SessionConfig.from_dict(
        {
            "session_name": name,
            "exchange": "24/7",
            "session_data_config": {
                "symbols": work.names,
                "streams": ["1m"],
                "derived_intervals": ["5m", "15m"],
                "streaming": {} if threshold_seconds is None else {"catchup_threshold_seconds": threshold_seconds},
            },
        }
    )
