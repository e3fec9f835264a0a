"""Commands, replies, analysis and state by the client, with a worker's part played by the test: on a real broker."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.cli.main import run
from streams.client.control import SessionControl
from streams.client.state import StateReader, read_state
from streams.config.settings import Settings
from streams.consumer import Hole, Position, SessionConsumer
from streams.errors import CommandRefusedError, NobodyThereError, OffsetGoneError, SequenceGapError, WireError
from streams.kafka.reader import BEGINNING, END, TopicReader
from streams.model.records import ControlCommand, ReplyStatus
from streams.model.rows import SessionRow, SymbolRow, symbol_key
from streams.times import SECOND_US, ManualClock, SystemClock
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisBar, AnalysisEvent, CommandReply
from tests.support import create_topics, wait_until
from tests.support.rows import blank

CODEC = Codec()
NOW_US = 1_381_152_600_000_000


@pytest.fixture
def settings(bootstrap_servers: str, session_name: str) -> Settings:
    return Settings.load(bootstrap_servers=bootstrap_servers, session=session_name)


@contextmanager
def transaction(settings: Settings, *, commit: bool = True) -> Iterator[Producer]:
    """A producer within a transaction, as the worker writes."""
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": f"test-{settings.session}"})
    producer.init_transactions(60)
    producer.begin_transaction()
    yield producer
    if commit:
        producer.commit_transaction(60)
    else:
        producer.flush(60)
        producer.abort_transaction(20)


def answers(command: ControlCommand) -> list[tuple[ReplyStatus, str | None]]:
    """What the worker that the tests play says: it refuses DUP, never finishes SLOW, and ignores MUTE."""
    accepted: tuple[ReplyStatus, str | None] = (ReplyStatus.ACCEPTED, None)
    match command.symbol:
        case "DUP":
            return [(ReplyStatus.FAILED, "DUP is in the session already")]
        case "SLOW":
            return [accepted]
        case "MUTE":
            return []
        case _:
            return [accepted, (ReplyStatus.COMPLETED, "topic created")]


@pytest.fixture
def worker(settings: Settings) -> Iterator[list[ControlCommand]]:
    """Answers commands until the test ends; gives the commands that came."""
    create_topics(settings.bootstrap_servers, f"{settings.session}.control", f"{settings.session}.replies")
    stopped = threading.Event()
    commands: list[ControlCommand] = []
    reader = TopicReader(settings, f"{settings.session}.control", start=BEGINNING, missing="")
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})

    def work() -> None:
        while not stopped.is_set():
            for record in reader.read(0.1):
                command = CODEC.command_from(record.value, "none", 0)
                commands.append(command)
                for status, reason in [(ReplyStatus.COMPLETED, "another's"), *answers(command)]:
                    command_id = "another's command" if reason == "another's" else command.id
                    reply = CommandReply(command_id, command.kind, command.symbol, status, reason, NOW_US, 1, settings.session or "")
                    producer.produce(f"{settings.session}.replies", CODEC.reply_to(reply), command_id)
                producer.flush(60)

    thread = threading.Thread(target=work)
    thread.start()
    yield commands
    stopped.set()
    thread.join(10)
    reader.close()


def test_a_command_is_answered_with_its_final_reply_and_each_reply_is_told(settings: Settings, worker: list[ControlCommand]) -> None:
    told: list[str] = []
    with SessionControl(settings, sender="a test") as control:
        reply = control.add_symbol(
            "IBM", streams=["1m", "5m"], must_exist=True, command_id="mine", on_reply=lambda each: told.append(each.status)
        )
    assert reply is not None
    assert (reply.command_id, reply.symbol, reply.status, reply.reason) == ("mine", "IBM", "completed", "topic created")
    assert told == ["accepted", "completed"]
    (command,) = worker
    assert (command.kind, command.streams, command.must_exist, command.sender) == ("add_symbol", ("1m", "5m"), True, "a test")


def test_a_refused_command_raises_the_worker_s_reason(settings: Settings, worker: list[ControlCommand]) -> None:
    with SessionControl(settings) as control, pytest.raises(CommandRefusedError, match="DUP is in the session already"):
        control.add_symbol("DUP")


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("MUTE", r"answered within 1 s: the command .* stays on .*\.control and runs when a worker starts"),
        ("SLOW", "did not complete it within 1 s"),
    ],
)
def test_an_answer_that_does_not_come_says_what_becomes_of_the_command(
    settings: Settings, worker: list[ControlCommand], symbol: str, message: str
) -> None:
    with SessionControl(settings) as control, pytest.raises(NobodyThereError, match=message):
        control.remove_symbol(symbol, immediate=True, timeout_seconds=1.0)


def test_a_session_that_never_ran_says_so(settings: Settings) -> None:
    for use in (SessionControl, SessionConsumer, read_state):
        with pytest.raises(NobodyThereError, match=f"no worker has ever run session '{settings.session}' here"):
            use(settings)


def test_the_command_line_adds_and_removes_with_exit_codes(
    settings: Settings, worker: list[ControlCommand], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--session", str(settings.session), "--bootstrap", settings.bootstrap_servers]
    assert run(["add-symbol", "IBM", *where]) == 0
    assert capsys.readouterr().out == "IBM: accepted\nIBM: completed (topic created)\n"
    assert run(["add-symbol", "DUP", *where, "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["status"] == "failed"
    assert "DUP is in the session already" in told.err
    assert run(["remove-symbol", "MUTE", *where, "--timeout", "1"]) == 3
    assert "runs when a worker starts" in capsys.readouterr().err
    assert run(["remove-symbol", "IBM", *where, "--no-wait"]) == 0
    assert "IBM: sent as command" in capsys.readouterr().out


def event(sequence: int, kind: str = "bar", *, valid_until_us: int = NOW_US) -> AnalysisEvent:
    bar = blank(AnalysisBar, start_us=NOW_US - 60 * SECOND_US, end_us=NOW_US, valid_until_us=valid_until_us, close=167.45)
    is_bar = kind == "bar"
    return AnalysisEvent(
        sequence=sequence, epoch=1, session="s", emitted_us=NOW_US, kind=kind, symbol="SPY", interval="1m", bar=bar if is_bar else None
    )


def publish(settings: Settings, *events: AnalysisEvent, commit: bool = True) -> None:
    with transaction(settings, commit=commit) as producer:
        for each in events:
            producer.produce(f"{settings.session}.analysis", CODEC.analysis_to(each), "SPY")


def test_the_analysis_topic_is_read_committed_and_without_unknown_kinds_or_stale_bars(settings: Settings) -> None:
    create_topics(settings.bootstrap_servers, f"{settings.session}.analysis")
    publish(settings, event(1, "activated"), event(2), event(3, "of_a_later_version"))
    publish(settings, event(4), commit=False)
    publish(settings, event(4, valid_until_us=NOW_US + SECOND_US))
    clock = SystemClock()
    with SessionConsumer(settings, start=BEGINNING, fresh_only=False) as consumer:
        assert [each.sequence for each in read_all(consumer, clock)] == [1, 2, 4]
        assert consumer.unknown == 1
        position = consumer.position
    with SessionConsumer(settings, start=BEGINNING, clock=ManualClock(NOW_US + 1)) as fresh:
        assert [each.sequence for each in read_all(fresh, clock)] == [1, 4]
        assert fresh.stale == 1
    publish(settings, event(5))
    with SessionConsumer(settings, position=position, fresh_only=False) as later:
        assert [each.sequence for each in read_all(later, clock)] == [5]


def test_a_hole_in_the_sequence_is_raised_or_told(settings: Settings) -> None:
    create_topics(settings.bootstrap_servers, f"{settings.session}.analysis")
    publish(settings, event(1), event(3))
    holes: list[Hole] = []
    with SessionConsumer(settings, start=BEGINNING, fresh_only=False, on_hole=holes.append) as consumer:
        assert [each.sequence for each in read_all(consumer, SystemClock())] == [1, 3]
    assert [(hole.kind, hole.last.sequence) for hole in holes] == [("missing", 1)]
    assert "after epoch 1, sequence 1 comes epoch 1, sequence 3" in holes[0].words
    with SessionConsumer(settings, start=BEGINNING, fresh_only=False) as strict:
        with pytest.raises(SequenceGapError, match="sequence 1 comes epoch 1, sequence 3"):
            read_all(strict, SystemClock())
        assert [each.sequence for each in read_all(strict, SystemClock())] == [3], "reading goes on behind the hole"


def test_a_record_that_is_none_is_told_with_its_place_and_costs_no_other(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    topic = f"{settings.session}.analysis"
    create_topics(settings.bootstrap_servers, topic)
    publish(settings, event(1), event(2))
    with transaction(settings) as producer:
        producer.produce(topic, b"junk")
    publish(settings, event(3))
    place = rf"{topic} offset \d+: the value begins with byte 0x6a"
    with SessionConsumer(settings, start=BEGINNING, fresh_only=False) as consumer:
        events = iter(consumer)
        assert [next(events).sequence for _ in range(2)] == [1, 2]
        with pytest.raises(WireError, match=place):
            next(events)
        assert [each.sequence for each in read_all(consumer, SystemClock())] == [3]
    options = ["--bootstrap", settings.bootstrap_servers, "--session", str(settings.session)]
    assert run(["watch", *options, "--from-beginning", "--count", "3", "--json"]) == 0
    told = capsys.readouterr()
    assert [json.loads(line)["sequence"] for line in told.out.splitlines()] == [1, 2, 3]
    assert re.fullmatch(f"not an analysis record: {place}.*\n", told.err)


def read_all(consumer: SessionConsumer, clock: SystemClock) -> list[AnalysisEvent]:
    deadline = clock.monotonic() + 60
    found: list[AnalysisEvent] = []
    while not consumer.at_end:
        event = consumer.poll()
        if event is not None:
            found.append(event)
        assert clock.monotonic() < deadline, f"waited 60 s for the end of the analysis topic, found {len(found)}"
    return found


def test_a_place_that_the_topic_no_longer_has_is_an_error_that_says_so_and_never_a_jump(settings: Settings) -> None:
    topic = f"{settings.session}.analysis"
    create_topics(settings.bootstrap_servers, topic)
    publish(settings, *(event(number) for number in range(1, 7)))
    partition = TopicPartition(topic, 0, 3)
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    admin.delete_records([partition])[partition].result(60)
    with TopicReader(settings, topic, start=END, missing="") as reader:
        reader.move(1)
        with pytest.raises(OffsetGoneError, match=f"{topic} no longer has offset 1"):
            wait_until(reader.read, "what becomes of it")
        reader.move(3)
        assert [record.offset for record in reader.read_to_end(20)] == [3, 4, 5]
    holes: list[Hole] = []
    with SessionConsumer(settings, position=Position(1, 1, 1), fresh_only=False, on_hole=holes.append) as consumer:
        assert [each.sequence for each in read_all(consumer, SystemClock())] == [4, 5, 6]
    assert [(hole.kind, f"{topic} no longer has offset 1: it holds 3 to 7" in hole.words) for hole in holes] == [("truncated", True)]


def test_an_offset_is_found_by_the_time_of_its_record(settings: Settings) -> None:
    topic = f"{settings.session}.analysis"
    create_topics(settings.bootstrap_servers, topic)
    with transaction(settings) as producer:
        for number in range(5):
            producer.produce(topic, b"x", timestamp=1000 + 10 * number)
    with TopicReader(settings, topic, start=END, missing="") as reader:
        assert [reader.offset_at(time_ms) for time_ms in (0, 1000, 1001, 1040)] == [0, 0, 1, 4]
        assert reader.offset_at(SystemClock().now_us() // 1000 + 3_600_000) is None


def test_watch_prints_json_lines_until_it_has_enough_or_nothing_comes(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    create_topics(settings.bootstrap_servers, f"{settings.session}.analysis")
    publish(settings, event(1, "activated"), event(2), event(3))
    where = ["--session", str(settings.session), "--bootstrap", settings.bootstrap_servers]
    assert run(["watch", *where, "--from-beginning", "--json", "--count", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["sequence"], line["kind"]) for line in lines] == [(1, "activated"), (2, "bar")]
    assert lines[1]["bar"]["close"] == 167.45
    assert run(["watch", *where, "--from-beginning", "--idle", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_an_interrupt_ends_watch_cleanly(settings: Settings) -> None:
    create_topics(settings.bootstrap_servers, f"{settings.session}.analysis")
    publish(settings, event(1, "activated"))
    words = ["watch", "--session", str(settings.session), "--bootstrap", settings.bootstrap_servers, "--from-beginning", "--json"]
    with subprocess.Popen([sys.executable, "-m", "streams.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["sequence"] == 1
        watching.send_signal(signal.SIGINT)
        rest, said = watching.communicate(timeout=60)
    assert (watching.returncode, rest, said) == (0, b"", b"")


def test_the_state_is_the_newest_committed_row_of_each_key(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    topic = f"{settings.session}-state-changelog"
    create_topics(settings.bootstrap_servers, topic, settings={"cleanup.policy": "compact"})
    where = ["--session", str(settings.session), "--bootstrap", settings.bootstrap_servers]
    assert run(["status", *where, "--once"]) == 3
    assert "holds no session yet" in capsys.readouterr().err

    def row(number: int, *, now_us: int = NOW_US) -> bytes:
        session = blank(
            SessionRow, session=settings.session, epoch=1, transaction=number, now_us=now_us, gate_reason="caught up", active=True
        )
        return CODEC.row_to(session)

    spy = blank(SymbolRow, symbol="SPY", incarnation=1, status="loaded", base_interval="1m", dynamic=True)
    with transaction(settings) as producer:
        producer.produce(topic, row(1), "session")
        producer.produce(topic, CODEC.row_to(spy), symbol_key("SPY"))
        producer.produce(topic, CODEC.row_to(blank(SymbolRow, symbol="OLD", incarnation=2, status="loaded")), symbol_key("OLD"))
        producer.produce(topic, b"not a row", "barrier|1")
    with transaction(settings) as producer:
        producer.produce(topic, row(2), "session")
        producer.produce(topic, None, symbol_key("OLD"))
    with transaction(settings, commit=False) as producer:
        producer.produce(topic, row(3), "session")
    with StateReader(settings) as reader:
        view = reader.catch_up()
        assert view.session is not None
        assert view.session.transaction == 2
        assert view.symbols == {"SPY": spy}
        for words in (["status", *where, "--once"], ["symbol-list", *where], ["list-dynamic", *where]):
            assert run(words) == 3, "the rows are of 2013: their worker is gone"
            shown = capsys.readouterr()
            assert "no worker is active since" in shown.out + shown.err
        assert reader.catch_up(5) is view  # nothing came since, and there is nothing to wait for
        with transaction(settings) as producer:
            # A minute ahead: a slow machine must not make the worker look gone.
            producer.produce(topic, row(4, now_us=SystemClock().now_us() + 60 * SECOND_US), "session")
        deadline = SystemClock().monotonic() + 60
        while view.session.transaction != 4:
            reader.follow()
            assert SystemClock().monotonic() < deadline, f"waited 60 s for transaction 4, the view stands at {view.session.transaction}"
    assert run(["status", *where, "--once"]) == 0
    assert "gate open  caught up" in capsys.readouterr().out
    assert run(["list-dynamic", *where, "--json"]) == 0
    assert [symbol["symbol"] for symbol in json.loads(capsys.readouterr().out)] == ["SPY"]
