"""The control records of a session against what its journal says became of them.

Each is a command in the journal, or was none: one that was passed over has had no effect, and would have none in a re-drive, so
nothing else tells. Offsets without a record belong to markers of transactions.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from streams.audit.fields import FieldDifference, first_difference, in_words
from streams.audit.report import Difference, DifferenceKind, VerifyReport
from streams.engine.session import Session
from streams.errors import HistoryError, WireError
from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import ControlCommand
from streams.wire.codec import Codec
from streams.wire.outputs import RawRecord, Record, control_letter
from streams.wire.topics import TopicNames

_OF_CONTROL: Final = frozenset({InputKind.COMMAND, InputKind.COMMAND_SKIPPED, InputKind.CONTROL_SKIPPED})


class Inputs(Protocol):
    """The source topics."""

    def records(self, topic: str, topic_id: str, first: int, following: int) -> list[RawRecord]:
        """The committed records of `[first, following)` of the topic with this id ("" for whichever is there).

        Raises:
            HistoryError: they are not there any more.
        """
        ...


class ControlComparison:
    """Compares one session's control topic with its journal.

    Args:
        codec, names, inputs: as for `Redrive`.
        report: takes the differences.
    """

    def __init__(self, codec: Codec, names: TopicNames, inputs: Inputs, report: VerifyReport) -> None:
        self._codec = codec
        self._names = names
        self._inputs = inputs
        self._report = report
        self._is_missed = False

    def take(self, session: Session | None, record: JournalRecord, journal_offset: int) -> list[Record]:
        """Compare what a journal record says, before it is driven; gives the dead letters of records that were no commands.

        Raises:
            HistoryError: such records are not there any more.
        """
        if session is not None:
            position, topic_id = session.state.control_offset, session.state.control_topic_id
        elif record.inputs:
            position, topic_id = record.inputs[0].first_offset or 0, record.inputs[0].topic_id or ""
        else:
            return []
        letters: list[Record] = []
        for given in record.inputs:
            if given.kind not in _OF_CONTROL:
                continue
            first, following = given.first_offset or 0, given.next_offset or 0
            try:
                raws = self._inputs.records(self._names.control, topic_id, position, following)
            except HistoryError as error:
                if given.kind is InputKind.CONTROL_SKIPPED:
                    raise
                self._miss(error)
                continue
            position = following
            for raw in raws:
                if raw.offset != first:
                    self._tell(DifferenceKind.MISSING, record, journal_offset, raw.offset)
            its_own = next((raw for raw in raws if raw.offset == first), None)
            if its_own is None:
                self._tell(DifferenceKind.EXTRA, record, journal_offset, first)
                continue
            try:
                difference = self._difference(given, its_own, record.rules)
            except WireError as error:
                letters.append(control_letter(self._names.dlq, its_own, error, record.now_us // 1000))
                continue
            if difference is not None:
                self._tell(DifferenceKind.CHANGED, record, journal_offset, first, difference)
        return letters

    def _difference(self, given: JournalInput, raw: RawRecord, rules: int) -> FieldDifference | None:
        """Where journal and record differ.

        Raises:
            WireError: the record is no command, and the journal says so.
        """
        try:
            command = self._codec.command_from(raw.value, f"{self._names.control}@{raw.offset}", 0, rules)
        except WireError as error:
            if given.kind is InputKind.CONTROL_SKIPPED:
                raise
            return FieldDifference("command", f"none: {in_words(str(error))}", in_words(given.text))
        if given.kind is InputKind.CONTROL_SKIPPED:
            return FieldDifference("command", in_words(command), f"none: {in_words(given.reason)}")
        # One that does not say when it was sent was sent when its record says, which is not read here.
        journaled = msgspec.json.decode(given.text or "", type=ControlCommand)
        return first_difference(command, msgspec.structs.replace(journaled, sent_us=command.sent_us), "command")

    def _miss(self, error: HistoryError) -> None:
        if not self._is_missed:
            self._is_missed = True
            self._report.unchecked.append(f"the commands in the journal can't be held against those that were sent: {error}")

    def _tell(
        self, kind: DifferenceKind, record: JournalRecord, journal_offset: int, offset: int, difference: FieldDifference | None = None
    ) -> None:
        what = f"what became of {self._names.control} offset {offset}"
        field, expected, found = difference or (None, None, None)
        self._report.add(
            Difference(
                kind, self._names.journal, record.transaction, record.epoch, what, journal_offset, None, field, expected, found
            )
        )  # fmt: skip
