"""A bar whose schema id is in a header, as Apicurio's serializer writes it: on a real broker, by a real worker, and in its audit."""

from __future__ import annotations

from confluent_kafka import Producer

from tests.support import create_topics, unique_symbol
from tests.support.sessions.desk import LiveDesk
from tests.support.workers.processes import Worker
from tests.unit.wire.test_framing import APICURIO_HEADERS, BODY


def test_its_dead_letter_names_the_header_and_the_setting_and_the_session_verifies(alone: tuple[LiveDesk, Worker]) -> None:
    desk, worker = alone
    symbol = unique_symbol("APIC")
    topic = desk.names.bars(symbol)
    create_topics(desk.servers, topic)
    producer = Producer({"bootstrap.servers": desk.servers})
    producer.produce(topic, BODY, partition=0, headers=[(name, (7).to_bytes(8, "big")) for name in APICURIO_HEADERS])
    assert producer.flush(60) == 0
    desk.add(symbol)
    producer.produce(topic, BODY, partition=0, headers=[(name, (7).to_bytes(8, "big")) for name in APICURIO_HEADERS])
    assert producer.flush(60) == 0
    letter = desk.await_dead_letters(topic, 1)[-1]
    said = letter.headers["__streams.errors.message"]
    assert "its schema id is in the message's header apicurio.value.globalId" in said
    assert "apicurio.registry.headers.enabled=false and apicurio.registry.as-confluent=true" in said
    assert letter.value == BODY
    assert worker.stop() == 0
    desk.check_audit()
