"""What the demo's scenes are played with: a feed of real bars rebased to now, a worker as a process, and a witness.

The witness reads the analysis topic as any consumer would, keeps every record with the time it came, and knows nothing of
the worker: what the demo claims in the end is judged from what the witness saw and what the feed sent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.consumer import BEGINNING, Hole, SessionConsumer
from streams.errors import StreamsError
from streams.model.records import Bar
from streams.times import SECOND_US, Clock, from_us
from streams.wire.messages import AnalysisEvent

PAUSE_SECONDS = 0.05


class DemoError(StreamsError):
    """A scene did not come about in time, or was not as it should be."""


class Feeder:
    """Sends each symbol's bars as their (rebased) ends come, until it is told to stop."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._producer = BarProducer(settings)
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Bar]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-feed", daemon=True)
        self.sent: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, bars: list[Bar]) -> int:
        """Take in a symbol's bars; those that have ended go out at once. Gives how many those are."""
        symbol = bars[0].symbol
        with self._lock:
            self._waiting[symbol] = list(reversed(bars))
            return self._send_due(symbol)

    def drop(self, symbol: str) -> None:
        """Send no more of a symbol; what was sent is delivered when this returns."""
        with self._lock:
            self._waiting.pop(symbol, None)
            self._producer.flush()

    def stop(self) -> None:
        """Send no more at all."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._producer.flush()

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            with self._lock:
                for symbol in list(self._waiting):
                    self._send_due(symbol)

    def _send_due(self, symbol: str) -> int:
        waiting, now_us, count = self._waiting[symbol], self._clock.now_us(), 0
        while waiting and waiting[-1].end_us <= now_us:
            self._producer.send(waiting.pop())
            count += 1
        if count:
            self.sent[symbol] += count
            self._producer.flush()
        return count


def rebased(bars: list[Bar], shift_us: int) -> list[Bar]:
    """The bars, all moved by the same time."""
    return [msgspec.structs.replace(bar, start_us=bar.start_us + shift_us, end_us=bar.end_us + shift_us) for bar in bars]


class Seen(msgspec.Struct, frozen=True):
    """A record of the analysis topic, and when the witness had it."""

    event: AnalysisEvent
    received_us: int


class Witness:
    """Reads the analysis topic from its beginning and keeps all it sees; `show` is told of each record."""

    def __init__(self, settings: Settings, clock: Clock, show: Callable[[Seen], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._show = show
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-witness", daemon=True)
        self._error: BaseException | None = None
        self.seen: list[Seen] = []
        self.gaps: list[Hole] = []

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stopping.set()
        self._thread.join()

    def wait_for(self, what: str, found: Callable[[list[Seen]], bool], timeout_seconds: float, since: int = 0) -> None:
        """Wait until `found` is true of the records from the `since`-th on.

        Raises:
            DemoError: it was not in time.
        """
        deadline = self._clock.monotonic() + timeout_seconds
        with self._changed:
            while not found(self.seen[since:]):
                if self._error is not None:
                    raise DemoError(f"the consumer of the analysis topic ended: {self._error}")
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    raise DemoError(f"{what} did not come within {timeout_seconds:g} s")
                self._changed.wait(left)

    def bars(self, symbol: str, interval: str) -> list[Seen]:
        """The published bars of a symbol and interval."""
        return [one for one in self.seen if one.event.bar is not None and (one.event.symbol, one.event.interval) == (symbol, interval)]

    def held_back(self, symbol: str, interval: str) -> int:
        """How many bars of a symbol and interval were accounted for as held back."""
        extents = (
            one.event.extent
            for one in self.seen
            if (one.event.symbol, one.event.interval) == (symbol, interval)
            if one.event.kind == "held_back"
        )
        return sum(extent.count for extent in extents if extent is not None)

    def _run(self) -> None:
        try:
            # What the topic holds is shown: a worker that is killed and comes back is no event of it.
            settings = self._settings.model_copy(update={"heartbeat_timeout_seconds": 0.0})
            with SessionConsumer(settings, start=BEGINNING, fresh_only=False, on_hole=self.gaps.append) as consumer:
                while not self._stopping.is_set():
                    event = consumer.poll(0.1)
                    if event is None:
                        continue
                    seen = Seen(event, self._clock.now_us())
                    self._show(seen)
                    with self._changed:
                        self.seen.append(seen)
                        self._changed.notify_all()
        except BaseException as error:  # handed to whoever waits, in the main thread
            with self._changed:
                self._error = error
                self._changed.notify_all()


class DemoWorker:
    """A supervised worker in processes of its own."""

    def __init__(self, config: Path, settings: Settings, clock: Clock, log: Path, port: int) -> None:
        self._clock = clock
        self._log: IO[bytes] = log.open("wb")
        self._url = f"http://127.0.0.1:{port}/health"
        arguments = ["worker", str(config), "--supervise", "--http-port", str(port), "--bootstrap", settings.bootstrap_servers]
        environment = {**os.environ, "STREAMS_INSTANCE_ID": f"demo-{os.getpid()}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli.main", *arguments],
            stdout=self._log, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
        )  # fmt: skip

    def health(self) -> dict[str, object]:
        """What the worker says of itself; empty while it does not answer."""
        try:
            with urllib.request.urlopen(self._url, timeout=2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as answer:
            return dict(json.load(answer))
        except OSError:
            return {}

    def wait_until_active(self, timeout_seconds: float) -> None:
        """Wait until it is the active worker.

        Raises:
            DemoError: it ended, or was not in time.
        """
        deadline = self._clock.monotonic() + timeout_seconds
        pause = threading.Event()
        while self.health().get("status") != "active":
            if self._process.poll() is not None:
                raise DemoError(f"the worker ended with exit code {self._process.returncode}: see {self._log.name}")
            if self._clock.monotonic() > deadline:
                raise DemoError(f"the worker was not active within {timeout_seconds:g} s: see {self._log.name}")
            pause.wait(PAUSE_SECONDS)

    def kill(self) -> int:
        """Kill -9 the worker itself; its supervisor stays. Gives the pid."""
        pid = self.health().get("pid")
        if not isinstance(pid, int):
            raise DemoError("the worker does not say which process it is")
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> int:
        """End the supervisor and with it the worker; gives the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
        self._log.close()
        return code


def completeness_words(event: AnalysisEvent) -> str:
    """What an `interval_complete` record says of its interval: which window, and who is in it."""
    complete = event.interval_complete
    assert complete is not None  # noqa: S101 - the caller has looked
    absent = f", without {', '.join(complete.absent)}" if complete.absent else ""
    until = from_us(complete.end_us).astimezone()
    return f"{event.interval} to {until:%H:%M:%S} has the bars of {complete.present} of {complete.expected}{absent}"


def age_seconds(seen: Seen) -> float:
    """How old a bar was when the witness had it."""
    return (seen.received_us - seen.event.bar.end_us) / SECOND_US if seen.event.bar is not None else 0.0
