"""Users with exactly the rights that docs/deployment.md lists for their role, on a broker that denies everything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, ResourceType

from streams.audit.verify import verify
from streams.client.control import SessionControl
from streams.client.producer import BarProducer
from streams.client.state import read_state
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.errors import BrokerConnectionError, ForbiddenError, LoginError, MissingRightError, UnansweredError
from tests.support import unique_symbol, wait_until
from tests.support.feeders import made_up_bars, now_us
from tests.support.kafka.rights import RightsBroker
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

OF_SYMBOLS = ("bars.", "quotes.", "ticks.")
"""Prefixes of topics that a session without symbols does not need."""


def start(guarded: RightsBroker, workers: Workers, config: SessionConfig, instance: str | None = None) -> Worker:
    return workers.start(config, instance=instance, settings=guarded.environment("worker", config.session_name))


def send(settings: Settings, symbol: str, count: int) -> None:
    with BarProducer(settings) as producer:
        for bar in made_up_bars(symbol, count, end_us=now_us()):
            producer.send(bar)


def cli(guarded: RightsBroker, role: str, session: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **guarded.environment(role, session)}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli.main", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_each_role_does_its_work_with_exactly_its_documented_rights(
    guarded: RightsBroker, rights: dict[str, list[AclBinding]], session_name: str, tmp_path: Path
) -> None:
    first, added = unique_symbol("ROLE"), unique_symbol("LATER")
    config = second_bars(session_name, [first])
    desk = LiveDesk(guarded.open_servers, config)  # looks on, as an administrator
    producer, operator = guarded.settings("producer", session_name), guarded.settings("operator", session_name)
    with Workers(guarded.servers, tmp_path) as workers:
        one = start(guarded, workers, config)
        one.wait_until("active")
        send(producer, first, 5)
        desk.await_bars(first, 5)
        assert one.stop() == 0

        one.start()
        one.wait_until("active")
        other = start(guarded, workers, config)
        other.wait_until("standby")
        with SessionControl(operator) as control:
            assert control.add_symbol(added) is not None
        one.kill()
        other.wait_until("active")
        send(producer, added, 3)
        desk.await_bars(added, 3)
        wait_until(lambda: read_state(operator).session is not None, "the operator to see the state")
        watched = cli(guarded, "consumer", session_name, "watch", "--from-beginning", "--count", "3", "--json")
        assert watched.returncode == 0, watched.stderr
        listed = json.loads(cli(guarded, "operator", session_name, "sessions", "--json").stdout)
        assert [(one["session"], one["worker"]) for one in listed] == [(session_name, "active")]
        desk.raw(desk.names.bars(first), b"nonsense")
        desk.await_dead_letters(desk.names.bars(first), 1)
        letters = json.loads(cli(guarded, "operator", session_name, "dead-letters", "list", "--json").stdout)
        assert [one["reason"] for one in letters] == ["undecodable"]
        resend = ("dead-letters", "resend", str(letters[0]["offset"]), "--force", "--yes")
        refused = cli(guarded, "operator", session_name, *resend)
        assert refused.returncode == 1
        assert "topic" in refused.stderr
        with SessionControl(operator) as control:
            assert control.remove_symbol(added) is not None
        assert other.stop() == 0
        said = one.said() + other.said()
    report = verify(guarded.settings("auditor", session_name))
    assert report.is_equal, report
    assert "lacks" not in said, "nothing was missed, not even for a check"
    assert "AUTHORIZATION" not in said


def test_a_right_that_a_worker_lacks_at_its_start_is_named_and_ends_it_with_a_code_of_its_own(
    guarded: RightsBroker, rights: dict[str, list[AclBinding]], session_name: str, tmp_path: Path
) -> None:
    config = second_bars(session_name, [])
    with Workers(guarded.servers, tmp_path) as workers:
        worker = start(guarded, workers, config)
        worker.wait_until("active")
        assert worker.stop() == 0
        for binding in rights["worker"]:
            if (
                binding.name in OF_SYMBOLS
                or binding.operation == AclOperation.CREATE
                or (binding.name == session_name and binding.restype == ResourceType.GROUP)
            ):
                continue  # nothing of that is needed by a session without symbols whose topics are there
            guarded.revoke([binding])
            before = len(worker.said())
            worker.start()
            if binding.operation == AclOperation.DESCRIBE_CONFIGS:
                worker.wait_until("active")
                assert worker.stop() == 0
            else:
                assert worker.wait_ended() == ForbiddenError.exit_code, binding
            said = worker.said()[before:]
            guarded.grant([binding])
            assert "Traceback" not in said
            assert "User:worker lacks " in said, binding
            operation = {AclOperation.READ: "Read", AclOperation.WRITE: "Write", AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs"}
            assert f"{operation[binding.operation]} on " in said, binding
            assert binding.name in said, binding


def test_a_right_that_is_taken_from_a_running_worker_is_named_and_ends_it_with_a_code_of_its_own(
    guarded: RightsBroker, rights: dict[str, list[AclBinding]], session_name: str, tmp_path: Path
) -> None:
    config = second_bars(session_name, [])
    with Workers(guarded.servers, tmp_path) as workers:
        worker = start(guarded, workers, config)
        for binding in rights["worker"]:
            is_of_session = binding.name not in OF_SYMBOLS and binding.operation in (AclOperation.READ, AclOperation.WRITE)
            if not is_of_session:
                continue
            if binding.name == f"{session_name}-" and binding.operation == AclOperation.READ:
                continue  # an active worker writes its changelog, and reads it when it starts
            worker.wait_until("active")
            before = len(worker.said())
            guarded.revoke([binding])
            code = worker.wait_ended()
            said = worker.said()[before:]
            guarded.grant([binding])
            assert code == ForbiddenError.exit_code, (binding, said)
            assert "Traceback" not in said
            assert "User:worker lacks " in said, binding
            assert binding.name in said, binding
            worker.start()
        worker.wait_until("active")
        assert worker.stop() == 0


def test_a_client_without_a_right_is_told_which_and_for_what(
    guarded: RightsBroker, rights: dict[str, list[AclBinding]], session_name: str, tmp_path: Path
) -> None:
    symbol = unique_symbol("ASK")
    config = second_bars(session_name, [])
    operator = guarded.settings("operator", session_name)
    group = [one for one in rights["operator"] if one.restype == ResourceType.GROUP]
    replies = [one for one in rights["operator"] if one.name.endswith(".replies")]
    control = [one for one in rights["operator"] if one.name.endswith(".control")]
    desk = LiveDesk(guarded.open_servers, config)
    with Workers(guarded.servers, tmp_path) as workers:
        start(guarded, workers, config).wait_until("active")

        guarded.revoke(group)
        with pytest.raises(MissingRightError, match=rf"User:operator lacks Describe on group {session_name}\.reader: allow it"):
            read_state(operator)
        guarded.grant(group)

        guarded.revoke(replies)
        said = cli(guarded, "operator", session_name, "add-symbol", symbol)
        assert said.returncode == 3
        assert f"sent to {session_name}.control" in said.stderr
        assert f"User:operator lacks Read on topic {session_name}.replies" in said.stderr
        command_id = said.stderr.partition("command ")[2].partition(" was sent")[0]
        assert [reply.symbol for reply in desk.await_replies(command_id, 2)] == [symbol, symbol]
        with SessionControl(operator) as one, pytest.raises(UnansweredError, match="was sent"):
            one.remove_symbol(symbol)
        guarded.grant(replies)

        guarded.revoke(control)
        with pytest.raises(MissingRightError, match=rf"User:operator lacks Write on topic {session_name}\.control"):
            SessionControl(operator).add_symbol(symbol)
        guarded.grant(control)

        with pytest.raises(MissingRightError, match=rf"User:consumer lacks Write on topic bars\.{symbol}"):
            send(guarded.settings("consumer", session_name), symbol, 1)


def test_a_wrong_password_is_told_from_a_broker_that_is_away_and_not_tried_again(
    guarded: RightsBroker, session_name: str, tmp_path: Path
) -> None:
    wrong = {"sasl.password": "wrong"}
    with Workers(guarded.servers, tmp_path) as workers:
        environment = guarded.environment("worker", session_name, **wrong)
        worker = workers.start(second_bars(session_name, []), settings=environment, options=("--supervise",))
        assert worker.wait_ended() == LoginError.exit_code
        assert "it does not accept User:worker: wrong password or unknown user" in worker.said()
        assert worker.said().count("worker ends:") == 1
    for role, properties in (("operator", wrong), ("nobody", {})):
        with pytest.raises(BrokerConnectionError, match=f"does not accept User:{role}: wrong password or unknown user") as raised:
            read_state(guarded.settings(role, session_name, **properties))
        assert "broker up" not in str(raised.value)
        with pytest.raises(BrokerConnectionError):
            SessionControl(guarded.settings(role, session_name, **properties))
