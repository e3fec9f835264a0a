"""Who reads a session while its workers are killed, and is killed too: an exporter of what is new, and a consumer of analysis.

    python -m tests.support.kills.bystanders export localhost:9092 SESSION FOLDER
    python -m tests.support.kills.bystanders consume localhost:9092 SESSION FILE

Each goes on until it is killed. The consumer writes what it is given, and its position, in one transaction of a database; what is
in it is a strategy's state, and begins anew where that stands.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streams.config.settings import Settings
from streams.consumer import BEGINNING, HEARTBEAT, NO_HEARTBEAT, SessionConsumer
from streams.errors import StreamsError
from streams.exports.increments import NewExporter
from streams.exports.rows import Format
from streams.times import SystemClock
from streams.wire.messages import AnalysisEvent
from tests.support.feeders import SteadyFeed
from tests.support.kills.plan import Bystander, Fall

EXPORT_PAUSE_SECONDS = 0.5
_MOST_AT_ONCE = 200
_ENDS_SECONDS = 30.0


class Notebook:
    """What a consumer has been given, and where it stands: a file that is never half-written."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("pragma synchronous = off")  # the process is killed, not the machine
        self._database.execute(
            "create table if not exists events (epoch int, sequence int, kind text, symbol text, interval text, incarnation int, "
            "start_us int, revision int, acted_us int)"
        )
        self._database.execute("create table if not exists place (position text)")

    @property
    def position(self) -> str | None:
        """Where to go on."""
        found = self._database.execute("select position from place").fetchone()
        return None if found is None else str(found[0])

    def write(self, events: Sequence[tuple[AnalysisEvent, int]], position: str) -> None:
        """Add events, each with when it was acted on, 0 for not, and the position behind them."""
        self._database.execute("begin")
        self._database.executemany("insert into events values (?, ?, ?, ?, ?, ?, ?, ?, ?)", [_row(event, at) for event, at in events])
        self._database.execute("delete from place")
        self._database.execute("insert into place values (?)", (position,))
        self._database.execute("commit")

    def rows(self) -> list[tuple[object, ...]]:
        """All events in the order in which they came: place, kind, series, bar, and when they were acted on."""
        return list(self._database.execute("select * from events order by rowid"))

    def close(self) -> None:
        """Let the file go."""
        self._database.close()


def _row(event: AnalysisEvent, acted_us: int) -> tuple[object, ...]:
    start_us, revision = (None, None) if event.bar is None else (event.bar.start_us, event.bar.revision)
    return (
        event.epoch, event.sequence, event.kind, event.symbol, event.interval, event.incarnation, start_us, revision, acted_us,
    )  # fmt: skip


def consume(settings: Settings, path: Path, *, to_the_end: bool = False) -> None:
    """Read analysis on from where the notebook stands, from its beginning at first; for ever, or to its end."""
    notebook = Notebook(path)
    clock = SystemClock()
    given: list[tuple[AnalysisEvent, int]] = []
    with SessionConsumer(
        settings, position=notebook.position, start=BEGINNING, history=lambda event: given.append((event, 0)), clock=clock
    ) as session:
        while not (to_the_end and session.at_end):
            event = session.poll(0.05)
            # What the consumer makes of it that none comes is no record: it stands in no sequence.
            if event is not None and (event.gate is None or event.gate.reason not in (NO_HEARTBEAT, HEARTBEAT)):
                given.append((event, clock.now_us()))
            if given and (event is None or len(given) >= _MOST_AT_ONCE):
                notebook.write(given, str(session.position))
                given.clear()
        if given:
            notebook.write(given, str(session.position))
    notebook.close()


def export(settings: Settings, folder: Path) -> None:
    """Export what is new of all symbols, again and again; what workers that are away make of it is tried again."""
    while True:
        try:
            NewExporter(settings, folder, Format.CSV, internal=True, timeout_seconds=10.0).run()
        except StreamsError as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        threading.Event().wait(EXPORT_PAUSE_SECONDS)


class Bystanders:
    """The two as processes, killed as a plan has it; a context manager that ends them. `killed` counts how often each was hit."""

    def __init__(self, settings: Settings, folder: Path, falls: Sequence[Fall], feed: SteadyFeed) -> None:
        self.exported = folder / "exported"
        self.notebook = folder / "consumed.sqlite"
        self.exported.mkdir()
        self.killed: Counter[Bystander] = Counter()
        self._settings = settings
        self._log = folder / "bystanders.log"
        self._falls = falls
        self._feed = feed
        self._processes: dict[Bystander, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="bystanders", daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Both run, and fall, while the block runs."""
        for who in Bystander:
            self._start(who)
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join()
            for process in self._processes.values():
                process.kill()
                process.wait(_ENDS_SECONDS)
        assert not self._failures, "\n".join([*self._failures, self._log.read_text(errors="replace")[-4000:]])

    def _start(self, who: Bystander) -> None:
        words = {Bystander.EXPORTER: ("export", self.exported), Bystander.CONSUMER: ("consume", self.notebook)}[who]
        session = self._settings.session or ""
        command = [sys.executable, "-m", __name__, words[0], self._settings.bootstrap_servers, session, str(words[1])]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
        with self._log.open("ab") as log:
            self._processes[who] = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _run(self) -> None:
        for fall in self._falls:
            while self._feed.sent < fall.at_bar and not self._stopping.wait(0.02):
                self._look_after()
            if self._stopping.is_set():
                return
            process = self._processes[fall.who]
            process.send_signal(signal.SIGKILL)
            process.wait(_ENDS_SECONDS)
            self.killed[fall.who] += 1
            self._start(fall.who)

    def _look_after(self) -> None:
        """Neither ends by itself, whatever happens to the workers."""
        for who, process in self._processes.items():
            code = process.poll()
            if code is not None:
                self._failures.append(f"{who} ended with {code}")
                self._start(who)


def main() -> None:
    """What one of the processes does."""
    what, servers, session, path = sys.argv[1:]
    settings = Settings.load(bootstrap_servers=servers, session=session)
    if what == "export":
        export(settings, Path(path))
    else:
        consume(settings, Path(path))


if __name__ == "__main__":
    main()
