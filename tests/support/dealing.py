"""Which process of a run begins with which tests, so that all are busy until the end.

Tests on a broker wait more than they work, and some take a minute; all others work only, and take no time. So each process begins with
its share of the files that need a broker, and goes on with the others, of which one that is done takes some from another one's end
(xdist's worksteal). No long test is left for the end, and waiting and working are done at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

ON_BROKERS = ("chaos", "docs", "integration")
SECONDS = {
    "chaos/test_broker_faults.py": 25, "chaos/test_changelog.py": 15, "chaos/test_cluster_faults.py": 45, "chaos/test_kills.py": 35,
    "chaos/test_late_ends.py": 40, "chaos/test_network.py": 20, "chaos/test_simulation.py": 1500, "chaos/test_split_brain.py": 20,
    "chaos/test_storm.py": 15, "chaos/test_torn.py": 30,
    "chaos/test_waiting_bars.py": 20, "docs/test_consumer_page.py": 20, "docs/test_readme.py": 75,
    "integration/test_benchmarks.py": 20, "integration/test_broker.py": 55, "integration/client/test_consumer.py": 40,
    "integration/worker/test_export.py": 35, "integration/worker/test_forming.py": 40, "integration/worker/test_gap_filler.py": 75,
    "integration/worker/test_group.py": 75, "integration/worker/test_history_loading.py": 65, "integration/client/test_http.py": 65,
    "integration/replay/test_live_equals_replay.py": 80, "integration/client/test_positions.py": 20,
    "integration/client/test_produce_outage.py": 40,
    "integration/client/test_dead_letters.py": 20, "integration/worker/test_quotes.py": 65,
    "integration/security/test_rights.py": 35, "integration/security/test_roles.py": 110, "integration/security/test_roles_without.py": 80,
    "integration/worker/test_standby.py": 45, "integration/worker/test_topic_faults.py": 65, "integration/replay/test_verify.py": 35,
    "integration/worker/test_worker.py": 35, "integration/worker/test_worker_life.py": 70,
}  # fmt: skip
"""About how long a file takes; one that is not here takes a second for each test. Only the balance depends on it."""


class Located(Protocol):
    """A test that knows its file."""

    @property
    def path(self) -> Path: ...


Test = TypeVar("Test", bound=Located)


def dealt(tests: Iterable[Test], processes: int) -> list[Test]:
    """The tests in an order of which worksteal gives each process an equal part, from first to last."""
    rest: list[Test] = []
    files: list[tuple[float, list[Test]]] = []
    for path, of_file in groupby(tests, lambda test: test.path):
        together = list(of_file)
        place = "/".join(path.parts[path.parts.index("tests") + 1 :])
        if place.partition("/")[0] in ON_BROKERS:
            files.append((SECONDS.get(place, len(together)), together))
        else:
            rest += together
    hands: list[list[Test]] = [[] for _ in range(processes)]
    seconds = [0.0] * processes
    for takes, together in sorted(files, key=lambda file: -file[0]):
        least = seconds.index(min(seconds))
        hands[least] += together
        seconds[least] += takes
    # Those that are dealt too many are given none of the others; the last one takes what is left.
    left = len(rest) + sum(map(len, hands))
    for place, hand in enumerate(hands):
        own = max(0, left // (processes - place) - len(hand))
        hand += rest[:own]
        del rest[:own]
        left -= len(hand)
    return [test for hand in hands for test in hand]
