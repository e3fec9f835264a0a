"""The workers are killed at random moments, and nothing is lost, repeated, stale or out of order.

The plan of a run is made of a seed, and printed; CHAOS_SEED repeats it. What the kills then hit is up to the machine, so it
is counted: a run in which they hit workers that were not at work would prove nothing.
"""

from __future__ import annotations

import os
import random

import pytest

from streams.client.state import StateReader
from streams.config import SessionConfig
from streams.records import AnalysisKind
from streams.replay.verify import verify
from streams.settings import Settings
from tests.support import unique_symbol, wait_until
from tests.support.evidence import SessionTopics
from tests.support.feeders import SteadyFeed, endless_timeline, quotes_of_now
from tests.support.kill_plan import LONG, SHORT, Scale, made_plan
from tests.support.kill_run import Commands, Crew, Strikes
from tests.support.oracle import judge
from tests.support.sessions import second_bars, thresholds_of_all_kinds
from tests.support.workers import Workers

FEED_ENDS_SECONDS = 900.0
QUOTES_PER_SECOND = 300.0
CAUGHT_UP_SECONDS = 120.0


@pytest.mark.chaos
def test_nothing_is_lost_or_repeated_whatever_is_killed(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    run(bootstrap_servers, session_name, workers, SHORT)


@pytest.mark.chaos
@pytest.mark.slow
def test_nothing_is_lost_or_repeated_while_a_worker_and_its_standby_are_killed_again_and_again(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    run(bootstrap_servers, session_name, workers, LONG)


def run(servers: str, name: str, workers: Workers, scale: Scale) -> None:
    """Make a plan, carry it out, and judge what it has left behind."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    plan = made_plan(scale, seed)
    print(f"CHAOS_SEED={seed}\n{plan}", flush=True)
    symbols = [unique_symbol("K") for _ in range(scale.symbols)]
    initial, dynamic = symbols[: -scale.dynamic], symbols[-scale.dynamic :]
    settings = Settings.load(bootstrap_servers=servers, session=name)
    own = thresholds_of_all_kinds(initial, scale.threshold_seconds)
    config = second_bars(
        name, initial, derived=["5s", "1m"], threshold_seconds=scale.threshold_seconds, per_symbol=own, bars_topic=True, extra=["quotes"]
    )

    crew = Crew([workers.start(config) for _ in range(scale.workers)])
    crew.await_active()
    crew.await_standby()
    bars = endless_timeline(symbols, scale.bars_each, scale.bars_per_second, seed=seed)
    feed = SteadyFeed(settings, bars, scale.bars_per_second, at_least=scale.bars)
    # Of a symbol that stays and of one that comes and goes.
    quotes = SteadyFeed(settings, quotes_of_now([initial[0], dynamic[0]]), QUOTES_PER_SECOND)
    strikes = Strikes(plan, crew, feed)
    commands = Commands(settings, dynamic, plan.changes, feed)
    with feed:
        with commands.sending(), quotes:
            strikes.carry_out()
            feed.finish()
            wait_until(lambda: crew.look_after() or feed.is_done, "the feed to end", FEED_ENDS_SECONDS)
        await_the_end(settings, crew, dict(feed.sent_of), dict(quotes.sent_of))
    crew.stop()

    check_what_is_left(settings, config, symbols, dict(feed.sent_of), commands.ids, f"CHAOS_SEED={seed}")
    print(f"{len(plan.strikes)} strikes hit {dict(strikes.hits)}, ended by themselves: {dict(crew.ended_by_themselves)}", flush=True)
    assert feed.sent >= scale.bars
    at_work = strikes.hits["at work"]
    assert at_work >= plan.aimed // 2, f"CHAOS_SEED={seed}: {plan.aimed} strikes were meant for a worker at work, {at_work} hit one"


def await_the_end(settings: Settings, crew: Crew, sent: dict[str, int], quotes: dict[str, int]) -> None:
    """Wait until everything is read and the gate is open."""
    with StateReader(settings) as state:
        view = state.catch_up()

        def is_caught_up() -> bool:
            crew.look_after()
            state.follow()
            bars = all((row := view.progress_of(symbol)) is not None and row.offset >= count for symbol, count in sent.items())
            return bars and all((row := view.extra_of(one, "quotes")) is not None and row.offset >= count for one, count in quotes.items())

        wait_until(is_caught_up, f"{len(sent)} symbols to be read to their end", CAUGHT_UP_SECONDS)
    wait_until(lambda: crew.await_active().health().get("session_active") is True, "the gate to open", CAUGHT_UP_SECONDS)


def check_what_is_left(
    settings: Settings, config: SessionConfig, symbols: list[str], sent: dict[str, int], commands: list[str], seed: str
) -> None:
    """The oracle, the audit, and each command's last answer."""
    topics = SessionTopics(settings.bootstrap_servers, config.session_name)
    evidence = topics.evidence(config, symbols)
    findings = judge(evidence)
    assert not findings, f"{seed}\n" + "\n".join(findings)
    audit = verify(settings)
    assert audit.is_equal, f"{seed}\n" + "\n".join([*map(str, audit.differences), *audit.unchecked])
    assert {symbol: len(bars) for symbol, bars in evidence.topics.items()} == sent, "the feed did not produce what it was to"
    final = {reply.command_id: reply.status for reply in topics.replies()}
    assert set(final) == set(commands), "each command is answered"
    assert set(final.values()) <= {"completed", "failed"}, f"each command has a last answer: {final}"
    kinds = {event.kind for event in evidence.analysis}
    assert {AnalysisKind.HELD_BACK, AnalysisKind.ACTIVATED, AnalysisKind.BAR, AnalysisKind.SYMBOL_REMOVED} <= kinds
    published = sum(event.bar is not None for event in evidence.analysis)
    print(f"{sum(sent.values())} bars read, {published} published, {len(commands)} commands, {len(evidence.journal)} transactions")
