"""Holds what the engine told in a transaction against the promises, and against the model.

The promises first, from the outcomes alone: the sequence, freshness, the gate, no repetition, order. Then the model says
whether exactly what had to be told was told.
"""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest

from msgspec.structs import astuple

from streams.model.records import AnalysisKind, Event, EventKind, HeldBackBar, Marker, PublishedBar, Reply
from streams.model.transactions import TransactionResult
from streams.times import iso
from tests.support.simulation.books import Violation
from tests.support.simulation.gatebook import Told
from tests.support.simulation.model import Model

Series = tuple[str, int, str]


class Judge:
    """Knows what has been on analysis so far."""

    def __init__(self) -> None:
        self._sequence = 0
        self._transaction = 0
        self._active = False
        self._shown: set[tuple[str, int, str, int, int]] = set()
        self._newest: dict[Series, int] = {}
        self.published: Counter[Series] = Counter()
        self.held: Counter[Series] = Counter()

    def judge(self, result: TransactionResult, model: Model, epoch: int) -> None:
        """Judge a transaction.

        Raises:
            Violation: a promise was broken.
        """
        for outcome in result.outcomes:
            if isinstance(outcome, PublishedBar):
                self._judge_sequence(outcome.sequence)
                self._judge_bar(outcome, result.now_us, model)
            elif isinstance(outcome, HeldBackBar):
                if outcome.sequence != self._sequence:
                    raise Violation("a bar that is held back has the sequence given out last", f"{outcome} after {self._sequence}")
            elif isinstance(outcome, Marker):
                self._judge_sequence(outcome.sequence)
                self._judge_marker(outcome)
        journal = result.journal
        self._transaction += 1
        found, expected = (journal.epoch, journal.transaction, journal.last_sequence), (epoch, self._transaction, self._sequence)
        if found != expected:
            raise Violation("epoch, transaction and last sequence of the journal are contiguous", f"it says {found}, it is {expected}")
        self._judge_against(result, model)

    def _judge_sequence(self, sequence: int) -> None:
        self._sequence += 1
        if sequence != self._sequence:
            raise Violation("(epoch, sequence) is contiguous", f"{sequence} follows on {self._sequence - 1}")

    def _judge_bar(self, told: PublishedBar, now_us: int, model: Model) -> None:
        bar = told.bar
        what = f"{told.symbol} (incarnation {told.incarnation}) {told.interval} {iso(bar.start_us)} revision {bar.revision}"
        if not self._active:
            raise Violation("no bar is on analysis while the session is inactive", what)
        if now_us > told.valid_until_us:
            raise Violation("no bar on analysis is older than its symbol's threshold", f"{what} at {iso(now_us)}")
        key = (told.symbol, told.incarnation, told.interval, bar.start_us, bar.revision)
        if key in self._shown:
            raise Violation("a revision of a bar is published once", what)
        self._shown.add(key)
        series = key[:3]
        self.published[series] += 1
        newest = self._newest.get(series, -1)
        if bar.start_us < newest and bar.revision == 0 and bar.provenance != "derived" and (key[:2], bar.start_us) not in model.late:
            raise Violation("bars that advance a symbol's frontier are published in order", f"{what} after {iso(newest)}")
        self._newest[series] = max(newest, bar.start_us)

    def _judge_marker(self, marker: Marker) -> None:
        if marker.gate is not None:
            if marker.gate.active == self._active:
                raise Violation("the gate opens and shuts by turns", f"{marker} while it stood so already")
            self._active = marker.gate.active
        if marker.kind is AnalysisKind.HEARTBEAT and not self._active:
            raise Violation("no heartbeat is on analysis while the session is inactive", f"{marker}")
        if marker.kind is AnalysisKind.HELD_BACK and marker.extent is not None:
            self.held[marker.symbol or "", marker.incarnation or 0, marker.interval or ""] += marker.extent.count

    def _judge_against(self, result: TransactionResult, model: Model) -> None:
        if model.active != self._active:
            raise Violation(
                "the gate is open exactly while every initial symbol is settled and none lags",
                f"it is {'open' if self._active else 'shut'} on analysis; by the rules {model.lagging} lag",
            )
        _same("analysis holds exactly what has to be told, in order", [_of(one) for one in result.outcomes], model.analysis)
        events = [(one.kind.value, one.symbol) for one in result.outcomes if isinstance(one, Event)]
        _same("each change of a symbol and the session is an event", events, model.events)
        qualities = [_quality(one) for one in result.outcomes if isinstance(one, Event) and one.kind is EventKind.QUALITY]
        _same("what is told of quality is what a count of the bars gives", qualities, model.qualities)
        replies = [(one.command_id, one.kind, one.symbol, one.status.value) for one in result.outcomes if isinstance(one, Reply)]
        _same("each command is answered", replies, model.replies)
        letters = [(one.symbol, one.offset, one.code.value) for one in result.dead_letters]
        _same("each record that is no bar is a dead letter, and no other", letters, model.letters)


def _quality(event: Event) -> tuple[str | None, str, int, int, int, int]:
    told = event.attributes
    expected, present = int(told["expected"]), int(told["present"])
    if told["quality"] != (f"{100 * present / expected:.2f}" if expected else ""):
        raise Violation("what is told of quality is what a count of the bars gives", f"{told['quality']} % are {present} of {expected}")
    return event.symbol, told["interval"], expected, present, int(told["missing"]), int(told["gaps"])


def _of(outcome: object) -> Told | None:
    if isinstance(outcome, PublishedBar | HeldBackBar):
        detail = (astuple(outcome.bar), outcome.valid_until_us)
        kind = "bar" if isinstance(outcome, PublishedBar) else "bar held back"
        return (kind, outcome.symbol, outcome.incarnation, outcome.interval, outcome.trading_days, detail)
    if not isinstance(outcome, Marker):
        return None
    told: object = None
    if outcome.gate is not None:
        lags = tuple((one.symbol, one.lag_seconds) for one in outcome.gate.lagging)
        told = (outcome.gate.active, outcome.gate.reason, lags)
    elif outcome.extent is not None:
        told = astuple(outcome.extent)
    elif outcome.interval_complete is not None:
        told = astuple(outcome.interval_complete)
    return (outcome.kind.value, outcome.symbol, outcome.incarnation, outcome.interval, outcome.trading_days, told)


def _same(invariant: str, found: list[object], expected: list[object]) -> None:
    found = [one for one in found if one is not None]
    if found == expected:
        return
    for place, (one, other) in enumerate(zip_longest(found, expected)):
        if one != other:
            extra = "" if len(found) == len(expected) else f" ({len(found)} were told, {len(expected)} expected)"
            raise Violation(invariant, f"at {place} the engine told {one}, expected is {other}{extra}")
