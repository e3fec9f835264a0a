"""Workers, an exporter and a consumer are killed at random moments, and nothing is lost, repeated, stale, untrue or out of order.

Everything that a session can do is on: quotes and ticks, derived intervals, complete windows, the ungated topic, past days with
indicators, feeds with holes and a history source that has most of what is missing, late bars and corrections, commands by topic
and over HTTP, reads all the while. The plan of a run is made of a seed, and printed; CHAOS_SEED repeats it. What the kills then
hit is up to the machine, so it is counted: a run in which they hit workers that were not at work would prove nothing.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest

from streams.audit.verify import verify
from streams.client.session import SessionClient
from streams.client.state import StateReader
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.engine.reads import SessionData
from streams.engine.session import Session
from streams.exports.committed import CommittedState
from streams.exports.increments import NewExporter
from streams.exports.rows import Format
from streams.history.store.store import HistoryStore
from streams.model.records import EXTRA_STREAMS, PROVENANCE_GAP_FILL, AnalysisKind, Bar
from streams.times import SECOND_US, iso
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, endless_timeline, now_us, quotes_of_now, ticks_of_now, walk
from tests.support.http_readers import READ_TOKEN, TOKENS, HttpReaders
from tests.support.kills.bystanders import Bystanders, Notebook, consume
from tests.support.kills.feeds import (
    DERIVED,
    LEAD_SECONDS,
    everything_on,
    holed_feed,
    known_bars,
    open_before,
    past_bars,
)
from tests.support.kills.lives import Lives
from tests.support.kills.plan import LONG, SHORT, Bystander, Flaw, Plan, Scale, made_plan
from tests.support.kills.run import Commands, Crew, Strikes
from tests.support.oracle.audit_all import Evidence, judge
from tests.support.oracle.evidence import SessionTopics
from tests.support.oracle.reads import (
    told_bars,
    wrong_answers,
    wrong_files,
    wrong_news,
    wrong_notes,
    wrong_qualities,
)
from tests.support.oracle.state import Day
from tests.support.oracle.windows import wrong_presence
from tests.support.workers.processes import Workers

FEED_ENDS_SECONDS = 900.0
CAUGHT_UP_SECONDS = 120.0
STILL = 5
"""Of so many symbols all reads are compared in the end."""
QUOTES_A_SECOND, TICKS_A_SECOND = 100.0, 40.0


@pytest.mark.chaos
def test_nothing_is_lost_or_repeated_whatever_is_killed(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    run(bootstrap_servers, session_name, workers, tmp_path, SHORT)


@pytest.mark.chaos
@pytest.mark.slow
def test_nothing_is_lost_or_repeated_while_a_worker_and_its_standby_are_killed_again_and_again(
    bootstrap_servers: str, session_name: str, workers: Workers, tmp_path: Path
) -> None:
    run(bootstrap_servers, session_name, workers, tmp_path, LONG)


@dataclass
class Cast:
    """Who is in the session: `plain` symbols have a feed without flaws, `holed` ones one of their own each."""

    plan: Plan
    plain: list[str]
    holed: list[str]
    open_us: int
    bars: dict[str, list[Bar]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan) -> Cast:
        """The cast of a plan, with all bars of the feeds with holes."""
        scale = plan.scale
        plain = [unique_symbol("K") for _ in range(scale.symbols)]
        holed = [unique_symbol("H") for _ in range(scale.holed)]
        before = round(max(scale.bars_each - scale.bars / scale.bars_per_second, LEAD_SECONDS)) * SECOND_US
        cast = cls(plan, plain, holed, open_before(now_us() - before))
        first_us = now_us() - LEAD_SECONDS * SECOND_US
        cast.bars = {symbol: list(islice(walk(symbol, first_us), scale.holed_seconds)) for symbol in holed}
        return cast

    @property
    def dynamic(self) -> list[str]:
        """Who is removed and added, one with holes among them."""
        return [*self.plain[-self.plan.scale.dynamic + 1 :], self.holed[-1]]

    @property
    def initial(self) -> list[str]:
        """All others."""
        return [symbol for symbol in (*self.plain, *self.holed) if symbol not in self.dynamic]

    @property
    def quoted(self) -> list[str]:
        """Whose quotes and ticks come."""
        return [*self.initial[3:6], self.holed[0], *self.dynamic[:2]]

    def stretches(self, symbol: str) -> list[tuple[Flaw, list[Bar]]]:
        """What is wrong with the feed of a symbol, with the bars that it is about."""
        place = self.holed.index(symbol)
        bars = self.bars[symbol]
        return [(one.flaw, bars[one.first : one.first + one.seconds]) for one in self.plan.stretches if one.symbol == place]

    def write_history(self, folder: Path) -> dict[str, list[Bar]]:
        """Make a store of past days, and of what the feeds with holes lack; gives the past days."""
        past = {symbol: past_bars(symbol, self.open_us) for symbol in (*self.plain, *self.holed)}
        store = HistoryStore.create(folder)
        store.write_bars(bar for bars in past.values() for bar in bars)
        for place, symbol in enumerate(self.holed):
            store.write_bars(known_bars(self.bars[symbol], [one for one in self.plan.stretches if one.symbol == place]))
        return past


class Feeds:
    """All that is produced: `plain` is what a plan's places count; the others begin with it."""

    def __init__(self, settings: Settings, cast: Cast) -> None:
        scale, plan = cast.plan.scale, cast.plan
        bars = endless_timeline(cast.plain, scale.bars_each, scale.bars_per_second, seed=plan.seed)
        self.plain = SteadyFeed(settings, bars, scale.bars_per_second, at_least=scale.bars)
        self.holed = [
            SteadyFeed(settings, holed_feed(cast.bars[symbol], [one for one in plan.stretches if one.symbol == place]), 1000.0)
            for place, symbol in enumerate(cast.holed)
        ]
        self.quotes = SteadyFeed(settings, quotes_of_now(cast.quoted), QUOTES_A_SECOND, at_least=0)
        self.ticks = SteadyFeed(settings, ticks_of_now(cast.quoted), TICKS_A_SECOND, at_least=0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """All feeds run while the block does."""
        with ExitStack() as stack:
            for feed in (self.plain, self.quotes, self.ticks, *self.holed):
                stack.enter_context(feed)
            yield


def run(servers: str, name: str, workers: Workers, folder: Path, scale: Scale) -> None:
    """Make a plan, carry it out, and judge what it has left behind."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    plan = made_plan(scale, seed)
    print(f"CHAOS_SEED={seed}\n{plan}", flush=True)
    settings = Settings.load(bootstrap_servers=servers, session=name)
    cast = Cast.of(plan)
    past = cast.write_history(folder / "history")
    config = everything_on(name, cast.initial, cast.holed, cast.open_us, scale.threshold_seconds)

    surroundings = {**TOKENS, "STREAMS_HISTORY": str(folder / "history")}
    started = [workers.start(config, settings=surroundings) for _ in range(scale.workers)]
    urls = [worker.url for worker in started]
    crew = Crew(started)
    crew.await_active()
    crew.await_standby()
    feeds = Feeds(settings, cast)
    strikes = Strikes(plan, crew, feeds.plain)
    commands = Commands(settings, cast.dynamic, plan.changes, feeds.plain, urls)
    readers = HttpReaders(urls, [*cast.initial, cast.dynamic[0], cast.holed[-1], "NOBODY"], [config.base_interval, *DERIVED], seed)
    bystanders = Bystanders(settings, folder, plan.falls, feeds.plain)
    with readers.reading(), feeds.running():
        with bystanders.watching():
            with commands.sending():
                strikes.carry_out()
                feeds.plain.finish()
                wait_until(lambda: crew.look_after() or feeds.plain.is_done, "the feed to end", FEED_ENDS_SECONDS)
            feeds.quotes.finish()
            feeds.ticks.finish()
            until_us = await_the_end(settings, crew, feeds, cast)
        exporter = NewExporter(settings, bystanders.exported, Format.CSV, internal=True)
        for _ in range(2):  # what the exporter has left under way, and what has come since
            exporter.run()
        still = cast.initial[:STILL]
        with SessionClient(urls, read_token=READ_TOKEN, patience_seconds=CAUGHT_UP_SECONDS) as client:
            answers = {symbol: reads_of(client, symbol) for symbol in still}
        crew.stop()
    consume(settings, bystanders.notebook, to_the_end=True)

    what = f"CHAOS_SEED={seed}"
    restored = SessionData(Session.restore(SessionTopics(servers, name).rows()).state)
    assert {symbol: reads_of(restored, symbol) for symbol in still} == answers, f"{what}: what is restored is not what was told over HTTP"
    check_what_is_left(settings, config, cast, feeds, until_us, commands.ids, Day(config, cast.open_us, past), readers, bystanders, what)
    print(f"{len(plan.strikes)} strikes hit {dict(strikes.hits)}, ended by themselves: {dict(crew.ended_by_themselves)}", flush=True)
    print(f"{dict(bystanders.killed)} were killed; answers: {dict(readers.statuses)}, {readers.shut} while the gate was shut", flush=True)
    assert feeds.plain.sent >= scale.bars
    assert set(bystanders.killed) == set(Bystander)
    at_work = strikes.hits["at work"]
    assert at_work >= plan.aimed // 2, f"{what}: {plan.aimed} strikes were meant for a worker at work, {at_work} hit one"


def reads_of(session: SessionClient | SessionData, symbol: str) -> dict[str, object]:
    """What is known of a symbol whose feed has ended, but for windows, which the clock may still close."""
    history = {interval: session.get_historical_bars(symbol, interval, internal=True) for interval in ("1s", *DERIVED)}
    return {
        "streamed": session.get_streamed_data(symbol, internal=True),
        "generated": session.get_generated_data(symbol, internal=True),
        "bars": session.get_bars(symbol, internal=True),
        "metrics": session.get_session_metrics(symbol, internal=True),
        "quotes": session.get_quotes(symbol, internal=True),
        "ticks": session.get_ticks(symbol, internal=True),
        "indicators": session.get_indicators(symbol, internal=True),
        **history,
    }


def await_the_end(settings: Settings, crew: Crew, feeds: Feeds, cast: Cast) -> int:
    """Wait until everything is read, what can be filled is filled, and the gate is open; gives until when all is filled."""
    read = {(symbol, None): count for symbol, count in feeds.plain.sent_of.items()}
    with StateReader(settings) as state:
        view = state.catch_up()

        def is_caught_up() -> bool:
            crew.look_after()
            state.follow()
            bars = all((row := view.progress_of(symbol)) is not None and row.offset >= count for (symbol, _), count in read.items())
            extras = {stream: getattr(feeds, stream).sent_of for stream in EXTRA_STREAMS}
            return bars and all(
                (row := view.extra_of(symbol, stream)) is not None and row.offset >= count
                for stream, counts in extras.items()
                for symbol, count in counts.items()
            )

        wait_until(is_caught_up, f"{len(read)} symbols to be read to their end", CAUGHT_UP_SECONDS)
    until_us = now_us() - 10 * SECOND_US  # younger gaps may still be on their way
    with CommittedState(settings, symbols=cast.holed) as committed:

        def are_filled() -> bool:
            """Whether each stretch that a feed lacked until then is filled in, or known to be nowhere."""
            crew.look_after()
            committed.read()
            found = committed.state().symbols
            return len(found) == len(cast.holed) and not any(data.bar_gaps("1s", until_us) for data in found.values())

        wait_until(are_filled, "gaps to be filled", CAUGHT_UP_SECONDS)
    wait_until(lambda: crew.await_active().health().get("session_active") is True, "the gate to open", CAUGHT_UP_SECONDS)
    return until_us


def check_what_is_left(
    settings: Settings,
    config: SessionConfig,
    cast: Cast,
    feeds: Feeds,
    until_us: int,
    commands: Sequence[str],
    day: Day,
    readers: HttpReaders,
    bystanders: Bystanders,
    seed: str,
) -> None:
    """The oracle, the audit, each command's last answer, and what others have read meanwhile."""
    topics = SessionTopics(settings.bootstrap_servers, config.session_name)
    symbols = [*cast.plain, *cast.holed]
    evidence = topics.evidence(config, symbols, day=day)
    findings = judge(evidence)
    findings += wrong_reads(topics, evidence, day, readers, bystanders)
    assert not findings, f"{seed}\n" + "\n".join(findings[:60])
    audit = verify(settings)
    assert audit.is_equal, f"{seed}\n" + "\n".join([*map(str, audit.differences), *audit.unchecked])
    sent = {symbol: count for feed in (feeds.plain, *feeds.holed) for symbol, count in feed.sent_of.items()}
    fed = {symbol: sum(bar.provenance != PROVENANCE_GAP_FILL for bar in bars.values()) for symbol, bars in evidence.topics.items()}
    assert fed == sent, "the feeds did not produce what they were to"
    check_flaws(cast, evidence, until_us, seed)
    final = {reply.command_id: reply.status for reply in topics.replies()}
    assert set(commands) <= set(final), "each command is answered"
    assert set(final.values()) <= {"completed", "failed"}, f"each command has a last answer: {final}"
    kinds = {event.kind for event in evidence.analysis}
    # Whether a window is told depends on when the gate was open, which on a busy machine is seldom: what is told is judged above.
    assert kinds >= {
        AnalysisKind.HELD_BACK, AnalysisKind.ACTIVATED, AnalysisKind.BAR, AnalysisKind.SYMBOL_REMOVED, AnalysisKind.REVISED,
    }  # fmt: skip
    published = sum(event.bar is not None for event in evidence.analysis)
    windows = sum(event.interval_complete is not None for event in evidence.analysis)
    print(f"{sum(sent.values())} bars read, {published} published, {len(final)} commands, {len(evidence.journal)} transactions")
    print(f"{windows} windows told to be complete")
    print(f"{len(readers.answers)} answers and {len(list(bystanders.exported.glob('*.csv')))} files held against the topics")


def wrong_reads(topics: SessionTopics, evidence: Evidence, day: Day, readers: HttpReaders, bystanders: Bystanders) -> list[str]:
    """What readers, the consumer and the exporter were told, and should not have been; and windows."""
    all_bars = evidence.all_bars or ()
    told = told_bars(all_bars)
    lives = Lives(evidence.journal, evidence.topics)
    notebook = Notebook(bystanders.notebook)
    notes = notebook.rows()
    notebook.close()
    alone = {key[0] for key in lives.of if sum(other[0] == key[0] for other in lives.of) == 1}
    patience_us = 2 * day.config.smallest_threshold_us
    return [
        *readers.wrong,
        *wrong_answers(readers.answers, lives, evidence.journal, topics.analysis_by_offset(), all_bars, day),
        *wrong_qualities(readers.answers, lives, evidence.journal, told, day),
        *wrong_news(evidence.events or (), lives, evidence.journal, told, day),
        *wrong_notes(notes, evidence.analysis),
        *wrong_files(bystanders.exported, all_bars, evidence.rows),
        *wrong_presence(evidence.analysis, all_bars, patience_us, alone.__contains__),
    ]


def check_flaws(cast: Cast, evidence: Evidence, until_us: int, seed: str) -> None:
    """What the feeds lacked is filled in where the source has it, and where it has not that is known; the rest came as it was meant to."""
    session = Session.restore(evidence.rows)
    counts: Counter[Flaw] = Counter()
    for symbol in cast.holed:
        data = session.symbol(symbol)
        assert data is not None
        there = {bar.start_us: bar for bar in data.bars}
        for flaw, bars in cast.stretches(symbol):
            for bar in bars:
                if bar.end_us > until_us:
                    continue  # nobody has waited for it
                counts[flaw] += 1
                what = f"{seed} {symbol}: {flaw}, {iso(bar.start_us)}"
                is_empty = any(one.start_us <= bar.start_us < one.end_us for one in data.empty)
                assert (bar.start_us in there, is_empty) == (flaw is not Flaw.UNKNOWN, flaw is Flaw.UNKNOWN), what
    print(f"bars of feeds by what was wrong with them: { {flaw.name.lower(): count for flaw, count in counts.items()} }")
    filled = {event.symbol for event in evidence.analysis if event.bar is not None and event.bar.provenance == PROVENANCE_GAP_FILL}
    assert set(counts) == set(Flaw)
    assert filled, "some gaps were filled while that was fresh"
