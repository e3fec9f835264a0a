"""What the journal on a real broker says about others: whether another process writes under a worker's name."""

from __future__ import annotations

from itertools import count

import pytest
from confluent_kafka import Producer

from streams.config.settings import Settings
from streams.model.inputs import JournalRecord
from streams.wire.codec import Codec
from streams.worker.ledger.journal_tail import has_namesake, journal_end
from tests.support import create_topics

CODEC = Codec()
BEGAN_US = 1_000_000


class Journal:
    """A journal that workers write."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.settings = Settings.load(bootstrap_servers=bootstrap_servers)
        self.topic = topic
        self._numbers = count(1)
        create_topics(bootstrap_servers, topic)

    def write(self, owner: str, now_us: int) -> None:
        producer = Producer({"bootstrap.servers": self.settings.bootstrap_servers, "transactional.id": self.topic})
        producer.init_transactions(60)
        producer.begin_transaction()
        record = JournalRecord("s", 1, next(self._numbers), now_us, owner, 0, 0, ())
        producer.produce(self.topic, CODEC.journal_to(record), partition=0)
        producer.commit_transaction(60)

    def has_namesake(self, since_offset: int) -> bool:
        return has_namesake(self.settings, self.topic, CODEC, owner="w1", since_offset=since_offset, since_us=BEGAN_US)


@pytest.fixture
def journal(bootstrap_servers: str, session_name: str) -> Journal:
    return Journal(bootstrap_servers, session_name)


@pytest.mark.parametrize(
    ("owner", "now_us", "is_namesake", "why"),
    [
        ("w1", BEGAN_US + 1, True, "who asks has written nothing, so another process writes under its name"),
        ("w2", BEGAN_US + 1, False, "another worker has taken over"),
        ("w1", BEGAN_US - 1, False, "the former process of this name, whose commit came to be seen only now"),
    ],
)
def test_who_writes_under_a_workers_name_after_it_began_is_another_process(
    journal: Journal, owner: str, now_us: int, is_namesake: bool, why: str
) -> None:
    journal.write("w1", BEGAN_US - 1)
    began = journal_end(journal.settings, journal.topic)
    assert not journal.has_namesake(began)
    journal.write(owner, now_us)
    assert journal.has_namesake(began) is is_namesake, why


def test_what_was_written_before_a_worker_began_is_no_namesakes_whatever_its_clock_said(journal: Journal) -> None:
    journal.write("w1", BEGAN_US + 1)
    assert not journal.has_namesake(journal_end(journal.settings, journal.topic))
