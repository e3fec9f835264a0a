"""A storm of garbage on topics of bars, quotes, ticks and commands, with records among it on which the engine raises.

The session goes on, and each record is accounted for: published, held back, dropped and counted, or a dead letter. One symbol
whose records all meet the bug fails, alone; one that is sound is published as if nothing were. The seed is printed; STORM_SEED
repeats it.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence

import pytest

from streams.engine.journal import InputKind
from streams.engine.rows import ProgressRow, SessionRow, StreamRow, progress_key, stream_key
from streams.records import AnalysisKind
from streams.replay.verify import verify
from streams.wire.codec import Codec
from tests.support import create_topics, unique_symbol, wait_until
from tests.support.buggy_worker import CURSED
from tests.support.desk import LiveDesk
from tests.support.evidence import CODEC
from tests.support.feeders import SteadyFeed, live_timeline, made_up_bars, made_up_quotes, made_up_ticks, now_us
from tests.support.oracle import judge
from tests.support.reading import Read, read_topic
from tests.support.sessions import second_bars
from tests.support.storms import Storm
from tests.support.workers import Workers

STORMY = 3
STREAMS = ("quotes", "ticks")
SOUND_EACH = 200
CURSED_IN_A_ROW = 12
FAILS_AFTER = 10
CALM_BARS = 100
CALM_BARS_A_SECOND = 20.0
WORKED_THROUGH_SECONDS = 300.0
THRESHOLD_SECONDS = 1800


class Account:
    """What became of each record of a session's topics, counted from what anybody can read."""

    def __init__(self, desk: LiveDesk) -> None:
        self.analysis = desk.topics.analysis()
        self.rows = desk.topics.rows()
        self.letters: dict[str, list[Read]] = {}
        for letter in read_topic(desk.servers, desk.names.dlq):
            self.letters.setdefault(letter.headers["__streams.errors.topic"], []).append(letter)
        self._names = desk.names

    def progress(self, symbol: str) -> ProgressRow:
        row = self.rows[progress_key(symbol)]
        assert isinstance(row, ProgressRow)
        return row

    def sum_of(self, symbol: str) -> dict[str, int]:
        """How many records met which fate."""
        row = self.progress(symbol)
        about = [event for event in self.analysis if event.symbol == symbol and event.interval == "1s"]
        return {
            "published": sum(event.bar is not None for event in about),
            "held back": sum(event.extent.count for event in about if event.kind == AnalysisKind.HELD_BACK and event.extent is not None)
            + sum(run.count for run in row.runs if run.interval == "1s"),
            "duplicates": row.duplicates,
            "out of hours": row.out_of_hours,
            "other interval": row.other_interval,
            "other day": row.other_day,
            "dead letters": len(self.letters.get(self._names.bars(symbol), [])),
        }

    def sum_of_extras(self, symbol: str, stream: str) -> dict[str, int]:
        """How many quotes or ticks met which fate."""
        row = self.rows[stream_key(stream, symbol)]
        assert isinstance(row, StreamRow)
        letters = len(self.letters.get(self._names.of(symbol, stream), []))
        assert letters == row.rejected + row.engine_errors
        return {"taken in": row.total, "out of hours": row.out_of_hours, "dead letters": letters}


@pytest.mark.chaos
@pytest.mark.parametrize("values", [4_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_each_record_of_a_storm_is_accounted_for_and_a_calm_symbol_goes_on(
    values: int, bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"STORM_SEED={seed}")
    storm = Storm(seed, cursed=True)
    stormy = [unique_symbol(f"STORM{place}") for place in range(STORMY)]
    calm, doomed = unique_symbol("CALM"), unique_symbol("DOOMED")
    desk = LiveDesk(
        bootstrap_servers, second_bars(session_name, [*stormy, calm, doomed], threshold_seconds=THRESHOLD_SECONDS, extra=STREAMS)
    )
    names, each = desk.names, values // (STORMY + 1)
    create_topics(bootstrap_servers, *map(names.bars, desk.config.symbols))
    end_us = now_us()
    sent = {symbol: storm.bars(made_up_bars(symbol, SOUND_EACH, end_us=end_us), each) for symbol in stormy}
    sent[doomed] = [
        Codec().bar_to_json(bar).replace(f'"volume":{bar.volume}'.encode(), f'"volume":{CURSED}'.encode())
        for bar in made_up_bars(doomed, CURSED_IN_A_ROW, end_us=end_us)
    ]
    extras: dict[tuple[str, str], list[bytes | None]] = {}
    for symbol in stormy:
        extras[symbol, "quotes"] = storm.quotes(made_up_quotes(symbol, SOUND_EACH, end_us=end_us), each)
        extras[symbol, "ticks"] = storm.ticks(made_up_ticks(symbol, SOUND_EACH, end_us=end_us), each)
    commands = storm.commands(each)

    worker = workers.start(desk.config, module="tests.support.buggy_worker")
    worker.wait_until("active")
    wait_until(lambda: worker.health().get("session_active") is True, "the gate to open", 60.0)
    timeline = live_timeline([calm], CALM_BARS, CALM_BARS_A_SECOND, seed=seed)
    began = time.monotonic()
    with SteadyFeed(desk.settings, timeline, CALM_BARS_A_SECOND) as feed:
        for symbol, some in sent.items():
            desk.raw_at_once(names.bars(symbol), some)
        for (symbol, stream), some in extras.items():
            desk.raw_at_once(names.of(symbol, stream), some)
        desk.raw_at_once(names.control, commands)
        produced_s = time.monotonic() - began

        def is_worked_through() -> bool:
            rows = desk.topics.rows()
            session = rows["session"]
            assert isinstance(session, SessionRow)
            ends = {progress_key(symbol): FAILS_AFTER if symbol == doomed else len(sent[symbol]) for symbol in sent}
            reached = [isinstance(row := rows.get(key), ProgressRow) and row.offset >= end for key, end in ends.items()]
            reached += [isinstance(row := rows.get(stream_key(*key[::-1])), StreamRow) and row.offset >= each for key in extras]
            return all(reached) and session.control_offset >= len(commands)

        wait_until(is_worked_through, f"{values} values to be worked through", WORKED_THROUGH_SECONDS)
        took_s = time.monotonic() - began
        wait_until(lambda: feed.is_done, "the calm feed to end", 60.0)
    desk.await_progress(calm, lambda row: row.offset == CALM_BARS, "the calm symbol read to its end")
    assert desk.add(unique_symbol("LATER")) is not None, "commands are run as before"
    assert worker.status() == "active"
    assert worker.stop() == 0

    account = Account(desk)
    for symbol in stormy:
        fates = account.sum_of(symbol)
        assert sum(fates.values()) == each, f"STORM_SEED={seed} {symbol}: {fates}"
        print(symbol, fates)
    for symbol in (*stormy, doomed):
        letters = account.letters[names.bars(symbol)]
        assert all(letter.headers["__streams.errors.message"] for letter in letters)
        assert [letter.value for letter in letters] == [sent[symbol][int(letter.headers["__streams.errors.offset"])] for letter in letters]
    for (symbol, stream), some in extras.items():
        fates = account.sum_of_extras(symbol, stream)
        assert sum(fates.values()) == each, f"STORM_SEED={seed} {stream} of {symbol}: {fates}"
        print(stream, symbol, fates)
        letters = account.letters[names.of(symbol, stream)]
        assert [letter.value for letter in letters] == [some[int(letter.headers["__streams.errors.offset"])] for letter in letters]
    codes = {letter.headers["__streams.errors.code"] for symbol in stormy for letter in account.letters[names.bars(symbol)]}
    assert codes >= {"undecodable", "wrong_symbol", "engine_error"}

    assert len(account.letters[names.bars(doomed)]) == FAILS_AFTER
    failed = [event.symbol for event in desk.topics.events() if event.kind == "symbol_failed"]
    assert failed == [doomed], "the one symbol that met nothing but the bug fails, alone"

    the_commands_add_up(desk, account, commands)
    evidence = desk.topics.evidence(desk.config, [calm])
    mine = [one for one in judge(evidence) if calm in one or one.startswith(("sequence", "journal", "gate", "stale", "counts", "repeated"))]
    assert not mine
    audit = verify(desk.settings)
    assert audit.is_equal, f"STORM_SEED={seed}\n" + "\n".join([*map(str, audit.differences), *audit.unchecked])

    lags_ms = sorted((event.emitted_us - event.bar.end_us) / 1000 for event in account.analysis if event.symbol == calm and event.bar)
    letter_ms = [letter.timestamp_ms for letters in account.letters.values() for letter in letters]
    print(f"{values} values produced in {produced_s:.1f} s, worked through in {took_s:.1f} s; {len(letter_ms)} dead letters")
    print(f"calm bars, from their end to analysis, the newest ten: {[round(lag) for lag in lags_ms[:10]]} ms")
    assert account.sum_of(calm)["published"] == CALM_BARS, "the calm symbol is published as if nothing were"


def the_commands_add_up(desk: LiveDesk, account: Account, commands: Sequence[bytes | None]) -> None:
    """Each control record is a command with an answer, or a dead letter."""
    inputs = [
        given
        for record in read_topic(desk.servers, desk.names.journal)
        for given in CODEC.journal_from(record.value).inputs
        if given.kind in (InputKind.COMMAND, InputKind.CONTROL_SKIPPED) and (given.first_offset or 0) < len(commands)
    ]
    assert [given.first_offset for given in inputs] == list(range(len(commands))), "each control record is one input, in order"
    letters = account.letters[desk.names.control]
    skipped = [given.first_offset for given in inputs if given.kind is InputKind.CONTROL_SKIPPED]
    assert [int(letter.headers["__streams.errors.offset"]) for letter in letters] == skipped
    assert [letter.value for letter in letters] == [commands[offset or 0] for offset in skipped]
    answered = {reply.command_id for reply in desk.topics.replies()}
    ids = {json.loads(given.text or "")["id"] for given in inputs if given.kind is InputKind.COMMAND}
    assert ids <= answered
    assert ids
