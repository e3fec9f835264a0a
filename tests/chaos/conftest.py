"""Workers for the tests that kill them, and a place for what a run measures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import MEASURED
from tests.integration.conftest import workers

__all__ = ["workers"]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keeps lines that the run prints at its end, in whichever process the test ran."""
    return lambda text: record_property(MEASURED, text)
