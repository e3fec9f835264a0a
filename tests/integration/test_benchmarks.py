"""The drains that `make bench` measures run, at sizes that cost little, and their own checks of the outputs pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import beside
from benchmarks.desk import Work, produce
from benchmarks.ours import drain
from benchmarks.peer import OUTPUTS_PER_BAR, run_peer
from streams.config.settings import Settings
from tests.support.kafka.topics import unique_symbol


@pytest.mark.parametrize(("published", "interleaved"), [(True, True), (False, False)])
def test_a_drain_of_ours_runs(bootstrap_servers: str, tmp_path: Path, published: bool, interleaved: bool) -> None:
    drained = drain(tmp_path, bootstrap_servers, Work("S", 4, 600), published=published, interleaved=interleaved)
    assert drained.pace.per_second > 0


@pytest.mark.skipif(not beside.PYTHON.exists(), reason="the peers' environment is not there; `make bench` sets it up")
@pytest.mark.parametrize("name", ["plain Faust", "quixstreams"])
def test_a_drain_of_a_peer_runs(bootstrap_servers: str, tmp_path: Path, name: str) -> None:
    work = Work(unique_symbol(), 4, 600)
    produce(Settings.load(bootstrap_servers=bootstrap_servers), work, interleaved=False)
    outputs = round(work.bars * OUTPUTS_PER_BAR)
    peers = {
        "plain Faust": beside.plain_faust(outputs, whole=True),
        "quixstreams": beside.quixstreams(outputs, commit_seconds=0.02, whole=True),
    }
    assert run_peer(tmp_path, bootstrap_servers, work, peers[name]).per_second > 0
