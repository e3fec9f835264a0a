"""A storm of garbage on all topics that a session reads, and on its API, with records among it on which the engine raises.

The session goes on, and all is accounted for: a record is published, held back, counted, dropped and counted, or a dead letter; a
command has an answer or is a dead letter; a request over HTTP has a status. One symbol whose records all meet the bug fails,
alone; one that is sound is published as if nothing were. The seed is printed; STORM_SEED repeats it.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from streams.audit.verify import verify
from streams.model.inputs import InputKind
from streams.model.records import EXTRA_STREAMS, AnalysisKind, Bar, Quote, Tick
from streams.model.rows import ProgressRow, SessionRow, StreamRow, progress_key, stream_key
from streams.wire.codec import Codec
from tests.support import create_topics, unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline, made_up_bars, made_up_quotes, made_up_ticks, now_us
from tests.support.kafka.reading import Read, read_topic
from tests.support.kills.http_storms import LEFT, HttpStorm
from tests.support.kills.storms import Storm
from tests.support.oracle.audit_all import judge
from tests.support.oracle.evidence import CODEC
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.buggy import CURSED
from tests.support.workers.processes import Workers

STORMY = 3
SOUND_EACH = 200
CURSED_IN_A_ROW = 12
FAILS_AFTER = 10
CALM_BARS = 100
CALM_BARS_A_SECOND = 20.0
HALF_OPEN = 150
"""More connections than the worker keeps."""
WORKED_THROUGH_SECONDS = 300.0
THRESHOLD_SECONDS = 1800
READ_TOKEN, COMMAND_TOKEN = "the-token-that-reads", "the-token-that-commands"
TOKENS = {"STREAMS_READ_TOKEN": READ_TOKEN, "STREAMS_COMMAND_TOKEN": COMMAND_TOKEN}


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

    def sum_of_stream(self, symbol: str, stream: str) -> dict[str, int]:
        """The same of quotes or ticks."""
        row = self.rows[stream_key(stream, symbol)]
        assert isinstance(row, StreamRow)
        letters = len(self.letters.get(self._names.of(symbol, stream), []))
        assert letters == row.rejected + row.engine_errors
        return {"counted": row.total, "out of hours": row.out_of_hours, "dead letters": letters}


@pytest.mark.chaos
@pytest.mark.parametrize("values", [10_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_all_of_a_storm_is_accounted_for_and_a_calm_symbol_goes_on(
    values: int, bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"STORM_SEED={seed}")
    stormy = [unique_symbol(f"STORM{place}") for place in range(STORMY)]
    calm, doomed = unique_symbol("CALM"), unique_symbol("DOOMED")
    config = second_bars(session_name, [*stormy, calm, doomed], threshold_seconds=THRESHOLD_SECONDS, extra=EXTRA_STREAMS)
    desk = LiveDesk(bootstrap_servers, config)
    names = desk.names
    sent, commands = storm_over(desk, seed, values, stormy, doomed)
    create_topics(bootstrap_servers, *sent)

    worker = workers.start(desk.config, module="tests.support.workers.buggy", settings=TOKENS)
    worker.wait_until("active")
    wait_until(lambda: worker.health().get("session_active") is True, "the gate to open", 60.0)
    api = HttpStorm(worker.url, seed, [*stormy, calm], read_token=READ_TOKEN, command_token=COMMAND_TOKEN)
    requests = values - len(commands) - sum(map(len, sent.values()))
    timeline = live_timeline([calm], CALM_BARS, CALM_BARS_A_SECOND, seed=seed)
    began = time.monotonic()
    with SteadyFeed(desk.settings, timeline, CALM_BARS_A_SECOND) as feed:
        clients = threading.Thread(target=api.send, args=(requests,), name="http storm", daemon=True)
        clients.start()
        for topic, some in sent.items():
            desk.raw_at_once(topic, some)
        desk.raw_at_once(names.control, commands)
        ends = {names.bars(symbol): progress_key(symbol) for symbol in (*stormy, doomed)}
        ends |= {names.of(symbol, stream): stream_key(stream, symbol) for symbol in stormy for stream in EXTRA_STREAMS}

        def is_worked_through() -> bool:
            rows = desk.topics.rows()
            session = rows["session"]
            assert isinstance(session, SessionRow)
            found = [(rows.get(key), FAILS_AFTER if topic == names.bars(doomed) else len(sent[topic])) for topic, key in ends.items()]
            reached = [isinstance(row, ProgressRow | StreamRow) and row.offset >= end for row, end in found]
            return all(reached) and session.control_offset >= len(commands)

        wait_until(is_worked_through, f"{values} values to be worked through", WORKED_THROUGH_SECONDS)
        took_s = time.monotonic() - began
        clients.join(WORKED_THROUGH_SECONDS)
        assert not clients.is_alive(), "the requests came to no end"
        with api.half_open(HALF_OPEN):
            assert worker.status() == "active", "who begins a request and stops keeps nobody out"
        wait_until(lambda: feed.is_done, "the calm feed to end", 60.0)
    desk.await_progress(calm, lambda row: row.offset == CALM_BARS, "the calm symbol read to its end")
    assert desk.add(unique_symbol("LATER")) is not None, "commands are run as before"
    assert worker.status() == "active"
    assert worker.stop() == 0
    assert "Traceback" not in worker.said()

    account = Account(desk)
    the_records_add_up(account, desk, f"STORM_SEED={seed}", sent, stormy, doomed)
    the_commands_add_up(desk, account, commands)
    the_requests_add_up(api, requests, f"STORM_SEED={seed}")
    evidence = desk.topics.evidence(desk.config, [calm])
    evidence = replace(evidence, rows={key: row for key, row in evidence.rows.items() if calm in key or not isinstance(row, StreamRow)})
    mine = [one for one in judge(evidence) if calm in one or one.startswith(("sequence", "journal", "gate", "stale", "counts", "repeated"))]
    assert not mine
    audit = verify(desk.settings)
    assert audit.is_equal, f"STORM_SEED={seed}\n" + "\n".join([*map(str, audit.differences), *audit.unchecked])

    lags_ms = sorted((event.emitted_us - event.bar.end_us) / 1000 for event in account.analysis if event.symbol == calm and event.bar)
    print(f"{values} values worked through in {took_s:.1f} s; {sum(map(len, account.letters.values()))} dead letters")
    print(f"calm bars, from their end to analysis, the newest ten: {[round(lag) for lag in lags_ms[:10]]} ms")
    assert account.sum_of(calm)["published"] == CALM_BARS, "the calm symbol is published as if nothing were"


def storm_over(
    desk: LiveDesk, seed: int, values: int, stormy: list[str], doomed: str
) -> tuple[dict[str, list[bytes | None]], list[bytes | None]]:
    """Values by topic, and those for the control topic: of ten four are bars, two quotes, two ticks and one a command; one is left."""
    storm, end_us, names = Storm(seed, cursed=True), now_us(), desk.names
    sent: dict[str, list[bytes | None]] = {}
    for symbol in stormy:
        series: list[tuple[str, list[Bar] | list[Quote] | list[Tick], int]] = [
            (names.bars(symbol), made_up_bars(symbol, SOUND_EACH, end_us=end_us), 4),
            (names.quotes(symbol), made_up_quotes(symbol, SOUND_EACH, end_us=end_us), 2),
            (names.ticks(symbol), made_up_ticks(symbol, SOUND_EACH, end_us=end_us), 2),
        ]
        for topic, sound, share in series:
            sent[topic] = storm.values(sound, values * share // 10 // STORMY)
    sent[names.bars(doomed)] = [
        Codec().bar_to_json(bar).replace(f'"volume":{bar.volume}'.encode(), f'"volume":{CURSED}'.encode())
        for bar in made_up_bars(doomed, CURSED_IN_A_ROW, end_us=end_us)
    ]
    return sent, storm.commands(values // 10, stormy)


def the_records_add_up(
    account: Account, desk: LiveDesk, seed: str, sent: dict[str, list[bytes | None]], stormy: list[str], doomed: str
) -> None:
    """Each record has one fate, and a dead letter has its record and the reason."""
    names = desk.names
    for symbol in stormy:
        sums = {names.bars(symbol): account.sum_of(symbol)}
        sums |= {names.of(symbol, stream): account.sum_of_stream(symbol, stream) for stream in EXTRA_STREAMS}
        for topic, fates in sums.items():
            assert sum(fates.values()) == len(sent[topic]), f"{seed} {topic}: {fates}"
            print(topic, fates)
    codes: dict[str, set[str]] = {}
    for topic, values in sent.items():
        letters = account.letters[topic]
        assert all(letter.headers["__streams.errors.message"] for letter in letters)
        assert [letter.value for letter in letters] == [values[int(letter.headers["__streams.errors.offset"])] for letter in letters]
        codes[topic] = {letter.headers["__streams.errors.code"] for letter in letters}
    for topic_of in (names.bars, names.quotes, names.ticks):
        assert set().union(*(codes[topic_of(symbol)] for symbol in stormy)) >= {"undecodable", "wrong_symbol", "engine_error"}
    assert len(account.letters[names.bars(doomed)]) == FAILS_AFTER
    failures = [event for event in desk.topics.events() if event.kind == "symbol_failed"]
    # A request may ask for a symbol that must exist already, and does not.
    failed = [event.symbol for event in failures if "must_exist" not in str(event)]
    assert failed == [doomed], "the one symbol that met nothing but the bug fails, alone"


def the_commands_add_up(desk: LiveDesk, account: Account, commands: list[bytes | None]) -> None:
    """Each control record, of the storm or by way of a request, is a command with an answer, or a dead letter."""
    records = {record.offset: record.value for record in read_topic(desk.servers, desk.names.control)}
    assert not Counter(commands) - Counter(records.values())
    inputs = [
        given
        for record in read_topic(desk.servers, desk.names.journal)
        for given in CODEC.journal_from(record.value).inputs
        if given.kind in (InputKind.COMMAND, InputKind.CONTROL_SKIPPED)
    ]
    assert [given.first_offset for given in inputs] == sorted(records), "each control record is one input, in order"
    letters = account.letters[desk.names.control]
    skipped = [given.first_offset or 0 for given in inputs if given.kind is InputKind.CONTROL_SKIPPED]
    assert [int(letter.headers["__streams.errors.offset"]) for letter in letters] == skipped
    assert [letter.value for letter in letters] == [records[offset] for offset in skipped]
    replies = desk.topics.replies()
    ids = {json.loads(given.text or "")["id"] for given in inputs if given.kind is InputKind.COMMAND}
    assert ids <= {reply.command_id for reply in replies}
    assert {(reply.kind, reply.status) for reply in replies} >= {
        ("begin_export", "completed"), ("end_export", "completed"), ("end_export", "failed"), ("remove_symbol", "failed"),
    }  # fmt: skip
    # Of those that came as requests some are good.
    assert any(reply.kind == "add_symbol" and reply.symbol.startswith("FUZZ") and reply.status == "completed" for reply in replies)


def the_requests_add_up(api: HttpStorm, requests: int, seed: str) -> None:
    """Each request has a status, and none is that of a failure."""
    print("requests:", dict(api.counts))
    assert not api.failures, "\n".join([seed, *api.failures[:20]])
    assert api.counts.total() == requests
    assert {200, 202, 400, 401, 404, 405, 413, 421, 422, LEFT} <= set(api.counts), f"{seed}: {api.counts}"
    bad = {status for status in api.counts if isinstance(status, int) and status >= 500} - {503}
    assert not bad, f"{seed}: {api.counts}"
