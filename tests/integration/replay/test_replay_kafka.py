"""Replays from topics and to a topic, on a real broker. The files that the bars come from are the measure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from streams.cli.main import run
from streams.client.jsonlines import analysis_json
from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.engine.reads import SessionData
from streams.history.lean.files import read_lean
from streams.history.store.store import HistoryStore
from streams.kafka.reader import BEGINNING, TopicReader
from streams.model.records import Bar, Quote, Tick
from streams.replay.source import MemorySource
from streams.replay.store_source import StoreSource
from streams.replay.topic_source import KafkaSource
from streams.wire.codec import Codec
from tests.support import create_topics, unique_symbol
from tests.support.engine import at
from tests.support.sessions.replay import MINUTES, Result, check_sums, clock, run_replay, session_of

DAYS = ("2013-10-07", "2013-10-08")


class Market:
    """SPY and IBM of two days, under names of the test's own, in memory and in topics."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # In this order by name, so that the order within an instant is that of the originals reversed or not, but always the same.
        self.first, self.second = sorted((unique_symbol(), unique_symbol()))
        self.bars = {name: bars_of(folder, name) for name, folder in ((self.first, "ibm"), (self.second, "spy"))}

    def produce(self, *, as_json: bool = False) -> None:
        with BarProducer(self.settings, as_json=as_json) as producer:
            for bars in self.bars.values():
                for bar in bars:
                    producer.send(bar)

    def replay(self, source: Any) -> Result:
        commands = [
            {"at": clock("12:00"), "command": "add_symbol", "symbol": self.first},
            {"at": clock("11:00", "2013-10-08"), "command": "remove_symbol", "symbol": self.first},
        ]
        session = session_of(self.second, derived_intervals=["5m", "15m"])
        return run_replay(session, source, days=DAYS, commands=commands)

    def from_topics(self, **parts: Any) -> Result:
        source = KafkaSource(self.settings, [self.first, self.second], **parts)
        try:
            return self.replay(source)
        finally:
            source.close()


def bars_of(folder: str, name: str) -> list[Bar]:
    found = [bar for day in ("20131007", "20131008", "20131009") for bar in read_lean(MINUTES / folder / f"{day}_trade.zip")]
    return [msgspec.structs.replace(bar, symbol=name) for bar in found]


@pytest.fixture
def market(bootstrap_servers: str, session_name: str) -> Market:
    return Market(Settings.load(bootstrap_servers=bootstrap_servers, session=session_name))


def test_topics_give_what_the_files_give(market: Market) -> None:
    market.produce()
    result = market.from_topics()
    assert result.sha256 == market.replay(MemorySource(market.bars)).sha256
    assert result.summary.base_accepted == 2 * 390 + 390 + 90
    check_sums(result)


def test_the_store_gives_what_the_topics_give(market: Market, tmp_path: Path) -> None:
    store = HistoryStore.create(tmp_path / "store")
    store.write_bars(bar for bars in market.bars.values() for bar in bars)
    market.produce()
    assert market.replay(StoreSource(store)).text == market.from_topics().text


@pytest.mark.parametrize(("fetch_records", "waiting"), [(1, 50), (7, 10), (500, 100)])
def test_the_size_of_fetches_and_of_what_may_wait_changes_nothing(market: Market, fetch_records: int, waiting: int) -> None:
    market.bars = {name: bars[:900] for name, bars in market.bars.items()}
    market.produce(as_json=True)
    # So little may wait that topics are let go and taken up again all the time.
    from_topics = market.from_topics(fetch_records=fetch_records, waiting_records=waiting)
    assert from_topics.sha256 == market.replay(MemorySource(market.bars)).sha256


def test_what_is_not_committed_or_came_after_the_start_is_not_replayed_and_garbage_is_a_dead_letter(market: Market) -> None:
    settings = market.settings
    bars = market.bars[market.second] = market.bars[market.second][:600]
    market.bars[market.first] = market.bars[market.first][:400]
    market.produce()
    topic = f"bars.{market.second}"
    with BarProducer(settings) as producer:
        producer.send(msgspec.structs.replace(bars[-1], start_us=bars[-1].end_us, end_us=2 * bars[-1].end_us - bars[-1].start_us))
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": str(settings.session)})
    producer.init_transactions(60)
    for value, commit in ((b"aborted", False), (b"garbage", True)):
        producer.begin_transaction()
        producer.produce(topic, value, timestamp=bars[-1].end_us // 1000)
        producer.flush(60)
        if commit:
            producer.commit_transaction(60)
        else:
            producer.abort_transaction(20)
    source = KafkaSource(settings, [market.first, market.second])
    with BarProducer(settings) as late:
        late.send(msgspec.structs.replace(bars[-1], start_us=bars[-1].end_us, end_us=2 * bars[-1].end_us - bars[-1].start_us, volume=1.0))
    result = market.replay(source)
    source.close()
    assert [(letter.symbol, letter.code) for letter in result.dead_letters] == [(market.second, "undecodable")]
    assert result.summary.dropped.get("duplicate", 0) == 0
    assert result.events("bar_corrected") == []
    check_sums(result)


def test_a_symbol_without_a_topic_fails_alone(market: Market) -> None:
    del market.bars[market.first]
    market.produce()
    result = market.from_topics()
    assert list(result.summary.failed) == [market.first]
    assert f"there is no topic bars.{market.first}" in result.summary.failed[market.first]
    assert len(result.bars(market.second)) == 2 * 390


def test_the_command_line_replays_topics_into_a_topic_once(market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market.produce()
    settings = market.settings
    config = tmp_path / "config.json"
    session = session_of(market.second, derived_intervals=["5m"], session_name=settings.session)
    config.write_text(session.to_json())
    words = ["replay", str(config), "--start", DAYS[0], "--end", DAYS[1], "--bootstrap", settings.bootstrap_servers]
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 * 390 + 2 * 78
    assert run([*words, "--to", "topic", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["summary"]["sequence"] == len(lines)
    topic = f"{settings.session}.replay.analysis"
    assert run([*words, "--to", "topic"]) == 1
    assert f"topic {topic} holds {len(lines)} records already: give --overwrite" in capsys.readouterr().err
    assert run([*words, "--to", "topic", "--overwrite"]) == 0
    codec = Codec()
    with TopicReader(settings, topic, start=BEGINNING, missing="") as reader:
        records = reader.read_to_end(20)
    found = [codec.analysis_from(record.value) for record in records]
    found_lines = [json.dumps(analysis_json(event), ensure_ascii=False) for event in found]
    assert found_lines == lines, "as `streams watch --json` writes them"
    assert [record.timestamp_ms for record in records] == [event.emitted_us // 1000 for event in found]


def test_a_replay_into_a_topic_writes_all_bars_to_another_where_the_config_asks_for_it(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market.produce()
    settings = market.settings
    config = tmp_path / "config.json"
    config.write_text(session_of(market.second, derived_intervals=["5m"], session_name=settings.session, bars_topic=True).to_json())
    words = ["replay", str(config), "--start", DAYS[0], "--end", DAYS[0], "--bootstrap", settings.bootstrap_servers]
    assert run([*words, "--to", "topic", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    codec = Codec()
    found = {}
    for name in ("analysis", "bars"):
        with TopicReader(settings, f"{settings.session}.replay.{name}", start=BEGINNING, missing="") as reader:
            found[name] = [codec.analysis_from(record.value) for record in reader.read_to_end(20)]
    assert len(found["bars"]) == summary["accepted"]
    assert [event for event in found["bars"] if not event.held_back] == [event for event in found["analysis"] if event.bar is not None]
    assert sum(event.held_back for event in found["bars"]) == summary["held_back"] + summary["still_held"]


def test_a_topic_that_may_not_be_created_is_asked_for(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMS_CREATE_TOPICS", "false")
    config = tmp_path / "config.json"
    config.write_text(session_of("SPY", session_name=market.settings.session).to_json())
    where = ["--bootstrap", market.settings.bootstrap_servers]
    words = ["replay", str(config), str(MINUTES), "--start", DAYS[0], "--end", DAYS[0], *where, "--to", "topic"]
    assert run(words) == 1
    assert "is false: have it created with 1 partition and cleanup.policy=delete, retention.ms=-1" in capsys.readouterr().err
    create_topics(market.settings.bootstrap_servers, f"{market.settings.session}.other")
    assert run([*words, "--topic", f"{market.settings.session}.other"]) == 0


def test_quotes_and_ticks_are_replayed_from_their_topics_and_leave_the_bars_as_they_are(market: Market) -> None:
    market.produce()
    open_us = at("09:30", DAYS[0])
    quotes = [Quote(market.second, open_us + number * 7_000_000, 100.0 + number % 9, 110.0) for number in range(5000)]
    ticks = [Tick(market.second, open_us + number * 60_000_000, 100.0, 1.0) for number in range(100)]
    with BarProducer(market.settings) as producer:
        for record in (*quotes, *ticks):
            producer.send(record)
    results = []
    for streams in (["1m"], ["1m", "quotes", "ticks"]):
        source = KafkaSource(market.settings, [market.second])
        results.append(run_replay(session_of(market.second, streams=streams), source, days=DAYS))
        source.close()
    without, with_them = results
    assert with_them.sha256 == without.sha256
    assert with_them.summary.quotes_and_ticks == 5100
    data = SessionData(with_them.replay.session.state)
    found = data.get_quotes(market.second, internal=True)
    assert found is not None
    # All of them are of the first day, in its hours (23,400 seconds) the first 3,343; and the session stands at the second.
    assert (found.count, found.total, found.out_of_hours, found.latest) == (0, 3343, 5000 - 3343, None)
    assert data.get_ticks(market.second, internal=True).total == 100  # type: ignore[union-attr]


def test_symbols_that_the_session_got_by_command_are_told_with_what_to_write(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market.bars = {name: [one for one in bars if one.end_us <= at("16:00", DAYS[0])] for name, bars in market.bars.items()}
    market.produce()
    settings, stranger = market.settings, unique_symbol()
    with BarProducer(settings) as producer:
        producer.send(msgspec.structs.replace(market.bars[market.first][0], symbol=stranger))
    control = f"{settings.session}.control"
    create_topics(settings.bootstrap_servers, control)
    commands = Producer({"bootstrap.servers": settings.bootstrap_servers})
    at_ms = at("12:00", DAYS[0]) // 1000
    commands.produce(control, json.dumps({"id": "a", "command": "add_symbol", "symbol": market.first}), timestamp=at_ms)
    commands.produce(control, b"no command", timestamp=at_ms)
    commands.flush(20)
    config = tmp_path / "config.json"
    config.write_text(session_of(market.second, session_name=settings.session).to_json())
    where = ["--bootstrap", settings.bootstrap_servers, "--to", "none"]
    words = ["replay", str(config), "--start", DAYS[0], "--end", DAYS[0], *where]
    assert run([*words, "--json"]) == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    count = len(market.bars[market.first])
    assert {"symbol": market.first, "in_session": True, "records": count} in report["left_out"]["symbols"]
    assert {"symbol": stranger, "in_session": False, "records": None} in report["left_out"]["symbols"]
    assert (report["left_out"]["config_symbols"], report["left_out"]["problem"]) == ([], None)
    (line,) = report["left_out"]["command_lines"]
    assert f"session {settings.session!r} got 1 symbol by command" in shown.err
    assert f"{market.first} ({count} records in their topics)" in shown.err
    assert line in shown.err
    assert report["summary"]["symbols"] == [market.second]
    # Done as it is said, the symbol is replayed.
    file = tmp_path / "commands.jsonl"
    file.write_text(line)
    assert run([*words, "--json", "--commands", str(file)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["summary"]["symbols"] == sorted([market.first, market.second])
    assert [one for one in report["left_out"]["symbols"] if one["in_session"]] == []


def test_a_replay_of_a_session_that_never_ran_here_knows_no_commands(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market.produce()
    config = tmp_path / "config.json"
    config.write_text(session_of(market.second, session_name=market.settings.session).to_json())
    words = ["--start", DAYS[0], "--end", DAYS[0], "--bootstrap", market.settings.bootstrap_servers, "--to", "none"]
    assert run(["replay", str(config), *words]) == 0
    shown = capsys.readouterr()
    assert "by command" not in shown.err + shown.out
