"""Workers on machines whose clock is wrong: two minutes behind, fifty minutes and two hours ahead, of 1976, and leaping while they run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli.status import clock_of, status_facts, status_page
from streams.client.state import StateReader
from streams.errors import ClockError
from streams.times import SystemClock
from tests.support import unique_symbol, wait_until
from tests.support.feeders import made_up_bars, now_us
from tests.support.kafka.reading import read_topic
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

BEHIND = -120.0
SECONDS_OF_BARS = 8


class Machine:
    """A session's desk, and a machine whose clock can be set, with a worker of it."""

    def __init__(self, servers: str, workers: Workers, folder: Path, name: str, symbols: list[str]) -> None:
        self.file = folder / "off"
        self.symbols = symbols
        self.desk = LiveDesk(servers, second_bars(name, symbols))
        self._workers = workers

    def set(self, off_seconds: float) -> None:
        """Set the machine's clock."""
        new = self.file.with_suffix(".new")
        new.write_text(str(off_seconds))
        new.rename(self.file)

    def start(self, off_seconds: float) -> Worker:
        """Start a worker there."""
        self.set(off_seconds)
        settings = {"TEST_CLOCK_OFF": str(self.file)}
        return self._workers.start(self.desk.config, settings=settings, module="tests.support.workers.shifted")

    def feed(self, seconds: int) -> int:
        """Produce each second's bar of every symbol when it ends, by the right time; gives how many of each there were."""
        for _ in range(seconds):
            time.sleep(1 - time.time() % 1 + 0.05)
            self.desk.bars([bar for symbol in self.symbols for bar in made_up_bars(symbol, 1, end_us=now_us())])
        return seconds

    def letters(self) -> int:
        """How many of the symbols' records are dead letters."""
        return sum(len(self.desk.dead_letters(self.desk.names.bars(symbol))) for symbol in self.symbols)


@pytest.fixture
def machine(bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path) -> Machine:
    return Machine(bootstrap_servers, workers, tmp_path, session_name, [unique_symbol("SPY"), unique_symbol("IBM")])


def until(worker: Worker, condition: Callable[[dict[str, object]], bool], what: str) -> dict[str, object]:
    """The worker's health report, once it is as it should be."""

    def found() -> dict[str, object] | None:
        report = worker.health()
        return report if report and condition(report) else None

    report = wait_until(found, what)
    assert report is not None
    return report


def off_by(text: object) -> float:
    """How many seconds the clock of a sentence is ahead of the broker's, as far as an answer that takes a moment can tell."""
    found = re.match(r"this worker's clock is ([\d,]+\.\d) s (ahead of|behind) the broker's clock", str(text))
    assert found is not None, text
    seconds = float(found[1].replace(",", ""))
    return seconds if found[2] == "ahead of" else -seconds


def test_a_worker_whose_clock_is_two_minutes_behind_shuts_the_gate_and_no_bar_is_lost(machine: Machine) -> None:
    worker = machine.start(BEHIND)
    worker.wait_until("active")
    report = until(worker, lambda found: found.get("gate_reason") == "clock", "the gate to be shut by the clock")
    assert -120.1 < off_by(report["clock"]) < -118
    assert report["session_active"] is False
    count = machine.feed(SECONDS_OF_BARS)
    page = worker.page("/metrics") or ""
    assert 'streams_clock_wrong{session="' in page
    assert [line.split()[1] for line in page.splitlines() if line.startswith("streams_clock_wrong{")] == ["1.0"]
    assert machine.letters() == 0
    (event,) = [event for event in machine.desk.topics.events() if event.kind == "clock_wrong"]
    assert 118 < float(event.attributes["behind_seconds"]) < 120.1
    facts = status(machine)
    assert (facts["worker"], facts["gate_reason"]) == ("active", "clock")
    assert -120.1 < off_by(facts["clock"]) < -118
    said = [line for line in worker.said().splitlines() if "s behind the broker" in line and " ERROR " in line]
    assert len(said) <= 4, "one line in ten seconds, not one for each bar"

    machine.set(0)
    until(worker, lambda found: found.get("session_active") is True, "the gate to open once the clock is right")
    count += machine.feed(2)
    for symbol in machine.symbols:
        machine.desk.await_progress(symbol, lambda row: row.bar_count == count, f"{count} bars to be taken in")
    assert machine.letters() == 0
    assert worker.stop() == 0
    machine.desk.check_left_behind(machine.symbols)


def status(machine: Machine) -> dict[str, object]:
    """What `streams status` says."""
    with StateReader(machine.desk.settings, clock=SystemClock()) as reader:
        reader.catch_up()
        facts = status_facts(reader.view, now_us=now_us(), ask_clock=clock_of)
        assert status_page(facts) is not None
        return dict(facts)


def test_a_worker_whose_clock_is_fifty_minutes_ahead_waits_and_writes_nothing_until_it_is_right(machine: Machine) -> None:
    worker = machine.start(0)
    worker.wait_until("active")
    assert worker.stop() == 0
    before = len(read_topic(machine.desk.servers, machine.desk.names.journal))
    machine.set(3000)
    worker.start()
    report = until(worker, lambda found: found.get("status") == "waiting", "the worker to wait")
    assert 2998 < off_by(report["clock"]) < 3000.1
    assert 2998 < off_by(wait_until(lambda: status(machine)["clock"], "status to name the clock")) < 3000.1
    assert len(read_topic(machine.desk.servers, machine.desk.names.journal)) == before
    machine.set(0)
    worker.wait_until("active")
    machine.feed(2)
    for symbol in machine.symbols:
        machine.desk.await_bars(symbol, 2)
    assert worker.stop() == 0
    machine.desk.check_left_behind(machine.symbols)


@pytest.mark.parametrize(
    ("off_seconds", "told"),
    [(7200.0, "s ahead of the broker's clock"), (-1.6e9, "this machine's clock says 19")],
    ids=["two hours ahead", "decades ago"],
)
def test_a_clock_that_can_not_be_right_ends_the_worker_with_a_code_and_a_sentence_of_its_own(
    machine: Machine, off_seconds: float, told: str
) -> None:
    worker = machine.start(off_seconds)
    assert worker.wait_ended() == ClockError.exit_code == 23
    assert told in worker.said()
    assert "which can't be right: set it, then start the worker" in worker.said()
    assert "Traceback" not in worker.said()


@pytest.mark.parametrize("off_seconds", [-3.0, 3.0])
def test_three_seconds_either_way_do_no_harm(machine: Machine, off_seconds: float) -> None:
    worker = machine.start(off_seconds)
    worker.wait_until("active")
    count = machine.feed(3)
    for symbol in machine.symbols:
        machine.desk.await_bars(symbol, count)
    assert (machine.letters(), worker.health().get("clock")) == (0, None)
    assert worker.stop() == 0
    machine.desk.check_left_behind(machine.symbols)


@pytest.mark.parametrize("off_seconds", [3000.0, BEHIND], ids=["ahead", "back"])
def test_a_clock_that_leaps_under_a_running_worker_is_named_and_bars_go_on(machine: Machine, off_seconds: float) -> None:
    worker = machine.start(0)
    worker.wait_until("active")
    count = machine.feed(2)
    machine.set(off_seconds)
    report = until(worker, lambda found: "clock" in found, "the leap to be named")
    assert str(report["clock"]).startswith("the machine's clock leapt to ")
    assert report["session_active"] is True
    count += machine.feed(3)
    for symbol in machine.symbols:
        machine.desk.await_bars(symbol, count)
    machine.set(0)
    until(worker, lambda found: "clock" not in found, "the clock to be right")
    count += machine.feed(2)
    for symbol in machine.symbols:
        machine.desk.await_bars(symbol, count)
    assert [event.kind for event in machine.desk.topics.events() if "clock" in event.kind] == []
    assert machine.letters() == 0
    assert worker.stop() == 0
    machine.desk.check_left_behind(machine.symbols)


def test_a_session_that_may_make_no_topics_goes_on_without_the_clock_topic(machine: Machine, workers: Workers) -> None:
    worker = machine.start(0)
    worker.wait_until("active")
    assert worker.stop() == 0
    clock = machine.desk.names.clock
    machine.desk.delete_topic(clock)
    other = workers.start(machine.desk.config, settings={"STREAMS_CREATE_TOPICS": "false"})
    other.wait_until("active")
    assert (
        f"topic {clock} is missing, and may not be made: create it with 1 partitions, message.timestamp.type=LogAppendTime" in other.said()
    )
    assert other.health().get("clock_off_seconds") is None
    assert other.stop() == 0
