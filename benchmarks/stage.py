"""Where the live groups play: a broker, and worker, sender and reader in processes of their own.

Each bar carries the moment at which it was sent: its volume is the wall clock in seconds. The reader, a read_committed
consumer, notes when each record reached it. So a delay is one subtraction, and no process of the measurement shares an
interpreter with another or with the worker. Each `Act` has topics of its own, so that no round meets the bars of another.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.kafka import broker
from benchmarks.measure import Better, Plan, Row, Target, rounds_of, row_of
from streams.broker.ports import free_port
from streams.client.producer import BarProducer
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.model.records import Bar
from streams.times import HOUR_US, MINUTE_US, SECOND_US, SystemClock, from_us, interval_us
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent
from streams.wire.topics import TopicNames

WAIT_SECONDS: Final = 120.0
SESSION: Final = "bench"
ALL_FRESH_SECONDS: Final = 100_000
DAY_BARS: Final = 390
LIVE_BARS: Final = 250
"""How many bars of each symbol may follow the day's: they all have ended by now."""
_PROCESSES: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a reader met it: when, and what it holds. `size` counts key, value and headers."""

    at_us: int
    offset: int
    key: bytes
    value: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """Bars `first` to `last - 1` of each symbol, symbol by symbol at each interval; `burst` of them at once, `per_second` in all."""

    symbols: Sequence[str]
    start_us: int
    first: int
    last: int
    per_second: float = float("inf")
    burst: int = 1
    interval: str = "1m"

    @property
    def count(self) -> int:
        """How many bars."""
        return len(self.symbols) * (self.last - self.first)


class Apart:
    """A process of its own that answers over a pipe: `ready`, then one answer a request."""

    def __init__(self, run: Callable[..., None], *arguments: object) -> None:
        self._pipe, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=run, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.answer()

    def request(self, what: str) -> None:
        """Ask for something."""
        self._pipe.send(what)

    def answer(self) -> Any:
        """What it says next."""
        if not self._pipe.poll(WAIT_SECONDS):
            raise RuntimeError(f"a process of the measurement did not answer within {WAIT_SECONDS:g} s")
        return self._pipe.recv()

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


class Sender(Apart):
    """Sends a `Part`."""

    def begin(self) -> None:
        """Begin to send."""
        self.request("go")

    def finish(self) -> list[int]:
        """Wait until all is sent and acknowledged; gives when each bar was sent."""
        return list(self.answer())

    def stop(self) -> list[int]:
        """Send no more; gives when each bar was sent."""
        self.request("stop")
        return self.finish()


class Reader(Apart):
    """Reads a topic from its end on, committed records only."""

    def __init__(self, run: Callable[..., None], *arguments: object) -> None:
        super().__init__(run, *arguments)
        self.seen: list[Seen] = []

    def look(self) -> list[Seen]:
        """Everything so far."""
        self.request("give")
        self.seen += self.answer()
        return self.seen


class Worker:
    """A worker process."""

    def __init__(self, config: Path, environment: dict[str, str], log: Path, *options: str) -> None:
        self._command = [sys.executable, "-m", "streams.cli.main", "worker", str(config), *options]
        self._port = free_port()
        self._environment = {**environment, "STREAMS_HTTP_PORT": str(self._port)}
        self._log = log
        self._supervised = "--supervise" in options
        with log.open("ab") as out:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    @property
    def process(self) -> psutil.Process:
        """The worker itself, not its supervisor."""
        process = psutil.Process(self._process.pid)
        return process.children()[0] if self._supervised else process

    def figure(self, name: str) -> float:
        """A figure of its metrics page; 0 while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        return next((one.value for family in text_string_to_metric_families(text) for one in family.samples if one.name == name), 0.0)

    def health(self) -> dict[str, Any]:
        """What its health page says; empty while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=10) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}

    def wait_until(self, is_so: Callable[[Worker], bool], what: str) -> None:
        """Wait for something; an error with the log's end when it does not come."""
        if not happens(lambda: self._process.poll() is not None or is_so(self), pause_seconds=0.1) or self._process.poll() is not None:
            raise RuntimeError(f"the worker: {what} did not happen within {WAIT_SECONDS:g} s\n{self._log.read_text()[-3000:]}")

    def wait_active(self) -> None:
        """Wait until it is the active one and its gate is open: all its symbols are loaded."""
        self.wait_until(lambda worker: worker.health().get("session_active") is True, "opening the gate")

    def wait_read(self, bars: int) -> None:
        """Wait until it has read so many bars."""
        self.wait_until(lambda worker: worker.figure("streams_bars_read_total") >= bars, f"reading {bars} bars")

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        times = self.process.cpu_times()
        return times.user + times.system

    def kill(self) -> int:
        """SIGKILL to the worker itself; gives the wall clock at which it was sent."""
        process = self.process
        at_us = SystemClock().now_us()
        process.send_signal(signal.SIGKILL)
        return at_us

    def end(self) -> None:
        """End it and what it started."""
        if self._process.poll() is None:
            children = psutil.Process(self._process.pid).children()
            self._process.kill()
            for child in children:
                child.kill()
        self._process.wait()


class Act:
    """One round: a session of its own with topics of its own. What it starts ends with it.

    Args:
        servers: the broker.
        folder: for config and logs.
        name: the prefix of its topics.
        symbols: the session's initial symbols.
        threshold_seconds: from which lag on the gate closes.
        interval: of the bars.
        derived: what is made of them.
        bars: how many of each symbol there may be.
        extra: what is streamed besides bars.
    """

    def __init__(
        self,
        servers: str,
        folder: Path,
        name: str,
        symbols: Sequence[str],
        threshold_seconds: int,
        *,
        interval: str = "1m",
        derived: Sequence[str] = ("5m", "15m"),
        bars: int = DAY_BARS + LIVE_BARS,
        extra: Sequence[str] = (),
    ) -> None:
        now_us = SystemClock().now_us()
        self._interval = interval
        self.symbols = symbols
        self.settings = Settings.load(bootstrap_servers=servers, topic_prefix=f"{name}.", session=SESSION)
        self.names = TopicNames(SESSION, prefix=self.settings.topic_prefix)
        self.changelog = f"{self.settings.topic_prefix}{SESSION}-state-changelog"
        self.start_us = now_us - now_us % MINUTE_US - bars * interval_us(interval)
        self._folder = folder
        self._name = name
        self._ends = ExitStack()
        self._workers = 0
        turn = from_us(now_us - 12 * HOUR_US).strftime("%H:00")
        config = SessionConfig.from_dict(
            {
                "session_name": SESSION,
                "exchange": "24/7",
                "hours": {"open": turn, "close": turn},
                "session_data_config": {
                    "symbols": list(symbols),
                    "streams": [interval, *extra],
                    "derived_intervals": list(derived),
                    # The bars' minutes pass faster than the clock's: the clock must not close a window before its bars are there.
                    "grace_seconds": threshold_seconds - 1,
                    "streaming": {"catchup_threshold_seconds": threshold_seconds},
                },
            }
        )
        self._config = folder / f"{name}.json"
        self._config.write_text(config.to_json(), encoding="utf-8")
        self.make_topics(symbols)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def make_topics(self, symbols: Sequence[str]) -> None:
        """Make bar topics."""
        with BarProducer(self.settings) as producer:
            producer.prepare(symbols)

    def worker(self, *options: str) -> Worker:
        """Start a worker."""
        self._workers += 1
        environment = {
            **os.environ,
            "STREAMS_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "STREAMS_TOPIC_PREFIX": self.settings.topic_prefix,
            "STREAMS_INSTANCE_ID": f"w{self._workers}",
            "STREAMS_LOG_LEVEL": os.environ.get("STREAMS_LOG_LEVEL", "WARNING"),
            "TMPDIR": str(self._folder),
        }
        worker = Worker(self._config, environment, self._folder / f"{self._name}-{self._workers}.log", *options)
        self._ends.callback(worker.end)
        return worker

    def sender(self, first: int, last: int, *, symbols: Sequence[str] | None = None, per_second: float = 1e9, burst: int = 1) -> Sender:
        """A process that sends bars `first` to `last - 1` of the symbols, once it is told to begin."""
        part = Part(self.symbols if symbols is None else symbols, self.start_us, first, last, per_second, burst, self._interval)
        sender = Sender(_send, self.settings, part)
        self._ends.callback(sender.end)
        return sender

    def send(self, first: int, last: int, *, symbols: Sequence[str] | None = None) -> int:
        """Send bars as fast as it goes; gives how many."""
        sender = self.sender(first, last, symbols=symbols)
        sender.begin()
        sent = sender.finish()
        sender.end()
        return len(sent)

    def reader(self, topic: str) -> Reader:
        """A process that reads a topic from now on."""
        reader = Reader(_read, self.settings, topic)
        self._ends.callback(reader.end)
        return reader


class Stage:
    """Where acts are played: a broker and a folder."""

    def __init__(self, servers: str, folder: Path) -> None:
        self._servers = servers
        self._folder = folder
        self._mark = f"bench-{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count()

    def act(self, symbols: Sequence[str], threshold_seconds: int = ALL_FRESH_SECONDS, **more: Any) -> Act:
        """A round with these initial symbols; by default every bar is fresh. `more` is for `Act`."""
        return Act(self._servers, self._folder, f"{self._mark}-{next(self._numbers)}", symbols, threshold_seconds, **more)


@contextmanager
def stage(plan: Plan) -> Iterator[Stage]:
    """The plan's broker, or one for this alone."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as name, broker(plan) as servers:
        yield Stage(servers, Path(name))


def symbols_named(count: int, letter: str = "S") -> list[str]:
    """So many symbols."""
    return [f"{letter}{number:04d}" for number in range(count)]


def happens(is_so: Callable[[], bool], *, pause_seconds: float = 0.02) -> bool:
    """Wait until something is so; whether it was in time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(pause_seconds)
    return False


def events_of(seen: Sequence[Seen], codec: Codec) -> list[tuple[Seen, AnalysisEvent]]:
    """Analysis records, decoded, whose sequence must have no hole."""
    events = [(one, codec.analysis_from(one.value)) for one in seen]
    for (_, former), (_, event) in itertools.pairwise(events):
        if event.sequence != former.sequence + 1:
            raise RuntimeError(f"after sequence {former.sequence} came {event.sequence}")
    return events


def sent_us(volume: float) -> int:
    """When a bar was sent, as its volume tells."""
    return round(volume * SECOND_US)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def played(
    group: str, plan: Plan, play: Callable[[], Mapping[str, float]], units: Mapping[str, str], targets: Mapping[str, Sequence[Target]]
) -> list[Row]:
    """The rows of a group one run of which gives several figures, all of them better when lower."""
    results = rounds_of({"": play}, plan.rounds)[""]
    return [
        row_of(group, name, unit, [one[name] for one in results], better=Better.LOWER, targets=targets.get(name, ()))
        for name, unit in units.items()
    ]


# ------------------------------------------------------------------------------------------ in processes of their own


def _send(pipe: Connection, settings: Settings, part: Part) -> None:
    codec, clock = Codec(), SystemClock()
    names = TopicNames("none", prefix=settings.topic_prefix)
    lost: list[object] = []
    producer = Producer(
        {
            **settings.kafka(),
            "enable.idempotence": True,
            "linger.ms": 0,
            "queue.buffering.max.messages": 1_000_000,
            "on_delivery": lambda error, message: lost.append(error) if error is not None else None,
        }
    )
    topics = [(symbol, names.bars(symbol), symbol.encode()) for symbol in part.symbols]
    producer.list_topics(timeout=WAIT_SECONDS)
    pipe.send("ready")
    pipe.recv()
    began, width_us = time.monotonic(), interval_us(part.interval)
    sent: list[int] = []
    while len(sent) < part.count and not pipe.poll(0):
        due = min(part.count, (int((time.monotonic() - began) * part.per_second) // part.burst + 1) * part.burst, len(sent) + 1_000)
        for number in range(len(sent), due):
            symbol, topic, key = topics[number % len(topics)]
            start_us = part.start_us + (part.first + number // len(topics)) * width_us
            sent.append(clock.now_us())
            bar = Bar(symbol, part.interval, start_us, start_us + width_us, 167.4, 167.5, 167.3, 167.45, sent[-1] / SECOND_US)
            producer.produce(topic, codec.bar_to_avro(bar), key, 0, None, bar.end_us // 1000)
        producer.poll(0)
        ahead = len(sent) / part.per_second - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    producer.flush(WAIT_SECONDS)
    if lost:
        raise RuntimeError(f"{len(lost)} bars were not taken: {lost[0]}")
    pipe.send(sent)


def _read(pipe: Connection, settings: Settings, topic: str) -> None:
    clock = SystemClock()
    consumer = Consumer(
        {
            **settings.kafka(),
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 5,
        }
    )
    partition = TopicPartition(topic, 0)
    partition.offset = consumer.get_watermark_offsets(partition, timeout=WAIT_SECONDS)[1]
    consumer.assign([partition])
    consumer.poll(0.2)
    pipe.send("ready")
    seen: list[Seen] = []
    while True:
        first = consumer.poll(0.02)
        at_us = clock.now_us()
        for message in () if first is None else (first, *consumer.consume(10_000, 0)):
            if message.error() is not None:
                raise RuntimeError(str(message.error()))
            key, value, headers = message.key() or b"", message.value() or b"", message.headers() or ()
            size = len(key) + len(value) + sum(len(name) + len(text or b"") for name, text in headers)
            seen.append(Seen(at_us, message.offset(), key, value, size))
        if pipe.poll(0):
            pipe.recv()
            pipe.send(seen)
            seen = []
