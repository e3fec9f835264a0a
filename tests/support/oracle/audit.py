"""What a session would have left behind on a broker, in memory: to be audited, and to be tampered with first.

left = Left(desk)                          # after the story that a `Desk` of tests/support/engine.py has played
del left.topics[left.names.analysis][3]
assert left.audit().differences[0].kind == "missing"
"""

from __future__ import annotations

import sys

import msgspec

from streams.audit.redrive import EpochChoice, compare
from streams.audit.report import VerifyReport
from streams.audit.rows import Tables
from streams.errors import HistoryError, WireError
from streams.kafka.reader import Record
from streams.model.inputs import InputKind
from streams.model.records import Bar, ControlCommand, Quote, Tick, Undecodable
from streams.model.rows import Row
from streams.wire.codec import Codec
from streams.wire.outputs import Encoder, RawRecord
from streams.wire.outputs import Record as Output
from streams.wire.topics import TopicNames
from tests.support.engine import Desk

CODEC = Codec()
JUNK = b"no bar at all"


def junk() -> Undecodable:
    """What the codec makes of `JUNK`."""
    try:
        CODEC.bar_from(JUNK)
    except WireError as error:
        return Undecodable(str(error))
    raise AssertionError("junk was decoded")


def _written(one: Bar | Quote | Tick | Undecodable) -> bytes:
    match one:
        case Bar():
            return CODEC.bar_to_avro(one)
        case Quote():
            return CODEC.quote_to_avro(one)
        case Tick():
            return CODEC.tick_to_avro(one)
        case Undecodable():
            return JUNK


class ListTape:
    """A topic in memory. `end` may be put before the last record: what lies behind came since the audit began."""

    def __init__(self, records: list[Record], *, end: int = sys.maxsize, begins_late: bool = False) -> None:
        self.end = end
        self.begins_late = begins_late
        self._records = records
        self._place = 0

    def next(self, *, beyond: bool = False) -> Record | None:
        if self._place == len(self._records) or (self._records[self._place].offset >= self.end and not beyond):
            return None
        self._place += 1
        return self._records[self._place - 1]


class _Inputs:
    def __init__(self, sources: dict[str, list[RawRecord]], lost: set[str]) -> None:
        self._sources = sources
        self._lost = lost

    def records(self, topic: str, topic_id: str, first: int, following: int) -> list[RawRecord]:
        if topic in self._lost:
            raise HistoryError(f"topic {topic} is no longer there")
        records = self._sources.get(f"{topic} {topic_id}") or self._sources.get(topic, [])
        return [raw for raw in records if first <= raw.offset < following]


class Left:
    """The topics and tables of the session that a desk has played; `topics`, `sources` and `rows` may be changed.

    The control topic is another one for each epoch, and stands in `sources` by its name and id.
    """

    def __init__(self, desk: Desk) -> None:
        self.session = desk.config.session_name
        self.names = names = TopicNames(self.session)
        self.topics: dict[str, list[Record]] = {
            topic: [] for topic in (names.analysis, names.events, names.replies, names.dlq, names.journal)
        }
        if desk.config.session_data_config.bars_topic:
            self.topics[names.all_bars] = []
        self.sources: dict[str, list[RawRecord]] = {}
        self.rows: dict[str, bytes] = {}
        self.epoch = self.transaction = 0
        self.lost: set[str] = set()
        self.begin_late: set[str] = set()
        self.ends: dict[str, int] = {}
        self.begin_anew(desk)

    def begin_anew(self, desk: Desk) -> None:
        """Put what another desk has played behind it, and its rows in place of those before."""
        for name, records in desk.topics.items():
            stream, _, symbol = name.rpartition("|")
            topic = self.names.of(symbol, stream or None)
            values = [_written(one) for one in records]
            self.sources[topic] = [RawRecord(topic, offset, symbol.encode(), value, []) for offset, value in enumerate(values)]
        self._send(desk)
        self.rows = {key: CODEC.row_to(row) for key, row in desk.table.items()}
        self.epoch, self.transaction = desk.journal[-1].epoch, desk.journal[-1].transaction
        encoder = Encoder(CODEC, self.names, session=self.session, epoch=self.epoch)
        for result in desk.results:
            for output in encoder.records(result, lambda letter: self.sources[self.names.of(letter.symbol, letter.stream)][letter.offset]):
                self.write(output)

    def _send(self, desk: Desk) -> None:
        """Put the commands that the desk was given on the control topic."""
        control = self.control_of(desk.journal[-1].epoch)
        given = [one for record in desk.journal for one in record.inputs if one.kind is InputKind.COMMAND]
        commands = [(one.first_offset or 0, msgspec.json.decode(one.text or "", type=ControlCommand)) for one in given]
        self.sources[control] = [
            RawRecord(self.names.control, offset, None, CODEC.command_to_json(command), []) for offset, command in commands
        ]

    def control_of(self, epoch: int) -> str:
        """Where the control records of an epoch stand in `sources`."""
        return f"{self.names.control} control-{epoch}"

    def write(self, output: Output) -> None:
        """Append a record to its topic."""
        records = self.topics[output.topic]
        records.append(Record(len(records), output.timestamp_ms, output.key, output.value, output.headers))

    def row(self, key: str) -> Row:
        """A row of the tables."""
        return CODEC.row_from(self.rows[key])

    def audit(self, epoch: EpochChoice = "newest") -> VerifyReport:
        """What an audit finds."""
        tapes = {
            topic: ListTape(records, end=self.ends.get(topic, sys.maxsize), begins_late=topic in self.begin_late)
            for topic, records in self.topics.items()
        }
        journal = tapes.pop(self.names.journal)
        rows = {key: (offset, value) for offset, (key, value) in enumerate(self.rows.items())}
        return compare(
            session=self.session, codec=CODEC, names=self.names, journal=journal, inputs=_Inputs(self.sources, self.lost), outputs=tapes,
            tables=Tables(f"{self.session}-state-changelog", self.epoch, self.transaction, rows), epoch=epoch,
        )  # fmt: skip
