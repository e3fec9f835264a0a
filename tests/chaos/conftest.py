"""Workers for the tests that kill them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workers import Workers


@pytest.fixture
def workers(bootstrap_servers: str, tmp_path: Path) -> Iterator[Workers]:
    """Real workers of the test's own; all ended with it."""
    with Workers(bootstrap_servers, tmp_path) as started:
        yield started
