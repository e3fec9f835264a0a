"""Fixtures for all tests: the broker of the run, started by the first test that asks for it, and a session name each."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support.topics import unique_name

_ORIGIN = pytest.StashKey[str]()


def pytest_configure() -> None:
    """Let SIGTERM end a run as Ctrl-C does, so that the broker and the workers of the tests are stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell starts what runs in its background with SIGINT ignored, and the programs that tests interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes is the machine's affair, and says nothing about the code.
    hypothesis.settings.register_profile("streams", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("streams")


@pytest.fixture(scope="session")
def bootstrap_servers(pytestconfig: pytest.Config) -> Iterator[str]:
    """A ready broker, the same for the whole run: STREAMS_BOOTSTRAP_SERVERS, a container, or the embedded one."""
    from tests.support.brokers import a_broker  # unit tests alone need no container library

    with a_broker() as broker:
        pytestconfig.stash[_ORIGIN] = f"{broker.bootstrap_servers}, {broker.origin}"
        yield broker.bootstrap_servers


@pytest.fixture
def session_name(request: pytest.FixtureRequest) -> str:
    """A session of the test's own."""
    return unique_name(request.node.name.removeprefix("test_"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which broker the tests ran on."""
    origin = config.stash.get(_ORIGIN, None)
    if origin is not None:
        terminalreporter.write_line(f"broker: {origin}")
