"""Workers for integration tests, and a broker that asks for users and rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AclBinding

from tests.support.kafka.rights import ROLES, RightsBroker, documented
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers


@pytest.fixture
def workers(bootstrap_servers: str, tmp_path: Path) -> Iterator[Workers]:
    """Real workers of the test's own; all ended with it."""
    with Workers(bootstrap_servers, tmp_path) as started:
        yield started


@pytest.fixture
def alone(bootstrap_servers: str, session_name: str, workers: Workers) -> tuple[LiveDesk, Worker]:
    """A session of the test's own, without symbols, and its worker."""
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, []))
    worker = workers.start(desk.config)
    worker.wait_until("active")
    return desk, worker


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RightsBroker]:
    """A broker that denies what is not granted, and has ports that speak TLS."""
    broker = RightsBroker(tmp_path_factory.mktemp("guarded"))
    try:
        broker.up()
        yield broker
    finally:
        broker.down()


@pytest.fixture
def rights(guarded: RightsBroker, session_name: str) -> Iterator[dict[str, list[AclBinding]]]:
    """The documented rights of each role, granted for the session of this test."""
    of_roles = {role: documented(role, session_name) for role in ROLES}
    every = [binding for bindings in of_roles.values() for binding in bindings]
    guarded.grant(every)
    yield of_roles
    guarded.revoke(every)
