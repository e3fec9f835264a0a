"""One topic of a session, record by record, against what it should hold.

What should be there comes transaction by transaction, what is there comes from a tape. The two go side by side; where they
part, a look ahead tells what happened: a record is missing, is there too much, twice, in another order, or has another
content. So one fault is one difference, and what follows is compared again.

A topic may hold several epochs, one after the other. Records of epochs before the one that is compared are passed over as
long as none of this one has come, those of later ones are left for them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple, Protocol

from streams.audit.fields import FieldDifference
from streams.audit.form import RecordForm
from streams.audit.report import Difference, DifferenceKind, VerifyReport
from streams.kafka.reader import Record as Found
from streams.wire.outputs import Record

LOOK_AHEAD: Final = 64
"""How many records are looked at to find out what happened."""
GIVE_UP: Final = 1000
"""After so many differences a topic is not compared any more."""


class Tape(Protocol):
    """The committed records of a topic, in order."""

    begins_late: bool
    """Whether the topic has lost records at its beginning."""
    end: int
    """What lies before this offset was committed when the audit began."""

    def next(self, *, beyond: bool = False) -> Found | None:
        """The next record before `end`, or with `beyond` behind it too; None when there is none."""
        ...


class _Pending(NamedTuple):
    record: Record
    transaction: int
    required: bool


class TopicComparison:
    """Compares one topic.

    Args:
        topic: its name.
        form: what its records are.
        tape: what it holds.
        report: takes the differences.
    """

    def __init__(self, topic: str, form: RecordForm, tape: Tape, report: VerifyReport) -> None:
        self._topic = topic
        self._form = form
        self._tape = tape
        self._report = report
        self._expected: deque[_Pending] = deque()
        self._found: deque[Found] = deque()
        self._recent: deque[Found] = deque(maxlen=LOOK_AHEAD)
        self._epoch = 0
        self._since_ms = 0
        self._until_ms: int | None = None
        self._has_begun = self._is_parted = False
        self._gone = self._differences = self._transaction = 0
        self._report.compared.setdefault(topic, 0)

    def begin(self, epoch: int, since_ms: int) -> None:
        """Compare an epoch, which begins at `since_ms` (milliseconds since 1970)."""
        self._epoch, self._since_ms, self._until_ms = epoch, since_ms, None
        self._has_begun = False
        self._transaction = 0

    def expect(self, record: Record, transaction: int, *, required: bool) -> None:
        """This record should come next; one that is not required may be too young to be there."""
        self._expected.append(_Pending(record, transaction, required))
        self._settle(final=False)

    def has_leftovers(self) -> bool:
        """Whether records of the epoch are there that nothing was expected to be."""
        self._settle(final=True)
        return self._leftover() is not None

    def end(self, until_ms: int | None = None) -> None:
        """The epoch is over, another one begins at `until_ms`: what is left on either side is a difference."""
        self._until_ms = until_ms
        self._settle(final=True)
        while (found := self._leftover()) is not None and self._differences < GIVE_UP:
            self._surplus(found)
            self._found.popleft()
        self.abandon()

    def abandon(self) -> None:
        """Compare no further: what the audit has not come to is not too much."""
        self._settle(final=True)
        self._expected.clear()
        if self._gone:
            self._report.unchecked.append(
                f"{self._topic} has lost its beginning: {self._gone} records that were there once can't be compared any more"
            )
            self._gone = 0

    # ------------------------------------------------------------------------------------------- side by side

    def _settle(self, *, final: bool) -> None:
        expected, found = self._expected, self._found
        while expected and self._differences < GIVE_UP:
            if self._is_parted and not final and len(expected) <= LOOK_AHEAD:
                return
            if not found and not self._fill(1, beyond=True):
                if not final and len(expected) <= LOOK_AHEAD:
                    return
                self._miss(None)
            elif not self._is_parted and self._form.difference(expected[0].record, found[0]) is None:
                self._match()
            elif not self._has_begun and self._is_before(found[0]):
                found.popleft()
            elif not self._has_begun and self._tape.begins_late:
                expected.popleft()
                self._gone += 1
            elif not final and len(expected) <= LOOK_AHEAD:
                self._is_parted = True
            else:
                self._is_parted = False
                self._resolve()
        if self._differences >= GIVE_UP:
            expected.clear()

    def _match(self) -> None:
        self._transaction = self._expected.popleft().transaction
        self._recent.append(self._found.popleft())
        self._has_begun = True
        self._report.compared[self._topic] += 1

    def _fill(self, count: int, *, beyond: bool) -> bool:
        while len(self._found) < count:
            record = self._tape.next(beyond=beyond)
            if record is None:
                return False
            self._found.append(record)
        return True

    def _leftover(self) -> Found | None:
        while self._found or self._fill(1, beyond=False):
            found = self._found[0]
            if not self._has_begun and self._is_before(found):
                self._found.popleft()
            else:
                return None if found.offset >= self._tape.end or self._is_after(found) else found
        return None

    def _is_before(self, found: Found) -> bool:
        if not self._form.has_epochs:
            return found.timestamp_ms < self._since_ms
        epoch = self._form.epoch_of(found.value)
        return found.timestamp_ms < self._since_ms if epoch is None else epoch < self._epoch

    def _is_after(self, found: Found) -> bool:
        if self._until_ms is None:
            return False
        if not self._form.has_epochs:
            return found.timestamp_ms >= self._until_ms
        return (self._form.epoch_of(found.value) or 0) > self._epoch

    # --------------------------------------------------------------------------------------- where they part

    def _resolve(self) -> None:
        """Find out what happened, and go on behind it."""
        expected, found = self._expected, self._found
        self._fill(LOOK_AHEAD, beyond=True)
        if _is_same(expected, 1, found, 0) and _is_same(expected, 0, found, 1):
            self._tell(
                DifferenceKind.REORDERED,
                found[1],
                self._form.name_of(found[1].value, found[1].headers),
                transaction=expected[0].transaction,
            )
            for _ in range(2):
                expected.popleft()
                found.popleft()
            return
        for distance in range(1, LOOK_AHEAD):
            if _is_same(expected, distance, found, 0):
                for _ in range(distance):
                    self._miss(found[0].offset)
                return
            if _is_same(expected, 0, found, distance):
                for _ in range(distance):
                    self._surplus(found[0])
                    found.popleft()
                return
            if _is_same(expected, distance, found, distance):
                for _ in range(distance):
                    self._change()
                return
        if (self._form.epoch_of(found[0].value) or 0) > self._epoch:
            self._miss(found[0].offset)
        else:
            self._change()

    def _miss(self, offset: int | None) -> None:
        pending = self._expected.popleft()
        if pending.required:
            name = self._form.name_of(pending.record.value, pending.record.headers)
            sequence = self._form.sequence_of(pending.record.value)
            self._tell(DifferenceKind.MISSING, None, name, transaction=pending.transaction, offset=offset, sequence=sequence)

    def _surplus(self, found: Found) -> None:
        is_repeated = any(one.value == found.value and one.key == found.key and one.offset < found.offset for one in self._recent)
        kind = DifferenceKind.REPEATED if is_repeated else DifferenceKind.EXTRA
        transaction = self._expected[0].transaction if self._expected else self._transaction
        self._tell(kind, found, self._form.name_of(found.value, found.headers), transaction=transaction)

    def _change(self) -> None:
        pending, found = self._expected[0], self._found[0]
        difference = self._form.difference(pending.record, found)
        if difference is None:
            self._match()
            return
        self._expected.popleft()
        self._found.popleft()
        name = self._form.name_of(pending.record.value, pending.record.headers)
        self._tell(DifferenceKind.CHANGED, found, name, transaction=pending.transaction, difference=difference)

    def _tell(
        self,
        kind: DifferenceKind,
        found: Found | None,
        what: str,
        *,
        transaction: int,
        offset: int | None = None,
        sequence: int | None = None,
        difference: FieldDifference | None = None,
    ) -> None:
        self._differences += 1
        self._has_begun = True
        if found is not None:
            offset, sequence = found.offset, self._form.sequence_of(found.value)
        field, expected, is_found = difference or (None, None, None)
        self._report.add(Difference(kind, self._topic, transaction, self._epoch, what, offset, sequence, field, expected, is_found))
        if self._differences == GIVE_UP:
            self._report.unchecked.append(f"{self._topic} has {GIVE_UP} differences: it was not compared any further")


def _is_same(expected: deque[_Pending], place: int, found: deque[Found], other: int) -> bool:
    if place >= len(expected) or other >= len(found):
        return False
    record, one = expected[place].record, found[other]
    return record.value == one.value and record.key == one.key and record.headers == list(one.headers)
