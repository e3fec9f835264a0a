"""The ledger on a real broker: what a commit tells about the rows that it wrote."""

from __future__ import annotations

import asyncio

from streams.settings import Settings
from streams.times import SystemClock
from streams.wire.outputs import Record
from streams.worker.ledger import Ledger
from tests.support import create_topics, unique_name
from tests.support.reading import read_topic


def test_after_each_commit_the_ledger_knows_the_offset_of_the_last_row(bootstrap_servers: str) -> None:
    """Without it a table that is written here would be read from its beginning at each rebalance."""
    changelog, outputs = unique_name("changelog"), unique_name("outputs")
    create_topics(bootstrap_servers, changelog, outputs)
    settings = Settings.load(bootstrap_servers=bootstrap_servers)
    ledger = Ledger(settings, transactional_id=changelog, changelog=changelog, clock=SystemClock())

    def record(topic: str, key: bytes) -> Record:
        return Record(topic, key, b"value", [], 1_381_147_200_000)

    async def committed() -> list[int | None]:
        barrier = await ledger.take_over([changelog])
        known: list[int | None] = [barrier[changelog]]
        for keys in ((b"a", b"b"), (b"c",)):
            await ledger.write([record(outputs, b"x"), *[record(changelog, key) for key in keys], record(outputs, b"y")])
            known.append(ledger.changelog_offset)
        await ledger.close()
        return known

    known = asyncio.run(committed())
    offsets = {read.key: read.offset for read in read_topic(bootstrap_servers, changelog)}
    assert known == [offsets[b"barrier"], offsets[b"b"], offsets[b"c"]]
