"""A worker whose questions about topics nobody answers: it goes on with what it does, says since when, and asks again."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from streams.engine.transaction import command_text
from streams.errors import BrokerLostError
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import ControlCommand
from streams.model.rows import SessionRow
from streams.times import iso
from streams.worker.feed.batches import Tick
from streams.worker.health import Health
from streams.worker.sources import follower
from streams.worker.sources.follower import CHECK_AGAIN_SECONDS, CHECK_SOURCES_SECONDS
from streams.worker.sources.unchecked import TOLD_AFTER_SECONDS, Unchecked
from tests.unit.worker.test_runner import CODEC, Bench, answered, deal, run, until

SILENT = BrokerLostError("no answer in time from the brokers at a:1,b:1,c:1 (Timed out waiting for controller)")


def unchecked(bench: Bench) -> tuple[float, object]:
    """What metrics and health say of the checks."""
    health = Health(bench.runner, bench.ledger, bench.clock, owner="w-1", session="main")  # type: ignore[arg-type]
    return health.unchecked_seconds(), health.report_of_checks().get("topics_unchecked_since")


async def checked(bench: Bench, after_seconds: float) -> None:
    bench.clock.advance_seconds(after_seconds)
    await bench.runner.process(Tick(0))
    await answered(bench)


def test_a_topic_check_that_nobody_answers_is_a_warning_that_says_since_when_and_comes_again_soon() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        assert unchecked(bench) == (0.0, None)
        bench.sources.silent = SILENT
        await checked(bench, CHECK_SOURCES_SECONDS)
        bench.clock.advance_seconds(1.5)
        assert unchecked(bench) == (1.5, "2013-10-07T14:40:10Z")
        await checked(bench, CHECK_AGAIN_SECONDS)
        assert unchecked(bench) == (1.5 + CHECK_AGAIN_SECONDS, "2013-10-07T14:40:10Z"), "it is the same silence still"
        assert bench.ends == [], "a worker that commits is not ended by it"
        bench.sources.silent = None
        await checked(bench, CHECK_AGAIN_SECONDS)
        assert unchecked(bench) == (0.0, None)
        assert bench.identity().status == "loaded"

    run(scenario())


def test_a_question_that_is_being_asked_again_counts_as_unanswered_already() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        bench.sources.unanswered = Unchecked(bench.clock.monotonic() - 4.0, "Timed out waiting for controller")
        assert unchecked(bench)[0] == 4.0

    run(scenario())


def told(bench: Bench) -> tuple[str | None, str]:
    """What the session's row says of the checks."""
    row = CODEC.row_from(bench.table[b"session"])
    assert isinstance(row, SessionRow)
    return (iso(row.unchecked_us) if row.unchecked_us >= 0 else None), row.unchecked_reason


def test_the_state_says_since_when_and_why_topics_are_not_checked_once_that_lasts() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        await bench.runner.activate()
        bench.sources.silent = BrokerLostError("no broker answers at a:1 (Timed out)", reason="no broker answers in time (Timed out)")
        await checked(bench, CHECK_SOURCES_SECONDS)
        await checked(bench, TOLD_AFTER_SECONDS - 0.1)
        assert told(bench) == (None, ""), "a broker that is busy for a moment is no news"
        await checked(bench, 0.1)
        assert told(bench) == ("2013-10-07T14:40:10Z", "no broker answers in time (Timed out)")
        await checked(bench, 60.0)
        assert told(bench) == ("2013-10-07T14:40:10Z", "no broker answers in time (Timed out)"), "it is the same silence still"
        bench.sources.silent = None
        await checked(bench, CHECK_AGAIN_SECONDS)
        await checked(bench, 1.0)
        assert told(bench) == (None, "")
        assert bench.ends == []

    run(scenario())


def test_a_check_that_is_refused_is_no_check_either() -> None:
    async def scenario() -> None:
        bench = Bench(5, "IBM")
        await bench.runner.activate()
        bench.sources.refused = {bench.names.bars(symbol): "TOPIC_AUTHORIZATION_FAILED" for symbol in ("SPY", "IBM")}
        await checked(bench, CHECK_SOURCES_SECONDS)
        await checked(bench, TOLD_AFTER_SECONDS)
        since, reason = told(bench)
        assert since == "2013-10-07T14:40:10Z"
        assert reason.startswith("none of the 2 bar topics may be read, bars.")
        assert unchecked(bench)[1] == since
        assert bench.ends == []

    run(scenario())


def test_a_worker_that_takes_over_says_nothing_of_the_checks_of_the_one_before() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        row = CODEC.row_from(bench.table[b"session"])
        assert isinstance(row, SessionRow)
        bench.table[b"session"] = CODEC.row_to(replace(row, unchecked_us=1, unchecked_reason="no broker answers in time"))
        await bench.runner.activate()
        assert told(bench) == (None, "")

    run(scenario())


def test_a_symbol_that_is_added_while_no_broker_answers_is_loaded_once_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(follower, "CHECK_AGAIN_SECONDS", 0.01)
        bench = Bench(read=5)
        bench.sources.ids[bench.names.bars("IBM")] = "IBM-1"
        await bench.runner.activate()
        bench.sources.silent = SILENT
        add = ControlCommand("add-1", "add_symbol", "IBM", 0)
        bench.runner._write_inputs([JournalInput(InputKind.COMMAND, text=command_text(add), first_offset=0, next_offset=1)])
        await bench.runner.process(Tick(1))
        await asyncio.sleep(0.05)
        await deal(bench)
        session = bench.runner.session
        assert session is not None
        ibm = session.symbol("IBM")
        assert ibm is not None
        assert (ibm.status, bench.ends) == ("pending", []), "it has not failed, and the worker has not ended"
        bench.sources.silent = None
        await until(lambda: bench.sent)
        await deal(bench)
        assert ibm.is_loaded
        assert ibm.offset == 7, "where the topic's records say, not its end"

    run(scenario())


def test_a_worker_that_cannot_ask_about_its_topics_does_not_become_active() -> None:
    async def scenario() -> None:
        bench = Bench(read=5)
        bench.sources.silent = SILENT
        with pytest.raises(BrokerLostError):
            await bench.runner.activate()
        assert not bench.ledger.written

    run(scenario())
