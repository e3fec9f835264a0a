"""What must hold of the events about quality, and of the rows about gaps: pure code over decoded records, for the oracle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.records import EventKind
from streams.model.rows import ProgressRow, QualityRow, Row
from streams.times import SECOND_US, iso
from streams.wire.messages import SessionEvent

Life = tuple[str, int]
Told = tuple[int, int]

NOTHING: Told = (0, 0)


def wrong_quality(
    events: Sequence[SessionEvent], journal: Sequence[JournalRecord], rows: Mapping[str, Row], publish_us: int
) -> Iterator[str]:
    """A sentence for each event that is untrue to itself, too soon or about nothing new, and each row that does not follow from them."""
    told: dict[Life, dict[str, Told]] = defaultdict(dict)
    moments: dict[tuple[Life, str], int] = {}
    epoch = 0
    for event in events:
        if event.epoch != epoch:
            epoch, told, moments = event.epoch, defaultdict(dict), {}
        life = (event.symbol or "", event.incarnation or 0)
        if event.kind == EventKind.SYMBOL_ROLLED:
            told[life] = {}
        if event.kind != EventKind.QUALITY:
            continue
        interval, counts = event.attributes["interval"], _counts(event)
        what = f"{life} {interval} at {iso(event.emitted_us)}"
        yield from (f"{what} {fault}" for fault in _faults(event))
        if counts == told[life].get(interval, NOTHING):
            yield f"{what} is told again, with nothing changed"
        before_us = moments.get((life, interval))
        if before_us is not None and event.emitted_us - before_us < publish_us:
            yield f"{what} is told {(event.emitted_us - before_us) / SECOND_US:g} s after {iso(before_us)}"
        told[life][interval] = counts
        moments[life, interval] = event.emitted_us
    yield from _wrong_rows(told, _answers(journal, epoch), rows)


def _counts(event: SessionEvent) -> Told:
    return int(event.attributes["missing"]), int(event.attributes["gaps"])


def _faults(event: SessionEvent) -> Iterator[str]:
    expected, present = int(event.attributes["expected"]), int(event.attributes["present"])
    missing, gaps = _counts(event)
    if not 0 <= present <= expected or missing != expected - present:
        yield f"says that {missing} are missing where {present} of {expected} are there"
    elif event.attributes["quality"] != (f"{100 * present / expected:.2f}" if expected else ""):
        yield f"says {event.attributes['quality']} percent for {present} of {expected}"
    if gaps > missing or (gaps == 0) != (missing == 0):
        yield f"says {gaps} gaps for {missing} missing bars"


def _answers(journal: Sequence[JournalRecord], epoch: int) -> dict[Life, list[JournalInput]]:
    found: dict[Life, list[JournalInput]] = defaultdict(list)
    for record in journal:
        for given in record.inputs if record.epoch == epoch else ():
            if given.kind is InputKind.GAP_ASKED:
                found[given.symbol or "", given.incarnation or 0].append(given)
    return found


def _wrong_rows(
    told: Mapping[Life, Mapping[str, Told]], answers: Mapping[Life, Sequence[JournalInput]], rows: Mapping[str, Row]
) -> Iterator[str]:
    known = {(row.symbol, row.incarnation): row for row in rows.values() if isinstance(row, QualityRow)}
    there = {(row.symbol, row.incarnation): row.trading_days for row in rows.values() if isinstance(row, ProgressRow)}
    for life, row in known.items():
        if there.get(life) != row.trading_days:
            yield f"the row of {life} is of day {row.trading_days}, the symbol stands at {there.get(life)}"
        empty = [one for one in answers.get(life, ()) if not one.count and one.reason is None]
        others = [one for one in answers.get(life, ()) if one.count or one.reason is not None]
        for stretch in row.empty:
            if not any((one.start_us or 0) <= stretch.start_us < (one.end_us or 0) for one in empty):
                yield f"{life} is confirmed empty at {iso(stretch.start_us)}, which no source said"
        for attempt in row.attempts:
            asked = sum((one.start_us or 0) < attempt.end_us and attempt.start_us < (one.end_us or 0) for one in others)
            if attempt.count > asked:
                yield f"{life} was asked for {asked} times at {iso(attempt.start_us)}, the row says {attempt.count}"
    for life in there:
        row_of_life = known.get(life)
        found = {} if row_of_life is None else {one.interval: (one.missing, one.gaps) for one in row_of_life.told}
        if found != told.get(life, {}):
            yield f"of {life} the row says that {found} was told, it was {dict(told.get(life, {}))}"
