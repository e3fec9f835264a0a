"""The ledger on a real broker: what a commit tells about the rows that it wrote."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaException, Producer

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


def test_a_commit_sends_what_lingers(bootstrap_servers: str) -> None:
    outputs = unique_name("outputs")
    create_topics(bootstrap_servers, outputs)
    minutes = {"linger.ms": 300_000, "delivery.timeout.ms": 600_000, "transaction.timeout.ms": 600_000}
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": outputs, **minutes})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(outputs, b"value", b"key", 0)
    try:
        producer.commit_transaction(60)
    except KafkaException as error:
        raise AssertionError("flushing now lingers: the ledger's linger.ms would delay every commit by as much") from error
    assert [read.value for read in read_topic(bootstrap_servers, outputs)] == [b"value"]
