"""Workers for integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desk import LiveDesk
from tests.support.sessions import second_bars
from tests.support.workers import Worker, Workers


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
