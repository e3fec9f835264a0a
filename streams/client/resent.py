"""Which dead letters were sent again already: each that was carries its letter's place in a header, so its topic says so.

A bar that comes twice is dropped as a duplicate, but a tick or a quote that comes twice is counted twice. So `resend` looks before it
sends. Only what lies behind a record's first place is read, since it can only have been sent again after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from streams.client.deadletters import READ_SECONDS, RESENT_FROM, RESENT_OFFSET, DeadLetter
from streams.config.settings import Settings
from streams.errors import BrokerRefusedError, NobodyThereError
from streams.kafka.clients import existing_topics, topics_of
from streams.kafka.reader import BEGINNING, TopicReader


class SentBefore(Struct, frozen=True):
    """What is known of earlier runs.

    Attributes:
        offsets: the letter's topic and its offset there now, by the letter's offset.
        unread: topics that could not be read, each with the reason.
    """

    offsets: dict[int, tuple[str, int]]
    unread: dict[str, str]

    def places(self) -> Iterator[tuple[int, tuple[str, int]]]:
        """Offset of each letter, and its topic and offset there now, in order."""
        return iter(sorted(self.offsets.items()))


def sent_before(settings: Settings, letters: Iterable[DeadLetter]) -> SentBefore:
    """Look on the letters' topics for what was sent again of them.

    Raises:
        NobodyThereError: no broker answers.
    """
    by_topic: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        if letter.stream is not None:
            by_topic.setdefault(letter.topic, []).append(letter)
    found = SentBefore({}, {})
    there = existing_topics(settings) if by_topic else set()
    dlq = topics_of(settings).dlq
    for topic, ones in sorted(by_topic.items()):
        if topic not in there:
            continue
        try:
            found.offsets.update(_sent_on(settings, dlq, topic, ones))
        except (BrokerRefusedError, NobodyThereError) as error:
            found.unread[topic] = str(error)
    return found


def _sent_on(settings: Settings, dlq: str, topic: str, letters: list[DeadLetter]) -> dict[int, tuple[str, int]]:
    # By the letter, and by the record: another session that reads this topic has a letter of its own of the same record.
    places: dict[tuple[str, bytes], DeadLetter] = {}
    for letter in letters:
        places[RESENT_FROM, f"{dlq}:{letter.offset}".encode()] = letter
        if letter.source_offset is not None:
            places[RESENT_OFFSET, str(letter.source_offset).encode()] = letter
    found: dict[int, tuple[str, int]] = {}
    with TopicReader(settings, topic, start=BEGINNING, missing=f"topic {topic} is gone") as reader:
        low, end = reader.bounds()
        first = min(-1 if letter.source_offset is None else letter.source_offset for letter in letters) + 1
        if max(low, first) >= end:
            return {}
        reader.move(max(low, first))
        for record in reader.up_to(end, READ_SECONDS):
            for header in record.headers:
                ours = places.get((header[0], header[1]))
                # An earlier record of the same header is of a dead-letter topic that was deleted since.
                if ours is not None and (ours.source_offset is None or record.offset > ours.source_offset):
                    found[ours.offset] = (topic, record.offset)
    return found
