"""Fixtures for all tests: the broker of the process, started by the first test that asks for it, and a session name each."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from tests.support.dealing import dealt
from tests.support.kafka.topics import unique_name
from tests.support.targets import ROOT, targets

MEASURED = "measured"
"""The property of a test that the run prints at its end."""

_ORIGINS = pytest.StashKey[list[str]]()


def pytest_configure() -> None:
    """Let SIGTERM end a run as Ctrl-C does, so that the broker and the workers of the tests are stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell starts what runs in its background with SIGINT ignored, and the programs that tests interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes is the machine's affair, and says nothing about the code.
    hypothesis.settings.register_profile("streams", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("streams")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """See that a make target runs each test, and deal those that are selected to the processes, each of which gets the same order."""
    all_targets = targets()
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if not any(target.runs(marks, item.path.relative_to(ROOT)) for target in all_targets):
            raise pytest.UsageError(
                f"no make target runs {item.nodeid} with its marks {', '.join(sorted(marks))}: see tests/support/targets.py"
            )
    yield
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    if processes > 1:
        items[:] = dealt(items, processes)


@pytest.fixture(scope="session")
def bootstrap_servers(pytestconfig: pytest.Config) -> Iterator[str]:
    """A ready broker, the same for all tests of the process: STREAMS_BOOTSTRAP_SERVERS, a container, or the embedded one."""
    from tests.support.kafka.brokers import a_broker  # unit tests alone need no container library

    with a_broker() as broker:
        origin = f"{broker.bootstrap_servers}, {broker.origin}"
        pytestconfig.stash[_ORIGINS] = [origin]
        if hasattr(pytestconfig, "workeroutput"):  # one of several processes: the one that reports hears of it at the end
            pytestconfig.workeroutput["broker"] = origin
        yield broker.bootstrap_servers


@pytest.fixture
def session_name(request: pytest.FixtureRequest) -> str:
    """A session of the test's own."""
    return unique_name(request.node.name.removeprefix("test_"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which brokers the tests ran on, and what was measured."""
    for origin in config.stash.get(_ORIGINS, []):
        terminalreporter.write_line(f"broker: {origin}")
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    for report in (report for report in reports if report.when == "call"):
        for text in (text for name, text in report.user_properties if name == MEASURED):
            terminalreporter.write_line(f"{report.nodeid}:\n{text}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of the run has ended: keep which broker it used."""
    origin = getattr(node, "workeroutput", {}).get("broker")
    if origin is not None:
        node.config.stash.setdefault(_ORIGINS, []).append(origin)
