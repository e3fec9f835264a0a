"""`streams produce` while its broker is away: it waits and says so once, and what it sent is there once each and in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from streams.broker import LocalBroker
from streams.times import SECOND_US, SystemClock
from tests.support.kafka.reading import read_topic
from tests.support.kafka.topics import unique_symbol
from tests.support.waiting import wait_until

COUNT = 14


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker of the test's own, for it to break."""
    broker = LocalBroker(tmp_path / "broker")
    try:
        broker.up()
        yield broker
    finally:
        broker.kill()


class Produce:
    """`streams produce jsonl` of one-second bars that come as they happen."""

    def __init__(self, broker: LocalBroker, folder: Path, *words: str) -> None:
        self.symbol = unique_symbol()
        self._broker = broker
        self._said = folder / "said"
        start_us = SystemClock().now_us() // SECOND_US * SECOND_US
        lines = [{"start": start_us + at * SECOND_US, "open": 1, "high": 2, "low": 1, "close": 2, "volume": at + 1} for at in range(COUNT)]
        (folder / "bars.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        command = [sys.executable, "-m", "streams.cli.main", "produce", "jsonl", str(folder / "bars.jsonl"), "--json-values", *words]
        environment = {**os.environ, "STREAMS_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "PYTHONUNBUFFERED": "1"}
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [*command, "--symbol", self.symbol, "--interval", "1s", "--rebase"],
                env=environment,
                stderr=said,
                stdout=subprocess.PIPE,
                text=True,
            )

    def said(self) -> list[str]:
        return self._said.read_text().splitlines()

    def volumes(self) -> list[int]:
        """Those of the bars in the topic, which count them."""
        return [json.loads(record.value or b"")["volume"] for record in read_topic(self._broker.bootstrap_servers, f"bars.{self.symbol}")]

    def has_sent(self) -> bool:
        try:
            return len(self.volumes()) >= 2
        except KafkaException:  # its topic is not there yet
            return False


def test_a_broker_that_dies_under_a_feed_loses_no_bar_and_repeats_none(broker: LocalBroker, tmp_path: Path) -> None:
    feed = Produce(broker, tmp_path, "--speed", "1", "--json")
    wait_until(feed.has_sent, "the first bars to be in their topic")
    broker.kill()
    wait_until(lambda: any("no answer from" in line for line in feed.said()), "the outage to be said")
    broker.up()
    out, _ = feed.process.communicate(timeout=60)
    assert feed.process.returncode == 0
    assert json.loads(out)["bars"] == COUNT
    assert feed.volumes() == list(range(1, COUNT + 1))
    ours = [line for line in feed.said() if line.startswith(("no answer from", broker.bootstrap_servers))]
    assert len(ours) == 2
    assert "waiting for it, the bars are kept and sent in order" in ours[0]
    assert ours[1] == f"{broker.bootstrap_servers} answers again"


def test_one_that_is_ended_delivers_and_counts_what_it_has_sent(broker: LocalBroker, tmp_path: Path) -> None:
    feed = Produce(broker, tmp_path, "--speed", "1", "--json")
    wait_until(feed.has_sent, "the first bars to be in their topic")
    feed.process.send_signal(signal.SIGTERM)
    out, _ = feed.process.communicate(timeout=30)
    assert feed.process.returncode == 143
    assert feed.said()[-1] == "interrupted: what is counted above was sent"
    assert feed.volumes() == list(range(1, json.loads(out)["bars"] + 1))
