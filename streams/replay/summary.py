"""What became of a replay's bars, counted from the outcomes, so that it can be held against what the engine counted.

The invariant: `bars_in = base_accepted + dropped + dead_letters`, and `accepted = published + held_back + still_held`, where
`still_held` are the bars of runs that are open as yet: none once the last step was taken, which ends them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from streams.engine.state.symbol import Counts, SymbolSessionData
from streams.model.records import AnalysisKind, Dropped, Marker, Outcome, PublishedBar, Reply, ReplyStatus
from streams.model.transactions import DeadLetter

_Series = tuple[str, int, str]


class ReplaySummary(Struct, frozen=True):
    """How a replay went, in numbers.

    `bars_in` are the records that were read from the source. `accepted`, `published`, `held_back` and `still_held` count base and
    derived bars and their revisions; `base_accepted` those of base bars alone. `dropped` and `dead_letters` are by reason (`forming` are
    versions of bars that later ones replaced before the bar's end), `failed` are symbols with theirs, in the words for people. `sequence`
    is that of the last analysis record. Quotes and ticks are counted by themselves, and of those the ones that were dead letters.
    """

    bars_in: int
    accepted: int
    base_accepted: int
    published: int
    held_back: int
    still_held: int
    dropped: dict[str, int]
    dead_letters: dict[str, int]
    activations: int
    deactivations: int
    active: bool
    sequence: int
    trading_days: int
    commands: dict[str, int]
    symbols: list[str]
    failed: dict[str, str]
    quotes_and_ticks: int = 0
    bad_quotes_and_ticks: int = 0


class Tally:
    """Counts as a replay goes on."""

    def __init__(self) -> None:
        self.bars_in = 0
        self.extras_in = 0
        self._left_out = 0
        self._bad_extras = 0
        self._published: Counter[_Series] = Counter()
        self._held_back: Counter[_Series] = Counter()
        self._kinds: Counter[str] = Counter()
        self._dead_letters: Counter[str] = Counter()
        self._commands: Counter[str] = Counter()
        self._failed: dict[str, str] = {}
        self._bases: dict[tuple[str, int], str] = {}
        self._counts: dict[tuple[str, int], Counts] = {}

    def watch(self, data: SymbolSessionData) -> None:
        """Keep what the engine counts of a symbol, for when it is gone; to be told again whenever it was read."""
        key = (data.symbol, data.incarnation)
        self._bases[key] = data.base_interval
        self._counts[key] = data.counts

    def leave_out(self, count: int) -> None:
        """Count versions of bars that the source has and the engine did not get, since later ones replaced them before the bars' end."""
        self._left_out += count

    def take(self, outcomes: Iterable[Outcome], dead_letters: Iterable[DeadLetter], details: Mapping[str, str]) -> None:
        """Count what a transaction brought; `details` has the full texts of reasons that records shorten."""
        for outcome in outcomes:
            if isinstance(outcome, PublishedBar):
                self._published[outcome.symbol, outcome.incarnation, outcome.interval] += 1
            elif isinstance(outcome, Marker):
                self._take_marker(outcome, details)
            elif isinstance(outcome, Reply) and outcome.status is not ReplyStatus.ACCEPTED:
                self._commands[outcome.status.value] += 1
        for letter in dead_letters:
            if letter.stream is None:
                self._dead_letters[letter.code.value] += 1
            else:
                self._bad_extras += 1

    def _take_marker(self, marker: Marker, details: Mapping[str, str]) -> None:
        self._kinds[marker.kind] += 1
        if marker.kind is AnalysisKind.HELD_BACK and marker.extent is not None:
            self._held_back[marker.symbol or "", marker.incarnation or 0, marker.interval or ""] += marker.extent.count
        elif marker.kind is AnalysisKind.SYMBOL_FAILED:
            reason = marker.reason or ""
            self._failed[marker.symbol or ""] = details.get(reason, reason)

    def summary(self, symbols: Iterable[SymbolSessionData], *, active: bool, sequence: int, trading_days: int) -> ReplaySummary:
        """The numbers as they stand; `symbols` are those that the session has now."""
        present = list(symbols)
        still_held: Counter[_Series] = Counter()
        for data in present:
            for run in data.runs.rows():
                still_held[data.symbol, data.incarnation, run.interval] += run.count
        accepted = self._published + self._held_back + still_held
        return ReplaySummary(
            bars_in=self.bars_in + self._left_out,
            accepted=accepted.total(),
            base_accepted=sum(
                count for (symbol, number, interval), count in accepted.items() if self._bases.get((symbol, number)) == interval
            ),
            published=self._published.total(),
            held_back=self._held_back.total(),
            still_held=still_held.total(),
            dropped=self._dropped(),
            dead_letters=dict(sorted(self._dead_letters.items())),
            activations=self._kinds[AnalysisKind.ACTIVATED],
            deactivations=self._kinds[AnalysisKind.DEACTIVATED],
            active=active,
            sequence=sequence,
            trading_days=trading_days,
            commands=dict(sorted(self._commands.items())),
            symbols=sorted(data.symbol for data in present),
            failed=dict(sorted(self._failed.items())),
            quotes_and_ticks=self.extras_in,
            bad_quotes_and_ticks=self._bad_extras,
        )

    def _dropped(self) -> dict[str, int]:
        dropped: Counter[str] = Counter({Dropped.FORMING: self._left_out})
        for counts in self._counts.values():
            dropped[Dropped.DUPLICATE] += counts.duplicates
            dropped[Dropped.OUT_OF_HOURS] += counts.out_of_hours
            dropped[Dropped.OTHER_INTERVAL] += counts.other_interval
            dropped[Dropped.OTHER_DAY] += counts.other_day
            dropped[Dropped.FORMING] += counts.forming
        return {reason.value: dropped[reason] for reason in Dropped if dropped[reason]}
