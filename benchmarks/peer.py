"""One drain by a peer: started on the work's topics with a group, an output topic and a state of its own, and watched there.

What it published is held against the work. A slow peer is stopped when it has published enough, and the first part of its
output may be left out, so that it has come to its pace.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import fastavro
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.desk import DERIVED, Output, Work, check
from benchmarks.measure import Better, Plan, Row, Target, compared, rounds_of, row_of
from benchmarks.watching import REQUEST_SECONDS, ROOT, Pace, Seen, pace, read, running, watch_end
from streams.config.settings import Settings
from streams.kafka.clients import bar_topics_of

PEERS: Final = ROOT / "benchmarks" / "peers"
OUTPUTS_PER_BAR: Final = 1 + sum(1 / length for length in DERIVED.values())

_numbers = itertools.count()


class PeerMissingError(Exception):
    """What a peer needs is not there."""


class Place(NamedTuple):
    """What a peer is told: its name (group, state), the broker, the topics of bars, its output topic, a folder for its state."""

    name: str
    servers: str
    topics: list[str]
    output: str
    folder: str


class Peer(NamedTuple):
    """How a peer is run.

    Attributes:
        command: what starts it in its place.
        outputs: how many records it is waited for.
        skipped: the first part of them that does not count, from 0 to 1.
        whole: whether that is the output of all bars.
        changelogs: the name of a topic's changelog, where the peer would make a hundred of them one after another.
        environment: what its process finds in its environment.
    """

    command: Callable[[Place], Sequence[str]]
    outputs: int
    skipped: float
    whole: bool
    changelogs: str = ""
    environment: Callable[[Place], Mapping[str, str]] = lambda place: {}


def run_peer(folder: Path, servers: str, work: Work, peer: Peer) -> Pace:
    """Run a peer over the work's topics with a group, an output topic and a state of its own; its pace in bars."""
    name = f"peer-{os.getpid()}-{next(_numbers)}"
    output = f"{name}-output"
    settings = Settings.load(bootstrap_servers=servers)
    names = bar_topics_of(settings)
    topics = [names.bars(symbol) for symbol in work.names]
    changelogs = [peer.changelogs.format(name=name, topic=topic) for topic in topics if peer.changelogs]
    admin = AdminClient({**settings.kafka(), "log_level": 0})
    _create(admin, [output], "delete")
    _create(admin, changelogs, "compact")
    state = folder / name
    state.mkdir()
    place = Place(name, servers, topics, output, str(state))
    try:
        with running(peer.command(place), folder / f"{name}.log", peer.environment(place)) as subject:
            seen = watch_end(servers, output, subject, until=peer.outputs, commits=1 if peer.whole else 2)
        check(_outputs(servers, output), work, whole=peer.whole)
    finally:
        mine = [topic for topic in admin.list_topics(timeout=REQUEST_SECONDS).topics if name in topic]
        for done in admin.delete_topics(mine, operation_timeout=REQUEST_SECONDS).values() if mine else ():
            done.result()
        shutil.rmtree(state)
    outputs = pace(_working(seen, peer), after=round(peer.outputs * peer.skipped))
    return Pace(outputs.per_second / OUTPUTS_PER_BAR, outputs.cpu_us_each * OUTPUTS_PER_BAR)


def _create(admin: AdminClient, topics: list[str], cleanup: str) -> None:
    wanted = [NewTopic(topic, num_partitions=1, replication_factor=1, config={"cleanup.policy": cleanup}) for topic in topics]
    for done in admin.create_topics(wanted).values() if wanted else ():
        done.result()


def _working(seen: list[Seen], peer: Peer) -> list[Seen]:
    """Without the last commit of a peer that has run out of input: it may have waited for its time."""
    return seen[:-1] if peer.whole and len(seen) > 2 else seen


def _outputs(servers: str, topic: str) -> Iterator[Output]:
    schema = fastavro.parse_schema(json.loads((PEERS / "Output.avsc").read_text(encoding="utf-8")))
    for message in read(servers, topic):
        value = fastavro.schemaless_reader(io.BytesIO(message.value() or b""), schema, None)
        del value["end"]
        yield Output(value.pop("symbol"), value.pop("interval"), value.pop("start"), **value)


def rows_of(
    group: str, subjects: Mapping[str, Callable[[], Pace]], plan: Plan, targets: Mapping[str, Sequence[Target]], notes: Mapping[str, str]
) -> list[Row]:
    """Rows in bars a second, the subjects in turn; the notes begin with what a bar costs."""
    rows = []
    for name, paces in rounds_of(subjects, plan.rounds, warm_up=False).items():
        note = f"{cpu_note(paces)}{'; ' if name in notes else ''}{notes.get(name, '')}"
        figures = [one.per_second for one in paces]
        rows.append(row_of(group, name, "bars/s", figures, better=Better.HIGHER, targets=targets.get(name, ()), note=note))
    return compared(rows)


def cpu_note(paces: Sequence[Pace]) -> str:
    """What a bar costs of the processor, all threads of the process together."""
    return f"{statistics.median(one.cpu_us_each for one in paces):.1f} us of processor time a bar"
