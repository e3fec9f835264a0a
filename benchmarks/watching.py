"""Watching a subject from outside: its process, how far its committed output has come, and when.

Nothing is asked of the subject itself, whose pages would cost it the time that is measured.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.kafka.clients import once_led
from streams.kafka.offsets import answered

ROOT: Final = Path(__file__).resolve().parents[1]
LIMIT_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.01
REQUEST_SECONDS: Final = 10.0
STOP_SECONDS: Final = 20.0
_TAIL_LINES: Final = 30


class SubjectEndedError(Exception):
    """A subject ended, or did not come to its end."""


class Seen(NamedTuple):
    """How much was committed when, and how much processor time the subject had used by then."""

    at_seconds: float
    count: int
    cpu_seconds: float


class Pace(NamedTuple):
    """How fast a subject went, and what it used of the processor: the second says more on a machine that is busy."""

    per_second: float
    cpu_us_each: float


class Subject:
    """A running process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def check(self, awaited: str, deadline: float) -> None:
        """Raise when the process has ended, or the deadline has passed."""
        ended = self.process.poll()
        if ended is None and time.monotonic() < deadline:
            return
        why = f"did not come to {awaited} within {LIMIT_SECONDS:g} s" if ended is None else f"ended with {ended} before {awaited}"
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise SubjectEndedError(f"{self._log.stem} {why}; its log ends:\n{tail}")

    def seen(self, count: int) -> Seen:
        """So much is committed now."""
        times = psutil.Process(self.process.pid).cpu_times()
        return Seen(time.perf_counter(), count, times.user + times.system)

    def stop(self) -> None:
        """End the process in an orderly way."""
        self.process.terminate()
        self.process.wait(STOP_SECONDS)


@contextmanager
def running(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Subject]:
    """A process that is gone at the end of the block."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            list(command), env={**os.environ, **(environment or {})}, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, cwd=ROOT
        )
    try:
        yield Subject(process, log)
    finally:
        process.kill()
        process.wait(STOP_SECONDS)


def watch_end(servers: str, topic: str, subject: Subject, *, until: int, commits: int = 1) -> list[Seen]:
    """Each change of a topic's read_committed end, until it is `until` or more and there were so many."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    asked = {TopicPartition(topic, 0): OffsetSpec.latest()}
    deadline, pause = time.monotonic() + LIMIT_SECONDS, threading.Event()
    seen: list[Seen] = []
    end = 0

    def ask() -> int:
        futures = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=REQUEST_SECONDS)
        return answered(topic, next(iter(futures.values())).result().offset)

    while end < until or len(seen) < commits:
        subject.check(f"offset {until} of {topic}, at {end},", deadline)
        now_end = once_led(ask)
        if now_end != end:
            end = now_end
            seen.append(subject.seen(end))
        pause.wait(POLL_SECONDS)
    return seen


def read(
    servers: str, topic: str, *, subject: Subject | None = None, ended: Callable[[Message], bool] = lambda message: False
) -> Iterator[Message]:
    """Committed records of a topic: to its end, or, with a subject that is still writing them, until one `ended` it."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "topic.metadata.refresh.interval.ms": 100,
            "log_level": 0,
        }
    )
    deadline = time.monotonic() + LIMIT_SECONDS
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while True:
            if subject is not None:
                subject.check(f"the last record of {topic}", deadline)
            elif time.monotonic() > deadline:
                raise SubjectEndedError(f"{topic} could not be read within {LIMIT_SECONDS:g} s")
            one = consumer.poll(0.1)
            for message in [] if one is None else [one, *consumer.consume(1000, 0)]:
                error = message.error()
                if error is None:
                    yield message
                    if ended(message):
                        return
                elif error.code() == KafkaError._PARTITION_EOF:
                    if subject is None:
                        return
                elif subject is None or error.code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                    raise KafkaException(error)
    finally:
        consumer.close()


def pace(seen: Sequence[Seen], *, after: int = 0) -> Pace:
    """What was committed a second and what each cost, from the first sight at `after` or more to the last."""
    counted = [one for one in seen if one.count >= after]
    if len(counted) < 2:
        raise SubjectEndedError(f"{len(counted)} commits were seen after {after}: too few for a rate")
    first, last = counted[0], counted[-1]
    count = last.count - first.count
    return Pace(count / (last.at_seconds - first.at_seconds), (last.cpu_seconds - first.cpu_seconds) * 1e6 / count)
