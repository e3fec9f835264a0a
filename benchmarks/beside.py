"""Our drain beside the same work in plain Faust (at least once) and in quixstreams (exactly once), in alternation.

The same bars in runs, on the same broker, decoded from the same Avro, 5m and 15m derived in a state with a changelog, an
output record a bar; the outputs of each are held against the work. We read one day of them, the peers as many as their figure
needs. They write fewer fields a record than we do, and no journal, gate or headers.
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.desk import DAY_MINUTES, SYMBOLS, Work, produce
from benchmarks.kafka import broker
from benchmarks.measure import Plan, Row, at_least, first_better_by
from benchmarks.ours import drain
from benchmarks.peer import OUTPUTS_PER_BAR, PEERS, Peer, PeerMissingError, Place, rows_of, run_peer
from benchmarks.watching import ROOT
from streams.config.settings import Settings

PYTHON: Final = ROOT / ".venv-peers" / "bin" / "python"
FAUST: Final = (str(PYTHON), "-m", "faust", "--loop", "uvloop", "-A", "plain_faust", "worker", "-l", "warn", "--without-web")
QUIX: Final = (str(PYTHON), str(PEERS / "quix.py"))
QUIX_CHANGELOGS: Final = "changelog__{name}--{topic}--default"
OURS_TARGET: Final = 70_000
FAUST_FACTOR: Final = 30
QUIX_FACTOR: Final = 5
# A part of the bars is steady enough for slow peers, and a round stays short.
DAYS: Final = 4
FAUST_BARS: Final = 20_000
QUIX_BARS: Final = 60_000
QUIX_COMMIT_SECONDS: Final = 5.0
SMALL_MINUTES: Final = 30
SMALL_COMMIT_SECONDS: Final = 0.05


def rows(plan: Plan) -> list[Row]:
    """Bars a second, of the peers and of ours."""
    if not PYTHON.exists():
        raise PeerMissingError(f"there is no {PYTHON.relative_to(ROOT)}: `make bench` sets it up")
    ours_work = Work(f"P{os.getpid()}-", SYMBOLS, SMALL_MINUTES if plan.small else DAY_MINUTES)
    work = ours_work._replace(days=1 if plan.small else DAYS)
    whole = round(work.bars * OUTPUTS_PER_BAR)
    faust_outputs, quix_outputs = (whole if plan.small else round(bars * OUTPUTS_PER_BAR) for bars in (FAUST_BARS, QUIX_BARS))
    commit_seconds = SMALL_COMMIT_SECONDS if plan.small else QUIX_COMMIT_SECONDS
    faust = plain_faust(faust_outputs, whole=plan.small)
    quix = quixstreams(quix_outputs, commit_seconds=commit_seconds, whole=plan.small)
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as name, broker(plan) as servers:
        produce(Settings.load(bootstrap_servers=servers), work, interleaved=False)
        folder = Path(name)
        subjects = {
            "session-streams, exactly once": lambda: drain(folder, servers, ours_work, published=True, interleaved=False).pace,
            "plain Faust 0.15.3, at least once": partial(run_peer, folder, servers, work, faust),
            "quixstreams 3.28, exactly once": partial(run_peer, folder, servers, work, quix),
        }
        ours, plain, exact = subjects
        return rows_of(
            f"bar, 5m and 15m of {SYMBOLS} topics published",
            subjects,
            plan,
            targets={ours: [at_least(OURS_TARGET)], plain: [first_better_by(FAUST_FACTOR)], exact: [first_better_by(QUIX_FACTOR)]},
            notes={
                plain: f"over {faust.outputs:,} of its outputs; uvloop, table in memory with changelog, stream_buffer_maxsize 131072",
                exact: f"over {quix.outputs:,} of its outputs; state in RocksDB with changelogs, commit_interval {commit_seconds:g} s",
            },
        )


def plain_faust(outputs: int, *, whole: bool) -> Peer:
    """Plain Faust, as far as to so many outputs."""
    return Peer(lambda place: FAUST, outputs, 0.2, whole, environment=_environment)


def quixstreams(outputs: int, *, commit_seconds: float, whole: bool) -> Peer:
    """quixstreams, as far as to so many outputs."""
    return Peer(lambda place: QUIX, outputs, 0.0, whole, QUIX_CHANGELOGS, partial(_environment, commit_seconds=commit_seconds))


def _environment(place: Place, **more: object) -> dict[str, str]:
    return {"PEER_WORK": json.dumps({**place._asdict(), **more}), "PYTHONPATH": str(PEERS)}
