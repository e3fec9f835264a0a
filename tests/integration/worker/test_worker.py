"""What a running worker does with bars, commands and bad input. One worker serves all tests; each has symbols of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import msgspec
import pytest
from confluent_kafka.admin import ConfigResource, NewPartitions, ResourceType
from prometheus_client.parser import text_string_to_metric_families

from streams.config.session import SessionConfig
from streams.errors import CommandRefusedError
from streams.model.inputs import InputKind
from streams.model.records import AnalysisKind
from streams.times import SECOND_US
from streams.wire.codec import Codec
from tests.support import create_topics, unique_name, unique_symbol, wait_until
from tests.support.feeders import around_the_clock, made_up_bars, now_us, produce_in_transaction
from tests.support.oracle.audit_all import judge
from tests.support.sessions.desk import LiveDesk
from tests.support.workers.processes import Worker, Workers

CODEC = Codec()
ANCHOR = unique_symbol("ANCHOR")
THRESHOLD_SECONDS = 60


@pytest.fixture(scope="module")
def running(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveDesk, Worker]]:
    config = SessionConfig.from_dict(
        {
            "session_name": unique_name("worker"),
            **around_the_clock(),
            "session_data_config": {
                "symbols": [ANCHOR],
                "streams": ["1s"],
                "derived_intervals": ["5s"],
                "streaming": {"catchup_threshold_seconds": THRESHOLD_SECONDS},
            },
        }
    )
    with Workers(bootstrap_servers, tmp_path_factory.mktemp("worker")) as workers:
        worker = workers.start(config)
        worker.wait_until("active")
        yield LiveDesk(bootstrap_servers, config), worker


@pytest.fixture
def desk(running: tuple[LiveDesk, Worker]) -> LiveDesk:
    desk, worker = running
    wait_until(lambda: worker.health().get("session_active") is True, "the gate to be open")
    return desk


@pytest.fixture
def worker(running: tuple[LiveDesk, Worker]) -> Worker:
    return running[1]


@pytest.fixture
def symbol(desk: LiveDesk) -> Iterator[str]:
    """A symbol in the session, gone after the test."""
    name = unique_symbol()
    desk.add(name)
    yield name
    if desk.symbol(name) is not None:
        desk.remove(name, immediate=True)


def starts_of(desk: LiveDesk, symbol: str, interval: str = "1s") -> list[int]:
    """Where the bars of a symbol that are on analysis start."""
    return [event.bar.start_us for event in desk.of(symbol) if event.bar is not None and event.interval == interval]


def test_a_first_start_creates_the_topics_with_the_settings_that_the_promises_need(desk: LiveDesk) -> None:
    names = desk.names
    forever, kept = {"cleanup.policy": "delete", "retention.ms": "-1"}, {"cleanup.policy": "delete"}
    wanted = {
        names.control: forever,
        names.bars(ANCHOR): forever,
        desk.topics.changelog: {"cleanup.policy": "compact"},
        **dict.fromkeys((names.analysis, names.replies, names.events, names.dlq, names.journal), kept),
    }
    described = desk.admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic) for topic in wanted])
    for resource, future in described.items():
        found = future.result(60)
        assert {key: found[key].value for key in wanted[resource.name]} == wanted[resource.name], resource.name
    present = desk.admin.list_topics(timeout=60).topics
    assert {topic: len(present[topic].partitions) for topic in wanted} == dict.fromkeys(wanted, 1)


def test_bar_topics_that_are_deleted_or_given_more_partitions_fail_only_their_symbols(desk: LiveDesk, symbol: str) -> None:
    deleted, divided = symbol, unique_symbol()
    desk.add(divided)
    for name in (deleted, divided):
        desk.bars(made_up_bars(name, 5, end_us=now_us()))
        desk.await_bars(name, 5)
    topic = desk.names.bars(divided)
    desk.admin.create_partitions([NewPartitions(topic, 3)])[topic].result(60)
    desk.delete_topic(desk.names.bars(deleted))
    assert "was deleted" in (desk.await_event("symbol_failed", deleted).reason or "")
    assert "was given 3 partitions" in (desk.await_event("symbol_failed", divided).reason or "")
    before = len(starts_of(desk, ANCHOR))
    desk.bars(made_up_bars(ANCHOR, 1, end_us=now_us()))
    desk.await_bars(ANCHOR, before + 1)
    desk.remove(divided, immediate=True)


def test_a_fresh_bar_goes_to_analysis_with_the_time_until_which_it_is_fresh(desk: LiveDesk, symbol: str) -> None:
    (bar,) = made_up_bars(symbol, 1, end_us=now_us())
    desk.bars([bar])
    (event,) = desk.await_bars(symbol, 1)
    assert event.bar is not None
    assert (event.bar.start_us, event.bar.open, event.bar.close, event.bar.volume) == (bar.start_us, bar.open, bar.close, bar.volume)
    assert event.bar.valid_until_us == bar.end_us + THRESHOLD_SECONDS * SECOND_US
    assert event.emitted_us <= event.bar.valid_until_us


def test_a_bar_typed_as_json_is_as_good_as_one_in_avro(desk: LiveDesk, symbol: str) -> None:
    (bar,) = made_up_bars(symbol, 1, end_us=now_us())
    desk.raw(desk.names.bars(symbol), CODEC.bar_to_json(bar))
    (event,) = desk.await_bars(symbol, 1)
    assert event.bar is not None
    assert (event.bar.start_us, event.bar.high, event.bar.low) == (bar.start_us, bar.high, bar.low)


def test_a_command_typed_by_hand_without_an_id_is_run_and_answered_under_its_place(desk: LiveDesk) -> None:
    name = unique_symbol()
    desk.type_command(command="add_symbol", symbol=name)
    reply = wait_until(
        lambda: [reply for reply in desk.topics.replies() if reply.symbol == name and reply.status == "completed"], "a reply"
    )[0]
    assert reply.command_id.startswith(f"{desk.names.control}@")
    assert desk.symbol(name) is not None
    desk.remove(name, immediate=True)


def test_a_symbol_that_is_there_already_is_refused_with_the_reason(desk: LiveDesk, symbol: str) -> None:
    with pytest.raises(CommandRefusedError, match="is in the session already"):
        desk.add(symbol)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": "add_symbol", "symbol": "A B"}, "blank"),
        ({"command": "add_symbol", "symbol": "X1", "streams": ["7x"]}, "no interval"),
        ({"command": "remove_symbol", "symbol": "NEVERSEEN"}, "is not in the session"),
        ({"command": "dance", "symbol": "X1"}, "dance"),
    ],
)
def test_a_command_that_can_not_be_run_fails_with_the_reason(desk: LiveDesk, fields: dict[str, object], reason: str) -> None:
    command_id = unique_name("bad")
    desk.type_command(id=command_id, **fields)
    (reply,) = desk.await_replies(command_id, 1)
    assert reply.status == "failed"
    assert reason in (reply.reason or "")


def test_a_symbol_whose_topic_must_exist_and_does_not_is_not_added(desk: LiveDesk) -> None:
    with pytest.raises(CommandRefusedError, match="there is no topic"):
        desk.add(unique_symbol(), must_exist=True)


def test_a_symbol_whose_topic_has_more_than_one_partition_is_not_added_since_bars_would_be_missed(desk: LiveDesk) -> None:
    symbol = unique_symbol()
    create_topics(desk.servers, desk.names.bars(symbol), partitions=2)
    with pytest.raises(CommandRefusedError, match="has 2 partitions and must have 1"):
        desk.add(symbol)
    desk.remove(symbol, immediate=True)


def test_a_start_before_1970_is_the_beginning_of_the_topic(desk: LiveDesk) -> None:
    symbol = unique_symbol()
    create_topics(desk.servers, desk.names.bars(symbol))
    desk.bars(made_up_bars(symbol, 3, end_us=now_us()))
    command = {"command": "add_symbol", "symbol": symbol, "start": "1969-12-31T23:59:59.998Z"}
    desk.raw(desk.names.control, json.dumps(command).encode())
    assert desk.await_progress(symbol, lambda row: row.bar_count == 3, "3 bars in the state").offset == 3
    desk.remove(symbol, immediate=True)


def test_a_repeated_id_is_answered_again_and_not_run_again(desk: LiveDesk) -> None:
    name, command_id = unique_symbol(), unique_name("once")
    desk.add(name, command_id=command_id)
    desk.remove(name, immediate=True)
    desk.type_command(id=command_id, command="add_symbol", symbol=name)
    replies = desk.await_replies(command_id, 3)
    assert [reply.status for reply in replies] == ["accepted", "completed", "completed"]
    assert desk.symbol(name) is None


def garbage(chance: random.Random) -> list[bytes | None]:
    """Things that are no commands: random bytes, JSON of all shapes, nothing at all."""
    shapes: list[object] = [
        {},
        {"command": None},
        {"command": "add_symbol"},
        {"symbol": "X"},
        {"command": "add_symbol", "symbol": 5},
        {"command": []},
    ]
    avro = CODEC.bar_to_avro(made_up_bars("X", 1, end_us=now_us())[0])
    return [
        None,
        b"",
        b"{",
        b'{"command": "add_symbol", "symbol": "X"',
        b"\xff\xfe{}",
        avro,
        avro[:20],
        *(json.dumps(shape).encode() for shape in shapes),
        *(chance.randbytes(chance.randint(1, 200)) for _ in range(50)),
    ]


def test_garbage_on_the_control_topic_is_dead_lettered_and_the_session_goes_on(desk: LiveDesk, symbol: str) -> None:
    values = garbage(random.Random(7))
    before = len(desk.dead_letters(desk.names.control))
    desk.raw(desk.names.control, *values)
    letters = desk.await_dead_letters(desk.names.control, before + len(values))[before:]
    assert [letter.value for letter in letters] == values
    assert all(letter.headers["__streams.errors.message"] for letter in letters)
    added = unique_symbol()
    assert desk.add(added) is not None
    desk.remove(added, immediate=True)
    desk.bars(made_up_bars(symbol, 1, end_us=now_us()))
    desk.await_bars(symbol, 1)


def test_a_bad_command_whose_id_can_be_made_out_is_answered_too(desk: LiveDesk) -> None:
    command_id = unique_name("broken")
    desk.type_command(id=command_id, command="add_symbol", symbol=17)
    (reply,) = desk.await_replies(command_id, 1)
    assert reply.status == "failed"
    assert reply.reason


def test_what_is_no_bar_of_its_symbol_goes_to_the_dead_letters_as_received_with_the_reason(desk: LiveDesk, symbol: str) -> None:
    good, last = made_up_bars(symbol, 2, end_us=now_us())
    future_us = good.start_us + 3600 * SECOND_US
    bad = {
        "undecodable": b"\x00\x01 no bar at all",
        "wrong_symbol": CODEC.bar_to_avro(msgspec.structs.replace(good, symbol="OTHER")),
        "bad_prices": CODEC.bar_to_avro(msgspec.structs.replace(good, low=good.high + 1.0)),
        "misaligned": CODEC.bar_to_avro(msgspec.structs.replace(good, start_us=good.start_us + 1, end_us=good.end_us + 1)),
        "future": CODEC.bar_to_avro(msgspec.structs.replace(good, start_us=future_us, end_us=future_us + SECOND_US)),
    }
    topic = desk.names.bars(symbol)
    desk.raw(topic, *bad.values(), key=b"as received")
    desk.bars([good, last])
    letters = desk.await_dead_letters(topic, len(bad))
    assert {letter.headers["__streams.errors.code"]: letter.value for letter in letters} == bad
    assert {letter.key for letter in letters} == {b"as received"}
    assert [letter.headers["__streams.errors.offset"] for letter in letters] == ["0", "1", "2", "3", "4"]
    desk.await_bars(symbol, 2)
    progress = desk.await_progress(symbol, lambda row: row.rejected == len(bad), "five rejected bars")
    assert progress.accepted == 2


def test_records_as_large_as_kafka_takes_stop_nobody(desk: LiveDesk, symbol: str) -> None:
    topic, size = desk.names.bars(symbol), 999_700
    first, second = made_up_bars(symbol, 2, end_us=now_us())
    boundless = CODEC.bar_to_avro(msgspec.structs.replace(first, provenance="p" * size))
    desk.raw(topic, b"\xff" * size, boundless, CODEC.bar_to_avro(second))
    letters = desk.await_dead_letters(topic, 2)
    assert [letter.value in (b"\xff" * len(letter.value or b""), boundless[: len(letter.value or b"")]) for letter in letters] == [True] * 2
    assert all(f"value {size}" in letter.headers["__streams.errors.truncated"] for letter in letters[:1])
    assert [event.bar.start_us for event in desk.await_bars(symbol, 1) if event.bar is not None] == [second.start_us]

    command = {"id": unique_name("large"), "command": "remove_symbol", "symbol": symbol, "sender": "s" * size}
    unknown = {"command": "add_symbol", "symbol": symbol, "f" * size: 1}
    desk.raw(desk.names.control, b"\xff" * size, json.dumps(unknown).encode(), json.dumps(command).encode())
    (reply,) = desk.await_replies(str(command["id"]), 1)
    assert (reply.status, "at most 200 characters" in (reply.reason or "")) == ("failed", True)


def test_an_equal_bar_is_counted_and_a_different_one_is_a_revision(desk: LiveDesk, symbol: str) -> None:
    (bar,) = made_up_bars(symbol, 1, end_us=now_us())
    corrected = msgspec.structs.replace(bar, volume=bar.volume + 1)
    desk.bars([bar, bar, corrected])
    first, second = desk.await_bars(symbol, 2)
    assert first.bar is not None
    assert second.bar is not None
    assert (first.bar.revision, second.bar.revision, second.bar.volume) == (0, 1, bar.volume + 1)
    desk.await_progress(symbol, lambda row: (row.duplicates, row.corrected) == (1, 1), "one duplicate and one correction")


def test_adding_a_symbol_with_a_backlog_shuts_the_gate_until_it_is_read_and_disturbs_no_other(desk: LiveDesk) -> None:
    name, other = unique_symbol(), ANCHOR
    other_before = len(starts_of(desk, other))
    backlog = made_up_bars(name, 2000, end_us=now_us())
    desk.bars(backlog)
    sequence = desk.topics.analysis()[-1].sequence
    desk.add(name)
    activated = desk.await_analysis(
        lambda events: next((event for event in events if event.sequence > sequence and event.kind == AnalysisKind.ACTIVATED), None),
        "the gate to open again",
    )
    assert activated is not None
    during = [event for event in desk.topics.analysis() if sequence < event.sequence <= activated.sequence]
    kinds = [event.kind for event in during]
    shut = kinds.index(AnalysisKind.DEACTIVATED)
    assert AnalysisKind.BAR not in kinds[shut:]
    held = {event.interval: event.extent for event in during if event.kind == AnalysisKind.HELD_BACK and event.symbol == name}
    published = desk.await_bars(name, 1)
    held_base = held["1s"]
    assert held_base is not None
    assert held_base.first_start_us == backlog[0].start_us
    assert held_base.count + len(published) == len(backlog)
    desk.bars(made_up_bars(other, 1, end_us=now_us()))
    desk.await_bars(other, other_before + 1)
    desk.remove(name)


def test_a_graceful_removal_drains_a_topic_that_ends_with_transaction_markers(desk: LiveDesk, symbol: str) -> None:
    bars = made_up_bars(symbol, 10, end_us=now_us())
    produce_in_transaction(desk.servers, bars[:5])
    produce_in_transaction(desk.servers, bars[5:])
    reply = desk.remove(symbol)
    assert reply is not None
    assert reply.reason == "drained"
    events = desk.of(symbol)
    published = [event.bar.start_us for event in events if event.bar is not None and event.interval == "1s"]
    assert published == [bar.start_us for bar in bars]
    assert events[-1].kind == AnalysisKind.SYMBOL_REMOVED
    assert desk.symbol(symbol) is None
    assert not [key for key in desk.topics.rows() if key.endswith(f"|{symbol}")]


def test_a_backlog_that_ends_with_transaction_markers_is_caught_up_with(desk: LiveDesk) -> None:
    name = unique_symbol()
    stale_us = now_us() - 2 * THRESHOLD_SECONDS * SECOND_US
    create_topics(desk.servers, desk.names.bars(name))
    produce_in_transaction(desk.servers, made_up_bars(name, 10, end_us=stale_us))
    desk.add(name)
    desk.await_progress(name, lambda row: row.bar_count == 10 and not row.backlog, "the backlog to be over")
    desk.await_analysis(lambda events: [event for event in events if event.gate is not None][-1].gate.active, "the gate to open again")
    desk.remove(name, immediate=True)


def test_a_topic_that_holds_former_days_only_is_read_from_its_end(desk: LiveDesk) -> None:
    name = unique_symbol()
    two_days_us = 2 * 24 * 3600 * SECOND_US
    create_topics(desk.servers, desk.names.bars(name), settings={"retention.ms": "-1"})
    desk.bars(made_up_bars(name, 10, end_us=now_us() - two_days_us))
    desk.add(name)
    (today,) = made_up_bars(name, 1, end_us=now_us())
    desk.bars([today])
    progress = desk.await_progress(name, lambda row: row.offset == 11, "today's bar to be read")
    assert (progress.accepted, progress.late, progress.other_day) == (1, 0, 0)
    assert [event.bar.start_us for event in desk.await_bars(name, 1) if event.bar is not None] == [today.start_us]
    desk.remove(name, immediate=True)


def test_a_symbol_that_is_removed_and_added_again_in_one_go_is_read_from_its_beginning(desk: LiveDesk, symbol: str) -> None:
    bars = made_up_bars(symbol, 20, end_us=now_us())
    desk.bars(bars)
    desk.await_bars(symbol, 20)
    before = desk.symbol(symbol)
    again = unique_name("again")
    remove, add = (
        {"command": "remove_symbol", "symbol": symbol, "immediate": True},
        {"id": again, "command": "add_symbol", "symbol": symbol},
    )
    desk.raw(desk.names.control, json.dumps(remove).encode(), json.dumps(add).encode())
    assert [reply.status for reply in desk.await_replies(again, 2)] == ["accepted", "completed"]
    progress = desk.await_progress(symbol, lambda row: row.bar_count == 20, "20 bars in the state again")
    assert before is not None
    assert progress.incarnation > before.incarnation
    assert progress.offset == 20


def test_the_health_page_says_what_the_worker_is_doing(desk: LiveDesk, worker: Worker) -> None:
    report = worker.health()
    assert report["status"] == "active"
    assert report["session"] == desk.config.session_name
    assert (report["epoch"], report["session_active"], report["lagging"]) == (1, True, [])


def test_the_metrics_page_is_prometheus_text_with_the_figures_of_each_symbol(desk: LiveDesk, symbol: str, worker: Worker) -> None:
    desk.bars(made_up_bars(symbol, 10, end_us=now_us()))
    desk.await_bars(symbol, 10)
    families = {family.name: family for family in text_string_to_metric_families(worker.page("/metrics") or "")}
    published = {sample.labels["symbol"]: sample.value for sample in families["streams_symbol_published"].samples}
    assert published[symbol] >= 10
    assert families["streams_session_active"].samples[0].value == 1
    assert families["streams_lagging_symbols"].samples[0].value == 0
    assert families["streams_commit_seconds"].samples[0].value > 0
    assert families["streams_bars_read"].samples[0].value >= 10
    assert {"streams_dead_letters", "streams_transactions", "streams_symbol_lag_seconds", "streams_symbol_held_back"} <= set(families)


def test_what_all_these_tests_have_left_behind_adds_up(desk: LiveDesk, worker: Worker) -> None:
    last = {start_us - start_us % (5 * SECOND_US) for start_us in starts_of(desk, ANCHOR)[-1:]}
    wait_until(lambda: last.issubset(starts_of(desk, ANCHOR, "5s")), "the clock to close the anchor's last window")
    assert worker.stop() == 0  # what is read of a session at work, one topic after the other, need not add up
    evidence = desk.topics.evidence(desk.config, [ANCHOR])
    # Bars of the other symbols were corrected, repeated and lost on purpose: only the anchor's are accounted for one by one.
    findings = judge(evidence)
    assert [finding for finding in findings if finding.startswith(("sequence", "journal", "gate", "stale", "counts", "repeated"))] == []
    assert not [finding for finding in findings if ANCHOR in finding]
    begun = [given.kind for record in evidence.journal for given in record.inputs if given.kind in (InputKind.OPENED, InputKind.RESUMED)]
    assert begun == [InputKind.OPENED], "an added symbol made the group assign anew"
