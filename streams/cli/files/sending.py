"""Bars, quotes or ticks from any source to their topics, at a pace, with a progress bar and a summary: what `streams produce` does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from streams.cli.files.pacing import Pace, Survey
from streams.cli.options import is_watched, print_json, say
from streams.cli.words import plural, unknown_summary
from streams.client.producer import DELIVERY_TIMEOUT_SECONDS, BarProducer
from streams.config.settings import Settings
from streams.errors import BarFileError, NobodyThereError, StreamsError
from streams.model.records import QUOTES, TICKS, Bar, Quote, Tick, known_us
from streams.times import Clock, SystemClock, iso

_LONGEST_NAP_SECONDS: Final = 0.5
_BARS_A_REDRAW: Final = 500
_STALLED_SECONDS: Final = 5.0
_OUTAGE_SECONDS: Final = 86_400.0
"""How long records of a run with a speed wait for a broker that is away."""


class Sender:
    """One run: sends records and counts them.

    Args:
        settings: where the broker is.
        speed: times real time; `None` as fast as possible.
        as_json: JSON values instead of Avro.
        total: how many will come, where that is known.
        thing: what they are: bar, quote or tick.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        speed: float | None,
        as_json: bool,
        total: int | None = None,
        thing: str = "bar",
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._speed = speed
        self._as_json = as_json
        self._total = total
        self._thing = thing
        self._clock = clock or SystemClock()
        self._sent = Survey()
        self._created: list[str] = []
        self._prepared: set[tuple[str, str | None]] = set()
        self._seconds = 0.0

    @property
    def count(self) -> int:
        """How many records were sent."""
        return self._sent.count

    def run(self, records: Iterable[Bar | Quote | Tick], pace: Pace | None, symbols: Iterable[str] = ()) -> None:
        """Send all records and wait until they are in their topics; without a pace the first one begins one. `symbols` are of bars.

        Ctrl-C or SIGTERM end it early: what was sent until then is delivered and counted all the same.
        """
        began = self._clock.monotonic()
        # One that goes on all day, as bars come, outlasts its broker; one that sends what is there ends, so that a script goes on.
        patience = DELIVERY_TIMEOUT_SECONDS if self._speed is None else _OUTAGE_SECONDS
        opened = BarProducer(self._settings, as_json=self._as_json, clock=self._clock, delivery_timeout_seconds=patience)
        with opened as producer, _progress(self._total) as (progress, task):
            outage = _Outage(producer, self._settings.bootstrap_servers, self._thing)
            self._created = producer.prepare(symbols)
            self._prepared.update((symbol, None) for symbol in symbols)
            try:
                for record in records:
                    if pace is None:
                        pace = Pace.plain(first_end_us=known_us(record), speed=self._speed, now_us=self._clock.now_us())
                    self._wait(pace.due_us(record), outage)
                    moved = pace.moved(record)
                    self._prepare(producer, moved, outage)
                    producer.send(moved)
                    outage.look()
                    self._sent.add(moved)
                    if pace.speed is not None or self._sent.count % _BARS_A_REDRAW == 0:
                        progress.update(task, completed=self._sent.count, symbol=record.symbol, at=iso(known_us(moved)))
                outage.wait_out()
            except KeyboardInterrupt:
                self._deliver_rest(producer)
                raise
            except BarFileError:
                outage.wait_out()
                raise
            finally:
                self._seconds = self._clock.monotonic() - began

    def summary(self, as_json: bool, skipped: int = 0, unknown: Mapping[str, int] | None = None) -> None:
        """Say what was sent, how many lines were skipped, and in how many records which columns were not read."""
        sent = self._sent
        rate = sent.count / self._seconds if self._seconds > 0 else 0.0
        first, last = (iso(sent.first_end_us), iso(sent.last_end_us)) if sent.count else (None, None)
        if as_json:
            print_json(
                {
                    f"{self._thing}s": sent.count,
                    "symbols": sent.counts,
                    "first_end": first,
                    "last_end": last,
                    "seconds": round(self._seconds, 3),
                    "created_topics": self._created,
                    "skipped_lines": skipped,
                    "unknown_columns": dict(unknown or {}),
                }
            )
            return
        if not sent.count:
            print(f"sent no {self._thing}: the source has none")
        else:
            each = ", ".join(f"{symbol} {count:,}" for symbol, count in sorted(sent.counts.items()))
            print(f"sent {plural(sent.count, self._thing)} in {self._seconds:.1f} s ({rate:,.0f} a second): {each}")
            print(f"the first ends at {first}, the last at {last}" if self._thing == "bar" else f"from {first} to {last}")
        if self._created:
            print(f"created {', '.join(self._created)}")
        if skipped:
            print(f"skipped {plural(skipped, 'line')} that could not be read")
        if unknown:
            print(unknown_summary(unknown))

    def _prepare(self, producer: BarProducer, record: Bar | Quote | Tick, outage: _Outage) -> None:
        """See that the record's topic is there, with the patience that deliveries have."""
        stream = QUOTES if isinstance(record, Quote) else TICKS if isinstance(record, Tick) else None
        if (record.symbol, stream) in self._prepared:
            return
        while True:
            try:
                self._created += producer.prepare([record.symbol], stream)
                break
            except NobodyThereError:
                if self._speed is None:
                    raise
                outage.found()
        self._prepared.add((record.symbol, stream))

    def _deliver_rest(self, producer: BarProducer) -> None:
        """Have delivered what was sent before the interruption.

        Raises:
            StreamsError: not all was; how many records were not is said.
        """
        producer.flush_for(_LONGEST_NAP_SECONDS)
        if not producer.pending:
            return
        say(f"interrupted: waiting up to {DELIVERY_TIMEOUT_SECONDS:.0f} s for {plural(producer.pending, self._thing)} to be delivered")
        try:
            producer.flush(DELIVERY_TIMEOUT_SECONDS)
        except StreamsError:
            say(f"{producer.pending:,} of {plural(self._sent.count, self._thing)} that were sent were not delivered")
            raise

    def _wait(self, due_us: int, outage: _Outage) -> None:
        while (left_us := due_us - self._clock.now_us()) > 0:
            # Short naps: a clock that is set back or forth must not make one endless.
            time.sleep(min(left_us / 1_000_000, _LONGEST_NAP_SECONDS))
            outage.look()


class _Outage:
    """Says when the broker stops taking records, and when it takes them again."""

    def __init__(self, producer: BarProducer, servers: str, thing: str) -> None:
        self._producer = producer
        self._servers = servers
        self._thing = thing
        self._is_said = False

    def look(self) -> None:
        """Look whether the broker takes records; raises what `BarProducer.send` does."""
        stalled = self._producer.stalled_seconds()
        if stalled >= _STALLED_SECONDS:
            self.found(stalled)
        elif self._is_said and stalled < _STALLED_SECONDS:
            self._is_said = False
            say(f"{self._servers} answers again")

    def found(self, seconds: float | None = None) -> None:
        """The broker has not answered, for so long where that is known."""
        if not self._is_said:
            self._is_said = True
            since = "" if seconds is None else f" for {seconds:.0f} s"
            say(f"no answer from {self._servers}{since}: waiting for it, the {self._thing}s are kept and sent in order")

    def wait_out(self) -> None:
        """Wait until all records are delivered, and say so while that takes long."""
        while self._producer.pending:
            self._producer.flush_for(_LONGEST_NAP_SECONDS)
            self.look()


class LineErrors:
    """Takes lines that can't be read: says each, and ends the run after too many."""

    def __init__(self, limit: int) -> None:
        self.count = 0
        self._limit = limit

    def __call__(self, error: BarFileError) -> None:
        """Take one.

        Raises:
            BarFileError: it is one more than are allowed.
        """
        self.count += 1
        if self.count > self._limit:
            raise error
        say(f"skipped: {error}")


@contextmanager
def _progress(total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[symbol]:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[at]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not is_watched(console)) as progress:
        yield progress, progress.add_task("bars", total=total, symbol="", at="")
