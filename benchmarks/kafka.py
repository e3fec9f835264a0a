"""The broker that a measurement runs on: the plan's, else an embedded one of its own that is gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Plan
from streams.broker import LocalBroker


@contextmanager
def broker(plan: Plan) -> Iterator[str]:
    """The bootstrap servers of a running broker."""
    if plan.servers is not None:
        yield plan.servers
        return
    with tempfile.TemporaryDirectory(prefix="streams-bench-broker-") as folder:
        own = LocalBroker(Path(folder))
        own.up()
        try:
            yield own.bootstrap_servers
        finally:
            own.down()
