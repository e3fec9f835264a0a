"""Bar topics that the worker may not read, on a broker that asks for rights: their symbols fail, alone, and can be added again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams.broker import LocalBroker
from streams.broker.folder import DataFolder
from streams.client.producer import BarProducer
from streams.history.store.store import HistoryStore
from tests.support import unique_symbol, wait_until
from tests.support.feeders import made_up_bars, now_us
from tests.support.holes import Holed, gappy_config, opened_us
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Workers

_RIGHTS = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\nallow.everyone.if.no.acl.found=true\n"
_EVERYBODY = "User:ANONYMOUS"


class GuardedFolder(DataFolder):
    """A broker's folder whose settings have the broker ask for rights; what nobody has ruled on is allowed."""

    def write_properties(self, *, port: int, controller_port: int) -> None:
        super().write_properties(port=port, controller_port=controller_port)
        self.properties.write_text(f"{self.properties.read_text('utf-8')}\n{_RIGHTS}", "utf-8")


@pytest.fixture(scope="module")
def guarded_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker that asks for rights."""
    folder = tmp_path_factory.mktemp("guarded")
    broker = LocalBroker(folder)
    broker._folder = GuardedFolder(folder)
    try:
        broker.up()
        yield broker.bootstrap_servers
    finally:
        broker.down()


def rule(admin: AdminClient, topic: str, operation: AclOperation, permission: AclPermissionType) -> None:
    """Rule on what everybody may do with a topic."""
    binding = AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, _EVERYBODY, "*", operation, permission)
    for created in admin.create_acls([binding]).values():
        created.result(60)


def lift(admin: AdminClient, topic: str) -> None:
    """Take all rules about a topic back."""
    every = AclBindingFilter(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
    )  # fmt: skip
    for deleted in admin.delete_acls([every]).values():
        deleted.result(60)


def test_a_bar_topic_that_may_not_be_read_fails_its_symbol_alone_while_the_worker_runs_and_when_it_starts(
    guarded_servers: str, session_name: str, tmp_path: Path
) -> None:
    running, starting, free = unique_symbol("RUN"), unique_symbol("START"), unique_symbol("FREE")
    desk = LiveDesk(guarded_servers, second_bars(session_name, [running, starting, free]))
    bars = {symbol: made_up_bars(symbol, 12, end_us=now_us()) for symbol in (running, starting, free)}
    with Workers(guarded_servers, tmp_path) as workers:
        worker = workers.start(desk.config)
        worker.wait_until("active")
        for symbol in desk.config.symbols:
            desk.bars(bars[symbol][:4])
            desk.await_bars(symbol, 4)

        # It may be looked at and written, and not be read.
        topic = desk.names.bars(running)
        for allowed in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.WRITE):
            rule(desk.admin, topic, allowed, AclPermissionType.ALLOW)
        rule(desk.admin, topic, AclOperation.READ, AclPermissionType.DENY)
        failed = desk.await_event("symbol_failed", running)
        assert f"topic {topic} may not be read (TOPIC_AUTHORIZATION_FAILED" in (failed.reason or "")
        desk.bars(bars[free][4:8])
        desk.await_bars(free, 8)

        assert worker.stop() == 0
        rule(desk.admin, desk.names.bars(starting), AclOperation.ALL, AclPermissionType.DENY)
        worker.start()
        worker.wait_until("active")
        failed = desk.await_event("symbol_failed", starting)
        assert "may not be read (TOPIC_AUTHORIZATION_FAILED" in (failed.reason or "")
        desk.bars(bars[free][8:])
        desk.await_bars(free, 12)
        wait_until(lambda: worker.health().get("session_active") is True, "the gate, which waits for no failed symbol")

        for symbol in (running, starting):
            lift(desk.admin, desk.names.bars(symbol))
            assert desk.add(symbol) is not None
            desk.bars(bars[symbol][4:])
            desk.await_progress(symbol, lambda row: row.offset == 12, "all of its bars read under the new incarnation")
        assert worker.stop() == 0


def test_a_bar_topic_that_may_not_be_written_keeps_its_gaps_and_the_session_goes_on(
    guarded_servers: str, session_name: str, tmp_path: Path
) -> None:
    open_us = opened_us()
    holed = Holed.of(unique_symbol("SEALED"), open_us, (20, 40))
    HistoryStore.create(tmp_path / "bars").write_bars(holed.known())
    filler = {"gap_filler": {"enabled": True, "max_retries": 20, "retry_interval_seconds": 1}}
    desk = LiveDesk(guarded_servers, gappy_config(session_name, [holed.symbol], open_us, **filler))
    topic = desk.names.bars(holed.symbol)
    with Workers(guarded_servers, tmp_path) as workers:
        with BarProducer(desk.settings) as producer:
            for bar in holed.known_of_feed():
                producer.send(bar)
        for allowed in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.READ):
            rule(desk.admin, topic, allowed, AclPermissionType.ALLOW)
        rule(desk.admin, topic, AclOperation.WRITE, AclPermissionType.DENY)
        worker = workers.start(desk.config, settings={"STREAMS_HISTORY": str(tmp_path / "bars")})
        worker.wait_until("active")
        asked = desk.await_event("gap_asked", holed.symbol)
        assert asked.attributes["outcome"] == "failed"
        assert "TOPIC_AUTHORIZATION_FAILED" in (asked.reason or "")
        assert worker.health()["status"] == "active"
        lift(desk.admin, topic)
        desk.await_progress(holed.symbol, lambda row: row.late == 20, "the gap to be filled once that is allowed")
        assert worker.stop() == 0
    desk.check_audit()
