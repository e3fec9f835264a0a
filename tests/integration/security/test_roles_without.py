"""Each right that docs/deployment.md lists, taken from its role: what is said names the resource, the operation and the user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from streams.audit.verify import verify
from streams.cli.main import run
from streams.client.producer import BarProducer
from streams.client.state import read_state
from streams.config.settings import Settings
from streams.consumer import BarsTopic, SessionConsumer
from streams.errors import CommandRefusedError, ForbiddenError, MissingRightError
from streams.model.records import Quote, Tick
from streams.times import parse_instant
from streams.wire.topics import TopicNames
from streams.worker.setup import prepare_topics
from tests.support import create_topics, unique_symbol, wait_until
from tests.support.feeders import made_up_bars, now_us
from tests.support.kafka.rights import RightsBroker
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

Rights = dict[str, list[AclBinding]]


class Topics(NamedTuple):
    """Topics of a symbol that are there."""

    symbol: str
    bars: str
    quotes: str
    ticks: str


@pytest.fixture
def topics(guarded: RightsBroker) -> Topics:
    """Topics of bars, quotes and ticks, with a record each."""
    symbol = unique_symbol("WITHOUT")
    with BarProducer(Settings.load(bootstrap_servers=guarded.open_servers)) as producer:
        for record in records_of(symbol):
            producer.send(record)
    return Topics(symbol, f"bars.{symbol}", f"quotes.{symbol}", f"ticks.{symbol}")


def records_of(symbol: str, time_us: int | None = None) -> list[object]:
    time_us = now_us() if time_us is None else time_us
    (bar,) = made_up_bars(symbol, 1, end_us=time_us)
    return [bar, Quote(symbol, time_us, 1.0, 1.1), Tick(symbol, time_us, 1.0, 5.0)]


def produce(settings: Settings, record: object) -> None:
    with BarProducer(settings) as producer:
        producer.send(record)  # type: ignore[arg-type]


@contextmanager
def without(guarded: RightsBroker, rights: list[AclBinding], operation: AclOperation, name: str) -> Iterator[None]:
    """While the block runs, the role lacks this right; it has it, or the page has changed."""
    (binding,) = [one for one in rights if one.operation == operation and one.name == name]
    guarded.revoke([binding])
    try:
        yield
    finally:
        guarded.grant([binding])


def test_a_producer_is_told_which_right_it_lacks_for_each_stream(
    guarded: RightsBroker, rights: Rights, session_name: str, topics: Topics
) -> None:
    settings = guarded.settings("producer", session_name)
    known, new = records_of(topics.symbol), records_of(unique_symbol("NEW"))
    for place, stream in enumerate(("bars", "quotes", "ticks")):
        produce(settings, known[place])
        needs = rf"User:producer lacks Write on topic {stream}\.{topics.symbol}"
        with without(guarded, rights["producer"], AclOperation.WRITE, f"{stream}."), pytest.raises(MissingRightError, match=needs):
            produce(settings, known[place])
        with without(guarded, rights["producer"], AclOperation.CREATE, f"{stream}."):
            needs = rf"User:producer lacks Write on topic {stream}\.\w+, or Create where it does not exist: allow it"
            with pytest.raises(MissingRightError, match=needs) as refused:
                produce(settings, new[place])
            # Whether the topic exists can't be known without a right to it, so nothing says that it is being created.
            assert "creating" not in str(refused.value)
            produce(settings, known[place])


def test_a_producer_that_may_write_no_topic_at_all_is_told_so(
    guarded: RightsBroker,
    session_name: str,
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = records_of(topics.symbol)[0]
    describe = AclBinding(
        ResourceType.TOPIC, "bars.", ResourcePatternType.PREFIXED, "User:consumer", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW
    )
    guarded.grant([describe])  # the topic is there, as far as the consumer sees
    try:
        settings = guarded.settings("consumer", session_name)
        needs = rf"User:consumer lacks Write on topic {re.escape(topics.bars)}: allow it"
        for _ in range(5):  # the report may come while the library's own error is pending, or after it
            with pytest.raises(MissingRightError, match=needs):
                produce(settings, bar)
        producer = BarProducer(settings)
        producer.send(bar)  # type: ignore[arg-type]
        with pytest.raises(MissingRightError, match=needs):
            producer.flush()
        with pytest.raises(MissingRightError, match=needs):  # not 0 records left, as the library says
            producer.flush()
        path = tmp_path / "bars.jsonl"
        path.write_text(json.dumps({"start": "2024-10-07T15:00:00Z", "open": 1, "high": 2, "low": 1, "close": 2, "volume": 5}))
        for key, value in guarded.environment("consumer", session_name).items():
            monkeypatch.setenv(key, value)
        words = ["produce", "jsonl", str(path), "--symbol", topics.symbol, "--interval", "1s"]
        assert run(words) == ForbiddenError.exit_code
        assert re.search(f"error: .*{needs}", capsys.readouterr().err)
    finally:
        guarded.revoke([describe])


def test_a_worker_is_told_which_topics_of_its_own_it_may_not_create(guarded: RightsBroker, rights: Rights, session_name: str) -> None:
    names, settings, changelog = TopicNames(session_name), guarded.settings("worker", session_name), f"{session_name}-state-changelog"
    for prefix, name in ((f"{session_name}.", names.control), (f"{session_name}-", changelog)):
        # What may be created is: the changelog of the first case has another name.
        of_case = changelog if name == changelog else f"{session_name}-other-changelog"
        with without(guarded, rights["worker"], AclOperation.CREATE, prefix), pytest.raises(ForbiddenError) as raised:
            prepare_topics(settings, names, of_case)
        assert f"User:worker lacks Describe on topic {name}, or Create where it does not exist: allow it" in str(raised.value)
        assert raised.value.exit_code == 21
    prepare_topics(settings, names, changelog)


def test_a_worker_names_what_it_lacks_for_its_symbols_and_goes_on(
    guarded: RightsBroker, rights: Rights, session_name: str, topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = second_bars(session_name, [topics.symbol], extra=("quotes", "ticks"), bars_topic=True)
    desk, of_worker = LiveDesk(guarded.open_servers, config), rights["worker"]
    operator = guarded.settings("operator", session_name)
    with Workers(guarded.servers, tmp_path) as workers:
        environment = guarded.environment("worker", session_name)
        with without(guarded, of_worker, AclOperation.DESCRIBE, session_name):
            worker = workers.start(config, settings=environment)
            worker.wait_until("active")
        assert f"is not checked, since User:worker lacks Describe on group {session_name}: allow it" in worker.said()

        for prefix in ("bars.", "quotes.", "ticks."):
            with without(guarded, of_worker, AclOperation.CREATE, prefix):
                symbol = unique_symbol("MADE")
                if prefix != "bars.":
                    create_topics(guarded.open_servers, f"bars.{symbol}")
                needs = rf"User:worker lacks Read, or Create where it does not exist, on topic {re.escape(prefix + symbol)}: allow it"
                with pytest.raises(CommandRefusedError, match=needs):
                    desk.add(symbol)

        other = unique_symbol("OTHER")
        assert desk.add(other) is not None
        for stream in ("quotes", "ticks"):
            with without(guarded, of_worker, AclOperation.READ, f"{stream}."):
                row = desk.await_stream(topics.symbol, stream, lambda row: row.reason is not None, "it to be known that it may not be read")
                assert f"topic {stream}.{topics.symbol} may not be read" in (row.reason or "")
                assert "allow User:worker Read on it" in (row.reason or "")
            desk.await_stream(topics.symbol, stream, lambda row: row.reason is None, "it to be read again")
        # Write goes too, since it implies Describe: none of the topics may so much as be looked at.
        with without(guarded, of_worker, AclOperation.WRITE, "bars."), without(guarded, of_worker, AclOperation.READ, "bars."):

            def said() -> str:
                assert run(["status", "--once", "--bootstrap", guarded.open_servers, "--session", session_name]) == 0
                return capsys.readouterr().out

            wait_until(lambda: "topics can't be checked since" in said(), "status to say that topics can't be checked", 60.0)
            page = said()
            assert "none of the 2 bar topics may be read" in page
            assert "allow User:worker Read on them" in page
            assert worker.health()["status"] == "active"
            assert "bar topics may be read" in str(worker.health()["topics_unchecked_reason"])
        wait_until(lambda: read_state(operator).session.unchecked_us < 0, "the topics to be checked again", 60.0)  # type: ignore[union-attr]
        # The right is back: the check says so everywhere, and what comes is read.
        wait_until(lambda: "topics_unchecked_reason" not in worker.health(), "health to say that they are checked", 60.0)
        assert "topics can't be checked" not in said()
        produce(Settings.load(bootstrap_servers=guarded.open_servers), made_up_bars(topics.symbol, 1, end_us=now_us())[0])
        desk.await_bars(topics.symbol, 2)
        desk.raw(topics.bars, b"nonsense")
        desk.await_dead_letters(topics.bars, 1)
        assert_operator_and_consumer(guarded, rights, session_name, capsys)
        assert worker.stop() == 0
        assert "Traceback" not in worker.said()

        audits: list[tuple[AclOperation, str, str]] = [
            (AclOperation.READ, f"{session_name}.", rf"Read on topic {session_name}\."),
            (AclOperation.READ, f"{session_name}-", rf"Read on topic {session_name}-state-changelog"),
            (AclOperation.READ, "bars.", r"Read on topic bars\."),
            (AclOperation.READ, "quotes.", r"Read on topic quotes\."),
            (AclOperation.READ, "ticks.", r"Read on topic ticks\."),
            (AclOperation.DESCRIBE, f"{session_name}.verify", rf"Describe on group {session_name}\.verify"),
            (AclOperation.DESCRIBE, f"{session_name}.reader", rf"Describe on group {session_name}\.reader"),
        ]
        auditor = guarded.settings("auditor", session_name)
        for operation, name, said_of in audits:
            said_so = pytest.raises(MissingRightError, match=f"User:auditor lacks {said_of}")
            with without(guarded, rights["auditor"], operation, name), said_so:
                verify(auditor)
        assert verify(auditor).is_equal


def warmed_up(guarded: RightsBroker, session_name: str) -> int:
    """How many bars a strategy of the consumer's begins with."""
    bars: list[object] = []
    settings = guarded.settings("consumer", session_name)
    with SessionConsumer(settings, warm_up=BarsTopic(), history=bars.append) as session:
        session.poll(1.0)
    return len(bars)


def assert_operator_and_consumer(guarded: RightsBroker, rights: Rights, session_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said to those who read a session, without each of their rights."""

    def told(role: str, operation: AclOperation, name: str, words: list[str], what: str) -> None:
        with pytest.MonkeyPatch.context() as patch, without(guarded, rights[role], operation, name):
            for key, value in guarded.environment(role, session_name).items():
                patch.setenv(key, value)
            assert run(words) == ForbiddenError.exit_code, words
        said = capsys.readouterr().err
        assert f"User:{role} lacks {what}: allow it" in said, (words, said)

    group, changelog = f"{session_name}.reader", f"{session_name}-state-changelog"
    for words in (["status", "--once"], ["symbol-list"], ["export", "--all", "--internal"]):
        told("operator", AclOperation.READ, changelog, words, f"Read on topic {changelog}")
        told("operator", AclOperation.DESCRIBE, group, words, f"Describe on group {group}")
    told("operator", AclOperation.WRITE, f"{session_name}.control", ["remove-symbol", "ANY"], f"Write on topic {session_name}.control")
    watch = ["watch", "--from-beginning", "--count", "1"]
    told("consumer", AclOperation.READ, f"{session_name}.analysis", watch, f"Read on topic {session_name}.analysis")
    with without(guarded, rights["consumer"], AclOperation.READ, f"{session_name}.bars"):
        needs = rf"User:consumer lacks Read on topic {session_name}\.bars: allow it"
        with pytest.raises(MissingRightError, match=needs):
            warmed_up(guarded, session_name)
    assert warmed_up(guarded, session_name)
    letters, dlq = ["dead-letters", "list"], f"{session_name}.dlq"
    told("operator", AclOperation.READ, dlq, letters, f"Read on topic {dlq}")
    told("operator", AclOperation.DESCRIBE, group, letters, f"Describe on group {group}")
    told("consumer", AclOperation.DESCRIBE, group, watch, f"Describe on group {group}")
    said_besides_the_answer(guarded, session_name, capsys)


def said_besides_the_answer(guarded: RightsBroker, session_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a role has no right to a part of the answer, that part is not just missing."""
    changelog = f"{session_name}-state-changelog"

    def said_to(role: str, words: list[str], code: int) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for key, value in guarded.environment(role, session_name).items():
                patch.setenv(key, value)
            ended = run(words)
        said = capsys.readouterr()
        assert ended == code, (words, said)
        return said.out + said.err

    watched = said_to("consumer", ["watch", "--idle", "0.5"], 0)
    unknown = "whether the gate is open is not known until it changes or a bar comes: "
    assert watched.count(unknown) == 1
    assert f"User:consumer lacks Read on topic {changelog}: allow it" in watched
    assert unknown not in said_to("operator", ["sessions"], 0)
    lacks = f"User:consumer lacks Read on topic {changelog}: allow it"
    assert lacks in said_to("consumer", ["sessions", "--json"], 1), "the session is not left out"
    resent = said_to("operator", ["dead-letters", "resend", "--force", "--yes", "--reason", "undecodable"], 1)
    assert re.search(r"User:operator lacks Write on topic bars\.\w+: allow it", resent), resent


def test_a_researcher_is_told_which_right_it_lacks_for_a_replay(
    guarded: RightsBroker,
    rights: Rights,
    session_name: str,
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "config.json"
    midnight = {"open": "00:00", "close": "00:00"}
    config.write_text(second_bars(session_name, [topics.symbol], extra=("quotes", "ticks"), hours=midnight).to_json())
    with BarProducer(Settings.load(bootstrap_servers=guarded.open_servers)) as producer:
        for record in records_of(topics.symbol, parse_instant("2024-10-07T15:00:00Z")):
            producer.send(record)
    for key, value in guarded.environment("researcher", session_name).items():
        monkeypatch.setenv(key, value)
    days = ["--start", "2024-10-07", "--end", "2024-10-07"]
    to_topic, target = ["replay", str(config), *days, "--to", "topic"], f"{session_name}.replay.analysis"

    def told(operation: AclOperation, name: str, words: list[str], what: str) -> None:
        with without(guarded, rights["researcher"], operation, name):
            code = run(words)
        said = capsys.readouterr().err
        assert (code, f"User:researcher lacks {what}" in said) == (ForbiddenError.exit_code, True), (words, said)

    replay = f"{session_name}.replay."
    told(AclOperation.CREATE, replay, to_topic, f"Create on topic {target}")
    assert run(to_topic) == 0
    capsys.readouterr()
    told(AclOperation.DELETE, replay, [*to_topic, "--overwrite"], f"Delete on topic {target}")
    told(AclOperation.WRITE, replay, [*to_topic, "--overwrite"], f"Write on topic {target}")
    assert run([*to_topic, "--overwrite"]) == 0
    capsys.readouterr()
    counted = ["replay", str(config), *days, "--to", "none"]
    for stream in ("bars", "quotes", "ticks"):
        told(AclOperation.READ, f"{stream}.", counted, f"Read on topic {stream}.{topics.symbol}")
    told(AclOperation.DESCRIBE, f"{session_name}.replay", counted, f"Describe on group {session_name}.replay")
    assert run(counted) == 0
    assert "are not known" not in capsys.readouterr().err, "the session has never run, and its commands may be read"
    with without(guarded, rights["researcher"], AclOperation.READ, f"{session_name}.control"):
        assert run(counted) == 0
    said = capsys.readouterr().err
    assert f"symbols that session '{session_name}' got by command are not known, and not replayed" in said
    assert f"User:researcher lacks Read on topic {session_name}.control: allow it" in said
    # A day that is under way is replayed to its end, later than a broker lets messages be.
    today = (datetime.now(UTC) - timedelta(seconds=2)).date().isoformat()
    under_way = ["replay", str(config), "--start", today, "--end", today, "--to", "topic", "--topic", f"{replay}today"]
    code = run(under_way)
    assert code == 0, capsys.readouterr().err
