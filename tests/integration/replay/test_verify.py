"""`streams verify` against a real worker: equal after a kill, while it goes on and when it has stopped; and what it finds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from streams.audit.reading import SourceTopics
from streams.audit.verify import VerifyReport, verify
from streams.cli.main import run
from streams.config.session import SessionConfig
from streams.errors import HistoryError
from streams.times import SystemClock
from streams.wire.codec import Codec
from tests.support import create_topics, unique_name, unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, around_the_clock, live_timeline, made_up_bars, now_us
from tests.support.sessions.desk import LiveDesk
from tests.support.workers.processes import Workers

CODEC = Codec()
EACH = 300
PER_SECOND = 150.0


@pytest.fixture(autouse=True)
def _nothing_comes_behind_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit waits two seconds for records that a running session has yet to write: here all are written."""
    monkeypatch.setattr("streams.audit.reading.BEYOND_SECONDS", 0.2)


@dataclass
class Story:
    """A session that was fed, tampered with by nobody, and killed once; its worker has stopped."""

    desk: LiveDesk
    symbols: list[str]
    live: list[VerifyReport]


@pytest.fixture(scope="module")
def story(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    symbols = [unique_symbol("V") for _ in range(3)]
    config = SessionConfig.from_dict(
        {
            "session_name": unique_name("verify"),
            **around_the_clock(),
            "session_data_config": {"symbols": symbols, "streams": ["1s"], "derived_intervals": ["5s"]},
        }
    )
    with Workers(bootstrap_servers, tmp_path_factory.mktemp("verify")) as workers:
        worker = workers.start(config)
        worker.wait_until("active")
        desk = LiveDesk(bootstrap_servers, config)
        live = []
        with SteadyFeed(desk.settings, live_timeline(symbols, EACH, PER_SECOND), PER_SECOND) as feed:
            added = unique_symbol("V")
            desk.bars(made_up_bars(added, 500, end_us=now_us()))
            desk.add(added)
            desk.raw(desk.names.bars(added), b"no bar at all", b"{")
            desk.raw(desk.names.control, b"no command at all", json.dumps({"command": "add_symbol", "symbol": 5}).encode())
            wait_until(lambda: feed.sent > len(symbols) * EACH // 3, "a third of the bars to be fed")
            live.append(verify(desk.settings))
            worker.kill()
            worker.start()
            worker.wait_until("active")
            desk.remove(symbols[0], immediate=True)
            wait_until(lambda: feed.is_done, "all bars to be fed", 60)
        desk.await_progress(symbols[2], lambda row: row.accepted >= EACH, "all of its bars")
        live.append(verify(desk.settings))
        assert worker.stop() == 0
        yield Story(desk, [*symbols, added], live)


def cli(capsys: pytest.CaptureFixture[str], desk: LiveDesk, *options: str) -> tuple[int, dict[str, Any]]:
    code = run(["verify", "--bootstrap", desk.servers, "--session", desk.config.session_name, "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def test_records_that_come_after_the_end_of_a_topic_was_seen_are_read_too(bootstrap_servers: str, session_name: str) -> None:
    """A running session's journal may speak of bars that were not there when the audit came to their topic's end."""
    desk = LiveDesk(bootstrap_servers, SessionConfig.from_dict({"session_name": session_name, "session_data_config": {"symbols": []}}))
    topic = unique_name("bars")
    create_topics(bootstrap_servers, topic)
    desk.raw(topic, *[b"old"] * 5)
    with SourceTopics(desk.settings, SystemClock(), fetch_records=5) as source:
        assert len(source.records(topic, "", 0, 5)) == 5
        for following in range(6, 12):
            desk.raw(topic, b"new")
            # Half of them are asked for when the client has the topic's end beside the record, in one batch.
            time.sleep(0.2 * (following % 2))
            assert [raw.offset for raw in source.records(topic, "", following - 1, following)] == [following - 1]
        with pytest.raises(HistoryError, match=f"{topic} ends at offset 11, records up to 11 were read from it"):
            source.records(topic, "", 11, 12)


def test_a_running_session_is_equal(story: Story) -> None:
    for report in story.live:
        assert report.is_equal, ([str(one) for one in report.differences], report.unchecked)
        assert report.rows > 0


def test_a_session_that_was_killed_in_between_is_equal_to_the_last_record_and_row(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    code, facts = cli(capsys, story.desk)
    assert (code, facts["result"], facts["differences"], facts["unchecked"]) == (0, "equal", [], [])
    topics, names = story.desk.topics, story.desk.names
    assert facts["records"][names.analysis] == len(topics.analysis())
    assert facts["records"][names.events] == len(topics.events())
    assert facts["records"][names.replies] == len(topics.replies())
    assert facts["records"][names.dlq] == 4
    assert facts["rows"] == len(topics.rows())
    assert facts["bars"] >= 2 * EACH + 500


def test_a_forged_record_is_named_and_ends_with_one(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    desk = story.desk
    last = desk.topics.analysis()[-1]
    desk.raw(desk.names.analysis, CODEC.analysis_to(replace(last, sequence=last.sequence + 1, symbol="FORGED")), key=b"FORGED")
    code, facts = cli(capsys, desk)
    assert (code, facts["result"], facts["difference_count"]) == (1, "differs", 1)
    (difference,) = facts["differences"]
    assert (difference["kind"], difference["topic"], difference["sequence"]) == ("extra", desk.names.analysis, last.sequence + 1)
    assert "FORGED" in difference["what"]
    assert run(["verify", "--bootstrap", desk.servers, "--session", desk.config.session_name]) == 1
    said = capsys.readouterr().out
    assert f"{desk.names.analysis} offset {difference['offset']}" in said
    assert "should not be there" in said


def test_a_row_that_somebody_has_changed_is_named(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    desk, symbol = story.desk, story.symbols[1]
    row = desk.progress(symbol)
    assert row is not None
    key = f"progress|{symbol}"
    desk.raw(desk.topics.changelog, CODEC.row_to(replace(row, published=row.published + 1)), key=key.encode())
    code, facts = cli(capsys, desk)
    assert code == 1
    found = {(one["what"], one["field"], one["expected"], one["found"]) for one in facts["differences"]}
    assert (f"row {key}", "published", str(row.published), str(row.published + 1)) in found


def test_bars_that_retention_has_taken_are_said(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    desk, topic = story.desk, story.desk.names.bars(story.symbols[1])
    desk.delete_records(topic, 10)
    code, facts = cli(capsys, desk)
    assert code == 1
    assert facts["unchecked"][0].endswith(f"{topic} no longer holds offset 0: it begins at 10")
    assert facts["transactions"] > 0


def test_a_session_that_nobody_has_run_ends_with_three(bootstrap_servers: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--bootstrap", bootstrap_servers, "--session", "never-run"]) == 3
    assert "no worker has ever run session 'never-run' here" in capsys.readouterr().err
