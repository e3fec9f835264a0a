"""The audit itself, without Kafka: a fresh engine is driven through a journal, and what it gives is held against what is there.

    report = compare(session="main", codec=codec, names=names, journal=journal, inputs=inputs, outputs=outputs, tables=tables)

Bars come from the source topics by the journal's offset ranges, commands stand in the journal and are held against the control
topic; everything else that the engine was told stands in the journal alone. Compared are each record that a transaction wrote
(value, key and headers), the journal record itself, and, at the transaction that the tables stand at, each row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from streams.audit.compare import Tape, TopicComparison
from streams.audit.control import ControlComparison, Inputs
from streams.audit.fields import FieldDifference, first_difference, in_words
from streams.audit.form import RecordForm
from streams.audit.report import Difference, DifferenceKind, VerifyReport
from streams.audit.rows import Tables, compare_rows
from streams.engine.session import Session
from streams.engine.transaction import redrive
from streams.errors import BrokerRefusedError, HistoryError, NobodyThereError, WireError
from streams.kafka.reader import Record as Found
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.transactions import DeadLetter, RangeRead, TransactionResult
from streams.wire.codec import Codec
from streams.wire.outputs import Encoder, RawRecord, Record
from streams.wire.ranges import range_read
from streams.wire.topics import TopicNames

EpochChoice = int | Literal["all", "newest"]


class Redrive:
    """Drives a fresh engine through journal records and compares what comes of it.

    Args:
        codec, names: what the session's topics are written and named with.
        inputs: the source topics.
        outputs: by topic, what analysis, events, replies and dead letters hold, and the ungated topic where there is one.
        tables: the rows, if there are any.
        epoch: which epoch, or all that the journal holds whole.
        report: takes what is found.
    """

    def __init__(
        self,
        codec: Codec,
        names: TopicNames,
        inputs: Inputs,
        outputs: Mapping[str, Tape],
        tables: Tables | None,
        *,
        epoch: int | Literal["all"],
        report: VerifyReport,
    ) -> None:
        forms = {
            names.analysis: RecordForm(codec.analysis_from),
            names.events: RecordForm(codec.event_from),
            names.replies: RecordForm(codec.reply_from),
            names.dlq: RecordForm(None),
            names.all_bars: RecordForm(codec.analysis_from),
        }
        self._codec = codec
        self._names = names
        self._inputs = inputs
        self._tables = tables
        self._wanted = epoch
        self._report = report
        self._control = ControlComparison(codec, names, inputs, report)
        self._comparisons = {topic: TopicComparison(topic, forms[topic], tape, report) for topic, tape in outputs.items()}
        self._session: Session | None = None
        self._encoder: Encoder | None = None
        self._raws: dict[tuple[str, str | None, int], RawRecord] = {}
        self._epoch = self._transaction = 0
        self._is_driving = self._lacks_all_bars = False
        self.is_over = False

    @property
    def wants_more(self) -> bool:
        """Whether the journal has not come to the tables' transaction, or records are there that no transaction has explained."""
        if self.is_over:
            return False
        return self._lacks_tables() or (self._is_driving and any(one.has_leftovers() for one in self._comparisons.values()))

    def take(self, found: Found) -> None:
        """Drive the next record of the journal."""
        if self.is_over:
            return
        try:
            record = self._codec.journal_from(found.value)
        except WireError as error:
            if self._is_driving or not self._epoch:  # else it lies in an epoch that is not asked for
                self._tell(DifferenceKind.EXTRA, 0, found.offset, f"a record that is no journal record ({error})")
            return
        opens = bool(record.inputs) and record.inputs[0].kind is InputKind.OPENED
        if record.epoch > self._epoch and (opens or not self._is_driving):
            self._go_to(record, found, opens=opens)
        if not self._is_driving and record.epoch >= self._epoch:
            return
        if (record.epoch, record.transaction) != (self._epoch, self._transaction + 1):
            self._out_of_line(record, found)
            return
        self._drive(record, found)

    def end(self) -> None:
        """All of the journal has been driven: what is left on either side is a difference."""
        if self._is_driving:
            self._leave(None)
        if not self._report.epochs and not self._report.unchecked:
            self._report.unchecked.append(f"the journal {self._names.journal} holds no epoch {self._wanted} to begin from")
        if self._lacks_tables() and self._tables is not None and not self._report.unchecked:
            tables = self._tables
            what = f"the record of transaction {tables.transaction}, at which the tables stand,"
            self._tell(DifferenceKind.MISSING, tables.transaction, None, what)
        self._report.put_in_order()
        self.is_over = True

    def _lacks_tables(self) -> bool:
        return self._tables is not None and self._wanted in ("all", self._tables.epoch) and self._report.rows_at is None

    # ------------------------------------------------------------------------------------------------ epochs

    def _go_to(self, record: JournalRecord, found: Found, *, opens: bool) -> None:
        if self._is_driving:
            self._leave(record)
        if self._wanted != "all" and record.epoch > self._wanted:
            self.is_over = True
            return
        self._epoch, self._transaction, self._session = record.epoch, 0, None
        if self._wanted not in ("all", record.epoch):
            return
        if opens:
            self._is_driving = True
            self._encoder = Encoder(self._codec, self._names, session=record.session, epoch=record.epoch)
            self._report.epochs.append(record.epoch)
            for one in self._comparisons.values():
                one.begin(record.epoch, record.now_us // 1000)
            return
        reason = (
            f"epoch {record.epoch} can't be verified from its beginning: the first record of it in {self._names.journal} is that of "
            f"transaction {record.transaction} (offset {found.offset}), what came before is no longer there"
        )
        is_newest = self._tables is None or record.epoch >= self._tables.epoch
        (self._report.unchecked if self._wanted != "all" or is_newest else self._report.notes).append(reason)

    def _leave(self, following: JournalRecord | None) -> None:
        until_ms = None if following is None else following.now_us // 1000
        for one in self._comparisons.values():
            one.end(until_ms)
        self._is_driving = False

    def _stop(self) -> None:
        """Leave the epoch where it can't be driven any further; where all are asked for, the next one begins anew."""
        for one in self._comparisons.values():
            one.abandon()
        self._is_driving, self.is_over = False, self._wanted != "all"

    def _out_of_line(self, record: JournalRecord, found: Found) -> None:
        what = f"the record of transaction {record.transaction}"
        if (record.epoch, record.transaction) <= (self._epoch, self._transaction):
            self._tell(DifferenceKind.REPEATED, record.transaction, found.offset, what)
        elif record.epoch > self._epoch:
            self._tell(DifferenceKind.EXTRA, record.transaction, found.offset, f"{what} of epoch {record.epoch}")
        else:
            for number in range(self._transaction + 1, min(record.transaction, self._transaction + 4)):
                self._tell(DifferenceKind.MISSING, number, found.offset, f"the record of transaction {number}")
            self._report.unchecked.append(
                f"the journal has a hole before transaction {record.transaction}: nothing from {self._transaction + 1} on could be driven"
            )
            self._stop()

    # ------------------------------------------------------------------------------------------ transactions

    def _drive(self, record: JournalRecord, found: Found) -> None:
        self._raws.clear()
        try:
            letters = self._control.take(self._session, record, found.offset)
            session, result = redrive(self._session, record, partial(self._read, record.rules))
        except (BrokerRefusedError, NobodyThereError):
            raise  # a missing right, or a broker that is away, says nothing about the session
        except HistoryError as error:
            self._report.unchecked.append(f"transaction {record.transaction} of epoch {record.epoch} can't be driven again: {error}")
            self._stop()
            return
        except Exception as error:  # the journal is what is in doubt: whatever the engine makes of a wrong one is a finding
            self._tell(
                DifferenceKind.UNDRIVABLE, record.transaction, found.offset, f"transaction {record.transaction}",
                difference=FieldDifference("inputs", "inputs that follow on the state", in_words(f"{type(error).__name__}: {error}")),
            )  # fmt: skip
            self._report.unchecked.append(f"nothing from transaction {record.transaction} of epoch {record.epoch} on could be compared")
            self._stop()
            return
        self._session, self._transaction = session, record.transaction
        self._report.transactions += 1
        self._report.inputs += len(record.inputs)
        self._compare(record, found, result, letters)
        tables = self._tables
        if tables is not None and (tables.epoch, tables.transaction) == (record.epoch, record.transaction):
            compare_rows(session.rows, tables, self._codec, self._report)

    def _compare(self, record: JournalRecord, found: Found, result: TransactionResult, letters: list[Record]) -> None:
        journal = self._names.journal
        difference = first_difference(result.journal, record)
        if difference is None:
            self._report.compared[journal] = self._report.compared.get(journal, 0) + 1
        else:
            self._tell(
                DifferenceKind.CHANGED, record.transaction, found.offset, f"the record of transaction {record.transaction}",
                difference=difference,
            )  # fmt: skip
        tables = self._tables
        required = tables is None or (record.epoch, record.transaction) <= (tables.epoch, tables.transaction)
        encoder = self._encoder
        outputs = [] if encoder is None else encoder.records(result, self._raw)
        for output in [*outputs, *letters]:
            comparison = self._comparisons.get(output.topic)
            if comparison is not None:
                comparison.expect(output, record.transaction, required=required)
            elif output.topic == self._names.all_bars and not self._lacks_all_bars:
                self._lacks_all_bars = True
                self._report.unchecked.append(f"{output.topic} is no longer there: what was written to it can't be compared")

    def _read(self, rules: int, given: JournalInput) -> RangeRead:
        symbol, stream, first, following = given.symbol or "", given.stream, given.first_offset or 0, given.next_offset or 0
        data = None if self._session is None else self._session.symbol(symbol)
        source = data if data is None or stream is None else data.extras.get(stream)
        topic_id = "" if source is None else source.topic_id
        raws = self._inputs.records(self._names.of(symbol, stream), topic_id, first, following)
        self._raws.update(((symbol, stream, raw.offset), raw) for raw in raws)
        if stream is None:
            self._report.bars += len(raws)
        else:
            self._report.extras += len(raws)
        offsets, values = [raw.offset for raw in raws], [raw.value for raw in raws]
        return range_read(
            self._codec, symbol, given.incarnation or 0, first, following, offsets, values, stream,
            lambda place: [name for name, _ in raws[place].headers], rules,
        )  # fmt: skip

    def _raw(self, letter: DeadLetter) -> RawRecord:
        return self._raws[letter.symbol, letter.stream, letter.offset]

    def _tell(
        self, kind: DifferenceKind, transaction: int, offset: int | None, what: str, difference: FieldDifference | None = None
    ) -> None:
        field, expected, found = difference or (None, None, None)
        self._report.add(
            Difference(kind, self._names.journal, transaction, self._epoch, what, offset, None, field, expected, found)
        )  # fmt: skip


def compare(
    *,
    session: str,
    codec: Codec,
    names: TopicNames,
    journal: Tape,
    inputs: Inputs,
    outputs: Mapping[str, Tape],
    tables: Tables | None,
    epoch: EpochChoice = "newest",
    progress: Callable[[int, int], object] | None = None,
) -> VerifyReport:
    """Drive the journal and compare everything; see `Redrive` for the parts.

    Args:
        session: the session's name.
        codec, names, inputs, outputs, tables: see `Redrive`.
        journal: the journal's records.
        epoch: the newest is that of the tables; without tables it is all.
        progress: is told the journal's offset and its end now and then.
    """
    report = VerifyReport(session)
    wanted = ("all" if tables is None else tables.epoch) if epoch == "newest" else epoch
    run = Redrive(codec, names, inputs, outputs, tables, epoch=wanted, report=report)
    while not run.is_over and (found := journal.next()) is not None:
        run.take(found)
        if progress is not None:
            progress(found.offset + 1, journal.end)
    # A worker that is running goes on meanwhile: what its latest transactions wrote is explained by their journal records.
    while run.wants_more and (found := journal.next(beyond=True)) is not None:
        run.take(found)
    run.end()
    return report
