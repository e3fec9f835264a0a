"""Versions of a bar that were sent before its end: of several the last one counts, as it does live.

Live a bar waits until its end, and later versions replace it (`engine.waiting`). In event time all of them are due at that end, and one
after the other they would be a bar and its corrections. When a record was sent is the time of its message: a version that was sent
before the bar's end was still forming, and one that was sent later is a correction, live and here. Where a source has no such times,
versions that follow each other, with nothing in between, count as one.

    records      A1 A2 B1 A3 | B2 ...      sent before A's end | after it
    gives        B1 A3         B2          A3 once it is known to be the last version of A

A bar that was sent more than a minute before it began has a message time that is wrong, of another zone or in another unit: none is
known then.

Nothing else changes, least of all the order. What message times can't tell: when a record arrived, which may have been after the end
though it was sent before; and those of a topic that stamps its records with something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from streams.errors import HistoryError
from streams.model.records import PROVENANCE_GAP_FILL, Bar
from streams.model.validation import ABOVE_ZERO, price_fault
from streams.replay.source import Read
from streams.times import MINUTE_US

EARLIEST_US: Final = MINUTE_US
"""How long before its start a bar may have been sent: the clock of a feed may be ahead, but no hours."""
MOST_HELD: Final = 64
"""How many records are looked through for a later version, should message times never come to the bar's end."""


class _Held:
    """A record that is not given yet. `until_us` is the end of the `bar` that it is a version of, while a later one may come."""

    __slots__ = ("bar", "read", "until_us")

    def __init__(self, read: Read, bar: Bar | None = None, until_us: int | None = None) -> None:
        self.read = read
        self.bar = bar
        self.until_us = until_us


class LastVersions:
    """The records of a topic of bars without the versions that a later one replaced before the bar's end; `left_out` counts those.

    Args:
        records: in the order of the topic.
        place: gives a bar as it lies on its day; None where it says so itself.
        lowest_price: the lower bound of the symbol's prices.
    """

    def __init__(self, records: Iterator[Read], place: Callable[[Bar], Bar] | None = None, lowest_price: float = ABOVE_ZERO) -> None:
        self._lowest_price = lowest_price
        self.left_out = 0
        self._records = records
        self._place = place
        self._held: list[_Held] = []
        self._sent_us = 0

    def __iter__(self) -> Iterator[Read]:
        """Give the records; to be called once.

        Raises:
            HistoryError: where reading can't go on, after the records before it.
        """
        held, records, can_move = self._held, self._records, self._place is not None
        failure: HistoryError | None = None
        while True:
            try:
                read = next(records, None)
            except HistoryError as error:
                read, failure = None, error
            if read is None:
                break
            if read.__class__ is not Read:
                read = Read(*read)  # a source of somebody else's may give plain pairs
            given = None if can_move else self._given_by(read)
            if given is not None:
                yield given
                continue
            self._look_at(read)
            while held and (len(held) > MOST_HELD or self._is_settled(held[0])):
                yield held.pop(0).read
        yield from [one.read for one in held]
        if failure is not None:
            raise failure

    def _given_by(self, read: Read) -> Read | None:
        """The record that this one lets go of at once: of almost all bars there is one version. None where more is to be looked at."""
        bar, sent_us, held = read.record, read.sent_us, self._held
        if bar.__class__ is not Bar:
            return None
        if not held:
            if sent_us is None or not sent_us >= bar.end_us > bar.start_us:
                return None
            if sent_us > self._sent_us:
                self._sent_us = sent_us
            return read  # the bar was over when it was sent
        one = held[0]
        if sent_us is not None or one.read.sent_us is not None or len(held) > 1 or one.bar is None or one.bar.start_us == bar.start_us:
            return None
        given, one.read, one.bar, one.until_us = one.read, read, bar, bar.end_us
        return given  # without message times a record ends the wait of the one before it

    def _is_settled(self, one: _Held) -> bool:
        return one.until_us is None or self._sent_us >= one.until_us

    def _look_at(self, read: Read) -> None:
        if isinstance(read.record, Bar):
            if self._place is None and read.sent_us is None:
                self._take(read, read.record)
                return
            bar = read.record if self._place is None else self._place(read.record)
            # A daily bar names its date by a midnight, and updates of it may be sent before the open.
            earliest_us = min(bar.start_us, read.record.start_us) - EARLIEST_US
            sent_us = read.sent_us if read.sent_us is not None and read.sent_us >= earliest_us else None
            self._take(Read(read.offset, bar, sent_us, read.unknown), bar)
        else:
            self._hold(_Held(read))

    def _take(self, read: Read, bar: Bar) -> None:
        if read.sent_us is not None:
            # Records are sent in the order of the topic, so each at the time of the one before at the earliest.
            self._sent_us = max(self._sent_us, read.sent_us)
            if self._sent_us >= bar.end_us:
                return self._hold(_Held(read))
        before = self._version_before(bar)
        if before is not None:
            if self._is_bad(bar):
                return self._hold(_Held(read))
            self.left_out += 1
            if bar.provenance == PROVENANCE_GAP_FILL and before.bar is not None and before.bar.provenance != PROVENANCE_GAP_FILL:
                return None  # it fills holes, and there is none
            self._held.remove(before)
        return self._hold(_Held(read, bar, bar.end_us))

    def _version_before(self, bar: Bar) -> _Held | None:
        """The version that a bar replaces: one that may be replaced as yet, and is no dead letter."""
        start_us = bar.start_us
        for one in self._held:
            if one.until_us is None or one.bar is None or one.bar.start_us != start_us:
                continue
            if _key(one.bar) == _key(bar) and not self._is_bad(one.bar):
                return one
        return None

    def _is_bad(self, bar: Bar) -> bool:
        """Whether it is a dead letter, which replaces nothing and is not replaced; asked only where there are versions."""
        return price_fault(bar, self._lowest_price) is not None

    def _hold(self, one: _Held) -> None:
        """Put a record behind the ones that are held; where message times are unknown it ends the wait of the one before it."""
        if self._held and self._held[-1].read.sent_us is None:
            self._held[-1].until_us = None
        self._held.append(one)


def _key(bar: Bar) -> tuple[str, str, int, int]:
    return bar.symbol, bar.interval, bar.start_us, bar.end_us
