"""What can be measured: each group by its name. A group takes a plan and gives rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks import adding, beside, beside_java, drain, engine, flood, footprint, latency, over_http, recovery, symbols, wire
from benchmarks.measure import Plan, Row

Group = Callable[[Plan], list[Row]]

GROUPS: Final[dict[str, Group]] = {
    "engine": engine.rows,
    "wire": wire.rows,
    "drain": drain.rows,
    "peers": beside.rows,
    "java": beside_java.rows,
    "latency": latency.rows,
    "adding": adding.rows,
    "recovery": recovery.rows,
    "footprint": footprint.rows,
    "symbols": symbols.rows,
    "http": over_http.rows,
    "flood": flood.rows,
}

# Measured only when named: they need more than `make bench` sets up, or say something about one rare case.
ON_DEMAND: Final[frozenset[str]] = frozenset({"java", "flood"})
