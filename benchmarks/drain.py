"""The whole worker on a real broker of this machine: a backlog of bars of 100 symbols, exactly once, in bars a second.

`published` runs under a threshold that keeps every bar fresh, so each one goes to analysis; `gated` under the usual one, so
that all is held back. The clock runs from the first transaction with bars to the last, as the worker's own counts say.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.measure import Better, Plan, Row, in_turn
from streams.broker import LocalBroker
from streams.broker.ports import free_port
from streams.client.produce import BarProducer
from streams.config import SessionConfig
from streams.records import Bar
from streams.settings import Settings
from streams.times import HOUR_US, SECOND_US, SystemClock, from_us

SYMBOLS = 100
BARS = 2_000
WAIT_SECONDS = 120.0


def rows(plan: Plan) -> list[Row]:
    """Bars a second through the whole worker."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        broker = LocalBroker(Path(folder) / "broker")
        broker.up()
        try:
            now_us = SystemClock().now_us()
            last_us = now_us - now_us % SECOND_US
            symbols = [f"S{number:03d}" for number in range(SYMBOLS)]
            _produce(broker.bootstrap_servers, symbols, last_us)
            numbers = iter(range(1_000))

            def drain(threshold_seconds: int) -> float:
                name = f"bench-{next(numbers)}"
                return _drain(Path(folder), broker.bootstrap_servers, name, symbols, threshold_seconds)

            subjects = {"bar and 5s and 15s published": lambda: drain(100_000), "gated, all held back": lambda: drain(60)}
            return in_turn(f"worker drains {SYMBOLS} topics", "bars/s", subjects, plan.rounds, better=Better.HIGHER)
        finally:
            broker.down()


def _produce(servers: str, symbols: list[str], last_us: int) -> None:
    with BarProducer(Settings.load(bootstrap_servers=servers)) as producer:
        producer.prepare(symbols)
        for left in range(BARS, 0, -1):
            start_us = last_us - left * SECOND_US
            for symbol in symbols:
                producer.send(Bar(symbol, "1s", start_us, start_us + SECOND_US, 167.4, 167.5, 167.3, 167.45, 1200.0))


def _drain(folder: Path, servers: str, name: str, symbols: list[str], threshold_seconds: int) -> float:
    turn = from_us(SystemClock().now_us() - 12 * HOUR_US).strftime("%H:00")
    config = folder / f"{name}.json"
    session = SessionConfig.from_dict(
        {
            "session_name": name,
            "exchange": "24/7",
            "hours": {"open": turn, "close": turn},
            "session_data_config": {
                "symbols": symbols,
                "streams": ["1s"],
                "derived_intervals": ["5s", "15s"],
                "streaming": {"catchup_threshold_seconds": threshold_seconds},
            },
        }
    )
    config.write_text(session.to_json(), encoding="utf-8")
    port = free_port()
    environment = {**os.environ, "STREAMS_BOOTSTRAP_SERVERS": servers, "STREAMS_HTTP_PORT": str(port), "STREAMS_LOG_LEVEL": "ERROR"}
    with (folder / f"{name}.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "streams.cli.main", "worker", str(config)], env=environment, stdout=log, stderr=log
        )
    try:
        return _rate(port, worker)
    finally:
        worker.kill()
        worker.wait()


def _rate(port: int, worker: subprocess.Popen[bytes]) -> float:
    """Bars a second between the first sight of bars and the last, as the worker's metrics tell."""
    pause, total = threading.Event(), SYMBOLS * BARS
    first: tuple[float, float] | None = None
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and worker.poll() is None:
        read = _bars_read(port)
        now = time.monotonic()
        if read and first is None:
            first = now, read
        if first is not None and read >= total:
            return (read - first[1]) / (now - first[0])
        pause.wait(0.05)
    raise RuntimeError(f"the worker did not read {total} bars within {WAIT_SECONDS:g} s")


def _bars_read(port: int) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    samples = [sample for family in text_string_to_metric_families(text) if family.name == "streams_bars_read" for sample in family.samples]
    return samples[0].value if samples else 0.0
