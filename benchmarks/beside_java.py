"""Our drain beside the same work in Kafka Streams 4.1, exactly once (v2), in alternation.

As `beside`, and over four days of bars, of which we read the last and Kafka Streams all: Java is at its pace only when the
hot paths are compiled, so the first half of its output does not count. What it runs with stands in `Drain.java`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.desk import DAY_MINUTES, SYMBOLS, Work, produce
from benchmarks.kafka import broker
from benchmarks.measure import Plan, Row, first_better_by
from benchmarks.ours import drain
from benchmarks.peer import OUTPUTS_PER_BAR, Peer, PeerMissingError, Place, rows_of, run_peer
from benchmarks.watching import ROOT
from streams.config.settings import Settings

TARGET: Final = ROOT / "benchmarks" / "java" / "target"
DAYS: Final = 4
SMALL_MINUTES: Final = 30


def rows(plan: Plan) -> list[Row]:
    """Bars a second, of Kafka Streams and of ours."""
    java = shutil.which("java")
    if java is None or not (TARGET / "drain.jar").exists():
        raise PeerMissingError(f"there is no java, or no {TARGET.relative_to(ROOT) / 'drain.jar'}: `make bench-java` builds it")
    ours = Work(f"J{os.getpid()}-", SYMBOLS, SMALL_MINUTES if plan.small else DAY_MINUTES)
    work = ours._replace(days=DAYS)
    peer = Peer(partial(_command, java), round(work.bars * OUTPUTS_PER_BAR), skipped=0.0 if plan.small else 0.5, whole=True)
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as name, broker(plan) as servers:
        produce(Settings.load(bootstrap_servers=servers), work, interleaved=False)
        folder = Path(name)
        subjects = {
            "session-streams, exactly once": lambda: drain(folder, servers, ours, published=True, interleaved=False).pace,
            "Kafka Streams 4.1, exactly once v2": partial(run_peer, folder, servers, work, peer),
        }
        _, streams = subjects
        return rows_of(
            f"bar, 5m and 15m of {SYMBOLS} topics published, beside Java",
            subjects,
            plan,
            targets={streams: [first_better_by(1.0)]},
            notes={streams: "2 threads, a task a topic, commit.interval.ms 100, store in memory with changelog; first half left out"},
        )


def _command(java: str, place: Place) -> Sequence[str]:
    classpath = f"{TARGET / 'drain.jar'}:{TARGET / 'lib' / '*'}"
    options = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",)
    return (java, *options, "-cp", classpath, "bench.Drain", place.name, place.servers, place.output, place.folder, ",".join(place.topics))
