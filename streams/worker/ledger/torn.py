"""A transaction that is only partly there: recognized as a worker takes the state over, and completed.

A late request to end a transaction commits what is written of it by then, and the broker refuses the rest (`end_answers`). The ledger
keeps that from happening; a session may have been torn by a former version. Then journal, analysis and rows disagree about the last
number. To go on from the rows as they are would publish the records again, under other numbers or other values.

The engine is deterministic, and the journal record has all that went into it. So the transaction is driven again from the rows of
the one before it, and what its topics lack is written, in one transaction with its rows. Of each topic the beginning is there, as a
rule; where something else is there the worker ends, and says so: to write the rest would put records out of order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from streams.config.settings import Settings
from streams.engine.session import Session
from streams.engine.transaction import redrive
from streams.errors import FatalError, NoSessionError, OffsetGoneError, RecoveryError, StreamsError, WireError
from streams.kafka.asking import until_read
from streams.kafka.reader import BEGINNING, TopicReader
from streams.kafka.reader import Record as Found
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.rows import SessionRow
from streams.model.transactions import DeadLetter, RangeRead, TransactionResult
from streams.times import Clock
from streams.wire.codec import Codec
from streams.wire.messages import AnalysisEvent
from streams.wire.outputs import Encoder, RawRecord, Record, control_letter
from streams.wire.ranges import range_read
from streams.wire.topics import TopicNames
from streams.worker.ledger.barrier import BARRIER_KEY
from streams.worker.ledger.digest import CARRIER, HEADER, RowDigest
from streams.worker.link import unread

READ_SECONDS: Final = 30.0
RANGE_SECONDS: Final = 10.0
"""How long the end of a topic, or a range of one, is awaited before another reader asks who leads it now: both are short."""
_BACK: Final = 16
"""How far before its end a topic is read first; its last offsets are markers of transactions, and records that were aborted."""

_WAY_OUT: Final = (
    "`streams verify` names what is missing or too much; to begin a new epoch, delete the session's changelog and start the worker again"
)

Rows = Mapping[bytes, bytes]
Decoded = TypeVar("Decoded")
T = TypeVar("T")


class Completion(Struct, frozen=True):
    """A torn transaction, driven again: its result, and the records of it that are not in their topics."""

    result: TransactionResult
    missing: list[Record]


class TornTransactions:
    """Looks for a torn transaction at the end of a session's topics.

    Args:
        settings: where the broker is.
        names, codec: what the session's topics are named and written with.
        changelog: the topic of the rows.
        clock: for deadlines.
    """

    def __init__(self, settings: Settings, names: TopicNames, codec: Codec, changelog: str, clock: Clock) -> None:
        self._settings = settings
        self._names = names
        self._codec = codec
        self._changelog = changelog
        self._clock = clock

    def look(self, rows: Rows, digest: bytes | None) -> Completion | None:
        """What completes the last transaction; None when it is whole. Former owners are fenced, so nothing changes meanwhile.

        Each topic is asked for again while nobody answers, since the broker that led it may have died with the former owner.

        Args:
            rows: the state as it was recovered.
            digest: what its rows come to, as it was committed with them; None when that is not known.

        Raises:
            RecoveryError: the transaction is torn, and can't be completed.
            FatalError: no broker answers in time, or they do not let the worker read.
        """
        try:
            return self._look(rows, digest)
        except FatalError:
            raise
        except StreamsError as error:
            raise unread(error) or RecoveryError(f"whether the last transaction is whole can't be seen: {error}") from error

    def _look(self, rows: Rows, digest: bytes | None) -> Completion | None:
        state = self._session_row(rows)
        if state is None:
            return None  # a new epoch begins
        record = self._last(self._names.journal, self._codec.journal_from)
        event = self._last(self._names.analysis, self._codec.analysis_from)
        if record is None or record.epoch != state.epoch:
            return None  # of a journal that was deleted nothing can be learned
        published = event.sequence if event is not None and event.epoch == state.epoch else None
        is_whole = digest is None or RowDigest(rows.items()).text() == digest
        if record.transaction == state.transaction and published in (None, state.sequence) and is_whole:
            return None
        if record.transaction < state.transaction or (published or 0) > record.last_sequence:
            raise RecoveryError(_unexplained(state, record, event))
        before = rows if record.transaction == state.transaction + 1 and is_whole else self._rows_before(record)
        if before is None:
            return None
        return self._complete(before, record)

    def _session_row(self, rows: Rows) -> SessionRow | None:
        value = rows.get(CARRIER)
        row = None if value is None else self._codec.row_from(value)
        return row if isinstance(row, SessionRow) else None

    # ---------------------------------------------------------------------------------------------- what is there

    def _last(self, topic: str, decode: Callable[[bytes | None], Decoded]) -> Decoded | None:
        """The newest record of a topic that can be decoded; None when there is none."""
        for found in reversed(self._tail(topic, 1)):
            try:
                return decode(found.value)
            except WireError:
                continue  # somebody else wrote it
        return None

    def _tail(self, topic: str, count: int) -> list[Found]:
        """The last records of a topic: `count` at least, as far as it has so many."""

        def read(reader: TopicReader) -> list[Found]:
            first, end = reader.bounds()
            back = 2 * count + _BACK
            while True:
                start = max(first, end - back)
                reader.move(start)
                found = [one for one in reader.up_to(end, RANGE_SECONDS) if one.offset < end]
                if len(found) >= count or start == first:
                    return found
                back *= 8

        return self._read(topic, BEGINNING, read, missing="the session's topic is not there")

    def _read(self, topic: str, start: int, read: Callable[[TopicReader], T], *, missing: str) -> T:
        """What `read` takes from a reader of a topic, or from the next one while no broker answers."""

        def once() -> T:
            with TopicReader(self._settings, topic, start=start, missing=missing, clock=self._clock) as reader:
                return read(reader)

        return until_read(once, clock=self._clock)

    def _rows_before(self, record: JournalRecord) -> dict[bytes, bytes] | None:
        """The rows of the transaction before a journal record's; None when the changelog does not end with rows of that one.

        Between two transactions lies a marker, so rows with offsets that follow on each other are of one.
        """
        everything = self._read(
            self._changelog, BEGINNING, lambda reader: reader.read_to_end(READ_SECONDS), missing="the changelog is not there"
        )
        found = [one for one in everything if one.key != BARRIER_KEY]
        begin = len(found) - 1
        while begin > 0 and found[begin - 1].offset == found[begin].offset - 1:
            begin -= 1
        rows: dict[bytes, bytes] = {}
        digest: bytes | None = None
        for one in found[: max(0, begin)]:
            key = one.key or b""
            if one.value is None:
                rows.pop(key, None)
            else:
                rows[key] = one.value
            if key == CARRIER:
                digest = dict(one.headers).get(HEADER)
        state = self._session_row(rows)
        if state is None or (state.epoch, state.transaction) != (record.epoch, record.transaction - 1):
            return None
        if digest is not None and RowDigest(rows.items()).text() != digest:
            return None
        return rows

    # --------------------------------------------------------------------------------------------- driving it again

    def _complete(self, before: Rows, record: JournalRecord) -> Completion:
        raws: dict[tuple[str, str | None, int], RawRecord] = {}
        session = Session.restore({key.decode(): self._codec.row_from(value) for key, value in before.items()})
        letters = self._control_letters(record)

        def read(given: JournalInput) -> RangeRead:
            symbol, stream = given.symbol or "", given.stream
            first, following = given.first_offset or 0, given.next_offset or 0
            found = self._source(self._names.of(symbol, stream), first, following, record.transaction)
            raws.update(((symbol, stream, raw.offset), raw) for raw in found)
            offsets, values = [raw.offset for raw in found], [raw.value for raw in found]
            return range_read(
                self._codec, symbol, given.incarnation or 0, first, following, offsets, values, stream,
                lambda place: [name for name, _ in found[place].headers],
            )  # fmt: skip

        def raw_of(letter: DeadLetter) -> RawRecord:
            return raws[letter.symbol, letter.stream, letter.offset]

        _, result = redrive(session, record, read)
        if result.journal != record:
            raise RecoveryError(f"transaction {record.transaction} is torn, and its journal record can't be driven again to the same end")
        encoder = Encoder(self._codec, self._names, session=record.session, epoch=record.epoch)
        written: dict[str, list[Record]] = {}
        for one in [*encoder.records(result, raw_of), *letters]:
            written.setdefault(one.topic, []).append(one)
        return Completion(result, [one for topic, records in written.items() for one in self._missing(topic, records, record.transaction)])

    def _source(self, topic: str, first: int, following: int, transaction: int) -> list[RawRecord]:
        def read(reader: TopicReader) -> list[Found]:
            end = reader.bounds()[1]
            if following > end:
                raise OffsetGoneError(f"{topic} ends at offset {end}, before {following}")
            return [one for one in reader.up_to(following, RANGE_SECONDS) if one.offset < following]

        try:
            found = self._read(topic, first, read, missing="a topic is gone")
        except (OffsetGoneError, NoSessionError) as error:
            raise RecoveryError(
                f"transaction {transaction} is torn, and what it was made from is no longer there, so it can't be completed: {error}. "
                f"{_WAY_OUT}"
            ) from error
        return [RawRecord(topic, one.offset, one.key, one.value, list(one.headers)) for one in found]

    def _control_letters(self, record: JournalRecord) -> list[Record]:
        letters: list[Record] = []
        for given in record.inputs:
            if given.kind is InputKind.CONTROL_SKIPPED:
                for raw in self._source(self._names.control, given.first_offset or 0, given.next_offset or 0, record.transaction):
                    error = WireError(given.reason or "")
                    letters.append(control_letter(self._names.dlq, raw, error, record.now_us // 1000))
        return letters

    def _missing(self, topic: str, records: Sequence[Record], transaction: int) -> Sequence[Record]:
        """Those of a topic's records that are not at its end."""
        there = [(one.key, one.value) for one in self._tail(topic, len(records))]
        wanted = [(one.key, one.value) for one in records]
        for count in range(min(len(there), len(wanted)), 0, -1):
            if there[-count:] == wanted[:count]:
                return records[count:]
        if not set(wanted).isdisjoint(there):
            raise RecoveryError(
                f"transaction {transaction} is torn: {topic} holds some of its records without those before them, so it can't be "
                f"completed. {_WAY_OUT}"
            )
        return records


def _unexplained(state: SessionRow, record: JournalRecord, event: AnalysisEvent | None) -> str:
    published = "nothing" if event is None else f"record {event.sequence}"
    return (
        f"the last transaction is torn: the rows stand at transaction {state.transaction} and sequence {state.sequence}, analysis at "
        f"{published}, and the journal ends with transaction {record.transaction} and sequence {record.last_sequence}, so it can't be "
        f"driven again. {_WAY_OUT}"
    )
